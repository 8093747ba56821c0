/* SPDX-License-Identifier: MIT */
#include "policy/decide_match.h"

static bool has_nul(struct osh_str s)
{
	return s.n && memchr(s.p, '\0', s.n);
}

/*
 * One of the globs matches. No glob matches a text with NUL: harmless for an allow rule, but a deny
 * rule must not be escaped that way, so there such a text matches everything.
 */
static bool any_glob(const struct osh_image *img, struct img_span globs, struct osh_str text,
		     bool deny)
{
	if (deny && has_nul(text))
		return true;
	for (uint32_t i = 0; i < globs.count; i++)
		if (img_glob_match(img, *img_glob_ref(img, globs.first + i), text))
			return true;
	return false;
}

/* ---- method, path, query ---- */

void img_request_init(struct img_request *req, const struct osh_request_facts *facts)
{
	req->facts = facts;
	req->method = img_method_bit(facts->method);
	req->path_hash = img_hash(facts->path);
}

static bool method_matches(const struct osh_image *img, const struct img_rule *rule,
			   const struct img_request *req)
{
	if (rule->methods & IMG_M_ANY)
		return true;
	if (!(rule->methods & req->method))
		return false;
	return req->method != IMG_M_OTHER ||
	       osh_str_ieq(img_text(img, rule->method), req->facts->method);
}

static bool path_matches(const struct osh_image *img, const struct img_rule *rule,
			 const struct img_request *req)
{
	switch (rule->path_kind) {
	case IMG_PATH_ANY:
		return true;
	case IMG_PATH_LITERAL:
		return rule->path_hash == req->path_hash &&
		       osh_str_eq(img_text(img, rule->path), req->facts->path);
	case IMG_PATH_GLOB:
		return img_glob_match(img, rule->path_glob, req->facts->path);
	default:
		return false;
	}
}

/* Allow: present and every value matches. Deny: some value matches. */
static bool param_matches(const struct osh_image *img, const struct img_matcher *m,
			  const struct osh_query *query, bool deny)
{
	struct osh_str key = img_text(img, m->key);
	bool seen = false;

	for (size_t i = 0; query && i < query->n; i++) {
		bool ok;

		if (!osh_str_eq(query->pairs[i].key, key))
			continue;
		seen = true;
		ok = any_glob(img, m->globs, query->pairs[i].value, deny);
		if (ok == deny)
			return deny;
	}
	return seen && !deny;
}

static bool query_matches(const struct osh_image *img, const struct img_rule *rule,
			  const struct osh_query *query, bool deny)
{
	for (uint32_t i = 0; i < rule->query.count; i++)
		if (!param_matches(img, img_matcher(img, rule->query.first + i), query, deny))
			return false;
	return true;
}

bool img_rule_matches_http(const struct osh_image *img, const struct img_rule *rule,
			   const struct img_request *req, bool deny)
{
	return method_matches(img, rule, req) && path_matches(img, rule, req) &&
	       query_matches(img, rule, req->facts->query, deny);
}

uint32_t img_http_rule(const struct osh_image *img, const struct img_endpoint *ep,
		       const struct img_request *req, bool deny)
{
	struct img_span rules = deny ? ep->deny : ep->allow;
	uint32_t literals = deny ? ep->deny_literals : ep->allow_literals;
	uint32_t lo = 0, hi = literals;

	/* literal paths are sorted by hash: only those with this hash can match */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (img_rule(img, rules.first + mid)->path_hash < req->path_hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < literals; lo++) {
		const struct img_rule *rule = img_rule(img, rules.first + lo);

		if (rule->path_hash != req->path_hash)
			break;
		if (img_rule_matches_http(img, rule, req, deny))
			return rules.first + lo;
	}
	for (uint32_t i = literals; i < rules.count; i++)
		if (img_rule_matches_http(img, img_rule(img, rules.first + i), req, deny))
			return rules.first + i;
	return IMG_NONE;
}

/* ---- GraphQL ---- */

