/* SPDX-License-Identifier: MIT */
/* JSON-RPC 2.0 and MCP bodies: which calls do they carry? Malformed is refused, never guessed. */
#ifndef OSH_HTTP_JSONRPC_H
#define OSH_HTTP_JSONRPC_H

#include "base/arena.h"

#define OSH_RPC_CALLS_MAX 1024 /* messages of a batch */

struct osh_rpc_call {
	struct osh_str method;
	struct osh_str tool; /* mcp tools/call: params.name; .p NULL otherwise */
};

struct osh_rpc {
	struct osh_rpc_call *calls; /* in order; in the arena */
	size_t n_calls;
	bool has_response; /* a response frame was among them */
	const char *error; /* after -EBADMSG: a constant phrase */
};

/* Results live in @arena. -EBADMSG malformed (ret->error), -ENOMEM. */
int osh_rpc_parse(struct osh_str body, bool mcp, bool strict_tool_names, struct osh_arena *arena,
		  struct osh_rpc *ret) OSH_MUST_CHECK;
/* ^[A-Za-z0-9_.-]{1,128}$ */
bool osh_rpc_tool_name_is_strict(struct osh_str name);

#endif
