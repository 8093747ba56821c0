/* SPDX-License-Identifier: MIT */
/*
 * Sandboxes from row to running processes and back. Starting goes through the signer (CA), the
 * sandbox library (namespaces), the kernel tables and a publish; any failure ends in phase ERROR
 * with nothing running. Stopping kills the cgroup and waits for it to be empty.
 */
#include "daemon/monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "daemon/fdstore.h"
#include "daemon/limits.h"
#include "state/firstuse.h"
#include "sys/fs.h"
#include "tls/ca.h"

enum { KILL_WAIT_MS = 5000 };

/* A start, stop or delete under way; one per sandbox. */
struct osh_sb_op {
	struct osh_sandbox *sb;
	osh_sb_done_fn *done;
	void *arg;
	bool remove;
};

struct osh_sandbox *osh_sb_find(struct osh_monitor *m, const char *name)
{
	struct osh_list *it;

	osh_list_for_each (it, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(it, struct osh_sandbox, node);

		if (strcmp(sb->name, name) == 0)
			return sb;
	}
	return NULL;
}

struct osh_sandbox *osh_sb_by_id(struct osh_monitor *m, uint32_t id)
{
	struct osh_list *it;

	osh_list_for_each (it, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(it, struct osh_sandbox, node);

		if (sb->id == id)
			return sb;
	}
	return NULL;
}

void osh_sb_set_phase(struct osh_sandbox *sb, enum osh_phase phase, const char *reason)
{
	int r;

	sb->phase = phase;
	r = osh_state_sandbox_phase(sb->m->state, sb->name, phase, reason, osh_realtime_ms());
	if (r < 0)
		osh_log_warn_errno(r, "cannot record the phase of sandbox %s", OSH_Q(sb->name));
}

int osh_sb_new(struct osh_monitor *m, const struct osh_state_sandbox *row,
	       struct osh_sandbox **ret_sb)
{
	struct osh_sandbox *sb = calloc(1, sizeof(*sb));

	if (!sb)
		return -ENOMEM;
	sb->m = m;
	(void)osh_strlcpy(sb->name, row->name, sizeof(sb->name));
	(void)osh_strlcpy(sb->uuid, row->id, sizeof(sb->uuid));
	sb->id = (uint32_t)row->sandbox_id;
	sb->phase = row->phase;
	sb->keep = row->keep;
	sb->cgroup_fd = sb->state_fd = sb->init_listen_fd = -1;
	sb->active.image_fd = -1;
	osh_sandbox_proc_init(&sb->proc);
	osh_sandbox_listeners_init(&sb->lst);
	if (osh_json_parse(osh_str(row->spec), &sb->spec, NULL, 0) < 0)
		sb->spec = NULL; /* our own text; without it only labels and --env are missing */
	osh_buf_init(&sb->ca_pem, OSH_MSG_CA_PEM_MAX - 1, 0);
	osh_list_init(&sb->publish_queue);
	osh_list_init(&sb->sessions);
	osh_list_add_tail(&m->sandboxes, &sb->node);
	*ret_sb = sb;
	return 0;
}

/* ---- places ---- */

static int open_dirs(struct osh_sandbox *sb, bool listen)
{
	const struct osh_config *cfg = &sb->m->cfg;
	char path[4096];
	int r;

	(void)snprintf(path, sizeof(path), "%s/sandboxes/%s", cfg->state_dir.p, sb->name);
	r = osh_fs_mkdir_p(path, 0700);
	if (r < 0)
		return r;
	osh_close_ptr(&sb->state_fd);
	sb->state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sb->state_fd < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/sandboxes", cfg->runtime_dir.p);
	r = osh_fs_mkdir_p(path, 0700);
	if (r < 0)
		return r;
	if (snprintf(sb->init_path, sizeof(sb->init_path), "%s/%s.init", path, sb->name) >=
	    (int)sizeof(sb->init_path))
		return -ENAMETOOLONG;
	osh_close_ptr(&sb->init_listen_fd);
	return listen ? osh_init_listen(sb->init_path, &sb->init_listen_fd) : 0;
}

/* ---- taking down ---- */

