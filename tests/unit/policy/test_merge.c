/* SPDX-License-Identifier: MIT */
#include "doc.h"

#include "policy/merge.h"
#include "policy/serialise.h"

#define ONE                                                         \
	"version: 1\nnetwork_policies:\n  depot:\n    endpoints:\n" \
	"    - {host: depot.acme.test, port: 443, protocol: rest, " \
	"access: read-only, enforcement: enforce}\n"                \
	"    binaries: [{path: /usr/bin/curl}]\n"

struct outcome {
	struct osh_policy *policy;
	struct osh_buf said;
};

static void update(struct outcome *o, const char *base, const char *const *ops)
{
	struct osh_merge_flag flags[16];
	struct osh_merge *merge = NULL;
	struct osh_diag diag;
	struct doc d;
	size_t n = 0;
	int r;

	for (; ops[2 * n]; n++)
		flags[n] = (struct osh_merge_flag){ osh_str(ops[2 * n]), osh_str(ops[2 * n + 1]) };
	*o = (struct outcome){ 0 };
	osh_buf_init(&o->said, 1u << 16, 0);
	osh_diag_init(&diag, NULL);
	doc_load(&d, base);
	assert_non_null(d.policy);
	r = osh_merge_parse(flags, n, &merge, &diag);
	if (r == 0)
		r = osh_merge_apply(d.policy, merge, &o->policy, &diag);
	assert_true((r == 0) == (o->policy != NULL));
	assert_true(r == 0 || diag.errors > 0);
	assert_int_equal(osh_buf_add(&o->said, "\n", 1), 0);
	assert_int_equal(osh_diag_render(&diag, &o->said), 0);
	/* The result must not lean on what it was made from. */
	osh_merge_free(merge);
	doc_free(&d);
	osh_diag_fini(&diag);
}

static void gives(const char *base, const char *const *ops, const char *result, const char *warning)
{
	struct outcome o;
	struct doc d;

	update(&o, base, ops);
	if (!o.policy)
		fail_msg("refused:%s", o.said.data);
	doc_load(&d, result);
	assert_non_null(d.policy);
	if (!osh_policy_eq(o.policy, d.policy)) {
		struct osh_buf yaml;

		osh_buf_init(&yaml, 1u << 16, 0);
		assert_int_equal(osh_policy_to_yaml(o.policy, &yaml), 0);
		fail_msg("gives\n%s", yaml.data);
	}
	if (warning && !strstr(o.said.data, warning))
		fail_msg("no \"%s\" in:%s", warning, o.said.data);
	osh_policy_free(o.policy);
	osh_buf_fini(&o.said);
	doc_free(&d);
}

static void fails(const char *base, const char *const *ops, const char *error)
{
	struct outcome o;

	update(&o, base, ops);
	if (o.policy)
		fail_msg("accepted, wanted: %s", error);
	if (!strstr(o.said.data, error))
		fail_msg("no \"%s\" in:%s", error, o.said.data);
	osh_buf_fini(&o.said);
}

#define OPS(...)                        \
	(const char *const[])           \
	{                               \
		__VA_ARGS__, NULL, NULL \
	}

static void a_new_endpoint_becomes_an_entry(void **state)
{
	(void)state;
	gives("version: 1\n",
	      OPS("--add-endpoint", "api.acme.test:443:read-only:rest:enforce", "--binary",
		  "/usr/bin/curl"),
	      "version: 1\nnetwork_policies:\n  allow_api_acme_test_443:\n    endpoints: [{host: "
	      "api.acme.test, port: 443, protocol: rest, enforcement: enforce, access: read-only}]\n"
	      "    binaries: [{path: /usr/bin/curl}]\n",
	      NULL);
}

static void an_endpoint_without_binaries_allows_nothing(void **state)
{
	(void)state;
	gives("version: 1\n", OPS("--add-endpoint", "api.acme.test:443"),
	      "version: 1\nnetwork_policies:\n  allow_api_acme_test_443:\n    endpoints: [{host: "
	      "api.acme.test, port: 443}]\n",
	      "has no binaries: it matches no program");
	/* Nor does it hand the endpoint to the binaries of the entry it names. */
	fails(ONE, OPS("--add-endpoint", "api.acme.test:443", "--rule-name", "depot"),
	      "also declare /usr/bin/curl");
}

