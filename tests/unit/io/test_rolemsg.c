/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "io/rolemsg.h"
#include "openshell/role.h"

static int check(enum osh_rolemsg_link link, uint32_t type, const void *body, size_t n,
		 unsigned int fds)
{
	struct osh_seqpkt_msg msg = { .hdr = { .type = type, .len = (uint32_t)n },
				      .body = body,
				      .fd_count = fds };

	return osh_rolemsg_check(link, &msg);
}

#define FROM_PROXY(type, body) check(OSH_ROLEMSG_PROXY_TO_MONITOR, type, &(body), sizeof(body), 0)

static void each_link_has_its_types(void **state)
{
	(void)state;
	assert_int_equal(check(OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_READY, "", 0, 0), 0);
	assert_int_equal(check(OSH_ROLEMSG_SIGNER_TO_MONITOR, OSH_MSG_READY, "", 0, 0), 0);
	assert_int_equal(check(OSH_ROLEMSG_MONITOR_TO_SIGNER, OSH_MSG_PROXY_ADD, "", 0, 1), 0);
	/* what one role may say, another may not */
	for (uint32_t type = 0; type < 64; type++) {
		static const char zeros[8192];
		bool any = type == OSH_MSG_FLOWS || type == OSH_MSG_STATS;

		if (!any)
			assert_int_not_equal(
				check(OSH_ROLEMSG_PROXY_TO_MONITOR, type, zeros, sizeof(zeros), 0),
				0);
		assert_int_not_equal(check(OSH_ROLEMSG_NONE, type, zeros, 0, 0), 0);
		if (type != OSH_MSG_READY && type != OSH_MSG_PONG && !any)
			assert_int_not_equal(check(OSH_ROLEMSG_PROXY_TO_MONITOR, type, zeros, 0, 0),
					     0);
		if (type != OSH_MSG_SIGN)
			assert_int_not_equal(check(OSH_ROLEMSG_PROXY_TO_SIGNER, type, zeros,
						   sizeof(struct osh_msg_sign), 0),
					     0);
	}
	/* a proxy cannot make CAs, drop them, or bring in peers */
	assert_int_not_equal(check(OSH_ROLEMSG_PROXY_TO_SIGNER, OSH_MSG_PROXY_ADD, "", 0, 1), 0);
}

static void descriptors_come_only_where_they_belong(void **state)
{
	(void)state;
	assert_int_not_equal(check(OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_READY, "", 0, 1), 0);
	assert_int_not_equal(check(OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_FLOWS, "[]", 2, 1), 0);
	assert_int_not_equal(check(OSH_ROLEMSG_MONITOR_TO_SIGNER, OSH_MSG_PROXY_ADD, "", 0, 0), 0);
}

static void names_are_names(void **state)
{
	static const char *const good[] = { "a", "api.example.org", "x_y-z.1", "2001:db8::1" };
	static const char *const bad[] = {
		"",	"API.example.org", "a b",	    "a\n",  "a/b",
		"a%00", "\xc3\xa4",	   "*.example.org", "a\tb", "a\"b"
	};
	struct osh_msg_name m;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(good); i++) {
		m = (struct osh_msg_name){ .sandbox = 1 };
		strncpy(m.host, good[i], sizeof(m.host) - 1);
		assert_int_equal(FROM_PROXY(OSH_MSG_NAME_ASK, m), 0);
		m.host_id = 16; /* both at once */
		assert_int_not_equal(FROM_PROXY(OSH_MSG_NAME_ASK, m), 0);
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		m = (struct osh_msg_name){ .sandbox = 1 };
		strncpy(m.host, bad[i], sizeof(m.host) - 1);
		assert_int_not_equal(FROM_PROXY(OSH_MSG_NAME_ASK, m), 0);
	}
	memset(m.host, 'a', sizeof(m.host)); /* no end */
	assert_int_not_equal(FROM_PROXY(OSH_MSG_NAME_ASK, m), 0);
	m = (struct osh_msg_name){ .sandbox = 1, .host_id = 16 };
	assert_int_equal(FROM_PROXY(OSH_MSG_NAME_ASK, m), 0);
	m.sandbox = 0;
	assert_int_not_equal(FROM_PROXY(OSH_MSG_NAME_ASK, m), 0);
}

static void numbers_are_in_range(void **state)
{
	struct osh_msg_policy p = { .sandbox = 1, .generation = 2, .status = -12 };
	struct osh_msg_sign s = { .sandbox = 1, .pubkey_len = 91, .host = "a.test" };
	struct osh_msg_cert c = { .sandbox = 1, .cert_len = 5, .host = "a.test" };

	(void)state;
	assert_int_equal(FROM_PROXY(OSH_MSG_POLICY_LOADED, p), 0);
	p.status = 1;
	assert_int_not_equal(FROM_PROXY(OSH_MSG_POLICY_LOADED, p), 0);
	p.status = INT32_MIN;
	assert_int_not_equal(FROM_PROXY(OSH_MSG_POLICY_LOADED, p), 0);
	p = (struct osh_msg_policy){ .sandbox = 1 };
	assert_int_not_equal(FROM_PROXY(OSH_MSG_POLICY_ACTIVE, p), 0);

	assert_int_equal(check(OSH_ROLEMSG_PROXY_TO_SIGNER, OSH_MSG_SIGN, &s, sizeof(s), 0), 0);
	s.pubkey_len = sizeof(s.pubkey) + 1;
	assert_int_not_equal(check(OSH_ROLEMSG_PROXY_TO_SIGNER, OSH_MSG_SIGN, &s, sizeof(s), 0), 0);
	s.pubkey_len = 0;
	assert_int_not_equal(check(OSH_ROLEMSG_PROXY_TO_SIGNER, OSH_MSG_SIGN, &s, sizeof(s), 0), 0);

	assert_int_equal(check(OSH_ROLEMSG_SIGNER_TO_PROXY, OSH_MSG_CERT, &c, sizeof(c), 0), 0);
	c.cert_len = sizeof(c.cert) + 1;
	assert_int_not_equal(check(OSH_ROLEMSG_SIGNER_TO_PROXY, OSH_MSG_CERT, &c, sizeof(c), 0), 0);
	c.cert_len = 0;
	assert_int_not_equal(check(OSH_ROLEMSG_SIGNER_TO_PROXY, OSH_MSG_CERT, &c, sizeof(c), 0), 0);
}

static void sizes_are_exact(void **state)
{
	struct osh_msg_exe e[2] = { { .sandbox = 1, .exe_id = 1 } };

	(void)state;
	for (size_t n = 0; n <= sizeof(e); n++)
		assert_int_equal(check(OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_EXE_ASK, e, n, 0),
				 n == sizeof(e[0]) ? 0 : -EBADMSG);
	e[0].path[0] = '/'; /* the monitor knows paths, nobody tells it */
	assert_int_not_equal(FROM_PROXY(OSH_MSG_EXE_ASK, e[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_link_has_its_types),
		cmocka_unit_test(descriptors_come_only_where_they_belong),
		cmocka_unit_test(names_are_names),
		cmocka_unit_test(numbers_are_in_range),
		cmocka_unit_test(sizes_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
