/* SPDX-License-Identifier: MIT */
/*
 * How a revision comes into force. Any failure before the kernel swap leaves the old generation
 * untouched everywhere; after the swap the revision is committed as loaded and only switching the
 * proxies is left, which cannot fail: a proxy that dies meanwhile starts with the new image. A proxy
 * that does not answer in time is killed and restarted rather than waited for.
 */
#include "daemon/publish.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/log.h"
#include "daemon/alias.h"
#include "policy/decide.h"
#include "policy/hash.h"
#include "policy/validate.h"
#include "sys/fs.h"

#define ALIAS_BYTES (16u << 20) /* ceiling for the resolved binaries of a policy */

enum { ANSWER_MS = 5000 };

static void start_next(struct osh_sandbox *sb);

static void policy_release(struct osh_sb_policy *policy)
{
	if (policy->map)
		munmap((void *)(uintptr_t)policy->map, policy->image_bytes);
	osh_close_ptr(&policy->image_fd);
	*policy = (struct osh_sb_policy){ .image_fd = -1 };
}

static void publish_free(struct osh_publish *p)
{
	osh_timer_stop(&p->deadline);
	osh_list_del(&p->node);
	policy_release(&p->policy);
	p->doc = osh_policy_free(p->doc);
	free(p);
}

/* Tell whoever asked, forget the publish, go on with the next one. */
static void finish(struct osh_publish *p, int err, const char *message)
{
	struct osh_sandbox *sb = p->sb;
	osh_publish_fn *done = p->done;
	void *arg = p->arg;
	uint64_t version = p->version;

	if (sb->publishing == p)
		sb->publishing = NULL;
	publish_free(p);
	if (done)
		done(sb, version, err, message, arg);
	start_next(sb);
}

static const char *scope_of(const struct osh_publish *p)
{
	return p->global ? OSH_STATE_GLOBAL_SCOPE : p->sb->name;
}

static void fail(struct osh_publish *p, int err, const char *message)
{
	struct osh_sandbox *sb = p->sb;

	/* a global revision fails as a whole where it was submitted, not per sandbox */
	if (p->version && !p->global) {
		int r = p->broken ? osh_state_rev_broken(sb->m->state, scope_of(p), p->version,
							 message)
				  : osh_state_rev_failed(sb->m->state, scope_of(p), p->version,
							 message, osh_realtime_ms());

		/* stale: one that was in force before stays the one to go back to */
		if (r < 0 && r != -ESTALE)
			osh_log_warn_errno(r, "cannot record that revision %llu of %s failed",
					   (unsigned long long)p->version, OSH_Q(sb->name));
	}
	osh_events_policy(sb, OSH_REC_ACT_FAILED, p->version, "", message);
	osh_log_warn(
		"policy revision %llu of sandbox %s failed to load: %s; keeping generation %llu",
		(unsigned long long)p->version, OSH_Q(sb->name), message,
		(unsigned long long)sb->active.generation);
	finish(p, err, message);
}

/* ---- making the image ---- */

static int map_image(struct osh_sb_policy *policy, const struct osh_buf *block)
{
	int r = osh_fs_memfd_sealed("openshell-policy", block->data, block->len);

	if (r < 0)
		return r;
	policy->image_fd = r;
	r = osh_fs_map_sealed(policy->image_fd, OSH_IMAGE_MAX_BYTES, &policy->map,
			      &policy->image_bytes);
	if (r < 0)
		return r;
	return osh_image_open(policy->map, policy->image_bytes, &policy->image);
}

/*
 * Generations grow across restarts, whatever pins are left: the state keeps a ceiling ahead of what
 * was given out, so that not every publish has to write. 0: it could not be kept.
 */
static uint64_t next_generation(struct osh_monitor *m)
{
	enum { AHEAD = 1000 };
	char text[24];

	if (m->generation >= m->generation_kept) {
		int r;

		(void)snprintf(text, sizeof(text), "%llu",
			       (unsigned long long)m->generation + AHEAD);
		r = osh_state_meta_set(m->state, "generation", text);
		if (r < 0) {
			osh_log_warn_errno(r, "cannot keep the policy generation in the state");
			return 0;
		}
		m->generation_kept = m->generation + AHEAD;
	}
	return ++m->generation;
}

