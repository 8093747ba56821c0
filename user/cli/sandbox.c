/* SPDX-License-Identifier: MIT */
/* sandbox list, get, delete, stop, start */
#include <errno.h>
#include <limits.h>

#include "cli/out.h"
#include "cli/rpc.h"
#include "cli/table.h"

/* The element of `sandbox list -o json`; keys in alphabetical order. */
static void put_sandbox(struct osh_json *j, const struct osh_jval *sb)
{
	osh_auto_bufmem struct osh_buf part;
	char created[20];

	osh_buf_init(&part, 1 << 20, 0);
	osh_json_key(j, "annotations");
	if (osh_jval_get(sb, "annotations") &&
	    osh_jval_dump(osh_jval_get(sb, "annotations"), &part) == 0)
		osh_json_raw(j, osh_buf_str(&part));
	else
		osh_json_raw(j, OSH_STR("{}"));
	osh_json_kz(
		j, "created_at",
		osh_out_time(created, (uint64_t)osh_jval_i64(osh_jval_get(sb, "created_ms"), 0)));
	osh_json_ku64(j, "current_policy_version",
		      (uint64_t)osh_jval_i64(osh_jval_get(sb, "current_policy_version"), 0));
	osh_json_kz(j, "id", osh_jval_z(osh_jval_get(sb, "id"), ""));
	osh_buf_reset(&part);
	osh_json_key(j, "labels");
	if (osh_jval_get(sb, "labels") && osh_jval_dump(osh_jval_get(sb, "labels"), &part) == 0)
		osh_json_raw(j, osh_buf_str(&part));
	else
		osh_json_raw(j, OSH_STR("{}"));
	osh_json_kz(j, "name", osh_jval_z(osh_jval_get(sb, "name"), ""));
	osh_json_kz(j, "phase", osh_jval_z(osh_jval_get(sb, "phase"), "Unknown"));
}

static void put_sandbox_tail(struct osh_json *j, const struct osh_jval *sb)
{
	osh_json_ku64(j, "resource_version",
		      (uint64_t)osh_jval_i64(osh_jval_get(sb, "resource_version"), 0));
	osh_json_kz(j, "workspace", osh_jval_z(osh_jval_get(sb, "workspace"), "default"));
}

/* ---- list ---- */

static int list_json(struct osh_cli *cli, enum osh_out_format format, const struct osh_jval *list)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_json j;

	osh_buf_init(&text, 64 << 20, 0);
	osh_json_init(&j, &text, 0);
	osh_json_arr(&j);
	for (size_t i = 0; i < osh_jval_len(list); i++) {
		osh_json_obj(&j);
		put_sandbox(&j, osh_jval_at(list, i));
		put_sandbox_tail(&j, osh_jval_at(list, i));
		osh_json_obj_end(&j);
	}
	osh_json_arr_end(&j);
	if (j.err)
		return osh_cli_fail(cli, "list sandboxes", NULL, "%s", strerror(-j.err));
	return osh_out_data(cli, format, osh_buf_str(&text));
}

static int list_table(struct osh_cli *cli, const struct osh_jval *list)
{
	static const char *const columns[] = { "NAME", "CREATED", "PHASE" };
	struct osh_table t = { .columns = columns, .n_columns = 3 };
	size_t n = osh_jval_len(list);
	osh_auto_free char(*times)[20] = calloc(n + 1, 20);

	if (!n) {
		fputs("No sandboxes found.\n", cli->out);
		return OSH_EXIT_OK;
	}
	if (!times)
		return osh_cli_fail(cli, "list sandboxes", NULL, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct osh_jval *sb = osh_jval_at(list, i);
		const char *cells[] = {
			osh_jval_z(osh_jval_get(sb, "name"), ""),
			osh_out_time(times[i],
				     (uint64_t)osh_jval_i64(osh_jval_get(sb, "created_ms"), 0)),
			osh_jval_z(osh_jval_get(sb, "phase"), "Unknown"),
		};

		if (osh_table_row(&t, cells) < 0)
			return osh_cli_fail(cli, "list sandboxes", NULL, "out of memory");
	}
	osh_table_print(cli, &t);
	return OSH_EXIT_OK;
}

