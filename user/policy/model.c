/* SPDX-License-Identifier: MIT */
#include "policy/model.h"

#include <stdlib.h>

#include "policy/build.h"
#include "policy/parse.h"
#include "policy/serialise.h"
#include "policy/validate.h"

struct osh_policy *osh_policy_new(void)
{
	struct osh_policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	osh_arena_init(&policy->arena, OSH_POLICY_ARENA_MAX_BYTES);
	policy->version = 1;
	policy->filesystem.include_workdir = true;
	policy->landlock.compatibility = OSH_STR("");
	policy->process.run_as_user = policy->process.run_as_group = OSH_STR("");
	return policy;
}

struct osh_policy *osh_policy_free(struct osh_policy *policy)
{
	if (!policy)
		return NULL;
	osh_arena_fini(&policy->arena);
	free(policy);
	return NULL;
}

int osh_policy_load(struct osh_str text, const char *filename, struct osh_policy **ret_policy,
		    struct osh_diag *diag)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	unsigned int errors = diag->errors;
	int r, v;

	if (filename)
		diag->file = filename;
	r = osh_policy_read(text, NULL, &policy, diag);
	if (!policy)
		return r == -EMSGSIZE ? -EBADMSG : r;
	v = osh_policy_validate(policy, diag);
	if (v == -ENOMEM)
		return v;
	/* Whatever the steps returned: nothing with an error against it is handed out. */
	if (r < 0 || v < 0 || diag->errors != errors)
		return -EBADMSG;
	*ret_policy = osh_take_ptr(&policy);
	return 0;
}

/* ---- deep copy ---- */

int osh_build_copy_str(struct osh_arena *arena, struct osh_str *s)
{
	struct osh_str copy;

	if (s->n == 0) {
		*s = OSH_STR("");
		return 0;
	}
	copy = osh_arena_str(arena, *s);
	if (!copy.p)
		return -ENOMEM;
	*s = copy;
	return 0;
}

/* A new array with the bytes of the old one; what its elements point to is renewed by the caller. */
static int copy_array(struct osh_arena *arena, void *array, size_t n, size_t size)
{
	void **old = array;
	void *copy;

	/* Arrays of places may be missing where what they are about is not. */
	if (n == 0 || !*old) {
		*old = NULL;
		return 0;
	}
	copy = osh_arena_array(arena, n, size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, *old, n * size);
	*old = copy;
	return 0;
}

static int copy_strs(struct osh_arena *arena, struct osh_strs *list)
{
	int r = copy_array(arena, &list->v, list->n, sizeof(*list->v));

	for (size_t i = 0; r == 0 && i < list->n; i++)
		r = osh_build_copy_str(arena, &list->v[i]);
	return r;
}

static int copy_matchers(struct osh_arena *arena, struct osh_keyed_matcher **v, size_t n)
{
	int r = copy_array(arena, v, n, sizeof(**v));

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = osh_build_copy_str(arena, &(*v)[i].key);
		if (r == 0)
			r = copy_strs(arena, &(*v)[i].m.globs);
	}
	return r;
}

/* Renew each of a NULL-terminated list of strings. */
static int copy_texts(struct osh_arena *arena, struct osh_str *const *texts)
{
	int r = 0;

	for (; r == 0 && *texts; texts++)
		r = osh_build_copy_str(arena, *texts);
	return r;
}

int osh_build_copy_rule(struct osh_arena *arena, struct osh_rule *rule)
{
	struct osh_str *const texts[] = { &rule->method,	 &rule->path,
					  &rule->command,	 &rule->operation_type,
					  &rule->operation_name, NULL };
	int r = copy_texts(arena, texts);

	if (r == 0)
		r = copy_matchers(arena, &rule->query, rule->n_query);
	if (r == 0)
		r = copy_matchers(arena, &rule->params, rule->n_params);
	if (r == 0)
		r = copy_strs(arena, &rule->fields);
	return r;
}

static int copy_rules(struct osh_arena *arena, struct osh_rule **v, size_t n)
{
	int r = copy_array(arena, v, n, sizeof(**v));

	for (size_t i = 0; r == 0 && i < n; i++)
		r = osh_build_copy_rule(arena, &(*v)[i]);
	return r;
}

