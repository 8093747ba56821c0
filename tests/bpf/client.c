/* SPDX-License-Identifier: MIT */
/* What runs inside the sandbox: "kt client VERB ARGS". Prints "ok ..." or the errno's name. */
#include "kt.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

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

/* clash N: connects that fail after every hook has said yes: their port is taken */
static int do_clash(char **v)
{
	union addr from, a;
	socklen_t len = parse("0.0.0.0", "0", &from), alen = parse("10.1.1.1", "80", &a);
	int i, n = number(v[0]), one = 1, fds[2];
	unsigned int taken = 0;

	for (i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		(void)setsockopt(fds[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fds[i], &from.sa, len) < 0 || getsockname(fds[i], &from.sa, &len) < 0)
			return fail(errno);
	}
	if (connect(fds[0], &a.sa, alen) < 0)
		return fail(errno);
	for (i = 0; i < n; i++)
		taken += connect(fds[1], &a.sa, alen) < 0 && errno == EADDRNOTAVAIL;
	printf("ok %u\n", taken);
	return 0;
}

static unsigned int mark_of(int fd)
{
	unsigned int mark = 0;
	socklen_t len = sizeof(mark);

	(void)getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len);
	return mark;
}

/* marks IP PORT: redirected, then dissolved and led to a server in the sandbox */
static int do_marks(char **v)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	union addr a, own;
	socklen_t len = parse(v[0], v[1], &a), n = parse("127.0.0.1", "0", &own);
	int server = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), got,
	    seven = 7;
	unsigned int first;

	if (bind(server, &own.sa, n) < 0 || listen(server, 1) < 0 ||
	    getsockname(server, &own.sa, &n) < 0 || connect(fd, &a.sa, len) < 0)
		return fail(errno);
	first = mark_of(fd);
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &seven, sizeof(seven)) == 0 || errno != EPERM)
		return fail(errno);
	(void)connect(fd, &none, sizeof(none));
	if (connect(fd, &own.sa, n) < 0)
		return fail(errno);
	got = accept(server, NULL, NULL);
	printf("ok %d %u %u\n", first != 0, mark_of(fd), mark_of(got));
	return 0;
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

/* protect|pkey FILE: made executable after mapping, in one call with an anonymous page before it */
static int do_protect(char **v, bool pkey)
{
	int fd = open(v[0], O_RDONLY), rx = PROT_READ | PROT_EXEC;
	char *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED ||
	    mmap(p + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
		return fail(errno);
	if (pkey ? syscall(SYS_pkey_mprotect, p, 8192, rx, -1) < 0 : mprotect(p, 8192, rx) < 0)
		return fail(errno);
	return do_connect("plain", v[1], v[2]);
}

/* exec by a thread that is not the first: the process keeps its id */
static void *exec_thread(void *arg)
{
	char **v = arg;

	(void)execv(v[0], v);
	return NULL;
}

static int do_thread_exec(char **v)
{
	pthread_t t;

	if (pthread_create(&t, NULL, exec_thread, v) == 0)
		(void)pthread_join(t, NULL);
	return fail(EAGAIN);
}

/* deep N DIR BASE IP PORT: N executables, each started by the one before, then connect */
static int do_deep(char **v)
{
	char path[256], left[16];
	char *argv[] = {
		path, (char[]){ "client" }, (char[]){ "deep" }, left, v[1], v[2], v[3], v[4], NULL
	};
	int n = number(v[0]);

	if (n == 0)
		return do_connect("plain", v[3], v[4]);
	(void)snprintf(path, sizeof(path), "%s/deep%d", v[1], n);
	(void)snprintf(left, sizeof(left), "%d", n - 1);
	if (link(v[2], path) < 0 && errno != EEXIST)
		return fail(errno);
	(void)execv(path, argv);
	return fail(errno);
}

/* A network namespace of our own, or (FILE) somebody else's. */
static int do_elsewhere(char **v, bool own)
{
	int fd = own ? -1 : open(v[0], O_RDONLY);

	if (own ? unshare(CLONE_NEWNET) < 0 : setns(fd, CLONE_NEWNET) < 0)
		return fail(errno);
	return do_connect("plain", v[own ? 0 : 1], v[own ? 1 : 2]);
}

/* many N DIR BASE: start BASE under N different names, one after the other */
static int do_many(char **v)
{
	char path[256], *argv[] = { path, (char[]){ "client" }, (char[]){ "nop" }, NULL };
	int i, n = number(v[0]), status;
	pid_t pid;

	for (i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/many%d", v[1], i);
		if (link(v[2], path) < 0)
			return fail(errno);
		pid = fork();
		if (pid == 0) {
			(void)execv(path, argv);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			return fail(ECHILD);
		(void)unlink(path);
	}
	puts("ok");
	return 0;
}

/* The child is traced by us when it execs and connects. */
static int do_traced(char **v)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)execv(v[0], v);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
		(void)ptrace(
			PTRACE_CONT, pid, NULL,
			(void *)(uintptr_t)(WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/*
 * What this process's memory map looks like, for PR_SET_MM_MAP: numbers 26 to 28 and 45 to 51 of
 * /proc/self/stat.
 */
static int own_mm_map(struct prctl_mm_map *map)
{
	unsigned long v[64] = { 0 };
	char text[2048], *p, *save = NULL;
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = 3;

	if (!f || !fgets(text, sizeof(text), f) || !(p = strrchr(text, ')')))
		return -1;
	(void)fclose(f); /* read only */
	for (p = strtok_r(p + 2, " ", &save); p && n < 64; p = strtok_r(NULL, " ", &save))
		v[n++] = strtoul(p, NULL, 10);
	*map = (struct prctl_mm_map){ .start_code = v[26],
				      .end_code = v[27],
				      .start_stack = v[28],
				      .start_data = v[45],
				      .end_data = v[46],
				      .start_brk = v[47],
				      .brk = (uintptr_t)sbrk(0),
				      .arg_start = v[48],
				      .arg_end = v[49],
				      .env_start = v[50],
				      .env_end = v[51] };
	return 0;
}

/*
 * Become FILE for whoever looks at mm->exe_file: move our own image to anonymous memory, then name
 * another file as ours.
 */
static int do_spoof(char **v)
{
	struct map {
		char *from;
		size_t size;
		int prot;
	} maps[32];
	char line[512], perms[8];
	unsigned long from, to;
	struct prctl_mm_map map;
	size_t n = 0, i;
	int fd, mem;
	FILE *f;

	f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f) && n < OSH_ARRAY_SIZE(maps)) {
		if (!strstr(line, kt_self()) || sscanf(line, "%lx-%lx %7s", &from, &to, perms) != 3)
			continue;
		maps[n++] = (struct map){ (char *)from, to - from,
					  (perms[0] == 'r' ? PROT_READ : 0) |
						  (perms[1] == 'w' ? PROT_WRITE : 0) |
						  (perms[2] == 'x' ? PROT_EXEC : 0) };
	}
	/* the kernel copies: in a sanitizer build no memcpy() may cross the image's red zones */
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return fail(errno);
	for (i = 0; i < n; i++) {
		char *copy = mmap(NULL, maps[i].size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (copy == MAP_FAILED)
			return fail(errno);
		if (pread(mem, copy, maps[i].size, (off_t)(uintptr_t)maps[i].from) !=
		    (ssize_t)maps[i].size)
			return fail(EIO);
		if (mprotect(copy, maps[i].size, maps[i].prot) < 0 ||
		    mremap(copy, maps[i].size, maps[i].size, MREMAP_MAYMOVE | MREMAP_FIXED,
			   maps[i].from) == MAP_FAILED)
			return fail(errno);
	}
	fd = open(v[0], O_RDONLY);
	if (own_mm_map(&map) < 0 || unshare(CLONE_NEWUSER) < 0)
		return fail(errno);
	map.exe_fd = (uint32_t)fd;
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) < 0)
		return fail(errno);
	return do_connect("plain", v[1], v[2]);
}

