/* SPDX-License-Identifier: MIT */
#include "http/wskey.h"
#include "proxy/worker.h"

/*
 * A request that was sent: its body goes up, the response comes down, both re-framed. Reading a side
 * stops while the other side's socket is full.
 */

enum {
	JOIN_MAX = 16384, /* head and first body bytes up to this leave as one TLS record */
};

/* ---- bodies ---- */

/* Is there room towards @to, or could it be made? */
static bool has_room(struct osh_chan *to)
{
	if (osh_chan_backlog(to) < OSH_PX_BACKLOG_HIGH)
		return true;
	return osh_chan_flush(to) != -EAGAIN || osh_chan_backlog(to) < OSH_PX_BACKLOG_HIGH;
}

/*
 * Append what @in holds of a chunked body to px->wbuf at *at, coded anew (or bare with @bare).
 * *ret_used bytes were taken; sets body->done at the end. @in is at most a read buffer, and coding
 * anew never adds more than a chunk header per slice.
 */
static int recode(struct osh_px *px, struct osh_px_body *body, struct osh_str in, bool bare,
		  size_t *at, size_t *ret_used)
{
	size_t used_all = 0;

	while (!body->done && used_all < in.n) {
		struct osh_str slice;
		size_t used = 0;
		int r = osh_chunked_next(&body->chunked, osh_str_sub(in, used_all, in.n), &used,
					 &slice);

		if (r < 0 && r != -EAGAIN)
			return r;
		used_all += used;
		if (slice.n) {
			if (sizeof(px->wbuf) - *at < slice.n + 32)
				return -EMSGSIZE;
			if (!bare)
				*at += osh_chunk_head(px->wbuf + *at, slice.n);
			memcpy(px->wbuf + *at, slice.p, slice.n);
			*at += slice.n;
			if (!bare) {
				memcpy(px->wbuf + *at, "\r\n", 2);
				*at += 2;
			}
		}
		if (r == 1) {
			body->done = true;
			if (!bare) {
				memcpy(px->wbuf + *at, OSH_CHUNK_END, sizeof(OSH_CHUNK_END) - 1);
				*at += sizeof(OSH_CHUNK_END) - 1;
			}
		}
		if (r == -EAGAIN)
			break;
	}
	*ret_used = used_all;
	return 0;
}

/* Send the part of @in that belongs to the body. *ret_used: how much that was. */
static int relay_body(struct osh_px *px, struct osh_px_body *body, struct osh_str in, bool bare,
		      struct osh_chan *to, size_t *ret_used)
{
	size_t at = 0;
	int r;

	switch (body->kind) {
	case OSH_H1_BODY_LENGTH:
		*ret_used = (size_t)OSH_MIN((uint64_t)in.n, body->left);
		body->left -= *ret_used;
		body->done = !body->left;
		return osh_chan_write(to, in.p, *ret_used);
	case OSH_H1_BODY_CLOSE:
		*ret_used = in.n;
		return osh_chan_write(to, in.p, in.n);
	case OSH_H1_BODY_CHUNKED:
		r = recode(px, body, in, bare, &at, ret_used);
		return r < 0 ? r : osh_chan_write(to, px->wbuf, at);
	default:
		*ret_used = 0;
		return 0;
	}
}

/* ---- request ---- */

/* How much of the body can leave in the record of the head? */
static size_t joined(const struct osh_px_conn *c)
{
	size_t n = (size_t)OSH_MIN((uint64_t)c->in.len, c->req_body.left);

	return c->up->chan.ssl && c->req_body.kind == OSH_H1_BODY_LENGTH &&
			       c->req.len + n <= JOIN_MAX
		       ? n
		       : 0;
}

void osh_px_send_request(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	size_t n = joined(c);
	struct osh_str out = osh_buf_str(&c->req);

	if (n) {
		memcpy(px->wbuf, out.p, out.n);
		memcpy(px->wbuf + out.n, c->in.data, n);
		out = (struct osh_str){ px->wbuf, out.n + n };
		osh_buf_consume(&c->in, n);
		c->req_body.left -= n;
		c->req_body.done = !c->req_body.left;
	}
	c->bytes_up += out.n;
	if (osh_chan_write(&c->up->chan, out.p, out.n) < 0)
		c->up->state = OSH_PX_UP_DEAD; /* step_exchange() knows when a retry is safe */
}

