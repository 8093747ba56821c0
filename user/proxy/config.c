/* SPDX-License-Identifier: MIT */
#include "proxy/config.h"

#include "base/json.h"
#include "http/chain.h"
#include "policy/host.h"

#include <stdio.h>

struct member {
	const char *name;
	size_t off;
	uint32_t otherwise, min, max;
};

#define LIMIT(f, d, lo, hi)                                      \
	{                                                        \
#f, offsetof(struct osh_px_limits, f), d, lo, hi \
	}
static const struct member limits[] = {
	LIMIT(connections, 4096, 1, 1000000),
	LIMIT(connections_total, 32768, 1, 1000000),
	LIMIT(head_bytes, 16384, 256, 65535),
	LIMIT(connect_head_bytes, 8192, 256, 65535),
	LIMIT(fields, 128, 8, 128),
	LIMIT(sites, 4096, 16, 1000000),
	LIMIT(identities, 1024, 4, 100000),
	LIMIT(idle_upstream, 64, 0, 10000),
	LIMIT(idle_upstream_total, 1024, 0, 100000),
	LIMIT(drain_bytes, 65536, 0, 16777216),
	LIMIT(linger_bytes, 1048576, 0, 1073741824),
	LIMIT(dns_cache, 4096, 16, 1000000),
	LIMIT(dns_inflight, 256, 1, 10000),
	LIMIT(dns_inflight_each, 32, 1, 10000),
	LIMIT(dns_tcp, 32, 1, 1000),
	LIMIT(dns_waits, 256, 1, 10000),
};

#define TIMEOUT(f, d)                                                        \
	{                                                                    \
#f, offsetof(struct osh_px_timeouts, f##_ms), d, 1, 86400000 \
	}
static const struct member timeouts[] = {
	TIMEOUT(head, 30000),	       TIMEOUT(idle, 120000),
	TIMEOUT(handshake, 15000),     TIMEOUT(sniff, 60000),
	TIMEOUT(deny_sniff, 300),      TIMEOUT(identity, 5000),
	TIMEOUT(resolve, 10000),       TIMEOUT(dial, 15000),
	TIMEOUT(dial_stagger, 250),    TIMEOUT(upstream_proxy, 30000),
	TIMEOUT(body, 60000),	       TIMEOUT(response, 300000),
	TIMEOUT(stream, 300000),       TIMEOUT(tunnel, 7200000),
	TIMEOUT(half_close, 120000),   TIMEOUT(linger, 2000),
	TIMEOUT(upstream_idle, 60000), TIMEOUT(upstream_age, 600000),
	TIMEOUT(dns_tcp, 10000),       TIMEOUT(dns_wait, 2000),
	TIMEOUT(revoked, 1000),	       TIMEOUT(upstream_once, 4000),
};

static void set_u32(void *base, const struct member *m, uint32_t v)
{
	memcpy((char *)base + m->off, &v, sizeof(v));
}

void osh_px_cfg_init(struct osh_px_cfg *cfg)
{
	*cfg = (struct osh_px_cfg){ .dns_ttl_s = 10 };
	for (size_t i = 0; i < OSH_ARRAY_SIZE(limits); i++)
		set_u32(&cfg->limits, &limits[i], limits[i].otherwise);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(timeouts); i++)
		set_u32(&cfg->timeouts, &timeouts[i], timeouts[i].otherwise);
}

void osh_px_cfg_fini(struct osh_px_cfg *cfg)
{
	free(cfg->hosts);
	cfg->hosts = NULL;
	cfg->n_hosts = 0;
	free(cfg->no_proxy);
	cfg->no_proxy = NULL;
	cfg->n_no_proxy = 0;
}

struct why {
	char *text;
	size_t size;
};

static int bad(const struct why *why, const char *what, const char *name)
{
	snprintf(why->text, why->size, "%s: %s", name, what);
	return -EBADMSG;
}

static int get_u32(const struct osh_jval *v, uint32_t min, uint32_t max, uint32_t *ret)
{
	int64_t n = osh_jval_i64(v, -1);

	if (osh_jval_type(v) != OSH_JSON_INT || n < (int64_t)min || n > (int64_t)max)
		return -EBADMSG;
	*ret = (uint32_t)n;
	return 0;
}

static int parse_members(const struct osh_jval *obj, const struct member *m, size_t n, void *base,
			 const struct why *why)
{
	const struct osh_jval *v;
	const char *key;
	void *iter = NULL;

	if (osh_jval_type(obj) != OSH_JSON_OBJ)
		return bad(why, "not an object", "limits or timeouts_ms");
	while (osh_jval_next(obj, &iter, &key, &v)) {
		uint32_t value;
		size_t i = 0;

		while (i < n && strcmp(m[i].name, key) != 0)
			i++;
		if (i == n)
			return bad(why, "unknown member", key);
		if (get_u32(v, m[i].min, m[i].max, &value) < 0)
			return bad(why, "out of range", key);
		set_u32(base, &m[i], value);
	}
	return 0;
}

