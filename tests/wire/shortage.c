/* SPDX-License-Identifier: MIT */
/*
 * What the host can run out of, and what its network can refuse: descriptors, memory, ports, routes, the
 * listener's queue. In a network namespace of its own the real thing; else the system call of the
 * proxy process is made to fail. Each time: the client is told, nobody spins, the log says so, and
 * afterwards all is well.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

enum call { NOTHING = 0, ACCEPT, SOCKET, CONNECT, EPOLL_ADD };

/* Shared with the proxy process. */
static struct {
	int pid;
	enum call call;
	int error;
	unsigned int left, failed;
} * fault;

static struct harness *h;
static unsigned int passed, failed, skipped;
static const char *what;
static int origin_fd, log_fd;
static uint16_t origin_port;
static char got[4096];

/* ---- system calls that fail on demand ---- */

static bool fails(enum call call)
{
	if (!fault || fault->call != call || !fault->left || fault->pid != getpid())
		return false;
	fault->left--;
	fault->failed++;
	errno = fault->error;
	return true;
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return fails(ACCEPT) ? -1 : (int)syscall(SYS_accept4, fd, addr, len, flags);
}

int socket(int domain, int type, int protocol)
{
	return fails(SOCKET) ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return fails(CONNECT) ? -1 : (int)syscall(SYS_connect, fd, addr, len);
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_ADD && fails(EPOLL_ADD))
		return -1;
	return (int)syscall(SYS_epoll_ctl, ep, op, fd, ev);
}

static void arm(enum call call, int error, unsigned int times)
{
	fault->left = 0;
	fault->call = call;
	fault->error = error;
	fault->failed = 0;
	fault->left = times;
}

static void disarm(void)
{
	fault->left = 0;
}

/* ---- helpers ---- */

static void check(bool ok, const char *promise)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s: %s; last read: \"%s\"\n", what, promise, got);
	harness_events_print(h);
}

static void begin(const char *name)
{
	char config[1024];

	what = name;
	got[0] = '\0';
	snprintf(config, sizeof(config),
		 "{\"hosts\":{\"raw.test\":\"127.0.0.1:%u\",\"full.test\":\"192.0.2.1\"},"
		 "\"resolvers\":[\"127.0.0.1:1\"]}",
		 origin_port);
	if (ftruncate(log_fd, 0) < 0)
		die("log");
	h = harness_start(config);
	harness_policy(h, "tests/wire/policies/limits.yaml");
	fault->pid = harness_proxy_pid(h);
}

static void end(void)
{
	disarm();
	harness_stop(h);
	for (int fd; (fd = tcp_accept(origin_fd, 0)) >= 0;)
		close(fd);
}

/* The proxy has written this to its log, or does so soon. */
static bool logged(const char *text)
{
	static char log[1 << 16];

	for (int i = 0; i < 300; i++) {
		ssize_t n = pread(log_fd, log, sizeof(log) - 1, 0);

		log[n < 0 ? 0 : n] = '\0';
		if (strstr(log, text))
			return true;
		(void)poll(NULL, 0, 10);
	}
	return false;
}

