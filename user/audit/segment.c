/* SPDX-License-Identifier: MIT */
#include "audit/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "audit/chain.h"
#include "audit/render.h"
#include "openshell/version.h"

enum { FLUSH_BYTES = 65536, TIME_SLACK_S = 60 };

struct osh_log {
	struct osh_log_config config;
	int dirfd;
	int lock_fd; /* HEAD, locked: one writer */
	int fd; /* current segment; -1: none yet */
	uint64_t fd_bytes; /* of it, on disk */
	uint64_t opened_ns; /* when it was begun */
	uint64_t *segs; /* first sequence numbers, ascending; the last is the current one */
	size_t n_segs;
	struct osh_buf pending; /* lines not yet written */
	struct osh_buf line;
	uint64_t seq, flushed_seq; /* newest assigned, newest written */
	struct osh_chain_hash hash, flushed_hash;
	uint64_t unreported; /* lost, no LOSS record written yet */
	uint64_t reporting; /* what the LOSS record in `pending` says; back if that is dropped */
	uint64_t synced_ns;
	bool unsynced;
	struct osh_log_stats stats;
};

/* ---- segments on disk ---- */

static int write_all(int fd, struct osh_str data)
{
	while (data.n) {
		ssize_t n = write(fd, data.p, data.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data = osh_str_sub(data, (size_t)n, data.n);
	}
	return 0;
}

static int write_head(struct osh_log *log)
{
	struct osh_chain_head head = {
		.first_seq = log->n_segs ? log->segs[0] : log->flushed_seq + 1,
		.last_seq = log->flushed_seq,
		.hash = log->flushed_hash,
	};

	return osh_chain_head_write(log->lock_fd, &head);
}

static uint64_t segment_bytes(int dirfd, uint64_t seq)
{
	char name[OSH_CHAIN_NAME_MAX];
	struct stat st;

	osh_chain_name(name, seq);
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : (uint64_t)st.st_size;
}

/* Delete the oldest until the total fits; the current and the one before stay. */
static int prune(struct osh_log *log)
{
	size_t drop = 0;
	int r = 0;

	while (log->stats.bytes > log->config.total_bytes && log->n_segs - drop > 2) {
		char name[OSH_CHAIN_NAME_MAX];

		log->stats.bytes -= segment_bytes(log->dirfd, log->segs[drop]);
		osh_chain_name(name, log->segs[drop]);
		if (unlinkat(log->dirfd, name, 0) < 0 && errno != ENOENT) {
			r = -errno;
			break;
		}
		drop++;
	}
	log->n_segs -= drop;
	memmove(log->segs, log->segs + drop, log->n_segs * sizeof(*log->segs));
	return r;
}

/* Add `,"h":"..."}\n` to @line, whose closing brace is taken off, and advance the chain. */
static int seal(struct osh_buf *line, struct osh_chain_hash *hash)
{
	char hex[OSH_SHA256_HEX];
	struct osh_chain_hash next;
	int r;

	line->len--;
	r = osh_chain_next(hash, osh_buf_str(line), &next);
	if (r < 0)
		return r;
	osh_hex(hex, next.b, sizeof(next.b));
	r = osh_buf_printf(line, ",\"h\":\"%s\"}\n", hex);
	if (r == 0)
		*hash = next;
	return r;
}

static int write_header(struct osh_log *log, uint64_t first_seq, uint64_t now_ns)
{
	osh_auto_bufmem struct osh_buf line;
	char hex[OSH_SHA256_HEX];
	struct osh_chain_hash hash = log->flushed_hash;
	struct osh_json j;
	int r;

	osh_buf_init(&line, 1024, 0);
	osh_hex(hex, hash.b, sizeof(hash.b));
	osh_json_init(&j, &line, 0);
	osh_json_obj(&j);
	osh_json_ku64(&j, "segment", 1);
	osh_json_ku64(&j, "first_seq", first_seq);
	osh_json_ku64(&j, "created_ns", now_ns);
	osh_json_kz(&j, "writer", "openshelld " OSH_VERSION);
	osh_json_kz(&j, "prev", hex);
	osh_json_obj_end(&j);
	r = j.err ? j.err : seal(&line, &hash);
	if (r == 0)
		r = write_all(log->fd, osh_buf_str(&line));
	if (r < 0)
		return r;
	log->flushed_hash = log->hash = hash;
	log->fd_bytes = line.len;
	log->stats.bytes += line.len;
	return 0;
}

/* Begin the segment whose first record is flushed_seq + 1. Nothing may be pending. */
static int begin_segment(struct osh_log *log, uint64_t now_ns)
{
	uint64_t first = log->flushed_seq + 1, *segs;
	osh_auto_close int fd = -1;
	char name[OSH_CHAIN_NAME_MAX];
	int r;

	segs = reallocarray(log->segs, log->n_segs + 1, sizeof(*segs));
	if (!segs)
		return -ENOMEM;
	log->segs = segs;
	osh_chain_name(name, first);
	fd = openat(log->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
		    0640);
	if (fd < 0)
		return -errno;
	if (log->fd >= 0 && log->config.sync != OSH_LOG_SYNC_NEVER)
		(void)fdatasync(log->fd); /* a failure shows when the new segment is synced */
	osh_close_ptr(&log->fd);
	log->fd = osh_take_fd(&fd);
	r = write_header(log, first, now_ns);
	if (r < 0) {
		osh_close_ptr(&log->fd);
		(void)unlinkat(log->dirfd, name, 0); /* it holds nothing */
		return r;
	}
	if (log->config.sync != OSH_LOG_SYNC_NEVER)
		(void)fsync(log->dirfd); /* likewise */
	log->segs[log->n_segs++] = first;
	log->opened_ns = now_ns;
	r = prune(log);
	log->stats.segments = log->n_segs;
	return r;
}

static bool segment_is_full(const struct osh_log *log, uint64_t now_ns)
{
	return log->fd_bytes + log->pending.len >= log->config.segment_bytes ||
	       now_ns - OSH_MIN(now_ns, log->opened_ns) >=
		       log->config.segment_age_s * 1000000000ull;
}

/* ---- writing ---- */

/* Give up what is pending: the chain goes on from what is on disk. */
static void drop_pending(struct osh_log *log, int err)
{
	uint64_t n = log->seq - log->flushed_seq;

	if (log->reporting && n)
		n--; /* the LOSS record itself */
	log->unreported += n + log->reporting;
	log->reporting = 0;
	log->stats.lost += n;
	log->stats.last_error = err;
	log->seq = log->flushed_seq;
	log->hash = log->flushed_hash;
	osh_buf_reset(&log->pending);
}

static int sync_if_due(struct osh_log *log, uint64_t now_ns)
{
	if (!log->unsynced || log->fd < 0 || log->config.sync == OSH_LOG_SYNC_NEVER)
		return 0;
	if (log->config.sync == OSH_LOG_SYNC_TIMED &&
	    now_ns - OSH_MIN(now_ns, log->synced_ns) < log->config.sync_ms * 1000000ull)
		return 0;
	log->synced_ns = now_ns;
	log->unsynced = false;
	if (fdatasync(log->fd) < 0 || fdatasync(log->lock_fd) < 0) {
		log->stats.last_error = -errno;
		return -errno;
	}
	return 0;
}

static int write_pending(struct osh_log *log)
{
	int r;

	if (!log->pending.len)
		return 0;
	r = write_all(log->fd, osh_buf_str(&log->pending));
	if (r < 0) {
		/* a part may be there; without it the file ends where the chain says */
		if (ftruncate(log->fd, (off_t)log->fd_bytes) < 0)
			osh_close_ptr(&log->fd);
		drop_pending(log, r);
		return r;
	}
	log->fd_bytes += log->pending.len;
	log->stats.bytes += log->pending.len;
	log->flushed_seq = log->seq;
	log->flushed_hash = log->hash;
	log->unsynced = true;
	log->reporting = 0;
	log->stats.last_error = 0;
	osh_buf_reset(&log->pending);
	return write_head(log);
}

int osh_log_flush(struct osh_log *log, uint64_t now_ns)
{
	int r = write_pending(log);

	return r < 0 ? r : sync_if_due(log, now_ns);
}

/* Render, seal and buffer one record. */
static int push(struct osh_log *log, struct osh_rec *rec, struct osh_str *ret_json)
{
	struct osh_chain_hash hash = log->hash;
	size_t json_at = log->pending.len, json_n;
	int r;

	rec->seq = log->seq + 1;
	osh_buf_reset(&log->line);
	r = osh_render_json(rec, &log->line);
	if (r < 0)
		return r;
	json_n = log->line.len;
	r = seal(&log->line, &hash);
	if (r == 0)
		r = osh_buf_add_str(&log->pending, osh_buf_str(&log->line));
	if (r < 0)
		return r;
	log->seq++;
	log->hash = hash;
	log->stats.records++;
	if (ret_json) {
		/* the closing brace was sealed over: put the object together again in `line` */
		osh_buf_reset(&log->line);
		r = osh_buf_add(&log->line, log->pending.data + json_at, json_n - 1);
		if (r == 0)
			r = osh_buf_add_c(&log->line, '}');
		*ret_json = r < 0 ? OSH_STR("{}") : osh_buf_str(&log->line);
	}
	return 0;
}

static int push_loss(struct osh_log *log, uint64_t count, uint64_t now_ns, const char *why)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_LOSS, OSH_REC_NOTE, now_ns);
	rec.count = count;
	osh_rec_set_z(&rec, OSH_REC_MESSAGE, why);
	return push(log, &rec, NULL);
}

