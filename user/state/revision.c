/* SPDX-License-Identifier: MIT */
/* Policy revisions. Every change of a status is one transaction, so that no crash splits it. */
#include "state/priv.h"

#include <errno.h>

#define REV_COLUMNS "version, status, hash, error, provenance, created_ms, loaded_ms, text"

/* Versions are never given twice, even after rows were deleted with their sandbox. */
static int next_version(struct osh_state *state, const char *scope, uint64_t *ret_version)
{
	int r = osh_db_get_u64(
		state->db, ret_version,
		"SELECT COALESCE(MAX(version), 0) + 1 FROM revisions WHERE scope = ?1", "s", scope);

	return r;
}

/* The latest revision when it is loaded and has the same hash; -ENOENT otherwise. */
static int unchanged_version(struct osh_state *state, const char *scope, const char *hash,
			     uint64_t *ret_version)
{
	return osh_db_get_u64(state->db, ret_version,
			      "SELECT version FROM revisions WHERE scope = ?1 AND hash = ?2"
			      " AND status = ?3 AND version ="
			      " (SELECT MAX(version) FROM revisions WHERE scope = ?1)",
			      "ssu", scope, hash, (uint64_t)OSH_REV_LOADED);
}

int osh_state_insert_rev(struct osh_state *state, const char *scope, struct osh_str text,
			 const char *hash, const char *provenance, uint64_t now_ms,
			 uint64_t *ret_version, bool *ret_unchanged)
{
	int r;

	if (text.n > OSH_STATE_POLICY_MAX)
		return -EMSGSIZE;
	if (strlen(hash) != 64)
		return -EINVAL;
	r = osh_state_scope_check(state, scope);
	if (r < 0)
		return r;
	r = unchanged_version(state, scope, hash, ret_version);
	if (r != -ENOENT) {
		*ret_unchanged = r == 0;
		return r;
	}
	*ret_unchanged = false;
	r = next_version(state, scope, ret_version);
	if (r < 0)
		return r;
	return osh_db_run(state->db,
			  "INSERT INTO revisions (scope, version, status, hash, text, error,"
			  " provenance, created_ms, loaded_ms)"
			  " VALUES (?1, ?2, ?3, ?4, ?5, '', ?6, ?7, 0)",
			  "suusSsu", scope, *ret_version, (uint64_t)OSH_REV_PENDING, hash, text,
			  provenance ? provenance : "{}", now_ms);
}

int osh_state_rev_add(struct osh_state *state, const char *scope, struct osh_str text,
		      const char *hash, const char *provenance, uint64_t now_ms,
		      uint64_t *ret_version, bool *ret_unchanged)
{
	uint64_t version = 0;
	bool unchanged = false;
	int r;

	r = osh_db_begin(state->db);
	if (r < 0)
		return r;
	r = osh_db_finish(state->db, osh_state_insert_rev(state, scope, text, hash, provenance,
							  now_ms, &version, &unchanged));
	if (r < 0)
		return r;
	*ret_version = version;
	*ret_unchanged = unchanged;
	return 0;
}

static int status_of(struct osh_state *state, const char *scope, uint64_t version,
		     uint64_t *ret_status)
{
	return osh_db_get_u64(state->db, ret_status,
			      "SELECT status FROM revisions WHERE scope = ?1 AND version = ?2",
			      "su", scope, version);
}

static int load(struct osh_state *state, const char *scope, uint64_t version, uint64_t now_ms)
{
	uint64_t status = 0;
	int r = status_of(state, scope, version, &status);

	if (r < 0)
		return r;
	if (status != OSH_REV_PENDING)
		return -ESTALE;
	r = osh_db_run(state->db,
		       "UPDATE revisions SET status = ?3, loaded_ms = ?4"
		       " WHERE scope = ?1 AND version = ?2",
		       "suuu", scope, version, (uint64_t)OSH_REV_LOADED, now_ms);
	if (r == 0)
		r = osh_db_run(state->db,
			       "UPDATE revisions SET status = ?3 WHERE scope = ?1 AND version < ?2"
			       " AND status IN (?4, ?5)",
			       "suuuu", scope, version, (uint64_t)OSH_REV_SUPERSEDED,
			       (uint64_t)OSH_REV_PENDING, (uint64_t)OSH_REV_LOADED);
	if (r == 0)
		r = osh_db_run(state->db,
			       "UPDATE sandboxes SET active_version = ?2, updated_ms = ?3,"
			       " resource_version = resource_version + 1 WHERE name = ?1",
			       "suu", scope, version, now_ms);
	if (r == 0 && !scope[0])
		r = osh_state_bump(state, scope, &status);
	return r;
}

/* A revision older than the one in force cannot become the one in force. */
static int is_outdated(struct osh_state *state, const char *scope, uint64_t version)
{
	uint64_t newer;
	int r = osh_db_get_u64(
		state->db, &newer,
		"SELECT MAX(version) FROM revisions WHERE scope = ?1 AND status = ?2", "su", scope,
		(uint64_t)OSH_REV_LOADED);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return newer > version;
}

int osh_state_rev_loaded(struct osh_state *state, const char *scope, uint64_t version,
			 uint64_t now_ms)
{
	int r = osh_db_begin(state->db), outdated;

	if (r < 0)
		return r;
	outdated = is_outdated(state, scope, version);
	if (outdated < 0)
		return osh_db_finish(state->db, outdated);
	if (!outdated)
		return osh_db_finish(state->db, load(state, scope, version, now_ms));
	r = osh_db_run(state->db,
		       "UPDATE revisions SET status = ?3 WHERE scope = ?1 AND version = ?2"
		       " AND status = ?4",
		       "suuu", scope, version, (uint64_t)OSH_REV_SUPERSEDED,
		       (uint64_t)OSH_REV_PENDING);
	r = osh_db_finish(state->db, r);
	return r < 0 ? r : -ESTALE;
}

