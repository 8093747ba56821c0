/* SPDX-License-Identifier: MIT */
/* The resolver against a small DNS server in the same loop. */
#include "proxy/resolve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct server {
	struct osh_src src;
	unsigned int queries;
	bool mute; /* for all names */
	bool mute_x; /* for names that begin with x */
};

static struct osh_loop *loop;
static struct server server;
static struct osh_resolver *resolver;
static struct osh_resolver_share *share, *other;
static struct osh_px_cfg cfg;
static unsigned int woken;

/* one.test: 192.0.2.1; six.test: 2001:db8::6; both.test: both; all others: NXDOMAIN */
static void on_query(struct osh_src *src, uint32_t events)
{
	static const uint8_t v4[4] = { 192, 0, 2, 1 };
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 6 };
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	uint8_t m[600];
	ssize_t n = recvfrom(src->fd, m, 512, 0, (struct sockaddr *)&from, &len);
	bool aaaa, has4, has6;
	size_t end = 12;

	(void)events;
	if (n < 17)
		return;
	server.queries++;
	if (server.mute || (server.mute_x && m[13] == 'x'))
		return;
	has4 = !memcmp(m + 13, "one", 3) || !memcmp(m + 13, "both", 4);
	has6 = !memcmp(m + 13, "six", 3) || !memcmp(m + 13, "both", 4);
	while (m[end])
		end += m[end] + 1u;
	aaaa = m[end + 2] == 28;
	end += 5;
	m[2] = 0x81;
	m[3] = has4 || has6 ? 0x80 : 0x83;
	memset(m + 6, 0, 6);
	if (aaaa ? has6 : has4) {
		const uint8_t rr[] = { 0xc0, 12, 0, aaaa ? 28 : 1, 0, 1, 0, 0,
				       0,    60, 0, aaaa ? 16 : 4 };

		m[7] = 1;
		memcpy(m + end, rr, sizeof(rr));
		end += sizeof(rr);
		memcpy(m + end, aaaa ? v6 : v4, aaaa ? 16 : 4);
		end += aaaa ? 16 : 4;
	}
	(void)!sendto(src->fd, m, end, 0, (struct sockaddr *)&from, len);
}

static void on_lookup(struct osh_px_lookup *lookup)
{
	(void)lookup;
	woken++;
}

/* @servers: a printf format for the server's port */
static int setup_servers(int family, const char *servers)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&sin
						: (struct sockaddr *)&sin6;
	socklen_t len = family == AF_INET ? sizeof(sin) : sizeof(sin6);
	char json[300], list[64], why[100];
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	server = (struct server){ .queries = 0 };
	woken = 0;
	loop = osh_loop_new();
	if (bind(fd, sa, len) < 0 || getsockname(fd, sa, &len) < 0 ||
	    osh_src_add(loop, &server.src, fd, EPOLLIN, 0, on_query, "server") < 0)
		return -1;
	snprintf(list, sizeof(list), servers,
		 ntohs(family == AF_INET ? sin.sin_port : sin6.sin6_port));
	snprintf(json, sizeof(json),
		 "{\"resolvers\":[%s],\"hosts\":{\"table.test\":\"127.0.0.1:99\","
		 "\"*.lab.test\":\"10.0.0.7\"},\"limits\":{\"dns_cache\":16,\"dns_inflight\":3,"
		 "\"dns_inflight_each\":2},\"timeouts_ms\":{\"resolve\":5000}}",
		 list);
	osh_px_cfg_init(&cfg);
	if (osh_px_cfg_parse(&cfg, osh_str(json), why, sizeof(why)) < 0)
		return -1;
	if (osh_resolver_new(loop, &cfg, &resolver) < 0)
		return -1;
	share = osh_resolver_share_new(resolver);
	other = osh_resolver_share_new(resolver);
	return share && other ? 0 : -1;
}

static int setup(void **state)
{
	(void)state;
	return setup_servers(AF_INET, "\"127.0.0.1:%u\"");
}

static int setup_v6(void **state)
{
	(void)state;
	return setup_servers(AF_INET6, "\"[::1]:%u\",\"127.0.0.1:9\"");
}

static int teardown(void **state)
{
	(void)state;
	share = osh_resolver_share_free(share);
	other = osh_resolver_share_free(other);
	resolver = osh_resolver_free(resolver);
	osh_px_cfg_fini(&cfg);
	osh_src_del(&server.src);
	close(server.src.fd);
	loop = osh_loop_free(loop);
	return 0;
}

static int resolve_by(struct osh_resolver_share *who, const char *host, struct osh_px_addrs *addrs)
{
	struct osh_px_lookup lookup = { .fn = on_lookup };
	int r = osh_resolve(who, osh_str(host), &lookup, addrs);

	for (int i = 0; r == -EAGAIN && i < 200; i++) {
		if (osh_loop_turn(loop, 50) < 0)
			return -EIO;
		if (!lookup.waiting)
			r = osh_resolve(who, osh_str(host), &lookup, addrs);
	}
	osh_lookup_cancel(&lookup);
	return r;
}

static int resolve(const char *host, struct osh_px_addrs *addrs)
{
	return resolve_by(share, host, addrs);
}

