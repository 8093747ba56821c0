/* SPDX-License-Identifier: MIT */
/*
 * The mount API by descriptors (fsopen and friends): trees are made and restricted while nobody can
 * see them and appear in one step. Thin wrappers; libc of Debian 12 has some, not all.
 */
#ifndef OSH_SANDBOX_MNT_H
#define OSH_SANDBOX_MNT_H

#include <stdint.h>

#include "base/macros.h"

enum osh_mnt_attr {
	OSH_MNT_RDONLY = 1u << 0,
	OSH_MNT_NOSUID = 1u << 1,
	OSH_MNT_NODEV = 1u << 2,
	OSH_MNT_NOEXEC = 1u << 3,
};

struct osh_mnt_option {
	const char *key;
	const char *value; /* NULL: a flag */
};

/* A detached instance of a file system; options end with a NULL key. */
int osh_mnt_new(const char *fstype, const struct osh_mnt_option *options, unsigned int attrs,
		int *ret_fd) OSH_MUST_CHECK;
/* Detached copy of what is at @fd, submounts included, private, with @attrs on every part. */
int osh_mnt_copy(int fd, unsigned int attrs, int *ret_fd) OSH_MUST_CHECK;
/* Put the detached @mnt_fd on what @target_fd refers to. */
int osh_mnt_attach(int mnt_fd, int target_fd) OSH_MUST_CHECK;
/* Add @attrs to the one mount whose root is @fd. */
int osh_mnt_restrict(int fd, unsigned int attrs) OSH_MUST_CHECK;

#endif
