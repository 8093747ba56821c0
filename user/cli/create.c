/* SPDX-License-Identifier: MIT */
/* sandbox create, connect, exec */
#include <errno.h>
#include <time.h>

#include "cli/out.h"
#include "cli/session.h"
#include "cli/table.h"
#include "policy/names.h"

enum { POLICY_BYTES = 262144, PROVISION_S = 300 };

/* ---- sizes ---- */

/* "0.5", "2" cores or "500m" in thousandths */
static int parse_cpu(struct osh_str s, uint64_t *ret_millis)
{
	struct osh_str whole, frac = OSH_STR("");
	uint64_t a = 0, b = 0;
	size_t dot;

	if (s.n > 1 && s.p[s.n - 1] == 'm')
		return osh_parse_u64(osh_str_sub(s, 0, s.n - 1), 1000000, ret_millis) ||
				       !*ret_millis
			       ? -EINVAL
			       : 0;
	dot = osh_str_find(s, '.');
	whole = osh_str_sub(s, 0, dot);
	if (dot < s.n) {
		frac = osh_str_sub(s, dot + 1, s.n);
		if (!frac.n || frac.n > 3)
			return -EINVAL;
	}
	if (osh_parse_u64(whole, 1000, &a) < 0 || (frac.n && osh_parse_u64(frac, 999, &b) < 0))
		return -EINVAL;
	for (size_t i = frac.n; i < 3; i++)
		b *= 10;
	*ret_millis = a * 1000 + b;
	return *ret_millis ? 0 : -EINVAL;
}

static int parse_memory(struct osh_str s, uint64_t *ret_bytes)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} units[] = {
		{ "Ki", 1ull << 10 },
		{ "Mi", 1ull << 20 },
		{ "Gi", 1ull << 30 },
		{ "Ti", 1ull << 40 },
		{ "Pi", 1ull << 50 },
		{ "Ei", 1ull << 60 },
		{ "K", 1000 },
		{ "M", 1000000 },
		{ "G", 1000000000 },
		{ "T", 1000000000000 },
		{ "P", 1000000000000000 },
		{ "E", 1000000000000000000 },
		{ "", 1 },
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(units); i++) {
		struct osh_str suffix = osh_str(units[i].suffix);
		uint64_t n;

		if (!osh_str_has_suffix(s, suffix))
			continue;
		if (osh_parse_u64(osh_str_sub(s, 0, s.n - suffix.n), INT64_MAX / units[i].factor,
				  &n) < 0 ||
		    !n)
			return -EINVAL;
		*ret_bytes = n * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

static int put_limits(struct osh_cli *cli, const struct osh_args *args, struct osh_json *j)
{
	const char *cpu = osh_args_get(args, "cpu"), *memory = osh_args_get(args, "memory");
	uint64_t n;
	int code;

	if (cpu) {
		if (parse_cpu(osh_str(cpu), &n) < 0)
			return osh_cli_usage(cli, args,
					     "invalid value %s for --cpu: cores like 0.5 or "
					     "thousandths like 500m",
					     OSH_Q(cpu));
		osh_json_ku64(j, "cpu_millis", n);
	}
	if (memory) {
		if (parse_memory(osh_str(memory), &n) < 0)
			return osh_cli_usage(cli, args,
					     "invalid value %s for --memory: a number with Ki, Mi, "
					     "Gi, K, M, G or nothing behind",
					     OSH_Q(memory));
		osh_json_ku64(j, "memory_bytes", n);
	}
	code = osh_cli_u64(cli, args, "pids", 4194304, 0, &n);
	if (code == 0 && n)
		osh_json_ku64(j, "pids", n);
	return code;
}

/* ---- create ---- */

static int check_flags(struct osh_cli *cli, const struct osh_args *args)
{
	static const char *const conflicts[][2] = {
		{ "keep", "no-keep" },
		{ "detach", "no-keep" },
		{ "output", "no-keep" },
		{ "auto-providers", "no-auto-providers" },
	};
	const char *name = osh_args_get(args, "name"), *why;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(conflicts); i++)
		if (osh_args_has(args, conflicts[i][0]) && osh_args_has(args, conflicts[i][1]))
			return osh_cli_usage(cli, args, "--%s and --%s exclude each other",
					     conflicts[i][0], conflicts[i][1]);
	if (osh_args_has(args, "output") && args->rest_count)
		return osh_cli_usage(cli, args, "--output and a command exclude each other");
	if (name && !osh_sandbox_name_ok(osh_str(name), &why))
		return osh_cli_fail(cli, NULL, NULL, "sandbox name %s %s", OSH_Q(name), why);
	return osh_session_check_env(cli, args);
}

