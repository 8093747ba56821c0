/* SPDX-License-Identifier: MIT */
/* Methods Policy*: what is pushed is checked completely, stored as a revision, then published. */
#include "daemon/api.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "policy/hash.h"
#include "policy/merge.h"
#include "policy/serialise.h"
#include "policy/validate.h"

enum { LIST_DEFAULT = 50 };

static const char managed_globally[] =
	"policy is managed globally; delete global policy before sandbox policy update";

/* A revision on its way; answers the caller when it is in force. */
struct push {
	struct osh_ctl_waiter waiter;
	uint64_t version;
	char hash[OSH_SHA256_HEX];
	unsigned int pending; /* publishes not done: one, or one per sandbox for a global policy */
	int err;
	struct osh_buf message;
	struct osh_diag diag; /* warnings */
	bool global;
};

static void push_free(struct push *push)
{
	osh_diag_fini(&push->diag);
	osh_buf_fini(&push->message);
	free(push);
}

static void push_abandoned(struct osh_ctl_waiter *w)
{
	w->call = NULL; /* the revision goes on */
}

static struct push *push_new(void)
{
	struct push *push = calloc(1, sizeof(*push));

	if (!push)
		return NULL;
	osh_diag_init(&push->diag, NULL);
	osh_buf_init(&push->message, OSH_STATE_ERROR_MAX, 0);
	push->waiter.on_close = push_abandoned;
	return push;
}

static uint64_t active_version(const char *scope)
{
	osh_auto_state_rev struct osh_state_rev rev = { 0 };

	return osh_state_rev_active(osh_api_monitor()->state, scope, &rev) == 0 ? rev.version : 0;
}

static void put_push(struct osh_json *j, const struct push *push, const char *scope,
		     const char *status, bool unchanged)
{
	osh_json_ku64(j, "version", push->version);
	osh_json_kz(j, "hash", push->hash);
	osh_json_kbool(j, "unchanged", unchanged);
	osh_json_kz(j, "status", status);
	osh_json_ku64(j, "active_version", active_version(scope));
	if (push->global) {
		uint64_t revision = 0;

		(void)!osh_state_settings_revision(osh_api_monitor()->state, OSH_STATE_GLOBAL_SCOPE,
						   &revision); /* 0 */
		osh_json_ku64(j, "settings_revision", revision);
	}
	osh_api_warnings(j, &push->diag);
}

static void pushed(struct osh_sandbox *sb, uint64_t version, int err, const char *message,
		   void *arg)
{
	struct push *push = arg;
	struct osh_ctl_call *call = push->waiter.call;
	const char *scope = push->global ? OSH_STATE_GLOBAL_SCOPE : sb->name;
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	struct osh_json *j;

	(void)version;
	if (err < 0 && push->err == 0) {
		push->err = err;
		(void)!osh_buf_add_str(&push->message, osh_str(message)); /* as much as fits */
	}
	if (--push->pending)
		return;
	if (call && osh_state_rev_get(osh_api_monitor()->state, scope, push->version, &rev) == 0) {
		j = osh_ctl_reply_begin(call);
		put_push(j, push, scope, osh_rev_status_json(rev.status), false);
		if (push->err < 0)
			osh_json_kz(j, "error", push->message.data ? push->message.data : "");
		osh_ctl_reply_end(call);
	} else if (call) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "the revision is gone: %s", message);
	}
	push_free(push);
}

static void publish_global(struct push *push)
{
	struct osh_monitor *m = osh_api_monitor();
	struct osh_list *it;
	int r = osh_state_rev_loaded(m->state, OSH_STATE_GLOBAL_SCOPE, push->version,
				     osh_realtime_ms());

	if (r < 0)
		osh_log_warn_errno(r, "cannot record that global revision %llu is in force",
				   (unsigned long long)push->version);
	push->pending = 1; /* ours, so that the answer waits for the loop */
	osh_list_for_each (it, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(it, struct osh_sandbox, node);

		if (sb->phase != OSH_PHASE_READY || sb->selftest)
			continue;
		push->pending++;
		osh_publish(sb, true, push->version, pushed, push);
	}
	pushed(NULL, push->version, 0, "", push);
}

static int load_rev(const char *scope, uint64_t version, struct osh_policy **ret_doc)
{
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	osh_auto_diag struct osh_diag diag;
	int r = osh_state_rev_get(osh_api_monitor()->state, scope, version, &rev);

	osh_diag_init(&diag, NULL);
	if (r < 0)
		return r;
	return osh_policy_load((struct osh_str){ rev.text, rev.text_len }, NULL, ret_doc, &diag);
}

