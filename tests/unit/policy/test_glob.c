/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "policy/glob.h"

struct pattern {
	struct osh_buf buf;
	size_t off;
};

static int compile(enum osh_glob_dialect dialect, struct osh_str text, struct pattern *ret)
{
	osh_buf_init(&ret->buf, 1u << 20, 0);
	return osh_glob_compile(dialect, text, &ret->buf, &ret->off);
}

static const void *prog(const struct pattern *p)
{
	return p->buf.data + p->off;
}

static bool matches(enum osh_glob_dialect dialect, const char *text, const char *input)
{
	struct pattern p;
	bool match;

	assert_int_equal(compile(dialect, osh_str(text), &p), 0);
	assert_true(osh_glob_verify(prog(&p), osh_glob_size(prog(&p))));
	match = osh_glob_match(prog(&p), osh_str(input));
	osh_buf_fini(&p.buf);
	return match;
}

struct vector {
	enum osh_glob_dialect dialect;
	const char *pattern, *yes[6], *no[8];
};

static const struct vector vectors[] = {
	{ OSH_GLOB_HOST,
	  "*.example.com",
	  { "a.example.com", "A.EXAMPLE.COM", ".example.com" },
	  { "example.com", "a.b.example.com", "xexample.com", "a.example.com." } },
	{ OSH_GLOB_HOST,
	  "**.example.com",
	  { "a.example.com", "a.b.example.com", ".example.com" },
	  { "example.com", "xexample.com" } },
	{ OSH_GLOB_HOST,
	  "*-ai.example.com",
	  { "us-ai.example.com", "-ai.example.com" },
	  { "ai.example.com" } },
	{ OSH_GLOB_HOST, "exact.com", { "EXACT.COM" }, { "exact.com.", "www.exact.com", "" } },
	{ OSH_GLOB_HOST,
	  "api.[A-C].example.*",
	  { "api.b.example.org" },
	  { "api.d.example.org", "api...example.org" } },
	{ OSH_GLOB_PATH, "/a/*", { "/a/b", "/a/" }, { "/a/b/c", "/a" } },
	{ OSH_GLOB_PATH, "/a/**", { "/a/b", "/a/b/c", "/a/" }, { "/a", "/ab" } },
	{ OSH_GLOB_PATH,
	  "/a/**/b",
	  { "/a/b", "/a/x/b", "/a/x/y/b", "/a//b" },
	  { "/ab/b", "/a/xb", "/a" } },
	{ OSH_GLOB_PATH, "/a/**/**/b", { "/a/b", "/a/x/b" }, { "/ab" } },
	{ OSH_GLOB_PATH, "**/b", { "/b", "/x/b", "b" }, { "/b/", "/xb" } },
	{ OSH_GLOB_PATH, "**", { "", "/", "/a/b" }, { NULL } },
	{ OSH_GLOB_PATH, "**/**", { "", "/a", "x" }, { NULL } },
	{ OSH_GLOB_PATH, "/a**", { "/a", "/abc" }, { "/a/b", "/b" } },
	{ OSH_GLOB_PATH, "/***", { "/", "/abc" }, { "/a/b" } },
	/* an alternative without text is no alternative */
	{ OSH_GLOB_PATH, "/x{,y}z", { "/xyz" }, { "/xz" } },
	{ OSH_GLOB_PATH, "/x{}z", { "/xz" }, { "/x{}z" } },
	{ OSH_GLOB_PATH, "/x{a,{b,c}d}", { "/xa", "/xbd", "/xcd" }, { "/xb", "/xd", "/xad" } },
	{ OSH_GLOB_PATH, "/x{/**,y}", { "/x/", "/x/a/b", "/xy" }, { "/x", "/xz" } },
	{ OSH_GLOB_PATH, "/x{**/a,b}", { "/xa", "/xb", "/xq/a", "/x/a" }, { "/xqa" } },
	{ OSH_GLOB_PATH, "/a,b", { "/a,b" }, { "/a", "b" } },
	{ OSH_GLOB_PATH, "/[a-c-e]", { "/a", "/d", "/e" }, { "/-", "/f" } },
	{ OSH_GLOB_PATH, "/[!a]x", { "/bx" }, { "/ax", "//x" } },
	{ OSH_GLOB_PATH, "/[^a]x", { "/bx" }, { "/ax" } },
	{ OSH_GLOB_PATH, "/\\**", { "/*", "/*a" }, { "/a" } },
	{ OSH_GLOB_QUERY, "a.**.b", { "a.x.b", "a..b", "a.x.y.b" }, { "a.b", "axb" } },
	{ OSH_GLOB_QUERY, "1.*", { "1.2", "1." }, { "1.2.3", "12" } },
	{ OSH_GLOB_QUERY, "*", { "", "a/b" }, { "a.b" } },
	{ OSH_GLOB_ENDPOINT_PATH, "/v1/*", { "/v1/chat/messages", "/v1/", "/v1/*" }, { "/v1" } },
	{ OSH_GLOB_ENDPOINT_PATH, "/v1/**", { "/v1", "/v1/x", "/v1/x/y" }, { "/v1x" } },
	{ OSH_GLOB_ENDPOINT_PATH,
	  "/a/**/z",
	  { "/a/z", "/a/b/z", "/a/b/c/z", "/a/**/z" },
	  { "/az", "/a/bz" } },
	{ OSH_GLOB_ENDPOINT_PATH, "/**", { "", "/", "x" }, { NULL } },
	{ OSH_GLOB_ENDPOINT_PATH, "/x[", { "/x[" }, { "/x" } },
	{ OSH_GLOB_ENDPOINT_PATH, "/{a,b}?", { "/{a,b}x", "/{a,b}?" }, { "/ax" } },
	{ OSH_GLOB_BINARY, "/usr/bin/pyth?n", { "/usr/bin/pyth?n" }, { "/usr/bin/python" } },
	{ OSH_GLOB_BINARY, "/usr/lib/**", { "/usr/lib/a", "/usr/lib/a/b" }, { "/usr/lib" } },
};

