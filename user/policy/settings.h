/* SPDX-License-Identifier: MIT */
/* The registry of settings (`settings set`): which keys there are and what their values may be. */
#ifndef OSH_POLICY_SETTINGS_H
#define OSH_POLICY_SETTINGS_H

#include "base/str.h"

struct osh_setting {
	const char *key;
	bool is_bool;
	const char *const *words; /* allowed texts, NULL-terminated; NULL for a bool */
};

#define OSH_SETTING_MESSAGE_MAX 512 /* bytes of a refusal, NUL included */

/* Every setting, sorted by key. */
size_t osh_settings(const struct osh_setting **ret_settings);
/* NULL: no such key. */
const struct osh_setting *osh_setting_find(struct osh_str key);
/*
 * The canonical text ("true", "false", or one of the words; static). -ENOENT: unknown key, -EINVAL:
 * bad value; @ret_message says so for people.
 */
int osh_setting_check(struct osh_str key, struct osh_str value, const char **ret_value,
		      char ret_message[OSH_SETTING_MESSAGE_MAX]) OSH_MUST_CHECK;

#endif
