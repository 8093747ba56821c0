/* SPDX-License-Identifier: MIT */
#ifndef OSH_DAEMON_LIMITS_H
#define OSH_DAEMON_LIMITS_H

#include "daemon/monitor.h"

/* Write the limits of the sandbox's specification to its cgroup; all or an error. */
int osh_limits_apply(struct osh_sandbox *sb, struct osh_diag *diag) OSH_MUST_CHECK;

#endif
