/* SPDX-License-Identifier: MIT */
/*
 * Deciding through the compiled image gives what a naive evaluation of the policy model gives, on
 * random policies, identities and requests. The naive side follows the reference's text (3.1-3.8)
 * line by line: every endpoint and every rule is looked at, patterns are compiled for each question.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/decide.h"
#include "policy/glob.h"
#include "policy/model.h"

#define ROUNDS	 1500
#define REQUESTS 25

/* ---- randomness: small, fixed, good enough ---- */

static uint64_t state = 0x9e3779b97f4a7c15ull;

static unsigned int below(unsigned int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned int)(state >> 33) % n;
}

#define PICK(list) (list)[below(OSH_ARRAY_SIZE(list))]

static const char *const hosts[] = { "a.test",	 "b.test",   "x.a.test", "y.x.a.test",
				     "ax.test",	 "A.Test",   "a.test.",	 ".a.test",
				     "10.0.0.1", "u-a.test", "s3.eu.aws" };
static const char *const host_patterns[] = { "a.test",	 "b.test",   "*.a.test",   "**.a.test",
					     "*.test",	 "10.0.0.1", "*-a.test",   "s3.*.aws",
					     "x.a.test", "",	     "*.x.a.test", "[ab].*.test" };
static const char *const paths[] = { "/",    "/a", "/a/", "/a/b",  "/a/b/c",
				     "/b/c", "/b", "/ab", "/a/x/b" };
static const char *const path_patterns[] = { "**",    "/a",	"/a/*", "/a/**", "/b/c",   "/*",
					     "/**/b", "/{a,b}", "/a*",	"",	 "/[!b]*", "/" };
static const char *const scopes[] = { "", "", "", "/a/**", "/a", "**", "/b/**", "/a/*" };
static const char *const methods[] = { "GET", "HEAD", "POST", "DELETE", "get", "PURGE", "OPTIONS" };
static const char *const rule_methods[] = { "GET", "POST", "*", "delete", "HEAD", "PURGE", "" };
static const char *const exes[] = { "/bin/a", "/bin/b", "/opt/t/x", "/opt/x", "/bin/sh" };
static const char *const binaries[] = {
	"/bin/a", "/bin/b", "/bin/*", "/opt/**", "/opt/*", "/bin/?"
};
static const char *const keys[] = { "q", "r" };
static const char *const values[] = { "1", "1.2", "x", "1-b" };
static const char *const globs[] = { "1", "1*", "*", "x", "1.*" };
static const uint16_t ports[] = { 80, 443, 8443 };

/* ---- random policies ---- */

static void fill_rule(struct osh_policy *p, struct osh_rule *rule)
{
	rule->method = osh_str(PICK(rule_methods));
	rule->path = osh_str(PICK(path_patterns));
	if (below(4))
		return;
	rule->n_query = 1 + below(2);
	rule->query = osh_arena_array(&p->arena, rule->n_query, sizeof(*rule->query));
	for (size_t i = 0; i < rule->n_query; i++) {
		struct osh_keyed_matcher *m = &rule->query[i];

		m->key = osh_str(keys[i]);
		m->m.globs.n = 1 + below(2);
		m->m.any = m->m.globs.n > 1;
		m->m.globs.v = osh_arena_array(&p->arena, m->m.globs.n, sizeof(struct osh_str));
		for (size_t k = 0; k < m->m.globs.n; k++)
			m->m.globs.v[k] = osh_str(PICK(globs));
	}
}

static struct osh_rule *random_rules(struct osh_policy *p, size_t n)
{
	struct osh_rule *rules = n ? osh_arena_array(&p->arena, n, sizeof(*rules)) : NULL;

	for (size_t i = 0; i < n; i++)
		fill_rule(p, &rules[i]);
	return rules;
}

