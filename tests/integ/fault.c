/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the daemon by a test: the Nth call that may fail does fail, once. Shared with the test
 * through the file that OSHI_FAULT names: { u32 left, u32 seen, char last[56] }; only in the monitor, and only
 * while left is not 0.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct shared {
	uint32_t left, seen;
	char last[56];
};

static struct shared *sh;
static pid_t monitor;

static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("OSHI_FAULT");
	char cmd[256] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t n = read(fd, cmd, sizeof(cmd) - 1);

	close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (!cmd[i])
			cmd[i] = ' ';
	real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (!path || strstr(cmd, "--role"))
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	monitor = getpid();
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (sh == MAP_FAILED)
		sh = NULL;
	close(fd);
}

static int fails(const char *what)
{
	if (!sh || !sh->left || (pid_t)real_syscall(SYS_getpid) != monitor)
		return 0;
	sh->seen++;
	if (--sh->left)
		return 0;
	strncpy(sh->last, what, sizeof(sh->last) - 1);
	return 1;
}

/* SQLite calls itself, and takes what it tells itself for true. */
static int own(void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "openshelld");
}

#define WRAP(ret, name, err, bad, params, args)                        \
	ret name params                                                \
	{                                                              \
		static ret(*real) params;                              \
		if (!real)                                             \
			real = (ret(*) params)dlsym(RTLD_NEXT, #name); \
		if (fails(#name)) {                                    \
			errno = err;                                   \
			return bad;                                    \
		}                                                      \
		return real args;                                      \
	}

WRAP(int, mkdirat, ENOSPC, -1, (int d, const char *p, mode_t m), (d, p, m))
WRAP(int, mkdir, ENOSPC, -1, (const char *p, mode_t m), (p, m))
WRAP(int, socket, EMFILE, -1, (int d, int t, int p), (d, t, p))
WRAP(int, socketpair, EMFILE, -1, (int d, int t, int p, int *v), (d, t, p, v))
WRAP(int, bind, EADDRINUSE, -1, (int f, const struct sockaddr *a, socklen_t n), (f, a, n))
WRAP(int, listen, EADDRINUSE, -1, (int f, int n), (f, n))
WRAP(int, pipe2, EMFILE, -1, (int *v, int f), (v, f))
WRAP(int, memfd_create, EMFILE, -1, (const char *n, unsigned int f), (n, f))
WRAP(int, chmod, EPERM, -1, (const char *p, mode_t m), (p, m))
WRAP(int, fchmod, EPERM, -1, (int f, mode_t m), (f, m))
WRAP(int, epoll_ctl, ENOSPC, -1, (int e, int o, int f, struct epoll_event *ev), (e, o, f, ev))
WRAP(ssize_t, write, ENOSPC, -1, (int f, const void *b, size_t n), (f, b, n))
WRAP(ssize_t, send, ENOBUFS, -1, (int f, const void *b, size_t n, int g), (f, b, n, g))
WRAP(ssize_t, sendmsg, ENOBUFS, -1, (int f, const struct msghdr *m, int g), (f, m, g))
WRAP(int, setns, EPERM, -1, (int f, int t), (f, t))
int sqlite3_step(void *s)
{
	int (*real)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_step");

	return own(__builtin_return_address(0)) && fails("sqlite3_step") ? 13 /* FULL */ : real(s);
}

int sqlite3_exec(void *d, const char *q, void *fn, void *arg, char **err)
{
	int (*real)(void *, const char *, void *, void *, char **) = (int (*)(
		void *, const char *, void *, void *, char **))dlsym(RTLD_NEXT, "sqlite3_exec");

	/* undoing is what a fault leads to, and not to fail as well */
	return strcmp(q, "ROLLBACK") != 0 && own(__builtin_return_address(0)) &&
			       fails("sqlite3_exec")
		       ? 13
		       : real(d, q, fn, arg, err);
}

/* Other threads' is not ours: a sanitizer asks for memory when one begins, and dies without. */
void *calloc(size_t n, size_t s)
{
	static void *(*real)(size_t, size_t);

	if (!real)
		real = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	if (sh && (pid_t)real_syscall(SYS_gettid) == monitor && fails("calloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return real(n, s);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (fails("openat")) {
		errno = EMFILE;
		return -1;
	}
	return (int)real_syscall(SYS_openat, dir, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (fails("open")) {
		errno = EMFILE;
		return -1;
	}
	/* before the constructor has run */
	return real_syscall ? (int)real_syscall(SYS_openat, AT_FDCWD, path, flags, mode)
			    : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if ((cmd == F_DUPFD_CLOEXEC || cmd == F_ADD_SEALS) && fails("fcntl")) {
		errno = EMFILE;
		return -1;
	}
	return (int)real_syscall(SYS_fcntl, fd, cmd, arg);
}

long syscall(long nr, ...)
{
	va_list ap;
	long a[6];

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (!real_syscall)
		real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (nr != SYS_getpid && fails(nr == SYS_bpf	     ? "bpf"
				      : nr == SYS_clone3     ? "clone3"
				      : nr == SYS_pidfd_open ? "pidfd_open"
							     : "syscall")) {
		errno = nr == SYS_bpf ? ENOMEM : EAGAIN;
		return -1;
	}
	return real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
