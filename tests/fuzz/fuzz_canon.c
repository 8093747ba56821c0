/* SPDX-License-Identifier: MIT */
/* Request targets and their queries. First byte: allow encoded slashes. */
#include "fuzz.h"

#include "http/canon.h"
#include "http/query.h"

static void check_path(struct osh_str path, bool slash)
{
	static const char *const never[] = { "//", "/./", "/../", ";", "?", "#", " ", "\\" };

	CHECK(path.n && path.p[0] == '/');
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		CHECK(!memmem(path.p, path.n, never[i], strlen(never[i])));
	CHECK(!osh_str_has_suffix(path, OSH_STR("/..")) &&
	      !osh_str_has_suffix(path, OSH_STR("/.")));
	if (!slash)
		CHECK(!memmem(path.p, path.n, "%2F", 3));
	for (size_t i = 0; i < path.n; i++)
		CHECK((unsigned char)path.p[i] > 0x20 && (unsigned char)path.p[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char mem[OSH_CANON_PATH_MAX], mem2[OSH_CANON_PATH_MAX], text[65536];
	static struct osh_query_pair pairs[64];
	struct osh_canon canon, again;
	struct osh_str target;
	bool slash;
	char *copy;
	size_t n;

	if (!size || size > sizeof(text))
		return 0;
	slash = data[0] & 1;
	target = fuzz_copy(data + 1, size - 1, &copy);
	if (osh_canon_target(target, slash, mem, sizeof(mem), &canon) == 0) {
		check_path(canon.path, slash);
		if (canon.path.n <= OSH_CANON_RAW_MAX) {
			CHECK(osh_canon_target(canon.path, slash, mem2, sizeof(mem2), &again) == 0);
			CHECK(osh_str_eq(again.path, canon.path));
		}
		if (canon.query.p &&
		    osh_query_decode(canon.query, text, canon.query.n, pairs, 64, &n) == 0)
			for (size_t i = 0; i < n; i++)
				CHECK(osh_utf8_is_valid(pairs[i].key) &&
				      osh_utf8_is_valid(pairs[i].value));
	}
	free(copy);
	return 0;
}
