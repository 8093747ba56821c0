/* SPDX-License-Identifier: MIT */
/* A program in a sandbox, attached to our terminal or standard streams. */
#ifndef OSH_CLI_SESSION_H
#define OSH_CLI_SESSION_H

#include "cli/rpc.h"

struct osh_session_cfg {
	const char *sandbox;
	const char *const *argv; /* NULL: login shell */
	size_t argc;
	const struct osh_args *args; /* --env, --workdir are taken from here */
	bool tty, detach;
	bool remember; /* as the sandbox used last, once the program runs */
	uint64_t timeout_s; /* 0: none */
};

/* Run it; its exit code, or ours after a message. */
int osh_session_run(struct osh_cli *cli, const struct osh_session_cfg *cfg);
/* Decide by --tty / --no-tty and the terminals; exit code after a message. */
int osh_session_wants_tty(struct osh_cli *cli, const struct osh_args *args,
			  bool *ret_tty) OSH_MUST_CHECK;
/* Warn about --env keys that look like credentials; refuse bad ones. Exit code. */
int osh_session_check_env(struct osh_cli *cli, const struct osh_args *args) OSH_MUST_CHECK;

#endif
