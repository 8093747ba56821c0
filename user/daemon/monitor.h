/* SPDX-License-Identifier: MIT */
/*
 * The monitor: root, one event loop, owns sandboxes, policies, kernel tables, state and the control
 * socket. This header is the inside of user/daemon: the parts (roles, sandboxes, publish, identity,
 * names, events, api_*) share struct osh_monitor and call each other through what is declared here.
 */
#ifndef OSH_DAEMON_MONITOR_H
#define OSH_DAEMON_MONITOR_H

#include "audit/record.h"
#include "ctl/varlink.h"
#include "daemon/child.h"
#include "daemon/config.h"
#include "daemon/emptying.h"
#include "io/loop.h"
#include "kern/kern.h"
#include "openshell/role.h"
#include "policy/model.h"
#include "sandbox/client.h"
#include "sandbox/sandbox.h"
#include "state/state.h"
#include "sys/cgroup.h"
#include "tls/ticket.h"

struct osh_events;
struct osh_names;
struct osh_outq;
struct osh_ring;
struct osh_sb_op;
struct osh_image;
struct osh_idents;
struct osh_publish;
struct osh_session;

/* ---- roles ---- */

enum osh_role_state {
	OSH_ROLE_DEAD = 0,
	OSH_ROLE_STARTING, /* configuration sent, no READY yet */
	OSH_ROLE_READY,
};

struct osh_role {
	struct osh_monitor *m;
	const char *name; /* "proxy", "signer" */
	unsigned int index;
	enum osh_role_state state;
	pid_t pid;
	int sock;
	struct osh_src src; /* sock */
	struct osh_src child; /* pidfd */
	struct osh_src ring_src; /* proxies: event ring */
	struct osh_ring *ring;
	uint64_t ring_lost; /* as reported so far */
	uint64_t last_rec_ns; /* time of its last record */
	struct osh_timer ping;
	unsigned int unanswered; /* pings since it last said anything */
	struct osh_timer restart;
	uint32_t restarts;
	uint64_t started_ms;
	struct osh_outq *outq; /* messages that did not fit the socket */
};

/* ---- sandboxes ---- */

struct osh_sb_policy {
	uint64_t generation; /* 0: none */
	uint64_t version; /* revision; of the scope @global says */
	bool global, quarantine;
	int image_fd; /* sealed memfd; -1: none */
	size_t image_bytes;
	const struct osh_image *image; /* our own mapping */
	const void *map;
};

/* What a sandbox is to be when nothing of it runs any more. A higher one wins over a lower one. */
enum osh_sb_goal {
	OSH_SB_GOAL_NONE = 0, /* it is not being taken down */
	OSH_SB_GOAL_START, /* only what an earlier run left had to go */
	OSH_SB_GOAL_STOPPED,
	OSH_SB_GOAL_ERROR,
	OSH_SB_GOAL_DELETED,
};

struct osh_sb_down {
	enum osh_sb_goal goal;
	int err; /* for whoever waits */
	char *reason; /* owned */
	struct osh_emptying emptying;
	struct osh_child wipe;
};

struct osh_sandbox {
	struct osh_list node; /* osh_monitor.sandboxes */
	struct osh_monitor *m;
	char name[OSH_STATE_NAME_MAX + 1];
	char uuid[37];
	uint32_t id;
	enum osh_phase phase;
	bool keep;
	bool selftest; /* the self-test's: has its own policy always, and no daemon adopts it */
	bool deleting;
	struct osh_jval *spec; /* labels, env, limits: as given at creation */

	int cgroup_fd, state_fd, init_listen_fd;
	char init_path[108];
	struct osh_sandbox_proc proc;
	struct osh_src proc_src; /* pidfd */
	struct osh_sandbox_listeners lst;
	struct osh_buf ca_pem;
	struct osh_ticket_seed tickets; /* for the proxies; never leaves this run */

