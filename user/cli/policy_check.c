/* SPDX-License-Identifier: MIT */
/* policy check, policy fmt */
#include "cli/policy_tool.h"

#include "policy/serialise.h"
#include "policy/validate.h"

/* ---- check ---- */

static void look_closer(struct osh_tool_policy *tp, bool portable)
{
	osh_auto_diag struct osh_diag cannot = { 0 };

	if (portable)
		osh_policy_portability(tp->policy, &tp->diag);
	if (tp->text.len > OSH_POLICY_STORE_MAX_BYTES)
		osh_diag_warn(&tp->diag, 0, 0, "%zu bytes: the daemon takes policies of at most %u",
			      tp->text.len, OSH_POLICY_STORE_MAX_BYTES);
	/* what this build cannot enforce is for the daemon to refuse; here it is worth knowing */
	osh_diag_init(&cannot, NULL);
	if (osh_policy_unsupported(tp->policy, &cannot) < 0)
		for (size_t i = 0; i < cannot.count; i++)
			osh_diag_warn(&tp->diag, cannot.msgs[i].line, cannot.msgs[i].col, "%s",
				      cannot.msgs[i].text);
}

static void check_json(struct osh_json *j, const struct osh_tool_policy *tp, int r)
{
	osh_json_obj(j);
	osh_json_kz(j, "file", tp->file);
	osh_json_kbool(j, "valid", r == 0);
	if (r && r != -EBADMSG)
		osh_json_kz(j, "error", osh_tool_read_error(r));
	osh_json_key(j, "errors");
	osh_tool_json_diag(j, &tp->diag, OSH_DIAG_ERROR);
	osh_json_key(j, "warnings");
	osh_tool_json_diag(j, &tp->diag, OSH_DIAG_WARNING);
	if (tp->img) {
		osh_json_ku64(j, "entries", osh_image_entry_count(tp->img));
		osh_json_ku64(j, "endpoints", osh_image_target_count(tp->img));
		osh_json_ku64(j, "image_bytes", osh_image_bytes(tp->img));
	}
	osh_json_obj_end(j);
}

static int check_text(struct osh_cli *cli, const struct osh_tool_policy *tp, int r)
{
	osh_auto_bufmem struct osh_buf text = { 0 };
	size_t entries = tp->img ? osh_image_entry_count(tp->img) : 0;
	size_t endpoints = tp->img ? osh_image_target_count(tp->img) : 0;

	osh_buf_init(&text, OSH_TOOL_OUT_MAX, 0);
	if (osh_diag_render(&tp->diag, &text) < 0)
		return -ENOMEM;
	if (text.len)
		(void)fwrite(text.data, 1, text.len, cli->err); /* diagnostics: best effort */
	if (r == 0)
		osh_cli_note(cli, cli->out, '+', "%s: %zu entr%s, %zu endpoint%s%s", tp->file,
			     entries, entries == 1 ? "y" : "ies", endpoints,
			     endpoints == 1 ? "" : "s", tp->diag.warnings ? ", with warnings" : "");
	else if (r == -EBADMSG)
		osh_cli_note(cli, cli->out, 'x', "%s: %u error%s", tp->file, tp->diag.errors,
			     tp->diag.errors == 1 ? "" : "s");
	else
		osh_cli_note(cli, cli->out, 'x', "%s: %s", tp->file, osh_tool_read_error(r));
	return 0;
}

static int run_check(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_bufmem struct osh_buf out = { 0 };
	struct osh_json j;
	int json = osh_tool_wants_json(cli, args), bad = 0;

	if (json < 0)
		return OSH_EXIT_USAGE;
	osh_buf_init(&out, OSH_TOOL_OUT_MAX, 0);
	osh_json_init(&j, &out, 2);
	osh_json_arr(&j);
	for (size_t i = 0; i < args->pos_count; i++) {
		osh_auto_tool struct osh_tool_policy tp = { 0 };
		int r = osh_tool_open(args->pos[i], &tp);

		if (!r)
			look_closer(&tp, osh_args_has(args, "portable"));
		bad |= r != 0;
		if (json)
			check_json(&j, &tp, r);
		else if (check_text(cli, &tp, r) < 0)
			return osh_cli_fail(cli, "show the result", NULL, "out of memory");
	}
	osh_json_arr_end(&j);
	if (json) {
		int r = osh_tool_print(cli, j.err ? j.err : osh_buf_add_c(&out, '\n'), &out);

		if (r)
			return r;
	}
	return bad ? OSH_EXIT_ERROR : OSH_EXIT_OK;
}

