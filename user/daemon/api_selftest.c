/* SPDX-License-Identifier: MIT */
/*
 * Method Selftest: starts the blocking part (selftest.c) as a child, passes its results on, counts
 * them, and removes what it left, whatever its end. One at a time.
 */
#include "daemon/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/log.h"
#include "daemon/selftest.h"
#include "selftest/selftest.h"

enum {
	LIMIT_MS = 420000,
	LATE_MS = 3000,
	FD_OUT = OSH_CHILD_FD, /* descriptors of the child */
	FD_CGROUP,
};

struct selftest {
	struct osh_monitor *m;
	struct osh_ctl_waiter waiter; /* .call NULL: nobody waits any more */
	struct osh_selftest_plan plan;
	int out, cgroup_fd;
	struct osh_src src; /* out */
	struct osh_child child;
	struct osh_emptying emptying;
	char line[OSH_SELFTEST_LINE_MAX];
	size_t n;
	uint64_t passed, failed, skipped;
};

static struct selftest *running;

static void put_check(struct selftest *t, const char *state, const char *name, const char *detail)
{
	struct osh_json *j;

	if (!t->waiter.call || !osh_ctl_call_wants_more(t->waiter.call))
		return;
	j = osh_ctl_reply_begin(t->waiter.call);
	osh_json_key(j, "check");
	osh_json_obj(j);
	osh_json_kz(j, "name", name);
	osh_json_kz(j, "status", state);
	osh_json_kz(j, "detail", detail);
	osh_json_obj_end(j);
	osh_ctl_reply_continue(t->waiter.call);
}

static void count(struct selftest *t, int state, const char *name, const char *detail)
{
	switch (state) {
	case OSH_SELFTEST_CLOSED:
		t->passed++;
		put_check(t, "ok", name, detail);
		return;
	case OSH_SELFTEST_NA:
		t->skipped++;
		put_check(t, "warn", name, detail);
		return;
	default:
		t->failed++;
		osh_log_warn("self-test: %s: %s", name, detail);
		put_check(t, "fail", name, detail);
	}
}

/* ---- results ---- */

static void on_line(struct selftest *t, char *line)
{
	char *name = strchr(line, '\t'), *detail = name ? strchr(name + 1, '\t') : NULL;

	if (!detail)
		return;
	*name++ = '\0';
	*detail++ = '\0';
	count(t, line[0] - '0', name, detail);
}

/* 1: there may be more; 0: not now; -1: no more for ever */
static int take_output(struct selftest *t)
{
	ssize_t got = read(t->out, t->line + t->n, sizeof(t->line) - 1 - t->n);
	char *end;

	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
	t->n += (size_t)got;
	t->line[t->n] = '\0';
	while ((end = memchr(t->line, '\n', t->n))) {
		size_t len = (size_t)(end + 1 - t->line);

		*end = '\0';
		on_line(t, t->line);
		memmove(t->line, t->line + len, t->n - len);
		t->n -= len;
	}
	if (t->n == sizeof(t->line) - 1)
		t->n = 0; /* longer than any line of ours */
	return 1;
}

static void on_output(struct osh_src *src, uint32_t events)
{
	(void)events;
	if (take_output(osh_container_of(src, struct selftest, src)) < 0)
		osh_src_del(src); /* what it means is told by the child's end */
}

/* ---- the end ---- */

static void finish(struct osh_sandbox *sb, int err, const char *message, void *arg)
{
	struct selftest *t = arg;
	struct osh_ctl_call *call = t->waiter.call;
	struct osh_json *j;

	(void)sb;
	if (err < 0)
		count(t, OSH_SELFTEST_OPEN, "clean-up", message[0] ? message : strerror(-err));
	osh_log_notice("self-test: %llu closed, %llu open, %llu not tried",
		       (unsigned long long)t->passed, (unsigned long long)t->failed,
		       (unsigned long long)t->skipped);
	if (call) {
		j = osh_ctl_reply_begin(call);
		osh_json_ku64(j, "passed", t->passed);
		osh_json_ku64(j, "failed", t->failed);
		osh_json_ku64(j, "skipped", t->skipped);
		osh_ctl_reply_end(call);
	}
	running = NULL;
	free(t);
}

