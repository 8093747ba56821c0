/* SPDX-License-Identifier: MIT */
/* policy set, get, list, rollback, delete */
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "cli/out.h"
#include "cli/revision.h"
#include "cli/table.h"
#include "policy/parse.h"

/* ---- submitting ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int say_outcome(struct osh_cli *cli, const struct osh_ctl_reply *reply)
{
	uint64_t version = osh_reply_u64(reply, "version");
	uint64_t active = osh_reply_u64(reply, "active_version");
	const char *status = osh_reply_z(reply, "status");

	if (!strcmp(status, "loaded")) {
		osh_cli_note(cli, cli->err, '+',
			     "Policy version %" PRIu64 " loaded (active version: %" PRIu64 ")",
			     version, active);
		return OSH_EXIT_OK;
	}
	if (!strcmp(status, "superseded")) {
		osh_cli_note(cli, cli->err, '~',
			     "Policy version %" PRIu64 " was superseded (active version: %" PRIu64
			     ")",
			     version, active);
		return OSH_EXIT_OK;
	}
	if (!strcmp(status, "pending")) {
		osh_cli_note(cli, cli->err, '~',
			     "Policy version %" PRIu64
			     " is stored; it will be loaded when the sandbox starts",
			     version);
		return OSH_EXIT_TIMEOUT;
	}
	osh_cli_note(cli, cli->err, 'x', "Policy version %" PRIu64 " failed to load: %s", version,
		     osh_reply_z(reply, "error"));
	return OSH_EXIT_ERROR;
}

static void say_submitted(struct osh_cli *cli, const struct osh_ctl_reply *reply)
{
	uint64_t version = osh_reply_u64(reply, "version");
	const char *hash = osh_reply_z(reply, "hash");

	if (osh_reply_bool(reply, "unchanged"))
		osh_cli_note(cli, cli->err, '.',
			     "Policy unchanged (version %" PRIu64 ", hash: %.12s)", version, hash);
	else
		osh_cli_note(cli, cli->err, '+',
			     "Policy version %" PRIu64 " submitted (hash: %.12s)", version, hash);
}

static int await_outcome(struct osh_cli *cli, struct osh_rpc *rpc, uint64_t version,
			 int64_t deadline)
{
	int code;

	do {
		osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
		int64_t left = deadline - now_ms();

		code = osh_rpc_next(cli, rpc, (int)OSH_MAX(left, (int64_t)0), &reply);
		if (code == OSH_EXIT_TIMEOUT)
			osh_cli_note(cli, cli->err, 'x',
				     "Timeout waiting for policy version %" PRIu64 " to load",
				     version);
		if (code)
			return code;
		if (!reply.continues)
			return say_outcome(cli, &reply);
	} while (true);
}

int osh_revision_submit(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
			const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	bool wait = osh_args_has(args, "wait"), global = osh_args_has(args, "global");
	uint64_t timeout_s;
	int64_t deadline;
	int code;

	code = osh_cli_u64(cli, args, "timeout", 86400, 60, &timeout_s);
	if (code)
		return code;
	deadline = now_ms() + (int64_t)timeout_s * 1000;
	code = osh_rpc_start(cli, rpc, method, wait ? OSH_CTL_MORE : 0);
	if (code == 0)
		code = osh_rpc_next(cli, rpc, wait ? (int)(timeout_s * 1000) : -1, &reply);
	if (code == OSH_EXIT_TIMEOUT)
		return osh_cli_fail(cli, rpc->what, NULL, "openshelld did not answer in time"),
		       OSH_EXIT_TIMEOUT;
	if (code)
		return code;
	osh_reply_warnings(cli, &reply);
	if (global) {
		osh_cli_note(
			cli, cli->err, '+',
			"Global policy configured (hash: %.12s, settings revision: %" PRIu64 ")",
			osh_reply_z(&reply, "hash"), osh_reply_u64(&reply, "settings_revision"));
		return OSH_EXIT_OK;
	}
	say_submitted(cli, &reply);
	if (!wait || osh_reply_bool(&reply, "unchanged"))
		return OSH_EXIT_OK;
	if (!reply.continues)
		return say_outcome(cli, &reply);
	return await_outcome(cli, rpc, osh_reply_u64(&reply, "version"), deadline);
}

int osh_confirm_global(struct osh_cli *cli, const struct osh_args *args, const char *question)
{
	int answer;

	if (osh_args_has(args, "yes"))
		return 0;
	answer = osh_out_confirm(cli, question);
	if (answer == -ENOTTY)
		return osh_cli_fail(cli, NULL, NULL,
				    "global setting updates require confirmation; pass --yes in "
				    "non-interactive mode");
	return answer ? 0 : osh_cli_fail(cli, NULL, NULL, "aborted by user");
}

/* ---- set ---- */

