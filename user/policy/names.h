/* SPDX-License-Identifier: MIT */
/* Small texts that people type: names, environment keys, paths, durations, log levels. Pure. */
#ifndef OSH_POLICY_NAMES_H
#define OSH_POLICY_NAMES_H

#include "base/buf.h"

#define OSH_SANDBOX_NAME_MAX 19

/*
 * DNS-1123 label of at most 19 characters without "--". false: *ret_why (may be NULL) is one phrase
 * that completes "sandbox name X ...".
 */
bool osh_sandbox_name_ok(struct osh_str name, const char **ret_why);

/* Key of --env: [A-Za-z_][A-Za-z0-9_]*, not OPENSHELL_*. */
bool osh_env_key_ok(struct osh_str key, const char **ret_why);
/* Does the key look like a credential (TOKEN, SECRET, ACCESS_KEY, ... as whole segments)? */
bool osh_env_key_is_secret(struct osh_str key);

/* Drop empty and "." components and a trailing slash; ".." stays so that it can be refused. */
int osh_fs_path_normalise(struct osh_str path, struct osh_buf *ret_path) OSH_MUST_CHECK;
/* Does a component equal ".."? */
bool osh_fs_path_has_dotdot(struct osh_str path);

/*
 * "5m", "1h", "30s" into seconds. -EBADMSG: @ret_message (a buffer of @size bytes, may be NULL) gets
 * the message for the user.
 */
int osh_duration_parse(struct osh_str text, uint64_t *ret_seconds, char *ret_message,
		       size_t size) OSH_MUST_CHECK;

/* 0 ERROR, 1 WARN, 2 INFO and OCSF, 3 DEBUG, 4 TRACE, 5 anything else; case-insensitive. */
unsigned int osh_log_level_rank(struct osh_str level);
/* `logs --level`: an empty request shows everything. */
bool osh_log_level_shown(struct osh_str line_level, struct osh_str requested);

#endif