	struct osh_policy *doc; /* policy of the newest loaded revision of its own scope */
	struct osh_sb_policy active; /* what kernel and proxies judge by */
	struct osh_publish *publishing; /* at most one at a time */
	struct osh_list publish_queue;

	uint64_t ocsf_epoch; /* of the settings that @ocsf_json was read from */
	bool ocsf_json; /* its records go to log.ocsf_file */

	struct osh_sb_op *op; /* start, stop or delete under way */
	struct osh_sb_down down;
	struct osh_list sessions; /* struct osh_session */
	struct osh_names *names;
	uint32_t events_lost; /* of the kernel's, as last said */
	struct osh_firsts *firsts; /* trust on first use; identity.c's, NULL until needed */
};

/* ---- the monitor ---- */

struct osh_monitor {
	struct osh_config cfg;
	struct osh_loop *loop;
	struct osh_cgroup cg;
	struct osh_kern *kern;
	struct osh_src kern_src;
	struct osh_timer kern_repoll;
	struct osh_state *state;
	struct osh_events *events;
	struct osh_idents *idents;
	struct osh_ctl_server *ctl;
	struct osh_src signals;
	struct osh_timer canary, sweep, watchdog;
	unsigned int canary_misses; /* in a row: it could not tell */
	unsigned int sweeps_left; /* before the next pause */
	uint64_t pressure_ms; /* when a sandbox last called for a sweep */

	struct osh_role proxies[OSH_CONFIG_WORKERS_MAX];
	unsigned int nproxies;
	struct osh_role signer;
	int ca_bundle_fd; /* read-only memfd: system bundle + ca_files */
	int signer_dir_fd; /* key files */

	struct osh_list sandboxes;
	uint64_t generation; /* last one given out */
	uint64_t generation_kept; /* the state says that none above this was given out */
	bool ready, stopping;
	uid_t proxy_uid, signer_uid;
	gid_t proxy_gid, signer_gid, socket_gid;
	uint64_t start_ms; /* CLOCK_REALTIME */
};

uint64_t osh_realtime_ms(void);
uint64_t osh_realtime_ns(void);

/* roles.c: spawn, supervise, talk */
int osh_roles_start(struct osh_monitor *m) OSH_MUST_CHECK;
void osh_roles_stop(struct osh_monitor *m);
/* Queue a message; a role whose queue overflows is killed (and restarted). */
void osh_role_send(struct osh_role *role, uint32_t type, uint64_t cookie, const void *body,
		   size_t len, const int *fds, unsigned int nfds);
/* To every proxy that is not dead. */
void osh_proxies_send(struct osh_monitor *m, uint32_t type, const void *body, size_t len,
		      const int *fds, unsigned int nfds);
/* Tell one proxy (or, NULL, all) about a sandbox: SANDBOX_ADD and its active policy. */
void osh_role_add_sandbox(struct osh_monitor *m, struct osh_role *only, struct osh_sandbox *sb);
bool osh_roles_ready(const struct osh_monitor *m);

/* ca.c: CA of a sandbox, from the signer: @done gets 0 or -errno; PEM is stored in sb->ca_pem. */
typedef void osh_ca_done_fn(struct osh_sandbox *sb, int err);
void osh_signer_ask_ca(struct osh_sandbox *sb, osh_ca_done_fn *done);
void osh_signer_drop_ca(struct osh_sandbox *sb);
/* For roles.c. */
void osh_signer_ready(struct osh_monitor *m); /* there, or there again: asked anew */
/* What became of a CA; -EBADMSG: no signer says that. */
int osh_signer_on_ca(struct osh_monitor *m, const struct osh_msg_ca *msg) OSH_MUST_CHECK;
void osh_signer_forget(void); /* who still waits is not told */

