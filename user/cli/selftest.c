/* SPDX-License-Identifier: MIT */
/*
 * selftest: the daemon tries the ways out of a sandbox. Root tries the kernel fence alone from here: this
 * process has the capabilities and system calls that the daemon gave up, so that the fence must hold
 * without their help.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cli/out.h"
#include "cli/rpc.h"
#include "cli/table.h"
#include "selftest/selftest.h"
#include "sys/fs.h"

enum { LENT_MS = 10000, LINE_MAX_BYTES = 512 };

struct totals {
	uint64_t closed, open, not_tried;
	enum osh_out_format format;
	struct osh_buf text; /* of anything but a table */
	struct osh_json j;
};

static void add_attempt(struct totals *t, int state, const char *name, const char *detail)
{
	static const char *const words[] = { "open", "closed", "not tried" };

	osh_json_obj(&t->j);
	osh_json_kz(&t->j, "name", name);
	osh_json_kz(&t->j, "status", words[state]);
	osh_json_kz(&t->j, "detail", detail);
	osh_json_obj_end(&t->j);
}

/* "  closed  name (detail)" */
static void print_attempt(struct osh_cli *cli, struct totals *t, int state, const char *name,
			  const char *detail)
{
	static const char *const words[] = { "OPEN  ", "closed", "n/a   " };
	static const char *const colours[] = { "\033[31m", "\033[32m", "\033[33m" };

	if (t->format != OSH_OUT_TABLE) {
		add_attempt(t, state, name, detail);
		return;
	}
	fputs("  ", cli->out);
	if (cli->out_color)
		fputs(colours[state], cli->out);
	fputs(words[state], cli->out);
	if (cli->out_color)
		fputs("\033[0m", cli->out);
	fputs("  ", cli->out);
	osh_out_text(cli->out, osh_str(name));
	fputs(" (", cli->out);
	osh_out_text(cli->out, osh_str(detail));
	fputs(")\n", cli->out);
	(void)fflush(cli->out);
}

/* ---- the fence, from here ---- */

static void report(void *arg, const char *stage, unsigned int index, int state, const char *detail)
{
	char name[128], line[LINE_MAX_BYTES];
	int n;

	osh_selftest_title(stage, index, name, sizeof(name));
	n = snprintf(line, sizeof(line), "%d\t%s\t%s\n", state, name, detail);
	if (osh_fs_write_all(*(const int *)arg, line, (size_t)n) < 0)
		_exit(1); /* nobody wants to know any more */
}

/* A child: it changes its network namespace. */
static pid_t start_fence(int cgroup_fd, int out)
{
	pid_t parent = getpid(), pid = fork();
	int r;

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	r = osh_selftest_fence(cgroup_fd, report, &out);
	if (r < 0)
		report(&out, "fence", UINT32_MAX, OSH_SELFTEST_OPEN, strerror(-r));
	_exit(0);
}

static void take_line(struct osh_cli *cli, struct totals *t, char *line)
{
	char *name = strchr(line, '\t'), *detail = name ? strchr(name + 1, '\t') : NULL;
	int state = line[0] - '0';

	if (!detail || state < OSH_SELFTEST_OPEN || state > OSH_SELFTEST_NA)
		return;
	*name++ = '\0';
	*detail++ = '\0';
	detail[strcspn(detail, "\n")] = '\0';
	t->closed += state == OSH_SELFTEST_CLOSED;
	t->open += state == OSH_SELFTEST_OPEN;
	t->not_tried += state == OSH_SELFTEST_NA;
	print_attempt(cli, t, state, name, detail);
}

static int run_fence(struct osh_cli *cli, int cgroup_fd, struct totals *t)
{
	char line[LINE_MAX_BYTES];
	int p[2], status = 0;
	FILE *in;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return osh_cli_fail(cli, "run the self-test", NULL, "%s", strerror(errno));
	pid = start_fence(cgroup_fd, p[1]);
	(void)close(p[1]);
	in = fdopen(p[0], "r");
	if (!in)
		(void)close(p[0]);
	while (in && fgets(line, sizeof(line), in))
		take_line(cli, t, line);
	if (in)
		(void)fclose(in);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		t->open++;
		print_attempt(cli, t, OSH_SELFTEST_OPEN, "fence: set-up", "it ended early");
	}
	return 0;
}

