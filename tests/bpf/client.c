/* SPDX-License-Identifier: MIT */
/* What runs inside the sandbox: "kt client VERB ARGS". Prints "ok ..." or the errno's name. */
#include "kt.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t parse(const char *ip, const char *port, union addr *a)
{
	memset(a, 0, sizeof(*a));
	if (strchr(ip, ':')) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)strtoul(port, NULL, 10));
		if (inet_pton(AF_INET6, ip, &a->v6.sin6_addr) != 1)
			return 0;
		return sizeof(a->v6);
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (inet_pton(AF_INET, ip, &a->v4.sin_addr) != 1)
		return 0;
	return sizeof(a->v4);
}

static int number(const char *s)
{
	return (int)strtol(s, NULL, 0);
}

static int fail(int err)
{
	printf("%s\n", strerrorname_np(err));
	return 1;
}

static int print_peer(int fd)
{
	union addr a;
	socklen_t len = sizeof(a);
	char ip[INET6_ADDRSTRLEN];

	if (getpeername(fd, &a.sa, &len) < 0)
		return fail(errno);
	if (a.sa.sa_family == AF_INET6)
		printf("ok %s %u\n", inet_ntop(AF_INET6, &a.v6.sin6_addr, ip, sizeof(ip)),
		       ntohs(a.v6.sin6_port));
	else
		printf("ok %s %u\n", inet_ntop(AF_INET, &a.v4.sin_addr, ip, sizeof(ip)),
		       ntohs(a.v4.sin_port));
	return 0;
}

/* connect FLAVOUR IP PORT */
static int do_connect(const char *how, const char *ip, const char *port)
{
	bool nonblock = strcmp(how, "nonblock") == 0, tfo = strcmp(how, "tfo") == 0;
	int type = strcmp(how, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
	int proto = strcmp(how, "mptcp") == 0 ? 262 : 0;
	union addr a;
	socklen_t len = parse(ip, port, &a);
	int fd, r;

	fd = socket(a.sa.sa_family, type | (nonblock ? SOCK_NONBLOCK : 0), proto);
	if (fd < 0)
		return fail(errno);
	if (strcmp(how, "bound") == 0) {
		union addr b = { .v4 = { .sin_family = AF_INET } };

		b.v4.sin_addr.s_addr = inet_addr("127.0.0.1");
		if (bind(fd, &b.sa, sizeof(b.v4)) < 0)
			return fail(errno);
	}
	if (strcmp(how, "tfoconnect") == 0)
		(void)setsockopt(fd, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, &(int){ 1 }, 4);
	if (tfo)
		r = (int)sendto(fd, "x", 1, MSG_FASTOPEN, &a.sa, len);
	else
		r = connect(fd, &a.sa, len);
	if (r >= 0 && strcmp(how, "tfoconnect") == 0)
		r = (int)send(fd, "x", 1, MSG_NOSIGNAL);
	if (r < 0 && nonblock && errno == EINPROGRESS) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		socklen_t n = sizeof(r);

		(void)poll(&p, 1, 5000);
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &r, &n);
		if (r)
			return fail(r);
	}
	if (r < 0)
		return fail(errno);
	return print_peer(fd);
}

/* again IP PORT IP PORT: one socket, dissolved by AF_UNSPEC in between */
static int do_again(char **v)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	union addr a;
	socklen_t len = parse(v[0], v[1], &a);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);

	if (connect(fd, &a.sa, len) < 0)
		return fail(errno);
	(void)connect(fd, &none, sizeof(none));
	len = parse(v[2], v[3], &a);
	if (connect(fd, &a.sa, len) < 0)
		return fail(errno);
	return print_peer(fd);
}

/* ask IP PORT: datagram, unconnected; prints where the answer seems to come from */
static int do_ask(const char *ip, const char *port, bool connected)
{
	union addr a, from;
	socklen_t len = parse(ip, port, &a), n = sizeof(from);
	struct timeval tv = { .tv_sec = 5 };
	char buf[64], text[INET6_ADDRSTRLEN];
	ssize_t got;
	int fd = socket(a.sa.sa_family, SOCK_DGRAM, 0);

	if (fd < 0)
		return fail(errno);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connected && connect(fd, &a.sa, len) < 0)
		return fail(errno);
	if ((connected ? send(fd, "q", 1, 0) : sendto(fd, "q", 1, 0, &a.sa, len)) < 0)
		return fail(errno);
	got = recvfrom(fd, buf, sizeof(buf), 0, &from.sa, &n);
	if (got < 0)
		return fail(errno);
	if (from.sa.sa_family == AF_INET6)
		printf("ok %s %u\n", inet_ntop(AF_INET6, &from.v6.sin6_addr, text, sizeof(text)),
		       ntohs(from.v6.sin6_port));
	else
		printf("ok %s %u\n", inet_ntop(AF_INET, &from.v4.sin_addr, text, sizeof(text)),
		       ntohs(from.v4.sin_port));
	return 0;
}

