/* SPDX-License-Identifier: MIT */
/*
 * Programs that people run in sandboxes (method Exec). The monitor only introduces the two ends:
 * pipes or the PTY master go to the caller by SCM_RIGHTS, init runs the program, and what is left
 * here is its start, its end and its time limit.
 */
#include "daemon/api.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/log.h"

enum {
	ARGV_MAX = 1024,
	ARG_BYTES = 32768,
	CWD_BYTES = 4096,
	SESSIONS_MAX = 256, /* of one sandbox */
};

struct osh_session {
	struct osh_list node; /* osh_sandbox.sessions */
	struct osh_sandbox *sb;
	uint64_t id;
	uid_t uid; /* who began it */
	int fd; /* connection to init */
	struct osh_src src;
	struct osh_ctl_waiter waiter; /* .call NULL: nobody waits any more */
	struct osh_timer deadline;
	bool detach, tty, timed_out, started;
	int ours[3]; /* caller's ends of the pipes until STARTED */
	char program[256];
	uint32_t pid;
	uint64_t started_ns;
};

static uint64_t next_session_id = 1;

static void session_free_src(struct osh_src *src)
{
	struct osh_session *s = osh_container_of(src, struct osh_session, src);

	osh_close_ptr(&s->fd);
	for (int i = 0; i < 3; i++)
		osh_close_ptr(&s->ours[i]);
	free(s);
}

/* Out of every list now; memory at the end of the turn. */
static void session_end(struct osh_session *s)
{
	struct osh_sandbox *sb = s->sb;

	osh_timer_stop(&s->deadline);
	osh_list_del(&s->node);
	osh_loop_retire(&s->src, session_free_src);
	if (!sb->keep && osh_list_is_empty(&sb->sessions) && sb->phase == OSH_PHASE_READY &&
	    !sb->deleting)
		osh_sb_delete(sb, NULL, NULL);
}

static void reply_exit(struct osh_session *s, int code, int signo)
{
	struct osh_ctl_call *call = s->waiter.call;
	struct osh_json *j;

	if (!call)
		return;
	s->waiter.call = NULL;
	j = osh_ctl_reply_begin(call);
	osh_json_key(j, "exit_code");
	osh_json_i64(j, signo ? 128 + signo : code);
	if (signo) {
		osh_json_key(j, "signal");
		osh_json_i64(j, signo);
	}
	if (s->timed_out)
		osh_json_kbool(j, "timed_out", true);
	osh_ctl_reply_end(call);
}

static void reply_failed(struct osh_session *s, const struct osh_init_event *ev)
{
	struct osh_ctl_call *call = s->waiter.call;

	if (!call)
		return;
	s->waiter.call = NULL;
	if (strcmp(ev->step, "exec") == 0)
		osh_ctl_fail(
			call, ev->err == ENOENT ? OSH_CTL_ERR_NOT_FOUND : OSH_CTL_ERR_INVALID,
			"the program must exist inside the sandbox: its filesystem_policy lists "
			"what does",
			"cannot run %s in sandbox %s: %s", OSH_Q(s->program), OSH_Q(s->sb->name),
			strerror(ev->err));
	else
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL,
			     "cannot run %s in sandbox %s: step %s failed: %s", OSH_Q(s->program),
			     OSH_Q(s->sb->name), ev->step, strerror(ev->err));
}

static void log_process(struct osh_session *s, enum osh_rec_activity activity, int code)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_PROCESS, OSH_REC_NOTE, osh_realtime_ns());
	rec.activity = activity;
	rec.pid = s->pid;
	rec.exit_code = code;
	osh_rec_set_z(&rec, OSH_REC_BINARY, s->program);
	if (activity == OSH_REC_ACT_START)
		osh_rec_setf(&rec, OSH_REC_MESSAGE, "Process started: pid=%u", s->pid);
	else
		osh_rec_setf(&rec, OSH_REC_MESSAGE, "Process exited with code %d", code);
	osh_events_put(s->sb->m, s->sb, &rec);
}

