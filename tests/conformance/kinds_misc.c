/* SPDX-License-Identifier: MIT */
/* Names, durations, log levels; and the kinds whose subject no release has yet. */
#include <stdio.h>

#include "policy/names.h"
#include "runner.h"

static bool row_duration(const json_t *row, struct outcome *out)
{
	const json_t *expect = json_object_get(row, "seconds");
	uint64_t seconds = 0;
	char message[128];
	bool ok = osh_duration_parse(text_of(out, row, "text"), &seconds, message,
				     sizeof(message)) == 0;

	if (json_is_null(expect)) {
		if (!ok)
			return true;
		want(out, "refused");
		return got(out, "%llu", (unsigned long long)seconds);
	}
	if (!json_is_integer(expect))
		out->malformed = true;
	else if (ok && (uint64_t)json_integer_value(expect) == seconds)
		return true;
	want(out, "%lld", (long long)json_integer_value(expect));
	return ok ? got(out, "%llu", (unsigned long long)seconds) : got(out, "refused");
}

static bool row_sandbox_name(const json_t *row, struct outcome *out)
{
	return same_bool(out, bool_of(out, row, "valid"),
			 osh_sandbox_name_ok(text_of(out, row, "name"), NULL));
}

static bool row_env_var(const json_t *row, struct outcome *out)
{
	struct osh_str name = text_of(out, row, "name");

	return same_bool(out, bool_of(out, row, "valid"), osh_env_key_ok(name, NULL)) &&
	       same_bool(out, bool_of(out, row, "warns"), osh_env_key_is_secret(name));
}

static bool row_log_level(const json_t *row, struct outcome *out)
{
	return same_bool(out, bool_of(out, row, "shown"),
			 osh_log_level_shown(text_of(out, row, "line_level"),
					     text_of(out, row, "requested")));
}

const struct kind misc_kinds[] = {
	{ "duration", row_duration, false },
	{ "sandbox_name", row_sandbox_name, false },
	{ "env_var", row_env_var, false },
	{ "log_level", row_log_level, false },
	{ "event_level", NULL, false },
	{ "setting", NULL, true },
	{ "placeholder", NULL, true },
	{ "redact", NULL, true },
	{ "no_proxy", NULL, true },
	{ "aws_region", NULL, true },
	{ 0 },
};