static void fill_endpoint(struct osh_policy *p, struct osh_endpoint *ep)
{
	static const enum osh_access presets[] = { OSH_ACCESS_READ_ONLY, OSH_ACCESS_READ_WRITE,
						   OSH_ACCESS_FULL, OSH_ACCESS_UNSUPPORTED };

	ep->host = osh_str(PICK(host_patterns));
	if (!ep->host.n) {
		ep->allowed_ips.n = 1;
		ep->allowed_ips.v = osh_arena_array(&p->arena, 1, sizeof(struct osh_str));
		ep->allowed_ips.v[0] = OSH_STR("10.0.0.0/8");
	}
	ep->n_ports = 1 + below(2);
	ep->ports = osh_arena_array(&p->arena, ep->n_ports, sizeof(uint16_t));
	for (size_t i = 0; i < ep->n_ports; i++)
		ep->ports[i] = PICK(ports);
	ep->enforcement = below(2) ? OSH_ENFORCE : OSH_AUDIT;
	ep->path = osh_str(PICK(scopes));
	if (below(3) == 0)
		return;
	ep->protocol = OSH_PROTO_REST;
	if (below(3) == 0) {
		ep->access = PICK(presets);
	} else {
		ep->n_rules = 1 + below(5);
		ep->rules = random_rules(p, ep->n_rules);
	}
	ep->n_deny_rules = below(3);
	ep->deny_rules = random_rules(p, ep->n_deny_rules);
}

static struct osh_policy *random_policy(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
	struct osh_policy *p = osh_policy_new();

	assert_non_null(p);
	p->n_entries = below(6);
	p->entries = p->n_entries ? osh_arena_array(&p->arena, p->n_entries, sizeof(*p->entries))
				  : NULL;
	for (size_t i = 0; i < p->n_entries; i++) {
		struct osh_entry *e = &p->entries[i];

		e->key = osh_str(names[i]);
		e->name = e->key;
		e->n_endpoints = 1 + below(3);
		e->endpoints = osh_arena_array(&p->arena, e->n_endpoints, sizeof(*e->endpoints));
		for (size_t k = 0; k < e->n_endpoints; k++)
			fill_endpoint(p, &e->endpoints[k]);
		e->n_binaries = below(4);
		if (e->n_binaries)
			e->binaries = osh_arena_array(&p->arena, e->n_binaries,
						      sizeof(*e->binaries));
		for (size_t k = 0; k < e->n_binaries; k++) {
			e->binaries[k].path = osh_str(PICK(binaries));
			e->binaries[k].scope = below(3) ? OSH_SCOPE_DESCENDANTS : OSH_SCOPE_EXACT;
			e->binaries[k].has_sha256 = !below(5);
			e->binaries[k].sha256[0] = (unsigned char)below(2);
		}
	}
	return p;
}

/* ---- the naive evaluation ---- */

static bool naive_glob(enum osh_glob_dialect dialect, struct osh_str pattern, struct osh_str input)
{
	osh_auto_bufmem struct osh_buf prog = { 0 };
	size_t off;

	osh_buf_init(&prog, 1 << 20, 0);
	assert_int_equal(osh_glob_compile(dialect, pattern, &prog, &off), 0);
	return osh_glob_match(prog.data + off, input);
}

static struct osh_str lower(struct osh_str s, char dst[64])
{
	for (size_t i = 0; i < s.n; i++)
		dst[i] = osh_lower(s.p[i]);
	return (struct osh_str){ dst, s.n };
}

static bool naive_dest(const struct osh_endpoint *ep, struct osh_str host, unsigned int port)
{
	char a[64], b[64];
	bool ok = false;

	for (size_t i = 0; i < ep->n_ports; i++)
		ok = ok || ep->ports[i] == port;
	return ok && (!ep->host.n || naive_glob(OSH_GLOB_HOST, lower(ep->host, a), lower(host, b)));
}

static bool naive_exe(const struct osh_binary *bin, const struct osh_identity_exe *exe)
{
	if (!exe->path.n || !naive_glob(OSH_GLOB_BINARY, bin->path, exe->path))
		return false;
	return !bin->has_sha256 || (exe->sha256 && !memcmp(exe->sha256, bin->sha256, 32));
}

