/* SPDX-License-Identifier: MIT */
/* Two small types that the node reader and the policy model share. */
#ifndef OSH_POLICY_STRS_H
#define OSH_POLICY_STRS_H

#include "base/str.h"

/* Line and column from 1; 0: not from a file. */
struct osh_place {
	unsigned int line, col;
};

/* A list of texts: globs, paths, names. */
struct osh_strs {
	struct osh_str *v;
	size_t n;
};

#endif
