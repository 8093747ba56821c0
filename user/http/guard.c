/* SPDX-License-Identifier: MIT */
#include "http/guard.h"

enum {
	RECORD_HEAD = 5,
	RECORD_MAX = 16384 + 2048, /* the most that any version allows */
	HELLOS_MAX = 4,

	CHANGE_CIPHER_SPEC = 20,
	ALERT = 21,
	HANDSHAKE = 22,
	APPLICATION_DATA = 23,
	HEARTBEAT = 24,
	CLIENT_HELLO = 1,

	V2_HEAD = 11,
};

static enum osh_guard_look take_hello(struct osh_guard *g, struct osh_str in, size_t *ret_n,
				      struct osh_hello *ret_hello)
{
	int r = osh_hello_parse(in, ret_hello);

	if (r == -EAGAIN)
		return in.n < OSH_HELLO_WIRE_MAX ? OSH_GUARD_MORE : OSH_GUARD_BAD;
	if (r < 0 || g->hellos == HELLOS_MAX)
		return OSH_GUARD_BAD;
	g->hellos++;
	g->early = g->early || ret_hello->early_data;
	*ret_n = ret_hello->wire_len;
	return OSH_GUARD_HELLO;
}

/* Servers that ignore the record's version (as RFC 8446 5.1 tells them to) read it all the same. */
static enum osh_guard_look odd_version(const uint8_t *p, size_t n)
{
	size_t len;

	if (p[1] >= 0x10)
		return OSH_GUARD_END;
	if (n < RECORD_HEAD + 1)
		return OSH_GUARD_MORE;
	len = (size_t)p[3] << 8 | p[4];
	if (!len || len > RECORD_MAX)
		return OSH_GUARD_END;
	if (p[0] == HANDSHAKE)
		return p[5] == CLIENT_HELLO ? OSH_GUARD_BAD : OSH_GUARD_END;
	return p[0] == ALERT && len == 2 && (p[5] == 1 || p[5] == 2) ? OSH_GUARD_BAD
								     : OSH_GUARD_END;
}

/* A ClientHello as SSLv2 wrote it has no name at all, and opens later versions, too. */
static enum osh_guard_look v2_form(const uint8_t *p, size_t n)
{
	size_t len, ciphers, session, challenge;

	if ((n > 2 && p[2] != CLIENT_HELLO) || (n > 3 && p[3] != 3))
		return OSH_GUARD_END;
	if (n < V2_HEAD)
		return OSH_GUARD_MORE;
	len = (size_t)(p[0] & 0x7f) << 8 | p[1];
	ciphers = (size_t)p[5] << 8 | p[6];
	session = (size_t)p[7] << 8 | p[8];
	challenge = (size_t)p[9] << 8 | p[10];
	return ciphers && ciphers % 3 == 0 && len == 9 + ciphers + session + challenge
		       ? OSH_GUARD_BAD
		       : OSH_GUARD_END;
}

static enum osh_guard_look first(struct osh_guard *g, struct osh_str in, size_t *ret_n,
				 struct osh_hello *ret_hello)
{
	const uint8_t *p = (const uint8_t *)in.p;

	/* its length fits a record; a first byte beyond it (telnet's) is none of these */
	if (p[0] >= 0x80 && p[0] <= 0x80 + (RECORD_MAX >> 8))
		return v2_form(p, in.n);
	if (p[0] < CHANGE_CIPHER_SPEC || p[0] > HEARTBEAT)
		return OSH_GUARD_END;
	/* half a record header must not pass as something else */
	if (in.n < 2)
		return OSH_GUARD_MORE;
	if (p[1] != 3)
		return odd_version(p, in.n);
	if (p[0] == HANDSHAKE)
		return take_hello(g, in, ret_n, ret_hello);
	/* a server may ignore this record (a warning, say) and read the hello behind it */
	if (in.n < RECORD_HEAD)
		return OSH_GUARD_MORE;
	return p[2] <= 4 && ((size_t)p[3] << 8 | p[4]) <= RECORD_MAX ? OSH_GUARD_BAD
								     : OSH_GUARD_END;
}

/* Behind a hello. Anything but the records that may stand before another one ends the search. */
static enum osh_guard_look next(struct osh_guard *g, struct osh_str in, size_t *ret_n,
				struct osh_hello *ret_hello)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t len;

	if (in.n < RECORD_HEAD)
		return OSH_GUARD_MORE;
	len = (size_t)p[3] << 8 | p[4];
	if (p[0] == HANDSHAKE && len) {
		if (in.n == RECORD_HEAD)
			return OSH_GUARD_MORE;
		return p[5] == CLIENT_HELLO ? take_hello(g, in, ret_n, ret_hello) : OSH_GUARD_END;
	}
	if (p[0] != HANDSHAKE && p[0] != CHANGE_CIPHER_SPEC && p[0] != ALERT &&
	    !(p[0] == APPLICATION_DATA && g->early))
		return OSH_GUARD_END;
	g->skip = (uint32_t)(RECORD_HEAD + len);
	*ret_n = OSH_MIN(in.n, (size_t)g->skip);
	g->skip -= (uint32_t)*ret_n;
	return OSH_GUARD_PASS;
}

enum osh_guard_look osh_guard_look(struct osh_guard *g, struct osh_str in, size_t *ret_n,
				   struct osh_hello *ret_hello)
{
	if (g->skip) {
		*ret_n = OSH_MIN(in.n, (size_t)g->skip);
		g->skip -= (uint32_t)*ret_n;
		return OSH_GUARD_PASS;
	}
	return g->hellos ? next(g, in, ret_n, ret_hello) : first(g, in, ret_n, ret_hello);
}
