/* SPDX-License-Identifier: MIT */
/* What the first client bytes of a tunnel are, and whether a head is a proper WebSocket handshake. */
#ifndef OSH_HTTP_SNIFF_H
#define OSH_HTTP_SNIFF_H

#include "http/h1.h"

#define OSH_SNIFF_MAX 24 /* bytes that always suffice */

enum osh_sniff {
	OSH_SNIFF_MORE = 0, /* not conclusive yet */
	OSH_SNIFF_TLS,
	OSH_SNIFF_HTTP1,
	OSH_SNIFF_H2, /* HTTP/2 with prior knowledge */
	OSH_SNIFF_OTHER,
};

/* @final: no more bytes will come (timeout, end of stream); never answers MORE then. */
enum osh_sniff osh_sniff(struct osh_str bytes, bool final);
const char *osh_sniff_name(enum osh_sniff what); /* "tls", "http1", "h2", "other" */

/* RFC 6455 4.2.1: GET, HTTP/1.1, Upgrade, Connection, one key of 16 bytes, version 13. */
bool osh_ws_upgrade_is_valid(const struct osh_h1_head *head, const char *buf);

#endif
