/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

enum {
	STEPS_MAX = 32, /* per wake-up; then the others have their turn */
};

static int (*const steps[OSH_PX_STATE_COUNT])(struct osh_px_conn *c) = {
	[OSH_PX_IDENT] = osh_px_step_ident,	[OSH_PX_HEAD] = osh_px_step_head,
	[OSH_PX_DIAL] = osh_px_step_dial,	[OSH_PX_SNIFF] = osh_px_step_sniff,
	[OSH_PX_LEAF] = osh_px_step_leaf,	[OSH_PX_TLS] = osh_px_step_tls,
	[OSH_PX_REQUEST] = osh_px_step_request, [OSH_PX_DRAIN] = osh_px_step_drain,
	[OSH_PX_ROUTE] = osh_px_step_route,	[OSH_PX_EXCHANGE] = osh_px_step_exchange,
	[OSH_PX_TUNNEL] = osh_px_step_tunnel,	[OSH_PX_LINGER] = osh_px_step_linger,
};

static const char *const state_names[OSH_PX_STATE_COUNT] = {
	[OSH_PX_CLOSED] = "closed",  [OSH_PX_IDENT] = "identify",    [OSH_PX_HEAD] = "head",
	[OSH_PX_DIAL] = "dial",	     [OSH_PX_SNIFF] = "sniff",	     [OSH_PX_LEAF] = "certificate",
	[OSH_PX_TLS] = "handshake",  [OSH_PX_REQUEST] = "idle",	     [OSH_PX_DRAIN] = "drain",
	[OSH_PX_ROUTE] = "upstream", [OSH_PX_EXCHANGE] = "exchange", [OSH_PX_TUNNEL] = "tunnel",
	[OSH_PX_LINGER] = "linger",
};

/* Legal moves; a state may always stay and always close. */
#define TO(s) (1u << OSH_PX_##s)
static const uint32_t moves[OSH_PX_STATE_COUNT] = {
	[OSH_PX_CLOSED] = TO(IDENT),
	[OSH_PX_IDENT] = TO(HEAD) | TO(DIAL) | TO(SNIFF) | TO(LINGER),
	[OSH_PX_HEAD] = TO(IDENT) | TO(DIAL) | TO(SNIFF) | TO(ROUTE) | TO(LINGER) | TO(DRAIN),
	[OSH_PX_DIAL] = TO(SNIFF) | TO(TUNNEL) | TO(LINGER),
	[OSH_PX_SNIFF] = TO(LEAF) | TO(REQUEST) | TO(LINGER) | TO(DIAL),
	[OSH_PX_LEAF] = TO(TLS) | TO(LINGER),
	[OSH_PX_TLS] = TO(REQUEST),
	[OSH_PX_REQUEST] = TO(ROUTE) | TO(DRAIN) | TO(LINGER),
	[OSH_PX_DRAIN] = TO(REQUEST) | TO(LINGER),
	[OSH_PX_ROUTE] = TO(EXCHANGE) | TO(DRAIN) | TO(LINGER) | TO(REQUEST),
	[OSH_PX_EXCHANGE] = TO(ROUTE) | TO(REQUEST) | TO(TUNNEL) | TO(LINGER) | TO(DRAIN),
	[OSH_PX_TUNNEL] = TO(LINGER),
};

const char *osh_px_state_name(unsigned int state)
{
	return state < OSH_PX_STATE_COUNT ? state_names[state] : "unknown";
}

struct osh_str osh_px_conn_host(const struct osh_px_conn *c)
{
	return c->site ? (struct osh_str){ c->site->host, c->site->len } : OSH_STR("");
}

void osh_px_conn_set(struct osh_px_conn *c, enum osh_px_state state)
{
	if (c->state != state && state != OSH_PX_CLOSED && !(moves[c->state] & 1u << state))
		abort(); /* our own mistake: going on could let bytes past a decision */
	if (state != OSH_PX_ROUTE && state != OSH_PX_EXCHANGE && state != OSH_PX_TUNNEL)
		c->doomed_ms = 0;
	c->state = (uint8_t)state;
}

/* ---- deadlines ---- */

static void on_timer(struct osh_timer *timer);

void osh_px_conn_deadline(struct osh_px_conn *c, uint32_t in_ms)
{
	struct osh_loop *loop = c->box->px->loop;

	c->deadline_ms = osh_loop_now_ms(loop) + in_ms;
	if (c->doomed_ms && c->deadline_ms > c->doomed_ms) {
		c->deadline_ms = c->doomed_ms;
		in_ms = (uint32_t)(c->doomed_ms - OSH_MIN(c->doomed_ms, osh_loop_now_ms(loop)));
	}
	/* moving later is free: the timer finds out when it fires */
	if (!osh_timer_armed(&c->timer) || c->timer.at_ms > c->deadline_ms)
		osh_timer_set(loop, &c->timer, in_ms, on_timer);
}

