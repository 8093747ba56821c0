/* SPDX-License-Identifier: MIT */
/* policy update */
#include <errno.h>
#include <inttypes.h>

#include "cli/out.h"
#include "cli/revision.h"
#include "cli/table.h"
#include "policy/merge.h"

static const struct {
	const char *option, *param;
} operations[] = {
	{ "add-endpoint", "add_endpoints" }, { "remove-endpoint", "remove_endpoints" },
	{ "remove-rule", "remove_rules" },   { "add-allow", "add_allow" },
	{ "add-deny", "add_deny" },
};

static int check_flags(struct osh_cli *cli, const struct osh_args *args)
{
	size_t endpoints = osh_args_count(args, "add-endpoint"), n = 0;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(operations); i++)
		n += osh_args_count(args, operations[i].option);
	if (osh_args_has(args, "wait") && osh_args_has(args, "dry-run"))
		return osh_cli_fail(cli, NULL, NULL, "--wait cannot be combined with --dry-run");
	if (osh_args_has(args, "binary") && !endpoints)
		return osh_cli_fail(cli, NULL, NULL,
				    "--binary can only be used with --add-endpoint");
	for (size_t i = 0; i < osh_args_count(args, "binary"); i++)
		if (!osh_str_trim(osh_str(osh_args_at(args, "binary", i))).n)
			return osh_cli_fail(cli, NULL, NULL, "--binary values must not be empty");
	if (osh_args_has(args, "rule-name") && !endpoints)
		return osh_cli_fail(cli, NULL, NULL,
				    "--rule-name can only be used with --add-endpoint");
	if (osh_args_has(args, "rule-name") && endpoints != 1)
		return osh_cli_fail(cli, NULL, NULL,
				    "--rule-name is only supported when exactly one "
				    "--add-endpoint is provided");
	if (!n)
		return osh_cli_fail(cli, NULL, NULL,
				    "policy update requires at least one operation flag");
	return 0;
}

/* The grammar of the values, with the parser the daemon uses too. */
static int check_values(struct osh_cli *cli, const struct osh_args *args)
{
	static const char *const options[] = { "add-endpoint", "remove-endpoint", "add-allow",
					       "add-deny",     "remove-rule",	  "binary",
					       "rule-name" };
	osh_auto_diag struct osh_diag diag;
	osh_auto_free struct osh_merge_flag *flags = NULL;
	struct osh_merge *merge = NULL;
	char names[OSH_ARRAY_SIZE(options)][24];
	size_t n = 0;
	int r;

	osh_diag_init(&diag, NULL);
	flags = calloc(args->value_count + 1, sizeof(*flags));
	if (!flags)
		return osh_cli_fail(cli, "update the policy", NULL, "out of memory");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(options); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "--%s", options[i]);
		for (size_t k = 0; k < osh_args_count(args, options[i]); k++)
			flags[n++] = (struct osh_merge_flag){
				osh_str(names[i]),
				osh_str(osh_args_at(args, options[i], k)),
			};
	}
	r = osh_merge_parse(flags, n, &merge, &diag);
	merge = osh_merge_free(merge);
	if (r == 0)
		return 0;
	return osh_cli_fail(cli, NULL, NULL, "%s", diag.count ? diag.msgs[0].text : strerror(-r));
}

static void put_list(const struct osh_args *args, const char *option, const char *param,
		     struct osh_json *j)
{
	size_t n = osh_args_count(args, option);

	if (!n)
		return;
	osh_json_key(j, param);
	osh_json_arr(j);
	for (size_t i = 0; i < n; i++)
		osh_json_str(j, osh_str(osh_args_at(args, option, i)));
	osh_json_arr_end(j);
}

static int dry_run(struct osh_cli *cli, struct osh_rpc *rpc)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	int code;

	osh_json_kbool(&rpc->j, "dry_run", true);
	code = osh_rpc_call(cli, rpc, "PolicyUpdate", &reply);
	if (code)
		return code;
	osh_cli_note(cli, cli->err, '+',
		     "Dry run preview for %" PRIu64 " incremental policy operation(s)",
		     osh_reply_u64(&reply, "operations"));
	osh_reply_warnings(cli, &reply);
	fputs("Policy:\n\n", cli->out);
	osh_out_indented(cli->out, osh_str(osh_reply_z(&reply, "policy")), 2);
	return OSH_EXIT_OK;
}

static int policy_update(struct osh_cli *cli, const struct osh_args *args)
{
	char last[64], what[96] = "";
	osh_auto_rpc struct osh_rpc rpc;
	const char *name;
	int code;

	osh_rpc_begin(&rpc, what);
	code = check_flags(cli, args);
	if (code == 0)
		code = check_values(cli, args);
	if (code)
		return code;
	name = osh_last_resolve(cli, osh_args_pos(args, 0), last);
	if (!name)
		return OSH_EXIT_ERROR;
	(void)snprintf(what, sizeof(what), "update the policy of sandbox %s", OSH_Q(name));
	osh_json_kz(&rpc.j, "sandbox", name);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(operations); i++)
		put_list(args, operations[i].option, operations[i].param, &rpc.j);
	put_list(args, "binary", "binaries", &rpc.j);
	osh_json_kz(&rpc.j, "rule_name", osh_args_get(args, "rule-name"));
	if (osh_args_has(args, "dry-run"))
		return dry_run(cli, &rpc);
	return osh_revision_submit(cli, &rpc, "PolicyUpdate", args);
}

static const struct osh_opt update_opts[] = {
	{ "add-endpoint", 0, "SPEC", "host:port[:access[:protocol[:enforcement[:options]]]]",
	  OSH_OPT_REPEAT, NULL },
	{ "remove-endpoint", 0, "HOST:PORT", "Remove a port of an endpoint", OSH_OPT_REPEAT, NULL },
	{ "add-allow", 0, "SPEC", "host:port:METHOD:path_glob", OSH_OPT_REPEAT, NULL },
	{ "add-deny", 0, "SPEC", "host:port:METHOD:path_glob", OSH_OPT_REPEAT, NULL },
	{ "remove-rule", 0, "NAME", "Remove a whole entry", OSH_OPT_REPEAT, NULL },
	{ "binary", 0, "PATH", "Binary for the endpoints added", OSH_OPT_REPEAT, "file" },
	{ "rule-name", 0, "NAME", "Key of the entry added", 0, NULL },
	{ "dry-run", 0, NULL, "Show the result, change nothing", 0, NULL },
	OSH_WAIT_OPTS,
	{ 0 },
};

const struct osh_cmd osh_cmd_policy_update = {
	.name = "update",
	.args = "[NAME]",
	.help = "Change a policy by single operations",
	.opts = update_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = policy_update,
};
