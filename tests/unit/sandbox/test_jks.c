/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/jks.h"

static const char three[] = "text before\n"
			    "-----BEGIN CERTIFICATE-----\nQUJD\nREU=\n-----END CERTIFICATE-----\n"
			    "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n"
			    "-----BEGIN CERTIFICATE-----\nRg==\n-----END CERTIFICATE-----\n"
			    "-----BEGIN CERTIFICATE-----\nQUJD\n";

static void store_has_what_decodes(void **state)
{
	static const unsigned char head[] = { 0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 2 };
	static const char entry[] = "\0\0\0\2\0\13openshell:1\0\0\0\0\0\0\0\0\0\5X.509\0\0\0\5"
				    "ABCDE\0\0\0\2\0\13openshell:2\0\0\0\0\0\0\0\0\0\5X.509"
				    "\0\0\0\1F";
	osh_auto_bufmem struct osh_buf out;

	(void)state;
	osh_buf_init(&out, 4096, 0);
	assert_int_equal(osh_jks_from_pem(OSH_STR(three), &out), 0);
	assert_int_equal(out.len, sizeof(head) + sizeof(entry) - 1 + 20);
	assert_memory_equal(out.data, head, sizeof(head));
	assert_memory_equal(out.data + sizeof(head), entry, sizeof(entry) - 1);
}

/* Digest of the empty store, as Java's keytool checks it. */
static void digest_is_the_one_of_the_format(void **state)
{
	static const unsigned char sum[20] = { 0xe2, 0x68, 0x6e, 0x45, 0xfb, 0x43, 0xdf,
					       0xa4, 0xd9, 0x92, 0xdd, 0x41, 0xce, 0xb6,
					       0xb2, 0x1c, 0x63, 0x30, 0xd7, 0x92 };
	osh_auto_bufmem struct osh_buf out;

	(void)state;
	osh_buf_init(&out, 4096, 0);
	assert_int_equal(osh_jks_from_pem(OSH_STR(""), &out), 0);
	assert_int_equal(out.len, 32);
	assert_memory_equal(out.data + 12, sum, sizeof(sum));
}

static void ceiling_is_an_error(void **state)
{
	osh_auto_bufmem struct osh_buf out;

	(void)state;
	osh_buf_init(&out, 80, 0);
	assert_int_not_equal(osh_jks_from_pem(OSH_STR(three), &out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(store_has_what_decodes),
		cmocka_unit_test(digest_is_the_one_of_the_format),
		cmocka_unit_test(ceiling_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
