/* SPDX-License-Identifier: MIT */
/*
 * openshelld.yaml: the daemon's own configuration, openshelld.conf(5). Strict like a policy: unknown
 * keys and bad values are errors with their place, all in one run. A missing file is an error only
 * when it was named on the command line.
 */
#ifndef OSH_DAEMON_CONFIG_H
#define OSH_DAEMON_CONFIG_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "policy/addr.h"

#define OSH_CONFIG_PATH	       "/etc/openshell/openshelld.yaml"
#define OSH_CONFIG_WORKERS_MAX 64

/* name -> addresses: trusted operator input, wins over DNS and is exempt from address checks */
struct osh_config_host {
	struct osh_str name;
	struct osh_str *addrs;
	size_t naddrs;
};

struct osh_config_list {
	struct osh_str *v;
	size_t n;
};

struct osh_config_num {
	struct osh_str name;
	uint32_t value;
};

struct osh_config_nums {
	struct osh_config_num *v;
	size_t n;
};

/* All strings belong to @arena; NUL-terminated. */
struct osh_config {
	struct osh_arena arena;
	uint32_t version; /* 1 */
	struct osh_str state_dir, runtime_dir, bpf_dir;
	struct osh_str agent_cgroup; /* name of our directory in the cgroup2 mount */
	bool use_delegated; /* take our own cgroup when systemd delegated it */
	struct osh_str socket_group;
	struct osh_str proxy_user, signer_user;
	struct osh_str default_policy; /* file; empty: the built-in restrictive default */
	uint32_t workers; /* 0: one per core */
	uint32_t spin_us; /* 0: proxies sleep at once */
	uint16_t proxy_port;
	struct osh_str deny_errno;
	struct osh_str kernel_deny; /* what connect() itself refuses: none, non_web, all */

	struct osh_config_list resolver_servers; /* empty: /etc/resolv.conf */
	struct osh_config_host *hosts;
	size_t nhosts;

	struct osh_str system_bundle;
	struct osh_config_list ca_files;

	/* the corporate proxy that upstreams are reached through */
	struct {
		struct osh_str https, http; /* URLs; empty: dial directly */
		struct osh_config_list no_proxy;
		bool connect_by_hostname;
		struct osh_str auth_file; /* empty: no credentials */
		bool auth_allow_insecure;
		struct osh_buf auth; /* secret: the value of Proxy-Authorization */
	} upstream;

	struct {
		struct osh_str dir; /* empty: <state_dir>/log */
		uint32_t segment_bytes, segments;
		uint32_t max_age_hours;
		struct osh_str journal_socket; /* empty: no journald */
		struct osh_str ocsf_file; /* empty: none */
		uint32_t ocsf_file_bytes, ocsf_files; /* rotate at this size; how many are kept */
	} log;

	/* handed to the proxies as they are; names and ranges are checked by proxy/config.h */
	struct osh_config_nums limits, timeouts_ms;
	uint32_t names_per_sandbox; /* synthetic addresses */
	uint32_t certificates_burst, certificates_per_s; /* per proxy and sandbox: tls/signer.h */
	uint32_t kernel_shares; /* sandboxes that can use up their share of the kernel's tables */

	/*
	 * Not from the file: host-gateway aliases of this host's /etc/hosts, as they were at the start,
	 * with the address they lead to. hostsfile.c fills it; what may be no gateway is left out.
	 */
	struct {
		char host[32], addr[OSH_ADDR_TEXT_MAX];
	} gateways[3];
	size_t ngateways;

	/*
	 * Not from the file: made up at every start. Proxies resolve it to 127.0.0.1, for the
	 * self-test's listeners; nobody can guess it.
	 */
	char selftest_host[64];
};

/*
 * upstream.c: read "upstream_proxy:" into cfg->upstream (called with the configuration as @obj), and
 * the credentials from a file that only its owner, root or the daemon's user, may touch.
 */
struct osh_reader;
struct osh_node;
void osh_config_read_upstream(struct osh_reader *rd, const struct osh_node *node, void *obj);
int osh_config_load_auth(struct osh_config *cfg, struct osh_diag *diag) OSH_MUST_CHECK;

void osh_config_read_hosts(struct osh_config *cfg);

/* Defaults, then the file. @path NULL: OSH_CONFIG_PATH if it exists. */
int osh_config_load(const char *path, struct osh_config *ret_cfg,
		    struct osh_diag *diag) OSH_MUST_CHECK;
void osh_config_fini(struct osh_config *cfg);
/* Replace a string setting from the command line. */
int osh_config_set(struct osh_config *cfg, struct osh_str *field, const char *value) OSH_MUST_CHECK;

#endif
