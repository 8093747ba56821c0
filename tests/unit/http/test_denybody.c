/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "http/denybody.h"

static void l7_answer_is_exact(void **state)
{
	static const struct osh_deny_l7 deny = {
		.policy_key = { "github_api", 10 },
		.policy_name = { "github-api-readonly", 19 },
		.detail = { "POST /x not permitted by policy", 31 },
		.method = { "POST", 4 },
		.path = { "/x", 2 },
		.binary = { "/usr/bin/curl", 13 },
		.host = { "api.github.com", 14 },
		.port = 443,
	};
	static const char body[] =
		"{\"error\":\"policy_denied\",\"policy\":\"github-api-readonly\","
		"\"detail\":\"POST /x not permitted by policy\",\"binary\":\"/usr/bin/curl\","
		"\"host\":\"api.github.com\",\"layer\":\"l7\",\"method\":\"POST\",\"next_steps\":[],"
		"\"path\":\"/x\",\"port\":443,\"protocol\":\"rest\",\"rule\":\"POST /x\","
		"\"rule_missing\":{\"binary\":\"/usr/bin/curl\",\"host\":\"api.github.com\","
		"\"layer\":\"l7\",\"method\":\"POST\",\"path\":\"/x\",\"port\":443,"
		"\"type\":\"rest_allow\"}}";
	struct osh_deny_l7 head = deny;
	char expected[1024];
	struct osh_buf out;

	(void)state;
	(void)snprintf(expected, sizeof(expected),
		       "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n"
		       "Content-Length: %zu\r\nX-OpenShell-Policy: github_api\r\n"
		       "Connection: close\r\n\r\n%s",
		       strlen(body), body);
	osh_buf_init(&out, 8192, 0);
	assert_int_equal(osh_buf_add(&out, "before", 6), 0);
	assert_int_equal(osh_deny_l7_response(&deny, &out), 0);
	assert_string_equal(out.data + 6, expected);
	osh_buf_reset(&out);
	head.head_request = true;
	head.policy_key = OSH_STR("a\r\nEvil: 1");
	assert_int_equal(osh_deny_l7_response(&head, &out), 0);
	assert_non_null(strstr(out.data, "X-OpenShell-Policy: a??Evil:?1\r\n"));
	assert_true(osh_str_has_suffix(osh_buf_str(&out), OSH_STR("\r\n\r\n")));
	osh_buf_fini(&out);
	/* too small: nothing is left behind */
	osh_buf_init(&out, 100, 0);
	assert_int_equal(osh_buf_add(&out, "x", 1), 0);
	assert_int_equal(osh_deny_l7_response(&deny, &out), -EMSGSIZE);
	assert_int_equal(out.len, 1);
	osh_buf_fini(&out);
}

static void plain_answers(void **state)
{
	const struct osh_deny_plain deny = {
		.status = 403,
		.error = "policy_denied",
		.detail = OSH_STR("CONNECT httpbin.org:443 not permitted by policy"),
		.reason = OSH_STR("no matching \"network\" policy"),
	};
	struct osh_buf out;

	(void)state;
	osh_buf_init(&out, 8192, 0);
	assert_int_equal(osh_deny_response(&deny, &out), 0);
	assert_string_equal(out.data,
			    "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n"
			    "Content-Length: 126\r\nConnection: close\r\n\r\n"
			    "{\"detail\":\"CONNECT httpbin.org:443 not permitted by policy\","
			    "\"error\":\"policy_denied\","
			    "\"reason\":\"no matching \\\"network\\\" policy\"}");
	osh_buf_reset(&out);
	assert_int_equal(osh_deny_https_url(&out), 0);
	assert_string_equal(out.data, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
				      "Content-Length: 26\r\nConnection: close\r\n\r\n"
				      "Use CONNECT for HTTPS URLs");
	osh_buf_reset(&out);
	assert_int_equal(osh_deny_authority(&out), 0);
	assert_non_null(strstr(out.data, "{\"error\":\"request_authority_mismatch\",\"message\":"
					 "\"HTTP request authority does not match the authorized "
					 "tunnel endpoint\"}"));
	osh_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(l7_answer_is_exact),
		cmocka_unit_test(plain_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
