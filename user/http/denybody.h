/* SPDX-License-Identifier: MIT */
/* The answers the proxy gives by itself, complete with head; appended to the caller's buffer. */
#ifndef OSH_HTTP_DENYBODY_H
#define OSH_HTTP_DENYBODY_H

#include "base/json.h"

/* A denied request on an inspected connection (403). Query and credentials must be gone already. */
struct osh_deny_l7 {
	struct osh_str policy_key; /* X-OpenShell-Policy */
	struct osh_str policy_name; /* display name; "policy" in the body */
	struct osh_str detail; /* "POST /x not permitted by policy" */
	struct osh_str method, path;
	struct osh_str binary; /* empty: left out */
	struct osh_str host; /* empty: left out */
	uint16_t port; /* 0: left out */
	bool head_request; /* answer to HEAD: head only, with the length of the body */
	bool keep_alive; /* leave out "Connection: close" */
};

/* Status line, fields, body. */
int osh_deny_l7_response(const struct osh_deny_l7 *deny, struct osh_buf *out) OSH_MUST_CHECK;

/*
 * {"detail":...,"error":...,"message":...,"reason":...} with the empty members left out, status
 * 400, 403, 417, 431, 500, 502, 503 or 504, Content-Type, Content-Length, Connection: close.
 */
struct osh_deny_plain {
	unsigned int status;
	const char *error; /* "policy_denied", "ssrf_denied", "upstream_unreachable", ... */
	struct osh_str detail, message, reason;
	bool head_request;
};
int osh_deny_response(const struct osh_deny_plain *deny, struct osh_buf *out) OSH_MUST_CHECK;

/* 403 of the authority check, word for word. */
int osh_deny_authority(struct osh_buf *out) OSH_MUST_CHECK;
/* 400 text/plain "Use CONNECT for HTTPS URLs". */
int osh_deny_https_url(struct osh_buf *out) OSH_MUST_CHECK;

#define OSH_HTTP_ESTABLISHED "HTTP/1.1 200 Connection Established\r\n\r\n"

#endif
