/* SPDX-License-Identifier: MIT */
/*
 * What the daemon must not forget: sandboxes, policy revisions, settings. Every call that changes
 * something is one transaction, durable when it returns 0 (SQLite, WAL, synchronous=FULL). Not
 * thread-safe; one process has the file (a second opener gets -EBUSY).
 *
 * Revisions (D22): versions count from 1 per scope. A scope is a sandbox name, or "" for the global
 * policy. A new revision is `pending`; when it loads, it becomes `loaded` and every older pending
 * or loaded one of its scope `superseded`, in one transaction. `failed` rows stay failed.
 */
#ifndef OSH_STATE_STATE_H
#define OSH_STATE_STATE_H

#include "base/buf.h"

#define OSH_STATE_NAME_MAX     19 /* bytes of a sandbox name */
#define OSH_STATE_POLICY_MAX   262144 /* bytes of policy text */
#define OSH_STATE_LIST_MAX     1000 /* rows of one answer */
#define OSH_STATE_ERROR_MAX    8192 /* bytes of a load error kept */
#define OSH_STATE_SPEC_MAX     1048576 /* bytes of a sandbox specification */
#define OSH_STATE_GLOBAL_SCOPE ""

struct osh_state;

enum osh_phase { /* reference 1.2 */
		 OSH_PHASE_UNSPECIFIED = 0,
		 OSH_PHASE_PROVISIONING,
		 OSH_PHASE_READY,
		 OSH_PHASE_ERROR,
		 OSH_PHASE_DELETING,
		 OSH_PHASE_STOPPING,
		 OSH_PHASE_STOPPED,
		 OSH_PHASE_STARTING,
		 OSH_PHASE_UNKNOWN,
		 OSH_PHASE_COUNT,
};

enum osh_rev_status {
	OSH_REV_UNSPECIFIED = 0,
	OSH_REV_PENDING,
	OSH_REV_LOADED,
	OSH_REV_FAILED,
	OSH_REV_SUPERSEDED,
	OSH_REV_STATUS_COUNT,
};

/* "Ready", "Pending", ...; lower-case variant for JSON. NULL when out of range. */
const char *osh_phase_name(unsigned int phase);
const char *osh_rev_status_json(unsigned int status);

struct osh_state_sandbox {
	char id[37]; /* uuid */
	char name[OSH_STATE_NAME_MAX + 1];
	enum osh_phase phase;
	char *phase_reason; /* owned; never NULL */
	char *spec; /* owned; JSON, opaque here: labels, env, limits, workdir, command */
	uint64_t sandbox_id; /* small number, never reused: kernel maps and records carry it */
	uint64_t created_ms, updated_ms;
	uint64_t resource_version; /* +1 with every change of the row */
	uint64_t active_version; /* loaded policy revision; 0: none */
	bool keep; /* false: delete when its last session ends */
};

struct osh_state_rev {
	uint64_t version;
	enum osh_rev_status status;
	char hash[65];
	char *text; /* owned; policy YAML as canonicalised by the daemon; NULL in lists */
	size_t text_len;
	char *error; /* owned; "" unless failed */
	char *provenance; /* owned; JSON object: who (uid, pid), how (set, update, rollback) */
	uint64_t created_ms, loaded_ms;
};

/*
 * Open or create @path (its directory must exist) and migrate it. -EBUSY: another process has it.
 * -EBADMSG: not our database, or damaged; @err_text (may be NULL) says more. -EOPNOTSUPP: written
 * by a newer version.
 */
int osh_state_open(const char *path, struct osh_state **ret_state, char *err_text,
		   size_t err_size) OSH_MUST_CHECK;
struct osh_state *osh_state_free(struct osh_state *state); /* takes NULL, returns NULL */

/* ---- sandboxes ---- */

/* Fills id, sandbox_id, times, resource_version of @sb. -EEXIST: the name is taken. */
int osh_state_sandbox_add(struct osh_state *state, struct osh_state_sandbox *sb,
			  uint64_t now_ms) OSH_MUST_CHECK;
/* The same with its first revision, pending: both or neither. @hash as for osh_state_rev_add(). */
int osh_state_sandbox_create(struct osh_state *state, struct osh_state_sandbox *sb,
			     struct osh_str text, const char *hash, const char *provenance,
			     uint64_t now_ms) OSH_MUST_CHECK;
/* -ENOENT: no such sandbox. */
int osh_state_sandbox_get(struct osh_state *state, const char *name,
			  struct osh_state_sandbox *ret_sb) OSH_MUST_CHECK;
int osh_state_sandbox_phase(struct osh_state *state, const char *name, enum osh_phase phase,
			    const char *reason, uint64_t now_ms) OSH_MUST_CHECK;
