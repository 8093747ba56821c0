/* SPDX-License-Identifier: MIT */
/*
 * Adding an endpoint to a policy. The danger is not in what is asked for but in what comes along: an
 * entry pairs every one of its binaries with every one of its endpoints, so putting one more of
 * either into an entry can grant pairs that nobody named. Such a merge is refused; when the entry
 * was only found, not named, the addition becomes an entry of its own.
 */
#include <stdlib.h>

#include "policy/addr.h"
#include "policy/merge_int.h"

/* ---- the proposal alone ---- */

static int refuse_host(struct osh_merge_run *run, struct osh_str host, const char *how)
{
	osh_diag_err(run->diag, 0, 0,
		     "proposed rule endpoint host '%.*s' %s; the proxy will deny traffic to this "
		     "destination regardless of policy",
		     OSH_CLIP(host), how);
	return -EBADMSG;
}

static int check_proposal(struct osh_merge_run *run, const struct osh_merge_op *op)
{
	struct osh_str host = op->endpoint.host;
	struct osh_addr addr;

	if (osh_str_has_prefix(op->rule, OSH_STR("_provider_"))) {
		osh_diag_err(run->diag, 0, 0,
			     "rule name '%.*s' uses reserved '_provider_' prefix; choose another "
			     "name",
			     OSH_CLIP(op->rule));
		return -EBADMSG;
	}
	if (osh_addr_parse(host, &addr) == 0 && osh_addr_classify(&addr) == OSH_ADDR_ALWAYS_BLOCKED)
		return refuse_host(
			run, host,
			"is an always-blocked address (loopback/link-local/unspecified)");
	if (osh_host_is_localhost(host))
		return refuse_host(run, host, "is always blocked (this host)");
	if (osh_host_is_metadata_name(host))
		return refuse_host(run, host, "is always blocked (cloud metadata service)");
	for (size_t i = 0; i < op->endpoint.allowed_ips.n; i++) {
		struct osh_str entry = op->endpoint.allowed_ips.v[i];
		struct osh_cidr cidr;

		if (osh_allowed_ip_parse(entry, &cidr, NULL) != -EPERM)
			continue;
		osh_diag_err(
			run->diag, 0, 0,
			"proposed rule contains always-blocked `allowed_ips` entry '%.*s'; SSRF "
			"hardening prevents traffic to these destinations regardless of policy",
			OSH_CLIP(entry));
		return -EBADMSG;
	}
	return 0;
}

/* ---- guards ---- */

struct plan {
	struct osh_merge_run *run;
	const struct osh_merge_op *op;
	struct osh_endpoint in; /* in the policy's arena */
	const struct osh_entry *old;
	struct osh_entry merged;
	size_t at; /* index of the endpoint that took @in */
	bool changed;
	struct osh_diag warn; /* what to say if the plan is carried out */
	struct osh_buf why; /* what stands against it */
};

static int add_ports(struct osh_buf *out, const struct osh_endpoint *ep,
		     const struct osh_endpoint *except)
{
	bool first = true;
	int r = osh_buf_add_c(out, '[');

	for (size_t i = 0; r == 0 && i < ep->n_ports; i++) {
		if (except && osh_merge_has_port(except, ep->ports[i]))
			continue;
		r = osh_buf_printf(out, "%s%u", first ? "" : ", ", ep->ports[i]);
		first = false;
	}
	return r < 0 ? r : osh_buf_add_c(out, ']');
}

/* @why is the message without its last part; -EPERM unless memory ran out. */
static int against(struct plan *p, const struct osh_endpoint *ep, const struct osh_endpoint *except,
		   const char *before, const char *after)
{
	int r = osh_buf_printf(&p->why,
			       "merge operation %zu add-rule '%.*s' would %s for %.*s on %s",
			       p->run->number, OSH_CLIP(p->op->rule), before, OSH_CLIP(ep->host),
			       except ? "undeclared ports " : "ports ");

	if (r == 0)
		r = add_ports(&p->why, ep, except);
	if (r == 0)
		r = osh_buf_printf(&p->why, "%s", after);
	return r < 0 ? -ENOMEM : -EPERM;
}

static bool declares_binary(const struct osh_merge_op *op, struct osh_str path)
{
	for (size_t i = 0; i < op->binaries.n; i++)
		if (osh_str_eq(op->binaries.v[i], path))
			return true;
	return false;
}

