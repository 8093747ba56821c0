/* SPDX-License-Identifier: MIT */
/* Command line to struct osh_args, and the texts made from the command table. */
#ifndef OSH_CLI_ARGS_H
#define OSH_CLI_ARGS_H

#include "base/buf.h"
#include "cli/cmd.h"

#define OSH_ARGS_MAX 65536 /* arguments of one command line */

struct osh_arg_value {
	const struct osh_opt *opt;
	const char *value; /* NULL: flag */
};

/*
 * Parse argv[1..]. Returns 0 and a command with a fn (or a group with `help` set), or -EINVAL after
 * a message on cli->err. Sets cli->socket, cli->verbose from the global options.
 */
struct osh_parsed {
	struct osh_args args;
	bool help, version;
	char path[128];
	const char **pos;
};
int osh_args_parse(struct osh_cli *cli, int argc, char **argv,
		   struct osh_parsed *ret_parsed) OSH_MUST_CHECK;
void osh_args_fini(struct osh_parsed *parsed);

/* Find a command by name or alias in a group; NULL. */
const struct osh_cmd *osh_cmd_find(const struct osh_cmd *const *group, const char *name);

int osh_help_render(const struct osh_cli *cli, const struct osh_cmd *cmd, const char *path,
		    struct osh_buf *out) OSH_MUST_CHECK;
/* "sandbox create [OPTIONS] [-- CMD...]" of every command that is not hidden, one per line. */
int osh_help_synopsis(const struct osh_cli *cli, struct osh_buf *out) OSH_MUST_CHECK;
int osh_complete_bash(const struct osh_cli *cli, struct osh_buf *out) OSH_MUST_CHECK;

#endif
