/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

/*
 * Upstream connections: dialled (dial.c), TLS is put on, requests are carried, and the connection is
 * pooled for the same caller and origin.
 */

static void on_up(struct osh_src *src, uint32_t events);

/* ---- life ---- */

static void up_retired(struct osh_src *src)
{
	free(osh_container_of(src, struct osh_px_up, src));
}

static void leave_pool(struct osh_px_up *up)
{
	if (osh_list_is_empty(&up->lru))
		return;
	osh_list_del(&up->lru);
	osh_list_del(&up->node);
	up->origin->n_idle--;
	up->px->n_idle_ups--;
}

void osh_px_up_free(struct osh_px_up *up, bool reset)
{
	leave_pool(up);
	osh_list_del(&up->node);
	if (up->conn && up->conn->up == up)
		up->conn->up = NULL;
	up->conn = NULL;
	osh_src_forget(&up->src); /* closed in the next line */
	osh_chan_close(&up->chan, reset);
	if (up->origin)
		osh_px_origin_put(up->origin);
	up->origin = NULL;
	osh_px_shelf_put(up->shelf);
	up->shelf = NULL;
	up->state = OSH_PX_UP_DEAD;
	osh_loop_retire(&up->src, up_retired);
}

struct osh_px_up *osh_px_up_new(struct osh_px *px, int take_fd)
{
	struct osh_px_up *up = calloc(1, sizeof(*up));

	if (!up || osh_src_add(px->loop, &up->src, take_fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP,
			       OSH_SRC_EDGE, on_up, "upstream") < 0) {
		close(take_fd);
		free(up);
		return NULL;
	}
	osh_chan_init(&up->chan, px->tls, take_fd);
	up->chan.sock_drained = true; /* epoll says when there is something */
	osh_list_init(&up->node);
	osh_list_init(&up->lru);
	up->px = px;
	return up;
}

/* ---- pool ---- */

void osh_px_up_release(struct osh_px_up *up)
{
	struct osh_px *px = up->px;
	struct osh_px_conn *c = up->conn;

	c->up = NULL;
	up->conn = NULL;
	up->used = true;
	if (!px->cfg.limits.idle_upstream || osh_chan_backlog(&up->chan) || up->chan.hup ||
	    up->chan.err || up->chan.send_err || c->box->gone) {
		osh_px_up_free(up, false);
		return;
	}
	if (up->origin->n_idle >= px->cfg.limits.idle_upstream)
		osh_px_up_free(osh_list_entry(up->origin->idle.prev, struct osh_px_up, node),
			       false);
	if (px->n_idle_ups >= px->cfg.limits.idle_upstream_total && px->n_idle_ups)
		osh_px_up_free(osh_list_entry(px->idle_ups.prev, struct osh_px_up, lru), false);
	osh_list_add_head(&up->origin->idle, &up->node);
	osh_list_add_head(&px->idle_ups, &up->lru);
	up->origin->n_idle++;
	px->n_idle_ups++;
	up->trimmed = false;
	up->idle_since_ms = osh_loop_now_ms(px->loop);
}

/* A pooled connection that speaks or ends is of no use. A session ticket is neither. */
static void on_idle(struct osh_px_up *up)
{
	char byte[64];
	ssize_t n = osh_chan_read(&up->chan, byte, sizeof(byte));

	if (n != -EAGAIN)
		osh_px_up_free(up, false);
}

void osh_px_pool_sweep(struct osh_px *px)
{
	uint64_t now = osh_loop_now_ms(px->loop);
	struct osh_list *it, *tmp;

	osh_list_for_each_safe (it, tmp, &px->idle_ups) {
		struct osh_px_up *up = osh_list_entry(it, struct osh_px_up, lru);
		uint64_t idle_ms = now - up->idle_since_ms;

		if (idle_ms > px->cfg.timeouts.upstream_idle_ms) {
			osh_px_up_free(up, false);
		} else if (idle_ms >= 1000 && !up->trimmed) {
			osh_chan_trim(&up->chan);
			up->trimmed = true;
		}
	}
}

static void on_up(struct osh_src *src, uint32_t events)
{
	struct osh_px_up *up = osh_container_of(src, struct osh_px_up, src);

	if (up->state == OSH_PX_UP_DEAD && !up->conn)
		return;
	osh_chan_event(&up->chan, events);
	if (up->dial)
		osh_px_dial_event(up, events);
	else if (up->conn)
		osh_px_conn_run(up->conn);
	else
		on_idle(up);
}

/* ---- asking for one ---- */

static int tls_failed(struct osh_px_conn *c, int r)
{
	enum osh_reason why = r == -EKEYREJECTED ? OSH_REASON_TLS_VERIFY : OSH_REASON_TLS_UPSTREAM;
	struct osh_rec rec;

	c->box->px->stats.dial_failures++;
	osh_px_event_begin(c, &rec, OSH_REC_TLS, r == -EKEYREJECTED ? OSH_REC_DENY : OSH_REC_NOTE,
			   why);
	osh_rec_set_z(&rec, OSH_REC_ENGINE, "tls");
	osh_rec_set_z(&rec, OSH_REC_REASON, osh_reason_text(why));
	osh_rec_set_z(&rec, OSH_REC_DETAIL, osh_chan_error(&c->up->chan));
	osh_px_event_put(c->box->px, &rec);
	osh_px_up_free(c->up, false);
	return r == -EKEYREJECTED ? r : -EPROTO;
}

