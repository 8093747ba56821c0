/* SPDX-License-Identifier: MIT */
/*
 * DNS messages as the sandbox's resolver needs them: a strict parser for queries, a builder for
 * answers. Nothing is guessed; anything odd is FORMERR. Compression is written, never read.
 */
#ifndef OSH_DNS_MSG_H
#define OSH_DNS_MSG_H

#include "dns/name.h"

#define OSH_DNS_UDP_MAX	    1232 /* answers over UDP never exceed this */
#define OSH_DNS_MSG_MAX	    4096 /* nor over TCP this */
#define OSH_DNS_QUERY_MAX   8192 /* longer queries are refused */
#define OSH_DNS_ANSWERS_MAX 16

enum osh_dns_rcode {
	OSH_DNS_NOERROR = 0,
	OSH_DNS_FORMERR = 1,
	OSH_DNS_SERVFAIL = 2,
	OSH_DNS_NXDOMAIN = 3,
	OSH_DNS_NOTIMP = 4,
	OSH_DNS_REFUSED = 5,
	OSH_DNS_BADVERS = 16,
};

enum osh_dns_type {
	OSH_DNS_A = 1,
	OSH_DNS_SOA = 6,
	OSH_DNS_AAAA = 28,
	OSH_DNS_OPT = 41,
	OSH_DNS_SVCB = 64,
	OSH_DNS_HTTPS = 65,
	OSH_DNS_ANY = 255,
};

struct osh_dns_query {
	uint16_t id;
	uint16_t qtype, qclass;
	bool rd, cd;
	bool has_edns, dnssec_ok;
	uint16_t udp_size; /* from EDNS, 512 without */
	char name[OSH_DNS_NAME_MAX + 1]; /* normalised; "" when has_name is false */
	uint8_t name_len;
	bool has_name; /* the question is a name we accept */
	uint8_t wire_len; /* the question name as sent, for the echo */
	uint8_t wire[255];
	bool has_question; /* wire, qtype, qclass are set */
};

/*
 * 0: a standard query with one question (and perhaps EDNS 0): answer as policy says. Otherwise
 * the rcode to answer with (> 0) when there is something to answer, or -EBADMSG: drop silently (too
 * short, or itself a response). *ret is set as far as was understood.
 */
int osh_dns_parse(struct osh_str msg, struct osh_dns_query *ret) OSH_MUST_CHECK;

struct osh_dns_answer {
	enum osh_dns_rcode rcode;
	uint32_t ttl_s;
	size_t n;
	bool v6; /* addrs are 16 bytes each, type AAAA; else 4 bytes, type A */
	const uint8_t *addrs;
};

/*
 * Build the reply. NOERROR with n = 0 is NODATA. Over UDP (@tcp false) a reply that does not fit
 * min(udp_size, OSH_DNS_UDP_MAX) is cut to the question with TC set. -EMSGSIZE: @size too small
 * (OSH_DNS_MSG_MAX always suffices). No length prefix is written for TCP.
 */
int osh_dns_reply(const struct osh_dns_query *query, const struct osh_dns_answer *answer, bool tcp,
		  uint8_t *dst, size_t size, size_t *ret_len) OSH_MUST_CHECK;

#endif
