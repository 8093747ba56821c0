/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

#include <sys/socket.h>

enum {
	BATCH = 32, /* per listener and turn: the next sandbox's listener comes after */
	PAUSE_MS = 100,
};

static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\n"
			   "Content-Type: application/json\r\nContent-Length: 54\r\n"
			   "Connection: close\r\n\r\n"
			   "{\"detail\":\"too many connections\",\"error\":\"overloaded\"}";

static void reset(int fd)
{
	const struct linger rst = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	(void)close(fd); /* the connection ends either way */
}

/* Over a ceiling: say so where a person can read it. */
static void shed(struct osh_px_box *box, int fd, const struct osh_flow_rec *rec)
{
	box->px->stats.shed++;
	if (rec->kind == OSH_FLOW_EXPLICIT) {
		(void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)shutdown(fd, SHUT_WR);
		(void)close(fd);
		return;
	}
	reset(fd);
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
	if (box->n_conns >= px->cfg.limits.connections ||
	    px->n_conns >= px->cfg.limits.connections_total) {
		shed(box, fd, &rec);
		return;
	}
	(void)osh_px_conn_new(box, fd, &rec); /* takes the fd; closes it on failure */
}

void osh_px_on_listener_pause(struct osh_timer *timer)
{
	struct osh_px_listener *l = osh_container_of(timer, struct osh_px_listener, pause);

	osh_src_want(&l->src, EPOLLIN);
}

static void pause_listener(struct osh_px_listener *l)
{
	osh_src_want(&l->src, 0);
	osh_timer_set(l->box->px->loop, &l->pause, PAUSE_MS, osh_px_on_listener_pause);
}

/* No descriptor left: one is kept in reserve so that a waiting client learns at once. */
static void use_reserve(struct osh_px_listener *l)
{
	struct osh_px *px = l->box->px;
	int fd;

	if (px->reserve_fd >= 0) {
		close(px->reserve_fd);
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			px->stats.shed++;
			reset(fd);
		}
		px->reserve_fd = dup(px->monitor.fd);
	}
	pause_listener(l);
}

void osh_px_on_listener(struct osh_src *src, uint32_t events)
{
	struct osh_px_listener *l = osh_container_of(src, struct osh_px_listener, src);

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			accepted(l->box, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EMFILE || errno == ENFILE) {
			use_reserve(l);
			return;
		}
		if (errno == ENOBUFS || errno == ENOMEM) {
			pause_listener(l);
			return;
		}
		/* ECONNABORTED and its kind: that connection is gone, the next may be fine */
	}
}
