/* SPDX-License-Identifier: MIT */
/* Host names and authorities: the one place that says what a host is. */
#ifndef OSH_POLICY_HOST_H
#define OSH_POLICY_HOST_H

#include "base/str.h"
#include "policy/addr.h"

#define OSH_HOST_MAX 253 /* bytes, without the final NUL */

struct osh_host {
	char name[OSH_HOST_MAX + 1]; /* lower-case, NUL-terminated; IPv6 without brackets */
	uint8_t len;
	bool is_addr; /* @name is an address literal in strict notation; @addr holds it */
	struct osh_addr addr;
};

struct osh_authority {
	struct osh_host host;
	uint16_t port; /* 0: none was given */
};

static inline struct osh_str osh_host_str(const struct osh_host *host)
{
	return (struct osh_str){ host->name, host->len };
}

/*
 * Check and lower-case a host as it arrives (CONNECT, SNI, Host, URI): 1..253 bytes, labels of 1..63
 * letters, digits, '-' and '_', one trailing dot kept as it is; or an IPv4 literal; or, with
 * @brackets, "[IPv6]"; or a bare IPv6 literal with @bare_v6. -EBADMSG otherwise.
 */
enum osh_host_flags {
	OSH_HOST_BRACKETS = 1u << 0,
	OSH_HOST_BARE_V6 = 1u << 1,
};
int osh_host_parse(struct osh_str text, unsigned int flags, struct osh_host *ret) OSH_MUST_CHECK;

/* CONNECT target: "host:port" or "[v6]:port", port 1..65535 required. -EBADMSG otherwise. */
int osh_connect_target(struct osh_str text, struct osh_authority *ret) OSH_MUST_CHECK;
/* Authority of a URI or a Host field: the port may be missing (ret->port 0); no userinfo. */
int osh_authority_parse(struct osh_str text, struct osh_authority *ret) OSH_MUST_CHECK;

/* Equal as names: one trailing dot ignored on either side. Both are lower-case. */
bool osh_host_same(struct osh_str a, struct osh_str b);

/*
 * A name that some resolver would read as an address though it is no strict literal ("127.1",
 * "0x7f.0.0.1", "2130706433"): its last label is a number. Such a host must never be dialled.
 */
bool osh_host_is_numeric_name(struct osh_str host);

/*
 * Host of a policy endpoint, exact or with wildcards: 0, or -EBADMSG with one phrase in *ret_why (a
 * constant). Non-ASCII gets a hint that the A-label (xn--) is wanted.
 */
int osh_host_check_policy(struct osh_str host, const char **ret_why) OSH_MUST_CHECK;
/* DNS name as the explicit-tcp endpoints need it: labels, no trailing dot, no address literal. */
bool osh_host_is_dns_name(struct osh_str host);

#endif