/*
 * Add the text as the newest revision, unless it is what is loaded. "Unchanged" holds only if the
 * stored text still loads: otherwise the sandboxes are quarantined, and this push is to end that.
 */
static int add_revision(const char *scope, struct osh_str yaml, const char *provenance,
			struct push *push, bool *ret_unchanged)
{
	struct osh_state *state = osh_api_monitor()->state;
	osh_auto_policy struct osh_policy *stored = NULL;
	int r = osh_state_rev_add(state, scope, yaml, push->hash, provenance, osh_realtime_ms(),
				  &push->version, ret_unchanged);

	if (r < 0 || !*ret_unchanged || load_rev(scope, push->version, &stored) == 0)
		return r;
	r = osh_state_rev_broken(state, scope, push->version, "the stored text does not load");
	return r < 0 ? r
		     : osh_state_rev_add(state, scope, yaml, push->hash, provenance,
					 osh_realtime_ms(), &push->version, ret_unchanged);
}

/* Store @doc as the newest revision of the scope and publish it. Ends or keeps @call. */
static void store_and_publish(struct osh_ctl_call *call, struct osh_sandbox *sb, const char *how,
			      const struct osh_policy *doc, struct push *push)
{
	const char *scope = sb ? sb->name : OSH_STATE_GLOBAL_SCOPE;
	osh_auto_bufmem struct osh_buf yaml;
	char provenance[128];
	struct osh_json *j;
	bool unchanged = false;
	int r;

	osh_buf_init(&yaml, OSH_STATE_POLICY_MAX, 0);
	r = osh_policy_to_yaml(doc, &yaml);
	if (r == -EMSGSIZE) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL,
			     "the policy is too large: more than %d bytes when written out",
			     OSH_STATE_POLICY_MAX);
		push_free(push);
		return;
	}
	if (r == 0)
		r = osh_policy_hash(doc, push->hash);
	(void)snprintf(provenance, sizeof(provenance),
		       "{\"how\":\"%s\",\"uid\":\"%u\",\"pid\":\"%d\"}", how,
		       osh_ctl_call_peer(call)->uid, (int)osh_ctl_call_peer(call)->pid);
	if (r == 0)
		r = add_revision(scope, osh_buf_str(&yaml), provenance, push, &unchanged);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot store the policy: %s",
			     strerror(-r));
		push_free(push);
		return;
	}
	push->global = !sb;
	if (unchanged) {
		j = osh_ctl_reply_begin(call);
		put_push(j, push, scope, "loaded", true);
		osh_ctl_reply_end(call);
		push_free(push);
		return;
	}
	if (sb)
		osh_events_policy(sb, OSH_REC_ACT_SUBMITTED, push->version, push->hash, how);
	j = osh_ctl_reply_begin(call);
	put_push(j, push, scope, "pending", false);
	if (sb && !osh_ctl_call_wants_more(call)) {
		osh_ctl_reply_end(call);
		push->waiter.call = NULL;
	} else {
		if (osh_ctl_call_wants_more(call))
			osh_ctl_reply_continue(call);
		osh_ctl_call_wait(call, &push->waiter);
	}
	if (!sb) {
		publish_global(push);
		return;
	}
	push->pending = 1;
	if (sb->phase == OSH_PHASE_READY) {
		osh_publish(sb, false, push->version, pushed, push);
		return;
	}
	/* not running: it will be judged by this revision when it starts */
	pushed(sb, push->version, 0, "", push);
}

/* What may be pushed to a sandbox now? Ends the call otherwise. */
static int check_target(struct osh_ctl_call *call, const struct osh_jval *params,
			struct osh_sandbox **ret_sb, bool *ret_global)
{
	if (osh_ctl_param_bool_opt(call, params, "global", false, ret_global) < 0)
		return -EINVAL;
	*ret_sb = NULL;
	if (*ret_global) {
		if (osh_ctl_call_peer(call)->uid == 0)
			return 0;
		osh_ctl_fail(call, OSH_CTL_ERR_DENIED, "run it as root",
			     "the global policy can only be changed by root");
		return -EPERM;
	}
	if (osh_api_sandbox(call, params, "sandbox", ret_sb) < 0)
		return -EINVAL;
	if (active_version(OSH_STATE_GLOBAL_SCOPE)) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION,
			     "openshell policy delete --global gives sandboxes their own again",
			     "%s", managed_globally);
		return -EPERM;
	}
	return 0;
}

