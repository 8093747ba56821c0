/* SPDX-License-Identifier: MIT */
/* Text output of the renderers: errors stick, outside data is escaped. */
#ifndef OSH_AUDIT_PUT_H
#define OSH_AUDIT_PUT_H

#include "base/buf.h"

struct osh_put {
	struct osh_buf *out; /* borrowed */
	int err; /* first failure; later calls do nothing */
	size_t start; /* length of `out` where this rendering begins */
};

void osh_put_raw(struct osh_put *p, const char *text); /* our own text */
void osh_putf(struct osh_put *p, const char *fmt, ...) OSH_PRINTF(2, 3); /* our own text */

enum osh_put_flags {
	OSH_PUT_ESC_BLANK = 1u << 0, /* \u{20} */
	OSH_PUT_ESC_BRACKETS = 1u << 1, /* \[ \] */
	OSH_PUT_ESC_QUOTE = 1u << 2, /* \" */
	OSH_PUT_BLANK_NL = 1u << 3, /* newline becomes a blank */
};
/*
 * Outside data as printable ASCII on one line: backslash doubled, \n \r \t, every other control and
 * non-ASCII character \u{hex}, bytes that are no UTF-8 \x hex.
 */
void osh_put_esc(struct osh_put *p, struct osh_str s, unsigned int flags);
/* The same, cut to @max bytes of input on a character boundary with "..." behind. */
void osh_put_esc_cut(struct osh_put *p, struct osh_str s, size_t max, unsigned int flags);
/* " key=value" (no blank at the start of the output); nothing when @s is empty. */
void osh_put_kv(struct osh_put *p, const char *key, struct osh_str s);
void osh_put_kv_u64(struct osh_put *p, const char *key, uint64_t v); /* nothing when 0 */

#endif
