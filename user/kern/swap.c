/* SPDX-License-Identifier: MIT */
/*
 * Replacing an entry of a map of maps. The new map is in force at once, but the kernel holds the
 * caller until no program can be using the old one: an RCU grace period, 16 ms at 250 Hz. A thread
 * waits in our place; it does nothing but that one system call.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define WAITERS	    8 /* of as many publishes in a row; the next waits for the oldest */
#define STACK_BYTES (64 * 1024)
#define LOOK_NS	    20000 /* until it is in force, look again that often */

enum { UNDER_WAY = 1 };

struct osh_swap {
	pthread_t thread;
	bool used; /* a thread to be joined */
	int outer_fd, inner_fd;
	uint32_t key;
	atomic_int result; /* UNDER_WAY, then 0 or -errno */
};

struct osh_swaps {
	struct osh_swap waiter[WAITERS];
	unsigned int next;
};

static void *waiter_main(void *arg)
{
	struct osh_swap *s = arg;
	int r = bpf_map_update_elem(s->outer_fd, &s->key, &s->inner_fd, BPF_ANY);

	atomic_store(&s->result, r < 0 ? -errno : 0);
	return NULL;
}

static void join(struct osh_swap *s)
{
	if (s->used)
		(void)pthread_join(s->thread, NULL); /* only misuse can fail */
	s->used = false;
}

/* No signal of the process may be handled by a waiter. */
static int start(struct osh_swap *s)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (r == 0)
		r = pthread_create(&s->thread, &attr, waiter_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	s->used = r == 0;
	return -r;
}

/* Returns when @inner_fd is in force at @key; the caller may close it then. */
int osh_swap_put(struct osh_kern *kern, int outer_fd, uint32_t key, int inner_fd)
{
	static const struct timespec look = { .tv_nsec = LOOK_NS };
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info), id;
	struct osh_swap *s;
	int r;

	if (bpf_obj_get_info_by_fd(inner_fd, &info, &len) < 0)
		return -errno;
	if (!kern->swaps) {
		kern->swaps = calloc(1, sizeof(*kern->swaps));
		if (!kern->swaps)
			return -ENOMEM;
	}
	s = &kern->swaps->waiter[kern->swaps->next++ % WAITERS];
	join(s);
	s->outer_fd = outer_fd;
	s->inner_fd = inner_fd;
	s->key = key;
	atomic_store(&s->result, UNDER_WAY);
	r = start(s);
	if (r < 0)
		return r;
	for (;;) {
		r = atomic_load(&s->result);
		if (r != UNDER_WAY)
			return r;
		if (bpf_map_lookup_elem(outer_fd, &key, &id) == 0 && id == info.id)
			return 0;
		(void)nanosleep(&look, NULL); /* interrupted: looks earlier */
	}
}

struct osh_swaps *osh_swaps_free(struct osh_swaps *swaps)
{
	size_t i;

	for (i = 0; swaps && i < WAITERS; i++)
		join(&swaps->waiter[i]);
	free(swaps);
	return NULL;
}
