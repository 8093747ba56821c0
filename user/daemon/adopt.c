/* SPDX-License-Identifier: MIT */
/*
 * Sandboxes that an earlier daemon left: those that run are taken over without being touched, with
 * their listeners where the service manager kept them; the others are stopped, and deletions finished.
 */
#include "daemon/sandboxes.h"

#include <errno.h>

#include "base/log.h"
#include "daemon/fdstore.h"

static void adopted(struct osh_sandbox *sb, uint64_t version, int err, const char *message,
		    void *arg)
{
	(void)version;
	(void)arg;
	if (err < 0) {
		osh_publish_quarantine(sb, message);
		return;
	}
	osh_log_notice("sandbox %s adopted, generation %llu", OSH_Q(sb->name),
		       (unsigned long long)sb->active.generation);
}

static void not_adopted(struct osh_sandbox *sb, int r)
{
	osh_log_notice("sandbox %s does not run any more (%s); it can be started again",
		       OSH_Q(sb->name), strerror(-r));
	osh_sb_set_phase(sb, OSH_PHASE_STOPPING, "it was not running when the daemon started");
	osh_sb_down(sb, OSH_SB_GOAL_STOPPED, 0, "it was not running when the daemon started");
}

/* Listeners come with the CA: the proxies are told about a sandbox once, with everything. */
static int adopt_listeners(struct osh_sandbox *sb)
{
	uint64_t cookie;
	int r = osh_fdstore_take(sb);

	if (r == 0) /* connections made meanwhile wait in them */
		return osh_sb_register(sb);
	r = osh_sandbox_listen(sb->proc.netns_fd, &sb->lst, &cookie);
	if (r == 0 && cookie != sb->proc.netns_cookie)
		r = -ESTALE;
	if (r == 0)
		r = osh_sb_register(sb);
	if (r == 0) {
		osh_fdstore_drop(sb); /* some may have come back, but not all */
		osh_fdstore_put(sb);
	}
	return r;
}

static void adopt_ca_ready(struct osh_sandbox *sb, int err)
{
	bool global = false;
	uint64_t version = 0;
	int r;

	if (sb->phase != OSH_PHASE_READY || sb->op ||
	    sb->down.goal) /* stopped or deleted meanwhile */
		return;
	r = adopt_listeners(sb);
	if (r < 0) {
		not_adopted(sb, r);
		return;
	}
	r = err ? err : osh_publish_effective(sb, &global, &version);
	if (r == 0) {
		osh_publish(sb, global, version, adopted, NULL);
		return;
	}
	osh_publish_quarantine(sb, err < 0 ? "its CA could not be loaded"
					   : "its stored policy could not be found");
}

static int adopt(struct osh_sandbox *sb)
{
	int r = osh_cgroup_sandbox_open(&sb->m->cg, sb->name, &sb->cgroup_fd);

	if (r == 0)
		r = osh_sandbox_adopt(sb->cgroup_fd, &sb->proc);
	return r < 0 ? r : osh_sb_open_dirs(sb, false);
}

static void delete_leftover(struct osh_sandbox *sb)
{
	int r = osh_cgroup_sandbox_open(&sb->m->cg, sb->name, &sb->cgroup_fd);

	if (r < 0 && r != -ENOENT)
		osh_log_warn_errno(r, "cannot open the cgroup of sandbox %s", OSH_Q(sb->name));
	osh_sb_delete(sb, NULL, NULL);
}

static bool phase_runs(enum osh_phase phase)
{
	return phase == OSH_PHASE_READY || phase == OSH_PHASE_STARTING ||
	       phase == OSH_PHASE_PROVISIONING || phase == OSH_PHASE_STOPPING;
}

struct row_iter {
	struct osh_state_iter it;
	struct osh_monitor *m;
};

static int on_row(struct osh_state_iter *it, const struct osh_state_sandbox *row)
{
	struct osh_sandbox *sb;

	return osh_sb_new(osh_container_of(it, struct row_iter, it)->m, row, &sb);
}

/* ---- cgroups that belong to nobody: canaries and self-tests of a daemon that was killed ---- */

struct stray {
	struct osh_emptying emptying;
	struct osh_monitor *m;
	int cgroup_fd;
	char name[OSH_CGROUP_NAME_MAX];
};