static void answers_are_merged_and_cached(void **state)
{
	struct osh_px_addrs addrs;
	char text[OSH_ADDR_TEXT_MAX];
	unsigned int queries;

	(void)state;
	assert_int_equal(resolve("one.test", &addrs), 0);
	assert_int_equal(addrs.n, 1);
	assert_false(addrs.trusted);
	assert_string_equal(osh_addr_text(&addrs.addr[0], text), "192.0.2.1");
	assert_int_equal(resolve("both.test", &addrs), 0);
	assert_int_equal(addrs.n, 2);
	assert_int_equal(resolve("six.test", &addrs), 0);
	assert_string_equal(osh_addr_text(&addrs.addr[0], text), "2001:db8::6");
	queries = server.queries;
	assert_int_equal(resolve("one.test", &addrs), 0);
	assert_int_equal(server.queries, queries);
}

static void the_server_may_be_ipv6(void **state)
{
	struct osh_px_addrs addrs;

	(void)state;
	assert_int_equal(resolve("one.test", &addrs), 0);
	assert_int_equal(addrs.n, 1);
}

static void failures_are_told_apart(void **state)
{
	struct osh_px_addrs addrs;

	(void)state;
	assert_int_equal(resolve("none.test", &addrs), -ENXIO);
	server.mute = true;
	assert_int_equal(resolve("mute.test", &addrs), -ETIME);
}

static void literals_and_the_table_ask_nobody(void **state)
{
	static const char *const numbers[] = { "127.1", "2130706433", "0x7f.1", "1.2.3" };
	struct osh_px_addrs addrs;
	char text[OSH_ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(resolve("192.0.2.9", &addrs), 0);
	assert_false(addrs.trusted);
	assert_int_equal(resolve("table.test", &addrs), 0);
	assert_true(addrs.trusted);
	assert_int_equal(addrs.port[0], 99);
	assert_int_equal(resolve("a.b.lab.test", &addrs), 0);
	assert_string_equal(osh_addr_text(&addrs.addr[0], text), "10.0.0.7");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(numbers); i++)
		assert_int_equal(resolve(numbers[i], &addrs), -ENXIO);
	assert_int_equal(server.queries, 0);
	assert_int_equal(resolve("lab.test", &addrs), -ENXIO);
	assert_true(server.queries > 0);
}

static void lookups_of_one_name_are_one(void **state)
{
	struct osh_px_lookup a = { .fn = on_lookup }, b = { .fn = on_lookup };
	struct osh_px_addrs addrs;

	(void)state;
	assert_int_equal(osh_resolve(share, OSH_STR("one.test"), &a, &addrs), -EAGAIN);
	assert_int_equal(osh_resolve(share, OSH_STR("one.test"), &b, &addrs), -EAGAIN);
	for (int i = 0; i < 100 && (a.waiting || b.waiting); i++)
		assert_true(osh_loop_turn(loop, 50) >= 0);
	assert_int_equal(woken, 2);
	assert_true(server.queries <= 2); /* A and AAAA */
}

/* Names of one sandbox: no more than two under way, sixteen known or waiting; the others do not notice. */
static void a_flood_of_names_harms_only_its_sandbox(void **state)
{
	struct osh_px_lookup l[17];
	struct osh_px_addrs addrs;
	unsigned int queries;
	char name[32];

	(void)state;
	assert_int_equal(resolve_by(other, "one.test", &addrs), 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "one%d.test", i);
		assert_int_equal(resolve(name, &addrs), 0);
	}
	queries = server.queries;
	assert_int_equal(resolve_by(other, "one.test", &addrs), 0);
	assert_int_equal(server.queries, queries); /* still known */

	server.mute_x = true;
	for (int i = 0; i < 17; i++) {
		l[i] = (struct osh_px_lookup){ .fn = on_lookup };
		snprintf(name, sizeof(name), "x%d.test", i);
		assert_int_equal(osh_resolve(share, osh_str(name), &l[i], &addrs),
				 i < 16 ? -EAGAIN : -EBUSY);
	}
	assert_int_equal(osh_loop_turn(loop, 100) > 0, 1);
	assert_int_equal(resolve_by(other, "both.test", &addrs), 0);
	assert_int_equal(server.queries, queries + 2 * 2 + 2);
	/* who gives up is not asked for, the others are answered in their turn */
	woken = 0;
	osh_lookup_cancel(&l[3]);
	server.mute_x = false;
	for (int i = 0; i < 400 && woken < 15; i++)
		assert_true(osh_loop_turn(loop, 50) >= 0);
	assert_int_equal(woken, 15);
	assert_int_equal(osh_resolve(share, OSH_STR("x15.test"), &l[0], &addrs), -ENXIO);
}

/* A sandbox goes while it is being answered, another while it waits. */
static void who_goes_is_not_called(void **state)
{
	struct osh_px_lookup l[4];
	struct osh_px_addrs addrs;
	char name[32];

	(void)state;
	server.mute_x = true;
	for (int i = 0; i < 4; i++) {
		l[i] = (struct osh_px_lookup){ .fn = on_lookup };
		snprintf(name, sizeof(name), "x%d.test", i);
		assert_int_equal(osh_resolve(share, osh_str(name), &l[i], &addrs), -EAGAIN);
	}
	assert_int_equal(osh_resolve(other, OSH_STR("x1.test"), &l[0], &addrs), -EAGAIN);
	share = osh_resolver_share_free(share);
	server.mute_x = false;
	assert_int_equal(resolve_by(other, "x1.test", &addrs), -ENXIO);
	assert_int_equal(resolve_by(other, "one.test", &addrs), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_are_merged_and_cached, setup, teardown),
		cmocka_unit_test_setup_teardown(the_server_may_be_ipv6, setup_v6, teardown),
		cmocka_unit_test_setup_teardown(failures_are_told_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(literals_and_the_table_ask_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(lookups_of_one_name_are_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_of_names_harms_only_its_sandbox, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_goes_is_not_called, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