static void remove_sandbox(struct selftest *t)
{
	struct osh_sandbox *sb = osh_sb_find(t->m, t->plan.sandbox);

	if (sb)
		osh_sb_delete(sb, finish, t);
	else
		finish(NULL, 0, "", t);
}

static void on_empty(struct osh_emptying *e)
{
	struct selftest *t = osh_container_of(e, struct selftest, emptying);
	int r = osh_cgroup_sandbox_remove(&t->m->cg, t->plan.cgroup);

	osh_close_ptr(&t->cgroup_fd);
	if (r < 0)
		osh_log_warn_errno(r, "cannot remove the self-test's cgroup");
	remove_sandbox(t);
}

/* Every start of the daemon removes such cgroups. */
static void on_late(struct osh_emptying *e)
{
	struct selftest *t = osh_container_of(e, struct selftest, emptying);

	osh_emptying_stop(e);
	osh_close_ptr(&t->cgroup_fd);
	count(t, OSH_SELFTEST_OPEN, "clean-up", "processes in its cgroup do not end");
	remove_sandbox(t);
}

static void child_over(struct osh_child *child, int code)
{
	struct selftest *t = osh_container_of(child, struct selftest, child);
	int r;

	while (take_output(t) > 0)
		; /* what it wrote last */
	osh_src_del(&t->src);
	osh_close_ptr(&t->out);
	if (code)
		count(t, OSH_SELFTEST_OPEN, "self-test", "it did not come to its end");
	else if (!t->passed)
		count(t, OSH_SELFTEST_OPEN, "self-test", "nothing was tried");
	r = osh_cgroup_kill(t->cgroup_fd);
	if (r < 0)
		osh_log_warn_errno(r, "cannot end what runs in the self-test's cgroup");
	osh_emptying_start(t->m->loop, &t->emptying, t->cgroup_fd, LATE_MS, on_empty, on_late);
}

static void on_caller_gone(struct osh_ctl_waiter *w)
{
	struct selftest *t = osh_container_of(w, struct selftest, waiter);

	w->call = NULL;
	osh_child_kill(&t->child);
}

/* ---- the beginning ---- */

static int child(const void *arg)
{
	const struct selftest *t = arg;

	osh_selftest_child(&t->plan, FD_CGROUP, FD_OUT);
}

static int plan(struct selftest *t)
{
	struct osh_monitor *m = t->m;
	unsigned char r[3];

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return -EIO;
	(void)snprintf(t->plan.sandbox, sizeof(t->plan.sandbox), "selftest-%02x%02x%02x", r[0],
		       r[1], r[2]);
	/* upper case: no sandbox can have this name */
	(void)snprintf(t->plan.cgroup, sizeof(t->plan.cgroup), "SELFTEST-%d", (int)getpid());
	t->plan.host = m->cfg.selftest_host;
	t->plan.state_dir = m->cfg.state_dir.p;
	if (snprintf(t->plan.control_socket, sizeof(t->plan.control_socket), "%s/openshelld.sock",
		     m->cfg.runtime_dir.p) >= (int)sizeof(t->plan.control_socket))
		return -ENAMETOOLONG;
	return 0;
}

