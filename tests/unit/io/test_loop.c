/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"

struct peer {
	struct osh_src src;
	struct peer *victim;
	int calls;
	bool freed;
};

static void peer_free(struct osh_src *src)
{
	osh_container_of(src, struct peer, src)->freed = true;
}

static void count_read(struct osh_src *src, uint32_t events)
{
	struct peer *p = osh_container_of(src, struct peer, src);
	char c;

	p->calls++;
	if (events & EPOLLIN)
		assert_int_equal(read(src->fd, &c, 1), 1);
	if (p->victim) {
		osh_loop_retire(&p->victim->src, peer_free);
		p->victim = NULL;
	}
}

static void a_retired_source_is_not_called_in_the_same_batch(void **state)
{
	struct osh_loop *loop = osh_loop_new();
	struct peer a = { 0 }, b = { 0 };
	int pa[2], pb[2];

	(void)state;
	assert_int_equal(pipe(pa) | pipe(pb), 0);
	assert_int_equal(osh_src_add(loop, &a.src, pa[0], EPOLLIN, 0, count_read, "a"), 0);
	assert_int_equal(osh_src_add(loop, &b.src, pb[0], EPOLLIN, 0, count_read, "b"), 0);
	a.victim = &b;
	b.victim = &a;
	assert_int_equal(write(pa[1], "x", 1) + write(pb[1], "x", 1), 2);
	osh_loop_turn(loop, 100);
	assert_int_equal(a.calls + b.calls, 1);
	assert_int_equal(a.freed + b.freed, 1);
	osh_src_del(&a.src);
	osh_src_del(&b.src);
	osh_loop_free(loop);
	close(pa[0]), close(pa[1]), close(pb[0]), close(pb[1]);
}

static void interest_is_applied_before_the_next_wait(void **state)
{
	struct osh_loop *loop = osh_loop_new();
	struct peer a = { 0 };
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "xy", 2), 2);
	assert_int_equal(osh_src_add(loop, &a.src, p[0], 0, 0, count_read, "a"), 0);
	osh_loop_turn(loop, 0);
	assert_int_equal(a.calls, 0);
	osh_src_want(&a.src, EPOLLIN);
	osh_loop_turn(loop, 100);
	assert_int_equal(a.calls, 1);
	osh_src_want(&a.src, 0);
	osh_src_again(&a.src);
	osh_loop_turn(loop, 0);
	assert_int_equal(a.calls, 2);
	osh_loop_turn(loop, 0);
	assert_int_equal(a.calls, 2);
	osh_src_del(&a.src);
	osh_loop_free(loop);
	close(p[0]), close(p[1]);
}

static int fired[3], fired_n;
static struct osh_timer timers[3];

static void on_timer(struct osh_timer *t)
{
	fired[fired_n++] = (int)(t - timers);
}

static void timers_fire_in_order_and_stop(void **state)
{
	struct osh_loop *loop = osh_loop_new();

	(void)state;
	osh_timer_set(loop, &timers[0], 30, on_timer);
	osh_timer_set(loop, &timers[1], 10, on_timer);
	osh_timer_set(loop, &timers[2], 20, on_timer);
	osh_timer_stop(&timers[2]);
	osh_timer_set(loop, &timers[0], 1, on_timer);
	while (fired_n < 2)
		osh_loop_turn(loop, 100);
	assert_int_equal(fired[0], 0);
	assert_int_equal(fired[1], 1);
	assert_false(osh_timer_armed(&timers[2]));
	osh_loop_free(loop);
}

static struct osh_timer busy;
static unsigned int busy_runs, heard;

static void on_busy(struct osh_timer *t)
{
	busy_runs++;
	assert_true(busy_runs < 1000);
	osh_timer_set(t->loop, t, 0, on_busy);
}

static void on_heard(struct osh_src *src, uint32_t events)
{
	(void)events;
	heard++;
	osh_src_del(src);
}

static void a_timer_that_rearms_itself_for_now_leaves_room_for_sources(void **state)
{
	struct osh_loop *loop = osh_loop_new();
	struct osh_src src = { 0 };
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(osh_src_add(loop, &src, p[0], EPOLLIN, 0, on_heard, "pipe"), 0);
	osh_timer_set(loop, &busy, 0, on_busy);
	assert_int_equal(osh_loop_turn(loop, 100), 0);
	assert_int_equal(busy_runs, 1);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(osh_loop_turn(loop, 100), 1);
	assert_int_equal(heard, 1);
	assert_int_equal(busy_runs, 2);
	osh_loop_free(loop);
	close(p[0]);
	close(p[1]);
}

static void note_fired(struct osh_timer *timer)
{
	timer->at_ms = 0;
}

/* Events, timers and the longest wait are what they are without it. */
static void looking_before_sleeping_loses_nothing(void **state)
{
	struct osh_loop *loop = osh_loop_new();
	struct peer a = { 0 };
	struct osh_timer t = { 0 };
	int p[2];

	(void)state;
	osh_loop_set_spin(loop, 200);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(osh_src_add(loop, &a.src, p[0], EPOLLIN, 0, count_read, "a"), 0);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(osh_loop_turn(loop, 0), 0);
		assert_int_equal(osh_loop_turn(loop, 1),
				 0); /* a long wait: the next sleeps at once */
		assert_int_equal(write(p[1], "x", 1), 1);
		assert_int_equal(osh_loop_turn(loop, 10000), 1);
		assert_int_equal(write(p[1], "x", 1), 1);
		assert_int_equal(osh_loop_turn(loop, -1), 1);
		assert_int_equal(a.calls, 2 * i);
	}
	osh_timer_set(loop, &t, 2, note_fired);
	while (t.at_ms)
		assert_int_equal(osh_loop_turn(loop, -1), 0);
	assert_false(osh_timer_armed(&t));
	osh_src_del(&a.src);
	osh_loop_free(loop);
	close(p[0]), close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_retired_source_is_not_called_in_the_same_batch),
		cmocka_unit_test(interest_is_applied_before_the_next_wait),
		cmocka_unit_test(timers_fire_in_order_and_stop),
		cmocka_unit_test(looking_before_sleeping_loses_nothing),
		cmocka_unit_test(a_timer_that_rearms_itself_for_now_leaves_room_for_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
