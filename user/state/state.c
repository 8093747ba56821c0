/* SPDX-License-Identifier: MIT */
#include "state/priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

enum { APPLICATION_ID = 0x4f534831, SCHEMA_VERSION = 1 };

/* migrations[i] brings version i to i + 1; rows are only ever added at the end. */
static const char *const migrations[SCHEMA_VERSION] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE sandboxes ("
	" name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, sandbox_id INTEGER NOT NULL UNIQUE,"
	" phase INTEGER NOT NULL, phase_reason TEXT NOT NULL, spec TEXT NOT NULL,"
	" keep INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
	" resource_version INTEGER NOT NULL, active_version INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE revisions ("
	" scope TEXT NOT NULL, version INTEGER NOT NULL, status INTEGER NOT NULL,"
	" hash TEXT NOT NULL, text BLOB NOT NULL, error TEXT NOT NULL, provenance TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL, loaded_ms INTEGER NOT NULL, UNIQUE (scope, version));"
	"CREATE TABLE settings ("
	" scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
	" PRIMARY KEY (scope, key)) WITHOUT ROWID;"
	"CREATE TABLE scopes ("
	" scope TEXT PRIMARY KEY, settings_revision INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO scopes VALUES ('', 0);"
	"INSERT INTO meta VALUES ('next_sandbox_id', '1');",
};

static const char *const phases[OSH_PHASE_COUNT] = {
	"Unspecified", "Provisioning", "Ready",	   "Error",   "Deleting",
	"Stopping",    "Stopped",      "Starting", "Unknown",
};
static const char *const statuses_json[OSH_REV_STATUS_COUNT] = {
	"unspecified", "pending", "loaded", "failed", "superseded",
};

const char *osh_phase_name(unsigned int phase)
{
	return phase < OSH_PHASE_COUNT ? phases[phase] : NULL;
}

const char *osh_rev_status_json(unsigned int status)
{
	return status < OSH_REV_STATUS_COUNT ? statuses_json[status] : NULL;
}

/* ---- opening ---- */

static int migrate(struct osh_db *db)
{
	uint64_t app, version;
	char sql[64];
	int r;

	r = osh_db_get_u64(db, &app, "PRAGMA application_id", "");
	if (r == 0)
		r = osh_db_get_u64(db, &version, "PRAGMA user_version", "");
	if (r < 0)
		return r;
	if (version > SCHEMA_VERSION)
		return -EOPNOTSUPP;
	if (version && app != APPLICATION_ID)
		return -EBADMSG;
	if (version == SCHEMA_VERSION)
		return 0;
	r = osh_db_begin(db);
	if (r < 0)
		return r;
	for (; r == 0 && version < SCHEMA_VERSION; version++)
		r = osh_db_script(db, migrations[version]);
	(void)snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d",
		       APPLICATION_ID, SCHEMA_VERSION);
	if (r == 0)
		r = osh_db_script(db, sql);
	return osh_db_finish(db, r);
}

static int check(struct osh_db *db)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r = osh_db_query(db, &row, "PRAGMA quick_check(1)", "");

	if (r == 0)
		r = osh_db_next(row);
	if (r < 0)
		return r;
	return r == 1 && osh_str_is(osh_db_str(row, 0), "ok") ? 0 : -EBADMSG;
}

int osh_state_open(const char *path, struct osh_state **ret_state, char *err_text, size_t err_size)
{
	struct osh_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	r = osh_db_open(path, &state->db);
	if (r == 0)
		r = check(state->db);
	if (r == 0)
		r = migrate(state->db);
	if (r < 0) {
		if (err_text && err_size)
			(void)osh_strlcpy(err_text, state->db ? osh_db_error(state->db) : "",
					  err_size);
		(void)osh_state_free(state);
		return r;
	}
	*ret_state = state;
	return 0;
}

struct osh_state *osh_state_free(struct osh_state *state)
{
	if (!state)
		return NULL;
	state->db = osh_db_close(state->db);
	free(state);
	return NULL;
}

/* ---- sandboxes ---- */

#define SANDBOX_COLUMNS                                                                  \
	"name, id, sandbox_id, phase, phase_reason, spec, keep, created_ms, updated_ms," \
	" resource_version, active_version"

static int new_uuid(char dst[37])
{
	unsigned char b[16];
	char hex[33];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return -EIO;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	osh_hex(hex, b, sizeof(b));
	(void)snprintf(dst, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		       hex + 20);
	return 0;
}

