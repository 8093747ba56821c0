/* SPDX-License-Identifier: MIT */
/* Every command, for table.c. */
#ifndef OSH_CLI_TABLE_H
#define OSH_CLI_TABLE_H

#include "cli/cmd.h"

extern const struct osh_cmd osh_cmd_sandbox_create;
extern const struct osh_cmd osh_cmd_sandbox_connect;
extern const struct osh_cmd osh_cmd_sandbox_exec;
extern const struct osh_cmd osh_cmd_sandbox_list;
extern const struct osh_cmd osh_cmd_sandbox_get;
extern const struct osh_cmd osh_cmd_sandbox_delete;
extern const struct osh_cmd osh_cmd_sandbox_stop;
extern const struct osh_cmd osh_cmd_sandbox_start;
extern const struct osh_cmd osh_cmd_policy_set;
extern const struct osh_cmd osh_cmd_policy_get;
extern const struct osh_cmd osh_cmd_policy_list;
extern const struct osh_cmd osh_cmd_policy_update;
extern const struct osh_cmd osh_cmd_policy_rollback;
extern const struct osh_cmd osh_cmd_policy_delete;
extern const struct osh_cmd osh_cmd_settings_get;
extern const struct osh_cmd osh_cmd_settings_set;
extern const struct osh_cmd osh_cmd_settings_delete;
extern const struct osh_cmd osh_cmd_logs;
extern const struct osh_cmd osh_cmd_status;
extern const struct osh_cmd osh_cmd_doctor;
extern const struct osh_cmd osh_cmd_gateway_start;
extern const struct osh_cmd osh_cmd_bpf;
extern const struct osh_cmd osh_cmd_flow;
extern const struct osh_cmd osh_cmd_identity;
extern const struct osh_cmd osh_cmd_counters;
extern const struct osh_cmd osh_cmd_selftest;
extern const struct osh_cmd osh_cmd_completions;
extern const struct osh_cmd osh_cmd_help;
extern const struct osh_cmd osh_cmd_version;

#endif
