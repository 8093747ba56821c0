/* SPDX-License-Identifier: MIT */
/* The process fence: namespaces, privileges, what of the host can be seen and touched. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "selftest/attempt.h"

enum {
	CAP_WORDS_HEX = 16,
	NR_keyctl_get_persistent = 22,
	I386_SOCKET = 359,
	X32_BIT = 0x40000000,
};

enum osh_selftest_state osh_st_userns(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	if (unshare(CLONE_NEWUSER) == 0)
		return osh_st_open(detail, "a user namespace was made");
	return osh_st_refused(detail, "unshare");
}

enum osh_selftest_state osh_st_clone3(const struct osh_selftest_env *env, char *detail)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	(void)env;
	if (pid == 0)
		_exit(0);
	if (pid > 0) {
		(void)waitpid((pid_t)pid, NULL, 0);
		return osh_st_open(detail, "clone3 made a user namespace");
	}
	pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	if (pid > 0) {
		(void)waitpid((pid_t)pid, NULL, 0);
		return osh_st_open(detail, "clone made a user namespace");
	}
	return osh_st_refused(detail, "clone3 and clone");
}

/* Its own namespaces would do no harm; that the call works at all would. */
enum osh_selftest_state osh_st_setns(const struct osh_selftest_env *env, char *detail)
{
	static const char *const names[] = { "net", "mnt", "pid", "user" };

	(void)env;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++) {
		osh_auto_close int fd = -1;
		char path[32];

		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && setns(fd, 0) == 0) {
			osh_st_say(detail, "setns to %s", path);
			return OSH_SELFTEST_OPEN;
		}
	}
	return osh_st_refused(detail, "setns");
}

enum osh_selftest_state osh_st_mount(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	if (mount("none", "/tmp", "tmpfs", 0, NULL) == 0 ||
	    mount("none", "/tmp", "cgroup2", 0, NULL) == 0 ||
	    mount("/sandbox", "/usr", NULL, MS_BIND, NULL) == 0)
		return osh_st_open(detail, "something was mounted");
	if (syscall(SYS_fsopen, "tmpfs", 0) >= 0 || syscall(SYS_open_tree, AT_FDCWD, "/", 1) >= 0)
		return osh_st_open(detail, "the new mount API can be used");
	if (chroot("/tmp") == 0)
		return osh_st_open(detail, "chroot");
	return osh_st_refused(detail, "mount, fsopen, open_tree, chroot");
}

enum osh_selftest_state osh_st_tun(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)env;
	return fd >= 0 ? osh_st_open(detail, "/dev/net/tun was opened")
		       : osh_st_refused(detail, "/dev/net/tun");
}

enum osh_selftest_state osh_st_bpf(const struct osh_selftest_env *env, char *detail)
{
	union bpf_attr attr = { 0 };
	static const long calls[] = { SYS_perf_event_open, SYS_userfaultfd, SYS_init_module };

	(void)env;
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = attr.value_size = 4;
	attr.max_entries = 1;
	if (syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) >= 0)
		return osh_st_open(detail, "bpf() made a map");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(calls); i++)
		if (syscall(calls[i], NULL, 0, 0, 0, 0) >= 0)
			return osh_st_open(detail, "perf_event_open, userfaultfd or init_module");
	return osh_st_refused(detail, "bpf and its like");
}

enum osh_selftest_state osh_st_keyring(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	if (syscall(SYS_keyctl, NR_keyctl_get_persistent, -1, -3) >= 0 ||
	    syscall(SYS_add_key, "user", "osh", "x", 1, -4) >= 0)
		return osh_st_open(detail, "keys shared by every process of the user");
	return osh_st_refused(detail, "keyctl, add_key");
}

/* A foreign ABI has other numbers than the filter knows: it must end the process. */
enum osh_selftest_state osh_st_int80(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
#if defined(__x86_64__)
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(I386_SOCKET), "b"(40), "c"(1), "d"(0)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	osh_st_say(detail, "int 0x80 returned %ld", r);
	return r == -ENOSYS ? OSH_SELFTEST_CLOSED : OSH_SELFTEST_OPEN;
#else
	return osh_st_not_here(detail, "a 32-bit x86 ABI");
#endif
}

enum osh_selftest_state osh_st_x32(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
#if defined(__x86_64__)
	if (syscall(X32_BIT | SYS_socket, 40, 1, 0) >= 0 || syscall(X32_BIT | SYS_getpid) > 0)
		return osh_st_open(detail, "x32 system calls work");
	return osh_st_refused(detail, "x32");
#else
	return osh_st_not_here(detail, "the x32 ABI");
#endif
}

