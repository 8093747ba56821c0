/* SPDX-License-Identifier: MIT */
#include "http/denybody.h"
#include "proxy/worker.h"

#include <stdio.h>

static int linger(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;

	if (c->up)
		osh_px_up_free(c->up, false);
	osh_px_dial_cancel(c);
	osh_lookup_cancel(&c->lookup);
	osh_px_conn_set(c, OSH_PX_LINGER);
	osh_px_conn_deadline(c, px->cfg.timeouts.linger_ms);
	c->req_body.left = px->cfg.limits.linger_bytes;
	osh_chan_shutdown(&c->chan);
	return 1;
}

/*
 * Closing at once with unread input would make the kernel send RST, and the client could lose the
 * answer: wait for its FIN, a little.
 */
int osh_px_step_linger(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;

	for (size_t turn = 0; turn < OSH_PX_TURN_BYTES; turn += OSH_PX_READ_COST) {
		ssize_t n = osh_chan_read(&c->chan, px->rbuf, sizeof(px->rbuf));

		if (n == -EAGAIN)
			return 0;
		if (n <= 0 || (uint64_t)n > c->req_body.left)
			return OSH_PX_END;
		c->req_body.left -= (uint64_t)n;
	}
	return OSH_PX_YIELD;
}

bool osh_px_may_keep(const struct osh_px_conn *c)
{
	const struct osh_px_body *body = &c->req_body;

	if (c->deny || c->forward || c->http10 || c->close_after || c->expect)
		return false;
	return body->kind == OSH_H1_BODY_NONE || body->done ||
	       (body->kind == OSH_H1_BODY_LENGTH &&
		body->left <= c->box->px->cfg.limits.drain_bytes);
}

int osh_px_answered(struct osh_px_conn *c, bool may_keep)
{
	struct osh_px *px = c->box->px;
	const struct osh_px_body *body = &c->req_body;

	if (!may_keep || !osh_px_may_keep(c))
		return linger(c);
	if (body->kind == OSH_H1_BODY_NONE || body->done) {
		osh_px_conn_set(c, OSH_PX_REQUEST);
		osh_px_conn_deadline(c, px->cfg.timeouts.idle_ms);
		return 1;
	}
	osh_px_conn_set(c, OSH_PX_DRAIN);
	osh_px_conn_deadline(c, px->cfg.timeouts.body_ms);
	return 1;
}

int osh_px_answer_raw(struct osh_px_conn *c, struct osh_str bytes)
{
	int r = osh_chan_write(&c->chan, bytes.p, bytes.n);

	return r < 0 ? r : linger(c);
}

int osh_px_answer(struct osh_px_conn *c, unsigned int status, const char *error,
		  struct osh_str detail, struct osh_str message, struct osh_str reason)
{
	const struct osh_deny_plain deny = {
		.status = status,
		.error = error,
		.detail = detail,
		.message = message,
		.reason = reason,
		.head_request = c->is_head,
	};
	struct osh_buf *out = &c->box->px->out;
	int r;

	c->status = (uint16_t)status;
	osh_buf_reset(out);
	r = osh_deny_response(&deny, out);
	return r < 0 ? r : osh_px_answer_raw(c, osh_buf_str(out));
}

int osh_px_answer_bad_head(struct osh_px_conn *c, const struct osh_h1_head *head, int r)
{
	struct osh_str why = osh_str(osh_h1_error_text(head->error));

	c->box->px->stats.bad_requests++;
	osh_px_event(c, OSH_REC_PARSER_REJECT, OSH_REC_DENY,
		     r == -EMSGSIZE ? OSH_REASON_HTTP_TOO_LARGE : OSH_REASON_HTTP_PARSE,
		     "http-parser", why);
	if (r == -EMSGSIZE)
		return osh_px_answer(c, 431, "request_head_too_large", OSH_STR_NONE, why,
				     OSH_STR_NONE);
	return osh_px_answer(c, 400, "invalid_request", OSH_STR_NONE, why, OSH_STR_NONE);
}

static int answer_authority(struct osh_px_conn *c)
{
	struct osh_buf *out = &c->box->px->out;
	int r;

	osh_px_event(c, OSH_REC_AUTHORITY, OSH_REC_DENY, OSH_REASON_HTTP_AUTHORITY,
		     "request-authority", OSH_STR_NONE);
	osh_buf_reset(out);
	r = osh_deny_authority(out);
	return r < 0 ? r : osh_px_answer_raw(c, osh_buf_str(out));
}

static int answer_https_url(struct osh_px_conn *c)
{
	struct osh_buf *out = &c->box->px->out;
	int r;

	osh_buf_reset(out);
	r = osh_deny_https_url(out);
	return r < 0 ? r : osh_px_answer_raw(c, osh_buf_str(out));
}

