/* SPDX-License-Identifier: MIT */
#include "daemon/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FDS_MAX = 8, OUT_OF_THE_WAY = 64 };

/*
 * A copy of the monitor must not keep what only the monitor may hold (locks, listeners, the other ends
 * of sockets), nor handle its signals.
 */
static void child_main(const struct osh_child_job *job, pid_t monitor)
{
	int moved[FDS_MAX];
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != monitor)
		_exit(255);
	for (unsigned int i = 0; i < job->nfds; i++) {
		moved[i] = fcntl(job->fds[i], F_DUPFD, OUT_OF_THE_WAY);
		if (moved[i] < 0)
			_exit(255);
	}
	for (unsigned int i = 0; i < job->nfds; i++)
		if (dup2(moved[i], OSH_CHILD_FD + (int)i) < 0)
			_exit(255);
	if (syscall(SYS_close_range, OSH_CHILD_FD + job->nfds, ~0u, 0) < 0)
		_exit(255);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int signo = 1; signo < NSIG; signo++)
		if (signo != SIGPIPE)
			(void)sigaction(signo, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	_exit(job->fn(job->arg) & 0xff);
}

static void release(struct osh_child *child)
{
	osh_timer_stop(&child->deadline);
	osh_src_del(&child->src);
	osh_close_ptr(&child->src.fd);
	child->pid = 0;
}

static void on_exit_of(struct osh_src *src, uint32_t events)
{
	struct osh_child *child = osh_container_of(src, struct osh_child, src);
	bool timed_out = child->timed_out;
	siginfo_t info = { 0 };

	(void)events;
	(void)waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG); /* it has ended */
	release(child);
	child->done(child, timed_out			? -ETIMEDOUT
			   : info.si_code == CLD_EXITED ? info.si_status
							: -ECHILD);
}

static void on_deadline(struct osh_timer *timer)
{
	struct osh_child *child = osh_container_of(timer, struct osh_child, deadline);

	child->timed_out = true;
	osh_child_kill(child);
}

int osh_child_start(struct osh_loop *loop, struct osh_child *child, const struct osh_child_job *job,
		    osh_child_done_fn *done)
{
	int pidfd = -1, r;
	struct clone_args args = {
		.flags = CLONE_PIDFD | (job->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = job->cgroup_fd >= 0 ? (uint64_t)job->cgroup_fd : 0,
	};
	pid_t monitor = getpid(), pid;

	if (job->nfds > FDS_MAX)
		return -EINVAL;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_main(job, monitor);
	*child = (struct osh_child){ .pid = pid, .done = done };
	r = osh_src_add(loop, &child->src, pidfd, EPOLLIN, 0, on_exit_of, "child pidfd");
	if (r < 0) {
		child->src.fd = pidfd;
		osh_child_drop(child);
		return r;
	}
	if (job->timeout_ms)
		osh_timer_set(loop, &child->deadline, job->timeout_ms, on_deadline);
	return 0;
}

void osh_child_kill(struct osh_child *child)
{
	if (child->pid)
		(void)kill(child->pid, SIGKILL); /* our child, not yet waited for */
}

void osh_child_drop(struct osh_child *child)
{
	if (!child->pid)
		return;
	osh_child_kill(child);
	(void)waitpid(child->pid, NULL, 0);
	release(child);
}
