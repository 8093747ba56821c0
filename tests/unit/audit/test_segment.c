/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/render.h"
#include "audit/segment.h"

#define S  1000000000ull
#define T0 (1775014132ull * S)

static char dir[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/osh-log-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

/* Calls @fn for each file of the directory; returns how many segments there are. */
static size_t each_file(void (*fn)(const char *path))
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;
	char path[400];

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		n += e->d_name[0] == 'e';
		if (fn)
			fn(path);
	}
	if (d)
		closedir(d);
	return n;
}

static void rm(const char *path)
{
	unlink(path);
}

static int teardown(void **state)
{
	(void)state;
	(void)each_file(rm);
	rmdir(dir);
	return 0;
}

static struct osh_log *log_open(uint64_t segment_bytes, uint64_t total_bytes, uint64_t now)
{
	struct osh_log_config config = {
		.dir = dir,
		.segment_bytes = segment_bytes,
		.total_bytes = total_bytes,
		.sync = OSH_LOG_SYNC_NEVER,
	};
	struct osh_log *log;

	assert_int_equal(osh_log_open(&config, now, &log), 0);
	return log;
}

static void add(struct osh_log *log, unsigned int i, uint64_t now)
{
	struct osh_rec rec;

	osh_rec_init(&rec, OSH_REC_CONNECT, i % 2 ? OSH_REC_DENY : OSH_REC_ALLOW, now);
	osh_rec_setf(&rec, OSH_REC_HOST, "host%u.example", i);
	osh_rec_set_sandbox(&rec, i % 3 ? OSH_STR("demo") : OSH_STR("other"));
	rec.port = 443;
	assert_int_equal(osh_log_append(log, &rec, now, NULL), 0);
}

static void fill(unsigned int n, uint64_t segment_bytes)
{
	struct osh_log *log = log_open(segment_bytes, 0, T0);

	for (unsigned int i = 1; i <= n; i++)
		add(log, i, T0 + i * S);
	(void)osh_log_free(log);
}

static int verify(struct osh_log_report *report, char *text, size_t size)
{
	osh_auto_diag struct osh_diag diag;
	osh_auto_bufmem struct osh_buf out;
	int r;

	osh_diag_init(&diag, NULL);
	osh_buf_init(&out, 1 << 20, 0);
	r = osh_log_verify(dir, report, &diag);
	assert_int_equal(osh_diag_render(&diag, &out), 0);
	(void)snprintf(text, size, "%.*s", OSH_STR_FMT(osh_buf_str(&out)));
	return r;
}

static void assert_intact(uint64_t records)
{
	struct osh_log_report report;
	char text[4096];
	int r = verify(&report, text, sizeof(text));

	if (r)
		print_message("%s", text);
	assert_int_equal(r, 0);
	assert_int_equal(report.records, records);
}

static void assert_found(const char *what)
{
	struct osh_log_report report;
	char text[65536];

	assert_int_equal(verify(&report, text, sizeof(text)), -EBADMSG);
	if (!strstr(text, what))
		print_message("wanted: %s\ngot: %s", what, text);
	assert_non_null(strstr(text, what));
}

static void written_records_verify_and_read_back(void **state)
{
	struct osh_log_filter all = { .max_level = -1 };
	struct osh_log_lines lines;

	(void)state;
	fill(500, 20000);
	assert_true(each_file(NULL) > 3);
	assert_intact(500);
	assert_int_equal(osh_log_query(dir, &all, 3, &lines), 0);
	assert_int_equal(lines.count, 3);
	for (size_t i = 0; i < 3; i++) {
		osh_auto_jval struct osh_jval *v = NULL;
		struct osh_rec rec;

		assert_int_equal(osh_json_parse(osh_log_lines_at(&lines, i), &v, NULL, 0), 0);
		assert_int_equal(osh_render_parse_json(v, &rec), 0);
		assert_int_equal(rec.seq, 498 + i);
		assert_null(osh_jval_get(v, "h"));
	}
	osh_log_lines_fini(&lines);
}

