/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a killed cgroup to be empty without standing still: the kernel says when
 * (cgroup.events), and how long it takes is nobody else's business.
 */
#ifndef OSH_DAEMON_EMPTYING_H
#define OSH_DAEMON_EMPTYING_H

#include "io/loop.h"

struct osh_emptying;
typedef void osh_emptying_fn(struct osh_emptying *e);

/* Zeroed storage of the caller's. */
struct osh_emptying {
	struct osh_loop *loop; /* NULL: not under way */
	struct osh_src src; /* cgroup.events */
	struct osh_timer late, look;
	int cgroup_fd; /* borrowed; -1: there is none, which is empty */
	osh_emptying_fn *is_empty, *is_late;
};

/*
 * Call @is_empty once, from the loop and never from here, when no process is left in @cgroup_fd; and
 * before that, once, @is_late (may be NULL) if it has not happened after @late_ms.
 */
void osh_emptying_start(struct osh_loop *loop, struct osh_emptying *e, int cgroup_fd,
			unsigned int late_ms, osh_emptying_fn *is_empty, osh_emptying_fn *is_late);
/* Forget it; neither is called any more. */
void osh_emptying_stop(struct osh_emptying *e);

#endif
