/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stddef.h>

#include <cmocka.h>

#include "http/noproxy.h"

/* Mask for a host with these addresses (blank-separated) under one entry. */
static uint32_t ask(const char *entry, const char *host, uint16_t port, const char *addrs)
{
	struct osh_str rest = osh_str(addrs), item;
	struct osh_addr a[OSH_NOPROXY_ADDRS_MAX];
	struct osh_noproxy e;
	const char *why = "";
	size_t n = 0;

	if (osh_noproxy_parse(osh_str(entry), &e, &why) < 0)
		fail_msg("%s: %s", entry, why);
	while (osh_str_split(&rest, ' ', &item))
		assert_int_equal(osh_addr_parse(item, &a[n++]), 0);
	return osh_noproxy_match(&e, 1, osh_str(host), port, a, n);
}

static void names_match_themselves_and_below(void **state)
{
	static const char *const forms[] = { "acme.test", ".acme.test", "*.acme.test",
					     "ACME.test", "acme.test.", "acme.test:443" };

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(forms); i++) {
		assert_int_equal(ask(forms[i], "acme.test", 443, "1.2.3.4"), 1);
		assert_int_equal(ask(forms[i], "acme.test.", 443, "1.2.3.4"), 1);
		assert_int_equal(ask(forms[i], "a.b.acme.test", 443, "1.2.3.4 2606:2800::1"), 3);
		assert_int_equal(ask(forms[i], "notacme.test", 443, "1.2.3.4"), 0);
		assert_int_equal(ask(forms[i], "test", 443, "1.2.3.4"), 0);
		assert_int_equal(ask(forms[i], "acme.test.evil", 443, "1.2.3.4"), 0);
	}
	assert_int_equal(ask("acme.test:443", "acme.test", 80, "1.2.3.4"), 0);
	assert_int_equal(ask("intranet", "intranet", 80, "1.2.3.4"), 1);
}

static void networks_match_addresses_one_by_one(void **state)
{
	(void)state;
	assert_int_equal(ask("10.0.0.0/8", "a.test", 443, "1.2.3.4 10.1.1.1 10.2.2.2"), 6);
	assert_int_equal(ask("10.0.0.0/8:443", "a.test", 443, "10.1.1.1"), 1);
	assert_int_equal(ask("10.0.0.0/8:443", "a.test", 80, "10.1.1.1"), 0);
	assert_int_equal(ask("::ffff:10.0.0.0/104", "a.test", 443, "10.1.1.1"), 1);
	assert_int_equal(ask("2001:db8::1", "a.test", 443, "2001:db8::1 2001:db8::2"), 1);
	assert_int_equal(ask("[2001:db8::]", "a.test", 443, "2001:db8::"), 1);
	assert_int_equal(ask("[2001:db8::/32]:8443", "a.test", 8443, "2001:db8::2"), 1);
	assert_int_equal(ask("[2001:db8::/32]:8443", "a.test", 443, "2001:db8::2"), 0);
	/* every IPv4 address is not every address */
	assert_int_equal(ask("0.0.0.0/0", "a.test", 443, "1.2.3.4 2001:db8::2"), 1);
	assert_int_equal(ask("*", "a.test", 443, "1.2.3.4 2001:db8::2"), 3);
	assert_int_equal(ask("*:80", "a.test", 443, "1.2.3.4"), 0);
}

static void what_is_here_is_never_sent_to_the_proxy(void **state)
{
	struct osh_addr a[5];

	(void)state;
	assert_int_equal(osh_addr_parse(OSH_STR("127.9.9.9"), &a[0]), 0);
	assert_int_equal(osh_addr_parse(OSH_STR("1.2.3.4"), &a[1]), 0);
	assert_int_equal(osh_addr_parse(OSH_STR("::1"), &a[2]), 0);
	assert_int_equal(osh_addr_parse(OSH_STR("169.254.1.2"), &a[3]), 0);
	assert_int_equal(osh_addr_parse(OSH_STR("fe80::1"), &a[4]), 0);
	assert_int_equal(osh_noproxy_match(NULL, 0, OSH_STR("a.test"), 443, a, 5), 1 + 4 + 8 + 16);
	/* the name alone says nothing */
	assert_int_equal(osh_noproxy_match(NULL, 0, OSH_STR("localhost"), 443, &a[1], 1), 0);
}

static void many_addresses(void **state)
{
	struct osh_addr a[OSH_NOPROXY_ADDRS_MAX + 8];
	struct osh_noproxy any;

	(void)state;
	assert_int_equal(osh_noproxy_parse(OSH_STR("*"), &any, NULL), 0);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(a); i++)
		a[i] = osh_addr_from_v4((const uint8_t[]){ 1, 2, 3, 4 });
	assert_int_equal(osh_noproxy_match(&any, 1, OSH_STR("a"), 1, a, 32), UINT32_MAX);
	assert_int_equal(osh_noproxy_match(&any, 1, OSH_STR("a"), 1, a, 40), UINT32_MAX);
	assert_int_equal(osh_noproxy_match(&any, 1, OSH_STR("a"), 1, a, 31), UINT32_MAX >> 1);
	assert_int_equal(osh_noproxy_match(&any, 1, OSH_STR("a"), 1, a, 0), 0);
	any = (struct osh_noproxy){ 0 };
	assert_int_equal(osh_noproxy_match(&any, 1, OSH_STR("a"), 1, a, 3), 0);
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		".",
		"*.",
		"..acme.test",
		"a..b",
		"*acme.test",
		"a.*.test",
		"acme.test:0",
		"acme.test:99999",
		"acme.test:",
		"acme.test:x",
		"acme.test:+1",
		"10.0.0.0/33",
		"10.0.0/8",
		"10.1",
		"2130706433",
		"0x7f.1",
		"127.0.0.1:0",
		"[10.1.1.1]",
		"[::1",
		"[::1]x",
		"[::1]:",
		"::1/129",
		"a/b",
		"http://a",
		"a b",
		"\xc3\xa4.test",
		"[acme.test]",
		"acme.test..",
		"1.2.3.4.",
		"user@a.test",
		"::1::2",
		"*.1.2.3.4",
		":443",
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		struct osh_noproxy e = { .kind = 77 };
		const char *why = NULL;

		if (osh_noproxy_parse(osh_str(bad[i]), &e, &why) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(why);
		assert_int_equal(e.kind, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_match_themselves_and_below),
		cmocka_unit_test(networks_match_addresses_one_by_one),
		cmocka_unit_test(what_is_here_is_never_sent_to_the_proxy),
		cmocka_unit_test(many_addresses),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
