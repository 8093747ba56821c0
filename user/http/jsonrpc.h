/* SPDX-License-Identifier: MIT */
/* JSON-RPC 2.0 and MCP bodies: which calls do they carry? Malformed is refused, never guessed. */
#ifndef OSH_HTTP_JSONRPC_H
#define OSH_HTTP_JSONRPC_H

#include "base/arena.h"
#include "policy/facts.h"

#define OSH_RPC_CALLS_MAX 1024 /* messages of a batch */

/*
 * Results live in @arena. -EBADMSG malformed (*ret_error: a constant phrase); -ENOMEM, also when the
 * arena is too small.
 */
int osh_jsonrpc_parse(struct osh_str body, bool mcp, bool strict_tool_names,
		      struct osh_arena *arena, struct osh_jsonrpc *ret,
		      const char **ret_error) OSH_MUST_CHECK;
/* ^[A-Za-z0-9_.-]{1,128}$ */
bool osh_rpc_tool_name_is_strict(struct osh_str name);

#endif
