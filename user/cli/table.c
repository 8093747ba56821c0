/* SPDX-License-Identifier: MIT */
/* The command table. */
#include "cli/table.h"
#include "cli/policy_tool.h"

static const struct osh_cmd *const sandbox_subs[] = {
	&osh_cmd_sandbox_create, &osh_cmd_sandbox_connect, &osh_cmd_sandbox_exec,
	&osh_cmd_sandbox_list,	 &osh_cmd_sandbox_get,	   &osh_cmd_sandbox_delete,
	&osh_cmd_sandbox_stop,	 &osh_cmd_sandbox_start,   NULL,
};

static const struct osh_cmd *const policy_subs[] = {
	&osh_cmd_policy_set,
	&osh_cmd_policy_get,
	&osh_cmd_policy_list,
	&osh_cmd_policy_update,
	&osh_cmd_policy_rollback,
	&osh_cmd_policy_delete,
	/* offline: no daemon */
	&osh_cmd_policy_check,
	&osh_cmd_policy_explain,
	&osh_cmd_policy_test,
	&osh_cmd_policy_diff,
	&osh_cmd_policy_fmt,
	&osh_cmd_policy_merge,
	&osh_cmd_policy_schema,
	NULL,
};

static const struct osh_cmd *const settings_subs[] = {
	&osh_cmd_settings_get,
	&osh_cmd_settings_set,
	&osh_cmd_settings_delete,
	NULL,
};

static const struct osh_cmd *const gateway_subs[] = { &osh_cmd_gateway_start, NULL };

static const struct osh_cmd sandbox_group = {
	.name = "sandbox",
	.aliases = "sb",
	.help = "Create, use and delete sandboxes",
	.subs = sandbox_subs,
};

static const struct osh_cmd policy_group = {
	.name = "policy",
	.aliases = "pol",
	.help = "Set, change, inspect and check policies",
	.subs = policy_subs,
};

static const struct osh_cmd settings_group = {
	.name = "settings",
	.help = "Read and change settings",
	.subs = settings_subs,
};

static const struct osh_cmd gateway_group = {
	.name = "gateway",
	.aliases = "gw",
	.help = "Start the daemon",
	.subs = gateway_subs,
};

const struct osh_cmd *const osh_cmd_root[] = {
	&sandbox_group,	      &policy_group,	 &osh_cmd_logs,	    &settings_group,
	&osh_cmd_status,      &osh_cmd_doctor,	 &gateway_group,    &osh_cmd_bpf,
	&osh_cmd_flow,	      &osh_cmd_identity, &osh_cmd_counters, &osh_cmd_selftest,
	&osh_cmd_completions, &osh_cmd_help,	 &osh_cmd_version,  NULL,
};
