/* SPDX-License-Identifier: MIT */
/*
 * What a request says, as the parsers of http/ find it and policy/decide.h judges it. Plain data: the
 * parser owns the memory, everything here borrows.
 */
#ifndef OSH_POLICY_FACTS_H
#define OSH_POLICY_FACTS_H

#include "base/str.h"

/* ---- query string (http/query.h) ---- */

struct osh_query_pair {
	struct osh_str key, value; /* decoded, valid UTF-8, may contain NUL */
};

struct osh_query {
	const struct osh_query_pair *pairs; /* in order of appearance */
	size_t n;
};

/* ---- GraphQL (http/graphql.h) ---- */

enum osh_gql_type {
	OSH_GQL_PERSISTED = 0, /* only a hash or an id: the document is not here */
	OSH_GQL_QUERY,
	OSH_GQL_MUTATION,
	OSH_GQL_SUBSCRIPTION,
};

struct osh_gql_op {
	enum osh_gql_type type;
	struct osh_str name; /* .p NULL: anonymous */
	const struct osh_str *fields; /* root field names, sorted, unique */
	size_t n_fields;
	struct osh_str hash; /* extensions.persistedQuery.sha256Hash; .p NULL: none */
	struct osh_str id; /* id, documentId or queryId; .p NULL: none */
};

struct osh_graphql {
	const struct osh_gql_op *ops; /* in batch order; at least one */
	size_t n_ops;
};

/* ---- JSON-RPC and MCP (http/jsonrpc.h) ---- */

struct osh_rpc_call {
	struct osh_str method;
	struct osh_str tool; /* mcp tools/call: params.name; .p NULL otherwise */
};

struct osh_jsonrpc {
	const struct osh_rpc_call *calls; /* in order; may be none when there is a response */
	size_t n_calls;
	bool has_response; /* a response frame was among them */
};

#endif
