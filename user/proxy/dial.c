/* SPDX-License-Identifier: MIT */
#include "http/chain.h"
#include "proxy/worker.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

/*
 * From a host to a TCP connection: addresses are checked, then dialled (both families, the first to
 * connect wins) or asked of the upstream proxy.
 */

enum {
	CHAIN_TARGETS_MAX = 4, /* addresses an upstream proxy is asked for */
	/* on top of upstream_proxy_ms, which must end first: it has the better error */
	CHAIN_SLACK_MS = 1000,
};

static void on_stagger(struct osh_timer *timer);
static void on_chain_deadline(struct osh_timer *timer);

/* ---- address check ---- */

static void dest_of(struct osh_px_conn *c, const struct osh_conn_verdict *v, struct osh_dest *ret)
{
	*ret = (struct osh_dest){
		.host = osh_px_conn_host(c),
		.port = c->port,
		.declared_exact = v->declared_exact,
		.allowed = v->allowed_ips,
		.n_allowed = v->nallowed_ips,
		.gateway = osh_px_cfg_gateway(&c->box->px->cfg, osh_px_conn_host(c)),
	};
}

static enum osh_reason ssrf_reason(enum osh_dest_reason r)
{
	switch (r) {
	case OSH_DEST_INTERNAL:
		return OSH_REASON_SSRF_INTERNAL;
	case OSH_DEST_CONTROL_PORT:
		return OSH_REASON_SSRF_PORT;
	case OSH_DEST_NOT_ALLOWED:
	case OSH_DEST_BAD_ALLOWED_IPS:
		return OSH_REASON_SSRF_ALLOWED_IPS;
	default:
		return OSH_REASON_SSRF_BLOCKED;
	}
}

static void log_ssrf(struct osh_px_conn *c, const struct osh_dest_verdict *v)
{
	const struct osh_px_refusal *why = &c->box->px->refusal;
	const uint8_t *v4 = osh_addr_v4(&v->addr);
	struct osh_rec rec;

	osh_px_event_begin(c, &rec, OSH_REC_SSRF, OSH_REC_DENY, why->reason);
	osh_rec_set_z(&rec, OSH_REC_ENGINE, "ssrf");
	osh_rec_set_z(&rec, OSH_REC_REASON, why->text);
	rec.addr_family = v4 ? AF_INET : AF_INET6;
	memcpy(rec.addr, v4 ? v4 : v->addr.b, v4 ? 4 : 16);
	osh_px_event_put(c->box->px, &rec);
}

/* 0: *ret_addrs may be dialled; -EAGAIN; -EPERM; other: no address */
static int resolve_checked(struct osh_px_conn *c, struct osh_px_addrs *ret_addrs)
{
	struct osh_px *px = c->box->px;
	struct osh_dest_verdict dv;
	struct osh_conn_verdict v;
	struct osh_dest dest;
	int r;

	osh_px_conn_decide(c, &v);
	if (v.verdict == OSH_DECISION_DENY) { /* a switch between the decision and the dial */
		px->refusal = (struct osh_px_refusal){ .reason = v.reason,
						       .kind = "policy changed" };
		osh_px_event(c, OSH_REC_CONNECT, OSH_REC_DENY, v.reason, "opa",
			     OSH_STR("closed: the new policy does not allow it"));
		return -EPERM;
	}
	r = osh_resolve(c->box->names, osh_px_conn_host(c), &c->lookup, ret_addrs);
	if (r == -EAGAIN)
		return r;
	if (r < 0) {
		osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_DNS_FAILED, "dns",
			     osh_str(osh_resolve_error(r)));
		return r;
	}
	if (ret_addrs->trusted)
		return 0;
	dest_of(c, &v, &dest);
	if (!osh_dest_check(&dest, ret_addrs->addr, ret_addrs->n, &dv))
		return 0;
	px->refusal.reason = ssrf_reason(dv.reason);
	px->refusal.kind = osh_dest_kind(&dv);
	(void)osh_dest_reason_text(&dest, &dv, px->refusal.text, sizeof(px->refusal.text));
	log_ssrf(c, &dv);
	return -EPERM;
}

