/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target is one file tests/fuzz/fuzz_<name>.c with LLVMFuzzerTestOneInput() and seeds in
 * tests/fuzz/corpus/<name>/. It states what must hold with CHECK(), which stays on in every build.
 */
#ifndef OSH_TESTS_FUZZ_H
#define OSH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

/* The input as a string, copied to the heap so that a sanitizer sees its very end. */
static inline struct osh_str fuzz_copy(const uint8_t *data, size_t size, char **ret_mem)
{
	*ret_mem = malloc(size ? size : 1);
	CHECK(*ret_mem);
	if (size)
		memcpy(*ret_mem, data, size);
	return (struct osh_str){ *ret_mem, size };
}

#endif
