/* SPDX-License-Identifier: MIT */
/* Input: a dialect byte, the pattern up to the first newline, the text to match. */
#include "fuzz.h"

#include "policy/glob.h"

static bool starts_with(struct osh_str s, struct osh_str prefix, bool fold)
{
	for (size_t i = 0; i < prefix.n; i++)
		if (i >= s.n || (fold ? osh_lower(s.p[i]) : s.p[i]) != prefix.p[i])
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum osh_glob_dialect dialect;
	struct osh_str all, pattern, input;
	struct osh_buf buf;
	const char *why = NULL;
	char *mem, *copy;
	size_t off, cut;
	int valid, r;

	if (size < 1 || size > 6000)
		return 0;
	dialect = (enum osh_glob_dialect)(data[0] % 5);
	all = fuzz_copy(data + 1, size - 1, &mem);
	cut = osh_str_find(all, '\n');
	pattern = osh_str_sub(all, 0, cut);
	input = osh_str_sub(all, cut + 1, all.n);
	osh_buf_init(&buf, 1u << 20, 0);
	valid = osh_glob_check(dialect, pattern, &why);
	CHECK(valid == 0 || why);
	r = osh_glob_compile(dialect, pattern, &buf, &off);
	CHECK(r == 0 || valid < 0 || r == -ENOMEM);
	if (r == 0) {
		size_t n = osh_glob_size(buf.data + off);
		bool match = osh_glob_match(buf.data + off, input);

		CHECK(off % 8 == 0 && n % 8 == 0 && off + n == buf.len);
		CHECK(osh_glob_verify(buf.data + off, n));
		CHECK(!osh_glob_verify(buf.data + off, n - 8));
		CHECK(!match || starts_with(input, osh_glob_prefix(buf.data + off),
					    dialect == OSH_GLOB_HOST));
		/* position independent, and no byte outside is read */
		copy = malloc(n);
		CHECK(copy);
		memcpy(copy, buf.data + off, n);
		CHECK(osh_glob_match(copy, input) == match);
		if (match && pattern.n < 200)
			CHECK(osh_glob_overlap(copy, buf.data + off) == 1);
		free(copy);
	}
	osh_buf_fini(&buf);
	free(mem);
	return 0;
}