static int put_create(struct osh_cli *cli, const struct osh_args *args, struct osh_json *j)
{
	osh_auto_bufmem struct osh_buf policy = { 0 };
	const char *file = osh_args_get(args, "policy");
	int code;

	osh_json_kz(j, "name", osh_args_get(args, "name"));
	if (!file)
		file = secure_getenv("OPENSHELL_SANDBOX_POLICY");
	if (file && *file) {
		code = osh_cli_read_file(cli, "read the policy", file, POLICY_BYTES, &policy);
		if (code)
			return code;
		if (!osh_utf8_is_valid(osh_buf_str(&policy)))
			return osh_cli_fail(cli, "read the policy", NULL, "%s is not UTF-8", file);
		osh_json_kstr(j, "policy", osh_buf_str(&policy));
		osh_json_kz(j, "policy_file", file);
	}
	osh_json_kbool(j, "keep", !osh_args_has(args, "no-keep"));
	osh_json_kz(j, "workdir", osh_args_get(args, "workdir"));
	code = osh_cli_pairs(cli, args, "label", "labels", j);
	if (code == 0)
		code = osh_cli_pairs(cli, args, "env", "env", j);
	return code ? code : put_limits(cli, args, j);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* A line per stage; on a terminal the line of the stage under way is overwritten. */
static void show_stage(struct osh_cli *cli, const struct timespec *start, const char *text,
		       bool done)
{
	if (cli->err_tty && done)
		fprintf(cli->err, "\r\033[K%s\xe2\x9c\x93%s %s\n", cli->err_color ? "\033[32m" : "",
			cli->err_color ? "\033[0m" : "", text);
	else if (cli->err_tty)
		fprintf(cli->err, "\r\033[K  %s", text);
	else if (!done)
		fprintf(cli->err, "  [%.1fs] %s\n", seconds_since(start), text);
	fflush(cli->err);
}

static int await_creation(struct osh_cli *cli, struct osh_rpc *rpc, bool quiet,
			  struct osh_ctl_reply *reply)
{
	const char *limit = secure_getenv("OPENSHELL_PROVISION_TIMEOUT");
	uint64_t limit_s = PROVISION_S;
	struct timespec start;
	char last[64] = "";

	if (limit && osh_parse_u64(osh_str(limit), 86400, &limit_s) < 0)
		limit_s = PROVISION_S;
	(void)clock_gettime(CLOCK_MONOTONIC, &start); /* cannot fail for this clock */
	if (!quiet)
		show_stage(cli, &start, "Requesting sandbox...", false);
	for (;;) {
		double left = (double)limit_s - seconds_since(&start);
		int code;

		code = osh_rpc_next(cli, rpc, left > 0 ? (int)(left * 1000) : 0, reply);
		if (code == OSH_EXIT_TIMEOUT)
			return osh_cli_fail(cli, NULL, NULL,
					    "sandbox provisioning timed out after %llus%s%s",
					    (unsigned long long)limit_s,
					    *last ? ". Last reported status: " : "", last);
		if (code) {
			if (!quiet && cli->err_tty)
				fputc('\n', cli->err);
			return code;
		}
		if (!reply->continues)
			break;
		(void)osh_strlcpy(last, osh_reply_z(reply, "stage"), sizeof(last));
		if (!quiet) {
			show_stage(cli, &start, "Sandbox allocated", true);
			show_stage(cli, &start, "Starting sandbox...", false);
		}
		osh_ctl_reply_fini(reply);
	}
	if (!quiet)
		show_stage(cli, &start, "Sandbox ready", true);
	return 0;
}

static int print_created(struct osh_cli *cli, enum osh_out_format format,
			 const struct osh_ctl_reply *reply)
{
	return osh_out_value(cli, format, osh_jval_get(reply->params, "sandbox"));
}

/* Delete a sandbox that was not to be kept; the daemon may have done it already. */
static void delete_after(struct osh_cli *cli, const char *name)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;

	osh_rpc_begin(&rpc, "delete the sandbox");
	osh_json_kz(&rpc.j, "name", name);
	if (osh_rpc_ask(cli, &rpc, "SandboxDelete", &reply) == 0 && reply.error &&
	    !osh_rpc_is(&reply, OSH_CTL_ERR_NOT_FOUND))
		(void)osh_rpc_tell(cli, rpc.what, &reply);
}

