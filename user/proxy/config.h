/* SPDX-License-Identifier: MIT */
/*
 * What a proxy worker can be told: ceilings, deadlines, resolver, operator's host table. The monitor
 * sends it as one JSON object (OSH_MSG_CONFIG); members left out keep their default, unknown members
 * are refused.
 *
 *	{"worker":0,"spin_us":0,
 *	 "resolvers":["127.0.0.1:53"],            none: only names of the table resolve
 *	 "hosts":{"api.example":["127.0.0.1:8443","[::1]"],"*.lab.example":"10.0.0.7"},
 *	 "upstream_proxy":{"https":"http://proxy.example:3128","http":...,"no_proxy":["10.0.0.0/8"],
 *	                   "connect_by_hostname":false},
 *	 "gateways":{"host.docker.internal":"169.254.1.2"},
 *	 "limits":{"connections":4096,...},       names of the members below, without unit
 *	 "timeouts_ms":{"head":30000,...}}
 */
#ifndef OSH_PROXY_CONFIG_H
#define OSH_PROXY_CONFIG_H

#include "http/noproxy.h"
#include "policy/addr.h"

enum {
	OSH_PX_ADDRS_MAX = 16, /* addresses of one name that are looked at */
	OSH_PX_RESOLVERS_MAX = 4,
	OSH_PX_HOSTS_MAX = 256,
	OSH_PX_GATEWAYS_MAX = 3,
	OSH_PX_SPIN_MAX_US = 1000,
};

/*
 * Operator's host table: this name is dialled there, whatever DNS says. Trusted input: exempt from
 * the address check, so that loopback origins are possible by the daemon's configuration alone.
 */
struct osh_px_host_entry {
	char host[256]; /* lower case */
	struct osh_addr addr[4];
	uint16_t port[4]; /* 0: the port asked for */
	uint8_t n;
	bool subdomains; /* "*.host" in the file: names below @host, not @host itself */
};

/* A host-gateway alias that this host's hosts file had at the start: it leads there and nowhere else. */
struct osh_px_gateway {
	char host[32];
	struct osh_addr addr;
};

/* The operator's upstream proxy. */
struct osh_px_hop {
	char host[OSH_HOST_MAX + 1]; /* lower case; IPv6 without brackets */
	uint16_t port; /* 0: none, dial directly */
};

struct osh_px_limits {
	uint32_t connections; /* per sandbox and worker */
	uint32_t connections_total; /* per worker */
	uint32_t head_bytes; /* request or response head */
	uint32_t connect_head_bytes; /* first head on the explicit proxy's port */
	uint32_t fields;
	uint32_t sites; /* host names with leaf per sandbox */
	uint32_t identities; /* callers remembered per sandbox */
	uint32_t idle_upstream; /* pooled connections per origin */
	uint32_t idle_upstream_total; /* per worker */
	uint32_t drain_bytes; /* body read and dropped to keep a denied connection */
	uint32_t linger_bytes; /* the same after a final answer, so that the client can take it */
	uint32_t dns_cache; /* names, per sandbox and worker */
	uint32_t dns_inflight; /* lookups under way, per worker */
	uint32_t dns_inflight_each; /* the same, per sandbox and worker; more wait for their turn */
	uint32_t dns_tcp; /* DNS connections per sandbox */
	uint32_t dns_waits; /* DNS questions of a sandbox that wait for the monitor */
	uint32_t pipes; /* of bulky tunnels; not configured: osh_px_fit_limits() */
};

struct osh_px_timeouts {
	uint32_t head_ms; /* first byte to end of a request head; also the CONNECT head */
	uint32_t idle_ms; /* between requests */
	uint32_t handshake_ms; /* TLS, either side */
	uint32_t sniff_ms; /* first client bytes of an inspected tunnel */
	uint32_t deny_sniff_ms; /* first client bytes of a denied connection, then reset */
	uint32_t identity_ms; /* answers of the monitor and the signer */
	uint32_t resolve_ms; /* a name, with its turn in the queue */
	uint32_t dial_ms; /* all addresses */
	uint32_t upstream_proxy_ms; /* dial to the proxy's answer, all addresses */
	uint32_t dial_stagger_ms; /* head start of the first address family */
	uint32_t body_ms; /* no byte of a request body */
	uint32_t response_ms; /* request sent to response head */
	uint32_t stream_ms; /* no byte of a response body; event streams have none */
	uint32_t tunnel_ms; /* no byte either way in a tunnel */
	uint32_t half_close_ms; /* one direction of a tunnel is closed and the other silent */
	uint32_t linger_ms; /* after a final answer, for the client to read it */
	uint32_t upstream_idle_ms; /* pooled connection */
	uint32_t upstream_once_ms; /* pooled connection, for a request that cannot be sent again */
	uint32_t upstream_age_ms; /* since it was dialled: then its name is resolved anew */
	uint32_t dns_tcp_ms; /* no byte of a DNS connection */
	uint32_t dns_wait_ms; /* a DNS question, for the monitor */
	uint32_t revoked_ms; /* an exchange under way that a newer policy refuses */
};

struct osh_px_cfg {
	uint32_t worker;
	uint32_t dns_ttl_s; /* of synthetic addresses */
	uint32_t spin_us; /* see osh_loop_set_spin() */
	struct osh_px_limits limits;
	struct osh_px_timeouts timeouts;
	struct osh_addr resolver[OSH_PX_RESOLVERS_MAX];
	uint16_t resolver_port[OSH_PX_RESOLVERS_MAX];
	uint32_t n_resolvers;
	struct osh_px_host_entry *hosts; /* owned */
	uint32_t n_hosts;
	struct osh_px_gateway gateway[OSH_PX_GATEWAYS_MAX];
	uint32_t n_gateways;
	struct osh_px_hop hop_https; /* TLS and tunnels */
	struct osh_px_hop hop_http; /* inspected requests without TLS that came without CONNECT */
	bool hop_by_name; /* CONNECT to the name where no allowed_ips restrict it */
	struct osh_noproxy *no_proxy; /* owned */
	uint32_t n_no_proxy;
};

void osh_px_cfg_init(struct osh_px_cfg *cfg); /* defaults */
void osh_px_cfg_fini(struct osh_px_cfg *cfg);
/* Address of an alias, NULL: @host is none, or was not recorded. */
const struct osh_addr *osh_px_cfg_gateway(const struct osh_px_cfg *cfg, struct osh_str host);
/* -EBADMSG: @ret_why (of @why_size bytes) says what is wrong; @cfg must be freed all the same. */
int osh_px_cfg_parse(struct osh_px_cfg *cfg, struct osh_str json, char *ret_why,
		     size_t why_size) OSH_MUST_CHECK;

#endif
