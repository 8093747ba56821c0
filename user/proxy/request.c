/* SPDX-License-Identifier: MIT */
#include "http/sniff.h"
#include "proxy/worker.h"

#include <stdio.h>

/* One request head: parse, canonicalise, decide, write down what the upstream will get. */

/* ---- denials ---- */

/* The connection itself is denied: say so in the client's protocol (D26). */
static int deny_connection(struct osh_px_conn *c, const struct osh_conn_verdict *v,
			   const struct osh_req *req)
{
	struct osh_px *px = c->box->px;
	char detail[OSH_HOST_MAX + 1200];

	px->stats.denied_requests++;
	snprintf(detail, sizeof(detail), "%.*s %.*s:%u%.*s not permitted by policy",
		 (int)OSH_MIN(req->method.n, 32), req->method.p, OSH_STR_FMT(osh_px_conn_host(c)),
		 c->port, (int)OSH_MIN(req->path.n, 1024), req->path.p);
	return osh_px_answer(
		c, 403, "policy_denied", osh_str(detail), OSH_STR_NONE,
		osh_str(v ? osh_conn_reason(v) : osh_reason_text((enum osh_reason)c->deny)));
}

/* It was allowed when it came, and has said nothing yet of not being so any more. */
static void log_withdrawn(struct osh_px_conn *c, const struct osh_conn_verdict *v,
			  const struct osh_req *req)
{
	const struct osh_request_facts facts = { .method = req->method, .path = req->path };
	const struct osh_req_verdict rv = {
		.verdict = OSH_DECISION_DENY,
		.reason = v->reason,
		.generation = v->generation,
		.key = v->key,
		.name = v->name,
	};
	struct osh_rec rec;

	osh_px_request_event(c, &rv, &facts, osh_str(osh_conn_reason(v)), &rec);
	osh_px_event_put(c->box->px, &rec);
}

static int refuse(struct osh_px_conn *c, unsigned int status, const char *error,
		  enum osh_reason reason, struct osh_str why)
{
	c->box->px->stats.bad_requests++;
	osh_px_event(c, OSH_REC_PARSER_REJECT, OSH_REC_DENY, reason, "http-parser", why);
	return osh_px_answer(c, status, error, OSH_STR_NONE, why, OSH_STR_NONE);
}

/* ---- what the upstream gets ---- */

static int put(struct osh_buf *out, struct osh_str a, struct osh_str b, struct osh_str d)
{
	int r = osh_buf_reserve(out, a.n + b.n + d.n);

	if (r < 0)
		return r;
	memcpy(out->data + out->len, a.p, a.n);
	out->len += a.n;
	if (b.n)
		memcpy(out->data + out->len, b.p, b.n);
	out->len += b.n;
	if (d.n)
		memcpy(out->data + out->len, d.p, d.n);
	out->len += d.n;
	return 0;
}

static int put_host(struct osh_px_conn *c, struct osh_buf *out)
{
	struct osh_str host = osh_px_conn_host(c);
	/* by its text: "::ffff:1.2.3.4" is an IPv4 address in IPv6 notation */
	bool v6 = c->site->is_addr && osh_str_find(host, ':') != host.n;
	uint16_t usual = c->tls ? 443 : 80;
	char port[8] = "";

	if (c->port != usual)
		snprintf(port, sizeof(port), ":%u", c->port);
	if (v6)
		return osh_buf_printf(out, "Host: [%.*s]%s\r\n", OSH_STR_FMT(host), port);
	if (port[0])
		return osh_buf_printf(out, "Host: %.*s%s\r\n", OSH_STR_FMT(host), port);
	return put(out, OSH_STR("Host: "), host, OSH_STR("\r\n"));
}

/* Fields that the proxy writes itself, or that must not pass. */
static bool is_ours(const struct osh_h1_field *f)
{
	return f->hop || f->id == OSH_HF_HOST || f->id == OSH_HF_CONTENT_LENGTH ||
	       f->id == OSH_HF_TRANSFER_ENCODING || f->id == OSH_HF_PATH_OVERRIDE;
}

