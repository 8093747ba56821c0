/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include <stdio.h>

#include "policy/defaults.h"
#include "policy/hash.h"
#include "policy/node.h"
#include "policy/serialise.h"
#include "policy/yamlout.h"

static void yaml_is_laid_out_as_people_write_it(void **state)
{
	static const char want[] = "version: 1\n"
				   "filesystem_policy:\n"
				   "  include_workdir: true\n"
				   "  read_only:\n"
				   "  - /usr\n"
				   "landlock: {}\n"
				   "process:\n"
				   "  run_as_user: '1000'\n"
				   "network_policies:\n"
				   "  api:\n"
				   "    name: 'An API'\n"
				   "    endpoints:\n"
				   "    - host: '*.example.org'\n"
				   "      ports:\n"
				   "      - 443\n"
				   "      - 80\n"
				   "      protocol: rest\n"
				   "      enforcement: enforce\n"
				   "      rules:\n"
				   "      - allow:\n"
				   "          method: GET\n"
				   "          path: '**'\n"
				   "          query:\n"
				   "            a: 'no'\n"
				   "            b:\n"
				   "              any:\n"
				   "              - x*\n"
				   "              - 'it''s'\n"
				   "      deny_rules:\n"
				   "      - method: GET\n"
				   "        path: /admin/**\n"
				   "    binaries:\n"
				   "    - path: /usr/bin/curl\n"
				   "      scope: exact\n"
				   "  empty: {}\n";
	struct osh_buf out;
	struct doc d;

	(void)state;
	doc_load(&d, "network_policies:\n"
		     "  empty: {name: ''}\n"
		     "  api:\n"
		     "    binaries: [{scope: exact, path: /usr/bin/curl, harness: false}]\n"
		     "    name: An API\n"
		     "    endpoints:\n"
		     "    - {deny_rules: [{path: /admin/**, method: GET}], rules: [{allow: {query: "
		     "{b: {any: [x*, it's]}, a: 'no'}, path: '**', method: GET}}],\n"
		     "       enforcement: enforce, protocol: rest, ports: [443, 80], host: "
		     "'*.example.org', access: '', allowed_ips: []}\n"
		     "process: {run_as_user: '1000', run_as_group: ''}\n"
		     "landlock: {}\n"
		     "filesystem_policy: {read_only: [/usr/], include_workdir: true}\n"
		     "version: 1\n");
	assert_non_null(d.policy);
	osh_buf_init(&out, 1u << 16, 0);
	assert_int_equal(osh_policy_to_yaml(d.policy, &out), 0);
	assert_string_equal(out.data, want);
	osh_buf_fini(&out);
	doc_free(&d);
}

/* Any text survives a trip through the writer and the reader. */
static void texts_survive(const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct osh_buf json, yaml;
		struct osh_json j;
		struct osh_jval *tree = NULL;
		struct osh_arena arena;
		struct osh_node *root = NULL;
		struct osh_diag diag;

		osh_buf_init(&json, 1u << 16, 0);
		osh_buf_init(&yaml, 1u << 16, 0);
		osh_arena_init(&arena, 1u << 20);
		osh_diag_init(&diag, NULL);
		osh_json_init(&j, &json, 0);
		osh_json_obj(&j);
		osh_json_kstr(&j, "k", osh_str(texts[i]));
		osh_json_key(&j, "l");
		osh_json_arr(&j);
		osh_json_str(&j, osh_str(texts[i]));
		osh_json_arr_end(&j);
		if (texts[i][0])
			osh_json_kz(&j, texts[i], "v");
		osh_json_obj_end(&j);
		assert_int_equal(j.err, 0);
		assert_int_equal(osh_json_parse(osh_buf_str(&json), &tree, NULL, 0), 0);
		assert_int_equal(osh_yaml_write(tree, &yaml), 0);
		if (osh_node_parse(&arena, osh_buf_str(&yaml), NULL, &root, &diag) < 0)
			fail_msg("not read back: %s", yaml.data);
		assert_true(osh_str_is(root->child->text, texts[i]));
		assert_int_equal(root->child->type, OSH_NODE_STR);
		assert_true(osh_str_is(root->child->next->child->text, texts[i]));
		if (texts[i][0])
			assert_non_null(osh_node_get(root, osh_str(texts[i])));
		osh_diag_fini(&diag);
		osh_arena_fini(&arena);
		tree = osh_jval_free(tree);
		osh_buf_fini(&yaml);
		osh_buf_fini(&json);
	}
}

