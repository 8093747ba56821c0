/* SPDX-License-Identifier: MIT */
/*
 * The one decision of the product: (image, identity, destination, request) -> verdict, entry, rule,
 * reason. Pure: no descriptor, no clock, no allocation. Proxy, tools and conformance rows call these
 * very functions.
 *
 * Per flow: osh_idclass_new() once per (image, identity), then osh_decide_conn(). Per request on an
 * inspected connection: canonicalise the target (http/request.h) with the verdict's
 * allow_encoded_slash, osh_decide_route() to learn which parser applies, read the body and classify
 * it (http/classify.h) if the route wants it, osh_decide_request().
 */
#ifndef OSH_POLICY_DECIDE_H
#define OSH_POLICY_DECIDE_H

#include "openshell/reason.h"
#include "policy/facts.h"
#include "policy/image.h"

/* ---- who ---- */

#define OSH_IDENTITY_ANCESTORS \
	64 /* nearest ones that count; farther ones are ignored (fewer grants) */

struct osh_identity_exe {
	struct osh_str path; /* as the sandbox sees it; empty: unknown, matches nothing */
	const unsigned char *sha256; /* 32 bytes, or NULL: not known, so no pin matches */
};

struct osh_identity {
	struct osh_identity_exe self;
	const struct osh_identity_exe *ancestors; /* nearest first */
	size_t nancestors;
	bool tainted; /* the process is more than its binary: matches nothing */
};

/*
 * The classes of binaries (policy/image.h) one identity belongs to, under one image. Depends on
 * nothing else, so it may be cached per (generation, identity); it stays usable after the image is
 * gone but must not be used with another image (every decision checks: mismatch is a denial).
 */
struct osh_idclass;

int osh_idclass_new(const struct osh_image *img, const struct osh_identity *id,
		    struct osh_idclass **ret_class) OSH_MUST_CHECK; /* -ENOMEM */
struct osh_idclass *osh_idclass_free(struct osh_idclass *cls); /* takes NULL, returns NULL */

static inline void osh_idclass_free_ptr(struct osh_idclass **cls)
{
	*cls = osh_idclass_free(*cls);
}

#define osh_auto_idclass OSH_CLEANUP(osh_idclass_free_ptr) /* struct osh_idclass * */

/* ---- connection ---- */

enum osh_decision {
	OSH_DECISION_DENY = 0,
	OSH_DECISION_ALLOW,
	OSH_DECISION_AUDIT, /* requests only: forward, and log a violation */
};

enum osh_inspect {
	OSH_INSPECT_NONE = 0, /* relay bytes (D8) */
	OSH_INSPECT_AUTHORITY, /* terminate TLS, check the authority, no rules (D9) */
	OSH_INSPECT_REST,
	OSH_INSPECT_WEBSOCKET,
	OSH_INSPECT_GRAPHQL,
	OSH_INSPECT_JSON_RPC,
	OSH_INSPECT_MCP,
	OSH_INSPECT_SQL, /* accepted by the schema; no parser: every request is denied */
};

struct osh_conn_verdict {
	enum osh_decision verdict;
	enum osh_reason reason; /* NONE when allowed */
	uint64_t generation;
	struct osh_str key; /* smallest matching entry key; empty when denied */
	struct osh_str name; /* its display name */
	/* `tls: skip`: raw relay, no peek, no SNI check. `terminate` and `passthrough` change nothing
	 * but what @inspect says. */
	bool tls_skip;
	/*
	 * NONE or AUTHORITY: osh_decide_request() allows everything and need not be asked. Otherwise
	 * the protocol of the first matching endpoint with rules: several may exist on one host, so
	 * the parser of a request comes from osh_decide_route().
	 */
	enum osh_inspect inspect;
	bool enforce; /* of that same endpoint; the request's own comes with its verdict */
	bool allow_encoded_slash; /* some matching endpoint allows it: canonicalise with this */
	bool is_tcp; /* `protocol: tcp` */
	/* destination safety: input of the address check (policy/addr.h) */
	const struct osh_cidr *allowed_ips; /* in the image; NULL when the endpoint has none */
	size_t nallowed_ips;
	bool declared_exact; /* some matching endpoint lists exactly this host and port */
};

