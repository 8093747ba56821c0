/* SPDX-License-Identifier: MIT */
/* seccomp filters of our own roles: an allow-list, everything else kills the process. */
#ifndef OSH_SANDBOX_SECCOMP_ROLE_H
#define OSH_SANDBOX_SECCOMP_ROLE_H

#include "base/macros.h"

/*
 * Allow the named system calls (NULL-terminated; names this architecture does not have are skipped)
 * and kill the process on any other, on foreign architectures and on x32. no_new_privs must be set.
 */
int osh_seccomp_role_enter(const char *const *names) OSH_MUST_CHECK;

/*
 * The opposite for the monitor, whose job needs too much to list: the named system calls fail with
 * EPERM, in it and in all it starts; foreign architectures kill.
 */
int osh_seccomp_deny(const char *const *names) OSH_MUST_CHECK;

#endif