/* Everything of a running sandbox but its row and files. */
static void tear_down(struct osh_sandbox *sb)
{
	struct osh_monitor *m = sb->m;
	struct osh_msg_sandbox msg = { .id = sb->id };
	int r;

	osh_sessions_end(sb);
	osh_publish_cancel(sb);
	(void)osh_strlcpy(msg.name, sb->name, sizeof(msg.name));
	osh_proxies_send(m, OSH_MSG_SANDBOX_DEL, &msg, sizeof(msg), NULL, 0);
	osh_src_del(&sb->proc_src);
	if (sb->cgroup_fd >= 0) {
		r = osh_cgroup_kill(sb->cgroup_fd);
		if (r == 0)
			r = osh_cgroup_wait_empty(sb->cgroup_fd, KILL_WAIT_MS);
		if (r < 0)
			osh_log_warn_errno(r, "cannot end every process of sandbox %s",
					   OSH_Q(sb->name));
		osh_close_ptr(&sb->cgroup_fd);
		r = osh_cgroup_sandbox_remove(&m->cg, sb->name);
		if (r < 0)
			osh_log_warn_errno(r, "cannot remove the cgroup of sandbox %s",
					   OSH_Q(sb->name));
	}
	r = osh_kern_sandbox_remove(m->kern, sb->id);
	if (r < 0)
		osh_log_warn_errno(r, "cannot remove sandbox %s from the kernel tables",
				   OSH_Q(sb->name));
	osh_idents_forget(m, sb->id);
	osh_names_free(sb);
	osh_fdstore_drop(sb);
	osh_sandbox_listeners_fini(&sb->lst);
	osh_sandbox_proc_fini(&sb->proc);
	osh_close_ptr(&sb->init_listen_fd);
	if (sb->init_path[0])
		(void)unlink(sb->init_path); /* may be gone */
}

static void op_end(struct osh_sb_op *op, int err, const char *message)
{
	struct osh_sb_op copy = *op;

	op->sb->op = NULL;
	free(op);
	if (copy.done)
		copy.done(copy.sb, err, message, copy.arg);
}

static void start_failed(struct osh_sb_op *op, int err, const char *message)
{
	struct osh_sandbox *sb = op->sb;

	tear_down(sb);
	osh_sb_set_phase(sb, OSH_PHASE_ERROR, message);
	osh_events_log(sb->m, sb, OSH_REC_ERROR, "Sandbox failed to start: %s", message);
	op_end(op, err, message);
}

static void on_proc_exit(struct osh_src *src, uint32_t events)
{
	struct osh_sandbox *sb = osh_container_of(src, struct osh_sandbox, proc_src);

	(void)events;
	osh_log_notice("sandbox %s: init has ended", OSH_Q(sb->name));
	tear_down(sb);
	osh_sb_set_phase(sb, OSH_PHASE_STOPPED, "its first process ended");
	osh_events_log(sb->m, sb, OSH_REC_WARN, "Sandbox stopped: its first process ended");
}

/* ---- bringing up ---- */

static struct osh_kern_sandbox kern_sandbox(const struct osh_sandbox *sb, uint64_t cgroup_id)
{
	struct osh_kern_sandbox ks = {
		.id = sb->id,
		.netns_cookie = sb->proc.netns_cookie,
		.cgroup_id = cgroup_id,
		.pool4_bits = 15,
		.tcp4_port = sb->lst.tcp4_port,
		.dns4_port = sb->lst.dns_udp4_port,
		.tcp6_port = sb->lst.tcp6_port,
		.dns6_port = sb->lst.dns_udp6_port,
	};

	(void)inet_pton(AF_INET, OSH_SANDBOX_ADDR4, &ks.listen4); /* constants: cannot fail */
	(void)inet_pton(AF_INET6, OSH_SANDBOX_ADDR6, &ks.listen6);
	ks.pool4.s_addr = htonl(ntohl(ks.listen4.s_addr) & 0xfffe0000u);
	ks.pool6 = ks.listen6;
	memset(ks.pool6.s6_addr + 8, 0, 8);
	return ks;
}