static int do_socket(char **v)
{
	int fd = socket(number(v[0]), number(v[1]), number(v[2]));

	return fd < 0 ? fail(errno) : (puts("ok"), 0);
}

static int do_setsockopt(char **v)
{
	int fd = socket(number(v[0]), SOCK_STREAM, 0), zero[8] = { 0 };

	if (fd < 0)
		return fail(errno);
	if (setsockopt(fd, number(v[1]), number(v[2]), zero, sizeof(zero)) < 0)
		return fail(errno);
	puts("ok");
	return 0;
}

static int do_bind(char **v)
{
	union addr a;
	socklen_t len = parse(v[1], v[2], &a);
	int fd = socket(a.sa.sa_family, strcmp(v[0], "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM, 0);

	if (fd < 0)
		return fail(errno);
	if (bind(fd, &a.sa, len) < 0)
		return fail(errno);
	puts("ok");
	return 0;
}

/* A server and a client inside the sandbox. */
static int do_loopback(const char *ip)
{
	union addr a;
	socklen_t len = parse(ip, "0", &a), n = sizeof(a);
	int s = socket(a.sa.sa_family, SOCK_STREAM, 0), c = socket(a.sa.sa_family, SOCK_STREAM, 0);

	if (bind(s, &a.sa, len) < 0 || listen(s, 1) < 0 || getsockname(s, &a.sa, &n) < 0 ||
	    connect(c, &a.sa, n) < 0 || accept(s, NULL, NULL) < 0)
		return fail(errno);
	puts("ok");
	return 0;
}

static void *connect_thread(void *arg)
{
	char **v = arg;

	return (void *)(intptr_t)do_connect("plain", v[0], v[1]);
}

static int do_thread(char **v)
{
	pthread_t t;
	void *r;

	if (pthread_create(&t, NULL, connect_thread, v) || pthread_join(t, &r))
		return fail(EAGAIN);
	return (int)(intptr_t)r;
}

/* fork, and in the child exec the rest of the line */
static int do_spawn(char **v)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)execv(v[0], v);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0)
		return fail(errno);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* orphan: the child outlives its parent and is adopted before it execs */
static int do_orphan(char **v)
{
	pid_t pid, parent = getpid();

	pid = fork();
	if (pid > 0)
		_exit(0);
	while (getppid() == parent)
		(void)sched_yield();
	(void)execv(v[0], v);
	return 127;
}

/* memfd FILE ARGS: run a copy of FILE from memory */
static int do_memfd(char **v)
{
	extern char **environ;
	int in = open(v[0], O_RDONLY), fd = memfd_create("x", MFD_CLOEXEC);
	char buf[65536];
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			return fail(errno);
	(void)syscall(SYS_execveat, fd, "", v, environ, AT_EMPTY_PATH);
	return fail(errno);
}

/* map FILE, executable, then connect */
static int do_map(char **v)
{
	int fd = open(v[0], O_RDONLY);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (p == MAP_FAILED)
		return fail(errno);
	return do_connect("plain", v[1], v[2]);
}

int kt_client_main(int argc, char **argv)
{
	char **v = argv + 1;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2)
		return 2;
	if (strcmp(argv[0], "connect") == 0 && argc == 4)
		return do_connect(v[0], v[1], v[2]);
	if (strcmp(argv[0], "again") == 0 && argc == 5)
		return do_again(v);
	if (strcmp(argv[0], "ask") == 0 && argc == 3)
		return do_ask(v[0], v[1], false);
	if (strcmp(argv[0], "askconn") == 0 && argc == 3)
		return do_ask(v[0], v[1], true);
	if (strcmp(argv[0], "socket") == 0 && argc == 4)
		return do_socket(v);
	if (strcmp(argv[0], "setsockopt") == 0 && argc == 4)
		return do_setsockopt(v);
	if (strcmp(argv[0], "bind") == 0 && argc == 4)
		return do_bind(v);
	if (strcmp(argv[0], "loopback") == 0)
		return do_loopback(v[0]);
	if (strcmp(argv[0], "thread") == 0 && argc == 3)
		return do_thread(v);
	if (strcmp(argv[0], "spawn") == 0)
		return do_spawn(v);
	if (strcmp(argv[0], "orphan") == 0)
		return do_orphan(v);
	if (strcmp(argv[0], "exec") == 0) {
		(void)execv(v[0], v);
		return fail(errno);
	}
	if (strcmp(argv[0], "memfd") == 0)
		return do_memfd(v);
	if (strcmp(argv[0], "map") == 0 && argc == 4)
		return do_map(v);
	if (strcmp(argv[0], "unlink") == 0) {
		/* remove our own file, then connect: the name is gone, the identity is not */
		if (unlink(kt_self()) < 0)
			return fail(errno);
		return do_connect("plain", v[0], v[1]);
	}
	return 2;
}
