/* SPDX-License-Identifier: MIT */
/*
 * Taking sandboxes down. Processes die when the kernel has time for it, files of theirs may be many:
 * neither is waited for. A sandbox that cannot be emptied keeps its name, its cgroup and with it the
 * fence, and is finished whenever it can be.
 */
#include "daemon/sandboxes.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "daemon/fdstore.h"
#include "tls/ca.h"

enum { LATE_MS = 5000 };

/* ---- operations ---- */

struct osh_sb_op *osh_sb_op_begin(struct osh_sandbox *sb, enum osh_sb_op_kind kind,
				  osh_sb_done_fn *done, void *arg)
{
	struct osh_sb_op *op;

	if (sb->op || (sb->down.goal && kind == OSH_SB_OP_START)) {
		if (done)
			done(sb, -EBUSY,
			     sb->op ? "another operation on this sandbox is under way"
				    : "processes of its last run have not ended yet",
			     arg);
		return NULL;
	}
	op = calloc(1, sizeof(*op));
	if (!op) {
		if (done)
			done(sb, -ENOMEM, "out of memory", arg);
		return NULL;
	}
	*op = (struct osh_sb_op){ .kind = kind, .done = done, .arg = arg };
	sb->op = op;
	return op;
}

/* Whoever waits is told now; what was asked for goes on. */
static void answer_early(struct osh_sandbox *sb, int err, const char *message)
{
	osh_sb_done_fn *done = sb->op ? sb->op->done : NULL;

	if (!done)
		return;
	sb->op->done = NULL;
	done(sb, err, message, sb->op->arg);
}

void osh_sb_op_end(struct osh_sandbox *sb, int err, const char *message)
{
	struct osh_sb_op *op = osh_take_ptr(&sb->op);
	osh_sb_done_fn *done = op ? op->done : NULL;
	void *arg = op ? op->arg : NULL;

	free(op);
	if (done)
		done(sb, err, message, arg);
}

/* ---- the goals ---- */

static void reached(struct osh_sandbox *sb)
{
	osh_auto_free char *reason = osh_take_ptr(&sb->down.reason);
	enum osh_sb_goal goal = sb->down.goal;
	const char *text = reason ? reason : "";
	int err = sb->down.err;

	sb->down.goal = OSH_SB_GOAL_NONE;
	if (goal == OSH_SB_GOAL_START) {
		osh_sb_bring_up(sb);
		return;
	}
	if (goal == OSH_SB_GOAL_STOPPED && sb->op)
		osh_events_life(sb->m, sb, OSH_REC_ACT_STOP, "Sandbox stopped");
	osh_sb_set_phase(sb, goal == OSH_SB_GOAL_STOPPED ? OSH_PHASE_STOPPED : OSH_PHASE_ERROR,
			 text);
	osh_sb_op_end(sb, err, text);
}

static void not_deleted(struct osh_sandbox *sb, int err)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "cannot remove its files: %s", strerror(-err));
	sb->deleting = false;
	sb->down.goal = OSH_SB_GOAL_NONE;
	osh_sb_set_phase(sb, OSH_PHASE_ERROR, text);
	osh_sb_op_end(sb, err, text);
}

static void deleted(struct osh_sandbox *sb)
{
	struct osh_sb_op *op = osh_take_ptr(&sb->op);
	osh_sb_done_fn *done = op ? op->done : NULL;
	void *arg = op ? op->arg : NULL;
	struct osh_monitor *m = sb->m;

	osh_events_life(m, sb, OSH_REC_ACT_DELETE, "Sandbox deleted");
	free(op);
	osh_events_sandbox_gone(m, sb);
	osh_sb_free(sb);
	if (done)
		done(NULL, 0, "", arg);
}

static int wipe_files(const void *arg)
{
	(void)arg;
	return -osh_sandbox_wipe(OSH_CHILD_FD);
}

static void wiped(struct osh_child *child, int code)
{
	struct osh_sandbox *sb = osh_container_of(child, struct osh_sandbox, down.wipe);
	char path[4096];
	int r = code < 0 ? code : -code;

	(void)snprintf(path, sizeof(path), "%s/sandboxes/%s", sb->m->cfg.state_dir.p, sb->name);
	if (r == 0 && rmdir(path) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0)
		r = osh_state_sandbox_del(sb->m->state, sb->name);
	if (r < 0)
		not_deleted(sb, r);
	else
		deleted(sb);
}

/* What is left of a sandbox once nothing runs: key, files, row. How many files is its own doing. */
static void remove_traces(struct osh_sandbox *sb)
{
	struct osh_child_job job = { .fn = wipe_files, .cgroup_fd = -1, .nfds = 1 };
	int r;

	/* the signer forgets the key; the file must go even if there is no signer at the moment */
	osh_signer_drop_ca(sb);
	r = osh_ca_remove(sb->m->signer_dir_fd, osh_str(sb->name));
	if (r == 0)
		r = osh_sb_open_dirs(sb, false);
	job.fds = &sb->state_fd;
	if (r == 0)
		r = osh_child_start(sb->m->loop, &sb->down.wipe, &job, wiped);
	if (r < 0)
		not_deleted(sb, r);
}

