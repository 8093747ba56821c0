/* SPDX-License-Identifier: MIT */
/* Method Logs: what is in the segments, then what happens. */
#include "daemon/api.h"

#include <errno.h>

#include "audit/render.h"
#include "audit/segment.h"

enum {
	LINES_DEFAULT = 200,
	LINES_ALL = 2000,
	PART_BYTES = 200000, /* records of one reply */
};

struct logs {
	struct osh_ctl_waiter waiter;
	struct osh_follower follower;
	struct osh_log_filter filter;
	char sandbox[OSH_STATE_NAME_MAX + 1];
	uint64_t lost;
};

static void logs_free(struct logs *l)
{
	osh_list_del(&l->follower.node);
	free(l);
}

static void on_peer_gone(struct osh_ctl_waiter *w)
{
	logs_free(osh_container_of(w, struct logs, waiter));
}

/* A follower that does not read loses records rather than memory; it is told how many. */
static void on_record(struct osh_follower *f, const struct osh_rec *rec)
{
	struct logs *l = osh_container_of(f, struct logs, follower);
	osh_auto_bufmem struct osh_buf text;
	struct osh_json *j;

	if (!osh_log_filter_has(&l->filter, rec))
		return;
	if (!osh_ctl_call_has_room(l->waiter.call)) {
		l->lost++;
		return;
	}
	osh_buf_init(&text, OSH_RENDER_MAX, 0);
	if (osh_render_json(rec, &text) < 0) {
		l->lost++;
		return;
	}
	j = osh_ctl_reply_begin(l->waiter.call);
	osh_json_key(j, "records");
	osh_json_arr(j);
	osh_json_raw(j, osh_buf_str(&text));
	osh_json_arr_end(j);
	if (l->lost)
		osh_json_ku64(j, "lost", l->lost);
	l->lost = 0;
	osh_ctl_reply_continue(l->waiter.call);
}

static int read_filter(struct osh_ctl_call *call, const struct osh_jval *params, struct logs *l)
{
	const struct osh_jval *sources;
	const char *name, *level;
	uint64_t since_ms;

	if (osh_ctl_param_str_opt(call, params, "sandbox", sizeof(l->sandbox) - 1, &name) < 0 ||
	    osh_ctl_param_str_opt(call, params, "level", 16, &level) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "since_ms", INT64_MAX / 1000000, 0, &since_ms) <
		    0 ||
	    osh_ctl_param_strv_opt(call, params, "sources", 16, 8, &sources) < 0)
		return -EINVAL;
	l->filter.max_level = -1;
	l->filter.since_ns = since_ms * 1000000;
	if (name && name[0]) {
		(void)osh_strlcpy(l->sandbox, name, sizeof(l->sandbox));
		l->filter.sandbox = l->sandbox;
	}
	if (level && level[0]) {
		int rank = osh_rec_level_parse(osh_str(level));

		l->filter.max_level = rank < 0 ? -1 : rank; /* an unknown level passes everything */
	}
	for (size_t i = 0; i < osh_jval_len(sources); i++) {
		struct osh_str source = osh_jval_str(osh_jval_at(sources, i));

		for (unsigned int k = 0; k < OSH_REC_SOURCE_COUNT; k++)
			if (osh_str_is(source, osh_rec_source_name(k)))
				l->filter.sources |= 1u << k;
	}
	return 0;
}

/* What is stored, in replies of bounded size; the last one is left open (its writer is returned). */
static struct osh_json *put_stored(struct osh_ctl_call *call, const struct osh_log_lines *lines,
				   bool more)
{
	struct osh_json *j = osh_ctl_reply_begin(call);
	size_t bytes = 0, from = 0;

	if (!more) { /* one reply only: the newest that fit */
		from = lines->count;
		while (from &&
		       bytes + osh_log_lines_at(lines, from - 1).n < OSH_CTL_MSG_MAX - 65536)
			bytes += osh_log_lines_at(lines, --from).n + 1;
		bytes = 0;
	}
	osh_json_key(j, "records");
	osh_json_arr(j);
	for (size_t i = from; i < lines->count; i++) {
		struct osh_str line = osh_log_lines_at(lines, i);

		if (more && bytes + line.n > PART_BYTES && bytes) {
			osh_json_arr_end(j);
			osh_ctl_reply_continue(call);
			j = osh_ctl_reply_begin(call);
			osh_json_key(j, "records");
			osh_json_arr(j);
			bytes = 0;
		}
		osh_json_raw(j, line);
		bytes += line.n + 1;
	}
	osh_json_arr_end(j);
	return j;
}

void osh_api_logs(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_monitor *m = osh_api_monitor();
	bool follow, more = osh_ctl_call_wants_more(call);
	struct osh_log_lines lines = { 0 };
	struct logs *l = calloc(1, sizeof(*l));
	uint64_t n;
	int r;

	if (!l) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	osh_list_init(&l->follower.node);
	if (read_filter(call, params, l) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "lines", OSH_LOG_QUERY_MAX, LINES_DEFAULT, &n) <
		    0 ||
	    osh_ctl_param_bool_opt(call, params, "follow", false, &follow) < 0) {
		free(l);
		return;
	}
	osh_events_flush(m);
	r = osh_log_query(osh_events_dir(m), &l->filter, n ? n : LINES_ALL, &lines);
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read the log in %s: %s",
			     OSH_Q(osh_events_dir(m)), strerror(-r));
		free(l);
		return;
	}
	(void)put_stored(call, &lines, more);
	osh_log_lines_fini(&lines);
	if (!follow || !more) {
		osh_ctl_reply_end(call);
		free(l);
		return;
	}
	osh_ctl_reply_continue(call);
	l->waiter.on_close = on_peer_gone;
	osh_ctl_call_wait(call, &l->waiter);
	l->follower.on_record = on_record;
	osh_events_follow(m, &l->follower);
}