/* "addr", "addr:port", "[v6]", "[v6]:port" */
static int parse_endpoint(struct osh_str text, struct osh_addr *ret_addr, uint16_t *ret_port)
{
	struct osh_authority a;

	if (!osh_addr_parse(text, ret_addr)) {
		*ret_port = 0;
		return 0;
	}
	if (osh_authority_parse(text, &a) < 0 || !a.host.is_addr)
		return -EBADMSG;
	*ret_addr = a.host.addr;
	*ret_port = a.port;
	return 0;
}

static int parse_host(const char *name, const struct osh_jval *v, struct osh_px_host_entry *e)
{
	size_t n = osh_jval_type(v) == OSH_JSON_ARR ? osh_jval_len(v) : 1;
	bool any = osh_str_has_prefix(osh_str(name), OSH_STR("*."));
	struct osh_host host;

	if (osh_host_parse(osh_str(name + (any ? 2 : 0)), OSH_HOST_BARE_V6, &host) < 0 || !n ||
	    n > OSH_ARRAY_SIZE(e->addr))
		return -EBADMSG;
	*e = (struct osh_px_host_entry){ .n = (uint8_t)n, .subdomains = any };
	(void)osh_strlcpy(e->host, host.name, sizeof(e->host));
	for (size_t i = 0; i < n; i++) {
		struct osh_str s = osh_jval_str(osh_jval_type(v) == OSH_JSON_ARR ? osh_jval_at(v, i)
										 : v);

		if (!s.p || parse_endpoint(s, &e->addr[i], &e->port[i]) < 0)
			return -EBADMSG;
	}
	return 0;
}

static int parse_hosts(struct osh_px_cfg *cfg, const struct osh_jval *obj, const struct why *why)
{
	const struct osh_jval *v;
	const char *key;
	void *iter = NULL;

	if (osh_jval_type(obj) != OSH_JSON_OBJ || osh_jval_len(obj) > OSH_PX_HOSTS_MAX)
		return bad(why, "not an object of at most 256 members", "hosts");
	free(cfg->hosts);
	cfg->n_hosts = 0;
	cfg->hosts = calloc(osh_jval_len(obj) + 1, sizeof(*cfg->hosts));
	if (!cfg->hosts)
		return -ENOMEM;
	while (osh_jval_next(obj, &iter, &key, &v)) {
		if (parse_host(key, v, &cfg->hosts[cfg->n_hosts]) < 0)
			return bad(why, "not a host with addresses", key);
		cfg->n_hosts++;
	}
	return 0;
}

static int parse_resolvers(struct osh_px_cfg *cfg, const struct osh_jval *arr,
			   const struct why *why)
{
	if (osh_jval_type(arr) != OSH_JSON_ARR || osh_jval_len(arr) > OSH_PX_RESOLVERS_MAX)
		return bad(why, "not an array of at most 4 addresses", "resolvers");
	cfg->n_resolvers = 0;
	for (size_t i = 0; i < osh_jval_len(arr); i++) {
		struct osh_str s = osh_jval_str(osh_jval_at(arr, i));

		if (!s.p || parse_endpoint(s, &cfg->resolver[i], &cfg->resolver_port[i]) < 0)
			return bad(why, "not an address", "resolvers");
		cfg->n_resolvers++;
	}
	return 0;
}

static int parse_hop(struct osh_px_hop *hop, const char *key, const struct osh_jval *v,
		     const struct why *why)
{
	struct osh_authority a;
	const char *phrase = "not a text";
	struct osh_str url = osh_jval_str(v);

	if (!url.p || osh_chain_url_parse(url, &a, &phrase) < 0)
		return bad(why, phrase, key);
	(void)osh_strlcpy(hop->host, a.host.name, sizeof(hop->host));
	hop->port = a.port;
	return 0;
}

static int parse_no_proxy(struct osh_px_cfg *cfg, const struct osh_jval *arr, const struct why *why)
{
	size_t n = osh_jval_len(arr);

	if (osh_jval_type(arr) != OSH_JSON_ARR || n > OSH_NOPROXY_MAX)
		return bad(why, "not an array of at most 256 entries", "no_proxy");
	free(cfg->no_proxy);
	cfg->n_no_proxy = 0;
	cfg->no_proxy = calloc(n + 1, sizeof(*cfg->no_proxy));
	if (!cfg->no_proxy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct osh_str s = osh_jval_str(osh_jval_at(arr, i));
		const char *phrase = "not a text";

		if (!s.p || osh_noproxy_parse(s, &cfg->no_proxy[i], &phrase) < 0)
			return bad(why, phrase, "no_proxy");
		cfg->n_no_proxy++;
	}
	return 0;
}

