/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "http/graphql.h"
#include "http/jsonrpc.h"

/* "type name:field,field" of each operation, or the error. */
static const char *graphql(struct osh_graphql_input *in)
{
	static char text[512];
	const char *error = "";
	struct osh_graphql gql;
	struct osh_arena arena;
	size_t n = 0;
	int r;

	osh_arena_init(&arena, 8u << 20);
	if (!in->method.p)
		in->method = OSH_STR("POST");
	r = osh_graphql_parse(in, &arena, &gql, &error);
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "! %s", error);
	} else {
		for (size_t i = 0; i < gql.n_ops; i++) {
			const struct osh_gql_op *op = &gql.ops[i];

			n += (size_t)snprintf(text + n, sizeof(text) - n,
					      "%s%s %.*s:", i ? " | " : "",
					      osh_gql_type_name(op->type), OSH_STR_FMT(op->name));
			for (size_t f = 0; f < op->n_fields; f++)
				n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s",
						      f ? "," : "", OSH_STR_FMT(op->fields[f]));
		}
	}
	osh_arena_fini(&arena);
	return text;
}

static const char *body(const char *json)
{
	struct osh_graphql_input in = { .body = osh_str(json) };

	return graphql(&in);
}

static const char *doc(const char *text)
{
	static char json[65536];

	(void)snprintf(json, sizeof(json), "{\"query\":\"%s\"}", text);
	return body(json);
}

static void documents(void **state)
{
	(void)state;
	assert_string_equal(doc("{ b a a: b }"), "query :a,b");
	assert_string_equal(doc("mutation M { x: drop }"), "mutation M:drop");
	assert_string_equal(doc("{ ...F ...F } fragment F on Q { a ... { b } }"), "query :a,b");
	assert_string_equal(doc("{ a { ...G } } fragment G on T { b }"), "query :a");
	assert_string_equal(doc("{ ...F } fragment F on Q { ...F a }"),
			    "! fragments spread each other");
	assert_string_equal(doc("{ ...F }"), "! a fragment is not defined");
	assert_string_equal(doc("{ a } { b }"), "! an anonymous operation must be the only one");
	assert_string_equal(doc("query A { a } query A { b }"), "! two definitions of one name");
	assert_string_equal(doc("query A { a } query B { b }"),
			    "! several operations and no operationName");
	assert_string_equal(doc("{ a(x: 01) }"), "! malformed number");
	assert_string_equal(doc("{ a(x: 1.) }"), "! malformed number");
	assert_string_equal(doc("{ a(x: -1.5e+3) }"), "query :a");
	assert_string_equal(doc("query Q($a: Int = $b) { a }"), "! a value is missing");
	assert_string_equal(doc("{ a(s: \\\"\\\\q\\\") }"), "! malformed escape in a string");
	assert_string_equal(doc("{ a(s: \\\"\\\\u{1F600}\\\") }"), "query :a");
	assert_string_equal(doc("{ a(s: \\\"x\\ny\\\") }"), "! unterminated string");
	assert_string_equal(doc("{ a(s: \\\"\\\"\\\"x\\ny \\\\\\\"\\\"\\\" z\\\"\\\"\\\") }"),
			    "query :a");
	assert_string_equal(doc("\\ufeff{ a }"), "query :a");
	assert_string_equal(doc("{ a .. b }"), "! unexpected character");
	assert_string_equal(doc("type T { a: Int }"), "! not an executable definition");
	assert_string_equal(doc("subscription { a @x(y: [1, {z: $v}]) { b } }"), "subscription :a");
}

static void document_limits(void **state)
{
	char deep[4096] = "", many[60000] = "{ ";
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < 128; i++)
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "{a");
	for (size_t i = 0; i < 128; i++)
		deep[n++] = '}';
	assert_string_equal(doc(deep), "query :a");
	n = 0;
	for (size_t i = 0; i < 129; i++)
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "{a");
	for (size_t i = 0; i < 129; i++)
		deep[n++] = '}';
	deep[n] = '\0';
	assert_string_equal(doc(deep), "! nested too deeply");
	n = 2;
	for (size_t i = 0; i < 19998; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n, "a ");
	memcpy(many + n, "}", 2);
	assert_string_equal(doc(many), "query :a");
	memcpy(many + n, "b }", 4);
	assert_string_equal(doc(many), "! too many tokens");
}