static int compile(struct osh_publish *p, const char *hash, struct osh_buf *block)
{
	const struct osh_image_alias *aliases = NULL;
	osh_auto_arena struct osh_arena arena;
	size_t n = 0;
	int r;

	osh_arena_init(&arena, ALIAS_BYTES);
	if (p->sb->proc.pid > 0) {
		r = osh_alias_collect(p->sb->proc.pid, p->doc, &arena, &aliases, &n);
		/* fewer names only means fewer grants */
		if (r < 0)
			osh_log_warn_errno(r,
					   "cannot look up the binaries of sandbox %s; paths of "
					   "the policy count as written",
					   OSH_Q(p->sb->name));
	}
	return osh_image_compile_with(p->doc, p->policy.generation, hash, aliases, n, block);
}

/* Revision text to image; @message gets the reason for people. */
static int build(struct osh_publish *p, struct osh_buf *message)
{
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	osh_auto_bufmem struct osh_buf block;
	osh_auto_diag struct osh_diag diag;
	int r;

	osh_diag_init(&diag, NULL);
	osh_buf_init(&block, OSH_IMAGE_MAX_BYTES, 0);
	r = osh_state_rev_get(p->sb->m->state, scope_of(p), p->version, &rev);
	if (r < 0) {
		(void)!osh_buf_printf(message, "cannot read the revision: %s", strerror(-r));
		return r;
	}
	r = osh_policy_load((struct osh_str){ rev.text, rev.text_len }, "policy", &p->doc, &diag);
	if (r == 0)
		r = osh_policy_unsupported(p->doc, &diag);
	if (r < 0) {
		p->broken = diag.errors > 0;
		(void)!osh_diag_join(&diag, OSH_DIAG_ERROR, message);
		return r;
	}
	p->policy.generation = next_generation(p->sb->m);
	if (!p->policy.generation) {
		(void)!osh_buf_printf(message, "the state cannot be written");
		return -EIO;
	}
	p->policy.version = p->version;
	p->policy.global = p->global;
	r = compile(p, rev.hash, &block);
	if (r == 0)
		r = map_image(&p->policy, &block);
	if (r < 0)
		(void)!osh_buf_printf(message, "cannot compile the policy: %s", strerror(-r));
	return r;
}

/* ---- the steps ---- */

static uint64_t live_proxies(const struct osh_monitor *m)
{
	uint64_t set = 0;

	for (unsigned int i = 0; i < m->nproxies; i++)
		if (m->proxies[i].state == OSH_ROLE_READY)
			set |= UINT64_C(1) << i;
	return set;
}

/* @policy: where the image is: p->policy while loading, sb->active after the swap. */
static void send_step(struct osh_publish *p, uint32_t type, const struct osh_sb_policy *policy)
{
	struct osh_monitor *m = p->sb->m;
	struct osh_msg_policy msg = {
		.sandbox = p->sb->id,
		.generation = policy->generation,
		.bytes = policy->image_bytes,
	};

	p->waiting = live_proxies(m);
	for (unsigned int i = 0; i < m->nproxies; i++) {
		if (!(p->waiting >> i & 1))
			continue;
		/* a proxy that came up meanwhile has to be given the image first */
		if (!(p->told >> i & 1))
			osh_role_send(&m->proxies[i], OSH_MSG_POLICY_LOAD, 0, &msg, sizeof(msg),
				      &policy->image_fd, 1);
		p->told |= UINT64_C(1) << i;
		if (type != OSH_MSG_POLICY_LOAD)
			osh_role_send(&m->proxies[i], type, 0, &msg, sizeof(msg), NULL, 0);
	}
}

static void on_deadline(struct osh_timer *timer)
{
	struct osh_publish *p = osh_container_of(timer, struct osh_publish, deadline);
	struct osh_monitor *m = p->sb->m;

	for (unsigned int i = 0; i < m->nproxies; i++) {
		if (!(p->waiting >> i & 1))
			continue;
		osh_log_warn("proxy %u did not acknowledge generation %llu; restarting it", i,
			     (unsigned long long)p->policy.generation);
		(void)kill(m->proxies[i].pid,
			   SIGKILL); /* our child; role_gone() goes on from there */
	}
	osh_timer_set(m->loop, &p->deadline, ANSWER_MS, on_deadline);
}

