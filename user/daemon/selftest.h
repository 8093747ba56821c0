/* SPDX-License-Identifier: MIT */
/*
 * The part of the self-test that blocks: a child of the monitor with listeners of its own, an
 * attacker in a sandbox cgroup (the kernel fence alone), and a client of our control socket that
 * makes the throw-away sandbox and runs the program of user/selftest in it.
 */
#ifndef OSH_DAEMON_SELFTEST_H
#define OSH_DAEMON_SELFTEST_H

#include "daemon/monitor.h"

#define OSH_SELFTEST_LINE_MAX 512

struct osh_selftest_plan {
	char sandbox[20]; /* name of the throw-away sandbox */
	char cgroup[OSH_CGROUP_NAME_MAX]; /* of the attacker; not a sandbox's name */
	const char *host; /* name the proxies resolve to 127.0.0.1, any port */
	char control_socket[108];
	const char *state_dir;
	bool no_fence; /* the caller tries the kernel fence itself */
};

/*
 * Runs in the child and never returns. For each result a line to @out: "STATE\tNAME\tDETAIL\n",
 * STATE as enum osh_selftest_state. Removing @plan->sandbox and @plan->cgroup is the parent's part.
 */
void osh_selftest_child(const struct osh_selftest_plan *plan, int cgroup_fd, int out)
	__attribute__((noreturn));

#endif
