/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

/* struct osh_jval is never defined: a struct osh_jval * is a json_t * under another name. */
static json_t *jt(const struct osh_jval *v)
{
	return (json_t *)(uintptr_t)v;
}

static struct osh_jval *jv(json_t *v)
{
	return (struct osh_jval *)v;
}

void osh_json_init(struct osh_json *j, struct osh_buf *out, unsigned int indent)
{
	*j = (struct osh_json){ .out = out, .indent = (unsigned char)indent };
}

static void put(struct osh_json *j, const char *p, size_t n)
{
	if (j->err == 0)
		j->err = osh_buf_add(j->out, p, n);
}

static void newline(struct osh_json *j)
{
	static const char blanks[] =
		"                                                                ";
	size_t n = (size_t)j->indent * j->depth;

	if (!j->indent)
		return;
	put(j, "\n", 1);
	put(j, blanks, OSH_MIN(n, sizeof(blanks) - 1));
}

static void before_value(struct osh_json *j)
{
	if (j->after_key) {
		j->after_key = false;
		return;
	}
	if (j->need_comma)
		put(j, ",", 1);
	if (j->depth)
		newline(j);
}

static void open_level(struct osh_json *j, char c)
{
	before_value(j);
	put(j, &c, 1);
	j->depth++;
	j->need_comma = false;
}

static void close_level(struct osh_json *j, char c)
{
	bool had = j->need_comma;

	j->depth--;
	if (had)
		newline(j);
	put(j, &c, 1);
	j->need_comma = true;
}

void osh_json_obj(struct osh_json *j)
{
	open_level(j, '{');
}

void osh_json_obj_end(struct osh_json *j)
{
	close_level(j, '}');
}

void osh_json_arr(struct osh_json *j)
{
	open_level(j, '[');
}

void osh_json_arr_end(struct osh_json *j)
{
	close_level(j, ']');
}

/* Bytes of the character at s.p[i] that may be copied as they are; 0: not UTF-8 there. */
static size_t utf8_at(struct osh_str s, size_t i)
{
	for (size_t n = 1; n <= 4 && i + n <= s.n; n++)
		if (osh_utf8_is_valid(osh_str_sub(s, i, n)))
			return n;
	return 0;
}

/*
 * Characters that a terminal or an editor obeys rather than shows: C1 controls, line and paragraph
 * separators, changes of the writing direction. Their code, 0 for any other.
 */
static unsigned int unseen(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned int c = n == 2	  ? (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu)
			 : n == 3 ? (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu)
				  : 0;

	return (c >= 0x80 && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) || c == 0x200e ||
			       c == 0x200f || c == 0x061c || (c >= 0x2066 && c <= 0x2069) ||
			       c == 0xfeff
		       ? c
		       : 0;
}

static void put_quoted(struct osh_json *j, struct osh_str s)
{
	size_t from = 0;

	put(j, "\"", 1);
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		char esc[8];
		size_t n = 1, esc_n;

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			i++;
			continue;
		}
		if (c >= 0x80 && (n = utf8_at(s, i)) > 0) {
			unsigned int code = unseen(s.p + i, n);

			if (code) {
				put(j, s.p + from, i - from);
				put(j, esc, (size_t)snprintf(esc, sizeof(esc), "\\u%04x", code));
				from = i + n;
			}
			i += n;
			continue;
		}
		put(j, s.p + from, i - from);
		if (c >= 0x80)
			esc_n = (size_t)snprintf(esc, sizeof(esc), "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			esc_n = (size_t)snprintf(esc, sizeof(esc), "\\%c", c);
		else if (c == '\n')
			esc_n = (size_t)snprintf(esc, sizeof(esc), "\\n");
		else if (c == '\t')
			esc_n = (size_t)snprintf(esc, sizeof(esc), "\\t");
		else
			esc_n = (size_t)snprintf(esc, sizeof(esc), "\\u%04x", c);
		put(j, esc, esc_n);
		from = ++i;
	}
	put(j, s.p + from, s.n - from);
	put(j, "\"", 1);
}

void osh_json_key(struct osh_json *j, const char *key)
{
	before_value(j);
	put_quoted(j, osh_str(key));
	put(j, ": ", j->indent ? 2 : 1);
	j->after_key = true;
	j->need_comma = true;
}

void osh_json_str(struct osh_json *j, struct osh_str s)
{
	before_value(j);
	put_quoted(j, s);
	j->need_comma = true;
}

void osh_json_raw(struct osh_json *j, struct osh_str json)
{
	before_value(j);
	put(j, json.p, json.n);
	j->need_comma = true;
}

void osh_json_u64(struct osh_json *j, uint64_t v)
{
	char text[24];

	osh_json_raw(j, (struct osh_str){ text, (size_t)snprintf(text, sizeof(text), "%llu",
								 (unsigned long long)v) });
}

void osh_json_i64(struct osh_json *j, int64_t v)
{
	char text[24];

	osh_json_raw(j, (struct osh_str){
				text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)v) });
}

