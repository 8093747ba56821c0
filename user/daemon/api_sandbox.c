/* SPDX-License-Identifier: MIT */
/* Methods Sandbox*. */
#include "daemon/api.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "policy/defaults.h"
#include "policy/hash.h"
#include "policy/names.h"
#include "policy/serialise.h"
#include "policy/validate.h"
#include "sys/fs.h"

enum { LABELS_MAX = 64, LIST_DEFAULT = 100 };

/* ---- rendering ---- */

static void put_sandbox(struct osh_json *j, const struct osh_state_sandbox *row)
{
	struct osh_jval *spec = NULL;

	if (osh_json_parse(osh_str(row->spec), &spec, NULL, 0) < 0)
		spec = NULL; /* our own text: without labels rather than not at all */
	osh_json_obj(j);
	osh_json_kz(j, "id", row->id);
	osh_json_kz(j, "name", row->name);
	osh_json_kz(j, "phase", osh_phase_name(row->phase));
	osh_json_kz(j, "phase_reason", row->phase_reason);
	osh_json_ku64(j, "created_ms", row->created_ms);
	osh_json_key(j, "labels");
	osh_api_put_jval(j, osh_jval_get(spec, "labels"));
	osh_json_key(j, "annotations");
	osh_json_obj(j);
	osh_json_obj_end(j);
	osh_json_ku64(j, "current_policy_version", row->active_version);
	osh_json_ku64(j, "resource_version", row->resource_version);
	osh_json_kz(j, "workspace", "default");
	osh_json_kbool(j, "keep", row->keep);
	osh_json_obj_end(j);
	osh_jval_free(spec);
}

/* Copy a parsed value; {} for none. */
void osh_api_put_jval(struct osh_json *j, const struct osh_jval *v)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, OSH_STATE_SPEC_MAX, 0);
	if (!v || osh_jval_dump(v, &text) < 0)
		osh_json_raw(j, OSH_STR("{}"));
	else
		osh_json_raw(j, osh_buf_str(&text));
}

/* ---- create ---- */

struct create {
	struct osh_ctl_waiter waiter;
	char name[OSH_STATE_NAME_MAX + 1];
	struct osh_diag diag; /* warnings of the policy */
	char *why; /* it failed; owned */
};

static void create_free(struct create *c)
{
	osh_diag_fini(&c->diag);
	free(c->why);
	free(c);
}

static void create_abandoned(struct osh_ctl_waiter *w)
{
	w->call = NULL; /* the sandbox is made all the same */
}

/* The last word: @hint tells what is left, if anything. */
static void create_failed(struct create *c, const char *hint)
{
	if (c->waiter.call)
		osh_ctl_fail(c->waiter.call, OSH_CTL_ERR_INTERNAL, hint,
			     "cannot create sandbox '%s': %s", c->name,
			     c->why ? c->why : "out of memory");
	create_free(c);
}

static void rolled_back(struct osh_sandbox *sb, int err, const char *message, void *arg)
{
	(void)message;
	create_failed(arg,
		      err == 0 ? NULL
			       : "something of it is left: openshell sandbox delete removes it");
	(void)sb;
}

static void created(struct osh_sandbox *sb, int err, const char *message, void *arg)
{
	struct create *c = arg;
	struct osh_ctl_call *call = c->waiter.call;
	osh_auto_state_sandbox struct osh_state_sandbox row = { 0 };
	struct osh_json *j;
	int r = err;

	if (r == 0 && call)
		r = osh_state_sandbox_get(sb->m->state, c->name, &row);
	if (r < 0) {
		c->why = strdup(message[0] ? message : strerror(-r));
		if (err == -ECANCELED) {
			create_failed(c, NULL); /* somebody deletes it already */
		} else if (err == -ETIMEDOUT) {
			osh_sb_delete(sb, NULL, NULL);
			create_failed(c, "it is deleted as soon as its processes have ended");
		} else {
			osh_sb_delete(sb, rolled_back, c);
		}
		return;
	}
	if (!call) {
		create_free(c);
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_key(j, "sandbox");
	put_sandbox(j, &row);
	osh_api_warnings(j, &c->diag);
	osh_ctl_reply_end(call);
	create_free(c);
}

static int random_name(struct osh_monitor *m, char *ret_name, size_t size)
{
	static const char *const first[] = { "amber", "brisk", "calm",	"deep", "eager", "fair",
					     "glad",  "keen",  "light", "mild", "neat",	 "quiet",
					     "rapid", "sharp", "tidy",	"vivid" };
	static const char *const second[] = { "beam",  "cove",	"dale",	 "fern",  "grove", "heron",
					      "inlet", "lark",	"maple", "otter", "pine",  "quail",
					      "reef",  "stone", "vale",	 "wren" };

	for (int i = 0; i < 64; i++) {
		unsigned char r[4];

		if (getrandom(r, sizeof(r), 0) != sizeof(r))
			return -EIO;
		(void)snprintf(ret_name, size, "%s-%s-%02x", first[r[0] % 16], second[r[1] % 16],
			       r[2]);
		if (!osh_sb_find(m, ret_name))
			return 0;
	}
	return -EEXIST;
}

/* Labels, env and so on as one JSON object: the sandbox's specification. */
static int write_spec(const struct osh_jval *params, struct osh_buf *out)
{
	static const char *const keys[] = { "labels",	    "env",  "workdir",	  "cpu_millis",
					    "memory_bytes", "pids", "policy_file" };
	struct osh_json j;

	osh_json_init(&j, out, 0);
	osh_json_obj(&j);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(keys); i++) {
		const struct osh_jval *v = osh_jval_get(params, keys[i]);

		if (osh_jval_type(v) == OSH_JSON_NULL)
			continue;
		osh_json_key(&j, keys[i]);
		osh_api_put_jval(&j, v);
	}
	osh_json_obj_end(&j);
	return j.err;
}