static int start_child(struct selftest *t, int out)
{
	const int fds[] = { out, t->cgroup_fd };
	const struct osh_child_job job = {
		.fn = child,
		.arg = t,
		.fds = fds,
		.nfds = OSH_ARRAY_SIZE(fds),
		.cgroup_fd = -1,
		.timeout_ms = LIMIT_MS,
	};
	int r;

	if (fcntl(t->out, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = osh_src_add(t->m->loop, &t->src, t->out, EPOLLIN, 0, on_output, "self-test");
	if (r < 0)
		return r;
	r = osh_child_start(t->m->loop, &t->child, &job, child_over);
	if (r < 0)
		osh_src_del(&t->src);
	return r;
}

static int start(struct selftest *t)
{
	struct osh_monitor *m = t->m;
	int p[2], r = plan(t);

	if (r < 0)
		return r;
	r = osh_cgroup_sandbox_create(&m->cg, t->plan.cgroup, &t->cgroup_fd);
	if (r == -EEXIST)
		r = osh_cgroup_sandbox_open(&m->cg, t->plan.cgroup, &t->cgroup_fd);
	if (r < 0)
		return r;
	r = pipe2(p, O_CLOEXEC) < 0 ? -errno : 0;
	if (r == 0) {
		t->out = p[0];
		r = start_child(t, p[1]);
		(void)close(p[1]);
	}
	if (r < 0) {
		osh_close_ptr(&t->out);
		osh_close_ptr(&t->cgroup_fd);
		(void)osh_cgroup_sandbox_remove(&m->cg,
						t->plan.cgroup); /* empty, or a later one's */
	}
	return r;
}

bool osh_api_selftest_is(const char *name)
{
	return running && strcmp(running->plan.sandbox, name) == 0;
}

void osh_api_selftest(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();
	struct selftest *t;
	bool fence;
	int r;

	if (osh_ctl_param_bool_opt(call, params, "fence", true, &fence) < 0)
		return;
	if (running) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION, "try again when it has ended",
			     "another self-test is under way");
		return;
	}
	if (!m->cfg.selftest_host[0]) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION,
			     "take one out of resolver.hosts in the daemon's configuration",
			     "the table of hosts has no room for the self-test's");
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	t->m = m;
	t->out = t->cgroup_fd = -1;
	t->plan.no_fence = !fence;
	r = start(t);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_UNAVAILABLE, NULL, "cannot begin: %s", strerror(-r));
		free(t);
		return;
	}
	running = t;
	t->waiter.on_close = on_caller_gone;
	osh_ctl_call_wait(call, &t->waiter);
}

/* ---- a cgroup for a caller who tries the fence himself ---- */

struct lent {
	struct osh_ctl_waiter waiter;
	struct osh_emptying emptying;
	struct osh_monitor *m;
	int cgroup_fd;
	char name[OSH_CGROUP_NAME_MAX];
};

static unsigned int lent_count;

static void lent_empty(struct osh_emptying *e)
{
	struct lent *l = osh_container_of(e, struct lent, emptying);
	int r;

	osh_close_ptr(&l->cgroup_fd);
	r = osh_cgroup_sandbox_remove(&l->m->cg, l->name);
	if (r < 0)
		osh_log_warn_errno(r, "cannot remove the self-test's cgroup");
	free(l);
}

static void lent_back(struct osh_ctl_waiter *w)
{
	struct lent *l = osh_container_of(w, struct lent, waiter);
	int r = osh_cgroup_kill(l->cgroup_fd);

	if (r < 0)
		osh_log_warn_errno(r, "cannot end what runs in the self-test's cgroup");
	osh_emptying_start(l->m->loop, &l->emptying, l->cgroup_fd, LATE_MS, lent_empty, NULL);
}

void osh_api_selftest_cgroup(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct lent *l = calloc(1, sizeof(*l));
	int fd, r = l ? 0 : -ENOMEM;

	(void)params;
	if (l) {
		l->m = osh_api_monitor();
		/* upper case: no sandbox can have this name */
		(void)snprintf(l->name, sizeof(l->name), "SELFTEST-%d-%u", (int)getpid(),
			       lent_count++);
		r = osh_cgroup_sandbox_create(&l->m->cg, l->name, &l->cgroup_fd);
	}
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_UNAVAILABLE, NULL, "cannot make a cgroup: %s",
			     strerror(-r));
		free(l);
		return;
	}
	l->waiter.on_close = lent_back;
	osh_ctl_call_wait(call, &l->waiter);
	(void)osh_ctl_reply_begin(call);
	fd = fcntl(l->cgroup_fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0)
		osh_ctl_reply_take_fd(call, fd);
	osh_ctl_reply_continue(call); /* without a descriptor the caller gives up */
}