static bool entry_has_binary(const struct osh_entry *entry, struct osh_str path)
{
	for (size_t i = 0; i < entry->n_binaries; i++)
		if (osh_str_eq(entry->binaries[i].path, path))
			return true;
	return false;
}

static bool holds(struct osh_str declared, struct osh_str actual)
{
	return declared.n == 0 || osh_str_eq(declared, actual);
}

static bool all_declared(const struct osh_strs *list, const struct osh_strs *declared)
{
	for (size_t i = 0; i < list->n; i++) {
		bool seen = false;

		for (size_t k = 0; k < declared->n && !seen; k++)
			seen = osh_str_eq(list->v[i], declared->v[k]);
		if (!seen)
			return false;
	}
	return true;
}

/*
 * Does the addition itself ask for all that @ep gives? It must name the host, the path and every
 * port; what it says about inspection must be so; and it must have asked for whatever the endpoint
 * grants beyond plain traffic. (Inspection it did not ask for only narrows what it gets.)
 */
static bool is_declared(const struct osh_endpoint *in, const struct osh_endpoint *ep)
{
	if (!osh_str_ieq(in->host, ep->host) || !osh_str_eq(in->path, ep->path))
		return false;
	for (size_t i = 0; i < ep->n_ports; i++)
		if (!osh_merge_has_port(in, ep->ports[i]))
			return false;
	if (ep->tls == OSH_TLS_SKIP && in->tls != OSH_TLS_SKIP && in->protocol_text.n)
		return false;
	return holds(in->protocol_text, ep->protocol_text) &&
	       holds(in->access_text, ep->access_text) &&
	       holds(in->enforcement_text, ep->enforcement_text) &&
	       holds(in->tls_text, ep->tls_text) &&
	       all_declared(&ep->allowed_ips, &in->allowed_ips) &&
	       (in->allow_encoded_slash || !ep->allow_encoded_slash) &&
	       (in->websocket_credential_rewrite || !ep->websocket_credential_rewrite) &&
	       (in->request_body_credential_rewrite || !ep->request_body_credential_rewrite) &&
	       (in->allow_uninspected_credentials || !ep->allow_uninspected_credentials) &&
	       !ep->credential_signing_text.n && !ep->has_credential_binding;
}

/* A binary that joins the entry gets all of its endpoints. */
static int guard_new_binaries(struct plan *p)
{
	bool any = false;

	for (size_t i = 0; i < p->op->binaries.n && !any; i++)
		any = !entry_has_binary(p->old, p->op->binaries.v[i]);
	for (size_t i = 0; any && i < p->merged.n_endpoints; i++)
		if (!is_declared(&p->in, &p->merged.endpoints[i]))
			return against(p, &p->merged.endpoints[i], NULL,
				       "grant new binaries undeclared authorization",
				       "; declare the endpoint exactly as it is, or use another "
				       "--rule-name");
	return 0;
}

/* The binaries that are in the entry get what is new in it. */
static int guard_old_binaries(struct plan *p)
{
	osh_auto_bufmem struct osh_buf missing;
	int r = 0;

	osh_buf_init(&missing, 4096, 0);
	if (!p->changed)
		return 0;
	for (size_t i = 0; r == 0 && i < p->old->n_binaries; i++)
		if (!declares_binary(p->op, p->old->binaries[i].path))
			r = osh_buf_printf(&missing, "%s%.*s", missing.len ? ", " : "",
					   OSH_CLIP(p->old->binaries[i].path));
	if (r == -ENOMEM)
		return r;
	if (missing.len == 0)
		return 0;
	r = against(p, &p->in, NULL, "grant existing binaries new or changed authorization",
		    "; also declare ");
	if (r == -EPERM && osh_buf_add_str(&p->why, osh_buf_str(&missing)) == -ENOMEM)
		return -ENOMEM;
	return r;
}

/* A change of an endpoint acts on all of its ports. */
static int guard_ports(struct plan *p, const struct osh_endpoint *before)
{
	for (size_t i = 0; p->changed && i < before->n_ports; i++)
		if (!osh_merge_has_port(&p->in, before->ports[i]))
			return against(p, before, &p->in, "change authorization",
				       "; declare every port of the endpoint it modifies");
	return 0;
}

