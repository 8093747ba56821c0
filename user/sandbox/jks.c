/* SPDX-License-Identifier: MIT */
#include "sandbox/jks.h"

#include <stdint.h>
#include <string.h>

/*
 * Layout: magic, version, count; per entry a tag (2: trusted certificate), alias, time, type, length,
 * DER; then SHA-1 over password (UTF-16), a fixed phrase, and all of that. The digest is no secret and
 * guards nothing, but readers that give the password check it.
 */

enum { SHA1_BYTES = 20, BLOCK = 64, HEADER_BYTES = 12, TRUSTED = 2 };

/* ---- SHA-1 (FIPS 180-4 6.1) ---- */

struct sha1 {
	uint32_t h[5];
	uint64_t bytes;
	unsigned char block[BLOCK];
};

static uint32_t rol(uint32_t x, unsigned int n)
{
	return x << n | x >> (32 - n);
}

static void sha1_block(struct sha1 *s)
{
	uint32_t w[80], v[5];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)s->block[4 * i] << 24 | (uint32_t)s->block[4 * i + 1] << 16 |
		       (uint32_t)s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(v, s->h, sizeof(v));
	for (int i = 0; i < 80; i++) {
		uint32_t f, k, t;

		if (i < 20) {
			f = (v[1] & v[2]) | (~v[1] & v[3]);
			k = 0x5a827999;
		} else if (i < 40 || i >= 60) {
			f = v[1] ^ v[2] ^ v[3];
			k = i < 40 ? 0x6ed9eba1 : 0xca62c1d6;
		} else {
			f = (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
			k = 0x8f1bbcdc;
		}
		t = rol(v[0], 5) + f + v[4] + k + w[i];
		v[4] = v[3];
		v[3] = v[2];
		v[2] = rol(v[1], 30);
		v[1] = v[0];
		v[0] = t;
	}
	for (int i = 0; i < 5; i++)
		s->h[i] += v[i];
}

static void sha1_add(struct sha1 *s, const void *data, size_t n)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		s->block[s->bytes++ % BLOCK] = p[i];
		if (s->bytes % BLOCK == 0)
			sha1_block(s);
	}
}

static void sha1_end(struct sha1 *s, unsigned char ret_digest[SHA1_BYTES])
{
	uint64_t bits = s->bytes * 8;
	unsigned char length[8];

	sha1_add(s, "\x80", 1);
	while (s->bytes % BLOCK != BLOCK - sizeof(length))
		sha1_add(s, "", 1);
	for (unsigned int i = 0; i < sizeof(length); i++)
		length[i] = (unsigned char)(bits >> (56 - 8 * i));
	sha1_add(s, length, sizeof(length));
	for (unsigned int i = 0; i < SHA1_BYTES; i++)
		ret_digest[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- PEM ---- */

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* 0; -EBADMSG; -ENOMEM */
static int decode(struct osh_str text, struct osh_buf *der)
{
	uint32_t bits = 0;
	unsigned int have = 0;
	bool padded = false;

	for (size_t i = 0; i < text.n; i++) {
		int v = base64_value(text.p[i]), r;

		if (strchr(" \t\r\n", text.p[i]) && text.p[i])
			continue;
		if (text.p[i] == '=') {
			padded = true;
			continue;
		}
		if (v < 0 || padded)
			return -EBADMSG;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		r = osh_buf_add_c(der, (char)(bits >> have));
		if (r < 0)
			return r;
	}
	return der->len ? 0 : -EBADMSG;
}

/* The text between the next pair of markers; @pem moves behind it. */
static bool next_certificate(struct osh_str *pem, struct osh_str *ret_text)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	static const char end[] = "-----END CERTIFICATE-----";
	const char *from = memmem(pem->p, pem->n, begin, sizeof(begin) - 1), *to;
	size_t at;

	if (!from)
		return false;
	at = (size_t)(from - pem->p) + sizeof(begin) - 1;
	to = memmem(pem->p + at, pem->n - at, end, sizeof(end) - 1);
	if (!to)
		return false;
	*ret_text = osh_str_sub(*pem, at, (size_t)(to - pem->p) - at);
	*pem = osh_str_sub(*pem, (size_t)(to - pem->p), pem->n);
	return true;
}

/* ---- the store ---- */

static int add_num(struct osh_buf *out, uint64_t v, unsigned int bytes)
{
	int r = 0;

	while (r == 0 && bytes--)
		r = osh_buf_add_c(out, (char)(v >> (8 * bytes)));
	return r;
}

static int add_text(struct osh_buf *out, struct osh_str s)
{
	int r = add_num(out, s.n, 2);

	return r ? r : osh_buf_add_str(out, s);
}

static int add_entry(struct osh_buf *out, uint32_t number, struct osh_str der)
{
	osh_auto_bufmem struct osh_buf alias;
	int r = add_num(out, TRUSTED, 4);

	osh_buf_init(&alias, 64, 0);
	if (r == 0)
		r = osh_buf_printf(&alias, "openshell:%u", number);
	if (r == 0)
		r = add_text(out, osh_buf_str(&alias));
	if (r == 0)
		r = add_num(out, 0, 8); /* time of creation: of no use, and the same every time */
	if (r == 0)
		r = add_text(out, OSH_STR("X.509"));
	if (r == 0)
		r = add_num(out, der.n, 4);
	return r ? r : osh_buf_add_str(out, der);
}

static int add_digest(struct osh_buf *out)
{
	static const char password[] = "\0c\0h\0a\0n\0g\0e\0i\0t", phrase[] = "Mighty Aphrodite";
	struct sha1 s = { .h = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 } };
	unsigned char digest[SHA1_BYTES];

	sha1_add(&s, password, sizeof(password) - 1);
	sha1_add(&s, phrase, sizeof(phrase) - 1);
	sha1_add(&s, out->data, out->len);
	sha1_end(&s, digest);
	return osh_buf_add(out, digest, sizeof(digest));
}

int osh_jks_from_pem(struct osh_str pem, struct osh_buf *ret_jks)
{
	osh_auto_bufmem struct osh_buf der;
	struct osh_str text;
	uint32_t count = 0;
	int r;

	osh_buf_init(&der, 65536, 0);
	r = add_num(ret_jks, 0xfeedfeed, 4);
	if (r == 0)
		r = add_num(ret_jks, 2, 4);
	if (r == 0)
		r = add_num(ret_jks, 0, 4);
	while (r == 0 && next_certificate(&pem, &text)) {
		osh_buf_reset(&der);
		r = decode(text, &der);
		if (r == -ENOMEM)
			return r;
		r = r < 0 ? 0 : add_entry(ret_jks, ++count, osh_buf_str(&der));
	}
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < 4; i++)
		ret_jks->data[HEADER_BYTES - 4 + i] = (char)(count >> (24 - 8 * i));
	return add_digest(ret_jks);
}