static void hostile_texts_survive(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"a b",
		" a",
		"a ",
		"no",
		"Yes",
		"null",
		"~",
		"1",
		"1.5",
		"0x1f",
		"-1",
		"+1",
		"1e3",
		".inf",
		"2026-01-02",
		"12:30:45",
		"---",
		"...",
		"- a",
		"a: b",
		"a:",
		":a",
		"a #b",
		"#a",
		"'",
		"''",
		"\"",
		"\\",
		"\\n",
		"\n",
		"a\nb",
		"\t",
		"\r\n",
		"[a]",
		"{a: b}",
		"&a",
		"*a",
		"!a",
		"|",
		">",
		"%a",
		"@a",
		"`a",
		"?",
		"? a",
		"-",
		"<<",
		"=",
		"\x01",
		"\x7f",
		"\xc2\x80",
		"\xc2\x85",
		"\xc2\xa0",
		"\xc3\xa9",
		"\xe2\x80\xa8",
		"\xe2\x80\xa9",
		"\xef\xbb\xbf",
		"\xef\xbf\xbe",
		"\xef\xbf\xbf",
		"\xf0\x9f\x98\x80",
		"\xf4\x8f\xbf\xbf",
		"\xe2\x80\xae"
		"abc",
		"a'b\"c",
		"/usr/bin/x",
		"k\xcc\x81",
		"\x1b[31m",
		"a\x01\"b\\\n\xc2\x85'",
		"a,b",
		"a]",
		"}",
	};

	(void)state;
	texts_survive(texts, OSH_ARRAY_SIZE(texts));
}

static void hash_of(const char *yaml, char hex[OSH_SHA256_HEX])
{
	struct osh_policy *again = NULL, *copy = NULL;
	struct osh_buf out;
	struct doc d, e;

	doc_load(&d, yaml);
	if (!d.policy)
		fail_msg("%s", d.text.data);
	assert_int_equal(osh_policy_hash(d.policy, hex), 0);
	assert_int_equal(strlen(hex), 64);
	/* Identity: through the text, and through a copy. */
	osh_buf_init(&out, 1u << 20, 0);
	assert_int_equal(osh_policy_to_yaml(d.policy, &out), 0);
	doc_load(&e, out.data);
	if (!e.policy)
		fail_msg("not read back: %s\n%s", e.text.data, out.data);
	assert_true(osh_policy_eq(d.policy, e.policy));
	assert_int_equal(osh_policy_copy(d.policy, &copy), 0);
	d.policy = osh_policy_free(d.policy);
	assert_true(osh_policy_eq(copy, e.policy));
	osh_policy_free(again);
	osh_policy_free(copy);
	osh_buf_fini(&out);
	doc_free(&d);
	doc_free(&e);
}

