/* SPDX-License-Identifier: MIT */
#include "tls/der.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void osh_der_init(struct osh_der *d, unsigned char *buf, size_t size)
{
	*d = (struct osh_der){ .base = buf, .pos = size, .end = size };
}

size_t osh_der_mark(const struct osh_der *d)
{
	return d->end - d->pos;
}

void osh_der_raw(struct osh_der *d, const void *data, size_t n)
{
	if (d->err || n > d->pos) {
		d->err = true;
		return;
	}
	d->pos -= n;
	if (n)
		memcpy(d->base + d->pos, data, n);
}

void osh_der_wrap(struct osh_der *d, unsigned char tag, size_t mark)
{
	size_t n = osh_der_mark(d) - mark;
	unsigned char head[4] = { tag };
	size_t len = 2;

	if (n < 0x80) {
		head[1] = (unsigned char)n;
	} else if (n < 0x100) {
		head[1] = 0x81;
		head[2] = (unsigned char)n;
		len = 3;
	} else if (n < 0x10000) {
		head[1] = 0x82;
		head[2] = (unsigned char)(n >> 8);
		head[3] = (unsigned char)n;
		len = 4;
	} else {
		d->err = true;
		return;
	}
	osh_der_raw(d, head, len);
}

void osh_der_prim(struct osh_der *d, unsigned char tag, const void *data, size_t n)
{
	size_t mark = osh_der_mark(d);

	osh_der_raw(d, data, n);
	osh_der_wrap(d, tag, mark);
}

void osh_der_time(struct osh_der *d, int64_t t_s)
{
	time_t t = (time_t)t_s;
	struct tm tm;
	char text[64];
	int n;

	if (!gmtime_r(&t, &tm) || tm.tm_year < 70 || tm.tm_year > 8099) {
		d->err = true;
		return;
	}
	if (tm.tm_year < 150) { /* RFC 5280 4.1.2.5 */
		n = snprintf(text, sizeof(text), "%02d%02d%02d%02d%02d%02dZ", tm.tm_year % 100,
			     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		osh_der_prim(d, OSH_DER_UTC_TIME, text, (size_t)n);
	} else {
		n = snprintf(text, sizeof(text), "%04d%02d%02d%02d%02d%02dZ", tm.tm_year + 1900,
			     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		osh_der_prim(d, OSH_DER_GENERALIZED_TIME, text, (size_t)n);
	}
}

void osh_der_rdn(struct osh_der *d, unsigned char attr, struct osh_str value)
{
	const unsigned char oid[3] = { 0x55, 0x04, attr };
	size_t mark = osh_der_mark(d);

	osh_der_prim(d, OSH_DER_UTF8_STRING, value.p, value.n);
	osh_der_prim(d, OSH_DER_OID, oid, sizeof(oid));
	osh_der_wrap(d, OSH_DER_SEQUENCE, mark);
	osh_der_wrap(d, OSH_DER_SET, mark);
}
