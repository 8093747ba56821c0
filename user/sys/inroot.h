/* SPDX-License-Identifier: MIT */
/* What a path means to processes that live under another root directory. */
#ifndef OSH_SYS_INROOT_H
#define OSH_SYS_INROOT_H

#include <stddef.h>
#include <sys/types.h>

#include "base/macros.h"

#define OSH_INROOT_LINKS_MAX 40 /* symlinks followed, as in the kernel */

/*
 * The absolute path without symlinks that @path leads to under @root_fd (a directory, O_PATH is
 * enough): every component is looked at inside that root, ".." stops at it, absolute links start
 * again at it. Nothing is opened for reading and no magic link is followed. @path is absolute.
 * A symlink that belongs to @distrusted, or lies below a folder that @distrusted can write to (by
 * owner and mode; not on a read-only mount), is not followed: -EPERM; (uid_t)-1 distrusts nobody.
 * -ENOENT and its sisters when it leads nowhere; -ELOOP; -ENAMETOOLONG: longer than @size.
 */
int osh_inroot_resolve(int root_fd, const char *path, uid_t distrusted, char *dst,
		       size_t size) OSH_MUST_CHECK;

#endif