/*
 * @host as the client named it, without brackets, at most 255 bytes; upper case is folded. A name
 * that is empty, longer or contains NUL is denied. @port 0 never matches.
 */
void osh_decide_conn(const struct osh_image *img, const struct osh_idclass *cls,
		     struct osh_str host, unsigned int port, struct osh_conn_verdict *ret_verdict);

/* The sentence of tutorials, logs and 403 bodies for a denied connection (D5). Static text. */
const char *osh_conn_reason(const struct osh_conn_verdict *verdict);
/*
 * The precise text of the reference (3.5), for the `detail` field: which destination or binary, in
 * which entry, through which ancestors. At most 1024 bytes; outside data is escaped.
 */
int osh_conn_detail(const struct osh_image *img, const struct osh_identity *id, struct osh_str host,
		    unsigned int port, const struct osh_conn_verdict *verdict,
		    struct osh_buf *ret_text) OSH_MUST_CHECK;

/* ---- request ---- */

/* Which endpoint's parser and options apply to a path (reference 4.5). */
struct osh_route {
	bool found; /* false: deny, "no L7 endpoint path matched request" */
	enum osh_inspect inspect;
	bool enforce;
	bool allow_encoded_slash;
	bool wants_body; /* GraphQL, JSON-RPC, MCP: read up to @max_body_bytes, classify, decide */
	size_t max_body_bytes;
	bool strict_tool_names; /* MCP */
	bool ws_messages; /* after the upgrade, decide each client text message */
	bool ws_graphql; /* those messages are GraphQL over WebSocket */
	struct osh_str key, name; /* entry of that endpoint */
	unsigned int line; /* of that endpoint in the policy file */
};

void osh_decide_route(const struct osh_image *img, const struct osh_idclass *cls,
		      struct osh_str host, unsigned int port, struct osh_str path,
		      struct osh_route *ret_route);

/*
 * What a request says. Pointers may be NULL where the fact does not apply; a fact that the route
 * needs and that is missing is a denial.
 */
struct osh_request_facts {
	struct osh_str method; /* as sent; "WEBSOCKET_TEXT" for a text message after an upgrade */
	struct osh_str path; /* canonical, without query */
	const struct osh_query *query; /* decoded; NULL: there is none */
	bool has_body; /* a body is framed, even an empty one */
	bool is_ws_upgrade; /* a complete, valid WebSocket handshake */
	bool is_event_stream; /* Accept contains text/event-stream (MCP receive stream) */
	const struct osh_graphql *graphql; /* classified body, GET query or WebSocket message */
	const struct osh_jsonrpc *jsonrpc; /* classified body */
	bool ws_control; /* GraphQL-over-WebSocket control message: no operation inside */
	/* Not NULL: classification failed for this reason; denied even in audit mode. */
	const char *body_error;
};

struct osh_req_verdict {
	enum osh_decision verdict;
	enum osh_reason reason; /* why it is denied or audited; NONE when allowed */
	uint64_t generation;
	struct osh_str key,
		name; /* smallest matching entry of the connection, for logs and bodies */
	enum osh_inspect inspect; /* protocol that decided; NONE: not inspected */
	struct osh_str rule_key; /* entry whose rule or endpoint decided */
	unsigned int rule_line; /* line of that rule (or endpoint) in the policy file; 0: none */
	const char
		*text; /* fixed sentence, or NULL: "<M> <P> not permitted|blocked by deny rule" */
	const char
		*text_arg; /* appended to @text after ": "; may be NULL; borrowed from the facts */
};

void osh_decide_request(const struct osh_image *img, const struct osh_idclass *cls,
			struct osh_str host, unsigned int port,
			const struct osh_request_facts *facts, struct osh_req_verdict *ret_verdict);

/*
 * The reason sentence, exactly as the reference words it (`M P not permitted by policy`, `M P
 * blocked by deny rule`, 5.2, 5.4). Empty for an allowed request. At most 8192 bytes; never contains
 * the query.
 */
int osh_req_reason(const struct osh_req_verdict *verdict, const struct osh_request_facts *facts,
		   struct osh_buf *ret_text) OSH_MUST_CHECK;

#endif
