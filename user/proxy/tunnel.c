/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

/*
 * Bytes both ways: endpoints without protocol (D8), and upgraded connections. The client's first
 * bytes of the former are looked at: each ClientHello must name the authorised host.
 */

enum {
	BULKY_BYTES = 256 * 1024, /* in one direction: from here on a pipe pays */
};

void osh_px_tunnel_begin(struct osh_px_conn *c, bool upgraded)
{
	struct osh_px *px = c->box->px;

	c->upgraded = upgraded;
	c->checked = upgraded || c->tls_skip;
	c->client_eof = c->up_eof = false;
	osh_px_conn_set(c, OSH_PX_TUNNEL);
	osh_px_conn_deadline(c, px->cfg.timeouts.tunnel_ms);
}

void osh_px_tunnel_end(struct osh_px_conn *c)
{
	osh_px_pipe_put(c->box->px, c->pipe_up);
	osh_px_pipe_put(c->box->px, c->pipe_down);
	c->pipe_up = c->pipe_down = NULL;
}

static int refuse(struct osh_px_conn *c, enum osh_reason reason, struct osh_str detail)
{
	osh_px_event(c, OSH_REC_AUTHORITY, OSH_REC_DENY, reason, "tls", detail);
	return -EPERM;
}

/* 0: may pass; negative: refused */
static int check_hello(struct osh_px_conn *c, const struct osh_hello *hello)
{
	struct osh_str sni = { hello->sni, hello->sni_len };

	if (hello->sni_is_bad)
		return refuse(c, OSH_REASON_SNI_MISMATCH, OSH_STR("malformed server name"));
	if (hello->ech == OSH_HELLO_ECH_BAD ||
	    (hello->ech == OSH_HELLO_ECH_OUTER && !hello->ech_grease_like))
		return refuse(c, OSH_REASON_TLS_ECH, OSH_STR_NONE);
	if (hello->has_sni && !osh_host_same(sni, osh_px_conn_host(c)))
		return refuse(c, OSH_REASON_SNI_MISMATCH, sni);
	if (!hello->has_sni && !c->site->is_addr)
		return refuse(c, OSH_REASON_SNI_MISSING, OSH_STR_NONE);
	return 0;
}

/* Let what may pass of c->in pass. 1: there is nothing more to check; 0: wait; negative: refused */
static int pass_checked(struct osh_px_conn *c)
{
	while (c->in.len) {
		struct osh_hello hello;
		size_t n = 0;
		int r = 0;

		switch (osh_guard_look(&c->guard, osh_buf_str(&c->in), &n, &hello)) {
		case OSH_GUARD_MORE:
			return 0;
		case OSH_GUARD_BAD:
			return refuse(c, OSH_REASON_TLS_CLIENT,
				      OSH_STR("malformed or too large ClientHello"));
		case OSH_GUARD_END:
			return 1;
		case OSH_GUARD_HELLO:
			r = check_hello(c, &hello);
			break;
		case OSH_GUARD_PASS:
			break;
		}
		if (!r)
			r = osh_chan_write(&c->up->chan, c->in.data, n);
		if (r < 0)
			return r;
		c->bytes_up += n;
		osh_buf_consume(&c->in, n);
	}
	osh_buf_fini(&c->in);
	return 0;
}

static bool has_room(struct osh_chan *to)
{
	if (osh_chan_backlog(to) < OSH_PX_BACKLOG_HIGH)
		return true;
	return osh_chan_flush(to) != -EAGAIN || osh_chan_backlog(to) < OSH_PX_BACKLOG_HIGH;
}

static int first_bytes(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	ssize_t n;
	int r;

	if (!osh_chan_has_pending(&c->chan) || !has_room(&c->up->chan))
		return 0;
	n = osh_chan_read(&c->chan, px->rbuf, OSH_HELLO_WIRE_MAX);
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	if (n == 0) {
		/* it never spoke (or not to the end of its hello, which goes nowhere) */
		osh_buf_fini(&c->in);
		c->checked = true;
		c->client_eof = true;
		osh_chan_shutdown(&c->up->chan);
		osh_px_conn_deadline(c, px->cfg.timeouts.half_close_ms);
		return 1;
	}
	r = osh_buf_add(&c->in, px->rbuf, (size_t)n);
	if (!r)
		r = pass_checked(c);
	if (r < 0)
		return r;
	c->checked = r;
	return 1;
}

