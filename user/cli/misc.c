/* SPDX-License-Identifier: MIT */
/* completions, help, version */
#include <limits.h>

#include "cli/args.h"
#include "cli/table.h"
#include "openshell/version.h"

static int completions(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_bufmem struct osh_buf text;
	int r;

	osh_buf_init(&text, 1 << 20, 0);
	if (strcmp(args->pos[0], "bash"))
		return osh_cli_usage(cli, args, "no completion for %s; bash is known",
				     OSH_Q(args->pos[0]));
	r = osh_complete_bash(cli, &text);
	if (r < 0)
		return osh_cli_fail(cli, "write the completion", NULL, "%s", strerror(-r));
	fwrite(text.data, 1, text.len, cli->out);
	return OSH_EXIT_OK;
}

const struct osh_cmd osh_cmd_completions = {
	.name = "completions",
	.args = "SHELL",
	.help = "Print the completion script of a shell (bash)",
	.complete = "bash",
	.pos_min = 1,
	.pos_max = 1,
	.fn = completions,
};

static int help(struct osh_cli *cli, const struct osh_args *args)
{
	const struct osh_cmd *const *group = cli->root;
	const struct osh_cmd *cmd = NULL;
	osh_auto_bufmem struct osh_buf text;
	char path[128] = "";
	int r;

	osh_buf_init(&text, 1 << 20, 0);
	if (osh_args_has(args, "synopsis")) {
		r = osh_help_synopsis(cli, &text);
	} else {
		for (size_t i = 0; i < args->pos_count; i++) {
			size_t len = strlen(path);

			cmd = group ? osh_cmd_find(group, args->pos[i]) : NULL;
			if (!cmd)
				return osh_cli_usage(cli, args, "unknown command %s",
						     OSH_Q(args->pos[i]));
			(void)snprintf(path + len, sizeof(path) - len, "%s%s", len ? " " : "",
				       cmd->name);
			group = cmd->subs;
		}
		r = osh_help_render(cli, cmd, path, &text);
	}
	if (r < 0)
		return osh_cli_fail(cli, "show help", NULL, "%s", strerror(-r));
	fwrite(text.data, 1, text.len, cli->out);
	return OSH_EXIT_OK;
}

static const struct osh_opt help_opts[] = {
	{ "synopsis", 0, NULL, "One line for every command, with its options", 0, NULL },
	{ 0 },
};

const struct osh_cmd osh_cmd_help = {
	.name = "help",
	.args = "[COMMAND...]",
	.help = "Print help for a command",
	.opts = help_opts,
	.complete = "command",
	.pos_max = UINT_MAX,
	.fn = help,
};

static int version(struct osh_cli *cli, const struct osh_args *args)
{
	(void)args;
	fprintf(cli->out, "%s %s\n", cli->prog, OSH_VERSION);
	return OSH_EXIT_OK;
}

const struct osh_cmd osh_cmd_version = {
	.name = "version",
	.help = "Print the version",
	.fn = version,
};