static int copy_persisted(struct osh_arena *arena, struct osh_endpoint *ep)
{
	size_t n = ep->n_graphql_persisted_queries;
	int r = copy_array(arena, &ep->graphql_persisted_queries, n,
			   sizeof(*ep->graphql_persisted_queries));

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct osh_persisted_query *q = &ep->graphql_persisted_queries[i];
		struct osh_str *const texts[] = { &q->key, &q->operation_type, &q->operation_name,
						  NULL };

		r = copy_texts(arena, texts);
		if (r == 0)
			r = copy_strs(arena, &q->fields);
	}
	return r;
}

int osh_build_copy_endpoint(struct osh_arena *arena, struct osh_endpoint *ep)
{
	struct osh_str *const texts[] = { &ep->host,
					  &ep->path,
					  &ep->protocol_text,
					  &ep->tls_text,
					  &ep->enforcement_text,
					  &ep->access_text,
					  &ep->persisted_queries_text,
					  &ep->credential_signing_text,
					  &ep->signing_service,
					  &ep->signing_region,
					  &ep->credential_binding_provider,
					  NULL };
	int r = copy_texts(arena, texts);

	if (r == 0)
		r = copy_array(arena, &ep->ports, ep->n_ports, sizeof(*ep->ports));
	if (r == 0)
		r = copy_rules(arena, &ep->rules, ep->n_rules);
	if (r == 0)
		r = copy_rules(arena, &ep->deny_rules, ep->n_deny_rules);
	if (r == 0)
		r = copy_array(arena, &ep->allowed_ips_at, ep->allowed_ips.n,
			       sizeof(*ep->allowed_ips_at));
	if (r == 0)
		r = copy_strs(arena, &ep->allowed_ips);
	if (r == 0)
		r = copy_persisted(arena, ep);
	return r;
}

static int copy_entry(struct osh_arena *arena, struct osh_entry *entry)
{
	struct osh_str *const texts[] = { &entry->key, &entry->name, NULL };
	int r = copy_texts(arena, texts);

	if (r == 0)
		r = copy_array(arena, &entry->endpoints, entry->n_endpoints,
			       sizeof(*entry->endpoints));
	for (size_t i = 0; r == 0 && i < entry->n_endpoints; i++)
		r = osh_build_copy_endpoint(arena, &entry->endpoints[i]);
	if (r == 0)
		r = copy_array(arena, &entry->binaries, entry->n_binaries,
			       sizeof(*entry->binaries));
	for (size_t i = 0; r == 0 && i < entry->n_binaries; i++)
		r = osh_build_copy_str(arena, &entry->binaries[i].path);
	return r;
}

static int copy_middleware(struct osh_arena *arena, struct osh_middleware *mw)
{
	struct osh_str *const texts[] = { &mw->key,	      &mw->name,	&mw->middleware,
					  &mw->on_error_text, &mw->config_json, NULL };
	int r = copy_texts(arena, texts);

	if (r == 0)
		r = copy_strs(arena, &mw->include);
	if (r == 0)
		r = copy_strs(arena, &mw->exclude);
	return r;
}

static int copy_static(struct osh_arena *arena, struct osh_policy *p)
{
	struct osh_str *const texts[] = { &p->landlock.compatibility, &p->process.run_as_user,
					  &p->process.run_as_group, NULL };
	struct osh_policy_fs *fs = &p->filesystem;
	int r = copy_texts(arena, texts);

	if (r == 0)
		r = copy_array(arena, &fs->read_only_at, fs->read_only.n,
			       sizeof(*fs->read_only_at));
	if (r == 0)
		r = copy_array(arena, &fs->read_write_at, fs->read_write.n,
			       sizeof(*fs->read_write_at));
	if (r == 0)
		r = copy_strs(arena, &fs->read_only);
	if (r == 0)
		r = copy_strs(arena, &fs->read_write);
	return r;
}

int osh_policy_copy(const struct osh_policy *policy, struct osh_policy **ret_copy)
{
	osh_auto_policy struct osh_policy *copy = osh_policy_new();
	struct osh_arena arena;
	int r;

	if (!copy)
		return -ENOMEM;
	arena = copy->arena;
	*copy = *policy;
	copy->arena = arena;
	r = copy_static(&copy->arena, copy);
	if (r == 0)
		r = copy_array(&copy->arena, &copy->entries, copy->n_entries,
			       sizeof(*copy->entries));
	for (size_t i = 0; r == 0 && i < copy->n_entries; i++)
		r = copy_entry(&copy->arena, &copy->entries[i]);
	if (r == 0)
		r = copy_array(&copy->arena, &copy->middlewares, copy->n_middlewares,
			       sizeof(*copy->middlewares));
	for (size_t i = 0; r == 0 && i < copy->n_middlewares; i++)
		r = copy_middleware(&copy->arena, &copy->middlewares[i]);
	if (r < 0)
		return r;
	*ret_copy = osh_take_ptr(&copy);
	return 0;
}

