/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http/chain.h"

static void urls_are_complete(void **state)
{
	static const char *const bad[] = {
		"",
		"proxy.corp.test:3128",
		"http://",
		"http://proxy.corp.test",
		"http://proxy.corp.test:",
		"http://proxy.corp.test:0",
		"http://proxy.corp.test:65536",
		"http://proxy.corp.test:3128/x",
		"http://proxy.corp.test:3128//",
		"http://proxy.corp.test:3128?x",
		"http://proxy.corp.test:3128#x",
		"http://user:pw@proxy.corp.test:3128",
		"http://127.1:3128",
		"http://proxy corp:3128",
		"https://proxy.corp.test:3128",
		"socks5://proxy.corp.test:1080",
		"http://::1:3128",
	};
	struct osh_authority a;
	const char *why;

	(void)state;
	assert_int_equal(osh_chain_url_parse(OSH_STR("HTTP://Proxy.corp.test:3128/"), &a, &why), 0);
	assert_string_equal(a.host.name, "proxy.corp.test");
	assert_int_equal(a.port, 3128);
	assert_int_equal(osh_chain_url_parse(OSH_STR("http://[::1]:8080"), &a, &why), 0);
	assert_string_equal(a.host.name, "::1");
	assert_true(a.host.is_addr);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		why = NULL;
		if (osh_chain_url_parse(osh_str(bad[i]), &a, &why) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(why);
		assert_null(strstr(why, "pw"));
	}
}

static void credentials_are_one_line(void **state)
{
	static const struct {
		const char *text, *header;
	} good[] = {
		{ "Aladdin:open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
		{ "Aladdin:open sesame\n", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
		{ "ab:c\r\n", "Basic YWI6Yw==" },
		{ "a:bc:d", "Basic YTpiYzpk" },
		{ "u:", "Basic dTo=" },
		{ "\xc3\xa4:x", "Basic w6Q6eA==" },
	};
	static const char *const bad[] = { "",	     "\n",	":",	 ":pw",	  "user",
					   "u:p\nx", "u:p\n\n", "u:\tp", "u:p\r", "u:p\rx" };
	osh_auto_bufmem struct osh_buf out;
	const char *why = NULL;
	char big[520];

	(void)state;
	osh_buf_init(&out, OSH_CHAIN_AUTH_MAX, OSH_BUF_SECRET);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(good); i++) {
		osh_buf_reset(&out);
		assert_int_equal(osh_chain_auth(osh_str(good[i].text), &out, &why), 0);
		assert_string_equal(out.data, good[i].header);
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		why = NULL;
		if (osh_chain_auth(osh_str(bad[i]), &out, &why) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(why);
	}
	memset(big, 'x', sizeof(big));
	big[1] = ':';
	osh_buf_reset(&out);
	assert_int_equal(osh_chain_auth((struct osh_str){ big, 513 }, &out, &why), -EBADMSG);
	assert_int_equal(osh_chain_auth((struct osh_str){ big, 512 }, &out, &why), 0);
	assert_int_equal(out.len, 6 + 684);
}

static void the_request_is_exact(void **state)
{
	osh_auto_bufmem struct osh_buf out;

	(void)state;
	osh_buf_init(&out, 4096, 0);
	assert_int_equal(osh_chain_request(OSH_STR("1.2.3.4"), 443, OSH_STR_NONE, &out), 0);
	assert_string_equal(out.data, "CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n");
	osh_buf_reset(&out);
	assert_int_equal(osh_chain_request(OSH_STR("2001:db8::1"), 22, OSH_STR("Basic dTo="), &out),
			 0);
	assert_string_equal(out.data,
			    "CONNECT [2001:db8::1]:22 HTTP/1.1\r\nHost: [2001:db8::1]:22\r\n"
			    "Proxy-Authorization: Basic dTo=\r\n\r\n");
}

#define OK200 "HTTP/1.1 200 Connection established\r\n\r\n"

static void answers_are_judged(void **state)
{
	static const struct {
		const char *bytes;
		int r;
		enum osh_chain_error error;
		uint16_t status;
		uint32_t head_len;
	} rows[] = {
		{ OK200, 0, OSH_CHAIN_OK, 200, 39 },
		{ OK200 "SSH-2.0-x\r\n", 0, OSH_CHAIN_OK, 200, 39 },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 0, OSH_CHAIN_OK, 200, 38 },
		{ "HTTP/1.1 204 x\r\n\r\n", 0, OSH_CHAIN_OK, 204, 18 },
		{ "HTTP/1.1 100 Continue\r\n\r\n" OK200, 0, OSH_CHAIN_OK, 200, 64 },
		{ "HTTP/1.1 407 Auth\r\nContent-Length: 1\r\n\r\nx", -ECONNREFUSED, OSH_CHAIN_AUTH,
		  407, 0 },
		{ "HTTP/1.1 403 No\r\n\r\n", -ECONNREFUSED, OSH_CHAIN_FORBIDDEN, 403, 0 },
		{ "HTTP/1.1 502 No\r\n\r\n", -ECONNREFUSED, OSH_CHAIN_UNREACHABLE, 502, 0 },
		{ "HTTP/1.1 503 No\r\n\r\n", -ECONNREFUSED, OSH_CHAIN_UNREACHABLE, 503, 0 },
		{ "HTTP/1.1 504 No\r\n\r\n", -ECONNREFUSED, OSH_CHAIN_UNREACHABLE, 504, 0 },
		{ "HTTP/1.1 500 No\r\n\r\n", -ECONNREFUSED, OSH_CHAIN_REFUSED, 500, 0 },
		{ "HTTP/1.1 301 No\r\nLocation: http://x/\r\n\r\n", -ECONNREFUSED,
		  OSH_CHAIN_REFUSED, 301, 0 },
		{ "HTTP/1.1 101 Switch\r\n\r\n", -ECONNREFUSED, OSH_CHAIN_MALFORMED, 101, 0 },
		{ "SSH-2.0-OpenSSH_9\r\n", -ECONNREFUSED, OSH_CHAIN_MALFORMED, 0, 0 },
		{ "HTTP/1.1 200 OK\n\n", -ECONNREFUSED, OSH_CHAIN_MALFORMED, 0, 0 },
		{ "HTTP/2 200 OK\r\n\r\n", -ECONNREFUSED, OSH_CHAIN_MALFORMED, 0, 0 },
	};
	struct osh_chain_answer a;
	struct osh_h1_head head;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		struct osh_str all = osh_str(rows[i].bytes);

		if (osh_chain_answer(&head, all, &a) != rows[i].r || a.error != rows[i].error ||
		    a.status != rows[i].status || a.head_len != rows[i].head_len)
			fail_msg("row %zu: error %u status %u len %u", i, a.error, a.status,
				 a.head_len);
		/* a prefix is never more than the whole */
		for (size_t n = 0; !rows[i].r && n < rows[i].head_len; n++)
			assert_int_equal(osh_chain_answer(&head, osh_str_sub(all, 0, n), &a),
					 -EAGAIN);
	}
}

