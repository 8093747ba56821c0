/* SPDX-License-Identifier: MIT */
/*
 * Canonical request target: the upstream sees exactly what the policy saw. Decodes once, removes
 * path parameters and dot segments, collapses empty segments, encodes again. The canonical path is a
 * fixed point.
 */
#ifndef OSH_HTTP_CANON_H
#define OSH_HTTP_CANON_H

#include "base/str.h"

#define OSH_CANON_RAW_MAX  4096 /* bytes of the raw path */
#define OSH_CANON_PATH_MAX (3 * OSH_CANON_RAW_MAX) /* bytes of the canonical path */

struct osh_canon {
	struct osh_str path; /* in the caller's buffer, or in @target when nothing changed */
	struct osh_str query; /* raw, in @target, without '?'; .p is NULL when there is none */
	struct osh_str authority; /* of an absolute-form target, in @target; .p NULL: origin form */
	struct osh_str scheme; /* likewise */
};

/*
 * -EBADMSG: refused; -EMSGSIZE: path longer than OSH_CANON_RAW_MAX, or @dst (@size bytes;
 * OSH_CANON_PATH_MAX always suffices) too small.
 */
int osh_canon_target(struct osh_str target, bool allow_encoded_slash, char *dst, size_t size,
		     struct osh_canon *ret) OSH_MUST_CHECK;

#endif
