/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <time.h>

#include "audit/render.h"
#include "audit/segment.h"
#include "cli/out.h"
#include "cli/rpc.h"
#include "cli/table.h"
#include "policy/names.h"

enum { DEFAULT_LINES = 200, RETRY_MS = 500 };

enum format { FORMAT_LINE, FORMAT_OCSF, FORMAT_JSON, FORMAT_RECORD };

struct follow {
	struct osh_cli *cli;
	const struct osh_args *args;
	const char *sandbox; /* NULL: all */
	enum format format;
	uint64_t lines, since_ms;
	uint64_t last_seq; /* newest record printed */
	uint64_t last_ms;
	char host[256];
	bool resumed, any;
};

/* ---- output ---- */

static int print_record(struct follow *f, const struct osh_jval *v)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_rec rec;
	int r;

	osh_buf_init(&text, 4 * OSH_RENDER_MAX, 0);
	r = osh_render_parse_json(v, &rec);
	if (r < 0)
		return r;
	if (f->resumed && rec.seq <= f->last_seq)
		return 0; /* shown before the connection broke */
	f->any = true;
	f->last_seq = OSH_MAX(f->last_seq, rec.seq);
	f->last_ms = rec.time_ns / 1000000;
	switch (f->format) {
	case FORMAT_LINE:
		r = osh_render_line(&rec, &text);
		break;
	case FORMAT_OCSF:
		r = osh_render_ocsf_line(&rec, &text);
		break;
	case FORMAT_JSON:
		r = osh_render_ocsf_json(&rec, f->host, &text);
		break;
	case FORMAT_RECORD:
		r = osh_render_json(&rec, &text); /* our writer: what terminals obey is escaped */
		break;
	}
	if (r == 0)
		r = osh_buf_add_c(&text, '\n');
	if (r < 0)
		return r;
	if (fwrite(text.data, 1, text.len, f->cli->out) != text.len)
		return -errno;
	return 0;
}

static int print_reply(struct follow *f, const struct osh_ctl_reply *reply)
{
	const struct osh_jval *list = osh_jval_get(reply->params, "records");
	uint64_t lost = osh_reply_u64(reply, "lost");
	int r;

	if (lost)
		osh_cli_note(f->cli, f->cli->err, '!',
			     "%" PRIu64 " records came too fast and were left out", lost);
	for (size_t i = 0; i < osh_jval_len(list); i++) {
		r = print_record(f, osh_jval_at(list, i));
		if (r == -EBADMSG) {
			osh_cli_note(f->cli, f->cli->err, '!', "a record could not be read");
			continue;
		}
		if (r < 0)
			return r;
	}
	return fflush(f->cli->out) ? -errno : 0;
}

/* ---- asking ---- */

static void put_params(const struct follow *f, struct osh_json *j)
{
	const char *level = osh_args_get(f->args, "level");
	size_t sources = osh_args_count(f->args, "source");
	bool all = !sources;

	osh_json_kz(j, "sandbox", f->sandbox);
	osh_json_ku64(j, "lines", f->lines);
	if (f->since_ms)
		osh_json_ku64(j, "since_ms", f->since_ms);
	/* an unknown level shows everything, as in the reference */
	if (level && osh_log_level_rank(osh_str(level)) < 5)
		osh_json_kz(j, "level", osh_rec_level_name(osh_log_level_rank(osh_str(level))));
	for (size_t i = 0; i < sources; i++)
		all = all || !strcmp(osh_args_at(f->args, "source", i), "all");
	if (!all) {
		osh_json_key(j, "sources");
		osh_json_arr(j);
		for (size_t i = 0; i < sources; i++)
			osh_json_str(j, osh_str(osh_args_at(f->args, "source", i)));
		osh_json_arr_end(j);
	}
	if (osh_args_has(f->args, "tail"))
		osh_json_kbool(j, "follow", true);
}