static void nobody_gains_what_was_not_named(void **state)
{
	(void)state;
	fails(ONE,
	      OPS("--add-endpoint", "two.acme.test:443", "--binary", "/usr/bin/wget", "--rule-name",
		  "depot"),
	      "merge operation 1 add-rule 'depot' would grant existing binaries new or changed "
	      "authorization for two.acme.test on ports [443]; also declare /usr/bin/curl");
	fails(ONE,
	      OPS("--add-endpoint", "two.acme.test:443", "--binary", "/usr/bin/curl", "--binary",
		  "/usr/bin/wget", "--rule-name", "depot"),
	      "would grant new binaries undeclared authorization for depot.acme.test on ports [443]");
	/* The same without a name goes beside the entry. */
	gives(ONE,
	      OPS("--add-endpoint", "depot.acme.test:443:full:rest:enforce", "--binary",
		  "/usr/bin/wget"),
	      ONE
	      "  allow_depot_acme_test_443:\n    endpoints: [{host: depot.acme.test, port: 443, "
	      "protocol: rest, enforcement: enforce, access: full}]\n"
	      "    binaries: [{path: /usr/bin/wget}]\n",
	      "kept add-rule 'allow_depot_acme_test_443' on its own rule instead of folding it into "
	      "overlapping rule 'depot'");
}

static void credentials_and_internal_networks_do_not_come_along(void **state)
{
	static const char base[] = "version: 1\nnetwork_policies:\n  k:\n    endpoints: [{host: "
				   "db.acme.test, port: 443, protocol: rest, access: full, "
				   "enforcement: enforce, request_body_credential_rewrite: true}]\n"
				   "    binaries: [{path: /a}]\n";

	(void)state;
	fails(base,
	      OPS("--add-endpoint", "db.acme.test:443:full:rest:enforce", "--binary", "/b",
		  "--rule-name", "k"),
	      "would grant new binaries undeclared authorization");
}

static void a_change_names_every_port(void **state)
{
	static const char base[] =
		"version: 1\nnetwork_policies:\n  k:\n    endpoints: [{host: "
		"a.acme.test, ports: [443, 8443]}]\n    binaries: [{path: /a}]\n";

	(void)state;
	fails(base,
	      OPS("--add-endpoint", "a.acme.test:443:full:rest", "--binary", "/a", "--rule-name",
		  "k"),
	      "would change authorization for a.acme.test on undeclared ports [8443]; declare every "
	      "port of the endpoint it modifies");
}

static void removing_works_from_ports_up(void **state)
{
	static const char base[] =
		"version: 1\nnetwork_policies:\n"
		"  a: {endpoints: [{host: x.acme.test, ports: [3, 1, 2]}, {host: "
		"y.acme.test, port: 1}], binaries: [{path: /a}]}\n"
		"  b: {endpoints: [{host: X.acme.test, port: 1}]}\n";

	(void)state;
	gives(base, OPS("--remove-endpoint", "x.acme.test:1"),
	      "version: 1\nnetwork_policies:\n  a: {endpoints: [{host: x.acme.test, ports: [2, 3]}, "
	      "{host: y.acme.test, port: 1}], binaries: [{path: /a}]}\n",
	      NULL);
	gives(ONE, OPS("--remove-endpoint", "absent.acme.test:1"), ONE, "nothing was removed");
	gives(ONE, OPS("--remove-rule", "absent"), ONE, NULL);
	gives(ONE, OPS("--remove-rule", "depot"), "version: 1\n", NULL);
}

static void rules_are_grouped_and_kept_in_order(void **state)
{
	static const char base[] =
		"version: 1\nnetwork_policies:\n  k:\n    endpoints: [{host: a.acme.test, port: 1, "
		"protocol: rest, access: full, enforcement: enforce}, {host: b.acme.test, port: 1, "
		"protocol: rest, access: full, enforcement: enforce}]\n    binaries: [{path: /a}]\n";

	(void)state;
	gives(base,
	      OPS("--add-deny", "b.acme.test:1:GET:/2", "--add-deny", "a.acme.test:1:put:/1",
		  "--add-deny", "b.acme.test:1:GET:/1", "--add-deny", "b.acme.test:1:GET:/2"),
	      "version: 1\nnetwork_policies:\n  k:\n    endpoints: [{host: a.acme.test, port: 1, "
	      "protocol: rest, access: full, enforcement: enforce, deny_rules: [{method: PUT, path: "
	      "/1}]}, {host: b.acme.test, port: 1, protocol: rest, access: full, enforcement: "
	      "enforce, deny_rules: [{method: GET, path: /2}, {method: GET, path: /1}]}]\n"
	      "    binaries: [{path: /a}]\n",
	      NULL);
	gives(ONE, OPS("--add-allow", "depot.acme.test:443:GET:**"),
	      "version: 1\nnetwork_policies:\n  depot:\n    endpoints:\n    - {host: "
	      "depot.acme.test, port: 443, protocol: rest, enforcement: enforce, rules: [{allow: "
	      "{method: GET, path: '**'}}, {allow: {method: HEAD, path: '**'}}, {allow: {method: "
	      "OPTIONS, path: '**'}}]}\n    binaries: [{path: /usr/bin/curl}]\n",
	      "expanded access preset 'read-only' to explicit rules for endpoint depot.acme.test:443");
}

