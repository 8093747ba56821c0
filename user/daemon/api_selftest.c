/* SPDX-License-Identifier: MIT */
/*
 * Method Selftest: starts the blocking part (selftest.c) as a child, passes its results on, counts
 * them, and removes what it left, whatever its end. One at a time.
 */
#include "daemon/api.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "daemon/selftest.h"
#include "selftest/selftest.h"

enum {
	LIMIT_MS = 420000,
	KILL_WAIT_MS = 3000,
	FD_OUT = 3, /* descriptors of the child */
	FD_CGROUP = 4,
};

struct selftest {
	struct osh_monitor *m;
	struct osh_ctl_waiter waiter; /* .call NULL: nobody waits any more */
	struct osh_selftest_plan plan;
	int out, cgroup_fd;
	pid_t pid;
	struct osh_src src; /* out */
	struct osh_timer deadline;
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

static void remove_cgroup(struct selftest *t)
{
	int r = osh_cgroup_kill(t->cgroup_fd);

	if (r == 0)
		r = osh_cgroup_wait_empty(t->cgroup_fd, KILL_WAIT_MS);
	osh_close_ptr(&t->cgroup_fd);
	if (r == 0)
		r = osh_cgroup_sandbox_remove(&t->m->cg, t->plan.cgroup);
	if (r < 0)
		osh_log_warn_errno(r, "cannot remove the self-test's cgroup");
}

/* The child is gone, or to go now: everything of it with it. */
static void child_over(struct selftest *t)
{
	struct osh_sandbox *sb;
	int status = 0;

	osh_src_del(&t->src);
	osh_timer_stop(&t->deadline);
	osh_close_ptr(&t->out);
	(void)kill(t->pid, SIGKILL); /* our child, not yet waited for */
	if (waitpid(t->pid, &status, 0) != t->pid || !WIFEXITED(status) || WEXITSTATUS(status))
		count(t, OSH_SELFTEST_OPEN, "self-test", "it did not come to its end");
	else if (!t->passed)
		count(t, OSH_SELFTEST_OPEN, "self-test", "nothing was tried");
	remove_cgroup(t);
	sb = osh_sb_find(t->m, t->plan.sandbox);
	if (sb)
		osh_sb_delete(sb, finish, t);
	else
		finish(NULL, 0, "", t);
}

static void on_deadline(struct osh_timer *timer)
{
	child_over(osh_container_of(timer, struct selftest, deadline));
}

static void on_caller_gone(struct osh_ctl_waiter *w)
{
	struct selftest *t = osh_container_of(w, struct selftest, waiter);

	w->call = NULL;
	if (t->out >= 0)
		child_over(t);
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

static void on_output(struct osh_src *src, uint32_t events)
{
	struct selftest *t = osh_container_of(src, struct selftest, src);
	ssize_t got = read(t->out, t->line + t->n, sizeof(t->line) - 1 - t->n);
	char *end;

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		child_over(t);
		return;
	}
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
}

/* ---- the beginning ---- */

/* Between fork and the child's work: nothing of the monitor's but two descriptors. */
static void child(struct selftest *t, int out, pid_t monitor)
{
	sigset_t none;
	int o = fcntl(out, F_DUPFD, 64), c = fcntl(t->cgroup_fd, F_DUPFD, 64);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != monitor || o < 0 || c < 0 || dup2(o, FD_OUT) < 0 ||
	    dup2(c, FD_CGROUP) < 0 || syscall(SYS_close_range, FD_CGROUP + 1, ~0u, 0) < 0)
		_exit(1);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int signo = 1; signo < NSIG; signo++)
		if (signo != SIGPIPE)
			(void)sigaction(signo, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
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
	if (pipe2(p, O_CLOEXEC) < 0) {
		r = -errno;
		remove_cgroup(t);
		return r;
	}
	t->pid = fork();
	if (t->pid == 0)
		child(t, p[1], getppid());
	r = t->pid < 0 ? -errno : 0;
	(void)close(p[1]);
	t->out = p[0];
	if (r == 0)
		r = fcntl(t->out, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (r == 0)
		r = osh_src_add(m->loop, &t->src, t->out, EPOLLIN, 0, on_output, "self-test");
	if (r < 0) {
		if (t->pid > 0) {
			(void)kill(t->pid, SIGKILL); /* our child */
			(void)waitpid(t->pid, NULL, 0);
		}
		osh_close_ptr(&t->out);
		remove_cgroup(t);
	}
	return r;
}

void osh_api_selftest(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();
	osh_auto_state_rev struct osh_state_rev global = { 0 };
	struct selftest *t;
	int r;

	(void)params;
	if (running) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION, "try again when it has ended",
			     "another self-test is under way");
		return;
	}
	if (!m->cfg.selftest_host[0] ||
	    osh_state_rev_active(m->state, OSH_STATE_GLOBAL_SCOPE, &global) == 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION,
			     "the self-test's sandbox needs a policy of its own: openshell policy "
			     "delete --global first",
			     "a global policy is in force");
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	t->m = m;
	t->out = t->cgroup_fd = -1;
	r = start(t);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_UNAVAILABLE, NULL, "cannot begin: %s", strerror(-r));
		free(t);
		return;
	}
	running = t;
	t->waiter.on_close = on_caller_gone;
	osh_ctl_call_wait(call, &t->waiter);
	osh_timer_set(m->loop, &t->deadline, LIMIT_MS, on_deadline);
}