/* Effective, permitted, inheritable, bounding and ambient sets are empty; no_new_privs; a filter. */
enum osh_selftest_state osh_st_privileges(const struct osh_selftest_env *env, char *detail)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned int seen = 0;
	char line[256];

	(void)env;
	if (!f)
		return osh_st_open(detail, "/proc/self/status cannot be read");
	while (fgets(line, sizeof(line), f)) {
		char *value = strchr(line, '\t');
		bool ok = true;

		if (!value)
			continue;
		value++;
		value[strcspn(value, "\n")] = '\0';
		if (!strncmp(line, "Cap", 3))
			ok = strspn(value, "0") == CAP_WORDS_HEX;
		else if (!strncmp(line, "NoNewPrivs:", 11))
			ok = !strcmp(value, "1");
		else if (!strncmp(line, "Seccomp:", 8))
			ok = !strcmp(value, "2");
		else if (!strncmp(line, "Uid:", 4) || !strncmp(line, "Gid:", 4))
			ok = strncmp(value, "0\t", 2) != 0;
		else
			continue;
		seen++;
		if (!ok) {
			osh_st_say(detail, "%.100s", line);
			(void)fclose(f);
			return OSH_SELFTEST_OPEN;
		}
	}
	(void)fclose(f);
	osh_st_say(detail, "%u lines of /proc/self/status as they must be", seen);
	return seen >= 9 ? OSH_SELFTEST_CLOSED : OSH_SELFTEST_OPEN;
}

/* Nothing but pipes and /dev/null may have come in from outside. */
enum osh_selftest_state osh_st_inherited(const struct osh_selftest_env *env, char *detail)
{
	unsigned int n = 0;

	(void)env;
	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			continue;
		n++;
		if (S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == 0x103))
			continue;
		osh_st_say(detail, "descriptor %d is of type %o", fd, st.st_mode & S_IFMT);
		return OSH_SELFTEST_OPEN;
	}
	osh_st_say(detail, "%u descriptors, all pipes or /dev/null", n);
	return OSH_SELFTEST_CLOSED;
}

/* Opening @path in any useful way must fail. */
static bool reachable(const char *path, char *detail)
{
	osh_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		osh_st_say(detail, "%.120s can be opened", path);
	return fd >= 0;
}

static enum osh_selftest_state none_reachable(const char *const *paths, size_t n, char *detail)
{
	for (size_t i = 0; i < n; i++)
		if (reachable(paths[i], detail))
			return OSH_SELFTEST_OPEN;
	osh_st_say(detail, "%zu places, none can be opened", n);
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_cgroup(const struct osh_selftest_env *env, char *detail)
{
	static const char *const paths[] = {
		"/sys/fs/cgroup/cgroup.procs",
		"/sys/fs/cgroup/unified/cgroup.procs",
		"/sys/fs/cgroup",
		"/proc/1/root/sys/fs/cgroup/cgroup.procs",
		"/proc/self/root/sys/fs/cgroup",
		"/sys/fs/bpf",
		"/sys/kernel/debug",
		"/sys/kernel/tracing",
	};

	(void)env;
	return none_reachable(paths, OSH_ARRAY_SIZE(paths), detail);
}

/* The daemon's files, by their own names and by aliases that would evade rules about names. */
enum osh_selftest_state osh_st_state(const struct osh_selftest_env *env, char *detail)
{
	static const char *const aliases[] = { "",
					       "/proc/self/root",
					       "/proc/1/root",
					       "/proc/self/cwd/..",
					       "/proc/self/task/self/root",
					       "/dev/fd/../root" };
	static const char *const files[] = { "/state.db", "/ca", "/sandboxes", "/log" };

	for (size_t a = 0; a < OSH_ARRAY_SIZE(aliases); a++) {
		for (size_t i = 0; i < OSH_ARRAY_SIZE(files); i++) {
			char path[600];

			(void)snprintf(path, sizeof(path), "%s%.500s%s", aliases[a], env->state_dir,
				       files[i]);
			if (reachable(path, detail))
				return OSH_SELFTEST_OPEN;
		}
	}
	osh_st_say(detail, "not visible under any of %zu aliases", OSH_ARRAY_SIZE(aliases));
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_proc_root(const struct osh_selftest_env *env, char *detail)
{
	static const char *const paths[] = {
		"/proc/1/root/etc/shadow",
		"/proc/self/root/etc/shadow",
		"/etc/shadow",
		"/proc/kcore",
		"/proc/kallsyms.not",
		"/proc/sysrq-trigger",
		"/proc/1/mem",
		"/dev/mem",
		"/dev/kmsg",
	};

	(void)env;
	return none_reachable(paths, OSH_ARRAY_SIZE(paths), detail);
}

enum osh_selftest_state osh_st_sysctl(const struct osh_selftest_env *env, char *detail)
{
	static const char *const paths[] = {
		"/proc/sys/kernel/core_pattern",
		"/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/net/ipv4/ping_group_range",
		"/proc/sys/kernel/modprobe",
	};

