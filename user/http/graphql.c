/* SPDX-License-Identifier: MIT */
#include "http/graphql.h"

#include "http/body_json.h"
#include "http/gql_doc.h"

/* What one envelope says, before its document is read. */
struct envelope {
	struct osh_str query, op_name, hash, id; /* .p NULL: absent */
};

static int bad(const char **ret_error, const char *error)
{
	*ret_error = error;
	return -EBADMSG;
}

/* A member that must be a string if it is there; null is the same as absent. */
static int member(const struct osh_jval *obj, const char *key, struct osh_str *ret,
		  const char **ret_error)
{
	const struct osh_jval *v = osh_jval_get(obj, key);

	*ret = OSH_STR_NONE;
	if (!v || osh_jval_type(v) == OSH_JSON_NULL)
		return 0;
	if (osh_jval_type(v) != OSH_JSON_STR)
		return bad(ret_error, "a member of the envelope is not a string");
	*ret = osh_jval_str(v);
	return 0;
}

/* extensions.persistedQuery.sha256Hash */
static int take_extensions(const struct osh_jval *ext, struct envelope *env, const char **ret_error)
{
	const struct osh_jval *persisted;
	int r;

	if (!ext || osh_jval_type(ext) == OSH_JSON_NULL)
		return 0;
	if (osh_jval_type(ext) != OSH_JSON_OBJ)
		return bad(ret_error, "extensions is not an object");
	persisted = osh_jval_get(ext, "persistedQuery");
	if (!persisted || osh_jval_type(persisted) == OSH_JSON_NULL)
		return 0;
	if (osh_jval_type(persisted) != OSH_JSON_OBJ)
		return bad(ret_error, "persistedQuery is not an object");
	r = member(persisted, "sha256Hash", &env->hash, ret_error);
	if (r < 0)
		return r;
	return env->hash.n ? 0 : bad(ret_error, "persistedQuery without a hash");
}

/* The three spellings of a saved document's id; only one may be used. */
static const char *const id_keys[] = { "id", "documentId", "queryId" };

static int take_id(struct envelope *env, struct osh_str id, const char **ret_error)
{
	if (!id.p)
		return 0;
	if (!id.n)
		return bad(ret_error, "empty id of a saved query");
	if (env->id.p)
		return bad(ret_error, "more than one id of a saved query");
	env->id = id;
	return 0;
}

static int copy(struct osh_arena *arena, struct osh_str *s)
{
	if (!s->p)
		return 0;
	*s = osh_arena_str(arena, *s);
	return s->p ? 0 : -ENOMEM;
}

static int take_operation(struct envelope *env, struct osh_arena *arena, struct osh_gql_op *op,
			  const char **ret_error)
{
	int r;

	*op = (struct osh_gql_op){ .name = OSH_STR_NONE };
	if (env->query.n) {
		r = osh_gql_document(env->query, env->op_name, arena, op, ret_error);
		if (r < 0)
			return r;
	} else if (!env->hash.p && !env->id.p) {
		return bad(ret_error, "no query");
	} else if (env->op_name.n) {
		op->name = env->op_name;
		r = copy(arena, &op->name);
		if (r < 0)
			return r;
	}
	op->hash = env->hash;
	op->id = env->id;
	r = copy(arena, &op->hash);
	return r < 0 ? r : copy(arena, &op->id);
}

static int take_object(const struct osh_jval *obj, struct osh_arena *arena, struct osh_gql_op *op,
		       const char **ret_error)
{
	struct envelope env = { 0 };
	int r;

	if (osh_jval_type(obj) != OSH_JSON_OBJ)
		return bad(ret_error, "an operation is not an object");
	r = member(obj, "query", &env.query, ret_error);
	if (r == 0)
		r = member(obj, "operationName", &env.op_name, ret_error);
	if (r == 0)
		r = take_extensions(osh_jval_get(obj, "extensions"), &env, ret_error);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(id_keys) && r == 0; i++) {
		struct osh_str id;

		r = member(obj, id_keys[i], &id, ret_error);
		if (r == 0)
			r = take_id(&env, id, ret_error);
	}
	return r < 0 ? r : take_operation(&env, arena, op, ret_error);
}

static int take_body(struct osh_str body, bool batches, struct osh_arena *arena,
		     struct osh_graphql *ret, const char **ret_error)
{
	osh_auto_jval struct osh_jval *root = NULL;
	bool batch;
	struct osh_gql_op *ops;
	size_t n;
	int r;

