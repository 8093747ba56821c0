/* SPDX-License-Identifier: MIT */
/*
 * A policy document in memory: everything openshell-policy(5) describes, typed, with the place of
 * each element in the file it came from. A struct osh_policy owns all that is reachable from it
 * (one arena) and is read-only for everybody but the code that builds it.
 *
 * Strings are as written (host case included, matching folds it) and never NULL: an absent text is
 * the empty string. Arrays are NULL exactly when their count is 0. What a loaded policy guarantees:
 * see osh_policy_load().
 */
#ifndef OSH_POLICY_MODEL_H
#define OSH_POLICY_MODEL_H

#include "base/arena.h"
#include "base/diag.h"
#include "policy/strs.h"

#define OSH_POLICY_TEXT_MAX_BYTES  (1u << 20) /* a policy file */
#define OSH_POLICY_STORE_MAX_BYTES 262144u /* a serialised policy given at sandbox creation */
#define OSH_POLICY_MAX_PATHS	   256u /* filesystem paths, both lists together */
#define OSH_POLICY_MAX_PATH_BYTES  4096u
#define OSH_POLICY_BODY_BYTES	   65536u /* default limit of an inspected request body */
#define OSH_MIDDLEWARE_MAX	   10u
#define OSH_MIDDLEWARE_MAX_HOSTS   32u /* include and exclude together */

enum osh_protocol {
	OSH_PROTO_NONE = 0, /* no protocol: TCP passthrough with the SNI check */
	OSH_PROTO_TCP,
	OSH_PROTO_REST,
	OSH_PROTO_WEBSOCKET,
	OSH_PROTO_GRAPHQL,
	OSH_PROTO_JSON_RPC,
	OSH_PROTO_MCP,
	OSH_PROTO_SQL,
};

enum osh_enforcement {
	OSH_ENFORCE = 0,
	OSH_AUDIT = 1, /* the default of the document: everything but the exact word "enforce" */
};

enum osh_tls_mode {
	OSH_TLS_AUTO = 0, /* also "passthrough" and unknown words */
	OSH_TLS_SKIP, /* raw relay, no SNI check */
	OSH_TLS_TERMINATE, /* asked for by name: terminate even without a protocol */
};

enum osh_access {
	OSH_ACCESS_NONE = 0, /* not given */
	OSH_ACCESS_UNSUPPORTED, /* given, but no known preset: allows nothing */
	OSH_ACCESS_READ_ONLY,
	OSH_ACCESS_READ_WRITE,
	OSH_ACCESS_FULL,
};

enum osh_persisted {
	OSH_PERSISTED_DENY = 0,
	OSH_PERSISTED_ALLOW_REGISTERED,
};

enum osh_signing {
	OSH_SIGNING_NONE = 0,
	OSH_SIGNING_SIGV4,
	OSH_SIGNING_SIGV4_BODY,
	OSH_SIGNING_SIGV4_NO_BODY,
};

enum osh_scope {
	OSH_SCOPE_EXACT = 0, /* only the executable that connects */
	OSH_SCOPE_DESCENDANTS = 1, /* the default: it or any of its ancestors */
};

/* One glob, or { any: [...] } (@any; one matching glob is enough). Never empty once loaded. */
struct osh_matcher {
	struct osh_strs globs;
	bool any;
};

/* A matcher for one query key or one (dotted) parameter. */
struct osh_keyed_matcher {
	struct osh_place at;
	struct osh_str key;
	struct osh_matcher m;
};

/* The matcher part of an allow or a deny rule. An empty text field is a field that is absent. */
struct osh_rule {
	struct osh_place at;
	struct osh_str method; /* as written; compared without regard to case */
	struct osh_str path; /* "" matches no path */
	struct osh_str command; /* sql */
	struct osh_keyed_matcher *query; /* sorted by key, keys unique */
	size_t n_query;
	struct osh_str operation_type; /* query | mutation | subscription | "" (or "*") */
	struct osh_str operation_name; /* glob */
	struct osh_strs fields; /* globs */
	/* sorted by key, keys unique; "tool: x" is here as { "name", x } */
	struct osh_keyed_matcher *params;
	size_t n_params;
};

/* A registered persisted query; @key is its hash or its id. */
struct osh_persisted_query {
	struct osh_place at;
	struct osh_str key;
	struct osh_str operation_type;
	struct osh_str operation_name;
	struct osh_strs fields;
};

struct osh_endpoint {
	struct osh_place at;
	struct osh_str host; /* name, IP literal or glob; "" only together with allowed_ips */
	struct osh_place host_at;
	uint16_t *ports; /* in the order of the file, without duplicates */
	size_t n_ports;
	struct osh_str path; /* "" or "**": every path */
	struct osh_place path_at;
	enum osh_protocol protocol;
	struct osh_str protocol_text; /* as written */
	struct osh_place protocol_at;
	enum osh_tls_mode tls;
	struct osh_str tls_text; /* as written; "" when absent */
	struct osh_place tls_at;
	enum osh_enforcement enforcement;
	struct osh_str enforcement_text;
	struct osh_place enforcement_at;
	enum osh_access access;
	struct osh_str access_text;
	struct osh_place access_at;
	struct osh_rule *rules; /* allow rules as written; presets are not expanded */
	size_t n_rules;
	struct osh_rule *deny_rules;
	size_t n_deny_rules;
	struct osh_strs allowed_ips; /* CIDR or address, checked */
	struct osh_place *allowed_ips_at; /* one place for each of allowed_ips */
	bool allow_encoded_slash;
	bool websocket_credential_rewrite;
	bool request_body_credential_rewrite;
	bool allow_uninspected_credentials;
	enum osh_persisted persisted_queries;
	struct osh_str persisted_queries_text;
	struct osh_persisted_query *graphql_persisted_queries; /* sorted by key */
	size_t n_graphql_persisted_queries;
	uint32_t graphql_max_body_bytes; /* 0: not given, OSH_POLICY_BODY_BYTES applies */
	enum osh_signing credential_signing;
	struct osh_str credential_signing_text;
	struct osh_str signing_service;
	struct osh_str signing_region;
	bool has_credential_binding;
	struct osh_str credential_binding_provider;
	bool has_json_rpc; /* the section is present */
	uint32_t json_rpc_max_body_bytes; /* 0: not given */
	bool has_mcp;
	uint32_t mcp_max_body_bytes; /* 0: not given */
	bool mcp_strict_tool_names; /* true unless switched off */
	bool mcp_allow_all_known_methods;
	struct osh_place signing_at, rewrite_at, persisted_at, json_rpc_at, mcp_at, binding_at;
	/* Made by the policy advisor, never by a file: gives no claim to private addresses. */
	bool advisor_proposed;
	bool incomplete; /* while loading: errors were reported inside; never in a loaded policy */
};

