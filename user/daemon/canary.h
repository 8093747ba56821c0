/* SPDX-License-Identifier: MIT */
/* Proof, not belief, that the fence stands: before the daemon is ready, and on a timer. */
#ifndef OSH_DAEMON_CANARY_H
#define OSH_DAEMON_CANARY_H

#include "daemon/monitor.h"

/*
 * A child in a cgroup under <agent>/sandboxes, in a network namespace that is no sandbox's, tries to
 * reach a listener of ours: it must be refused by the programs (not by routing), and so must a
 * socket of another family. 0: refused; -EPERM: something got through or a program is missing, @diag
 * says what.
 */
int osh_canary_run(struct osh_monitor *m, struct osh_diag *diag) OSH_MUST_CHECK;

#endif
