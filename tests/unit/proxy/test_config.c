/* SPDX-License-Identifier: MIT */
#include "proxy/config.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <cmocka.h>

static int parse(struct osh_px_cfg *cfg, const char *json, char why[200])
{
	osh_px_cfg_init(cfg);
	return osh_px_cfg_parse(cfg, osh_str(json), why, 200);
}

static void everything_is_taken(void **state)
{
	struct osh_px_cfg cfg;
	char why[200] = "", text[OSH_ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(parse(&cfg,
			       "{\"worker\":3,\"resolvers\":[\"127.0.0.1:5353\",\"::1\"],"
			       "\"hosts\":{\"API.test\":[\"127.0.0.1:8443\",\"[::1]\"],"
			       "\"*.lab.test\":\"10.0.0.7\"},"
			       "\"limits\":{\"connections\":7,\"idle_upstream\":0},"
			       "\"timeouts_ms\":{\"head\":5},\"dns_ttl_s\":30,\"spin_us\":50}",
			       why),
			 0);
	assert_int_equal(cfg.worker, 3);
	assert_int_equal(cfg.n_resolvers, 2);
	assert_int_equal(cfg.resolver_port[0], 5353);
	assert_string_equal(osh_addr_text(&cfg.resolver[1], text), "::1");
	assert_int_equal(cfg.n_hosts, 2);
	assert_string_equal(cfg.hosts[0].host, "api.test");
	assert_int_equal(cfg.hosts[0].n, 2);
	assert_int_equal(cfg.hosts[0].port[0], 8443);
	assert_int_equal(cfg.hosts[0].port[1], 0);
	assert_false(cfg.hosts[0].subdomains);
	assert_string_equal(cfg.hosts[1].host, "lab.test");
	assert_true(cfg.hosts[1].subdomains);
	assert_int_equal(cfg.limits.connections, 7);
	assert_int_equal(cfg.limits.idle_upstream, 0);
	assert_int_equal(cfg.timeouts.head_ms, 5);
	assert_int_equal(cfg.timeouts.idle_ms, 120000);
	assert_int_equal(cfg.dns_ttl_s, 30);
	assert_int_equal(cfg.spin_us, 50);
	osh_px_cfg_fini(&cfg);
}

static void upstream_proxy_is_taken(void **state)
{
	struct osh_px_cfg cfg;
	char why[200] = "";

	(void)state;
	assert_int_equal(parse(&cfg, "{}", why), 0);
	assert_int_equal(cfg.hop_https.port, 0);
	assert_int_equal(cfg.timeouts.upstream_proxy_ms, 30000);
	osh_px_cfg_fini(&cfg);
	assert_int_equal(parse(&cfg,
			       "{\"upstream_proxy\":{\"https\":\"http://Proxy.test:3128/\","
			       "\"http\":\"http://[::1]:8080\",\"connect_by_hostname\":true,"
			       "\"no_proxy\":[\".lab.test\",\"10.0.0.0/8:443\"]}}",
			       why),
			 0);
	assert_string_equal(cfg.hop_https.host, "proxy.test");
	assert_int_equal(cfg.hop_https.port, 3128);
	assert_string_equal(cfg.hop_http.host, "::1");
	assert_int_equal(cfg.hop_http.port, 8080);
	assert_true(cfg.hop_by_name);
	assert_int_equal(cfg.n_no_proxy, 2);
	assert_string_equal(cfg.no_proxy[0].name, "lab.test");
	assert_int_equal(cfg.no_proxy[1].port, 443);
	osh_px_cfg_fini(&cfg);
}

static void bad_ones_are_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{\"unknown\":1}",
		"{\"limits\":{\"unknown\":1}}",
		"{\"limits\":{\"connections\":0}}",
		"{\"limits\":{\"connections\":-1}}",
		"{\"limits\":{\"connections\":\"7\"}}",
		"{\"limits\":[]}",
		"{\"timeouts_ms\":{\"head\":0}}",
		"{\"timeouts_ms\":{\"head\":99999999999}}",
		"{\"hosts\":{\"a b\":\"127.0.0.1\"}}",
		"{\"hosts\":{\"a.test\":\"localhost\"}}",
		"{\"hosts\":{\"a.test\":[]}}",
		"{\"hosts\":{\"*.\":\"127.0.0.1\"}}",
		"{\"hosts\":{\"a.test\":[\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"1.1.1.4\",\"1.1.1.5\"]}}",
		"{\"resolvers\":[\"dns.test\"]}",
		"{\"resolvers\":[\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\"]}",
		"{\"upstream_proxy\":[]}",
		"{\"upstream_proxy\":{}}",
		"{\"upstream_proxy\":{\"no_proxy\":[]}}",
		"{\"upstream_proxy\":{\"https\":\"proxy.test:3128\"}}",
		"{\"upstream_proxy\":{\"https\":7}}",
		"{\"upstream_proxy\":{\"https\":\"http://p.test:1\",\"ftp\":\"http://p.test:1\"}}",
		"{\"upstream_proxy\":{\"https\":\"http://p.test:1\",\"no_proxy\":[\"a b\"]}}",
		"{\"upstream_proxy\":{\"https\":\"http://p.test:1\",\"no_proxy\":\"a\"}}",
		"{\"upstream_proxy\":{\"https\":\"http://p.test:1\",\"connect_by_hostname\":1}}",
		"{\"gateways\":{\"a.test\":\"169.254.1.2\"}}",
		"{\"gateways\":{\"host.docker.internal\":\"10.0.0.1\"}}",
		"{\"gateways\":{\"host.docker.internal\":\"169.254.169.254\"}}",
		"{\"gateways\":[]}",
		"{\"worker\":1024}",
		"{\"dns_ttl_s\":31}",
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(bad); i++) {
		struct osh_px_cfg cfg;
		char why[200] = "";

		assert_true(parse(&cfg, bad[i], why) < 0);
		assert_true(why[0] != '\0');
		osh_px_cfg_fini(&cfg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_taken),
		cmocka_unit_test(upstream_proxy_is_taken),
		cmocka_unit_test(bad_ones_are_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
