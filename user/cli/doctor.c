/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "cli/out.h"
#include "cli/rpc.h"
#include "cli/table.h"

/* "  name ......... ok (detail)" and the hint; true unless it failed. */
static bool print_check(struct osh_cli *cli, const struct osh_jval *c)
{
	static const char dots[] = "...................................";
	const char *name = osh_jval_z(osh_jval_get(c, "name"), "");
	const char *state = osh_jval_z(osh_jval_get(c, "status"), "fail");
	const char *detail = osh_jval_z(osh_jval_get(c, "detail"), "");
	const char *hint = osh_jval_z(osh_jval_get(c, "hint"), NULL);
	bool ok = !strcmp(state, "ok"), warn = !strcmp(state, "warn");
	size_t n = OSH_MIN(strlen(name), sizeof(dots) - 4);

	fprintf(cli->out, "  %s %.*s ", name, (int)(sizeof(dots) - 1 - n), dots);
	if (cli->out_color)
		fputs(ok ? "\033[32m" : warn ? "\033[33m" : "\033[31m", cli->out);
	fputs(ok ? "ok" : warn ? "degraded" : "FAILED", cli->out);
	if (cli->out_color)
		fputs("\033[0m", cli->out);
	if (*detail) {
		fputs(" (", cli->out);
		osh_out_text(cli->out, osh_str(detail));
		fputs(")", cli->out);
	}
	fputc('\n', cli->out);
	if (hint && !ok) {
		fputs("      ", cli->out);
		osh_out_text(cli->out, osh_str(hint));
		fputc('\n', cli->out);
	}
	return ok || warn;
}

static int doctor_table(struct osh_cli *cli, const struct osh_jval *checks)
{
	unsigned int failed = 0, degraded = 0;

	fputs("Checking system prerequisites...\n\n", cli->out);
	for (size_t i = 0; i < osh_jval_len(checks); i++) {
		const struct osh_jval *c = osh_jval_at(checks, i);

		failed += !print_check(cli, c);
		degraded += !strcmp(osh_jval_z(osh_jval_get(c, "status"), ""), "warn");
	}
	fputc('\n', cli->out);
	if (failed) {
		fprintf(cli->out, "%u check%s failed.\n", failed, failed == 1 ? "" : "s");
		return OSH_EXIT_ERROR;
	}
	if (degraded)
		fprintf(cli->out, "All required checks passed, %u degraded.\n", degraded);
	else
		fputs("All checks passed.\n", cli->out);
	return OSH_EXIT_OK;
}

/* Ask the daemon; without one, look for ourselves. */
static int gather(struct osh_cli *cli, struct osh_rpc *rpc, struct osh_ctl_reply *reply,
		  struct osh_jval **ret_own)
{
	osh_auto_bufmem struct osh_buf text = { 0 };
	struct osh_json j;
	int r = osh_rpc_try(cli, rpc);

	if (r == 0)
		return osh_rpc_call(cli, rpc, "Doctor", reply);
	osh_buf_init(&text, 1 << 20, 0);
	osh_json_init(&j, &text, 0);
	osh_checks_write(cli, r, &j);
	r = j.err ? j.err : osh_json_parse(osh_buf_str(&text), ret_own, NULL, 0);
	return r < 0 ? osh_cli_fail(cli, rpc->what, NULL, "%s", strerror(-r)) : 0;
}

static int doctor(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_jval struct osh_jval *own = NULL;
	const struct osh_jval *checks;
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format;
	int code;

	osh_rpc_begin(&rpc, "check this system");
	if (args->pos_count && strcmp(args->pos[0], "check"))
		return osh_cli_usage(cli, args, "unexpected argument %s", OSH_Q(args->pos[0]));
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	code = gather(cli, &rpc, &reply, &own);
	if (code)
		return code;
	checks = own ? own : osh_jval_get(reply.params, "checks");
	return format == OSH_OUT_TABLE ? doctor_table(cli, checks)
				       : osh_out_value(cli, format, checks);
}

static const struct osh_opt out_opts[] = { OSH_OUT_OPT, { 0 } };

const struct osh_cmd osh_cmd_doctor = {
	.name = "doctor",
	.aliases = "dr",
	.args = "[check]",
	.help = "Check what this system offers, and say how to mend it",
	.opts = out_opts,
	.complete = "check",
	.pos_max = 1,
	.fn = doctor,
};
