/* SPDX-License-Identifier: MIT */
/* The exact binaries of a policy that are symlinks in the sandbox (reference 3.3). */
#ifndef OSH_DAEMON_ALIAS_H
#define OSH_DAEMON_ALIAS_H

#include <sys/types.h>

#include "policy/image.h"
#include "policy/model.h"

/*
 * For each exact path in a `binaries` list that leads elsewhere in the root of process @pid: the
 * pair (path, where it leads), in @arena. A path that leads nowhere has none; the kernel names an
 * executable by where it is, so such an entry matches nothing until a later revision is loaded.
 * Links that belong to the sandbox's user are not followed: it would choose who is meant.
 * -ENOMEM, or the errno of opening the root.
 */
int osh_alias_collect(pid_t pid, const struct osh_policy *policy, struct osh_arena *arena,
		      const struct osh_image_alias **ret_aliases, size_t *ret_count) OSH_MUST_CHECK;

#endif
