/* SPDX-License-Identifier: MIT */
/*
 * What a role gives up before it reads its first message: user, capabilities, files (Landlock with
 * no rule: not one can be opened), system calls (allow-list per role).
 */
#ifndef OSH_DAEMON_CONFINE_H
#define OSH_DAEMON_CONFINE_H

#include <sys/types.h>

#include "base/macros.h"

enum osh_role_kind {
	OSH_ROLE_PROXY = 0,
	OSH_ROLE_SIGNER,
};

/* Called as root, once, at the start of a role's main. Any failure: the role must not start. */
int osh_confine_role(enum osh_role_kind kind, uid_t uid, gid_t gid) OSH_MUST_CHECK;

/*
 * The monitor, once, before it starts anything: capabilities cut to what it uses, no new ones by
 * exec, a list of system calls that neither it nor a child ever needs.
 */
int osh_confine_monitor(void) OSH_MUST_CHECK;

#endif