static void stray_empty(struct osh_emptying *e)
{
	struct stray *s = osh_container_of(e, struct stray, emptying);
	int r;

	osh_close_ptr(&s->cgroup_fd);
	r = osh_cgroup_sandbox_remove(&s->m->cg, s->name);
	if (r < 0)
		osh_log_warn_errno(r, "cannot remove stray cgroup %s", OSH_Q(s->name));
	free(s);
}

static int reap_stray(const char *name, void *arg)
{
	struct osh_monitor *m = arg;
	struct stray *s;
	int r;

	if (osh_sb_find(m, name))
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->m = m;
	s->cgroup_fd = -1;
	(void)osh_strlcpy(s->name, name, sizeof(s->name));
	r = osh_cgroup_sandbox_open(&m->cg, name, &s->cgroup_fd);
	if (r == 0)
		r = osh_cgroup_kill(s->cgroup_fd);
	if (r < 0) {
		osh_log_warn_errno(r, "cannot end what runs in stray cgroup %s", OSH_Q(name));
		osh_close_ptr(&s->cgroup_fd);
		free(s);
		return 0;
	}
	osh_emptying_start(m->loop, &s->emptying, s->cgroup_fd, 0, stray_empty, NULL);
	return 0;
}

/*
 * Rows of the kernel for sandboxes that the state does not know (it was lost, or another one is used with
 * the same pins): their numbers will be given out again.
 */
struct unknown {
	struct osh_monitor *m;
	uint32_t ids[OSH_SANDBOX_MAX];
	size_t n;
};

static int note_unknown(const struct osh_kern_sandbox *row, void *arg)
{
	struct unknown *u = arg;

	if (!osh_sb_by_id(u->m, row->id) && u->n < OSH_ARRAY_SIZE(u->ids))
		u->ids[u->n++] = row->id;
	return 0;
}

static void forget_unknown(struct osh_monitor *m)
{
	struct unknown u = { .m = m };
	int r = osh_kern_sandbox_list(m->kern, note_unknown, &u);

	if (r < 0)
		osh_log_warn_errno(r, "cannot look for stray sandboxes in the kernel's tables");
	for (size_t i = 0; i < u.n; i++) {
		r = osh_kern_sandbox_remove(m->kern, u.ids[i]);
		if (r < 0)
			osh_log_warn_errno(r, "cannot forget stray sandbox %u", u.ids[i]);
		else
			osh_log_notice("forgot sandbox %u of the kernel's tables: the state does "
				       "not know it",
				       u.ids[i]);
	}
}

int osh_sandboxes_adopt(struct osh_monitor *m)
{
	struct row_iter rows = { .it.on_sandbox = on_row, .m = m };
	struct osh_list *node, *tmp;
	int r = osh_state_sandbox_list(m->state, 0, UINT64_MAX, &rows.it);

	if (r < 0)
		return r;
	r = osh_cgroup_sandbox_list(&m->cg, reap_stray, m);
	if (r < 0)
		osh_log_warn_errno(r, "cannot look for stray cgroups");
	forget_unknown(m);
	osh_list_for_each_safe (node, tmp, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(node, struct osh_sandbox, node);

		/* finish what a crash interrupted; nobody waits for a self-test any more */
		if (sb->phase == OSH_PHASE_DELETING || sb->selftest) {
			delete_leftover(sb);
			continue;
		}
		if (!phase_runs(sb->phase))
			continue;
		r = sb->phase == OSH_PHASE_READY ? adopt(sb) : -ESRCH;
		if (r == 0) {
			osh_signer_ask_ca(sb, adopt_ca_ready);
			continue;
		}
		not_adopted(sb, r);
	}
	return 0;
}

/* Descriptors close, processes and kernel tables stay: the next daemon adopts them. */
void osh_sandboxes_detach(struct osh_monitor *m)
{
	while (!osh_list_is_empty(&m->sandboxes)) {
		struct osh_sandbox *sb = osh_list_entry(m->sandboxes.next, struct osh_sandbox,
							node);

		osh_src_del(&sb->proc_src);
		osh_emptying_stop(&sb->down.emptying);
		osh_child_drop(&sb->down.wipe);
		osh_sessions_end(sb);
		osh_publish_cancel(sb);
		osh_names_free(sb);
		osh_sandbox_listeners_fini(&sb->lst);
		osh_sandbox_proc_fini(&sb->proc);
		osh_sb_free(sb);
	}
}