/* One connection's worth; -ECONNRESET when the daemon went away. Exit codes otherwise. */
static int stream(struct follow *f)
{
	osh_auto_rpc struct osh_rpc rpc;
	int r, code;

	osh_rpc_begin(&rpc, "read the log");
	put_params(f, &rpc.j);
	if (f->resumed) {
		r = osh_rpc_try(f->cli, &rpc);
		if (r == -ENOENT || r == -ECONNREFUSED)
			return -ECONNRESET;
	}
	code = osh_rpc_start(f->cli, &rpc, "Logs", OSH_CTL_MORE);
	if (code)
		return code;
	for (;;) {
		osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;

		r = osh_ctl_recv(rpc.client, -1, &reply);
		if (r == -ECONNRESET)
			return r;
		if (r < 0)
			return osh_cli_fail(f->cli, rpc.what, NULL, "%s", strerror(-r));
		if (reply.error)
			return osh_rpc_tell(f->cli, rpc.what, &reply);
		r = print_reply(f, &reply);
		if (r == -EPIPE)
			return OSH_EXIT_OK;
		if (r < 0)
			return osh_cli_fail(f->cli, "write the log", NULL, "%s", strerror(-r));
		if (!reply.continues)
			return OSH_EXIT_OK;
	}
}

/* --tail goes on when the daemon comes back. */
static int follow(struct follow *f)
{
	for (;;) {
		int r = stream(f);

		if (r == OSH_EXIT_OK && !f->any && !f->resumed)
			osh_cli_note(f->cli, f->cli->err, '.', "No records%s%s match",
				     f->sandbox ? " of sandbox " : "",
				     f->sandbox ? f->sandbox : "");
		if (r != -ECONNRESET)
			return r;
		if (!osh_args_has(f->args, "tail"))
			return osh_cli_fail(f->cli, "read the log", NULL,
					    "openshelld closed the connection");
		if (!f->resumed || f->cli->verbose)
			osh_cli_note(f->cli, f->cli->err, '!',
				     "openshelld went away; waiting for it");
		f->resumed = true;
		f->lines = 0;
		f->since_ms = f->last_ms;
		(void)poll(NULL, 0, RETRY_MS);
	}
}

/* ---- verify ---- */

static int log_dir(struct osh_cli *cli, const struct osh_args *args, char *dst, size_t size)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	const char *dir = osh_args_get(args, "dir");
	osh_auto_rpc struct osh_rpc rpc;
	int code;

	osh_rpc_begin(&rpc, "find the log directory");
	if (dir)
		return osh_strlcpy(dst, dir, size)
			       ? 0
			       : osh_cli_fail(cli, "read the log", NULL, "the path is too long");
	code = osh_rpc_call(cli, &rpc, "Status", &reply);
	if (code)
		return code;
	(void)osh_strlcpy(dst, osh_reply_z(&reply, "log_dir"), size);
	return 0;
}

static int verify(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_diag struct osh_diag diag;
	struct osh_log_report report;
	char dir[4096];
	int r;

	osh_diag_init(&diag, NULL);
	r = log_dir(cli, args, dir, sizeof(dir));
	if (r)
		return r;
	r = osh_log_verify(dir, &report, &diag);
	if (r < 0 && r != -EBADMSG)
		return osh_cli_fail(cli, "verify the log", r == -EACCES ? "run it as root" : NULL,
				    "%s: %s", dir, strerror(-r));
	for (size_t i = 0; i < diag.count; i++)
		osh_cli_note(cli, cli->out, 'x', "%s", diag.msgs[i].text);
	if (r < 0) {
		fprintf(cli->out, "%u finding%s in %" PRIu64 " records\n", diag.errors,
			diag.errors == 1 ? "" : "s", report.records);
		return OSH_EXIT_ERROR;
	}
	osh_cli_note(cli, cli->out, '+',
		     "%" PRIu64 " records in %" PRIu64 " segment%s are complete and unchanged",
		     report.records, report.segments, report.segments == 1 ? "" : "s");
	return OSH_EXIT_OK;
}

/* ---- the command ---- */