struct osh_binary {
	struct osh_place at;
	struct osh_str path; /* absolute path, or a glob when it contains '*' */
	bool harness; /* accepted, without effect */
	bool advisor_proposed;
	enum osh_scope scope;
	bool has_sha256;
	unsigned char sha256[32];
};

/* One member of network_policies. */
struct osh_entry {
	struct osh_place at; /* of the key */
	struct osh_str key;
	struct osh_str name; /* for people; the key when the file gives none */
	struct osh_endpoint *endpoints;
	size_t n_endpoints;
	struct osh_binary *binaries; /* none: matches no binary */
	size_t n_binaries;
};

/* One member of network_middlewares. */
struct osh_middleware {
	struct osh_place at;
	struct osh_str key;
	struct osh_str name; /* "" when absent */
	struct osh_str middleware;
	int32_t order;
	bool fail_open; /* on_error: fail_open; the default is fail_closed */
	struct osh_str on_error_text;
	struct osh_str config_json; /* compact JSON object, keys sorted; "" when absent */
	bool has_endpoints;
	struct osh_place endpoints_at;
	struct osh_strs include, exclude; /* host patterns */
};

struct osh_policy_fs {
	bool present;
	struct osh_place at;
	bool include_workdir; /* as in the file; true when the section is absent */
	struct osh_strs read_only, read_write; /* normalised paths */
	struct osh_place *read_only_at, *read_write_at; /* one place for each path */
};

struct osh_policy_landlock {
	bool present;
	struct osh_place at;
	bool hard_requirement;
	struct osh_str compatibility; /* as written */
};

struct osh_policy_process {
	bool present;
	struct osh_place at;
	struct osh_str run_as_user, run_as_group; /* "", "sandbox" or a decimal id */
	struct osh_place user_at, group_at;
};

struct osh_policy {
	struct osh_arena arena;
	uint32_t version; /* 1 */
	struct osh_policy_fs filesystem;
	struct osh_policy_landlock landlock;
	struct osh_policy_process process;
	struct osh_entry *entries; /* sorted by key (memcmp order), keys unique */
	size_t n_entries;
	struct osh_middleware *middlewares; /* sorted by key, keys unique */
	size_t n_middlewares;
};

/* ---- life ---- */

/*
 * Parse and validate everything: YAML, schema, safety rules, both layers of L7 rules, reserved keys,
 * endpoint ambiguity, middleware. Every error and warning goes to @diag with line and column; its
 * file name is set to @filename (borrowed; NULL keeps what it has). -EBADMSG: @diag holds at least
 * one error; -ENOMEM. A loaded policy has only valid globs, hosts, ports, addresses and rules.
 */
int osh_policy_load(struct osh_str text, const char *filename, struct osh_policy **ret_policy,
		    struct osh_diag *diag) OSH_MUST_CHECK;

struct osh_policy *osh_policy_free(struct osh_policy *policy); /* takes NULL, returns NULL */

/* An empty policy (version 1, nothing present) to be filled. NULL: out of memory. */
struct osh_policy *osh_policy_new(void);
/* Deep copy, places included. */
int osh_policy_copy(const struct osh_policy *policy, struct osh_policy **ret_copy) OSH_MUST_CHECK;
/* Same content, places and file order of maps left aside. Lists compare in order. */
bool osh_policy_eq(const struct osh_policy *a, const struct osh_policy *b);

/* ---- words ---- */

const char *osh_protocol_name(enum osh_protocol protocol); /* "" for OSH_PROTO_NONE */
const char *osh_access_name(enum osh_access access); /* "" unless a known preset */

/*
 * What a preset stands for, each word with path "**": methods for rest, unset, sql and websocket,
 * operation types for graphql. Returns the number of words, 0 for a preset that allows nothing.
 */
size_t osh_access_words(enum osh_access access, enum osh_protocol protocol,
			const char *const **ret_words);

/* Effective limits in bytes. */
uint32_t osh_endpoint_graphql_max(const struct osh_endpoint *ep);
uint32_t osh_endpoint_rpc_max(const struct osh_endpoint *ep);

/* Entry with this key, or NULL; binary search. */
const struct osh_entry *osh_policy_entry(const struct osh_policy *policy, struct osh_str key);

static inline void osh_policy_free_ptr(struct osh_policy **policy)
{
	*policy = osh_policy_free(*policy);
}

#define osh_auto_policy OSH_CLEANUP(osh_policy_free_ptr) /* struct osh_policy * */

#endif
