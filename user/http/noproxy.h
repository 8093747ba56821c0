/* SPDX-License-Identifier: MIT */
/*
 * Which destinations are dialled directly although the operator has set an upstream proxy: the list
 * of no_proxy. Pure.
 */
#ifndef OSH_HTTP_NOPROXY_H
#define OSH_HTTP_NOPROXY_H

#include "policy/host.h"

enum {
	OSH_NOPROXY_MAX = 256, /* entries of a list */
	OSH_NOPROXY_ADDRS_MAX = 32, /* addresses one question may be about */
};

enum osh_noproxy_kind {
	OSH_NOPROXY_NONE = 0, /* matches nothing */
	OSH_NOPROXY_ANY,
	OSH_NOPROXY_NAME, /* @name itself and every name below it */
	OSH_NOPROXY_NET,
};

struct osh_noproxy {
	uint8_t kind; /* enum osh_noproxy_kind */
	uint8_t len; /* of @name */
	uint16_t port; /* 0: every port */
	struct osh_cidr net;
	char name[OSH_HOST_MAX + 1]; /* lower case, without leading or final dot */
};

/*
 * One entry: "*", a name (also written ".name" or "*.name", which mean the same), an address, or a
 * network "addr/len"; each with an optional ":port" (1..65535), behind brackets for IPv6. -EBADMSG:
 * none of these; *ret_why (may be NULL) is a phrase, constant.
 */
int osh_noproxy_parse(struct osh_str text, struct osh_noproxy *ret,
		      const char **ret_why) OSH_MUST_CHECK;

/*
 * The checked addresses of @host (lower case) that are dialled directly, as a mask: bit i is
 * @addrs[i], 0 means all go through the proxy. An entry "*" or of the name gives all of them, one of
 * a network those inside it. Loopback and link-local addresses are always direct: behind the proxy
 * they would be somebody else's. @naddrs at most OSH_NOPROXY_ADDRS_MAX; more are not looked at.
 */
uint32_t osh_noproxy_match(const struct osh_noproxy *list, size_t n, struct osh_str host,
			   uint16_t port, const struct osh_addr *addrs, size_t naddrs);

#endif
