/* SPDX-License-Identifier: MIT */
/*
 * Sandboxes from row to running processes. Starting goes through the signer (CA), the sandbox library
 * (namespaces), the kernel tables and a publish; any failure ends in phase ERROR with nothing running.
 */
#include "daemon/sandboxes.h"

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

int osh_sb_set_phase(struct osh_sandbox *sb, enum osh_phase phase, const char *reason)
{
	int r;

	sb->phase = phase;
	r = osh_state_sandbox_phase(sb->m->state, sb->name, phase, reason, osh_realtime_ms());
	if (r < 0)
		osh_log_warn_errno(r, "cannot record the phase of sandbox %s", OSH_Q(sb->name));
	return r;
}

bool osh_sb_name_is_selftest(const char *name)
{
	static const char prefix[] = "selftest-";
	const char *digits = name + sizeof(prefix) - 1;

	return strncmp(name, prefix, sizeof(prefix) - 1) == 0 && strlen(digits) == 6 &&
	       strspn(digits, "0123456789abcdef") == 6;
}

int osh_sb_new(struct osh_monitor *m, const struct osh_state_sandbox *row,
	       struct osh_sandbox **ret_sb)
{
	struct osh_sandbox *sb = calloc(1, sizeof(*sb));
	int r;

	if (!sb)
		return -ENOMEM;
	r = osh_ticket_seed_new(&sb->tickets);
	if (r < 0) {
		free(sb);
		return r;
	}
	sb->m = m;
	(void)osh_strlcpy(sb->name, row->name, sizeof(sb->name));
	(void)osh_strlcpy(sb->uuid, row->id, sizeof(sb->uuid));
	sb->id = (uint32_t)row->sandbox_id;
	sb->phase = row->phase;
	sb->keep = row->keep;
	sb->selftest = osh_sb_name_is_selftest(row->name);
	sb->cgroup_fd = sb->state_fd = sb->init_listen_fd = -1;
	sb->active.image_fd = -1;
	osh_sandbox_proc_init(&sb->proc);
	osh_sandbox_listeners_init(&sb->lst);
	if (osh_json_parse(osh_str(row->spec), &sb->spec, NULL, 0) < 0)
		sb->spec = NULL; /* our own text; without it only labels and --env are missing */
	osh_buf_init(&sb->ca_pem, OSH_MSG_CA_PEM_MAX - 1, 0);
	sb->down.emptying.src.fd = -1;
	osh_list_init(&sb->publish_queue);
	osh_list_init(&sb->sessions);
	osh_list_add_tail(&m->sandboxes, &sb->node);
	*ret_sb = sb;
	return 0;
}

void osh_sb_free(struct osh_sandbox *sb)
{
	osh_list_del(&sb->node);
	osh_close_ptr(&sb->state_fd);
	osh_close_ptr(&sb->init_listen_fd);
	osh_close_ptr(&sb->cgroup_fd);
	osh_buf_fini(&sb->ca_pem);
	osh_ticket_seed_wipe(&sb->tickets);
	osh_jval_free(sb->spec);
	(void)osh_firsts_free(sb->firsts);
	free(sb->down.reason);
	free(sb->op);
	free(sb);
}

/* ---- places ---- */

int osh_sb_open_dirs(struct osh_sandbox *sb, bool listen)
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

static void start_failed(struct osh_sandbox *sb, int err, const char *message)
{
	osh_events_log(sb->m, sb, OSH_REC_ERROR, "Sandbox failed to start: %s", message);
	osh_sb_down(sb, OSH_SB_GOAL_ERROR, err, message);
}

