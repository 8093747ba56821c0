/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "proxy/worker.h"

#include <sys/resource.h>
#include <sys/socket.h>

enum {
	BATCH = 32, /* per listener and turn: the next sandbox's listener comes after */
	LOST_MAX = 8, /* of them: more in one turn is no accident of single connections */
	PAUSE_MS = 100, /* without a descriptor or memory */
	YIELD_MS = 50, /* over a ceiling: for other workers, that may have room */
	SAY_MS = 10000, /* the same trouble is logged once in this time */
	OWN_FILES = 64, /* listeners and DNS of some sandboxes, links, resolver, log */
};

static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\n"
			   "Content-Type: application/json\r\nContent-Length: 54\r\n"
			   "Connection: close\r\n\r\n"
			   "{\"detail\":\"too many connections\",\"error\":\"overloaded\"}";

/*
 * No ceiling may promise more than there are descriptors: running out of them is the one shortage in which
 * the other sandboxes would suffer. A connection needs two (its upstream), a bulky tunnel four more for
 * its pipes, and one sandbox shall leave a third of the connections to the others.
 */
void osh_px_fit_limits(struct osh_px_limits *limits, uint64_t files)
{
	uint64_t left = files > 2 * OWN_FILES ? files - OWN_FILES : OWN_FILES, total;

	limits->pipes = (uint32_t)OSH_MIN(left / 16, (uint64_t)UINT32_MAX);
	limits->idle_upstream_total = (uint32_t)OSH_MIN((uint64_t)limits->idle_upstream_total,
							left / 8);
	total = (left - 2ull * limits->pipes - limits->idle_upstream_total) / 2;
	limits->connections_total = (uint32_t)OSH_MIN((uint64_t)limits->connections_total, total);
	limits->connections = (uint32_t)OSH_MIN((uint64_t)limits->connections,
						OSH_MAX(limits->connections_total * 2ull / 3, 1));
}

void osh_px_fit_to_files(struct osh_px *px)
{
	const struct osh_px_limits before = px->cfg.limits, *now = &px->cfg.limits;
	struct rlimit files = { .rlim_cur = 1024 };

	(void)getrlimit(RLIMIT_NOFILE,
			&files); /* cannot fail; if it did: the least of all systems */
	osh_px_fit_limits(&px->cfg.limits, files.rlim_cur);
	if (now->connections < before.connections)
		osh_log_notice(
			"%llu descriptors: %u connections per sandbox and worker instead of %u, "
			"%u in all",
			(unsigned long long)files.rlim_cur, now->connections, before.connections,
			now->connections_total);
}

/* ---- saying so ---- */

static bool due(struct osh_px *px, uint64_t *at_ms)
{
	uint64_t now = osh_loop_now_ms(px->loop);

	if (*at_ms && now - *at_ms < SAY_MS)
		return false;
	*at_ms = now;
	return true;
}

static const char *shortage(int error)
{
	switch (error) {
	case EMFILE:
		return "out of descriptors";
	case ENFILE:
		return "this host is out of descriptors";
	case ENOMEM:
	case ENOBUFS:
	case ENOSPC:
		return "out of memory for connections";
	default:
		return "connections cannot be accepted";
	}
}

void osh_px_accept_report(struct osh_px *px)
{
	struct osh_list *it;

	if (px->starved_errno && due(px, &px->starved.at_ms)) {
		osh_log_warn("%s (%s): %u connections refused, accepting again as soon as some "
			     "return (%u connections are open)",
			     shortage(px->starved_errno), strerror(px->starved_errno),
			     px->starved.n, px->n_conns);
		px->starved.n = 0;
		px->starved_errno = 0;
	}
	osh_list_for_each (it, &px->boxes) {
		struct osh_px_box *box = osh_list_entry(it, struct osh_px_box, node);

		if (!box->shed.n || !due(px, &box->shed.at_ms))
			continue;
		osh_log_warn(
			"sandbox %s: %u connections refused over a ceiling (%u of %u open, %u of %u "
			"in all)",
			OSH_Q(box->name), box->shed.n, box->n_conns, px->cfg.limits.connections,
			px->n_conns, px->cfg.limits.connections_total);
		box->shed.n = 0;
	}
}