/* Room for one more record: rotate when due, come back after an error, report losses first. */
static int make_ready(struct osh_log *log, uint64_t now_ns)
{
	int r = 0;

	if (log->pending.len >= FLUSH_BYTES || (log->fd >= 0 && segment_is_full(log, now_ns)))
		r = write_pending(log);
	if (r == 0 && (log->fd < 0 || segment_is_full(log, now_ns)))
		r = begin_segment(log, now_ns);
	if (r == 0 && log->unreported) {
		r = push_loss(log, log->unreported, now_ns,
			      "records could not be written to the log");
		if (r == 0) {
			log->reporting += log->unreported;
			log->unreported = 0;
		}
	}
	return r;
}

int osh_log_append(struct osh_log *log, struct osh_rec *rec, uint64_t now_ns,
		   struct osh_str *ret_json)
{
	const uint64_t slack = TIME_SLACK_S * 1000000000ull;
	int r;

	if (rec->time_ns > now_ns + slack || rec->time_ns + slack < now_ns)
		rec->time_ns = now_ns;
	r = make_ready(log, now_ns);
	if (r == 0)
		r = push(log, rec, ret_json);
	if (r < 0) {
		log->unreported++;
		log->stats.lost++;
		log->stats.last_error = r;
	}
	return r;
}

