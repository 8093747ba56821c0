/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>

#include "policy/addr.h"
#include "policy/host.h"

static struct osh_addr addr(const char *text)
{
	struct osh_addr a;

	if (osh_addr_parse(osh_str(text), &a) < 0)
		fail_msg("%s is an address", text);
	return a;
}

static void class_is(const char *text, enum osh_addr_class expected)
{
	struct osh_addr a = addr(text);

	if (osh_addr_classify(&a) != expected)
		fail_msg("%s is %s", text, osh_addr_class_name(osh_addr_classify(&a)));
}

static void text_is_canonical(void **state)
{
	static const char *const pairs[][2] = {
		{ "::", "::" },
		{ "0:0:0:0:0:0:0:1", "::1" },
		{ "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
		{ "fe80::0001", "fe80::1" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::ffff:1.2.3.4", "1.2.3.4" },
		{ "64:ff9b::192.0.2.1", "64:ff9b::c000:201" },
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(pairs); i++) {
		struct osh_addr a = addr(pairs[i][0]);
		char text[OSH_ADDR_TEXT_MAX];

		assert_string_equal(osh_addr_text(&a, text), pairs[i][1]);
	}
}

static void odd_notations_are_no_address(void **state)
{
	static const char *const odd[] = {
		"",
		"1.2.3",
		"1.2.3.4.5",
		"01.2.3.4",
		"1.2.3.256",
		"1.2.3.4 ",
		"0x7f.0.0.1",
		"127.1",
		"2130706433",
		"1..2.3",
		":",
		":::",
		"1:",
		"1::2::3",
		"12345::",
		"1:2:3:4:5:6:7:8:9",
		"::1%lo",
		"[::1]",
		"::1.2.3",
		"1.2.3.4::",
		"::g",
		"::1.2.3.4:5",
		"1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5:6:7:8::",
	};
	struct osh_addr a;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(odd); i++)
		if (osh_addr_parse(osh_str(odd[i]), &a) != -EBADMSG)
			fail_msg("%s is no address", odd[i]);
}

/* Whatever inet_pton takes, in its strict reading, we take, with the same result. */
static void agrees_with_inet_pton(void **state)
{
	static const char alphabet[] = "01:.f9:";
	unsigned int seed = 7;
	char text[24];

	(void)state;
	for (unsigned int i = 0; i < 400000; i++) {
		uint8_t theirs[16];
		struct osh_addr ours;
		size_t n;

		seed = seed * 1103515245 + 12345;
		n = (seed >> 16) % 16 + 1;
		for (size_t k = 0; k < n; k++) {
			seed = seed * 1103515245 + 12345;
			text[k] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		text[n] = '\0';
		if (!strchr(text, ':'))
			continue;
		if (inet_pton(AF_INET6, text, theirs) == 1) {
			if (osh_addr_parse(osh_str(text), &ours) < 0) {
				/* glibc takes leading zeros in an embedded dotted quad */
				assert_non_null(strchr(text, '.'));
				continue;
			}
			assert_memory_equal(ours.b, theirs, 16);
		} else if (osh_addr_parse(osh_str(text), &ours) == 0) {
			fail_msg("%s: inet_pton refuses it", text);
		}
	}
}

static void embedded_addresses_count(void **state)
{
	(void)state;
	class_is("::ffff:127.0.0.1", OSH_ADDR_ALWAYS_BLOCKED);
	class_is("64:ff9b::127.0.0.1", OSH_ADDR_ALWAYS_BLOCKED);
	class_is("64:ff9b::10.0.0.1", OSH_ADDR_INTERNAL);
	class_is("64:ff9b::8.8.8.8", OSH_ADDR_PUBLIC);
	class_is("64:ff9b:1::8.8.8.8", OSH_ADDR_INTERNAL);
	class_is("64:ff9b:1::169.254.169.254", OSH_ADDR_ALWAYS_BLOCKED);
	class_is("2002:7f00:1::", OSH_ADDR_ALWAYS_BLOCKED);
	class_is("2002:0a00:1::", OSH_ADDR_INTERNAL);
	class_is("2002:0808:808::1", OSH_ADDR_PUBLIC);
	/* Teredo: server 8.8.8.8, client inverted */
	class_is("2001:0:808:808::f7f7:f7f7", OSH_ADDR_PUBLIC);
	class_is("2001:0:808:808::80ff:fffe", OSH_ADDR_ALWAYS_BLOCKED); /* 127.0.0.1 */
	class_is("2001:0:a00:1::f7f7:f7f7", OSH_ADDR_INTERNAL);
	class_is("2606:4700::5efe:10.0.0.1", OSH_ADDR_INTERNAL); /* ISATAP */
	class_is("2606:4700::200:5efe:127.0.0.1", OSH_ADDR_ALWAYS_BLOCKED);
	class_is("::127.0.0.1", OSH_ADDR_ALWAYS_BLOCKED);
	class_is("::8.8.8.8", OSH_ADDR_INTERNAL);
	class_is("fec0::1", OSH_ADDR_INTERNAL);
	class_is("ff02::1", OSH_ADDR_INTERNAL);
	class_is("240.0.0.1", OSH_ADDR_INTERNAL);
	class_is("0.1.2.3", OSH_ADDR_INTERNAL);
	class_is("0.0.0.0", OSH_ADDR_ALWAYS_BLOCKED);
	class_is("2606:4700:4700::1111", OSH_ADDR_PUBLIC);
}

static void networks(void **state)
{
	struct osh_cidr a, b;
	struct osh_addr in = addr("10.20.9.9"), out = addr("10.21.0.0");
	bool wide = true;

	(void)state;
	assert_int_equal(osh_cidr_parse(OSH_STR("10.20.3.4/16"), &a), 0);
	assert_true(osh_cidr_has(&a, &in));
	assert_false(osh_cidr_has(&a, &out));
	assert_int_equal(osh_cidr_parse(OSH_STR("10.0.0.0/33"), &b), -EBADMSG);
	assert_int_equal(osh_cidr_parse(OSH_STR("10.0.0.0/08"), &b), -EBADMSG);
	assert_int_equal(osh_cidr_parse(OSH_STR("10.0.0.0/"), &b), -EBADMSG);
	assert_int_equal(osh_cidr_parse(OSH_STR("::/129"), &b), -EBADMSG);
	assert_int_equal(osh_cidr_parse(OSH_STR("::/0"), &b), 0);
	assert_true(osh_cidr_overlap(&a, &b));
	assert_int_equal(osh_allowed_ip_parse(OSH_STR("0.0.0.0/0"), &b, NULL), -EPERM);
	assert_int_equal(osh_allowed_ip_parse(OSH_STR("::/0"), &b, NULL), -EPERM);
	assert_int_equal(osh_allowed_ip_parse(OSH_STR("64:ff9b::/96"), &b, NULL), -EPERM);
	assert_int_equal(osh_allowed_ip_parse(OSH_STR("::ffff:127.0.0.1"), &b, NULL), -EPERM);
	assert_int_equal(osh_allowed_ip_parse(OSH_STR("10.0.0.0/16"), &b, &wide), 0);
	assert_false(wide);
	assert_int_equal(osh_allowed_ip_parse(OSH_STR("10.0.0.0/8"), &b, &wide), 0);
	assert_true(wide);
	assert_int_equal(osh_allowed_ip_parse(OSH_STR("db.acme.test"), &b, NULL), -EBADMSG);
}

static void destination_reasons(void **state)
{
	struct osh_addr good = addr("140.82.112.5"), bad = addr("10.0.0.9");
	struct osh_addr both[] = { good, bad };
	struct osh_dest dest = { .host = OSH_STR("api.test"), .port = 443 };
	struct osh_dest_verdict v;
	char text[300];

	(void)state;
	assert_int_equal(osh_dest_check(&dest, &good, 1, &v), 0);
	assert_int_equal(v.mode, OSH_DEST_PUBLIC_ONLY);
	assert_int_equal(osh_dest_check(&dest, both, 2, &v), -EPERM);
	assert_string_equal(osh_dest_reason_text(&dest, &v, text, sizeof(text)),
			    "api.test resolves to internal address 10.0.0.9, connection rejected");
	assert_string_equal(osh_dest_kind(&v), "internal address");
	assert_true(osh_dest_may_dial(&dest, &good));
	assert_false(osh_dest_may_dial(&dest, &bad));
	assert_int_equal(osh_dest_check(&dest, NULL, 0, &v), -EPERM);
	assert_int_equal(v.reason, OSH_DEST_UNRESOLVED);
	dest.declared_exact = true;
	assert_int_equal(osh_dest_check(&dest, both, 2, &v), 0);
	dest.port = 6443;
	assert_int_equal(osh_dest_check(&dest, both, 2, &v), -EPERM);
	assert_string_equal(osh_dest_reason_text(&dest, &v, text, sizeof(text)),
			    "port 6443 is a blocked control-plane port, connection rejected");
	dest = (struct osh_dest){ .host = OSH_STR("8.8.8.8"), .port = 443 };
	assert_int_equal(osh_dest_check(&dest, &good, 1, &v), -EPERM);
	assert_int_equal(v.reason, OSH_DEST_NOT_LITERAL);
}

static void hosts(void **state)
{
	struct osh_authority a;
	struct osh_host h;

	(void)state;
	assert_int_equal(osh_connect_target(OSH_STR("API.Test:443"), &a), 0);
	assert_string_equal(a.host.name, "api.test");
	assert_false(a.host.is_addr);
	assert_int_equal(osh_connect_target(OSH_STR("[2001:DB8::1]:8443"), &a), 0);
	assert_string_equal(a.host.name, "2001:db8::1");
	assert_true(a.host.is_addr);
	assert_int_equal(a.port, 8443);
	assert_int_equal(osh_connect_target(OSH_STR("api.test"), &a), -EBADMSG);
	assert_int_equal(osh_connect_target(OSH_STR("[1.2.3.4]:443"), &a), -EBADMSG);
	assert_int_equal(osh_connect_target(OSH_STR("[fe80::1%eth0]:443"), &a), -EBADMSG);
	assert_int_equal(osh_connect_target(OSH_STR("a:+1"), &a), -EBADMSG);
	assert_int_equal(osh_authority_parse(OSH_STR("api.test"), &a), 0);
	assert_int_equal(a.port, 0);
	assert_int_equal(osh_authority_parse(OSH_STR("api.test:"), &a), -EBADMSG);
	assert_int_equal(osh_authority_parse(OSH_STR("u@api.test"), &a), -EBADMSG);
	assert_int_equal(osh_host_parse(OSH_STR("::1"), 0, &h), -EBADMSG);
	assert_int_equal(osh_host_parse(OSH_STR("::1"), OSH_HOST_BARE_V6, &h), 0);
	assert_int_equal(osh_host_parse(OSH_STR("a..b"), 0, &h), -EBADMSG);
	assert_true(osh_host_same(OSH_STR("api.test."), OSH_STR("api.test")));
	assert_false(osh_host_same(OSH_STR("api.test.."), OSH_STR("api.test")));
	assert_true(osh_host_is_numeric_name(OSH_STR("127.1")));
	assert_true(osh_host_is_numeric_name(OSH_STR("2130706433")));
	assert_true(osh_host_is_numeric_name(OSH_STR("0x7f.0.0.0x1")));
	assert_true(osh_host_is_numeric_name(OSH_STR("1.2.3.4.")));
	assert_false(osh_host_is_numeric_name(OSH_STR("1.2.3.4")));
	assert_false(osh_host_is_numeric_name(OSH_STR("1.2.3.example")));
	assert_true(osh_host_is_localhost(OSH_STR("LocalHost.")));
	assert_true(osh_host_is_localhost(OSH_STR("a.localhost")));
	assert_true(osh_host_is_metadata_name(OSH_STR("Metadata.Google.Internal.")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_canonical),
		cmocka_unit_test(odd_notations_are_no_address),
		cmocka_unit_test(agrees_with_inet_pton),
		cmocka_unit_test(embedded_addresses_count),
		cmocka_unit_test(networks),
		cmocka_unit_test(destination_reasons),
		cmocka_unit_test(hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
