/* SPDX-License-Identifier: MIT */
/* seccomp filters of our own roles: an allow-list, everything else kills the process. */
#ifndef OSH_SANDBOX_SECCOMP_ROLE_H
#define OSH_SANDBOX_SECCOMP_ROLE_H

#include <stdbool.h>

#include "base/macros.h"

/*
 * Allow the named system calls (NULL-terminated; names this architecture does not have are skipped)
 * and kill the process on any other, on foreign architectures and on x32. With @log_only they are
 * logged by the kernel instead: for finding out what a role needs. no_new_privs must be set.
 */
int osh_seccomp_role_enter(const char *const *names, bool log_only) OSH_MUST_CHECK;

#endif
