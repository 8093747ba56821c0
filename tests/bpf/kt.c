/* SPDX-License-Identifier: MIT */
#include "kt.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/ipv6.h>

#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

unsigned int kt_failures;

const char *kt_self(void)
{
	static char path[512];

	if (!path[0]) {
		ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

		path[n < 0 ? 0 : n] = '\0';
	}
	return path;
}

static void show_diag(struct osh_diag *diag)
{
	size_t i;

	for (i = 0; i < diag->count; i++)
		printf("diag: %s\n", diag->msgs[i].text);
}

static int open_kern(struct kt *kt)
{
	osh_auto_diag struct osh_diag diag;
	int r;

	osh_diag_init(&diag, NULL);
	r = osh_kern_open(&kt->opts, &kt->kern, &diag);
	if (r < 0) {
		show_diag(&diag);
		printf("kern open: %s\n", strerror(-r));
		kt->kern = NULL;
	}
	return r;
}

/*
 * As in a sandbox, programs and libraries come from mounts that are read-only (here: the mounts that
 * hold "/", /usr and ourselves), and what is writable is a file system of its own.
 */
static int protect_mounts(const char *writable)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	char path[PATH_MAX];
	char *slash;

	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)) < 0)
		return -errno;
	/* -EINVAL: not a mount point */
	(void)syscall(SYS_mount_setattr, AT_FDCWD, "/usr", 0, &attr, sizeof(attr));
	(void)osh_strlcpy(path, kt_self(), sizeof(path));
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		(void)syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof(attr));
	}
	return mount("tmpfs", writable, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0 ? -errno
											: 0;
}

int kt_setup(struct kt *kt)
{
	char name[32];
	int r;

	memset(kt, 0, sizeof(*kt));
	/* a mount namespace of our own: the private bpffs cannot outlive us */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	(void)snprintf(kt->tmp, sizeof(kt->tmp), "/tmp/osh-kt-%d", (int)getpid());
	if (mkdir(kt->tmp, 0755) < 0)
		return -errno;
	r = protect_mounts(kt->tmp);
	if (r < 0)
		return r;
	(void)snprintf(kt->pin_dir, sizeof(kt->pin_dir), "%s/pins", kt->tmp);
	(void)snprintf(name, sizeof(name), "osh-kt-%d", (int)getpid());
	r = osh_cgroup_open(&kt->cg, name, false);
	if (r < 0)
		return r;
	r = osh_cgroup_enter_daemon(&kt->cg);
	if (r < 0)
		return r;
	kt->opts = (struct osh_kern_opts){
		.daemon_fd = kt->cg.daemon_fd,
		.sandboxes_fd = kt->cg.sandboxes_fd,
		.pin_dir = kt->pin_dir,
	};
	return open_kern(kt);
}

int kt_restart(struct kt *kt)
{
	kt->kern = osh_kern_free(kt->kern);
	return open_kern(kt);
}

static int wipe_sandbox(const char *name, void *arg)
{
	struct kt *kt = arg;
	int fd;

	if (osh_cgroup_sandbox_open(&kt->cg, name, &fd) < 0)
		return 0;
	(void)osh_cgroup_kill(fd);
	CHECK(osh_cgroup_wait_empty(fd, 5000) == 0);
	(void)close(fd);
	(void)osh_cgroup_sandbox_remove(&kt->cg, name);
	return 0;
}

void kt_teardown(struct kt *kt)
{
	char root[PATH_MAX];
	int fd;

	kt->kern = osh_kern_free(kt->kern);
	if (kt->pin_dir[0])
		(void)osh_kern_unpin(kt->pin_dir);
	if (kt->cg.agent_path[0]) {
		/* what a case that gave up left behind */
		CHECK(osh_cgroup_sandbox_list(&kt->cg, wipe_sandbox, kt) == 0);
		/* leave <agent>/daemon, or it cannot be removed */
		if (osh_cgroup_mount(root, sizeof(root)) == 0) {
			fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (fd >= 0) {
				CHECK(osh_cgroup_move(fd, 0) == 0);
				(void)close(fd);
			}
		}
		if (osh_cgroup_remove_tree(&kt->cg) < 0)
			printf("cannot remove %s\n", kt->cg.agent_path);
		osh_cgroup_close(&kt->cg);
	}
	if (kt->tmp[0]) {
		struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };

		(void)umount2(kt->tmp, MNT_DETACH);
		(void)syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr));
		(void)rmdir(kt->tmp);
	}
}