void osh_json_bool(struct osh_json *j, bool v)
{
	osh_json_raw(j, v ? OSH_STR("true") : OSH_STR("false"));
}

void osh_json_null(struct osh_json *j)
{
	osh_json_raw(j, OSH_STR("null"));
}

void osh_json_kstr(struct osh_json *j, const char *key, struct osh_str s)
{
	osh_json_key(j, key);
	osh_json_str(j, s);
}

void osh_json_kz(struct osh_json *j, const char *key, const char *s)
{
	if (s)
		osh_json_kstr(j, key, osh_str(s));
}

void osh_json_ku64(struct osh_json *j, const char *key, uint64_t v)
{
	osh_json_key(j, key);
	osh_json_u64(j, v);
}

void osh_json_kbool(struct osh_json *j, const char *key, bool v)
{
	osh_json_key(j, key);
	osh_json_bool(j, v);
}

static int parse(struct osh_str text, size_t flags, struct osh_jval **ret_value, json_error_t *err)
{
	json_t *v = json_loadb(text.p ? text.p : "", text.n,
			       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags, err);

	if (v) {
		*ret_value = jv(v);
		return 0;
	}
	switch (json_error_code(err)) {
	case json_error_out_of_memory:
		return -ENOMEM;
	case json_error_numeric_overflow:
		return -ERANGE;
	default:
		return -EBADMSG;
	}
}

int osh_json_parse(struct osh_str text, struct osh_jval **ret_value, char *err_text,
		   size_t err_size)
{
	json_error_t err;
	int r = parse(text, 0, ret_value, &err);

	if (r < 0 && err_text && err_size)
		(void)snprintf(err_text, err_size, "%s", err.text);
	return r;
}

int osh_json_parse_reals(struct osh_str text, struct osh_jval **ret_value)
{
	json_error_t err;

	return parse(text, JSON_DECODE_INT_AS_REAL, ret_value, &err);
}

struct osh_jval *osh_jval_free(struct osh_jval *v)
{
	json_decref(jt(v));
	return NULL;
}

enum osh_jtype osh_jval_type(const struct osh_jval *v)
{
	if (!v)
		return OSH_JSON_NULL;
	switch (json_typeof(jt(v))) {
	case JSON_OBJECT:
		return OSH_JSON_OBJ;
	case JSON_ARRAY:
		return OSH_JSON_ARR;
	case JSON_STRING:
		return OSH_JSON_STR;
	case JSON_INTEGER:
		return OSH_JSON_INT;
	case JSON_REAL:
		return OSH_JSON_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return OSH_JSON_BOOL;
	case JSON_NULL:
		break;
	}
	return OSH_JSON_NULL;
}

const struct osh_jval *osh_jval_get(const struct osh_jval *obj, const char *key)
{
	return obj ? jv(json_object_get(jt(obj), key)) : NULL;
}

size_t osh_jval_len(const struct osh_jval *v)
{
	if (!v)
		return 0;
	return json_is_array(jt(v)) ? json_array_size(jt(v)) : json_object_size(jt(v));
}

const struct osh_jval *osh_jval_at(const struct osh_jval *arr, size_t i)
{
	return arr ? jv(json_array_get(jt(arr), i)) : NULL;
}

struct osh_str osh_jval_str(const struct osh_jval *v)
{
	if (!v || !json_is_string(jt(v)))
		return OSH_STR_NONE;
	return (struct osh_str){ json_string_value(jt(v)), json_string_length(jt(v)) };
}

const char *osh_jval_z(const struct osh_jval *v, const char *otherwise)
{
	const char *s = v ? json_string_value(jt(v)) : NULL;

	return s ? s : otherwise;
}

int64_t osh_jval_i64(const struct osh_jval *v, int64_t otherwise)
{
	return v && json_is_integer(jt(v)) ? (int64_t)json_integer_value(jt(v)) : otherwise;
}

bool osh_jval_bool(const struct osh_jval *v, bool otherwise)
{
	return v && json_is_boolean(jt(v)) ? json_is_true(jt(v)) : otherwise;
}

bool osh_jval_next(const struct osh_jval *obj, void **iter, const char **ret_key,
		   const struct osh_jval **ret_value)
{
	if (!obj || !json_is_object(jt(obj)))
		return false;
	*iter = *iter ? json_object_iter_next(jt(obj), *iter) : json_object_iter(jt(obj));
	if (!*iter)
		return false;
	*ret_key = json_object_iter_key(*iter);
	*ret_value = jv(json_object_iter_value(*iter));
	return true;
}

static int dump_chunk(const char *p, size_t n, void *out)
{
	return osh_buf_add(out, p, n) < 0 ? -1 : 0;
}

int osh_jval_dump(const struct osh_jval *v, struct osh_buf *out)
{
	return json_dump_callback(jt(v), dump_chunk, out, JSON_COMPACT | JSON_ENCODE_ANY) ? -ENOMEM
											  : 0;
}