static bool hear(int fd, const char *until)
{
	size_t have = 0;
	ssize_t n;

	for (;;) {
		got[have] = '\0';
		if (until && strstr(got, until))
			return true;
		n = recv(fd, got + have, sizeof(got) - 1 - have, 0);
		if (n <= 0)
			return !until && !(n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
		have += (size_t)n;
	}
}

static void say_connect(int fd, const char *host)
{
	char head[256];

	snprintf(head, sizeof(head), "CONNECT %s:7000 HTTP/1.1\r\nHost: %s\r\n\r\n", host, host);
	(void)send(fd, head, strlen(head), MSG_NOSIGNAL);
}

static bool answered(int fd, const char *status, const char *text)
{
	char line[64];

	if (!hear(fd, *text ? NULL : "\r\n\r\n"))
		return false;
	snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	return !strncmp(got, line, strlen(line)) && strstr(got, text);
}

static int accepted(void)
{
	uint64_t before = harness_stat(h, "accepted");
	int fd = harness_connect(h);

	for (int i = 0; i < 500 && harness_stat(h, "accepted") == before; i++)
		(void)poll(NULL, 0, 2);
	return fd;
}

static void all_is_well(void)
{
	int fd, o;

	disarm();
	harness_explicit(h, 1);
	fd = harness_connect(h);
	say_connect(fd, "raw.test");
	check(answered(fd, "200", ""), "afterwards all is well");
	o = tcp_accept(origin_fd, 3000);
	check(o >= 0, "and the upstream is reached");
	close(fd);
	close(o);
	check(harness_quiet(h, 3000), "nothing is left");
}

/* ---- accepting ---- */

static void lasting_at_accept(const char *name, int error, const char *line)
{
	unsigned int before;
	int fd;

	begin(name);
	harness_explicit(h, 1);
	arm(ACCEPT, error, 1000000);
	fd = harness_connect(h);
	say_connect(fd, "raw.test");
	for (int i = 0; i < 500 && fault->failed < 4; i++)
		(void)poll(NULL, 0, 10);
	before = fault->failed;
	check(before >= 4, "it is tried again");
	(void)poll(NULL, 0, 500);
	check(fault->failed - before < 100, "without spinning");
	check(logged(line), "the log says so");
	disarm();
	check(answered(fd, "200", ""), "who waited in the queue is served");
	close(fd);
	close(tcp_accept(origin_fd, 3000));
	all_is_well();
	end();
}

static void of_one_at_accept(const char *name, int error)
{
	int fd;

	begin(name);
	harness_explicit(h, 1);
	arm(ACCEPT, error, 7);
	fd = harness_connect(h);
	say_connect(fd, "raw.test");
	check(answered(fd, "200", ""), "the next one is served");
	check(fault->failed == 7, "it failed before");
	close(fd);
	close(tcp_accept(origin_fd, 3000));
	all_is_well();
	end();
}

static int count_files(int pid)
{
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2;
}

/* The real thing: the client is told at once, by the descriptor that was kept for it. */
static void out_of_files(void)
{
	struct rlimit was, now;
	int fd, o;

	begin("RLIMIT_NOFILE");
	harness_explicit(h, 1);
	(void)prlimit(harness_proxy_pid(h), RLIMIT_NOFILE, NULL, &was);
	now = was;
	now.rlim_cur = (rlim_t)count_files(harness_proxy_pid(h));
	(void)prlimit(harness_proxy_pid(h), RLIMIT_NOFILE, &now, NULL);
	for (int i = 0; i < 3; i++) {
		fd = harness_connect(h);
		say_connect(fd, "raw.test");
		check(hear(fd, NULL) && !got[0], "reset at once");
		close(fd);
	}
	check(logged("out of descriptors (Too many open files)"), "the log says so");
	/* room for the client, none for its upstream */
	now.rlim_cur++;
	(void)prlimit(harness_proxy_pid(h), RLIMIT_NOFILE, &now, NULL);
	fd = accepted();
	say_connect(fd, "raw.test");
	check(answered(fd, "503", "Too many open files"), "503 for lack of one at the dial");
	check(harness_event(h, OSH_REC_UPSTREAM, -1, OSH_REASON_LIMIT, 2000, NULL), "and an event");
	close(fd);
	(void)prlimit(harness_proxy_pid(h), RLIMIT_NOFILE, &was, NULL);
	fd = harness_connect(h);
	say_connect(fd, "raw.test");
	check(answered(fd, "200", ""), "then a tunnel");
	o = tcp_accept(origin_fd, 3000);
	close(fd);
	close(o);
	all_is_well();
	end();
}

static void epoll_at_accept(const char *name, int error)
{
	int fd;

	begin(name);
	harness_explicit(h, 1);
	arm(EPOLL_ADD, error, 1);
	fd = harness_connect(h);
	say_connect(fd, "raw.test");
	check(hear(fd, NULL) && !got[0], "closed at once");
	close(fd);
	check(harness_stat(h, "shed") == 1, "counted");
	check(logged("out of memory for connections"), "the log says so");
	all_is_well();
	end();
}

/* ---- dialling ---- */

static void at_dial(const char *name, enum call call, int error, bool ours)
{
	const char *why = strerror(error == EAGAIN ? ENOBUFS : error);
	int fd;

	begin(name);
	harness_explicit(h, 1);
	fd = accepted();
	arm(call, error, 1);
	say_connect(fd, "raw.test");
	check(answered(fd, ours ? "503" : "502", why), "the client is told why");
	check(strstr(got, ours ? "\"overloaded\"" : "\"upstream_unreachable\"") != NULL,
	      "by a word for programs, too");
	close(fd);
	check(harness_event(h, OSH_REC_UPSTREAM, OSH_REC_NOTE,
			    ours ? OSH_REASON_LIMIT : OSH_REASON_UPSTREAM_UNREACHABLE, 2000, NULL),
	      "the event says so");
	harness_events_clear(h);
	harness_transparent(h, 1, "raw.test", 7000);
	arm(call, error, 1);
	fd = harness_connect(h);
	check(hear(fd, NULL) && !got[0], "who was captured is reset");
	close(fd);
	check(harness_event(h, OSH_REC_UPSTREAM, OSH_REC_NOTE,
			    ours ? OSH_REASON_LIMIT : OSH_REASON_UPSTREAM_UNREACHABLE, 2000, NULL),
	      "with an event");
	all_is_well();
	end();
}

static void at_lookup(const char *name, int error)
{
	int fd;

	begin(name);
	harness_explicit(h, 1);
	fd = accepted();
	arm(SOCKET, error, 1000);
	say_connect(fd, "unknown.test");
	check(answered(fd, "502", "no resolver gave a usable answer"), "the client is told");
	check(harness_event(h, OSH_REC_UPSTREAM, -1, OSH_REASON_DNS_FAILED, 2000, NULL),
	      "the event says so");
	close(fd);
	all_is_well();
	end();
}

/* ---- the real thing, in a network of our own ---- */

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

static bool route(const char *kind)
{
	char *argv[] = { (char *)"ip", (char *)"route",	       (char *)"replace",
			 (char *)kind, (char *)"192.0.2.0/24", NULL },
	     *env[] = { (char *)"PATH=/usr/sbin:/sbin:/usr/bin:/bin", NULL };
	int status = 1;
	pid_t pid;

	return !posix_spawnp(&pid, "ip", NULL, NULL, argv, env) &&
	       waitpid(pid, &status, 0) == pid && !status;
}

static void no_route(const char *kind, int error)
{
	int fd;

	begin(kind);
	if (strcmp(kind, "no route") != 0 && !route(kind)) {
		printf("note: no %s route here\n", kind);
		skipped++;
		end();
		return;
	}
	harness_explicit(h, 1);
	fd = accepted();
	say_connect(fd, "full.test");
	check(answered(fd, "502", strerror(error)) && strstr(got, strerror(error)) &&
		      strstr(got, "\"upstream_unreachable\""),
	      strerror(error));
	check(harness_event(h, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_UPSTREAM_UNREACHABLE,
			    2000, NULL),
	      "the event says so");
	close(fd);
	all_is_well();
	end();
}

static void reset(int fd)
{
	const struct linger rst = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

/* A client whose own port is outside of the range that is used up. */
static int outside(unsigned int i)
{
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)(20000 + i)),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(harness_port(h)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval tv = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("port %u: %s", 20000 + i, strerror(errno));
	return fd;
}

static void out_of_ports(void)
{
	enum { PORTS = 8 };
	int fd[PORTS + 1], o[PORTS], n = 0;

	begin("ip_local_port_range");
	if (!put("/proc/sys/net/ipv4/ip_local_port_range", "30000 30007")) {
		printf("note: the range of ports cannot be changed here\n");
		skipped++;
		end();
		return;
	}
	harness_explicit(h, 1);
	for (got[0] = '\0'; n < PORTS + 1; n++) {
		fd[n] = outside((unsigned int)n);
		say_connect(fd[n], "raw.test");
		if (!hear(fd[n], "\r\n\r\n") || strncmp(got, "HTTP/1.1 200 ", 13) != 0) {
			check(!strncmp(got, "HTTP/1.1 503 ", 13), "then 503");
			break;
		}
		o[n] = tcp_accept(origin_fd, 3000);
	}
	check(n > 0 && n <= PORTS, "a tunnel for each port");
	check(harness_event(h, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_LIMIT, 2000, NULL),
	      "and an event");
	close(fd[n]);
	reset(o[0]);
	check(hear(fd[0], NULL), "one ends");
	close(fd[0]);
	fd[0] = outside(PORTS + 1);
	say_connect(fd[0], "raw.test");
	check(answered(fd[0], "200", ""), "another takes its port");
	o[0] = tcp_accept(origin_fd, 3000);
	for (int i = 0; i < n; i++) {
		reset(o[i]);
		close(fd[i]);
	}
	(void)put("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999");
	all_is_well();
	end();
}

static unsigned long overflows(void)
{
	static char text[1 << 16];
	int fd = open("/proc/self/net/netstat", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	char *names = text, *values, *a, *b;

	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	values = strchr(names, '\n');
	if (!values)
		return 0;
	*values++ = '\0';
	while ((a = strsep(&names, " ")) && (b = strsep(&values, " \n")))
		if (!strcmp(a, "ListenOverflows"))
			return strtoul(b, NULL, 10);
	return 0;
}

/* More than the queue holds while the proxy does not accept: all of them are served afterwards. */
static void queue_overflows(void)
{
	enum { N = 1400 }; /* the harness's listener has room for 1,024 */
	static int fd[N];
	struct rlimit files;
	unsigned int served = 0;

	begin("listener's queue");
	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	harness_explicit(h, 1);
	(void)kill(harness_proxy_pid(h), SIGSTOP);
	for (int i = 0; i < N; i++) {
		struct sockaddr_in to = { .sin_family = AF_INET,
					  .sin_port = htons(harness_port(h)),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd[i] < 0)
			die("socket: %s", strerror(errno));
		(void)connect(fd[i], (struct sockaddr *)&to, sizeof(to));
	}
	(void)kill(harness_proxy_pid(h), SIGCONT);
	for (int i = 0; i < N; i++) {
		struct pollfd p = { .fd = fd[i], .events = POLLOUT };

		if (poll(&p, 1, 20000) == 1)
			say_connect(fd[i], "evil.test");
	}
	for (int i = 0; i < N; i++) {
		struct pollfd p = { .fd = fd[i], .events = POLLIN };
		char first[16];

		if (poll(&p, 1, 20000) == 1 && recv(fd[i], first, 12, 0) == 12 &&
		    !memcmp(first, "HTTP/1.1 403", 12))
			served++;
		close(fd[i]);
	}
	snprintf(got, sizeof(got), "%u of %u, %lu overflows", served, N, overflows());
	check(overflows() > 0, "the queue was full");
	check(served == N, "all are served");
	all_is_well();
	end();
}

int main(void)
{
	bool own = own_network();

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	fault = mmap(NULL, sizeof(*fault), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	log_fd = memfd_create("log", 0);
	if (fault == MAP_FAILED || log_fd < 0 || fcntl(log_fd, F_SETFL, O_APPEND) < 0)
		die("set-up");
	(void)fflush(stderr);
	if (dup2(log_fd, STDERR_FILENO) < 0)
		die("stderr");
	origin_fd = tcp_listen(&origin_port);
	lasting_at_accept("accept: EMFILE", EMFILE, "out of descriptors (Too many open files)");
	lasting_at_accept("accept: ENFILE", ENFILE, "this host is out of descriptors");
	lasting_at_accept("accept: ENOMEM", ENOMEM, "out of memory for connections");
	lasting_at_accept("accept: ENOBUFS", ENOBUFS, "out of memory for connections");
	lasting_at_accept("accept: EINVAL", EINVAL, "connections cannot be accepted");
	lasting_at_accept("accept: EPERM for good", EPERM, "connections cannot be accepted");
	of_one_at_accept("accept: ECONNABORTED", ECONNABORTED);
	of_one_at_accept("accept: EPROTO", EPROTO);
	of_one_at_accept("accept: EPERM", EPERM);
	of_one_at_accept("accept: EINTR", EINTR);
	out_of_files();
	epoll_at_accept("epoll_ctl: ENOMEM", ENOMEM);
	epoll_at_accept("epoll_ctl: ENOSPC", ENOSPC);
	at_dial("socket: EMFILE", SOCKET, EMFILE, true);
	at_dial("socket: ENFILE", SOCKET, ENFILE, true);
	at_dial("socket: ENOMEM", SOCKET, ENOMEM, true);
	at_dial("socket: ENOBUFS", SOCKET, ENOBUFS, true);
	at_dial("connect: EADDRNOTAVAIL", CONNECT, EADDRNOTAVAIL, true);
	at_dial("connect: EAGAIN", CONNECT, EAGAIN, true); /* said as ENOBUFS */
	at_dial("connect: ENETUNREACH", CONNECT, ENETUNREACH, false);
	at_dial("connect: EHOSTUNREACH", CONNECT, EHOSTUNREACH, false);
	at_dial("connect: EACCES", CONNECT, EACCES, false);
	at_lookup("socket of a lookup: EMFILE", EMFILE);
	at_lookup("socket of a lookup: ENOBUFS", ENOBUFS);
	if (own) {
		no_route("no route", ENETUNREACH);
		no_route("unreachable", EHOSTUNREACH);
		no_route("prohibit", EACCES);
		out_of_ports();
		queue_overflows();
	} else {
		printf("note: no network namespace of our own\n");
		skipped++;
	}
	close(origin_fd);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
