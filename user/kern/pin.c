/* SPDX-License-Identifier: MIT */
/* The directory of pins: on a bpffs, mode 0700. */
#include "kern/priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BPFFS_DEFAULT "/sys/fs/bpf"

int osh_pin_path(const char *dir, const char *kind, const char *name, char *ret_path, size_t size)
{
	int n = snprintf(ret_path, size, "%s/%s_%s", dir, kind, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* 1: @path is on a bpffs, 0: on something else. */
static int is_bpffs(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return -errno;
	return fs.f_type == BPF_FS_MAGIC;
}

static int mount_bpffs(const char *path, struct osh_diag *diag)
{
	int r;

	if (mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
		return 0;
	r = -errno;
	osh_diag_err(diag, 0, 0, "cannot mount bpffs at %s: %s", path, strerror(-r));
	return r;
}

/*
 * Below an existing bpffs: just the directory. Else the default place is mounted, and any other
 * directory becomes a private instance of its own.
 */
int osh_pin_prepare(const char *pin_dir, struct osh_diag *diag)
{
	char parent[PATH_MAX];
	struct stat st;
	char *slash;
	int r;

	if (pin_dir[0] != '/' || !osh_strlcpy(parent, pin_dir, sizeof(parent)))
		return -EINVAL;
	slash = strrchr(parent, '/');
	if (slash == parent || !slash[1])
		return -EINVAL;
	*slash = '\0';

	r = is_bpffs(parent);
	if (r == 0 && strcmp(parent, BPFFS_DEFAULT) == 0) {
		r = mount_bpffs(parent, diag);
		if (r < 0)
			return r;
	}
	if (r < 0) {
		osh_diag_err(diag, 0, 0, "%s: %s", parent, strerror(-r));
		return r;
	}
	if (mkdir(pin_dir, 0700) < 0 && errno != EEXIST) {
		r = -errno;
		osh_diag_err(diag, 0, 0, "cannot make %s: %s", pin_dir, strerror(-r));
		return r;
	}
	r = is_bpffs(pin_dir);
	if (r == 0) {
		r = mount_bpffs(pin_dir, diag);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	/* whoever can write here could swap the fence for something else */
	if (lstat(pin_dir, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
		osh_diag_err(diag, 0, 0, "%s belongs to somebody else", pin_dir);
		return -EPERM;
	}
	if ((st.st_mode & 077) && chmod(pin_dir, 0700) < 0)
		return -errno;
	return 0;
}

int osh_kern_unpin(const char *pin_dir)
{
	struct dirent *de;
	DIR *dir;
	int r = 0;

	dir = opendir(pin_dir);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((errno = 0, de = readdir(dir))) {
		if (strncmp(de->d_name, "map_", 4) != 0 && strncmp(de->d_name, "link_", 5) != 0)
			continue;
		if (unlinkat(dirfd(dir), de->d_name, 0) < 0)
			r = -errno;
	}
	if (errno)
		r = -errno;
	(void)closedir(dir);
	if (r < 0)
		return r;
	/* a private instance is a mount point: its mount goes with it */
	if (rmdir(pin_dir) < 0) {
		if (errno != EBUSY)
			return -errno;
		if (umount2(pin_dir, 0) < 0 || rmdir(pin_dir) < 0)
			return -errno;
	}
	return 0;
}
