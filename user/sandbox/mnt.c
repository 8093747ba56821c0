/* SPDX-License-Identifier: MIT */
#include "sandbox/mnt.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>

/* <sys/mount.h> and <linux/mount.h> cannot be included together with every libc: use one. */
#ifndef MS_PRIVATE
#define MS_PRIVATE (1 << 18)
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static uint64_t to_kernel(unsigned int attrs)
{
	uint64_t k = 0;

	if (attrs & OSH_MNT_RDONLY)
		k |= MOUNT_ATTR_RDONLY;
	if (attrs & OSH_MNT_NOSUID)
		k |= MOUNT_ATTR_NOSUID;
	if (attrs & OSH_MNT_NODEV)
		k |= MOUNT_ATTR_NODEV;
	if (attrs & OSH_MNT_NOEXEC)
		k |= MOUNT_ATTR_NOEXEC;
	return k;
}

int osh_mnt_new(const char *fstype, const struct osh_mnt_option *options, unsigned int attrs,
		int *ret_fd)
{
	osh_auto_close int fs = (int)syscall(SYS_fsopen, fstype, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return -errno;
	for (; options && options->key; options++) {
		unsigned int cmd = options->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

		if (syscall(SYS_fsconfig, fs, cmd, options->key, options->value, 0) < 0)
			return -errno;
	}
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned int)to_kernel(attrs));
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int osh_mnt_copy(int fd, unsigned int attrs, int *ret_fd)
{
	struct mount_attr attr = { .attr_set = to_kernel(attrs), .propagation = MS_PRIVATE };
	osh_auto_close int tree = (int)syscall(SYS_open_tree, fd, "",
					       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
						       AT_RECURSIVE);

	if (tree < 0)
		return -errno;
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
		    sizeof(attr)) < 0)
		return -errno;
	*ret_fd = osh_take_fd(&tree);
	return 0;
}

int osh_mnt_attach(int mnt_fd, int target_fd)
{
	if (syscall(SYS_move_mount, mnt_fd, "", target_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int osh_mnt_restrict(int fd, unsigned int attrs)
{
	struct mount_attr attr = { .attr_set = to_kernel(attrs) };

	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}
