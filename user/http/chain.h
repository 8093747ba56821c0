/* SPDX-License-Identifier: MIT */
/*
 * The operator's upstream proxy as seen on the wire: its URL, the CONNECT that asks it for a tunnel,
 * and what it answers. Pure.
 */
#ifndef OSH_HTTP_CHAIN_H
#define OSH_HTTP_CHAIN_H

#include "base/buf.h"
#include "http/h1.h"
#include "policy/host.h"

enum {
	OSH_CHAIN_ANSWER_MAX = 8192, /* bytes of all heads up to the final one */
	OSH_CHAIN_USERPASS_MAX = 512, /* "user:password" */
	OSH_CHAIN_AUTH_MAX = 700, /* "Basic " and its base64 */
};

/* How a tunnel was not had. */
enum osh_chain_error {
	OSH_CHAIN_OK = 0,
	OSH_CHAIN_RESOLVE, /* the proxy's own name */
	OSH_CHAIN_DIAL, /* no TCP connection to the proxy */
	OSH_CHAIN_TIMEOUT, /* connected, but the answer is not complete in time */
	OSH_CHAIN_CLOSED, /* connection ended before the answer was complete */
	OSH_CHAIN_MALFORMED,
	OSH_CHAIN_TOO_LONG,
	OSH_CHAIN_EARLY_BYTES, /* bytes behind the answer though the upstream must not speak first */
	OSH_CHAIN_AUTH, /* 407 */
	OSH_CHAIN_FORBIDDEN, /* 403 */
	OSH_CHAIN_UNREACHABLE, /* 502, 503, 504: another address may do */
	OSH_CHAIN_REFUSED, /* any other status */
	OSH_CHAIN_ERROR_COUNT,
};
/* One phrase without status or name; constant. */
const char *osh_chain_error_text(unsigned int error);

/*
 * "http://host:port" with an optional final slash; nothing may be left out or added. -EBADMSG:
 * *ret_why is a phrase about it, constant, that quotes nothing (a password may stand in there).
 */
int osh_chain_url_parse(struct osh_str url, struct osh_authority *ret,
			const char **ret_why) OSH_MUST_CHECK;

/*
 * "Basic ..." for the content of a credentials file: one line "user:password", 3..512 printable bytes
 * or UTF-8, user not empty, one line end at the end allowed. @out: empty and SECRET. -EBADMSG with
 * *ret_why (constant).
 */
int osh_chain_auth(struct osh_str text, struct osh_buf *out, const char **ret_why) OSH_MUST_CHECK;

/* Append the head of a CONNECT to @host (name, or literal; IPv6 without brackets). @auth may be empty. */
int osh_chain_request(struct osh_str host, uint16_t port, struct osh_str auth,
		      struct osh_buf *out) OSH_MUST_CHECK;

struct osh_chain_answer {
	enum osh_chain_error error;
	uint16_t status; /* of the final head; 0: none was understood */
	uint32_t head_len; /* with error OK: what follows belongs to the tunnel */
};

/*
 * Judge all bytes received so far. -EAGAIN: the answer is not complete; 0: a tunnel; -ECONNREFUSED:
 * ret->error says why not. @scratch: any head, overwritten.
 */
int osh_chain_answer(struct osh_h1_head *scratch, struct osh_str data,
		     struct osh_chain_answer *ret) OSH_MUST_CHECK;

#endif