static void filters_and_order(void **state)
{
	struct osh_log_filter f = { .sandbox = "demo", .max_level = OSH_REC_WARN };
	struct osh_log_lines lines;

	(void)state;
	fill(300, 10000);
	/* demo and deny: i odd, not divisible by 3 */
	assert_int_equal(osh_log_query(dir, &f, 0, &lines), 0);
	assert_int_equal(lines.count, 100);
	assert_non_null(memmem(osh_log_lines_at(&lines, 0).p, osh_log_lines_at(&lines, 0).n,
			       "host1.example", 13));
	osh_log_lines_fini(&lines);
	f.since_ns = T0 + 290 * S;
	assert_int_equal(osh_log_query(dir, &f, 0, &lines), 0);
	assert_int_equal(lines.count, 3); /* 293 295 299 */
	osh_log_lines_fini(&lines);
	f = (struct osh_log_filter){ .max_level = -1, .sources = 1u << OSH_REC_GATEWAY };
	assert_int_equal(osh_log_query(dir, &f, 0, &lines), 0);
	assert_int_equal(lines.count, 0);
	osh_log_lines_fini(&lines);
}

static void total_size_is_bounded(void **state)
{
	struct osh_log_filter all = { .max_level = -1 };
	struct osh_log *log = log_open(10000, 50000, T0);
	struct osh_log_report report;
	struct osh_log_stats stats;
	struct osh_log_lines lines;
	char text[4096];

	(void)state;
	for (unsigned int i = 1; i <= 2000; i++)
		add(log, i, T0 + i);
	osh_log_stats(log, &stats);
	assert_true(stats.bytes < 70000);
	(void)osh_log_free(log);
	assert_true(each_file(NULL) <= 7);
	assert_int_equal(verify(&report, text, sizeof(text)), 0);
	assert_true(report.first_seq > 1);
	assert_int_equal(report.last_seq, 2000);
	assert_int_equal(osh_log_query(dir, &all, 0, &lines), 0);
	assert_int_equal(lines.count, report.records);
	osh_log_lines_fini(&lines);
}

static void segments_rotate_by_age(void **state)
{
	struct osh_log *log = log_open(0, 0, T0);

	(void)state;
	add(log, 1, T0);
	add(log, 2, T0 + 86399 * S);
	add(log, 3, T0 + 86401 * S);
	(void)osh_log_free(log);
	assert_int_equal(each_file(NULL), 2);
	assert_intact(3);
}

static void one_writer_only(void **state)
{
	struct osh_log_config config = { .dir = dir };
	struct osh_log *log = log_open(0, 0, T0), *second;

	(void)state;
	assert_int_equal(osh_log_open(&config, T0, &second), -EWOULDBLOCK);
	(void)osh_log_free(log);
}

/* ---- tampering ---- */

static char first_segment[400], last_segment[400], second_segment[400];

static void note(const char *path)
{
	const char *base = strrchr(path, '/') + 1;

	if (base[0] != 'e')
		return;
	if (!first_segment[0] || strcmp(path, first_segment) < 0)
		(void)snprintf(first_segment, sizeof(first_segment), "%s", path);
	if (strcmp(path, last_segment) > 0)
		(void)snprintf(last_segment, sizeof(last_segment), "%s", path);
}

static void note_second(const char *path)
{
	const char *base = strrchr(path, '/') + 1;

	if (base[0] == 'e' && strcmp(path, first_segment) > 0 &&
	    (!second_segment[0] || strcmp(path, second_segment) < 0))
		(void)snprintf(second_segment, sizeof(second_segment), "%s", path);
}

static void find_segments(void)
{
	first_segment[0] = last_segment[0] = second_segment[0] = '\0';
	(void)each_file(note);
	(void)each_file(note_second);
}

static void edit(const char *path, int (*change)(struct osh_buf *text))
{
	struct osh_buf text;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	osh_buf_init(&text, 10 << 20, 0);
	assert_true(fd >= 0);
	assert_int_equal(osh_buf_read_all(&text, fd), 0);
	assert_int_equal(change(&text), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, text.data, text.len, 0), text.len);
	close(fd);
	osh_buf_fini(&text);
}

static char *line_at(struct osh_buf *text, unsigned int n, size_t *ret_len)
{
	char *p = text->data;

	for (unsigned int i = 1; i < n; i++)
		p = strchr(p, '\n') + 1;
	*ret_len = (size_t)(strchr(p, '\n') - p) + 1;
	return p;
}

