/* SPDX-License-Identifier: MIT */
#include "sys/cgroup.h"

#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* One path component, and none that the cgroup file system uses itself ("cgroup.procs"). */
static bool name_is_valid(const char *name)
{
	size_t n = strnlen(name, OSH_CGROUP_NAME_MAX);
	size_t i;

	if (!n || n == OSH_CGROUP_NAME_MAX || name[0] == '.')
		return false;
	if (strncmp(name, "cgroup.", 7) == 0)
		return false;
	for (i = 0; i < n; i++)
		if (!osh_is_alnum(name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

int osh_cgroup_mount(char *ret_path, size_t size)
{
	char line[2 * PATH_MAX];
	int r = -ENOENT;
	FILE *f;

	f = fopen("/proc/self/mounts", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *save = NULL, *dir, *type;

		(void)strtok_r(line, " ", &save); /* source */
		dir = strtok_r(NULL, " ", &save);
		type = strtok_r(NULL, " ", &save);
		if (!dir || !type || strcmp(type, "cgroup2") != 0)
			continue;
		/* blanks are \040 there; no such mount point is worth decoding */
		if (strchr(dir, '\\'))
			continue;
		r = osh_strlcpy(ret_path, dir, size) ? 0 : -ENAMETOOLONG;
		break;
	}
	(void)fclose(f); /* read only */
	return r;
}

/* Our own cgroup below the mount ("0::/path" of /proc/self/cgroup). */
static int own_cgroup(const char *proc, char *ret_path, size_t size)
{
	char line[PATH_MAX + 16];
	int r = -ENOENT;
	FILE *f;

	f = fopen(proc, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		r = osh_strlcpy(ret_path, line + 3, size) ? 0 : -ENAMETOOLONG;
		break;
	}
	(void)fclose(f); /* read only */
	return r;
}

static bool is_delegated(int fd)
{
	char v = 0;

	return (fgetxattr(fd, "trusted.delegate", &v, 1) == 1 && v == '1') ||
	       (fgetxattr(fd, "user.delegate", &v, 1) == 1 && v == '1');
}

static int open_subdir(int dirfd, const char *name, bool make)
{
	int fd;

	if (make && mkdirat(dirfd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dirfd, name, DIR_FLAGS);
	return fd < 0 ? -errno : fd;
}

/* Our delegated cgroup; a daemon already moved into <agent>/daemon means the one above. */
static int open_delegated(const char *mount, char *ret_path, size_t size)
{
	char own[PATH_MAX];
	char *slash;
	int fd, n, r;

	r = own_cgroup("/proc/self/cgroup", own, sizeof(own));
	if (r < 0)
		return r;
	slash = strrchr(own, '/');
	if (slash && strcmp(slash, "/daemon") == 0)
		*slash = '\0';
	n = snprintf(ret_path, size, "%s%s", mount, own);
	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	fd = open(ret_path, DIR_FLAGS);
	if (fd < 0)
		return -errno;
	if (!is_delegated(fd)) {
		(void)close(fd);
		return -ENOENT;
	}
	return fd;
}

int osh_cgroup_open(struct osh_cgroup *cg, const char *agent_name, bool use_delegated)
{
	osh_auto_close int agent = -1, daemon = -1, sandboxes = -1;
	char mount[PATH_MAX], path[PATH_MAX];
	bool delegated = false;
	int r, n;

	if (!name_is_valid(agent_name))
		return -EINVAL;
	r = osh_cgroup_mount(mount, sizeof(mount));
	if (r < 0)
		return r;
	if (use_delegated) {
		agent = open_delegated(mount, path, sizeof(path));
		delegated = agent >= 0;
	}
	if (agent < 0) {
		n = snprintf(path, sizeof(path), "%s/%s", mount, agent_name);
		if (n < 0 || (size_t)n >= sizeof(path))
			return -ENAMETOOLONG;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		agent = open(path, DIR_FLAGS);
		if (agent < 0)
			return -errno;
	}
	daemon = open_subdir(agent, "daemon", true);
	if (daemon < 0)
		return daemon;
	sandboxes = open_subdir(agent, "sandboxes", true);
	if (sandboxes < 0)
		return sandboxes;

	(void)osh_strlcpy(cg->agent_path, path, sizeof(cg->agent_path)); /* same size */
	cg->delegated = delegated;
	cg->agent_fd = osh_take_fd(&agent);
	cg->daemon_fd = osh_take_fd(&daemon);
	cg->sandboxes_fd = osh_take_fd(&sandboxes);
	return 0;
}

void osh_cgroup_close(struct osh_cgroup *cg)
{
	/* a zeroed struct holds no descriptor 0: agent_path is empty then */
	if (cg->agent_path[0]) {
		osh_close_ptr(&cg->agent_fd);
		osh_close_ptr(&cg->daemon_fd);
		osh_close_ptr(&cg->sandboxes_fd);
	}
	cg->agent_fd = cg->daemon_fd = cg->sandboxes_fd = -1;
	cg->agent_path[0] = '\0';
}

int osh_cgroup_remove_tree(struct osh_cgroup *cg)
{
	if (unlinkat(cg->agent_fd, "sandboxes", AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(cg->agent_fd, "daemon", AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	if (!cg->delegated && rmdir(cg->agent_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int write_file(int dirfd, const char *name, const char *text)
{
	osh_auto_close int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Whole small file as a string. */
static int read_file(int dirfd, const char *name, char *ret_text, size_t size)
{
	osh_auto_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, ret_text, size - 1);
	if (n < 0)
		return -errno;
	ret_text[n] = '\0';
	return 0;
}

int osh_cgroup_move(int cgroup_fd, pid_t pid)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", (int)pid); /* fits */
	return write_file(cgroup_fd, "cgroup.procs", text);
}

int osh_cgroup_enter_daemon(const struct osh_cgroup *cg)
{
	return osh_cgroup_move(cg->daemon_fd, 0);
}

int osh_cgroup_sandbox_create(const struct osh_cgroup *cg, const char *name, int *ret_fd)
{
	int fd;

	if (!name_is_valid(name))
		return -EINVAL;
	if (mkdirat(cg->sandboxes_fd, name, 0755) < 0)
		return -errno;
	fd = openat(cg->sandboxes_fd, name, DIR_FLAGS);
	if (fd < 0) {
		int r = -errno;

		(void)unlinkat(cg->sandboxes_fd, name, AT_REMOVEDIR); /* just made, empty */
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int osh_cgroup_sandbox_open(const struct osh_cgroup *cg, const char *name, int *ret_fd)
{
	int fd;

	if (!name_is_valid(name))
		return -EINVAL;
	fd = openat(cg->sandboxes_fd, name, DIR_FLAGS);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int osh_cgroup_sandbox_remove(const struct osh_cgroup *cg, const char *name)
{
	if (!name_is_valid(name))
		return -EINVAL;
	if (unlinkat(cg->sandboxes_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int osh_cgroup_sandbox_list(const struct osh_cgroup *cg, int (*fn)(const char *name, void *arg),
			    void *arg)
{
	struct dirent *de;
	int fd, r = 0;
	DIR *dir;

	fd = openat(cg->sandboxes_fd, ".", DIR_FLAGS);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	while (r >= 0 && (errno = 0, de = readdir(dir))) {
		if (de->d_type == DT_DIR && name_is_valid(de->d_name))
			r = fn(de->d_name, arg);
	}
	if (r >= 0 && errno)
		r = -errno;
	(void)closedir(dir);
	return r < 0 ? r : 0;
}

int osh_cgroup_pids(int cgroup_fd, pid_t *ret_pids, size_t max)
{
	osh_auto_close int fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	int count = 0;
	char line[32];
	FILE *f;

	if (fd < 0)
		return -errno;
	f = fdopen(fd, "r");
	if (!f)
		return -errno;
	(void)osh_take_fd(&fd);
	while (fgets(line, sizeof(line), f)) {
		uint64_t pid;

		line[strcspn(line, "\n")] = '\0';
		/* 0: a process our pid namespace does not show */
		if (osh_parse_u64(osh_str(line), INT_MAX, &pid) < 0)
			continue;
		if ((size_t)count < max)
			ret_pids[count] = (pid_t)pid;
		count++;
	}
	(void)fclose(f); /* read only */
	return count;
}

static int kill_one_by_one(int cgroup_fd)
{
	pid_t pids[256];
	int n, i, round;

	/* a process may fork between reading and killing: a few rounds outrun it or report it */
	for (round = 0; round < 64; round++) {
		n = osh_cgroup_pids(cgroup_fd, pids, OSH_ARRAY_SIZE(pids));
		if (n <= 0)
			return n;
		for (i = 0; i < OSH_MIN(n, (int)OSH_ARRAY_SIZE(pids)); i++)
			if (pids[i] > 0)
				(void)kill(pids[i], SIGKILL); /* gone already is as good */
	}
	return 0;
}

int osh_cgroup_kill(int cgroup_fd)
{
	int r = write_file(cgroup_fd, "cgroup.kill", "1");

	return r == -ENOENT ? kill_one_by_one(cgroup_fd) : r;
}

int osh_cgroup_is_empty(int cgroup_fd)
{
	char text[256];
	char *p;
	int r;

	r = read_file(cgroup_fd, "cgroup.events", text, sizeof(text));
	if (r < 0)
		return r;
	p = strstr(text, "populated ");
	if (!p)
		return -EPROTO;
	return p[strlen("populated ")] == '0';
}

int osh_cgroup_events_fd(int cgroup_fd, int *ret_fd)
{
	int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int osh_cgroup_wait_empty(int cgroup_fd, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	osh_auto_close int fd = -1;
	int r;

	r = osh_cgroup_events_fd(cgroup_fd, &fd);
	if (r < 0)
		return r;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		int64_t left = deadline - now_ms();
		char text[256];

		/* reading is what re-arms POLLPRI */
		if (pread(fd, text, sizeof(text), 0) < 0)
			return -errno;
		r = osh_cgroup_is_empty(cgroup_fd);
		if (r)
			return r < 0 ? r : 0;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
}

int osh_cgroup_id(int cgroup_fd, uint64_t *ret_id)
{
	struct stat st;

	/* the inode number is the kernfs id on 64-bit hosts */
	if (fstat(cgroup_fd, &st) < 0)
		return -errno;
	*ret_id = st.st_ino;
	return 0;
}

int osh_cgroup_pid_is_sandboxed(const struct osh_cgroup *cg, pid_t pid)
{
	char proc[64], own[PATH_MAX], mount[PATH_MAX], base[PATH_MAX];
	const char *below;
	size_t n;
	int r;

	(void)snprintf(proc, sizeof(proc), "/proc/%d/cgroup", (int)pid); /* fits */
	r = own_cgroup(proc, own, sizeof(own));
	if (r < 0)
		return r;
	r = osh_cgroup_mount(mount, sizeof(mount));
	if (r < 0)
		return r;
	if (strncmp(cg->agent_path, mount, strlen(mount)) != 0)
		return -EPROTO;
	below = cg->agent_path + strlen(mount);
	r = snprintf(base, sizeof(base), "%s/sandboxes", below);
	if (r < 0 || (size_t)r >= sizeof(base))
		return -ENAMETOOLONG;
	n = strlen(base);
	return strncmp(own, base, n) == 0 && (own[n] == '/' || own[n] == '\0');
}

int osh_cgroup_pidfd_is_sandboxed(const struct osh_cgroup *cg, pid_t pid, int pidfd)
{
	osh_auto_close int own = -1;
	int r;

	if (pid <= 0)
		return -ESRCH;
	if (pidfd < 0) {
		own = (int)syscall(SYS_pidfd_open, pid, 0);
		if (own < 0)
			return -errno;
		pidfd = own;
	}
	r = osh_cgroup_pid_is_sandboxed(cg, pid);
	if (r < 0)
		return r;
	/* not reaped yet: its number was its own while /proc was read */
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0)
		return -errno;
	return r;
}
