/* SPDX-License-Identifier: MIT */
#include "policy/settings.h"

#include <errno.h>
#include <stdio.h>

static const char *const approval_modes[] = { "manual", "auto", NULL };

static const struct osh_setting settings[] = {
	{ "agent_policy_proposals_enabled", true, NULL },
	{ "ocsf_json_enabled", true, NULL },
	{ "proposal_approval_mode", false, approval_modes },
	{ "providers_v2_enabled", true, NULL },
};

size_t osh_settings(const struct osh_setting **ret_settings)
{
	*ret_settings = settings;
	return OSH_ARRAY_SIZE(settings);
}

const struct osh_setting *osh_setting_find(struct osh_str key)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(settings); i++)
		if (osh_str_is(key, settings[i].key))
			return &settings[i];
	return NULL;
}

static const char *parse_bool(struct osh_str text)
{
	static const char *const yes[] = { "1", "true", "yes", "y", "on" };
	static const char *const no[] = { "0", "false", "no", "n", "off" };

	text = osh_str_trim(text);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(yes); i++) {
		if (osh_str_ieq(text, osh_str(yes[i])))
			return "true";
		if (osh_str_ieq(text, osh_str(no[i])))
			return "false";
	}
	return NULL;
}

/* Comma-separated names, cut at @size. */
static void join(char *dst, size_t size, const char *const *words)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; words[i] && at < size; i++)
		at += (size_t)snprintf(dst + at, size - at, "%s%s", i ? ", " : "", words[i]);
}

int osh_setting_check(struct osh_str key, struct osh_str value, const char **ret_value,
		      char ret_message[OSH_SETTING_MESSAGE_MAX])
{
	const struct osh_setting *s = osh_setting_find(key);
	/* what goes into a message is bounded; keys and values are short or wrong */
	struct osh_str k = osh_str_sub(key, 0, 100), v = osh_str_sub(value, 0, 100);
	char list[192];

	if (!s) {
		const char *keys[OSH_ARRAY_SIZE(settings) + 1] = { NULL };

		for (size_t i = 0; i < OSH_ARRAY_SIZE(settings); i++)
			keys[i] = settings[i].key;
		join(list, sizeof(list), keys);
		(void)snprintf(ret_message, OSH_SETTING_MESSAGE_MAX,
			       "unknown setting key '%.*s'. Allowed keys: %s", OSH_STR_FMT(k),
			       list);
		return -ENOENT;
	}
	if (s->is_bool) {
		*ret_value = parse_bool(value);
		if (*ret_value)
			return 0;
		(void)snprintf(ret_message, OSH_SETTING_MESSAGE_MAX,
			       "invalid bool value '%.*s' for key '%s'; expected one of: "
			       "true,false,yes,no,1,0",
			       OSH_STR_FMT(v), s->key);
		return -EINVAL;
	}
	for (const char *const *w = s->words; *w; w++) {
		if (osh_str_is(value, *w)) {
			*ret_value = *w;
			return 0;
		}
	}
	join(list, sizeof(list), s->words);
	(void)snprintf(ret_message, OSH_SETTING_MESSAGE_MAX,
		       "invalid value '%.*s' for key '%s'; expected one of: %s", OSH_STR_FMT(v),
		       s->key, list);
	return -EINVAL;
}