static int change_host(struct osh_buf *text)
{
	char *p = strstr(text->data, "host7.example");

	memcpy(p, "host9", 5);
	return 0;
}

static int change_hash(struct osh_buf *text)
{
	size_t n;
	char *p = line_at(text, 5, &n);

	p[n - 4] = p[n - 4] == '0' ? '1' : '0';
	return 0;
}

static int delete_line(struct osh_buf *text)
{
	size_t n;
	char *p = line_at(text, 6, &n);

	memmove(p, p + n, text->len - (size_t)(p - text->data) - n);
	text->len -= n;
	return 0;
}

static int swap_lines(struct osh_buf *text)
{
	size_t a, b;
	char *p = line_at(text, 6, &a), *q = line_at(text, 7, &b), copy[4096];

	memcpy(copy, p, a);
	memmove(p, q, b);
	memcpy(p + b, copy, a);
	return 0;
}

static int duplicate_line(struct osh_buf *text)
{
	size_t n;
	char *p = line_at(text, 6, &n), copy[4096];

	memcpy(copy, p, n);
	return osh_buf_add(text, copy, n);
}

static int drop_last_line(struct osh_buf *text)
{
	text->len--;
	text->len = (size_t)((char *)memrchr(text->data, '\n', text->len) - text->data) + 1;
	return 0;
}

static int drop_header(struct osh_buf *text)
{
	size_t n;

	(void)line_at(text, 1, &n);
	osh_buf_consume(text, n);
	return 0;
}

static void every_change_is_found(void **state)
{
	static const struct {
		int (*change)(struct osh_buf *text);
		bool last;
		const char *finding;
	} rows[] = {
		{ change_host, false, "line 8: hash does not fit" },
		{ change_hash, false, "line 5: hash does not fit" },
		{ delete_line, false, "records 5 to 5 are missing" },
		{ swap_lines, false, "line 6: hash does not fit" },
		{ duplicate_line, true, "comes after record" },
		{ drop_last_line, true, "are missing at the end" },
		{ drop_header, true, "header is missing" },
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		fill(100, 10000);
		assert_intact(100);
		find_segments();
		edit(rows[i].last ? last_segment : first_segment, rows[i].change);
		assert_found(rows[i].finding);
		(void)each_file(rm);
	}
	(void)state;
}

static void missing_segments_are_found(void **state)
{
	(void)state;
	fill(100, 10000);
	find_segments();
	unlink(second_segment);
	assert_found("does not continue");
	(void)each_file(rm);
	fill(100, 10000);
	find_segments();
	unlink(first_segment);
	assert_found("begins with record 1 is missing");
	(void)each_file(rm);
	fill(100, 10000);
	find_segments();
	unlink(last_segment);
	assert_found("are missing at the end");
	(void)each_file(rm);
	fill(10, 10000);
	(void)snprintf(first_segment, sizeof(first_segment), "%s/HEAD", dir);
	unlink(first_segment);
	assert_found("HEAD: is missing");
}

/* ---- crashes ---- */

static void torn_last_line_is_cut_and_reported(void **state)
{
	struct osh_log_filter all = { .max_level = -1 };
	struct osh_log_lines lines;

	(void)state;
	/* cut the last line anywhere */
	for (size_t cut = 1; cut < 200; cut += 13) {
		struct osh_log_stats stats;
		struct osh_log *log;
		struct stat st;

		fill(5, 0);
		find_segments();
		/* HEAD as it was before the last record: the write was in progress */
		assert_int_equal(stat(last_segment, &st), 0);
		log = log_open(0, 0, T0 + 100 * S);
		add(log, 6, T0 + 101 * S);
		assert_int_equal(osh_log_flush(log, T0), 0);
		(void)osh_log_free(log);
		{
			/* HEAD knows record 6, the file has lost a part of it */
			struct stat now;

			assert_int_equal(stat(last_segment, &now), 0);
			assert_int_equal(truncate(last_segment, now.st_size - (off_t)cut), 0);
		}
		log = log_open(0, 0, T0 + 200 * S);
		osh_log_stats(log, &stats);
		assert_int_equal(stats.missing, 1);
		add(log, 7, T0 + 201 * S);
		(void)osh_log_free(log);
		assert_int_equal(osh_log_query(dir, &all, 0, &lines), 0);
		/* 5 whole ones, what happened (one or two LOSS records), and the new one */
		assert_true(lines.count == 7 || lines.count == 8);
		assert_non_null(memmem(lines.text.data, lines.text.len, "\"class\":\"loss\"", 14));
		osh_log_lines_fini(&lines);
		assert_found("records 6 to 6 are missing");
		(void)each_file(rm);
	}
}

