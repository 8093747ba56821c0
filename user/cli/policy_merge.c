/* SPDX-License-Identifier: MIT */
/* policy merge: the operations of `policy update`, on a file. */
#include "cli/policy_tool.h"

#include "policy/merge.h"
#include "policy/serialise.h"

static const char *const op_flags[] = { "add-endpoint", "remove-endpoint", "remove-rule",
					"add-allow",	"add-deny",	   "binary",
					"rule-name" };

/* The flags as osh_merge_parse() wants them; order between kinds does not matter there. */
static struct osh_merge_flag *collect(const struct osh_args *args, char names[][32], size_t *ret_n)
{
	struct osh_merge_flag *flags;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(op_flags); i++)
		n += osh_args_count(args, op_flags[i]);
	flags = calloc(n + 1, sizeof(*flags));
	if (!flags)
		return NULL;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(op_flags); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "--%s", op_flags[i]);
		for (size_t k = 0; k < osh_args_count(args, op_flags[i]); k++)
			flags[at++] = (struct osh_merge_flag){
				osh_str(names[i]), osh_str(osh_args_at(args, op_flags[i], k))
			};
	}
	*ret_n = n;
	return flags;
}

static int report(struct osh_cli *cli, const struct osh_diag *diag, int r)
{
	for (size_t i = 0; i < diag->count; i++)
		if (diag->msgs[i].level == OSH_DIAG_WARNING)
			osh_cli_note(cli, cli->err, '!', "%s", diag->msgs[i].text);
	if (r == 0)
		return OSH_EXIT_OK;
	for (size_t i = 0; i < diag->count; i++)
		if (diag->msgs[i].level == OSH_DIAG_ERROR)
			(void)osh_cli_fail(cli, "merge", NULL, "%s", diag->msgs[i].text);
	if (!diag->errors)
		return osh_cli_fail(cli, "merge", NULL, "%s", strerror(-r));
	return OSH_EXIT_ERROR;
}

static int print_result(struct osh_cli *cli, const struct osh_args *args,
			const struct osh_policy *policy, bool json)
{
	osh_auto_bufmem struct osh_buf out = { 0 };
	struct osh_json j;
	int r;

	osh_buf_init(&out, OSH_TOOL_OUT_MAX, 0);
	if (json) {
		osh_json_init(&j, &out, 2);
		osh_policy_to_json(policy, &j);
		r = j.err ? j.err : osh_buf_add_c(&out, '\n');
	} else {
		r = osh_policy_to_yaml(policy, &out);
	}
	if (r < 0 || !osh_args_has(args, "write"))
		return osh_tool_print(cli, r, &out);
	r = osh_tool_write_back(osh_args_pos(args, 0), osh_buf_str(&out));
	if (r < 0)
		return osh_cli_fail(cli, "write the policy", NULL, "%s: %s", osh_args_pos(args, 0),
				    strerror(-r));
	return OSH_EXIT_OK;
}

static int run_merge(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_tool struct osh_tool_policy tp = { 0 };
	osh_auto_diag struct osh_diag diag = { 0 };
	osh_auto_merge struct osh_merge *merge = NULL;
	osh_auto_policy struct osh_policy *result = NULL;
	osh_auto_free struct osh_merge_flag *flags = NULL;
	char names[OSH_ARRAY_SIZE(op_flags)][32];
	size_t n = 0;
	int r, json = osh_tool_wants_json(cli, args);

	if (json < 0)
		return OSH_EXIT_USAGE;
	r = osh_tool_require(cli, osh_args_pos(args, 0), &tp);
	if (r)
		return r;
	flags = collect(args, names, &n);
	if (!flags)
		return osh_cli_fail(cli, "merge", NULL, "out of memory");
	osh_diag_init(&diag, NULL);
	r = osh_merge_parse(flags, n, &merge, &diag);
	if (!r)
		r = osh_merge_apply(tp.policy, merge, &result, &diag);
	r = report(cli, &diag, r);
	return r ? r : print_result(cli, args, result, json);
}

const struct osh_cmd osh_cmd_policy_merge = {
	.name = "merge",
	.args = "FILE",
	.help = "Apply the operations of `policy update` to a file and print the result",
	.more = "The order of operations is add-endpoint, remove-endpoint, remove-rule, add-allow, "
		"add-deny. All or nothing.",
	.opts =
		(const struct osh_opt[]){
			{ "add-endpoint", 0, "SPEC",
			  "host:port[:access[:protocol[:enforcement[:options]]]]", OSH_OPT_REPEAT,
			  NULL },
			{ "remove-endpoint", 0, "HOST:PORT", "Remove a port of an endpoint",
			  OSH_OPT_REPEAT, NULL },
			{ "add-allow", 0, "SPEC", "host:port:METHOD:path_glob", OSH_OPT_REPEAT,
			  NULL },
			{ "add-deny", 0, "SPEC", "host:port:METHOD:path_glob", OSH_OPT_REPEAT,
			  NULL },
			{ "remove-rule", 0, "NAME", "Remove an entry by its key", OSH_OPT_REPEAT,
			  NULL },
			{ "binary", 0, "PATH", "Binary for the added endpoints", OSH_OPT_REPEAT,
			  "file" },
			{ "rule-name", 0, "NAME", "Key of the entry for --add-endpoint", 0, NULL },
			{ "write", 'w', NULL, "Write the result back to FILE", 0, NULL },
			{ "output", 'o', "FORMAT", "Table (YAML) or json", 0, "table json" },
			{ 0 },
		},
	.complete = "file",
	.pos_min = 1,
	.pos_max = 1,
	.fn = run_merge,
};
