/* SPDX-License-Identifier: MIT */
/*
 * What a program in a sandbox cannot do: this program copies itself into one as "probe" and tries.
 * `probe NAME` prints one line per thing that should not have worked and exits 0 when there is none.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "fixture.h"

static int bad; /* in the probe */

#define WANT(cond, ...)                      \
	do {                                 \
		if (!(cond)) {               \
			printf(__VA_ARGS__); \
			printf("\n");        \
			bad++;               \
		}                            \
	} while (0)

/* ---- probes: run inside ---- */

static bool socket_is_wanted(int family, int type, int protocol)
{
	switch (family) {
	case AF_UNIX:
		return true; /* whatever the kernel makes of type and protocol */
	case AF_NETLINK:
		return protocol == 0;
	case AF_INET:
	case AF_INET6:
		return (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) ||
		       (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP));
	default:
		return false;
	}
}

static void probe_sockets(void)
{
	static const int flags[] = { 0, SOCK_CLOEXEC | SOCK_NONBLOCK };

	for (int family = -1; family < 70; family++)
		for (int type = 0; type < 16; type++)
			for (int protocol = -1; protocol < 300; protocol++)
				for (size_t f = 0; f < 2; f++) {
					int fd = socket(family, type | flags[f], protocol);

					WANT(fd < 0 || socket_is_wanted(family, type, protocol),
					     "socket(%d,%d,%d) works", family, type, protocol);
					if (fd >= 0)
						(void)close(fd);
				}
	/* Must not be mistaken for their low halves. */
	for (int family = 0; family < 64; family++) {
		long fd = syscall(SYS_socket, (1ul << 32) | (unsigned long)family, SOCK_STREAM, 0);

		WANT(fd < 0, "socket(2^32+%d) works", family);
	}
	WANT(syscall(SYS_socket, AF_INET, (1ul << 32) | SOCK_RAW, IPPROTO_ICMP) < 0, "high raw");
	WANT(syscall(SYS_socket, AF_INET, SOCK_STREAM, (1ul << 32) | 262) < 0, "high mptcp");
	WANT(socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_INET6, SOCK_DGRAM, 17) >= 0 &&
		     socket(AF_UNIX, SOCK_SEQPACKET, 0) >= 0 &&
		     socket(AF_NETLINK, SOCK_RAW, 0) >= 0,
	     "an allowed socket is refused");
	WANT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM, "AF_PACKET: errno %d", errno);
	WANT(socket(AF_VSOCK, SOCK_STREAM, 0) < 0 && errno == EPERM, "AF_VSOCK: errno %d", errno);
	WANT(socket(AF_NETLINK, SOCK_RAW, 9) < 0 && errno == EPERM, "audit: errno %d", errno);
	WANT(socket(AF_ALG, SOCK_SEQPACKET, 0) < 0 && errno == EAFNOSUPPORT, "AF_ALG: %d", errno);
	WANT(socket(AF_INET, SOCK_STREAM, 262) < 0 && errno == EPROTONOSUPPORT, "mptcp: %d", errno);
	int pair[2];

	WANT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "no socketpair");
	WANT(socketpair(AF_TIPC, SOCK_SEQPACKET, 0, pair) < 0, "TIPC pair");
}

static void refused(long nr, const char *name, int want)
{
	errno = 0;
	WANT(syscall(nr, 0, 0, 0, 0, 0, 0) < 0 && errno == want, "%s: errno %d", name, errno);
}

