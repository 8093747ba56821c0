/* SPDX-License-Identifier: MIT */
/*
 * Work that may block, in a child of the monitor's that is not waited for: it runs a function on a copy
 * of our memory, with no descriptor but those it is given, and its exit code comes back through the
 * loop. It dies with the monitor.
 */
#ifndef OSH_DAEMON_CHILD_H
#define OSH_DAEMON_CHILD_H

#include <sys/types.h>

#include "io/loop.h"

enum { OSH_CHILD_FD = 3 }; /* the first descriptor given; the next ones follow */

struct osh_child;
/* @code: exit code 0..255; -ETIMEDOUT; -ECHILD: killed by somebody else. The child is reaped. */
typedef void osh_child_done_fn(struct osh_child *child, int code);

/* Zeroed storage of the caller's; in use from start until done, or osh_child_drop(). */
struct osh_child {
	struct osh_src src; /* pidfd */
	struct osh_timer deadline;
	pid_t pid; /* 0: none runs */
	bool timed_out;
	osh_child_done_fn *done;
};

struct osh_child_job {
	int (*fn)(const void *arg); /* runs in the child; what it returns is the exit code */
	const void *arg;
	const int *fds; /* become OSH_CHILD_FD... */
	unsigned int nfds; /* at most 8 */
	int cgroup_fd; /* where to run; -1: here */
	unsigned int timeout_ms; /* then it is killed; 0: as long as it takes */
};

int osh_child_start(struct osh_loop *loop, struct osh_child *child, const struct osh_child_job *job,
		    osh_child_done_fn *done) OSH_MUST_CHECK;
/* End it early: @done is called all the same, when it is gone. */
void osh_child_kill(struct osh_child *child);
/* Kill and forget it: no @done. Waits for its end, which SIGKILL makes short. */
void osh_child_drop(struct osh_child *child);

#endif