/* Removes the sandbox with its revisions and settings. -ENOENT as above. */
int osh_state_sandbox_del(struct osh_state *state, const char *name) OSH_MUST_CHECK;
/*
 * Calls @fn for each sandbox by creation time; a negative return of @fn ends it and is returned.
 * @sb is only valid in the call. @fn must not change the state.
 */
struct osh_state_iter {
	int (*on_sandbox)(struct osh_state_iter *it, const struct osh_state_sandbox *sb);
	int (*on_rev)(struct osh_state_iter *it, const struct osh_state_rev *rev);
	int (*on_setting)(struct osh_state_iter *it, const char *key, const char *value);
};
int osh_state_sandbox_list(struct osh_state *state, uint64_t offset, uint64_t limit,
			   struct osh_state_iter *it) OSH_MUST_CHECK;
void osh_state_sandbox_fini(struct osh_state_sandbox *sb);

/* ---- revisions ---- */

/*
 * Store a new pending revision of @scope. If the latest one has the same @hash and is loaded,
 * nothing is written, *ret_unchanged is true and *ret_version its version (D22).
 * -ENOENT: no such sandbox. -EMSGSIZE: over OSH_STATE_POLICY_MAX.
 */
int osh_state_rev_add(struct osh_state *state, const char *scope, struct osh_str text,
		      const char *hash, const char *provenance, uint64_t now_ms,
		      uint64_t *ret_version, bool *ret_unchanged) OSH_MUST_CHECK;
/*
 * Mark pending revision @version loaded, supersede the older ones, set the sandbox's active
 * version. -ESTALE: the revision is not pending (it was superseded by a newer load meanwhile).
 * Loading a version lower than the loaded one is -ESTALE as well and marks it superseded.
 */
int osh_state_rev_loaded(struct osh_state *state, const char *scope, uint64_t version,
			 uint64_t now_ms) OSH_MUST_CHECK;
int osh_state_rev_failed(struct osh_state *state, const char *scope, uint64_t version,
			 const char *error, uint64_t now_ms) OSH_MUST_CHECK;
/*
 * The stored text of a revision does not load (any more): failed, even if it was loaded before, so
 * that setting the same content again is not taken for unchanged.
 */
int osh_state_rev_broken(struct osh_state *state, const char *scope, uint64_t version,
			 const char *error) OSH_MUST_CHECK;
/* @version 0: the latest. -ENOENT: none. */
int osh_state_rev_get(struct osh_state *state, const char *scope, uint64_t version,
		      struct osh_state_rev *ret_rev) OSH_MUST_CHECK;
/* The revision in force: status loaded. -ENOENT: none. */
int osh_state_rev_active(struct osh_state *state, const char *scope,
			 struct osh_state_rev *ret_rev) OSH_MUST_CHECK;
/* Newest first, text left out. */
int osh_state_rev_list(struct osh_state *state, const char *scope, uint64_t limit,
		       struct osh_state_iter *it) OSH_MUST_CHECK;
/* `policy delete --global`: every loaded or pending global revision becomes superseded. -ENOENT: none was. */
int osh_state_global_clear(struct osh_state *state, uint64_t now_ms) OSH_MUST_CHECK;
void osh_state_rev_fini(struct osh_state_rev *rev);

/* ---- settings: @scope as above; values are text ---- */

int osh_state_setting_set(struct osh_state *state, const char *scope, const char *key,
			  const char *value, uint64_t *ret_revision) OSH_MUST_CHECK;
/* -ENOENT: not set in this scope. */
int osh_state_setting_get(struct osh_state *state, const char *scope, const char *key,
			  char **ret_value) OSH_MUST_CHECK;
int osh_state_setting_del(struct osh_state *state, const char *scope, const char *key,
			  uint64_t *ret_revision) OSH_MUST_CHECK;
int osh_state_setting_list(struct osh_state *state, const char *scope,
			   struct osh_state_iter *it) OSH_MUST_CHECK;
/* Counts the changes of settings and policy in this scope. */
int osh_state_settings_revision(struct osh_state *state, const char *scope,
				uint64_t *ret_revision) OSH_MUST_CHECK;

/* ---- daemon's own values ("boot_id", "clean_shutdown", ...) ---- */

int osh_state_meta_set(struct osh_state *state, const char *key, const char *value) OSH_MUST_CHECK;
int osh_state_meta_get(struct osh_state *state, const char *key, char **ret_value) OSH_MUST_CHECK;

static inline void osh_state_free_ptr(struct osh_state **state)
{
	*state = osh_state_free(*state);
}

#define osh_auto_state	       OSH_CLEANUP(osh_state_free_ptr) /* struct osh_state * */
#define osh_auto_state_sandbox OSH_CLEANUP(osh_state_sandbox_fini) /* struct osh_state_sandbox */
#define osh_auto_state_rev     OSH_CLEANUP(osh_state_rev_fini) /* struct osh_state_rev */

#endif
