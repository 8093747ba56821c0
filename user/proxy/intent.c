/* SPDX-License-Identifier: MIT */
#include "http/denybody.h"
#include "http/hello.h"
#include "http/request.h"
#include "http/sniff.h"
#include "proxy/worker.h"

#include <stdio.h>

/*
 * From an accepted connection to an intent (who, where to, how the name is known) and its verdict.
 * CONNECT, absolute form and transparent connections all meet in judge().
 */

enum {
	ALERT_UNRECOGNIZED_NAME = 112,
	ALERT_HANDSHAKE_FAILURE = 40,
	ALERT_INTERNAL_ERROR = 80,
};

static const struct osh_str too_many_names = { "too many host names in use at once",
					       sizeof("too many host names in use at once") - 1 };

/* ---- verdict ---- */

static void log_verdict(struct osh_px_conn *c, const struct osh_conn_verdict *v)
{
	bool allowed = v->verdict != OSH_DECISION_DENY;
	struct osh_px *px = c->box->px;
	struct osh_rec rec;

	osh_px_event_begin(c, &rec, OSH_REC_CONNECT, allowed ? OSH_REC_ALLOW : OSH_REC_DENY,
			   v->reason);
	if (v->inspect != OSH_INSPECT_NONE && allowed)
		rec.flags |= OSH_REC_L7_FOLLOWS;
	osh_rec_set_z(&rec, OSH_REC_ENGINE, "opa");
	osh_rec_set(&rec, OSH_REC_POLICY_KEY, v->key);
	osh_rec_set(&rec, OSH_REC_POLICY_NAME, v->name);
	if (!allowed) {
		osh_rec_set_z(&rec, OSH_REC_REASON, osh_conn_reason(v));
		osh_buf_reset(&px->out);
		if (c->box->now.img && !osh_conn_detail(c->box->now.img, &c->who->id,
							osh_px_conn_host(c), c->port, v, &px->out))
			osh_rec_set(&rec, OSH_REC_DETAIL, osh_buf_str(&px->out));
	}
	osh_px_event_put(px, &rec);
}

static int deny_explicit(struct osh_px_conn *c, const struct osh_conn_verdict *v)
{
	char detail[OSH_HOST_MAX + 64];

	snprintf(detail, sizeof(detail), "CONNECT %.*s:%u not permitted by policy",
		 OSH_STR_FMT(osh_px_conn_host(c)), c->port);
	return osh_px_answer(c, 403, "policy_denied", osh_str(detail), OSH_STR_NONE,
			     osh_str(osh_conn_reason(v)));
}

/* D26: let it speak, so that the answer can be given in its protocol. */
static int deny_transparent(struct osh_px_conn *c, enum osh_reason reason)
{
	c->deny = (uint8_t)reason;
	osh_px_conn_set(c, OSH_PX_SNIFF);
	osh_px_conn_deadline(c, c->box->px->cfg.timeouts.deny_sniff_ms);
	return 1;
}

static void keep_verdict(struct osh_px_conn *c, const struct osh_conn_verdict *v)
{
	c->inspect = (uint8_t)v->inspect;
	c->tls_skip = v->tls_skip;
	c->slashes = v->allow_encoded_slash;
	c->generation = v->generation;
}

/* Site and port are known: the decision, and where it leads. */
static int judge(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	struct osh_conn_verdict v;

	osh_px_conn_decide(c, &v);
	keep_verdict(c, &v);
	log_verdict(c, &v);
	if (v.verdict == OSH_DECISION_DENY) {
		px->stats.denied_conns++;
		if (c->connect)
			return deny_explicit(c, &v);
		return deny_transparent(c, v.reason);
	}
	px->stats.allowed_conns++;
	c->allowed = true;
	/* A transparent client that is inspected gets its upstream when a request is allowed. */
	if (!c->connect && v.inspect != OSH_INSPECT_NONE) {
		osh_px_conn_set(c, OSH_PX_SNIFF);
		osh_px_conn_deadline(c, px->cfg.timeouts.sniff_ms);
		return 1;
	}
	osh_px_conn_set(c, OSH_PX_DIAL);
	osh_px_conn_deadline(c, px->cfg.timeouts.resolve_ms);
	return 1;
}