static void hash_sees_content_not_form(void **state)
{
	static const char *const same[][2] = {
		{ "version: 1\n", "{\"version\":0x1}" },
		{ EP("host: a.b.c, port: 443"),
		  EP("port: 443, host: 'a.b.c', tls: '', rules: []") },
		{ EP("host: a.b.c, port: 443"), EP("ports: [443], host: a.b.c") },
		{ "version: 1\nnetwork_policies: {a: {}, b: {}}\n",
		  "version: 1\nnetwork_policies: {b: {}, a: {name: a}}\n" },
		{ "version: 1\nfilesystem_policy: {read_only: [/a/]}\n",
		  "version: 1\nfilesystem_policy: {read_only: [//a], include_workdir: false}\n" },
	};
	static const char *const differ[][2] = {
		{ "version: 1\n", "version: 1\nprocess: {}\n" },
		{ "version: 1\n", "version: 1\nlandlock: {}\n" },
		{ "version: 1\nprocess: {run_as_user: '1'}\n",
		  "version: 1\nprocess: {run_as_group: '1'}\n" },
		{ "version: 1\nnetwork_policies: {a: {}}\n",
		  "version: 1\nnetwork_policies: {a: {name: x}}\n" },
		{ EP("host: a.b.c, ports: [1, 2]"), EP("host: a.b.c, ports: [2, 1]") },
		{ EP("host: a.b.c, port: 443"), EP("host: A.b.c, port: 443") },
		{ EP("host: a.b.c, port: 443"), EP("host: a.b.c, port: 443, tls: passthrough") },
		{ EP("host: a.b.c, port: 443"),
		  EP("host: a.b.c, port: 443, allow_uninspected_credentials: true") },
		{ EP(REST ", access: full"), EP(REST ", access: read-write") },
		{ EP(REST ", access: full"), EP(REST ", access: full, path: '**'") },
		{ EP(REST ", access: full"), EP(REST ", access: full, allow_encoded_slash: true") },
		{ EP(REST ", rules: [{allow: {method: GET, path: /, query: {q: a}}}]"),
		  EP(REST ", rules: [{allow: {method: GET, path: /, query: {q: {any: [a]}}}}]") },
		{ EP(REST ", access: full, deny_rules: [{method: GET, path: /}]"),
		  EP(REST ", access: full") },
	};
	char a[OSH_SHA256_HEX], b[OSH_SHA256_HEX];

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(same); i++) {
		hash_of(same[i][0], a);
		hash_of(same[i][1], b);
		assert_string_equal(a, b);
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(differ); i++) {
		hash_of(differ[i][0], a);
		hash_of(differ[i][1], b);
		if (strcmp(a, b) == 0)
			fail_msg("same hash: %s and %s", differ[i][0], differ[i][1]);
	}
}

static void every_field_survives(void **state)
{
	char hex[OSH_SHA256_HEX];

	(void)state;
	hash_of("version: 1\nnetwork_policies:\n  k:\n    endpoints:\n"
		"    - {host: a.b.c, port: 1, protocol: graphql, access: full, persisted_queries: "
		"allow_registered, graphql_max_body_bytes: 70000, graphql_persisted_queries: {'1': "
		"{operation_type: query, operation_name: N, fields: [a, b]}}}\n"
		"    - {host: a.b.c, port: 2, protocol: json-rpc, rules: [{allow: {method: m}}], "
		"json_rpc: {max_body_bytes: 5}}\n"
		"    - {host: a.b.c, port: 3, protocol: mcp, mcp: {allow_all_known_mcp_methods: true, "
		"max_body_bytes: 6, strict_tool_names: false}}\n"
		"    - {host: a.b.c, port: 4, protocol: rest, access: full, credential_signing: "
		"'sigv4:body', signing_service: s3, signing_region: r, credential_binding: "
		"{provider: p}}\n"
		"    - {host: a.b.c, port: 5, protocol: sql, rules: [{allow: {command: SELECT}}]}\n"
		"    - {host: a.b.c, port: 6, protocol: websocket, access: full, "
		"websocket_credential_rewrite: true}\n"
		"    - {port: 7, allowed_ips: [10.1.0.0/16, '2001:db8::/32']}\n"
		"    binaries: [{path: '/a b', harness: true}]\n"
		"network_middlewares:\n  m: {middleware: x, name: N, order: -3, on_error: fail_closed, "
		"config: {z: [1, -2.5, 1e30, true, null, \"\\x7f\\u2028\", {a: {}}, []], a: 0x10}, "
		"endpoints: {include: ['**.b.c'], exclude: [x.b.c]}}\n",
		hex);
	hash_of(osh_policy_default_yaml(), hex);
}

static void the_default_policy_is_valid_and_restrictive(void **state)
{
	struct osh_policy *policy = NULL;

	(void)state;
	assert_int_equal(osh_policy_default(&policy), 0);
	assert_int_equal(policy->n_entries, 0);
	assert_true(policy->filesystem.include_workdir);
	assert_int_equal(policy->filesystem.read_only.n, 7);
	assert_int_equal(policy->filesystem.read_write.n, 3);
	assert_true(policy->process.present);
	osh_policy_free(policy);
	accepts(osh_policy_default_yaml(), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_is_laid_out_as_people_write_it),
		cmocka_unit_test(hostile_texts_survive),
		cmocka_unit_test(hash_sees_content_not_form),
		cmocka_unit_test(every_field_survives),
		cmocka_unit_test(the_default_policy_is_valid_and_restrictive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