bool osh_px_up_still_permitted(struct osh_px_conn *c, struct osh_px_up *up)
{
	struct osh_conn_verdict v;
	struct osh_dest dest;

	if (up->trusted || up->generation == c->box->now.generation)
		return true;
	osh_px_conn_decide(c, &v);
	dest_of(c, &v, &dest);
	if (v.verdict == OSH_DECISION_DENY || !osh_dest_may_dial(&dest, &up->addr))
		return false;
	if (up->by_name && v.nallowed_ips) /* nobody knows where it leads */
		return false;
	up->generation = c->box->now.generation;
	return true;
}

/* ---- dialling ---- */

void osh_px_dial_cancel(struct osh_px_conn *c)
{
	struct osh_px_dial *d = c->dial;

	if (!d)
		return;
	c->dial = NULL;
	osh_timer_stop(&d->stagger);
	osh_timer_stop(&d->deadline);
	osh_buf_fini(&d->answer);
	while (!osh_list_is_empty(&d->tries))
		osh_px_up_free(osh_list_entry(d->tries.next, struct osh_px_up, node), true);
	free(d);
}

static void dial_failed(struct osh_px_dial *d)
{
	struct osh_px_conn *c = d->conn;

	c->box->px->stats.dial_failures++;
	osh_px_dial_cancel(c);
	if (!c->dial_error)
		c->dial_error = -EHOSTUNREACH;
	if (c->hop_error) {
		osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_UPSTREAM_PROXY, "proxy",
			     osh_px_hop_text(c));
		return;
	}
	osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE,
		     osh_px_is_shortage(c->dial_error) ? OSH_REASON_LIMIT
						       : OSH_REASON_UPSTREAM_UNREACHABLE,
		     "proxy", osh_str(osh_px_upstream_error(c->dial_error)));
}

static void dial_won(struct osh_px_dial *d, struct osh_px_up *up)
{
	struct osh_px_conn *c = d->conn;

	osh_list_del(&up->node);
	up->dial = NULL;
	up->state = OSH_PX_UP_CONNECTED;
	up->dialled_ms = osh_loop_now_ms(c->box->px->loop);
	up->conn = c;
	c->up = up;
	c->dial_error = 0;
	osh_px_dial_cancel(c);
}

static void end_tries(struct osh_px_dial *d)
{
	osh_timer_stop(&d->stagger);
	while (!osh_list_is_empty(&d->tries))
		osh_px_up_free(osh_list_entry(d->tries.next, struct osh_px_up, node), true);
}

/*
 * A TCP connection is there. 1: it is the upstream's; 0: the upstream proxy was asked; negative: it
 * was of no use and is gone.
 */
static int connected(struct osh_px_dial *d, struct osh_px_up *up)
{
	int r;

	if (!d->hop) {
		dial_won(d, up);
		return 1;
	}
	osh_list_del(&up->node);
	end_tries(d); /* slower addresses of the same proxy */
	osh_list_add_tail(&d->tries, &up->node);
	up->state = OSH_PX_UP_CHAIN;
	d->asked = true;
	up->addr = d->targets.addr[d->target];
	up->port = d->targets.port[d->target];
	up->by_hop = true;
	up->by_name = d->by_name;
	r = osh_px_chain_ask(d, up);
	if (r < 0) {
		d->asked = false;
		osh_px_up_free(up, false);
	}
	return r;
}