static int insert_sandbox(struct osh_state *state, struct osh_state_sandbox *sb, uint64_t now_ms)
{
	int r;

	if (!sb->name[0] || (sb->spec && strlen(sb->spec) > OSH_STATE_SPEC_MAX))
		return -EINVAL;
	r = new_uuid(sb->id);
	if (r < 0)
		return r;
	sb->created_ms = sb->updated_ms = now_ms;
	sb->resource_version = 1;
	sb->active_version = 0;
	r = osh_db_get_u64(state->db, &sb->sandbox_id,
			   "SELECT CAST(value AS INTEGER) FROM meta WHERE key='next_sandbox_id'",
			   "");
	if (r == 0)
		r = osh_db_run(state->db,
			       "UPDATE meta SET value = CAST(value AS INTEGER) + 1"
			       " WHERE key = 'next_sandbox_id'",
			       "");
	if (r == 0)
		r = osh_db_run(state->db,
			       "INSERT INTO sandboxes (" SANDBOX_COLUMNS
			       ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 1, 0)",
			       "ssuussuu", sb->name, sb->id, sb->sandbox_id, (uint64_t)sb->phase,
			       sb->phase_reason ? sb->phase_reason : "", sb->spec ? sb->spec : "{}",
			       (uint64_t)sb->keep, sb->created_ms);
	if (r == 0)
		r = osh_db_run(state->db, "INSERT OR REPLACE INTO scopes VALUES (?1, 0)", "s",
			       sb->name);
	return r;
}

int osh_state_sandbox_add(struct osh_state *state, struct osh_state_sandbox *sb, uint64_t now_ms)
{
	int r = osh_db_begin(state->db);

	if (r < 0)
		return r;
	return osh_db_finish(state->db, insert_sandbox(state, sb, now_ms));
}

int osh_state_sandbox_create(struct osh_state *state, struct osh_state_sandbox *sb,
			     struct osh_str text, const char *hash, const char *provenance,
			     uint64_t now_ms)
{
	uint64_t version;
	bool unchanged;
	int r = osh_db_begin(state->db);

	if (r < 0)
		return r;
	r = insert_sandbox(state, sb, now_ms);
	if (r == 0)
		r = osh_state_insert_rev(state, sb->name, text, hash, provenance, now_ms, &version,
					 &unchanged);
	return osh_db_finish(state->db, r);
}

static int read_sandbox(struct osh_db_row *row, struct osh_state_sandbox *ret_sb)
{
	struct osh_state_sandbox sb = { 0 };
	struct osh_str name = osh_db_str(row, 0), id = osh_db_str(row, 1);
	int r;

	if (name.n >= sizeof(sb.name) || id.n >= sizeof(sb.id))
		return -EBADMSG;
	memcpy(sb.name, name.p, name.n);
	memcpy(sb.id, id.p, id.n);
	sb.sandbox_id = osh_db_u64(row, 2);
	sb.phase = osh_db_u64(row, 3) < OSH_PHASE_COUNT ? (enum osh_phase)osh_db_u64(row, 3)
							: OSH_PHASE_UNKNOWN;
	sb.keep = osh_db_u64(row, 6) != 0;
	sb.created_ms = osh_db_u64(row, 7);
	sb.updated_ms = osh_db_u64(row, 8);
	sb.resource_version = osh_db_u64(row, 9);
	sb.active_version = osh_db_u64(row, 10);
	r = osh_db_dup(row, 4, &sb.phase_reason);
	if (r == 0)
		r = osh_db_dup(row, 5, &sb.spec);
	if (r < 0) {
		osh_state_sandbox_fini(&sb);
		return r;
	}
	*ret_sb = sb;
	return 0;
}

int osh_state_sandbox_get(struct osh_state *state, const char *name,
			  struct osh_state_sandbox *ret_sb)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row,
			 "SELECT " SANDBOX_COLUMNS " FROM sandboxes WHERE name = ?1", "s", name);
	if (r == 0)
		r = osh_db_next(row);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return read_sandbox(row, ret_sb);
}

int osh_state_sandbox_phase(struct osh_state *state, const char *name, enum osh_phase phase,
			    const char *reason, uint64_t now_ms)
{
	int r = osh_db_run(state->db,
			   "UPDATE sandboxes SET phase = ?2, phase_reason = ?3, updated_ms = ?4,"
			   " resource_version = resource_version + 1 WHERE name = ?1",
			   "susu", name, (uint64_t)phase, reason ? reason : "", now_ms);

	if (r < 0)
		return r;
	return osh_db_changes(state->db) ? 0 : -ENOENT;
}

int osh_state_sandbox_del(struct osh_state *state, const char *name)
{
	uint64_t found = 0;
	int r = osh_db_begin(state->db);

	if (r < 0)
		return r;
	r = osh_db_run(state->db, "DELETE FROM sandboxes WHERE name = ?1", "s", name);
	if (r == 0)
		found = osh_db_changes(state->db);
	if (r == 0)
		r = osh_db_run(state->db, "DELETE FROM revisions WHERE scope = ?1", "s", name);
	if (r == 0)
		r = osh_db_run(state->db, "DELETE FROM settings WHERE scope = ?1", "s", name);
	if (r == 0)
		r = osh_db_run(state->db, "DELETE FROM scopes WHERE scope = ?1", "s", name);
	return osh_db_finish(state->db, r == 0 && !found ? -ENOENT : r);
}