/* Listeners exist and init waits or runs: tell kernel and proxies, then publish the policy. */
static int register_sandbox(struct osh_sandbox *sb)
{
	struct osh_kern_sandbox ks;
	uint64_t cgroup_id;
	int r = osh_cgroup_id(sb->cgroup_fd, &cgroup_id);

	if (r < 0)
		return r;
	ks = kern_sandbox(sb, cgroup_id);
	r = osh_kern_sandbox_add(sb->m->kern, &ks);
	if (r < 0)
		return r;
	r = osh_names_load(sb);
	if (r < 0)
		return r;
	r = osh_src_add(sb->m->loop, &sb->proc_src, sb->proc.pidfd, EPOLLIN, 0, on_proc_exit,
			"sandbox pidfd");
	if (r < 0)
		return r;
	osh_role_add_sandbox(sb->m, NULL, sb);
	return 0;
}

static void published(struct osh_sandbox *sb, uint64_t version, int err, const char *message,
		      void *arg)
{
	struct osh_sb_op *op = arg;
	int r;

	(void)version;
	if (err < 0) {
		start_failed(op, err, message);
		return;
	}
	r = osh_sandbox_release(&sb->proc);
	if (r < 0) {
		start_failed(op, r, "its first process ended before it was released");
		return;
	}
	osh_sb_set_phase(sb, OSH_PHASE_READY, "");
	osh_events_life(sb->m, sb, OSH_REC_ACT_START, "Starting sandbox");
	op_end(op, 0, "");
}

static void path_list(const struct osh_strs *list, const char **out, struct osh_sandbox_paths *ret)
{
	for (size_t i = 0; i < list->n; i++)
		out[i] = list->v[i].p; /* arena strings are NUL-terminated */
	ret->path = out;
	ret->count = list->n;
}

static int load_doc(struct osh_sandbox *sb, bool global, uint64_t version,
		    struct osh_policy **ret_doc, struct osh_diag *diag)
{
	osh_auto_state_rev struct osh_state_rev rev = { 0 };
	int r = osh_state_rev_get(sb->m->state, global ? OSH_STATE_GLOBAL_SCOPE : sb->name, version,
				  &rev);

	if (r < 0)
		return r;
	return osh_policy_load((struct osh_str){ rev.text, rev.text_len }, NULL, ret_doc, diag);
}

static void report_notes(struct osh_sandbox *sb)
{
	static const enum osh_rec_level levels[] = { OSH_REC_INFO, OSH_REC_WARN, OSH_REC_WARN };

	for (size_t i = 0; i < sb->proc.notes_count; i++)
		osh_events_log(sb->m, sb, levels[sb->proc.notes[i].level % 3], "%s",
			       sb->proc.notes[i].text);
}

static int spawn(struct osh_sandbox *sb, const struct osh_policy *doc, struct osh_diag *diag)
{
	static const char *read_only[OSH_SANDBOX_PATHS_MAX], *read_write[OSH_SANDBOX_PATHS_MAX];
	const char *hide[] = { sb->m->cfg.state_dir.p, sb->m->cfg.runtime_dir.p,
			       sb->m->cfg.bpf_dir.p };
	struct osh_sandbox_cfg cfg = {
		.name = sb->name,
		.id = sb->uuid,
		.cgroup_fd = sb->cgroup_fd,
		.state_fd = sb->state_fd,
		.init_fd = sb->init_listen_fd,
		.exe_fd = -1,
		.hide = { hide, OSH_ARRAY_SIZE(hide) },
		.include_workdir = doc->filesystem.include_workdir,
		.landlock = doc->landlock.hard_requirement ? OSH_SANDBOX_LANDLOCK_HARD
							   : OSH_SANDBOX_LANDLOCK_BEST_EFFORT,
		.ca_pem = osh_buf_str(&sb->ca_pem),
		.system_bundle = sb->m->cfg.system_bundle.p,
	};
	int r;

	if (doc->filesystem.read_only.n > OSH_SANDBOX_PATHS_MAX ||
	    doc->filesystem.read_write.n > OSH_SANDBOX_PATHS_MAX)
		return -E2BIG;
	path_list(&doc->filesystem.read_only, read_only, &cfg.read_only);
	path_list(&doc->filesystem.read_write, read_write, &cfg.read_write);
	r = osh_sandbox_run_as(doc->process.run_as_user.p, doc->process.run_as_group.p, &cfg.ids,
			       diag);
	if (r < 0)
		return r;
	r = osh_sandbox_check_paths(&cfg, diag);
	if (r < 0)
		return r;
	return osh_sandbox_spawn(&cfg, &sb->proc, diag);
}

