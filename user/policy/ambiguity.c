/* SPDX-License-Identifier: MIT */
/*
 * Two endpoints that can match one connection must agree on what happens to it. Only pairs that
 * share a port and a host are compared: exact hosts are grouped by sorting, so that the cost grows
 * with the number of real neighbours; wildcards are compiled once and met with everything.
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/addr.h"
#include "policy/check.h"
#include "policy/glob.h"
#include "policy/validate.h"

enum {
	NO_PROG = -1,
	MAX_CONFLICTS = 50, /* reported; who has more will not read them all */
};

struct ref {
	const struct osh_entry *entry;
	const struct osh_endpoint *ep;
	size_t index;
	struct osh_str host; /* lower case */
	ssize_t prog; /* offset of the compiled pattern; NO_PROG: an exact or an empty host */
};

struct work {
	struct osh_diag *diag;
	struct osh_arena arena;
	struct osh_buf progs;
	struct ref *refs; /* exact hosts first, sorted; then wildcards and empty hosts */
	size_t n, n_exact;
	unsigned int conflicts;
	int err;
};

/* ---- what must agree ---- */

struct conflict {
	char text[700];
	size_t len;
};

static void differ(struct conflict *c, const char *field, const char *l, const char *r)
{
	int n;

	if (strcmp(l, r) == 0)
		return;
	n = snprintf(c->text + c->len, sizeof(c->text) - c->len, "%s%s=%.60s vs %.60s",
		     c->len ? "; " : "", field, l, r);
	if (n > 0)
		c->len = OSH_MIN(c->len + (size_t)n, sizeof(c->text) - 1);
}

static void differ_bool(struct conflict *c, const char *field, bool l, bool r)
{
	differ(c, field, l ? "true" : "false", r ? "true" : "false");
}

static void differ_str(struct conflict *c, const char *field, struct osh_str l, struct osh_str r)
{
	char a[61], b[61];

	if (osh_str_eq(l, r))
		return;
	(void)snprintf(a, sizeof(a), "%.*s", OSH_STR_FMT(osh_str_sub(l, 0, osh_utf8_cut(l, 60))));
	(void)snprintf(b, sizeof(b), "%.*s", OSH_STR_FMT(osh_str_sub(r, 0, osh_utf8_cut(r, 60))));
	if (strcmp(a, b) == 0)
		b[0] = '~'; /* they differ behind the cut */
	differ(c, field, a, b);
}

static void differ_u32(struct conflict *c, const char *field, uint32_t l, uint32_t r)
{
	char a[16], b[16];

	if (l == r)
		return;
	(void)snprintf(a, sizeof(a), "%u", l);
	(void)snprintf(b, sizeof(b), "%u", r);
	differ(c, field, a, b);
}

static bool has_network(const struct osh_strs *list, const struct osh_cidr *cidr)
{
	for (size_t i = 0; i < list->n; i++) {
		struct osh_cidr other;

		if (osh_cidr_parse(list->v[i], &other) == 0 && other.bits == cidr->bits &&
		    osh_addr_eq(&other.base, &cidr->base))
			return true;
	}
	return false;
}

/* Is every network of @a in @b too? Entries that do not parse were reported; they match nothing. */
static bool is_subset(const struct osh_strs *a, const struct osh_strs *b)
{
	for (size_t i = 0; i < a->n; i++) {
		struct osh_cidr cidr;

		if (osh_cidr_parse(a->v[i], &cidr) < 0 || !has_network(b, &cidr))
			return false;
	}
	return true;
}

static void join(const struct osh_strs *list, char *dst, size_t size)
{
	size_t len = (size_t)snprintf(dst, size, "[");

	for (size_t i = 0; i < list->n && len < size; i++)
		len += (size_t)snprintf(dst + len, size - len, "%s%.*s", i ? " " : "",
					OSH_CLIP(list->v[i]));
	if (len < size)
		(void)snprintf(dst + len, size - len, "]");
}

static void compare_connection(struct conflict *c, const struct osh_endpoint *a,
			       const struct osh_endpoint *b)
{
	differ_bool(c, "explicit_tcp", a->protocol == OSH_PROTO_TCP, b->protocol == OSH_PROTO_TCP);
	differ(c, "tls", a->tls == OSH_TLS_SKIP ? "skip" : "auto",
	       b->tls == OSH_TLS_SKIP ? "skip" : "auto");
	if (a->allowed_ips.n + b->allowed_ips.n > 0 &&
	    (!is_subset(&a->allowed_ips, &b->allowed_ips) ||
	     !is_subset(&b->allowed_ips, &a->allowed_ips))) {
		char l[61], r[61];

		join(&a->allowed_ips, l, sizeof(l));
		join(&b->allowed_ips, r, sizeof(r));
		if (strcmp(l, r) == 0)
			r[0] = '~';
		differ(c, "allowed_ips", l, r);
	}
	differ_bool(c, "advisor_proposed", a->advisor_proposed, b->advisor_proposed);
}

/* Does the endpoint say anything about single requests? */
static bool has_metadata(const struct osh_endpoint *ep)
{
	return (ep->protocol_text.n && ep->protocol != OSH_PROTO_TCP) ||
	       ep->credential_signing_text.n || ep->has_credential_binding;
}

