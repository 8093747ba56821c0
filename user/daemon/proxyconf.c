/* SPDX-License-Identifier: MIT */
#include "daemon/proxyconf.h"

#include <errno.h>

#include "base/json.h"
#include "proxy/config.h"
#include "sys/fs.h"
#include "tls/env.h"

enum { BUNDLE_MAX = 16 << 20, RESOLVERS_MAX = 4 };

/* "nameserver A" lines of resolv.conf(5): the proxies cannot read files. */
static void system_resolvers(struct osh_json *j)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_str rest, line;
	int n = 0;

	osh_buf_init(&text, 65536, 0);
	if (osh_fs_read("/etc/resolv.conf", 65536, &text) < 0)
		return; /* no resolver: names that are not in the host table fail, with that reason */
	rest = osh_buf_str(&text);
	while (n < RESOLVERS_MAX && osh_str_split(&rest, '\n', &line)) {
		struct osh_str word;

		line = osh_str_trim(line);
		if (!osh_str_has_prefix(line, OSH_STR("nameserver")))
			continue;
		word = osh_str_trim(osh_str_sub(line, 10, line.n));
		word = osh_str_sub(word, 0, osh_str_find(word, ' '));
		/* scoped link-local resolvers cannot be expressed */
		if (!word.n || word.n == line.n || osh_str_find(word, '%') != word.n)
			continue;
		osh_json_str(j, word);
		n++;
	}
}

static void put_nums(struct osh_json *j, const char *key, const struct osh_config_nums *nums)
{
	if (!nums->n)
		return;
	osh_json_key(j, key);
	osh_json_obj(j);
	for (size_t i = 0; i < nums->n; i++)
		osh_json_ku64(j, nums->v[i].name.p, nums->v[i].value);
	osh_json_obj_end(j);
}

static void put_upstream(struct osh_json *j, const struct osh_config *cfg)
{
	if (!cfg->upstream.https.n && !cfg->upstream.http.n)
		return;
	osh_json_key(j, "upstream_proxy");
	osh_json_obj(j);
	if (cfg->upstream.https.n)
		osh_json_kstr(j, "https", cfg->upstream.https);
	if (cfg->upstream.http.n)
		osh_json_kstr(j, "http", cfg->upstream.http);
	osh_json_kbool(j, "connect_by_hostname", cfg->upstream.connect_by_hostname);
	osh_json_key(j, "no_proxy");
	osh_json_arr(j);
	for (size_t i = 0; i < cfg->upstream.no_proxy.n; i++)
		osh_json_str(j, cfg->upstream.no_proxy.v[i]);
	osh_json_arr_end(j);
	osh_json_obj_end(j);
}

int osh_proxyconf_write(const struct osh_config *cfg, unsigned int worker, struct osh_buf *ret_json)
{
	struct osh_json j;

	osh_json_init(&j, ret_json, 0);
	osh_json_obj(&j);
	osh_json_ku64(&j, "worker", worker);
	/* more than it may be was reported as such already */
	osh_json_ku64(&j, "spin_us", OSH_MIN(cfg->spin_us, (uint32_t)OSH_PX_SPIN_MAX_US));
	osh_json_key(&j, "resolvers");
	osh_json_arr(&j);
	for (size_t i = 0; i < cfg->resolver_servers.n; i++)
		osh_json_str(&j, cfg->resolver_servers.v[i]);
	if (!cfg->resolver_servers.n)
		system_resolvers(&j);
	osh_json_arr_end(&j);
	osh_json_key(&j, "hosts");
	osh_json_obj(&j);
	for (size_t i = 0; i < cfg->nhosts; i++) {
		osh_json_key(&j, cfg->hosts[i].name.p);
		osh_json_arr(&j);
		for (size_t k = 0; k < cfg->hosts[i].naddrs; k++)
			osh_json_str(&j, cfg->hosts[i].addrs[k]);
		osh_json_arr_end(&j);
	}
	if (cfg->selftest_host[0])
		osh_json_kz(&j, cfg->selftest_host, "127.0.0.1");
	osh_json_obj_end(&j);
	osh_json_key(&j, "gateways");
	osh_json_obj(&j);
	for (size_t i = 0; i < cfg->ngateways; i++)
		osh_json_kz(&j, cfg->gateways[i].host, cfg->gateways[i].addr);
	osh_json_obj_end(&j);
	put_upstream(&j, cfg);
	put_nums(&j, "limits", &cfg->limits);
	put_nums(&j, "timeouts_ms", &cfg->timeouts_ms);
	osh_json_obj_end(&j);
	return j.err;
}

static int add_file(const char *path, struct osh_buf *ret_pem, struct osh_diag *diag)
{
	osh_auto_bufmem struct osh_buf pem;
	size_t count = 0;
	int r;

	osh_buf_init(&pem, BUNDLE_MAX, 0);
	r = osh_fs_read(path, BUNDLE_MAX, &pem);
	if (r == 0) {
		r = osh_tls_trust_count(osh_buf_str(&pem), &count);
		/* a file that was meant to be trusted and holds nothing is found out when it is too late */
		if (r == -EBADMSG || (r == 0 && !count)) {
			osh_diag_err(diag, 0, 0, "CA certificates: %s %s", OSH_Q(path),
				     r ? "holds something that does not decode as PEM certificate"
				       : "holds no PEM certificate");
			return -EBADMSG;
		}
	}
	if (r == 0)
		r = osh_buf_add_str(ret_pem, osh_buf_str(&pem));
	if (r == 0)
		r = osh_buf_add_c(ret_pem, '\n');
	if (r < 0)
		osh_diag_err(diag, 0, 0, "cannot read CA certificates from %s: %s", OSH_Q(path),
			     strerror(-r));
	return r;
}

int osh_proxyconf_bundle(const struct osh_config *cfg, struct osh_buf *ret_pem,
			 struct osh_diag *diag)
{
	int r = add_file(cfg->system_bundle.p, ret_pem, diag);

	for (size_t i = 0; r == 0 && i < cfg->ca_files.n; i++)
		r = add_file(cfg->ca_files.v[i].p, ret_pem, diag);
	return r;
}