static int begin_tls(struct osh_px_conn *c)
{
	struct osh_px_up *up = c->up;
	struct osh_str host = osh_px_conn_host(c);
	int r;

	up->origin = osh_px_origin_get(c->site, c->who, c->port, c->tls, osh_px_hop_is_plain(c));
	if (!up->origin)
		return -ENOMEM;
	if (!c->tls) {
		up->state = OSH_PX_UP_READY;
		return 0;
	}
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--; /* certificates and SNI know no final dot */
	up->tls.own = &up->origin->sessions;
	/* where an upstream proxy really leads is not for us to know */
	if (!up->by_hop && !c->alone)
		up->shelf = osh_px_shelf_get(c->box, c->who, up);
	if (up->shelf)
		up->tls.shelf = &up->shelf->tls;
	r = osh_chan_client(&up->chan, host, &up->tls);
	if (r < 0)
		return r;
	up->state = OSH_PX_UP_TLS;
	osh_px_conn_deadline(c, c->box->px->cfg.timeouts.handshake_ms);
	return 0;
}

/*
 * The upstream may be closing an idle connection while the request is on its way to it. What cannot be
 * sent again then takes one that was used just now: impatient servers wait 5 s.
 */
static bool may_be_dying(const struct osh_px_conn *c, const struct osh_px_up *up, uint64_t now)
{
	return c->once && now - up->idle_since_ms > c->box->px->cfg.timeouts.upstream_once_ms;
}

static struct osh_px_up *from_pool(struct osh_px_conn *c, bool tls)
{
	struct osh_px_origin *o = osh_px_origin_get(c->site, c->who, c->port, tls,
						    osh_px_hop_is_plain(c));
	uint64_t now = osh_loop_now_ms(c->box->px->loop);

	if (!o)
		return NULL;
	osh_px_origin_put(o); /* the pooled connections hold it */
	while (!osh_list_is_empty(&o->idle)) {
		struct osh_px_up *up = osh_list_entry(o->idle.next, struct osh_px_up, node);

		if (now - up->dialled_ms <= c->box->px->cfg.timeouts.upstream_age_ms &&
		    osh_px_up_still_permitted(c, up))
			/* the first has been idle for the shortest time */
			return may_be_dying(c, up, now) ? NULL : up;
		osh_px_up_free(up, false);
	}
	return NULL;
}

int osh_px_up_ready(struct osh_px_conn *c)
{
	struct osh_px *px = c->box->px;
	struct osh_px_up *up;
	int r;

	if (c->up && !osh_px_up_still_permitted(c, c->up))
		osh_px_up_free(c->up, true);
	if (!c->up && !c->dial) {
		if (c->dial_error) {
			r = c->dial_error;
			c->dial_error = 0;
			return r;
		}
		up = c->retries ? NULL : from_pool(c, c->tls);
		if (up) {
			leave_pool(up);
			osh_list_init(&up->node);
			up->conn = c;
			c->up = up;
			px->stats.reused++;
			return 0;
		}
		r = osh_px_dial(c);
		if (r < 0)
			return r;
	}
	up = c->up;
	if (!up)
		return -EAGAIN;
	if (up->state == OSH_PX_UP_CONNECTED) {
		r = begin_tls(c);
		if (r < 0) {
			osh_px_up_free(up, false);
			return r;
		}
	}
	if (up->state == OSH_PX_UP_TLS) {
		r = osh_chan_handshake(&up->chan);
		if (r == -EAGAIN)
			return r;
		if (r < 0 && r != -EKEYREJECTED && up->tls.foreign) {
			/* some servers end it over another name's session: once more without */
			px->stats.sharing_refused++;
			c->alone = true;
			osh_px_up_free(up, false);
			return osh_px_up_ready(c);
		}
		if (r < 0)
			return tls_failed(c, r);
		if (osh_chan_resumed(&up->chan)) {
			px->stats.resumed_upstream++;
			px->stats.resumed_shared += up->tls.foreign;
		}
		up->state = OSH_PX_UP_READY;
	}
	return up->state == OSH_PX_UP_READY ? 0 : -ECONNRESET;
}

int osh_px_up_connected(struct osh_px_conn *c, bool pooled)
{
	int r;

	if (c->up)
		return c->up->state == OSH_PX_UP_DEAD ? -ECONNRESET : 0;
	if (c->dial)
		return -EAGAIN;
	if (c->dial_error) {
		r = c->dial_error;
		c->dial_error = 0;
		return r;
	}
	if (pooled && (from_pool(c, true) || from_pool(c, false)))
		return 0;
	return osh_px_dial(c);
}
