/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses: the operator's host table, then a cache, then c-ares. Only for connections
 * that were authorised; the addresses are raw, osh_dest_check() has not seen them.
 */
#ifndef OSH_PROXY_RESOLVE_H
#define OSH_PROXY_RESOLVE_H

#include "io/loop.h"
#include "proxy/config.h"

struct osh_resolver;
struct osh_px_lookup;

struct osh_px_addrs {
	struct osh_addr addr[OSH_PX_ADDRS_MAX];
	uint16_t port[OSH_PX_ADDRS_MAX]; /* 0: the port asked for */
	uint8_t n;
	bool trusted; /* operator's table: exempt from the address check */
};

/* Embedded in whoever waits; zeroed at first. @fn: call osh_resolve() again. */
struct osh_px_lookup {
	struct osh_list node;
	void (*fn)(struct osh_px_lookup *lookup);
	bool waiting;
};

int osh_resolver_new(struct osh_loop *loop, const struct osh_px_cfg *cfg,
		     struct osh_resolver **ret_resolver) OSH_MUST_CHECK;
struct osh_resolver *osh_resolver_free(struct osh_resolver *resolver);

/*
 * 0: @ret_addrs holds at least one address. -EAGAIN: @lookup->fn will be called (also when the answer
 * is a failure: ask again to learn it). -EHOSTUNREACH: no such name or no address; -ETIMEDOUT;
 * -EBUSY: too many lookups. @host: lower case, may be an address literal.
 */
int osh_resolve(struct osh_resolver *resolver, struct osh_str host, struct osh_px_lookup *lookup,
		struct osh_px_addrs *ret_addrs) OSH_MUST_CHECK;
void osh_lookup_cancel(struct osh_px_lookup *lookup);
/* One phrase about a failure of osh_resolve(). */
const char *osh_resolve_error(int r);

#endif