static const struct img_persisted *registered(const struct osh_image *img,
					      const struct img_endpoint *ep, struct osh_str key)
{
	uint32_t lo = 0, hi = ep->persisted.count;

	if (!key.p)
		return NULL;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct img_persisted *p = img_persisted(img, ep->persisted.first + mid);
		int r = osh_str_cmp(img_text(img, p->key), key);

		if (!r)
			return p;
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void img_operation_resolve(const struct osh_image *img, const struct img_endpoint *ep,
			   const struct osh_gql_op *op, struct img_operation *ret)
{
	static const uint32_t types[] = {
		[OSH_GQL_QUERY] = IMG_OP_QUERY,
		[OSH_GQL_MUTATION] = IMG_OP_MUTATION,
		[OSH_GQL_SUBSCRIPTION] = IMG_OP_SUBSCRIPTION,
	};
	const struct img_persisted *p = NULL;

	*ret = (struct img_operation){ .name = op->name,
				       .fields = op->fields,
				       .n_fields = op->n_fields };
	if (op->type != OSH_GQL_PERSISTED) {
		ret->type = (size_t)op->type < OSH_ARRAY_SIZE(types) ? types[op->type] : 0;
		return;
	}
	if (ep->flags & IMG_EP_PERSISTED) {
		/* the hash names the content, the id only a place: the hash wins and stands alone */
		p = op->hash.p ? registered(img, ep, op->hash) : registered(img, ep, op->id);
	}
	if (!p)
		return;
	ret->type = p->op_type;
	ret->is_registered = true;
	ret->registered = p->fields;
	ret->n_fields = p->fields.count;
	ret->name = p->name.len ? img_text(img, p->name) : OSH_STR_NONE;
}

static struct osh_str field_at(const struct osh_image *img, const struct img_operation *op,
			       size_t i)
{
	if (op->is_registered)
		return img_text(img, img_matcher(img, op->registered.first + (uint32_t)i)->key);
	return op->fields[i];
}

/* Allow: at least one field, and every one is listed. Deny: one is listed. */
static bool fields_match(const struct osh_image *img, const struct img_rule *rule,
			 const struct img_operation *op, bool deny)
{
	if (!rule->fields.count)
		return true;
	for (size_t i = 0; i < op->n_fields; i++)
		if (any_glob(img, rule->fields, field_at(img, op, i), deny) == deny)
			return deny;
	return op->n_fields && !deny;
}

static bool graphql_matches(const struct osh_image *img, const struct img_rule *rule,
			    const struct img_operation *op, bool deny)
{
	if (!(rule->op_types & op->type))
		return false;
	if (rule->name_glob != IMG_NONE) {
		/* an operation without a name escapes no deny rule and earns no grant by name */
		if (!op->name.p && !deny)
			return false;
		if (!(deny && has_nul(op->name)) &&
		    !img_glob_match(img, rule->name_glob, op->name.p ? op->name : OSH_STR("")))
			return false;
	}
	return fields_match(img, rule, op, deny);
}

uint32_t img_graphql_rule(const struct osh_image *img, const struct img_endpoint *ep,
			  const struct img_operation *op, bool deny)
{
	struct img_span rules = deny ? ep->deny : ep->allow;

	for (uint32_t i = 0; i < rules.count; i++)
		if (graphql_matches(img, img_rule(img, rules.first + i), op, deny))
			return rules.first + i;
	return IMG_NONE;
}

/* ---- JSON-RPC and MCP ---- */

/* The only parameter whose value is known here is the tool's name. */
static bool params_match(const struct osh_image *img, const struct img_rule *rule,
			 const struct osh_rpc_call *call, bool deny)
{
	for (uint32_t i = 0; i < rule->params.count; i++) {
		const struct img_matcher *m = img_matcher(img, rule->params.first + i);
		bool ok;

		if (osh_str_is(img_text(img, m->key), "name"))
			ok = call->tool.p && any_glob(img, m->globs, call->tool, deny);
		else
			ok = deny; /* not known: no grant, no escape */
		if (!ok)
			return false;
	}
	return true;
}

static bool mcp_matches(const struct osh_image *img, const struct img_rule *rule,
			const struct osh_rpc_call *call, bool deny)
{
	if (rule->method_glob == IMG_NONE) {
		/* `tool: x` alone speaks of tools/call */
		if (!rule->params.count || !osh_str_is(call->method, "tools/call"))
			return false;
	} else if (!(deny && has_nul(call->method)) &&
		   !img_glob_match(img, rule->method_glob, call->method)) {
		return false;
	}
	return params_match(img, rule, call, deny);
}

static bool rpc_matches(const struct osh_image *img, const struct img_rule *rule,
			const struct osh_rpc_call *call)
{
	if (rule->methods & IMG_M_ANY)
		return true;
	return rule->method.len && osh_str_eq(img_text(img, rule->method), call->method);
}

uint32_t img_rpc_rule(const struct osh_image *img, const struct img_endpoint *ep,
		      const struct osh_rpc_call *call, bool deny)
{
	struct img_span rules = deny ? ep->deny : ep->allow;

	for (uint32_t i = 0; i < rules.count; i++) {
		const struct img_rule *rule = img_rule(img, rules.first + i);

		if (ep->inspect == OSH_INSPECT_MCP ? mcp_matches(img, rule, call, deny)
						   : rpc_matches(img, rule, call))
			return rules.first + i;
	}
	return IMG_NONE;
}