static void on_started(struct osh_session *s, struct osh_init_event *ev)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	struct osh_ctl_call *call = s->waiter.call;
	struct osh_json *j;
	char id[32];

	s->started = true;
	s->pid = (uint32_t)ev->pid;
	log_process(s, OSH_REC_ACT_START, 0);
	if (!call) {
		osh_close_ptr(&ev->pty_fd);
		return;
	}
	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)s->id);
	j = osh_ctl_reply_begin(call);
	osh_json_kz(j, "session", id);
	osh_json_ku64(j, "pid", s->pid);
	if (s->detach) {
		osh_close_ptr(&ev->pty_fd);
		s->waiter.call = NULL;
		osh_ctl_reply_end(call);
		return;
	}
	osh_json_key(j, "fds");
	osh_json_arr(j);
	if (s->tty) {
		osh_json_str(j, OSH_STR("pty"));
		osh_ctl_reply_take_fd(call, osh_take_fd(&ev->pty_fd));
	} else {
		for (int i = 0; i < 3; i++) {
			osh_json_str(j, osh_str(names[i]));
			osh_ctl_reply_take_fd(call, osh_take_fd(&s->ours[i]));
		}
	}
	osh_json_arr_end(j);
	osh_ctl_reply_continue(call);
}

/* The connection to init is gone or useless. */
static void end_call(struct osh_session *s)
{
	struct osh_ctl_call *call = s->waiter.call;

	s->waiter.call = NULL;
	if (call)
		osh_ctl_fail(call, OSH_CTL_ERR_UNAVAILABLE, NULL,
			     "the session ended: sandbox %s has stopped", OSH_Q(s->sb->name));
	session_end(s);
}

static void on_init(struct osh_src *src, uint32_t events)
{
	struct osh_session *s = osh_container_of(src, struct osh_session, src);

	(void)events;
	for (;;) {
		struct osh_init_event ev = { .pty_fd = -1 };
		int r = osh_init_read(s->fd, &ev);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			end_call(s);
			return;
		}
		switch (ev.type) {
		case OSH_INIT_EVENT_STARTED:
			/* init is as untrusted as the agent: once, and with what was asked for */
			if (s->started || s->tty != (ev.pty_fd >= 0)) {
				osh_close_ptr(&ev.pty_fd);
				osh_log_warn(
					"init of sandbox %s broke its protocol; ending the session",
					OSH_Q(s->sb->name));
				end_call(s);
				return;
			}
			on_started(s, &ev);
			break;
		case OSH_INIT_EVENT_FAILED:
			reply_failed(s, &ev);
			session_end(s);
			return;
		case OSH_INIT_EVENT_EXITED:
			log_process(s, OSH_REC_ACT_EXIT, ev.signo ? 128 + ev.signo : ev.code);
			reply_exit(s, ev.code, ev.signo);
			session_end(s);
			return;
		case OSH_INIT_EVENT_NONE:
			break;
		}
	}
}

static void on_caller_gone(struct osh_ctl_waiter *w)
{
	struct osh_session *s = osh_container_of(w, struct osh_session, waiter);

	s->waiter.call = NULL;
	if (s->detach && s->started)
		return;
	/* init ends the session's processes when its connection goes (on_close below) */
	session_end(s);
}

static void on_session_timeout(struct osh_timer *timer)
{
	struct osh_session *s = osh_container_of(timer, struct osh_session, deadline);

	s->timed_out = true;
	if (osh_init_signal(s->fd, SIGKILL) < 0)
		end_call(s); /* closing the connection ends its processes */
}

void osh_sessions_end(struct osh_sandbox *sb)
{
	while (!osh_list_is_empty(&sb->sessions)) {
		struct osh_session *s = osh_list_entry(sb->sessions.next, struct osh_session, node);
		struct osh_ctl_call *call = s->waiter.call;
		bool keep = sb->keep;

		s->waiter.call = NULL;
		if (call)
			osh_ctl_fail(call, OSH_CTL_ERR_UNAVAILABLE, NULL,
				     "the session ended: sandbox %s is stopping", OSH_Q(sb->name));
		sb->keep = true; /* whoever ends the sessions decides about the sandbox */
		session_end(s);
		sb->keep = keep;
	}
}

/* ---- the call ---- */

static int add_env(struct osh_arena *arena, const struct osh_jval *map, const char **v, size_t *n)
{
	const struct osh_jval *value;
	const char *key;
	void *iter = NULL;

	while (osh_jval_next(map, &iter, &key, &value)) {
		struct osh_str text = osh_jval_str(value);
		char *line = osh_arena_alloc(arena, strlen(key) + text.n + 2);

		if (!line)
			return -ENOMEM;
		(void)snprintf(line, strlen(key) + text.n + 2, "%s=%.*s", key, OSH_STR_FMT(text));
		v[(*n)++] = line;
	}
	return 0;
}

