/* SPDX-License-Identifier: MIT */
/* Names, durations, log levels; and the kinds whose subject no release has yet. */
#include <stdio.h>

#include "audit/record.h"
#include "policy/names.h"
#include "policy/settings.h"
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

/*
 * Event names are "<subject>_<outcome>"; the subject chooses the record's class, the outcome its
 * verdict, and the record its level.
 */
static bool row_event_level(const json_t *row, struct outcome *out)
{
	static const struct {
		const char *word;
		int value;
	} subjects[] = {
		{ "connect", OSH_REC_CONNECT }, { "l4", OSH_REC_CONNECT },
		{ "request", OSH_REC_L7 }, { "l7", OSH_REC_L7 }, { "http", OSH_REC_L7 },
		{ "websocket", OSH_REC_L7 }, { "ssrf", OSH_REC_SSRF }, { "bypass", OSH_REC_BYPASS },
		{ "dns", OSH_REC_DNS }, { "tls", OSH_REC_TLS }, { "parser", OSH_REC_PARSER_REJECT },
		{ "parse", OSH_REC_PARSER_REJECT }, { "authority", OSH_REC_AUTHORITY },
		{ "upstream", OSH_REC_UPSTREAM }, { "process", OSH_REC_PROCESS },
		{ "policy", OSH_REC_POLICY }, { "sandbox", OSH_REC_SANDBOX },
	}, outcomes[] = {
		{ "allow_upgrade", OSH_REC_ALLOW_UPGRADE }, { "upgrade", OSH_REC_ALLOW_UPGRADE },
		{ "allowed", OSH_REC_ALLOW }, { "allow", OSH_REC_ALLOW },
		{ "denied", OSH_REC_DENY }, { "deny", OSH_REC_DENY },
		{ "blocked", OSH_REC_DENY }, { "rejected", OSH_REC_DENY },
		{ "reject", OSH_REC_DENY }, { "refused", OSH_REC_DENY },
		{ "mismatch", OSH_REC_DENY }, { "detected", OSH_REC_DENY },
		{ "failed", OSH_REC_DENY }, { "audited", OSH_REC_AUDIT },
		{ "audit", OSH_REC_AUDIT }, { "loaded", OSH_REC_NOTE },
		{ "started", OSH_REC_NOTE }, { "exited", OSH_REC_NOTE },
		{ "created", OSH_REC_NOTE }, { "deleted", OSH_REC_NOTE },
	};
	struct osh_str event = text_of(out, row, "event");
	int class = -1, verdict = -1;
	struct osh_rec rec;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(subjects) && class < 0; i++)
		if (osh_str_has_prefix(event, osh_str(subjects[i].word)))
			class = subjects[i].value;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(outcomes) && verdict < 0; i++)
		if (osh_str_has_suffix(event, osh_str(outcomes[i].word)))
			verdict = outcomes[i].value;
	if (class < 0 || verdict < 0) {
		want(out, "a known event");
		return got(out, "%s", osh_quote(event));
	}
	osh_rec_init(&rec, (enum osh_rec_class) class, (enum osh_rec_verdict)verdict, 1);
	return same_str(out, text_of(out, row, "level"), osh_str(osh_rec_level_name(rec.level)));
}

static bool row_setting(const json_t *row, struct outcome *out)
{
	const json_t *result = json_object_get(row, "result");
	struct osh_str contains = opt_text(row, "error_contains");
	char message[OSH_SETTING_MESSAGE_MAX] = "";
	const char *value = NULL;
	int r = osh_setting_check(text_of(out, row, "key"), text_of(out, row, "value"), &value,
				  message);

	if (json_is_null(result)) {
		if (r == 0)
			return want(out, "refused"), got(out, "%s", value);
		if (contains.p && !memmem(message, strlen(message), contains.p, contains.n))
			return want(out, "%.*s", OSH_STR_FMT(contains)), got(out, "%s", message);
		return true;
	}
	if (r < 0)
		return want(out, "accepted"), got(out, "%s", message);
	if (json_is_boolean(result))
		return same_bool(out, json_is_true(result), strcmp(value, "true") == 0);
	return same_str(out, osh_str(json_string_value(result)), osh_str(value));
}

const struct kind misc_kinds[] = {
	{ "duration", row_duration, false },
	{ "sandbox_name", row_sandbox_name, false },
	{ "env_var", row_env_var, false },
	{ "log_level", row_log_level, false },
	{ "event_level", row_event_level, false },
	{ "setting", row_setting, false },
	{ "placeholder", NULL, true },
	{ "redact", NULL, true },
	{ "aws_region", NULL, true },
	{ 0 },
};
