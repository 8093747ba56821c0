/* SPDX-License-Identifier: MIT */
/* The promises of policy/decide.h and policy/image.h that conformance rows do not ask about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/judge.h"
#include "policy/addr.h"
#include "policy/decide.h"
#include "policy/explain.h"
#include "policy/model.h"

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static const char policy_text[] =
	"version: 1\n"
	"network_policies:\n"
	"  api:\n"
	"    name: the-api\n"
	"    endpoints:\n"
	"    - {host: api.acme.test, port: 443, protocol: rest, access: read-only, enforcement: enforce}\n"
	"    - {host: '*.cdn.acme.test', ports: [443, 8443]}\n"
	"    binaries:\n"
	"    - {path: /usr/bin/curl}\n"
	"    - {path: /bin/bash, scope: exact}\n"
	"  net:\n"
	"    endpoints:\n"
	"    - {port: 9000, allowed_ips: [10.1.0.0/16, 192.168.7.7]}\n"
	"    binaries:\n"
	"    - {path: '/opt/*/tool'}\n"
	"  pinned:\n"
	"    endpoints:\n"
	"    - {host: pin.acme.test, port: 443, tls: skip}\n"
	"    binaries:\n"
	"    - {path: /usr/bin/pin, sha256: "
	"0101010101010101010101010101010101010101010101010101010101010101}\n"
	"  nobody:\n"
	"    endpoints:\n"
	"    - {host: nobody.acme.test, port: 443}\n"
	"    binaries: []\n";

struct fixture {
	struct osh_policy *policy;
	struct osh_buf block;
	const struct osh_image *img;
};

static void compile(struct fixture *f, const char *text, uint64_t generation)
{
	osh_auto_diag struct osh_diag diag = { 0 };

	osh_diag_init(&diag, NULL);
	osh_buf_init(&f->block, OSH_IMAGE_MAX_BYTES, 0);
	assert_int_equal(osh_policy_load(osh_str(text), "test", &f->policy, &diag), 0);
	assert_int_equal(osh_image_compile(f->policy, generation, hash, &f->block), 0);
	assert_int_equal(osh_image_open(f->block.data, f->block.len, &f->img), 0);
}

static void release(struct fixture *f)
{
	f->policy = osh_policy_free(f->policy);
	osh_buf_fini(&f->block);
}

static struct osh_conn_verdict decide(const struct osh_image *img, const struct osh_identity *id,
				      const char *host, unsigned int port)
{
	osh_auto_idclass struct osh_idclass *cls = NULL;
	struct osh_conn_verdict v;

	assert_int_equal(osh_idclass_new(img, id, &cls), 0);
	osh_decide_conn(img, cls, osh_str(host), port, &v);
	return v;
}

static struct osh_conn_verdict decide_as(const struct osh_image *img, const char *binary,
					 const char *ancestor, const char *host, unsigned int port)
{
	struct osh_identity_exe anc = { .path = osh_str(ancestor) };
	struct osh_identity id = { .self.path = osh_str(binary),
				   .ancestors = &anc,
				   .nancestors = ancestor ? 1 : 0 };

	return decide(img, &id, host, port);
}

static void verdict_carries_what_the_proxy_needs(void **unused)
{
	struct fixture f = { 0 };
	struct osh_conn_verdict v;

	(void)unused;
	compile(&f, policy_text, 7);
	v = decide_as(f.img, "/usr/bin/curl", NULL, "API.acme.test", 443);
	assert_int_equal(v.verdict, OSH_DECISION_ALLOW);
	assert_int_equal(v.reason, OSH_REASON_NONE);
	assert_int_equal(v.generation, 7);
	assert_true(osh_str_is(v.key, "api"));
	assert_true(osh_str_is(v.name, "the-api"));
	assert_int_equal(v.inspect, OSH_INSPECT_REST);
	assert_true(v.enforce && v.declared_exact && !v.tls_skip);

	v = decide_as(f.img, "/usr/bin/curl", NULL, "x.cdn.acme.test", 8443);
	assert_int_equal(v.verdict, OSH_DECISION_ALLOW);
	assert_int_equal(v.inspect, OSH_INSPECT_NONE);
	assert_false(v.declared_exact);

	v = decide_as(f.img, "/opt/a/tool", NULL, "whatever.example", 9000);
	assert_int_equal(v.verdict, OSH_DECISION_ALLOW);
	assert_int_equal(v.nallowed_ips, 2);
	assert_int_equal(v.allowed_ips[0].bits, 96 + 16);
	assert_int_equal(v.allowed_ips[1].bits, 128);
	release(&f);
}

