/* SPDX-License-Identifier: MIT */
/*
 * One whole judgement from the outside: a connection and, if asked, one request on it, taken through
 * the functions that the proxy uses, in its order (osh_decide_conn, osh_h1_parse, osh_req_build,
 * osh_decide_route, osh_facts_from_body, osh_decide_request). For tools and conformance rows.
 */
#ifndef OSH_HTTP_JUDGE_H
#define OSH_HTTP_JUDGE_H

#include "base/arena.h"
#include "policy/decide.h"

#define OSH_JUDGE_ARENA_BYTES (32u << 20) /* enough for any input the parsers accept */

struct osh_judge_header {
	struct osh_str name, value;
};

struct osh_judge_input {
	const struct osh_identity *id;
	struct osh_str host; /* without brackets */
	unsigned int port;
	bool plain; /* a request in clear text; the default is inside TLS */
	/* Empty: the connection only. WEBSOCKET_TEXT: @body is a client text message. */
	struct osh_str method;
	struct osh_str target; /* request-target; of the upgrade request for WEBSOCKET_TEXT */
	const struct osh_judge_header *headers; /* Host and Content-Length are added if missing */
	size_t nheaders;
	struct osh_str body; /* .p NULL: none */
};

/* Texts live in the image, the input or the arena. */
struct osh_judge_result {
	struct osh_conn_verdict conn;
	struct osh_str conn_detail; /* precise reason of a denied connection, else empty */
	bool has_request; /* the connection is allowed and a method was given */
	struct osh_route route;
	struct osh_req_verdict req;
	struct osh_str path; /* canonical; empty when the target was refused */
	/* The sentence a client is told: of the request if there is one, else of the connection. */
	struct osh_str reason;
};

/* -ENOMEM only (also when @arena is too small): a malformed request is a denied one. */
int osh_judge(const struct osh_image *img, const struct osh_judge_input *in,
	      struct osh_arena *arena, struct osh_judge_result *ret) OSH_MUST_CHECK;

#endif
