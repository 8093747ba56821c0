/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/json.h"
#include "base/reason.h"
#include "base/sha256.h"

static void buffers_keep_their_ceiling(void **state)
{
	struct osh_buf b;

	(void)state;
	osh_buf_init(&b, 10, 0);
	assert_int_equal(osh_buf_add(&b, "123456", 6), 0);
	assert_int_equal(osh_buf_add(&b, "78901", 5), -EMSGSIZE);
	assert_string_equal(b.data, "123456");
	assert_int_equal(osh_buf_printf(&b, "%d", 7890), 0);
	assert_int_equal(osh_buf_add_c(&b, 'x'), -EMSGSIZE);
	osh_buf_consume(&b, 8);
	assert_string_equal(b.data, "90");
	osh_buf_fini(&b);
	osh_buf_init(&b, 1 << 20, OSH_BUF_SECRET);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(osh_buf_add(&b, "secret", 6), 0);
	assert_int_equal(b.len, 60000);
	osh_buf_fini(&b);
}

static void arenas_keep_their_ceiling(void **state)
{
	struct osh_arena a;
	size_t n = 0;

	(void)state;
	osh_arena_init(&a, 100000);
	while (osh_arena_alloc(&a, 1000))
		n++;
	assert_in_range(n, 95, 100);
	assert_null(osh_arena_array(&a, SIZE_MAX / 2, 3));
	osh_arena_fini(&a);
}

static void numbers_are_strict(void **state)
{
	static const char *const bad[] = {
		"", "+5", "-1", " 5", "5 ", "0x5", "18446744073709551616"
	};
	uint64_t v = 0;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++)
		assert_true(osh_parse_u64(osh_str(bad[i]), UINT64_MAX, &v) < 0);
	assert_int_equal(osh_parse_u64(OSH_STR("18446744073709551615"), UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(osh_parse_u64(OSH_STR("65536"), 65535, &v), -ERANGE);
}

static void utf8_is_checked(void **state)
{
	(void)state;
	assert_true(osh_utf8_is_valid(OSH_STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
	assert_false(osh_utf8_is_valid(OSH_STR("\xc0\xaf")));
	assert_false(osh_utf8_is_valid(OSH_STR("\xed\xa0\x80")));
	assert_false(osh_utf8_is_valid(OSH_STR("\xf4\x90\x80\x80")));
	assert_false(osh_utf8_is_valid(OSH_STR("\xe2\x82")));
	assert_int_equal(osh_utf8_cut(OSH_STR("a\xc3\xa9"), 2), 1);
}

static void quoting_leaves_nothing_unprintable(void **state)
{
	(void)state;
	assert_string_equal(OSH_Q("a\"b\n\x1b[31m"), "\"a\\\"b\\x0a\\x1b[31m\"");
}

static void json_is_written_and_read_strictly(void **state)
{
	static const char *const bad[] = { "{\"a\":1,\"a\":2}", "[1] x", "{", "\"\\u0000\"", "" };
	osh_auto_jval struct osh_jval *v = NULL;
	struct osh_json j;
	struct osh_buf b;

	(void)state;
	osh_buf_init(&b, 4096, 0);
	osh_json_init(&j, &b, 0);
	osh_json_obj(&j);
	osh_json_kz(&j, "s", "a\"\\\n\x01\xff");
	osh_json_kz(&j, "none", NULL);
	osh_json_key(&j, "list");
	osh_json_arr(&j);
	osh_json_u64(&j, 1);
	osh_json_i64(&j, -2);
	osh_json_arr_end(&j);
	osh_json_kbool(&j, "t", true);
	osh_json_obj_end(&j);
	assert_int_equal(j.err, 0);
	assert_string_equal(
		b.data, "{\"s\":\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\",\"list\":[1,-2],\"t\":true}");
	assert_int_equal(osh_json_parse(osh_buf_str(&b), &v, NULL, 0), 0);
	assert_int_equal(osh_jval_i64(osh_jval_at(osh_jval_get(v, "list"), 1), 0), -2);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		struct osh_jval *w = NULL;

		assert_int_equal(osh_json_parse(osh_str(bad[i]), &w, NULL, 0), -EBADMSG);
		assert_null(w);
	}
	osh_buf_fini(&b);
}

static void diagnostics_have_places(void **state)
{
	osh_auto_diag struct osh_diag d;
	struct osh_buf b;

	(void)state;
	osh_diag_init(&d, "p.yaml");
	osh_buf_init(&b, 65536, 0);
	osh_diag_err(&d, 3, 4, "bad %s", "thing\nwith newline");
	osh_diag_warn(&d, 0, 0, "odd");
	for (int i = 0; i < 299; i++)
		osh_diag_warn(&d, 1, 1, "more");
	/* An error takes the place of a warning. */
	osh_diag_err(&d, 9, 9, "last");
	assert_int_equal(d.errors, 2);
	assert_int_equal(d.warnings, 300);
	assert_int_equal(osh_diag_render(&d, &b), 0);
	assert_non_null(strstr(b.data, "p.yaml:9:9: last\n"));
	assert_non_null(
		strstr(b.data, "p.yaml:3:4: bad thing with newline\np.yaml: warning: odd\n"));
	assert_non_null(strstr(b.data, "102 further messages"));
	osh_buf_fini(&b);
}

static void hashes_are_sha256(void **state)
{
	unsigned char digest[OSH_SHA256_BYTES];
	char hex[OSH_SHA256_HEX];

	(void)state;
	assert_int_equal(osh_sha256("abc", 3, digest), 0);
	osh_hex(hex, digest, sizeof(digest));
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void reasons_have_unique_tokens(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < OSH_REASON_COUNT; i++)
		assert_int_equal(osh_reason_from_token(osh_str(osh_reason_token(i))), i);
	assert_string_equal(osh_reason_token(9999), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_keep_their_ceiling),
		cmocka_unit_test(arenas_keep_their_ceiling),
		cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(utf8_is_checked),
		cmocka_unit_test(quoting_leaves_nothing_unprintable),
		cmocka_unit_test(json_is_written_and_read_strictly),
		cmocka_unit_test(diagnostics_have_places),
		cmocka_unit_test(hashes_are_sha256),
		cmocka_unit_test(reasons_have_unique_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