static void compare_requests(struct conflict *c, const struct osh_endpoint *a,
			     const struct osh_endpoint *b)
{
	differ_str(c, "protocol", a->protocol_text, b->protocol_text);
	differ(c, "enforcement", a->enforcement == OSH_ENFORCE ? "enforce" : "audit",
	       b->enforcement == OSH_ENFORCE ? "enforce" : "audit");
	differ_bool(c, "allow_encoded_slash", a->allow_encoded_slash, b->allow_encoded_slash);
	differ_bool(c, "websocket_credential_rewrite", a->websocket_credential_rewrite,
		    b->websocket_credential_rewrite);
	differ_bool(c, "request_body_credential_rewrite", a->request_body_credential_rewrite,
		    b->request_body_credential_rewrite);
	differ_bool(c, "websocket_graphql", osh_endpoint_is_ws_graphql(a),
		    osh_endpoint_is_ws_graphql(b));
	differ_str(c, "credential_signing", a->credential_signing_text, b->credential_signing_text);
	differ_str(c, "signing_service", a->signing_service, b->signing_service);
	differ_str(c, "signing_region", a->signing_region, b->signing_region);
	differ_str(c, "credential_binding", a->credential_binding_provider,
		   b->credential_binding_provider);
	differ_u32(c, "graphql_max_body_bytes", osh_endpoint_graphql_max(a),
		   osh_endpoint_graphql_max(b));
	if (a->protocol != b->protocol)
		return;
	if (a->protocol == OSH_PROTO_JSON_RPC || a->protocol == OSH_PROTO_MCP)
		differ_u32(c, "max_body_bytes", osh_endpoint_rpc_max(a), osh_endpoint_rpc_max(b));
	if (a->protocol == OSH_PROTO_MCP)
		differ_bool(c, "mcp.strict_tool_names", a->mcp_strict_tool_names,
			    b->mcp_strict_tool_names);
}

/* ---- pairs ---- */

static bool share_port(const struct osh_endpoint *a, const struct osh_endpoint *b)
{
	for (size_t i = 0; i < a->n_ports; i++)
		for (size_t k = 0; k < b->n_ports; k++)
			if (a->ports[i] == b->ports[k])
				return true;
	return false;
}

static void common_ports(const struct osh_endpoint *a, const struct osh_endpoint *b, char *dst,
			 size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < a->n_ports; i++)
		for (size_t k = 0; k < b->n_ports; k++)
			if (a->ports[i] == b->ports[k] && size - len > 8)
				len += (size_t)snprintf(dst + len, size - len, "%s%u",
							len ? ", " : "", a->ports[i]);
}

/* The reading end names a pattern that cannot be compared as a conflict: it was reported anyway. */
static bool paths_clash(struct work *w, const struct osh_endpoint *a, const struct osh_endpoint *b)
{
	int r;

	if (osh_glob_specificity(a->path) != osh_glob_specificity(b->path))
		return false;
	if (osh_str_eq(a->path, b->path))
		return true;
	r = osh_path_patterns_overlap(a->path, b->path);
	if (r == -ENOMEM)
		w->err = r;
	return r != 0;
}

static void report(struct work *w, const struct ref *a, const struct ref *b,
		   const struct conflict *c)
{
	char pa[64], pb[64], ports[128] = "";

	w->conflicts++;
	common_ports(a->ep, b->ep, ports, sizeof(ports));
	osh_check_ports(a->ep, pa, sizeof(pa));
	osh_check_ports(b->ep, pb, sizeof(pb));
	osh_diag_err(
		w->diag, b->ep->at.line, b->ep->at.col,
		"network policies '%.*s' endpoint[%zu] (%.*s:%s%s%.*s) and '%.*s' endpoint[%zu] "
		"(%.*s:%s%s%.*s) overlap on port(s) %s with conflicting metadata: %s",
		OSH_CLIP(a->entry->name), a->index, OSH_CLIP(a->ep->host), pa,
		a->ep->path.n ? " " : "", OSH_CLIP(a->ep->path), OSH_CLIP(b->entry->name), b->index,
		OSH_CLIP(b->ep->host), pb, b->ep->path.n ? " " : "", OSH_CLIP(b->ep->path), ports,
		c->text);
}

/* Hosts are known to overlap. */
static void compare(struct work *w, const struct ref *a, const struct ref *b)
{
	struct conflict c, requests;

	if (!share_port(a->ep, b->ep))
		return;
	/* Not zeroed as a whole: this runs for millions of pairs. */
	c.len = requests.len = 0;
	c.text[0] = requests.text[0] = '\0';

	/* In the order of the document, so that messages do not depend on the search. */
	if (a->ep->at.line > b->ep->at.line) {
		const struct ref *t = a;

		a = b;
		b = t;
	}
	compare_connection(&c, a->ep, b->ep);
	if (has_metadata(a->ep) && has_metadata(b->ep)) {
		compare_requests(&requests, a->ep, b->ep);
		if (requests.len && paths_clash(w, a->ep, b->ep)) {
			int n = snprintf(c.text + c.len, sizeof(c.text) - c.len, "%s%s",
					 c.len ? "; " : "", requests.text);

			c.len = OSH_MIN(c.len + (size_t)OSH_MAX(n, 0), sizeof(c.text) - 1);
		}
	}
	if (c.len)
		report(w, a, b, &c);
}

