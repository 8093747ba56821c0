/* SPDX-License-Identifier: MIT */
#include "cli/session.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "cli/relay.h"
#include "policy/names.h"

enum { ARGS_MAX = 1024, ARG_BYTES = 32768 };

int osh_session_wants_tty(struct osh_cli *cli, const struct osh_args *args, bool *ret_tty)
{
	bool yes = osh_args_has(args, "tty"), no = osh_args_has(args, "no-tty");

	if (yes && no)
		return osh_cli_usage(cli, args, "--tty and --no-tty exclude each other");
	*ret_tty = yes || (!no && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
	return 0;
}

int osh_session_check_env(struct osh_cli *cli, const struct osh_args *args)
{
	for (size_t i = 0; i < osh_args_count(args, "env"); i++) {
		struct osh_str pair = osh_str(osh_args_at(args, "env", i));
		struct osh_str key = osh_str_sub(pair, 0, osh_str_find(pair, '='));
		const char *why;

		if (key.n == pair.n)
			return osh_cli_usage(cli, args,
					     "invalid value %s for --env: expected KEY=VALUE",
					     osh_quote(pair));
		if (!osh_env_key_ok(key, &why))
			return osh_cli_usage(cli, args, "environment key %s %s", osh_quote(key),
					     why);
		if (osh_env_key_is_secret(key) && !osh_args_has(args, "no-credential-warnings"))
			osh_cli_note(cli, cli->err, '!',
				     "%.*s looks like a credential; programs in the sandbox can "
				     "read it. A provider keeps it outside.",
				     OSH_STR_FMT(key));
	}
	return 0;
}

static int put_argv(struct osh_cli *cli, const struct osh_session_cfg *cfg, struct osh_json *j)
{
	if (!cfg->argc)
		return 0;
	if (cfg->argc > ARGS_MAX)
		return osh_cli_fail(cli, "run the command", NULL, "more than %d arguments",
				    ARGS_MAX);
	osh_json_key(j, "argv");
	osh_json_arr(j);
	for (size_t i = 0; i < cfg->argc; i++) {
		struct osh_str a = osh_str(cfg->argv[i]);

		if (a.n > ARG_BYTES || !osh_utf8_is_valid(a))
			return osh_cli_fail(cli, "run the command", NULL,
					    "argument %zu is longer than %d bytes or not UTF-8", i,
					    ARG_BYTES);
		osh_json_str(j, a);
	}
	osh_json_arr_end(j);
	return 0;
}

static int put_params(struct osh_cli *cli, const struct osh_session_cfg *cfg, struct osh_json *j)
{
	const char *term = secure_getenv("TERM");
	struct winsize ws = { 0 };
	int code;

	osh_json_kz(j, "sandbox", cfg->sandbox);
	code = put_argv(cli, cfg, j);
	if (code == 0)
		code = osh_cli_pairs(cli, cfg->args, "env", "env", j);
	if (code)
		return code;
	osh_json_kz(j, "workdir", osh_args_get(cfg->args, "workdir"));
	osh_json_kbool(j, "tty", cfg->tty);
	if (cfg->tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_row && ws.ws_col) {
		osh_json_ku64(j, "rows", ws.ws_row);
		osh_json_ku64(j, "cols", ws.ws_col);
	}
	if (cfg->tty && term && *term)
		osh_json_kz(j, "term", term);
	if (cfg->timeout_s)
		osh_json_ku64(j, "timeout_s", cfg->timeout_s);
	if (cfg->detach)
		osh_json_kbool(j, "detach", true);
	return 0;
}

/* Sort the descriptors of the first reply by their names. */
static int take_fds(struct osh_ctl_reply *reply, bool tty, int fds[3])
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	const struct osh_jval *list = osh_jval_get(reply->params, "fds");

	for (size_t i = 0; i < osh_jval_len(list) && i < OSH_CTL_FDS_MAX; i++) {
		const char *name = osh_jval_z(osh_jval_at(list, i), "");

		if (tty && !strcmp(name, "pty"))
			fds[0] = osh_take_fd(&reply->fds[i]);
		for (int k = 0; !tty && k < 3; k++)
			if (!strcmp(name, names[k]))
				fds[k] = osh_take_fd(&reply->fds[i]);
	}
	return fds[0] >= 0 && (tty || (fds[1] >= 0 && fds[2] >= 0)) ? 0 : -EBADMSG;
}

int osh_session_run(struct osh_cli *cli, const struct osh_session_cfg *cfg)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	struct osh_relay relay = { .cli = cli, .tty = cfg->tty, .fds = { -1, -1, -1 } };
	osh_auto_rpc struct osh_rpc rpc;
	char what[96];
	int code;

	(void)snprintf(what, sizeof(what), "run a program in sandbox %s", OSH_Q(cfg->sandbox));
	osh_rpc_begin(&rpc, what);
	code = put_params(cli, cfg, &rpc.j);
	if (code == 0)
		code = osh_rpc_start(cli, &rpc, "Exec", OSH_CTL_MORE);
	if (code == 0)
		code = osh_rpc_next(cli, &rpc, -1, &reply);
	if (code)
		return code;
	if (cfg->remember)
		osh_last_save(cli, cfg->sandbox);
	if (cfg->detach)
		return OSH_EXIT_OK;
	if (!reply.continues || take_fds(&reply, cfg->tty, relay.fds) < 0) {
		for (int i = 0; i < 3; i++)
			osh_close_ptr(&relay.fds[i]);
		return osh_cli_fail(cli, what, "bring openshelld and openshell to the same version",
				    "the answer of openshelld lacks the descriptors");
	}
	relay.rpc = &rpc;
	relay.session = osh_reply_z(&reply, "session");
	return osh_relay_run(&relay);
}