int osh_state_rev_failed(struct osh_state *state, const char *scope, uint64_t version,
			 const char *error, uint64_t now_ms)
{
	uint64_t status = 0;
	int r = status_of(state, scope, version, &status);
	struct osh_str text = osh_str(error);

	(void)now_ms;
	if (r < 0)
		return r;
	if (status != OSH_REV_PENDING)
		return -ESTALE;
	text.n = osh_utf8_cut(text, OSH_STATE_ERROR_MAX);
	return osh_db_run(state->db,
			  "UPDATE revisions SET status = ?3, error = ?4"
			  " WHERE scope = ?1 AND version = ?2",
			  "suuS", scope, version, (uint64_t)OSH_REV_FAILED, text);
}

int osh_state_rev_broken(struct osh_state *state, const char *scope, uint64_t version,
			 const char *error)
{
	struct osh_str text = osh_str(error);

	text.n = osh_utf8_cut(text, OSH_STATE_ERROR_MAX);
	return osh_db_run(state->db,
			  "UPDATE revisions SET status = ?3, error = ?4"
			  " WHERE scope = ?1 AND version = ?2 AND status IN (?5, ?6)",
			  "suuSuu", scope, version, (uint64_t)OSH_REV_FAILED, text,
			  (uint64_t)OSH_REV_PENDING, (uint64_t)OSH_REV_LOADED);
}

static int read_rev(struct osh_db_row *row, bool with_text, struct osh_state_rev *ret_rev)
{
	struct osh_state_rev rev = {
		.version = osh_db_u64(row, 0),
		.status = osh_db_u64(row, 1) < OSH_REV_STATUS_COUNT
				  ? (enum osh_rev_status)osh_db_u64(row, 1)
				  : OSH_REV_UNSPECIFIED,
		.created_ms = osh_db_u64(row, 5),
		.loaded_ms = osh_db_u64(row, 6),
	};
	struct osh_str hash = osh_db_str(row, 2);
	int r;

	if (hash.n != 64)
		return -EBADMSG;
	memcpy(rev.hash, hash.p, hash.n);
	r = osh_db_dup(row, 3, &rev.error);
	if (r == 0)
		r = osh_db_dup(row, 4, &rev.provenance);
	if (r == 0 && with_text) {
		r = osh_db_dup(row, 7, &rev.text);
		rev.text_len = osh_db_str(row, 7).n;
	}
	if (r < 0) {
		osh_state_rev_fini(&rev);
		return r;
	}
	*ret_rev = rev;
	return 0;
}

int osh_state_rev_get(struct osh_state *state, const char *scope, uint64_t version,
		      struct osh_state_rev *ret_rev)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row,
			 "SELECT " REV_COLUMNS " FROM revisions WHERE scope = ?1"
			 " AND (version = ?2 OR ?2 = 0) ORDER BY version DESC LIMIT 1",
			 "su", scope, version);
	if (r == 0)
		r = osh_db_next(row);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return read_rev(row, true, ret_rev);
}

int osh_state_rev_active(struct osh_state *state, const char *scope, struct osh_state_rev *ret_rev)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row,
			 "SELECT " REV_COLUMNS " FROM revisions WHERE scope = ?1 AND status = ?2"
			 " ORDER BY version DESC LIMIT 1",
			 "su", scope, (uint64_t)OSH_REV_LOADED);
	if (r == 0)
		r = osh_db_next(row);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return read_rev(row, true, ret_rev);
}

int osh_state_rev_list(struct osh_state *state, const char *scope, uint64_t limit,
		       struct osh_state_iter *it)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row,
			 "SELECT version, status, hash, error, provenance, created_ms, loaded_ms"
			 " FROM revisions WHERE scope = ?1 ORDER BY version DESC LIMIT ?2",
			 "su", scope,
			 OSH_MIN(limit ? limit : UINT64_MAX, (uint64_t)OSH_STATE_LIST_MAX));
	while (r == 0) {
		osh_auto_state_rev struct osh_state_rev rev = { 0 };

		r = osh_db_next(row);
		if (r <= 0)
			return r;
		r = read_rev(row, false, &rev);
		if (r == 0)
			r = it->on_rev(it, &rev);
	}
	return r;
}

int osh_state_global_clear(struct osh_state *state, uint64_t now_ms)
{
	uint64_t changed = 0, revision;
	int r = osh_db_begin(state->db);

	(void)now_ms;
	if (r < 0)
		return r;
	r = osh_db_run(state->db,
		       "UPDATE revisions SET status = ?1 WHERE scope = '' AND status IN (?2, ?3)",
		       "uuu", (uint64_t)OSH_REV_SUPERSEDED, (uint64_t)OSH_REV_PENDING,
		       (uint64_t)OSH_REV_LOADED);
	if (r == 0) {
		changed = osh_db_changes(state->db);
		r = changed ? osh_state_bump(state, OSH_STATE_GLOBAL_SCOPE, &revision) : -ENOENT;
	}
	return osh_db_finish(state->db, r);
}

void osh_state_rev_fini(struct osh_state_rev *rev)
{
	free(rev->text);
	free(rev->error);
	free(rev->provenance);
	rev->text = rev->error = rev->provenance = NULL;
}
