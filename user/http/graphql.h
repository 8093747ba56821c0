/* SPDX-License-Identifier: MIT */
/* GraphQL over HTTP: which operations does this request carry? Malformed is refused, never guessed. */
#ifndef OSH_HTTP_GRAPHQL_H
#define OSH_HTTP_GRAPHQL_H

#include "base/arena.h"
#include "policy/facts.h"

#define OSH_GQL_DEPTH_MAX  128
#define OSH_GQL_TOKENS_MAX 20000
/* Ceiling of an arena that suffices for any body of @n bytes. */
#define OSH_GQL_ARENA_BYTES(n) (64 * (size_t)(n) + 65536)
#define OSH_GQL_OPS_MAX	       256 /* operations of a batch */

struct osh_graphql_input {
	struct osh_str method;
	struct osh_str content_type, content_encoding; /* .p NULL: none */
	const struct osh_query *query; /* decoded; used for GET; NULL: none */
	struct osh_str body; /* used for POST */
};

/*
 * Results live in @arena. -EBADMSG malformed (*ret_error: a constant phrase); -ENOMEM, also when the
 * arena is too small.
 */
int osh_graphql_parse(const struct osh_graphql_input *in, struct osh_arena *arena,
		      struct osh_graphql *ret, const char **ret_error) OSH_MUST_CHECK;
/* One envelope {query, operationName, ...} in JSON, as GraphQL over WebSocket carries it. */
int osh_graphql_parse_envelope(struct osh_str json, struct osh_arena *arena,
			       struct osh_graphql *ret, const char **ret_error) OSH_MUST_CHECK;
const char *osh_gql_type_name(enum osh_gql_type type); /* "", "query", "mutation", "subscription" */

#endif