/* Its body. 0: nothing more for now; <0: the connection cannot go on. */
static int pump_up(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	size_t moved = 0;

	while (!c->req_body.done && moved < OSH_PX_TURN_BYTES && has_room(&c->up->chan)) {
		struct osh_str data = osh_buf_str(&c->in);
		bool from_in = data.n > 0;
		size_t used = 0;
		int r;

		if (!from_in) {
			ssize_t n;

			if (!osh_chan_has_pending(&c->chan))
				break;
			n = osh_chan_read(&c->chan, px->rbuf, sizeof(px->rbuf));
			if (n == -EAGAIN)
				break;
			if (n <= 0)
				return n ? (int)n : -ECONNRESET;
			data = (struct osh_str){ px->rbuf, (size_t)n };
		}
		data.n = OSH_MIN(data.n, (size_t)OSH_PX_RBUF_BYTES);
		r = relay_body(px, &c->req_body, data, false, &c->up->chan, &used);
		if (r == -EBADMSG || r == -EMSGSIZE)
			return r;
		if (r < 0)
			c->up->state = OSH_PX_UP_DEAD; /* its answer may be here all the same */
		moved += OSH_MAX(used, (size_t)OSH_PX_READ_COST);
		c->bytes_up += used;
		if (from_in)
			osh_buf_consume(&c->in, used);
		else if (used < data.n && osh_buf_add(&c->in, data.p + used, data.n - used) < 0)
			return -ENOMEM;
		if (r < 0)
			break;
		osh_px_conn_deadline(c, c->req_body.done ? px->cfg.timeouts.response_ms
							 : px->cfg.timeouts.body_ms);
	}
	return moved >= OSH_PX_TURN_BYTES ? OSH_PX_YIELD : 0;
}

/* ---- response head ---- */

static int put(struct osh_px *px, size_t *at, struct osh_str s)
{
	if (sizeof(px->wbuf) - *at < s.n)
		return -EMSGSIZE;
	memcpy(px->wbuf + *at, s.p, s.n);
	*at += s.n;
	return 0;
}

/* Decimal; printf() takes longer than the rest of the head together. */
static int put_number(struct osh_px *px, size_t *at, uint64_t value)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return put(px, at, (struct osh_str){ digits + i, sizeof(digits) - i });
}

static bool is_ours(const struct osh_h1_field *f)
{
	return f->hop || f->id == OSH_HF_CONTENT_LENGTH || f->id == OSH_HF_TRANSFER_ENCODING;
}

/* Status line and fields without framing; the caller adds it and the empty line. */
static int put_head(struct osh_px *px, const struct osh_h1_head *head, const char *buf, size_t *at)
{
	int r = put(px, at, OSH_STR("HTTP/1.1 "));

	if (!r)
		r = put_number(px, at, head->status);
	if (!r)
		r = put(px, at, OSH_STR(" "));
	if (!r)
		r = put(px, at, (struct osh_str){ buf + head->reason_off, head->reason_len });
	if (!r)
		r = put(px, at, OSH_STR("\r\n"));
	for (unsigned int i = 0; !r && i < head->n_fields; i++) {
		const struct osh_h1_field *f = &head->fields[i];

		if (is_ours(f))
			continue;
		r = put(px, at, osh_h1_name(f, buf));
		if (!r)
			r = put(px, at, OSH_STR(": "));
		if (!r)
			r = put(px, at, osh_h1_value(f, buf));
		if (!r)
			r = put(px, at, OSH_STR("\r\n"));
	}
	return r;
}

static int put_length(struct osh_px *px, uint64_t length, size_t *at)
{
	int r = put(px, at, OSH_STR("Content-Length: "));

	if (!r)
		r = put_number(px, at, length);
	return r ? r : put(px, at, OSH_STR("\r\n"));
}

static int put_final_framing(struct osh_px_conn *c, const struct osh_h1_head *head, size_t *at)
{
	struct osh_px *px = c->box->px;
	bool bodiless = head->status == 204;
	int r = 0;

	if (c->resp_body.kind == OSH_H1_BODY_CHUNKED && c->resp_chunked)
		r = put(px, at, OSH_STR("Transfer-Encoding: chunked\r\n"));
	else if (head->length != OSH_H1_LEN_NONE && !bodiless && !head->chunked)
		r = put_length(px, head->length, at); /* also what HEAD and 304 say */
	if (!r && c->close_after)
		r = put(px, at, OSH_STR("Connection: close\r\n"));
	else if (!r && c->http10) /* which waits for the close unless it is told not to */
		r = put(px, at, OSH_STR("Connection: keep-alive\r\n"));
	return r ? r : put(px, at, OSH_STR("\r\n"));
}