/* "k=v,k=v" as a JSON object */
static int put_selector(struct osh_cli *cli, const struct osh_args *args, struct osh_json *j)
{
	struct osh_str rest = osh_str(osh_args_get(args, "selector")), one;

	if (!osh_args_has(args, "selector"))
		return 0;
	osh_json_key(j, "labels");
	osh_json_obj(j);
	while (osh_str_split(&rest, ',', &one)) {
		size_t eq = osh_str_find(one, '=');
		osh_auto_free char *key = osh_str_dup(osh_str_sub(one, 0, eq));

		if (eq == one.n || !eq || !key)
			return osh_cli_usage(cli, args, "invalid selector %s: expected k=v,k=v",
					     OSH_Q(osh_args_get(args, "selector")));
		osh_json_kstr(j, key, osh_str_sub(one, eq + 1, one.n));
	}
	osh_json_obj_end(j);
	return 0;
}

static int sandbox_list(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	bool ids = osh_args_has(args, "ids"), names = osh_args_has(args, "names");
	const struct osh_jval *list;
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format;
	uint64_t limit, offset;
	int code;

	osh_rpc_begin(&rpc, "list sandboxes");
	if (ids && names)
		return osh_cli_usage(cli, args, "--ids and --names exclude each other");
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	code = osh_cli_u64(cli, args, "limit", 1000, 100, &limit);
	if (code == 0)
		code = osh_cli_u64(cli, args, "offset", INT64_MAX, 0, &offset);
	if (code == 0)
		code = put_selector(cli, args, &rpc.j);
	if (code)
		return code;
	osh_json_ku64(&rpc.j, "limit", limit);
	osh_json_ku64(&rpc.j, "offset", offset);
	code = osh_rpc_call(cli, &rpc, "SandboxList", &reply);
	if (code)
		return code;
	list = osh_jval_get(reply.params, "sandboxes");
	for (size_t i = 0; (ids || names) && i < osh_jval_len(list); i++)
		fprintf(cli->out, "%s\n",
			osh_jval_z(osh_jval_get(osh_jval_at(list, i), ids ? "id" : "name"), ""));
	if (ids || names)
		return OSH_EXIT_OK;
	return format == OSH_OUT_TABLE ? list_table(cli, list) : list_json(cli, format, list);
}

static const struct osh_opt list_opts[] = {
	{ "limit", 0, "N", "At most so many (default 100)", 0, NULL },
	{ "offset", 0, "N", "Leave out the first N", 0, NULL },
	{ "ids", 0, NULL, "Print ids only", 0, NULL },
	{ "names", 0, NULL, "Print names only", 0, NULL },
	{ "selector", 'l', "K=V,...", "Only sandboxes with these labels", 0, NULL },
	{ "all-workspaces", 0, NULL, "Accepted; there is one workspace", OSH_OPT_HIDDEN, NULL },
	OSH_OUT_OPT,
	{ 0 },
};

const struct osh_cmd osh_cmd_sandbox_list = {
	.name = "list",
	.aliases = "ls",
	.help = "List sandboxes",
	.opts = list_opts,
	.fn = sandbox_list,
};

/* ---- get ---- */

static void print_map(struct osh_cli *cli, const char *title, const struct osh_jval *map)
{
	const struct osh_jval *v;
	const char *key;
	void *iter = NULL;

	if (!osh_jval_len(map))
		return;
	fprintf(cli->out, "  %s:\n", title);
	while (osh_jval_next(map, &iter, &key, &v)) {
		fputs("    ", cli->out);
		osh_out_text(cli->out, osh_str(key));
		fputs(": ", cli->out);
		osh_out_text(cli->out, osh_jval_str(v));
		fputc('\n', cli->out);
	}
}