/* --env of the sandbox's creation, then that of this call: "NAME=value" texts in one arena. */
static const char **session_env(struct osh_arena *arena, const struct osh_jval *spec_env,
				const struct osh_jval *call_env)
{
	size_t n = 0, total = osh_jval_len(spec_env) + osh_jval_len(call_env) + 1;
	const char **v = osh_arena_array(arena, total, sizeof(char *));

	if (!v || add_env(arena, spec_env, v, &n) < 0 || add_env(arena, call_env, v, &n) < 0)
		return NULL;
	return v;
}

/* JSON array of strings to a NULL-terminated vector that borrows; NULL: out of memory. */
static const char **strv(const struct osh_jval *array, size_t *ret_n)
{
	size_t n = osh_jval_len(array);
	const char **v = calloc(n + 1, sizeof(char *));

	for (size_t i = 0; v && i < n; i++)
		v[i] = osh_jval_z(osh_jval_at(array, i), "");
	*ret_n = n;
	return v;
}

struct exec_params {
	struct osh_sandbox *sb;
	const struct osh_jval *argv, *env;
	const char *workdir, *term;
	bool tty, detach;
	uint64_t rows, cols, timeout_s;
};

static int read_params(struct osh_ctl_call *call, const struct osh_jval *params,
		       struct exec_params *p)
{
	if (osh_api_sandbox(call, params, "sandbox", &p->sb) < 0 ||
	    osh_ctl_param_strv_opt(call, params, "argv", ARG_BYTES, ARGV_MAX, &p->argv) < 0 ||
	    osh_api_check_map(call, params, "env", true) < 0 ||
	    osh_ctl_param_str_opt(call, params, "workdir", CWD_BYTES, &p->workdir) < 0 ||
	    osh_ctl_param_str_opt(call, params, "term", 64, &p->term) < 0 ||
	    osh_ctl_param_bool_opt(call, params, "tty", false, &p->tty) < 0 ||
	    osh_ctl_param_bool_opt(call, params, "detach", false, &p->detach) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "rows", 65535, 24, &p->rows) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "cols", 65535, 80, &p->cols) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "timeout_s", 86400 * 365, 0, &p->timeout_s) < 0)
		return -EINVAL;
	p->env = osh_jval_get(params, "env");
	if (p->sb->phase != OSH_PHASE_READY) {
		osh_ctl_fail(
			call, OSH_CTL_ERR_PRECONDITION,
			p->sb->phase == OSH_PHASE_STOPPED ? "start it: openshell sandbox start"
							  : NULL,
			"sandbox '%s' is not ready (phase: %s); wait for it to reach Ready state",
			p->sb->name, osh_phase_name(p->sb->phase));
		return -EBUSY;
	}
	return 0;
}

static int make_pipes(struct osh_session *s, int theirs[3])
{
	for (int i = 0; i < 3; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0)
			return -errno;
		theirs[i] = p[i == 0 ? 0 : 1];
		s->ours[i] = p[i == 0 ? 1 : 0];
	}
	return 0;
}

