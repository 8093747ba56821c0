/* SPDX-License-Identifier: MIT */
#include "policy/names.h"

#include <stdio.h>

static bool fail(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return false;
}

static bool is_lower_alnum(char c)
{
	return osh_is_digit(c) || (c >= 'a' && c <= 'z');
}

bool osh_sandbox_name_ok(struct osh_str name, const char **ret_why)
{
	if (name.n == 0)
		return fail(ret_why, "is empty");
	if (name.n > OSH_SANDBOX_NAME_MAX)
		return fail(ret_why, "is longer than 19 characters");
	for (size_t i = 0; i < name.n; i++) {
		if (!is_lower_alnum(name.p[i]) && name.p[i] != '-')
			return fail(ret_why, "may contain only a-z, 0-9 and '-'");
		if (i > 0 && name.p[i] == '-' && name.p[i - 1] == '-')
			return fail(ret_why, "must not contain \"--\"");
	}
	if (name.p[0] == '-' || name.p[name.n - 1] == '-')
		return fail(ret_why, "must begin and end with a letter or a digit");
	return true;
}

bool osh_env_key_ok(struct osh_str key, const char **ret_why)
{
	if (key.n == 0)
		return fail(ret_why, "is empty");
	if (osh_is_digit(key.p[0]))
		return fail(ret_why, "must not begin with a digit");
	for (size_t i = 0; i < key.n; i++)
		if (!osh_is_alnum(key.p[i]) && key.p[i] != '_')
			return fail(ret_why, "may contain only letters, digits and '_'");
	if (osh_str_has_prefix(key, OSH_STR("OPENSHELL_")))
		return fail(ret_why,
			    "is reserved: keys that begin with OPENSHELL_ are set by OpenShell");
	return true;
}

bool osh_env_key_is_secret(struct osh_str key)
{
	static const char *const single[] = { "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL" };
	static const char *const before_key[] = { "ACCESS", "SECRET", "API" };
	struct osh_str rest = key, segment, previous = OSH_STR("");

	while (osh_str_split(&rest, '_', &segment)) {
		for (size_t i = 0; i < OSH_ARRAY_SIZE(single); i++)
			if (osh_str_ieq(segment, osh_str(single[i])))
				return true;
		if (osh_str_ieq(segment, OSH_STR("KEY")))
			for (size_t i = 0; i < OSH_ARRAY_SIZE(before_key); i++)
				if (osh_str_ieq(previous, osh_str(before_key[i])))
					return true;
		previous = segment;
	}
	return false;
}

int osh_fs_path_normalise(struct osh_str path, struct osh_buf *ret_path)
{
	bool absolute = path.n > 0 && path.p[0] == '/';
	struct osh_str rest = path, part;
	bool first = true;
	int r = 0;

	if (absolute)
		r = osh_buf_add_c(ret_path, '/');
	while (r == 0 && osh_str_split(&rest, '/', &part)) {
		if (part.n == 0 || osh_str_is(part, "."))
			continue;
		if (!first)
			r = osh_buf_add_c(ret_path, '/');
		if (r == 0)
			r = osh_buf_add_str(ret_path, part);
		first = false;
	}
	return r;
}

bool osh_fs_path_has_dotdot(struct osh_str path)
{
	struct osh_str rest = path, part;

	while (osh_str_split(&rest, '/', &part))
		if (osh_str_is(part, ".."))
			return true;
	return false;
}

static int duration_error(char *ret_message, size_t size, const char *before, struct osh_str text,
			  const char *after)
{
	struct osh_str cut = osh_str_sub(text, 0, osh_utf8_cut(text, 80));

	if (ret_message)
		(void)snprintf(ret_message, size, "%s%.*s%s", before, OSH_STR_FMT(cut), after);
	return -EBADMSG;
}

/* Start of the last character, which may be more than one byte. */
static size_t last_char(struct osh_str s)
{
	size_t at = s.n - 1;

	while (at > 0 && ((unsigned char)s.p[at] & 0xc0) == 0x80)
		at--;
	return at;
}

int osh_duration_parse(struct osh_str text, uint64_t *ret_seconds, char *ret_message, size_t size)
{
	static const struct {
		const char *unit;
		unsigned int seconds;
	} units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 } };
	struct osh_str s = osh_str_trim(text), number, unit;
	unsigned int factor = 0;
	uint64_t value;

	if (s.n == 0)
		return duration_error(ret_message, size, "empty duration string", OSH_STR(""), "");
	number = osh_str_sub(s, 0, last_char(s));
	unit = osh_str_sub(s, number.n, s.n);
	if (osh_parse_u64(number, UINT64_MAX / 3600, &value) < 0)
		return duration_error(ret_message, size, "invalid duration: ", s,
				      " (expected e.g. 5m, 1h, 30s)");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(units); i++)
		if (osh_str_is(unit, units[i].unit))
			factor = units[i].seconds;
	if (!factor)
		return duration_error(ret_message, size, "unknown duration unit: ", unit,
				      " (use s, m, or h)");
	*ret_seconds = value * factor;
	return 0;
}

unsigned int osh_log_level_rank(struct osh_str level)
{
	static const struct {
		const char *name;
		unsigned int rank;
	} ranks[] = { { "ERROR", 0 }, { "WARN", 1 },  { "INFO", 2 },
		      { "OCSF", 2 },  { "DEBUG", 3 }, { "TRACE", 4 } };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(ranks); i++)
		if (osh_str_ieq(level, osh_str(ranks[i].name)))
			return ranks[i].rank;
	return 5;
}

bool osh_log_level_shown(struct osh_str line_level, struct osh_str requested)
{
	if (requested.n == 0)
		return true;
	return osh_log_level_rank(line_level) <= osh_log_level_rank(requested);
}
