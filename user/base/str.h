/* SPDX-License-Identifier: MIT */
/*
 * Borrowed byte strings and the few text helpers the project needs. A struct osh_str owns nothing
 * and is not NUL-terminated; it is valid as long as what it points into.
 */
#ifndef OSH_BASE_STR_H
#define OSH_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"

struct osh_str {
	const char *p;
	size_t n;
};

#define OSH_STR(lit)   ((struct osh_str){ (lit), sizeof(lit) - 1 })
#define OSH_STR_FMT(s) (int)(s).n, (s).p /* for "%.*s" */
#define OSH_STR_NONE   ((struct osh_str){ NULL, 0 })

/* View of a NUL-terminated string; NULL gives the empty string. */
struct osh_str osh_str(const char *s);
struct osh_str osh_str_sub(struct osh_str s, size_t from, size_t n);

bool osh_str_eq(struct osh_str a, struct osh_str b);
/* ASCII case-insensitive; independent of the locale. */
bool osh_str_ieq(struct osh_str a, struct osh_str b);
bool osh_str_is(struct osh_str a, const char *lit);
bool osh_str_has_prefix(struct osh_str s, struct osh_str prefix);
bool osh_str_has_suffix(struct osh_str s, struct osh_str suffix);
/* memcmp order, then length. */
int osh_str_cmp(struct osh_str a, struct osh_str b);
/* Index of @c, or @s.n if it does not occur. */
size_t osh_str_find(struct osh_str s, char c);

/* Split off everything up to the first @sep (removed); false when nothing is left. */
bool osh_str_split(struct osh_str *rest, char sep, struct osh_str *ret_head);
struct osh_str osh_str_trim(struct osh_str s); /* blanks and tabs at both ends */

/* Heap copy with a terminating NUL; NULL when out of memory. Refuses nothing: NULs are kept. */
char *osh_str_dup(struct osh_str s);

static inline char osh_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool osh_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool osh_is_alnum(char c)
{
	return osh_is_digit(c) || (osh_lower(c) >= 'a' && osh_lower(c) <= 'z');
}

/* Value of a hexadecimal digit, or -1. */
int osh_hex_value(char c);
/* Lower-case hex of @n bytes into @dst (2 * n + 1 bytes, NUL-terminated). */
void osh_hex(char *dst, const void *src, size_t n);
/* Inverse; -EBADMSG unless @s is exactly 2 * @n hex digits. */
int osh_unhex(void *dst, size_t n, struct osh_str s) OSH_MUST_CHECK;

/* Decimal digits only (no sign, no blank), no overflow beyond @max; else -EBADMSG / -ERANGE. */
int osh_parse_u64(struct osh_str s, uint64_t max, uint64_t *ret_value) OSH_MUST_CHECK;

/* UTF-8 well-formed (no surrogates, no overlong form, at most U+10FFFF). */
bool osh_utf8_is_valid(struct osh_str s);
/* Length of the longest prefix of at most @max bytes that ends on a character boundary. */
size_t osh_utf8_cut(struct osh_str s, size_t max);

/* Always NUL-terminates; returns false when @src was cut. */
bool osh_strlcpy(char *dst, const char *src, size_t size);

/*
 * Quote outside data for a message: "..." with C escapes for everything that is not printable
 * ASCII, cut at 200 bytes. The buffer belongs to the calling thread and is reused after eight
 * further calls, so use it only as an argument of a formatting function.
 */
const char *osh_quote(struct osh_str s);
#define OSH_Q(s) osh_quote(osh_str(s))

/* Edit distance of two short names, for "did you mean"; capped at 64 bytes each. */
unsigned int osh_str_distance(struct osh_str a, struct osh_str b);

#endif
