/* SPDX-License-Identifier: MIT */
/*
 * The event loop: one per process, single-threaded, epoll. Sources and timers are embedded in their
 * owners (osh_container_of). Interest is declarative: a handler sets what it wants with
 * osh_src_want(); changed sources are applied once before the next wait. Destruction is deferred:
 * osh_loop_retire() takes a source out at once (later events of the same batch skip it) and calls
 * its free function after the batch, so no handler ever frees what its caller still uses.
 *
 * Handlers must not block. With level-triggered sources (the default) a handler may leave work for
 * the next turn; an OSH_SRC_EDGE source must be read until EAGAIN or re-queue itself with
 * osh_src_again().
 */
#ifndef OSH_IO_LOOP_H
#define OSH_IO_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"

struct osh_loop;
struct osh_src;
struct osh_timer;

/* @events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLRDHUP as epoll_wait(2) gives them. */
typedef void osh_src_fn(struct osh_src *src, uint32_t events);
typedef void osh_timer_fn(struct osh_timer *timer);

enum osh_src_flags {
	OSH_SRC_EDGE = 1u << 0,
};

struct osh_src {
	int fd; /* borrowed; the owner closes it after osh_src_del() or in its free */
	uint32_t want; /* EPOLLIN | EPOLLOUT | EPOLLRDHUP; 0: only errors and hang-up */
	uint32_t applied; /* loop's */
	unsigned int flags;
	osh_src_fn *fn;
	const char *name; /* static; for diagnosis */
	/* loop's */
	struct osh_list node; /* on the changed or retired list */
	struct osh_list again_node; /* on the again list */
	struct osh_loop *loop;
	void (*free_fn)(struct osh_src *src);
	uint8_t state;
};

/* Deadline in CLOCK_MONOTONIC milliseconds; fires once. */
struct osh_timer {
	uint64_t at_ms;
	osh_timer_fn *fn;
	struct osh_loop *loop;
	uint32_t slot; /* loop's: heap index + 1; 0: not armed */
	uint32_t turn; /* loop's: when it was armed */
};

struct osh_loop *osh_loop_new(void); /* NULL: errno tells */
struct osh_loop *osh_loop_free(struct osh_loop *loop);

/*
 * Zeroed storage in, registered source out. -errno from epoll_ctl(2). The source starts wanting
 * @want.
 */
int osh_src_add(struct osh_loop *loop, struct osh_src *src, int fd, uint32_t want,
		unsigned int flags, osh_src_fn *fn, const char *name) OSH_MUST_CHECK;
void osh_src_want(struct osh_src *src, uint32_t want);
/* Call @src's handler again in the next turn even without news from the kernel. */
void osh_src_again(struct osh_src *src);
/* Take out of the loop now; no-op for a source that was never added. The fd stays open. */
void osh_src_del(struct osh_src *src);
/*
 * The same without a system call, for a descriptor that the caller closes before it returns to the
 * loop and that nobody else holds (closing the last one takes it out of epoll).
 */
void osh_src_forget(struct osh_src *src);
/* Take out now, call @free_fn(src) after the current batch. */
void osh_loop_retire(struct osh_src *src, void (*free_fn)(struct osh_src *src));

/*
 * (Re)arm: fires @in_ms from the loop's current time; from a timer's handler 0 is the next turn, after
 * the sources had theirs.
 */
void osh_timer_set(struct osh_loop *loop, struct osh_timer *timer, uint64_t in_ms,
		   osh_timer_fn *fn);
void osh_timer_stop(struct osh_timer *timer);
static inline bool osh_timer_armed(const struct osh_timer *timer)
{
	return timer->slot != 0;
}

/* Time of the current turn, CLOCK_MONOTONIC. */
uint64_t osh_loop_now_ms(const struct osh_loop *loop);

/*
 * Called once at the end of every turn, before waiting: for work that is coalesced per turn. One
 * hook per loop.
 */
void osh_loop_set_idle(struct osh_loop *loop, void (*fn)(void *arg), void *arg);

/*
 * Before it sleeps, look for events for @us microseconds, if the last wait was not much longer than
 * that: sleeping and being woken takes longer than a peer that is at it. 0, the default: never.
 */
void osh_loop_set_spin(struct osh_loop *loop, uint32_t us);

/* Run until osh_loop_stop(); its code is returned, or -errno if waiting fails. */
int osh_loop_run(struct osh_loop *loop);
/* One turn: wait at most @max_wait_ms (-1: until something happens). For tests. */
int osh_loop_turn(struct osh_loop *loop, int max_wait_ms);
void osh_loop_stop(struct osh_loop *loop, int code);

#endif
