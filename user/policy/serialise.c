/* SPDX-License-Identifier: MIT */
/*
 * One walk over the model writes JSON; YAML is that JSON laid out in block style, and the hash is
 * taken over the JSON. So the three can never disagree about what a policy says.
 */
#include "policy/serialise.h"

#include <stdio.h>

#include "policy/build.h"
#include "policy/yamlout.h"

/* Absent and default fields are left out by these. */
static void text(struct osh_json *j, const char *key, struct osh_str s)
{
	if (s.n)
		osh_json_kstr(j, key, s);
}

static void number(struct osh_json *j, const char *key, uint32_t v)
{
	if (v)
		osh_json_ku64(j, key, v);
}

static void flag(struct osh_json *j, const char *key, bool v)
{
	if (v)
		osh_json_kbool(j, key, v);
}

static void texts(struct osh_json *j, const char *key, const struct osh_strs *list)
{
	if (!list->n)
		return;
	osh_json_key(j, key);
	osh_json_arr(j);
	for (size_t i = 0; i < list->n; i++)
		osh_json_str(j, list->v[i]);
	osh_json_arr_end(j);
}

/* A mapping key from the document: bounded by the node reader, without NUL. */
static void key_of(struct osh_json *j, struct osh_str s)
{
	char key[OSH_NODE_MAX_KEY_BYTES + 1];

	if (s.n > OSH_NODE_MAX_KEY_BYTES) {
		j->err = j->err ? j->err : -EMSGSIZE;
		return;
	}
	memcpy(key, s.p, s.n);
	key[s.n] = '\0';
	osh_json_key(j, key);
}

static void matcher(struct osh_json *j, const struct osh_matcher *m)
{
	if (m->any) {
		osh_json_obj(j);
		osh_json_key(j, "any");
		osh_json_arr(j);
		for (size_t i = 0; i < m->globs.n; i++)
			osh_json_str(j, m->globs.v[i]);
		osh_json_arr_end(j);
		osh_json_obj_end(j);
	} else {
		osh_json_str(j, m->globs.n ? m->globs.v[0] : OSH_STR(""));
	}
}

static void matchers(struct osh_json *j, const char *key, const struct osh_keyed_matcher *v,
		     size_t n)
{
	if (!n)
		return;
	osh_json_key(j, key);
	osh_json_obj(j);
	for (size_t i = 0; i < n; i++) {
		key_of(j, v[i].key);
		matcher(j, &v[i].m);
	}
	osh_json_obj_end(j);
}

/* "tool" is how people write params.name. */
static void params(struct osh_json *j, const struct osh_rule *rule)
{
	size_t others = rule->n_params;

	for (size_t i = 0; i < rule->n_params; i++) {
		if (!osh_str_is(rule->params[i].key, "name"))
			continue;
		osh_json_key(j, "tool");
		matcher(j, &rule->params[i].m);
		others--;
	}
	if (!others)
		return;
	osh_json_key(j, "params");
	osh_json_obj(j);
	for (size_t i = 0; i < rule->n_params; i++) {
		if (osh_str_is(rule->params[i].key, "name"))
			continue;
		key_of(j, rule->params[i].key);
		matcher(j, &rule->params[i].m);
	}
	osh_json_obj_end(j);
}

static void rule_fields(struct osh_json *j, const struct osh_rule *rule)
{
	osh_json_obj(j);
	text(j, "method", rule->method);
	text(j, "path", rule->path);
	text(j, "command", rule->command);
	matchers(j, "query", rule->query, rule->n_query);
	text(j, "operation_type", rule->operation_type);
	text(j, "operation_name", rule->operation_name);
	texts(j, "fields", &rule->fields);
	params(j, rule);
	osh_json_obj_end(j);
}

static void rules(struct osh_json *j, const struct osh_endpoint *ep)
{
	if (ep->n_rules) {
		osh_json_key(j, "rules");
		osh_json_arr(j);
		for (size_t i = 0; i < ep->n_rules; i++) {
			osh_json_obj(j);
			osh_json_key(j, "allow");
			rule_fields(j, &ep->rules[i]);
			osh_json_obj_end(j);
		}
		osh_json_arr_end(j);
	}
	if (ep->n_deny_rules) {
		osh_json_key(j, "deny_rules");
		osh_json_arr(j);
		for (size_t i = 0; i < ep->n_deny_rules; i++)
			rule_fields(j, &ep->deny_rules[i]);
		osh_json_arr_end(j);
	}
}

