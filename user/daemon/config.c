/* SPDX-License-Identifier: MIT */
#include "daemon/config.h"

#include <errno.h>

#include "daemon/proxyconf.h"
#include "http/chain.h"
#include "openshell/abi.h"
#include "policy/schema.h"
#include "proxy/config.h"
#include "sys/fs.h"
#include "tls/signer.h"

enum { ARENA_MAX = 4 << 20 };

static void set_list(struct osh_reader *rd, const struct osh_node *node, const char *what,
		     struct osh_config_list *list)
{
	size_t i = 0;

	if (!osh_schema_is_seq(rd, node, what))
		return;
	list->v = osh_reader_array(rd, node->n, sizeof(*list->v));
	if (!list->v)
		return;
	osh_node_for_each(it, node)
	{
		struct osh_str text;

		if (osh_schema_text(rd, it, "list item", &text))
			list->v[i++] = osh_reader_str(rd, text);
	}
	list->n = i;
}

static void set_servers(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	set_list(rd, node, "servers", &((struct osh_config *)obj)->resolver_servers);
}

static void set_ca_files(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	set_list(rd, node, "ca_files", &((struct osh_config *)obj)->ca_files);
}

static void set_hosts(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_config *cfg = obj;

	if (!osh_schema_is_map(rd, node, "hosts"))
		return;
	cfg->hosts = osh_reader_array(rd, node->n, sizeof(*cfg->hosts));
	if (!cfg->hosts)
		return;
	osh_node_for_each(it, node)
	{
		struct osh_config_host *host = &cfg->hosts[cfg->nhosts];
		struct osh_config_list list = { 0 };

		if (it->type == OSH_NODE_SEQ) {
			set_list(rd, it, "addresses", &list);
		} else {
			list.v = osh_reader_array(rd, 1, sizeof(*list.v));
			if (!list.v || !osh_schema_text(rd, it, "address", &list.v[0]))
				continue;
			list.v[0] = osh_reader_str(rd, list.v[0]);
			list.n = 1;
		}
		host->name = osh_reader_str(rd, it->key);
		host->addrs = list.v;
		host->naddrs = list.n;
		cfg->nhosts++;
	}
}

static void set_nums(struct osh_reader *rd, const struct osh_node *node, const char *what,
		     struct osh_config_nums *nums)
{
	if (!osh_schema_is_map(rd, node, what))
		return;
	nums->v = osh_reader_array(rd, node->n, sizeof(*nums->v));
	if (!nums->v)
		return;
	osh_node_for_each(it, node)
	{
		int64_t value;

		if (!osh_schema_int(rd, it, what, 0, INT32_MAX, &value))
			continue;
		nums->v[nums->n].name = osh_reader_str(rd, it->key);
		nums->v[nums->n++].value = (uint32_t)value;
	}
}

static void set_timeouts(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	set_nums(rd, node, "timeouts_ms", &((struct osh_config *)obj)->timeouts_ms);
}

static void set_limits(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	set_nums(rd, node, "limits", &((struct osh_config *)obj)->limits);
}

#define STR(name, member)  OSH_KEY_FIELD(name, OSH_KEY_TEXT, 0, struct osh_config, member)
#define U32(name, member)  OSH_KEY_FIELD(name, OSH_KEY_U32, 0, struct osh_config, member)
#define BOOL(name, member) OSH_KEY_FIELD(name, OSH_KEY_BOOL, 0, struct osh_config, member)

static const struct osh_key resolver_keys[] = {
	OSH_KEY_CALL("servers", OSH_KEY_SEQ, 0, set_servers),
	OSH_KEY_CALL("hosts", OSH_KEY_MAP, 0, set_hosts),
	{ 0 },
};
static const struct osh_key trust_keys[] = {
	STR("system_bundle", system_bundle),
	OSH_KEY_CALL("ca_files", OSH_KEY_SEQ, 0, set_ca_files),
	{ 0 },
};
static const struct osh_key log_keys[] = {
	STR("dir", log.dir),
	U32("segment_bytes", log.segment_bytes),
	U32("segments", log.segments),
	U32("max_age_hours", log.max_age_hours),
	STR("journal_socket", log.journal_socket),
	STR("ocsf_file", log.ocsf_file),
	U32("ocsf_file_bytes", log.ocsf_file_bytes),
	U32("ocsf_files", log.ocsf_files),
	{ 0 },
};
#define SECTION(fn, table, what)                                                      \
	static void fn(struct osh_reader *rd, const struct osh_node *node, void *obj) \
	{                                                                             \
		osh_schema_read(rd, node, table, obj, what);                          \
	}
SECTION(set_resolver, resolver_keys, "resolver")
SECTION(set_trust, trust_keys, "trust")
SECTION(set_log, log_keys, "log")

