/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dns/msg.h"

struct msg {
	uint8_t b[600];
	size_t n;
};

static void put16(struct msg *m, unsigned int v)
{
	m->b[m->n++] = (uint8_t)(v >> 8);
	m->b[m->n++] = (uint8_t)v;
}

static void put_name(struct msg *m, const char *name)
{
	struct osh_str rest = osh_str(name), label;

	while (rest.n && osh_str_split(&rest, '.', &label)) {
		m->b[m->n++] = (uint8_t)label.n;
		memcpy(m->b + m->n, label.p, label.n);
		m->n += label.n;
	}
	m->b[m->n++] = 0;
}

static struct msg query(const char *name, unsigned int type, bool edns)
{
	struct msg m = { .n = 0 };

	put16(&m, 0x1234);
	put16(&m, 0x0100);
	put16(&m, 1);
	put16(&m, 0);
	put16(&m, 0);
	put16(&m, edns);
	put_name(&m, name);
	put16(&m, type);
	put16(&m, 1);
	if (edns) {
		m.b[m.n++] = 0;
		put16(&m, 41);
		put16(&m, 4096);
		put16(&m, 0);
		put16(&m, 0x8000);
		put16(&m, 0);
	}
	return m;
}

static int parse(const struct msg *m, struct osh_dns_query *q)
{
	return osh_dns_parse((struct osh_str){ (const char *)m->b, m->n }, q);
}

static void query_is_read(void **state)
{
	struct osh_dns_query q;
	struct msg m = query("API.GitHub.com", OSH_DNS_AAAA, true);

	(void)state;
	assert_int_equal(parse(&m, &q), 0);
	assert_string_equal(q.name, "api.github.com");
	assert_true(q.has_name && q.has_question && q.rd && q.has_edns && q.dnssec_ok);
	assert_int_equal(q.qtype, OSH_DNS_AAAA);
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.udp_size, 4096);
	assert_memory_equal(q.wire, "\3API\6GitHub\3com", 16);
	for (size_t n = 0; n < m.n; n++) {
		struct msg part = m;
		int r;

		part.n = n;
		r = parse(&part, &q);
		assert_int_equal(r, n < 12 ? -EBADMSG : OSH_DNS_FORMERR);
	}
	m.b[m.n++] = 0;
	assert_int_equal(parse(&m, &q), OSH_DNS_FORMERR);
}

static void odd_queries(void **state)
{
	struct osh_dns_query q;
	struct msg m;

	(void)state;
	m = query("x.test", 1, false);
	m.b[2] |= 0x80; /* a response */
	assert_int_equal(parse(&m, &q), -EBADMSG);
	m = query("x.test", 1, false);
	m.b[2] = 0x28; /* update */
	assert_int_equal(parse(&m, &q), OSH_DNS_NOTIMP);
	m = query("x.test", 1, false);
	m.b[5] = 2; /* two questions */
	assert_int_equal(parse(&m, &q), OSH_DNS_FORMERR);
	m = query("x.test", 1, false);
	m.b[12] = 0xc0; /* a compressed name in a question */
	assert_int_equal(parse(&m, &q), OSH_DNS_FORMERR);
	m = query("x.test", 1, false);
	m.b[m.n - 1] = 3; /* CHAOS */
	assert_int_equal(parse(&m, &q), OSH_DNS_REFUSED);
	m = query("x.test", 1, true);
	m.b[m.n - 5] = 1; /* EDNS version 1 */
	assert_int_equal(parse(&m, &q), OSH_DNS_BADVERS);
	m = query("x.test", 1, false);
	m.b[14] = 0; /* a NUL inside a label, as in "x\0est" */
	assert_int_equal(parse(&m, &q), OSH_DNS_FORMERR);
	m = query("a.test", 1, false);
	m.b[13] = '.'; /* a label that is a dot */
	assert_int_equal(parse(&m, &q), 0);
	assert_false(q.has_name);
	m = query("", 1, false);
	assert_int_equal(parse(&m, &q), 0);
	assert_false(q.has_name);
	m = query("1.2.3.4", 1, false);
	assert_int_equal(parse(&m, &q), 0);
	assert_false(q.has_name);
}

