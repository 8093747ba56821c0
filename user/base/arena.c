/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdalign.h>

enum { BLOCK_BYTES = 16384 };

struct osh_arena_block {
	struct osh_arena_block *next;
	size_t used, cap;
	alignas(max_align_t) char data[];
};

void osh_arena_init(struct osh_arena *arena, size_t max)
{
	*arena = (struct osh_arena){ .max = max };
}

void osh_arena_fini(struct osh_arena *arena)
{
	while (arena->head) {
		struct osh_arena_block *block = arena->head;

		arena->head = block->next;
		free(block);
	}
	arena->used = 0;
}

void *osh_arena_alloc(struct osh_arena *arena, size_t n)
{
	struct osh_arena_block *block = arena->head;
	void *p;

	if (n > arena->max)
		return NULL;
	n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (n > arena->max - OSH_MIN(arena->used, arena->max))
		return NULL;
	if (!block || block->cap - block->used < n) {
		size_t cap = OSH_MAX(n, (size_t)BLOCK_BYTES);

		block = calloc(1, sizeof(*block) + cap);
		if (!block)
			return NULL;
		block->cap = cap;
		block->next = arena->head;
		arena->head = block;
	}
	p = block->data + block->used;
	block->used += n;
	arena->used += n;
	return p;
}

void *osh_arena_array(struct osh_arena *arena, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	return osh_arena_alloc(arena, bytes);
}

struct osh_str osh_arena_str(struct osh_arena *arena, struct osh_str s)
{
	char *copy = osh_arena_alloc(arena, s.n + 1);

	if (!copy)
		return OSH_STR_NONE;
	if (s.n)
		memcpy(copy, s.p, s.n);
	return (struct osh_str){ copy, s.n };
}