static int parse_format(struct osh_cli *cli, const struct osh_args *args, enum format *ret)
{
	static const char *const names[] = { "line", "ocsf", "json", "record" };
	const char *text = osh_args_get(args, "format");

	enum osh_out_format output;

	*ret = FORMAT_LINE;
	if (osh_out_format(cli, args, &output) < 0)
		return OSH_EXIT_USAGE;
	if (text && osh_args_has(args, "output"))
		return osh_cli_usage(cli, args, "--output and --format exclude each other");
	if (output == OSH_OUT_YAML)
		return osh_cli_usage(cli, args, "logs have no yaml; --output is table or json");
	if (output == OSH_OUT_JSON)
		*ret = FORMAT_JSON;
	if (!text)
		return 0;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]))
			continue;
		*ret = (enum format)i;
		return 0;
	}
	return osh_cli_usage(cli, args,
			     "invalid value %s for --format: it is line, ocsf, json or record",
			     OSH_Q(text));
}

static int parse_since(struct osh_cli *cli, const struct osh_args *args, uint64_t *ret_ms)
{
	const char *text = osh_args_get(args, "since");
	struct timespec now;
	uint64_t seconds, now_ms;
	char why[160];

	*ret_ms = 0;
	if (!text)
		return 0;
	if (osh_duration_parse(osh_str(text), &seconds, why, sizeof(why)) < 0)
		return osh_cli_fail(cli, NULL, NULL, "%s", why);
	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	*ret_ms = seconds >= now_ms / 1000 ? 1 : now_ms - seconds * 1000;
	return 0;
}

static int logs(struct osh_cli *cli, const struct osh_args *args)
{
	struct follow f = { .cli = cli, .args = args };
	char last[64];
	int code;

	if (args->pos_count && !strcmp(args->pos[0], "verify"))
		return verify(cli, args);
	for (size_t i = 0; i < osh_args_count(args, "source"); i++) {
		const char *s = osh_args_at(args, "source", i);

		if (strcmp(s, "all") && strcmp(s, "gateway") && strcmp(s, "sandbox"))
			return osh_cli_usage(cli, args,
					     "invalid value %s for --source: it is all, gateway or "
					     "sandbox",
					     OSH_Q(s));
	}
	code = parse_format(cli, args, &f.format);
	if (code == 0)
		code = osh_cli_u64(cli, args, "n", OSH_LOG_QUERY_MAX, DEFAULT_LINES, &f.lines);
	if (code == 0)
		code = parse_since(cli, args, &f.since_ms);
	if (code)
		return code;
	if (osh_args_has(args, "tail") && !f.lines)
		f.lines = DEFAULT_LINES;
	if (!osh_args_has(args, "all-sandboxes")) {
		f.sandbox = osh_last_resolve(cli, osh_args_pos(args, 0), last);
		if (!f.sandbox)
			return OSH_EXIT_ERROR;
	}
	if (gethostname(f.host, sizeof(f.host) - 1) < 0)
		f.host[0] = '\0';
	return follow(&f);
}

static const struct osh_opt logs_opts[] = {
	{ NULL, 'n', "N", "The last N lines (default 200; 0: 2000)", 0, NULL },
	{ "tail", 0, NULL, "Go on with new ones", 0, NULL },
	{ "since", 0, "D", "Not older than 30s, 5m, 1h", 0, NULL },
	{ "source", 0, "S", "all, gateway or sandbox", OSH_OPT_REPEAT, "all gateway sandbox" },
	{ "level", 0, "L", "At least error, warn, info, debug, trace", 0,
	  "error warn info debug trace" },
	{ "format", 0, "F", "line, ocsf (shorthand), json (OCSF) or record", 0,
	  "line ocsf json record" },
	{ "output", 'o', "FORMAT", "table (lines) or json (as --format json)", 0, "table json" },
	{ "all-sandboxes", 'A', NULL, "Of every sandbox and the daemon", 0, NULL },
	{ "dir", 0, "DIR", "For verify: the log directory", 0, "dir" },
	{ 0 },
};

const struct osh_cmd osh_cmd_logs = {
	.name = "logs",
	.aliases = "lg",
	.args = "[NAME] | verify",
	.help = "Show what sandboxes did and were refused",
	.more = "'logs verify' checks the hash chain of the log files and reports every edit,\n"
		"deletion, reordering and truncation.",
	.opts = logs_opts,
	.complete = "sandbox verify",
	.pos_max = 1,
	.fn = logs,
};