static void reason_is_the_tutorials_sentence_and_detail_is_precise(void **unused)
{
	struct osh_identity_exe anc[] = { { .path = OSH_STR("/bin/sh") },
					  { .path = OSH_STR("/usr/bin/a'b\n") } };
	struct osh_identity id = { .self.path = OSH_STR("/usr/bin/wget"),
				   .ancestors = anc,
				   .nancestors = 2 };
	osh_auto_bufmem struct osh_buf text = { 0 };
	struct fixture f = { 0 };
	struct osh_conn_verdict v;

	(void)unused;
	compile(&f, policy_text, 1);
	osh_buf_init(&text, 4096, 0);
	v = decide(f.img, &id, "api.acme.test", 443);
	assert_int_equal(v.reason, OSH_REASON_NO_BINARY);
	assert_string_equal(osh_conn_reason(&v), "no matching network policy");
	assert_int_equal(osh_conn_detail(f.img, &id, OSH_STR("api.acme.test"), 443, &v, &text), 0);
	assert_string_equal(text.data, "binary '/usr/bin/wget' not allowed in policy 'api' "
				       "(ancestors: [/bin/sh -> /usr/bin/a\\x27b\\x0a])");
	osh_buf_reset(&text);
	v = decide(f.img, &id, "other.test", 443);
	assert_int_equal(v.reason, OSH_REASON_NO_ENDPOINT);
	assert_string_equal(osh_conn_reason(&v), "no matching network policy");
	assert_int_equal(osh_conn_detail(f.img, &id, OSH_STR("other.test"), 443, &v, &text), 0);
	assert_string_equal(text.data, "endpoint other.test:443 is not allowed by any policy");
	release(&f);
}

static void scope_pin_and_taint_limit_an_identity(void **unused)
{
	unsigned char good[32], bad[32] = { 0 };
	struct osh_identity id = { .self = { OSH_STR("/usr/bin/pin"), good } };
	struct fixture f = { 0 };

	(void)unused;
	memset(good, 1, sizeof(good));
	compile(&f, policy_text, 1);
	/* descendants by default, the process alone with scope: exact */
	assert_int_equal(decide_as(f.img, "/x", "/usr/bin/curl", "api.acme.test", 443).verdict,
			 OSH_DECISION_ALLOW);
	assert_int_equal(decide_as(f.img, "/bin/bash", NULL, "api.acme.test", 443).verdict,
			 OSH_DECISION_ALLOW);
	assert_int_equal(decide_as(f.img, "/x", "/bin/bash", "api.acme.test", 443).verdict,
			 OSH_DECISION_DENY);
	/* content pin: the right one, a wrong one, an unknown one */
	assert_int_equal(decide(f.img, &id, "pin.acme.test", 443).verdict, OSH_DECISION_ALLOW);
	assert_true(decide(f.img, &id, "pin.acme.test", 443).tls_skip);
	id.self.sha256 = bad;
	assert_int_equal(decide(f.img, &id, "pin.acme.test", 443).verdict, OSH_DECISION_DENY);
	id.self.sha256 = NULL;
	assert_int_equal(decide(f.img, &id, "pin.acme.test", 443).verdict, OSH_DECISION_DENY);
	/* a process that is more than its binary, or unknown, is nobody */
	id = (struct osh_identity){ .self.path = OSH_STR("/usr/bin/curl"), .tainted = true };
	assert_int_equal(decide(f.img, &id, "api.acme.test", 443).reason,
			 OSH_REASON_IDENTITY_TAINTED);
	assert_int_equal(decide_as(f.img, "", "/usr/bin/curl", "api.acme.test", 443).reason,
			 OSH_REASON_IDENTITY_UNKNOWN);
	assert_int_equal(decide_as(f.img, "/usr/bin/curl", NULL, "nobody.acme.test", 443).verdict,
			 OSH_DECISION_DENY);
	release(&f);
}