/* One direction by copying. */
static int copy(struct osh_px *px, struct osh_chan *from, struct osh_chan *to, bool *eof,
		uint64_t *bytes)
{
	size_t moved = 0;

	while (!*eof && has_room(to)) {
		ssize_t n;
		int r;

		if (moved >= OSH_PX_TURN_BYTES)
			return OSH_PX_YIELD;
		if (!osh_chan_has_pending(from))
			return 0;
		n = osh_chan_read(from, px->rbuf, sizeof(px->rbuf));
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		if (n == 0) {
			/* a truncated TLS stream must not look like a proper end */
			if (!from->eof_clean)
				return -ECONNRESET;
			*eof = true;
			return 0;
		}
		moved += OSH_MAX((size_t)n, (size_t)OSH_PX_READ_COST);
		*bytes += (uint64_t)n;
		r = osh_chan_write(to, px->rbuf, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int move(struct osh_px *px, struct osh_px_pipe **pipe, struct osh_chan *from,
		struct osh_chan *to, bool *eof, uint64_t *bytes)
{
	bool plain = !from->ssl && !to->ssl && !from->prefix.len;

	if (*pipe || (plain && *bytes >= BULKY_BYTES)) {
		int r;

		if (osh_chan_flush(to) == -EAGAIN)
			return 0; /* what was copied before goes first */
		r = osh_px_splice(px, pipe, from, to, eof, bytes);
		if (r != -EMFILE || *pipe)
			return r;
	}
	return copy(px, from, to, eof, bytes);
}

/* One direction, by whatever is cheaper now. @closing: the other one has ended. */
static int pump(struct osh_px *px, struct osh_px_pipe **pipe, struct osh_chan *from,
		struct osh_chan *to, bool *eof, bool closing, uint64_t *bytes)
{
	bool before = *eof;
	int r = move(px, pipe, from, to, eof, bytes);

	/* the second end is told by closing, which follows; TLS wants its goodbye all the same */
	if (r >= 0 && *eof && !before && (!closing || to->ssl))
		osh_chan_shutdown(to);
	return r;
}

int osh_px_step_tunnel(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	uint64_t before = c->bytes_up + c->bytes_down;
	bool was_half = c->client_eof || c->up_eof;
	int up = 0, first = 0, down, r;

	if (!c->up || c->up->state == OSH_PX_UP_DEAD)
		return -ECONNRESET;
	down = pump(px, &c->pipe_down, &c->up->chan, &c->chan, &c->up_eof, c->client_eof,
		    &c->bytes_down);
	if (down < 0)
		return down;
	if (!c->checked && !c->client_eof) {
		first = first_bytes(c);
		if (first < 0)
			return first;
	}
	if (c->checked) {
		if (c->in.len) {
			r = osh_chan_write(&c->up->chan, c->in.data, c->in.len);
			if (r < 0)
				return r;
			c->bytes_up += c->in.len;
			osh_buf_fini(&c->in);
		}
		up = pump(px, &c->pipe_up, &c->chan, &c->up->chan, &c->client_eof, c->up_eof,
			  &c->bytes_up);
		if (up < 0)
			return up;
	}
	if (c->client_eof && c->up_eof && !osh_chan_backlog(&c->chan) &&
	    !osh_chan_backlog(&c->up->chan))
		return OSH_PX_END;
	if (c->bytes_up + c->bytes_down != before || (!was_half && (c->client_eof || c->up_eof)))
		osh_px_conn_deadline(c, c->client_eof || c->up_eof ? px->cfg.timeouts.half_close_ms
								   : px->cfg.timeouts.tunnel_ms);
	return OSH_MAX(OSH_MAX(up, first), down);
}