static void replies(void **state)
{
	static const uint8_t addrs[20 * 16] = { 198, 18, 0, 7, 198, 18, 0, 8 };
	struct osh_dns_answer answer = { .n = 2, .addrs = addrs, .ttl_s = 5 };
	uint8_t out[OSH_DNS_MSG_MAX];
	struct osh_dns_query q;
	struct msg m = query("a.test", 1, false);
	size_t n;

	(void)state;
	assert_int_equal(parse(&m, &q), 0);
	assert_int_equal(osh_dns_reply(&q, &answer, false, out, sizeof(out), &n), 0);
	assert_int_equal(n, m.n + 2 * 16);
	assert_memory_equal(out, "\x12\x34\x81\x80\0\1\0\2\0\0\0\0", 12);
	assert_memory_equal(out + 12, m.b + 12, m.n - 12);
	assert_memory_equal(out + m.n, "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc6\x12\0\7", 16);
	/* AAAA that do not fit 512 bytes: cut, TC */
	answer.v6 = true;
	answer.n = 20;
	assert_int_equal(osh_dns_reply(&q, &answer, false, out, sizeof(out), &n), 0);
	assert_int_equal(n, m.n + 16 * 28 > 512 ? m.n : m.n + 16 * 28);
	/* NODATA, NXDOMAIN */
	answer.n = 0;
	assert_int_equal(osh_dns_reply(&q, &answer, true, out, sizeof(out), &n), 0);
	assert_int_equal(n, m.n);
	answer.rcode = OSH_DNS_NXDOMAIN;
	answer.n = 2;
	assert_int_equal(osh_dns_reply(&q, &answer, true, out, sizeof(out), &n), 0);
	assert_int_equal(n, m.n);
	assert_int_equal(out[3] & 15, 3);
	/* BADVERS goes to the OPT record */
	m = query("a.test", 1, true);
	assert_int_equal(parse(&m, &q), 0);
	answer.rcode = OSH_DNS_BADVERS;
	assert_int_equal(osh_dns_reply(&q, &answer, false, out, sizeof(out), &n), 0);
	assert_int_equal(out[3] & 15, 0);
	assert_memory_equal(out + n - 11, "\0\0\x29\x04\xd0\1\0\x80\0\0\0", 11);
	assert_int_equal(osh_dns_reply(&q, &answer, false, out, 20, &n), -EMSGSIZE);
}

static void names(void **state)
{
	char name[OSH_DNS_NAME_MAX + 1], text[300];
	size_t n;

	(void)state;
	assert_int_equal(osh_dns_name_normalise(OSH_STR("Db.Acme.Test."), name, &n), 0);
	assert_string_equal(name, "db.acme.test");
	assert_int_equal(osh_dns_name_normalise(OSH_STR("a.."), name, &n), -EBADMSG);
	assert_int_equal(osh_dns_name_normalise(OSH_STR("."), name, &n), -EBADMSG);
	assert_int_equal(osh_dns_name_normalise(OSH_STR("::1"), name, &n), -EBADMSG);
	assert_int_equal(osh_dns_name_normalise(OSH_STR("10.0.0.1"), name, &n), -EBADMSG);
	memset(text, 'a', sizeof(text));
	assert_int_equal(osh_dns_name_normalise((struct osh_str){ text, 63 }, name, &n), 0);
	assert_int_equal(osh_dns_name_normalise((struct osh_str){ text, 64 }, name, &n), -EBADMSG);
	for (size_t i = 50; i < sizeof(text); i += 51)
		text[i] = '.';
	assert_int_equal(osh_dns_name_normalise((struct osh_str){ text, 253 }, name, &n), 0);
	assert_int_equal(osh_dns_name_normalise((struct osh_str){ text, 254 }, name, &n), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(query_is_read),
		cmocka_unit_test(odd_queries),
		cmocka_unit_test(replies),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