static const struct osh_key top_keys[] = {
	OSH_KEY_FIELD("version", OSH_KEY_U32, OSH_KEY_REQUIRED, struct osh_config, version),
	STR("state_dir", state_dir),
	STR("runtime_dir", runtime_dir),
	STR("bpf_dir", bpf_dir),
	STR("agent_cgroup", agent_cgroup),
	BOOL("use_delegated_cgroup", use_delegated),
	STR("socket_group", socket_group),
	STR("proxy_user", proxy_user),
	STR("signer_user", signer_user),
	STR("default_policy", default_policy),
	U32("workers", workers),
	U32("spin_us", spin_us),
	OSH_KEY_FIELD("proxy_port", OSH_KEY_U16, 0, struct osh_config, proxy_port),
	STR("deny_errno", deny_errno),
	STR("kernel_deny", kernel_deny),
	OSH_KEY_CALL("resolver", OSH_KEY_MAP, 0, set_resolver),
	OSH_KEY_CALL("upstream_proxy", OSH_KEY_ANY, 0, osh_config_read_upstream),
	OSH_KEY_CALL("trust", OSH_KEY_MAP, 0, set_trust),
	OSH_KEY_CALL("log", OSH_KEY_MAP, 0, set_log),
	OSH_KEY_CALL("timeouts_ms", OSH_KEY_MAP, 0, set_timeouts),
	OSH_KEY_CALL("limits", OSH_KEY_MAP, 0, set_limits),
	U32("names_per_sandbox", names_per_sandbox),
	U32("certificates_burst", certificates_burst),
	U32("certificates_per_s", certificates_per_s),
	U32("kernel_shares", kernel_shares),
	{ 0 },
};

static void set_defaults(struct osh_config *cfg)
{
	cfg->version = 1;
	cfg->state_dir = OSH_STR("/var/lib/openshell");
	cfg->runtime_dir = OSH_STR("/run/openshell");
	cfg->bpf_dir = OSH_STR("/sys/fs/bpf/openshell");
	cfg->agent_cgroup = OSH_STR("openshell");
	cfg->use_delegated = true;
	cfg->socket_group = OSH_STR("openshell");
	cfg->proxy_user = OSH_STR("openshell");
	cfg->signer_user = OSH_STR("openshell-ca");
	cfg->default_policy = OSH_STR("");
	cfg->proxy_port = 3128;
	cfg->deny_errno = OSH_STR("ECONNREFUSED");
	cfg->kernel_deny = OSH_STR("non_web");
	cfg->system_bundle = OSH_STR("/etc/ssl/certs/ca-certificates.crt");
	cfg->log.dir = OSH_STR("");
	cfg->log.segment_bytes = 8 << 20;
	cfg->log.segments = 8;
	cfg->log.max_age_hours = 14 * 24;
	cfg->log.journal_socket = OSH_STR("/run/systemd/journal/socket");
	cfg->log.ocsf_file = OSH_STR("");
	cfg->log.ocsf_file_bytes = 64 << 20;
	cfg->log.ocsf_files = 4;
	cfg->names_per_sandbox = 4096;
	cfg->certificates_burst = OSH_SIGNER_BURST;
	cfg->certificates_per_s = OSH_SIGNER_PER_S;
	cfg->kernel_shares = OSH_SHARES_DEFAULT;
	osh_buf_init(&cfg->upstream.auth, OSH_CHAIN_AUTH_MAX, OSH_BUF_SECRET);
}

/* The proxies' own reader has the last word on what is passed on to them. */
static void check_proxy(const struct osh_config *cfg, struct osh_diag *diag)
{
	osh_auto_bufmem struct osh_buf json;
	struct osh_px_cfg px;
	char why[256] = "out of memory";

	osh_buf_init(&json, OSH_CONFIG_PROXY_MAX, 0);
	osh_px_cfg_init(&px);
	if (osh_proxyconf_write(cfg, 0, &json) < 0)
		osh_diag_err(
			diag, 0, 0,
			"resolver, upstream_proxy, limits and timeouts_ms are too large together");
	else if (osh_px_cfg_parse(&px, osh_buf_str(&json), why, sizeof(why)) < 0)
		osh_diag_err(diag, 0, 0, "resolver, upstream_proxy, limits or timeouts_ms: %s",
			     why);
	osh_px_cfg_fini(&px);
}

static void check_path(const char *key, struct osh_str path, struct osh_diag *diag)
{
	if (!osh_str_has_prefix(path, OSH_STR("/")))
		osh_diag_err(diag, 0, 0, "%s must be an absolute path, got %s", key,
			     osh_quote(path));
}

