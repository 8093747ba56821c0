/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses: the operator's host table, the recorded host-gateway aliases, then a cache, then
 * c-ares. Only for connections that were authorised; the addresses are raw, osh_dest_check() has not
 * seen them.
 */
#ifndef OSH_PROXY_RESOLVE_H
#define OSH_PROXY_RESOLVE_H

#include "io/loop.h"
#include "proxy/config.h"

struct osh_resolver;
struct osh_px_lookup;
/*
 * A sandbox's share of a resolver: its own cache (limits.dns_cache names) and its own lookups. One that
 * invents names waits for its own answers; it neither evicts what others know nor uses up their turns.
 */
struct osh_resolver_share;

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
/* After its shares. */
struct osh_resolver *osh_resolver_free(struct osh_resolver *resolver);

struct osh_resolver_share *osh_resolver_share_new(
	struct osh_resolver *resolver); /* NULL: no memory */
/* Who still waits is not called any more. */
struct osh_resolver_share *osh_resolver_share_free(struct osh_resolver_share *share);

/*
 * 0: @ret_addrs holds at least one address. -EAGAIN: @lookup->fn will be called, never from within this
 * function (also when the answer is a failure: ask again to learn it). -ENXIO: no such name or no address;
 * -ETIME; -EIO: resolvers unreachable or no use; -EBUSY: the whole cache consists of lookups under way. @host: lower case, may be
 * an address literal.
 *
 * At most limits.dns_inflight_each lookups of a share and limits.dns_inflight of all are under way; more
 * of them wait in order, the shares taking turns. Nobody's deadline is kept here: who gives up cancels.
 */
int osh_resolve(struct osh_resolver_share *share, struct osh_str host, struct osh_px_lookup *lookup,
		struct osh_px_addrs *ret_addrs) OSH_MUST_CHECK;
void osh_lookup_cancel(struct osh_px_lookup *lookup);
/* One phrase about a failure of osh_resolve(). */
const char *osh_resolve_error(int r);

#endif
