/* SPDX-License-Identifier: MIT */
#include "dns/msg.h"
#include "proxy/worker.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

/*
 * Names inside a sandbox: a name that some policy entry could allow gets its synthetic address, any
 * other is refused, and nothing is ever asked upstream. Upstream names are resolved when an
 * authorised connection is dialled.
 */

enum {
	BATCH = 32,
	SAID_MS = 5000, /* the same refusal is logged once in this time */
	TCP_BUF = 2 + OSH_DNS_QUERY_MAX,
};

/* Who asked, and how to answer. */
struct asker {
	struct osh_px_box *box;
	int fd; /* UDP socket, or the connection's */
	bool tcp;
	struct sockaddr_in6 addr; /* UDP: any family */
	socklen_t addr_len;
	struct osh_flow_rec rec;
	bool has_rec;
};

/* A query whose name, or whose asker, the monitor is being asked about. */
struct wait {
	struct osh_list node;
	struct asker asker;
	struct osh_dns_query query;
	bool answered; /* only the log line waits */
	uint64_t until_ms;
	struct dns_conn *conn; /* TCP */
};

struct dns_conn {
	struct osh_src src;
	struct osh_timer timer;
	struct osh_list node;
	struct osh_px_box *box;
	struct osh_flow_rec rec;
	size_t have;
	uint32_t waiting;
	bool closed;
	char buf[TCP_BUF];
};

/* ---- answers ---- */

