/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include <stdio.h>

#include "policy/serialise.h"
#include "policy/validate.h"

static void version_must_be_one(void **state)
{
	(void)state;
	accepts("version: 1\n", NULL);
	refuses("", "the document is empty");
	refuses("network_policies: {}\n", "p.yaml:1:1: policy: field \"version\" is required");
	refuses("version: 2\n", "p.yaml:1:10: version must be 1, got \"2\"");
	refuses("version: '1'\n", "expected an integer, got text");
	refuses("version: 1.0\n", "expected an integer, got a fraction");
	refuses("version: 99999999999999999999\n", "outside 0 to 4294967295");
}

static void every_error_of_a_file_is_reported(void **state)
{
	struct doc d;

	(void)state;
	doc_load(&d, "version: 1\n"
		     "filesytem_policy: {}\n"
		     "process: {run_as_user: root}\n"
		     "network_policies:\n"
		     "  a:\n"
		     "    endpoint: []\n"
		     "  b:\n"
		     "    endpoints:\n"
		     "    - {hots: x, port: 443}\n"
		     "    - {host: '*', port: 0}\n"
		     "    binaries: [{paht: /x}]\n");
	assert_null(d.policy);
	assert_non_null(strstr(d.text.data,
			       "p.yaml:2:1: unknown field \"filesytem_policy\" in policy; "
			       "did you mean \"filesystem_policy\"?"));
	assert_non_null(strstr(d.text.data, "p.yaml:3:24: run_as_user must be 'sandbox'"));
	assert_non_null(strstr(d.text.data, "p.yaml:6:5: unknown field \"endpoint\""));
	assert_non_null(strstr(d.text.data, "did you mean \"endpoints\"?"));
	assert_non_null(strstr(d.text.data,
			       "p.yaml:9:8: unknown field \"hots\" in endpoint; did you "
			       "mean \"host\"?"));
	assert_non_null(strstr(d.text.data,
			       "p.yaml:10:14: network policy 'b' endpoint[1] (*:): host "
			       "'*': invalid host wildcard"));
	assert_non_null(strstr(d.text.data, "must declare at least one port"));
	assert_non_null(strstr(d.text.data, "did you mean \"path\"?"));
	assert_non_null(strstr(d.text.data, "field \"path\" is required"));
	doc_free(&d);
}

static void unknown_fields_are_refused_at_every_level(void **state)
{
	static const char *const docs[] = {
		"version: 1\nx: 1\n",
		"version: 1\nfilesystem_policy: {x: 1}\n",
		"version: 1\nlandlock: {x: 1}\n",
		"version: 1\nprocess: {x: 1}\n",
		"version: 1\nnetwork_policies: {k: {x: 1}}\n",
		EP("host: a.example.org, port: 1, x: 1"),
		EP("host: a.example.org, port: 1, json_rpc: {x: 1}"),
		EP("host: a.example.org, port: 1, mcp: {x: 1}"),
		EP("host: a.example.org, port: 1, credential_binding: {provider: p, x: 1}"),
		EP("host: a.example.org, port: 1, graphql_persisted_queries: {k: {x: 1}}"),
		EP(REST ", rules: [{x: {}}]"),
		EP(REST ", rules: [{allow: {x: 1}}]"),
		EP(REST ", access: full, deny_rules: [{x: 1}]"),
		EP(REST ", rules: [{allow: {method: GET, path: /, query: {q: {x: [a]}}}}]"),
		EP(REST ", rules: [{allow: {method: GET, path: /, query: {q: {glob: a}}}}]"),
		"version: 1\nnetwork_policies: {k: {binaries: [{path: /a, x: 1}]}}\n",
		"version: 1\nnetwork_middlewares: {m: {middleware: a, x: 1}}\n",
		"version: 1\nnetwork_middlewares: {m: {middleware: a, endpoints: {x: []}}}\n",
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(docs); i++)
		refuses(docs[i], "unknown field");
}

