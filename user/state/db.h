/* SPDX-License-Identifier: MIT */
/*
 * The thin layer over SQLite; db.c is the only file that sees it. Errors are -errno: -EBUSY (locked
 * by another process), -EBADMSG (damaged or no database), -ENOSPC, -ENOMEM, -EEXIST (constraint),
 * -EIO for the rest.
 */
#ifndef OSH_STATE_DB_H
#define OSH_STATE_DB_H

#include "base/str.h"

struct osh_db;
struct osh_db_row; /* a running statement */

/* WAL, synchronous=FULL, foreign keys, exclusively ours. */
int osh_db_open(const char *path, struct osh_db **ret_db) OSH_MUST_CHECK;
struct osh_db *osh_db_close(struct osh_db *db);
/* Of the last failure; valid until the next call. */
const char *osh_db_error(struct osh_db *db);

/* Several statements without parameters. */
int osh_db_script(struct osh_db *db, const char *sql) OSH_MUST_CHECK;

/*
 * Parameters by @types, one letter each: s const char *, S struct osh_str (blob), u uint64_t. All
 * uint64_t must be below 2^63 (-ERANGE).
 */
int osh_db_run(struct osh_db *db, const char *sql, const char *types, ...) OSH_MUST_CHECK;
/* Rows changed by the last osh_db_run(). */
uint64_t osh_db_changes(struct osh_db *db);
int osh_db_query(struct osh_db *db, struct osh_db_row **ret_row, const char *sql, const char *types,
		 ...) OSH_MUST_CHECK;
/* 1: a row is there; 0: no more; negative. */
int osh_db_next(struct osh_db_row *row) OSH_MUST_CHECK;
void osh_db_end(struct osh_db_row *row); /* takes NULL */
/* Column values; text borrows until the next osh_db_next(). */
uint64_t osh_db_u64(struct osh_db_row *row, int col);
struct osh_str osh_db_str(struct osh_db_row *row, int col);
int osh_db_dup(struct osh_db_row *row, int col, char **ret_text) OSH_MUST_CHECK;

/* First column of the first row; -ENOENT when there is none. */
int osh_db_get_u64(struct osh_db *db, uint64_t *ret_value, const char *sql, const char *types,
		   ...) OSH_MUST_CHECK;

int osh_db_begin(struct osh_db *db) OSH_MUST_CHECK;
/* Commit when @r is 0, roll back otherwise; returns @r or the error of the commit. */
int osh_db_finish(struct osh_db *db, int r) OSH_MUST_CHECK;

static inline void osh_db_end_ptr(struct osh_db_row **row)
{
	osh_db_end(*row);
	*row = NULL;
}

#define osh_auto_db_row OSH_CLEANUP(osh_db_end_ptr) /* struct osh_db_row * */

#endif