static int guard_mcp(struct plan *p, const struct osh_endpoint *before)
{
	const struct osh_endpoint *in = &p->in;

	if (in->protocol_text.n == 0 || osh_str_eq(in->protocol_text, before->protocol_text) ||
	    (in->protocol != OSH_PROTO_MCP && before->protocol != OSH_PROTO_MCP))
		return 0;
	return osh_buf_printf(
		       &p->why,
		       "merge operation %zu cannot combine MCP contracts at %.*s:%u: existing "
		       "%.*s, incoming %.*s",
		       p->run->number, OSH_CLIP(in->host), in->ports[0],
		       OSH_CLIP(before->protocol_text.n ? before->protocol_text : OSH_STR("none")),
		       OSH_CLIP(in->protocol_text)) < 0
		       ? -ENOMEM
		       : -EPERM;
}

/* ---- the merged entry ---- */

static size_t find_endpoint(const struct osh_entry *entry, const struct osh_endpoint *in)
{
	for (size_t i = 0; i < entry->n_endpoints; i++)
		if (osh_str_ieq(entry->endpoints[i].host, in->host) &&
		    osh_str_eq(entry->endpoints[i].path, in->path) &&
		    osh_merge_shares_port(&entry->endpoints[i], in))
			return i;
	return entry->n_endpoints;
}

