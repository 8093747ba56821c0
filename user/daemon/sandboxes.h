/* SPDX-License-Identifier: MIT */
/*
 * Inside of the sandboxes: sandboxes.c brings them up, down.c takes them down, adopt.c finds those that
 * an earlier daemon left. Nothing here waits: whoever asked is told when it is done.
 */
#ifndef OSH_DAEMON_SANDBOXES_H
#define OSH_DAEMON_SANDBOXES_H

#include "daemon/monitor.h"

enum osh_sb_op_kind {
	OSH_SB_OP_NONE = 0,
	OSH_SB_OP_START,
	OSH_SB_OP_STOP,
	OSH_SB_OP_DELETE,
};

/* What somebody asked for and is not done yet; one per sandbox. */
struct osh_sb_op {
	enum osh_sb_op_kind kind;
	osh_sb_done_fn *done; /* NULL: nobody waits (any more) */
	void *arg;
};

/* NULL: refused, @done was told why. */
struct osh_sb_op *osh_sb_op_begin(struct osh_sandbox *sb, enum osh_sb_op_kind kind,
				  osh_sb_done_fn *done, void *arg);
/* Forget it and tell whoever waits. */
void osh_sb_op_end(struct osh_sandbox *sb, int err, const char *message);

/*
 * Everything of a running sandbox but its row and files: connections and names at once, processes
 * killed, kernel tables and cgroup when the last of them is gone. Then @goal is reached, and the
 * operation under way, if any, ends with @err and @reason. Asked again meanwhile, the higher goal wins.
 */
void osh_sb_down(struct osh_sandbox *sb, enum osh_sb_goal goal, int err, const char *reason);

/* Its folder, and the place where init listens (@listen: the listening socket too). */
int osh_sb_open_dirs(struct osh_sandbox *sb, bool listen) OSH_MUST_CHECK;
/* Nothing of an earlier run is left: go on with the start. */
void osh_sb_bring_up(struct osh_sandbox *sb);
/* Init waits or runs and the listeners exist: tell kernel and proxies. */
int osh_sb_register(struct osh_sandbox *sb) OSH_MUST_CHECK;
void osh_sb_free(struct osh_sandbox *sb);

#endif
