/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259). Writing is ours: straight into a struct osh_buf, keys in the order given. Reading
 * is strict and goes through jansson, which only json.c sees: one value, UTF-8, no duplicate keys,
 * no NUL in strings, nothing after the value, bounded depth.
 */
#ifndef OSH_BASE_JSON_H
#define OSH_BASE_JSON_H

#include "base/buf.h"

/* ---- writing ---- */

/*
 * Writer state. Errors stick: after the first failure every call is a no-op and @err tells, so a
 * caller checks once, at the end. Commas and colons are placed by the writer.
 */
struct osh_json {
	struct osh_buf *out; /* borrowed */
	int err;
	unsigned char depth;
	bool need_comma;
	unsigned char indent; /* blanks per level; 0: compact */
	bool after_key;
};

void osh_json_init(struct osh_json *j, struct osh_buf *out, unsigned int indent);
void osh_json_obj(struct osh_json *j);
void osh_json_obj_end(struct osh_json *j);
void osh_json_arr(struct osh_json *j);
void osh_json_arr_end(struct osh_json *j);
void osh_json_key(struct osh_json *j, const char *key);
/* Escapes as RFC 8259 section 7; bytes that are not UTF-8 become U+FFFD. */
void osh_json_str(struct osh_json *j, struct osh_str s);
void osh_json_u64(struct osh_json *j, uint64_t v);
void osh_json_i64(struct osh_json *j, int64_t v);
void osh_json_bool(struct osh_json *j, bool v);
void osh_json_null(struct osh_json *j);
/* A value that is JSON already. */
void osh_json_raw(struct osh_json *j, struct osh_str json);
/* key + value in one call */
void osh_json_kstr(struct osh_json *j, const char *key, struct osh_str s);
void osh_json_kz(struct osh_json *j, const char *key, const char *s); /* NULL: key left out */
void osh_json_ku64(struct osh_json *j, const char *key, uint64_t v);
void osh_json_kbool(struct osh_json *j, const char *key, bool v);

/* ---- reading ---- */

struct osh_jval; /* a parsed value; reference-counted inside */

enum osh_jtype {
	OSH_JSON_NULL = 0,
	OSH_JSON_BOOL,
	OSH_JSON_INT,
	OSH_JSON_REAL,
	OSH_JSON_STR,
	OSH_JSON_ARR,
	OSH_JSON_OBJ,
};

/*
 * Parse exactly one value. -EBADMSG: not strict JSON; -ERANGE: a number does not fit (@err_text, if
 * not NULL, gets a one-line reason of at most @err_size bytes). The result is freed with osh_jval_free().
 */
int osh_json_parse(struct osh_str text, struct osh_jval **ret_value, char *err_text,
		   size_t err_size) OSH_MUST_CHECK;
/* The same with every number read as OSH_JSON_REAL, for texts that are looked at, not computed with. */
int osh_json_parse_reals(struct osh_str text, struct osh_jval **ret_value) OSH_MUST_CHECK;
struct osh_jval *osh_jval_free(struct osh_jval *v);

/* Everything below borrows from the parsed tree and takes NULL (gives NULL / 0 / false). */
enum osh_jtype osh_jval_type(const struct osh_jval *v);
const struct osh_jval *osh_jval_get(const struct osh_jval *obj, const char *key);
size_t osh_jval_len(const struct osh_jval *arr_or_obj);
const struct osh_jval *osh_jval_at(const struct osh_jval *arr, size_t i);
/* .p is NULL unless @v is a string. */
struct osh_str osh_jval_str(const struct osh_jval *v);
/* NUL-terminated, or @otherwise when absent or no string. */
const char *osh_jval_z(const struct osh_jval *v, const char *otherwise);
int64_t osh_jval_i64(const struct osh_jval *v, int64_t otherwise);
bool osh_jval_bool(const struct osh_jval *v, bool otherwise);
/* Members of an object in the order of the text: start with NULL; false at the end. */
bool osh_jval_next(const struct osh_jval *obj, void **iter, const char **ret_key,
		   const struct osh_jval **ret_value);
/* Compact JSON of @v appended to @out. */
int osh_jval_dump(const struct osh_jval *v, struct osh_buf *out) OSH_MUST_CHECK;

static inline void osh_jval_free_ptr(struct osh_jval **v)
{
	*v = osh_jval_free(*v);
}

#define osh_auto_jval OSH_CLEANUP(osh_jval_free_ptr) /* struct osh_jval * */

#endif
