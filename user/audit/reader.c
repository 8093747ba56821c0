/* SPDX-License-Identifier: MIT */
/* Reading the log newest first. Files are read, never mapped: the writer may cut a torn write off. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "audit/chain.h"

enum {
	CHUNK = 256 * 1024,
	QUERY_DEFAULT = 2000,
	/* records of one moment are written within this time, in any order */
	DISORDER_S = 120,
};

struct osh_log_cursor {
	int dirfd, fd;
	struct osh_log_filter filter;
	char *sandbox;
	uint64_t *segs;
	size_t n_segs; /* segments not opened yet */
	off_t pos; /* file offset of buf.data[0] */
	struct osh_buf buf; /* bytes [pos, pos + len) of the segment, not handed out yet */
	struct osh_buf line;
	bool done;
};

bool osh_log_filter_has(const struct osh_log_filter *f, const struct osh_rec *rec)
{
	if (f->sandbox && !osh_str_is(osh_rec_get(rec, OSH_REC_SANDBOX_NAME), f->sandbox))
		return false;
	if (f->max_level >= 0 && rec->level > f->max_level)
		return false;
	if (f->sources && !(f->sources & 1u << rec->source))
		return false;
	return rec->time_ns >= f->since_ns;
}

/* `"key":` and the text up to the next comma; advances @rest behind it. */
static bool member(struct osh_str *rest, const char *key, struct osh_str *ret_value)
{
	struct osh_str k = osh_str(key);
	size_t n;

	if (!osh_str_has_prefix(*rest, k))
		return false;
	*rest = osh_str_sub(*rest, k.n, rest->n);
	n = osh_str_find(*rest, ',');
	*ret_value = osh_str_sub(*rest, 0, n);
	*rest = osh_str_sub(*rest, n, rest->n);
	return true;
}

/* Strip the quotes; names with escapes in them never occur in these members. */
static struct osh_str unquote(struct osh_str s)
{
	return s.n >= 2 ? osh_str_sub(s, 1, s.n - 2) : s;
}

/*
 * osh_render_json() writes these five members first, in this order, and none of the values can hold
 * a comma: sandbox names are letters, digits and hyphens.
 */
static bool peek_line(struct osh_str line, struct osh_str v[5])
{
	return member(&line, "{\"seq\":", &v[0]) && member(&line, ",\"time_ns\":", &v[1]) &&
	       member(&line, ",\"level\":", &v[2]) && member(&line, ",\"source\":", &v[3]) &&
	       member(&line, ",\"sandbox\":", &v[4]);
}

static bool filter_line(const struct osh_log_filter *f, struct osh_str line, uint64_t *ret_time_ns)
{
	struct osh_str v[5];
	uint64_t t = 0;

	*ret_time_ns = UINT64_MAX;
	if (!peek_line(line, v) || osh_parse_u64(v[1], INT64_MAX, &t) < 0)
		return false;
	*ret_time_ns = t;
	if (t < f->since_ns)
		return false;
	if (f->max_level >= 0) {
		int level = osh_rec_level_parse(unquote(v[2]));

		if (level < 0 || level > f->max_level)
			return false;
	}
	if (f->sources) {
		bool sandbox = osh_str_is(v[3], "\"sandbox\"");

		if (!(f->sources & 1u << (sandbox ? OSH_REC_SANDBOX_SRC : OSH_REC_GATEWAY)))
			return false;
	}
	return !f->sandbox || osh_str_is(unquote(v[4]), f->sandbox);
}

bool osh_log_filter_has_line(const struct osh_log_filter *filter, struct osh_str line)
{
	uint64_t t;

	return filter_line(filter, line, &t);
}

int osh_log_line_seq(struct osh_str line, uint64_t *ret_seq)
{
	return osh_chain_seq(line, ret_seq);
}

int osh_log_cursor_new(const char *dir, const struct osh_log_filter *filter,
		       struct osh_log_cursor **ret_cursor)
{
	struct osh_log_cursor *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return -ENOMEM;
	c->fd = -1;
	c->filter = *filter;
	osh_buf_init(&c->buf, CHUNK + OSH_LOG_LINE_MAX, 0);
	osh_buf_init(&c->line, OSH_LOG_LINE_MAX, 0);
	c->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dirfd < 0)
		r = -errno;
	if (r == 0 && filter->sandbox) {
		c->sandbox = osh_str_dup(osh_str(filter->sandbox));
		c->filter.sandbox = c->sandbox;
		r = c->sandbox ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = osh_chain_list(c->dirfd, &c->segs, &c->n_segs);
	if (r < 0) {
		(void)osh_log_cursor_free(c);
		return r;
	}
	*ret_cursor = c;
	return 0;
}

struct osh_log_cursor *osh_log_cursor_free(struct osh_log_cursor *c)
{
	if (!c)
		return NULL;
	osh_close_ptr(&c->fd);
	osh_close_ptr(&c->dirfd);
	osh_buf_fini(&c->buf);
	osh_buf_fini(&c->line);
	free(c->segs);
	free(c->sandbox);
	free(c);
	return NULL;
}