static void probe_syscalls(void)
{
	static const struct {
		long nr;
		const char *name;
	} eperm[] = {
		{ SYS_memfd_create, "memfd_create" },
		{ SYS_ptrace, "ptrace" },
		{ SYS_bpf, "bpf" },
		{ SYS_process_vm_readv, "process_vm_readv" },
		{ SYS_process_vm_writev, "process_vm_writev" },
		{ SYS_pidfd_open, "pidfd_open" },
		{ SYS_pidfd_getfd, "pidfd_getfd" },
		{ SYS_pidfd_send_signal, "pidfd_send_signal" },
		{ SYS_io_uring_setup, "io_uring_setup" },
		{ SYS_io_uring_enter, "io_uring_enter" },
		{ SYS_io_uring_register, "io_uring_register" },
		{ SYS_mount, "mount" },
		{ SYS_fsopen, "fsopen" },
		{ SYS_fsconfig, "fsconfig" },
		{ SYS_fsmount, "fsmount" },
		{ SYS_fspick, "fspick" },
		{ SYS_move_mount, "move_mount" },
		{ SYS_open_tree, "open_tree" },
		{ 442, "mount_setattr" },
		{ SYS_setns, "setns" },
		{ SYS_umount2, "umount2" },
		{ SYS_pivot_root, "pivot_root" },
		{ SYS_userfaultfd, "userfaultfd" },
		{ SYS_perf_event_open, "perf_event_open" },
		{ SYS_kcmp, "kcmp" },
		{ SYS_keyctl, "keyctl" },
		{ SYS_add_key, "add_key" },
		{ SYS_request_key, "request_key" },
		{ SYS_chroot, "chroot" },
		{ 447, "memfd_secret" },
	};
	struct sock_filter allow = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
	struct sock_fprog prog = { 1, &allow };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(eperm); i++)
		refused(eperm[i].nr, eperm[i].name, EPERM);
	refused(435, "clone3", ENOSYS);
	WANT(unshare(CLONE_NEWUSER) < 0 && errno == EPERM, "unshare(NEWUSER)");
	WANT(unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0, "unshare(NEWUSER|NEWNET)");
	WANT(unshare(CLONE_NEWNET) < 0 && errno == EPERM, "unshare(NEWNET)");
	WANT(unshare(CLONE_NEWNS) < 0 && errno == EPERM, "unshare(NEWNS)");
	WANT(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) < 0 && errno == EPERM,
	     "clone(NEWUSER)");
	WANT(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0) < 0 && errno == EPERM, "PR_SET_MM");
	WANT(syscall(SYS_prctl, (1ul << 32) | PR_SET_MM, 14, 0, 0, 0) < 0 && errno == EPERM,
	     "PR_SET_MM with high bits: errno %d", errno);
	WANT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 && errno == EPERM,
	     "seccomp(2) filter");
	WANT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0, "prctl filter refused");
	char *const argv[] = { (char *)"true", NULL };
	int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);

	WANT(syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH) < 0 && errno == EPERM,
	     "execveat(AT_EMPTY_PATH)");
	WANT(setuid(0) < 0 && setgid(0) < 0 && setgroups(0, NULL) < 0, "root again");
	WANT(mknod("/tmp/node", S_IFCHR | 0666, makedev(1, 1)) < 0, "mknod");
	WANT(setpriority(PRIO_PROCESS, 0, -5) < 0, "nice");
	WANT(kill(-1, 0) == 0 || errno == ESRCH || errno == EPERM, "kill");
	WANT(kill(1, SIGKILL) == 0 || errno == EPERM, "kill init");
}

/* The child does something for which it should be killed. */
static void killed(void (*fn)(void), const char *what)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		_exit(0);
	}
	(void)waitpid(pid, &status, 0);
	WANT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: status %x", what,
	     (unsigned int)status);
}

#if defined(__x86_64__)
static void x32_getpid(void)
{
	(void)syscall(0x40000000 | SYS_getpid);
}

static void x32_socket(void)
{
	(void)syscall(0x40000000 | SYS_socket, AF_VSOCK, SOCK_STREAM, 0);
}

static void int80_getpid(void)
{
	long nr = 20, ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr) : "memory");
	(void)ret;
}
#endif

static void probe_abis(void)
{
#if defined(__x86_64__)
	killed(x32_getpid, "x32 getpid");
	killed(x32_socket, "x32 socket");
	killed(int80_getpid, "int 0x80");
#endif
}