/* ---- who and where to ---- */

static int wait_monitor(struct osh_px_conn *c)
{
	if (osh_list_is_empty(&c->wait))
		osh_list_add_tail(&c->box->waiting, &c->wait);
	return 0;
}

static int refuse_unnamed(struct osh_px_conn *c, enum osh_reason reason)
{
	osh_px_event(c, OSH_REC_CONNECT, OSH_REC_DENY, reason, "proxy", OSH_STR_NONE);
	return -ECONNREFUSED;
}

/* Name behind a synthetic address, or the literal itself. 0; -EAGAIN; other: none. */
static int name_destination(struct osh_px_conn *c, const struct osh_addr *addr, uint32_t host_id)
{
	char text[OSH_ADDR_TEXT_MAX];
	struct osh_str host;
	int r;

	if (!host_id)
		host_id = osh_px_synthetic(addr);
	if (host_id) {
		r = osh_px_name_by_id(c->box, host_id, &host);
		if (r < 0)
			return r;
	} else {
		host = osh_str(osh_addr_text(addr, text));
	}
	c->site = osh_px_site_put(c->site);
	return osh_px_site_get(c->box, host, &c->site);
}

int osh_px_step_ident(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	int r;

	if (!c->who) {
		r = osh_px_who_get(c->box, c->rec, &c->who);
		if (r == -EAGAIN)
			return wait_monitor(c);
		if (r < 0)
			return refuse_unnamed(c, OSH_REASON_INTERNAL);
		free(c->rec);
		c->rec = NULL;
	}
	if (c->kind == OSH_FLOW_EXPLICIT && !c->connect) {
		osh_px_conn_set(c, OSH_PX_HEAD);
		osh_px_conn_deadline(c, px->cfg.timeouts.head_ms);
		return 1;
	}
	r = name_destination(c, &c->dst, c->connect ? 0 : c->host_id);
	if (r == -EAGAIN)
		return wait_monitor(c);
	if (r == -ENOSPC || r == -ENOBUFS || r == -ENOMEM)
		return refuse_unnamed(c, OSH_REASON_LIMIT);
	if (r < 0) /* an address that no name was given for: nothing can allow it */
		return refuse_unnamed(c, OSH_REASON_NO_ENDPOINT);
	return judge(c);
}

/* ---- explicit proxy: first head ---- */

static int on_connect(struct osh_px_conn *c, const struct osh_req *req)
{
	int r;

	c->connect = true;
	c->port = req->port;
	if (!osh_addr_parse(osh_str(req->host), &c->dst)) {
		osh_px_conn_set(c, OSH_PX_IDENT); /* may be one of our synthetic addresses */
		return 1;
	}
	r = osh_px_site_get(c->box, osh_str(req->host), &c->site);
	if (r < 0)
		return osh_px_answer_limit(c, too_many_names);
	return judge(c);
}

static int on_forward(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf,
		      const struct osh_req *req)
{
	struct osh_px *px = c->box->px;
	struct osh_conn_verdict v;
	char detail[OSH_HOST_MAX + 1200];
	int r;

	c->forward = true;
	c->port = req->port;
	r = osh_px_site_get(c->box, osh_str(req->host), &c->site);
	if (r < 0)
		return osh_px_answer_limit(c, too_many_names);
	osh_px_conn_decide(c, &v);
	keep_verdict(c, &v);
	log_verdict(c, &v);
	if (v.verdict != OSH_DECISION_DENY) {
		px->stats.allowed_conns++;
		c->allowed = true;
		return osh_px_request(c, head, buf);
	}
	px->stats.denied_conns++;
	snprintf(detail, sizeof(detail), "%.*s %.*s:%u%.*s not permitted by policy",
		 (int)OSH_MIN(req->method.n, 32), req->method.p, OSH_STR_FMT(osh_px_conn_host(c)),
		 c->port, (int)OSH_MIN(req->path.n, 1024), req->path.p);
	return osh_px_answer(c, 403, "policy_denied", osh_str(detail), OSH_STR_NONE,
			     osh_str(osh_conn_reason(&v)));
}

