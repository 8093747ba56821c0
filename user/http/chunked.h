/* SPDX-License-Identifier: MIT */
/*
 * Chunked coding (RFC 9112 7.1), strictly and incrementally. Extensions are checked and dropped,
 * trailers checked, bounded and dropped. Body bytes come out as slices of the input: no copy.
 */
#ifndef OSH_HTTP_CHUNKED_H
#define OSH_HTTP_CHUNKED_H

#include "base/str.h"

#define OSH_CHUNK_LINE_MAX    4096 /* bytes of a chunk header line */
#define OSH_CHUNK_TRAILER_MAX 16384 /* bytes of all trailers */

struct osh_chunked {
	uint64_t left; /* body bytes left of the present chunk */
	uint32_t line; /* bytes of the present line, or of the trailers */
	uint8_t state;
	uint8_t digits;
	char name[20]; /* start of the present trailer's name, lower-case */
	uint8_t name_len;
};

void osh_chunked_init(struct osh_chunked *c);

/*
 * Take bytes from @in. *ret_used: how many were taken; *ret_body: body bytes among them (a slice of
 * @in, may be empty). Returns
 *	1        the message ended at *ret_used; what follows belongs to the next one
 *	0        a slice was produced or progress made: deliver it and call again with the rest
 *	-EAGAIN  everything was taken (*ret_body may hold bytes); call again with more input
 *	-EBADMSG malformed, -EMSGSIZE a line or the trailers too long
 */
int osh_chunked_next(struct osh_chunked *c, struct osh_str in, size_t *ret_used,
		     struct osh_str *ret_body) OSH_MUST_CHECK;

/* "1a\r\n" for a chunk of @n > 0 bytes; the bytes and "\r\n" follow. Returns its length. */
size_t osh_chunk_head(char dst[20], uint64_t n);

#define OSH_CHUNK_END "0\r\n\r\n"

#endif
