/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "http/guard.h"

/* However the input is cut, as much of it passes. */
static size_t passed(struct osh_str in, size_t step)
{
	struct osh_guard g = { 0 };
	size_t at = 0, have = 0;

	while (have < in.n) {
		have = OSH_MIN(have + step, in.n);
		while (at < have) {
			struct osh_hello hello;
			size_t n = 0;

			switch (osh_guard_look(&g, osh_str_sub(in, at, have - at), &n, &hello)) {
			case OSH_GUARD_MORE:
				CHECK(have - at < OSH_HELLO_WIRE_MAX);
				n = have - at + 1;
				break;
			case OSH_GUARD_PASS:
			case OSH_GUARD_HELLO:
				CHECK(n > 0 && n <= have - at);
				break;
			case OSH_GUARD_END:
			case OSH_GUARD_BAD:
				return at;
			}
			if (n > have - at)
				break;
			at += n;
		}
	}
	return at;
}

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
	CHECK(passed(in, in.n ? in.n : 1) == passed(in, 1 + in.n / 7));
	free(mem);
	return 0;
}