static void ports(struct osh_json *j, const struct osh_endpoint *ep)
{
	if (ep->n_ports == 1)
		osh_json_ku64(j, "port", ep->ports[0]);
	if (ep->n_ports < 2)
		return;
	osh_json_key(j, "ports");
	osh_json_arr(j);
	for (size_t i = 0; i < ep->n_ports; i++)
		osh_json_u64(j, ep->ports[i]);
	osh_json_arr_end(j);
}

static void persisted(struct osh_json *j, const struct osh_endpoint *ep)
{
	if (!ep->n_graphql_persisted_queries)
		return;
	osh_json_key(j, "graphql_persisted_queries");
	osh_json_obj(j);
	for (size_t i = 0; i < ep->n_graphql_persisted_queries; i++) {
		const struct osh_persisted_query *q = &ep->graphql_persisted_queries[i];

		key_of(j, q->key);
		osh_json_obj(j);
		text(j, "operation_type", q->operation_type);
		text(j, "operation_name", q->operation_name);
		texts(j, "fields", &q->fields);
		osh_json_obj_end(j);
	}
	osh_json_obj_end(j);
}

static void rpc(struct osh_json *j, const struct osh_endpoint *ep)
{
	if (ep->has_json_rpc) {
		osh_json_key(j, "json_rpc");
		osh_json_obj(j);
		number(j, "max_body_bytes", ep->json_rpc_max_body_bytes);
		osh_json_obj_end(j);
	}
	if (ep->has_mcp) {
		osh_json_key(j, "mcp");
		osh_json_obj(j);
		number(j, "max_body_bytes", ep->mcp_max_body_bytes);
		if (!ep->mcp_strict_tool_names)
			osh_json_kbool(j, "strict_tool_names", false);
		flag(j, "allow_all_known_mcp_methods", ep->mcp_allow_all_known_methods);
		osh_json_obj_end(j);
	}
}

static void endpoint(struct osh_json *j, const struct osh_endpoint *ep)
{
	osh_json_obj(j);
	text(j, "host", ep->host);
	ports(j, ep);
	text(j, "path", ep->path);
	text(j, "protocol", ep->protocol_text);
	text(j, "tls", ep->tls_text);
	text(j, "enforcement", ep->enforcement_text);
	text(j, "access", ep->access_text);
	rules(j, ep);
	texts(j, "allowed_ips", &ep->allowed_ips);
	flag(j, "allow_encoded_slash", ep->allow_encoded_slash);
	flag(j, "websocket_credential_rewrite", ep->websocket_credential_rewrite);
	flag(j, "request_body_credential_rewrite", ep->request_body_credential_rewrite);
	flag(j, "allow_uninspected_credentials", ep->allow_uninspected_credentials);
	text(j, "persisted_queries", ep->persisted_queries_text);
	persisted(j, ep);
	number(j, "graphql_max_body_bytes", ep->graphql_max_body_bytes);
	text(j, "credential_signing", ep->credential_signing_text);
	text(j, "signing_service", ep->signing_service);
	text(j, "signing_region", ep->signing_region);
	if (ep->has_credential_binding) {
		osh_json_key(j, "credential_binding");
		osh_json_obj(j);
		osh_json_kstr(j, "provider", ep->credential_binding_provider);
		osh_json_obj_end(j);
	}
	rpc(j, ep);
	osh_json_obj_end(j);
}

static void binary(struct osh_json *j, const struct osh_binary *b)
{
	osh_json_obj(j);
	osh_json_kstr(j, "path", b->path);
	flag(j, "harness", b->harness);
	if (b->scope == OSH_SCOPE_EXACT)
		osh_json_kz(j, "scope", "exact");
	if (b->has_sha256) {
		char hex[2 * sizeof(b->sha256) + 1];

		osh_hex(hex, b->sha256, sizeof(b->sha256));
		osh_json_kz(j, "sha256", hex);
	}
	osh_json_obj_end(j);
}