static int on_head(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf)
{
	const struct osh_req_place place = { .proxy_port = true, .allow_encoded_slash = true };
	struct osh_px *px = c->box->px;
	enum osh_req_error error = OSH_REQ_OK;

	/* The path is judged again once the endpoint has said whether it wants encoded slashes. */
	if (osh_req_build(head, buf, &place, &px->req, &error) < 0)
		return osh_px_answer_bad_request(c, error);
	return px->req.is_connect ? on_connect(c, &px->req) : on_forward(c, head, buf, &px->req);
}

int osh_px_step_head(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	const struct osh_h1_limits limits = { .head_bytes = px->cfg.limits.connect_head_bytes,
					      .fields = px->h1_limits.fields };
	struct osh_h1_head *head = &px->head;
	struct osh_str data;
	ssize_t n;
	int r;

	n = osh_chan_read(&c->chan, px->rbuf, sizeof(px->rbuf) / 2);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return n ? (int)n : OSH_PX_END;
	data = (struct osh_str){ px->rbuf, (size_t)n };
	if (c->in.len) {
		r = osh_buf_add(&c->in, px->rbuf, (size_t)n);
		if (r < 0)
			return r;
		data = osh_buf_str(&c->in);
	}
	if (c->head)
		head = c->head;
	else
		osh_h1_init(head, OSH_H1_REQUEST);
	r = osh_h1_parse(head, data.p, data.n, &limits);
	if (r == -EAGAIN) {
		if (!c->in.len && osh_buf_add(&c->in, data.p, data.n) < 0)
			return -ENOMEM;
		if (!c->head) {
			c->head = malloc(sizeof(*c->head));
			if (!c->head)
				return -ENOMEM;
			*c->head = *head;
		}
		return 1;
	}
	if (r < 0)
		return osh_px_answer_bad_head(c, head, r);
	r = on_head(c, head, data.p);
	/* What follows the head belongs to the tunnel or to the body: keep it (D25). */
	data = osh_str_sub(data, head->head_len, data.n);
	if (r >= 0 && c->connect) {
		if (osh_chan_unread(&c->chan, data.p, data.n) < 0)
			r = -ENOMEM;
		osh_buf_fini(&c->in);
	} else if (c->in.len) {
		osh_buf_consume(&c->in, head->head_len);
	} else if (osh_buf_add(&c->in, data.p, data.n) < 0) {
		r = -ENOMEM;
	}
	free(c->head);
	c->head = NULL;
	return r;
}

/* ---- tunnel set-up ---- */

/* After a policy switch: neither the destination nor its address may be what they were. */
static int judge_again(struct osh_px_conn *c)
{
	struct osh_conn_verdict v;

	osh_px_conn_decide(c, &v);
	if (v.verdict == OSH_DECISION_DENY || (c->up && !osh_px_up_still_permitted(c, c->up))) {
		osh_px_event(c, OSH_REC_CONNECT, OSH_REC_DENY,
			     v.verdict == OSH_DECISION_DENY ? v.reason
							    : OSH_REASON_SSRF_ALLOWED_IPS,
			     "opa", OSH_STR("closed: the new policy does not allow it"));
		c->allowed = false; /* said it */
		return -EPERM;
	}
	keep_verdict(c, &v); /* what was to be relayed may be inspected now */
	return 0;
}

int osh_px_dial_failed(struct osh_px_conn *c, int r)
{
	enum osh_reason why = OSH_REASON_UPSTREAM_UNREACHABLE;

	if (c->connect)
		return osh_px_answer_upstream(c, r);
	osh_px_dial_cancel(c);
	osh_lookup_cancel(&c->lookup);
	if (r == -EPERM)
		why = c->box->px->refusal.reason;
	else if (c->hop_error)
		why = OSH_REASON_UPSTREAM_PROXY;
	else if (osh_px_is_shortage(r))
		why = OSH_REASON_LIMIT;
	return deny_transparent(c, why);
}