/* 0: under way; 1: connected at once; negative: this address failed */
static int try_one(struct osh_px_dial *d, uint8_t i)
{
	struct osh_px_conn *c = d->conn;
	const struct osh_addr *a = &d->addrs.addr[i];
	uint16_t port = d->addrs.port[i];
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	const uint8_t *v4 = osh_addr_v4(a);
	struct osh_px *px = c->box->px;
	struct osh_px_up *up;
	const int one = 1;
	int fd, r;

	fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* costs delay only */
	if (v4)
		memcpy(&sin.sin_addr, v4, 4);
	else
		memcpy(&sin6.sin6_addr, a->b, 16);
	px->stats.dials++;
	r = connect(fd, v4 ? (struct sockaddr *)&sin : (struct sockaddr *)&sin6,
		    v4 ? sizeof(sin) : sizeof(sin6));
	if (r < 0 && errno != EINPROGRESS) {
		r = errno == EAGAIN ? -ENOBUFS : -errno; /* -EAGAIN would mean: it is under way */
		close(fd);
		return r;
	}
	up = osh_px_up_new(px, fd);
	if (!up)
		return -ENOMEM;
	up->addr = *a;
	up->port = port;
	up->trusted = d->hop ? d->targets.trusted : d->addrs.trusted;
	up->generation = d->generation;
	up->dial = d;
	osh_list_add_tail(&d->tries, &up->node);
	return r == 0 ? connected(d, up) : 0;
}

/* Start the next address. 0: something is under way; 1: connected; -errno: nothing is left. */
static int try_next(struct osh_px_dial *d)
{
	struct osh_px_conn *c = d->conn;
	struct osh_px *px = c->box->px;

	while (d->next < d->addrs.n) {
		int r = try_one(d, d->next++);

		if (r > 0)
			return 1;
		if (r == 0) {
			if (!d->asked && d->next < d->addrs.n)
				osh_timer_set(px->loop, &d->stagger,
					      px->cfg.timeouts.dial_stagger_ms, on_stagger);
			return 0;
		}
		c->dial_error = r;
	}
	if (!osh_list_is_empty(&d->tries))
		return 0;
	if (d->hop && !c->hop_error)
		c->hop_error = OSH_CHAIN_DIAL;
	dial_failed(d);
	return c->dial_error;
}

static void on_stagger(struct osh_timer *timer)
{
	struct osh_px_dial *d = osh_container_of(timer, struct osh_px_dial, stagger);
	struct osh_px_conn *c = d->conn;

	if (try_next(d) != 0)
		osh_px_conn_run(c);
}

/*
 * Families take turns, IPv6 first (RFC 8305 4); IPv4 first when a proxy is asked one after the other:
 * of the two it is the one that works everywhere. Ports are filled in.
 */
static void order(struct osh_px_addrs *addrs, bool v4_first, uint16_t port)
{
	struct osh_px_addrs in = *addrs;
	uint8_t at[2] = { 0, 0 }, out = 0;

	for (unsigned int turn = v4_first; out < in.n; turn ^= 1) {
		uint8_t *i = &at[turn];

		while (*i < in.n && osh_addr_is_v4(&in.addr[*i]) != (bool)turn)
			++*i;
		if (*i == in.n)
			continue;
		addrs->addr[out] = in.addr[*i];
		addrs->port[out++] = in.port[*i] ? in.port[*i] : port;
		++*i;
	}
}

/* Addresses of the proxy itself: the operator's word, not checked. */
static int resolve_hop(struct osh_px_conn *c, const struct osh_px_hop *hop,
		       struct osh_px_addrs *ret_addrs)
{
	int r = osh_resolve(c->box->names, osh_str(hop->host), &c->lookup, ret_addrs);

	if (r == 0 || r == -EAGAIN)
		return r;
	c->hop_error = OSH_CHAIN_RESOLVE;
	osh_px_event(c, OSH_REC_UPSTREAM, OSH_REC_NOTE, OSH_REASON_UPSTREAM_PROXY, "dns",
		     osh_px_hop_text(c));
	return -EHOSTUNREACH;
}

static void dial_through(struct osh_px_dial *d, const struct osh_px_hop *hop,
			 const struct osh_px_addrs *targets)
{
	struct osh_px_conn *c = d->conn;
	struct osh_px *px = c->box->px;
	struct osh_conn_verdict v;
	uint32_t ms = px->cfg.timeouts.upstream_proxy_ms;

	osh_px_conn_decide(c, &v);
	d->hop = hop;
	d->targets = *targets;
	order(&d->targets, true, c->port);
	d->targets.n = OSH_MIN(d->targets.n, (uint8_t)CHAIN_TARGETS_MAX);
	d->by_name = px->cfg.hop_by_name && !targets->trusted && !c->site->is_addr &&
		     !v.nallowed_ips;
	osh_buf_init(&d->answer, OSH_CHAIN_ANSWER_MAX, 0);
	osh_timer_set(px->loop, &d->deadline, ms, on_chain_deadline);
	osh_px_conn_deadline(c, ms + CHAIN_SLACK_MS);
}