	(void)env;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(paths); i++) {
		osh_auto_close int fd = open(paths[i], O_WRONLY | O_CLOEXEC);

		if (fd >= 0) {
			osh_st_say(detail, "%s is writable", paths[i]);
			return OSH_SELFTEST_OPEN;
		}
	}
	return osh_st_refused(detail, "core_pattern and others");
}

enum osh_selftest_state osh_st_devices(const struct osh_selftest_env *env, char *detail)
{
	static const char *const paths[] = { "/dev/sda",	"/dev/vda",  "/dev/kvm",
					     "/dev/vhost-net",	"/dev/fuse", "/dev/vsock",
					     "/dev/vhost-vsock" };

	(void)env;
	if (mknod("/tmp/osh-null", S_IFCHR | 0600, 0x101) == 0)
		return osh_st_open(detail, "a device node was made");
	return none_reachable(paths, OSH_ARRAY_SIZE(paths), detail);
}

/* ---- Unix sockets of the host ---- */

static int unix_connect(const char *name, size_t len, int type)
{
	osh_auto_close int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (fd < 0 || len > sizeof(un.sun_path))
		return -1;
	memcpy(un.sun_path, name, len);
	return connect(fd, (struct sockaddr *)&un,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

enum osh_selftest_state osh_st_control_socket(const struct osh_selftest_env *env, char *detail)
{
	static const char *const aliases[] = { "", "/proc/self/root", "/proc/1/root" };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(aliases); i++) {
		char path[108];

		if (snprintf(path, sizeof(path), "%s%s", aliases[i], env->control_socket) >=
		    (int)sizeof(path))
			continue;
		if (unix_connect(path, strlen(path) + 1, SOCK_STREAM) == 0)
			return osh_st_open(detail, "the daemon's control socket was reached");
	}
	return osh_st_refused(detail, "connect");
}

enum osh_selftest_state osh_st_host_sockets(const struct osh_selftest_env *env, char *detail)
{
	static const char *const paths[] = {
		"/run/docker.sock",
		"/var/run/docker.sock",
		"/run/containerd/containerd.sock",
		"/run/podman/podman.sock",
		"/run/dbus/system_bus_socket",
		"/run/systemd/private",
		"/run/systemd/notify",
		"/run/systemd/journal/socket",
		"/run/systemd/resolve/io.systemd.Resolve",
		"/run/nscd/socket",
		"/run/snapd.socket",
		"/run/cups/cups.sock",
		"/dev/log",
		"/tmp/.X11-unix/X0",
		"/run/openshell/openshelld.sock",
	};

	(void)env;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(paths); i++) {
		if (unix_connect(paths[i], strlen(paths[i]) + 1, SOCK_STREAM) < 0 &&
		    unix_connect(paths[i], strlen(paths[i]) + 1, SOCK_DGRAM) < 0)
			continue;
		osh_st_say(detail, "%s was reached", paths[i]);
		return OSH_SELFTEST_OPEN;
	}
	osh_st_say(detail, "%zu sockets, none reached", OSH_ARRAY_SIZE(paths));
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_abstract(const struct osh_selftest_env *env, char *detail)
{
	char name[108] = "";

	(void)snprintf(name + 1, sizeof(name) - 1, "%s", env->abstract);
	if (unix_connect(name, strlen(env->abstract) + 1, SOCK_STREAM) == 0)
		return osh_st_open(detail, "an abstract socket of the host was reached");
	return osh_st_refused(detail, "connect");
}

/* What decides about us must not be ours to change. */
enum osh_selftest_state osh_st_own_policy(const struct osh_selftest_env *env, char *detail)
{
	static const char *const read_only[] = {
		"/etc/osh-selftest", "/usr/bin/osh-selftest",	  "/etc/resolv.conf",
		"/etc/hosts",	     OSH_SELFTEST_DIR "/allowed", OSH_SELFTEST_DIR "/new"
	};

	(void)env;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(read_only); i++) {
		osh_auto_close int fd = open(read_only[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

		if (fd >= 0) {
			osh_st_say(detail, "%s can be written", read_only[i]);
			return OSH_SELFTEST_OPEN;
		}
	}
	if (chmod(OSH_SELFTEST_ALLOWED, 0777) == 0)
		return osh_st_open(detail, "chmod of a file of root");
	return osh_st_refused(detail, "files of root and of the policy");
}
