/* SPDX-License-Identifier: MIT */
/* A hostile program: what osh_glob_verify() accepts must be safe to match with. */
#include "fuzz.h"

#include "policy/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n;
	char *mem;

	if (size < 2)
		return 0;
	n = (size_t)data[0] * 8;
	if (n > size - 1)
		n = (size - 1) & ~(size_t)7;
	fuzz_copy(data + 1, n, &mem);
	if (osh_glob_verify(mem, n)) {
		struct osh_str input = { (const char *)data + 1 + n, size - 1 - n };

		CHECK(osh_glob_size(mem) <= n);
		(void)osh_glob_match(mem, input);
		(void)osh_glob_prefix(mem);
	}
	free(mem);
	return 0;
}
