/* SPDX-License-Identifier: MIT */
/*
 * From a request's bytes to the facts that rules ask about: runs the parser that the route names
 * (graphql.h, jsonrpc.h). Pure; results live in the caller's arena.
 */
#ifndef OSH_HTTP_CLASSIFY_H
#define OSH_HTTP_CLASSIFY_H

#include "base/arena.h"
#include "policy/decide.h"

struct osh_body_input {
	struct osh_str content_type, content_encoding; /* .p NULL: no such field */
	struct osh_str body; /* complete; empty when there is none */
	bool too_large; /* longer than the route's max_body_bytes: @body is not looked at */
};

/*
 * Classify the body (and for GraphQL over GET the query in @facts) as @route demands and set
 * @facts->graphql, jsonrpc or body_error. A route without a body parser leaves @facts as it is.
 * @facts->method, query and has_body must be set. -ENOMEM only: anything malformed is recorded in
 * @facts->body_error, which the decision turns into a denial.
 */
int osh_facts_from_body(const struct osh_route *route, const struct osh_body_input *in,
			struct osh_arena *arena, struct osh_request_facts *facts) OSH_MUST_CHECK;

/*
 * One complete client text message on an upgraded connection: sets @facts->method to
 * WEBSOCKET_TEXT, and for a route with ws_graphql @facts->graphql, ws_control or body_error.
 * -ENOMEM only.
 */
int osh_facts_from_ws_text(const struct osh_route *route, struct osh_str text,
			   struct osh_arena *arena, struct osh_request_facts *facts) OSH_MUST_CHECK;

#endif
