/* SPDX-License-Identifier: MIT */
/*
 * The kernel fence alone: an attacker who is in a sandbox's cgroup and nobody otherwise (no
 * capability, but no system call filter and no mount namespace either), in a network namespace with
 * addresses where somebody answers. An observer outside the cgroup counts every packet on the wire.
 * What capabilities would open is tried as root too, with those this process has.
 */
#include "selftest/selftest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "sys/fs.h"

#define TARGET4 "10.77.0.2"
#define TARGET6 "fd77::2"

enum {
	NOBODY = 65534,
	TARGET_PORT = 4077,
	SETTLE_MS = 20, /* a packet over lo is seen at once */
	QUIET_MS = 500, /* until the control's connection has nothing more to say */
};

struct shared { /* with the attacker */
	int state, done;
	char detail[OSH_SELFTEST_DETAIL];
};

struct fence {
	int cgroup_fd;
	uint64_t carried;
	struct shared *shared;
	osh_selftest_report_fn *report;
	void *arg;
};

/* ---- the namespace ---- */

static int add_address4(int fd, const char *label, const char *ip)
{
	struct ifreq req = { 0 };
	struct sockaddr_in *sin = (struct sockaddr_in *)&req.ifr_addr;

	(void)osh_strlcpy(req.ifr_name, label, sizeof(req.ifr_name));
	sin->sin_family = AF_INET;
	(void)inet_pton(AF_INET, ip, &sin->sin_addr);
	return ioctl(fd, SIOCSIFADDR, &req) < 0 ? -errno : 0;
}

static int add_address6(const char *ip)
{
	osh_auto_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct {
		struct in6_addr addr;
		uint32_t prefix;
		int index;
	} req = { .prefix = 128, .index = 1 };

	(void)inet_pton(AF_INET6, ip, &req.addr);
	if (fd < 0 || ioctl(fd, SIOCSIFADDR, &req) < 0)
		return errno == EAFNOSUPPORT || errno == EEXIST ? 0 : -errno;
	return 0;
}

static int make_namespace(void)
{
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	osh_auto_close int fd = -1, range = -1;
	int r;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &up) < 0)
		return -errno;
	r = add_address4(fd, "lo:1", "10.77.0.1");
	if (r == 0)
		r = add_address4(fd, "lo:2", TARGET4);
	if (r == 0)
		r = add_address6("fd77::1");
	if (r == 0)
		r = add_address6(TARGET6);
	/* ping sockets for everybody, as many distributions have it; without it they are refused */
	range = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
	if (range >= 0)
		(void)!write(range, "0 2147483647", 12);
	return r;
}

/* Somebody who answers, so that a connection could succeed. */
static int listen_at(int family)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(TARGET_PORT) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(TARGET_PORT) };
	osh_auto_close int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)inet_pton(AF_INET, TARGET4, &sin.sin_addr);
	(void)inet_pton(AF_INET6, TARGET6, &sin6.sin6_addr);
	if (fd < 0)
		return -errno;
	if (bind(fd, family == AF_INET ? (void *)&sin : (void *)&sin6,
		 family == AF_INET ? sizeof(sin) : sizeof(sin6)) < 0 ||
	    listen(fd, 16) < 0)
		return -errno;
	return osh_take_fd(&fd);
}

/* ---- the wire ---- */

/*
 * Packets that lo has carried since the namespace was made. Nothing is permitted here, so every one
 * of them is an escape. No packet socket is needed, which the daemon may not open.
 */
static int carried(uint64_t *ret_packets)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_str rest, line;
	int r;

	osh_buf_init(&text, 65536, 0);
	r = osh_fs_read("/proc/self/net/dev", 65536, &text);
	if (r < 0)
		return r;
	rest = osh_buf_str(&text);
	while (osh_str_split(&rest, '\n', &line)) {
		unsigned long long bytes, packets;

		line = osh_str_trim(line);
		if (!osh_str_has_prefix(line, OSH_STR("lo:")))
			continue;
		/* osh_buf text is NUL-terminated, so that the numbers end somewhere */
		if (sscanf(line.p + 3, "%llu %llu", &bytes, &packets) != 2)
			return -EBADMSG;
		*ret_packets = packets;
		return 0;
	}
	return -ENODEV;
}

/* How many since the last call. What cannot be counted counts. */
static unsigned int escapes(struct fence *f)
{
	uint64_t now;
	unsigned int n;

	(void)poll(NULL, 0, SETTLE_MS);
	if (carried(&now) < 0)
		return 1;
	n = (unsigned int)(now - f->carried);
	f->carried = now;
	return n;
}