static void strange_destinations_are_denied(void **unused)
{
	const struct osh_identity id = { .self.path = OSH_STR("/opt/a/tool") };
	osh_auto_idclass struct osh_idclass *cls = NULL;
	struct fixture f = { 0 };
	struct osh_conn_verdict v;
	char longest[300];

	(void)unused;
	memset(longest, 'a', sizeof(longest));
	compile(&f, policy_text, 1);
	assert_int_equal(osh_idclass_new(f.img, &id, &cls), 0);
	/* the entry takes any host on 9000, so only the name itself can be the reason */
	osh_decide_conn(f.img, cls, (struct osh_str){ longest, 255 }, 9000, &v);
	assert_int_equal(v.verdict, OSH_DECISION_ALLOW);
	osh_decide_conn(f.img, cls, (struct osh_str){ longest, 256 }, 9000, &v);
	assert_int_equal(v.verdict, OSH_DECISION_DENY);
	osh_decide_conn(f.img, cls, OSH_STR(""), 9000, &v);
	assert_int_equal(v.verdict, OSH_DECISION_DENY);
	osh_decide_conn(f.img, cls, (struct osh_str){ "a\0b", 3 }, 9000, &v);
	assert_int_equal(v.verdict, OSH_DECISION_DENY);
	osh_decide_conn(f.img, cls, OSH_STR("a"), 0, &v);
	assert_int_equal(v.verdict, OSH_DECISION_DENY);
	release(&f);
}

static void class_of_another_image_is_refused(void **unused)
{
	const struct osh_identity id = { .self.path = OSH_STR("/usr/bin/curl") };
	const struct osh_request_facts facts = { .method = OSH_STR("GET"), .path = OSH_STR("/") };
	osh_auto_idclass struct osh_idclass *cls = NULL;
	struct fixture old = { 0 }, new = { 0 };
	struct osh_conn_verdict v;
	struct osh_req_verdict q;
	struct osh_route route;

	(void)unused;
	compile(&old, policy_text, 1);
	compile(&new, policy_text, 2);
	assert_int_equal(osh_idclass_new(old.img, &id, &cls), 0);
	osh_decide_conn(new.img, cls, OSH_STR("api.acme.test"), 443, &v);
	assert_int_equal(v.reason, OSH_REASON_GENERATION);
	assert_int_equal(v.verdict, OSH_DECISION_DENY);
	osh_decide_request(new.img, cls, OSH_STR("api.acme.test"), 443, &facts, &q);
	assert_int_equal(q.verdict, OSH_DECISION_DENY);
	osh_decide_route(new.img, cls, OSH_STR("api.acme.test"), 443, OSH_STR("/"), &route);
	assert_false(route.found);
	release(&old);
	release(&new);
}

static void quarantine_denies_with_its_reason(void **unused)
{
	const struct osh_identity id = { .self.path = OSH_STR("/usr/bin/curl") };
	osh_auto_bufmem struct osh_buf block = { 0 }, text = { 0 };
	const struct osh_image *img = NULL;
	struct osh_conn_verdict v;

	(void)unused;
	osh_buf_init(&block, OSH_IMAGE_MAX_BYTES, 0);
	osh_buf_init(&text, 4096, 0);
	assert_int_equal(osh_image_quarantine(9, OSH_STR("revision 3 rejected: x"), &block), 0);
	assert_int_equal(osh_image_open(block.data, block.len, &img), 0);
	assert_true(osh_image_is_quarantine(img));
	v = decide(img, &id, "api.acme.test", 443);
	assert_int_equal(v.verdict, OSH_DECISION_DENY);
	assert_int_equal(v.reason, OSH_REASON_QUARANTINE);
	assert_int_equal(osh_conn_detail(img, &id, OSH_STR("h"), 1, &v, &text), 0);
	assert_string_equal(text.data, "policy validation failed; fail-closed quarantine is "
				       "active; revision 3 rejected: x");
	assert_false(osh_image_host_known(img, OSH_STR("api.acme.test"), 0));
}