static void vectors_hold(void **state)
{
	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];

		for (size_t k = 0; k < OSH_ARRAY_SIZE(v->yes) && v->yes[k]; k++)
			if (!matches(v->dialect, v->pattern, v->yes[k]))
				fail_msg("%s should match %s", v->pattern, v->yes[k]);
		for (size_t k = 0; k < OSH_ARRAY_SIZE(v->no) && v->no[k]; k++)
			if (matches(v->dialect, v->pattern, v->no[k]))
				fail_msg("%s should not match %s", v->pattern, v->no[k]);
	}
}

static void nul_never_matches(void **state)
{
	static const char *const patterns[] = { "**", "*", "a*", "*a", "?" };
	struct pattern p;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(patterns); i++) {
		assert_int_equal(compile(OSH_GLOB_QUERY, osh_str(patterns[i]), &p), 0);
		assert_false(osh_glob_match(prog(&p), (struct osh_str){ "a\0a", 3 }));
		osh_buf_fini(&p.buf);
	}
	assert_int_equal(compile(OSH_GLOB_PATH, (struct osh_str){ "/\0", 2 }, &p), -EBADMSG);
	osh_buf_fini(&p.buf);
}

static double run_ms(const char *pattern, struct osh_str input, bool expected)
{
	struct timespec a, b;
	struct pattern p;

	assert_int_equal(compile(OSH_GLOB_PATH, osh_str(pattern), &p), 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(osh_glob_match(prog(&p), input), expected);
	clock_gettime(CLOCK_MONOTONIC, &b);
	osh_buf_fini(&p.buf);
	return (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
}

/* Exponential for a backtracker: hours. Here: states times bytes. */
static void adversarial_patterns_stay_linear(void **state)
{
	char input[4096], stars[1024] = "", braces[1024] = "", globs[1024] = "", nest[512] = "";
	struct osh_str in = { input, sizeof(input) };

	(void)state;
	memset(input, 'a', sizeof(input));
	for (size_t i = 0; i + 3 < sizeof(stars); i += 2)
		memcpy(stars + i, "a*", 3);
	stars[sizeof(stars) - 2] = 'b';
	stars[sizeof(stars) - 1] = '\0';
	for (size_t i = 0; i + 8 < sizeof(braces); i += 7)
		memcpy(braces + i, "{a,aa}*", 8);
	memcpy(braces + 1022 / 7 * 7 - 7, "{b,c}b", 7);
	for (size_t i = 0; i + 8 < sizeof(globs); i += 4)
		memcpy(globs + i, "**/*", 5);
	for (size_t i = 0; i < 60; i++)
		nest[i] = '{';
	for (size_t i = 0; i < 60; i++)
		memcpy(nest + 60 + 3 * i, "a,a", 3), nest[60 + 3 * i + 2] = '}';
	assert_true(run_ms(stars, in, false) < 2000);
	assert_true(run_ms(braces, in, false) < 2000);
	for (size_t i = 1; i < sizeof(input); i += 2)
		input[i] = '/';
	(void)run_ms(globs, in, true);
	assert_true(run_ms(globs, in, true) < 2000);
}

static void program_is_relocatable_and_verified(void **state)
{
	struct osh_buf buf;
	size_t a, b;
	char *copy;

	(void)state;
	osh_buf_init(&buf, 1u << 16, 0);
	assert_int_equal(osh_buf_add(&buf, "xyz", 3), 0);
	assert_int_equal(osh_glob_compile(OSH_GLOB_PATH, OSH_STR("/{a,b}/[x-z]*/c"), &buf, &a), 0);
	assert_int_equal(osh_glob_compile(OSH_GLOB_PATH, OSH_STR("/a/**"), &buf, &b), 0);
	assert_int_equal(a, 8);
	assert_int_equal(b % 8, 0);
	copy = malloc(buf.len);
	assert_non_null(copy);
	memcpy(copy, buf.data, buf.len);
	memset(buf.data, 0xff, buf.len);
	assert_true(osh_glob_match(copy + a, OSH_STR("/b/yy/c")));
	assert_true(osh_glob_match(copy + b, OSH_STR("/a/q")));
	assert_true(osh_glob_verify(copy + a, buf.len - a));
	assert_false(osh_glob_verify(copy + a, osh_glob_size(copy + a) - 8));
	assert_false(osh_glob_verify(buf.data + a, buf.len - a));
	free(copy);
	osh_buf_fini(&buf);
}

static void refused(enum osh_glob_dialect dialect, const char *pattern)
{
	const char *why = NULL;

	if (osh_glob_check(dialect, osh_str(pattern), &why) == 0)
		fail_msg("%s should be refused", pattern);
	assert_non_null(why);
}

static void malformed_is_refused(void **state)
{
	const char *why;
	char long_text[1100];

	(void)state;
	refused(OSH_GLOB_PATH, "/a[");
	refused(OSH_GLOB_PATH, "/a[!");
	refused(OSH_GLOB_PATH, "/a[]");
	refused(OSH_GLOB_PATH, "/a[z-a]");
	refused(OSH_GLOB_PATH, "/{a,b");
	refused(OSH_GLOB_PATH, "/a}");
	refused(OSH_GLOB_PATH, "/a\\");
	refused(OSH_GLOB_PATH, "/[\xc3\xa9]");
	refused(OSH_GLOB_ENDPOINT_PATH, "a/b");
	refused(OSH_GLOB_ENDPOINT_PATH, "/{a");
	refused(OSH_GLOB_HOST, "*");
	refused(OSH_GLOB_HOST, "*.com");
	refused(OSH_GLOB_HOST, "*.com.");
	refused(OSH_GLOB_HOST, "a.**.example.com");
	refused(OSH_GLOB_HOST, "x**.example.com");
	refused(OSH_GLOB_HOST, "a.b*.example.com");
	refused(OSH_GLOB_HOST, "b\xc3\xbc"
			       "cher.example.com");
	refused(OSH_GLOB_HOST, "[Z-a]*.example.com");
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(osh_glob_check(OSH_GLOB_PATH, osh_str(long_text), &why), 0);
	long_text[0] = '*';
	refused(OSH_GLOB_PATH, long_text);
	assert_int_equal(osh_glob_check(OSH_GLOB_BINARY, OSH_STR("/usr/bin/["), &why), 0);
	assert_int_equal(osh_glob_check(OSH_GLOB_HOST, OSH_STR("a[.example.com"), &why), 0);
}

/* ---- against a plain, exponential matcher ---- */

/* Patterns without "**" inside braces; '/' separator. The obvious recursion on the text. */
static bool slow(const char *p, const char *s);

static bool slow_group(const char *p, const char *s)
{
	char piece[64];
	const char *end = p + 1, *from = p + 1;
	int depth = 1;

	while (depth) {
		depth += *end == '{';
		depth -= *end == '}';
		end++;
	}
	for (const char *q = p + 1; q < end; q++) {
		depth += *q == '{';
		if ((*q == ',' && depth == 0) || q == end - 1) {
			bool empty = q == from;

			(void)snprintf(piece, sizeof(piece), "%.*s%s", (int)(q - from), from, end);
			if (!empty && slow(piece, s))
				return true;
			from = q + 1;
		}
		depth -= *q == '}' && q != end - 1;
	}
	return end - p == 2 && slow(end, s); /* "{}" */
}

static bool slow(const char *p, const char *s)
{
	if (!*p)
		return !*s;
	if (*p == '{')
		return slow_group(p, s);
	if (*p == '*') {
		for (;; s++) {
			if (slow(p + 1, s))
				return true;
			if (!*s || *s == '/')
				return false;
		}
	}
	if (!*s || (*p == '?' ? *s == '/' : *p != *s))
		return false;
	return slow(p + 1, s + 1);
}

static unsigned int seed = 12345;

static unsigned int rnd(unsigned int n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static void random_pattern(char *dst, size_t max, int depth)
{
	size_t n = rnd(5) + 1, used = 0;

	for (size_t i = 0; i < n && used + 16 < max; i++) {
		if (depth < 2 && rnd(5) == 0) {
			dst[used++] = '{';
			dst[used++] = "ab/"[rnd(3)];
			dst[used++] = ',';
			random_pattern(dst + used, max - used - 8, depth + 1);
			used += strlen(dst + used);
			dst[used++] = '}';
		} else if (rnd(3) == 0 && (used == 0 || dst[used - 1] != '*')) {
			dst[used++] = '*';
		} else {
			dst[used++] = "ab/?"[rnd(4)];
		}
	}
	/* a star after a group that ends in one would be another story */
	dst[used] = '\0';
}

static void agrees_with_plain_recursion(void **state)
{
	char pattern[64], input[12];

	(void)state;
	for (unsigned int i = 0; i < 4000; i++) {
		struct pattern p;

		random_pattern(pattern, 40, 0);
		if (strstr(pattern, "**"))
			continue;
		assert_int_equal(compile(OSH_GLOB_PATH, osh_str(pattern), &p), 0);
		for (unsigned int k = 0; k < 60; k++) {
			size_t n = rnd(8);

			for (size_t c = 0; c < n; c++)
				input[c] = "ab/"[rnd(3)];
			input[n] = '\0';
			if (osh_glob_match(prog(&p), osh_str(input)) != slow(pattern, input))
				fail_msg("%s on %s: expected %d", pattern, input,
					 slow(pattern, input));
		}
		osh_buf_fini(&p.buf);
	}
}

/* ---- overlap ---- */

static void overlap_is(const char *a, const char *b, int expected)
{
	if (osh_host_patterns_overlap(osh_str(a), osh_str(b)) != expected ||
	    osh_host_patterns_overlap(osh_str(b), osh_str(a)) != expected)
		fail_msg("%s and %s: expected %d", a, b, expected);
}

static void host_overlap(void **state)
{
	(void)state;
	overlap_is("a.example.com", "A.example.com", 1);
	overlap_is("a.example.com", "b.example.com", 0);
	overlap_is("*.example.com", "a.example.com", 1);
	overlap_is("*.example.com", "a.b.example.com", 0);
	overlap_is("**.example.com", "*.b.example.com", 1);
	overlap_is("*.example.com", "*.example.org", 0);
	overlap_is("a*.example.com", "*b.example.com", 1);
	overlap_is("a*.example.com", "b*.example.com", 0);
	overlap_is("*.s3.*.test.com", "x.*.eu.test.com", 1);
	overlap_is("*.s3.*.test.com", "x.s4.*.test.com", 0);
	overlap_is("{red,blue}-*.x.com", "green-*.x.com", 0);
	overlap_is("{red,blue}-*.x.com", "*-1.x.com", 1);
	overlap_is("[a-c]*.x.com", "[d-f]*.x.com", 0);
	overlap_is("", "anything.com", 1);
	assert_int_equal(osh_path_patterns_overlap(OSH_STR("/v1/**"), OSH_STR("/v1")), 1);
	assert_int_equal(osh_path_patterns_overlap(OSH_STR("/v1/**"), OSH_STR("/v2/**")), 0);
	assert_int_equal(osh_path_patterns_overlap(OSH_STR("/v*/x"), OSH_STR("/v1/*")), 1);
	assert_int_equal(osh_path_patterns_overlap(OSH_STR(""), OSH_STR("/v1/*")), 1);
	assert_int_equal(osh_path_patterns_overlap(OSH_STR("/a?"), OSH_STR("/b?")), 0);
	assert_int_equal(osh_glob_specificity(OSH_STR("/v1/**")), 4);
}

/* Two patterns overlap exactly if some short text over a small alphabet matches both. */
static void overlap_agrees_with_search(void **state)
{
	char pa[64], pb[64], input[8];

	(void)state;
	for (unsigned int i = 0; i < 1500; i++) {
		struct pattern a, b;
		bool found = false;

		random_pattern(pa, 24, 1);
		random_pattern(pb, 24, 1);
		assert_int_equal(compile(OSH_GLOB_PATH, osh_str(pa), &a), 0);
		assert_int_equal(compile(OSH_GLOB_PATH, osh_str(pb), &b), 0);
		for (unsigned int code = 0; code < 3 * 3 * 3 * 3 * 3 * 3 * 3 && !found; code++) {
			for (size_t len = 0; len < 7 && !found; len++) {
				unsigned int c = code;

				for (size_t k = 0; k < len; k++, c /= 3)
					input[k] = "ab/"[c % 3];
				found = osh_glob_match(prog(&a), (struct osh_str){ input, len }) &&
					osh_glob_match(prog(&b), (struct osh_str){ input, len });
			}
		}
		if (found && osh_glob_overlap(prog(&a), prog(&b)) != 1)
			fail_msg("%s and %s overlap", pa, pb);
		if (!found && strlen(pa) < 4 && strlen(pb) < 4 &&
		    osh_glob_overlap(prog(&a), prog(&b)) != 0)
			fail_msg("%s and %s do not overlap", pa, pb);
		osh_buf_fini(&a.buf);
		osh_buf_fini(&b.buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_hold),
		cmocka_unit_test(nul_never_matches),
		cmocka_unit_test(adversarial_patterns_stay_linear),
		cmocka_unit_test(program_is_relocatable_and_verified),
		cmocka_unit_test(malformed_is_refused),
		cmocka_unit_test(agrees_with_plain_recursion),
		cmocka_unit_test(host_overlap),
		cmocka_unit_test(overlap_agrees_with_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