/* Syntax and types, before anything is sent. */
static int check_syntax(struct osh_cli *cli, const char *what, const char *file,
			const struct osh_buf *text)
{
	osh_auto_diag struct osh_diag diag;
	osh_auto_bufmem struct osh_buf out;
	struct osh_policy *policy = NULL;
	struct osh_str t = osh_buf_str(text);
	int r;

	osh_diag_init(&diag, !strcmp(file, "-") ? "<stdin>" : file);
	osh_buf_init(&out, 1 << 20, 0);
	r = osh_policy_parse(t, NULL, &policy, &diag);
	policy = osh_policy_free(policy);
	if (r == 0)
		return 0;
	if (osh_diag_render(&diag, &out) == 0)
		fwrite(out.data ? out.data : "", 1, out.len, cli->err);
	if (osh_str_has_prefix(t, OSH_STR("Version:")) && memmem(t.p, t.n, "\n---\n", 5))
		return osh_cli_fail(cli, what,
				    "this is the output of 'policy get': leave out the header, "
				    "everything up to and including ---",
				    "%s is not a policy", file);
	return osh_cli_fail(cli, what,
			    "openshell-policy(5) describes every field; 'openshell policy check' "
			    "checks a file",
			    "%s has %u error%s", file, diag.errors, diag.errors == 1 ? "" : "s");
}

static int policy_set(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_bufmem struct osh_buf text = { 0 };
	const char *file = osh_args_get(args, "policy"), *name = NULL;
	bool global = osh_args_has(args, "global");
	char last[64], what[96] = "set the global policy";
	osh_auto_rpc struct osh_rpc rpc;
	int code;

	osh_rpc_begin(&rpc, what);
	if (!file)
		return osh_cli_usage(cli, args, "policy set needs --policy FILE");
	if (global && args->pos_count)
		return osh_cli_usage(cli, args, "--global and a sandbox name exclude each other");
	if (global && osh_args_has(args, "wait"))
		return osh_cli_fail(cli, NULL, NULL,
				    "--wait is not supported for global policies; global policies "
				    "are effective immediately");
	code = osh_cli_read_file(cli, "read the policy", file, OSH_POLICY_BYTES, &text);
	if (code == 0)
		code = check_syntax(cli, "set the policy", file, &text);
	if (code)
		return code;
	if (global) {
		code = osh_confirm_global(cli, args,
					  "Setting 'policy' globally will disable sandbox-level "
					  "management for this key. Continue?");
		if (code)
			return code;
		osh_json_kbool(&rpc.j, "global", true);
	} else {
		name = osh_last_resolve(cli, osh_args_pos(args, 0), last);
		if (!name)
			return OSH_EXIT_ERROR;
		(void)snprintf(what, sizeof(what), "set the policy of sandbox %s", OSH_Q(name));
		osh_json_kz(&rpc.j, "sandbox", name);
	}
	osh_json_kstr(&rpc.j, "policy", osh_buf_str(&text));
	osh_json_kz(&rpc.j, "policy_file", !strcmp(file, "-") ? "<stdin>" : file);
	return osh_revision_submit(cli, &rpc, "PolicySet", args);
}

static const struct osh_opt set_opts[] = {
	{ "policy", 0, "FILE", "The whole new policy; - is standard input", 0, "file" },
	{ "global", 0, NULL, "For every sandbox, instead of their own", 0, NULL },
	{ "yes", 'y', NULL, "Do not ask", 0, NULL },
	OSH_WAIT_OPTS,
	{ 0 },
};

const struct osh_cmd osh_cmd_policy_set = {
	.name = "set",
	.args = "[NAME]",
	.help = "Replace the policy of a running sandbox",
	.opts = set_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = policy_set,
};

/* ---- rollback ---- */

