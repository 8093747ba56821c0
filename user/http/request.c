/* SPDX-License-Identifier: MIT */
#include "http/request.h"

#include "policy/host.h"

static int refuse(enum osh_req_error error, enum osh_req_error *ret_error)
{
	*ret_error = error;
	return -EBADMSG;
}

static void set_authority(struct osh_req *req, const struct osh_authority *auth, uint16_t otherwise)
{
	_Static_assert(sizeof(req->host) > OSH_HOST_MAX, "room for every host");
	memcpy(req->host, auth->host.name, (size_t)auth->host.len + 1);
	req->port = auth->port ? auth->port : otherwise;
}

static bool is_place(const struct osh_authority *auth, const struct osh_req_place *place)
{
	uint16_t port = auth->port ? auth->port : place->tls ? 443 : 80;

	return port == place->port && osh_host_same(osh_host_str(&auth->host), place->host);
}

/*
 * Host, and the authority of an absolute-form target, must name what the tunnel was authorised for:
 * anything else is domain fronting.
 */
static int check_tunnel_authority(const struct osh_h1_head *head, const char *buf,
				  const struct osh_req_place *place, const struct osh_canon *canon,
				  struct osh_req *req, enum osh_req_error *ret_error)
{
	const struct osh_h1_field *host = osh_h1_find(head, OSH_HF_HOST);
	struct osh_authority auth;

	if (!host && head->minor == 1)
		return refuse(OSH_REQ_NO_HOST, ret_error);
	if (host) {
		if (osh_authority_parse(osh_h1_value(host, buf), &auth) < 0)
			return refuse(OSH_REQ_BAD_HOST, ret_error);
		if (!is_place(&auth, place))
			return refuse(OSH_REQ_AUTHORITY, ret_error);
	}
	if (canon->authority.p) {
		if (!osh_str_ieq(canon->scheme, place->tls ? OSH_STR("https") : OSH_STR("http")))
			return refuse(OSH_REQ_AUTHORITY, ret_error);
		if (osh_authority_parse(canon->authority, &auth) < 0)
			return refuse(OSH_REQ_BAD_TARGET, ret_error);
		if (!is_place(&auth, place))
			return refuse(OSH_REQ_AUTHORITY, ret_error);
	}
	if (place->host.n >= sizeof(req->host))
		return refuse(OSH_REQ_AUTHORITY, ret_error);
	if (place->host.n) /* none: of a connection that is denied whatever it asks for */
		memcpy(req->host, place->host.p, place->host.n);
	req->host[place->host.n] = '\0';
	req->port = place->port;
	return 0;
}

static int check_proxy_authority(const struct osh_canon *canon, struct osh_req *req,
				 enum osh_req_error *ret_error)
{
	struct osh_authority auth;

	if (!canon->authority.p)
		return refuse(OSH_REQ_NOT_PROXY_FORM, ret_error);
	if (osh_str_ieq(canon->scheme, OSH_STR("https")))
		return refuse(OSH_REQ_HTTPS_URL, ret_error);
	if (!osh_str_ieq(canon->scheme, OSH_STR("http")))
		return refuse(OSH_REQ_BAD_SCHEME, ret_error);
	if (osh_authority_parse(canon->authority, &auth) < 0)
		return refuse(OSH_REQ_BAD_TARGET, ret_error);
	set_authority(req, &auth, 80);
	return 0;
}

int osh_req_build(const struct osh_h1_head *head, const char *buf,
		  const struct osh_req_place *place, struct osh_req *ret,
		  enum osh_req_error *ret_error)
{
	struct osh_str target = osh_h1_target(head, buf);
	struct osh_canon canon;
	size_t n_pairs = 0;
	int r;

	ret->method = osh_h1_method(head, buf);
	ret->path = ret->query = OSH_STR_NONE;
	ret->is_connect = place->proxy_port && osh_str_is(ret->method, "CONNECT");
	ret->params = (struct osh_query){ ret->pairs, 0 };
	if (ret->is_connect) {
		struct osh_authority auth;

		if (osh_connect_target(target, &auth) < 0)
			return refuse(OSH_REQ_BAD_TARGET, ret_error);
		set_authority(ret, &auth, 0);
		return 0;
	}
	if (!place->proxy_port && head->h2c)
		return refuse(OSH_REQ_H2C, ret_error);
	if (osh_canon_target(target, place->allow_encoded_slash, ret->path_mem,
			     sizeof(ret->path_mem), &canon) < 0)
		return refuse(place->proxy_port && target.n && target.p[0] != '/' &&
					      !memmem(target.p, target.n, "://", 3)
				      ? OSH_REQ_NOT_PROXY_FORM
				      : OSH_REQ_BAD_TARGET,
			      ret_error);
	r = place->proxy_port ? check_proxy_authority(&canon, ret, ret_error)
			      : check_tunnel_authority(head, buf, place, &canon, ret, ret_error);
	if (r < 0)
		return r;
	if (canon.query.p && osh_query_decode(canon.query, ret->query_mem, sizeof(ret->query_mem),
					      ret->pairs, OSH_REQ_PAIRS_MAX, &n_pairs) < 0)
		return refuse(OSH_REQ_BAD_QUERY, ret_error);
	ret->params.n = n_pairs;
	ret->path = canon.path;
	ret->query = canon.query;
	return 0;
}

const char *osh_req_error_text(enum osh_req_error error)
{
	switch (error) {
	case OSH_REQ_OK:
		return "no error";
	case OSH_REQ_BAD_TARGET:
		return "invalid request target";
	case OSH_REQ_BAD_QUERY:
		return "invalid query string";
	case OSH_REQ_NO_HOST:
		return "missing Host field";
	case OSH_REQ_BAD_HOST:
		return "malformed Host field";
	case OSH_REQ_AUTHORITY:
		return "HTTP request authority does not match the authorized tunnel endpoint";
	case OSH_REQ_H2C:
		return "HTTP/2 cleartext upgrade (h2c) is not supported for L7-inspected endpoints";
	case OSH_REQ_NOT_PROXY_FORM:
		return "neither CONNECT nor an absolute-form request";
	case OSH_REQ_HTTPS_URL:
		return "Use CONNECT for HTTPS URLs";
	case OSH_REQ_BAD_SCHEME:
		return "unsupported URL scheme";
	}
	return "malformed request";
}
