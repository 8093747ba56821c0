/* SPDX-License-Identifier: MIT */
/*
 * The sandbox's file system: built by init, as root, in its new mount namespace, then entered for
 * good. Failures are reported on the status socket with the step's name before they are returned.
 */
#ifndef OSH_SANDBOX_ROOT_H
#define OSH_SANDBOX_ROOT_H

#include "sandbox/fslist.h"
#include "sandbox/spec.h"

struct osh_root {
	const struct osh_spec *spec;
	int status_fd;
	int state_fd; /* the caller's, only compared with */
	struct osh_fs_set set; /* what is shown; for the Landlock rules */
};

/* On return "/" is the sandbox's root and nothing of the host's mounts is left. */
int osh_root_enter(struct osh_root *root) OSH_MUST_CHECK;
/*
 * Landlock ruleset for what osh_root_enter() made; *ret_ruleset is -1 and *ret_abi 0 when the kernel
 * has no Landlock and the policy does not insist.
 */
int osh_root_landlock(struct osh_root *root, unsigned int *ret_abi,
		      int *ret_ruleset) OSH_MUST_CHECK;
void osh_root_fini(struct osh_root *root);

#endif
