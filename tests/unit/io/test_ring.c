/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/ring.h"

static struct osh_ring *producer_of(struct osh_ring *consumer)
{
	struct osh_ring *p = NULL;

	assert_int_equal(osh_ring_attach(dup(osh_ring_mem_fd(consumer)),
					 dup(osh_ring_event_fd(consumer)), &p),
			 0);
	return p;
}

static void records_come_out_as_put_across_the_wrap(void **state)
{
	struct osh_ring *c = NULL, *p;
	char buf[OSH_RING_MAX_RECORD], rec[700];
	size_t n;

	(void)state;
	assert_int_equal(osh_ring_create(4096, &c), 0);
	p = producer_of(c);
	for (unsigned int i = 0; i < 1000; i++) {
		size_t len = 1 + i % sizeof(rec);

		memset(rec, (int)i, len);
		assert_true(osh_ring_put(p, rec, len));
		osh_ring_kick(p);
		assert_int_equal(osh_ring_get(c, buf, &n), 0);
		assert_int_equal(n, len);
		assert_memory_equal(buf, rec, len);
	}
	assert_int_equal(osh_ring_get(c, buf, &n), -EAGAIN);
	osh_ring_free(p);
	osh_ring_free(c);
}

static void a_full_ring_drops_and_counts(void **state)
{
	struct osh_ring *c = NULL, *p;
	char buf[OSH_RING_MAX_RECORD], rec[1000] = { 0 };
	size_t n, got = 0;

	(void)state;
	assert_int_equal(osh_ring_create(4096, &c), 0);
	p = producer_of(c);
	for (int i = 0; i < 10; i++)
		(void)osh_ring_put(p, rec, sizeof(rec));
	while (osh_ring_get(c, buf, &n) == 0)
		got++;
	assert_int_equal(got + osh_ring_lost(c), 10);
	assert_true(osh_ring_lost(c) > 0);
	osh_ring_free(p);
	osh_ring_free(c);
}

static void a_lying_producer_is_noticed(void **state)
{
	struct osh_ring *c = NULL;
	char buf[OSH_RING_MAX_RECORD];
	uint64_t *head;
	size_t n;

	(void)state;
	assert_int_equal(osh_ring_create(4096, &c), 0);
	head = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, osh_ring_mem_fd(c), 0);
	assert_ptr_not_equal(head, MAP_FAILED);
	*head = 1u << 30;
	assert_int_equal(osh_ring_get(c, buf, &n), -EBADMSG);
	munmap(head, 4096);
	osh_ring_free(c);
}

static void two_processes_lose_nothing_but_what_is_counted(void **state)
{
	enum { N = 200000 };
	struct osh_ring *c = NULL;
	char buf[OSH_RING_MAX_RECORD];
	uint32_t last = 0;
	uint64_t got = 0;
	size_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(osh_ring_create(65536, &c), 0);
	pid = fork();
	if (pid == 0) {
		struct osh_ring *p = producer_of(c);

		for (uint32_t i = 1; i <= N; i++) {
			(void)osh_ring_put(p, &i, sizeof(i));
			osh_ring_kick(p);
		}
		_exit(0);
	}
	for (bool ended = false;;) {
		int r = osh_ring_get(c, buf, &n);

		if (r == 0) {
			uint32_t v;

			assert_int_equal(n, 4);
			memcpy(&v, buf, 4);
			assert_true(v > last);
			last = v;
			got++;
			continue;
		}
		assert_int_equal(r, -EAGAIN);
		if (ended)
			break;
		ended = waitpid(pid, NULL, WNOHANG) == pid;
	}
	assert_int_equal(got + osh_ring_lost(c), N);
	osh_ring_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_out_as_put_across_the_wrap),
		cmocka_unit_test(a_full_ring_drops_and_counts),
		cmocka_unit_test(a_lying_producer_is_noticed),
		cmocka_unit_test(two_processes_lose_nothing_but_what_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