/* sandboxes.c */
struct osh_sandbox *osh_sb_find(struct osh_monitor *m, const char *name);
struct osh_sandbox *osh_sb_by_id(struct osh_monitor *m, uint32_t id);
typedef void osh_sb_done_fn(struct osh_sandbox *sb, int err, const char *message, void *arg);
/*
 * Bring a sandbox of the state up: CA, namespaces, kernel, policy. @done is called once; on failure
 * the phase is ERROR and nothing of it runs.
 */
void osh_sb_start(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg);
/* Kill its processes; phase STOPPED. -ETIMEDOUT: they do not end; it is stopped when they have. */
void osh_sb_stop(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg);
/* Stop, wipe, forget; @sb is gone when @done is called (with NULL). -ETIMEDOUT as above. */
void osh_sb_delete(struct osh_sandbox *sb, osh_sb_done_fn *done, void *arg);
int osh_sb_new(struct osh_monitor *m, const struct osh_state_sandbox *row,
	       struct osh_sandbox **ret_sb) OSH_MUST_CHECK;
/* At start: find what runs, adopt it; restart nothing. */
int osh_sandboxes_adopt(struct osh_monitor *m) OSH_MUST_CHECK;
/* At stop: forget it without touching what runs. */
void osh_sandboxes_detach(struct osh_monitor *m);
/* -errno: it holds, but could not be recorded (said in the log). */
int osh_sb_set_phase(struct osh_sandbox *sb, enum osh_phase phase, const char *reason);
/* "selftest-" and six hexadecimal digits: names that only the self-test gives. */
bool osh_sb_name_is_selftest(const char *name);

/* publish.c: revisions to kernel and proxies */
typedef void osh_publish_fn(struct osh_sandbox *sb, uint64_t version, int err, const char *message,
			    void *arg);
/*
 * Make revision @version (of the global scope if @global) of the state what @sb is judged by. @done
 * (may be NULL) is called when kernel and every proxy have acknowledged, or with the error; the
 * revision's status is written by then. Publishes of one sandbox run one after the other.
 */
void osh_publish(struct osh_sandbox *sb, bool global, uint64_t version, osh_publish_fn *done,
		 void *arg);
/* Deny everything, with a reason (D21). */
void osh_publish_quarantine(struct osh_sandbox *sb, const char *why);
/* A proxy answered POLICY_LOADED / POLICY_ACTIVE, or died (msg NULL). */
void osh_publish_on_msg(struct osh_monitor *m, struct osh_role *role, uint32_t type,
			const struct osh_msg_policy *msg);
void osh_publish_role_gone(struct osh_monitor *m, struct osh_role *role);
void osh_publish_cancel(struct osh_sandbox *sb);
/* What the sandbox should be judged by now: the global policy if there is one, else its own. */
int osh_publish_effective(struct osh_sandbox *sb, bool *ret_global,
			  uint64_t *ret_version) OSH_MUST_CHECK;

/* identity.c */
int osh_idents_new(struct osh_monitor *m) OSH_MUST_CHECK;
void osh_idents_free(struct osh_monitor *m);
void osh_idents_on_ask(struct osh_role *role, uint64_t cookie, const struct osh_msg_exe *ask);
void osh_idents_on_exe(struct osh_monitor *m, uint32_t exe, uint32_t sandbox);
void osh_idents_forget(struct osh_monitor *m, uint32_t sandbox);
/* Forget what the kernel's table no longer has; first uses stay. */
void osh_idents_sweep(struct osh_monitor *m);
/* Path of an exe id for log lines; "" when unknown. Valid until the next call. */
const char *osh_idents_path(struct osh_monitor *m, uint32_t exe);
/*
 * Every executable known of a sandbox. @sha256 NULL: not hashed (yet); @usable false: it matches no
 * policy binary (deleted, in memory only, content changed).
 */
typedef int osh_ident_fn(uint32_t exe, const char *path, const uint8_t *sha256, bool usable,
			 void *arg);
int osh_idents_each(struct osh_monitor *m, uint32_t sandbox, osh_ident_fn *fn,
		    void *arg) OSH_MUST_CHECK;