static int policy_rollback(struct osh_cli *cli, const struct osh_args *args)
{
	const char *number = osh_args_pos(args, args->pos_count - 1);
	char last[64], what[96] = "";
	osh_auto_rpc struct osh_rpc rpc;
	const char *name;
	uint64_t version;

	osh_rpc_begin(&rpc, what);
	if (osh_parse_u64(osh_str(number), INT64_MAX, &version) < 0 || !version)
		return osh_cli_usage(cli, args, "%s is no version number", OSH_Q(number));
	name = osh_last_resolve(cli, args->pos_count > 1 ? args->pos[0] : NULL, last);
	if (!name)
		return OSH_EXIT_ERROR;
	(void)snprintf(what, sizeof(what), "roll back the policy of sandbox %s", OSH_Q(name));
	osh_json_kz(&rpc.j, "sandbox", name);
	osh_json_ku64(&rpc.j, "version", version);
	return osh_revision_submit(cli, &rpc, "PolicyRollback", args);
}

static const struct osh_opt rollback_opts[] = { OSH_WAIT_OPTS, { 0 } };

const struct osh_cmd osh_cmd_policy_rollback = {
	.name = "rollback",
	.args = "[NAME] VERSION",
	.help = "Make an earlier revision the newest again",
	.opts = rollback_opts,
	.complete = "sandbox",
	.pos_min = 1,
	.pos_max = 2,
	.fn = policy_rollback,
};

/* ---- get ---- */

/* "sandbox" or "global", and the resolved name; exit code after a message. */
static int put_scope(struct osh_cli *cli, const struct osh_args *args, struct osh_json *j,
		     char last[64], const char **ret_name)
{
	*ret_name = NULL;
	if (osh_args_has(args, "global")) {
		if (args->pos_count)
			return osh_cli_usage(cli, args,
					     "--global and a sandbox name exclude each other");
		osh_json_kbool(j, "global", true);
		return 0;
	}
	*ret_name = osh_last_resolve(cli, osh_args_pos(args, 0), last);
	if (!*ret_name)
		return OSH_EXIT_ERROR;
	osh_json_kz(j, "sandbox", *ret_name);
	return 0;
}

static const char *status_word(const char *status)
{
	static const char *const words[][2] = {
		{ "effective", "Effective" },	{ "pending", "Pending" }, { "loaded", "Loaded" },
		{ "superseded", "Superseded" }, { "failed", "Failed" },
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(words); i++)
		if (!strcmp(status, words[i][0]))
			return words[i][1];
	return "Unspecified";
}

static void get_header(struct osh_cli *cli, const struct osh_ctl_reply *reply, bool global)
{
	const char *status = osh_reply_z(reply, "status");
	FILE *f = cli->out;

	if (global)
		fprintf(f, "Scope:        global\n");
	fprintf(f, "Version:      %" PRIu64 "\nHash:         %s\nStatus:       %s\n",
		osh_reply_u64(reply, "version"), osh_reply_z(reply, "hash"), status_word(status));
	if (!strcmp(status, "effective")) {
		fprintf(f, "Source:       %s\nConfig rev:   %" PRIu64 "\n",
			osh_reply_z(reply, "policy_source"),
			osh_reply_u64(reply, "config_revision"));
		if (osh_reply_u64(reply, "global_policy_version") && !global)
			fprintf(f, "Global:       %" PRIu64 "\n",
				osh_reply_u64(reply, "global_policy_version"));
		return;
	}
	if (!global)
		fprintf(f, "Active:       %" PRIu64 "\n", osh_reply_u64(reply, "active_version"));
	fprintf(f, "Created:      %" PRIu64 " ms\n", osh_reply_u64(reply, "created_ms"));
	if (osh_reply_u64(reply, "loaded_ms"))
		fprintf(f, "Loaded:       %" PRIu64 " ms\n", osh_reply_u64(reply, "loaded_ms"));
	if (!global && *osh_reply_z(reply, "error")) {
		fputs("Error:        ", f);
		osh_out_text(f, osh_str(osh_reply_z(reply, "error")));
		fputc('\n', f);
	}
}

