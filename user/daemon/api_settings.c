/* SPDX-License-Identifier: MIT */
/* Methods Settings*. Values are kept as text; the registry below says what they may be. */
#include "daemon/api.h"

#include <errno.h>

static const struct setting {
	const char *key;
	bool is_bool;
	const char *const *words; /* allowed texts, NULL-terminated; bools have none */
} settings[] = {
	/* sorted: lists print them in this order */
	{ "agent_policy_proposals_enabled", true, NULL },
	{ "ocsf_json_enabled", true, NULL },
	{ "proposal_approval_mode", false, (const char *const[]){ "manual", "auto", NULL } },
	{ "providers_v2_enabled", true, NULL },
};

static const struct setting *find(const char *key)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(settings); i++)
		if (strcmp(settings[i].key, key) == 0)
			return &settings[i];
	return NULL;
}

/* "true" or "false"; NULL: neither. */
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

/* Canonical value, or NULL after ending the call. */
static const char *check_value(struct osh_ctl_call *call, const struct setting *s,
			       const char *value)
{
	if (s->is_bool) {
		const char *b = parse_bool(osh_str(value));

		if (!b)
			osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL,
				     "invalid bool value '%s' for key '%s'; expected one of: "
				     "true,false,yes,no,1,0",
				     value, s->key);
		return b;
	}
	for (const char *const *w = s->words; *w; w++)
		if (strcmp(*w, value) == 0)
			return *w;
	osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL,
		     "invalid value '%s' for key '%s'; expected one of: %s, %s", value, s->key,
		     s->words[0], s->words[1]);
	return NULL;
}

struct target {
	const char *scope;
	struct osh_sandbox *sb; /* NULL: global */
};

static int read_target(struct osh_ctl_call *call, const struct osh_jval *params, struct target *t)
{
	bool global;

	if (osh_ctl_param_bool_opt(call, params, "global", false, &global) < 0)
		return -EINVAL;
	*t = (struct target){ .scope = OSH_STATE_GLOBAL_SCOPE };
	if (global)
		return 0;
	if (osh_api_sandbox(call, params, "sandbox", &t->sb) < 0)
		return -EINVAL;
	t->scope = t->sb->name;
	return 0;
}

/* A setting somebody may change here; NULL after ending the call. */
static const struct setting *writable(struct osh_ctl_call *call, const struct osh_jval *params,
				      const struct target *t, const char *verb)
{
	osh_auto_free char *global = NULL;
	const struct setting *s;
	const char *key;

	if (osh_ctl_param_str(call, params, "key", 256, &key) < 0)
		return NULL;
	if (strcmp(key, "policy") == 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, "use: openshell policy set",
			     "reserved key 'policy' must be set via %s",
			     t->sb ? "policy commands" : "the policy field");
		return NULL;
	}
	s = find(key);
	if (!s) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL,
			     "unknown setting key '%s'. Allowed keys: %s, %s, %s, %s", key,
			     settings[0].key, settings[1].key, settings[2].key, settings[3].key);
		return NULL;
	}
	if (!t->sb && osh_ctl_call_peer(call)->uid != 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_DENIED, "run it as root",
			     "global settings can only be changed by root");
		return NULL;
	}
	if (t->sb &&
	    osh_state_setting_get(t->sb->m->state, OSH_STATE_GLOBAL_SCOPE, key, &global) == 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION, NULL,
			     "setting '%s' is managed globally; delete the global setting %s", key,
			     verb);
		return NULL;
	}
	return s;
}

void osh_api_settings_set(struct osh_ctl_call *call, const struct osh_jval *params)
{
	const struct setting *s;
	const char *value;
	struct target t;
	uint64_t revision;
	struct osh_json *j;
	int r;

	if (read_target(call, params, &t) < 0)
		return;
	s = writable(call, params, &t, "before sandbox update");
	if (!s || osh_ctl_param_str(call, params, "value", 4096, &value) < 0)
		return;
	value = check_value(call, s, value);
	if (!value)
		return;
	r = osh_state_setting_set(osh_api_monitor()->state, t.scope, s->key, value, &revision);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot store setting '%s': %s",
			     s->key, strerror(-r));
		return;
	}
	osh_events_log(osh_api_monitor(), t.sb, OSH_REC_INFO, "Setting %s set to %s", s->key,
		       value);
	j = osh_ctl_reply_begin(call);
	osh_json_ku64(j, "revision", revision);
	osh_ctl_reply_end(call);
}

void osh_api_settings_delete(struct osh_ctl_call *call, const struct osh_jval *params)
{
	const struct setting *s;
	struct target t;
	uint64_t revision = 0;
	struct osh_json *j;
	int r;

	if (read_target(call, params, &t) < 0)
		return;
	s = writable(call, params, &t, "first");
	if (!s)
		return;
	r = osh_state_setting_del(osh_api_monitor()->state, t.scope, s->key, &revision);
	if (r < 0 && r != -ENOENT) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot delete setting '%s': %s",
			     s->key, strerror(-r));
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_kbool(j, "found", r == 0);
	osh_json_ku64(j, "revision", revision);
	osh_ctl_reply_end(call);
}

static void put_setting(struct osh_json *j, const struct target *t, const char *key)
{
	osh_auto_free char *value = NULL;
	const char *scope = "unset";
	struct osh_state *state = osh_api_monitor()->state;

	if (osh_state_setting_get(state, OSH_STATE_GLOBAL_SCOPE, key, &value) == 0)
		scope = "global";
	else if (t->sb && osh_state_setting_get(state, t->scope, key, &value) == 0)
		scope = "sandbox";
	osh_json_obj(j);
	osh_json_kz(j, "key", key);
	osh_json_key(j, "value");
	if (value)
		osh_json_str(j, osh_str(value));
	else
		osh_json_null(j);
	osh_json_kz(j, "scope", scope);
	osh_json_obj_end(j);
}

void osh_api_settings_get(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_state *state = osh_api_monitor()->state;
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	uint64_t revision = 0, version;
	struct target t;
	struct osh_json *j;
	bool global;
	int r;

	if (read_target(call, params, &t) < 0)
		return;
	r = osh_state_settings_revision(state, t.scope, &revision);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read settings: %s",
			     strerror(-r));
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_ku64(j, "config_revision", revision);
	if (t.sb && osh_publish_effective(t.sb, &global, &version) == 0 &&
	    osh_state_rev_get(state, global ? OSH_STATE_GLOBAL_SCOPE : t.scope, version, &rev) ==
		    0) {
		osh_json_kz(j, "policy_source", global ? "global" : "sandbox");
		osh_json_kz(j, "policy_hash", rev.hash);
	}
	osh_json_key(j, "settings");
	osh_json_arr(j);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(settings); i++)
		put_setting(j, &t, settings[i].key);
	osh_json_arr_end(j);
	osh_ctl_reply_end(call);
}