int osh_api_check_map(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
		      bool env)
{
	const struct osh_jval *map = osh_jval_get(params, key), *v;
	const char *name, *why = "is not valid";
	void *iter = NULL;

	if (osh_jval_type(map) == OSH_JSON_NULL)
		return 0;
	if (osh_jval_type(map) != OSH_JSON_OBJ || osh_jval_len(map) > (env ? 128 : LABELS_MAX)) {
		osh_ctl_fail_param(call, key);
		return -EINVAL;
	}
	while (osh_jval_next(map, &iter, &name, &v)) {
		struct osh_str text = osh_jval_str(v);
		bool ok = text.p && strlen(name) <= 256 && text.n <= 8192 &&
			  osh_str_find(text, '\n') == text.n && osh_str_find(text, '\r') == text.n;

		if (ok && (!env || osh_env_key_ok(osh_str(name), &why)))
			continue;
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL, "%s %s %s",
			     env ? "environment variable" : "label", OSH_Q(name), why);
		return -EINVAL;
	}
	return 0;
}

/* The policy document of a new sandbox, checked and canonical. -EINVAL: the call was ended. */
static int create_policy(struct osh_ctl_call *call, const struct osh_jval *params,
			 struct osh_diag *diag, struct osh_buf *ret_yaml,
			 char ret_hash[OSH_SHA256_HEX])
{
	struct osh_monitor *m = osh_api_monitor();
	osh_auto_policy struct osh_policy *doc = NULL;
	osh_auto_bufmem struct osh_buf file;
	const char *text, *name;
	int r;

	osh_buf_init(&file, OSH_POLICY_TEXT_MAX_BYTES, 0);
	if (osh_ctl_param_str_opt(call, params, "policy", OSH_POLICY_TEXT_MAX_BYTES, &text) < 0 ||
	    osh_ctl_param_str_opt(call, params, "policy_file", 4096, &name) < 0)
		return -EINVAL;
	if (text) {
		r = osh_policy_load(osh_str(text), name && name[0] ? name : "policy", &doc, diag);
	} else if (m->cfg.default_policy.n) {
		r = osh_fs_read(m->cfg.default_policy.p, OSH_POLICY_TEXT_MAX_BYTES, &file);
		if (r < 0) {
			osh_ctl_fail(
				call, OSH_CTL_ERR_UNAVAILABLE,
				"mend default_policy in the daemon's configuration, or give --policy",
				"cannot read the default policy %s: %s",
				OSH_Q(m->cfg.default_policy.p), strerror(-r));
			return -EINVAL;
		}
		r = osh_policy_load(osh_buf_str(&file), m->cfg.default_policy.p, &doc, diag);
	} else {
		r = osh_policy_default(&doc);
	}
	if (r == 0)
		r = osh_policy_unsupported(doc, diag);
	if (r == -EBADMSG) {
		osh_api_policy_invalid(call, diag, NULL);
		return -EINVAL;
	}
	if (r == 0)
		r = osh_policy_to_yaml(doc, ret_yaml);
	if (r == 0)
		r = osh_policy_hash(doc, ret_hash);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot store the policy: %s",
			     strerror(-r));
		return -EINVAL;
	}
	return 0;
}