static void say_refused(struct osh_px_conn *c, enum osh_reason reason)
{
	osh_px_event(c, OSH_REC_CONNECT, OSH_REC_DENY, reason, "opa",
		     OSH_STR("closed: the new policy does not allow it"));
	c->allowed = false; /* said it */
}

static void say_timeout(struct osh_px_conn *c, enum osh_rec_class class, const char *what)
{
	osh_px_event(c, class, OSH_REC_NOTE, OSH_REASON_TIMEOUT, "proxy", osh_str(what));
}

/* The client did not finish what it began. */
static int late_request(struct osh_px_conn *c, const char *what)
{
	say_timeout(c, OSH_REC_CONNECT, what);
	if (c->state != OSH_PX_EXCHANGE)
		c->is_head = false; /* of the request before */
	return osh_px_answer(c, 408, "request_timeout", OSH_STR_NONE, osh_str(what), OSH_STR_NONE);
}

/* No upstream in time: for what was it waited? */
static int late_upstream(struct osh_px_conn *c)
{
	int r = c->lookup.waiting			 ? -ETIME
		: c->up && c->up->state == OSH_PX_UP_TLS ? -ENOMSG
							 : -ETIMEDOUT;

	if (r == -ETIME)
		osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_DNS_FAILED, "dns",
			     osh_str(osh_px_upstream_error(r)));
	else
		say_timeout(c, OSH_REC_UPSTREAM, osh_px_upstream_error(r));
	return r;
}

static int late_exchange(struct osh_px_conn *c)
{
	/* who does not take the body is to blame, not who cannot send it */
	if (!c->req_body.done && !c->resp_begun && c->up && !osh_chan_backlog(&c->up->chan))
		return late_request(c, "the rest of the request did not come in time");
	if (c->resp_begun) {
		say_timeout(c, OSH_REC_UPSTREAM,
			    osh_chan_backlog(&c->chan)
				    ? "response not taken in time"
				    : "rest of the response did not come in time");
		return -ETIMEDOUT;
	}
	say_timeout(c, OSH_REC_UPSTREAM, "no response from the upstream in time");
	return osh_px_answer(c, 504, "upstream_timeout", OSH_STR_NONE,
			     OSH_STR("no response from the upstream in time"), OSH_STR_NONE);
}

static int timed_out(struct osh_px_conn *c)
{
	if (c->doomed_ms && osh_loop_now_ms(c->box->px->loop) >= c->doomed_ms) {
		say_refused(c, OSH_REASON_L7_NOT_PERMITTED);
		return -ECONNRESET;
	}
	switch (c->state) {
	case OSH_PX_HEAD:
	case OSH_PX_REQUEST:
		if (c->head)
			return late_request(c, "the request head did not end in time");
		if (c->state == OSH_PX_REQUEST)
			return OSH_PX_END; /* idle */
		break;
	case OSH_PX_LINGER:
	case OSH_PX_DRAIN:
		return OSH_PX_END;
	case OSH_PX_SNIFF:
		if (c->deny)
			return -ECONNREFUSED; /* it does not speak: reset */
		break;
	case OSH_PX_DIAL:
		return osh_px_dial_failed(c, late_upstream(c));
	case OSH_PX_ROUTE:
		return osh_px_answer_upstream(c, late_upstream(c));
	case OSH_PX_EXCHANGE:
		return late_exchange(c);
	default:
		break;
	}
	say_timeout(c, OSH_REC_CONNECT, osh_px_state_name(c->state));
	return c->state == OSH_PX_TUNNEL ? OSH_PX_END : -ETIMEDOUT;
}

static void settle(struct osh_px_conn *c, int r)
{
	if (r < 0)
		osh_px_conn_close(c, r != OSH_PX_END);
	else if (r > 0)
		osh_px_conn_run(c);
}

static void on_timer(struct osh_timer *timer)
{
	struct osh_px_conn *c = osh_container_of(timer, struct osh_px_conn, timer);
	struct osh_loop *loop = c->box->px->loop;
	uint64_t now = osh_loop_now_ms(loop);

	if (c->state == OSH_PX_CLOSED)
		return;
	if (now < c->deadline_ms) {
		osh_timer_set(loop, &c->timer, c->deadline_ms - now, on_timer);
		return;
	}
	c->box->px->stats.timeouts++;
	settle(c, timed_out(c));
	if (c->state != OSH_PX_CLOSED)
		(void)osh_chan_flush(&c->chan); /* an error is met by the next step */
}