/* 100, 102, 103: passed on as they come; the final answer is still to be. */
static int on_interim(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf)
{
	struct osh_px *px = c->box->px;
	size_t at = 0;
	int r;

	if (c->http10)
		return 0; /* RFC 9110 15.2 */
	r = put_head(px, head, buf, &at);
	if (!r)
		r = put(px, &at, OSH_STR("\r\n"));
	return r < 0 ? r : osh_chan_write(&c->chan, px->wbuf, at);
}

static int bad_response(struct osh_px_conn *c, struct osh_str why)
{
	osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_HTTP_RESPONSE, "http-parser",
		     why);
	return osh_px_answer(c, 502, "invalid_upstream_response", OSH_STR_NONE,
			     OSH_STR("the upstream's response is malformed"), OSH_STR_NONE);
}

/* Has the upstream read the key that was sent? A status that somebody made it say is not enough. */
static bool is_accepted(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf)
{
	const struct osh_h1_limits limits = { OSH_H1_HEAD_MAX, OSH_H1_FIELDS_MAX };
	struct osh_str sent = osh_buf_str(&c->req);
	struct osh_h1_head request;

	osh_h1_init(&request, OSH_H1_REQUEST);
	return osh_h1_parse(&request, sent.p, sent.n, &limits) == 0 &&
	       osh_h1_count(head, OSH_HF_SEC_WEBSOCKET_ACCEPT) == 1 &&
	       osh_ws_accept_is_valid(osh_h1_get(&request, sent.p, OSH_HF_SEC_WEBSOCKET_KEY),
				      osh_h1_get(head, buf, OSH_HF_SEC_WEBSOCKET_ACCEPT));
}

/* 101: only when asked for, and for what was asked for. */
static int on_switch(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf,
		     struct osh_str rest)
{
	struct osh_px *px = c->box->px;
	size_t at = 0;
	int r;