static void mcp_shares_its_port_with_nothing(void **state)
{
	static const char base[] =
		"version: 1\nnetwork_policies:\n  t:\n    endpoints: [{host: "
		"t.acme.test, port: 443, protocol: mcp, enforcement: enforce, rules: "
		"[{allow: {method: initialize}}]}]\n    binaries: [{path: /a}]\n";

	(void)state;
	fails(base,
	      OPS("--add-endpoint", "t.acme.test:443:full:rest:enforce", "--binary", "/a",
		  "--rule-name", "t"),
	      "cannot combine MCP contracts at t.acme.test:443: existing mcp, incoming rest");
	fails(base,
	      OPS("--add-endpoint", "t.acme.test:443:full:rest:enforce", "--binary", "/b",
		  "--rule-name", "u"),
	      "t.acme.test:443 would carry more than one L7 inspection contract (");
}

static void proposals_that_can_never_work_are_refused(void **state)
{
	static const char *const hosts[] = {
		"127.0.0.1", "127.8.8.8",  "169.254.169.254",	       "0.0.0.0",
		"localhost", "Localhost.", "metadata.google.internal", "METADATA.google.internal."
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(hosts); i++) {
		char spec[80];

		assert_true(osh_strlcpy(spec, hosts[i], sizeof(spec) - 4));
		memcpy(spec + strlen(spec), ":80", 4);
		fails("version: 1\n", OPS("--add-endpoint", spec, "--binary", "/a"),
		      "proposed rule endpoint host");
	}
	fails("version: 1\n",
	      OPS("--add-endpoint", "a.acme.test:80", "--binary", "/a", "--rule-name",
		  "_provider_x"),
	      "reserved '_provider_' prefix");
	fails("version: 1\n",
	      OPS("--add-endpoint", "a.acme.test:80::::allowed-ip=10.0.0.0/99", "--binary", "/a"),
	      "invalid `allowed_ips` entry");
}

static void flags_are_read_strictly(void **state)
{
	(void)state;
	fails(ONE, OPS("--add-endpoint", "a.acme.test:443:", "--binary", "/a"),
	      "--add-endpoint has an empty access segment in 'a.acme.test:443:'; omit it entirely if "
	      "you do not need access or protocol fields");
	fails(ONE, OPS("--add-endpoint", "a.acme.test:443:::::", "--binary", "/a"),
	      "--add-endpoint expects host:port");
	fails(ONE, OPS("--add-endpoint", "a.acme.test:443::::", "--binary", "/a"),
	      "has an empty options segment");
	fails(ONE, OPS("--add-endpoint", "a b:443"), "host must not contain whitespace");
	fails(ONE, OPS("--add-endpoint", "a.acme.test:65536"),
	      "--add-endpoint port must be in the range 1-65535, got '65536' in 'a.acme.test:65536'");
	fails(ONE, OPS("--add-endpoint", "a.acme.test:+1"), "base-10 integer");
	fails(ONE, OPS("--add-endpoint", "a.acme.test:443::::x"), "options segment supports only");
	fails(ONE, OPS("--add-deny", "a.acme.test:443::/x"), "has an empty METHOD segment");
	fails(ONE, OPS("--rule-name", "x"), "--rule-name can only be used with --add-endpoint");
	fails(ONE, OPS("--add-endpoint", "a:1", "--add-endpoint", "b:1", "--rule-name", "x"),
	      "--rule-name is only supported when exactly one --add-endpoint is provided");
	fails(ONE, OPS("--frobnicate", "x"), "unknown operation flag");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_endpoint_becomes_an_entry),
		cmocka_unit_test(an_endpoint_without_binaries_allows_nothing),
		cmocka_unit_test(nobody_gains_what_was_not_named),
		cmocka_unit_test(credentials_and_internal_networks_do_not_come_along),
		cmocka_unit_test(a_change_names_every_port),
		cmocka_unit_test(removing_works_from_ports_up),
		cmocka_unit_test(rules_are_grouped_and_kept_in_order),
		cmocka_unit_test(mcp_shares_its_port_with_nothing),
		cmocka_unit_test(proposals_that_can_never_work_are_refused),
		cmocka_unit_test(flags_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