static int attach_created(struct osh_cli *cli, const struct osh_args *args, const char *name,
			  bool keep)
{
	struct osh_session_cfg cfg = {
		.sandbox = name,
		.argv = args->rest,
		.argc = args->rest_count,
		.args = args,
	};
	bool asked = osh_args_has(args, "tty") || osh_args_has(args, "no-tty");
	int code = osh_session_wants_tty(cli, args, &cfg.tty);

	if (code)
		return code;
	/* nobody to talk to: start the program, if one was named, and leave it running */
	cfg.detach = osh_args_has(args, "detach") || (keep && !asked && !cfg.tty);
	if (cfg.detach)
		cfg.tty = false;
	if (cfg.detach && !cfg.argc)
		return OSH_EXIT_OK;
	code = osh_session_run(cli, &cfg);
	if (!keep)
		delete_after(cli, name);
	return code;
}

static int sandbox_create(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	bool keep = !osh_args_has(args, "no-keep"), structured = osh_args_has(args, "output");
	const char *wanted = osh_args_get(args, "name");
	osh_auto_rpc struct osh_rpc rpc;
	enum osh_out_format format;
	char name[64], what[96];
	int code;

	(void)snprintf(what, sizeof(what), "create sandbox%s%s", wanted ? " " : "",
		       wanted ? OSH_Q(wanted) : "");
	osh_rpc_begin(&rpc, what);
	if (osh_out_format(cli, args, &format) < 0)
		return OSH_EXIT_USAGE;
	structured = structured && format != OSH_OUT_TABLE;
	code = check_flags(cli, args);
	if (code == 0)
		code = put_create(cli, args, &rpc.j);
	if (code)
		return code;
	if (structured)
		fputs("Provisioning sandbox (structured output on stdout)...\n", cli->err);
	code = osh_rpc_start(cli, &rpc, "SandboxCreate", OSH_CTL_MORE);
	if (code == 0)
		code = await_creation(cli, &rpc, structured, &reply);
	if (code && reply.error && osh_rpc_is(&reply, OSH_CTL_ERR_EXISTS))
		fprintf(cli->err,
			"\nhint: delete it first with: openshell sandbox delete %s\n"
			"      or use a different name\n",
			wanted ? wanted : "<name>");
	if (code)
		return code;
	osh_reply_warnings(cli, &reply);
	(void)osh_strlcpy(
		name, osh_jval_z(osh_jval_get(osh_jval_get(reply.params, "sandbox"), "name"), ""),
		sizeof(name));
	if (keep)
		osh_last_save(cli, name);
	if (structured)
		return print_created(cli, format, &reply);
	fprintf(cli->out, "\nCreated sandbox: %s\n\n", name);
	return attach_created(cli, args, name, keep);
}

static const struct osh_opt create_opts[] = {
	{ "name", 0, "NAME", "Name; generated when absent", 0, NULL },
	{ "policy", 0, "FILE", "Policy [env: OPENSHELL_SANDBOX_POLICY]", 0, "file" },
	{ "keep", 0, NULL, "Keep the sandbox when its shell ends (the default)", 0, NULL },
	{ "no-keep", 0, NULL, "Delete the sandbox when the command or shell ends", 0, NULL },
	{ "detach", 0, NULL, "Start the command, do not attach", 0, NULL },
	{ "tty", 0, NULL, "Use a terminal even if ours is none", 0, NULL },
	{ "no-tty", 0, NULL, "Use pipes instead of a terminal", 0, NULL },
	{ "env", 0, "K=V", "Environment of every program in it", OSH_OPT_REPEAT, NULL },
	{ "no-credential-warnings", 0, NULL, "Do not warn about keys that look like credentials", 0,
	  NULL },
	{ "label", 0, "K=V", "Label", OSH_OPT_REPEAT, NULL },
	{ "workdir", 0, "DIR", "Working directory (default /sandbox)", 0, NULL },
	{ "cpu", 0, "CORES", "CPU limit: 0.5, 2 or 500m", 0, NULL },
	{ "memory", 0, "SIZE", "Memory limit: 512Mi, 2G", 0, NULL },
	{ "pids", 0, "N", "Most processes and threads", 0, NULL },
	{ "auto-providers", 0, NULL, "Accepted", OSH_OPT_HIDDEN, NULL },
	{ "no-auto-providers", 0, NULL, "Accepted; providers are never made unasked", 0, NULL },
	OSH_OUT_OPT,
	{ 0 },
};

