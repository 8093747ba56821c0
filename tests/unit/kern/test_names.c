/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kern/kern.h"
#include "sys/cgroup.h"
#include "sys/flow.h"

static void counters_are_all_named(void **state)
{
	unsigned int i, k;

	(void)state;
	for (i = 0; i < OSH_CTR_COUNT_; i++) {
		assert_non_null(osh_kern_ctr_name(i));
		assert_non_null(osh_kern_ctr_text(i));
		for (k = 0; k < i; k++)
			assert_string_not_equal(osh_kern_ctr_name(i), osh_kern_ctr_name(k));
	}
	assert_null(osh_kern_ctr_name(OSH_CTR_COUNT_));
	assert_null(osh_kern_ctr_text(OSH_CTR_COUNT_));
	assert_true(osh_kern_ctr_is_anomaly(OSH_CTR_RING_FULL));
	assert_false(osh_kern_ctr_is_anomaly(OSH_CTR_CONNECT));
	assert_false(osh_kern_ctr_is_anomaly(12345));
}

static void reasons_are_named_and_strangers_are_unknown(void **state)
{
	(void)state;
	assert_string_equal(osh_kreason_name(OSH_KR_UDP), "UDP other than DNS");
	assert_string_equal(osh_kreason_name(OSH_KR_NONE), "none");
	assert_string_equal(osh_kreason_name(4711), "unknown");
}

static void without_a_fence_there_is_no_record(void **state)
{
	struct osh_flow_rec rec;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(osh_flow_fetch(fds[0], &rec), -ENOTSOCK);
	assert_int_equal(osh_flow_fetch(-1, &rec), -EBADF);
	assert_int_equal(osh_flow_fetch_dns(fds[0], 0, &rec), -EINVAL);
	assert_int_equal(osh_flow_fetch_dns(fds[0], 65536, &rec), -EINVAL);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void bad_agent_names_are_refused(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a b", "cgroup.procs", "a\n" };
	struct osh_cgroup cg = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < OSH_ARRAY_SIZE(bad); i++)
		assert_int_equal(osh_cgroup_open(&cg, bad[i], false), -EINVAL);
	osh_cgroup_close(&cg);
	osh_cgroup_close(&cg); /* twice is fine */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_are_all_named),
		cmocka_unit_test(reasons_are_named_and_strangers_are_unknown),
		cmocka_unit_test(without_a_fence_there_is_no_record),
		cmocka_unit_test(bad_agent_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
