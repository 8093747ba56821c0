/* SPDX-License-Identifier: MIT */
/*
 * The tree was written by an untrusted program, possibly so deep that neither recursion nor a path
 * would do. So it is flattened: directories found below the top are moved up to it, emptied and
 * removed one by one, with never more than two of them open.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/sandbox.h"

struct wipe {
	int top_fd;
	uint64_t moved; /* numbers the names of moved directories */
	int result; /* the first error */
};

static void keep_error(struct wipe *w)
{
	if (!w->result)
		w->result = -errno;
}

static int open_dir(int at, const char *name)
{
	const struct {
		uint64_t flags, mode, resolve;
	} how = { O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0,
		  0x01 | 0x02 | 0x04 | 0x08 /* NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH */ };

	return (int)syscall(SYS_openat2, at, name, &how, sizeof(how));
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Move a directory to the top under a name nobody uses. */
static int hoist(struct wipe *w, int dir_fd, const char *name)
{
	char to[48];

	do {
		(void)snprintf(to, sizeof(to), ".osh-wipe-%llu", (unsigned long long)w->moved++);
		if (syscall(SYS_renameat2, dir_fd, name, w->top_fd, to, 1u /* NOREPLACE */) == 0)
			return 0;
	} while (errno == EEXIST);
	return -errno;
}

/* Files and empty directories go, other directories move to the top. */
static void empty_child(struct wipe *w, const char *name)
{
	int fd = open_dir(w->top_fd, name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!dir) {
		keep_error(w);
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((de = readdir(dir))) {
		if (is_dots(de->d_name) || unlinkat(dirfd(dir), de->d_name, 0) == 0 ||
		    unlinkat(dirfd(dir), de->d_name, AT_REMOVEDIR) == 0)
			continue;
		if (errno != ENOTEMPTY && errno != EEXIST)
			keep_error(w);
		else if (hoist(w, dirfd(dir), de->d_name) < 0)
			keep_error(w);
	}
	(void)closedir(dir);
}

/* How many entries of the top went away; -errno when it cannot be read. */
static long pass(struct wipe *w, bool *ret_empty)
{
	int fd = openat(w->top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	long gone = 0;

	if (!dir) {
		int r = -errno;

		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	*ret_empty = true;
	while ((de = readdir(dir))) {
		if (is_dots(de->d_name))
			continue;
		*ret_empty = false;
		if (unlinkat(w->top_fd, de->d_name, 0) == 0) {
			gone++;
			continue;
		}
		if (errno == EISDIR || errno == EPERM)
			empty_child(w, de->d_name);
		if (unlinkat(w->top_fd, de->d_name, AT_REMOVEDIR) == 0)
			gone++;
		else
			keep_error(w);
	}
	(void)closedir(dir);
	return gone;
}

int osh_sandbox_wipe(int state_fd)
{
	struct wipe w = { .top_fd = state_fd };
	bool empty = false;

	while (!empty) {
		long gone = pass(&w, &empty);

		if (gone < 0)
			return w.result ? w.result : (int)gone;
		if (!gone && !empty)
			return w.result ? w.result : -EBUSY;
	}
	return w.result;
}
