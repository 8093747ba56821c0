/* SPDX-License-Identifier: MIT */
#include "daemon/emptying.h"

#include <errno.h>

#include "sys/cgroup.h"

enum { LOOK_MS = 200 };

static void look(struct osh_emptying *e)
{
	int r = e->cgroup_fd < 0 ? 1 : osh_cgroup_is_empty(e->cgroup_fd);

	/* removed by somebody else: nothing can be in it */
	if (r == 0 || (r < 0 && r != -ENODEV && r != -ENOENT))
		return;
	osh_emptying_stop(e);
	e->is_empty(e);
}

static void on_events(struct osh_src *src, uint32_t events)
{
	char text[256];

	(void)events;
	/* reading is what arms the next notification */
	if (pread(src->fd, text, sizeof(text), 0) < 0)
		osh_src_want(src, 0); /* the timer goes on looking */
	look(osh_container_of(src, struct osh_emptying, src));
}

/* First look, and the only way to notice when cgroup.events cannot be watched. */
static void on_look(struct osh_timer *timer)
{
	struct osh_emptying *e = osh_container_of(timer, struct osh_emptying, look);

	osh_timer_set(e->loop, &e->look, LOOK_MS, on_look);
	look(e);
}

static void on_late(struct osh_timer *timer)
{
	struct osh_emptying *e = osh_container_of(timer, struct osh_emptying, late);

	e->is_late(e);
}

void osh_emptying_start(struct osh_loop *loop, struct osh_emptying *e, int cgroup_fd,
			unsigned int late_ms, osh_emptying_fn *is_empty, osh_emptying_fn *is_late)
{
	char text[256];
	int fd;

	*e = (struct osh_emptying){
		.loop = loop,
		.cgroup_fd = cgroup_fd,
		.is_empty = is_empty,
		.is_late = is_late,
	};
	e->src.fd = -1;
	if (cgroup_fd >= 0 && osh_cgroup_events_fd(cgroup_fd, &fd) == 0) {
		if (pread(fd, text, sizeof(text), 0) < 0 ||
		    osh_src_add(loop, &e->src, fd, EPOLLPRI, 0, on_events, "cgroup events") < 0) {
			osh_close_ptr(&fd);
			e->src.fd = -1;
		}
	}
	osh_timer_set(loop, &e->look, 0, on_look);
	if (is_late)
		osh_timer_set(loop, &e->late, late_ms, on_late);
}

void osh_emptying_stop(struct osh_emptying *e)
{
	if (!e->loop)
		return;
	e->loop = NULL;
	osh_timer_stop(&e->look);
	osh_timer_stop(&e->late);
	if (e->src.fd < 0)
		return;
	osh_src_del(&e->src);
	osh_close_ptr(&e->src.fd);
}
