/* SPDX-License-Identifier: MIT */
/* What set, update and rollback share: sending a revision and waiting for it. */
#ifndef OSH_CLI_REVISION_H
#define OSH_CLI_REVISION_H

#include "cli/rpc.h"

#define OSH_POLICY_BYTES 262144

/*
 * Send @rpc, say what was submitted, and with --wait say what became of it. Everything goes to
 * stderr. Exit codes 0 loaded, superseded or unchanged, 1 failed, 124 timed out.
 */
int osh_revision_submit(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
			const struct osh_args *args);
/* --global needs a yes; exit code after a message. */
int osh_confirm_global(struct osh_cli *cli, const struct osh_args *args,
		       const char *question) OSH_MUST_CHECK;

#define OSH_WAIT_OPTS                                                                        \
	{ "wait", 0, NULL, "Wait until the revision is loaded or refused", 0, NULL },        \
	{                                                                                    \
		"timeout", 0, "SECONDS", "Longest wait (default 60), exit code 124", 0, NULL \
	}

#endif