/* Keys in alphabetical order; which ones depends on what was asked for. */
static int get_json(struct osh_cli *cli, const struct osh_ctl_reply *reply, const char *name,
		    bool with_policy)
{
	bool effective = !strcmp(osh_reply_z(reply, "status"), "effective");
	osh_auto_bufmem struct osh_buf text;
	struct osh_json j;

	osh_buf_init(&text, 4 << 20, 0);
	osh_json_init(&j, &text, 0);
	osh_json_obj(&j);
	if (name)
		osh_json_ku64(&j, "active_version", osh_reply_u64(reply, "active_version"));
	if (effective)
		osh_json_ku64(&j, "config_revision", osh_reply_u64(reply, "config_revision"));
	if (!effective)
		osh_json_ku64(&j, "created_at_ms", osh_reply_u64(reply, "created_ms"));
	if (effective && osh_reply_u64(reply, "global_policy_version"))
		osh_json_ku64(&j, "global_policy_version",
			      osh_reply_u64(reply, "global_policy_version"));
	osh_json_kz(&j, "hash", osh_reply_z(reply, "hash"));
	if (*osh_reply_z(reply, "error"))
		osh_json_kz(&j, "load_error", osh_reply_z(reply, "error"));
	if (!effective && osh_reply_u64(reply, "loaded_ms"))
		osh_json_ku64(&j, "loaded_at_ms", osh_reply_u64(reply, "loaded_ms"));
	if (with_policy)
		osh_json_kz(&j, "policy", osh_reply_z(reply, "policy"));
	if (effective)
		osh_json_kz(&j, "policy_source", osh_reply_z(reply, "policy_source"));
	osh_json_kz(&j, "sandbox", name);
	osh_json_kz(&j, "scope", name ? "sandbox" : "global");
	osh_json_kz(&j, "status", osh_reply_z(reply, "status"));
	osh_json_ku64(&j, "version", osh_reply_u64(reply, "version"));
	osh_json_obj_end(&j);
	if (j.err)
		return osh_cli_fail(cli, "show the policy", NULL, "%s", strerror(-j.err));
	return osh_out_data(cli, OSH_OUT_JSON, osh_buf_str(&text));
}

static int no_history(struct osh_cli *cli, const char *name)
{
	if (name)
		fprintf(cli->err, "No policy history found for sandbox '%s'\n", name);
	else
		fputs("No global policy history found\n", cli->err);
	return OSH_EXIT_OK;
}

/* An unknown sandbox is an error, a sandbox without that revision is not. */
static bool is_no_history(const struct osh_ctl_reply *reply)
{
	return osh_rpc_is(reply, OSH_CTL_ERR_NOT_FOUND) &&
	       strstr(osh_reply_z(reply, "message"), "policy") &&
	       strstr(osh_reply_z(reply, "message"), "revision");
}

static int policy_get(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	bool full = osh_args_has(args, "full") || osh_args_has(args, "base");
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format;
	const char *name;
	char last[64];
	uint64_t rev;
	int code;

	osh_rpc_begin(&rpc, "show the policy");
	if (osh_args_has(args, "full") && osh_args_has(args, "base"))
		return osh_cli_usage(cli, args, "--full and --base exclude each other");
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	if (format == OSH_OUT_YAML)
		return osh_cli_usage(cli, args, "policy get knows --output table and json only");
	code = osh_cli_u64(cli, args, "rev", INT64_MAX, 0, &rev);
	if (code == 0)
		code = put_scope(cli, args, &rpc.j, last, &name);
	if (code)
		return code;
	if (osh_args_has(args, "rev"))
		osh_json_ku64(&rpc.j, "version", rev);
	code = osh_rpc_ask(cli, &rpc, "PolicyGet", &reply);
	if (code)
		return code;
	if (is_no_history(&reply))
		return no_history(cli, name);
	if (reply.error)
		return osh_rpc_tell(cli, rpc.what, &reply);
	if (format == OSH_OUT_JSON)
		return get_json(cli, &reply, name, full);
	get_header(cli, &reply, !name);
	if (full)
		fprintf(cli->out, "---\n%s", osh_reply_z(&reply, "policy"));
	return OSH_EXIT_OK;
}

static const struct osh_opt get_opts[] = {
	{ "rev", 0, "N", "A stored revision instead of the policy in force", 0, NULL },
	{ "full", 0, NULL, "Also the policy itself, behind ---", 0, NULL },
	{ "base", 0, NULL, "The same without entries made by providers", 0, NULL },
	{ "global", 0, NULL, "The global policy", 0, NULL },
	{ "output", 'o', "FORMAT", "Output: table or json", 0, "table json" },
	{ 0 },
};

