/* SPDX-License-Identifier: MIT */
/*
 * One glob engine with the policy's dialects. A pattern is compiled once into a program that holds
 * only offsets, so that it can live inside a flat, shared, read-only policy image; matching keeps a
 * set of states (no backtracking, no allocation): time is at most |input| times |pattern|, whatever
 * the pattern.
 *
 *   host           lower-cased; without a star plain equality; else separator '.', and a double
 *                  star as a whole label is one or more labels
 *   path           separator '/'; a double star alone is everything, as the last segment it is
 *                  everything after the slash, as a middle segment zero or more segments; glued to
 *                  text it is a single star
 *   endpoint_path  empty and the double star (with or without '/') match everything; equality;
 *                  a final double-star segment is the text before it and what is below; else star
 *                  and '?' cross '/', braces and backslashes are literal; a malformed pattern
 *                  matches only itself
 *   query          separator '.', case-sensitive (query values, tool, method, GraphQL names)
 *   binary         without a star byte equality; else as path
 *
 * Everywhere: '?' one byte, [a-z] and [!a] classes (ASCII, never the separator), {a,b} nested
 * alternatives, backslash escapes. An input with a NUL byte never matches; a caller that evaluates
 * a deny rule must treat such an input as denied on its own.
 */
#ifndef OSH_POLICY_GLOB_H
#define OSH_POLICY_GLOB_H

#include "base/buf.h"

enum osh_glob_dialect {
	OSH_GLOB_HOST = 0,
	OSH_GLOB_PATH,
	OSH_GLOB_ENDPOINT_PATH,
	OSH_GLOB_QUERY,
	OSH_GLOB_BINARY,
};

#define OSH_GLOB_PATTERN_MAX 1024 /* bytes of a pattern with wildcards */
#define OSH_GLOB_LITERAL_MAX 4096 /* bytes of a pattern without */

/*
 * May this pattern appear in a policy? 0, or -EBADMSG with one phrase in *ret_why (a constant, not
 * NULL). Covers the syntax, and the shape rules for hosts and endpoint paths.
 */
int osh_glob_check(enum osh_glob_dialect dialect, struct osh_str pattern,
		   const char **ret_why) OSH_MUST_CHECK;

/*
 * Append the program to @buf, after padding to a multiple of 8; *ret_off is where it starts. It
 * must stay 8-byte aligned wherever the image is mapped. -EBADMSG: syntax (never for endpoint_path);
 * -EMSGSIZE: pattern or @buf too long; -ENOMEM. Shape rules of osh_glob_check() are not applied.
 */
int osh_glob_compile(enum osh_glob_dialect dialect, struct osh_str pattern, struct osh_buf *buf,
		     size_t *ret_off) OSH_MUST_CHECK;

/*
 * Is there a well-formed program at @prog, of at most @max bytes? Every offset is checked, so that
 * matching with it stays inside those bytes.
 */
bool osh_glob_verify(const void *prog, size_t max);

/* @prog is trusted: the output of osh_glob_compile() or verified, 8-byte aligned. */
bool osh_glob_match(const void *prog, struct osh_str input);
/* Bytes of the program, a multiple of 8. */
size_t osh_glob_size(const void *prog);
/*
 * The text that every match starts with (empty if none), inside @prog; for a program that
 * osh_glob_is_literal() it is the only match. Lets a compiler of many patterns index them.
 */
struct osh_str osh_glob_prefix(const void *prog);
bool osh_glob_is_literal(const void *prog);
bool osh_glob_is_any(const void *prog); /* matches every input without a NUL */

/* Is there an input that both match? 1, 0, or -ENOMEM. Both of one dialect. */
int osh_glob_overlap(const void *a, const void *b) OSH_MUST_CHECK;

/* The same on texts; an empty host pattern stands for every host. -EBADMSG: syntax. */
int osh_host_patterns_overlap(struct osh_str a, struct osh_str b) OSH_MUST_CHECK;
/* Endpoint path selectors (dialect endpoint_path). */
int osh_path_patterns_overlap(struct osh_str a, struct osh_str b) OSH_MUST_CHECK;
/* Specificity of an endpoint path: the number of its bytes that are not '*'. */
size_t osh_glob_specificity(struct osh_str pattern);

#endif
