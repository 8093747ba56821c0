/* SPDX-License-Identifier: MIT */
#include "http/jsonrpc.h"

#include "http/body_json.h"

static int bad(const char **ret_error, const char *error)
{
	*ret_error = error;
	return -EBADMSG;
}

static bool is_type(const struct osh_jval *v, enum osh_jtype type)
{
	return v && osh_jval_type(v) == type;
}

static bool is_number(const struct osh_jval *v)
{
	return is_type(v, OSH_JSON_INT) || is_type(v, OSH_JSON_REAL);
}

bool osh_rpc_tool_name_is_strict(struct osh_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!osh_is_alnum(name.p[i]) && name.p[i] != '_' && name.p[i] != '.' &&
		    name.p[i] != '-')
			return false;
	return name.n >= 1 && name.n <= 128;
}

/* ---- parameters of the MCP methods that a client may call ---- */

/* A member of params: a dotted path of at most two names, its type, and whether it must be there. */
struct mcp_param {
	const char *method;
	const char *outer, *inner; /* @inner NULL: the outer member itself */
	char type; /* s string, o object, i id or token (string or number), n number */
	bool required;
};

static const struct mcp_param mcp_params[] = {
	{ "initialize", "protocolVersion", NULL, 's', true },
	{ "initialize", "capabilities", NULL, 'o', true },
	{ "initialize", "clientInfo", NULL, 'o', true },
	{ "initialize", "clientInfo", "name", 's', true },
	{ "initialize", "clientInfo", "version", 's', true },
	{ "tools/call", "name", NULL, 's', true },
	{ "tools/call", "arguments", NULL, 'o', false },
	{ "tools/list", "cursor", NULL, 's', false },
	{ "resources/list", "cursor", NULL, 's', false },
	{ "resources/templates/list", "cursor", NULL, 's', false },
	{ "resources/read", "uri", NULL, 's', true },
	{ "resources/subscribe", "uri", NULL, 's', true },
	{ "resources/unsubscribe", "uri", NULL, 's', true },
	{ "prompts/list", "cursor", NULL, 's', false },
	{ "prompts/get", "name", NULL, 's', true },
	{ "prompts/get", "arguments", NULL, 'o', false },
	{ "completion/complete", "ref", NULL, 'o', true },
	{ "completion/complete", "argument", NULL, 'o', true },
	{ "completion/complete", "argument", "name", 's', true },
	{ "completion/complete", "argument", "value", 's', true },
	{ "logging/setLevel", "level", NULL, 's', true },
	{ "notifications/cancelled", "requestId", NULL, 'i', true },
	{ "notifications/cancelled", "reason", NULL, 's', false },
	{ "notifications/progress", "progressToken", NULL, 'i', true },
	{ "notifications/progress", "progress", NULL, 'n', true },
	{ "ping", "_meta", NULL, 'o', false },
	{ "notifications/initialized", "_meta", NULL, 'o', false },
	{ "notifications/roots/list_changed", "_meta", NULL, 'o', false },
};

static bool has_kind(const struct osh_jval *v, char type)
{
	switch (type) {
	case 's':
		return is_type(v, OSH_JSON_STR);
	case 'o':
		return is_type(v, OSH_JSON_OBJ);
	case 'n':
		return is_number(v);
	default:
		return is_type(v, OSH_JSON_STR) || is_number(v);
	}
}

/* Methods that are not in the table are extensions: not ours to know. */
static int check_mcp_params(struct osh_str method, const struct osh_jval *params,
			    const char **ret_error)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(mcp_params); i++) {
		const struct mcp_param *want = &mcp_params[i];
		const struct osh_jval *v;

		if (!osh_str_is(method, want->method))
			continue;
		if (params && !is_type(params, OSH_JSON_OBJ))
			return bad(ret_error, "params is not an object");
		v = osh_jval_get(params, want->outer);
		if (v && want->inner)
			v = osh_jval_get(v, want->inner);
		if (!v && want->required)
			return bad(ret_error, "a required parameter is missing");
		if (v && !has_kind(v, want->type))
			return bad(ret_error, "a parameter has the wrong type");
	}
	return 0;
}

