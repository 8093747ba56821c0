/* SPDX-License-Identifier: MIT */
/*
 * What the policy is asked about: a parsed head checked against the connection it arrived on. The
 * one place for target forms, authority, canonical path, query and refused upgrades, for tunnels and
 * for the proxy port.
 */
#ifndef OSH_HTTP_REQUEST_H
#define OSH_HTTP_REQUEST_H

#include "http/canon.h"
#include "http/h1.h"
#include "http/query.h"

#define OSH_REQ_PAIRS_MAX 256 /* query parameters of one request */

enum osh_req_error {
	OSH_REQ_OK = 0,
	OSH_REQ_BAD_TARGET, /* 400 */
	OSH_REQ_BAD_QUERY, /* 400 */
	OSH_REQ_NO_HOST, /* 400 */
	OSH_REQ_BAD_HOST, /* 400 */
	OSH_REQ_AUTHORITY, /* 403 request_authority_mismatch */
	OSH_REQ_H2C, /* 403 */
	OSH_REQ_NOT_PROXY_FORM, /* 400: neither CONNECT nor absolute-form */
	OSH_REQ_HTTPS_URL, /* 400 "Use CONNECT for HTTPS URLs" */
	OSH_REQ_BAD_SCHEME, /* 400 unsupported_proxy_scheme */
};

/* Where the request came in. */
struct osh_req_place {
	bool proxy_port; /* explicit proxy port: CONNECT or absolute-form http only */
	bool tls; /* tunnel: inside TLS (default port 443, scheme https) */
	struct osh_str host; /* tunnel: authorised host, lower-case, IPv6 without brackets */
	uint16_t port; /* tunnel: authorised port */
	bool allow_encoded_slash;
};

/* About 20 KiB: one per worker is enough, requests are judged one at a time. */
struct osh_req {
	struct osh_str method, path, query; /* path canonical; query raw, .p NULL: none */
	bool is_connect; /* proxy port: only @host and @port are set */
	char host[256]; /* lower-case, NUL-terminated, no brackets */
	uint16_t port;
	struct osh_query params; /* decoded query, in @pairs */
	struct osh_query_pair pairs[OSH_REQ_PAIRS_MAX];
	char path_mem[OSH_CANON_PATH_MAX];
	char query_mem[16384];
};

/*
 * Build @ret from a complete request head. 0, or -EBADMSG with *ret_error. Slices point into @buf
 * and into @ret. @ret is scratch and undefined after a failure.
 */
int osh_req_build(const struct osh_h1_head *head, const char *buf,
		  const struct osh_req_place *place, struct osh_req *ret,
		  enum osh_req_error *ret_error) OSH_MUST_CHECK;

const char *osh_req_error_text(enum osh_req_error error);

#endif