static int add_rows(struct osh_ctl_call *call, struct osh_state_sandbox *row,
		    const struct osh_buf *yaml, const char *hash)
{
	struct osh_monitor *m = osh_api_monitor();
	char provenance[96];
	int r;

	(void)snprintf(provenance, sizeof(provenance), "{\"how\":\"create\",\"uid\":\"%u\"}",
		       osh_ctl_call_peer(call)->uid);
	r = osh_state_sandbox_create(m->state, row, osh_buf_str(yaml), hash, provenance,
				     osh_realtime_ms());
	if (r == -EEXIST) {
		osh_ctl_fail(call, OSH_CTL_ERR_EXISTS, NULL, "sandbox '%s' already exists",
			     row->name);
		return -EINVAL;
	}
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot store sandbox '%s': %s",
			     row->name, strerror(-r));
		return -EINVAL;
	}
	return 0;
}

static int read_name(struct osh_ctl_call *call, const struct osh_jval *params, char *ret_name,
		     size_t size)
{
	const char *name, *why;
	int r;

	if (osh_ctl_param_str_opt(call, params, "name", 253, &name) < 0)
		return -EINVAL;
	if (!name || !name[0]) {
		r = random_name(osh_api_monitor(), ret_name, size);
		if (r < 0)
			osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, "give one with --name",
				     "cannot make up a sandbox name: %s", strerror(-r));
		return r;
	}
	if (!osh_sandbox_name_ok(osh_str(name), &why)) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL, "sandbox name %s %s", OSH_Q(name),
			     why);
		return -EINVAL;
	}
	if (osh_sb_name_is_selftest(name) && !osh_api_selftest_is(name)) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, "choose another",
			     "sandbox name %s is one of the self-test's", OSH_Q(name));
		return -EINVAL;
	}
	return osh_strlcpy(ret_name, name, size) ? 0 : -EINVAL;
}

void osh_api_sandbox_create(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();
	osh_auto_bufmem struct osh_buf spec, yaml;
	struct osh_state_sandbox row = { .phase = OSH_PHASE_PROVISIONING };
	char hash[OSH_SHA256_HEX];
	struct create *c = calloc(1, sizeof(*c));
	struct osh_sandbox *sb;
	int r;

	osh_buf_init(&spec, OSH_STATE_SPEC_MAX, 0);
	osh_buf_init(&yaml, OSH_POLICY_STORE_MAX_BYTES, 0);
	if (!c) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	osh_diag_init(&c->diag, NULL);
	if (read_name(call, params, row.name, sizeof(row.name)) < 0 ||
	    osh_ctl_param_bool_opt(call, params, "keep", true, &row.keep) < 0 ||
	    osh_api_check_map(call, params, "labels", false) < 0 ||
	    osh_api_check_map(call, params, "env", true) < 0 ||
	    osh_api_check_limits(call, params) < 0 ||
	    create_policy(call, params, &c->diag, &yaml, hash) < 0) {
		create_free(c);
		return;
	}
	if (write_spec(params, &spec) < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL,
			     "labels and environment are too large");
		create_free(c);
		return;
	}
	row.spec = spec.data;
	row.phase_reason = (char *)(uintptr_t) "";
	if (add_rows(call, &row, &yaml, hash) < 0) {
		create_free(c);
		return;
	}
	if (osh_sb_new(m, &row, &sb) < 0) {
		r = osh_state_sandbox_del(m->state, row.name);
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL,
			     r < 0 ? "its name is taken until the daemon restarts" : NULL,
			     "out of memory");
		create_free(c);
		return;
	}
	(void)osh_strlcpy(c->name, row.name, sizeof(c->name));
	c->waiter.on_close = create_abandoned;
	osh_ctl_call_wait(call, &c->waiter);
	osh_events_life(m, sb, OSH_REC_ACT_CREATE, "Sandbox created");
	osh_sb_start(sb, created, c);
}

/* ---- list, get ---- */

struct list_iter {
	struct osh_state_iter it;
	struct osh_json *j;
	const struct osh_jval *labels;
	uint64_t skip, left; /* of those that have the labels */
};

static bool has_labels(const struct osh_state_sandbox *row, const struct osh_jval *want)
{
	osh_auto_jval struct osh_jval *spec = NULL;
	const struct osh_jval *have, *v;
	const char *key;
	void *iter = NULL;

	if (!osh_jval_len(want))
		return true;
	if (osh_json_parse(osh_str(row->spec), &spec, NULL, 0) < 0)
		return false;
	have = osh_jval_get(spec, "labels");
	while (osh_jval_next(want, &iter, &key, &v))
		if (!osh_str_eq(osh_jval_str(v), osh_jval_str(osh_jval_get(have, key))))
			return false;
	return true;
}

