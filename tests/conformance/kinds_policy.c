/* SPDX-License-Identifier: MIT */
/* Policy documents: acceptance, warnings, identity, static sections, merge. */
#include "policy/hash.h"
#include "policy/merge.h"
#include "policy/names.h"
#include "policy/serialise.h"
#include "policy/validate.h"
#include "runner.h"

#define TEXT_MAX (8u << 20)

static bool contains(const struct osh_buf *text, struct osh_str part)
{
	return part.n == 0 || memmem(text->data ? text->data : "", text->len, part.p, part.n);
}

/* All messages of one level in one line. */
static void joined(const struct osh_diag *diag, enum osh_diag_level level, struct osh_buf *ret)
{
	osh_buf_init(ret, TEXT_MAX, 0);
	if (osh_diag_join(diag, level, ret) < 0)
		osh_buf_reset(ret);
}

static bool has_message(struct outcome *out, const struct osh_diag *diag, enum osh_diag_level level,
			struct osh_str part)
{
	osh_auto_bufmem struct osh_buf text;

	joined(diag, level, &text);
	if (!part.p || contains(&text, part))
		return true;
	want(out, "a message with %s", osh_quote(part));
	return got(out, "%s", osh_quote(osh_buf_str(&text)));
}

static bool row_validate(const json_t *row, struct outcome *out)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	osh_auto_bufmem struct osh_buf text;
	osh_auto_diag struct osh_diag diag;
	bool valid;

	osh_diag_init(&diag, NULL);
	valid = osh_policy_load(text_of(out, row, "policy"), NULL, &policy, &diag) == 0;
	if (!same_bool(out, bool_of(out, row, "valid"), valid)) {
		joined(&diag, OSH_DIAG_ERROR, &text);
		return got(out, "%s %s", valid ? "true" : "false", osh_quote(osh_buf_str(&text)));
	}
	osh_buf_init(&text, 0, 0);
	return has_message(out, &diag, OSH_DIAG_ERROR, opt_text(row, "message_contains"));
}

/* Loads what must load; a refusal is the row's result. */
static struct osh_policy *load(struct outcome *out, struct osh_str text, struct osh_diag *diag)
{
	struct osh_policy *policy = NULL;

	if (osh_policy_load(text, NULL, &policy, diag) < 0) {
		osh_auto_bufmem struct osh_buf errors;

		joined(diag, OSH_DIAG_ERROR, &errors);
		want(out, "an accepted policy");
		got(out, "%s", osh_quote(osh_buf_str(&errors)));
		return NULL;
	}
	return policy;
}

static bool row_warn(const json_t *row, struct outcome *out)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	osh_auto_diag struct osh_diag diag;

	osh_diag_init(&diag, NULL);
	policy = load(out, text_of(out, row, "policy"), &diag);
	if (!policy)
		return false;
	osh_policy_portability(policy, &diag); /* as `policy check` does */
	return has_message(out, &diag, OSH_DIAG_WARNING, text_of(out, row, "warning_contains"));
}

static bool hash_of(struct outcome *out, const struct osh_policy *policy, char hex[OSH_SHA256_HEX])
{
	if (osh_policy_hash(policy, hex) == 0)
		return true;
	want(out, "a hash");
	return got(out, "none");
}

static bool compare_hash(const json_t *row, struct outcome *out, const char *key, const char *hash,
			 bool same)
{
	osh_auto_policy struct osh_policy *other = NULL;
	struct osh_str text = opt_text(row, key);
	osh_auto_diag struct osh_diag diag;
	char hex[OSH_SHA256_HEX];

	osh_diag_init(&diag, NULL);
	if (!text.p)
		return true;
	other = load(out, text, &diag);
	if (!other || !hash_of(out, other, hex))
		return false;
	if ((memcmp(hash, hex, OSH_SHA256_HEX) == 0) == same)
		return true;
	want(out, "%s %s", key, hash);
	return got(out, "%s", hex);
}

static bool row_roundtrip(const json_t *row, struct outcome *out)
{
	osh_auto_policy struct osh_policy *policy = NULL, *again = NULL;
	osh_auto_bufmem struct osh_buf yaml;
	osh_auto_diag struct osh_diag diag;
	char hash[OSH_SHA256_HEX], hash2[OSH_SHA256_HEX];

	osh_diag_init(&diag, NULL);
	osh_buf_init(&yaml, TEXT_MAX, 0);
	policy = load(out, text_of(out, row, "policy"), &diag);
	if (!policy || !hash_of(out, policy, hash))
		return false;
	if (osh_policy_to_yaml(policy, &yaml) < 0)
		return got(out, "no serialisation");
	again = load(out, osh_buf_str(&yaml), &diag);
	if (!again || !hash_of(out, again, hash2))
		return false;
	if (!osh_policy_eq(policy, again) || memcmp(hash, hash2, sizeof(hash)) != 0) {
		want(out, "the same policy after parsing its serialisation");
		return got(out, "%s", osh_quote(osh_buf_str(&yaml)));
	}
	return compare_hash(row, out, "same_hash_as", hash, true) &&
	       compare_hash(row, out, "different_hash_from", hash, false);
}