/*
 * An empty cgroup of its own. One that is left over is removed, not reused: nobody may live in it, and
 * a cgroup that was killed once kills what is cloned into it from another cgroup (cgroup.kill's
 * sequence number is compared with that of the parent's cgroup; seen on 6.18).
 */
static int make_cgroup(struct osh_sandbox *sb)
{
	int r = osh_cgroup_sandbox_create(&sb->m->cg, sb->name, &sb->cgroup_fd);

	if (r != -EEXIST)
		return r;
	r = osh_cgroup_sandbox_open(&sb->m->cg, sb->name, &sb->cgroup_fd);
	if (r == 0)
		r = osh_cgroup_kill(sb->cgroup_fd);
	if (r == 0)
		r = osh_cgroup_wait_empty(sb->cgroup_fd, KILL_WAIT_MS);
	osh_close_ptr(&sb->cgroup_fd);
	if (r == 0)
		r = osh_cgroup_sandbox_remove(&sb->m->cg, sb->name);
	return r < 0 ? r : osh_cgroup_sandbox_create(&sb->m->cg, sb->name, &sb->cgroup_fd);
}

/* The signer has answered: everything else is synchronous up to the publish. */
static int set_up(struct osh_sandbox *sb, bool global, uint64_t version, struct osh_diag *diag)
{
	osh_auto_policy struct osh_policy *doc = NULL;
	int r = load_doc(sb, global, version, &doc, diag);

	if (r < 0)
		return r;
	r = open_dirs(sb, true);
	if (r < 0)
		return r;
	r = make_cgroup(sb);
	if (r < 0)
		return r;
	r = osh_limits_apply(sb, diag);
	if (r == 0)
		r = spawn(sb, doc, diag);
	if (r < 0)
		return r;
	osh_close_ptr(&sb->init_listen_fd); /* init has it */
	report_notes(sb);
	sb->lst = sb->proc.lst;
	osh_sandbox_listeners_init(&sb->proc.lst);
	r = register_sandbox(sb);
	if (r == 0)
		osh_fdstore_put(sb);
	return r;
}

static void fail_with_diag(struct osh_sb_op *op, int r, const struct osh_diag *diag,
			   const char *what)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, 8192, 0);
	if (diag->errors)
		(void)!osh_diag_join(diag, OSH_DIAG_ERROR, &text); /* as much as fits */
	else
		(void)!osh_buf_printf(&text, "%s: %s", what, strerror(-r));
	start_failed(op, r, text.data ? text.data : what);
}

static void ca_ready(struct osh_sandbox *sb, int err)
{
	struct osh_sb_op *op = sb->op;
	osh_auto_diag struct osh_diag diag = { 0 };
	bool global = false;
	uint64_t version = 0;
	int r = err;

	/* stopped meanwhile, or the answer to a question of an earlier start */
	if (!op || sb->proc.pidfd >= 0)
		return;
	osh_diag_init(&diag, NULL);
	if (r == 0)
		r = osh_publish_effective(sb, &global, &version);
	if (r == 0)
		r = set_up(sb, global, version, &diag);
	if (r < 0) {
		fail_with_diag(op, r, &diag,
			       err < 0 ? "the signer could not make its CA" : "set-up failed");
		return;
	}
	osh_publish(sb, global, version, published, op);
}

static struct osh_sb_op *op_begin(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg)
{
	struct osh_sb_op *op;

	if (sb->op) {
		if (done)
			done(sb, -EBUSY, "another operation on this sandbox is under way", arg);
		return NULL;
	}
	op = calloc(1, sizeof(*op));
	if (!op) {
		if (done)
			done(sb, -ENOMEM, "out of memory", arg);
		return NULL;
	}
	*op = (struct osh_sb_op){ .sb = sb, .done = done, .arg = arg };
	sb->op = op;
	return op;
}

void osh_sb_start(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg)
{
	if (!op_begin(sb, done, arg))
		return;
	osh_sb_set_phase(sb,
			 sb->phase == OSH_PHASE_PROVISIONING ? OSH_PHASE_PROVISIONING
							     : OSH_PHASE_STARTING,
			 "");
	osh_signer_ask_ca(sb, ca_ready);
}

