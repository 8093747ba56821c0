/* SPDX-License-Identifier: MIT */
/* Bodies: GraphQL, JSON-RPC. */
#include "http/graphql.h"
#include "http/jsonrpc.h"
#include "http/query.h"
#include "runner.h"

static void add_text(struct outcome *out, struct osh_buf *buf, const char *what, struct osh_str s)
{
	int r = s.p ? osh_buf_printf(buf, " %s=%s", what, osh_quote(s))
		    : osh_buf_printf(buf, " %s=none", what);

	if (r < 0)
		out->malformed = true;
}

static struct osh_str member(const json_t *obj, const char *key)
{
	return opt_text(obj, key);
}

/* One line that says everything that is compared. */
static void describe_expected(struct outcome *out, const json_t *ops, struct osh_buf *buf)
{
	for (size_t i = 0; i < json_array_size(ops); i++) {
		const json_t *op = json_array_get(ops, i), *fields = json_object_get(op, "fields");

		add_text(out, buf, "type", member(op, "type"));
		add_text(out, buf, "name", member(op, "name"));
		for (size_t f = 0; f < json_array_size(fields); f++)
			add_text(out, buf, "field",
				 osh_str(json_string_value(json_array_get(fields, f))));
		add_text(out, buf, "hash", member(op, "hash"));
		add_text(out, buf, "id", member(op, "id"));
	}
}

static void describe_actual(struct outcome *out, const struct osh_graphql *gql, struct osh_buf *buf)
{
	for (size_t i = 0; i < gql->n_ops; i++) {
		const struct osh_gql_op *op = &gql->ops[i];

		add_text(out, buf, "type", osh_str(osh_gql_type_name(op->type)));
		add_text(out, buf, "name", op->name);
		for (size_t f = 0; f < op->n_fields; f++)
			add_text(out, buf, "field", op->fields[f]);
		add_text(out, buf, "hash", op->hash);
		add_text(out, buf, "id", op->id);
	}
}

static bool compare(struct outcome *out, const json_t *expect, bool ok, const char *error,
		    struct osh_buf *expected, struct osh_buf *actual)
{
	bool same;

	if (json_is_null(expect)) {
		if (!ok)
			return true;
		want(out, "refused");
		return got(out, "%.*s", OSH_STR_FMT(osh_buf_str(actual)));
	}
	if (!json_is_object(expect)) {
		out->malformed = true;
		return false;
	}
	same = ok && osh_str_eq(osh_buf_str(expected), osh_buf_str(actual));
	if (same)
		return true;
	want(out, "%.*s", OSH_STR_FMT(osh_buf_str(expected)));
	return ok ? got(out, "%.*s", OSH_STR_FMT(osh_buf_str(actual)))
		  : got(out, "refused: %s", error);
}

static bool row_graphql(const json_t *row, struct outcome *out)
{
	osh_auto_bufmem struct osh_buf expected, actual;
	const json_t *expect = json_object_get(row, "expect");
	struct osh_str target = opt_text(row, "target"), raw = OSH_STR("");
	struct osh_query_pair pairs[256];
	struct osh_query query = { pairs, 0 };
	struct osh_graphql_input in = {
		.method = opt_text(row, "method"),
		.content_type = opt_text(row, "content_type"),
		.content_encoding = opt_text(row, "content_encoding"),
		.query = &query,
		.body = text_of(out, row, "body"),
	};
	struct osh_graphql gql = { 0 };
	const char *error = "query string";
	char *mem;
	bool ok;

	osh_buf_init(&expected, 1u << 20, 0);
	osh_buf_init(&actual, 1u << 20, 0);
	if (!in.method.p)
		in.method = OSH_STR("POST");
	if (target.p)
		raw = osh_str_sub(target, osh_str_find(target, '?') + 1, target.n);
	mem = osh_arena_alloc(&out->arena, raw.n + 1);
	ok = osh_query_decode(raw, mem, raw.n, pairs, OSH_ARRAY_SIZE(pairs), &query.n) == 0 &&
	     osh_graphql_parse(&in, &out->arena, &gql, &error) == 0;
	describe_expected(out, json_object_get(expect, "operations"), &expected);
	describe_actual(out, &gql, &actual);
	return compare(out, expect, ok, error, &expected, &actual);
}

static bool row_jsonrpc(const json_t *row, struct outcome *out)
{
	osh_auto_bufmem struct osh_buf expected, actual;
	const json_t *expect = json_object_get(row, "expect"), *list;
	bool mcp = osh_str_is(text_of(out, row, "protocol"), "mcp");
	struct osh_jsonrpc rpc = { 0 };
	const char *error = "";
	bool ok;

	osh_buf_init(&expected, 1u << 20, 0);
	osh_buf_init(&actual, 1u << 20, 0);
	ok = osh_jsonrpc_parse(text_of(out, row, "body"), mcp,
			       opt_bool(row, "strict_tool_names", true), &out->arena, &rpc,
			       &error) == 0;
	list = json_object_get(expect, "methods");
	for (size_t i = 0; i < json_array_size(list); i++)
		add_text(out, &expected, "method",
			 osh_str(json_string_value(json_array_get(list, i))));
	list = json_object_get(expect, "tools");
	for (size_t i = 0; i < json_array_size(list); i++)
		add_text(out, &expected, "tool",
			 osh_str(json_string_value(json_array_get(list, i))));
	if (opt_bool(expect, "response", false))
		add_text(out, &expected, "response", OSH_STR("yes"));
	for (size_t i = 0; i < rpc.n_calls; i++)
		add_text(out, &actual, "method", rpc.calls[i].method);
	for (size_t i = 0; i < rpc.n_calls; i++)
		if (rpc.calls[i].tool.p)
			add_text(out, &actual, "tool", rpc.calls[i].tool);
	if (rpc.has_response)
		add_text(out, &actual, "response", OSH_STR("yes"));
	return compare(out, expect, ok, error, &expected, &actual);
}

const struct kind body_kinds[] = {
	{ "graphql", row_graphql, false },
	{ "jsonrpc", row_jsonrpc, false },
	{ 0 },
};