static void empty_means_default_and_null_is_no_text(void **state)
{
	(void)state;
	accepts("version: 1\nnetwork_policies:\nfilesystem_policy:\n", NULL);
	refuses("version: 1\nnetwork_policies: ~\n", "expected a mapping, got nothing");
	refuses("version: 1\nprocess: {run_as_user: null}\n", "expected text, got nothing (null)");
	accepts("version: 1\nprocess: {run_as_user: 1000}\n", NULL);
}

static void filesystem_paths_are_normalised_and_checked(void **state)
{
	struct doc d;

	(void)state;
	doc_load(&d, "version: 1\nfilesystem_policy: {read_only: [//a/./b/, /c]}\n");
	assert_non_null(d.policy);
	assert_true(osh_str_is(d.policy->filesystem.read_only.v[0], "/a/b"));
	assert_false(d.policy->filesystem.include_workdir);
	doc_free(&d);
	doc_load(&d, "version: 1\n");
	assert_true(d.policy->filesystem.include_workdir);
	doc_free(&d);
	refuses("version: 1\nfilesystem_policy: {read_write: [///]}\n", "overly broad: '/'");
	refuses("version: 1\nfilesystem_policy: {read_write: [/./.]}\n", "overly broad");
	refuses("version: 1\nfilesystem_policy: {read_only: [/a/..]}\n", "traversal component");
	refuses("version: 1\nfilesystem_policy: {read_only: ['']}\n", "path must be absolute");
	accepts("version: 1\nlandlock: {compatibility: hard-requirement}\n",
		"treated as best_effort");
}

static void endpoint_options_are_read(void **state)
{
	struct doc d;
	const struct osh_endpoint *ep;

	(void)state;
	doc_load(&d,
		 EP("host: A.example.org, ports: [8443, 443, 443], path: /v1, protocol: graphql, "
		    "tls: terminate, enforcement: enforce, access: read-write, "
		    "persisted_queries: allow_registered, graphql_max_body_bytes: 9, "
		    "graphql_persisted_queries: {b: {operation_type: query, fields: [x]}, "
		    "a: {operation_type: mutation}}, allowed_ips: [10.1.0.0/16]"));
	assert_non_null(d.policy);
	ep = &d.policy->entries[0].endpoints[0];
	assert_true(osh_str_is(ep->host, "A.example.org"));
	assert_int_equal(ep->n_ports, 2);
	assert_int_equal(ep->ports[0], 8443);
	assert_int_equal(ep->protocol, OSH_PROTO_GRAPHQL);
	assert_int_equal(ep->tls, OSH_TLS_TERMINATE);
	assert_int_equal(ep->enforcement, OSH_ENFORCE);
	assert_int_equal(ep->access, OSH_ACCESS_READ_WRITE);
	assert_int_equal(ep->persisted_queries, OSH_PERSISTED_ALLOW_REGISTERED);
	assert_int_equal(osh_endpoint_graphql_max(ep), 9);
	assert_true(osh_str_is(ep->graphql_persisted_queries[0].key, "a"));
	assert_true(osh_str_is(d.policy->entries[0].name, "k"));
	assert_int_equal(d.policy->entries[0].binaries[0].scope, OSH_SCOPE_DESCENDANTS);
	doc_free(&d);
}

static void ports_wins_over_port(void **state)
{
	struct doc d;

	(void)state;
	doc_load(&d, EP("host: a.example.org, port: 80, ports: [443]"));
	assert_non_null(d.policy);
	assert_int_equal(d.diag.warnings, 1);
	assert_int_equal(d.policy->entries[0].endpoints[0].n_ports, 1);
	assert_int_equal(d.policy->entries[0].endpoints[0].ports[0], 443);
	doc_free(&d);
}

