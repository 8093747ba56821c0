/* SPDX-License-Identifier: MIT */
/* Proof, not belief, that the fence stands: before the daemon is ready, and on a timer. */
#ifndef OSH_DAEMON_CANARY_H
#define OSH_DAEMON_CANARY_H

#include "daemon/monitor.h"

struct osh_canary;
/*
 * @err 0: refused, as it must be; -EPERM: something got through or a program is missing, @diag says
 * what; other: it could not tell.
 */
typedef void osh_canary_fn(struct osh_canary *canary, int err, const struct osh_diag *diag);

/* Zeroed storage of whoever asks. */
struct osh_canary {
	struct osh_list node;
	osh_canary_fn *done;
};

/*
 * A child in a cgroup under <agent>/sandboxes, in a network namespace that is no sandbox's, tries to
 * reach a listener of ours: it must be refused by the programs (not by routing), and so must a
 * socket of another family. @done is called once, from the loop, after at most 8 s. Whoever asks
 * while a canary is out gets the answer of the next one.
 */
void osh_canary_send(struct osh_monitor *m, struct osh_canary *canary, osh_canary_fn *done);
/* Not interested any more. */
void osh_canary_forget(struct osh_canary *canary);
/* At stop: nobody is answered any more. */
void osh_canary_stop(struct osh_monitor *m);

#endif