int osh_px_answer_bad_request(struct osh_px_conn *c, unsigned int error)
{
	struct osh_str why = osh_str(osh_req_error_text((enum osh_req_error)error));

	c->box->px->stats.bad_requests++;
	if (error == OSH_REQ_AUTHORITY)
		return answer_authority(c);
	osh_px_event(c, OSH_REC_PARSER_REJECT, OSH_REC_DENY,
		     error == OSH_REQ_H2C ? OSH_REASON_HTTP_UPGRADE : OSH_REASON_HTTP_TARGET,
		     "http-parser", why);
	switch (error) {
	case OSH_REQ_HTTPS_URL:
		return answer_https_url(c);
	case OSH_REQ_BAD_SCHEME:
		return osh_px_answer(c, 400, "unsupported_proxy_scheme", OSH_STR_NONE, why,
				     OSH_STR_NONE);
	case OSH_REQ_H2C:
		return osh_px_answer(c, 403, "policy_denied", why, OSH_STR_NONE, OSH_STR_NONE);
	case OSH_REQ_BAD_TARGET:
	case OSH_REQ_BAD_QUERY:
	case OSH_REQ_NOT_PROXY_FORM:
		return osh_px_answer(c, 400, "invalid_request_target", OSH_STR_NONE, why,
				     OSH_STR_NONE);
	default:
		return osh_px_answer(c, 400, "invalid_request", OSH_STR_NONE, why, OSH_STR_NONE);
	}
}

int osh_px_answer_limit(struct osh_px_conn *c, struct osh_str what)
{
	osh_px_event(c, OSH_REC_CONNECT, OSH_REC_DENY, OSH_REASON_LIMIT, "proxy", what);
	return osh_px_answer(c, 503, "overloaded", what, OSH_STR_NONE, OSH_STR_NONE);
}

const char *osh_px_upstream_error(int r)
{
	switch (r) {
	case -ETIMEDOUT:
		return "no connection to the upstream in time";
	case -ENOMSG:
		return "no TLS handshake with the upstream in time";
	case -ENXIO:
	case -ETIME:
	case -EBUSY:
	case -EIO:
		return osh_resolve_error(r);
	default:
		return strerror(-r);
	}
}

bool osh_px_is_shortage(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS || r == -ENOSPC ||
	       r == -EADDRNOTAVAIL || r == -EBUSY;
}

int osh_px_answer_upstream(struct osh_px_conn *c, int r)
{
	struct osh_px *px = c->box->px;
	char detail[OSH_HOST_MAX + 128];
	struct osh_str host = osh_px_conn_host(c);

	if (r == -EPERM) {
		struct osh_str method = osh_buf_str(&c->req); /* of the request line */

		method.n = OSH_MIN(osh_str_find(method, ' '), (size_t)64);
		if (c->connect && c->state == OSH_PX_DIAL)
			method = OSH_STR("CONNECT");
		snprintf(detail, sizeof(detail), "%.*s %.*s:%u blocked: %s", OSH_STR_FMT(method),
			 OSH_STR_FMT(host), c->port, px->refusal.kind);
		return osh_px_answer(c, 403, "ssrf_denied", osh_str(detail), OSH_STR_NONE,
				     OSH_STR_NONE);
	}
	snprintf(detail, sizeof(detail), "connection to %.*s:%u failed", OSH_STR_FMT(host),
		 c->port);
	if (r == -EKEYREJECTED)
		return osh_px_answer(c, 502, "upstream_tls_verify", osh_str(detail),
				     osh_str(osh_reason_text(OSH_REASON_TLS_VERIFY)), OSH_STR_NONE);
	if (r == -EPROTO || r == -ENOMSG)
		return osh_px_answer(c, 502, "upstream_tls_failed", osh_str(detail),
				     r == -ENOMSG
					     ? osh_str(osh_px_upstream_error(r))
					     : osh_str(osh_reason_text(OSH_REASON_TLS_UPSTREAM)),
				     OSH_STR_NONE);
	if (c->hop_error) {
		char message[96];

		/* what the answer is built in holds the text, too */
		snprintf(message, sizeof(message), "%.*s", OSH_STR_FMT(osh_px_hop_text(c)));
		return osh_px_answer(c, 502, "upstream_unreachable", osh_str(detail),
				     osh_str(message), OSH_STR_NONE);
	}
	if (osh_px_is_shortage(r))
		return osh_px_answer(c, 503, "overloaded", osh_str(detail),
				     osh_str(osh_px_upstream_error(r)), OSH_STR_NONE);
	return osh_px_answer(c, 502, "upstream_unreachable", osh_str(detail),
			     osh_str(osh_px_upstream_error(r)), OSH_STR_NONE);
}
