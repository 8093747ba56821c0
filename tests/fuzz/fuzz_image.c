/* SPDX-License-Identifier: MIT */
/*
 * A damaged policy image is refused or decides without leaving its bytes. The input is a list of
 * patches (offset, value: 3 + 1 bytes each) to a well-formed block, or a block as it is when it
 * starts with the magic.
 */
#include "fuzz.h"

#include "policy/decide.h"
#include "policy/explain.h"
#include "policy/model.h"

static const char text[] =
	"version: 1\n"
	"network_policies:\n"
	"  a:\n"
	"    endpoints:\n"
	"    - host: api.acme.test\n"
	"      port: 443\n"
	"      protocol: rest\n"
	"      enforcement: enforce\n"
	"      rules:\n"
	"      - allow: {method: GET, path: /a/*, query: {q: '1*', r: {any: [x, y]}}}\n"
	"      - allow: {method: POST, path: /b/c}\n"
	"      deny_rules: [{method: '*', path: /secret/**}]\n"
	"    - {host: '*.b.test', ports: [80, 443], tls: skip}\n"
	"    - {port: 9000, allowed_ips: [10.1.0.0/16]}\n"
	"    binaries: [{path: /usr/bin/curl}, {path: '/opt/**/x', scope: exact}]\n"
	"  g:\n"
	"    endpoints:\n"
	"    - host: gql.acme.test\n"
	"      port: 443\n"
	"      protocol: graphql\n"
	"      persisted_queries: allow_registered\n"
	"      graphql_persisted_queries: {h1: {operation_type: query, fields: [me]}}\n"
	"      rules: [{allow: {operation_type: query, operation_name: 'A*', fields: [me, 't*']}}]\n"
	"    - host: mcp.acme.test\n"
	"      port: 443\n"
	"      protocol: mcp\n"
	"      rules: [{allow: {method: tools/call, tool: 'find_*'}}]\n"
	"    binaries: [{path: /usr/bin/curl}]\n";

static struct osh_buf base;

static void prepare(void)
{
	static const char hash[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	struct osh_policy *policy = NULL;
	struct osh_diag diag;

	if (base.data)
		return;
	osh_diag_init(&diag, NULL);
	osh_buf_init(&base, OSH_IMAGE_MAX_BYTES, 0);
	CHECK(osh_policy_load(osh_str(text), NULL, &policy, &diag) == 0);
	CHECK(osh_image_compile(policy, 1, hash, &base) == 0);
	osh_policy_free(policy);
	osh_diag_fini(&diag);
}

static void look_around(const struct osh_image *img)
{
	for (size_t i = 0; i < osh_image_entry_count(img); i++) {
		struct osh_image_entry e;

		osh_image_entry(img, i, &e);
		(void)osh_str_eq(e.key, e.name);
	}
	for (size_t i = 0; i < osh_image_target_count(img); i++) {
		struct osh_image_target t;

		osh_image_target(img, i, &t);
		for (size_t k = 0; k < t.nports; k++)
			(void)t.ports[k];
	}
	for (size_t c = 0; c < osh_image_class_count(img); c++)
		for (size_t k = 0; k < osh_image_class_size(img, c); k++) {
			struct osh_image_binary b;

			osh_image_class_binary(img, c, k, &b);
			(void)osh_str_is(b.pattern, "/x");
		}
}

static void ask(const struct osh_image *img, const char *host, unsigned int port)
{
	static const struct osh_query_pair pairs[] = {
		{ { "q", 1 }, { "12", 2 } },
		{ { "r", 1 }, { "x", 1 } },
	};
	static const struct osh_query query = { pairs, 2 };
	static const struct osh_str fields[] = { { "me", 2 } };
	static const struct osh_gql_op ops[] = {
		{ .type = OSH_GQL_QUERY, .name = { "A", 1 }, .fields = fields, .n_fields = 1 },
		{ .type = OSH_GQL_PERSISTED, .hash = { "h1", 2 } },
	};
	static const struct osh_graphql gql = { ops, 2 };
	static const struct osh_rpc_call calls[] = { { { "tools/call", 10 }, { "find_x", 6 } } };
	static const struct osh_jsonrpc rpc = { calls, 1, false };
	static const char *const paths[] = { "/a/b", "/b/c", "/secret/x", "/" };
	const struct osh_identity_exe anc = { .path = OSH_STR("/opt/a/b/x") };
	const struct osh_identity id = { .self.path = OSH_STR("/usr/bin/curl"),
					 .ancestors = &anc,
					 .nancestors = 1 };
	struct osh_idclass *cls = NULL;
	struct osh_conn_verdict v;
	struct osh_buf out;
	struct osh_near near[4];

	osh_buf_init(&out, 1 << 16, 0);
	CHECK(osh_idclass_new(img, &id, &cls) == 0);
	osh_decide_conn(img, cls, osh_str(host), port, &v);
	(void)!osh_conn_detail(img, &id, osh_str(host), port, &v, &out);
	(void)osh_image_host_known(img, osh_str(host), port);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(paths); i++) {
		const struct osh_request_facts facts = {
			.method = i % 2 ? OSH_STR("POST") : OSH_STR("GET"),
			.path = osh_str(paths[i]),
			.query = &query,
			.has_body = i % 2,
			.is_ws_upgrade = true,
			.graphql = &gql,
			.jsonrpc = &rpc,
		};
		struct osh_route route;
		struct osh_req_verdict q;

		osh_decide_route(img, cls, osh_str(host), port, facts.path, &route);
		osh_decide_request(img, cls, osh_str(host), port, &facts, &q);
		(void)!osh_req_reason(&q, &facts, &out);
		(void)osh_explain_near(img, &id, osh_str(host), port, &facts, near, 4);
		/* a connection that is refused has no request that is not */
		CHECK(v.verdict == OSH_DECISION_ALLOW || q.verdict == OSH_DECISION_DENY);
	}
	osh_buf_fini(&out);
	osh_idclass_free(cls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct osh_image *img = NULL;
	bool raw = size > 8 && !memcmp(data, "OSHIMAGE", 8);
	size_t n;
	char *block;

	prepare();
	n = raw ? size : base.len;
	block = malloc(n); /* malloc aligns for any type */
	CHECK(block);
	memcpy(block, raw ? (const char *)data : base.data, n);
	for (size_t i = 0; !raw && i + 4 <= size; i += 4) {
		size_t at = (size_t)data[i] << 16 | (size_t)data[i + 1] << 8 | data[i + 2];

		block[at % n] = (char)data[i + 3];
	}
	if (osh_image_open(block, n, &img) == 0) {
		look_around(img);
		ask(img, "api.acme.test", 443);
		ask(img, "x.b.test", 443);
		ask(img, "gql.acme.test", 443);
		ask(img, "mcp.acme.test", 443);
		ask(img, "any.where", 9000);
	}
	free(block);
	return 0;
}
