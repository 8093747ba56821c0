/* SPDX-License-Identifier: MIT */
#include "io/loop.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { BATCH = 256 };

enum src_state {
	SRC_NEW = 0, /* zeroed storage */
	SRC_LIVE,
	SRC_GONE,
};

struct osh_loop {
	int epfd;
	uint64_t now_ms;
	struct osh_list changed, again, retired;
	struct osh_list todo; /* what run_again() has left of this turn */
	struct osh_timer **heap; /* binary heap by at_ms; heap[0] fires first */
	uint32_t timers, heap_cap;
	uint32_t turn; /* counts passes over the timers */
	void (*idle_fn)(void *arg);
	void *idle_arg;
	struct epoll_event *batch; /* events of this turn not handled yet */
	int batch_n, batch_at;
	uint64_t spin_ns; /* see osh_loop_set_spin() */
	uint64_t waited_ns; /* the last time that it could have slept */
	bool stopping;
	int code;
};

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t clock_ms(void)
{
	return clock_ns() / 1000000;
}

struct osh_loop *osh_loop_new(void)
{
	struct osh_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		free(loop);
		return NULL;
	}
	osh_list_init(&loop->changed);
	osh_list_init(&loop->again);
	osh_list_init(&loop->todo);
	osh_list_init(&loop->retired);
	loop->now_ms = clock_ms();
	return loop;
}

static void free_retired(struct osh_loop *loop)
{
	while (!osh_list_is_empty(&loop->retired)) {
		struct osh_src *src = osh_list_entry(loop->retired.next, struct osh_src, node);

		osh_list_del(&src->node);
		src->free_fn(src);
	}
}

struct osh_loop *osh_loop_free(struct osh_loop *loop)
{
	if (!loop)
		return NULL;
	free_retired(loop);
	for (uint32_t i = 0; i < loop->timers; i++)
		loop->heap[i]->slot = 0;
	free(loop->heap);
	close(loop->epfd);
	free(loop);
	return NULL;
}

int osh_src_add(struct osh_loop *loop, struct osh_src *src, int fd, uint32_t want,
		unsigned int flags, osh_src_fn *fn, const char *name)
{
	struct epoll_event ev = {
		.events = want | (flags & OSH_SRC_EDGE ? EPOLLET : 0),
		.data.ptr = src,
	};

	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	*src = (struct osh_src){
		.fd = fd,
		.want = want,
		.applied = want,
		.flags = flags,
		.fn = fn,
		.name = name,
		.loop = loop,
		.state = SRC_LIVE,
	};
	osh_list_init(&src->node);
	osh_list_init(&src->again_node);
	return 0;
}

void osh_src_want(struct osh_src *src, uint32_t want)
{
	if (src->state != SRC_LIVE)
		return;
	src->want = want;
	if (want != src->applied && osh_list_is_empty(&src->node))
		osh_list_add_tail(&src->loop->changed, &src->node);
}

void osh_src_again(struct osh_src *src)
{
	if (src->state == SRC_LIVE && osh_list_is_empty(&src->again_node))
		osh_list_add_tail(&src->loop->again, &src->again_node);
}

void osh_src_forget(struct osh_src *src)
{
	struct osh_loop *loop = src->loop;

	if (src->state != SRC_LIVE)
		return;
	src->state = SRC_GONE;
	osh_list_del(&src->node);
	osh_list_del(&src->again_node);
	for (int i = loop->batch_at; i < loop->batch_n; i++)
		if (loop->batch[i].data.ptr == src)
			loop->batch[i].data.ptr = NULL;
}