static void envelopes(void **state)
{
	const struct osh_query_pair pairs[] = { { OSH_STR("query"), OSH_STR("{ a }") } };
	const struct osh_query query = { pairs, 1 };
	struct osh_graphql_input in = { .body = OSH_STR("{\"query\":\"{ a }\"}"), .query = &query };
	char deep[2200] = "{\"query\":\"{ a }\",\"variables\":";

	(void)state;
	assert_string_equal(body("[{\"query\":\"{ a }\"},{\"query\":\"mutation { b }\"}]"),
			    "query :a | mutation :b");
	assert_string_equal(
		body("{\"query\":\"{ a }\",\"variables\":{\"n\":123456789012345678901234567890}}"),
		"query :a");
	assert_string_equal(body("{\"query\":\"{ a }\",\"\\u0071uery\":\"mutation { b }\"}"),
			    "! body is not strict JSON");
	assert_string_equal(body("{\"query\":\"{ a }\",\"id\":\"x\",\"queryId\":\"y\"}"),
			    "! more than one id of a saved query");
	/* the URL's parameters may win upstream */
	assert_string_equal(graphql(&in), "! GraphQL parameters beside a body");
	in.query = NULL;
	in.content_type = OSH_STR("application/x-www-form-urlencoded");
	assert_string_equal(graphql(&in), "! body is not declared as JSON");
	in.content_type = OSH_STR("application/json; charset=utf-8");
	assert_string_equal(graphql(&in), "query :a");
	in.content_encoding = OSH_STR("gzip");
	assert_string_equal(graphql(&in), "! encoded body");
	in = (struct osh_graphql_input){ .method = OSH_STR("GET"), .query = &query };
	assert_string_equal(graphql(&in), "query :a");
	in.body = OSH_STR("{\"query\":\"mutation { b }\"}");
	assert_string_equal(graphql(&in), "! GET with a body");
	memset(deep + strlen(deep), '[', 1000);
	memset(deep + strlen(deep), ']', 1000);
	deep[strlen(deep)] = '}';
	assert_string_equal(body(deep), "! JSON nested too deeply");
}

static const char *rpc(const char *text, bool mcp)
{
	static char out[256];
	struct osh_jsonrpc res;
	const char *error = "";
	struct osh_arena arena;
	size_t n = 0;

	osh_arena_init(&arena, 8u << 20);
	out[0] = '\0';
	if (osh_jsonrpc_parse(osh_str(text), mcp, true, &arena, &res, &error) < 0) {
		(void)snprintf(out, sizeof(out), "! %s", error);
	} else {
		for (size_t i = 0; i < res.n_calls; i++)
			n += (size_t)snprintf(out + n, sizeof(out) - n, "%.*s(%.*s) ",
					      OSH_STR_FMT(res.calls[i].method),
					      OSH_STR_FMT(res.calls[i].tool));
		(void)snprintf(out + n, sizeof(out) - n, "%s", res.has_response ? "response" : "");
	}
	osh_arena_fini(&arena);
	return out;
}

#define MSG(rest) "{\"jsonrpc\":\"2.0\",\"id\":1," rest "}"

static void calls(void **state)
{
	(void)state;
	assert_string_equal(rpc(MSG("\"method\":\"a\""), false), "a() ");
	assert_string_equal(rpc("[" MSG("\"method\":\"a\"") "," MSG("\"result\":1") "]", false),
			    "a() response");
	assert_string_equal(
		rpc(MSG("\"method\":\"tools/call\",\"params\":{\"name\":\"x.y-1\"}"), true),
		"tools/call(x.y-1) ");
	assert_string_equal(
		rpc(MSG("\"method\":\"tools/call\",\"params\":{\"name\":\"x y\"}"), true),
		"! invalid tool name");
	assert_string_equal(rpc(MSG("\"method\":\"tools/call\""), true),
			    "! a required parameter is missing");
	assert_string_equal(rpc(MSG("\"method\":\"tools/call\",\"params\":[\"x\"]"), true),
			    "! params is not an object");
	assert_string_equal(rpc(MSG("\"method\":\"vendor/x\",\"params\":5"), true), "vendor/x() ");
	assert_string_equal(rpc(MSG("\"method\":\"a\",\"error\":{}"), true),
			    "! both a call and a response");
	assert_string_equal(
		rpc("{\"jsonrpc\":\"2.0\",\"id\":18446744073709551615,\"method\":\"a\"}", true),
		"a() ");
	assert_string_equal(rpc("{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"a\"}", true),
			    "! invalid id");
	assert_string_equal(rpc("[]", true), "! empty batch");
	assert_string_equal(rpc(MSG("\"method\":\"\\ud800\""), true), "! body is not strict JSON");
	assert_string_equal(rpc(MSG("\"method\":\"\xff\""), true), "! body is not strict JSON");
	assert_string_equal(rpc(MSG("\"method\":\"a\",\"method\":\"b\""), true),
			    "! body is not strict JSON");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(document_limits),
		cmocka_unit_test(envelopes),
		cmocka_unit_test(calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
