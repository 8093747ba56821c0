/* SPDX-License-Identifier: MIT */
/* The conformance runner: one function per row kind, each calling the functions of the product. */
#ifndef OSH_TESTS_RUNNER_H
#define OSH_TESTS_RUNNER_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"

/* What one row came to; texts live as long as the row is handled. */
struct outcome {
	struct osh_buf want, got; /* one line each, for a failing row */
	struct osh_arena arena; /* scratch of the row */
	bool malformed; /* the row itself makes no sense */
};

/* Both set the line when the row fails; printf-like. Always false, for `return fail(...)`. */
bool want(struct outcome *out, const char *fmt, ...) OSH_PRINTF(2, 3);
bool got(struct outcome *out, const char *fmt, ...) OSH_PRINTF(2, 3);
/* Compare and describe. */
bool same_bool(struct outcome *out, bool expected, bool actual);
bool same_str(struct outcome *out, struct osh_str expected, struct osh_str actual);
/* Expected null? Then the product must have refused. Sets both texts on failure. */
bool same_opt(struct outcome *out, const json_t *expected, bool accepted, struct osh_str actual);

/* Members of a row. A missing or mistyped member marks the row as malformed. */
struct osh_str text_of(struct outcome *out, const json_t *row, const char *key);
/* The same as bytes: one character is one byte (latin-1). */
struct osh_str bytes_of(struct outcome *out, const json_t *row, const char *key);
struct osh_str latin1(struct outcome *out, struct osh_str utf8);
bool bool_of(struct outcome *out, const json_t *row, const char *key);
bool opt_bool(const json_t *row, const char *key, bool otherwise);
struct osh_str opt_text(const json_t *row, const char *key); /* .p NULL: missing */
long opt_int(const json_t *row, const char *key, long otherwise);

/* true: the row passes. */
typedef bool row_fn(const json_t *row, struct outcome *out);

struct kind {
	const char *name;
	row_fn *fn; /* NULL: the product has nothing to call yet */
	bool later; /* with fn NULL: named and counted as skipped instead of failed */
};

extern const struct kind net_kinds[], http_kinds[], body_kinds[], policy_kinds[], decide_kinds[],
	misc_kinds[];

#endif
