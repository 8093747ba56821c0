/* SPDX-License-Identifier: MIT */
/*
 * Init's way from root to nobody in particular. Each function reports a failure on @status_fd with
 * the step's name and returns it; none may be skipped.
 */
#ifndef OSH_SANDBOX_CONFINE_H
#define OSH_SANDBOX_CONFINE_H

#include "sandbox/spec.h"

/* Session, host name, kernel settings of the namespaces, limits: still as root. */
int osh_confine_prepare(int status_fd, const struct osh_spec *spec) OSH_MUST_CHECK;
/* Descriptors, groups, bounding set, ids, no_new_privs; verified afterwards. */
int osh_confine_drop(int status_fd, const struct osh_spec *spec, const int *keep_fds,
		     unsigned int keep_count) OSH_MUST_CHECK;
/* Landlock (@ruleset -1: none) and the system call filter. The last step. */
int osh_confine_lock(int status_fd, const struct osh_spec *spec, int ruleset) OSH_MUST_CHECK;

#endif