static void parameters_are_flattened(void **state)
{
	struct doc d;
	const struct osh_rule *rule;

	(void)state;
	doc_load(&d,
		 EP("host: a.example.org, port: 443, protocol: mcp, enforcement: enforce, rules: "
		    "[{allow: {method: tools/call, tool: {any: [x, y]}}}]"));
	assert_non_null(d.policy);
	rule = &d.policy->entries[0].endpoints[0].rules[0];
	assert_int_equal(rule->n_params, 1);
	assert_true(osh_str_is(rule->params[0].key, "name"));
	assert_true(rule->params[0].m.any);
	assert_int_equal(rule->params[0].m.globs.n, 2);
	doc_free(&d);
	refuses(EP("host: a.example.org, port: 443, protocol: mcp, rules: [{allow: {method: "
		   "tools/call, tool: x, params: {name: y}}}]"),
		"parameter \"name\" is given twice");
	refuses(EP("host: a.example.org, port: 443, protocol: mcp, rules: [{allow: {method: "
		   "tools/call, params: {a: {b: x}}}}]"),
		"no params matcher but name (tool), got 'a.b'");
}

static void binaries_have_scope_and_pin(void **state)
{
	static const char head[] = "version: 1\nnetwork_policies:\n  k:\n    endpoints: [{host: "
				   "a.example.org, port: 443}]\n    binaries: [{path: /a, ";
	char text[512];
	struct doc d;

	(void)state;
	(void)snprintf(text, sizeof(text), "%sscope: exact, sha256: %064d}]\n", head, 7);
	doc_load(&d, text);
	assert_non_null(d.policy);
	assert_int_equal(d.policy->entries[0].binaries[0].scope, OSH_SCOPE_EXACT);
	assert_true(d.policy->entries[0].binaries[0].has_sha256);
	assert_int_equal(d.policy->entries[0].binaries[0].sha256[31], 7);
	doc_free(&d);
	(void)snprintf(text, sizeof(text), "%sscope: all}]\n", head);
	refuses(text, "scope must be exact or descendants, got \"all\"");
	(void)snprintf(text, sizeof(text), "%ssha256: abc}]\n", head);
	refuses(text, "sha256 must be 64 hexadecimal digits");
}

static void what_warns(void **state)
{
	(void)state;
	accepts(EP(REST ", access: full"), NULL);
	accepts(EP("host: a.example.org, port: 443"), NULL);
	accepts(EP(REST ", access: read-only, tls: terminate"), NULL);
	accepts(EP("host: a.example.org, port: 443, protocol: rest, access: read-only"),
		"defaults to audit");
	accepts(EP("host: a.example.org, port: 443, protocol: rest, access: full, enforcement: Enforce"),
		"unknown enforcement 'Enforce' is treated as audit");
	accepts(EP("host: a.example.org, port: 443, access: read-only"),
		"access has no effect without protocol");
	accepts(EP(REST ", rules: [{allow: {method: GET}}]"), "rule has no path");
	accepts(EP(REST ", rules: [{allow: {path: /x}}]"), "rule has no method");
	accepts("version: 1\nnetwork_policies:\n  k:\n    endpoints: [{host: a.example.org, port: "
		"443}]\n",
		"has no binaries: it matches no program");
	accepts("version: 1\nnetwork_policies:\n  k:\n    endpoints: [{host: a.example.org, port: "
		"443}]\n    binaries: [{path: curl}]\n",
		"binary 'curl' is not an absolute path");
	accepts(EP("host: a.example.org, port: 443, allowed_ips: [10.0.0.0/8]"),
		"broader than /16");
}

