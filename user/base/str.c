/* SPDX-License-Identifier: MIT */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>

struct osh_str osh_str(const char *s)
{
	return (struct osh_str){ s ? s : "", s ? strlen(s) : 0 };
}

struct osh_str osh_str_sub(struct osh_str s, size_t from, size_t n)
{
	if (from > s.n)
		from = s.n;
	return (struct osh_str){ s.p + from, OSH_MIN(n, s.n - from) };
}

bool osh_str_eq(struct osh_str a, struct osh_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool osh_str_ieq(struct osh_str a, struct osh_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (osh_lower(a.p[i]) != osh_lower(b.p[i]))
			return false;
	return true;
}

bool osh_str_is(struct osh_str a, const char *lit)
{
	return osh_str_eq(a, osh_str(lit));
}

bool osh_str_has_prefix(struct osh_str s, struct osh_str prefix)
{
	return s.n >= prefix.n && osh_str_eq(osh_str_sub(s, 0, prefix.n), prefix);
}

bool osh_str_has_suffix(struct osh_str s, struct osh_str suffix)
{
	return s.n >= suffix.n && osh_str_eq(osh_str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

int osh_str_cmp(struct osh_str a, struct osh_str b)
{
	size_t n = OSH_MIN(a.n, b.n);
	int r = n ? memcmp(a.p, b.p, n) : 0;

	if (r)
		return r;
	return (a.n > b.n) - (a.n < b.n);
}

size_t osh_str_find(struct osh_str s, char c)
{
	const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;

	return hit ? (size_t)(hit - s.p) : s.n;
}

bool osh_str_split(struct osh_str *rest, char sep, struct osh_str *ret_head)
{
	size_t at;

	if (!rest->p)
		return false;
	at = osh_str_find(*rest, sep);
	*ret_head = osh_str_sub(*rest, 0, at);
	if (at == rest->n)
		*rest = OSH_STR_NONE;
	else
		*rest = osh_str_sub(*rest, at + 1, rest->n);
	return true;
}

struct osh_str osh_str_trim(struct osh_str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = osh_str_sub(s, 1, s.n);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

char *osh_str_dup(struct osh_str s)
{
	char *copy = malloc(s.n + 1);

	if (!copy)
		return NULL;
	if (s.n)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

int osh_hex_value(char c)
{
	if (osh_is_digit(c))
		return c - '0';
	c = osh_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void osh_hex(char *dst, const void *src, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = src;

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * n] = '\0';
}

int osh_unhex(void *dst, size_t n, struct osh_str s)
{
	unsigned char *out = dst;

	if (s.n != 2 * n)
		return -EBADMSG;
	for (size_t i = 0; i < s.n; i++)
		if (osh_hex_value(s.p[i]) < 0)
			return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)(osh_hex_value(s.p[2 * i]) << 4 |
					 osh_hex_value(s.p[2 * i + 1]));
	return 0;
}

int osh_parse_u64(struct osh_str s, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!s.n)
		return -EBADMSG;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t digit = (uint64_t)(s.p[i] - '0');

		if (!osh_is_digit(s.p[i]))
			return -EBADMSG;
		if (value > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		value = value * 10 + digit;
	}
	if (value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

/* Length of the character at the start of @s, 0 if it is malformed. */
static size_t utf8_char(struct osh_str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n;
	uint32_t c, min;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2, c = p[0] & 0x1f, min = 0x80;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3, c = p[0] & 0x0f, min = 0x800;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4, c = p[0] & 0x07, min = 0x10000;
	} else {
		return 0;
	}
	if (s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

bool osh_utf8_is_valid(struct osh_str s)
{
	while (s.n) {
		size_t n = utf8_char(s);

		if (!n)
			return false;
		s = osh_str_sub(s, n, s.n);
	}
	return true;
}

size_t osh_utf8_cut(struct osh_str s, size_t max)
{
	size_t n = OSH_MIN(s.n, max);

	if (n == s.n)
		return n;
	while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

bool osh_strlcpy(char *dst, const char *src, size_t size)
{
	size_t n = strlen(src);

	if (!size)
		return false;
	memcpy(dst, src, OSH_MIN(n, size - 1));
	dst[OSH_MIN(n, size - 1)] = '\0';
	return n < size;
}

const char *osh_quote(struct osh_str s)
{
	enum { MAX_BYTES = 200 };
	static _Thread_local char ring[8][4 * MAX_BYTES + 8];
	static _Thread_local unsigned int turn;
	char *out = ring[turn++ % 8], *w = out;
	size_t n = OSH_MIN(s.n, (size_t)MAX_BYTES);

	*w++ = '"';
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\') {
			*w++ = '\\';
			*w++ = (char)c;
		} else if (c >= 0x20 && c < 0x7f) {
			*w++ = (char)c;
		} else {
			w += snprintf(w, 5, "\\x%02x", c);
		}
	}
	if (n < s.n) {
		memcpy(w, "...", 3);
		w += 3;
	}
	*w++ = '"';
	*w = '\0';
	return out;
}

unsigned int osh_str_distance(struct osh_str a, struct osh_str b)
{
	unsigned char row[65];

	if (a.n > 64 || b.n > 64)
		return 64;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = (unsigned char)j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned char diagonal = row[0];

		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned char up = row[j];
			unsigned char cost = (unsigned char)(diagonal + (a.p[i - 1] != b.p[j - 1]));

			row[j] = OSH_MIN(cost, (unsigned char)(OSH_MIN(up, row[j - 1]) + 1));
			diagonal = up;
		}
	}
	return row[b.n];
}
