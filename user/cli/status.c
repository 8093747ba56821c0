/* SPDX-License-Identifier: MIT */
/* status and selftest */
#include <errno.h>
#include <inttypes.h>

#include "cli/doctor.h"
#include "cli/out.h"
#include "cli/rpc.h"
#include "cli/table.h"

/* ---- status ---- */

static int status_json(struct osh_cli *cli, enum osh_out_format format,
		       const struct osh_ctl_reply *reply, const char *error)
{
	osh_auto_bufmem struct osh_buf text, part;
	struct osh_json j;

	osh_buf_init(&text, 1 << 20, 0);
	osh_buf_init(&part, 1 << 20, 0);
	osh_json_init(&j, &text, 0);
	osh_json_obj(&j);
	osh_json_key(&j, "authentication");
	osh_json_obj(&j);
	osh_json_kz(&j, "mode", "socket peer credentials");
	osh_json_kz(&j, "status", reply ? "authenticated" : "unverified");
	osh_json_obj_end(&j);
	if (reply && osh_jval_dump(reply->params, &part) == 0) {
		osh_json_key(&j, "daemon");
		osh_json_raw(&j, osh_buf_str(&part));
	}
	osh_json_kz(&j, "error", error);
	osh_json_kz(&j, "gateway", "local");
	osh_json_kz(&j, "server", cli->socket);
	osh_json_kz(&j, "status", reply ? "connected" : "disconnected");
	if (reply)
		osh_json_kz(&j, "version", osh_reply_z(reply, "version"));
	osh_json_obj_end(&j);
	if (j.err)
		return osh_cli_fail(cli, "show the status", NULL, "%s", strerror(-j.err));
	return osh_out_data(cli, format, osh_buf_str(&text));
}

static void status_table(struct osh_cli *cli, const struct osh_ctl_reply *reply)
{
	const struct osh_jval *roles = osh_jval_get(reply->params, "roles"), *v;
	const char *key;
	void *iter = NULL;
	char started[20];

	fprintf(cli->out,
		"  Version: %s\n  Process: %" PRIu64 ", since %s UTC\n  Sandboxes: %" PRIu64 "\n",
		osh_reply_z(reply, "version"), osh_reply_u64(reply, "pid"),
		osh_out_time(started, osh_reply_u64(reply, "started_ms")),
		osh_reply_u64(reply, "sandboxes"));
	for (size_t i = 0; i < osh_jval_len(roles); i++) {
		const struct osh_jval *r = osh_jval_at(roles, i);

		fprintf(cli->out, "  Role %s: %s (process %lld, restarts %lld)\n",
			osh_jval_z(osh_jval_get(r, "name"), ""),
			osh_jval_z(osh_jval_get(r, "state"), ""),
			(long long)osh_jval_i64(osh_jval_get(r, "pid"), 0),
			(long long)osh_jval_i64(osh_jval_get(r, "restarts"), 0));
	}
	fprintf(cli->out, "  Log: %s, %" PRIu64 " records, %" PRIu64 " lost\n",
		osh_reply_z(reply, "log_dir"), osh_reply_u64(reply, "log_records"),
		osh_reply_u64(reply, "log_lost"));
	while (osh_jval_next(osh_jval_get(reply->params, "anomalies"), &iter, &key, &v))
		osh_cli_note(cli, cli->out, '!', "%s: %lld", key, (long long)osh_jval_i64(v, 0));
}

static int status(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format;
	const char *error = NULL;
	bool up;
	int r;

	osh_rpc_begin(&rpc, "ask for the status");
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	r = osh_rpc_try(cli, &rpc);
	if (r == 0)
		r = osh_ctl_call_simple(rpc.client, "Status", OSH_STR("{}"), &reply);
	up = r == 0 && !reply.error;
	if (!up)
		error = r == 0 ? osh_reply_z(&reply, "message")
			: r == -EACCES || r == -EPERM
				? "access is not permitted; run it as root or as a member of the "
				  "group openshell"
			: r == -ENOENT || r == -ECONNREFUSED
				? "openshelld does not answer; start it with 'openshell gateway start'"
				: strerror(-r);
	if (format != OSH_OUT_TABLE)
		return status_json(cli, format, up ? &reply : NULL, error);
	fprintf(cli->out, "Server Status\n\n  Gateway: local\n  Server: %s\n  Status: %s\n",
		cli->socket,
		up	 ? "Connected"
		: r == 0 ? "Error"
			 : "Disconnected");
	if (!up) {
		fprintf(cli->out, "  Error: %s\n", error);
		return OSH_EXIT_OK;
	}
	fputs("  Authentication: Authenticated (socket peer credentials)\n", cli->out);
	status_table(cli, &reply);
	return OSH_EXIT_OK;
}

static const struct osh_opt out_opts[] = { OSH_OUT_OPT, { 0 } };

const struct osh_cmd osh_cmd_status = {
	.name = "status",
	.help = "Is the daemon there, and is it well?",
	.opts = out_opts,
	.fn = status,
};