const struct osh_cmd osh_cmd_policy_get = {
	.name = "get",
	.args = "[NAME]",
	.help = "Show the policy in force, or a revision",
	.opts = get_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = policy_get,
};

/* ---- list ---- */

static int policy_list(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	const struct osh_jval *list;
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format = OSH_OUT_TABLE;
	bool wide;
	const char *name;
	char last[64];
	uint64_t limit;
	int code;

	osh_rpc_begin(&rpc, "list policy revisions");
	wide = osh_args_get(args, "output") && !strcmp(osh_args_get(args, "output"), "wide");
	if (!wide && osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	code = osh_cli_u64(cli, args, "limit", 1000, 20, &limit);
	if (code == 0)
		code = put_scope(cli, args, &rpc.j, last, &name);
	if (code)
		return code;
	osh_json_ku64(&rpc.j, "limit", limit);
	code = osh_rpc_call(cli, &rpc, "PolicyList", &reply);
	if (code)
		return code;
	list = osh_jval_get(reply.params, "revisions");
	if (format != OSH_OUT_TABLE)
		return osh_out_value(cli, format, list);
	if (!osh_jval_len(list))
		return no_history(cli, name);
	fprintf(cli->out, "%s%-8s %-14s %-12s %-24s %s%s\n", cli->out_color ? "\033[1m" : "",
		"VERSION", "HASH", "STATUS", "CREATED", "ERROR", cli->out_color ? "\033[0m" : "");
	for (size_t i = 0; i < osh_jval_len(list); i++) {
		const struct osh_jval *r = osh_jval_at(list, i);
		struct osh_str error = osh_str(osh_jval_z(osh_jval_get(r, "error"), ""));
		size_t cut = wide ? error.n : osh_utf8_cut(error, 40);

		fprintf(cli->out, "%-8lld %-14.12s %-12s %-24lld ",
			(long long)osh_jval_i64(osh_jval_get(r, "version"), 0),
			osh_jval_z(osh_jval_get(r, "hash"), ""),
			status_word(osh_jval_z(osh_jval_get(r, "status"), "")),
			(long long)osh_jval_i64(osh_jval_get(r, "created_ms"), 0));
		osh_out_text(cli->out, osh_str_sub(error, 0, cut));
		fprintf(cli->out, "%s\n", cut < error.n ? "..." : "");
	}
	return OSH_EXIT_OK;
}

static const struct osh_opt list_opts[] = {
	{ "limit", 0, "N", "At most so many (default 20)", 0, NULL },
	{ "global", 0, NULL, "Revisions of the global policy", 0, NULL },
	{ "output", 'o', "FORMAT", "Output: table, wide (errors in full), yaml or json", 0,
	  "table wide yaml json" },
	{ 0 },
};

const struct osh_cmd osh_cmd_policy_list = {
	.name = "list",
	.aliases = "ls",
	.args = "[NAME]",
	.help = "List policy revisions, newest first",
	.opts = list_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = policy_list,
};

/* ---- delete ---- */

static int policy_delete(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	int code;

	osh_rpc_begin(&rpc, "delete the global policy");
	if (!osh_args_has(args, "global"))
		return osh_cli_fail(cli, NULL, NULL,
				    "sandbox policy delete is not supported; use --global to "
				    "remove global policy lock");
	code = osh_confirm_global(cli, args,
				  "Deleting global setting 'policy' re-enables sandbox-level "
				  "management for this key. Continue?");
	if (code == 0)
		code = osh_rpc_call(cli, &rpc, "PolicyDeleteGlobal", &reply);
	if (code)
		return code;
	if (osh_reply_bool(&reply, "found"))
		osh_cli_note(cli, cli->err, '+',
			     "Deleted global setting policy (revision %" PRIu64 ")",
			     osh_reply_u64(&reply, "revision"));
	else
		osh_cli_note(cli, cli->err, '!', "Global setting policy not found");
	return OSH_EXIT_OK;
}

static const struct osh_opt delete_opts[] = {
	{ "global", 0, NULL, "The global policy", 0, NULL },
	{ "yes", 'y', NULL, "Do not ask", 0, NULL },
	{ 0 },
};

const struct osh_cmd osh_cmd_policy_delete = {
	.name = "delete",
	.args = "[NAME]",
	.help = "Remove the global policy; sandboxes get their own back",
	.opts = delete_opts,
	.pos_max = 1,
	.fn = policy_delete,
};