static void on_proc_exit(struct osh_src *src, uint32_t events)
{
	static const char why[] = "its first process ended";
	struct osh_sandbox *sb = osh_container_of(src, struct osh_sandbox, proc_src);

	(void)events;
	osh_log_notice("sandbox %s: init has ended", OSH_Q(sb->name));
	if (sb->op && sb->op->kind == OSH_SB_OP_START) {
		start_failed(sb, -ECHILD, why);
		return;
	}
	osh_sb_set_phase(sb, OSH_PHASE_STOPPING, why);
	osh_sb_down(sb, OSH_SB_GOAL_STOPPED, 0, why);
	osh_events_log(sb->m, sb, OSH_REC_WARN, "Sandbox stopped: %s", why);
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

int osh_sb_register(struct osh_sandbox *sb)
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
	int r;

	(void)version;
	(void)arg;
	if (sb->down.goal) /* that is why the publish was cancelled */
		return;
	if (err < 0) {
		start_failed(sb, err, message);
		return;
	}
	r = osh_sandbox_release(&sb->proc);
	if (r < 0) {
		start_failed(sb, r, "its first process ended before it was released");
		return;
	}
	/* the next daemon adopts what is recorded as ready, nothing else */
	r = osh_sb_set_phase(sb, OSH_PHASE_READY, "");
	if (r < 0) {
		start_failed(sb, r, "that it is ready could not be recorded");
		return;
	}
	osh_events_life(sb->m, sb, OSH_REC_ACT_START, "Starting sandbox");
	osh_sb_op_end(sb, 0, "");
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

/* The signer has answered: everything else is synchronous up to the publish. */
static int set_up(struct osh_sandbox *sb, bool global, uint64_t version, struct osh_diag *diag)
{
	osh_auto_policy struct osh_policy *doc = NULL;
	int r = load_doc(sb, global, version, &doc, diag);

	if (r < 0)
		return r;
	r = osh_sb_open_dirs(sb, true);
	if (r < 0)
		return r;
	/* a new one, never one that is left over: nobody may live in it, and a cgroup that was killed
	 * once kills what is cloned into it from another cgroup (cgroup.kill's sequence number is
	 * compared with that of the parent's cgroup; seen on 6.18) */
	r = osh_cgroup_sandbox_create(&sb->m->cg, sb->name, &sb->cgroup_fd);
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
	r = osh_sb_register(sb);
	if (r == 0)
		osh_fdstore_put(sb);
	return r;
}

static void fail_with_diag(struct osh_sandbox *sb, int r, const struct osh_diag *diag,
			   const char *what)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, 8192, 0);
	if (diag->errors)
		(void)!osh_diag_join(diag, OSH_DIAG_ERROR, &text); /* as much as fits */
	else
		(void)!osh_buf_printf(&text, "%s: %s", what, strerror(-r));
	start_failed(sb, r, text.data ? text.data : what);
}

static void ca_ready(struct osh_sandbox *sb, int err)
{
	osh_auto_diag struct osh_diag diag = { 0 };
	bool global = false;
	uint64_t version = 0;
	int r = err;

	/* stopped meanwhile, or the answer to a question of an earlier start */
	if (!sb->op || sb->op->kind != OSH_SB_OP_START || sb->down.goal || sb->proc.pidfd >= 0)
		return;
	osh_diag_init(&diag, NULL);
	if (r == 0)
		r = osh_publish_effective(sb, &global, &version);
	if (r == 0)
		r = set_up(sb, global, version, &diag);
	if (r < 0) {
		fail_with_diag(sb, r, &diag,
			       err < 0 ? "the signer could not make its CA" : "set-up failed");
		return;
	}
	osh_publish(sb, global, version, published, NULL);
}

void osh_sb_bring_up(struct osh_sandbox *sb)
{
	osh_signer_ask_ca(sb, ca_ready);
}

void osh_sb_start(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg)
{
	if (!osh_sb_op_begin(sb, OSH_SB_OP_START, done, arg))
		return;
	osh_sb_set_phase(sb,
			 sb->phase == OSH_PHASE_PROVISIONING ? OSH_PHASE_PROVISIONING
							     : OSH_PHASE_STARTING,
			 "");
	/* what a daemon that was killed may have left */
	if (osh_cgroup_sandbox_open(&sb->m->cg, sb->name, &sb->cgroup_fd) == 0)
		osh_sb_down(sb, OSH_SB_GOAL_START, 0, "");
	else
		osh_sb_bring_up(sb);
}
