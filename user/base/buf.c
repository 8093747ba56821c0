/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { MIN_CAP = 256 };

void osh_buf_init(struct osh_buf *buf, size_t max, unsigned int flags)
{
	*buf = (struct osh_buf){ .max = (uint32_t)OSH_MIN(max, (size_t)UINT32_MAX),
				 .flags = flags };
}

/* Secrets live in mappings of their own so that MADV_DONTDUMP covers nothing else. */
static char *secret_alloc(size_t cap)
{
	char *p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, cap, MADV_DONTDUMP); /* best effort: core dumps are off as well */
	return p;
}

static void release(struct osh_buf *buf)
{
	if (!buf->data)
		return;
	if (buf->flags & OSH_BUF_SECRET) {
		explicit_bzero(buf->data, buf->cap);
		munmap(buf->data, buf->cap);
	} else {
		free(buf->data);
	}
	buf->data = NULL;
	buf->cap = 0;
}

void osh_buf_fini(struct osh_buf *buf)
{
	release(buf);
	buf->len = 0;
}

struct osh_buf *osh_buf_new(size_t max, unsigned int flags)
{
	struct osh_buf *buf = malloc(sizeof(*buf));

	if (buf)
		osh_buf_init(buf, max, flags);
	return buf;
}

struct osh_buf *osh_buf_free(struct osh_buf *buf)
{
	if (buf) {
		osh_buf_fini(buf);
		free(buf);
	}
	return NULL;
}

static int grow(struct osh_buf *buf, size_t need)
{
	size_t cap = OSH_MAX(buf->cap, (size_t)MIN_CAP);
	char *p;

	while (cap < need)
		cap *= 2;
	if (!(buf->flags & OSH_BUF_SECRET)) {
		p = realloc(buf->data, cap);
		if (!p)
			return -ENOMEM;
	} else {
		cap = (cap + 4095) & ~(size_t)4095;
		p = secret_alloc(cap);
		if (!p)
			return -ENOMEM;
		if (buf->len)
			memcpy(p, buf->data, buf->len);
		release(buf);
	}
	buf->data = p;
	buf->cap = cap;
	return 0;
}

int osh_buf_reserve(struct osh_buf *buf, size_t n)
{
	if (n > buf->max || buf->len > buf->max - n)
		return -EMSGSIZE;
	if (buf->len + n + 1 > buf->cap) {
		int r = grow(buf, buf->len + n + 1);

		if (r < 0)
			return r;
	}
	return 0;
}

int osh_buf_add(struct osh_buf *buf, const void *data, size_t n)
{
	int r = osh_buf_reserve(buf, n);

	if (r < 0)
		return r;
	if (n)
		memcpy(buf->data + buf->len, data, n);
	buf->len += n;
	buf->data[buf->len] = '\0';
	return 0;
}

int osh_buf_add_str(struct osh_buf *buf, struct osh_str s)
{
	return osh_buf_add(buf, s.p, s.n);
}

int osh_buf_add_c(struct osh_buf *buf, char c)
{
	return osh_buf_add(buf, &c, 1);
}

int osh_buf_vprintf(struct osh_buf *buf, const char *fmt, va_list ap)
{
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;
	r = osh_buf_reserve(buf, (size_t)n);
	if (r < 0)
		return r;
	(void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap); /* measured above */
	buf->len += (size_t)n;
	return 0;
}

int osh_buf_printf(struct osh_buf *buf, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = osh_buf_vprintf(buf, fmt, ap);
	va_end(ap);
	return r;
}

void osh_buf_consume(struct osh_buf *buf, size_t n)
{
	n = OSH_MIN(n, buf->len);
	if (!n)
		return;
	memmove(buf->data, buf->data + n, buf->len - n);
	buf->len -= n;
	buf->data[buf->len] = '\0';
}

void osh_buf_reset(struct osh_buf *buf)
{
	if (buf->data && (buf->flags & OSH_BUF_SECRET))
		explicit_bzero(buf->data, buf->len);
	buf->len = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

int osh_buf_read_all(struct osh_buf *buf, int fd)
{
	for (;;) {
		size_t room = OSH_MIN(buf->max - buf->len, (size_t)65536);
		char probe;
		ssize_t n;
		int r;

		if (!room) {
			n = read(fd, &probe, 1);
			if (n < 0 && errno == EINTR)
				continue;
			return n < 0 ? -errno : n ? -EMSGSIZE : 0;
		}
		r = osh_buf_reserve(buf, room);
		if (r < 0)
			return r;
		n = read(fd, buf->data + buf->len, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
	}
}