void osh_src_del(struct osh_src *src)
{
	if (src->state == SRC_LIVE) /* the fd may be closed already */
		(void)epoll_ctl(src->loop->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	osh_src_forget(src);
}

void osh_loop_retire(struct osh_src *src, void (*free_fn)(struct osh_src *src))
{
	osh_src_del(src);
	src->free_fn = free_fn;
	osh_list_add_tail(&src->loop->retired, &src->node);
}

/* ---- timers ---- */

static void heap_place(struct osh_loop *loop, uint32_t i, struct osh_timer *t)
{
	loop->heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct osh_loop *loop, uint32_t i)
{
	struct osh_timer *t = loop->heap[i];

	while (i > 0 && loop->heap[(i - 1) / 2]->at_ms > t->at_ms) {
		heap_place(loop, i, loop->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_place(loop, i, t);
}

static void heap_down(struct osh_loop *loop, uint32_t i)
{
	struct osh_timer *t = loop->heap[i];

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c >= loop->timers)
			break;
		if (c + 1 < loop->timers && loop->heap[c + 1]->at_ms < loop->heap[c]->at_ms)
			c++;
		if (loop->heap[c]->at_ms >= t->at_ms)
			break;
		heap_place(loop, i, loop->heap[c]);
		i = c;
	}
	heap_place(loop, i, t);
}

void osh_timer_stop(struct osh_timer *timer)
{
	struct osh_loop *loop = timer->loop;
	uint32_t i = timer->slot;
	struct osh_timer *last;

	if (!i)
		return;
	i--;
	timer->slot = 0;
	last = loop->heap[--loop->timers];
	if (last == timer)
		return;
	heap_place(loop, i, last);
	heap_up(loop, i);
	heap_down(loop, last->slot - 1);
}

void osh_timer_set(struct osh_loop *loop, struct osh_timer *timer, uint64_t in_ms, osh_timer_fn *fn)
{
	uint64_t at_ms = loop->now_ms + in_ms;

	timer->fn = fn;
	timer->loop = loop;
	timer->turn = loop->turn;
	if (timer->slot) {
		uint64_t before = timer->at_ms;

		timer->at_ms = at_ms;
		if (at_ms > before)
			heap_down(loop, timer->slot - 1);
		else
			heap_up(loop, timer->slot - 1);
		return;
	}
	timer->at_ms = at_ms;
	if (loop->timers == loop->heap_cap) {
		uint32_t cap = loop->heap_cap ? 2 * loop->heap_cap : 64;
		struct osh_timer **heap = realloc(loop->heap, cap * sizeof(struct osh_timer *));

		/* A deadline that cannot be kept would leave something open for ever. */
		if (!heap)
			abort();
		loop->heap = heap;
		loop->heap_cap = cap;
	}
	heap_place(loop, loop->timers, timer);
	heap_up(loop, loop->timers++);
}

static void fire_timers(struct osh_loop *loop)
{
	/* one that is armed from here on, even without delay, must not keep the sources waiting */
	loop->turn++;
	while (loop->timers && loop->heap[0]->at_ms <= loop->now_ms &&
	       loop->heap[0]->turn != loop->turn) {
		struct osh_timer *t = loop->heap[0];

		osh_timer_stop(t);
		t->fn(t);
	}
}

/* ---- turning ---- */

uint64_t osh_loop_now_ms(const struct osh_loop *loop)
{
	return loop->now_ms;
}

void osh_loop_set_idle(struct osh_loop *loop, void (*fn)(void *arg), void *arg)
{
	loop->idle_fn = fn;
	loop->idle_arg = arg;
}

static void apply_changes(struct osh_loop *loop)
{
	while (!osh_list_is_empty(&loop->changed)) {
		struct osh_src *src = osh_list_entry(loop->changed.next, struct osh_src, node);
		struct epoll_event ev = {
			.events = src->want | (src->flags & OSH_SRC_EDGE ? EPOLLET : 0),
			.data.ptr = src,
		};

		osh_list_del(&src->node);
		if (src->want == src->applied)
			continue;
		src->applied = src->want;
		/* only an fd closed behind the loop's back gets here; its owner learns by being called */
		if (epoll_ctl(loop->epfd, EPOLL_CTL_MOD, src->fd, &ev) < 0)
			osh_src_again(src);
	}
}

static int wait_ms(const struct osh_loop *loop, int max_wait_ms)
{
	uint64_t left;

	if (!osh_list_is_empty(&loop->again))
		return 0;
	if (!loop->timers)
		return max_wait_ms;
	left = loop->heap[0]->at_ms > loop->now_ms ? loop->heap[0]->at_ms - loop->now_ms : 0;
	left = OSH_MIN(left, (uint64_t)3600000);
	if (max_wait_ms >= 0)
		left = OSH_MIN(left, (uint64_t)max_wait_ms);
	return (int)left;
}

void osh_loop_set_spin(struct osh_loop *loop, uint32_t us)
{
	loop->spin_ns = (uint64_t)us * 1000;
}

/* Without sleeping at first. A long wait ends it: who is idle costs nothing. */
static int spin_wait(struct osh_loop *loop, struct epoll_event *events, int ms)
{
	uint64_t begin = clock_ns(), now = begin;
	bool may = loop->waited_ns < 2 * loop->spin_ns;
	int n = 0;

	while (may && !n && now - begin < loop->spin_ns) {
		n = epoll_wait(loop->epfd, events, BATCH, 0);
		now = clock_ns();
	}
	if (!n)
		n = epoll_wait(loop->epfd, events, BATCH, ms);
	loop->waited_ns = clock_ns() - begin;
	return n;
}

static void run_again(struct osh_loop *loop)
{
	/* sources queued from here on wait for the next turn */
	while (!osh_list_is_empty(&loop->again)) {
		struct osh_list *node = loop->again.next;

		osh_list_del(node);
		osh_list_add_tail(&loop->todo, node);
	}
	while (!osh_list_is_empty(&loop->todo)) {
		struct osh_src *src = osh_list_entry(loop->todo.next, struct osh_src, again_node);

		osh_list_del(&src->again_node);
		src->fn(src, 0);
	}
}

int osh_loop_turn(struct osh_loop *loop, int max_wait_ms)
{
	struct epoll_event events[BATCH];
	int n, ms;

	if (loop->idle_fn)
		loop->idle_fn(loop->idle_arg);
	apply_changes(loop);
	ms = wait_ms(loop, max_wait_ms);
	n = loop->spin_ns && ms ? spin_wait(loop, events, ms)
				: epoll_wait(loop->epfd, events, BATCH, ms);
	if (n < 0) {
		if (errno != EINTR)
			return -errno;
		n = 0;
	}
	loop->now_ms = clock_ms();
	/* batch first: a source deleted by run_again() must not be called for its events */
	loop->batch = events;
	loop->batch_n = n;
	loop->batch_at = 0;
	run_again(loop);
	while (loop->batch_at < n) {
		struct epoll_event *ev = &events[loop->batch_at++];
		struct osh_src *src = ev->data.ptr;

		if (src)
			src->fn(src, ev->events);
	}
	loop->batch_n = loop->batch_at = 0;
	fire_timers(loop);
	free_retired(loop);
	return n;
}

int osh_loop_run(struct osh_loop *loop)
{
	loop->stopping = false;
	while (!loop->stopping) {
		int r = osh_loop_turn(loop, -1);

		if (r < 0)
			return r;
	}
	return loop->code;
}

void osh_loop_stop(struct osh_loop *loop, int code)
{
	loop->stopping = true;
	loop->code = code;
}