/* lo up, 198.18.0.1/15 and fd00:5b::1/128 on it, as a sandbox has. */
static int setup_lo(void)
{
	struct in6_ifreq i6 = { .ifr6_prefixlen = 128, .ifr6_ifindex = 1 };
	struct sockaddr_in *sin;
	struct ifreq ifr = { 0 };
	int fd, r = 0;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)osh_strlcpy(ifr.ifr_name, "lo", sizeof(ifr.ifr_name));
	ifr.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		r = -errno;
	(void)osh_strlcpy(ifr.ifr_name, "lo:1", sizeof(ifr.ifr_name));
	sin = (struct sockaddr_in *)&ifr.ifr_addr;
	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = inet_addr("198.18.0.1");
	if (!r && ioctl(fd, SIOCSIFADDR, &ifr) < 0)
		r = -errno;
	sin->sin_addr.s_addr = inet_addr("255.254.0.0");
	if (!r && ioctl(fd, SIOCSIFNETMASK, &ifr) < 0)
		r = -errno;
	(void)close(fd);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return r ? r : -errno;
	(void)inet_pton(AF_INET6, "fd00:5b::1", &i6.ifr6_addr);
	if (!r && ioctl(fd, SIOCSIFADDR, &i6) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

static int listener(int family, int type, uint16_t *ret_port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	socklen_t len = family == AF_INET ? sizeof(a4) : sizeof(a6);
	struct sockaddr *sa = family == AF_INET ? (void *)&a4 : (void *)&a6;
	int fd, one = 1;

	a4.sin_addr.s_addr = inet_addr("198.18.0.1");
	(void)inet_pton(AF_INET6, "fd00:5b::1", &a6.sin6_addr);
	fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (family == AF_INET6) {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		/* the address stays tentative until a kernel worker has run */
		(void)setsockopt(fd, IPPROTO_IPV6, 78 /* IPV6_FREEBIND */, &one, sizeof(one));
	}
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, IPPROTO_TCP, 23 /* TCP_FASTOPEN */, &(int){ 16 }, sizeof(int));
	if (bind(fd, sa, len) < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0) ||
	    getsockname(fd, sa, &len) < 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	*ret_port = ntohs(family == AF_INET ? a4.sin_port : a6.sin6_port);
	return fd;
}

/* In the new namespace, with our own (daemon's) cgroup: listeners belong to the daemon. */
static int populate(struct kt_sandbox *sb)
{
	osh_auto_close int fd = open("/proc/sys/net/ipv4/tcp_fwmark_accept", O_WRONLY | O_CLOEXEC);
	int r = setup_lo();

	if (fd < 0 || write(fd, "1", 1) != 1)
		return -errno;

	if (r < 0)
		return r;
	sb->tcp4 = listener(AF_INET, SOCK_STREAM, &sb->k.tcp4_port);
	sb->tcp6 = listener(AF_INET6, SOCK_STREAM, &sb->k.tcp6_port);
	sb->dns4 = listener(AF_INET, SOCK_DGRAM, &sb->k.dns4_port);
	sb->dns6 = listener(AF_INET6, SOCK_DGRAM, &sb->k.dns6_port);
	if (sb->tcp4 < 0 || sb->tcp6 < 0 || sb->dns4 < 0 || sb->dns6 < 0)
		return -EIO;
	return osh_kern_netns_cookie(sb->tcp4, &sb->cookie);
}

int kt_sandbox_make(struct kt *kt, struct kt_sandbox *sb)
{
	osh_auto_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	memset(sb, 0, sizeof(*sb));
	sb->netns_fd = sb->cgroup_fd = sb->tcp4 = sb->tcp6 = sb->dns4 = sb->dns6 = -1;
	sb->id = ++kt->sandboxes;
	(void)snprintf(sb->name, sizeof(sb->name), "sb%u", sb->id);
	r = osh_cgroup_sandbox_create(&kt->cg, sb->name, &sb->cgroup_fd);
	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	sb->netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	r = populate(sb);
	if (setns(home, CLONE_NEWNET) < 0)
		return -errno;
	if (r < 0)
		return r;
	sb->k.id = sb->id;
	sb->k.netns_cookie = sb->cookie;
	r = osh_cgroup_id(sb->cgroup_fd, &sb->k.cgroup_id);
	if (r < 0)
		return r;
	sb->k.listen4.s_addr = inet_addr("198.18.0.1");
	sb->k.pool4.s_addr = inet_addr("198.18.0.0");
	sb->k.pool4_bits = 15;
	(void)inet_pton(AF_INET6, "fd00:5b::1", &sb->k.listen6);
	(void)inet_pton(AF_INET6, "fd00:5b::", &sb->k.pool6);
	return osh_kern_sandbox_add(kt->kern, &sb->k);
}

