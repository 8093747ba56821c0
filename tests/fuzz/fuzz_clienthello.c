/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "http/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osh_hello hello, again;
	struct osh_str in;
	char *mem;
	int r;

	in = fuzz_copy(data, size, &mem);
	r = osh_hello_parse(in, &hello);
	if (r == 0) {
		CHECK(hello.wire_len <= in.n && hello.wire_len <= OSH_HELLO_WIRE_MAX);
		CHECK(hello.sni_len == strlen(hello.sni));
		CHECK(!hello.sni_is_bad || !hello.sni_len);
		/* the hello alone is enough, one byte less is not */
		CHECK(osh_hello_parse(osh_str_sub(in, 0, hello.wire_len), &again) == 0);
		CHECK(osh_hello_parse(osh_str_sub(in, 0, hello.wire_len - 1), &again) == -EAGAIN);
	} else if (r == -EAGAIN) {
		CHECK(in.n < OSH_HELLO_WIRE_MAX + 5 + 16384);
	}
	free(mem);
	return 0;
}