void osh_log_stats(const struct osh_log *log, struct osh_log_stats *ret_stats)
{
	*ret_stats = log->stats;
	ret_stats->segments = log->n_segs;
	ret_stats->next_seq = log->seq + 1;
}

/* ---- opening ---- */

/*
 * Find the end of the last segment: the last complete line. What follows it was being written when
 * the writer died. The chain goes on from the hash that line states; whether it is right is the
 * verifier's question, and evidence of tampering is never overwritten.
 */
static int recover(struct osh_log *log, uint64_t first_seq)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_str rest, line, body;
	size_t good = 0;
	int r;

	osh_buf_init(&text, (size_t)1 << 31, 0);
	r = osh_buf_read_all(&text, log->fd);
	if (r < 0)
		return r;
	rest = osh_buf_str(&text);
	log->seq = first_seq - 1;
	while (rest.n) {
		size_t n = osh_str_find(rest, '\n');
		struct osh_chain_hash hash;
		uint64_t seq;

		if (n == rest.n)
			break;
		line = osh_str_sub(rest, 0, n);
		rest = osh_str_sub(rest, n + 1, rest.n);
		good += n + 1;
		if (osh_chain_split(line, &body, &hash) < 0)
			continue;
		log->hash = hash;
		if (osh_chain_seq(line, &seq) == 0 && seq > log->seq)
			log->seq = seq;
	}
	log->stats.torn_bytes = text.len - good;
	if (good < text.len && ftruncate(log->fd, (off_t)good) < 0)
		return -errno;
	log->fd_bytes = good;
	return 0;
}