/* ---- running ---- */

/* 0, or the error that ends the connection. */
static int flush(struct osh_px_conn *c)
{
	int r = osh_chan_flush(&c->chan);

	if (r < 0 && r != -EAGAIN)
		return r;
	/* an upstream that fails is found when it is read */
	if (c->up && c->up->state >= OSH_PX_UP_CONNECTED)
		(void)osh_chan_flush(&c->up->chan);
	return 0;
}

void osh_px_conn_run(struct osh_px_conn *c)
{
	int r = 0;

	if (c->state == OSH_PX_CLOSED)
		return;
	c->used_ms = osh_loop_now_ms(c->box->px->loop);
	if (osh_list_is_empty(&c->active))
		osh_list_add_tail(&c->box->px->active, &c->active);
	if (c->chan.spill.len || (c->up && c->up->chan.spill.len))
		r = flush(c);
	for (int i = 0; r >= 0 && i < STEPS_MAX; i++) {
		r = steps[c->state](c);
		if (r != 1 || c->state == OSH_PX_CLOSED)
			break;
	}
	if (c->state == OSH_PX_CLOSED)
		return;
	if (r > 0)
		osh_src_again(&c->src);
	if (r >= 0)
		r = flush(c);
	if (r < 0)
		osh_px_conn_close(c, r != OSH_PX_END);
}

static void on_client(struct osh_src *src, uint32_t events)
{
	struct osh_px_conn *c = osh_container_of(src, struct osh_px_conn, src);

	if (c->state == OSH_PX_CLOSED)
		return;
	osh_chan_event(&c->chan, events);
	/* nobody is left for whom an upstream is being had; the steps of these states do not read */
	if ((events & EPOLLHUP) && (c->state == OSH_PX_DIAL || c->state == OSH_PX_ROUTE)) {
		osh_px_conn_close(c, true);
		return;
	}
	osh_px_conn_run(c);
}

/* ---- deciding ---- */

void osh_px_conn_decide(struct osh_px_conn *c, struct osh_conn_verdict *ret_verdict)
{
	struct osh_px_box *box = c->box;
	const struct osh_idclass *cls = osh_px_who_class(box, c->who);

	*ret_verdict = (struct osh_conn_verdict){ .verdict = OSH_DECISION_DENY };
	ret_verdict->generation = box->now.generation;
	if (!box->now.img) {
		ret_verdict->reason = OSH_REASON_NO_POLICY;
		return;
	}
	if (!cls) {
		ret_verdict->reason = OSH_REASON_INTERNAL;
		return;
	}
	if (c->who->mismatch) {
		ret_verdict->reason = OSH_REASON_INTEGRITY;
		return;
	}
	osh_decide_conn(box->now.img, cls, osh_px_conn_host(c), c->port, ret_verdict);
	if (ret_verdict->verdict == OSH_DECISION_DENY &&
	    ret_verdict->reason == OSH_REASON_NO_BINARY) {
		if (c->who->id.tainted)
			ret_verdict->reason = OSH_REASON_IDENTITY_TAINTED;
		else if (!c->who->id.self.path.n)
			ret_verdict->reason = OSH_REASON_IDENTITY_UNKNOWN;
	}
}

void osh_px_conn_reevaluate(struct osh_px_conn *c)
{
	uint32_t grace_ms = c->box->px->cfg.timeouts.revoked_ms;
	struct osh_conn_verdict v;
	enum osh_reason reason;

	if (c->state != OSH_PX_TUNNEL && c->state != OSH_PX_EXCHANGE && c->state != OSH_PX_ROUTE)
		return; /* judged when its next request is complete, or before it goes on */
	osh_px_conn_decide(c, &v);
	reason = v.reason;
	if (v.verdict != OSH_DECISION_DENY) {
		/* a relay must not outlive the day it became an inspected endpoint */
		if (c->state == OSH_PX_TUNNEL && !c->upgraded && v.inspect != OSH_INSPECT_NONE)
			reason = OSH_REASON_L7_PROTOCOL;
		else if ((c->upgraded || c->state != OSH_PX_TUNNEL) &&
			 !osh_px_request_allowed_now(c))
			reason = OSH_REASON_L7_NOT_PERMITTED;
		else if (c->up && c->state != OSH_PX_ROUTE && !osh_px_up_still_permitted(c, c->up))
			reason = OSH_REASON_SSRF_ALLOWED_IPS;
		else {
			c->doomed_ms = 0;
			return;
		}
	}
	if (c->state != OSH_PX_TUNNEL && !(c->state == OSH_PX_EXCHANGE && c->stream)) {
		/* what is but a request ends by itself (D20: it is judged by the policy of its head), what
		 * turns out to be a stream is closed */
		if (!c->doomed_ms)
			c->doomed_ms = osh_loop_now_ms(c->box->px->loop) + grace_ms;
		osh_px_conn_deadline(c, grace_ms);
		return;
	}
	say_refused(c, reason);
	osh_px_conn_close(c, true);
}