static void entry(struct osh_json *j, const struct osh_entry *e)
{
	osh_json_obj(j);
	if (!osh_str_eq(e->name, e->key))
		text(j, "name", e->name);
	if (e->n_endpoints) {
		osh_json_key(j, "endpoints");
		osh_json_arr(j);
		for (size_t i = 0; i < e->n_endpoints; i++)
			endpoint(j, &e->endpoints[i]);
		osh_json_arr_end(j);
	}
	if (e->n_binaries) {
		osh_json_key(j, "binaries");
		osh_json_arr(j);
		for (size_t i = 0; i < e->n_binaries; i++)
			binary(j, &e->binaries[i]);
		osh_json_arr_end(j);
	}
	osh_json_obj_end(j);
}

static void middleware(struct osh_json *j, const struct osh_middleware *mw)
{
	osh_json_obj(j);
	text(j, "name", mw->name);
	osh_json_kstr(j, "middleware", mw->middleware);
	if (mw->order) {
		osh_json_key(j, "order");
		osh_json_i64(j, mw->order);
	}
	text(j, "on_error", mw->on_error_text);
	if (mw->config_json.n) {
		osh_json_key(j, "config");
		osh_json_raw(j, mw->config_json);
	}
	if (mw->has_endpoints) {
		osh_json_key(j, "endpoints");
		osh_json_obj(j);
		texts(j, "include", &mw->include);
		texts(j, "exclude", &mw->exclude);
		osh_json_obj_end(j);
	}
	osh_json_obj_end(j);
}

/* A section that is present but empty differs from an absent one, so it is written as {}. */
static void static_sections(struct osh_json *j, const struct osh_policy *policy)
{
	if (policy->filesystem.present) {
		osh_json_key(j, "filesystem_policy");
		osh_json_obj(j);
		flag(j, "include_workdir", policy->filesystem.include_workdir);
		texts(j, "read_only", &policy->filesystem.read_only);
		texts(j, "read_write", &policy->filesystem.read_write);
		osh_json_obj_end(j);
	}
	if (policy->landlock.present) {
		osh_json_key(j, "landlock");
		osh_json_obj(j);
		text(j, "compatibility", policy->landlock.compatibility);
		osh_json_obj_end(j);
	}
	if (policy->process.present) {
		osh_json_key(j, "process");
		osh_json_obj(j);
		text(j, "run_as_user", policy->process.run_as_user);
		text(j, "run_as_group", policy->process.run_as_group);
		osh_json_obj_end(j);
	}
}

void osh_policy_to_json(const struct osh_policy *policy, struct osh_json *j)
{
	osh_json_obj(j);
	osh_json_ku64(j, "version", policy->version);
	static_sections(j, policy);
	if (policy->n_entries) {
		osh_json_key(j, "network_policies");
		osh_json_obj(j);
		for (size_t i = 0; i < policy->n_entries; i++) {
			key_of(j, policy->entries[i].key);
			entry(j, &policy->entries[i]);
		}
		osh_json_obj_end(j);
	}
	if (policy->n_middlewares) {
		osh_json_key(j, "network_middlewares");
		osh_json_obj(j);
		for (size_t i = 0; i < policy->n_middlewares; i++) {
			key_of(j, policy->middlewares[i].key);
			middleware(j, &policy->middlewares[i]);
		}
		osh_json_obj_end(j);
	}
	osh_json_obj_end(j);
}

int osh_policy_to_yaml(const struct osh_policy *policy, struct osh_buf *out)
{
	osh_auto_bufmem struct osh_buf json;
	osh_auto_jval struct osh_jval *tree = NULL;
	struct osh_json j;
	int r;

	osh_buf_init(&json, OSH_POLICY_ARENA_MAX_BYTES, 0);
	osh_json_init(&j, &json, 0);
	osh_policy_to_json(policy, &j);
	if (j.err)
		return j.err;
	/* Strict JSON that we wrote ourselves: only memory can be the reason of a failure. */
	r = osh_json_parse(osh_buf_str(&json), &tree, NULL, 0);
	if (r < 0)
		return -ENOMEM;
	return osh_yaml_write(tree, out);
}
