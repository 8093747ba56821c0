/* SPDX-License-Identifier: MIT */
/*
 * Growable byte buffer with a ceiling: the one place where attacker-sized data accumulates. Appends
 * never exceed the ceiling given at creation; reaching it is -EMSGSIZE and leaves the content as it
 * was. Memory of a SECRET buffer is wiped when freed or moved and kept out of core dumps.
 */
#ifndef OSH_BASE_BUF_H
#define OSH_BASE_BUF_H

#include <stdarg.h>

#include "base/str.h"

enum osh_buf_flags {
	OSH_BUF_SECRET = 1u << 0,
};

struct osh_buf {
	char *data; /* @len bytes, always followed by a NUL when @data is not NULL */
	size_t len;
	size_t cap;
	uint32_t max; /* ceiling for @len */
	uint32_t flags;
};

/* Caller's storage. @max is the ceiling in bytes, 4 GiB - 1 at most. */
void osh_buf_init(struct osh_buf *buf, size_t max, unsigned int flags);
void osh_buf_fini(struct osh_buf *buf);
struct osh_buf *osh_buf_new(size_t max, unsigned int flags); /* NULL: out of memory */
struct osh_buf *osh_buf_free(struct osh_buf *buf); /* takes NULL, returns NULL */

/* All appends: 0, -EMSGSIZE (ceiling) or -ENOMEM. */
int osh_buf_add(struct osh_buf *buf, const void *data, size_t n) OSH_MUST_CHECK;
int osh_buf_add_str(struct osh_buf *buf, struct osh_str s) OSH_MUST_CHECK;
int osh_buf_add_c(struct osh_buf *buf, char c) OSH_MUST_CHECK;
int osh_buf_printf(struct osh_buf *buf, const char *fmt, ...) OSH_PRINTF(2, 3) OSH_MUST_CHECK;
int osh_buf_vprintf(struct osh_buf *buf, const char *fmt, va_list ap) OSH_MUST_CHECK;

/* Room for @n more bytes; write at buf->data + buf->len, then add to buf->len yourself. */
int osh_buf_reserve(struct osh_buf *buf, size_t n) OSH_MUST_CHECK;
/* Drop @n bytes from the front. */
void osh_buf_consume(struct osh_buf *buf, size_t n);
void osh_buf_reset(struct osh_buf *buf); /* keeps the memory */
/* Read until end of file; -EMSGSIZE when there is more than the ceiling allows. */
int osh_buf_read_all(struct osh_buf *buf, int fd) OSH_MUST_CHECK;

static inline struct osh_str osh_buf_str(const struct osh_buf *buf)
{
	return (struct osh_str){ buf->data ? buf->data : "", buf->len };
}

static inline void osh_buf_free_ptr(struct osh_buf **buf)
{
	*buf = osh_buf_free(*buf);
}

#define osh_auto_buf	OSH_CLEANUP(osh_buf_free_ptr) /* struct osh_buf * */
#define osh_auto_bufmem OSH_CLEANUP(osh_buf_fini) /* struct osh_buf */

#endif
