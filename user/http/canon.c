/* SPDX-License-Identifier: MIT */
#include "http/canon.h"

#include <stdio.h>

/*
 * Bytes that stand for themselves in a canonical path, one bit each: letters, digits and
 * -._~!$&'()*+,=:@ but neither the slash nor the semicolon.
 */
static bool is_kept(unsigned char c)
{
	static const uint64_t kept[4] = { 0x27ff7fd200000000, 0x47fffffe87ffffff, 0, 0 };

	return kept[c >> 6] >> (c & 63) & 1;
}

static bool is_scheme_char(char c)
{
	return osh_is_alnum(c) || c == '+' || c == '-' || c == '.';
}

/* Cut "scheme://authority" off; origin form is left alone. */
static int cut_absolute(struct osh_str *path, struct osh_canon *out)
{
	size_t n = 0, end;

	if (!path->n || osh_is_digit(path->p[0]) || !osh_is_alnum(path->p[0]))
		return 0;
	while (n < path->n && is_scheme_char(path->p[n]))
		n++;
	if (path->n - n < 3 || memcmp(path->p + n, "://", 3) != 0)
		return 0;
	out->scheme = osh_str_sub(*path, 0, n);
	*path = osh_str_sub(*path, n + 3, path->n - n - 3);
	end = osh_str_find(*path, '/');
	if (end == 0)
		return -EBADMSG;
	out->authority = osh_str_sub(*path, 0, end);
	*path = osh_str_sub(*path, end, path->n - end);
	return out->authority.n ? 0 : -EBADMSG;
}

/* The usual case: nothing to decode, remove or collapse. */
static bool is_canonical(struct osh_str path)
{
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];

		if (c == '/') {
			/* Any segment that starts with a dot is left to the slow way. */
			if (i + 1 < path.n && (path.p[i + 1] == '/' || path.p[i + 1] == '.'))
				return false;
		} else if (!is_kept((unsigned char)c)) {
			return false;
		}
	}
	return true;
}

struct writer {
	char *dst;
	size_t size, len;
};

static int put(struct writer *w, const char *p, size_t n)
{
	if (w->size - w->len < n)
		return -EMSGSIZE;
	memcpy(w->dst + w->len, p, n);
	w->len += n;
	return 0;
}

/* Dots of one piece of a segment; pieces end at an encoded slash. */
struct piece {
	size_t len;
	bool only_dots;
};

static bool is_dot_piece(const struct piece *p)
{
	return p->only_dots && (p->len == 1 || p->len == 2);
}

/* What a segment turned out to be. */
enum seg {
	SEG_EMPTY,
	SEG_TEXT,
	SEG_DOT,
	SEG_DOTDOT,
};

/*
 * Decode one segment, append '/' and its canonical text to @w. Bytes after a ';' are checked like
 * all others, but dropped.
 */
