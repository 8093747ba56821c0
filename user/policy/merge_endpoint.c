/* SPDX-License-Identifier: MIT */
/* Merging one endpoint into another, and rules into an endpoint. */
#include <stdlib.h>

#include "policy/merge_int.h"

bool osh_merge_has_port(const struct osh_endpoint *ep, uint16_t port)
{
	for (size_t i = 0; i < ep->n_ports; i++)
		if (ep->ports[i] == port)
			return true;
	return false;
}

bool osh_merge_shares_port(const struct osh_endpoint *a, const struct osh_endpoint *b)
{
	for (size_t i = 0; i < a->n_ports; i++)
		if (osh_merge_has_port(b, a->ports[i]))
			return true;
	return false;
}

/* ---- rules ---- */

static bool same_strs(const struct osh_strs *a, const struct osh_strs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!osh_str_eq(a->v[i], b->v[i]))
			return false;
	return true;
}

static bool same_matchers(const struct osh_keyed_matcher *a, size_t n_a,
			  const struct osh_keyed_matcher *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!osh_str_eq(a[i].key, b[i].key) || a[i].m.any != b[i].m.any ||
		    !same_strs(&a[i].m.globs, &b[i].m.globs))
			return false;
	return true;
}

static bool same_rule(const struct osh_rule *a, const struct osh_rule *b)
{
	return osh_str_eq(a->method, b->method) && osh_str_eq(a->path, b->path) &&
	       osh_str_eq(a->command, b->command) &&
	       osh_str_eq(a->operation_type, b->operation_type) &&
	       osh_str_eq(a->operation_name, b->operation_name) &&
	       same_strs(&a->fields, &b->fields) &&
	       same_matchers(a->query, a->n_query, b->query, b->n_query) &&
	       same_matchers(a->params, a->n_params, b->params, b->n_params);
}

/* Append the rules that are not there yet; *ret_added (may be NULL) tells whether there were any. */
static int add_rules(struct osh_arena *arena, struct osh_rule **rules, size_t *n,
		     const struct osh_rule *add, size_t n_add, bool *ret_added)
{
	struct osh_rule *v = osh_arena_array(arena, *n + n_add + 1, sizeof(*v));
	size_t count = *n;

	if (!v)
		return -ENOMEM;
	if (count)
		memcpy(v, *rules, count * sizeof(*v));
	for (size_t i = 0; i < n_add; i++) {
		bool seen = false;

		for (size_t k = 0; k < count && !seen; k++)
			seen = same_rule(&v[k], &add[i]);
		if (seen)
			continue;
		v[count] = add[i];
		if (osh_build_copy_rule(arena, &v[count]) < 0)
			return -ENOMEM;
		count++;
	}
	if (ret_added)
		*ret_added = count != *n;
	*rules = count ? v : NULL;
	*n = count;
	return 0;
}

/* Replace a preset by the rules it stands for. 0, -ENOMEM; -EINVAL: no known preset. */
static int expand_access(struct osh_arena *arena, struct osh_endpoint *ep)
{
	const char *const *words;
	size_t n = osh_access_words(ep->access, ep->protocol, &words);
	struct osh_rule *rules;
	int r;

	if (n == 0)
		return -EINVAL;
	rules = osh_arena_array(arena, n, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		rules[i] = osh_rule_init();
		if (ep->protocol == OSH_PROTO_GRAPHQL) {
			rules[i].operation_type = osh_str(words[i]);
		} else {
			rules[i].method = osh_str(words[i]);
			rules[i].path = OSH_STR("**");
		}
	}
	r = add_rules(arena, &ep->rules, &ep->n_rules, rules, n, NULL);
	if (r < 0)
		return r;
	ep->access_text = OSH_STR("");
	ep->access = OSH_ACCESS_NONE;
	return 0;
}

/* ---- endpoints ---- */

struct merging {
	struct osh_arena *arena;
	struct osh_endpoint *ep;
	const struct osh_endpoint *in;
	struct osh_diag *warn;
	bool changed;
};