static void send_reply(const struct asker *a, const struct osh_dns_query *q,
		       const struct osh_dns_answer *answer)
{
	uint8_t msg[2 + OSH_DNS_MSG_MAX];
	size_t n = 0;

	if (osh_dns_reply(q, answer, a->tcp, msg + 2, OSH_DNS_MSG_MAX, &n) < 0)
		return;
	if (!a->tcp) {
		/* a resolver asks again when an answer is lost */
		(void)sendto(a->fd, msg + 2, n, MSG_DONTWAIT | MSG_NOSIGNAL,
			     (const struct sockaddr *)&a->addr, a->addr_len);
		return;
	}
	msg[0] = (uint8_t)(n >> 8);
	msg[1] = (uint8_t)n;
	/* answers are small: a client that does not read loses them */
	(void)send(a->fd, msg, n + 2, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reply_code(const struct asker *a, const struct osh_dns_query *q,
		       enum osh_dns_rcode rcode)
{
	const struct osh_dns_answer answer = { .rcode = rcode };

	send_reply(a, q, &answer);
}

static void reply_id(const struct asker *a, const struct osh_dns_query *q, uint32_t id)
{
	struct osh_dns_answer answer = { .ttl_s = a->box->px->cfg.dns_ttl_s };
	bool v6 = q->qtype == OSH_DNS_AAAA;
	uint8_t addr[16];

	if (q->qtype == OSH_DNS_A && id < 1u << 17) {
		osh_px_synthetic_v4(id, addr);
		answer.n = 1;
	} else if (v6 && a->box->listener[OSH_SBFD_TCP6].fd >= 0) {
		osh_px_synthetic_v6(id, addr);
		answer.n = 1;
		answer.v6 = true;
	}
	answer.addrs = addr;
	send_reply(a, q, &answer);
}

/* ---- refusals ---- */

static bool said_lately(struct osh_px_box *box, struct osh_str name, uint32_t exe)
{
	uint64_t now = osh_loop_now_ms(box->px->loop);
	uint32_t h = 2166136261u ^ exe;
	size_t oldest = 0;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * 16777619u;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(box->dns_said); i++) {
		if (box->dns_said[i].hash == h && now - box->dns_said[i].at_ms < SAID_MS)
			return true;
		if (box->dns_said[i].at_ms < box->dns_said[oldest].at_ms)
			oldest = i;
	}
	box->dns_said[oldest].hash = h;
	box->dns_said[oldest].at_ms = now;
	return false;
}

static void log_refusal(const struct asker *a, const struct osh_dns_query *q)
{
	struct osh_str name = { q->name, q->name_len };
	struct osh_px_box *box = a->box;
	struct timespec t;
	struct osh_rec rec;

	clock_gettime(CLOCK_REALTIME, &t);
	osh_rec_init(&rec, OSH_REC_DNS, OSH_REC_DENY,
		     (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec);
	rec.reason = OSH_REASON_DNS_REFUSED;
	rec.port = 53;
	rec.ip_proto = a->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	rec.sandbox_id = box->id;
	rec.generation = box->now.generation;
	osh_rec_set(&rec, OSH_REC_HOST, name);
	osh_rec_set_z(&rec, OSH_REC_ENGINE, "dns");
	osh_rec_set_z(&rec, OSH_REC_REASON, osh_reason_text(OSH_REASON_DNS_REFUSED));
	if (a->has_rec) {
		rec.pid = a->rec.tgid;
		rec.uid = a->rec.uid;
		osh_rec_set_z(&rec, OSH_REC_BINARY, osh_px_exe_path(box, a->rec.exe));
	}
	osh_px_event_put(box->px, &rec);
}

/* ---- queries ---- */

/* Is the asker's executable known? Asks for it if not. */
static bool asker_is_known(const struct asker *a)
{
	struct osh_px_who *who;

	if (!a->has_rec)
		return true; /* nothing to wait for */
	if (osh_px_who_get(a->box, &a->rec, &who) < 0)
		return false;
	osh_px_who_put(a->box, who);
	return true;
}

static void wait_free(struct wait *w)
{
	osh_list_del(&w->node);
	w->asker.box->n_dns_waits--;
	if (w->conn)
		w->conn->waiting--;
	free(w);
}

static bool park(const struct asker *a, const struct osh_dns_query *q, bool answered,
		 struct dns_conn *conn)
{
	struct osh_px_box *box = a->box;
	struct wait *w;

	if (box->n_dns_waits >= box->px->cfg.limits.dns_waits)
		return false;
	w = malloc(sizeof(*w));
	if (!w)
		return false;
	*w = (struct wait){
		.asker = *a,
		.query = *q,
		.answered = answered,
		.until_ms = osh_loop_now_ms(box->px->loop) + box->px->cfg.timeouts.dns_wait_ms,
		.conn = conn,
	};
	if (conn)
		conn->waiting++;
	osh_list_add_tail(&box->dns_waits, &w->node);
	box->n_dns_waits++;
	return true;
}

static void refuse(const struct asker *a, const struct osh_dns_query *q)
{
	struct osh_str name = { q->name, q->name_len };

	a->box->px->stats.dns_refused++;
	reply_code(a, q, OSH_DNS_REFUSED);
	/* reverse lookups are habit, not intent */
	if (osh_str_has_suffix(name, OSH_STR(".arpa")) ||
	    said_lately(a->box, name, a->has_rec ? a->rec.exe : 0))
		return;
	if (asker_is_known(a) || !park(a, q, true, NULL))
		log_refusal(a, q);
}

/* false: waits for the monitor */
static bool answer(const struct asker *a, const struct osh_dns_query *q)
{
	struct osh_str name = { q->name, q->name_len };
	struct osh_px_box *box = a->box;
	uint32_t id = 0;
	int r;

	if (q->qclass != 1) {
		reply_code(a, q, OSH_DNS_NOTIMP);
		return true;
	}
	if (!q->has_name || !box->now.img || !osh_image_host_known(box->now.img, name, 0)) {
		refuse(a, q);
		return true;
	}
	if (q->qtype != OSH_DNS_A && q->qtype != OSH_DNS_AAAA) {
		reply_code(a, q, OSH_DNS_NOERROR); /* HTTPS and SVCB too: no ECH */
		return true;
	}
	r = osh_px_name_by_host(box, name, &id);
	if (r == -EAGAIN)
		return false;
	if (r < 0)
		reply_code(a, q, OSH_DNS_SERVFAIL);
	else
		reply_id(a, q, id);
	return true;
}

static void on_query(const struct asker *a, struct osh_str msg, struct dns_conn *conn)
{
	struct osh_dns_query q;
	int r = osh_dns_parse(msg, &q);

	a->box->px->stats.dns_queries++;
	if (r == -EBADMSG)
		return;
	if (r)
		reply_code(a, &q, (enum osh_dns_rcode)r);
	else if (!answer(a, &q) && !park(a, &q, false, conn))
		reply_code(a, &q, OSH_DNS_SERVFAIL);
}

void osh_px_dns_wake(struct osh_px_box *box)
{
	uint64_t now = osh_loop_now_ms(box->px->loop);
	struct osh_list *it, *tmp;

	osh_list_for_each_safe (it, tmp, &box->dns_waits) {
		struct wait *w = osh_list_entry(it, struct wait, node);

		if (w->answered) {
			if (!asker_is_known(&w->asker) && now < w->until_ms)
				continue;
			log_refusal(&w->asker, &w->query);
		} else if (!answer(&w->asker, &w->query)) {
			if (now < w->until_ms)
				continue;
			reply_code(&w->asker, &w->query, OSH_DNS_SERVFAIL);
		}
		wait_free(w);
	}
}

/* ---- UDP ---- */

void osh_px_on_dns_udp(struct osh_src *src, uint32_t events)
{
	struct osh_px_listener *l = osh_container_of(src, struct osh_px_listener, src);
	struct osh_px *px = l->box->px;

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct asker a = { .box = l->box, .fd = l->fd, .addr_len = sizeof(a.addr) };
		ssize_t n = recvfrom(l->fd, px->rbuf, OSH_DNS_QUERY_MAX + 1, MSG_DONTWAIT,
				     (struct sockaddr *)&a.addr, &a.addr_len);

		if (n < 0)
			return;
		if (n > OSH_DNS_QUERY_MAX)
			continue;
		/* sin_port and sin6_port are at the same place */
		a.has_rec = px->hooks.flow_fetch_dns &&
			    !px->hooks.flow_fetch_dns(l->fd, ntohs(a.addr.sin6_port), &a.rec) &&
			    a.rec.sandbox == l->box->id;
		on_query(&a, (struct osh_str){ px->rbuf, (size_t)n }, NULL);
	}
}

/* ---- TCP ---- */

static void dns_conn_retired(struct osh_src *src)
{
	free(osh_container_of(src, struct dns_conn, src));
}

static void dns_conn_close(struct dns_conn *d)
{
	struct osh_list *it, *tmp;

	if (d->closed)
		return;
	d->closed = true;
	osh_list_for_each_safe (it, tmp, &d->box->dns_waits) {
		struct wait *w = osh_list_entry(it, struct wait, node);

		if (w->conn == d)
			wait_free(w);
	}
	osh_list_del(&d->node);
	d->box->n_dns_conns--;
	osh_timer_stop(&d->timer);
	osh_src_del(&d->src);
	close(d->src.fd);
	osh_loop_retire(&d->src, dns_conn_retired);
}

static void on_tcp_timer(struct osh_timer *timer)
{
	dns_conn_close(osh_container_of(timer, struct dns_conn, timer));
}

static void on_tcp(struct osh_src *src, uint32_t events)
{
	struct dns_conn *d = osh_container_of(src, struct dns_conn, src);
	struct osh_px_box *box = d->box;
	size_t at = 0;
	ssize_t n;

	(void)events;
	if (d->closed)
		return;
	n = recv(src->fd, d->buf + d->have, sizeof(d->buf) - d->have, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		dns_conn_close(d);
		return;
	}
	d->have += (size_t)n;
	while (d->have - at >= 2) {
		size_t len = (size_t)(uint8_t)d->buf[at] << 8 | (uint8_t)d->buf[at + 1];
		struct asker a = { .box = box, .fd = src->fd, .tcp = true, .has_rec = true };

		if (len > OSH_DNS_QUERY_MAX || d->waiting > 16) {
			dns_conn_close(d);
			return;
		}
		if (d->have - at - 2 < len)
			break;
		a.rec = d->rec;
		on_query(&a, (struct osh_str){ d->buf + at + 2, len }, d);
		at += 2 + len;
	}
	memmove(d->buf, d->buf + at, d->have - at);
	d->have -= at;
	osh_timer_set(box->px->loop, &d->timer, box->px->cfg.timeouts.dns_tcp_ms, on_tcp_timer);
}

void osh_px_dns_accept(struct osh_px_box *box, int take_fd, const struct osh_flow_rec *rec)
{
	struct osh_px *px = box->px;
	struct dns_conn *d = NULL;

	if (box->n_dns_conns < px->cfg.limits.dns_tcp)
		d = calloc(1, sizeof(*d));
	if (!d || osh_src_add(px->loop, &d->src, take_fd, EPOLLIN | EPOLLRDHUP, 0, on_tcp,
			      "dns-tcp") < 0) {
		free(d);
		close(take_fd);
		return;
	}
	d->box = box;
	d->rec = *rec;
	osh_list_add_tail(&box->dns_conns, &d->node);
	box->n_dns_conns++;
	osh_timer_set(px->loop, &d->timer, px->cfg.timeouts.dns_tcp_ms, on_tcp_timer);
}

void osh_px_dns_free(struct osh_px_box *box)
{
	while (!osh_list_is_empty(&box->dns_conns))
		dns_conn_close(osh_list_entry(box->dns_conns.next, struct dns_conn, node));
	while (!osh_list_is_empty(&box->dns_waits))
		wait_free(osh_list_entry(box->dns_waits.next, struct wait, node));
}
