/* SPDX-License-Identifier: MIT */
#include "policy/yamlout.h"

#include <stdio.h>

/* Words that some reader takes for something other than text. */
static bool is_reserved(struct osh_str s)
{
	static const char *const words[] = { "null", "true", "false", "yes", "no",
					     "on",   "off",  "y",     "n",   "~" };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(words); i++)
		if (osh_str_ieq(s, osh_str(words[i])))
			return true;
	return false;
}

/*
 * May the text stand without quotes? Only what begins with a letter, '/' or '_' and goes on with
 * characters that no YAML reader gives a meaning to; numbers and dates cannot begin so.
 */
static bool is_plain(struct osh_str s)
{
	if (s.n == 0 || is_reserved(s))
		return false;
	if ((!osh_is_alnum(s.p[0]) || osh_is_digit(s.p[0])) && s.p[0] != '/' && s.p[0] != '_')
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!osh_is_alnum(s.p[i]) && !memchr("._/-*+@=", s.p[i], 8))
			return false;
	return true;
}

static bool is_printable_ascii(struct osh_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

static int put_single(struct osh_buf *out, struct osh_str s)
{
	int r = osh_buf_add_c(out, '\'');

	for (size_t i = 0; r == 0 && i < s.n; i++) {
		if (s.p[i] == '\'')
			r = osh_buf_add_c(out, '\'');
		if (r == 0)
			r = osh_buf_add_c(out, s.p[i]);
	}
	return r < 0 ? r : osh_buf_add_c(out, '\'');
}

/* Decode one character of valid UTF-8. */
static uint32_t char_at(struct osh_str s, size_t i, size_t *ret_n)
{
	unsigned char c = (unsigned char)s.p[i];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t v = n == 1 ? c : c & (0xffu >> (n + 1));

	for (size_t k = 1; k < n && i + k < s.n; k++)
		v = v << 6 | ((unsigned char)s.p[i + k] & 0x3f);
	*ret_n = OSH_MIN(n, s.n - i);
	return v;
}

static int put_double(struct osh_buf *out, struct osh_str s)
{
	int r = osh_buf_add_c(out, '"');
	size_t n;

	for (size_t i = 0; r == 0 && i < s.n; i += n) {
		uint32_t c = char_at(s, i, &n);

		if (c == '"' || c == '\\')
			r = osh_buf_printf(out, "\\%c", (int)c);
		else if (c == '\n')
			r = osh_buf_printf(out, "\\n");
		else if (c == '\t')
			r = osh_buf_printf(out, "\\t");
		else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			r = osh_buf_printf(out, "\\x%02x", (unsigned int)c);
		else if ((c >= 0x2000 && c < 0x2070) || (c >= 0xd800 && c < 0x10000))
			/* separators, direction marks, byte order mark, non-characters */
			r = osh_buf_printf(out, "\\u%04x", (unsigned int)c);
		else
			r = osh_buf_add(out, s.p + i, n);
	}
	return r < 0 ? r : osh_buf_add_c(out, '"');
}

static int put_text(struct osh_buf *out, struct osh_str s)
{
	if (is_plain(s))
		return osh_buf_add_str(out, s);
	return is_printable_ascii(s) ? put_single(out, s) : put_double(out, s);
}

static int put_indent(struct osh_buf *out, unsigned int indent)
{
	int r = 0;

	while (r == 0 && indent--)
		r = osh_buf_add_c(out, ' ');
	return r;
}

static int put_value(struct osh_buf *out, const struct osh_jval *v, unsigned int indent,
		     bool in_list);

static int put_map(struct osh_buf *out, const struct osh_jval *map, unsigned int indent,
		   bool first_inline)
{
	const struct osh_jval *value;
	const char *key;
	void *it = NULL;
	bool first = first_inline;
	int r = 0;

	while (r == 0 && osh_jval_next(map, &it, &key, &value)) {
		if (!first)
			r = put_indent(out, indent);
		first = false;
		if (r == 0)
			r = put_text(out, osh_str(key));
		if (r == 0)
			r = osh_buf_add_c(out, ':');
		if (r == 0)
			r = put_value(out, value, indent, false);
	}
	return r;
}

static int put_list(struct osh_buf *out, const struct osh_jval *list, unsigned int indent,
		    bool first_inline)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < osh_jval_len(list); i++) {
		if (i > 0 || !first_inline)
			r = put_indent(out, indent);
		if (r == 0)
			r = osh_buf_add_c(out, '-');
		if (r == 0)
			r = put_value(out, osh_jval_at(list, i), indent, true);
	}
	return r;
}

/* What comes after "key:" or "-" that stands at @indent, up to and with the end of the line. */
static int put_value(struct osh_buf *out, const struct osh_jval *v, unsigned int indent,
		     bool in_list)
{
	enum osh_jtype type = osh_jval_type(v);
	int r;

	if ((type == OSH_JSON_OBJ || type == OSH_JSON_ARR) && osh_jval_len(v) > 0) {
		r = osh_buf_add_c(out, in_list ? ' ' : '\n');
		if (r < 0)
			return r;
		if (type == OSH_JSON_OBJ)
			return put_map(out, v, indent + 2, in_list);
		/* Items of a list stand under the first letter of their key. */
		return put_list(out, v, in_list ? indent + 2 : indent, in_list);
	}
	r = osh_buf_add_c(out, ' ');
	if (r == 0)
		r = type == OSH_JSON_STR ? put_text(out, osh_jval_str(v)) : osh_jval_dump(v, out);
	return r < 0 ? r : osh_buf_add_c(out, '\n');
}

int osh_yaml_write(const struct osh_jval *tree, struct osh_buf *out)
{
	int r;

	if (osh_jval_type(tree) == OSH_JSON_OBJ && osh_jval_len(tree) > 0)
		return put_map(out, tree, 0, false);
	if (osh_jval_type(tree) == OSH_JSON_ARR && osh_jval_len(tree) > 0)
		return put_list(out, tree, 0, false);
	r = osh_jval_dump(tree, out);
	return r < 0 ? r : osh_buf_add_c(out, '\n');
}