	r = osh_body_json_parse(body, &root, ret_error);
	if (r < 0)
		return r;
	batch = osh_jval_type(root) == OSH_JSON_ARR;
	if (batch && !batches)
		return bad(ret_error, "a batch is not allowed here");
	n = batch ? osh_jval_len(root) : 1;
	if (!n || n > OSH_GQL_OPS_MAX)
		return bad(ret_error, n ? "too many operations" : "empty batch");
	ops = osh_arena_array(arena, n, sizeof(*ops));
	if (!ops)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		r = take_object(batch ? osh_jval_at(root, i) : root, arena, &ops[i], ret_error);
		if (r < 0)
			return r;
	}
	*ret = (struct osh_graphql){ ops, n };
	return 0;
}

static bool is_json_type(struct osh_str type)
{
	type = osh_str_trim(osh_str_sub(type, 0, osh_str_find(type, ';')));
	return !type.n || osh_str_ieq(type, OSH_STR("application/json")) ||
	       osh_str_ieq(type, OSH_STR("text/json")) ||
	       osh_str_ieq(type, OSH_STR("text/plain")) ||
	       (type.n > 5 && osh_str_ieq(osh_str_sub(type, type.n - 5, 5), OSH_STR("+json")));
}

/* The one value of a parameter; .p NULL: absent. -EBADMSG: given twice. */
static int param(const struct osh_query *query, const char *key, struct osh_str *ret,
		 const char **ret_error)
{
	*ret = OSH_STR_NONE;
	for (size_t i = 0; query && i < query->n; i++) {
		if (!osh_str_is(query->pairs[i].key, key))
			continue;
		if (ret->p)
			return bad(ret_error, "a parameter is given twice");
		*ret = query->pairs[i].value;
	}
	return 0;
}

static int take_get(const struct osh_query *query, struct osh_arena *arena, struct osh_graphql *ret,
		    const char **ret_error)
{
	osh_auto_jval struct osh_jval *ext = NULL;
	struct envelope env = { 0 };
	struct osh_gql_op *op;
	struct osh_str text;
	int r;

	r = param(query, "query", &env.query, ret_error);
	if (r == 0)
		r = param(query, "operationName", &env.op_name, ret_error);
	if (r == 0)
		r = param(query, "extensions", &text, ret_error);
	if (r == 0 && text.p)
		r = osh_body_json_parse(text, &ext, ret_error);
	if (r == 0)
		r = take_extensions(ext, &env, ret_error);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(id_keys) && r == 0; i++) {
		r = param(query, id_keys[i], &text, ret_error);
		if (r == 0)
			r = take_id(&env, text, ret_error);
	}
	if (r < 0)
		return r;
	op = osh_arena_alloc(arena, sizeof(*op));
	if (!op)
		return -ENOMEM;
	r = take_operation(&env, arena, op, ret_error);
	if (r < 0)
		return r;
	*ret = (struct osh_graphql){ op, 1 };
	return 0;
}

/* Servers exist that prefer the URL's parameters to the body's: then we would judge the wrong one. */
static int refuse_params(const struct osh_query *query, const char **ret_error)
{
	static const char *const keys[] = { "query", "operationName", "extensions",
					    "id",    "documentId",    "queryId" };

	for (size_t i = 0; query && i < query->n; i++)
		for (size_t k = 0; k < OSH_ARRAY_SIZE(keys); k++)
			if (osh_str_is(query->pairs[i].key, keys[k]))
				return bad(ret_error, "GraphQL parameters beside a body");
	return 0;
}

int osh_graphql_parse(const struct osh_graphql_input *in, struct osh_arena *arena,
		      struct osh_graphql *ret, const char **ret_error)
{
	int r;

	if (in->content_encoding.p && in->content_encoding.n &&
	    !osh_str_ieq(in->content_encoding, OSH_STR("identity")))
		return bad(ret_error, "encoded body");
	if (osh_str_is(in->method, "GET")) {
		if (in->body.n)
			return bad(ret_error, "GET with a body");
		return take_get(in->query, arena, ret, ret_error);
	}
	if (!osh_str_is(in->method, "POST"))
		return bad(ret_error, "only GET and POST carry GraphQL");
	if (in->content_type.p && !is_json_type(in->content_type))
		return bad(ret_error, "body is not declared as JSON");
	r = refuse_params(in->query, ret_error);
	return r < 0 ? r : take_body(in->body, true, arena, ret, ret_error);
}

int osh_graphql_parse_envelope(struct osh_str json, struct osh_arena *arena,
			       struct osh_graphql *ret, const char **ret_error)
{
	return take_body(json, false, arena, ret, ret_error);
}

const char *osh_gql_type_name(enum osh_gql_type type)
{
	switch (type) {
	case OSH_GQL_QUERY:
		return "query";
	case OSH_GQL_MUTATION:
		return "mutation";
	case OSH_GQL_SUBSCRIPTION:
		return "subscription";
	case OSH_GQL_PERSISTED:
		break;
	}
	return "";
}
