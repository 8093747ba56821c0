/* SPDX-License-Identifier: MIT */
/* Handlers of the control interface (ctl/io.openshell.varlink); the table is in api.c. */
#ifndef OSH_DAEMON_API_H
#define OSH_DAEMON_API_H

#include "daemon/monitor.h"

/* Handlers get no user pointer: there is one monitor per process. */
struct osh_monitor *osh_api_monitor(void);

/*
 * The sandbox named by parameter @key. -EINVAL/-ENOENT: the call was ended with an error.
 */
int osh_api_sandbox(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
		    struct osh_sandbox **ret_sb) OSH_MUST_CHECK;

/* PolicyInvalid with every message of @diag as "file:line:col: text" lines; @hint NULL: where policies are described. */
void osh_api_policy_invalid(struct osh_ctl_call *call, const struct osh_diag *diag,
			    const char *hint);
/* The warnings of @diag as member `warnings` (left out if there are none). */
void osh_api_warnings(struct osh_json *j, const struct osh_diag *diag);

/*
 * Is parameter @key (may be missing) a map of texts with sane keys, as labels and @env have? -EINVAL:
 * the call was ended.
 */
int osh_api_check_map(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
		      bool env) OSH_MUST_CHECK;

typedef void osh_api_fn(struct osh_ctl_call *call, const struct osh_jval *params);

osh_api_fn osh_api_sandbox_create, osh_api_sandbox_list, osh_api_sandbox_get,
	osh_api_sandbox_delete, osh_api_sandbox_stop, osh_api_sandbox_start;
osh_api_fn osh_api_exec, osh_api_session_signal;
osh_api_fn osh_api_policy_set, osh_api_policy_update, osh_api_policy_rollback, osh_api_policy_get,
	osh_api_policy_list, osh_api_policy_delete_global;
osh_api_fn osh_api_settings_get, osh_api_settings_set, osh_api_settings_delete;
/* A parsed value copied into a reply; {} for NULL. */
void osh_api_put_jval(struct osh_json *j, const struct osh_jval *v);

/* cpu_millis, memory_bytes, pids: can this host enforce what was asked for? Else the call was ended. */
int osh_api_check_limits(struct osh_ctl_call *call, const struct osh_jval *params) OSH_MUST_CHECK;

osh_api_fn osh_api_logs, osh_api_status, osh_api_doctor, osh_api_introspect, osh_api_selftest;

void osh_api_selftest_cgroup(struct osh_ctl_call *call, const struct osh_jval *params);
/* The throw-away sandbox of the self-test under way? */
bool osh_api_selftest_is(const char *name);

/*
 * One number for all that @scope is judged by: changes when its policy, the policy's source ("sandbox",
 * "global") or any setting does, and comes back when they do. Fits int64_t.
 */
int osh_api_config_revision(const char *scope, const char *source, const char *policy_hash,
			    uint64_t *ret_revision) OSH_MUST_CHECK;

#endif