	if (!c->upgrade || !c->req_body.done || !head->upgrade || !head->websocket || head->h2c)
		return bad_response(c, OSH_STR("101 that was not asked for"));
	if (!is_accepted(c, head, buf))
		return bad_response(c, OSH_STR("101 that does not answer the key"));
	r = put_head(px, head, buf, &at);
	if (!r)
		r = put(px, &at, OSH_STR("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
	if (!r)
		r = osh_chan_write(&c->chan, px->wbuf, at);
	if (!r && rest.n)
		r = osh_chan_write(&c->chan, rest.p, rest.n);
	if (r < 0)
		return r;
	c->bytes_down += at + rest.n;
	osh_px_tunnel_begin(c, true);
	return 1;
}

/*
 * A final head: write it together with the first bytes of the body. *ret_used counts the body
 * bytes of @rest that were taken.
 */
static int on_final(struct osh_px_conn *c, const struct osh_h1_head *head, const char *buf,
		    struct osh_str rest, size_t *ret_used)
{
	struct osh_px *px = c->box->px;
	struct osh_str type = osh_h1_get(head, buf, OSH_HF_CONTENT_TYPE);
	enum osh_h1_body kind = osh_h1_response_body(head,
						     c->is_head ? OSH_STR("HEAD") : OSH_STR("GET"));
	size_t at = 0;
	int r;

	c->resp_begun = true;
	c->status = head->status;
	c->resp_body = (struct osh_px_body){
		.kind = (uint8_t)kind,
		.left = kind == OSH_H1_BODY_LENGTH ? head->length : 0,
		.done = kind == OSH_H1_BODY_NONE || (kind == OSH_H1_BODY_LENGTH && !head->length),
	};
	osh_chunked_init(&c->resp_body.chunked);
	c->up_eof = c->last || !osh_h1_persistent(head, kind);
	c->resp_chunked = kind == OSH_H1_BODY_CHUNKED && !c->http10;
	/* an answer before the end of the request body leaves the client's bytes in doubt */
	if (kind == OSH_H1_BODY_CLOSE || (kind == OSH_H1_BODY_CHUNKED && c->http10) ||
	    !c->req_body.done)
		c->close_after = true;
	c->stream = type.n >= 17 &&
		    osh_str_ieq(osh_str_sub(type, 0, 17), OSH_STR("text/event-stream"));
	r = put_head(px, head, buf, &at);
	if (!r)
		r = put_final_framing(c, head, &at);
	if (r < 0)
		return r;
	*ret_used = 0;
	if (kind == OSH_H1_BODY_LENGTH && at + rest.n <= JOIN_MAX) {
		*ret_used = (size_t)OSH_MIN((uint64_t)rest.n, c->resp_body.left);
		memcpy(px->wbuf + at, rest.p, *ret_used);
		at += *ret_used;
		c->resp_body.left -= *ret_used;
		c->resp_body.done = !c->resp_body.left;
	} else if (kind == OSH_H1_BODY_CHUNKED && rest.n + at <= JOIN_MAX) {
		r = recode(px, &c->resp_body, rest, !c->resp_chunked, &at, ret_used);
		if (r < 0)
			return r;
	}
	c->bytes_down += at;
	return osh_chan_write(&c->chan, px->wbuf, at);
}

/* ---- response ---- */

/* Bytes beyond the response: the upstream talks out of turn and is not to be reused. */
static void check_surplus(struct osh_px_conn *c, struct osh_str rest)
{
	if (c->resp_body.done && rest.n)
		c->up_eof = true;
}

/* Body bytes after the head. */
static int feed_body(struct osh_px_conn *c, struct osh_str data)
{
	struct osh_px *px = c->box->px;
	size_t used = 0;
	int r;

	if (data.n && !c->resp_body.done) {
		r = relay_body(px, &c->resp_body, data, !c->resp_chunked, &c->chan, &used);
		if (r < 0)
			return r; /* mid-body: the client must not take it for complete */
		c->bytes_down += used;
	}
	check_surplus(c, osh_str_sub(data, used, data.n));
	return 0;
}

/*
 * One or more heads and what follows. *ret_used: bytes taken of @data; less than all only while a
 * head is incomplete. 1: state changed.
 */
static int feed(struct osh_px_conn *c, struct osh_str data, size_t *ret_used)
{
	struct osh_px *px = c->box->px;
	size_t at = 0;

	while (!c->resp_begun) {
		struct osh_h1_head *head = c->head ? c->head : &px->head;
		struct osh_str in = osh_str_sub(data, at, data.n), rest;
		size_t used = 0;
		int r;

		if (!c->head)
			osh_h1_init(head, OSH_H1_RESPONSE);
		r = in.n ? osh_h1_parse(head, in.p, in.n, &px->h1_limits) : -EAGAIN;
		if (r == -EAGAIN) {
			*ret_used = at;
			if (in.n && !c->head) {
				c->head = malloc(sizeof(*c->head));
				if (!c->head)
					return -ENOMEM;
				*c->head = *head;
			}
			return 0;
		}
		if (r < 0)
			return bad_response(c, osh_str(osh_h1_error_text(head->error)));
		rest = osh_str_sub(in, head->head_len, in.n);
		at += head->head_len;
		if (head->status == 101) {
			r = on_switch(c, head, in.p, rest);
			at = data.n;
		} else if (head->status < 200) {
			r = on_interim(c, head, in.p);
		} else {
			r = on_final(c, head, in.p, rest, &used);
			at += used;
		}
		free(c->head);
		c->head = NULL;
		*ret_used = at;
		if (r)
			return r;
	}
	*ret_used = data.n;
	return feed_body(c, osh_str_sub(data, at, data.n));
}

/* Would sending the request again be harmless, and is it unlikely that it was worked on? */
static bool may_retry(const struct osh_px_conn *c)
{
	return c->up->used && !c->once && !c->client_eof && !c->resp_begun && !c->retries &&
	       !c->up_in.len;
}

static int on_up_end(struct osh_px_conn *c, bool clean)
{
	if (may_retry(c)) {
		c->retries++;
		osh_px_up_free(c->up, false);
		osh_px_conn_set(c, OSH_PX_ROUTE);
		osh_px_conn_deadline(c, c->box->px->cfg.timeouts.resolve_ms);
		return 1;
	}
	if (!c->resp_begun) {
		osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_UPSTREAM_CLOSED, "proxy",
			     OSH_STR_NONE);
		return osh_px_answer(c, 502, "upstream_closed", OSH_STR_NONE,
				     OSH_STR("the upstream closed before it answered"),
				     OSH_STR_NONE);
	}
	if (c->resp_body.kind == OSH_H1_BODY_CLOSE && clean) {
		c->resp_body.done = true;
		c->up_eof = true;
		return 0;
	}
	/* cut short: end without a proper close, so that the client can tell */
	osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_UPSTREAM_CLOSED, "proxy",
		     OSH_STR("response cut short"));
	return -ECONNRESET;
}