/* The same for one; -ENOENT. */
int osh_idents_one(struct osh_monitor *m, uint32_t exe, osh_ident_fn *fn, void *arg) OSH_MUST_CHECK;
/* {"path","sha256","status","flags"} of one exe id, for introspection. */
void osh_idents_json(struct osh_monitor *m, uint32_t exe, struct osh_json *j);

/* names.c: synthetic addresses */
int osh_names_load(struct osh_sandbox *sb) OSH_MUST_CHECK; /* from the kernel's table */
void osh_names_free(struct osh_sandbox *sb);
void osh_names_on_ask(struct osh_role *role, uint64_t cookie, const struct osh_msg_name *ask);
int osh_names_each(const struct osh_sandbox *sb,
		   int (*fn)(uint32_t host_id, const char *host, void *arg),
		   void *arg) OSH_MUST_CHECK;
/* Host of an id; NULL if there is none. */
const char *osh_names_host(const struct osh_sandbox *sb, uint32_t host_id);

/* events.c */
int osh_events_new(struct osh_monitor *m) OSH_MUST_CHECK;
void osh_events_free(struct osh_monitor *m);
/* Records about it may still come: keep its name for them. */
void osh_events_sandbox_gone(struct osh_monitor *m, const struct osh_sandbox *sb);
/* Take a batch of what a proxy wrote; is there more? */
bool osh_events_drain_role(struct osh_role *role);
/* Takes a record of our own; fills in the sandbox (NULL: none). */
void osh_events_put(struct osh_monitor *m, struct osh_sandbox *sb, struct osh_rec *rec);
/* One operator line in the log of @sb (or the daemon's). */
void osh_events_log(struct osh_monitor *m, struct osh_sandbox *sb, enum osh_rec_level level,
		    const char *fmt, ...) OSH_PRINTF(4, 5);
/* Life cycle of @sb (NULL: of the daemon): OCSF class Application Lifecycle. */
void osh_events_life(struct osh_monitor *m, struct osh_sandbox *sb, enum osh_rec_activity activity,
		     const char *message);
/* A setting was changed: read again what depends on one. */
void osh_events_settings_changed(struct osh_monitor *m);
void osh_events_policy(struct osh_sandbox *sb, enum osh_rec_activity activity, uint64_t version,
		       const char *hash, const char *message);
void osh_events_kernel(struct osh_monitor *m, const struct osh_kev *ev);
/* Everything put so far, and what the proxies wrote by now, is in the segment files when this returns. */
void osh_events_flush(struct osh_monitor *m);
const char *osh_events_dir(const struct osh_monitor *m);
void osh_events_totals(const struct osh_monitor *m, uint64_t *ret_records, uint64_t *ret_lost);
/* Live followers (`logs --tail`): called for every record after it was written. */
struct osh_follower {
	struct osh_list node;
	void (*on_record)(struct osh_follower *f, const struct osh_rec *rec);
};
void osh_events_follow(struct osh_monitor *m, struct osh_follower *f);

/* sessions.c: programs in sandboxes on behalf of control clients */
void osh_sessions_end(struct osh_sandbox *sb);

/* api.c */
int osh_api_start(struct osh_monitor *m) OSH_MUST_CHECK;
void osh_api_stop(struct osh_monitor *m);

/* flows.c: what the proxies say about their connections */
int osh_flows_on_msg(struct osh_role *role, uint32_t type, uint64_t cookie,
		     struct osh_str json) OSH_MUST_CHECK;

/* notify.c: sd_notify(3) */
void osh_notify(const char *state);
/* The same with a descriptor; -1: none. */
void osh_notify_fd(const char *state, int send_fd);

/* monitor.c */
/* The kernel's programs tell process numbers of the first pid namespace. */
bool osh_monitor_sees_host_pids(void);
int osh_monitor_main(struct osh_config *take_cfg);

#endif
