/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/ssl.h>

#include "http/hello.h"

/* A ClientHello as a real library sends it. Returns its length. */
static size_t make_hello(const char *host, const unsigned char *alpn, unsigned int alpn_len,
			 uint8_t *dst, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int n;

	assert_non_null(ssl);
	SSL_set_bio(ssl, in, out);
	if (host)
		assert_int_equal(SSL_set_tlsext_host_name(ssl, host), 1);
	if (alpn)
		assert_int_equal(SSL_set_alpn_protos(ssl, alpn, alpn_len), 0);
	assert_int_equal(SSL_connect(ssl), -1);
	n = BIO_read(out, dst, (int)size);
	assert_true(n > 0);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return (size_t)n;
}

static struct osh_str str(const uint8_t *p, size_t n)
{
	return (struct osh_str){ (const char *)p, n };
}

static void real_hello_is_read(void **state)
{
	static const unsigned char alpn[] = "\x02h2\x08http/1.1";
	struct osh_hello h;
	uint8_t wire[2048];
	size_t n = make_hello("API.GitHub.com", alpn, sizeof(alpn) - 1, wire, sizeof(wire));

	(void)state;
	assert_int_equal(osh_hello_parse(str(wire, n), &h), 0);
	assert_string_equal(h.sni, "api.github.com");
	assert_true(h.has_sni && !h.sni_is_bad && h.alpn_h2 && h.alpn_http11 && !h.alpn_other);
	assert_true(h.tls13);
	assert_false(h.early_data || h.psk);
	assert_int_equal(h.ech, OSH_HELLO_ECH_NONE);
	assert_int_equal(h.wire_len, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(osh_hello_parse(str(wire, i), &h), -EAGAIN);
	n = make_hello(NULL, NULL, 0, wire, sizeof(wire));
	assert_int_equal(osh_hello_parse(str(wire, n), &h), 0);
	assert_false(h.has_sni || h.alpn);
}

/* The same message in records of every small size. */
static void records_do_not_matter(void **state)
{
	uint8_t wire[2048], cut[16384];
	size_t n = make_hello("api.test", NULL, 0, wire, sizeof(wire));
	struct osh_hello h;

	(void)state;
	for (size_t size = 3; size < 400; size++) {
		size_t out = 0;

		for (size_t at = 5; at < n; at += size) {
			size_t step = OSH_MIN(size, n - at);

			memcpy(cut + out, "\x16\x03\x01\0\0", 5);
			cut[out + 3] = (uint8_t)(step >> 8);
			cut[out + 4] = (uint8_t)step;
			memcpy(cut + out + 5, wire + at, step);
			out += 5 + step;
		}
		assert_int_equal(osh_hello_parse(str(cut, out), &h), 0);
		assert_string_equal(h.sni, "api.test");
		assert_int_equal(h.wire_len, out);
		assert_int_equal(osh_hello_parse(str(cut, out - 1), &h), -EAGAIN);
	}
}

static void nonsense_is_refused(void **state)
{
	uint8_t wire[2048];
	size_t n = make_hello("api.test", NULL, 0, wire, sizeof(wire));
	struct osh_hello h;

	(void)state;
	assert_int_equal(osh_hello_parse(OSH_STR(""), &h), -EAGAIN);
	assert_int_equal(osh_hello_parse(OSH_STR("GET / HTTP/1.1\r\n"), &h), -EBADMSG);
	assert_int_equal(osh_hello_parse(OSH_STR("\x16\x03\x01\x00\x00"), &h), -EBADMSG);
	assert_int_equal(osh_hello_parse(OSH_STR("\x16\x03\x01\x00\x04\x01\x01\x00\x00"), &h),
			 -EMSGSIZE);
	wire[5] = 2; /* a ServerHello */
	assert_int_equal(osh_hello_parse(str(wire, n), &h), -EBADMSG);
	wire[5] = 1;
	for (size_t i = 9; i < n; i++) {
		/* one flipped byte may or may not matter, but never reads outside */
		wire[i] ^= 0xff;
		(void)!osh_hello_parse(str(wire, n), &h);
		wire[i] ^= 0xff;
	}
	assert_int_equal(osh_hello_parse(str(wire, n), &h), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_hello_is_read),
		cmocka_unit_test(records_do_not_matter),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
