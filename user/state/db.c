/* SPDX-License-Identifier: MIT */
#include "state/db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>

struct osh_db {
	sqlite3 *h;
};

/* struct osh_db_row is never defined: it is a sqlite3_stmt under another name. */
static sqlite3_stmt *st(struct osh_db_row *row)
{
	return (sqlite3_stmt *)row;
}

static int to_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EACCES;
	case SQLITE_TOOBIG:
		return -EMSGSIZE;
	default:
		return -EIO;
	}
}

int osh_db_open(const char *path, struct osh_db **ret_db)
{
	static const char pragmas[] = "PRAGMA locking_mode=EXCLUSIVE;"
				      "PRAGMA journal_mode=WAL;"
				      "PRAGMA synchronous=FULL;"
				      "PRAGMA foreign_keys=ON;"
				      "PRAGMA trusted_schema=OFF;"
				      "PRAGMA secure_delete=ON;"
				      /* takes the lock now, and keeps it */
				      "BEGIN IMMEDIATE; COMMIT;";
	struct osh_db *db = calloc(1, sizeof(*db));
	int r;

	if (!db)
		return -ENOMEM;
	r = to_errno(sqlite3_open_v2(path, &db->h,
				     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
					     SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
				     NULL));
	if (r == 0)
		r = osh_db_script(db, pragmas);
	if (r < 0) {
		(void)osh_db_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

struct osh_db *osh_db_close(struct osh_db *db)
{
	if (!db)
		return NULL;
	(void)sqlite3_close(db->h); /* every statement is finalised by then */
	free(db);
	return NULL;
}

const char *osh_db_error(struct osh_db *db)
{
	return sqlite3_errmsg(db->h);
}

int osh_db_script(struct osh_db *db, const char *sql)
{
	return to_errno(sqlite3_exec(db->h, sql, NULL, NULL, NULL));
}

static int bind(sqlite3_stmt *s, const char *types, va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; types[i - 1] && rc == SQLITE_OK; i++) {
		if (types[i - 1] == 's') {
			rc = sqlite3_bind_text(s, i, va_arg(ap, const char *), -1,
					       SQLITE_TRANSIENT);
		} else if (types[i - 1] == 'S') {
			struct osh_str v = va_arg(ap, struct osh_str);

			rc = sqlite3_bind_blob64(s, i, v.n ? v.p : "", v.n, SQLITE_TRANSIENT);
		} else {
			uint64_t v = va_arg(ap, uint64_t);

			if (v > INT64_MAX)
				return -ERANGE;
			rc = sqlite3_bind_int64(s, i, (sqlite3_int64)v);
		}
	}
	return to_errno(rc);
}

static int start(struct osh_db *db, struct osh_db_row **ret_row, const char *sql, const char *types,
		 va_list ap)
{
	sqlite3_stmt *s = NULL;
	int r = to_errno(sqlite3_prepare_v2(db->h, sql, -1, &s, NULL));

	if (r == 0)
		r = bind(s, types, ap);
	if (r < 0) {
		(void)sqlite3_finalize(s);
		return r;
	}
	*ret_row = (struct osh_db_row *)s;
	return 0;
}

int osh_db_query(struct osh_db *db, struct osh_db_row **ret_row, const char *sql, const char *types,
		 ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = start(db, ret_row, sql, types, ap);
	va_end(ap);
	return r;
}

int osh_db_next(struct osh_db_row *row)
{
	int rc = sqlite3_step(st(row));

	return rc == SQLITE_ROW ? 1 : to_errno(rc);
}

void osh_db_end(struct osh_db_row *row)
{
	(void)sqlite3_finalize(st(row)); /* repeats the error of the step, which was handled */
}

int osh_db_run(struct osh_db *db, const char *sql, const char *types, ...)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = start(db, &row, sql, types, ap);
	va_end(ap);
	if (r < 0)
		return r;
	r = osh_db_next(row);
	return r < 0 ? r : 0;
}

uint64_t osh_db_changes(struct osh_db *db)
{
	return (uint64_t)sqlite3_changes64(db->h);
}

uint64_t osh_db_u64(struct osh_db_row *row, int col)
{
	return (uint64_t)sqlite3_column_int64(st(row), col);
}

struct osh_str osh_db_str(struct osh_db_row *row, int col)
{
	const char *p = sqlite3_column_blob(st(row), col);

	return (struct osh_str){ p ? p : "", (size_t)sqlite3_column_bytes(st(row), col) };
}

int osh_db_dup(struct osh_db_row *row, int col, char **ret_text)
{
	char *copy = osh_str_dup(osh_db_str(row, col));

	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}

int osh_db_get_u64(struct osh_db *db, uint64_t *ret_value, const char *sql, const char *types, ...)
{
	osh_auto_db_row struct osh_db_row *row = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = start(db, &row, sql, types, ap);
	va_end(ap);
	if (r == 0)
		r = osh_db_next(row);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret_value = osh_db_u64(row, 0);
	return 0;
}

int osh_db_begin(struct osh_db *db)
{
	return osh_db_script(db, "BEGIN IMMEDIATE");
}

int osh_db_finish(struct osh_db *db, int r)
{
	if (r == 0)
		r = osh_db_script(db, "COMMIT");
	if (r < 0)
		(void)sqlite3_exec(db->h, "ROLLBACK", NULL, NULL,
				   NULL); /* fails when SQLite did it already */
	return r;
}