const struct osh_cmd osh_cmd_sandbox_create = {
	.name = "create",
	.args = "[-- CMD...]",
	.help = "Create a sandbox and open a shell in it",
	.more = "Without a command an interactive shell is opened; leaving it keeps the sandbox\n"
		"unless --no-keep is given. When standard input or output is no terminal, the\n"
		"command is started and left running (--no-tty attaches to it with pipes).",
	.opts = create_opts,
	.takes_rest = true,
	.fn = sandbox_create,
};

/* ---- connect, exec ---- */

static int sandbox_connect(struct osh_cli *cli, const struct osh_args *args)
{
	char last[64];
	struct osh_session_cfg cfg = { .args = args, .remember = true };
	int code = osh_session_wants_tty(cli, args, &cfg.tty);

	if (code)
		return code;
	cfg.sandbox = osh_last_resolve(cli, osh_args_pos(args, 0), last);
	if (!cfg.sandbox)
		return OSH_EXIT_ERROR;
	return osh_session_run(cli, &cfg);
}

static const struct osh_opt connect_opts[] = {
	{ "tty", 0, NULL, "Use a terminal even if ours is none", 0, NULL },
	{ "no-tty", 0, NULL, "Use pipes instead of a terminal", 0, NULL },
	{ 0 },
};

const struct osh_cmd osh_cmd_sandbox_connect = {
	.name = "connect",
	.args = "[NAME]",
	.help = "Open a new shell in a running sandbox",
	.opts = connect_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.fn = sandbox_connect,
};

static int sandbox_exec(struct osh_cli *cli, const struct osh_args *args)
{
	char last[64];
	const char *given = osh_args_get(args, "name");
	struct osh_session_cfg cfg = {
		.argv = args->rest,
		.argc = args->rest_count,
		.args = args,
		.remember = true,
	};
	int code = osh_session_wants_tty(cli, args, &cfg.tty);

	if (code == 0)
		code = osh_cli_u64(cli, args, "timeout", 86400 * 365, 0, &cfg.timeout_s);
	if (code == 0)
		code = osh_session_check_env(cli, args);
	if (code)
		return code;
	if (!cfg.argc)
		return osh_cli_usage(cli, args, "sandbox exec needs a command behind --");
	if (given && args->pos_count)
		return osh_cli_usage(cli, args, "the sandbox is named twice");
	cfg.sandbox = osh_last_resolve(cli, given ? given : osh_args_pos(args, 0), last);
	if (!cfg.sandbox)
		return OSH_EXIT_ERROR;
	return osh_session_run(cli, &cfg);
}

static const struct osh_opt exec_opts[] = {
	{ "name", 'n', "NAME", "Sandbox", 0, "sandbox" },
	{ "workdir", 0, "DIR", "Working directory", 0, NULL },
	{ "timeout", 0, "SECONDS", "End it after so long, exit code 124 (0: never)", 0, NULL },
	{ "tty", 0, NULL, "Use a terminal even if ours is none", 0, NULL },
	{ "no-tty", 0, NULL, "Use pipes instead of a terminal", 0, NULL },
	{ "env", 0, "K=V", "Environment variable", OSH_OPT_REPEAT, NULL },
	{ "no-credential-warnings", 0, NULL, "Do not warn about keys that look like credentials", 0,
	  NULL },
	{ 0 },
};

const struct osh_cmd osh_cmd_sandbox_exec = {
	.name = "exec",
	.args = "[NAME] -- CMD...",
	.help = "Run a command in a sandbox; exits with its exit code",
	.opts = exec_opts,
	.complete = "sandbox",
	.pos_max = 1,
	.takes_rest = true,
	.fn = sandbox_exec,
};