/* ---- messages ---- */

struct context {
	bool mcp, strict;
	struct osh_arena *arena;
	const char **ret_error;
};

static int take_call(const struct context *ctx, const struct osh_jval *msg, struct osh_str method,
		     struct osh_rpc_call *call)
{
	const struct osh_jval *params = osh_jval_get(msg, "params");
	struct osh_str tool = OSH_STR_NONE;
	int r;

	if (ctx->mcp) {
		r = check_mcp_params(method, params, ctx->ret_error);
		if (r < 0)
			return r;
		if (osh_str_is(method, "tools/call"))
			tool = osh_jval_str(osh_jval_get(params, "name"));
		if (tool.p && ctx->strict && !osh_rpc_tool_name_is_strict(tool))
			return bad(ctx->ret_error, "invalid tool name");
	}
	call->method = osh_arena_str(ctx->arena, method);
	call->tool = tool.p ? osh_arena_str(ctx->arena, tool) : tool;
	return call->method.p && (!tool.p || call->tool.p) ? 0 : -ENOMEM;
}

/* 1: a call in @call; 0: a response. */
static int take_message(const struct context *ctx, const struct osh_jval *msg,
			struct osh_rpc_call *call)
{
	const struct osh_jval *id, *method, *result, *error;
	int r;

	if (!is_type(msg, OSH_JSON_OBJ))
		return bad(ctx->ret_error, "a message is not an object");
	if (!osh_str_is(osh_jval_str(osh_jval_get(msg, "jsonrpc")), "2.0"))
		return bad(ctx->ret_error, "jsonrpc is not \"2.0\"");
	id = osh_jval_get(msg, "id");
	method = osh_jval_get(msg, "method");
	result = osh_jval_get(msg, "result");
	error = osh_jval_get(msg, "error");
	if (id && !is_type(id, OSH_JSON_STR) && !is_number(id) && !is_type(id, OSH_JSON_NULL))
		return bad(ctx->ret_error, "invalid id");
	if (method) {
		if (result || error)
			return bad(ctx->ret_error, "both a call and a response");
		if (!is_type(method, OSH_JSON_STR))
			return bad(ctx->ret_error, "method is not a string");
		r = take_call(ctx, msg, osh_jval_str(method), call);
		return r < 0 ? r : 1;
	}
	if (!result == !error)
		return bad(ctx->ret_error, "neither a call nor a response");
	if (!id)
		return bad(ctx->ret_error, "a response without id");
	if (error && !is_type(error, OSH_JSON_OBJ))
		return bad(ctx->ret_error, "error is not an object");
	return 0;
}

int osh_jsonrpc_parse(struct osh_str body, bool mcp, bool strict_tool_names,
		      struct osh_arena *arena, struct osh_jsonrpc *ret, const char **ret_error)
{
	const struct context ctx = { mcp, strict_tool_names, arena, ret_error };
	osh_auto_jval struct osh_jval *root = NULL;
	struct osh_jsonrpc out = { 0 };
	struct osh_rpc_call *calls;
	size_t n;
	bool batch;
	int r;

	r = osh_body_json_parse(body, &root, ret_error);
	if (r < 0)
		return r;
	batch = is_type(root, OSH_JSON_ARR);
	n = batch ? osh_jval_len(root) : 1;
	if (!n || n > OSH_RPC_CALLS_MAX)
		return bad(ret_error, n ? "too many messages" : "empty batch");
	calls = osh_arena_array(arena, n, sizeof(*calls));
	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		r = take_message(&ctx, batch ? osh_jval_at(root, i) : root, &calls[out.n_calls]);
		if (r < 0)
			return r;
		if (r == 1)
			out.n_calls++;
		else
			out.has_response = true;
	}
	out.calls = calls;
	*ret = out;
	return 0;
}