static void what_is_refused(void **state)
{
	(void)state;
	refuses(EP("port: 443"), "must declare host");
	refuses(EP("host: \"b\\xFCcher.example\", port: 443"), "A-label");
	refuses(EP("host: a.example.org, port: 443, allowed_ips: [10.0.0.0/33]"),
		"invalid `allowed_ips` entry '10.0.0.0/33'");
	refuses(EP("host: a.example.org, port: 443, allowed_ips: [0.0.0.0/0]"),
		"always-blocked `allowed_ips` entry '0.0.0.0/0'");
	refuses(EP("host: a.example.org, port: 443, protocol: sql, access: full, enforcement: enforce"),
		"protocol sql does not support 'enforcement: enforce'");
	refuses(EP(REST ", access: full, credential_signing: v2"),
		"unknown credential_signing 'v2'");
	refuses(EP(REST ", access: full, credential_signing: sigv4, signing_service: s3, "
			"request_body_credential_rewrite: true"),
		"cannot be combined with request_body_credential_rewrite");
	refuses(EP(REST ", access: full, persisted_queries: maybe"),
		"persisted_queries must be deny or allow_registered, got 'maybe'");
	refuses(EP("host: a.example.org, port: 443, protocol: graphql, rules: [{allow: "
		   "{operation_type: '*'}}]"),
		"operation_type must be query, mutation, or subscription, got '*'");
	refuses(EP("host: a.example.org, port: 443, protocol: websocket, rules: [{allow: {method: GET, "
		   "path: /x, operation_type: query}}]"),
		"mixes transport fields");
	refuses(EP("host: a.example.org, port: 443, protocol: websocket, rules: [{allow: {method: "
		   "WEBSOCKET_TEXT, path: /x}}, {allow: {operation_type: query}}]"),
		"WEBSOCKET_TEXT rules cannot be combined");
	refuses(EP("host: a.example.org, port: 443, protocol: mcp"), "mcp requires explicit rules");
	refuses(EP("host: a.example.org, port: 443, protocol: mcp, rules: [{allow: {method: '*'}}]"),
		"only valid for the tools/ method family");
	refuses(EP("host: a.example.org, port: 443, protocol: mcp, rules: [{allow: {method: "
		   "tools/list, tool: x}}]"),
		"tool matchers require method: tools/call");
	refuses(EP("host: a.example.org, port: 443, protocol: mcp, rules: [{allow: {method: "
		   "tools/call, tool: x}}, {allow: {method: tools/*}}]"),
		"allow rule for every tools/call conflicts");
	refuses(EP(REST ", rules: [{allow: {method: GET, path: /, query: {q: 1}}}]"),
		"got an integer; put it in quotes");
	refuses("version: 1\nnetwork_policies: {_provider_x: {}}\n",
		"reserved '_provider_' prefix");
	refuses("version: 1\nnetwork_policies:\n  k:\n    binaries: [{path: '/usr/[*'}]\n",
		"invalid binary pattern");
	refuses("version: 1\nnetwork_middlewares:\n  a: {middleware: m, endpoints: {include: [x.y]}}\n"
		"  b: {middleware: m, endpoints: {include: [x.y]}}\n",
		"has order 0, which 'a' has already");
}

static void conflicts_name_both_sides(void **state)
{
	(void)state;
	refuses("version: 1\nnetwork_policies:\n"
		"  a:\n    endpoints: [{host: '**.example.org', ports: [443, 80], tls: skip}]\n"
		"    binaries: [{path: /a}]\n"
		"  b:\n    endpoints: [{host: x.*.example.org, ports: [8080, 80]}]\n"
		"    binaries: [{path: /a}]\n",
		"p.yaml:7:17: network policies 'a' endpoint[0] (**.example.org:443,80) and 'b' "
		"endpoint[0] (x.*.example.org:8080,80) overlap on port(s) 80 with conflicting "
		"metadata: tls=skip vs auto");
	accepts("version: 1\nnetwork_policies:\n"
		"  a:\n    endpoints: [{host: '*.example.org', port: 443, tls: skip}]\n"
		"    binaries: [{path: /a}]\n"
		"  b:\n    endpoints: [{host: a.b.example.org, port: 443}]\n"
		"    binaries: [{path: /a}]\n",
		NULL);
	refuses("version: 1\nnetwork_policies:\n  a:\n"
		"    endpoints:\n    - {port: 443, allowed_ips: [10.1.0.0/16]}\n"
		"    - {host: b.example.org, port: 443}\n"
		"    binaries: [{path: /a}]\n",
		"allowed_ips=[10.1.0.0/16] vs []");
	/* 10.1.2.3/16 and 10.1.0.0/16 are one network. */
	accepts("version: 1\nnetwork_policies:\n  a:\n"
		"    endpoints:\n    - {host: b.example.org, port: 443, allowed_ips: [10.1.2.3/16]}\n"
		"    - {host: B.example.org, port: 443, allowed_ips: [10.1.0.0/16]}\n"
		"    binaries: [{path: /a}]\n",
		NULL);
}