static int put_fields(const struct osh_h1_head *head, const char *buf, struct osh_buf *out)
{
	for (unsigned int i = 0; i < head->n_fields; i++) {
		const struct osh_h1_field *f = &head->fields[i];
		int r;

		if (is_ours(f))
			continue;
		/* name and value are valid: the line is written as it was, blanks trimmed */
		r = put(out, osh_h1_name(f, buf), OSH_STR(": "), osh_h1_value(f, buf));
		if (!r)
			r = osh_buf_add(out, "\r\n", 2);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_framing(struct osh_px_conn *c, const struct osh_h1_head *head, struct osh_buf *out)
{
	int r = 0;

	if (head->body == OSH_H1_BODY_CHUNKED)
		r = osh_buf_add_str(out, OSH_STR("Transfer-Encoding: chunked\r\n"));
	else if (head->length != OSH_H1_LEN_NONE)
		r = osh_buf_printf(out, "Content-Length: %llu\r\n",
				   (unsigned long long)head->length);
	if (!r && c->upgrade)
		r = osh_buf_add_str(out, OSH_STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
	else if (!r && c->last)
		r = osh_buf_add_str(out, OSH_STR("Connection: close\r\n"));
	if (!r && c->forward)
		r = osh_buf_add_str(out, OSH_STR("Via: 1.1 openshell-sandbox\r\n"));
	return r ? r : osh_buf_add(out, "\r\n", 2);
}

static int serialise(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf,
		     const struct osh_req *req)
{
	struct osh_buf *out = &c->req;
	int r;

	osh_buf_reset(out);
	r = put(out, req->method, OSH_STR(" "), req->path);
	if (!r && req->query.p)
		r = put(out, OSH_STR("?"), req->query, OSH_STR_NONE);
	if (!r)
		r = osh_buf_add_str(out, OSH_STR(" HTTP/1.1\r\n"));
	if (!r)
		r = put_host(c, out);
	if (!r)
		r = put_fields(head, buf, out);
	return r ? r : put_framing(c, head, out);
}

/* ---- the request ---- */

/*
 * Origins that answer without having read the body take it for the next request: one that nobody
 * has judged. Some do so unless the method is one that usually has a body, or when they were asked for
 * permission to send it. Such a request is the last one on its upstream connection, and says so. A
 * method that is HEAD but for its case is one, too: nobody can tell where the response ends.
 */
static bool is_last(const struct osh_h1_head *head, const char *buf)
{
	struct osh_str method = osh_h1_method(head, buf);

	if (head->body != OSH_H1_BODY_NONE && !osh_str_is(method, "POST") &&
	    !osh_str_is(method, "PUT") && !osh_str_is(method, "PATCH"))
		return true;
	return head->expect_continue ||
	       (osh_str_ieq(method, OSH_STR("HEAD")) && !osh_str_is(method, "HEAD"));
}

/* RFC 9110 9.2.2: what may be sent twice. */
static bool is_idempotent(struct osh_str method)
{
	static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(methods); i++)
		if (osh_str_is(method, methods[i]))
			return true;
	return false;
}

static void begin(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf)
{
	c->is_head = osh_str_is(osh_h1_method(head, buf), "HEAD");
	c->http10 = head->minor == 0;
	c->expect = head->expect_continue && head->minor == 1;
	/* the only one there is a check for: any other protocol would be a relay past the rules */
	c->upgrade = osh_ws_upgrade_is_valid(head, buf);
	c->last = is_last(head, buf);
	c->once = !is_idempotent(osh_h1_method(head, buf)) || head->body != OSH_H1_BODY_NONE ||
		  c->upgrade;
	c->close_after = !osh_h1_persistent(head, head->body) || c->forward || c->box->px->draining;
	c->resp_begun = c->resp_chunked = c->stream = c->up_eof = c->client_eof = false;
	c->retries = 0;
	c->alone = false;
	c->req_body = (struct osh_px_body){
		.kind = (uint8_t)head->body,
		.left = head->body == OSH_H1_BODY_LENGTH ? head->length : 0,
		.done = head->body == OSH_H1_BODY_NONE ||
			(head->body == OSH_H1_BODY_LENGTH && !head->length),
	};
	c->resp_body = (struct osh_px_body){ 0 };
	if (head->body == OSH_H1_BODY_CHUNKED)
		osh_chunked_init(&c->req_body.chunked);
}

/* Facts of the request and the decision by the current image. */
static void decide(struct osh_px_conn *c, const struct osh_request_facts *facts,
		   struct osh_req_verdict *ret)
{
	const struct osh_idclass *cls = osh_px_who_class(c->box, c->who);

	*ret = (struct osh_req_verdict){ .verdict = OSH_DECISION_DENY,
					 .reason = OSH_REASON_INTERNAL };
	if (cls && c->box->now.img)
		osh_decide_request(c->box->now.img, cls, osh_px_conn_host(c), c->port, facts, ret);
}

/*
 * Origins that honour such a field carry out its method instead: it must be allowed as well.
 * *facts and *ret are what is refused.
 */
static bool overrides_allowed(struct osh_px_conn *c, const struct osh_h1_head *head,
			      const char *buf, struct osh_request_facts *facts,
			      struct osh_req_verdict *ret)
{
	for (size_t i = 0; i < head->n_fields; i++) {
		if (head->fields[i].id != OSH_HF_METHOD_OVERRIDE)
			continue;
		facts->method = osh_h1_value(&head->fields[i], buf);
		decide(c, facts, ret);
		if (!osh_h1_is_token(facts->method)) {
			/* a list, or nothing: who knows which of them it takes */
			facts->method = OSH_STR("?");
			ret->verdict = OSH_DECISION_DENY;
			ret->reason = OSH_REASON_L7_NOT_PERMITTED;
		}
		if (ret->verdict == OSH_DECISION_DENY)
			return false;
	}
	return true;
}

/* Does the policy want to judge what follows the upgrade? A blind relay would bypass it. */
static bool judges_messages(struct osh_px_conn *c, const struct osh_request_facts *facts)
{
	const struct osh_idclass *cls = osh_px_who_class(c->box, c->who);
	struct osh_route route;

	if (c->inspect == OSH_INSPECT_AUTHORITY)
		return false;
	if (!cls)
		return true;
	osh_decide_route(c->box->now.img, cls, osh_px_conn_host(c), c->port, facts->path, &route);
	return !route.found || route.ws_messages || route.inspect != OSH_INSPECT_REST;
}

int osh_px_request(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf)
{
	struct osh_px *px = c->box->px;
	struct osh_req_place place = {
		.proxy_port = c->forward,
		.tls = c->tls,
		.host = osh_px_conn_host(c),
		.port = c->port,
	};
	enum osh_req_error error = OSH_REQ_OK;
	struct osh_req_verdict rv;
	struct osh_conn_verdict v;
	struct osh_req *req = &px->req;
	struct osh_request_facts facts;
	struct osh_rec rec;
	int r;

	px->stats.requests++;
	begin(c, head, buf);
	if (head->expect_other)
		return refuse(c, 417, "expectation_failed", OSH_REASON_HTTP_PARSE,
			      OSH_STR("unknown expectation"));
	/* D20: judged by what is current now, the connection first */
	if (c->generation != c->box->now.generation || c->deny) {
		osh_px_conn_decide(c, &v);
		c->inspect = (uint8_t)v.inspect;
		c->slashes = v.allow_encoded_slash;
		c->generation = v.generation;
	} else {
		v.verdict = OSH_DECISION_ALLOW;
	}
	place.allow_encoded_slash = c->slashes;
	if (c->deny) /* whatever Host says, the answer is the same */
		place.host = OSH_STR_NONE;
	r = osh_req_build(head, buf, &place, req, &error);
	if (c->deny || v.verdict == OSH_DECISION_DENY) {
		if (r < 0) {
			req->method = osh_h1_method(head, buf);
			req->path = OSH_STR("");
		}
		if (!c->deny)
			log_withdrawn(c, &v, req);
		return deny_connection(c, v.verdict == OSH_DECISION_DENY ? &v : NULL, req);
	}
	if (r < 0)
		return osh_px_answer_bad_request(c, error);
	/* what follows a 2xx to it is no HTTP any more: another origin's, for all we know */
	if (osh_str_ieq(req->method, OSH_STR("CONNECT")))
		return refuse(c, 403, "policy_denied", OSH_REASON_HTTP_UPGRADE,
			      OSH_STR("CONNECT is for the proxy, not for what is behind it"));
	facts = (struct osh_request_facts){
		.method = req->method,
		.path = req->path,
		.query = req->query.p ? &req->params : NULL,
		.has_body = head->body != OSH_H1_BODY_NONE,
		.is_ws_upgrade = c->upgrade,
	};
	decide(c, &facts, &rv);
	if (rv.verdict == OSH_DECISION_DENY)
		return osh_px_deny(c, &rv, &facts);
	if (osh_h1_find(head, OSH_HF_METHOD_OVERRIDE)) {
		struct osh_request_facts other = facts;
		struct osh_req_verdict v2;

		if (!overrides_allowed(c, head, buf, &other, &v2))
			return osh_px_deny(c, &v2, &other);
	}
	if (c->upgrade && judges_messages(c, &facts))
		return refuse(c, 403, "unsupported_l7_protocol", OSH_REASON_L7_PROTOCOL,
			      OSH_STR("messages of this endpoint cannot be inspected"));
	osh_buf_reset(&px->out);
	if (rv.verdict == OSH_DECISION_AUDIT && osh_req_reason(&rv, &facts, &px->out) < 0)
		osh_buf_reset(&px->out);
	osh_px_request_event(c, &rv, &facts, osh_buf_str(&px->out), &rec);
	osh_px_event_put(px, &rec);
	r = serialise(c, head, buf, req);
	if (r < 0)
		return r;
	osh_px_conn_set(c, OSH_PX_ROUTE);
	osh_px_conn_deadline(c, px->cfg.timeouts.resolve_ms);
	return 1;
}

bool osh_px_request_allowed_now(struct osh_px_conn *c)
{
	struct osh_str line = osh_buf_str(&c->req), target;
	struct osh_px *px = c->box->px;
	struct osh_request_facts facts;
	struct osh_req_verdict v;
	size_t n = 0;

	/* what was sent begins with the canonical request line */
	if (!osh_str_split(&line, ' ', &facts.method) || !osh_str_split(&line, ' ', &target))
		return false;
	facts = (struct osh_request_facts){ .method = facts.method };
	facts.has_body = c->req_body.kind != OSH_H1_BODY_NONE;
	facts.is_ws_upgrade = c->upgrade;
	facts.path = osh_str_sub(target, 0, osh_str_find(target, '?'));
	if (facts.path.n < target.n) {
		if (osh_query_decode(osh_str_sub(target, facts.path.n + 1, target.n),
				     px->req.query_mem, sizeof(px->req.query_mem), px->req.pairs,
				     OSH_REQ_PAIRS_MAX, &n) < 0)
			return false;
		px->req.params = (struct osh_query){ px->req.pairs, n };
		facts.query = &px->req.params;
	}
	decide(c, &facts, &v);
	return v.verdict != OSH_DECISION_DENY;
}

/* ---- states ---- */

static int keep_partial(struct osh_px_conn *c, struct osh_str data, bool from_in)
{
	struct osh_px *px = c->box->px;

	if (!from_in && osh_buf_add(&c->in, data.p, data.n) < 0)
		return -ENOMEM;
	if (!c->head) {
		c->head = malloc(sizeof(*c->head));
		if (!c->head)
			return -ENOMEM;
		*c->head = px->head;
		/* the clock of this head starts with its first byte */
		osh_px_conn_deadline(c, px->cfg.timeouts.head_ms);
	}
	return 0;
}

int osh_px_step_request(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	bool from_in = c->in.len > 0, fresh = from_in && !c->head;
	struct osh_h1_head *head = c->head ? c->head : &px->head;
	struct osh_str data = osh_buf_str(&c->in);
	ssize_t n = -EAGAIN;
	int r;

	/* bytes read ahead come first; they may be a whole request */
	if (!fresh) {
		if (!osh_chan_has_pending(&c->chan))
			return 0;
		n = osh_chan_read(&c->chan, px->rbuf, sizeof(px->rbuf));
		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return n == 0 && !from_in ? OSH_PX_END : n ? (int)n : -ECONNRESET;
		data = (struct osh_str){ px->rbuf, (size_t)n };
		if (from_in) {
			r = osh_buf_add(&c->in, px->rbuf, (size_t)n);
			if (r < 0)
				return r;
			data = osh_buf_str(&c->in);
		}
	}
	if (!c->head)
		osh_h1_init(head, OSH_H1_REQUEST);
	r = osh_h1_parse(head, data.p, data.n, &px->h1_limits);
	if (r == -EAGAIN) {
		r = keep_partial(c, data, from_in);
		return r < 0 ? r : 1;
	}
	c->is_head = false;
	if (r < 0)
		return osh_px_answer_bad_head(c, head, r);
	r = osh_px_request(c, head, data.p);
	if (c->state != OSH_PX_CLOSED && r >= 0) {
		if (from_in)
			osh_buf_consume(&c->in, head->head_len);
		else if (osh_buf_add(&c->in, data.p + head->head_len, data.n - head->head_len) < 0)
			r = -ENOMEM;
	}
	free(c->head);
	c->head = NULL;
	return r;
}

int osh_px_step_drain(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	size_t take;

	/* only bodies of known, small length come here */
	for (size_t turn = 0; turn < OSH_PX_TURN_BYTES; turn += OSH_PX_READ_COST) {
		if (c->in.len) {
			take = (size_t)OSH_MIN((uint64_t)c->in.len, c->req_body.left);
			osh_buf_consume(&c->in, take);
			c->req_body.left -= take;
		}
		if (!c->req_body.left) {
			c->req_body.done = true;
			return osh_px_answered(c, true);
		}
		ssize_t n = osh_chan_read(&c->chan, px->rbuf, sizeof(px->rbuf));

		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return OSH_PX_END;
		if (osh_buf_add(&c->in, px->rbuf, (size_t)n) < 0)
			return -ENOMEM;
	}
	return OSH_PX_YIELD;
}

int osh_px_step_route(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	int r = osh_px_up_ready(c);

	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return osh_px_answer_upstream(c, r);
	osh_px_send_request(c);
	osh_px_conn_set(c, OSH_PX_EXCHANGE);
	osh_px_conn_deadline(c, c->req_body.done ? px->cfg.timeouts.response_ms
						 : px->cfg.timeouts.body_ms);
	return 1;
}