/* A datagram over loopback with a destination option: an extension header. */
static int do_exthdr(void)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	union {
		char buf[CMSG_SPACE(8)];
		struct cmsghdr align;
	} c = { { 0 } };
	struct iovec iov = { .iov_base = (char[]){ "x" }, .iov_len = 1 };
	struct msghdr m = { .msg_name = &to,
			    .msg_namelen = sizeof(to),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &c,
			    .msg_controllen = sizeof(c) };
	static const unsigned char opts[8] = { 0, 0, 1, 4, 0, 0, 0, 0 }; /* PadN */
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	to.sin6_addr = in6addr_loopback;
	CMSG_FIRSTHDR(&m)->cmsg_level = IPPROTO_IPV6;
	CMSG_FIRSTHDR(&m)->cmsg_type = IPV6_DSTOPTS;
	CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(8);
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), opts, 8);
	if (sendmsg(fd, &m, 0) < 0)
		return fail(errno);
	puts("ok");
	return 0;
}

/* hammer SECONDS IP PORT: connect until time is up; says how often, and how often in vain */
static int do_hammer(char **v)
{
	unsigned long ok = 0, refused = 0;
	union addr a;
	socklen_t len = parse(v[1], v[2], &a);
	time_t end = time(NULL) + number(v[0]);
	struct linger now = { .l_onoff = 1 };

	while (time(NULL) < end) {
		int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);

		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		if (connect(fd, &a.sa, len) == 0)
			ok++;
		else if (errno == ECONNREFUSED)
			refused++;
		else
			return fail(errno);
		(void)close(fd);
	}
	printf("ok %lu refused %lu\n", ok, refused);
	return 0;
}

/*
 * reuse N: connections that try to be taken for each other: few source ports shared by all
 * processes, resets, connects given up at once, fast open. Those that live long enough say who they
 * are: struct kt_claim.
 */