static int list_row(struct osh_state_iter *it, const struct osh_state_sandbox *row)
{
	struct list_iter *l = osh_container_of(it, struct list_iter, it);

	if (!has_labels(row, l->labels))
		return 0;
	if (l->skip) {
		l->skip--;
	} else if (l->left) {
		l->left--;
		put_sandbox(l->j, row);
	}
	return l->j->err;
}

void osh_api_sandbox_list(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct list_iter l = { .it.on_sandbox = list_row,
			       .labels = osh_jval_get(params, "labels") };
	int r;

	if (osh_ctl_param_u64_opt(call, params, "limit", OSH_STATE_LIST_MAX, LIST_DEFAULT,
				  &l.left) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "offset", UINT32_MAX, 0, &l.skip) < 0)
		return;
	l.j = osh_ctl_reply_begin(call);
	osh_json_key(l.j, "sandboxes");
	osh_json_arr(l.j);
	r = osh_state_sandbox_list(osh_api_monitor()->state, 0, UINT64_MAX, &l.it);
	if (r < 0 && !l.j->err)
		l.j->err = r;
	osh_json_arr_end(l.j);
	osh_ctl_reply_end(call);
}

void osh_api_sandbox_get(struct osh_ctl_call *call, const struct osh_jval *params)
{
	osh_auto_state_sandbox struct osh_state_sandbox row = { 0 };
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	struct osh_sandbox *sb;
	struct osh_json *j;
	bool global = false;
	uint64_t version = 0;
	int r;

	if (osh_api_sandbox(call, params, "name", &sb) < 0)
		return;
	r = osh_state_sandbox_get(sb->m->state, sb->name, &row);
	if (r == 0)
		r = osh_publish_effective(sb, &global, &version);
	if (r == -ENOENT)
		r = 0; /* nothing loaded yet: the latest revision is shown */
	if (r == 0)
		r = osh_state_rev_get(sb->m->state, global ? OSH_STATE_GLOBAL_SCOPE : sb->name,
				      version, &rev);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read sandbox '%s': %s",
			     sb->name, strerror(-r));
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_key(j, "sandbox");
	put_sandbox(j, &row);
	osh_json_kstr(j, "policy", (struct osh_str){ rev.text, rev.text_len });
	osh_json_kz(j, "policy_source", global ? "global" : "sandbox");
	osh_json_ku64(j, "revision", rev.version);
	osh_ctl_reply_end(call);
}

/* ---- stop, start, delete ---- */

struct verb {
	struct osh_ctl_waiter waiter;
	char name[OSH_STATE_NAME_MAX + 1];
	const char *what;
};

static void verb_abandoned(struct osh_ctl_waiter *w)
{
	w->call = NULL;
}

static void verb_done(struct osh_sandbox *sb, int err, const char *message, void *arg)
{
	struct verb *v = arg;
	struct osh_ctl_call *call = v->waiter.call;

	(void)sb;
	if (call && err == 0)
		osh_ctl_reply_ok(call);
	else if (call)
		osh_ctl_fail(call, err == -EBUSY ? OSH_CTL_ERR_PRECONDITION : OSH_CTL_ERR_INTERNAL,
			     NULL, "cannot %s sandbox '%s': %s", v->what, v->name,
			     message[0] ? message : strerror(-err));
	free(v);
}

static struct verb *verb_new(struct osh_ctl_call *call, const struct osh_sandbox *sb,
			     const char *what)
{
	struct verb *v = calloc(1, sizeof(*v));

	if (!v) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return NULL;
	}
	v->what = what;
	(void)osh_strlcpy(v->name, sb->name, sizeof(v->name));
	v->waiter.on_close = verb_abandoned;
	osh_ctl_call_wait(call, &v->waiter);
	return v;
}

void osh_api_sandbox_delete(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_sandbox *sb;
	struct verb *v;

	if (osh_api_sandbox(call, params, "name", &sb) < 0)
		return;
	v = verb_new(call, sb, "delete");
	if (v)
		osh_sb_delete(sb, verb_done, v);
}

void osh_api_sandbox_stop(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_sandbox *sb;
	struct verb *v;

	if (osh_api_sandbox(call, params, "name", &sb) < 0)
		return;
	if (sb->phase == OSH_PHASE_STOPPED) {
		osh_ctl_reply_ok(call);
		return;
	}
	v = verb_new(call, sb, "stop");
	if (v)
		osh_sb_stop(sb, verb_done, v);
}

void osh_api_sandbox_start(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_sandbox *sb;
	struct verb *v;

	if (osh_api_sandbox(call, params, "name", &sb) < 0)
		return;
	if (sb->phase == OSH_PHASE_READY) {
		osh_ctl_reply_ok(call);
		return;
	}
	v = verb_new(call, sb, "start");
	if (v)
		osh_sb_start(sb, verb_done, v);
}