/* -EINVAL: the call was ended. */
static int check_doc(struct osh_ctl_call *call, const struct osh_sandbox *sb,
		     const struct osh_policy *doc, struct osh_diag *diag)
{
	osh_auto_policy struct osh_policy *base = NULL;
	const char *hint = NULL;
	int r = osh_policy_unsupported(doc, diag);

	if (r == 0 && sb) {
		r = load_rev(sb->name, 1, &base);
		if (r == 0)
			r = osh_policy_static_diff(base, doc, diag);
		if (r < 0)
			hint = "only network_policies can change while a sandbox exists: delete it "
			       "and create it with this policy";
	}
	if (r == 0)
		return 0;
	if (diag->errors)
		osh_api_policy_invalid(call, diag, hint);
	else
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot check the policy: %s",
			     strerror(-r));
	return -EINVAL;
}

void osh_api_policy_set(struct osh_ctl_call *call, const struct osh_jval *params)
{
	osh_auto_policy struct osh_policy *doc = NULL;
	const char *text, *file;
	struct push *push;
	struct osh_sandbox *sb;
	bool global;
	int r;

	if (check_target(call, params, &sb, &global) < 0 ||
	    osh_ctl_param_str(call, params, "policy", OSH_POLICY_TEXT_MAX_BYTES, &text) < 0 ||
	    osh_ctl_param_str_opt(call, params, "policy_file", 4096, &file) < 0)
		return;
	push = push_new();
	if (!push) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	r = osh_policy_load(osh_str(text), file && file[0] ? file : "policy", &doc, &push->diag);
	if (r < 0) {
		if (push->diag.errors)
			osh_api_policy_invalid(call, &push->diag, NULL);
		else
			osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read the policy: %s",
				     strerror(-r));
		push_free(push);
		return;
	}
	if (check_doc(call, sb, doc, &push->diag) < 0) {
		push_free(push);
		return;
	}
	push->diag.file = NULL;
	store_and_publish(call, sb, "set", doc, push);
}

void osh_api_policy_rollback(struct osh_ctl_call *call, const struct osh_jval *params)
{
	osh_auto_policy struct osh_policy *doc = NULL;
	struct push *push;
	struct osh_sandbox *sb;
	uint64_t version;
	bool global;
	int r;

	if (check_target(call, params, &sb, &global) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "version", UINT32_MAX, 0, &version) < 0)
		return;
	if (!sb || !version) {
		osh_ctl_fail_param(call, sb ? "version" : "sandbox");
		return;
	}
	push = push_new();
	r = push ? load_rev(sb->name, version, &doc) : -ENOMEM;
	if (r < 0) {
		osh_ctl_fail(call, r == -ENOENT ? OSH_CTL_ERR_NOT_FOUND : OSH_CTL_ERR_INTERNAL,
			     r == -ENOENT ? "see which there are: openshell policy list" : NULL,
			     "cannot roll sandbox '%s' back to version %llu: %s", sb->name,
			     (unsigned long long)version,
			     r == -ENOENT ? "policy revision not found" : strerror(-r));
		if (push)
			push_free(push);
		return;
	}
	if (check_doc(call, sb, doc, &push->diag) < 0) {
		push_free(push);
		return;
	}
	store_and_publish(call, sb, "rollback", doc, push);
}

/* ---- update ---- */

static const struct {
	const char *param, *flag;
} merge_flags[] = {
	{ "add_endpoints", "--add-endpoint" }, { "remove_endpoints", "--remove-endpoint" },
	{ "remove_rules", "--remove-rule" },   { "add_allow", "--add-allow" },
	{ "add_deny", "--add-deny" },	       { "binaries", "--binary" },
};

static int read_ops(struct osh_ctl_call *call, const struct osh_jval *params,
		    struct osh_merge_flag *flags, size_t max, size_t *ret_n)
{
	const char *rule_name;
	size_t n = 0;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(merge_flags); i++) {
		const struct osh_jval *list;

		if (osh_ctl_param_strv_opt(call, params, merge_flags[i].param, 4096,
					   OSH_MERGE_MAX_OPS, &list) < 0)
			return -EINVAL;
		for (size_t k = 0; k < osh_jval_len(list) && n < max; k++)
			flags[n++] = (struct osh_merge_flag){ osh_str(merge_flags[i].flag),
							      osh_jval_str(osh_jval_at(list, k)) };
	}
	if (osh_ctl_param_str_opt(call, params, "rule_name", 256, &rule_name) < 0)
		return -EINVAL;
	if (rule_name && n < max)
		flags[n++] = (struct osh_merge_flag){ OSH_STR("--rule-name"), osh_str(rule_name) };
	*ret_n = n;
	return 0;
}

