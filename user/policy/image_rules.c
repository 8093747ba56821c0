/* SPDX-License-Identifier: MIT */
#include "policy/image_build.h"

static const struct {
	const char *name;
	uint32_t bit;
} methods[] = {
	{ "GET", IMG_M_GET },	      { "HEAD", IMG_M_HEAD },
	{ "POST", IMG_M_POST },	      { "PUT", IMG_M_PUT },
	{ "DELETE", IMG_M_DELETE },   { "PATCH", IMG_M_PATCH },
	{ "OPTIONS", IMG_M_OPTIONS }, { "WEBSOCKET_TEXT", IMG_M_WS_TEXT },
};

uint32_t img_method_bit(struct osh_str method)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(methods); i++)
		if (osh_str_ieq(method, osh_str(methods[i].name)))
			return methods[i].bit;
	return IMG_M_OTHER;
}

/* One bit of enum img_op_type, IMG_OP_ALL for "*", 0 otherwise; case-insensitive. */
static uint32_t op_type(struct osh_str type)
{
	if (osh_str_is(type, "*"))
		return IMG_OP_ALL;
	if (osh_str_ieq(type, OSH_STR("query")))
		return IMG_OP_QUERY;
	if (osh_str_ieq(type, OSH_STR("mutation")))
		return IMG_OP_MUTATION;
	if (osh_str_ieq(type, OSH_STR("subscription")))
		return IMG_OP_SUBSCRIPTION;
	return 0;
}

/* What a rule's method covers. A rule for GET is also one for HEAD (D17), a rule without one for none. */
static uint32_t method_mask(struct osh_str method)
{
	uint32_t bit;

	if (!method.n)
		return 0;
	if (osh_str_is(method, "*"))
		return IMG_M_ANY;
	bit = img_method_bit(method);
	return bit == IMG_M_GET ? IMG_M_GET | IMG_M_HEAD : bit;
}

static int add_globs(struct img_build *b, const struct osh_strs *globs, struct img_span *ret)
{
	ret->first = img_build_count(b, IMG_GLOB_REFS);
	for (size_t i = 0; i < globs->n; i++) {
		uint32_t glob;
		int r = img_build_glob(b, OSH_GLOB_QUERY, globs->v[i], &glob);

		if (!r)
			r = img_build_add(b, IMG_GLOB_REFS, &glob);
		if (r < 0)
			return r;
	}
	ret->count = (uint32_t)globs->n;
	return 0;
}

static int add_matchers(struct img_build *b, const struct osh_keyed_matcher *list, size_t n,
			struct img_span *ret)
{
	ret->first = img_build_count(b, IMG_MATCHERS);
	for (size_t i = 0; i < n; i++) {
		struct img_matcher rec = { 0 };
		int r = img_build_text(b, list[i].key, &rec.key);

		if (!r)
			r = add_globs(b, &list[i].m.globs, &rec.globs);
		if (!r)
			r = img_build_add(b, IMG_MATCHERS, &rec);
		if (r < 0)
			return r;
	}
	ret->count = (uint32_t)n;
	return 0;
}

static int set_path(struct img_build *b, struct osh_str path, struct img_rule *rec)
{
	const uint64_t *prog;
	struct osh_str literal;
	int r;

	rec->path_kind = IMG_PATH_NEVER;
	if (!path.n)
		return 0;
	r = img_build_glob(b, OSH_GLOB_PATH, path, &rec->path_glob);
	if (r < 0)
		return r;
	prog = (const uint64_t *)(const void *)b->tab[IMG_PROG].data + rec->path_glob;
	if (osh_glob_is_any(prog)) {
		rec->path_kind = IMG_PATH_ANY;
	} else if (osh_glob_is_literal(prog)) {
		rec->path_kind = IMG_PATH_LITERAL;
		literal = osh_glob_prefix(prog);
		rec->path_hash = img_hash(literal);
		path = literal;
	} else {
		rec->path_kind = IMG_PATH_GLOB;
	}
	return img_build_text(b, path, &rec->path);
}

static int make_rule(struct img_build *b, const struct osh_endpoint *ep,
		     const struct osh_rule *rule, uint32_t index, struct img_rule *rec)
{
	bool mcp = ep->protocol == OSH_PROTO_MCP;
	int r;

	*rec = (struct img_rule){
		.index = index,
		.line = rule->at.line,
		.path_glob = IMG_NONE,
		.method_glob = IMG_NONE,
		.name_glob = IMG_NONE,
		.methods = method_mask(rule->method),
		.op_types = op_type(rule->operation_type),
	};
	r = img_build_text(b, rule->method, &rec->method);
	if (!r)
		r = set_path(b, rule->path, rec);
	if (!r)
		r = add_matchers(b, rule->query, rule->n_query, &rec->query);
	if (!r)
		r = add_globs(b, &rule->fields, &rec->fields);
	if (!r)
		r = add_matchers(b, rule->params, rule->n_params, &rec->params);
	if (!r && mcp && rule->method.n)
		r = img_build_glob(b, OSH_GLOB_QUERY, rule->method, &rec->method_glob);
	if (!r && rule->operation_name.n)
		r = img_build_glob(b, OSH_GLOB_QUERY, rule->operation_name, &rec->name_glob);
	return r;
}