static int do_reuse(char **v)
{
	unsigned int n = (unsigned int)number(v[0]), i;
	unsigned int seed = (unsigned int)getpid();
	struct linger now = { .l_onoff = 1 };

	for (i = 0; i < n; i++) {
		struct kt_claim claim = { .tgid = (uint32_t)getpid() };
		union addr a = { .v4 = { .sin_family = AF_INET } };
		unsigned int how;
		int fd, one = 1;

		seed = seed * 1103515245 + 12345;
		how = seed >> 16;
		fd = socket(AF_INET, SOCK_STREAM | (how & 1 ? SOCK_NONBLOCK : 0), 0);
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (how & 2)
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		a.v4.sin_port = htons((uint16_t)(20000 + (how >> 2) % 32));
		a.v4.sin_addr.s_addr = inet_addr("127.0.0.1");
		(void)bind(fd, &a.sa, sizeof(a.v4)); /* taken: any other port */
		claim.ip_be = htonl(0x0a000000 | (seed >> 8));
		claim.port = (uint16_t)(1024 + (i & 0x7fff));
		a.v4.sin_port = htons((uint16_t)claim.port);
		a.v4.sin_addr.s_addr = claim.ip_be;
		if ((how & 0x300) == 0x300) {
			(void)sendto(fd, &claim, sizeof(claim), MSG_FASTOPEN | MSG_NOSIGNAL, &a.sa,
				     sizeof(a.v4));
		} else {
			(void)connect(fd, &a.sa, sizeof(a.v4));
			if (how & 0x400)
				(void)send(fd, &claim, sizeof(claim), MSG_NOSIGNAL);
		}
		(void)close(fd);
	}
	puts("ok");
	return 0;
}

/*
 * unix TYPE HOW PATH: reach a Unix socket; how: connect, or send (without connecting). "self" binds
 * PATH first, so that both ends are ours.
 */
static int do_unix(int argc, char **v)
{
	int type = strcmp(v[0], "stream") == 0	 ? SOCK_STREAM
		   : strcmp(v[0], "packet") == 0 ? SOCK_SEQPACKET
						 : SOCK_DGRAM;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0), server = socket(AF_UNIX, type, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", v[2]);
	if (argc == 4 && (bind(server, (struct sockaddr *)&a, sizeof(a)) < 0 ||
			  (type != SOCK_DGRAM && listen(server, 1) < 0)))
		return fail(errno);
	if (strcmp(v[1], "send") == 0) {
		if (sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)) < 0)
			return fail(errno);
	} else if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || send(fd, "x", 1, 0) < 0) {
		return fail(errno);
	}
	puts("ok");
	return 0;
}

/* hold N IP PORT: start N connections, say how many the fence let pass, and keep them. */
static int do_hold(char **v)
{
	struct rlimit files = { 8192, 8192 };
	int n = (int)number(v[0]), held = 0;
	union addr a;
	socklen_t len = parse(v[1], v[2], &a);

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return fail(errno);
	for (int i = 0; i < n; i++) {
		int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		if (fd < 0)
			return fail(errno);
		held += connect(fd, &a.sa, len) == 0 || errno == EINPROGRESS;
	}
	printf("held %d\n", held);
	(void)pause();
	return 0;
}

int kt_client_main(int argc, char **argv)
{
	char **v = argv + 1;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 1)
		return 2;
	if (strcmp(argv[0], "connect") == 0 && argc == 4)
		return do_connect(v[0], v[1], v[2]);
	if (strcmp(argv[0], "again") == 0 && argc == 5)
		return do_again(v);
	if (strcmp(argv[0], "clash") == 0 && argc == 2)
		return do_clash(v);
	if (strcmp(argv[0], "marks") == 0 && argc == 3)
		return do_marks(v);
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
	if ((strcmp(argv[0], "protect") == 0 || strcmp(argv[0], "pkey") == 0) && argc == 4)
		return do_protect(v, argv[0][1] == 'k');
	if (strcmp(argv[0], "threadexec") == 0)
		return do_thread_exec(v);
	if (strcmp(argv[0], "deep") == 0 && argc == 6)
		return do_deep(v);
	if (strcmp(argv[0], "many") == 0 && argc == 4)
		return do_many(v);
	if (strcmp(argv[0], "newnet") == 0 && argc == 3)
		return do_elsewhere(v, true);
	if (strcmp(argv[0], "setns") == 0 && argc == 4)
		return do_elsewhere(v, false);
	if (strcmp(argv[0], "hold") == 0 && argc == 4)
		return do_hold(v);
	if (strcmp(argv[0], "unix") == 0 && argc >= 4)
		return do_unix(argc - 1, v);
	if (strcmp(argv[0], "nop") == 0)
		return 0;
	if (strcmp(argv[0], "traced") == 0)
		return do_traced(v);
	if (strcmp(argv[0], "spoof") == 0 && argc == 4)
		return do_spoof(v);
	if (strcmp(argv[0], "exthdr") == 0)
		return do_exthdr();
	if (strcmp(argv[0], "hammer") == 0 && argc == 4)
		return do_hammer(v);
	if (strcmp(argv[0], "reuse") == 0)
		return do_reuse(v);
	if (strcmp(argv[0], "unlink") == 0) {
		/* remove our own file, then connect: the name is gone, the identity is not */
		if (unlink(kt_self()) < 0)
			return fail(errno);
		return do_connect("plain", v[0], v[1]);
	}
	return 2;
}