static int parse_upstream(struct osh_px_cfg *cfg, const struct osh_jval *obj, const struct why *why)
{
	const struct osh_jval *v;
	const char *key;
	void *iter = NULL;
	int r = 0;

	if (osh_jval_type(obj) != OSH_JSON_OBJ)
		return bad(why, "not an object", "upstream_proxy");
	while (!r && osh_jval_next(obj, &iter, &key, &v)) {
		if (!strcmp(key, "https"))
			r = parse_hop(&cfg->hop_https, key, v, why);
		else if (!strcmp(key, "http"))
			r = parse_hop(&cfg->hop_http, key, v, why);
		else if (!strcmp(key, "no_proxy"))
			r = parse_no_proxy(cfg, v, why);
		else if (!strcmp(key, "connect_by_hostname") && osh_jval_type(v) == OSH_JSON_BOOL)
			cfg->hop_by_name = osh_jval_bool(v, false);
		else
			r = bad(why, "unknown member", key);
	}
	if (!r && !cfg->hop_https.port && !cfg->hop_http.port)
		r = bad(why, "names no proxy", "upstream_proxy");
	return r;
}

static int parse_gateways(struct osh_px_cfg *cfg, const struct osh_jval *obj, const struct why *why)
{
	const struct osh_jval *v;
	const char *key;
	void *iter = NULL;

	if (osh_jval_type(obj) != OSH_JSON_OBJ || osh_jval_len(obj) > OSH_PX_GATEWAYS_MAX)
		return bad(why, "not an object of at most 3 members", "gateways");
	cfg->n_gateways = 0;
	while (osh_jval_next(obj, &iter, &key, &v)) {
		struct osh_px_gateway *g = &cfg->gateway[cfg->n_gateways];
		struct osh_str s = osh_jval_str(v);

		if (!osh_host_is_gateway_alias(osh_str(key)) || !s.p ||
		    osh_addr_parse(s, &g->addr) < 0 || !osh_addr_is_gateway(&g->addr))
			return bad(why, "not a gateway alias with its address", key);
		(void)osh_strlcpy(g->host, key, sizeof(g->host));
		cfg->n_gateways++;
	}
	return 0;
}

static int parse_top(struct osh_px_cfg *cfg, const char *key, const struct osh_jval *v,
		     const struct why *why)
{
	if (!strcmp(key, "limits"))
		return parse_members(v, limits, OSH_ARRAY_SIZE(limits), &cfg->limits, why);
	if (!strcmp(key, "timeouts_ms"))
		return parse_members(v, timeouts, OSH_ARRAY_SIZE(timeouts), &cfg->timeouts, why);
	if (!strcmp(key, "hosts"))
		return parse_hosts(cfg, v, why);
	if (!strcmp(key, "resolvers"))
		return parse_resolvers(cfg, v, why);
	if (!strcmp(key, "gateways"))
		return parse_gateways(cfg, v, why);
	if (!strcmp(key, "upstream_proxy"))
		return parse_upstream(cfg, v, why);
	if (!strcmp(key, "worker"))
		return get_u32(v, 0, 1023, &cfg->worker) ? bad(why, "out of range", key) : 0;
	if (!strcmp(key, "spin_us"))
		return get_u32(v, 0, OSH_PX_SPIN_MAX_US, &cfg->spin_us)
			       ? bad(why, "out of range", key)
			       : 0;
	if (!strcmp(key, "dns_ttl_s"))
		return get_u32(v, 1, 30, &cfg->dns_ttl_s) ? bad(why, "out of range", key) : 0;
	return bad(why, "unknown member", key);
}

const struct osh_addr *osh_px_cfg_gateway(const struct osh_px_cfg *cfg, struct osh_str host)
{
	for (uint32_t i = 0; i < cfg->n_gateways; i++)
		if (osh_str_ieq(host, osh_str(cfg->gateway[i].host)))
			return &cfg->gateway[i].addr;
	return NULL;
}

int osh_px_cfg_parse(struct osh_px_cfg *cfg, struct osh_str json, char *ret_why, size_t why_size)
{
	osh_auto_jval struct osh_jval *root = NULL;
	const struct why why = { ret_why, why_size };
	const struct osh_jval *v;
	const char *key;
	void *iter = NULL;
	int r;

	r = osh_json_parse(json, &root, ret_why, why_size);
	if (r < 0)
		return r;
	if (osh_jval_type(root) != OSH_JSON_OBJ)
		return bad(&why, "not an object", "configuration");
	while (osh_jval_next(root, &iter, &key, &v)) {
		r = parse_top(cfg, key, v, &why);
		if (r < 0)
			return r;
	}
	return 0;
}