static void check(const struct osh_config *cfg, struct osh_diag *diag)
{
	const struct {
		const char *key;
		struct osh_str path;
		bool may_be_empty;
	} paths[] = {
		{ "state_dir", cfg->state_dir },
		{ "runtime_dir", cfg->runtime_dir },
		{ "bpf_dir", cfg->bpf_dir },
		{ "trust.system_bundle", cfg->system_bundle },
		{ "default_policy", cfg->default_policy, true },
		{ "log.dir", cfg->log.dir, true },
		{ "log.journal_socket", cfg->log.journal_socket, true },
		{ "log.ocsf_file", cfg->log.ocsf_file, true },
	};

	if (cfg->version != 1)
		osh_diag_err(diag, 0, 0, "version must be 1, got %u", cfg->version);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(paths); i++)
		if (paths[i].path.n || !paths[i].may_be_empty)
			check_path(paths[i].key, paths[i].path, diag);
	for (size_t i = 0; i < cfg->ca_files.n; i++)
		check_path("trust.ca_files", cfg->ca_files.v[i], diag);
	if (cfg->workers > OSH_CONFIG_WORKERS_MAX)
		osh_diag_err(diag, 0, 0, "workers must be at most %d, got %u",
			     OSH_CONFIG_WORKERS_MAX, cfg->workers);
	if (cfg->spin_us > OSH_PX_SPIN_MAX_US)
		osh_diag_err(diag, 0, 0, "spin_us must be at most %d, got %u", OSH_PX_SPIN_MAX_US,
			     cfg->spin_us);
	if (!cfg->proxy_port)
		osh_diag_err(diag, 0, 0, "proxy_port must be in 1..65535");
	if (!osh_str_is(cfg->deny_errno, "ECONNREFUSED") && !osh_str_is(cfg->deny_errno, "EPERM") &&
	    !osh_str_is(cfg->deny_errno, "EACCES") && !osh_str_is(cfg->deny_errno, "ENETUNREACH"))
		osh_diag_err(
			diag, 0, 0,
			"deny_errno must be ECONNREFUSED, EPERM, EACCES or ENETUNREACH, got %s",
			osh_quote(cfg->deny_errno));
	if (!osh_str_is(cfg->kernel_deny, "none") && !osh_str_is(cfg->kernel_deny, "non_web") &&
	    !osh_str_is(cfg->kernel_deny, "all"))
		osh_diag_err(diag, 0, 0, "kernel_deny must be none, non_web or all, got %s",
			     osh_quote(cfg->kernel_deny));
	if (!cfg->kernel_shares || cfg->kernel_shares > OSH_SHARES_MAX)
		osh_diag_err(diag, 0, 0, "kernel_shares must be in 1..%d, got %u", OSH_SHARES_MAX,
			     cfg->kernel_shares);
	if (!cfg->certificates_burst || !cfg->certificates_per_s)
		osh_diag_err(diag, 0, 0,
			     "certificates_burst and certificates_per_s must be at least 1");
	check_proxy(cfg, diag);
	if (cfg->log.segment_bytes < 65536 || cfg->log.segments < 2)
		osh_diag_err(
			diag, 0, 0,
			"log.segment_bytes must be at least 65536 and log.segments at least 2");
	if (cfg->log.ocsf_file_bytes < 65536 || cfg->log.ocsf_files < 2 ||
	    cfg->log.ocsf_files > 1000)
		osh_diag_err(diag, 0, 0,
			     "log.ocsf_file_bytes must be at least 65536 and log.ocsf_files in "
			     "2..1000");
}

int osh_config_load(const char *path, struct osh_config *ret_cfg, struct osh_diag *diag)
{
	struct osh_config cfg = { 0 };
	struct osh_reader rd = { .arena = &cfg.arena, .diag = diag };
	osh_auto_bufmem struct osh_buf text;
	struct osh_node *root = NULL;
	int r;

	osh_arena_init(&cfg.arena, ARENA_MAX);
	osh_buf_init(&text, OSH_NODE_MAX_BYTES, 0);
	set_defaults(&cfg);
	osh_config_read_hosts(&cfg);
	diag->file = path ? path : OSH_CONFIG_PATH;
	r = osh_fs_read(diag->file, OSH_NODE_MAX_BYTES, &text);
	if (r == -ENOENT && !path) {
		*ret_cfg = cfg;
		return 0;
	}
	if (r < 0) {
		osh_diag_err(diag, 0, 0, "cannot read: %s", strerror(-r));
		goto fail;
	}
	r = osh_node_parse(&cfg.arena, osh_buf_str(&text), NULL, &root, diag);
	if (r < 0)
		goto fail;
	if (!root)
		osh_diag_err(diag, 1, 1, "the file is empty; it needs at least \"version: 1\"");
	else
		osh_schema_read(&rd, root, top_keys, &cfg, "configuration");
	check(&cfg, diag);
	r = osh_config_load_auth(&cfg, diag);
	r = rd.err ? rd.err : diag->errors ? -EBADMSG : r;
	if (r < 0)
		goto fail;
	*ret_cfg = cfg;
	return 0;
fail:
	osh_config_fini(&cfg);
	return r;
}

void osh_config_fini(struct osh_config *cfg)
{
	osh_arena_fini(&cfg->arena);
	osh_buf_fini(&cfg->upstream.auth);
	*cfg = (struct osh_config){ 0 };
}

int osh_config_set(struct osh_config *cfg, struct osh_str *field, const char *value)
{
	struct osh_str copy = osh_arena_str(&cfg->arena, osh_str(value));

	if (!copy.p)
		return -ENOMEM;
	*field = copy;
	return 0;
}