int osh_state_sandbox_list(struct osh_state *state, uint64_t offset, uint64_t limit,
			   struct osh_state_iter *it)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row,
			 "SELECT " SANDBOX_COLUMNS
			 " FROM sandboxes ORDER BY created_ms, sandbox_id LIMIT ?1 OFFSET ?2",
			 "uu", OSH_MIN(limit ? limit : UINT64_MAX, (uint64_t)OSH_STATE_LIST_MAX),
			 offset);
	while (r == 0) {
		osh_auto_state_sandbox struct osh_state_sandbox sb = { 0 };

		r = osh_db_next(row);
		if (r <= 0)
			return r;
		r = read_sandbox(row, &sb);
		if (r == 0)
			r = it->on_sandbox(it, &sb);
	}
	return r;
}

void osh_state_sandbox_fini(struct osh_state_sandbox *sb)
{
	free(sb->phase_reason);
	free(sb->spec);
	sb->phase_reason = sb->spec = NULL;
}

/* ---- settings ---- */

int osh_state_scope_check(struct osh_state *state, const char *scope)
{
	uint64_t one;

	return osh_db_get_u64(state->db, &one, "SELECT 1 FROM scopes WHERE scope = ?1", "s", scope);
}

int osh_state_bump(struct osh_state *state, const char *scope, uint64_t *ret_revision)
{
	int r = osh_db_run(state->db,
			   "UPDATE scopes SET settings_revision = settings_revision + 1"
			   " WHERE scope = ?1",
			   "s", scope);

	if (r < 0)
		return r;
	return osh_state_settings_revision(state, scope, ret_revision);
}

int osh_state_settings_revision(struct osh_state *state, const char *scope, uint64_t *ret_revision)
{
	return osh_db_get_u64(state->db, ret_revision,
			      "SELECT settings_revision FROM scopes WHERE scope = ?1", "s", scope);
}

int osh_state_setting_set(struct osh_state *state, const char *scope, const char *key,
			  const char *value, uint64_t *ret_revision)
{
	uint64_t revision = 0;
	int r = osh_db_begin(state->db);

	if (r < 0)
		return r;
	r = osh_state_bump(state, scope, &revision);
	if (r == 0)
		r = osh_db_run(state->db, "INSERT OR REPLACE INTO settings VALUES (?1, ?2, ?3)",
			       "sss", scope, key, value);
	r = osh_db_finish(state->db, r);
	if (r == 0)
		*ret_revision = revision;
	return r;
}

int osh_state_setting_get(struct osh_state *state, const char *scope, const char *key,
			  char **ret_value)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row,
			 "SELECT value FROM settings WHERE scope = ?1 AND key = ?2", "ss", scope,
			 key);
	if (r == 0)
		r = osh_db_next(row);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return osh_db_dup(row, 0, ret_value);
}

int osh_state_setting_del(struct osh_state *state, const char *scope, const char *key,
			  uint64_t *ret_revision)
{
	uint64_t revision = 0;
	int r = osh_db_begin(state->db);

	if (r < 0)
		return r;
	r = osh_db_run(state->db, "DELETE FROM settings WHERE scope = ?1 AND key = ?2", "ss", scope,
		       key);
	if (r == 0 && !osh_db_changes(state->db))
		r = -ENOENT;
	if (r == 0)
		r = osh_state_bump(state, scope, &revision);
	r = osh_db_finish(state->db, r);
	if (r == 0)
		*ret_revision = revision;
	return r;
}

int osh_state_setting_list(struct osh_state *state, const char *scope, struct osh_state_iter *it)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row,
			 "SELECT key, value FROM settings WHERE scope = ?1 ORDER BY key", "s",
			 scope);
	while (r == 0) {
		osh_auto_free char *key = NULL, *value = NULL;

		r = osh_db_next(row);
		if (r <= 0)
			return r;
		r = osh_db_dup(row, 0, &key);
		if (r == 0)
			r = osh_db_dup(row, 1, &value);
		if (r == 0)
			r = it->on_setting(it, key, value);
	}
	return r;
}

/* ---- meta: the daemon's own values, apart from ours ---- */

int osh_state_meta_set(struct osh_state *state, const char *key, const char *value)
{
	return osh_db_run(state->db, "INSERT OR REPLACE INTO meta VALUES ('d.' || ?1, ?2)", "ss",
			  key, value);
}

int osh_state_meta_get(struct osh_state *state, const char *key, char **ret_value)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	int r;

	r = osh_db_query(state->db, &row, "SELECT value FROM meta WHERE key = 'd.' || ?1", "s",
			 key);
	if (r == 0)
		r = osh_db_next(row);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return osh_db_dup(row, 0, ret_value);
}
