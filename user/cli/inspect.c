/* SPDX-License-Identifier: MIT */
/* bpf, flow, identity, counters: what the daemon shows of its insides, in the manner of bpftool. */
#include "cli/out.h"
#include "cli/rpc.h"
#include "cli/table.h"

static const struct osh_opt inspect_opts[] = {
	OSH_OUT_OPT,
	{ "json", 'j', NULL, "Compact JSON", 0, NULL },
	{ "pretty", 'p', NULL, "Pretty JSON", 0, NULL },
	{ 0 },
};

static int print_rows(struct osh_cli *cli, const struct osh_ctl_reply *reply)
{
	const struct osh_jval *columns = osh_jval_get(reply->params, "columns");
	const struct osh_jval *rows = osh_jval_get(reply->params, "rows");
	const char *names[32] = { 0 }, *cells[32];
	size_t n = OSH_MIN(osh_jval_len(columns), OSH_ARRAY_SIZE(names));
	struct osh_table t = { .columns = names, .n_columns = n };

	if (*osh_reply_z(reply, "title"))
		fprintf(cli->out, "%s\n\n", osh_reply_z(reply, "title"));
	for (size_t i = 0; i < n; i++)
		names[i] = osh_jval_z(osh_jval_at(columns, i), "");
	for (size_t r = 0; n && r < osh_jval_len(rows); r++) {
		for (size_t i = 0; i < n; i++)
			cells[i] = osh_jval_z(osh_jval_at(osh_jval_at(rows, r), i), "");
		if (osh_table_row(&t, cells) < 0)
			return osh_cli_fail(cli, "print the table", NULL, "out of memory");
	}
	if (n)
		osh_table_print(cli, &t);
	return OSH_EXIT_OK;
}

static int print_json(struct osh_cli *cli, const struct osh_jval *data)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, 4 << 20, 0);
	if (osh_jval_dump(data, &text) < 0)
		return osh_cli_fail(cli, "print the answer", NULL, "out of memory");
	fprintf(cli->out, "%s\n", text.data);
	return OSH_EXIT_OK;
}

/* Every item is an object of the table's columns; what bpftool users pipe into jq. */
static int inspect(struct osh_cli *cli, const struct osh_args *args, const char *what,
		   const char *topic, const char *sandbox, const char *argument)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	const struct osh_jval *data;
	enum osh_out_format format;
	int code;

	osh_rpc_begin(&rpc, what);
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	osh_json_kz(&rpc.j, "topic", topic);
	osh_json_kz(&rpc.j, "sandbox", sandbox);
	osh_json_kz(&rpc.j, "argument", argument);
	code = osh_rpc_call(cli, &rpc, "Introspect", &reply);
	if (code)
		return code;
	data = osh_jval_get(reply.params, "data");
	if (osh_jval_get(data, "items"))
		data = osh_jval_get(data, "items");
	if (osh_args_has(args, "json"))
		return print_json(cli, data);
	if (osh_args_has(args, "pretty"))
		format = OSH_OUT_JSON;
	if (format != OSH_OUT_TABLE)
		return osh_out_value(cli, format, data);
	/* a map dump and one identity have no table worth the name */
	if (!osh_jval_len(osh_jval_get(reply.params, "rows")) && osh_jval_len(data))
		return osh_out_value(cli, OSH_OUT_JSON, data);
	return print_rows(cli, &reply);
}

/* ---- bpf ---- */

static int bpf_show(struct osh_cli *cli, const struct osh_args *args, const char *kind)
{
	const char *verb = osh_args_pos(args, 0);

	if (verb && strcmp(verb, "show") != 0 && strcmp(verb, "list") != 0)
		return osh_cli_usage(cli, args, "unexpected argument %s; expected show",
				     OSH_Q(verb));
	if (osh_args_pos(args, 1))
		return osh_cli_usage(
			cli, args, "show takes no name; 'bpf map dump NAME' shows what is in one");
	return inspect(cli, args, "show the BPF objects", "bpf", NULL, kind);
}

static int bpf_prog(struct osh_cli *cli, const struct osh_args *args)
{
	return bpf_show(cli, args, "prog");
}

static int bpf_link(struct osh_cli *cli, const struct osh_args *args)
{
	return bpf_show(cli, args, "link");
}