static void kill_at_any_moment_keeps_the_chain(void **state)
{
	struct osh_log_filter all = { .max_level = -1 };
	size_t seen = 0;

	(void)state;
	for (unsigned int round = 0; round < 25; round++) {
		struct osh_log_report report;
		struct osh_log_lines lines;
		char text[4096];
		pid_t pid = fork();

		if (!pid) {
			struct osh_log *log = log_open(30000, 300000, T0);

			for (unsigned int i = 1;; i++) {
				add(log, i, T0 + i);
				if (i % 3 == 0 && osh_log_flush(log, T0 + i) < 0)
					_exit(1);
			}
		}
		usleep(3000 + 700 * round);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		/* kill -9 loses no byte the kernel has: the chain holds, but for an unfinished line */
		(void)osh_log_free(log_open(30000, 300000, T0));
		if (verify(&report, text, sizeof(text)))
			print_message("round %u: %s", round, text);
		assert_int_equal(verify(&report, text, sizeof(text)), 0);
		assert_int_equal(osh_log_query(dir, &all, 0, &lines), 0);
		seen += lines.count;
		osh_log_lines_fini(&lines);
	}
	assert_true(seen > 0);
}

static void full_disk_is_counted_and_told(void **state)
{
	struct osh_log_filter all = { .max_level = -1 };
	struct osh_log *log = log_open(0, 0, T0);
	struct rlimit old, tight;
	struct osh_log_stats stats;
	struct osh_log_lines lines;

	(void)state;
	for (unsigned int i = 1; i <= 10; i++)
		add(log, i, T0 + i);
	assert_int_equal(osh_log_flush(log, T0), 0);
	/* a file size limit stands in for the full disk: write() fails in the middle of a line */
	(void)sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	getrlimit(RLIMIT_FSIZE, &old);
	tight = old;
	tight.rlim_cur = 4000;
	setrlimit(RLIMIT_FSIZE, &tight);
	for (unsigned int i = 11; i <= 30; i++)
		add(log, i, T0 + i);
	assert_true(osh_log_flush(log, T0) < 0);
	setrlimit(RLIMIT_FSIZE, &old);
	osh_log_stats(log, &stats);
	assert_int_equal(stats.lost, 20);
	add(log, 31, T0 + 31);
	(void)osh_log_free(log);
	assert_intact(12); /* 10, the LOSS record, the new one */
	assert_int_equal(osh_log_query(dir, &all, 0, &lines), 0);
	assert_non_null(memmem(lines.text.data, lines.text.len, "\"count\":20", 10));
	osh_log_lines_fini(&lines);
}

static void times_from_elsewhere_are_replaced(void **state)
{
	struct osh_log *log = log_open(0, 0, T0);
	struct osh_str json;
	struct osh_rec rec;

	(void)state;
	osh_rec_init(&rec, OSH_REC_CONNECT, OSH_REC_DENY, 1);
	assert_int_equal(osh_log_append(log, &rec, T0, &json), 0);
	assert_int_equal(rec.time_ns, T0);
	assert_int_equal(rec.seq, 1);
	assert_true(json.p[json.n - 1] == '}' && !memmem(json.p, json.n, "\"h\":", 4));
	(void)osh_log_free(log);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(written_records_verify_and_read_back),
		T(filters_and_order),
		T(total_size_is_bounded),
		T(segments_rotate_by_age),
		T(one_writer_only),
		T(every_change_is_found),
		T(missing_segments_are_found),
		T(torn_last_line_is_cut_and_reported),
		T(kill_at_any_moment_keeps_the_chain),
		T(full_disk_is_counted_and_told),
		T(times_from_elsewhere_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
