/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of loading, writing, hashing and merging fails once, in turn: the call must say
 * -ENOMEM or succeed, and must not leak (the leak checker of a sanitized build watches).
 */
#include "doc.h"

#include "policy/hash.h"
#include "policy/merge.h"
#include "policy/serialise.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long countdown = -1; /* allocations until one fails; negative: none does */
static bool failed;

static bool fail_now(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fail_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fail_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fail_now() ? NULL : __real_realloc(p, n);
}

static const char document[] =
	"version: 1\n"
	"filesystem_policy: {read_only: [/usr, /lib], read_write: [/tmp]}\n"
	"process: {run_as_user: sandbox}\n"
	"network_policies:\n"
	"  a:\n"
	"    endpoints:\n"
	"    - {host: '*.example.org', port: 443, protocol: rest, enforcement: enforce, rules: [{allow: "
	"{method: GET, path: /a/**, query: {q: {any: [x, y]}}}}]}\n"
	"    - {host: a.example.org, port: 443}\n"
	"    binaries: [{path: /usr/bin/curl}]\n"
	"network_middlewares:\n"
	"  m: {middleware: x, config: {a: [1, 2]}, endpoints: {include: ['*.example.com']}}\n";

/* One pass over the module with the given allocation failing. */
static int pass(void)
{
	const struct osh_merge_flag flags[] = {
		{ OSH_STR("--add-endpoint"), OSH_STR("a.example.org:443") },
		{ OSH_STR("--binary"), OSH_STR("/usr/bin/wget") },
		{ OSH_STR("--add-deny"), OSH_STR("*.example.org:443:GET:/b") },
	};
	osh_auto_policy struct osh_policy *policy = NULL, *merged = NULL;
	osh_auto_merge struct osh_merge *merge = NULL;
	osh_auto_diag struct osh_diag diag;
	osh_auto_bufmem struct osh_buf yaml;
	char hex[OSH_SHA256_HEX];
	int r;

	osh_diag_init(&diag, NULL);
	osh_buf_init(&yaml, 1u << 20, 0);
	r = osh_policy_load(osh_str(document), NULL, &policy, &diag);
	if (r == 0)
		r = osh_merge_parse(flags, OSH_ARRAY_SIZE(flags), &merge, &diag);
	if (r == 0)
		r = osh_merge_apply(policy, merge, &merged, &diag);
	if (r == 0)
		r = osh_policy_to_yaml(merged, &yaml);
	if (r == 0)
		r = osh_policy_hash(merged, hex);
	return r;
}

static void every_allocation_may_fail(void **state)
{
	long n;

	(void)state;
	for (n = 0; n < 100000; n++) {
		int r;

		failed = false;
		countdown = n;
		r = pass();
		countdown = -1;
		if (!failed) {
			assert_int_equal(r, 0);
			break;
		}
		/* A glob that could not be checked for want of memory is refused, not accepted. */
		if (r != 0 && r != -ENOMEM && r != -EBADMSG)
			fail_msg("allocation %ld: %d", n, r);
	}
	assert_true(n > 20 && n < 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