static void switched(struct osh_publish *p)
{
	finish(p, 0, "");
}

/* Every proxy has mapped the image: kernel, record, switch. */
static void all_loaded(struct osh_publish *p)
{
	struct osh_sandbox *sb = p->sb;
	char text[256];
	int r = osh_kmap_publish(sb, &p->policy);

	if (r < 0) {
		(void)snprintf(text, sizeof(text), "cannot update the kernel policy: %s",
			       strerror(-r));
		fail(p, r, text);
		return;
	}
	if (p->version && !p->policy.quarantine) {
		r = osh_state_rev_loaded(sb->m->state, scope_of(p), p->version, osh_realtime_ms());
		if (r < 0 &&
		    r != -ESTALE) /* a reload of what is loaded already is stale, and fine */
			osh_log_warn_errno(r, "cannot record that revision %llu of %s is loaded",
					   (unsigned long long)p->version, OSH_Q(sb->name));
	}
	policy_release(&sb->active);
	sb->active = p->policy;
	p->policy = (struct osh_sb_policy){ .image_fd = -1, .generation = sb->active.generation };
	osh_policy_free(sb->doc);
	sb->doc = osh_take_ptr(&p->doc);
	p->step = OSH_PUBLISH_SWITCHING;
	send_step(p, OSH_MSG_POLICY_SWITCH, &sb->active);
	osh_events_policy(sb, sb->active.quarantine ? OSH_REC_ACT_QUARANTINED : OSH_REC_ACT_LOADED,
			  p->version, sb->active.image ? osh_image_hash(sb->active.image) : "",
			  sb->active.quarantine ? p->reason : "Policy reloaded successfully");
	if (!p->waiting)
		switched(p);
}

static void begin(struct osh_publish *p)
{
	struct osh_sandbox *sb = p->sb;
	osh_auto_bufmem struct osh_buf message;

	sb->publishing = p;
	osh_buf_init(&message, 8192, 0);
	if (p->policy.image_fd < 0) {
		int r = build(p, &message);

		if (r < 0) {
			fail(p, r, message.data ? message.data : strerror(-r));
			return;
		}
	}
	p->step = OSH_PUBLISH_LOADING;
	osh_timer_set(sb->m->loop, &p->deadline, ANSWER_MS, on_deadline);
	send_step(p, OSH_MSG_POLICY_LOAD, &p->policy);
	if (!p->waiting)
		all_loaded(p);
}

static void start_next(struct osh_sandbox *sb)
{
	if (sb->publishing || osh_list_is_empty(&sb->publish_queue))
		return;
	begin(osh_list_entry(sb->publish_queue.next, struct osh_publish, node));
}

static void answered(struct osh_publish *p, unsigned int index)
{
	p->waiting &= ~(UINT64_C(1) << index);
	if (p->waiting)
		return;
	if (p->step == OSH_PUBLISH_LOADING)
		all_loaded(p);
	else if (p->step == OSH_PUBLISH_SWITCHING)
		switched(p);
}

void osh_publish_on_msg(struct osh_monitor *m, struct osh_role *role, uint32_t type,
			const struct osh_msg_policy *msg)
{
	struct osh_sandbox *sb = osh_sb_by_id(m, msg->sandbox);
	struct osh_publish *p = sb ? sb->publishing : NULL;

	/* answers to what send_sandbox() told a fresh proxy, or to a publish that is over */
	if (!p || msg->generation != p->policy.generation || !(p->waiting >> role->index & 1))
		return;
	if (type == OSH_MSG_POLICY_LOADED && p->step == OSH_PUBLISH_LOADING) {
		if (msg->status < 0) {
			/* we have opened that image ourselves: the fault is the proxy's, and a
			 * revocation must not depend on it; role_gone() goes on from there */
			osh_log_warn_errno(msg->status,
					   "proxy %u refused generation %llu; restarting it",
					   role->index, (unsigned long long)p->policy.generation);
			(void)kill(role->pid, SIGKILL); /* our child */
			return;
		}
		answered(p, role->index);
	} else if (type == OSH_MSG_POLICY_ACTIVE && p->step == OSH_PUBLISH_SWITCHING) {
		if (msg->status < 0) {
			/* it still judges by the old policy: role_gone() goes on from there */
			osh_log_warn_errno(
				msg->status,
				"proxy %u did not switch to generation %llu; restarting it",
				role->index, (unsigned long long)p->policy.generation);
			(void)kill(role->pid, SIGKILL); /* our child */
			return;
		}
		answered(p, role->index);
	}
}

