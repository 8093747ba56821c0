/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "base/str.h"

static void published_vectors(void **state)
{
	static const struct {
		const char *text, *hex;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		unsigned char digest[OSH_SHA256_BYTES];
		char hex[OSH_SHA256_HEX];

		assert_int_equal(osh_sha256(rows[i].text, strlen(rows[i].text), digest), 0);
		osh_hex(hex, digest, sizeof(digest));
		assert_string_equal(hex, rows[i].hex);
	}
}

/* Every length around the block borders, whole and in pieces, against another implementation. */
static void agrees_with_libcrypto(void **state)
{
	static unsigned char data[100000];
	unsigned int seed = 3;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)rand_r(&seed);
	for (size_t n = 0; n < 700; n++) {
		size_t len = n < 400 ? n : (size_t)rand_r(&seed) % sizeof(data), at = 0;
		unsigned char ours[OSH_SHA256_BYTES], theirs[OSH_SHA256_BYTES];
		struct osh_sha256 *h = osh_sha256_new();

		assert_non_null(h);
		assert_int_equal(EVP_Digest(data, len, theirs, NULL, EVP_sha256(), NULL), 1);
		assert_int_equal(osh_sha256(data, len, ours), 0);
		assert_memory_equal(ours, theirs, sizeof(ours));
		while (at < len) {
			size_t some = 1 + (size_t)rand_r(&seed) % 200, left = len - at;
			size_t piece = OSH_MIN(some, left);

			assert_int_equal(osh_sha256_add(h, data + at, piece), 0);
			at += piece;
		}
		assert_int_equal(osh_sha256_end(h, ours), 0);
		assert_memory_equal(ours, theirs, sizeof(ours));
		h = osh_sha256_free(h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(agrees_with_libcrypto),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