/* ---- life ---- */

static void conn_free(struct osh_src *src)
{
	free(osh_container_of(src, struct osh_px_conn, src));
}

static void log_close(struct osh_px_conn *c)
{
	struct osh_rec rec;

	osh_px_event_begin(c, &rec, OSH_REC_CLOSE, OSH_REC_ALLOW, OSH_REASON_NONE);
	rec.bytes_up = c->bytes_up;
	rec.bytes_down = c->bytes_down;
	rec.duration_ns = (osh_loop_now_ms(c->box->px->loop) - c->start_ms) * 1000000ull;
	osh_px_event_put(c->box->px, &rec);
}

void osh_px_conn_close(struct osh_px_conn *c, bool reset)
{
	struct osh_px *px = c->box->px;

	if (c->state == OSH_PX_CLOSED)
		return;
	if (c->allowed)
		log_close(c);
	c->state = OSH_PX_CLOSED;
	osh_timer_stop(&c->timer);
	osh_list_del(&c->node);
	osh_list_del(&c->wait);
	osh_list_del(&c->active);
	osh_lookup_cancel(&c->lookup);
	osh_px_tunnel_end(c);
	osh_px_dial_cancel(c);
	if (c->up)
		osh_px_up_free(c->up, reset);
	osh_src_forget(&c->src); /* closed in the next line */
	osh_chan_close(&c->chan, reset);
	osh_buf_fini(&c->in);
	osh_buf_fini(&c->up_in);
	osh_buf_fini(&c->req);
	free(c->head);
	c->head = NULL;
	free(c->rec);
	c->rec = NULL;
	c->site = osh_px_site_put(c->site);
	c->leaf_site = osh_px_site_put(c->leaf_site);
	if (c->who)
		osh_px_who_put(c->box, c->who);
	c->who = NULL;
	c->box->n_conns--;
	px->n_conns--;
	osh_loop_retire(&c->src, conn_free);
}

static void on_lookup(struct osh_px_lookup *lookup)
{
	osh_px_conn_run(osh_container_of(lookup, struct osh_px_conn, lookup));
}

struct osh_px_conn *osh_px_conn_new(struct osh_px_box *box, int take_fd,
				    const struct osh_flow_rec *rec)
{
	struct osh_px *px = box->px;
	struct osh_px_conn *c = calloc(1, sizeof(*c));
	int r = c ? osh_src_add(px->loop, &c->src, take_fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP,
				OSH_SRC_EDGE, on_client, "client")
		  : -ENOMEM;

	if (r < 0) {
		close(take_fd);
		free(c);
		errno = -r;
		return NULL;
	}
	osh_chan_init(&c->chan, px->tls, take_fd);
	osh_buf_init(&c->in, OSH_PX_RBUF_BYTES + OSH_H1_HEAD_MAX, 0);
	osh_buf_init(&c->up_in, OSH_PX_RBUF_BYTES + OSH_H1_HEAD_MAX, 0);
	osh_buf_init(&c->req, 2 * OSH_H1_HEAD_MAX, 0);
	osh_list_init(&c->wait);
	osh_list_init(&c->active);
	c->box = box;
	c->lookup.fn = on_lookup;
	c->kind = (uint8_t)rec->kind;
	c->pid = rec->tgid;
	c->uid = rec->uid;
	c->host_id = rec->host_id;
	memcpy(c->dst.b, rec->dst, sizeof(c->dst.b));
	c->port = __builtin_bswap16(rec->dst_port_be);
	c->flow = ++px->next_flow << 10 | (px->cfg.worker & 1023);
	c->start_ms = osh_loop_now_ms(px->loop);
	osh_list_add_tail(&box->conns, &c->node);
	box->n_conns++;
	px->n_conns++;
	osh_px_conn_set(c, OSH_PX_IDENT);
	osh_px_conn_deadline(c, px->cfg.timeouts.identity_ms);
	if (osh_px_who_get(box, rec, &c->who) < 0) {
		c->rec = malloc(sizeof(*c->rec));
		if (!c->rec) {
			osh_px_conn_close(c, true);
			errno = ENOMEM;
			return NULL;
		}
		*c->rec = *rec;
	}
	osh_px_conn_run(c);
	return c;
}
