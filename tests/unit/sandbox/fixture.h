/* SPDX-License-Identifier: MIT */
/* A live sandbox for tests: needs root, cgroup2 and namespaces, no BPF. */
#ifndef OSH_TEST_SANDBOX_FIXTURE_H
#define OSH_TEST_SANDBOX_FIXTURE_H

#include "sandbox/client.h"
#include "sandbox/sandbox.h"

#define FX_UID 42123

struct fx {
	char cgroup[256]; /* "" until made */
	char dir[80]; /* holds "state" and "init.sock" */
	char sock[96];
	int cgroup_fd, state_fd, init_fd;
	struct osh_sandbox_cfg cfg; /* the tutorial's policy; change it before fx_spawn() */
	struct osh_sandbox_proc proc;
	struct osh_diag diag;
	bool spawned;
};

/* NULL when this environment can run sandboxes: from then on fx_end() must be called. */
const char *fx_why_not(void);
/* Remove what is left of every sandbox and directory, also after a failed test; returns @result. */
int fx_end(int result);
/* New directory, mode 0755, in a place that a sandbox can be shown. */
int fx_make_dir(const char *name, char *ret_path, size_t size);

void fx_init(struct fx *fx);
int fx_spawn(struct fx *fx); /* spawn and release */
void fx_fini(struct fx *fx); /* kills, removes everything */

struct fx_result {
	int err; /* FAILED: errno */
	char step[16];
	int code, signo;
	char out[65536]; /* stdout and stderr, NUL-terminated */
};

/* Run to the end; the sandbox must answer within 20 s. */
int fx_run(struct fx *fx, const char *const *argv, const char *input, struct fx_result *ret);
/* /bin/sh -c @script */
int fx_sh(struct fx *fx, const char *script, struct fx_result *ret);
/* Put this program into the sandbox's home as "probe". */
int fx_put_probe(struct fx *fx);
/* Wait for one event of the given type; other types and 20 s without are failures. */
int fx_wait_event(int fd, enum osh_init_event_type type, struct osh_init_event *ret);
/* Of every session here. */
const char *const *fx_env(void);

#endif