/* Open the next older segment, to be read from its end; 0 when there is none. */
static int next_segment(struct osh_log_cursor *c)
{
	char name[OSH_CHAIN_NAME_MAX];
	struct stat st;

	osh_close_ptr(&c->fd);
	osh_buf_reset(&c->buf);
	while (c->n_segs) {
		osh_chain_name(name, c->segs[--c->n_segs]);
		c->fd = openat(c->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (c->fd < 0 && errno == ENOENT)
			continue; /* pruned meanwhile */
		if (c->fd < 0 || fstat(c->fd, &st) < 0)
			return -errno;
		c->pos = st.st_size;
		return 1;
	}
	return 0;
}

/* Put up to CHUNK bytes before what is in the buffer; 0 at the start of the file. */
static int read_back(struct osh_log_cursor *c)
{
	size_t n = (size_t)OSH_MIN((off_t)CHUNK, c->pos), got = 0;
	int r;

	if (!n)
		return 0;
	r = osh_buf_reserve(&c->buf, n);
	if (r < 0)
		return r; /* -EMSGSIZE: a line longer than any we write */
	memmove(c->buf.data + n, c->buf.data, c->buf.len);
	while (got < n) {
		ssize_t k = pread(c->fd, c->buf.data + got, n - got, c->pos - (off_t)(n - got));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		got += (size_t)k;
	}
	c->buf.len += n;
	c->pos -= (off_t)n;
	return 1;
}

/* 1: the last line of what is left; 0: end of this segment. */
static int last_line(struct osh_log_cursor *c, struct osh_str *ret_line)
{
	for (;;) {
		size_t end = c->buf.len;
		const char *nl;
		int r;

		if (end && c->buf.data[end - 1] == '\n')
			end--;
		nl = end ? memrchr(c->buf.data, '\n', end) : NULL;
		if (nl || (c->buf.len && !c->pos)) {
			size_t from = nl ? (size_t)(nl - c->buf.data) + 1 : 0;

			*ret_line = osh_str_sub(osh_buf_str(&c->buf), from, end - from);
			c->buf.len = from;
			return 1;
		}
		r = read_back(c);
		if (r <= 0)
			return r;
	}
}

int osh_log_cursor_next(struct osh_log_cursor *c, unsigned int budget, struct osh_str *ret_line)
{
	const uint64_t slack = DISORDER_S * 1000000000ull;
	struct osh_chain_hash hash;
	struct osh_str line, body;
	uint64_t t;
	int r;

	for (unsigned int i = 0; i < budget && !c->done; i++) {
		r = c->fd < 0 ? 0 : last_line(c, &line);
		if (r < 0)
			return r;
		if (r == 0) {
			r = next_segment(c);
			if (r < 0)
				return r;
			c->done = r == 0;
			continue;
		}
		/* a line being written has no hash yet; it will be read next time */
		if (osh_chain_split(line, &body, &hash) < 0 || osh_chain_is_header(line))
			continue;
		if (!filter_line(&c->filter, line, &t)) {
			c->done = t < c->filter.since_ns && c->filter.since_ns - t > slack;
			continue;
		}
		osh_buf_reset(&c->line);
		r = osh_buf_add_str(&c->line, body);
		if (r == 0)
			r = osh_buf_add_c(&c->line, '}');
		if (r < 0)
			return r;
		*ret_line = osh_buf_str(&c->line);
		return 1;
	}
	return c->done ? 0 : -EAGAIN;
}

static void free_cursor(struct osh_log_cursor **c)
{
	*c = osh_log_cursor_free(*c);
}

static int collect(struct osh_log_cursor *c, uint64_t n, struct osh_log_lines *lines)
{
	struct osh_str line;
	size_t cap = 0;
	int r = -EAGAIN;

	while (lines->count < n) {
		r = osh_log_cursor_next(c, UINT32_MAX, &line);
		if (r == -EAGAIN)
			continue;
		if (r <= 0)
			return r;
		if (lines->count + 1 >= cap) {
			size_t *more = reallocarray(lines->start, cap + 256, sizeof(*more));

			if (!more)
				return -ENOMEM;
			lines->start = more;
			cap += 256;
		}
		lines->start[lines->count++] = lines->text.len;
		r = osh_buf_add_str(&lines->text, line);
		if (r < 0)
			return r;
	}
	return 0;
}

int osh_log_query(const char *dir, const struct osh_log_filter *filter, uint64_t n,
		  struct osh_log_lines *ret_lines)
{
	OSH_CLEANUP(free_cursor) struct osh_log_cursor *c = NULL;
	struct osh_log_lines lines = { 0 };
	int r;

	n = OSH_MIN(n ? n : (uint64_t)QUERY_DEFAULT, (uint64_t)OSH_LOG_QUERY_MAX);
	osh_buf_init(&lines.text, (size_t)256 << 20, 0);
	r = osh_log_cursor_new(dir, filter, &c);
	if (r == 0)
		r = collect(c, n, &lines);
	if (r < 0) {
		osh_log_lines_fini(&lines);
		return r;
	}
	*ret_lines = lines;
	return 0;
}

struct osh_str osh_log_lines_at(const struct osh_log_lines *lines, size_t i)
{
	/* collected newest first */
	size_t k = lines->count - 1 - i;
	size_t end = k + 1 < lines->count ? lines->start[k + 1] : lines->text.len;

	return osh_str_sub(osh_buf_str(&lines->text), lines->start[k], end - lines->start[k]);
}

void osh_log_lines_fini(struct osh_log_lines *lines)
{
	osh_buf_fini(&lines->text);
	free(lines->start);
	lines->start = NULL;
	lines->count = 0;
}