int osh_px_step_dial(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	bool inspected;
	int r = c->generation != c->box->now.generation ? judge_again(c) : 0;

	if (r < 0)
		return r;
	inspected = c->inspect != OSH_INSPECT_NONE;
	r = osh_px_up_connected(c, inspected);
	if (r == 0 && c->up && !osh_px_up_still_permitted(c, c->up))
		r = judge_again(c); /* connected since, to an address of the policy before */
	if (r == -EAGAIN)
		return 0;
	if (r < 0) {
		return osh_px_dial_failed(c, r);
	}
	if (c->connect) {
		r = osh_chan_write(&c->chan, OSH_HTTP_ESTABLISHED,
				   sizeof(OSH_HTTP_ESTABLISHED) - 1);
		if (r < 0)
			return r;
	}
	if (!inspected) {
		osh_px_tunnel_begin(c, false);
		return 1;
	}
	osh_px_conn_set(c, OSH_PX_SNIFF);
	osh_px_conn_deadline(c, px->cfg.timeouts.sniff_ms);
	return 1;
}

/* ---- first bytes ---- */

static int refuse_tls(struct osh_px_conn *c, enum osh_reason reason, unsigned char alert,
		      struct osh_str detail)
{
	const unsigned char record[] = { 0x15, 3, 3, 0, 2, 2, alert };

	osh_px_event(c,
		     reason == OSH_REASON_TLS_CLIENT || reason == OSH_REASON_LIMIT
			     ? OSH_REC_TLS
			     : OSH_REC_AUTHORITY,
		     OSH_REC_DENY, reason, "tls", detail);
	return osh_px_answer_raw(c, (struct osh_str){ (const char *)record, sizeof(record) });
}

static int on_hello(struct osh_px_conn *c, struct osh_str data)
{
	struct osh_hello hello;
	struct osh_str sni;
	int r = osh_hello_parse(data, &hello);

	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return refuse_tls(c, OSH_REASON_TLS_CLIENT, ALERT_HANDSHAKE_FAILURE,
				  OSH_STR("malformed or too large ClientHello"));
	sni = (struct osh_str){ hello.sni, hello.sni_len };
	if (hello.sni_is_bad)
		return refuse_tls(c, OSH_REASON_SNI_MISMATCH, ALERT_UNRECOGNIZED_NAME,
				  OSH_STR("malformed server name"));
	if (hello.ech == OSH_HELLO_ECH_BAD ||
	    (hello.ech == OSH_HELLO_ECH_OUTER && !hello.ech_grease_like))
		return refuse_tls(c, OSH_REASON_TLS_ECH, ALERT_HANDSHAKE_FAILURE, OSH_STR_NONE);
	/* A missing name harms nobody here: certificate, Host and upstream are bound to ours. */
	if (hello.has_sni && !c->deny && !osh_host_same(sni, osh_px_conn_host(c)))
		return refuse_tls(c, OSH_REASON_SNI_MISMATCH, ALERT_UNRECOGNIZED_NAME, sni);
	/* Whoever is denied shall be able to read it: show the name it wants to see. */
	c->leaf_site = osh_px_site_put(c->leaf_site);
	if (c->deny && hello.has_sni && osh_mint_host_is_valid(sni))
		r = osh_px_site_get(c->box, sni, &c->leaf_site);
	else
		r = osh_px_site_get(c->box, osh_px_conn_host(c), &c->leaf_site);
	if (r < 0)
		return refuse_tls(c, OSH_REASON_LIMIT, ALERT_INTERNAL_ERROR, too_many_names);
	c->tls = true;
	osh_px_conn_set(c, OSH_PX_LEAF);
	osh_px_conn_deadline(c, c->box->px->cfg.timeouts.identity_ms);
	return 1;
}

