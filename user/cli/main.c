/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>

#include "cli/args.h"
#include "cli/out.h"
#include "ctl/varlink.h"
#include "openshell/version.h"

static const struct osh_opt globals[] = {
	{ "socket", 0, "PATH", "Control socket [env: OPENSHELL_SOCKET]", 0, "file" },
	{ "verbose", 'v', NULL, "Say more", OSH_OPT_REPEAT, NULL },
	{ "help", 'h', NULL, "Print help", OSH_OPT_REPEAT, NULL },
	{ "version", 'V', NULL, "Print the version", OSH_OPT_REPEAT, NULL },
	{ 0 },
};

static bool wants_color(bool tty)
{
	const char *no = secure_getenv("NO_COLOR"), *term = secure_getenv("TERM");

	return tty && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path && *path ? path : "openshell";
}

static int show_help(struct osh_cli *cli, const struct osh_parsed *parsed, FILE *to)
{
	osh_auto_bufmem struct osh_buf text;
	int r;

	osh_buf_init(&text, 1 << 20, 0);
	r = osh_help_render(cli, parsed->args.cmd, parsed->path, &text);
	if (r < 0)
		return osh_cli_fail(cli, "show help", NULL, "%s", strerror(-r));
	fwrite(text.data, 1, text.len, to);
	return OSH_EXIT_OK;
}

static int run(struct osh_cli *cli, struct osh_parsed *parsed)
{
	if (parsed->version) {
		fprintf(cli->out, "%s %s\n", cli->prog, OSH_VERSION);
		return OSH_EXIT_OK;
	}
	if (parsed->help) {
		bool asked = osh_args_has(&parsed->args, "help");

		(void)show_help(cli, parsed, asked ? cli->out : cli->err);
		return asked ? OSH_EXIT_OK : OSH_EXIT_USAGE;
	}
	return parsed->args.cmd->fn(cli, &parsed->args);
}

int main(int argc, char **argv)
{
	const char *socket = secure_getenv("OPENSHELL_SOCKET");
	struct osh_cli cli = {
		.prog = base_name(argv[0]),
		.socket = socket && *socket ? socket : OSH_CTL_SOCKET_PATH,
		.out_tty = isatty(STDOUT_FILENO),
		.err_tty = isatty(STDERR_FILENO),
		.out = stdout,
		.err = stderr,
		.root = osh_cmd_root,
		.globals = globals,
	};
	struct osh_parsed parsed;
	int code = OSH_EXIT_USAGE;

	/* a reader that went away is an error of write(), not a death */
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	cli.out_color = wants_color(cli.out_tty);
	cli.err_color = wants_color(cli.err_tty);
	if (osh_args_parse(&cli, argc, argv, &parsed) == 0)
		code = run(&cli, &parsed);
	osh_args_fini(&parsed);
	if (fflush(stdout) != 0 && errno != EPIPE && code == OSH_EXIT_OK)
		code = osh_cli_fail(&cli, "write the output", NULL, "%s", strerror(errno));
	return code;
}
