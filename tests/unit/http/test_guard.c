/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include <openssl/ssl.h>

#include "http/guard.h"

static size_t make_hello(const char *host, uint8_t *dst, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int n;

	assert_non_null(ssl);
	SSL_set_bio(ssl, in, out);
	assert_int_equal(SSL_set_tlsext_host_name(ssl, host), 1);
	assert_int_equal(SSL_connect(ssl), -1);
	n = BIO_read(out, dst, (int)size);
	assert_true(n > 0);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return (size_t)n;
}

struct seen {
	enum osh_guard_look end; /* MORE: all passed or held */
	size_t passed;
	char names[256];
};

/* Feed @n bytes @step at a time. */
static struct seen feed(const uint8_t *p, size_t n, size_t step)
{
	struct osh_guard g = { 0 };
	struct seen s = { 0 };
	size_t have = 0, at = 0;

	while (have < n) {
		have = OSH_MIN(have + step, n);
		while (s.passed < have) {
			struct osh_hello hello;
			size_t take = 0;
			enum osh_guard_look look = osh_guard_look(
				&g, (struct osh_str){ (const char *)p + s.passed, have - s.passed },
				&take, &hello);

			if (look == OSH_GUARD_MORE)
				break;
			s.end = look;
			if (look == OSH_GUARD_END || look == OSH_GUARD_BAD)
				return s;
			s.end = OSH_GUARD_MORE;
			assert_true(take > 0 && take <= have - s.passed);
			s.passed += take;
			if (look == OSH_GUARD_HELLO)
				at += (size_t)snprintf(s.names + at, sizeof(s.names) - at, "%s ",
						       hello.sni);
		}
	}
	return s;
}

static void expect(const uint8_t *p, size_t n, enum osh_guard_look end, size_t passed,
		   const char *names)
{
	for (size_t step = 1; step <= n; step += step < 40 ? 1 : 97) {
		struct seen s = feed(p, n, step);

		assert_int_equal(s.end, end);
		assert_int_equal(s.passed, passed);
		assert_string_equal(s.names, names);
	}
}

static void every_hello_is_seen(void **state)
{
	uint8_t wire[8192];
	size_t n = make_hello("one.test", wire, sizeof(wire)), first = n;

	(void)state;
	expect(wire, n, OSH_GUARD_MORE, n, "one.test ");
	/* a dummy ChangeCipherSpec, a warning, an empty record, and another hello */
	memcpy(wire + n, "\x14\x03\x03\0\x01\x01\x15\x03\x03\0\x02\x01\x5a\x16\x03\x03\0\0", 18);
	n += 18;
	n += make_hello("two.test", wire + n, sizeof(wire) - n);
	expect(wire, n, OSH_GUARD_MORE, n, "one.test two.test ");
	memcpy(wire + n, "\x17\x03\x03\0\x05hello", 10);
	expect(wire, n + 10, OSH_GUARD_END, n, "one.test two.test ");
	/* TLS 1.2 goes on with another handshake message */
	memcpy(wire + first, "\x16\x03\x03\0\x05\x10\0\0\x01\0", 10);
	expect(wire, first + 10, OSH_GUARD_END, first, "one.test ");
}

static void hellos_are_counted(void **state)
{
	uint8_t wire[16384];
	size_t n = 0, four = 0;

	(void)state;
	for (int i = 0; i < 5; i++) {
		four = n;
		n += make_hello("x.test", wire + n, sizeof(wire) - n);
	}
	expect(wire, n, OSH_GUARD_BAD, four, "x.test x.test x.test x.test ");
}

#define LIT(s) (const uint8_t *)(s), sizeof(s) - 1

static void odd_spellings_are_refused(void **state)
{
	(void)state;
	expect(LIT("\x15\x03\x01\0\x02"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x15\x02\x01\0\x02\x01"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x14\x03\x03\0\x01\x01"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x17\x03\x03\0\0"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x18\x03\x03\0\x03"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x16\x02\0\0\x05\x01"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x16\0\0\0\x01\x01"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x16\x03\x03\0\0"), OSH_GUARD_BAD, 0, "");
	expect(LIT("\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10"), OSH_GUARD_BAD, 0, "");
}

static void other_protocols_pass(void **state)
{
	(void)state;
	expect(LIT("GET / HTTP/1.1\r\n"), OSH_GUARD_END, 0, "");
	expect(LIT("SSH-2.0-x\r\n"), OSH_GUARD_END, 0, "");
	expect(LIT("\0\0\0\x08\x04\xd2\x16\x2f"), OSH_GUARD_END, 0, "");
	expect(LIT("\xff\xfd\x01"), OSH_GUARD_END, 0, "");
	expect(LIT("\x16\x10\0\0\x01\x01"), OSH_GUARD_END, 0, "");
	expect(LIT("\x16\0\0\0\x07\0"), OSH_GUARD_END, 0, "");
	expect(LIT("\x15\0\0\0\x02\x07"), OSH_GUARD_END, 0, "");
	expect(LIT("\x80\x2e\x01\x04"), OSH_GUARD_END, 0, "");
	expect(LIT("\x80\x2e\x01\x03\x01\0\x15\0\0\0\x11"), OSH_GUARD_END, 0, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_hello_is_seen),
		cmocka_unit_test(hellos_are_counted),
		cmocka_unit_test(odd_spellings_are_refused),
		cmocka_unit_test(other_protocols_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