/* @wild has a pattern or an empty host. */
static bool hosts_overlap(struct work *w, const struct ref *wild, const struct ref *other)
{
	int r;

	if (wild->host.n == 0 || other->host.n == 0 || osh_str_eq(wild->host, other->host))
		return true;
	if (other->prog == NO_PROG)
		return osh_glob_match(w->progs.data + wild->prog, other->host);
	r = osh_glob_overlap(w->progs.data + wild->prog, w->progs.data + other->prog);
	if (r < 0)
		w->err = r;
	return r != 0;
}

static void compare_exact(struct work *w)
{
	for (size_t i = 0; i < w->n_exact; i++)
		for (size_t k = i + 1; k < w->n_exact && w->conflicts < MAX_CONFLICTS; k++) {
			if (!osh_str_eq(w->refs[i].host, w->refs[k].host))
				break;
			compare(w, &w->refs[i], &w->refs[k]);
		}
}

static void compare_wild(struct work *w)
{
	for (size_t i = w->n_exact; i < w->n && w->err == 0; i++) {
		const struct ref *wild = &w->refs[i];

		for (size_t k = 0; k < i && w->conflicts < MAX_CONFLICTS; k++) {
			const struct ref *other = &w->refs[k];

			if (!share_port(wild->ep, other->ep) || !hosts_overlap(w, wild, other))
				continue;
			compare(w, wild, other);
		}
	}
}

/* ---- collecting ---- */

static struct osh_str lower(struct work *w, struct osh_str host)
{
	struct osh_str copy = osh_arena_str(&w->arena, host);
	char *p = osh_arena_alloc(&w->arena, host.n + 1);

	if (!copy.p || !p) {
		w->err = -ENOMEM;
		return OSH_STR("");
	}
	for (size_t i = 0; i < host.n; i++)
		p[i] = osh_lower(host.p[i]);
	return (struct osh_str){ p, host.n };
}

static void add(struct work *w, const struct osh_entry *entry, size_t index)
{
	struct ref ref = { .entry = entry, .ep = &entry->endpoints[index], .index = index };
	bool wild = osh_str_find(ref.ep->host, '*') < ref.ep->host.n;

	ref.host = lower(w, ref.ep->host);
	ref.prog = NO_PROG;
	if (wild && w->err == 0) {
		size_t off;
		int r = osh_glob_compile(OSH_GLOB_HOST, ref.host, &w->progs, &off);

		if (r == -ENOMEM)
			w->err = r;
		/* A malformed pattern was reported and cannot be met with others. */
		if (r < 0)
			return;
		ref.prog = (ssize_t)off;
	}
	w->refs[w->n++] = ref;
}

static int cmp_refs(const void *pa, const void *pb)
{
	const struct ref *a = pa, *b = pb;
	bool wa = a->prog != NO_PROG || a->host.n == 0, wb = b->prog != NO_PROG || b->host.n == 0;
	int r;

	if (wa != wb)
		return wa ? 1 : -1;
	r = osh_str_cmp(a->host, b->host);
	if (r == 0)
		r = osh_str_cmp(a->entry->key, b->entry->key);
	return r ? r : (a->index > b->index) - (a->index < b->index);
}

static int run(struct work *w, const struct osh_policy *policy)
{
	size_t max = 0;

	for (size_t i = 0; i < policy->n_entries; i++)
		max += policy->entries[i].n_endpoints;
	if (max < 2)
		return 0;
	w->refs = osh_arena_array(&w->arena, max, sizeof(*w->refs));
	if (!w->refs)
		return -ENOMEM;
	for (size_t i = 0; i < policy->n_entries; i++)
		for (size_t k = 0; k < policy->entries[i].n_endpoints && w->err == 0; k++)
			if (!policy->entries[i].endpoints[k].incomplete)
				add(w, &policy->entries[i], k);
	if (w->err < 0)
		return w->err;
	qsort(w->refs, w->n, sizeof(*w->refs), cmp_refs);
	while (w->n_exact < w->n && w->refs[w->n_exact].prog == NO_PROG &&
	       w->refs[w->n_exact].host.n)
		w->n_exact++;
	compare_exact(w);
	compare_wild(w);
	return w->err;
}

int osh_policy_check_ambiguity(const struct osh_policy *policy, struct osh_diag *diag)
{
	struct work w = { .diag = diag };
	unsigned int errors = diag->errors;
	int r;

	osh_arena_init(&w.arena, OSH_POLICY_ARENA_MAX_BYTES);
	osh_buf_init(&w.progs, OSH_POLICY_ARENA_MAX_BYTES, 0);
	r = run(&w, policy);
	osh_buf_fini(&w.progs);
	osh_arena_fini(&w.arena);
	if (r < 0)
		return r;
	return diag->errors == errors ? 0 : -EBADMSG;
}
