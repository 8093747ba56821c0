/* SPDX-License-Identifier: MIT */
/*
 * Landlock by its system calls, sized by the kernel's ABI: a ruleset handles every right the kernel
 * knows, so that what no rule grants is refused. Constants are our own: Debian 12's headers end at
 * ABI 2.
 */
#ifndef OSH_SANDBOX_LANDLOCK_H
#define OSH_SANDBOX_LANDLOCK_H

#include "base/macros.h"

enum osh_landlock_access {
	OSH_LANDLOCK_LIST = 0, /* directory names only */
	OSH_LANDLOCK_READ = 1, /* read, execute, list */
	OSH_LANDLOCK_WRITE = 2, /* everything */
};

/* 0: Landlock is not there or switched off. */
unsigned int osh_landlock_abi(void);
/* Ruleset for @abi (at least 1); close-on-exec. -errno of the kernel. */
int osh_landlock_new(unsigned int abi, int *ret_ruleset) OSH_MUST_CHECK;
/* @fd: O_PATH descriptor; rights are cut to what fits a file when it is not a directory. */
int osh_landlock_allow(int ruleset, unsigned int abi, int fd,
		       enum osh_landlock_access access) OSH_MUST_CHECK;
/* For good, for this thread and all it starts; needs no_new_privs. */
int osh_landlock_restrict(int ruleset) OSH_MUST_CHECK;

#endif
