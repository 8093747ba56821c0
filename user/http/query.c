/* SPDX-License-Identifier: MIT */
#include "http/query.h"

struct writer {
	char *dst;
	size_t size, len;
};

/* Decode one key or value. */
static int decode(struct writer *w, struct osh_str raw, struct osh_str *ret)
{
	size_t start = w->len;

	if (w->size - w->len < raw.n)
		return -EMSGSIZE;
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int hi = i + 2 < raw.n ? osh_hex_value(raw.p[i + 1]) : -1;
			int lo = i + 2 < raw.n ? osh_hex_value(raw.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -EBADMSG;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		w->dst[w->len++] = c;
	}
	*ret = (struct osh_str){ w->dst + start, w->len - start };
	return osh_utf8_is_valid(*ret) ? 0 : -EBADMSG;
}

int osh_query_decode(struct osh_str raw, char *dst, size_t size, struct osh_query_pair *pairs,
		     size_t max, size_t *ret_count)
{
	struct writer w = { .dst = dst, .size = size };
	struct osh_str part;
	size_t n = 0;

	while (osh_str_split(&raw, '&', &part)) {
		size_t eq = osh_str_find(part, '=');
		int r;

		if (!part.n)
			continue;
		if (n == max)
			return -EMSGSIZE;
		r = decode(&w, osh_str_sub(part, 0, eq), &pairs[n].key);
		if (r == 0)
			r = decode(&w, osh_str_sub(part, eq + 1, part.n), &pairs[n].value);
		if (r < 0)
			return r;
		n++;
	}
	*ret_count = n;
	return 0;
}