static void kernel_tables_can_be_made_from_the_image(void **unused)
{
	uint64_t self, inherit, dest;
	struct osh_image_target t;
	struct osh_image_binary b;
	struct fixture f = { 0 };

	(void)unused;
	compile(&f, policy_text, 1);
	assert_int_equal(osh_image_entry_count(f.img), 4);
	assert_int_equal(osh_image_target_count(f.img), 5);
	osh_image_target(f.img, 1, &t);
	assert_true(t.is_glob && osh_str_is(t.host, "*.cdn.acme.test"));
	assert_int_equal(t.nports, 2);
	osh_image_class_binary(f.img, t.class_id, 1, &b);
	assert_true(b.exact_scope && osh_str_is(b.pattern, "/bin/bash"));

	dest = osh_image_dest_mask(f.img, OSH_STR("api.acme.test"), 443);
	osh_image_binary_mask(f.img, OSH_STR("/bin/bash"), NULL, &self, &inherit);
	assert_true(self & dest);
	assert_false(inherit & dest);
	osh_image_binary_mask(f.img, OSH_STR("/usr/bin/curl"), NULL, &self, &inherit);
	assert_true(self & inherit & dest);
	assert_int_equal(osh_image_dest_mask(f.img, OSH_STR("nobody.acme.test"), 443), 0);
	assert_true(osh_image_host_known(f.img, OSH_STR("API.acme.test."), 443));
	/* the entry without hosts takes any name, on its port */
	assert_true(osh_image_host_known(f.img, OSH_STR("unheard.of"), 9000));
	assert_false(osh_image_host_known(f.img, OSH_STR("unheard.of"), 443));
	release(&f);
}

static void equal_binary_lists_share_a_class(void **unused)
{
	static const char text[] =
		"version: 1\n"
		"network_policies:\n"
		"  a: {endpoints: [{host: a.test, port: 1}], binaries: [{path: /x}]}\n"
		"  b: {endpoints: [{host: b.test, port: 1}], binaries: [{path: /x}]}\n"
		"  c: {endpoints: [{host: c.test, port: 1}], binaries: [{path: /y}]}\n";
	struct fixture f = { 0 };

	(void)unused;
	compile(&f, text, 1);
	assert_int_equal(osh_image_class_count(f.img), 2);
	assert_int_equal(osh_image_class_size(f.img, 0), 1);
	release(&f);
}

static void alias_extends_exact_paths_only(void **unused)
{
	static const struct osh_image_alias aliases[] = {
		{ { "/usr/bin/curl", 13 }, { "/usr/bin/curl-7", 15 } },
		{ { "/opt/*/tool", 11 }, { "/usr/bin/evil", 13 } },
		{ { "/bin/bash", 9 }, { "/usr/*", 6 } },
	};
	struct fixture f = { 0 };

	(void)unused;
	compile(&f, policy_text, 1);
	osh_buf_reset(&f.block);
	assert_int_equal(osh_image_compile_with(f.policy, 1, hash, aliases, 3, &f.block), 0);
	assert_int_equal(osh_image_open(f.block.data, f.block.len, &f.img), 0);
	assert_int_equal(decide_as(f.img, "/usr/bin/curl-7", NULL, "api.acme.test", 443).verdict,
			 OSH_DECISION_ALLOW);
	assert_int_equal(decide_as(f.img, "/usr/bin/curl", NULL, "api.acme.test", 443).verdict,
			 OSH_DECISION_ALLOW);
	/* a symlink leads to one file: a target that looks like a glob is not taken */
	assert_int_equal(decide_as(f.img, "/usr/x", NULL, "api.acme.test", 443).verdict,
			 OSH_DECISION_DENY);
	release(&f);
}