static bool naive_binary(const struct osh_entry *e, const struct osh_identity *id)
{
	for (size_t i = 0; i < e->n_binaries && !id->tainted; i++) {
		if (naive_exe(&e->binaries[i], &id->self))
			return true;
		for (size_t k = 0; k < id->nancestors; k++)
			if (e->binaries[i].scope == OSH_SCOPE_DESCENDANTS &&
			    naive_exe(&e->binaries[i], &id->ancestors[k]))
				return true;
	}
	return false;
}

static bool naive_method(struct osh_str rule, struct osh_str method)
{
	return osh_str_is(rule, "*") || (rule.n && osh_str_ieq(rule, method)) ||
	       (osh_str_ieq(rule, OSH_STR("GET")) && osh_str_ieq(method, OSH_STR("HEAD")));
}

static bool naive_param(const struct osh_keyed_matcher *m, const struct osh_query *q, bool deny)
{
	size_t seen = 0, good = 0;

	for (size_t i = 0; i < q->n; i++) {
		bool ok = false;

		if (!osh_str_eq(q->pairs[i].key, m->key))
			continue;
		seen++;
		for (size_t k = 0; k < m->m.globs.n; k++)
			ok = ok || naive_glob(OSH_GLOB_QUERY, m->m.globs.v[k], q->pairs[i].value);
		good += ok;
	}
	return deny ? good > 0 : seen > 0 && good == seen;
}

static bool naive_rule(const struct osh_rule *rule, const struct osh_request_facts *f, bool deny)
{
	if (!naive_method(rule->method, f->method) || !rule->path.n ||
	    !naive_glob(OSH_GLOB_PATH, rule->path, f->path))
		return false;
	for (size_t i = 0; i < rule->n_query; i++)
		if (!naive_param(&rule->query[i], f->query, deny))
			return false;
	return true;
}

static bool naive_allows(const struct osh_endpoint *ep, const struct osh_request_facts *f)
{
	static const char *const read_only[] = { "GET", "HEAD", "OPTIONS" };
	static const char *const read_write[] = {
		"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"
	};

	for (size_t i = 0; i < ep->n_rules; i++)
		if (naive_rule(&ep->rules[i], f, false))
			return true;
	if (ep->access == OSH_ACCESS_FULL)
		return true;
	for (size_t i = 0; ep->access == OSH_ACCESS_READ_ONLY && i < OSH_ARRAY_SIZE(read_only); i++)
		if (osh_str_ieq(f->method, osh_str(read_only[i])))
			return true;
	for (size_t i = 0; ep->access == OSH_ACCESS_READ_WRITE && i < OSH_ARRAY_SIZE(read_write);
	     i++)
		if (osh_str_ieq(f->method, osh_str(read_write[i])))
			return true;
	return false;
}

struct naive {
	enum osh_decision conn, req;
	struct osh_str key;
	bool inspected;
};

static struct naive naive_decide(const struct osh_policy *p, const struct osh_identity *id,
				 struct osh_str host, unsigned int port,
				 const struct osh_request_facts *f)
{
	struct naive n = { 0 };
	const struct osh_endpoint *routed = NULL;
	bool allowed = false, denied = false;
	size_t best = 0;

	for (size_t i = 0; i < p->n_entries; i++) {
		const struct osh_entry *e = &p->entries[i];

		for (size_t k = 0; k < e->n_endpoints && naive_binary(e, id); k++) {
			const struct osh_endpoint *ep = &e->endpoints[k];
			size_t specific = 0;

			if (!naive_dest(ep, host, port))
				continue;
			if (n.conn == OSH_DECISION_DENY)
				n.key = e->key;
			n.conn = OSH_DECISION_ALLOW;
			if (ep->protocol == OSH_PROTO_NONE)
				continue;
			n.inspected = true;
			for (size_t c = 0; c < ep->path.n; c++)
				specific += ep->path.p[c] != '*';
			if (naive_glob(OSH_GLOB_ENDPOINT_PATH, ep->path, f->path) &&
			    (!routed || specific >= best)) {
				routed = ep;
				best = specific;
			}
			if (ep->path.n && !naive_glob(OSH_GLOB_PATH, ep->path, f->path))
				continue;
			for (size_t r = 0; r < ep->n_deny_rules; r++)
				denied = denied || naive_rule(&ep->deny_rules[r], f, true);
			allowed = allowed || naive_allows(ep, f);
		}
	}
	if (n.conn == OSH_DECISION_DENY)
		return n;
	if (!n.inspected || (routed && allowed && !denied))
		n.req = OSH_DECISION_ALLOW;
	else if (routed && routed->enforcement == OSH_AUDIT)
		n.req = OSH_DECISION_AUDIT;
	return n;
}