static int bpf_map(struct osh_cli *cli, const struct osh_args *args)
{
	const char *verb = osh_args_pos(args, 0), *name = osh_args_pos(args, 1);
	char argument[80];

	if (!verb || strcmp(verb, "dump") != 0)
		return bpf_show(cli, args, "map");
	if (!name)
		return osh_cli_usage(cli, args, "dump needs the name of a map");
	if (snprintf(argument, sizeof(argument), "map %s", name) >= (int)sizeof(argument))
		return osh_cli_usage(cli, args, "no map has such a long name");
	return inspect(cli, args, "dump a BPF map", "bpf", NULL, argument);
}

static const struct osh_cmd bpf_prog_cmd = {
	.name = "prog",
	.args = "[show]",
	.help = "Programs: type, tag, size, and run counts with kernel statistics on",
	.opts = inspect_opts,
	.complete = "show",
	.pos_max = 1,
	.fn = bpf_prog,
};

static const struct osh_cmd bpf_map_cmd = {
	.name = "map",
	.args = "[show | dump NAME]",
	.help = "Maps: sizes and entries; dump prints the entries as hex",
	.opts = inspect_opts,
	.complete = "show dump map",
	.pos_max = 2,
	.fn = bpf_map,
};

static const struct osh_cmd bpf_link_cmd = {
	.name = "link",
	.args = "[show]",
	.help = "Links: where each program is attached, and whether it is pinned",
	.opts = inspect_opts,
	.complete = "show",
	.pos_max = 1,
	.fn = bpf_link,
};

static const struct osh_cmd *const bpf_subs[] = { &bpf_prog_cmd, &bpf_map_cmd, &bpf_link_cmd,
						  NULL };

const struct osh_cmd osh_cmd_bpf = {
	.name = "bpf",
	.help = "Show our BPF programs, maps and links",
	.subs = bpf_subs,
};

/* ---- flow ---- */

static int flow_list(struct osh_cli *cli, const struct osh_args *args)
{
	return inspect(cli, args, "show flows", "flow", osh_args_pos(args, 0), NULL);
}

static int flow_show(struct osh_cli *cli, const struct osh_args *args)
{
	return inspect(cli, args, "show a flow", "flow", NULL, osh_args_pos(args, 0));
}

static const struct osh_cmd flow_list_cmd = {
	.name = "list",
	.args = "[SANDBOX]",
	.help = "Connections under way",
	.opts = inspect_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = flow_list,
};

static const struct osh_cmd flow_show_cmd = {
	.name = "show",
	.args = "ID",
	.help = "One connection",
	.opts = inspect_opts,
	.complete = "flow",
	.pos_min = 1,
	.pos_max = 1,
	.fn = flow_show,
};

static const struct osh_cmd *const flow_subs[] = { &flow_list_cmd, &flow_show_cmd, NULL };

const struct osh_cmd osh_cmd_flow = {
	.name = "flow",
	.help = "Show connections under way",
	.subs = flow_subs,
};

/* ---- identity ---- */

static int identity_list(struct osh_cli *cli, const struct osh_args *args)
{
	return inspect(cli, args, "show identities", "identity", osh_args_pos(args, 0), NULL);
}

static int identity_show(struct osh_cli *cli, const struct osh_args *args)
{
	return inspect(cli, args, "show an identity", "identity", NULL, osh_args_pos(args, 0));
}

static const struct osh_cmd identity_list_cmd = {
	.name = "list",
	.args = "[SANDBOX]",
	.help = "Processes of sandboxes as the kernel identified them",
	.opts = inspect_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = identity_list,
};

static const struct osh_cmd identity_show_cmd = {
	.name = "show",
	.args = "PID",
	.help = "One process (host pid): executable, hash, ancestors, taint",
	.opts = inspect_opts,
	.complete = "pid",
	.pos_min = 1,
	.pos_max = 1,
	.fn = identity_show,
};

static const struct osh_cmd *const identity_subs[] = { &identity_list_cmd, &identity_show_cmd,
						       NULL };

const struct osh_cmd osh_cmd_identity = {
	.name = "identity",
	.help = "Show processes as the kernel identified them",
	.subs = identity_subs,
};

/* ---- counters ---- */

static int counters(struct osh_cli *cli, const struct osh_args *args)
{
	return inspect(cli, args, "show the counters", "counters", NULL, NULL);
}

const struct osh_cmd osh_cmd_counters = {
	.name = "counters",
	.help = "Show every counter of the kernel programs",
	.opts = inspect_opts,
	.fn = counters,
};
