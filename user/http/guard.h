/* SPDX-License-Identifier: MIT */
/*
 * Every ClientHello that a client sends through a relay: the first one, wherever the records begin,
 * and the second one that a HelloRetryRequest asks for, which servers may read instead of the first.
 * Spellings of a first flight that some servers take for a ClientHello and hello.h does not
 * read (an alert ahead of it, an odd record version, SSLv2 form) are refused.
 *
 *	struct osh_guard g = { 0 };
 *	osh_guard_look(&g, bytes not passed yet, &n, &hello), again and again
 */
#ifndef OSH_HTTP_GUARD_H
#define OSH_HTTP_GUARD_H

#include "http/hello.h"

struct osh_guard {
	uint32_t skip; /* bytes left of a record that passes unseen */
	uint8_t hellos; /* seen */
	bool early; /* a hello offered early data */
};

enum osh_guard_look {
	OSH_GUARD_MORE = 0, /* keep the bytes, look again when there are more */
	OSH_GUARD_PASS, /* *ret_n bytes may pass; look again behind them */
	OSH_GUARD_HELLO, /* *ret_n bytes are *ret_hello; if its name may pass, go on as for PASS */
	OSH_GUARD_END, /* nothing more to be seen: all bytes may pass from here on */
	OSH_GUARD_BAD, /* no proper ClientHello, yet a server might take it for one */
};

/*
 * @in (not empty) begins behind what has passed. MORE is never said with more than
 * OSH_HELLO_WIRE_MAX bytes at hand.
 */
enum osh_guard_look osh_guard_look(struct osh_guard *g, struct osh_str in, size_t *ret_n,
				   struct osh_hello *ret_hello);

#endif