int osh_px_dial(struct osh_px_conn *c)
{
	struct osh_px_addrs addrs, via;
	const struct osh_px_hop *hop;
	struct osh_px_dial *d;
	int r;

	c->hop_error = OSH_CHAIN_OK;
	c->hop_status = 0;
	r = resolve_checked(c, &addrs);
	if (r < 0)
		return r;
	hop = osh_px_hop_for(c, &addrs);
	if (hop) {
		r = resolve_hop(c, hop, &via);
		if (r < 0)
			return r;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->conn = c;
	d->addrs = hop ? via : addrs;
	d->generation = c->box->now.generation;
	order(&d->addrs, false, hop ? hop->port : c->port);
	osh_list_init(&d->tries);
	c->dial = d;
	c->dial_error = 0;
	osh_px_conn_deadline(c, c->box->px->cfg.timeouts.dial_ms);
	if (hop)
		dial_through(d, hop, &addrs);
	r = try_next(d);
	if (r < 0)
		c->dial_error = 0; /* reported here */
	return r == 1 ? 0 : r == 0 ? -EAGAIN : r;
}

/* ---- upstream proxy ---- */

static void on_chain_deadline(struct osh_timer *timer)
{
	struct osh_px_dial *d = osh_container_of(timer, struct osh_px_dial, deadline);
	struct osh_px_conn *c = d->conn;

	c->hop_error = d->asked ? OSH_CHAIN_TIMEOUT : OSH_CHAIN_DIAL;
	c->dial_error = -EHOSTUNREACH; /* not -ETIMEDOUT: that one is logged again */
	dial_failed(d);
	osh_px_conn_run(c);
}

/* The proxy said no, or nothing useful. Another address of the upstream may do. */
static void chain_refused(struct osh_px_dial *d)
{
	struct osh_px_conn *c = d->conn;

	end_tries(d);
	osh_buf_reset(&d->answer);
	d->asked = false;
	c->dial_error = -EHOSTUNREACH;
	if (c->hop_error == OSH_CHAIN_UNREACHABLE && !d->by_name && d->target + 1 < d->targets.n) {
		d->target++;
		d->next = 0;
		if (try_next(d) == 0)
			return;
	} else {
		dial_failed(d);
	}
	osh_px_conn_run(c);
}

static void on_chain(struct osh_px_up *up)
{
	struct osh_px_dial *d = up->dial;
	struct osh_px_conn *c = d->conn;
	int r = osh_px_chain_read(d, up);

	if (r == -EAGAIN) {
		(void)osh_chan_flush(&up->chan); /* an error is met by the next read */
		return;
	}
	if (r < 0) {
		chain_refused(d);
		return;
	}
	dial_won(d, up);
	osh_px_conn_run(c);
}

static void on_connecting(struct osh_px_up *up, uint32_t events)
{
	struct osh_px_dial *d = up->dial;
	struct osh_px_conn *c = d->conn;
	socklen_t len = sizeof(int);
	int err = 0;

	/* a failed connection is an error event; spare the others the question */
	if (events & (EPOLLERR | EPOLLHUP) &&
	    getsockopt(up->chan.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (!err) {
		err = connected(d, up);
		if (err == 0)
			return;
		if (err == 1) {
			osh_px_conn_run(c);
			return;
		}
		c->dial_error = err;
	} else {
		c->dial_error = -err;
		osh_px_up_free(up, false);
	}
	if (try_next(d) != 0)
		osh_px_conn_run(c);
}

void osh_px_dial_event(struct osh_px_up *up, uint32_t events)
{
	if (up->state == OSH_PX_UP_CHAIN)
		on_chain(up);
	else if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		on_connecting(up, events);
}