static void get_table(struct osh_cli *cli, const struct osh_ctl_reply *reply)
{
	const struct osh_jval *sb = osh_jval_get(reply->params, "sandbox");
	const char *reason = osh_jval_z(osh_jval_get(sb, "phase_reason"), "");

	fprintf(cli->out, "Sandbox:\n  Id: %s\n  Name: %s\n  Phase: %s",
		osh_jval_z(osh_jval_get(sb, "id"), ""), osh_jval_z(osh_jval_get(sb, "name"), ""),
		osh_jval_z(osh_jval_get(sb, "phase"), "Unknown"));
	if (*reason) {
		fputs(" (", cli->out);
		osh_out_text(cli->out, osh_str(reason));
		fputs(")", cli->out);
	}
	fprintf(cli->out, "\n  Resource version: %lld\n",
		(long long)osh_jval_i64(osh_jval_get(sb, "resource_version"), 0));
	print_map(cli, "Labels", osh_jval_get(sb, "labels"));
	print_map(cli, "Annotations", osh_jval_get(sb, "annotations"));
	fprintf(cli->out, "  Policy source: %s\n  Revision: %llu\n\nPolicy:\n",
		osh_reply_z(reply, "policy_source"),
		(unsigned long long)osh_reply_u64(reply, "revision"));
	osh_out_indented(cli->out, osh_str(osh_reply_z(reply, "policy")), 2);
}

static int get_json(struct osh_cli *cli, enum osh_out_format format,
		    const struct osh_ctl_reply *reply)
{
	const struct osh_jval *sb = osh_jval_get(reply->params, "sandbox");
	osh_auto_bufmem struct osh_buf text;
	struct osh_json j;

	osh_buf_init(&text, 4 << 20, 0);
	osh_json_init(&j, &text, 0);
	osh_json_obj(&j);
	put_sandbox(&j, sb);
	osh_json_kz(&j, "policy", osh_reply_z(reply, "policy"));
	osh_json_kz(&j, "policy_source", osh_reply_z(reply, "policy_source"));
	osh_json_ku64(&j, "resource_version",
		      (uint64_t)osh_jval_i64(osh_jval_get(sb, "resource_version"), 0));
	osh_json_ku64(&j, "revision", osh_reply_u64(reply, "revision"));
	osh_json_kz(&j, "workspace", osh_jval_z(osh_jval_get(sb, "workspace"), "default"));
	osh_json_obj_end(&j);
	if (j.err)
		return osh_cli_fail(cli, "show the sandbox", NULL, "%s", strerror(-j.err));
	return osh_out_data(cli, format, osh_buf_str(&text));
}

static int sandbox_get(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format;
	char last[64], what[96] = "";
	const char *name;
	int code;

	osh_rpc_begin(&rpc, what);
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	name = osh_last_resolve(cli, osh_args_pos(args, 0), last);
	if (!name)
		return OSH_EXIT_ERROR;
	(void)snprintf(what, sizeof(what), "show sandbox %s", OSH_Q(name));
	osh_json_kz(&rpc.j, "name", name);
	code = osh_rpc_call(cli, &rpc, "SandboxGet", &reply);
	if (code)
		return code;
	if (osh_args_has(args, "policy-only")) {
		fputs(osh_reply_z(&reply, "policy"), cli->out);
		return OSH_EXIT_OK;
	}
	if (format != OSH_OUT_TABLE)
		return get_json(cli, format, &reply);
	get_table(cli, &reply);
	return OSH_EXIT_OK;
}

static const struct osh_opt get_opts[] = {
	{ "policy-only", 0, NULL, "Print the policy only, as YAML", 0, NULL },
	OSH_OUT_OPT,
	{ 0 },
};

const struct osh_cmd osh_cmd_sandbox_get = {
	.name = "get",
	.args = "[NAME]",
	.help = "Show a sandbox and the policy in force",
	.opts = get_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = sandbox_get,
};

/* ---- delete, stop, start ---- */

static int delete_one(struct osh_cli *cli, const char *name)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	char what[96];
	int code;

	(void)snprintf(what, sizeof(what), "delete sandbox %s", OSH_Q(name));
	osh_rpc_begin(&rpc, what);
	osh_json_kz(&rpc.j, "name", name);
	code = osh_rpc_ask(cli, &rpc, "SandboxDelete", &reply);
	if (code)
		return code;
	if (osh_rpc_is(&reply, OSH_CTL_ERR_NOT_FOUND)) {
		osh_last_clear(cli, name);
		osh_cli_note(cli, cli->out, '!', "Sandbox %s not found", name);
		return OSH_EXIT_OK;
	}
	if (reply.error)
		return osh_rpc_tell(cli, what, &reply);
	osh_last_clear(cli, name);
	osh_cli_note(cli, cli->out, '+', "Deleted sandbox %s", name);
	return OSH_EXIT_OK;
}

