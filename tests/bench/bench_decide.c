/* SPDX-License-Identifier: MIT */
/*
 * Cost of one decision (connection and request together) by size of the policy: median of several
 * runs in nanoseconds, and the ratio to the smallest policy. Half of the entries have an exact host,
 * half a wildcard; every entry has ten rules.
 */
#include <stdio.h>
#include <time.h>

#include "policy/decide.h"
#include "policy/model.h"

#define RULES	10
#define RUNS	9
#define ASKED	1024
#define PER_RUN 40000

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct osh_str text(struct osh_policy *p, const char *fmt, size_t n)
{
	char buf[128];

	(void)snprintf(buf, sizeof(buf), fmt, n);
	return osh_arena_str(&p->arena, osh_str(buf));
}

static void fill_rules(struct osh_policy *p, struct osh_endpoint *ep)
{
	static const char *const fmts[] = { "/v1/items/%zu", "/v1/*/list/%zu", "/v%zu/**" };

	ep->n_rules = RULES;
	ep->rules = osh_arena_array(&p->arena, RULES, sizeof(*ep->rules));
	for (size_t i = 0; i < RULES; i++) {
		ep->rules[i].method = i % 2 ? OSH_STR("POST") : OSH_STR("GET");
		ep->rules[i].path = text(p, fmts[i % OSH_ARRAY_SIZE(fmts)], i);
	}
}

static struct osh_policy *make_policy(size_t n)
{
	struct osh_policy *p = osh_policy_new();

	if (!p)
		return NULL;
	p->arena.max = (size_t)1 << 30; /* larger than any file may be */
	p->n_entries = n;
	p->entries = osh_arena_array(&p->arena, n, sizeof(*p->entries));
	for (size_t i = 0; i < n; i++) {
		struct osh_entry *e = &p->entries[i];

		e->key = text(p, "entry%08zu", i);
		e->name = e->key;
		e->n_endpoints = 1;
		e->endpoints = osh_arena_array(&p->arena, 1, sizeof(*e->endpoints));
		e->endpoints->host = text(p, i % 2 ? "*.svc%zu.test" : "api.svc%zu.test", i);
		e->endpoints->n_ports = 1;
		e->endpoints->ports = osh_arena_array(&p->arena, 1, sizeof(uint16_t));
		e->endpoints->ports[0] = 443;
		e->endpoints->protocol = OSH_PROTO_REST;
		e->endpoints->enforcement = OSH_ENFORCE;
		fill_rules(p, e->endpoints);
		e->n_binaries = 2;
		e->binaries = osh_arena_array(&p->arena, 2, sizeof(*e->binaries));
		e->binaries[0].path = OSH_STR("/usr/bin/curl");
		e->binaries[0].scope = OSH_SCOPE_DESCENDANTS;
		e->binaries[1].path = text(p, "/opt/tool%zu/bin/*", i % 100);
	}
	return p;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct question {
	struct osh_str host, path, method;
};

static void make_questions(struct osh_policy *p, size_t n, struct question *q)
{
	for (size_t i = 0; i < ASKED; i++) {
		size_t at = i * 7919 % n;

		q[i].host = text(p, i % 8 == 7 ? "api.other%zu.test" : "api.svc%zu.test", at);
		q[i].path = text(p, i % 2 ? "/v1/items/%zu" : "/v1/x/list/%zu", i % RULES);
		q[i].method = i % 3 ? OSH_STR("GET") : OSH_STR("POST");
	}
}

static double measure(const struct osh_image *img, const struct osh_idclass *cls,
		      const struct question *q, unsigned int *ret_allowed)
{
	double runs[RUNS];

	for (int r = 0; r < RUNS; r++) {
		double t0 = now_ns();

		for (unsigned int i = 0; i < PER_RUN; i++) {
			const struct question *ask = &q[i % ASKED];
			const struct osh_request_facts f = { .method = ask->method,
							     .path = ask->path };
			struct osh_conn_verdict conn;
			struct osh_req_verdict req;

			osh_decide_conn(img, cls, ask->host, 443, &conn);
			if (conn.verdict == OSH_DECISION_ALLOW) {
				osh_decide_request(img, cls, ask->host, 443, &f, &req);
				*ret_allowed += req.verdict == OSH_DECISION_ALLOW;
			}
		}
		runs[r] = (now_ns() - t0) / PER_RUN;
	}
	qsort(runs, RUNS, sizeof(runs[0]), compare);
	return runs[RUNS / 2];
}

int main(void)
{
	static const size_t sizes[] = { 10, 100, 1000, 10000 };
	static const char hash[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	const struct osh_identity id = { .self = { OSH_STR("/usr/bin/curl"), NULL } };
	double base = 0;

	printf("%8s %10s %12s %12s %12s %8s %10s\n", "entries", "rules", "image KiB", "compile ms",
	       "identity us", "ns", "ratio");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(sizes); i++) {
		osh_auto_policy struct osh_policy *p = make_policy(sizes[i]);
		osh_auto_buf struct osh_buf *block = osh_buf_new(OSH_IMAGE_MAX_BYTES, 0);
		osh_auto_idclass struct osh_idclass *cls = NULL;
		const struct osh_image *img = NULL;
		struct question q[ASKED];
		unsigned int allowed = 0;
		double t0, compiled, classed, ns;

		if (!p || !block)
			return 1;
		make_questions(p, sizes[i], q);
		t0 = now_ns();
		if (osh_image_compile(p, 1, hash, block) < 0 ||
		    osh_image_open(block->data, block->len, &img) < 0)
			return 1;
		compiled = now_ns() - t0;
		t0 = now_ns();
		if (osh_idclass_new(img, &id, &cls) < 0)
			return 1;
		classed = now_ns() - t0;
		ns = measure(img, cls, q, &allowed);
		if (!i)
			base = ns;
		printf("%8zu %10d %12zu %12.1f %12.1f %8.0f %9.2fx\n", sizes[i], RULES,
		       block->len / 1024, compiled / 1e6, classed / 1e3, ns, ns / base);
		if (!allowed)
			return 1;
	}
	return 0;
}