/* ---- the attacker ---- */

static void become_nobody(void)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		_exit(1);
}

static void attacker(struct fence *f, const struct osh_selftest_env *env, bool nobody)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (nobody)
		become_nobody();
	f->shared->state = (int)osh_selftest_run(env, f->shared->detail);
	f->shared->done = 1;
	_exit(0);
}

static int start_attacker(struct fence *f, const struct osh_selftest_env *env, int cgroup_fd,
			  bool nobody)
{
	struct clone_args args = {
		.flags = cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
	};
	pid_t pid;

	f->shared->done = 0;
	f->shared->detail[0] = '\0';
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		attacker(f, env, nobody);
	if (pid < 0)
		return -errno;
	return waitpid(pid, NULL, 0) == pid && f->shared->done ? 0 : -ECHILD;
}

static void attempt(struct fence *f, struct osh_selftest_env *env, unsigned int index, bool nobody)
{
	char detail[OSH_SELFTEST_DETAIL + 64];
	unsigned int seen;
	int r;

	env->index = index;
	(void)escapes(f);
	r = start_attacker(f, env, f->cgroup_fd, nobody);
	seen = escapes(f);
	if (r < 0)
		(void)snprintf(detail, sizeof(detail), "the attacker could not run: %s",
			       strerror(-r));
	else if (seen)
		(void)snprintf(detail, sizeof(detail), "%u packets on the wire; %s", seen,
			       f->shared->detail);
	else
		(void)osh_strlcpy(detail, f->shared->detail, sizeof(detail));
	f->report(f->arg, nobody ? "fence" : "fence, as root", index,
		  r < 0 || seen ? OSH_SELFTEST_OPEN : f->shared->state, detail);
}

/* The same attempts from outside the cgroup: they must get through, or the observer is blind. */
static bool control(struct fence *f, struct osh_selftest_env *env)
{
	for (unsigned int i = 0; i < osh_selftest_count; i++) {
		if (!(osh_selftest_attempts[i].flags & OSH_SELFTEST_FENCE))
			continue;
		env->index = i; /* the first is TCP over IPv4 */
		(void)escapes(f);
		return start_attacker(f, env, -1, false) == 0 &&
		       f->shared->state == OSH_SELFTEST_OPEN && escapes(f) > 0;
	}
	return false;
}

void osh_selftest_title(const char *stage, unsigned int index, char *dst, size_t size)
{
	const struct osh_selftest_attempt *a = index < osh_selftest_count
						       ? &osh_selftest_attempts[index]
						       : NULL;

	if (!a)
		(void)snprintf(dst, size, "%s: observer", stage);
	else if (a->flags & OSH_SELFTEST_CONTROL)
		(void)snprintf(dst, size, "%s: %s", stage, a->name);
	else
		(void)snprintf(dst, size, "%s: %s [%s]", stage, a->name, a->technique);
}

int osh_selftest_fence(int cgroup_fd, osh_selftest_report_fn *report, void *arg)
{
	struct osh_selftest_env env = { .host = "", .forbidden_port = TARGET_PORT };
	struct fence f = { .cgroup_fd = cgroup_fd, .report = report, .arg = arg };
	osh_auto_close int tcp4 = -1, tcp6 = -1;
	int r = make_namespace();

	if (r < 0)
		return r;
	tcp4 = listen_at(AF_INET);
	if (tcp4 < 0)
		return tcp4;
	tcp6 = listen_at(AF_INET6); /* a kernel without IPv6 has none */
	f.shared = mmap(NULL, sizeof(*f.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (f.shared == MAP_FAILED)
		return -ENOMEM;
	report(arg, "fence control", UINT32_MAX,
	       control(&f, &env) ? OSH_SELFTEST_CLOSED : OSH_SELFTEST_OPEN,
	       "without the fence the observer sees a connection");
	(void)poll(NULL, 0, QUIET_MS);
	for (unsigned int i = 0; i < osh_selftest_count; i++)
		if (osh_selftest_attempts[i].flags & OSH_SELFTEST_FENCE)
			attempt(&f, &env, i, true);
	for (unsigned int i = 0; i < osh_selftest_count; i++)
		if (osh_selftest_attempts[i].flags & OSH_SELFTEST_ROOT)
			attempt(&f, &env, i, false);
	(void)munmap(f.shared, sizeof(*f.shared));
	return 0;
}