static void reply_dry_run(struct osh_ctl_call *call, const struct osh_policy *doc,
			  const struct osh_merge *merge, const struct osh_diag *diag)
{
	osh_auto_bufmem struct osh_buf yaml;
	char hash[OSH_SHA256_HEX];
	struct osh_json *j;
	int r;

	osh_buf_init(&yaml, OSH_STATE_POLICY_MAX, 0);
	r = osh_policy_to_yaml(doc, &yaml);
	if (r == 0)
		r = osh_policy_hash(doc, hash);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot write the policy: %s",
			     strerror(-r));
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_kz(j, "hash", hash);
	osh_json_kstr(j, "policy", osh_buf_str(&yaml));
	osh_json_ku64(j, "operations", merge->n_ops);
	osh_api_warnings(j, diag);
	osh_ctl_reply_end(call);
}

void osh_api_policy_update(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_merge_flag flags[OSH_MERGE_MAX_OPS + 1];
	osh_auto_policy struct osh_policy *base = NULL, *doc = NULL;
	osh_auto_merge struct osh_merge *merge = NULL;
	struct push *push;
	struct osh_sandbox *sb;
	bool global, dry_run;
	size_t n;
	int r;

	if (check_target(call, params, &sb, &global) < 0 ||
	    osh_ctl_param_bool_opt(call, params, "dry_run", false, &dry_run) < 0 ||
	    read_ops(call, params, flags, OSH_ARRAY_SIZE(flags), &n) < 0)
		return;
	if (!sb) {
		osh_ctl_fail(call, OSH_CTL_ERR_INVALID, NULL,
			     "merge_operations are not supported for global policy updates");
		return;
	}
	push = push_new();
	r = push ? osh_merge_parse(flags, n, &merge, &push->diag) : -ENOMEM;
	if (r == 0)
		r = load_rev(sb->name, active_version(sb->name), &base);
	if (r == 0)
		r = osh_merge_apply(base, merge, &doc, &push->diag);
	if (r < 0) {
		osh_auto_bufmem struct osh_buf text;

		osh_buf_init(&text, 65536, 0);
		if (push)
			(void)!osh_diag_join(&push->diag, OSH_DIAG_ERROR, &text); /* what fits */
		osh_ctl_fail(call, r == -EBADMSG ? OSH_CTL_ERR_PRECONDITION : OSH_CTL_ERR_INTERNAL,
			     NULL, "%s", text.len ? text.data : strerror(-r));
		if (push)
			push_free(push);
		return;
	}
	if (dry_run || check_doc(call, sb, doc, &push->diag) < 0) {
		if (dry_run)
			reply_dry_run(call, doc, merge, &push->diag);
		push_free(push);
		return;
	}
	store_and_publish(call, sb, "update", doc, push);
}

/* ---- get, list, delete ---- */

static int read_scope(struct osh_ctl_call *call, const struct osh_jval *params,
		      const char **ret_scope, struct osh_sandbox **ret_sb)
{
	bool global;

	*ret_sb = NULL;
	if (osh_ctl_param_bool_opt(call, params, "global", false, &global) < 0)
		return -EINVAL;
	if (global) {
		*ret_scope = OSH_STATE_GLOBAL_SCOPE;
		return 0;
	}
	if (osh_api_sandbox(call, params, "sandbox", ret_sb) < 0)
		return -EINVAL;
	*ret_scope = (*ret_sb)->name;
	return 0;
}

static void put_provenance(struct osh_json *j, const char *json)
{
	osh_auto_jval struct osh_jval *v = NULL;

	osh_json_key(j, "provenance");
	if (osh_json_parse(osh_str(json ? json : "{}"), &v, NULL, 0) < 0)
		v = NULL;
	osh_api_put_jval(j, v);
}