static int pump_down(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	size_t moved = 0;

	while (c->state == OSH_PX_EXCHANGE && !c->resp_body.done && has_room(&c->chan)) {
		struct osh_str data;
		size_t used = 0;
		ssize_t n;
		int r;

		if (moved >= OSH_PX_TURN_BYTES)
			return OSH_PX_YIELD;
		if (!osh_chan_has_pending(&c->up->chan))
			break;
		n = osh_chan_read(&c->up->chan, px->rbuf, sizeof(px->rbuf));
		if (n == -EAGAIN)
			break;
		if (n <= 0)
			return on_up_end(c, n == 0 && c->up->chan.eof_clean);
		moved += OSH_MAX((size_t)n, (size_t)OSH_PX_READ_COST);
		data = (struct osh_str){ px->rbuf, (size_t)n };
		if (c->up_in.len) {
			if (osh_buf_add(&c->up_in, px->rbuf, (size_t)n) < 0)
				return -EMSGSIZE;
			data = osh_buf_str(&c->up_in);
		}
		r = feed(c, data, &used);
		if (r)
			return r;
		if (c->up_in.len)
			osh_buf_consume(&c->up_in, used);
		else if (used < data.n && osh_buf_add(&c->up_in, data.p + used, data.n - used) < 0)
			return -ENOMEM;
		if (c->stream)
			osh_px_conn_deadline(c, 86400000);
		else if (c->resp_begun && !c->resp_body.done)
			osh_px_conn_deadline(c, px->cfg.timeouts.stream_ms);
	}
	return 0;
}

/* The exchange is over: what becomes of both connections? */
static int finish(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;

	/* unread bytes of the upstream are no response to anything */
	if (c->up_eof || !c->req_body.done || c->up->state != OSH_PX_UP_READY ||
	    osh_chan_has_pending(&c->up->chan))
		osh_px_up_free(c->up, false);
	else
		osh_px_up_release(c->up);
	if (c->close_after || (c->client_eof && !c->in.len))
		return osh_px_answered(c, false);
	osh_px_conn_set(c, OSH_PX_REQUEST);
	osh_px_conn_deadline(c, px->cfg.timeouts.idle_ms);
	return 1;
}

/* A client that has gone should not keep its upstream working. */
static int check_client(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	ssize_t n;

	if (!c->chan.hup || c->client_eof || !osh_chan_has_pending(&c->chan) ||
	    c->in.len > OSH_H1_HEAD_MAX)
		return 0;
	n = osh_chan_read(&c->chan, px->rbuf, 16384);
	if (n == -EAGAIN)
		return 0;
	if (n > 0) /* pipelined behind a half-close */
		return osh_buf_add(&c->in, px->rbuf, (size_t)n);
	c->client_eof = true;
	osh_px_conn_deadline(c, px->cfg.timeouts.half_close_ms);
	/* nobody half-closes TLS and waits; on plain TCP it is an old but legal habit */
	return n < 0 || c->tls ? -ECONNRESET : 0;
}

int osh_px_step_exchange(struct osh_px_conn *c)
{
	int up, down = 0;

	up = c->up->state == OSH_PX_UP_READY ? pump_up(c) : 0;
	if (up < 0) {
		if (up != -EBADMSG && up != -EMSGSIZE)
			return up;
		osh_px_event(c, OSH_REC_PARSER_REJECT, OSH_REC_DENY, OSH_REASON_HTTP_PARSE,
			     "http-parser", OSH_STR("malformed chunked body"));
		return c->resp_begun
			       ? -EBADMSG
			       : osh_px_answer(c, 400, "invalid_request", OSH_STR_NONE,
					       OSH_STR("malformed chunked body"), OSH_STR_NONE);
	}
	down = pump_down(c);
	if (down < 0 || c->state != OSH_PX_EXCHANGE)
		return down;
	if (c->resp_begun && c->resp_body.done)
		return finish(c);
	if (c->up->state == OSH_PX_UP_DEAD && !osh_chan_has_pending(&c->up->chan))
		return on_up_end(c, false);
	if (c->req_body.done) {
		int r = check_client(c);

		if (r < 0)
			return r;
	}
	return OSH_MAX(up, down);
}