void osh_publish_role_gone(struct osh_monitor *m, struct osh_role *role)
{
	struct osh_list *it, *tmp;

	osh_list_for_each_safe (it, tmp, &m->sandboxes) {
		struct osh_publish *p = osh_list_entry(it, struct osh_sandbox, node)->publishing;

		if (!p)
			continue;
		p->told &= ~(UINT64_C(1) << role->index);
		if (p->waiting >> role->index & 1)
			answered(p, role->index);
	}
}

static struct osh_publish *enqueue(struct osh_sandbox *sb, bool global, uint64_t version,
				   osh_publish_fn *done, void *arg)
{
	struct osh_publish *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->sb = sb;
	p->global = global;
	p->version = version;
	p->policy.image_fd = -1;
	p->done = done;
	p->arg = arg;
	osh_list_add_tail(&sb->publish_queue, &p->node);
	return p;
}

void osh_publish(struct osh_sandbox *sb, bool global, uint64_t version, osh_publish_fn *done,
		 void *arg)
{
	if (!enqueue(sb, global, version, done, arg)) {
		if (done)
			done(sb, version, -ENOMEM, "out of memory", arg);
		return;
	}
	start_next(sb);
}

void osh_publish_quarantine(struct osh_sandbox *sb, const char *why)
{
	osh_auto_bufmem struct osh_buf block;
	struct osh_publish *p = enqueue(sb, false, 0, NULL, NULL);
	int r = p ? 0 : -ENOMEM;

	osh_buf_init(&block, OSH_IMAGE_MAX_BYTES, 0);
	if (r == 0) {
		/* denying must not depend on the state: without it the old ceiling is exceeded */
		p->policy.generation = next_generation(sb->m);
		if (!p->policy.generation)
			p->policy.generation = ++sb->m->generation;
		p->policy.quarantine = true;
		(void)snprintf(p->reason, sizeof(p->reason),
			       "Sandbox quarantined, everything is denied: %s", why);
		r = osh_image_quarantine(p->policy.generation, osh_str(why), &block);
	}
	if (r == 0)
		r = map_image(&p->policy, &block);
	if (r < 0) {
		/* without any image the proxies deny as well: they have no policy for the sandbox */
		osh_log_warn_errno(r, "cannot build the quarantine policy of %s", OSH_Q(sb->name));
		if (p)
			publish_free(p);
		return;
	}
	osh_log_error("sandbox %s is quarantined, everything is denied: %s", OSH_Q(sb->name), why);
	start_next(sb);
}

void osh_publish_cancel(struct osh_sandbox *sb)
{
	while (!osh_list_is_empty(&sb->publish_queue)) {
		struct osh_publish *p = osh_list_entry(sb->publish_queue.next, struct osh_publish,
						       node);
		osh_publish_fn *done = p->done;
		void *arg = p->arg;
		uint64_t version = p->version;

		publish_free(p);
		if (done)
			done(sb, version, -ECANCELED, "the sandbox is stopping", arg);
	}
	sb->publishing = NULL;
	policy_release(&sb->active);
	sb->doc = osh_policy_free(sb->doc);
}

int osh_publish_effective(struct osh_sandbox *sb, bool *ret_global, uint64_t *ret_version)
{
	osh_auto_state_rev struct osh_state_rev global = { 0 }, latest = { 0 }, active = { 0 };
	int r = sb->selftest ? -ENOENT
			     : osh_state_rev_active(sb->m->state, OSH_STATE_GLOBAL_SCOPE, &global);

	*ret_global = r == 0;
	*ret_version = global.version;
	if (r != -ENOENT)
		return r;
	/* a revision that was accepted but not yet loaded (daemon or sandbox stopped) comes first */
	r = osh_state_rev_get(sb->m->state, sb->name, 0, &latest);
	*ret_version = latest.version;
	if (r < 0 || latest.status == OSH_REV_PENDING || latest.status == OSH_REV_LOADED)
		return r;
	r = osh_state_rev_active(sb->m->state, sb->name, &active);
	*ret_version = active.version;
	return r;
}