static int adopt_last(struct osh_log *log, uint64_t now_ns)
{
	uint64_t first = log->segs[log->n_segs - 1];
	char name[OSH_CHAIN_NAME_MAX];
	struct stat st;
	int r;

	osh_chain_name(name, first);
	log->fd = openat(log->dirfd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (log->fd < 0)
		return -errno;
	r = recover(log, first);
	if (r < 0)
		return r;
	if (fstat(log->fd, &st) < 0)
		return -errno;
	log->opened_ns = OSH_MIN((uint64_t)st.st_ctim.tv_sec * 1000000000ull, now_ns);
	log->flushed_seq = log->seq;
	log->flushed_hash = log->hash;
	return 0;
}

/* Find the newest segment that holds anything; one that died before its header did not begin. */
static int adopt(struct osh_log *log, uint64_t now_ns)
{
	while (log->n_segs) {
		char name[OSH_CHAIN_NAME_MAX];
		int r = adopt_last(log, now_ns);

		if (r < 0 || log->fd_bytes)
			return r;
		log->stats.bytes -= OSH_MIN(log->stats.bytes, log->stats.torn_bytes);
		log->stats.torn_bytes = 0;
		osh_close_ptr(&log->fd);
		osh_chain_name(name, log->segs[--log->n_segs]);
		if (unlinkat(log->dirfd, name, 0) < 0)
			return -errno;
	}
	return 0;
}

/* Compare with HEAD; say in the log itself what is missing. */
static int report_recovery(struct osh_log *log, const struct osh_chain_head *head, uint64_t now_ns)
{
	int r = 0;

	if (head && head->last_seq > log->seq) {
		log->stats.missing = head->last_seq - log->seq;
		/* numbers are never given twice */
		log->seq = log->flushed_seq = head->last_seq;
		osh_close_ptr(&log->fd);
	}
	if (!log->stats.missing && !log->stats.torn_bytes)
		return 0;
	if (log->fd < 0)
		r = begin_segment(log, now_ns);
	if (r == 0 && log->stats.missing)
		r = push_loss(log, log->stats.missing, now_ns,
			      "records known to have been written were missing at start");
	if (r == 0 && log->stats.torn_bytes)
		r = push_loss(log, 1, now_ns, "an unfinished record was cut off at start");
	return r < 0 ? r : osh_log_flush(log, now_ns);
}

static int open_dir(struct osh_log *log)
{
	log->dirfd = open(log->config.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->dirfd < 0)
		return -errno;
	log->lock_fd = openat(log->dirfd, OSH_CHAIN_HEAD, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			      0640);
	if (log->lock_fd < 0)
		return -errno;
	return flock(log->lock_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int start(struct osh_log *log, uint64_t now_ns)
{
	struct osh_chain_head head;
	bool have_head;
	int r;

	r = open_dir(log);
	if (r < 0)
		return r;
	have_head = osh_chain_head_read(log->dirfd, &head) == 0;
	r = osh_chain_list(log->dirfd, &log->segs, &log->n_segs);
	if (r < 0)
		return r;
	for (size_t i = 0; i < log->n_segs; i++)
		log->stats.bytes += segment_bytes(log->dirfd, log->segs[i]);
	r = adopt(log, now_ns);
	if (r < 0)
		return r;
	log->stats.bytes -= OSH_MIN(log->stats.bytes, log->stats.torn_bytes);
	r = report_recovery(log, have_head ? &head : NULL, now_ns);
	return r < 0 ? r : write_head(log);
}

int osh_log_open(const struct osh_log_config *config, uint64_t now_ns, struct osh_log **ret_log)
{
	struct osh_log *log = calloc(1, sizeof(*log));
	int r;

	if (!log)
		return -ENOMEM;
	log->dirfd = log->lock_fd = log->fd = -1;
	log->config = *config;
	log->config.dir = osh_str_dup(osh_str(config->dir));
	if (!log->config.segment_bytes)
		log->config.segment_bytes = 16u << 20;
	if (!log->config.total_bytes)
		log->config.total_bytes = 512u << 20;
	if (!log->config.segment_age_s)
		log->config.segment_age_s = 86400;
	if (!log->config.sync_ms)
		log->config.sync_ms = 1000;
	osh_buf_init(&log->pending, FLUSH_BYTES + 2 * OSH_LOG_LINE_MAX, 0);
	osh_buf_init(&log->line, OSH_LOG_LINE_MAX, 0);
	r = log->config.dir ? start(log, now_ns) : -ENOMEM;
	if (r < 0) {
		(void)osh_log_free(log);
		return r;
	}
	*ret_log = log;
	return 0;
}

struct osh_log *osh_log_free(struct osh_log *log)
{
	if (!log)
		return NULL;
	(void)write_pending(log); /* counted as lost; nobody is left to tell */
	if (log->fd >= 0 && log->config.sync != OSH_LOG_SYNC_NEVER)
		(void)fdatasync(log->fd); /* likewise */
	osh_close_ptr(&log->fd);
	osh_close_ptr(&log->lock_fd);
	osh_close_ptr(&log->dirfd);
	osh_buf_fini(&log->pending);
	osh_buf_fini(&log->line);
	free(log->segs);
	free((char *)(uintptr_t)log->config.dir);
	free(log);
	return NULL;
}