void osh_sb_stop(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg)
{
	struct osh_sb_op *op = op_begin(sb, done, arg);

	if (!op)
		return;
	osh_sb_set_phase(sb, OSH_PHASE_STOPPING, "");
	tear_down(sb);
	osh_sb_set_phase(sb, OSH_PHASE_STOPPED, "");
	osh_events_life(sb->m, sb, OSH_REC_ACT_STOP, "Sandbox stopped");
	op_end(op, 0, "");
}

/* What is left of a sandbox once nothing runs: files, key, row. */
static int remove_traces(struct osh_sandbox *sb)
{
	char path[4096];
	int r;

	/* the signer forgets the key; the file must go even if there is no signer at the moment */
	osh_signer_drop_ca(sb);
	r = osh_ca_remove(sb->m->signer_dir_fd, osh_str(sb->name));
	if (r == 0)
		r = open_dirs(sb, false);
	if (r == 0)
		r = osh_sandbox_wipe(sb->state_fd);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/sandboxes/%s", sb->m->cfg.state_dir.p, sb->name);
	if (rmdir(path) < 0 && errno != ENOENT)
		return -errno;
	return osh_state_sandbox_del(sb->m->state, sb->name);
}

static void sb_free(struct osh_sandbox *sb)
{
	osh_list_del(&sb->node);
	osh_close_ptr(&sb->state_fd);
	osh_close_ptr(&sb->init_listen_fd);
	osh_close_ptr(&sb->cgroup_fd);
	osh_buf_fini(&sb->ca_pem);
	osh_jval_free(sb->spec);
	(void)osh_firsts_free(sb->firsts);
	free(sb);
}

void osh_sb_delete(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg)
{
	struct osh_monitor *m = sb->m;
	char text[256] = "";
	int r;

	/* deleting wins over a start that hangs: its waiter is told by tear_down() */
	if (sb->op && !sb->deleting) {
		struct osh_sb_op *op = sb->op;

		tear_down(sb);
		if (sb->op == op)
			op_end(op, -ECANCELED, "the sandbox is being deleted");
	}
	if (!op_begin(sb, done, arg))
		return;
	sb->deleting = true;
	osh_sb_set_phase(sb, OSH_PHASE_DELETING, "");
	tear_down(sb);
	r = remove_traces(sb);
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "cannot remove its files: %s", strerror(-r));
		sb->deleting = false;
		osh_sb_set_phase(sb, OSH_PHASE_ERROR, text);
		op_end(sb->op, r, text);
		return;
	}
	osh_events_life(m, sb, OSH_REC_ACT_DELETE, "Sandbox deleted");
	free(sb->op);
	sb_free(sb);
	if (done)
		done(NULL, 0, "", arg);
}

/* ---- after a restart of the daemon ---- */

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
	tear_down(sb);
	osh_sb_set_phase(sb, OSH_PHASE_STOPPED, "it was not running when the daemon started");
}

/* Listeners come with the CA: the proxies are told about a sandbox once, with everything. */
static int adopt_listeners(struct osh_sandbox *sb)
{
	uint64_t cookie;
	int r = osh_fdstore_take(sb);

	if (r == 0) /* connections made meanwhile wait in them */
		return register_sandbox(sb);
	r = osh_sandbox_listen(sb->proc.netns_fd, &sb->lst, &cookie);
	if (r == 0 && cookie != sb->proc.netns_cookie)
		r = -ESTALE;
	if (r == 0)
		r = register_sandbox(sb);
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

	if (sb->phase != OSH_PHASE_READY || sb->op) /* stopped or deleted meanwhile */
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
	return r < 0 ? r : open_dirs(sb, false);
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

int osh_sandboxes_adopt(struct osh_monitor *m)
{
	struct row_iter rows = { .it.on_sandbox = on_row, .m = m };
	struct osh_list *node, *tmp;
	int r = osh_state_sandbox_list(m->state, 0, UINT64_MAX, &rows.it);

	if (r < 0)
		return r;
	osh_list_for_each_safe (node, tmp, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(node, struct osh_sandbox, node);

		if (sb->phase == OSH_PHASE_DELETING) {
			osh_sb_delete(sb, NULL, NULL); /* finish what a crash interrupted */
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
		osh_sessions_end(sb);
		osh_publish_cancel(sb);
		osh_names_free(sb);
		osh_sandbox_listeners_fini(&sb->lst);
		osh_sandbox_proc_fini(&sb->proc);
		free(sb->op);
		sb_free(sb);
	}
}
