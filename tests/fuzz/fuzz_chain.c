/* SPDX-License-Identifier: MIT */
/* Answers of an upstream proxy: whole, and in two pieces. */
#include "fuzz.h"

#include <errno.h>

#include "http/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osh_chain_answer a, b;
	struct osh_h1_head head;
	struct osh_str s;
	char *mem;
	int r;

	s = fuzz_copy(data, size, &mem);
	r = osh_chain_answer(&head, s, &a);
	CHECK(r == 0 || r == -EAGAIN || r == -ECONNREFUSED);
	CHECK((r == -ECONNREFUSED) == (a.error != OSH_CHAIN_OK));
	if (r == 0) {
		CHECK(a.status / 100 == 2 && a.head_len && a.head_len <= s.n);
		CHECK(a.head_len <= OSH_CHAIN_ANSWER_MAX);
		/* nothing behind the head changes the verdict, nothing before its end gives one */
		CHECK(osh_chain_answer(&head, osh_str_sub(s, 0, a.head_len), &b) == 0);
		CHECK(b.head_len == a.head_len && b.status == a.status);
		CHECK(osh_chain_answer(&head, osh_str_sub(s, 0, a.head_len - 1), &b) == -EAGAIN);
	}
	if (r == -EAGAIN)
		CHECK(s.n <= OSH_CHAIN_ANSWER_MAX);
	free(mem);
	return 0;
}