/* ---- comparing ---- */

static int canonical(const struct osh_policy *policy, struct osh_buf *out)
{
	struct osh_json j;

	osh_json_init(&j, out, 0);
	osh_policy_to_json(policy, &j);
	return j.err;
}

bool osh_policy_eq(const struct osh_policy *a, const struct osh_policy *b)
{
	osh_auto_bufmem struct osh_buf ja, jb;

	osh_buf_init(&ja, OSH_POLICY_ARENA_MAX_BYTES, 0);
	osh_buf_init(&jb, OSH_POLICY_ARENA_MAX_BYTES, 0);
	if (canonical(a, &ja) < 0 || canonical(b, &jb) < 0)
		return false; /* out of memory: "changed" is the answer that does no harm */
	return osh_str_eq(osh_buf_str(&ja), osh_buf_str(&jb));
}

/* ---- words ---- */

const char *osh_protocol_name(enum osh_protocol protocol)
{
	static const char *const names[] = {
		[OSH_PROTO_NONE] = "",		 [OSH_PROTO_TCP] = "tcp",
		[OSH_PROTO_REST] = "rest",	 [OSH_PROTO_WEBSOCKET] = "websocket",
		[OSH_PROTO_GRAPHQL] = "graphql", [OSH_PROTO_JSON_RPC] = "json-rpc",
		[OSH_PROTO_MCP] = "mcp",	 [OSH_PROTO_SQL] = "sql",
	};

	return (size_t)protocol < OSH_ARRAY_SIZE(names) ? names[protocol] : "";
}

const char *osh_access_name(enum osh_access access)
{
	switch (access) {
	case OSH_ACCESS_READ_ONLY:
		return "read-only";
	case OSH_ACCESS_READ_WRITE:
		return "read-write";
	case OSH_ACCESS_FULL:
		return "full";
	default:
		return "";
	}
}

size_t osh_access_words(enum osh_access access, enum osh_protocol protocol,
			const char *const **ret_words)
{
	static const char *const rest[] = { "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH" };
	static const char *const websocket[] = { "GET", "WEBSOCKET_TEXT" };
	static const char *const graphql[] = { "query", "mutation" };
	static const char *const all[] = { "*" };

	*ret_words = NULL;
	if (protocol == OSH_PROTO_TCP || protocol == OSH_PROTO_JSON_RPC ||
	    protocol == OSH_PROTO_MCP)
		return 0;
	if (access == OSH_ACCESS_FULL) {
		*ret_words = all;
		return 1;
	}
	if (access != OSH_ACCESS_READ_ONLY && access != OSH_ACCESS_READ_WRITE)
		return 0;
	if (protocol == OSH_PROTO_WEBSOCKET) {
		*ret_words = websocket;
		return access == OSH_ACCESS_READ_ONLY ? 1 : 2;
	}
	if (protocol == OSH_PROTO_GRAPHQL) {
		*ret_words = graphql;
		return access == OSH_ACCESS_READ_ONLY ? 1 : 2;
	}
	*ret_words = rest;
	return access == OSH_ACCESS_READ_ONLY ? 3 : 6;
}

uint32_t osh_endpoint_graphql_max(const struct osh_endpoint *ep)
{
	return ep->graphql_max_body_bytes ? ep->graphql_max_body_bytes : OSH_POLICY_BODY_BYTES;
}

uint32_t osh_endpoint_rpc_max(const struct osh_endpoint *ep)
{
	uint32_t max = ep->protocol == OSH_PROTO_MCP ? ep->mcp_max_body_bytes
						     : ep->json_rpc_max_body_bytes;

	return max ? max : OSH_POLICY_BODY_BYTES;
}

static int cmp_key(const void *key, const void *entry)
{
	return osh_str_cmp(*(const struct osh_str *)key, ((const struct osh_entry *)entry)->key);
}

const struct osh_entry *osh_policy_entry(const struct osh_policy *policy, struct osh_str key)
{
	if (policy->n_entries == 0)
		return NULL;
	return bsearch(&key, policy->entries, policy->n_entries, sizeof(*policy->entries), cmp_key);
}
