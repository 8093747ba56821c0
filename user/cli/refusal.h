/* SPDX-License-Identifier: MIT */
/* A sandbox that runs, asked by the offline tools: its policy in force and its last refusal. */
#ifndef OSH_CLI_REFUSAL_H
#define OSH_CLI_REFUSAL_H

#include "audit/record.h"
#include "cli/policy_tool.h"

/*
 * Like osh_tool_require(), for the policy in force in sandbox @name, whose lines are those of `policy
 * get --full` behind the header. @name is kept as ret->file.
 * *ret_global: it is the global one.
 */
int osh_tool_require_live(struct osh_cli *cli, const char *name, struct osh_tool_policy *ret,
			  bool *ret_global);

/*
 * The newest refusal in the log of sandbox @name. Every text in it can be shown on a terminal. Exit
 * code after a message, also when there is none.
 */
int osh_refusal_last(struct osh_cli *cli, const char *name, struct osh_rec *ret_rec) OSH_MUST_CHECK;

/* Do the entries of a policy decide about this reason (enum osh_reason)? */
bool osh_refusal_is_policy(unsigned int reason);
/* What to do about a reason they do not decide. Never NULL. */
const char *osh_refusal_hint(unsigned int reason);

#endif
