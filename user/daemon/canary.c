/* SPDX-License-Identifier: MIT */
#include "daemon/canary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/child.h"

enum {
	CANARY_WAIT_MS = 3000,
	CONNECT_S = 1, /* a SYN that is dropped is not let through */
};

/* Bits of the child's exit code: what got through. */
enum {
	THROUGH_TCP = 1,
	THROUGH_UDP = 2,
	THROUGH_SOCKET = 4,
};

/* One at a time: it is out when the child's pid is set or @begin is armed. */
static struct {
	struct osh_monitor *m;
	struct osh_timer begin;
	struct osh_child child;
	struct osh_diag diag;
	int listener, cgroup_fd;
	uint16_t port; /* network order */
	char cgroup[OSH_CGROUP_NAME_MAX];
	struct osh_list asked, next; /* struct osh_canary: of this one, of the next one */
} out = { .listener = -1, .cgroup_fd = -1 };

/* ---- in the child ---- */

static int tcp_through(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = port };
	osh_auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval limit = { .tv_sec = CONNECT_S };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	       connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static int udp_through(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = port };
	osh_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd >= 0 && sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1;
}

static int socket_through(void)
{
	osh_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);

	return fd >= 0;
}

/* Outside of every sandbox: what the canary tries must be possible at all. */
static int control(const void *arg)
{
	const uint16_t *port = arg;

	return tcp_through(*port) ? THROUGH_TCP : 0;
}

/* The host's own namespace: without the programs every attempt would succeed. */
static int attempt(const void *arg)
{
	const uint16_t *port = arg;
	int through = 0;

	if (tcp_through(*port))
		through |= THROUGH_TCP;
	if (udp_through(*port))
		through |= THROUGH_UDP;
	if (socket_through())
		through |= THROUGH_SOCKET;
	return through;
}

/* ---- in the monitor ---- */

static int listen_loopback(uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	osh_auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return -errno;
	*ret_port = at.sin_port;
	return osh_take_fd(&fd);
}

static void on_begin(struct osh_timer *timer);

static void clean_up(void)
{
	osh_close_ptr(&out.listener);
	if (out.cgroup_fd < 0)
		return;
	osh_close_ptr(&out.cgroup_fd);
	(void)!osh_cgroup_sandbox_remove(&out.m->cg, out.cgroup); /* else used again next time */
}

static void answer(int err)
{
	struct osh_diag diag = out.diag;
	struct osh_list asked;

	clean_up();
	osh_diag_init(&out.diag, NULL);
	osh_list_init(&asked);
	while (!osh_list_is_empty(&out.asked)) {
		struct osh_list *node = out.asked.next;

		osh_list_del(node);
		osh_list_add_tail(&asked, node);
	}
	while (!osh_list_is_empty(&out.next)) {
		struct osh_list *node = out.next.next;

		osh_list_del(node);
		osh_list_add_tail(&out.asked, node);
	}
	if (!osh_list_is_empty(&out.asked))
		osh_timer_set(out.m->loop, &out.begin, 0, on_begin);
	while (!osh_list_is_empty(&asked)) {
		struct osh_canary *canary = osh_list_entry(asked.next, struct osh_canary, node);

		osh_list_del(&canary->node);
		canary->done(canary, err, &diag);
	}
	osh_diag_fini(&diag);
}

static void attempted(struct osh_child *child, int code)
{
	(void)child;
	if (code < 0 || code > (THROUGH_TCP | THROUGH_UDP | THROUGH_SOCKET)) {
		osh_diag_err(&out.diag, 0, 0, "the canary did not finish");
		answer(code < 0 ? code : -EIO);
		return;
	}
	if (code & THROUGH_TCP)
		osh_diag_err(&out.diag, 0, 0, "a TCP connection from a sandbox cgroup got through");
	if (code & THROUGH_UDP)
		osh_diag_err(&out.diag, 0, 0, "a datagram from a sandbox cgroup got through");
	if (code & THROUGH_SOCKET)
		osh_diag_err(&out.diag, 0, 0,
			     "a forbidden socket type was created in a sandbox cgroup");
	answer(code ? -EPERM : 0);
}

static int start(int (*fn)(const void *), int cgroup_fd, osh_child_done_fn *done)
{
	const struct osh_child_job job = {
		.fn = fn,
		.arg = &out.port,
		.cgroup_fd = cgroup_fd,
		.timeout_ms = CANARY_WAIT_MS,
	};
	int r = osh_child_start(out.m->loop, &out.child, &job, done);

	if (r < 0)
		osh_diag_err(&out.diag, 0, 0, "cannot start the canary%s: %s",
			     cgroup_fd < 0 ? "" : " in its cgroup", strerror(-r));
	return r;
}

static void controlled(struct osh_child *child, int code)
{
	int r;

	(void)child;
	if (code != THROUGH_TCP) {
		osh_diag_err(&out.diag, 0, 0,
			     "the canary cannot tell: its listener is not reachable at all");
		answer(-EIO);
		return;
	}
	r = start(attempt, out.cgroup_fd, attempted);
	if (r < 0)
		answer(r);
}

static int begin(void)
{
	struct osh_monitor *m = out.m;
	int r = osh_kern_verify(m->kern, &out.diag);

	if (r < 0)
		return -EPERM; /* not what was put up */
	/* upper case: no sandbox can have this name */
	(void)snprintf(out.cgroup, sizeof(out.cgroup), "CANARY-%d", (int)getpid());
	r = osh_cgroup_sandbox_create(&m->cg, out.cgroup, &out.cgroup_fd);
	if (r == -EEXIST)
		r = osh_cgroup_sandbox_open(&m->cg, out.cgroup, &out.cgroup_fd);
	if (r < 0) {
		osh_diag_err(&out.diag, 0, 0, "cannot make the canary's cgroup: %s", strerror(-r));
		return r;
	}
	out.listener = listen_loopback(&out.port);
	if (out.listener < 0) {
		osh_diag_err(&out.diag, 0, 0, "cannot listen on loopback: %s",
			     strerror(-out.listener));
		return out.listener;
	}
	return start(control, -1, controlled);
}

static void on_begin(struct osh_timer *timer)
{
	int r = begin();

	(void)timer;
	if (r < 0)
		answer(r);
}

void osh_canary_send(struct osh_monitor *m, struct osh_canary *canary, osh_canary_fn *done)
{
	if (!out.m) {
		out.m = m;
		osh_list_init(&out.asked);
		osh_list_init(&out.next);
		osh_diag_init(&out.diag, NULL);
	}
	canary->done = done;
	if (out.child.pid) {
		osh_list_add_tail(&out.next, &canary->node);
		return;
	}
	osh_list_add_tail(&out.asked, &canary->node);
	if (!osh_timer_armed(&out.begin))
		osh_timer_set(m->loop, &out.begin, 0, on_begin);
}

void osh_canary_forget(struct osh_canary *canary)
{
	if (canary->node.next)
		osh_list_del(&canary->node);
}

void osh_canary_stop(struct osh_monitor *m)
{
	if (out.m != m)
		return;
	osh_timer_stop(&out.begin);
	osh_child_drop(&out.child);
	clean_up();
	osh_diag_fini(&out.diag);
	out.m = NULL;
}