static void probe_memory(void)
{
	pid_t pid = fork();
	char path[64];

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	static const char *const names[] = { "mem", "oom_score_adj", "comm", "clear_refs",
					     "coredump_filter" };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, names[i]);
		WANT(open(path, O_RDWR) < 0 && open(path, O_WRONLY) < 0, "%s is writable", path);
		(void)snprintf(path, sizeof(path), "/proc/self/%s", names[i]);
		WANT(open(path, O_RDWR) < 0 && open(path, O_WRONLY) < 0, "%s is writable", path);
	}
	WANT(open("/proc/1/mem", O_RDONLY) < 0, "init's memory is readable");
	WANT(open("/proc/1/exe", O_RDONLY) < 0, "init's program is readable");
	WANT(open("/proc/sys/kernel/core_pattern", O_WRONLY) < 0, "core_pattern");
	WANT(open("/proc/sysrq-trigger", O_WRONLY) < 0, "sysrq");
	(void)kill(pid, SIGKILL);
}

static bool status_has(const char *line)
{
	static char text[16384];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	(void)close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	return strstr(text, line) != NULL;
}

static void probe_identity(void)
{
	static const char *const lines[] = {
		"CapInh:\t0000000000000000",
		"CapPrm:\t0000000000000000",
		"CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000",
		"CapAmb:\t0000000000000000",
		"NoNewPrivs:\t1",
		"Seccomp:\t2",
		"Uid:\t42123\t42123\t42123\t42123",
		"Gid:\t42123\t42123\t42123\t42123",
		"SigBlk:\t0000000000000000",
		"SigIgn:\t0000000000000000",
	};
	struct rlimit lim;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(lines); i++)
		WANT(status_has(lines[i]), "no %s", lines[i]);
	WANT(getgroups(0, NULL) == 0, "groups");
	WANT(getrlimit(RLIMIT_CORE, &lim) == 0 && lim.rlim_max == 0, "core limit");
	WANT(getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_max == 512, "nofile limit");
	WANT(getsid(0) == getpid() && getpgid(0) == getpid(), "session");
}

static int dial(int family, const char *host, const char *port)
{
	const struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai;
	int fd, r;

	if (getaddrinfo(host, port, &hints, &ai) != 0)
		return -1;
	fd = socket(family, SOCK_STREAM, 0);
	r = connect(fd, ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(ai);
	(void)close(fd);
	return r;
}

static void probe_network(const char *port4, const char *port6)
{
	struct addrinfo hints = { .ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM }, *ai;
	char text[4096] = "";
	unsigned int lines = 0;
	int fd = open("/proc/net/dev", O_RDONLY);

	WANT(read(fd, text, sizeof(text) - 1) > 0, "no /proc/net/dev");
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	WANT(lines == 3 && strstr(text, " lo:"), "devices: %s", text);
	hints.ai_family = AF_INET;
	WANT(getaddrinfo("localhost", "80", &hints, &ai) == 0, "AI_ADDRCONFIG, IPv4");
	WANT(dial(AF_INET, OSH_SANDBOX_ADDR4, port4) == 0, "listener 4: errno %d", errno);
	WANT(dial(AF_INET, "198.19.255.1", "9") < 0 && errno == ECONNREFUSED,
	     "the pool is not local: errno %d", errno);
	WANT(dial(AF_INET, "192.0.2.1", "80") < 0 && errno == ENETUNREACH, "a route: %d", errno);
	if (strcmp(port6, "0") == 0)
		return;
	hints.ai_family = AF_INET6;
	WANT(getaddrinfo("localhost", "80", &hints, &ai) == 0, "AI_ADDRCONFIG, IPv6");
	WANT(dial(AF_INET6, OSH_SANDBOX_ADDR6, port6) == 0, "listener 6: errno %d", errno);
	WANT(dial(AF_INET6, "fd23:6f70:656e::dead", "9") < 0 && errno == ECONNREFUSED,
	     "the ULA pool is not local: errno %d", errno);
	WANT(dial(AF_INET6, "2001:db8::1", "80") < 0 && errno == ENETUNREACH, "a route 6: %d",
	     errno);
}

static void probe_unix(const char *abstract)
{
	static const char *const paths[] = {
		"/run/docker.sock",
		"/var/run/docker.sock",
		"/run/systemd/private",
		"/run/dbus/system_bus_socket",
		"/run/openshell/openshelld.sock",
		"/dev/log",
	};
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat st;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(paths); i++)
		WANT(stat(paths[i], &st) < 0, "%s is visible", paths[i]);
	(void)osh_strlcpy(addr.sun_path + 1, abstract, sizeof(addr.sun_path) - 1);
	WANT(connect(fd, (struct sockaddr *)&addr,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract))) <
		     0,
	     "the host's abstract socket answers");
	WANT(stat("/sys/fs/cgroup", &st) < 0 && stat("/sys/fs/bpf", &st) < 0, "/sys is visible");
}