/* Borrow a cgroup of the daemon's for as long as it takes. */
static int fence_here(struct osh_cli *cli, struct totals *t)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_rpc struct osh_rpc rpc;
	int code;

	osh_rpc_begin(&rpc, "run the self-test");
	code = osh_rpc_start(cli, &rpc, "SelftestCgroup", OSH_CTL_MORE);
	if (code == 0)
		code = osh_rpc_next(cli, &rpc, LENT_MS, &reply);
	if (code)
		return code;
	if (reply.fds[0] < 0)
		return osh_cli_fail(cli, "run the self-test", NULL, "the daemon lent no cgroup");
	return run_fence(cli, reply.fds[0], t);
}

/* ---- the rest ---- */

static int state_of(const struct osh_jval *c)
{
	const char *state = osh_jval_z(osh_jval_get(c, "status"), "fail");

	return !strcmp(state, "ok")	? OSH_SELFTEST_CLOSED
	       : !strcmp(state, "warn") ? OSH_SELFTEST_NA
					: OSH_SELFTEST_OPEN;
}

/* 0: every way is closed. */
static int print_totals(struct osh_cli *cli, struct totals *t)
{
	int code = t->open || !t->closed ? OSH_EXIT_ERROR : OSH_EXIT_OK, r;

	if (t->format == OSH_OUT_TABLE) {
		fprintf(cli->out, "\n%" PRIu64 " closed, %" PRIu64 " open, %" PRIu64 " not tried\n",
			t->closed, t->open, t->not_tried);
		return code;
	}
	osh_json_arr_end(&t->j);
	osh_json_ku64(&t->j, "closed", t->closed);
	osh_json_ku64(&t->j, "open", t->open);
	osh_json_ku64(&t->j, "not_tried", t->not_tried);
	osh_json_obj_end(&t->j);
	r = t->j.err ? osh_cli_fail(cli, "show the result", NULL, "%s", strerror(-t->j.err))
		     : osh_out_data(cli, t->format, osh_buf_str(&t->text));
	return r ? r : code;
}

static int try_all(struct osh_cli *cli, struct totals *t)
{
	osh_auto_rpc struct osh_rpc rpc;
	bool here = geteuid() == 0;
	int code = here ? fence_here(cli, t) : 0;

	osh_rpc_begin(&rpc, "run the self-test");
	osh_json_kbool(&rpc.j, "fence", !here);
	if (code == 0)
		code = osh_rpc_start(cli, &rpc, "Selftest", OSH_CTL_MORE);
	while (code == 0) {
		osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
		const struct osh_jval *c;

		code = osh_rpc_next(cli, &rpc, -1, &reply);
		if (code)
			return code;
		c = osh_jval_get(reply.params, "check");
		if (c)
			print_attempt(cli, t, state_of(c), osh_jval_z(osh_jval_get(c, "name"), ""),
				      osh_jval_z(osh_jval_get(c, "detail"), ""));
		if (reply.continues)
			continue;
		t->closed += osh_reply_u64(&reply, "passed");
		t->open += osh_reply_u64(&reply, "failed");
		t->not_tried += osh_reply_u64(&reply, "skipped");
		if (!osh_reply_u64(&reply, "passed"))
			t->closed = 0; /* the sandbox was not tried at all */
		return print_totals(cli, t);
	}
	return code;
}

static int selftest(struct osh_cli *cli, const struct osh_args *args)
{
	struct totals t = { 0 };
	int code;

	if (osh_out_format(cli, args, &t.format) < 0)
		return OSH_EXIT_USAGE;
	osh_buf_init(&t.text, 1 << 20, 0);
	osh_json_init(&t.j, &t.text, 0);
	osh_json_obj(&t.j);
	osh_json_key(&t.j, "attempts");
	osh_json_arr(&t.j);
	code = try_all(cli, &t);
	osh_buf_fini(&t.text);
	return code;
}

static const struct osh_opt selftest_opts[] = { OSH_OUT_OPT, { 0 } };

const struct osh_cmd osh_cmd_selftest = {
	.name = "selftest",
	.help = "Try every known way out of a throw-away sandbox",
	.more = "Exit code 1 when a way is open or the sandbox could not be tried. As root the "
		"kernel part is tried with every privilege as well.",
	.opts = selftest_opts,
	.fn = selftest,
};