void kt_sandbox_drop(struct kt *kt, struct kt_sandbox *sb)
{
	if (!sb->id)
		return;
	if (sb->cgroup_fd >= 0) {
		(void)osh_cgroup_kill(sb->cgroup_fd);
		if (osh_cgroup_wait_empty(sb->cgroup_fd, 5000) < 0)
			printf("sandbox %s does not empty\n", sb->name);
	}
	if (kt->kern && osh_kern_sandbox_remove(kt->kern, sb->id) < 0)
		printf("sandbox %s is not removed\n", sb->name);
	osh_close_ptr(&sb->tcp4);
	osh_close_ptr(&sb->tcp6);
	osh_close_ptr(&sb->dns4);
	osh_close_ptr(&sb->dns6);
	osh_close_ptr(&sb->netns_fd);
	osh_close_ptr(&sb->cgroup_fd);
	(void)osh_cgroup_sandbox_remove(&kt->cg, sb->name);
	sb->id = 0;
}

int kt_publish_all(struct kt *kt, struct kt_sandbox *sb, uint64_t generation)
{
	struct osh_kern_policy p = { .generation = generation, .flags = OSH_POL_ALL_TO_PROXY };

	return osh_kern_publish(kt->kern, sb->id, &p);
}

pid_t kt_spawn(struct kt *kt, struct kt_sandbox *sb, char *const argv[], char *const envp[],
	       int *ret_out)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	char *const no_env[] = { (char[]){ "PATH=/usr/bin:/bin" }, NULL };
	int out[2] = { -1, -1 };
	long pid;

	(void)kt;
	if (ret_out && pipe2(out, O_CLOEXEC) < 0)
		return -1;
	args.cgroup = (uint64_t)sb->cgroup_fd;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		if (setns(sb->netns_fd, CLONE_NEWNET) < 0)
			_exit(126);
		if (ret_out && dup2(out[1], 1) < 0)
			_exit(126);
		(void)execve(argv[0], argv, envp ? envp : no_env);
		_exit(127);
	}
	if (ret_out) {
		(void)close(out[1]);
		*ret_out = out[0];
	}
	return (pid_t)pid;
}

int kt_run(struct kt *kt, struct kt_sandbox *sb, char *const argv[], char *out, size_t size)
{
	size_t len = 0;
	int fd, status;
	ssize_t n;
	pid_t pid;

	pid = kt_spawn(kt, sb, argv, NULL, &fd);
	if (pid < 0)
		return -1;
	while (len + 1 < size && (n = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	(void)close(fd);
	if (waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int kt_client(struct kt *kt, struct kt_sandbox *sb, const char *args, char *out, size_t size)
{
	char text[256], *argv[32] = { (char *)kt_self(), (char[]){ "client" } }, *save = NULL, *p;
	size_t n = 2;

	(void)osh_strlcpy(text, args, sizeof(text));
	for (p = strtok_r(text, " ", &save); p && n < 31; p = strtok_r(NULL, " ", &save))
		argv[n++] = p;
	return kt_run(kt, sb, argv, out, size);
}

int kt_accept(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, 5000) != 1)
		return -1;
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static volatile sig_atomic_t running;

static void on_signal(int sig)
{
	(void)sig;
	if (running > 0)
		(void)kill((pid_t)running, SIGKILL);
}

/* What the child would have removed itself. Its pins went with its mount namespace. */
static void clean_after(pid_t child)
{
	struct kt kt = { 0 };
	char name[32];

	(void)snprintf(name, sizeof(name), "osh-kt-%d", (int)child);
	if (osh_cgroup_open(&kt.cg, name, false) == 0) {
		CHECK(osh_cgroup_sandbox_list(&kt.cg, wipe_sandbox, &kt) == 0);
		CHECK(osh_cgroup_wait_empty(kt.cg.agent_fd, 5000) == 0);
		CHECK(osh_cgroup_remove_tree(&kt.cg) == 0);
		osh_cgroup_close(&kt.cg);
	}
	(void)snprintf(kt.tmp, sizeof(kt.tmp), "/tmp/osh-kt-%d", (int)child);
	(void)rmdir(kt.tmp); /* gone already as a rule */
}

int kt_main(void (*fn)(struct kt *kt))
{
	struct sigaction sa = { .sa_handler = on_signal };
	int status, r;
	struct kt kt;
	pid_t pid;

	if (geteuid() != 0) {
		puts("skip: needs root");
		return 77;
	}
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGINT, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &sa, NULL);
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		sa.sa_handler = SIG_DFL;
		(void)sigaction(SIGTERM, &sa, NULL);
		(void)sigaction(SIGINT, &sa, NULL);
		r = kt_setup(&kt);
		if (r == 0)
			fn(&kt);
		else
			printf("setup: %s\n", strerror(-r));
		kt_teardown(&kt);
		_exit(r < 0 || kt_failures ? 1 : 0);
	}
	running = pid;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	running = 0;
	clean_after(pid);
	return WIFEXITED(status) && !kt_failures ? WEXITSTATUS(status) : 1;
}