void osh_api_policy_get(struct osh_ctl_call *call, const struct osh_jval *params)
{
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	const char *scope;
	struct osh_sandbox *sb;
	struct osh_json *j;
	uint64_t version, global_version, config_revision = 0;
	bool effective, from_global = false;
	int r;

	if (read_scope(call, params, &scope, &sb) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "version", UINT32_MAX, 0, &version) < 0)
		return;
	global_version = active_version(OSH_STATE_GLOBAL_SCOPE);
	effective = version == 0;
	/* quarantined: there is a newest revision, but none in force */
	if (effective && sb && !global_version && !active_version(sb->name))
		effective = false;
	if (effective && sb && global_version) {
		scope = OSH_STATE_GLOBAL_SCOPE;
		from_global = true;
	}
	r = osh_state_rev_get(osh_api_monitor()->state, scope,
			      effective && active_version(scope) ? active_version(scope) : version,
			      &rev);
	if (r == 0)
		r = osh_api_config_revision(sb ? sb->name : scope,
					    from_global || !sb ? "global" : "sandbox", rev.hash,
					    &config_revision);
	if (r < 0) {
		osh_ctl_fail(call, r == -ENOENT ? OSH_CTL_ERR_NOT_FOUND : OSH_CTL_ERR_INTERNAL,
			     NULL, "%s",
			     r != -ENOENT ? strerror(-r)
			     : version	  ? "policy revision not found"
			     : sb	  ? "no policy revision found for this sandbox"
					  : "no global policy revision found");
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_ku64(j, "version", rev.version);
	osh_json_kz(j, "hash", rev.hash);
	osh_json_kz(j, "status", effective ? "effective" : osh_rev_status_json(rev.status));
	osh_json_kz(j, "policy_source", from_global || !sb ? "global" : "sandbox");
	osh_json_ku64(j, "config_revision", config_revision);
	if (global_version)
		osh_json_ku64(j, "global_policy_version", global_version);
	osh_json_ku64(j, "active_version", active_version(sb ? sb->name : scope));
	osh_json_ku64(j, "created_ms", rev.created_ms);
	osh_json_ku64(j, "loaded_ms", rev.loaded_ms);
	if (rev.error && rev.error[0])
		osh_json_kz(j, "error", rev.error);
	put_provenance(j, rev.provenance);
	osh_json_kstr(j, "policy", (struct osh_str){ rev.text, rev.text_len });
	osh_ctl_reply_end(call);
}

struct rev_iter {
	struct osh_state_iter it;
	struct osh_json *j;
};

static int list_rev(struct osh_state_iter *it, const struct osh_state_rev *rev)
{
	struct osh_json *j = osh_container_of(it, struct rev_iter, it)->j;

	osh_json_obj(j);
	osh_json_ku64(j, "version", rev->version);
	osh_json_kz(j, "hash", rev->hash);
	osh_json_kz(j, "status", osh_rev_status_json(rev->status));
	osh_json_ku64(j, "created_ms", rev->created_ms);
	osh_json_ku64(j, "loaded_ms", rev->loaded_ms);
	osh_json_kz(j, "error", rev->error ? rev->error : "");
	put_provenance(j, rev->provenance);
	osh_json_obj_end(j);
	return j->err;
}

void osh_api_policy_list(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct rev_iter l = { .it.on_rev = list_rev };
	const char *scope;
	struct osh_sandbox *sb;
	uint64_t limit;
	int r;

	if (read_scope(call, params, &scope, &sb) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "limit", OSH_STATE_LIST_MAX, LIST_DEFAULT, &limit) <
		    0)
		return;
	l.j = osh_ctl_reply_begin(call);
	osh_json_key(l.j, "revisions");
	osh_json_arr(l.j);
	r = osh_state_rev_list(osh_api_monitor()->state, scope, limit, &l.it);
	if (r < 0 && !l.j->err)
		l.j->err = r;
	osh_json_arr_end(l.j);
	osh_ctl_reply_end(call);
}

void osh_api_policy_delete_global(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();
	struct osh_list *it;
	struct osh_json *j;
	uint64_t revision = 0;
	int r;

	(void)params;
	if (osh_ctl_call_peer(call)->uid != 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_DENIED, "run it as root",
			     "the global policy can only be changed by root");
		return;
	}
	r = osh_state_global_clear(m->state, osh_realtime_ms());
	if (r < 0 && r != -ENOENT) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL,
			     "cannot delete the global policy: %s", strerror(-r));
		return;
	}
	(void)!osh_state_settings_revision(m->state, OSH_STATE_GLOBAL_SCOPE, &revision); /* 0 */
	/* each sandbox goes back to its own */
	osh_list_for_each (it, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(it, struct osh_sandbox, node);
		bool global;
		uint64_t version;

		if (r < 0 || sb->phase != OSH_PHASE_READY || sb->selftest)
			continue;
		if (osh_publish_effective(sb, &global, &version) == 0)
			osh_publish(sb, global, version, NULL, NULL);
		else
			osh_publish_quarantine(sb, "its own policy could not be found");
	}
	j = osh_ctl_reply_begin(call);
	osh_json_kbool(j, "found", r == 0);
	osh_json_ku64(j, "revision", revision);
	osh_ctl_reply_end(call);
}
