/* SPDX-License-Identifier: MIT */
/*
 * Paths of the filesystem policy on the host: syntax, and a walk that decides which symlinks may be
 * followed. A sandbox must not be able to choose, by a link in a directory it writes, what the next
 * sandbox is shown.
 */
#ifndef OSH_SANDBOX_PATH_H
#define OSH_SANDBOX_PATH_H

#include <limits.h>
#include <stdbool.h>

#include "base/str.h"

#define OSH_PATH_LINKS_MAX 40

struct osh_path_link {
	char *at; /* where the link is, its own directory resolved */
	char *text; /* what it says */
};

/* Where a path really leads. */
struct osh_path {
	char real[PATH_MAX]; /* absolute, no links, no trailing slash ("/" for the root) */
	int fd; /* O_PATH */
	struct osh_path_link links[OSH_PATH_LINKS_MAX]; /* met on the way, in order */
	unsigned int links_count;
};

void osh_path_init(struct osh_path *path);
void osh_path_fini(struct osh_path *path);
#define osh_auto_path OSH_CLEANUP(osh_path_fini) /* struct osh_path */

/*
 * Collapse "//" and "/./", drop a trailing slash. -EINVAL: not absolute, a ".." component, a control
 * character, or longer than PATH_MAX - 1.
 */
int osh_path_normalise(const char *text, char ret_path[PATH_MAX]) OSH_MUST_CHECK;
/* @path is @dir or below it; both normalised. */
bool osh_path_is_below(const char *path, const char *dir);

/*
 * Walk from the root of the calling process. Links are followed only if root made them in a
 * directory where only root can make links: -EXDEV otherwise, with @ret_path->real naming the link.
 * With @nofollow_last a link as the last component is -ELOOP. -ENOENT and the other errnos of
 * open(2).
 */
int osh_path_walk(const char *normalised, bool nofollow_last,
		  struct osh_path *ret_path) OSH_MUST_CHECK;

#endif