/* A preset is one rule with path "**" that covers all its words. */
static int make_preset(struct img_build *b, const struct osh_endpoint *ep, struct img_rule *rec)
{
	const char *const *words = NULL;
	size_t n = osh_access_words(ep->access, ep->protocol, &words);

	*rec = (struct img_rule){
		.line = ep->access_at.line,
		.path_glob = IMG_NONE,
		.method_glob = IMG_NONE,
		.name_glob = IMG_NONE,
		.path_kind = IMG_PATH_ANY,
	};
	for (size_t i = 0; i < n; i++) {
		if (ep->protocol == OSH_PROTO_GRAPHQL)
			rec->op_types |= op_type(osh_str(words[i]));
		else
			rec->methods |= method_mask(osh_str(words[i]));
	}
	return img_build_text(b, OSH_STR(""), &rec->method);
}

static int compare_rules(const void *a, const void *b)
{
	const struct img_rule *x = a, *y = b;
	bool xlit = x->path_kind == IMG_PATH_LITERAL, ylit = y->path_kind == IMG_PATH_LITERAL;

	if (xlit != ylit)
		return xlit ? -1 : 1;
	if (xlit && x->path_hash != y->path_hash)
		return x->path_hash < y->path_hash ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int add_rules(struct img_build *b, const struct osh_endpoint *ep,
		     const struct osh_rule *rules, size_t n, struct img_span *ret,
		     uint32_t *ret_literals)
{
	osh_auto_free struct img_rule *recs = NULL;
	int r = 0;

	if (!n)
		return 0;
	recs = calloc(n, sizeof(*recs));
	if (!recs)
		return -ENOMEM;
	for (size_t i = 0; !r && i < n; i++)
		r = make_rule(b, ep, &rules[i], (uint32_t)i, &recs[i]);
	if (r < 0)
		return r;
	qsort(recs, n, sizeof(*recs), compare_rules);
	*ret = (struct img_span){ img_build_count(b, IMG_RULES), (uint32_t)n };
	for (size_t i = 0; !r && i < n; i++) {
		*ret_literals += recs[i].path_kind == IMG_PATH_LITERAL;
		r = img_build_add(b, IMG_RULES, &recs[i]);
	}
	return r;
}

static int add_persisted(struct img_build *b, const struct osh_endpoint *ep, struct img_span *ret)
{
	osh_auto_free struct img_persisted *recs = NULL;
	size_t n = ep->n_graphql_persisted_queries;
	int r = 0;

	if (!n)
		return 0;
	recs = calloc(n, sizeof(*recs));
	if (!recs)
		return -ENOMEM;
	for (size_t i = 0; !r && i < n; i++) {
		const struct osh_persisted_query *q = &ep->graphql_persisted_queries[i];

		recs[i].op_type = op_type(q->operation_type);
		recs[i].fields.first = img_build_count(b, IMG_MATCHERS);
		recs[i].fields.count = (uint32_t)q->fields.n;
		for (size_t k = 0; !r && k < q->fields.n; k++) {
			struct img_matcher name = { 0 };

			r = img_build_text(b, q->fields.v[k], &name.key);
			if (!r)
				r = img_build_add(b, IMG_MATCHERS, &name);
		}
		if (!r)
			r = img_build_text(b, q->key, &recs[i].key);
		if (!r)
			r = img_build_text(b, q->operation_name, &recs[i].name);
	}
	*ret = (struct img_span){ img_build_count(b, IMG_PERSISTED), (uint32_t)n };
	for (size_t i = 0; !r && i < n; i++)
		r = img_build_add(b, IMG_PERSISTED, &recs[i]);
	return r;
}

int img_build_rules(struct img_build *b, const struct osh_endpoint *ep, struct img_endpoint *rec)
{
	int r;

	if (ep->n_rules) {
		r = add_rules(b, ep, ep->rules, ep->n_rules, &rec->allow, &rec->allow_literals);
	} else {
		struct img_rule preset;

		r = make_preset(b, ep, &preset);
		if (!r && (preset.methods || preset.op_types)) {
			rec->allow = (struct img_span){ img_build_count(b, IMG_RULES), 1 };
			r = img_build_add(b, IMG_RULES, &preset);
		}
	}
	if (!r)
		r = add_rules(b, ep, ep->deny_rules, ep->n_deny_rules, &rec->deny,
			      &rec->deny_literals);
	if (!r)
		r = add_persisted(b, ep, &rec->persisted);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ep->n_rules; i++) {
		rec->flags |= ep->rules[i].n_params ? IMG_EP_MCP_TOOL_RULES : 0;
		if (ep->protocol == OSH_PROTO_WEBSOCKET && ep->rules[i].operation_type.n)
			rec->flags |= IMG_EP_WS_GRAPHQL;
	}
	for (size_t i = 0; i < ep->n_deny_rules; i++)
		if (ep->protocol == OSH_PROTO_WEBSOCKET && ep->deny_rules[i].operation_type.n)
			rec->flags |= IMG_EP_WS_GRAPHQL;
	return 0;
}