static void unsupported_features_are_named_with_their_place(void **state)
{
	struct doc d;
	struct osh_buf text;

	(void)state;
	doc_load(&d, "version: 1\n"
		     "network_policies:\n"
		     "  k:\n"
		     "    endpoints:\n"
		     "    - host: a.example.org\n"
		     "      port: 443\n"
		     "      protocol: rest\n"
		     "      access: full\n"
		     "      credential_binding: {provider: p}\n"
		     "    binaries: [{path: /a}]\n"
		     "network_middlewares:\n"
		     "  m: {middleware: x, endpoints: {include: [b.example.org]}}\n");
	assert_non_null(d.policy);
	osh_diag_fini(&d.diag);
	assert_int_equal(osh_policy_unsupported(d.policy, &d.diag), -EBADMSG);
	osh_buf_init(&text, 1u << 16, 0);
	assert_int_equal(osh_diag_render(&d.diag, &text), 0);
	assert_non_null(strstr(text.data, "p.yaml:9:7: not supported by this build: "
					  "credential_binding (network policy 'k' endpoint[0], "
					  "a.example.org)"));
	assert_non_null(strstr(text.data, "p.yaml:12:3: not supported by this build: "
					  "network_middlewares ('m')"));
	assert_int_equal(d.diag.errors, 2);
	osh_buf_fini(&text);
	doc_free(&d);
}

static void messages_survive_hostile_text(void **state)
{
	char text[3000];
	struct doc d;

	(void)state;
	(void)snprintf(text, sizeof(text), EP("host: \"a\\nb\\e[31m%%s%%n\", port: 443"));
	doc_load(&d, text);
	assert_null(d.policy);
	assert_null(strchr(d.text.data, '\033'));
	doc_free(&d);
	memset(text, 'x', sizeof(text));
	memcpy(text, "version: 1\nprocess: {run_as_user: ", 34);
	memcpy(text + sizeof(text) - 3, "}\n", 3);
	doc_load(&d, text);
	assert_null(d.policy);
	assert_true(d.text.len < 400);
	doc_free(&d);
}

static void a_flood_of_warnings_does_not_hide_the_error(void **state)
{
	struct osh_buf text;
	int r = 0;

	(void)state;
	osh_buf_init(&text, 1u << 20, 0);
	r = osh_buf_printf(&text, "version: 1\nnetwork_policies:\n");
	for (int i = 0; r == 0 && i < 300; i++)
		r = osh_buf_printf(&text, "  a%d: {}\n", i);
	if (r == 0)
		r = osh_buf_printf(&text, "  z: {endpoints: [{host: '*', port: 1}]}\n");
	assert_int_equal(r, 0);
	refuses(text.data, "p.yaml:303:26: network policy 'z' endpoint[0] (*:1): host '*'");
	osh_buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_must_be_one),
		cmocka_unit_test(every_error_of_a_file_is_reported),
		cmocka_unit_test(unknown_fields_are_refused_at_every_level),
		cmocka_unit_test(empty_means_default_and_null_is_no_text),
		cmocka_unit_test(filesystem_paths_are_normalised_and_checked),
		cmocka_unit_test(endpoint_options_are_read),
		cmocka_unit_test(ports_wins_over_port),
		cmocka_unit_test(parameters_are_flattened),
		cmocka_unit_test(binaries_have_scope_and_pin),
		cmocka_unit_test(what_warns),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(conflicts_name_both_sides),
		cmocka_unit_test(unsupported_features_are_named_with_their_place),
		cmocka_unit_test(messages_survive_hostile_text),
		cmocka_unit_test(a_flood_of_warnings_does_not_hide_the_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
