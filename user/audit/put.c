/* SPDX-License-Identifier: MIT */
#include "audit/put.h"

#include <stdarg.h>
#include <stdio.h>

static void put(struct osh_put *p, const char *data, size_t n)
{
	if (!p->err)
		p->err = osh_buf_add(p->out, data, n);
}

void osh_put_raw(struct osh_put *p, const char *text)
{
	put(p, text, strlen(text));
}

void osh_putf(struct osh_put *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!p->err)
		p->err = osh_buf_vprintf(p->out, fmt, ap);
	va_end(ap);
}

/* Length and code point of the UTF-8 character at the start of @s; 0: malformed. */
static size_t decode(struct osh_str s, uint32_t *ret_c)
{
	const unsigned char *b = (const unsigned char *)s.p;

	for (size_t n = 1; n <= 4 && n <= s.n; n++) {
		if (!osh_utf8_is_valid(osh_str_sub(s, 0, n)))
			continue;
		*ret_c = n == 1 ? b[0] : b[0] & (0x7fu >> n);
		for (size_t i = 1; i < n; i++)
			*ret_c = *ret_c << 6 | (b[i] & 0x3fu);
		return n;
	}
	return 0;
}

static bool is_plain(unsigned char c, unsigned int flags)
{
	if (c <= 0x20 || c >= 0x7f)
		return c == ' ' && !(flags & OSH_PUT_ESC_BLANK);
	if (c == '\\' || (c == '"' && flags & OSH_PUT_ESC_QUOTE))
		return false;
	return !((c == '[' || c == ']') && flags & OSH_PUT_ESC_BRACKETS);
}

static void put_escaped(struct osh_put *p, uint32_t c, unsigned int flags)
{
	if (c == '\n' && flags & OSH_PUT_BLANK_NL)
		put(p, " ", 1);
	else if (c == '\n')
		put(p, "\\n", 2);
	else if (c == '\r')
		put(p, "\\r", 2);
	else if (c == '\t')
		put(p, "\\t", 2);
	else if (c > 0x20 && c < 0x7f)
		osh_putf(p, "\\%c", (char)c);
	else
		osh_putf(p, "\\u{%x}", (unsigned int)c);
}

void osh_put_esc(struct osh_put *p, struct osh_str s, unsigned int flags)
{
	while (s.n && !p->err) {
		size_t n = 0;
		uint32_t c;

		while (n < s.n && is_plain((unsigned char)s.p[n], flags))
			n++;
		if (n) {
			put(p, s.p, n);
			s = osh_str_sub(s, n, s.n);
			continue;
		}
		n = decode(s, &c);
		if (n)
			put_escaped(p, c, flags);
		else
			osh_putf(p, "\\x%02x", (unsigned char)s.p[0]);
		s = osh_str_sub(s, n ? n : 1, s.n);
	}
}

void osh_put_esc_cut(struct osh_put *p, struct osh_str s, size_t max, unsigned int flags)
{
	size_t n = osh_utf8_cut(s, max);

	osh_put_esc(p, osh_str_sub(s, 0, n), flags);
	if (n < s.n)
		osh_put_raw(p, "...");
}

/*
 * A value of a k=v line: bare when it is not empty and has only printable ASCII without blank,
 * quote and backslash; else "quoted" and escaped.
 */
static void put_value(struct osh_put *p, struct osh_str s)
{
	const unsigned int flags = OSH_PUT_ESC_BLANK | OSH_PUT_ESC_QUOTE;
	size_t n = 0;

	while (n < s.n && is_plain((unsigned char)s.p[n], flags))
		n++;
	if (n && n == s.n) {
		put(p, s.p, s.n);
		return;
	}
	osh_put_raw(p, "\"");
	osh_put_esc(p, s, OSH_PUT_ESC_QUOTE);
	osh_put_raw(p, "\"");
}

static void put_key(struct osh_put *p, const char *key)
{
	if (p->out->len > p->start && p->out->data[p->out->len - 1] != ' ')
		osh_put_raw(p, " ");
	osh_put_raw(p, key);
	osh_put_raw(p, "=");
}

void osh_put_kv(struct osh_put *p, const char *key, struct osh_str s)
{
	if (!s.n)
		return;
	put_key(p, key);
	put_value(p, s);
}

void osh_put_kv_u64(struct osh_put *p, const char *key, uint64_t v)
{
	if (!v)
		return;
	put_key(p, key);
	osh_putf(p, "%llu", (unsigned long long)v);
}
