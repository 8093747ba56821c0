/* SPDX-License-Identifier: MIT */
/* Files and folders: small operations that are easy to get wrong. */
#ifndef OSH_SYS_FS_H
#define OSH_SYS_FS_H

#include <sys/types.h>

#include "base/buf.h"

/*
 * Make @path and its missing parents (mode 0755 for the parents, @mode for the last, whatever the
 * umask). An existing folder keeps its mode. -ENOTDIR if something else is there.
 */
int osh_fs_mkdir_p(const char *path, mode_t mode) OSH_MUST_CHECK;

/* Whole file of at most @max bytes, appended to @ret_text. */
int osh_fs_read(const char *path, size_t max, struct osh_buf *ret_text) OSH_MUST_CHECK;
int osh_fs_read_at(int dirfd, const char *name, size_t max,
		   struct osh_buf *ret_text) OSH_MUST_CHECK;

/* Replace @name in one step: write a temporary file, fsync, rename, fsync the folder. */
int osh_fs_write_atomic(int dirfd, const char *name, struct osh_str text,
			mode_t mode) OSH_MUST_CHECK;

/* All bytes, across short writes and EINTR. */
int osh_fs_write_all(int fd, const void *data, size_t n) OSH_MUST_CHECK;

/* Sealed (write, shrink, grow, seal), close-on-exec memfd holding @data. Returns the fd. */
int osh_fs_memfd_sealed(const char *name, const void *data, size_t n) OSH_MUST_CHECK;

/* Read-only private mapping of @fd, which must be a fully sealed memfd of at most @max bytes. */
int osh_fs_map_sealed(int fd, size_t max, const void **ret_data, size_t *ret_n) OSH_MUST_CHECK;

#endif