static int merge_binaries(struct plan *p)
{
	struct osh_arena *arena = &p->run->policy->arena;
	size_t n = p->old->n_binaries;
	struct osh_binary *v = osh_arena_array(arena, n + p->op->binaries.n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	if (n)
		memcpy(v, p->old->binaries, n * sizeof(*v));
	for (size_t i = 0; i < p->op->binaries.n; i++) {
		struct osh_str path = p->op->binaries.v[i];

		if (entry_has_binary(p->old, path))
			continue;
		if (osh_build_copy_str(arena, &path) < 0)
			return -ENOMEM;
		v[n++] = (struct osh_binary){ .path = path, .scope = OSH_SCOPE_DESCENDANTS };
	}
	p->merged.binaries = n ? v : NULL;
	p->merged.n_binaries = n;
	return 0;
}

/* Work out what @old would become. -EPERM: the guards refuse it, p->why says why. */
static int plan_merge(struct plan *p)
{
	struct osh_arena *arena = &p->run->policy->arena;
	size_t n = p->old->n_endpoints;
	struct osh_endpoint *v = osh_arena_array(arena, n + 1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	if (n)
		memcpy(v, p->old->endpoints, n * sizeof(*v));
	p->at = find_endpoint(p->old, &p->in);
	p->merged = *p->old;
	p->merged.endpoints = v;
	if (p->at == n) {
		v[n] = p->in;
		p->merged.n_endpoints = n + 1;
		p->changed = true;
	} else {
		r = osh_merge_endpoint(arena, &v[p->at], &p->in, &p->warn, &p->changed);
		/* A preset that stands for nothing cannot be expanded into rules. */
		if (r == -EINVAL &&
		    osh_buf_printf(&p->why,
				   "endpoint %.*s:%u uses unsupported access preset "
				   "'%.*s'",
				   OSH_CLIP(p->in.host), p->in.ports[0],
				   OSH_CLIP(v[p->at].access_text)) == 0)
			return -EPERM;
		if (r == 0)
			r = guard_mcp(p, &p->old->endpoints[p->at]);
		if (r == 0)
			r = guard_ports(p, &p->old->endpoints[p->at]);
		if (r < 0)
			return r == -EINVAL ? -ENOMEM : r;
	}
	r = merge_binaries(p);
	if (r == 0)
		r = guard_old_binaries(p);
	return r < 0 ? r : guard_new_binaries(p);
}

/* ---- where it goes ---- */

static struct osh_entry *find_key(struct osh_policy *policy, struct osh_str key)
{
	for (size_t i = 0; i < policy->n_entries; i++)
		if (osh_str_eq(policy->entries[i].key, key))
			return &policy->entries[i];
	return NULL;
}

static struct osh_entry *find_overlap(struct osh_policy *policy, const struct osh_endpoint *in)
{
	for (size_t i = 0; i < policy->n_entries; i++) {
		struct osh_entry *entry = &policy->entries[i];

		if (!osh_str_has_prefix(entry->key, OSH_STR("_provider_")) &&
		    find_endpoint(entry, in) < entry->n_endpoints)
			return entry;
	}
	return NULL;
}

static int insert(struct plan *p)
{
	struct osh_policy *policy = p->run->policy;
	struct osh_entry *v = osh_arena_array(&policy->arena, policy->n_entries + 1, sizeof(*v));
	struct osh_entry *entry;
	struct osh_str key = p->op->rule;
	int r;

	if (!v || osh_build_copy_str(&policy->arena, &key) < 0)
		return -ENOMEM;
	if (policy->n_entries)
		memcpy(v, policy->entries, policy->n_entries * sizeof(*v));
	p->merged = (struct osh_entry){ .key = key, .name = key };
	p->old = &p->merged;
	p->merged.endpoints = osh_arena_array(&policy->arena, 1, sizeof(*p->merged.endpoints));
	if (!p->merged.endpoints)
		return -ENOMEM;
	p->merged.endpoints[0] = p->in;
	p->merged.n_endpoints = 1;
	r = merge_binaries(p);
	if (r < 0)
		return r;
	entry = &v[policy->n_entries];
	*entry = p->merged;
	policy->entries = v;
	policy->n_entries++;
	osh_build_sort_entries(v, policy->n_entries);
	return 0;
}

static void pass_on(struct plan *p)
{
	for (size_t i = 0; i < p->warn.count; i++)
		osh_diag_warn(p->run->diag, 0, 0, "%s", p->warn.msgs[i].text);
}

/* ---- inspection contracts ---- */

static bool is_inspected(const struct osh_endpoint *ep)
{
	return ep->protocol_text.n && ep->protocol != OSH_PROTO_TCP;
}

static bool same_contract(const struct osh_endpoint *a, const struct osh_endpoint *b)
{
	return a->protocol == b->protocol && osh_str_eq(a->path, b->path) &&
	       a->mcp_strict_tool_names == b->mcp_strict_tool_names &&
	       a->mcp_allow_all_known_methods == b->mcp_allow_all_known_methods &&
	       osh_endpoint_rpc_max(a) == osh_endpoint_rpc_max(b);
}

/* MCP keeps state per host and port: nothing else may be inspected there. */
static int check_contracts(struct osh_merge_run *run, const struct osh_endpoint *in)
{
	const struct osh_endpoint *first = NULL;

	for (size_t i = 0; i < run->policy->n_entries; i++) {
		const struct osh_entry *entry = &run->policy->entries[i];

		for (size_t k = 0; k < entry->n_endpoints; k++) {
			const struct osh_endpoint *ep = &entry->endpoints[k];

			if (!is_inspected(ep) || !osh_str_ieq(ep->host, in->host) ||
			    !osh_merge_shares_port(ep, in))
				continue;
			if (first &&
			    (first->protocol == OSH_PROTO_MCP || ep->protocol == OSH_PROTO_MCP) &&
			    !same_contract(first, ep)) {
				osh_diag_err(
					run->diag, 0, 0,
					"%.*s:%u would carry more than one L7 inspection contract "
					"(%.*s, %.*s); the sandbox resolves one contract per host "
					"and port, so these cannot coexist even in different "
					"rules or under different paths",
					OSH_CLIP(in->host), in->ports[0],
					OSH_CLIP(first->protocol_text),
					OSH_CLIP(ep->protocol_text));
				return -EBADMSG;
			}
			first = first ? first : ep;
		}
	}
	return 0;
}

/* ---- the operation ---- */

static int place(struct plan *p)
{
	struct osh_entry *named = find_key(p->run->policy, p->op->rule);
	struct osh_entry *entry = named ? named : find_overlap(p->run->policy, &p->in);
	int r;

	if (!entry)
		return insert(p);
	p->old = entry;
	r = plan_merge(p);
	if (r == 0) {
		*entry = p->merged;
		pass_on(p);
		return 0;
	}
	if (r != -EPERM)
		return r;
	if (named) {
		osh_diag_err(p->run->diag, 0, 0, "%s", p->why.data);
		return -EBADMSG;
	}
	osh_diag_warn(p->run->diag, 0, 0,
		      "kept add-rule '%.*s' on its own rule instead of folding it into overlapping "
		      "rule '%.*s': %s",
		      OSH_CLIP(p->op->rule), OSH_CLIP(entry->key), p->why.data);
	return insert(p);
}

int osh_merge_add_endpoint(struct osh_merge_run *run, const struct osh_merge_op *op)
{
	struct plan p = { .run = run, .op = op, .in = op->endpoint };
	int r = check_proposal(run, op);

	if (r < 0)
		return r;
	r = osh_build_copy_endpoint(&run->policy->arena, &p.in);
	if (r < 0)
		return r;
	osh_diag_init(&p.warn, NULL);
	osh_buf_init(&p.why, 8192, 0);
	r = place(&p);
	osh_diag_fini(&p.warn);
	osh_buf_fini(&p.why);
	return r < 0 ? r : check_contracts(run, &op->endpoint);
}