/* ---- the comparison ---- */

static void random_exe(struct osh_identity_exe *exe, unsigned char sha[32])
{
	memset(sha, 0, 32);
	sha[0] = (unsigned char)below(2);
	exe->path = below(20) ? osh_str(PICK(exes)) : OSH_STR("");
	exe->sha256 = below(4) ? sha : NULL;
}

static unsigned int stats[3];

static void one_request(const struct osh_policy *p, const struct osh_image *img)
{
	unsigned char sha[3][32];
	struct osh_identity_exe anc[2];
	struct osh_identity id = { .ancestors = anc,
				   .nancestors = below(3),
				   .tainted = !below(20) };
	struct osh_query_pair pairs[3];
	struct osh_query query = { pairs, below(4) };
	struct osh_request_facts f = { .query = &query };
	struct osh_str host = osh_str(PICK(hosts));
	unsigned int port = PICK(ports);
	osh_auto_idclass struct osh_idclass *cls = NULL;
	struct osh_conn_verdict conn;
	struct osh_req_verdict req;
	struct naive want;

	random_exe(&id.self, sha[0]);
	random_exe(&anc[0], sha[1]);
	random_exe(&anc[1], sha[2]);
	if (!id.self.path.n) /* an unknown process has no trusted ancestors either */
		id.tainted = true;
	for (size_t i = 0; i < query.n; i++)
		pairs[i] = (struct osh_query_pair){ osh_str(PICK(keys)), osh_str(PICK(values)) };
	f.method = osh_str(PICK(methods));
	f.path = osh_str(PICK(paths));

	want = naive_decide(p, &id, host, port, &f);
	assert_int_equal(osh_idclass_new(img, &id, &cls), 0);
	osh_decide_conn(img, cls, host, port, &conn);
	osh_decide_request(img, cls, host, port, &f, &req);
	assert_int_equal(conn.verdict, want.conn);
	assert_int_equal(conn.verdict == OSH_DECISION_ALLOW, conn.reason == OSH_REASON_NONE);
	assert_true(osh_str_eq(conn.key, want.key));
	assert_int_equal(conn.inspect != OSH_INSPECT_NONE, want.inspected);
	if (req.verdict != want.req)
		print_error("%.*s %.*s on %.*s:%u: got %d, want %d\n", OSH_STR_FMT(f.method),
			    OSH_STR_FMT(f.path), OSH_STR_FMT(host), port, req.verdict, want.req);
	assert_int_equal(req.verdict, want.req);
	if (conn.verdict == OSH_DECISION_ALLOW) {
		assert_true(osh_image_host_known(img, host, port));
		assert_true(osh_image_dest_mask(img, host, port) != 0);
	}
	stats[req.verdict]++;
}

static void image_decides_like_the_text(void **unused)
{
	static const char hash[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

	(void)unused;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		osh_auto_policy struct osh_policy *p = random_policy();
		osh_auto_buf struct osh_buf *block = osh_buf_new(OSH_IMAGE_MAX_BYTES, 0);
		const struct osh_image *img = NULL;

		assert_int_equal(osh_image_compile(p, i, hash, block), 0);
		assert_int_equal(osh_image_open(block->data, block->len, &img), 0);
		for (unsigned int k = 0; k < REQUESTS; k++)
			one_request(p, img);
	}
	/* the generator must reach every verdict, or the test says nothing */
	assert_true(stats[OSH_DECISION_DENY] > 1000);
	assert_true(stats[OSH_DECISION_ALLOW] > 500);
	assert_true(stats[OSH_DECISION_AUDIT] > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_decides_like_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
