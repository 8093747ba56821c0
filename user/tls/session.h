/* SPDX-License-Identifier: MIT */
/*
 * Sessions that upstreams let us resume. A session is kept under the name it was made for
 * (osh_tls_sessions) and, with TLS 1.3, on the shelf of the address it was made with, where connections
 * for other names find it if its certificate is for them, too (RFC 8446 4.6.1). Each TLS 1.3 session is
 * used once, the newest first.
 *
 * A session stands for a certificate verified some time ago. It is good for an hour from then, in which
 * renewed tickets do not count; less when a certificate of the chain or the stapled answer ends before.
 * Sessions of one process share one bundle of trusted CAs, which does not change.
 */
#ifndef OSH_TLS_SESSION_H
#define OSH_TLS_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum {
	OSH_TLS_SESSIONS = 4, /* per name; the oldest goes */
	OSH_TLS_SHELF = 16, /* per address; the oldest goes from there, not from its name */
};

/* When the certificate was verified, and until when that may be relied upon. Zero: never. */
struct osh_tls_proof {
	int64_t from_s, until_s; /* CLOCK_REALTIME, as certificates have it */
};

/* Of one name. Whoever keys it decides who may share. */
struct osh_tls_sessions {
	struct osh_list all; /* newest first */
	uint32_t n;
};

/* Of one address and port; sessions on it belong to their names. */
struct osh_tls_shelf {
	struct osh_list all; /* newest first */
	uint32_t n;
	uint32_t declined; /* in a row */
	int64_t shut_until_s; /* nothing is lent or taken before */
};

/* A client connection's part in this: belongs to its owner and lives as long as the channel. */
struct osh_tls_client {
	struct osh_tls_sessions *own; /* borrowed; NULL: neither resume nor keep */
	struct osh_tls_shelf *shelf; /* borrowed; NULL: names are not shared */
	struct osh_tls_proof proof; /* what this connection rests on */
	struct osh_tls_proof offered; /* what the session that was offered rests on */
	bool foreign; /* it was made for another name */
};

void osh_tls_sessions_init(struct osh_tls_sessions *sessions);
void osh_tls_sessions_clear(struct osh_tls_sessions *sessions);
void osh_tls_shelf_init(struct osh_tls_shelf *shelf);
/* Empty it for good: connections that still have it keep nothing there. */
void osh_tls_shelf_close(struct osh_tls_shelf *shelf);

#endif
