/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "audit/chain.h"
#include "base/json.h"

struct walk {
	struct osh_chain_hash hash; /* after the newest line seen */
	uint64_t seq; /* newest seen */
	bool started;
	struct osh_log_report report;
	const struct osh_chain_head *head; /* NULL: none */
	bool head_seen; /* the line that HEAD names was met */
	struct osh_diag *diag;
	const char *name; /* of the segment */
};

#define FINDING(w, line, ...) osh_diag_err((w)->diag, (line), 0, __VA_ARGS__)

static void check_header(struct walk *w, struct osh_str line, uint64_t first_seq)
{
	struct osh_chain_hash prev;

	if (osh_chain_prev(line, &prev) < 0) {
		FINDING(w, 0, "%s: line 1: segment header is missing or damaged", w->name);
		return;
	}
	if (!w->started) {
		/* the oldest one kept: its predecessor was deleted on purpose, see HEAD */
		w->hash = prev;
		w->seq = first_seq - 1;
		w->started = true;
		w->report.first_seq = first_seq;
		return;
	}
	if (memcmp(prev.b, w->hash.b, sizeof(prev.b)))
		FINDING(w, 0, "%s: line 1: does not continue the segment before it", w->name);
	w->hash = prev;
}

static void check_seq(struct walk *w, struct osh_str line, unsigned int n)
{
	osh_auto_jval struct osh_jval *v = NULL;
	uint64_t seq;

	if (osh_chain_seq(line, &seq) < 0 || osh_json_parse(line, &v, NULL, 0) < 0) {
		FINDING(w, 0, "%s: line %u: is no record", w->name, n);
		return;
	}
	if (seq <= w->seq)
		FINDING(w, 0, "%s: line %u: record %llu comes after record %llu", w->name, n,
			(unsigned long long)seq, (unsigned long long)w->seq);
	else if (seq != w->seq + 1)
		FINDING(w, 0, "%s: line %u: records %llu to %llu are missing", w->name, n,
			(unsigned long long)w->seq + 1, (unsigned long long)seq - 1);
	w->seq = seq;
	w->report.records++;
	w->report.last_seq = seq;
}

static int check_line(struct walk *w, struct osh_str line, unsigned int n, uint64_t first_seq)
{
	struct osh_chain_hash stated, computed;
	struct osh_str body;
	int r;

	if (n == 1)
		check_header(w, line, first_seq);
	if (osh_chain_split(line, &body, &stated) < 0) {
		FINDING(w, 0, "%s: line %u: has no hash", w->name, n);
		return 0;
	}
	r = osh_chain_next(&w->hash, body, &computed);
	if (r < 0)
		return r;
	if (memcmp(computed.b, stated.b, sizeof(stated.b)))
		FINDING(w, 0, "%s: line %u: hash does not fit: this line or its order was changed",
			w->name, n);
	/* go on from what the line states, so that one change is one finding */
	w->hash = stated;
	if (n > 1)
		check_seq(w, line, n);
	/* HEAD names the record, or the header of the segment begun after it */
	if (w->head && w->head->last_seq == w->seq &&
	    !memcmp(w->head->hash.b, stated.b, sizeof(stated.b)))
		w->head_seen = true;
	return 0;
}

static int check_segment(struct walk *w, int dirfd, uint64_t first_seq, bool last)
{
	osh_auto_bufmem struct osh_buf text;
	osh_auto_close int fd = openat(dirfd, w->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct osh_str rest;
	unsigned int n = 0;
	int r;

	osh_buf_init(&text, (size_t)1 << 31, 0);
	if (fd < 0)
		return -errno;
	r = osh_buf_read_all(&text, fd);
	if (r < 0)
		return r;
	rest = osh_buf_str(&text);
	while (rest.n) {
		size_t end = osh_str_find(rest, '\n');

		n++;
		if (end == rest.n) {
			/* the newest line may be in the middle of being written */
			if (!last)
				FINDING(w, 0, "%s: line %u: is cut off", w->name, n);
			break;
		}
		r = check_line(w, osh_str_sub(rest, 0, end), n, first_seq);
		if (r < 0)
			return r;
		rest = osh_str_sub(rest, end + 1, rest.n);
	}
	if (!n)
		FINDING(w, 0, "%s: is empty", w->name);
	w->report.segments++;
	return 0;
}

static void check_head(struct walk *w, int head_result)
{
	const struct osh_chain_head *head = w->head;

	if (!head) {
		/* a directory where nothing was ever written has nothing to miss */
		if (w->report.segments || head_result != -ENOENT)
			FINDING(w, 0, "HEAD: is missing or damaged");
		return;
	}
	if (head->last_seq > w->seq)
		FINDING(w, 0, "HEAD: records %llu to %llu were written and are missing at the end",
			(unsigned long long)w->seq + 1, (unsigned long long)head->last_seq);
	else if (w->report.segments && !w->head_seen)
		FINDING(w, 0, "HEAD: record %llu is not the one that was written",
			(unsigned long long)head->last_seq);
	if (w->report.segments && head->first_seq < w->report.first_seq)
		FINDING(w, 0, "HEAD: the segment that begins with record %llu is missing",
			(unsigned long long)head->first_seq);
}

int osh_log_verify(const char *dir, struct osh_log_report *ret_report, struct osh_diag *diag)
{
	osh_auto_close int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	osh_auto_free uint64_t *segs = NULL;
	struct walk w = { .diag = diag };
	struct osh_chain_head head;
	unsigned int errors = diag->errors;
	char name[OSH_CHAIN_NAME_MAX];
	size_t count;
	int r, head_result;

	if (dirfd < 0)
		return -errno;
	/* HEAD first: a writer at work only adds to what it says */
	head_result = osh_chain_head_read(dirfd, &head);
	w.head = head_result == 0 ? &head : NULL;
	r = osh_chain_list(dirfd, &segs, &count);
	if (r < 0)
		return r;
	w.name = name;
	for (size_t i = 0; i < count; i++) {
		osh_chain_name(name, segs[i]);
		r = check_segment(&w, dirfd, segs[i], i + 1 == count);
		if (r < 0)
			return r;
	}
	check_head(&w, head_result);
	*ret_report = w.report;
	return diag->errors > errors ? -EBADMSG : 0;
}