static int on_unknown_protocol(struct osh_px_conn *c, enum osh_sniff what)
{
	if (c->deny)
		return -ECONNREFUSED;
	osh_px_event(c, OSH_REC_PARSER_REJECT, OSH_REC_DENY, OSH_REASON_L7_PROTOCOL, "l7",
		     osh_str(osh_sniff_name(what)));
	return osh_px_answer(c, 403, "unsupported_l7_protocol", OSH_STR_NONE,
			     OSH_STR("only HTTP/1.1 can be inspected on this endpoint"),
			     OSH_STR_NONE);
}

int osh_px_step_sniff(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	struct osh_str data;
	enum osh_sniff what;
	ssize_t n;
	int r;

	n = osh_chan_read(&c->chan, px->rbuf, OSH_HELLO_WIRE_MAX);
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	if (n && osh_buf_add(&c->in, px->rbuf, (size_t)n) < 0)
		return -EMSGSIZE;
	data = osh_buf_str(&c->in);
	if (!data.n)
		return OSH_PX_END;
	what = osh_sniff(data, n == 0);
	/* half a ClientHello must not pass as something else */
	if (n == 0 && what == OSH_SNIFF_TLS)
		return OSH_PX_END;
	switch (what) {
	case OSH_SNIFF_MORE:
		return 1;
	case OSH_SNIFF_TLS:
		r = on_hello(c, data);
		if (!r)
			return data.n > OSH_HELLO_WIRE_MAX ? -EMSGSIZE : 1;
		break;
	case OSH_SNIFF_HTTP1:
		osh_px_conn_set(c, OSH_PX_REQUEST);
		osh_px_conn_deadline(c, px->cfg.timeouts.head_ms);
		return 1; /* c->in is where the request parser looks first */
	default:
		return on_unknown_protocol(c, what);
	}
	if (c->state == OSH_PX_LEAF) {
		if (osh_chan_unread(&c->chan, data.p, data.n) < 0)
			return -ENOMEM;
		osh_buf_fini(&c->in);
	}
	return r;
}

int osh_px_step_leaf(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	int r = osh_px_site_leaf(c->leaf_site, c);

	if (r == -EAGAIN)
		return 0;
	if (!r)
		r = osh_chan_server(&c->chan, c->box->scope, c->leaf_site->leaf);
	if (r == -EDQUOT)
		return refuse_tls(c, OSH_REASON_LIMIT, ALERT_INTERNAL_ERROR,
				  OSH_STR("too many new certificates at once"));
	if (r < 0)
		return refuse_tls(c, OSH_REASON_TLS_CLIENT, ALERT_HANDSHAKE_FAILURE,
				  OSH_STR("no certificate for this name"));
	osh_px_conn_set(c, OSH_PX_TLS);
	osh_px_conn_deadline(c, px->cfg.timeouts.handshake_ms);
	return 1;
}

int osh_px_step_tls(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	int r = osh_chan_handshake(&c->chan);
	const char *sni;

	if (r == -EAGAIN)
		return 0;
	if (r < 0) {
		osh_px_event(c, OSH_REC_TLS, OSH_REC_NOTE, OSH_REASON_TLS_CLIENT, "tls",
			     osh_str(osh_chan_error(&c->chan)));
		return OSH_PX_END;
	}
	/* A second ClientHello (after HelloRetryRequest) might carry another name. */
	sni = osh_chan_sni(&c->chan);
	if (sni && !c->deny) {
		struct osh_host host;

		if (osh_host_parse(osh_str(sni), 0, &host) < 0 ||
		    !osh_host_same(osh_host_str(&host), osh_px_conn_host(c))) {
			osh_px_event(c, OSH_REC_AUTHORITY, OSH_REC_DENY, OSH_REASON_SNI_MISMATCH,
				     "tls", osh_str(sni));
			return -EPERM;
		}
	}
	if (osh_chan_resumed(&c->chan))
		px->stats.resumed_client++;
	osh_chan_hold(&c->chan); /* the ticket goes with the first response */
	osh_px_conn_set(c, OSH_PX_REQUEST);
	osh_px_conn_deadline(c, px->cfg.timeouts.head_ms);
	return 1;
}
