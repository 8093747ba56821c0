/* SPDX-License-Identifier: MIT */
/*
 * Usage: runner FILE.jsonl...
 *
 * Runs every row of the files through the functions of the product. Prints one line per failing row,
 * a table per kind and last "N passed, N failed, N skipped". Exit code 0 when nothing failed.
 */
#include "runner.h"

#include <stdarg.h>
#include <stdio.h>

#define KINDS_MAX 64

struct tally {
	char name[40];
	unsigned int passed, failed, skipped;
	unsigned int author_passed,
		author_failed; /* rows with "strict":"author", counted above too */
};

static struct tally tallies[KINDS_MAX];
static size_t n_tallies;

static const struct kind *const all_kinds[] = { net_kinds,    http_kinds,   body_kinds,
						policy_kinds, decide_kinds, misc_kinds };

/* ---- helpers for the kinds ---- */

static void put(struct osh_buf *buf, const char *fmt, va_list ap)
{
	int r;

	osh_buf_reset(buf);
	r = osh_buf_vprintf(buf, fmt, ap);
	if (r < 0)
		osh_buf_reset(buf); /* too long to print: the line stays empty */
}

bool want(struct outcome *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(&out->want, fmt, ap);
	va_end(ap);
	return false;
}

bool got(struct outcome *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(&out->got, fmt, ap);
	va_end(ap);
	return false;
}

bool same_bool(struct outcome *out, bool expected, bool actual)
{
	if (expected == actual)
		return true;
	want(out, "%s", expected ? "true" : "false");
	return got(out, "%s", actual ? "true" : "false");
}

bool same_str(struct outcome *out, struct osh_str expected, struct osh_str actual)
{
	if (osh_str_eq(expected, actual))
		return true;
	want(out, "%s", osh_quote(expected));
	return got(out, "%s", osh_quote(actual));
}

bool same_opt(struct outcome *out, const json_t *expected, bool accepted, struct osh_str actual)
{
	struct osh_str text;

	if (!expected || (!json_is_null(expected) && !json_is_string(expected))) {
		out->malformed = true;
		return false;
	}
	if (json_is_null(expected)) {
		if (!accepted)
			return true;
		want(out, "refused");
		return got(out, "%s", osh_quote(actual));
	}
	text = (struct osh_str){ json_string_value(expected), json_string_length(expected) };
	if (!accepted) {
		want(out, "%s", osh_quote(text));
		return got(out, "refused");
	}
	return same_str(out, text, actual);
}

struct osh_str text_of(struct outcome *out, const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);

	if (!json_is_string(v)) {
		out->malformed = true;
		return OSH_STR("");
	}
	return (struct osh_str){ json_string_value(v), json_string_length(v) };
}

struct osh_str latin1(struct outcome *out, struct osh_str utf8)
{
	char *mem = osh_arena_alloc(&out->arena, utf8.n + 1);
	size_t n = 0;

	for (size_t i = 0; mem && i < utf8.n; i++) {
		unsigned char c = (unsigned char)utf8.p[i];

		if (c < 0x80) {
			mem[n++] = (char)c;
		} else if ((c == 0xc2 || c == 0xc3) && i + 1 < utf8.n) {
			mem[n++] = (char)((c & 3) << 6 | ((unsigned char)utf8.p[++i] & 0x3f));
		} else {
			mem = NULL; /* beyond U+00FF: not a byte string */
		}
	}
	if (!mem) {
		out->malformed = true;
		return OSH_STR("");
	}
	return (struct osh_str){ mem, n };
}

struct osh_str bytes_of(struct outcome *out, const json_t *row, const char *key)
{
	return latin1(out, text_of(out, row, key));
}

bool bool_of(struct outcome *out, const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);

	if (!json_is_boolean(v))
		out->malformed = true;
	return json_is_true(v);
}

bool opt_bool(const json_t *row, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(row, key);

	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

struct osh_str opt_text(const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);

	if (!json_is_string(v))
		return OSH_STR_NONE;
	return (struct osh_str){ json_string_value(v), json_string_length(v) };
}

long opt_int(const json_t *row, const char *key, long otherwise)
{
	const json_t *v = json_object_get(row, key);

	return json_is_integer(v) ? (long)json_integer_value(v) : otherwise;
}

/* ---- rows ---- */

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(all_kinds); i++)
		for (const struct kind *k = all_kinds[i]; k->name; k++)
			if (osh_str_is(osh_str(k->name), name))
				return k;
	return NULL;
}

