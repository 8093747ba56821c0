/* SPDX-License-Identifier: MIT */
/*
 * DER writer that fills a caller's buffer from its end towards its front, so that every length is
 * known when its header is written. Errors stick: after the buffer is full @err is set and nothing
 * more is written.
 */
#ifndef OSH_TLS_DER_H
#define OSH_TLS_DER_H

#include <stdbool.h>

#include "base/str.h"

enum osh_der_tag {
	OSH_DER_BOOLEAN = 0x01,
	OSH_DER_INTEGER = 0x02,
	OSH_DER_BIT_STRING = 0x03,
	OSH_DER_OCTET_STRING = 0x04,
	OSH_DER_OID = 0x06,
	OSH_DER_UTF8_STRING = 0x0c,
	OSH_DER_UTC_TIME = 0x17,
	OSH_DER_GENERALIZED_TIME = 0x18,
	OSH_DER_SEQUENCE = 0x30,
	OSH_DER_SET = 0x31,
};

struct osh_der {
	unsigned char *base;
	size_t pos; /* first byte written so far; everything from here to the end is valid */
	size_t end;
	bool err;
};

void osh_der_init(struct osh_der *d, unsigned char *buf, size_t size);
/* Bytes written so far: what a later osh_der_wrap() call encloses is counted from here. */
size_t osh_der_mark(const struct osh_der *d);
void osh_der_raw(struct osh_der *d, const void *data, size_t n);
/* Header for everything written since @mark. */
void osh_der_wrap(struct osh_der *d, unsigned char tag, size_t mark);
/* Header and content in one call. */
void osh_der_prim(struct osh_der *d, unsigned char tag, const void *data, size_t n);
/* UTCTime below the year 2050, else GeneralizedTime. */
void osh_der_time(struct osh_der *d, int64_t t_s);
/* AttributeTypeAndValue in a SET of its own; @attr is the last arc of 2.5.4. */
void osh_der_rdn(struct osh_der *d, unsigned char attr, struct osh_str value);

static inline struct osh_str osh_der_str(const struct osh_der *d)
{
	return (struct osh_str){ (const char *)d->base + d->pos, d->end - d->pos };
}

#endif
