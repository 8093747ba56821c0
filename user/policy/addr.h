/* SPDX-License-Identifier: MIT */
/*
 * Addresses and what a sandbox may be let to dial. IPv4 is held as ::ffff:a.b.c.d, so an address has
 * exactly one form and one comparison.
 */
#ifndef OSH_POLICY_ADDR_H
#define OSH_POLICY_ADDR_H

#include "base/str.h"

struct osh_addr {
	uint8_t b[16]; /* network order */
};

#define OSH_ADDR_TEXT_MAX 46 /* with the final NUL */

/* How safe a destination is; the zero is the strictest. */
enum osh_addr_class {
	OSH_ADDR_ALWAYS_BLOCKED = 0,
	OSH_ADDR_INTERNAL, /* needs an explicit grant */
	OSH_ADDR_PUBLIC,
};

/*
 * Strict literal: dotted quad of four decimal numbers without leading zeros, or RFC 4291 text; no
 * zone, brackets, port, blanks. -EBADMSG otherwise.
 */
int osh_addr_parse(struct osh_str text, struct osh_addr *ret) OSH_MUST_CHECK;
bool osh_addr_is_v4(const struct osh_addr *addr);
/* The 4 bytes of an IPv4 address, NULL for IPv6. */
const uint8_t *osh_addr_v4(const struct osh_addr *addr);
struct osh_addr osh_addr_from_v4(const uint8_t v4[4]);
bool osh_addr_eq(const struct osh_addr *a, const struct osh_addr *b);
/* RFC 5952 text (dotted quad for IPv4), NUL-terminated. Returns @dst. */
const char *osh_addr_text(const struct osh_addr *addr, char dst[OSH_ADDR_TEXT_MAX]);

/* An address that embeds an IPv4 address is judged by that too; the worse class counts. */
enum osh_addr_class osh_addr_classify(const struct osh_addr *addr);
const char *osh_addr_class_name(enum osh_addr_class class); /* "always_blocked", ... */

struct osh_cidr {
	struct osh_addr base; /* bits after the prefix are zero */
	uint8_t bits; /* 0..128; an IPv4 prefix /n is 96 + n */
	uint8_t pad[7];
};

/* "addr/len" or a bare address; host bits are cleared. -EBADMSG otherwise. */
int osh_cidr_parse(struct osh_str text, struct osh_cidr *ret) OSH_MUST_CHECK;
bool osh_cidr_has(const struct osh_cidr *cidr, const struct osh_addr *addr);
bool osh_cidr_overlap(const struct osh_cidr *a, const struct osh_cidr *b);
bool osh_cidr_hits_always_blocked(const struct osh_cidr *cidr);

/*
 * One allowed_ips entry. -EBADMSG: not an address or CIDR; -EPERM: overlaps an always-blocked
 * network. *ret_wide (may be NULL): shorter than /16, which deserves a warning.
 */
int osh_allowed_ip_parse(struct osh_str text, struct osh_cidr *ret, bool *ret_wide) OSH_MUST_CHECK;

/* ---- destination check, after the name was resolved ---- */

enum osh_dest_mode {
	OSH_DEST_PUBLIC_ONLY = 0,
	OSH_DEST_GATEWAY,
	OSH_DEST_ALLOWED_IPS,
	OSH_DEST_LITERAL,
	OSH_DEST_EXACT_HOST,
};

enum osh_dest_reason {
	OSH_DEST_UNRESOLVED = 0, /* no address at all */
	OSH_DEST_OK,
	OSH_DEST_INTERNAL,
	OSH_DEST_BLOCKED,
	OSH_DEST_NOT_ALLOWED,
	OSH_DEST_BAD_ALLOWED_IPS,
	OSH_DEST_CONTROL_PORT,
	OSH_DEST_NOT_GATEWAY,
	OSH_DEST_NOT_LITERAL,
};

struct osh_dest {
	struct osh_str host; /* as requested, lower-case, IPv6 without brackets */
	uint16_t port;
	bool declared_exact; /* a user-written endpoint lists exactly this host and port */
	bool bad_allowed_ips; /* an entry did not parse or overlaps an always-blocked network */
	const struct osh_cidr *allowed; /* the matched endpoint's allowed_ips */
	size_t n_allowed;
	const struct osh_addr *gateway; /* address recorded for the host-gateway alias, or NULL */
};

struct osh_dest_verdict {
	enum osh_dest_mode mode;
	enum osh_dest_reason reason;
	struct osh_addr addr; /* the offending address, where there is one */
};

/*
 * Judge all @n resolved addresses: 0 when every one may be dialled, else -EPERM (one bad address
 * rejects the connection). *ret is set in both cases. Pure.
 */
int osh_dest_check(const struct osh_dest *dest, const struct osh_addr *resolved, size_t n,
		   struct osh_dest_verdict *ret) OSH_MUST_CHECK;
/* One address alone (happy eyeballs, DNS filtering): same rules. */
bool osh_dest_may_dial(const struct osh_dest *dest, const struct osh_addr *addr);
/* "<host> resolves to internal address <ip>, connection rejected" and its sisters. */
const char *osh_dest_reason_text(const struct osh_dest *dest,
				 const struct osh_dest_verdict *verdict, char *dst, size_t size);
/* The <kind> of "CONNECT h:p blocked: <kind>": "internal address", "allowed_ips check failed", ... */
const char *osh_dest_kind(const struct osh_dest_verdict *verdict);
/* host.openshell.internal, host.containers.internal, host.docker.internal */
bool osh_host_is_gateway_alias(struct osh_str host);
/* May an alias lead there? Link-local, and no metadata service. */
bool osh_addr_is_gateway(const struct osh_addr *addr);
/* Names of cloud metadata services and localhost, with or without a trailing dot. */
bool osh_host_is_metadata_name(struct osh_str host);
bool osh_host_is_localhost(struct osh_str host);

#endif
