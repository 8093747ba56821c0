/* SPDX-License-Identifier: MIT */
#include "sandbox/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define SPEC_MAGIC	 0x4f53504cu
#define DEFAULT_BUNDLE	 "/etc/ssl/certs/ca-certificates.crt"
#define PATH_BYTES_LIMIT 4096

uint64_t osh_spec_now_ns(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int put_u64(struct osh_buf *buf, uint64_t v)
{
	return osh_buf_add(buf, &v, sizeof(v));
}

/* Length, bytes, NUL: the reader can borrow it as a C string. */
static int put_str(struct osh_buf *buf, struct osh_str s)
{
	int r = put_u64(buf, s.n);

	if (r == 0 && s.n)
		r = osh_buf_add(buf, s.p, s.n);
	if (r == 0)
		r = osh_buf_add_c(buf, '\0');
	return r;
}

static int put_list(struct osh_buf *buf, const struct osh_sandbox_paths *list)
{
	int r;

	if (list->count > OSH_SANDBOX_PATHS_MAX)
		return -E2BIG;
	r = put_u64(buf, list->count);
	for (size_t i = 0; r == 0 && i < list->count; i++) {
		if (!list->path[i] || strlen(list->path[i]) > PATH_BYTES_LIMIT)
			return -ENAMETOOLONG;
		r = put_str(buf, osh_str(list->path[i]));
	}
	return r;
}

int osh_spec_encode(const struct osh_sandbox_cfg *cfg, const char *state_path,
		    struct osh_str seccomp, struct osh_buf *ret_bytes)
{
	const char *strings[] = {
		cfg->name,
		cfg->id ? cfg->id : "",
		state_path,
		cfg->workdir ? cfg->workdir : OSH_SANDBOX_HOME,
		cfg->system_bundle ? cfg->system_bundle : DEFAULT_BUNDLE,
		cfg->dns_addr ? cfg->dns_addr : OSH_SANDBOX_ADDR4,
	};
	const uint64_t numbers[] = {
		cfg->include_workdir, cfg->landlock,	 cfg->ids.uid,		cfg->ids.gid,
		cfg->limits.nofile,   cfg->limits.nproc, cfg->limits.shm_bytes,
	};
	int r = put_u64(ret_bytes, SPEC_MAGIC);

	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(strings); i++)
		r = put_str(ret_bytes, osh_str(strings[i]));
	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(numbers); i++)
		r = put_u64(ret_bytes, numbers[i]);
	if (r == 0)
		r = put_list(ret_bytes, &cfg->read_only);
	if (r == 0)
		r = put_list(ret_bytes, &cfg->read_write);
	if (r == 0)
		r = put_list(ret_bytes, &cfg->hide);
	if (r == 0)
		r = put_str(ret_bytes, cfg->ca_pem);
	if (r == 0)
		r = put_str(ret_bytes, seccomp);
	return r;
}

static int get_u64(struct osh_str *in, uint64_t *ret_v)
{
	if (in->n < sizeof(*ret_v))
		return -EBADMSG;
	memcpy(ret_v, in->p, sizeof(*ret_v));
	*in = osh_str_sub(*in, sizeof(*ret_v), in->n);
	return 0;
}

static int get_str(struct osh_str *in, struct osh_str *ret_s)
{
	uint64_t n;

	if (get_u64(in, &n) < 0 || n >= in->n || in->p[n] != '\0')
		return -EBADMSG;
	*ret_s = osh_str_sub(*in, 0, n);
	*in = osh_str_sub(*in, n + 1, in->n);
	return 0;
}

static int get_list(struct osh_str *in, struct osh_arena *arena, struct osh_spec_list *ret_list)
{
	uint64_t count;

	if (get_u64(in, &count) < 0 || count > OSH_SANDBOX_PATHS_MAX)
		return -EBADMSG;
	ret_list->path = osh_arena_array(arena, count + 1, sizeof(*ret_list->path));
	if (!ret_list->path)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		struct osh_str s;

		if (get_str(in, &s) < 0)
			return -EBADMSG;
		ret_list->path[i] = s.p;
	}
	ret_list->count = (uint32_t)count;
	return 0;
}

int osh_spec_decode(struct osh_str bytes, struct osh_arena *arena, struct osh_spec *ret_spec)
{
	struct osh_spec spec = { 0 };
	const char **strings[] = { &spec.name,		&spec.id,
				   &spec.state_path,	&spec.workdir,
				   &spec.system_bundle, &spec.dns_addr };
	uint64_t magic, numbers[7];
	struct osh_spec_list *lists[] = { &spec.read_only, &spec.read_write, &spec.hide };

	if (get_u64(&bytes, &magic) < 0 || magic != SPEC_MAGIC)
		return -EBADMSG;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(strings); i++) {
		struct osh_str s;

		if (get_str(&bytes, &s) < 0)
			return -EBADMSG;
		*strings[i] = s.p;
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(numbers); i++)
		if (get_u64(&bytes, &numbers[i]) < 0)
			return -EBADMSG;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(lists); i++) {
		int r = get_list(&bytes, arena, lists[i]);

		if (r < 0)
			return r;
	}
	if (get_str(&bytes, &spec.ca_pem) < 0 || get_str(&bytes, &spec.seccomp) < 0 || bytes.n)
		return -EBADMSG;
	spec.include_workdir = numbers[0] != 0;
	spec.landlock = (uint32_t)numbers[1];
	spec.ids = (struct osh_sandbox_ids){ (uid_t)numbers[2], (gid_t)numbers[3] };
	spec.limits = (struct osh_sandbox_limits){ numbers[4], numbers[5], numbers[6] };
	*ret_spec = spec;
	return 0;
}

static void send_report(int fd, struct osh_report *report, size_t text_len)
{
	report->when_ns = osh_spec_now_ns();
	/* Nobody to tell when nobody listens: the step's own result stops init. */
	(void)!send(fd, report, offsetof(struct osh_report, text) + text_len + 1, MSG_NOSIGNAL);
}

void osh_report_send(int fd, enum osh_report_type type, int value, const char *text)
{
	struct osh_report report = { .type = type, .value = value };

	(void)osh_strlcpy(report.text, text ? text : "", sizeof(report.text));
	send_report(fd, &report, strlen(report.text));
}

void osh_report_note(int fd, enum osh_sandbox_note_level level, const char *fmt, ...)
{
	char text[OSH_REPORT_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut is fine */
	va_end(ap);
	osh_report_send(fd, OSH_REPORT_NOTE, level, text);
}

int osh_report_fail(int fd, int r, const char *step, const char *detail)
{
	struct osh_report report = { .type = OSH_REPORT_FAILED, .value = -r };
	size_t n;

	(void)osh_strlcpy(report.text, step, 64);
	n = strlen(report.text) + 1;
	(void)osh_strlcpy(report.text + n, detail ? detail : "", sizeof(report.text) - n);
	send_report(fd, &report, n + strlen(report.text + n));
	return r;
}