/* ---- down ---- */

static void cut_off(struct osh_sandbox *sb)
{
	struct osh_msg_sandbox msg = { .id = sb->id };
	int r;

	osh_sessions_end(sb);
	osh_publish_cancel(sb);
	(void)osh_strlcpy(msg.name, sb->name, sizeof(msg.name));
	osh_proxies_send(sb->m, OSH_MSG_SANDBOX_DEL, &msg, sizeof(msg), NULL, 0);
	osh_src_del(&sb->proc_src);
	r = sb->cgroup_fd < 0 ? 0 : osh_cgroup_kill(sb->cgroup_fd);
	if (r < 0)
		osh_log_warn_errno(r, "cannot kill the processes of sandbox %s", OSH_Q(sb->name));
}

static void forget(struct osh_sandbox *sb)
{
	struct osh_monitor *m = sb->m;
	int r;

	if (sb->cgroup_fd >= 0) {
		osh_close_ptr(&sb->cgroup_fd);
		r = osh_cgroup_sandbox_remove(&m->cg, sb->name);
		if (r < 0)
			osh_log_warn_errno(r, "cannot remove the cgroup of sandbox %s",
					   OSH_Q(sb->name));
	}
	r = osh_kern_sandbox_remove(m->kern, sb->id);
	if (r < 0)
		osh_log_warn_errno(r, "cannot remove sandbox %s from the kernel tables",
				   OSH_Q(sb->name));
	osh_idents_forget(m, sb->id);
	osh_names_free(sb);
	osh_fdstore_drop(sb);
	osh_sandbox_listeners_fini(&sb->lst);
	osh_sandbox_proc_fini(&sb->proc);
	osh_close_ptr(&sb->init_listen_fd);
	if (sb->init_path[0])
		(void)unlink(sb->init_path); /* may be gone */
}

static void on_empty(struct osh_emptying *e)
{
	struct osh_sandbox *sb = osh_container_of(e, struct osh_sandbox, down.emptying);

	forget(sb);
	if (sb->down.goal == OSH_SB_GOAL_DELETED)
		remove_traces(sb);
	else
		reached(sb);
}

static void on_late(struct osh_emptying *e)
{
	struct osh_sandbox *sb = osh_container_of(e, struct osh_sandbox, down.emptying);

	osh_log_warn("processes of sandbox %s do not end; it keeps its cgroup until they have",
		     OSH_Q(sb->name));
	osh_events_log(sb->m, sb, OSH_REC_WARN,
		       "Processes were killed but do not end; waiting for them");
	if (sb->down.goal == OSH_SB_GOAL_START) {
		osh_sb_down(sb, OSH_SB_GOAL_STOPPED, -EBUSY,
			    "processes of its last run do not end");
		osh_sb_set_phase(sb, OSH_PHASE_STOPPING, "processes of its last run do not end");
	}
	answer_early(sb, -ETIMEDOUT,
		     "its processes were killed but do not end (see D in the output of ps); what "
		     "was asked for is done as soon as they have");
}

void osh_sb_down(struct osh_sandbox *sb, enum osh_sb_goal goal, int err, const char *reason)
{
	bool under_way = sb->down.goal != OSH_SB_GOAL_NONE;

	if (goal > sb->down.goal) {
		sb->down.goal = goal;
		sb->down.err = err;
		free(sb->down.reason);
		sb->down.reason = strdup(reason); /* without memory: without a reason */
	}
	if (under_way)
		return;
	cut_off(sb); /* may raise the goal */
	osh_emptying_start(sb->m->loop, &sb->down.emptying, sb->cgroup_fd, LATE_MS, on_empty,
			   on_late);
}

void osh_sb_stop(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg)
{
	if (!osh_sb_op_begin(sb, OSH_SB_OP_STOP, done, arg))
		return;
	osh_sb_set_phase(sb, OSH_PHASE_STOPPING, "");
	osh_sb_down(sb, OSH_SB_GOAL_STOPPED, 0, "");
}

void osh_sb_delete(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg)
{
	/* deleting wins over a start that hangs and a stop that waits: their callers are told */
	if (sb->op && sb->op->kind != OSH_SB_OP_DELETE) {
		answer_early(sb, -ECANCELED, "the sandbox is being deleted");
		*sb->op = (struct osh_sb_op){ .kind = OSH_SB_OP_DELETE, .done = done, .arg = arg };
	} else if (!osh_sb_op_begin(sb, OSH_SB_OP_DELETE, done, arg)) {
		return;
	}
	sb->deleting = true;
	osh_sb_set_phase(sb, OSH_PHASE_DELETING, "");
	osh_sb_down(sb, OSH_SB_GOAL_DELETED, 0, "");
}