static int segment(struct writer *w, struct osh_str raw, bool allow_slash, enum seg *ret)
{
	struct piece piece = { .only_dots = true };
	size_t start = w->len, slashes = 0;
	bool params = false;
	int r;

	r = put(w, "/", 1);
	for (size_t i = 0; i < raw.n && r == 0; i++) {
		unsigned char c = (unsigned char)raw.p[i];
		char enc[4];

		if (c == '%') {
			int hi = i + 2 < raw.n ? osh_hex_value(raw.p[i + 1]) : -1;
			int lo = i + 2 < raw.n ? osh_hex_value(raw.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -EBADMSG;
			c = (unsigned char)(hi << 4 | lo);
			i += 2;
			if (c < 0x20 || c == 0x7f || (c == '/' && !allow_slash))
				return -EBADMSG;
		}
		params = params || c == ';';
		if (params)
			continue;
		if (c == '/') {
			if (is_dot_piece(&piece))
				return -EBADMSG;
			piece = (struct piece){ .only_dots = true };
			slashes++;
			r = put(w, "%2F", 3);
			continue;
		}
		piece.len++;
		piece.only_dots = piece.only_dots && c == '.';
		if (is_kept(c)) {
			r = put(w, (const char *)&c, 1);
		} else {
			(void)snprintf(enc, sizeof(enc), "%%%02X", c);
			r = put(w, enc, 3);
		}
	}
	if (r < 0)
		return r;
	*ret = SEG_TEXT;
	if (slashes) {
		if (is_dot_piece(&piece))
			return -EBADMSG;
	} else if (!piece.len) {
		*ret = SEG_EMPTY;
	} else if (is_dot_piece(&piece)) {
		*ret = piece.len == 1 ? SEG_DOT : SEG_DOTDOT;
	}
	if (*ret != SEG_TEXT)
		w->len = start;
	return 0;
}

/*
 * Lenient decoders read an overlong UTF-8 form as the ASCII character it would have been: a dot or a
 * slash that nobody has judged. No text has them.
 */
static bool is_overlong(const char *p, size_t n)
{
	for (size_t i = 0; i + 6 <= n; i++) {
		int hi, lo, next;

		if (p[i] != '%' || p[i + 3] != '%')
			continue;
		/* two bytes: c0, c1; three: e0 80..9f; four: f0 80..8f */
		hi = osh_hex_value(p[i + 1]);
		lo = osh_hex_value(p[i + 2]);
		next = osh_hex_value(p[i + 4]);
		if ((hi == 0xc && (lo == 0 || lo == 1) && next >= 8 && next <= 0xb) ||
		    (hi == 0xe && lo == 0 && (next == 8 || next == 9)) ||
		    (hi == 0xf && lo == 0 && next == 8))
			return true;
	}
	return false;
}

static int rewrite(struct osh_str path, bool allow_slash, struct writer *w)
{
	struct osh_str rest = osh_str_sub(path, 1, path.n - 1);
	bool more = true, trailing = false;

	while (more) {
		size_t slash = osh_str_find(rest, '/');
		enum seg seg;
		int r;

		r = segment(w, osh_str_sub(rest, 0, slash), allow_slash, &seg);
		if (r < 0)
			return r;
		if (seg == SEG_DOTDOT) {
			if (w->len == 0)
				return -EBADMSG; /* above the root */
			while (w->dst[--w->len] != '/')
				;
		}
		trailing = seg != SEG_TEXT;
		more = slash < rest.n;
		rest = osh_str_sub(rest, slash + 1, rest.n);
	}
	return trailing || w->len == 0 ? put(w, "/", 1) : 0;
}

int osh_canon_target(struct osh_str target, bool allow_encoded_slash, char *dst, size_t size,
		     struct osh_canon *ret)
{
	struct osh_canon out = { 0 };
	struct osh_str path;
	size_t mark;
	int r;

	for (size_t i = 0; i < target.n; i++) {
		unsigned char c = (unsigned char)target.p[i];

		if (c < 0x20 || c >= 0x7f || c == '#')
			return -EBADMSG;
	}
	if (!target.n)
		return -EBADMSG;
	mark = osh_str_find(target, '?');
	path = osh_str_sub(target, 0, mark);
	if (mark < target.n)
		out.query = osh_str_sub(target, mark + 1, target.n - mark - 1);
	r = cut_absolute(&path, &out);
	if (r < 0)
		return r;
	if (path.n > OSH_CANON_RAW_MAX)
		return -EMSGSIZE;
	if (!path.n)
		path = OSH_STR("/");
	if (path.p[0] != '/')
		return -EBADMSG;
	if (is_canonical(path)) {
		out.path = path;
	} else {
		struct writer w = { .dst = dst, .size = size };

		if (is_overlong(path.p, path.n))
			return -EBADMSG;
		r = rewrite(path, allow_encoded_slash, &w);
		if (r < 0)
			return r;
		out.path = (struct osh_str){ dst, w.len };
	}
	*ret = out;
	return 0;
}
