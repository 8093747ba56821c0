/* SPDX-License-Identifier: MIT */
/* Small helpers every module uses: cleanup attributes, ownership transfer, sizes. */
#ifndef OSH_BASE_MACROS_H
#define OSH_BASE_MACROS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define OSH_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define OSH_MIN(a, b)	  ((a) < (b) ? (a) : (b))
#define OSH_MAX(a, b)	  ((a) > (b) ? (a) : (b))

#define OSH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define OSH_MUST_CHECK	      __attribute__((warn_unused_result))
#define OSH_CLEANUP(fn)	      __attribute__((cleanup(fn)))

#define osh_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Close *fd unless it is negative, keeping errno; for OSH_CLEANUP. */
static inline void osh_close_ptr(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd); /* nothing useful can be done about a failing close */
	*fd = -1;
	errno = saved;
}

static inline void osh_free_ptr(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

#define osh_auto_close OSH_CLEANUP(osh_close_ptr)
#define osh_auto_free  OSH_CLEANUP(osh_free_ptr)

/* Hand over what a cleaned-up local holds. */
static inline int osh_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define osh_take_ptr(pp)                              \
	__extension__({                               \
		__typeof__(*(pp)) osh_taken_ = *(pp); \
		*(pp) = NULL;                         \
		osh_taken_;                           \
	})

#endif
