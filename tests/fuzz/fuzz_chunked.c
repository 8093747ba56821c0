/* SPDX-License-Identifier: MIT */
/* Chunked bodies: however the input is cut, the same bytes come out. First byte: piece size. */
#include "fuzz.h"

#include "base/buf.h"
#include "http/chunked.h"

static int decode(struct osh_str in, size_t step, struct osh_buf *body, size_t *ret_used)
{
	struct osh_chunked c;
	size_t at = 0;

	osh_chunked_init(&c);
	while (at < in.n) {
		struct osh_str piece = osh_str_sub(in, at, step), slice = { NULL, 0 };
		size_t used = 0;
		int r = osh_chunked_next(&c, piece, &used, &slice);

		if (r < 0 && r != -EAGAIN)
			return r;
		CHECK(used <= piece.n && (used > 0 || r == 1));
		CHECK(!slice.n || (slice.p >= piece.p && slice.p + slice.n <= piece.p + used));
		CHECK(r != -EAGAIN || used == piece.n);
		CHECK(osh_buf_add_str(body, slice) == 0);
		at += used;
		if (r == 1) {
			*ret_used = at;
			return 1;
		}
	}
	return -EAGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t used = 0, used2 = 0;
	struct osh_buf a, b;
	struct osh_str in;
	char *mem;
	int r, r2;

	if (!size)
		return 0;
	in = fuzz_copy(data + 1, size - 1, &mem);
	osh_buf_init(&a, 1u << 24, 0);
	osh_buf_init(&b, 1u << 24, 0);
	r = decode(in, SIZE_MAX, &a, &used);
	r2 = decode(in, (size_t)data[0] + 1, &b, &used2);
	CHECK(r == r2 && used == used2);
	if (r == 1)
		CHECK(osh_str_eq(osh_buf_str(&a), osh_buf_str(&b)));
	osh_buf_fini(&a);
	osh_buf_fini(&b);
	free(mem);
	return 0;
}
