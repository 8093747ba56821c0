/* SPDX-License-Identifier: MIT */
#include "http/classify.h"

#include "http/body_json.h"
#include "http/graphql.h"
#include "http/jsonrpc.h"

#define WS_TEXT_MAX (4u << 20) /* bytes of a text message (reference 5.3) */

static bool is_identity(struct osh_str encoding)
{
	return !encoding.p || !encoding.n || osh_str_ieq(encoding, OSH_STR("identity"));
}

/* Any refusal of a parser becomes a fact; only running out of memory is an error. */
static int settle(int r, const char *error, struct osh_request_facts *facts)
{
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		facts->body_error = error ? error : "malformed body";
	return 0;
}

static int classify_graphql(const struct osh_body_input *in, struct osh_arena *arena,
			    struct osh_request_facts *facts)
{
	struct osh_graphql *gql = osh_arena_alloc(arena, sizeof(*gql));
	const struct osh_graphql_input input = {
		.method = facts->method,
		.content_type = in->content_type,
		.content_encoding = in->content_encoding,
		.query = facts->query,
		.body = in->body,
	};
	const char *error = NULL;
	int r;

	if (!gql)
		return -ENOMEM;
	r = osh_graphql_parse(&input, arena, gql, &error);
	if (r == 0)
		facts->graphql = gql;
	return settle(r, error, facts);
}

static int classify_rpc(const struct osh_route *route, const struct osh_body_input *in,
			struct osh_arena *arena, struct osh_request_facts *facts)
{
	struct osh_jsonrpc *rpc = osh_arena_alloc(arena, sizeof(*rpc));
	const char *error = NULL;
	int r;

	if (!rpc)
		return -ENOMEM;
	if (!is_identity(in->content_encoding)) {
		facts->body_error = "content encoding is not supported";
		return 0;
	}
	r = osh_jsonrpc_parse(in->body, route->inspect == OSH_INSPECT_MCP, route->strict_tool_names,
			      arena, rpc, &error);
	if (r == 0)
		facts->jsonrpc = rpc;
	return settle(r, error, facts);
}

int osh_facts_from_body(const struct osh_route *route, const struct osh_body_input *in,
			struct osh_arena *arena, struct osh_request_facts *facts)
{
	bool is_post = osh_str_ieq(facts->method, OSH_STR("POST"));

	if (!route->found || !route->wants_body)
		return 0;
	if (in->too_large) {
		facts->body_error = "body is larger than the endpoint allows";
		return 0;
	}
	if (route->inspect == OSH_INSPECT_GRAPHQL)
		return classify_graphql(in, arena, facts);
	/* other methods carry no calls; the decision says so */
	return is_post ? classify_rpc(route, in, arena, facts) : 0;
}

/* ---- GraphQL over WebSocket ---- */

static bool is_control(struct osh_str type)
{
	static const char *const names[] = {
		"connection_init", "connection_terminate", "ping", "pong", "complete", "stop"
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++)
		if (osh_str_is(type, names[i]))
			return true;
	return false;
}

static int classify_payload(const struct osh_jval *payload, struct osh_arena *arena,
			    struct osh_request_facts *facts)
{
	osh_auto_bufmem struct osh_buf json = { 0 };
	struct osh_graphql *gql = osh_arena_alloc(arena, sizeof(*gql));
	struct osh_str text;
	const char *error = NULL;
	int r;

	if (!gql)
		return -ENOMEM;
	if (osh_jval_type(payload) != OSH_JSON_OBJ) {
		facts->body_error = "message has no payload object";
		return 0;
	}
	osh_buf_init(&json, WS_TEXT_MAX, 0);
	r = osh_jval_dump(payload, &json);
	if (r < 0)
		return settle(r, "payload is too large", facts);
	text = osh_arena_str(arena, osh_buf_str(&json));
	if (!text.p)
		return -ENOMEM;
	r = osh_graphql_parse_envelope(text, arena, gql, &error);
	if (r == 0)
		facts->graphql = gql;
	return settle(r, error, facts);
}

int osh_facts_from_ws_text(const struct osh_route *route, struct osh_str text,
			   struct osh_arena *arena, struct osh_request_facts *facts)
{
	osh_auto_jval struct osh_jval *root = NULL;
	const char *error = NULL;
	struct osh_str type;
	int r;

	facts->method = OSH_STR("WEBSOCKET_TEXT");
	if (!route->found || !route->ws_graphql)
		return 0;
	if (text.n > WS_TEXT_MAX) {
		facts->body_error = "message is too large";
		return 0;
	}
	r = osh_body_json_parse(text, &root, &error);
	if (r < 0)
		return settle(r, error, facts);
	type = osh_jval_str(osh_jval_get(root, "type"));
	if (!type.p) {
		facts->body_error = "message has no type";
		return 0;
	}
	if (is_control(type)) {
		facts->ws_control = true;
		return 0;
	}
	if (osh_str_is(type, "subscribe") || osh_str_is(type, "start"))
		return classify_payload(osh_jval_get(root, "payload"), arena, facts);
	facts->body_error = "unknown message type";
	return 0;
}