static void same_policy_same_bytes_anywhere(void **unused)
{
	osh_auto_bufmem struct osh_buf again = { 0 };
	osh_auto_free char *moved = NULL;
	const struct osh_image *img = NULL;
	struct fixture f = { 0 };

	(void)unused;
	compile(&f, policy_text, 1);
	osh_buf_init(&again, OSH_IMAGE_MAX_BYTES, 0);
	assert_int_equal(osh_image_compile(f.policy, 1, hash, &again), 0);
	assert_int_equal(again.len, f.block.len);
	assert_memory_equal(again.data, f.block.data, again.len);
	moved = aligned_alloc(64, (again.len + 63) / 64 * 64);
	assert_non_null(moved);
	memcpy(moved, again.data, again.len);
	memset(again.data, 0xee, again.len);
	assert_int_equal(osh_image_open(moved, again.len, &img), 0);
	assert_int_equal(decide_as(img, "/usr/bin/curl", NULL, "api.acme.test", 443).verdict,
			 OSH_DECISION_ALLOW);
	assert_string_equal(osh_image_hash(img), hash);
	release(&f);
}

static void torn_blocks_do_not_open(void **unused)
{
	osh_auto_free char *copy = NULL;
	const struct osh_image *img = NULL;
	struct fixture f = { 0 };

	(void)unused;
	compile(&f, policy_text, 1);
	copy = aligned_alloc(64, (f.block.len + 127) / 64 * 64);
	assert_non_null(copy);
	for (size_t n = 0; n < f.block.len; n += 8) {
		memcpy(copy, f.block.data, n);
		assert_int_equal(osh_image_open(copy, n, &img), -EBADMSG);
	}
	memcpy(copy, f.block.data, f.block.len);
	assert_int_equal(osh_image_open(copy, f.block.len + 8, &img), -EBADMSG);
	assert_int_equal(osh_image_open(copy + 1, f.block.len - 1, &img), -EBADMSG);
	assert_int_equal(osh_image_open(NULL, 0, &img), -EBADMSG);
	release(&f);
}

static void refused_input_compiles_to_nothing(void **unused)
{
	osh_auto_bufmem struct osh_buf small = { 0 };
	struct fixture f = { 0 };

	(void)unused;
	compile(&f, policy_text, 1);
	osh_buf_init(&small, 512, 0);
	assert_int_equal(osh_image_compile(f.policy, 1, hash, &small), -EMSGSIZE);
	assert_int_equal(small.len, 0);
	assert_int_equal(osh_image_compile(f.policy, 1, "abc", &small), -EINVAL);
	release(&f);
}

static void route_follows_the_most_specific_path(void **unused)
{
	static const char text[] =
		"version: 1\n"
		"network_policies:\n"
		"  a:\n"
		"    endpoints:\n"
		"    - {host: h.test, port: 443, protocol: rest, access: full, path: /**}\n"
		"    - {host: h.test, port: 443, protocol: graphql, access: read-only, path: /api/graphql,\n"
		"       enforcement: enforce, graphql_max_body_bytes: 1000}\n"
		"    - {host: h.test, port: 443, protocol: rest, access: read-only, path: /api/**,\n"
		"       allow_encoded_slash: true}\n"
		"    binaries: [{path: /x}]\n";
	const struct osh_identity id = { .self.path = OSH_STR("/x") };
	osh_auto_idclass struct osh_idclass *cls = NULL;
	struct fixture f = { 0 };
	struct osh_conn_verdict v;
	struct osh_route r;

	(void)unused;
	compile(&f, text, 1);
	assert_int_equal(osh_idclass_new(f.img, &id, &cls), 0);
	osh_decide_conn(f.img, cls, OSH_STR("h.test"), 443, &v);
	assert_true(v.allow_encoded_slash);
	osh_decide_route(f.img, cls, OSH_STR("h.test"), 443, OSH_STR("/api/graphql"), &r);
	assert_true(r.found && r.wants_body && r.enforce);
	assert_int_equal(r.inspect, OSH_INSPECT_GRAPHQL);
	assert_int_equal(r.max_body_bytes, 1000);
	osh_decide_route(f.img, cls, OSH_STR("h.test"), 443, OSH_STR("/api/x"), &r);
	assert_int_equal(r.inspect, OSH_INSPECT_REST);
	assert_true(r.allow_encoded_slash && !r.enforce);
	osh_decide_route(f.img, cls, OSH_STR("h.test"), 443, OSH_STR("/other"), &r);
	assert_false(r.allow_encoded_slash);
	osh_decide_route(f.img, cls, OSH_STR("nowhere.test"), 443, OSH_STR("/"), &r);
	assert_false(r.found);
	release(&f);
}

