/* SPDX-License-Identifier: MIT */
/* GraphQL over HTTP: which operations does this request carry? Malformed is refused, never guessed. */
#ifndef OSH_HTTP_GRAPHQL_H
#define OSH_HTTP_GRAPHQL_H

#include "base/arena.h"
#include "http/query.h"

#define OSH_GQL_DEPTH_MAX  128
#define OSH_GQL_TOKENS_MAX 20000
#define OSH_GQL_OPS_MAX	   256 /* operations of a batch */

enum osh_gql_type {
	OSH_GQL_PERSISTED = 0, /* only a hash or an id: the document is not here */
	OSH_GQL_QUERY,
	OSH_GQL_MUTATION,
	OSH_GQL_SUBSCRIPTION,
};

struct osh_gql_op {
	enum osh_gql_type type;
	struct osh_str name; /* .p NULL: anonymous */
	struct osh_str *fields; /* root field names, sorted, unique */
	size_t n_fields;
	struct osh_str hash; /* extensions.persistedQuery.sha256Hash; .p NULL: none */
	struct osh_str id; /* id, documentId or queryId; .p NULL: none */
};

struct osh_gql {
	struct osh_gql_op *ops; /* in batch order; all in the arena */
	size_t n_ops;
	const char *error; /* after -EBADMSG: a constant phrase */
};

struct osh_gql_input {
	struct osh_str method;
	struct osh_str content_type, content_encoding; /* .p NULL: none */
	const struct osh_query_pair *query; /* decoded; used for GET */
	size_t n_query;
	struct osh_str body; /* used for POST */
};

/* Results live in @arena. -EBADMSG malformed (ret->error), -ENOMEM. */
int osh_gql_parse(const struct osh_gql_input *in, struct osh_arena *arena,
		  struct osh_gql *ret) OSH_MUST_CHECK;
/* One operation envelope {query, operationName, ...} in JSON, as GraphQL over WebSocket has it. */
int osh_gql_parse_envelope(struct osh_str json, struct osh_arena *arena,
			   struct osh_gql *ret) OSH_MUST_CHECK;
const char *osh_gql_type_name(enum osh_gql_type type); /* "", "query", "mutation", "subscription" */

#endif