static void answers_have_a_ceiling(void **state)
{
	static char big[3 * OSH_CHAIN_ANSWER_MAX];
	struct osh_chain_answer a;
	struct osh_h1_head head;
	size_t n = 0;

	(void)state;
	memset(big, 'x', sizeof(big));
	memcpy(big, "HTTP/1.1 200 OK\r\nA: ", 20);
	assert_int_equal(osh_chain_answer(&head, (struct osh_str){ big, 8000 }, &a), -EAGAIN);
	assert_int_equal(
		osh_chain_answer(&head, (struct osh_str){ big, OSH_CHAIN_ANSWER_MAX + 1 }, &a),
		-ECONNREFUSED);
	assert_int_equal(a.error, OSH_CHAIN_TOO_LONG);
	/* interim heads count, too */
	while (n + 25 <= sizeof(big)) {
		memcpy(big + n, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		n += 25;
	}
	assert_int_equal(osh_chain_answer(&head, (struct osh_str){ big, n }, &a), -ECONNREFUSED);
	assert_int_equal(a.error, OSH_CHAIN_TOO_LONG);
	for (unsigned int e = 0; e < OSH_CHAIN_ERROR_COUNT; e++)
		assert_non_null(osh_chain_error_text(e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_complete),
		cmocka_unit_test(credentials_are_one_line),
		cmocka_unit_test(the_request_is_exact),
		cmocka_unit_test(answers_are_judged),
		cmocka_unit_test(answers_have_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