static int delete_all(struct osh_cli *cli)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	const struct osh_jval *list;
	osh_auto_rpc struct osh_rpc rpc;
	int code, worst = OSH_EXIT_OK;

	osh_rpc_begin(&rpc, "delete all sandboxes");
	osh_json_ku64(&rpc.j, "limit", 1000);
	code = osh_rpc_call(cli, &rpc, "SandboxList", &reply);
	if (code)
		return code;
	list = osh_jval_get(reply.params, "sandboxes");
	if (!osh_jval_len(list))
		fputs("No sandboxes to delete.\n", cli->out);
	for (size_t i = 0; i < osh_jval_len(list); i++) {
		code = delete_one(cli, osh_jval_z(osh_jval_get(osh_jval_at(list, i), "name"), ""));
		worst = OSH_MAX(worst, code);
	}
	return worst;
}

static int sandbox_delete(struct osh_cli *cli, const struct osh_args *args)
{
	int worst = OSH_EXIT_OK;

	if (osh_args_has(args, "all") == (args->pos_count > 0))
		return osh_cli_usage(cli, args, "sandbox delete needs either names or --all");
	if (osh_args_has(args, "all"))
		return delete_all(cli);
	for (size_t i = 0; i < args->pos_count; i++) {
		char unused[64];
		int code = osh_last_resolve(cli, args->pos[i], unused)
				   ? delete_one(cli, args->pos[i])
				   : OSH_EXIT_ERROR;

		worst = OSH_MAX(worst, code);
	}
	return worst;
}

static const struct osh_opt delete_opts[] = {
	{ "all", 0, NULL, "Delete every sandbox", 0, NULL },
	{ 0 },
};

const struct osh_cmd osh_cmd_sandbox_delete = {
	.name = "delete",
	.aliases = "rm",
	.args = "NAME... | --all",
	.help = "Stop every process of a sandbox and wipe it",
	.opts = delete_opts,
	.complete = "sandbox",
	.pos_max = UINT_MAX,
	.fn = sandbox_delete,
};

static int stop_or_start(struct osh_cli *cli, const struct osh_args *args, const char *method,
			 const char *verb, const char *done)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	char last[64], what[96] = "";
	const char *name = osh_last_resolve(cli, osh_args_pos(args, 0), last);
	int code;

	osh_rpc_begin(&rpc, what);
	if (!name)
		return OSH_EXIT_ERROR;
	(void)snprintf(what, sizeof(what), "%s sandbox %s", verb, OSH_Q(name));
	osh_json_kz(&rpc.j, "name", name);
	code = osh_rpc_call(cli, &rpc, method, &reply);
	if (code)
		return code;
	osh_cli_note(cli, cli->out, '+', "%s sandbox %s", done, name);
	return OSH_EXIT_OK;
}

static int sandbox_stop(struct osh_cli *cli, const struct osh_args *args)
{
	return stop_or_start(cli, args, "SandboxStop", "stop", "Stopped");
}

static int sandbox_start(struct osh_cli *cli, const struct osh_args *args)
{
	return stop_or_start(cli, args, "SandboxStart", "start", "Started");
}

const struct osh_cmd osh_cmd_sandbox_stop = {
	.name = "stop",
	.args = "[NAME]",
	.help = "Stop every process of a sandbox, keep its files",
	.complete = "sandbox",
	.pos_max = 1,
	.fn = sandbox_stop,
};

const struct osh_cmd osh_cmd_sandbox_start = {
	.name = "start",
	.args = "[NAME]",
	.help = "Start a stopped sandbox again",
	.complete = "sandbox",
	.pos_max = 1,
	.fn = sandbox_start,
};
