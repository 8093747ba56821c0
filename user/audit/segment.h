/* SPDX-License-Identifier: MIT */
/*
 * The log on disk: a directory of bounded segment files "events-<first seq>.jsonl", one JSON object
 * per line (osh_render_json() form plus "h"), the oldest deleted when the total grows too big.
 *
 * Hash chain: the h of a line is SHA-256 over the h of the line before (32 bytes) and the line's own
 * bytes up to `,"h":`. The first line of a segment is a header that is part of the chain and carries
 * the h before it as "prev". The file HEAD names the newest and the oldest sequence number with the
 * newest h, so that cutting off either end shows. Verification finds every edit, deletion,
 * reordering and truncation by whoever cannot also rewrite the rest of the chain.
 *
 * Writing never fails silently: what could not be written is counted, and a record of class LOSS
 * with the count is the next one written.
 */
#ifndef OSH_AUDIT_SEGMENT_H
#define OSH_AUDIT_SEGMENT_H

#include "audit/record.h"
#include "base/diag.h"

#define OSH_LOG_LINE_MAX  32768 /* bytes of one line */
#define OSH_LOG_QUERY_MAX 10000 /* lines of one query */

enum osh_log_sync {
	OSH_LOG_SYNC_FLUSH = 0, /* fdatasync at every osh_log_flush() */
	OSH_LOG_SYNC_TIMED = 1, /* at most once per sync_ms; osh_log_flush() does it when due */
	OSH_LOG_SYNC_NEVER = 2,
};

struct osh_log_config {
	const char *dir; /* exists, ours alone, mode 0750 or stricter; copied */
	uint64_t segment_bytes; /* start a new segment beyond; 0: 16 MiB */
	uint64_t total_bytes; /* delete the oldest beyond; 0: 512 MiB; at least two segments stay */
	uint64_t segment_age_s; /* start a new segment when older; 0: 86400 */
	enum osh_log_sync sync;
	unsigned int sync_ms; /* 0: 1000 */
};

struct osh_log_stats {
	uint64_t records; /* appended since open */
	uint64_t lost; /* not written since open (disk full, I/O error) */
	uint64_t bytes; /* of all segments */
	uint64_t segments;
	uint64_t next_seq;
	uint64_t torn_bytes; /* dropped at open: an unfinished last line */
	uint64_t missing; /* at open: records HEAD knew that were no longer there */
	int last_error; /* -errno of the last failed write; 0 when all is well */
};

struct osh_log;

/*
 * Open for writing, continuing what is there: an unfinished last line is cut off, and a LOSS record
 * says so. -EWOULDBLOCK: another process writes here.
 */
int osh_log_open(const struct osh_log_config *config, uint64_t now_ns,
		 struct osh_log **ret_log) OSH_MUST_CHECK;
struct osh_log *osh_log_free(struct osh_log *log); /* flushes and syncs */

/*
 * Assign rec->seq and buffer the record. A time more than a minute off @now_ns (CLOCK_REALTIME) is
 * replaced by it, so that a writer cannot hide a record in another year. @ret_json (may be NULL)
 * borrows the object (without h) until the next call: for followers. -ENOSPC, -EIO...: counted as
 * lost. Writes by itself when 64 KiB are buffered.
 */
int osh_log_append(struct osh_log *log, struct osh_rec *rec, uint64_t now_ns,
		   struct osh_str *ret_json) OSH_MUST_CHECK;
/* Write what is buffered; call once per turn of the event loop. */
int osh_log_flush(struct osh_log *log, uint64_t now_ns) OSH_MUST_CHECK;
void osh_log_stats(const struct osh_log *log, struct osh_log_stats *ret_stats);

/* ---- reading; needs only the directory, works beside a writer ---- */

struct osh_log_filter {
	const char *sandbox; /* NULL: every one; "" never matches a sandbox's record */
	int max_level; /* enum osh_rec_level; negative: every one */
	unsigned int sources; /* bits 1 << enum osh_rec_source; 0: every one */
	uint64_t since_ns; /* 0: no limit */
};

bool osh_log_filter_has(const struct osh_log_filter *filter, const struct osh_rec *rec);
/* Quick test on one line of a segment or an osh_render_json() object. */
bool osh_log_filter_has_line(const struct osh_log_filter *filter, struct osh_str line);

/* The sequence number of such a line; -EBADMSG. */
int osh_log_line_seq(struct osh_str line, uint64_t *ret_seq) OSH_MUST_CHECK;

/* Lines newest first. */
struct osh_log_cursor;
int osh_log_cursor_new(const char *dir, const struct osh_log_filter *filter,
		       struct osh_log_cursor **ret_cursor) OSH_MUST_CHECK;
struct osh_log_cursor *osh_log_cursor_free(struct osh_log_cursor *cursor);
/*
 * 1: @ret_line (without newline, the "h" member cut off: an osh_render_json() object) borrows until
 * the next call. 0: no more. -EAGAIN: @budget lines looked at without a match; call again.
 */
int osh_log_cursor_next(struct osh_log_cursor *cursor, unsigned int budget,
			struct osh_str *ret_line) OSH_MUST_CHECK;

/* The last @n (0: 2000) lines that pass, oldest first. */
struct osh_log_lines {
	struct osh_buf text;
	size_t *start; /* private */
	size_t count;
};
int osh_log_query(const char *dir, const struct osh_log_filter *filter, uint64_t n,
		  struct osh_log_lines *ret_lines) OSH_MUST_CHECK;
struct osh_str osh_log_lines_at(const struct osh_log_lines *lines, size_t i);
void osh_log_lines_fini(struct osh_log_lines *lines);

struct osh_log_report {
	uint64_t records, segments;
	uint64_t first_seq, last_seq; /* 0, 0: empty */
};
/*
 * Check the chain from the oldest segment to HEAD. Each finding is an error in @diag ("<segment>:
 * line N: ..."). Returns 0 when everything holds, -EBADMSG with findings, or another -errno.
 */
int osh_log_verify(const char *dir, struct osh_log_report *ret_report,
		   struct osh_diag *diag) OSH_MUST_CHECK;

#endif
