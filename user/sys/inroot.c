/* SPDX-License-Identifier: MIT */
#include "sys/inroot.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "base/str.h"

/* A path being worked through: what is settled, and what is still to be looked at. */
struct walk {
	char done[PATH_MAX]; /* "" is the root */
	char rest[2 * PATH_MAX];
	uid_t distrusted;
	bool loose; /* a folder on the way is one where @distrusted can put what it likes */
};

static int open_nofollow(int root_fd, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* Can @w->distrusted add, replace or move what is in the folder, as far as owner and mode say? */
static bool is_loose(const struct walk *w, int fd, const struct stat *st)
{
	struct statvfs fs;

	if (w->distrusted == (uid_t)-1 || !S_ISDIR(st->st_mode) ||
	    (st->st_uid != w->distrusted && !(st->st_mode & (S_IWGRP | S_IWOTH))))
		return false;
	return fstatvfs(fd, &fs) < 0 || !(fs.f_flag & ST_RDONLY);
}

/*
 * Target of the symlink @path, or 0 when it is something else. Length on success. -EPERM: a link
 * that w->distrusted made, or could have moved there.
 */
static int read_link(struct walk *w, int root_fd, const char *path, char target[PATH_MAX])
{
	osh_auto_close int fd = open_nofollow(root_fd, path);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode)) {
		w->loose = w->loose || is_loose(w, fd, &st);
		return 0;
	}
	if (w->loose || st.st_uid == w->distrusted)
		return -EPERM;
	n = readlinkat(fd, "", target, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	return (int)n;
}

static void pop(char *done)
{
	char *slash = strrchr(done, '/');

	if (slash)
		*slash = '\0';
}

/* One component, "" at the end; w->rest loses it. */
static int next_component(struct walk *w, char name[NAME_MAX + 1])
{
	const char *p = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(p, "/");

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, p, n);
	name[n] = '\0';
	memmove(w->rest, p + n, strlen(p + n) + 1);
	return 0;
}

/* A symlink's target goes in front of what is left. */
static int follow(struct walk *w, const char *target)
{
	char rest[2 * PATH_MAX];
	int n = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);

	if (n < 0 || (size_t)n >= sizeof(rest))
		return -ENAMETOOLONG;
	memcpy(w->rest, rest, (size_t)n + 1);
	if (target[0] == '/')
		w->done[0] = '\0';
	return 0;
}

static int step(struct walk *w, int root_fd, const char *name, unsigned int *links)
{
	char next[PATH_MAX], target[PATH_MAX];
	int n, r;

	if (!strcmp(name, "."))
		return 0;
	if (!strcmp(name, "..")) {
		pop(w->done);
		return 0;
	}
	n = snprintf(next, sizeof(next), "%s/%s", w->done, name);
	if (n < 0 || (size_t)n >= sizeof(next))
		return -ENAMETOOLONG;
	r = read_link(w, root_fd, next, target);
	if (r < 0)
		return r;
	if (r > 0) {
		if (++*links > OSH_INROOT_LINKS_MAX)
			return -ELOOP;
		return follow(w, target);
	}
	memcpy(w->done, next, (size_t)n + 1);
	return 0;
}

int osh_inroot_resolve(int root_fd, const char *path, uid_t distrusted, char *dst, size_t size)
{
	struct walk w = { .done = "", .distrusted = distrusted };
	char name[NAME_MAX + 1], link[PATH_MAX];
	unsigned int links = 0;
	int r;

	if (path[0] != '/')
		return -EINVAL;
	if (!osh_strlcpy(w.rest, path, sizeof(w.rest)))
		return -ENAMETOOLONG;
	/* the root itself */
	r = read_link(&w, root_fd, "/", link);
	if (r < 0)
		return r;
	for (;;) {
		r = next_component(&w, name);
		if (r < 0)
			return r;
		if (!name[0])
			break;
		r = step(&w, root_fd, name, &links);
		if (r < 0)
			return r;
	}
	if (strlen(w.done) + 1 > size)
		return -ENAMETOOLONG;
	(void)osh_strlcpy(dst, w.done[0] ? w.done : "/", size); /* fits */
	return 0;
}
