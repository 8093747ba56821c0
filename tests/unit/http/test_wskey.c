/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

#include "http/wskey.h"

static bool valid(const char *key, const char *accept)
{
	return osh_ws_accept_is_valid(osh_str(key), osh_str(accept));
}

static void known_answers(void **state)
{
	(void)state;
	/* RFC 6455 1.3 */
	assert_true(valid("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_true(valid("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="));
	assert_false(valid("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"));
	assert_false(valid("dGhlIHNhbXBsZSBub25jZQ==", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_false(valid("dGhlIHNhbXBsZSBub25jZQ=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_false(valid("dGhlIHNhbXBsZSBub25jZQ==", ""));
	assert_false(valid("", ""));
}

/* The same as the library says. */
static void random_keys(void **state)
{
	(void)state;
	for (int i = 0; i < 2000; i++) {
		unsigned char raw[16], digest[EVP_MAX_MD_SIZE], key[32], accept[32];
		char text[96];
		unsigned int n;

		assert_int_equal(RAND_bytes(raw, sizeof(raw)), 1);
		EVP_EncodeBlock(key, raw, sizeof(raw));
		snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
		assert_int_equal(EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL), 1);
		EVP_EncodeBlock(accept, digest, (int)n);
		assert_true(valid((const char *)key, (const char *)accept));
		accept[i % 27] ^= 1;
		assert_false(valid((const char *)key, (const char *)accept));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(random_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