/* ---- accepting ---- */

static void starved(struct osh_px *px, int error, bool refused)
{
	px->starved_errno = error;
	if (!refused)
		return;
	px->starved.n++;
	px->stats.shed++;
}

static void reset(int fd)
{
	const struct linger rst = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	(void)close(fd); /* the connection ends either way */
}

/* Over a ceiling: say so where a person can read it. */
static void shed(struct osh_px_box *box, int fd, const struct osh_flow_rec *rec)
{
	char unread[1024];

	box->px->stats.shed++;
	box->shed.n++;
	if (rec->kind == OSH_FLOW_EXPLICIT) {
		/* what came and is not read turns the end into a reset */
		(void)!recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
		(void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)shutdown(fd, SHUT_WR);
		(void)close(fd);
		return;
	}
	reset(fd);
}

static bool is_full(const struct osh_px_box *box)
{
	const struct osh_px *px = box->px;

	return box->n_conns >= px->cfg.limits.connections ||
	       px->n_conns >= px->cfg.limits.connections_total;
}

static void accepted(struct osh_px_box *box, int fd)
{
	struct osh_px *px = box->px;
	struct osh_flow_rec rec;

	px->stats.accepted++;
	if (px->hooks.flow_fetch(fd, &rec) < 0 || rec.sandbox != box->id) {
		px->stats.no_record++;
		reset(fd);
		return;
	}
	if (rec.kind == OSH_FLOW_DNS_TCP) {
		osh_px_dns_accept(box, fd, &rec);
		return;
	}
	if (rec.kind != OSH_FLOW_EXPLICIT && rec.kind != OSH_FLOW_TRANSPARENT) {
		px->stats.no_record++;
		reset(fd);
		return;
	}
	if (is_full(box)) {
		shed(box, fd, &rec);
		return;
	}
	/* takes the fd; closes it on failure */
	if (!osh_px_conn_new(box, fd, &rec))
		starved(px, errno, true);
}

/* An open file of its own: a duplicate would not give back what a host is out of. */
void osh_px_reserve(struct osh_px *px)
{
	if (px->reserve_fd < 0)
		px->reserve_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void osh_px_on_listener_pause(struct osh_timer *timer)
{
	struct osh_px_listener *l = osh_container_of(timer, struct osh_px_listener, pause);

	osh_px_reserve(l->box->px);
	osh_src_want(&l->src, EPOLLIN);
}

static void pause_listener(struct osh_px_listener *l, uint32_t ms)
{
	osh_src_want(&l->src, 0);
	osh_timer_set(l->box->px->loop, &l->pause, ms, osh_px_on_listener_pause);
}

/* No descriptor left: one is kept in reserve so that a waiting client learns at once. */
static void use_reserve(struct osh_px_listener *l)
{
	struct osh_px *px = l->box->px;
	int fd;

	if (px->reserve_fd < 0)
		return;
	close(px->reserve_fd);
	px->reserve_fd = -1;
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		starved(px, px->starved_errno, true);
		reset(fd);
	}
	osh_px_reserve(px);
}

/* The connection that failed is gone, the next may be fine: accept(2), "Error handling". */
static bool is_of_one(int error)
{
	switch (error) {
	case ECONNABORTED:
	case EINTR:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM:
		return true;
	default:
		return false;
	}
}

void osh_px_on_listener(struct osh_src *src, uint32_t events)
{
	struct osh_px_listener *l = osh_container_of(src, struct osh_px_listener, src);
	bool shedding = is_full(l->box) && l->yielded;
	struct osh_px *px = l->box->px;
	int fd, lost = 0;

	(void)events;
	l->yielded = false;
	for (int i = 0; i < BATCH; i++) {
		if (!shedding && is_full(l->box)) {
			/* another worker may have room, or some end here; who still waits then is told */
			l->yielded = true;
			pause_listener(l, YIELD_MS);
			return;
		}
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			accepted(l->box, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (is_of_one(errno) && ++lost < LOST_MAX)
			continue;
		/* the listener stays readable: asking on would be spinning */
		starved(px, errno, false);
		if (errno == EMFILE || errno == ENFILE)
			use_reserve(l);
		pause_listener(l, PAUSE_MS);
		return;
	}
}