static int start_session(struct osh_session *s, const struct exec_params *p)
{
	static const char *const shell[] = { "/bin/bash", "-l", NULL };
	osh_auto_free const char **argv = NULL;
	osh_auto_arena struct osh_arena arena;
	const char **user_env;
	osh_auto_free char **env = NULL;
	int theirs[3] = { -1, -1, -1 };
	struct osh_sandbox_env senv = { .term = p->term, .has_ca = p->sb->ca_pem.len > 0 };
	struct osh_init_exec req = {
		.cwd = p->workdir && p->workdir[0]
			       ? p->workdir
			       : osh_jval_z(osh_jval_get(p->sb->spec, "workdir"), NULL),
		.tty = p->tty,
		.rows = (uint16_t)p->rows,
		.cols = (uint16_t)p->cols,
		.on_close = p->detach ? OSH_INIT_ON_CLOSE_NONE
			    : p->tty  ? OSH_INIT_ON_CLOSE_HUP
				      : OSH_INIT_ON_CLOSE_KILL,
		.stdio = { -1, -1, -1 },
		.uid = 0,
	};
	struct osh_sandbox_ids ids = { 0 };
	osh_auto_diag struct osh_diag diag;
	size_t argc;
	int r;

	osh_diag_init(&diag, NULL);
	osh_arena_init(&arena, 8 << 20);
	argv = strv(p->argv, &argc);
	user_env = session_env(&arena, osh_jval_get(p->sb->spec, "env"), p->env);
	if (!argv || !user_env)
		return -ENOMEM;
	senv.user = user_env;
	r = osh_sandbox_env_build(&senv, &env);
	if (r < 0)
		return r;
	req.argv = argc ? argv : shell;
	req.env = (const char *const *)env;
	(void)osh_strlcpy(s->program, req.argv[0], sizeof(s->program));
	r = osh_init_connect(p->sb->init_path, &s->fd);
	if (r < 0)
		return r;
	if (!p->tty && !p->detach) {
		r = make_pipes(s, theirs);
		if (r == 0)
			r = osh_sandbox_run_as(
				p->sb->doc ? p->sb->doc->process.run_as_user.p : NULL,
				p->sb->doc ? p->sb->doc->process.run_as_group.p : NULL, &ids,
				&diag);
		req.uid = ids.uid;
		memcpy(req.stdio, theirs, sizeof(theirs));
	}
	if (r == 0)
		r = osh_init_exec_start(s->fd, &req);
	for (int i = 0; i < 3; i++)
		osh_close_ptr(&theirs[i]);
	if (r < 0)
		return r;
	return osh_src_add(p->sb->m->loop, &s->src, s->fd, EPOLLIN, 0, on_init, "session");
}

void osh_api_exec(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct exec_params p = { 0 };
	struct osh_session *s;
	int r;

	if (read_params(call, params, &p) < 0)
		return;
	s = calloc(1, sizeof(*s));
	if (!s) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	s->fd = s->ours[0] = s->ours[1] = s->ours[2] = -1;
	s->sb = p.sb;
	s->uid = osh_ctl_call_peer(call)->uid;
	s->id = next_session_id++;
	s->tty = p.tty;
	s->detach = p.detach;
	s->waiter.on_close = on_caller_gone;
	r = start_session(s, &p);
	if (r < 0) {
		osh_close_ptr(&s->fd);
		for (int i = 0; i < 3; i++)
			osh_close_ptr(&s->ours[i]);
		osh_ctl_fail(call, r == -E2BIG ? OSH_CTL_ERR_INVALID : OSH_CTL_ERR_UNAVAILABLE,
			     NULL, "cannot begin a session in sandbox %s: %s", OSH_Q(p.sb->name),
			     strerror(-r));
		free(s);
		return;
	}
	osh_list_add_tail(&p.sb->sessions, &s->node);
	osh_ctl_call_wait(call, &s->waiter);
	if (p.timeout_s)
		osh_timer_set(p.sb->m->loop, &s->deadline, p.timeout_s * 1000, on_session_timeout);
}

void osh_api_session_signal(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();
	const struct osh_ctl_peer *peer = osh_ctl_call_peer(call);
	const char *id;
	uint64_t number, signo;
	struct osh_list *i, *k;

	if (osh_ctl_param_str(call, params, "session", 32, &id) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "signal", 64, 15, &signo) < 0)
		return;
	if (osh_parse_u64(osh_str(id), UINT64_MAX, &number) < 0 || !signo) {
		osh_ctl_fail_param(call, "session");
		return;
	}
	osh_list_for_each (i, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(i, struct osh_sandbox, node);

		osh_list_for_each (k, &sb->sessions) {
			struct osh_session *s = osh_list_entry(k, struct osh_session, node);
			int r;

			if (s->id != number || (peer->uid != 0 && peer->uid != s->uid))
				continue;
			r = osh_init_signal(s->fd, (int)signo);
			if (r < 0)
				osh_ctl_fail(call, OSH_CTL_ERR_UNAVAILABLE, NULL,
					     "cannot signal session %s: %s", id, strerror(-r));
			else
				osh_ctl_reply_ok(call);
			return;
		}
	}
	osh_ctl_fail(call, OSH_CTL_ERR_NOT_FOUND, NULL, "no session %s of yours", OSH_Q(id));
}