/* A deny rule must not be escaped with a byte that no glob matches. */
static void nul_in_a_query_value_does_not_escape_a_deny_rule(void **unused)
{
	static const char text[] =
		"version: 1\n"
		"network_policies:\n"
		"  a:\n"
		"    endpoints:\n"
		"    - host: h.test\n"
		"      port: 443\n"
		"      protocol: rest\n"
		"      enforcement: enforce\n"
		"      access: full\n"
		"      deny_rules: [{method: '*', path: '**', query: {force: '*'}}]\n"
		"    binaries: [{path: /x}]\n";
	const struct osh_identity id = { .self.path = OSH_STR("/x") };
	struct osh_query_pair pair = { OSH_STR("force"), { "a\0b", 3 } };
	const struct osh_query query = { &pair, 1 };
	const struct osh_request_facts facts = { .method = OSH_STR("GET"),
						 .path = OSH_STR("/"),
						 .query = &query };
	osh_auto_idclass struct osh_idclass *cls = NULL;
	struct fixture f = { 0 };
	struct osh_req_verdict q;

	(void)unused;
	compile(&f, text, 1);
	assert_int_equal(osh_idclass_new(f.img, &id, &cls), 0);
	osh_decide_request(f.img, cls, OSH_STR("h.test"), 443, &facts, &q);
	assert_int_equal(q.verdict, OSH_DECISION_DENY);
	assert_int_equal(q.reason, OSH_REASON_L7_DENY_RULE);
	pair.key = OSH_STR("other");
	osh_decide_request(f.img, cls, OSH_STR("h.test"), 443, &facts, &q);
	assert_int_equal(q.verdict, OSH_DECISION_ALLOW);
	release(&f);
}

static void near_misses_come_nearest_first(void **unused)
{
	const struct osh_identity id = { .self.path = OSH_STR("/usr/bin/wget") };
	const struct osh_identity curl = { .self.path = OSH_STR("/usr/bin/curl") };
	struct osh_near near[4];
	struct fixture f = { 0 };

	(void)unused;
	compile(&f, policy_text, 1);
	assert_int_equal(osh_explain_near(f.img, &id, OSH_STR("api.acme.test"), 443, NULL, near, 4),
			 1);
	assert_int_equal(near[0].missed, OSH_MISS_BINARY);
	assert_int_equal(near[0].line, 6);
	assert_true(osh_explain_near(f.img, &curl, OSH_STR("api.acme.test"), 80, NULL, near, 4) >=
		    1);
	assert_int_equal(near[0].missed, OSH_MISS_PORT);
	assert_true(osh_explain_near(f.img, &curl, OSH_STR("a.b.cdn.acme.test"), 443, NULL, near,
				     4) >= 1);
	assert_int_equal(near[0].missed, OSH_MISS_HOST);
	assert_true(near[0].one_label);
	release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdict_carries_what_the_proxy_needs),
		cmocka_unit_test(reason_is_the_tutorials_sentence_and_detail_is_precise),
		cmocka_unit_test(scope_pin_and_taint_limit_an_identity),
		cmocka_unit_test(strange_destinations_are_denied),
		cmocka_unit_test(class_of_another_image_is_refused),
		cmocka_unit_test(quarantine_denies_with_its_reason),
		cmocka_unit_test(kernel_tables_can_be_made_from_the_image),
		cmocka_unit_test(equal_binary_lists_share_a_class),
		cmocka_unit_test(alias_extends_exact_paths_only),
		cmocka_unit_test(same_policy_same_bytes_anywhere),
		cmocka_unit_test(torn_blocks_do_not_open),
		cmocka_unit_test(refused_input_compiles_to_nothing),
		cmocka_unit_test(route_follows_the_most_specific_path),
		cmocka_unit_test(nul_in_a_query_value_does_not_escape_a_deny_rule),
		cmocka_unit_test(near_misses_come_nearest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