static bool row_static_diff(const json_t *row, struct outcome *out)
{
	osh_auto_policy struct osh_policy *base = NULL, *next = NULL;
	osh_auto_diag struct osh_diag diag;
	bool allowed;

	osh_diag_init(&diag, NULL);
	base = load(out, text_of(out, row, "old"), &diag);
	next = load(out, text_of(out, row, "new"), &diag);
	if (!base || !next)
		return false;
	allowed = osh_policy_static_diff(base, next, &diag) == 0;
	return same_bool(out, bool_of(out, row, "allowed"), allowed) &&
	       has_message(out, &diag, OSH_DIAG_ERROR, opt_text(row, "message_contains"));
}

static bool row_fs_path(const json_t *row, struct outcome *out)
{
	osh_auto_bufmem struct osh_buf path;
	bool ok;

	osh_buf_init(&path, TEXT_MAX, 0);
	ok = osh_fs_path_normalise(text_of(out, row, "path"), &path) == 0;
	return same_opt(out, json_object_get(row, "normalized"), ok, osh_buf_str(&path));
}

static bool row_rule_name(const json_t *row, struct outcome *out)
{
	struct osh_str name = osh_merge_rule_name(&out->arena, text_of(out, row, "host"),
						  (unsigned int)opt_int(row, "port", 0));

	return same_str(out, text_of(out, row, "name"), name);
}

/* Whole documents, for a reader who compares: line ends become "; ". */
static const char *one_line(struct outcome *out, struct osh_str text)
{
	char *mem = osh_arena_alloc(&out->arena, 2 * text.n + 1);
	size_t n = 0;

	if (!mem)
		return "(too long)";
	for (size_t i = 0; i < text.n; i++) {
		mem[n++] = text.p[i] == '\n' ? ';' : text.p[i];
		if (text.p[i] == '\n')
			mem[n++] = ' ';
	}
	return mem;
}

static bool compare_result(struct outcome *out, struct osh_str expected,
			   const struct osh_policy *result)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	osh_auto_bufmem struct osh_buf yaml, expected_yaml;
	osh_auto_diag struct osh_diag diag;

	osh_diag_init(&diag, NULL);
	osh_buf_init(&yaml, TEXT_MAX, 0);
	osh_buf_init(&expected_yaml, TEXT_MAX, 0);
	policy = load(out, expected, &diag);
	if (!policy)
		return false;
	if (osh_policy_eq(policy, result))
		return true;
	if (osh_policy_to_yaml(policy, &expected_yaml) < 0 || osh_policy_to_yaml(result, &yaml) < 0)
		return got(out, "no serialisation");
	want(out, "%s", one_line(out, osh_buf_str(&expected_yaml)));
	return got(out, "%s", one_line(out, osh_buf_str(&yaml)));
}

#define FLAGS_MAX 256

static bool row_merge(const json_t *row, struct outcome *out)
{
	const json_t *ops = json_object_get(row, "ops"), *expect = json_object_get(row, "result");
	osh_auto_policy struct osh_policy *base = NULL, *result = NULL;
	osh_auto_merge struct osh_merge *merge = NULL;
	struct osh_merge_flag flags[FLAGS_MAX];
	size_t n = json_array_size(ops) / 2;
	osh_auto_diag struct osh_diag base_diag, diag;
	int r;

	osh_diag_init(&base_diag, NULL);
	osh_diag_init(&diag, NULL);
	if (!json_is_array(ops) || n > FLAGS_MAX || json_array_size(ops) % 2 || !expect) {
		out->malformed = true;
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		flags[i].flag = osh_str(json_string_value(json_array_get(ops, 2 * i)));
		flags[i].value = osh_str(json_string_value(json_array_get(ops, 2 * i + 1)));
	}
	base = load(out, text_of(out, row, "base"), &base_diag);
	if (!base)
		return false;
	r = osh_merge_parse(flags, n, &merge, &diag);
	if (r == 0)
		r = osh_merge_apply(base, merge, &result, &diag);
	if (!has_message(out, &diag, OSH_DIAG_WARNING, opt_text(row, "warning_contains")))
		return false;
	if (json_is_null(expect)) {
		if (r < 0)
			return has_message(out, &diag, OSH_DIAG_ERROR,
					   opt_text(row, "error_contains"));
		want(out, "refused");
		return got(out, "accepted");
	}
	if (r < 0) {
		osh_auto_bufmem struct osh_buf errors;

		joined(&diag, OSH_DIAG_ERROR, &errors);
		want(out, "accepted");
		return got(out, "%s", osh_quote(osh_buf_str(&errors)));
	}
	return compare_result(out, text_of(out, row, "result"), result);
}

const struct kind policy_kinds[] = {
	{ "validate", row_validate, false },   { "warn", row_warn, false },
	{ "roundtrip", row_roundtrip, false }, { "merge", row_merge, false },
	{ "rule_name", row_rule_name, false }, { "static_diff", row_static_diff, false },
	{ "fs_path", row_fs_path, false },     { 0 },
};
