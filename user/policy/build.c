/* SPDX-License-Identifier: MIT */
#include "policy/build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct osh_rule osh_rule_init(void)
{
	struct osh_rule rule = { 0 };

	rule.method = rule.path = rule.command = OSH_STR("");
	rule.operation_type = rule.operation_name = OSH_STR("");
	return rule;
}

struct osh_endpoint osh_endpoint_init(void)
{
	struct osh_endpoint ep = { .enforcement = OSH_AUDIT, .mcp_strict_tool_names = true };

	ep.host = ep.path = ep.protocol_text = ep.tls_text = OSH_STR("");
	ep.enforcement_text = ep.access_text = ep.persisted_queries_text = OSH_STR("");
	ep.credential_signing_text = ep.signing_service = ep.signing_region = OSH_STR("");
	ep.credential_binding_provider = OSH_STR("");
	return ep;
}

static enum osh_access access_of(struct osh_str s)
{
	if (s.n == 0)
		return OSH_ACCESS_NONE;
	for (enum osh_access a = OSH_ACCESS_READ_ONLY; a <= OSH_ACCESS_FULL; a++)
		if (osh_str_is(s, osh_access_name(a)))
			return a;
	return OSH_ACCESS_UNSUPPORTED;
}

static enum osh_protocol protocol_of(struct osh_str s)
{
	for (enum osh_protocol p = OSH_PROTO_TCP; p <= OSH_PROTO_SQL; p++)
		if (osh_str_is(s, osh_protocol_name(p)))
			return p;
	return OSH_PROTO_NONE;
}

static enum osh_signing signing_of(struct osh_str s)
{
	if (osh_str_is(s, "sigv4"))
		return OSH_SIGNING_SIGV4;
	if (osh_str_is(s, "sigv4:body"))
		return OSH_SIGNING_SIGV4_BODY;
	return osh_str_is(s, "sigv4:no_body") ? OSH_SIGNING_SIGV4_NO_BODY : OSH_SIGNING_NONE;
}

void osh_endpoint_words(struct osh_endpoint *ep)
{
	ep->protocol = protocol_of(ep->protocol_text);
	ep->access = access_of(ep->access_text);
	ep->credential_signing = signing_of(ep->credential_signing_text);
	ep->enforcement = osh_str_is(ep->enforcement_text, "enforce") ? OSH_ENFORCE : OSH_AUDIT;
	ep->persisted_queries = osh_str_is(ep->persisted_queries_text, "allow_registered")
					? OSH_PERSISTED_ALLOW_REGISTERED
					: OSH_PERSISTED_DENY;
	if (osh_str_is(ep->tls_text, "skip"))
		ep->tls = OSH_TLS_SKIP;
	else
		ep->tls = osh_str_is(ep->tls_text, "terminate") ? OSH_TLS_TERMINATE : OSH_TLS_AUTO;
}

/* ---- order ---- */

static int cmp_matchers(const void *a, const void *b)
{
	return osh_str_cmp(((const struct osh_keyed_matcher *)a)->key,
			   ((const struct osh_keyed_matcher *)b)->key);
}

static int cmp_persisted(const void *a, const void *b)
{
	return osh_str_cmp(((const struct osh_persisted_query *)a)->key,
			   ((const struct osh_persisted_query *)b)->key);
}

static int cmp_entries(const void *a, const void *b)
{
	return osh_str_cmp(((const struct osh_entry *)a)->key, ((const struct osh_entry *)b)->key);
}

static int cmp_middlewares(const void *a, const void *b)
{
	return osh_str_cmp(((const struct osh_middleware *)a)->key,
			   ((const struct osh_middleware *)b)->key);
}

static void sort(void *v, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	if (n > 1)
		qsort(v, n, size, cmp);
}

void osh_build_sort_matchers(struct osh_keyed_matcher *v, size_t n)
{
	sort(v, n, sizeof(*v), cmp_matchers);
}

void osh_build_sort_persisted(struct osh_persisted_query *v, size_t n)
{
	sort(v, n, sizeof(*v), cmp_persisted);
}

void osh_build_sort_entries(struct osh_entry *v, size_t n)
{
	sort(v, n, sizeof(*v), cmp_entries);
}

void osh_build_sort_middlewares(struct osh_middleware *v, size_t n)
{
	sort(v, n, sizeof(*v), cmp_middlewares);
}

/* ---- any node as JSON ---- */

static void node_json(const struct osh_node *node, struct osh_json *j, struct osh_diag *diag);

static int cmp_keys(const void *a, const void *b)
{
	return osh_str_cmp((*(const struct osh_node *const *)a)->key,
			   (*(const struct osh_node *const *)b)->key);
}

static void map_json(const struct osh_node *node, struct osh_json *j, struct osh_diag *diag)
{
	osh_auto_free const struct osh_node **v = calloc(node->n + 1, sizeof(*v));
	size_t n = 0;

	if (!v) {
		j->err = -ENOMEM;
		return;
	}
	osh_node_for_each(it, node) v[n++] = it;
	sort(v, n, sizeof(*v), cmp_keys);
	osh_json_obj(j);
	for (size_t i = 0; i < n; i++) {
		osh_json_key(j, v[i]->key.p); /* NUL-terminated, and holds no other NUL */
		node_json(v[i], j, diag);
	}
	osh_json_obj_end(j);
}

static void not_json(const struct osh_node *node, struct osh_json *j, struct osh_diag *diag)
{
	osh_diag_err(diag, node->line, node->col,
		     "number %s cannot be kept exactly; put it in quotes", osh_quote(node->text));
	if (!j->err)
		j->err = -EBADMSG;
}

static void float_json(const struct osh_node *node, struct osh_json *j, struct osh_diag *diag)
{
	double value = strtod(node->text.p, NULL); /* the node reader checked the form */
	char text[40];

	if (!isfinite(value) || node->text.p[node->text.n - 1] == 'f' ||
	    osh_lower(node->text.p[node->text.n - 1]) == 'n') {
		not_json(node, j, diag);
		return;
	}
	(void)snprintf(text, sizeof(text), "%.17g", value);
	/* "1.0" must not come back as the integer 1. */
	if (!strpbrk(text, ".e"))
		(void)snprintf(text, sizeof(text), "%.17g.0", value);
	osh_json_raw(j, osh_str(text));
}

static void node_json(const struct osh_node *node, struct osh_json *j, struct osh_diag *diag)
{
	switch (node->type) {
	case OSH_NODE_NULL:
		osh_json_null(j);
		break;
	case OSH_NODE_BOOL:
		osh_json_bool(j, node->boolean);
		break;
	case OSH_NODE_INT:
		if (node->too_big)
			not_json(node, j, diag);
		else
			osh_json_i64(j, node->integer);
		break;
	case OSH_NODE_FLOAT:
		float_json(node, j, diag);
		break;
	case OSH_NODE_STR:
		osh_json_str(j, node->text);
		break;
	case OSH_NODE_SEQ:
		osh_json_arr(j);
		osh_node_for_each(it, node) node_json(it, j, diag);
		osh_json_arr_end(j);
		break;
	case OSH_NODE_MAP:
		map_json(node, j, diag);
		break;
	}
}

int osh_build_node_json(const struct osh_node *node, struct osh_buf *out, struct osh_diag *diag)
{
	struct osh_json j;

	osh_json_init(&j, out, 0);
	node_json(node, &j, diag);
	return j.err;
}
