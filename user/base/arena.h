/* SPDX-License-Identifier: MIT */
/*
 * Arena with a ceiling: many small allocations, freed together. Used for parsed documents whose
 * size an outsider chooses. Every pointer stays valid until osh_arena_fini().
 */
#ifndef OSH_BASE_ARENA_H
#define OSH_BASE_ARENA_H

#include "base/str.h"

struct osh_arena_block;

struct osh_arena {
	struct osh_arena_block *head;
	size_t used; /* bytes handed out, rounding included */
	size_t max; /* ceiling for @used */
};

void osh_arena_init(struct osh_arena *arena, size_t max);
void osh_arena_fini(struct osh_arena *arena);

/* @n zeroed bytes, aligned for any type; NULL when out of memory or over the ceiling. */
void *osh_arena_alloc(struct osh_arena *arena, size_t n);
/* @count * @size zeroed bytes, overflow checked. */
void *osh_arena_array(struct osh_arena *arena, size_t count, size_t size);
/* Copy of @s with a terminating NUL; .p is NULL on failure. */
struct osh_str osh_arena_str(struct osh_arena *arena, struct osh_str s);

#define osh_auto_arena OSH_CLEANUP(osh_arena_fini) /* struct osh_arena */

#endif
