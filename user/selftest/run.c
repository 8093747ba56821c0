/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "selftest/attempt.h"

enum { ATTEMPT_MS = 20000, STEP_MS = 2 };

/* Where the child leaves its result: memory shared with it and nobody else. */
struct result {
	enum osh_selftest_state state;
	int done;
	char detail[OSH_SELFTEST_DETAIL];
};

static void child(const struct osh_selftest_env *env, struct result *res, pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	(void)setpgid(0, 0); /* what the attempt starts ends with it */
	res->state = osh_selftest_attempts[env->index].fn(env, res->detail);
	res->done = 1;
	_exit(0);
}

/* -1: it had to be killed */
static int wait_for(pid_t pid, int *ret_status)
{
	for (int ms = 0; ms < ATTEMPT_MS; ms += STEP_MS) {
		pid_t r = waitpid(pid, ret_status, WNOHANG);

		if (r == pid)
			return 0;
		if (r < 0)
			return -1;
		(void)poll(NULL, 0, STEP_MS);
	}
	(void)kill(pid, SIGKILL); /* our child */
	(void)waitpid(pid, ret_status, 0);
	return -1;
}

enum osh_selftest_state osh_selftest_run(const struct osh_selftest_env *env, char *detail)
{
	const struct osh_selftest_attempt *a = &osh_selftest_attempts[env->index];
	struct result *res = mmap(NULL, sizeof(*res), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	enum osh_selftest_state state = OSH_SELFTEST_OPEN;
	int status = 0;
	pid_t pid;

	if (res == MAP_FAILED)
		return osh_st_open(detail, "out of memory");
	pid = fork();
	if (pid == 0)
		child(env, res, getppid());
	if (pid < 0) {
		osh_st_say(detail, "cannot fork: %s", strerror(errno));
	} else if (wait_for(pid, &status) < 0) {
		osh_st_say(detail, "did not finish");
	} else if (res->done) {
		state = res->state;
		/* control attempts succeed by getting through */
		if (a->flags & OSH_SELFTEST_CONTROL && state != OSH_SELFTEST_NA)
			state = state == OSH_SELFTEST_OPEN ? OSH_SELFTEST_CLOSED
							   : OSH_SELFTEST_OPEN;
		osh_st_say(detail, "%s", res->detail);
	} else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS &&
		   a->flags & OSH_SELFTEST_MAY_DIE) {
		state = OSH_SELFTEST_CLOSED;
		osh_st_say(detail, "ended by the system call filter");
	} else {
		osh_st_say(detail, "ended without a result (status %#x)", (unsigned int)status);
	}
	if (pid > 0)
		(void)kill(-pid,
			   SIGKILL); /* the attempt's own process group, if anything is left */
	(void)munmap(res, sizeof(*res));
	return state;
}