const struct osh_cmd osh_cmd_policy_check = {
	.name = "check",
	.aliases = "lint",
	.args = "FILE...",
	.help = "Validate policy files and show every error and warning",
	.more = "Needs no daemon and no privilege. Exit code 1 when a file is refused; warnings alone "
		"do not fail. FILE may be - for standard input.",
	.opts =
		(const struct osh_opt[]){
			{ "portable", 0, NULL,
			  "Also warn about what other OpenShell releases treat differently", 0,
			  NULL },
			{ "output", 'o', "FORMAT", "Table or json", 0, "table json" },
			{ 0 },
		},
	.complete = "file",
	.pos_min = 1,
	.pos_max = UINT32_MAX,
	.fn = run_check,
};

/* ---- fmt ---- */

/* A '#' that starts a comment. Inside quotes it does not; a false alarm only asks for --force. */
static bool has_comments(struct osh_str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '#' && (!i || strchr(" \t\n", text.p[i - 1])))
			return true;
	return false;
}

static int fmt_file(struct osh_cli *cli, const struct osh_args *args, const char *file, bool json)
{
	osh_auto_tool struct osh_tool_policy tp = { 0 };
	osh_auto_bufmem struct osh_buf out = { 0 };
	struct osh_json j;
	int r = osh_tool_require(cli, file, &tp);

	if (r)
		return r;
	osh_buf_init(&out, OSH_TOOL_OUT_MAX, 0);
	if (json) {
		osh_json_init(&j, &out, 2);
		osh_policy_to_json(tp.policy, &j);
		r = j.err ? j.err : osh_buf_add_c(&out, '\n');
	} else {
		r = osh_policy_to_yaml(tp.policy, &out);
	}
	if (r < 0)
		return osh_cli_fail(cli, "format the policy", NULL, "%s", strerror(-r));
	if (osh_args_has(args, "check")) {
		if (osh_str_eq(osh_buf_str(&out), osh_buf_str(&tp.text)))
			return OSH_EXIT_OK;
		osh_cli_note(cli, cli->out, 'x', "%s is not formatted", tp.file);
		return OSH_EXIT_ERROR;
	}
	if (!osh_args_has(args, "write"))
		return osh_tool_print(cli, 0, &out);
	if (has_comments(osh_buf_str(&tp.text)) && !osh_args_has(args, "force"))
		return osh_cli_fail(cli, "rewrite the policy", "add --force to drop them",
				    "%s has comments, which would be lost", file);
	r = osh_tool_write_back(file, osh_buf_str(&out));
	if (r < 0)
		return osh_cli_fail(cli, "write the policy", NULL, "%s: %s", file, strerror(-r));
	return OSH_EXIT_OK;
}

static int run_fmt(struct osh_cli *cli, const struct osh_args *args)
{
	int json = osh_tool_wants_json(cli, args), ret = OSH_EXIT_OK;

	if (json < 0)
		return OSH_EXIT_USAGE;
	if (json && osh_args_has(args, "write"))
		return osh_cli_usage(cli, args, "--write keeps YAML; leave out --output json");
	for (size_t i = 0; i < args->pos_count; i++) {
		int r = fmt_file(cli, args, args->pos[i], json);

		ret = r ? r : ret;
	}
	return ret;
}

const struct osh_cmd osh_cmd_policy_fmt = {
	.name = "fmt",
	.args = "FILE...",
	.help = "Print a policy in canonical form",
	.more = "Maps sorted, default fields left out, the same meaning and the same hash. Comments "
		"are not kept.",
	.opts =
		(const struct osh_opt[]){
			{ "write", 'w', NULL, "Write the result back to FILE", 0, NULL },
			{ "force", 'f', NULL, "With --write: also when comments are lost", 0,
			  NULL },
			{ "check", 0, NULL,
			  "Print nothing, exit 1 if FILE is not in canonical form", 0, NULL },
			{ "output", 'o', "FORMAT", "Table (YAML) or json", 0, "table json" },
			{ 0 },
		},
	.complete = "file",
	.pos_min = 1,
	.pos_max = UINT32_MAX,
	.fn = run_fmt,
};