static int probe_main(const char *name, const char *arg1, const char *arg2)
{
	if (strcmp(name, "sockets") == 0)
		probe_sockets();
	else if (strcmp(name, "syscalls") == 0)
		probe_syscalls();
	else if (strcmp(name, "abis") == 0)
		probe_abis();
	else if (strcmp(name, "memory") == 0)
		probe_memory();
	else if (strcmp(name, "identity") == 0)
		probe_identity();
	else if (strcmp(name, "network") == 0)
		probe_network(arg1, arg2);
	else if (strcmp(name, "unix") == 0)
		probe_unix(arg1);
	else
		return 2;
	(void)fflush(stdout);
	_exit(bad ? 1 : 0); /* a leak checker would need ptrace */
}

/* ---- tests: run outside ---- */

static struct fx fx;
static struct fx_result res;

static void run_probe(const char *name, const char *arg1, const char *arg2)
{
	const char *const argv[] = { "/sandbox/probe", "probe", name, arg1, arg2, NULL };

	assert_int_equal(fx_run(&fx, argv, NULL, &res), 0);
	assert_string_equal(res.out, "");
	assert_int_equal(res.err, 0);
	assert_int_equal(res.signo, 0);
	assert_int_equal(res.code, 0);
}

static void socket_sweep(void **state)
{
	(void)state;
	run_probe("sockets", NULL, NULL);
}

static void system_calls(void **state)
{
	(void)state;
	run_probe("syscalls", NULL, NULL);
}

static void foreign_abis_are_killed(void **state)
{
	(void)state;
	run_probe("abis", NULL, NULL);
}

static void memory_of_others(void **state)
{
	(void)state;
	if (!osh_sandbox_landlock_abi())
		skip();
	run_probe("memory", NULL, NULL);
}

static void identity(void **state)
{
	(void)state;
	run_probe("identity", NULL, NULL);
}

static void network_is_a_loopback(void **state)
{
	char port4[8], port6[8];

	(void)state;
	(void)snprintf(port4, sizeof(port4), "%u", fx.proc.lst.tcp4_port);
	(void)snprintf(port6, sizeof(port6), "%u", fx.proc.lst.tcp6_port);
	run_probe("network", port4, port6);
}

static void unix_sockets_of_the_host(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	osh_auto_close int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof(name), "osh-test-%d", getpid());
	(void)osh_strlcpy(addr.sun_path + 1, name, sizeof(addr.sun_path) - 1);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&addr,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
		0);
	assert_int_equal(listen(fd, 1), 0);
	run_probe("unix", name, NULL);
}

static int set_up(void **state)
{
	int r;

	(void)state;
	fx_init(&fx);
	fx.cfg.limits.nofile = 512;
	r = fx_spawn(&fx);
	return r < 0 ? r : fx_put_probe(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	fx_fini(&fx);
	return 0;
}

int main(int argc, char **argv)
{
	const char *why_not;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(socket_sweep),
		cmocka_unit_test(system_calls),
		cmocka_unit_test(foreign_abis_are_killed),
		cmocka_unit_test(memory_of_others),
		cmocka_unit_test(identity),
		cmocka_unit_test(network_is_a_loopback),
		cmocka_unit_test(unix_sockets_of_the_host),
	};

	if (argc >= 3 && strcmp(argv[1], "probe") == 0)
		return probe_main(argv[2], argc > 3 ? argv[3] : "", argc > 4 ? argv[4] : "");
	why_not = fx_why_not();
	if (why_not) {
		printf("%s\n", why_not);
		return 77;
	}
	return fx_end(cmocka_run_group_tests(tests, set_up, tear_down));
}
