/* SPDX-License-Identifier: MIT */
/* Query strings (application/x-www-form-urlencoded), strictly decoded into the caller's memory. */
#ifndef OSH_HTTP_QUERY_H
#define OSH_HTTP_QUERY_H

#include "policy/facts.h"

/*
 * Decode @raw (without '?') in order of appearance. @dst takes at most @raw.n bytes. -EBADMSG: bad
 * escape or not UTF-8; -EMSGSIZE: more than @max pairs, or @size < what is needed.
 */
int osh_query_decode(struct osh_str raw, char *dst, size_t size, struct osh_query_pair *pairs,
		     size_t max, size_t *ret_count) OSH_MUST_CHECK;

#endif