static struct tally *tally_for(const char *name)
{
	static struct tally overflow = { .name = "(other kinds)" };

	for (size_t i = 0; i < n_tallies; i++)
		if (osh_str_is(osh_str(tallies[i].name), name))
			return &tallies[i];
	if (n_tallies == KINDS_MAX)
		return &overflow;
	(void)osh_strlcpy(tallies[n_tallies].name, name, sizeof(tallies[0].name));
	return &tallies[n_tallies++];
}

static void report(const char *id, const char *kind, const char *strict, const char *expected,
		   const char *actual)
{
	printf("FAIL %s %s%s%s expected %s got %s\n", id, kind, strict ? " strict:" : "",
	       strict ? strict : "", expected, actual);
}

static void run_row(const json_t *row, const char *place)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *name = json_string_value(json_object_get(row, "kind"));
	const char *strict = json_string_value(json_object_get(row, "strict"));
	const struct kind *kind = name ? find_kind(name) : NULL;
	struct tally *tally = tally_for(name ? name : "(malformed)");
	struct outcome out = { 0 };
	bool ok = false;

	if (!id)
		id = place;
	if (!name) {
		tally->failed++;
		report(id, "(malformed)", NULL, "an object with a kind", "something else");
		return;
	}
	if (!kind || (!kind->fn && kind->later)) {
		tally->skipped++;
		return;
	}
	osh_buf_init(&out.want, 1u << 20, 0);
	osh_buf_init(&out.got, 1u << 20, 0);
	osh_arena_init(&out.arena, 64u << 20);
	if (!kind->fn) {
		want(&out, "a result");
		got(&out, "nothing: this kind is not built");
	} else {
		ok = kind->fn(row, &out);
	}
	if (out.malformed) {
		ok = false;
		want(&out, "a well-formed row");
		got(&out, "a member that is missing or of the wrong type");
	}
	if (ok) {
		tally->passed++;
		tally->author_passed += strict && osh_str_is(osh_str(strict), "author");
	} else {
		tally->failed++;
		tally->author_failed += strict && osh_str_is(osh_str(strict), "author");
		report(id, name, strict, osh_buf_str(&out.want).p, osh_buf_str(&out.got).p);
	}
	osh_buf_fini(&out.want);
	osh_buf_fini(&out.got);
	osh_arena_fini(&out.arena);
}

static void run_line(const char *line, size_t n, const char *file, unsigned long no)
{
	char place[512];
	json_error_t err;
	json_t *row;

	(void)snprintf(place, sizeof(place), "%s:%lu", file, no);
	row = json_loadb(line, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &err);
	if (!row) {
		tally_for("(malformed)")->failed++;
		report(place, "(malformed)", NULL, "one JSON object per line", err.text);
		return;
	}
	run_row(row, place);
	json_decref(row);
}

static int run_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	unsigned long no = 0;
	ssize_t n;

	if (!f) {
		tally_for("(malformed)")->failed++;
		report(path, "(malformed)", NULL, "a readable file", strerror(errno));
		return -errno;
	}
	while ((n = getline(&line, &cap, f)) > 0) {
		no++;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (n > 0)
			run_line(line, (size_t)n, path, no);
	}
	free(line);
	(void)fclose(f); /* only read */
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0, skipped = 0, author_bad = 0;

	for (int i = 1; i < argc; i++)
		(void)run_file(argv[i]); /* an unreadable file is counted as a failure */
	printf("\n%-18s %7s %7s %7s   %s\n", "kind", "passed", "failed", "skipped",
	       "strict:author");
	for (size_t i = 0; i < n_tallies; i++) {
		const struct tally *t = &tallies[i];
		char author[48] = "";

		if (t->author_passed + t->author_failed)
			(void)snprintf(author, sizeof(author), "%u of %u", t->author_passed,
				       t->author_passed + t->author_failed);
		printf("%-18s %7u %7u %7u   %s\n", t->name, t->passed, t->failed, t->skipped,
		       author);
		passed += t->passed;
		failed += t->failed;
		skipped += t->skipped;
		author_bad += t->author_failed;
	}
	if (author_bad)
		printf("%u of the failed rows are strict:author\n", author_bad);
	for (size_t i = 0; i < n_tallies; i++)
		if (tallies[i].skipped)
			printf("skipped: %u rows of kind %s: %s\n", tallies[i].skipped,
			       tallies[i].name,
			       find_kind(tallies[i].name) ? "its subject is not built yet"
							  : "unknown kind");
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
