/* SPDX-License-Identifier: MIT */
/* Ceilings never promise more than there are descriptors. */
#include "proxy/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void ceilings_fit_the_descriptors(void **state)
{
	static const uint64_t files[] = { 3,	 100,	256,	1024,	 4096,
					  20000, 65536, 262144, 1048576, UINT64_MAX };
	struct osh_px_cfg cfg;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(files); i++) {
		const struct osh_px_limits *l = &cfg.limits;

		osh_px_cfg_init(&cfg);
		osh_px_fit_limits(&cfg.limits, files[i]);
		assert_true(l->connections >= 1);
		assert_true(l->connections_total > l->connections);
		assert_true(l->connections <= 4096 && l->connections_total <= 32768);
		if (files[i] < 256)
			continue; /* nothing can be promised */
		assert_true(2ull * l->connections_total + l->idle_upstream_total + 2ull * l->pipes +
				    64 <=
			    files[i]);
		assert_true(l->connections <= l->connections_total * 2 / 3 + 1);
		osh_px_cfg_fini(&cfg);
	}
}

static void what_fits_is_left_alone(void **state)
{
	struct osh_px_cfg cfg;

	(void)state;
	osh_px_cfg_init(&cfg);
	osh_px_fit_limits(&cfg.limits, 262144);
	assert_int_equal(cfg.limits.connections, 4096);
	assert_int_equal(cfg.limits.connections_total, 32768);
	assert_int_equal(cfg.limits.idle_upstream_total, 1024);
	osh_px_cfg_fini(&cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ceilings_fit_the_descriptors),
		cmocka_unit_test(what_fits_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