static int cmp_port(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static int merge_ports(struct merging *m)
{
	size_t n = m->ep->n_ports;
	uint16_t *v = osh_arena_array(m->arena, n + m->in->n_ports, sizeof(*v));

	if (!v)
		return -ENOMEM;
	memcpy(v, m->ep->ports, n * sizeof(*v));
	for (size_t i = 0; i < m->in->n_ports; i++)
		if (!osh_merge_has_port(m->ep, m->in->ports[i]))
			v[n++] = m->in->ports[i];
	if (n == m->ep->n_ports)
		return 0;
	qsort(v, n, sizeof(*v), cmp_port);
	m->ep->ports = v;
	m->ep->n_ports = n;
	m->changed = true;
	return 0;
}

/* What is there stays; what is not there is taken. */
static int keep_text(struct merging *m, const char *what, struct osh_str *have, struct osh_str in)
{
	if (in.n == 0 || osh_str_eq(*have, in))
		return 0;
	if (have->n) {
		osh_diag_warn(m->warn, 0, 0,
			      "endpoint %.*s:%u keeps existing %s '%.*s' and ignores incoming "
			      "'%.*s'",
			      OSH_CLIP(m->ep->host), m->in->ports[0], what, OSH_CLIP(*have),
			      OSH_CLIP(in));
		return 0;
	}
	*have = in;
	m->changed = true;
	return osh_build_copy_str(m->arena, have);
}

static int merge_access(struct merging *m)
{
	struct osh_endpoint *ep = m->ep;
	const struct osh_endpoint *in = m->in;
	bool added = false;
	int r;

	if (in->n_rules && ep->access_text.n) {
		r = expand_access(m->arena, ep);
		if (r < 0)
			return r;
		osh_diag_warn(
			m->warn, 0, 0,
			"expanded access preset '%.*s' to explicit rules for endpoint %.*s:%u",
			OSH_CLIP(in->access_text), OSH_CLIP(ep->host), in->ports[0]);
	}
	if (in->n_rules) {
		r = add_rules(m->arena, &ep->rules, &ep->n_rules, in->rules, in->n_rules, &added);
		m->changed = m->changed || added;
		return r;
	}
	if (in->access_text.n && ep->n_rules) {
		osh_diag_warn(
			m->warn, 0, 0,
			"endpoint %.*s:%u already uses explicit rules; incoming access preset "
			"'%.*s' was ignored",
			OSH_CLIP(ep->host), in->ports[0], OSH_CLIP(in->access_text));
		return 0;
	}
	return keep_text(m, "access preset", &ep->access_text, in->access_text);
}

static int merge_allowed_ips(struct merging *m)
{
	struct osh_strs *have = &m->ep->allowed_ips;
	const struct osh_strs *in = &m->in->allowed_ips;
	struct osh_str *v = osh_arena_array(m->arena, have->n + in->n + 1, sizeof(*v));
	size_t n = have->n;

	if (!v)
		return -ENOMEM;
	if (n)
		memcpy(v, have->v, n * sizeof(*v));
	for (size_t i = 0; i < in->n; i++) {
		bool seen = false;

		for (size_t k = 0; k < n && !seen; k++)
			seen = osh_str_eq(v[k], in->v[i]);
		if (seen)
			continue;
		v[n] = in->v[i];
		if (osh_build_copy_str(m->arena, &v[n]) < 0)
			return -ENOMEM;
		n++;
	}
	if (n == have->n)
		return 0;
	*have = (struct osh_strs){ v, n };
	m->ep->allowed_ips_at = NULL; /* the new ones have no place */
	m->changed = true;
	return 0;
}

static void merge_flag(struct merging *m, bool *have, bool in)
{
	if (in && !*have) {
		*have = true;
		m->changed = true;
	}
}

int osh_merge_endpoint(struct osh_arena *arena, struct osh_endpoint *ep,
		       const struct osh_endpoint *in, struct osh_diag *warn, bool *ret_changed)
{
	struct merging m = { .arena = arena, .ep = ep, .in = in, .warn = warn };
	bool added = false;
	int r = merge_ports(&m);

	if (r == 0)
		r = keep_text(&m, "protocol", &ep->protocol_text, in->protocol_text);
	if (r == 0)
		r = keep_text(&m, "enforcement", &ep->enforcement_text, in->enforcement_text);
	if (r == 0)
		r = keep_text(&m, "tls mode", &ep->tls_text, in->tls_text);
	/* Presets mean what the protocol makes of them. */
	osh_endpoint_words(ep);
	if (r == 0)
		r = merge_access(&m);
	if (r == 0)
		r = add_rules(arena, &ep->deny_rules, &ep->n_deny_rules, in->deny_rules,
			      in->n_deny_rules, &added);
	if (r == 0)
		r = merge_allowed_ips(&m);
	if (r < 0)
		return r;
	merge_flag(&m, &ep->allow_encoded_slash, in->allow_encoded_slash);
	merge_flag(&m, &ep->websocket_credential_rewrite, in->websocket_credential_rewrite);
	merge_flag(&m, &ep->request_body_credential_rewrite, in->request_body_credential_rewrite);
	merge_flag(&m, &ep->allow_uninspected_credentials, in->allow_uninspected_credentials);
	osh_endpoint_words(ep);
	*ret_changed = m.changed || added;
	return 0;
}

/* ---- add-allow, add-deny ---- */

struct target {
	struct osh_entry *entry;
	struct osh_endpoint *ep;
};

static int report_many(struct osh_merge_run *run, const struct osh_merge_op *op,
		       const struct target *t, size_t n)
{
	osh_auto_bufmem struct osh_buf names;
	int r = 0;

	osh_buf_init(&names, 1u << 20, 0);
	for (size_t i = 0; r == 0 && i < n; i++) {
		bool same = (i > 0 && t[i - 1].entry == t[i].entry) ||
			    (i + 1 < n && t[i + 1].entry == t[i].entry);

		r = osh_buf_printf(&names, "%s%.*s", i ? ", " : "", OSH_CLIP(t[i].entry->key));
		if (r == 0 && same && t[i].ep->path.n)
			r = osh_buf_printf(&names, " (path %.*s)", OSH_CLIP(t[i].ep->path));
	}
	if (r < 0)
		return -ENOMEM;
	osh_diag_err(run->diag, 0, 0,
		     "endpoint %.*s:%u resolves to %.*s; this operation selects its target by host "
		     "and port alone, so it cannot say which binary scope and L7 surface to widen. "
		     "Replace the policy with the full YAML instead",
		     OSH_CLIP(op->host), op->port, OSH_CLIP(osh_buf_str(&names)));
	return -EBADMSG;
}

static int find_target(struct osh_merge_run *run, const struct osh_merge_op *op,
		       struct osh_endpoint **ret_ep)
{
	struct target found[8];
	size_t n = 0;

	for (size_t i = 0; i < run->policy->n_entries; i++) {
		struct osh_entry *entry = &run->policy->entries[i];

		for (size_t k = 0; k < entry->n_endpoints; k++) {
			struct osh_endpoint *ep = &entry->endpoints[k];

			if (n < OSH_ARRAY_SIZE(found) && osh_str_ieq(ep->host, op->host) &&
			    osh_merge_has_port(ep, op->port))
				found[n++] = (struct target){ entry, ep };
		}
	}
	if (n > 1)
		return report_many(run, op, found, n);
	if (n == 0) {
		osh_diag_err(run->diag, 0, 0,
			     "endpoint %.*s:%u was not found in the current policy",
			     OSH_CLIP(op->host), op->port);
		return -EBADMSG;
	}
	*ret_ep = found[0].ep;
	return 0;
}

static int check_target(struct osh_merge_run *run, const struct osh_merge_op *op,
			const struct osh_endpoint *ep)
{
	if (ep->protocol_text.n == 0) {
		osh_diag_err(run->diag, 0, 0,
			     "endpoint %.*s:%u has no L7 inspection configured (protocol is empty)",
			     OSH_CLIP(op->host), op->port);
		return -EBADMSG;
	}
	if (ep->protocol != OSH_PROTO_REST && ep->protocol != OSH_PROTO_WEBSOCKET) {
		osh_diag_err(run->diag, 0, 0,
			     "endpoint %.*s:%u uses unsupported protocol '%.*s'; this operation "
			     "currently supports only protocol 'rest' or 'websocket'",
			     OSH_CLIP(op->host), op->port, OSH_CLIP(ep->protocol_text));
		return -EBADMSG;
	}
	if (ep->access == OSH_ACCESS_UNSUPPORTED) {
		osh_diag_err(run->diag, 0, 0,
			     "endpoint %.*s:%u uses unsupported access preset '%.*s'",
			     OSH_CLIP(op->host), op->port, OSH_CLIP(ep->access_text));
		return -EBADMSG;
	}
	if (op->kind == OSH_MERGE_ADD_DENY && ep->access_text.n == 0 && ep->n_rules == 0) {
		osh_diag_err(run->diag, 0, 0,
			     "endpoint %.*s:%u has no base allow set; configure access or explicit "
			     "allow rules before adding deny rules",
			     OSH_CLIP(op->host), op->port);
		return -EBADMSG;
	}
	return 0;
}

int osh_merge_change_rules(struct osh_merge_run *run, const struct osh_merge_op *op)
{
	struct osh_arena *arena = &run->policy->arena;
	struct osh_endpoint *ep = NULL;
	int r = find_target(run, op, &ep);

	if (r == 0)
		r = check_target(run, op, ep);
	if (r < 0)
		return r;
	if (op->kind == OSH_MERGE_ADD_DENY)
		return add_rules(arena, &ep->deny_rules, &ep->n_deny_rules, op->rules, op->n_rules,
				 NULL);
	if (ep->access_text.n) {
		struct osh_str preset = ep->access_text;

		r = expand_access(arena, ep);
		if (r < 0)
			return r;
		osh_diag_warn(
			run->diag, 0, 0,
			"expanded access preset '%.*s' to explicit rules for endpoint %.*s:%u",
			OSH_CLIP(preset), OSH_CLIP(op->host), op->port);
	}
	return add_rules(arena, &ep->rules, &ep->n_rules, op->rules, op->n_rules, NULL);
}
