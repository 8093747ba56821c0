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
	bool follow;
	/* what was stored when the call came: sent as the peer takes it */
	struct osh_log_lines lines;
	size_t at; /* next of them to send */
	uint64_t last_seq; /* newest sent */
};

static void logs_free(struct logs *l)
{
	osh_list_del(&l->follower.node);
	osh_log_lines_fini(&l->lines);
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
	osh_auto_bufmem struct osh_buf text = { 0 };
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

/* A reply with what fits of what is stored, oldest first; left open for the caller to end. */
static void put_part(struct osh_ctl_call *call, struct logs *l, size_t max_bytes)
{
	struct osh_json *j = osh_ctl_reply_begin(call);
	size_t bytes = 0;

	osh_json_key(j, "records");
	osh_json_arr(j);
	while (l->at < l->lines.count) {
		struct osh_str line = osh_log_lines_at(&l->lines, l->at);
		uint64_t seq;

		if (bytes && bytes + line.n > max_bytes)
			break;
		osh_json_raw(j, line);
		bytes += line.n + 1;
		l->at++;
		if (osh_log_line_seq(line, &seq) == 0)
			l->last_seq = seq;
	}
	osh_json_arr_end(j);
}

/* Without "more" there is one reply: skip the oldest until the rest fits into a message. */
static void skip_to_fit(struct logs *l)
{
	size_t bytes = 0;

	l->at = l->lines.count;
	while (l->at && bytes + osh_log_lines_at(&l->lines, l->at - 1).n < OSH_CTL_MSG_MAX - 65536)
		bytes += osh_log_lines_at(&l->lines, --l->at).n + 1;
}

static int load_stored(struct logs *l, uint64_t n)
{
	struct osh_monitor *m = osh_api_monitor();

	osh_log_lines_fini(&l->lines);
	osh_events_flush(m);
	l->at = 0;
	return osh_log_query(osh_events_dir(m), &l->filter, n, &l->lines);
}

/* What was written while a slow peer took the stored lines. */
static int catch_up(struct logs *l)
{
	uint64_t seq = 0, sent = l->last_seq;
	int r = load_stored(l, LINES_ALL);

	if (r < 0)
		return r;
	while (l->at < l->lines.count &&
	       osh_log_line_seq(osh_log_lines_at(&l->lines, l->at), &seq) == 0 && seq <= sent)
		l->at++;
	/* nothing seen before is left in it: more came than one look holds */
	if (l->lines.count == LINES_ALL && l->at == 0)
		l->lost++;
	return 0;
}

static void fail_read(struct osh_ctl_call *call, int r)
{
	osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot read the log in %s: %s",
		     OSH_Q(osh_events_dir(osh_api_monitor())), strerror(-r));
}

/* Send stored lines while the peer has room, then end the call or begin to follow. */
static void send_stored(struct logs *l, struct osh_ctl_call *call, bool waited)
{
	int r;

	while (l->at < l->lines.count || !waited) {
		if (waited && !osh_ctl_call_has_room(call))
			return; /* on_room goes on */
		put_part(call, l, PART_BYTES);
		if (l->at == l->lines.count && !l->follow) {
			osh_ctl_reply_end(call);
			logs_free(l);
			return;
		}
		osh_ctl_reply_continue(call);
		waited = true;
	}
	r = catch_up(l);
	if (r < 0) {
		fail_read(call, r);
		logs_free(l);
		return;
	}
	while (l->at < l->lines.count) {
		put_part(call, l, PART_BYTES);
		osh_ctl_reply_continue(call);
	}
	osh_log_lines_fini(&l->lines);
	osh_events_follow(osh_api_monitor(), &l->follower);
}

static void on_room(struct osh_ctl_waiter *w)
{
	struct logs *l = osh_container_of(w, struct logs, waiter);

	if (osh_list_is_empty(&l->follower.node))
		send_stored(l, w->call, true);
}

void osh_api_logs(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct logs *l = calloc(1, sizeof(*l));
	uint64_t n;
	int r;

	if (!l) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "out of memory");
		return;
	}
	osh_list_init(&l->follower.node);
	l->follower.on_record = on_record;
	if (read_filter(call, params, l) < 0 ||
	    osh_ctl_param_u64_opt(call, params, "lines", OSH_LOG_QUERY_MAX, LINES_DEFAULT, &n) <
		    0 ||
	    osh_ctl_param_bool_opt(call, params, "follow", false, &l->follow) < 0) {
		free(l);
		return;
	}
	r = load_stored(l, n ? n : LINES_ALL);
	if (r < 0) {
		fail_read(call, r);
		free(l);
		return;
	}
	if (!osh_ctl_call_wants_more(call)) {
		skip_to_fit(l);
		put_part(call, l, OSH_CTL_MSG_MAX);
		osh_ctl_reply_end(call);
		logs_free(l);
		return;
	}
	l->waiter.on_close = on_peer_gone;
	l->waiter.on_room = on_room;
	osh_ctl_call_wait(call, &l->waiter);
	send_stored(l, call, false);
}
