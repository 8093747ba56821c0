/* SPDX-License-Identifier: MIT */
/*
 * Collects messages for people who must act: all errors of a file in one run, each with its place.
 * A struct osh_diag never fails: when memory or the ceiling (200 messages) runs out it counts what
 * it could not keep, warnings first.
 */
#ifndef OSH_BASE_DIAG_H
#define OSH_BASE_DIAG_H

#include "base/buf.h"

enum osh_diag_level {
	OSH_DIAG_ERROR = 0,
	OSH_DIAG_WARNING = 1,
};

struct osh_diag_msg {
	enum osh_diag_level level;
	unsigned int line, col; /* from 1; 0: no place */
	char *text; /* owned; one line, no trailing stop */
};

struct osh_diag {
	const char *file; /* borrowed; NULL: messages have no file */
	struct osh_diag_msg *msgs;
	size_t count, cap;
	unsigned int errors, warnings;
	unsigned int lost;
};

void osh_diag_init(struct osh_diag *diag, const char *file);
void osh_diag_fini(struct osh_diag *diag);

void osh_diag_err(struct osh_diag *diag, unsigned int line, unsigned int col, const char *fmt, ...)
	OSH_PRINTF(4, 5);
void osh_diag_warn(struct osh_diag *diag, unsigned int line, unsigned int col, const char *fmt, ...)
	OSH_PRINTF(4, 5);

/* "file:line:col: message" lines (a warning says "warning: "), each ending in a newline. */
int osh_diag_render(const struct osh_diag *diag, struct osh_buf *ret_text) OSH_MUST_CHECK;
/* The texts of one level joined by "; ", without places. */
int osh_diag_join(const struct osh_diag *diag, enum osh_diag_level level,
		  struct osh_buf *ret_text) OSH_MUST_CHECK;

#define osh_auto_diag OSH_CLEANUP(osh_diag_fini) /* struct osh_diag */

#endif
