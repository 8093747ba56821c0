/* SPDX-License-Identifier: MIT */
/* Methods Settings*. Values are kept as text; policy/settings.h says what they may be. */
#include "daemon/api.h"

#include <errno.h>

#include "base/sha256.h"

#include "policy/settings.h"

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

/* May somebody change @key here? Ends the call otherwise. */
static int check_writable(struct osh_ctl_call *call, const struct target *t, const char *key,
			  const char *verb)
{
	osh_auto_free char *global = NULL;

	if (strcmp(key, "policy") == 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, "use: openshell policy set",
			     "reserved key 'policy' must be set via %s",
			     t->sb ? "policy commands" : "the policy field");
		return -EINVAL;
	}
	if (!t->sb && osh_ctl_call_peer(call)->uid != 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_DENIED, "run it as root",
			     "global settings can only be changed by root");
		return -EPERM;
	}
	if (t->sb &&
	    osh_state_setting_get(t->sb->m->state, OSH_STATE_GLOBAL_SCOPE, key, &global) == 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION, NULL,
			     "setting '%s' is managed globally; delete the global setting %s", key,
			     verb);
		return -EPERM;
	}
	return 0;
}

void osh_api_settings_set(struct osh_ctl_call *call, const struct osh_jval *params)
{
	char message[OSH_SETTING_MESSAGE_MAX];
	const char *key, *value;
	struct target t;
	uint64_t revision;
	struct osh_json *j;
	int r;

	if (read_target(call, params, &t) < 0 ||
	    osh_ctl_param_str(call, params, "key", 256, &key) < 0 ||
	    osh_ctl_param_str(call, params, "value", 4096, &value) < 0 ||
	    check_writable(call, &t, key, "before sandbox update") < 0)
		return;
	if (osh_setting_check(osh_str(key), osh_str(value), &value, message) < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL, "%s", message);
		return;
	}
	r = osh_state_setting_set(osh_api_monitor()->state, t.scope, key, value, &revision);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot store setting '%s': %s", key,
			     strerror(-r));
		return;
	}
	osh_events_settings_changed(osh_api_monitor());
	osh_events_log(osh_api_monitor(), t.sb, OSH_REC_INFO, "Setting %s set to %s", key, value);
	j = osh_ctl_reply_begin(call);
	osh_json_ku64(j, "revision", revision);
	osh_ctl_reply_end(call);
}

void osh_api_settings_delete(struct osh_ctl_call *call, const struct osh_jval *params)
{
	const struct osh_setting *s;
	const char *key;
	struct target t;
	uint64_t revision = 0;
	struct osh_json *j;
	int r;

	if (read_target(call, params, &t) < 0 ||
	    osh_ctl_param_str(call, params, "key", 256, &key) < 0 ||
	    check_writable(call, &t, key, "first") < 0)
		return;
	s = osh_setting_find(osh_str(key));
	if (!s) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID,
			     "see which there are: openshell settings get",
			     "unknown setting key '%s'", key);
		return;
	}
	r = osh_state_setting_del(osh_api_monitor()->state, t.scope, s->key, &revision);
	if (r < 0 && r != -ENOENT) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot delete setting '%s': %s",
			     s->key, strerror(-r));
		return;
	}
	osh_events_settings_changed(osh_api_monitor());
	if (r == 0)
		osh_events_log(osh_api_monitor(), t.sb, OSH_REC_INFO, "Setting %s deleted", s->key);
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

static int add_value(struct osh_sha256 *h, const char *scope, const char *key)
{
	osh_auto_free char *value = NULL;
	int r = osh_state_setting_get(osh_api_monitor()->state, scope, key, &value);

	if (r == -ENOENT)
		return osh_sha256_add(h, "-", 2);
	if (r == 0)
		r = osh_sha256_add(h, "=", 2);
	return r < 0 ? r : osh_sha256_add(h, value, strlen(value) + 1);
}

int osh_api_config_revision(const char *scope, const char *source, const char *policy_hash,
			    uint64_t *ret_revision)
{
	unsigned char digest[OSH_SHA256_BYTES] = { 0 };
	struct osh_sha256 *h = osh_sha256_new();
	const struct osh_setting *settings;
	size_t n = osh_settings(&settings);
	int r = h ? 0 : -ENOMEM;

	if (r == 0)
		r = osh_sha256_add(h, source, strlen(source) + 1);
	if (r == 0)
		r = osh_sha256_add(h, policy_hash, strlen(policy_hash) + 1);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = osh_sha256_add(h, settings[i].key, strlen(settings[i].key) + 1);
		if (r == 0)
			r = add_value(h, OSH_STATE_GLOBAL_SCOPE, settings[i].key);
		if (r == 0)
			r = add_value(h, scope, settings[i].key);
	}
	if (r == 0)
		r = osh_sha256_end(h, digest);
	osh_sha256_free(h);
	if (r < 0)
		return r;
	*ret_revision = 0;
	for (int i = 7; i >= 0; i--)
		*ret_revision = *ret_revision << 8 | digest[i];
	*ret_revision &= INT64_MAX; /* what the wire format's int takes */
	return 0;
}

void osh_api_settings_get(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_state *state = osh_api_monitor()->state;
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	const struct osh_setting *settings;
	uint64_t revision = 0, version;
	struct target t;
	size_t n;
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
	/* without a policy in force: how often the settings were changed */
	if (t.sb && osh_publish_effective(t.sb, &global, &version) == 0 &&
	    osh_state_rev_get(state, global ? OSH_STATE_GLOBAL_SCOPE : t.scope, version, &rev) == 0)
		r = osh_api_config_revision(t.scope, global ? "global" : "sandbox", rev.hash,
					    &revision);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read settings: %s",
			     strerror(-r));
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_ku64(j, "config_revision", revision);
	if (rev.text) {
		osh_json_kz(j, "policy_source", global ? "global" : "sandbox");
		osh_json_kz(j, "policy_hash", rev.hash);
	}
	osh_json_key(j, "settings");
	osh_json_arr(j);
	n = osh_settings(&settings);
	for (size_t i = 0; i < n; i++)
		put_setting(j, &t, settings[i].key);
	osh_json_arr_end(j);
	osh_ctl_reply_end(call);
}
