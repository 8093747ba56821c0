/* SPDX-License-Identifier: MIT */
/* openshellctl as a process against a server of canned answers: requests, output, exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "base/macros.h"
#include "fake.h"

static void links_neither_libcrypto_nor_libbpf(void **state)
{
	char cmd[4300];
	int p[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	(void)snprintf(cmd, sizeof(cmd), "%s", exe);
	pid = fork();
	if (!pid) {
		dup2(p[1], 1);
		execlp("ldd", "ldd", cmd, (char *)NULL);
		_exit(1);
	}
	close(p[1]);
	assert_true(slurp(p[0], out, sizeof(out)) > 50);
	waitpid(pid, NULL, 0);
	assert_null(strstr(out, "libcrypto"));
	assert_null(strstr(out, "libssl"));
	assert_null(strstr(out, "libbpf"));
	assert_null(strstr(out, "sqlite"));
	assert_null(strstr(out, "seccomp"));
}

static void usage_errors_exit_2_and_say_what(void **state)
{
	static const char *const rows[][2] = {
		{ "polcy", "error: unknown command \"polcy\"; did you mean 'policy'?\n" },
		{ "sandbox frob", "error: unknown command \"frob\"\n  hint: see 'openshellctl "
				  "sandbox --help'\n" },
		{ "sandbox list --namse", "did you mean --names?" },
		{ "sandbox list --limit", "option --limit needs a value: N" },
		{ "sandbox list --limit x", "invalid value \"x\" for --limit" },
		{ "sandbox list --names=x", "option --names takes no value" },
		{ "sandbox list --names --names", "was given twice" },
		{ "sandbox list extra", "unexpected argument \"extra\"" },
		{ "sandbox list -o xml", "it is table, yaml or json" },
		{ "sandbox exec demo ls", "a command to run goes behind --" },
		{ "sandbox exec demo", "needs a command behind --" },
		{ "sandbox delete", "needs either names or --all" },
		{ "sandbox create --keep --no-keep", "exclude each other" },
		{ "sandbox create --env 1X=2", "environment key \"1X\"" },
		{ "sandbox create --env X", "expected KEY=VALUE" },
		{ "sandbox create --cpu 0", "invalid value \"0\" for --cpu" },
		{ "sandbox create --memory 5Q", "invalid value \"5Q\" for --memory" },
		{ "policy set demo", "needs --policy FILE" },
		{ "policy rollback demo x", "is no version number" },
		{ "policy get demo -o yaml", "table and json only" },
		{ "logs demo --source x", "it is all, gateway or sandbox" },
		{ "logs demo --format x", "line, ocsf, json or record" },
		{ "completions fish", "bash is known" },
		{ "sandbox", "Usage: openshellctl sandbox COMMAND" },
	};

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		RUN(2, rows[i][0]);
		if (!strstr(err, rows[i][1]))
			print_message("%s: %s", rows[i][0], err);
		assert_non_null(strstr(err, rows[i][1]));
		assert_string_equal(out, "");
	}
}

static void options_stand_anywhere(void **state)
{
	(void)state;
	set_mode("");
	RUN(0, "--socket /nonexistent sb --help ls");
	assert_non_null(strstr(out, "Usage: openshellctl sandbox list"));
	RUN(0, "pol ls --limit=7 demo");
	assert_non_null(strstr(sh->params, "\"limit\":7"));
	RUN(0, "lg -n5 demo");
	assert_non_null(strstr(sh->params, "\"lines\":5"));
	RUN(0, "sandbox get -ojson demo");
	RUN(0, "--version");
	assert_string_equal(out, "openshellctl 0.1.0\n");
}

static void create_sends_everything_and_detaches_without_a_terminal(void **state)
{
	(void)state;
	set_mode("");
	write_file("p.yaml", "version: 1\n");
	assert_int_equal(chdir(dir), 0);
	RUN(0, "sandbox create --name demo --keep --no-auto-providers --policy p.yaml --label a=b "
	       "--label c=[d --env X=1 --env MY_TOKEN=s3cret --workdir /sandbox --cpu 0.5 --memory "
	       "512Mi --pids 100");
	assert_string_equal(out, "\nCreated sandbox: demo\n\n");
	assert_non_null(strstr(err, "MY_TOKEN looks like a credential"));
	assert_null(strstr(err, "s3cret"));
	assert_string_equal(sh->method, "SandboxCreate");
	assert_non_null(strstr(sh->params, "\"policy\":\"version: 1\\n\""));
	assert_non_null(strstr(sh->params, "\"policy_file\":\"p.yaml\""));
	assert_non_null(strstr(sh->params, "\"cpu_millis\":500"));
	assert_non_null(strstr(sh->params, "\"memory_bytes\":536870912"));
	assert_non_null(strstr(sh->params, "\"pids\":100"));
	assert_non_null(strstr(sh->params, "\"keep\":true"));
	/* the name is remembered */
	RUN(0, "sandbox get --policy-only");
	assert_string_equal(err, "\xe2\x86\x92 Using sandbox 'demo' (last used)\n");
	assert_non_null(strstr(sh->params, "\"name\":\"demo\""));
	/* and forgotten */
	RUN(0, "sandbox delete demo");
	RUN(1, "sandbox get");
	assert_non_null(strstr(err,
			       "No sandbox name provided and no last-used sandbox.\nSpecify a "
			       "sandbox name or connect to one first: openshell sandbox connect "
			       "<name>\n"));
	/* structured output keeps stdout clean */
	RUN(0, "sandbox create -o json");
	assert_non_null(strstr(out, "\"name\": \"brave-otter\""));
	assert_string_equal(err, "Provisioning sandbox (structured output on stdout)...\n");
	set_mode("exists");
	RUN(1, "sandbox create --name demo");
	assert_non_null(strstr(err,
			       "error: cannot create sandbox \"demo\": sandbox 'demo' already "
			       "exists\n\nhint: delete it first with: openshell sandbox delete "
			       "demo\n      or use a different name\n"));
	set_mode("");
	RUN(1, "sandbox create --name Bad_Name");
	assert_string_equal(sh->method, "");
}

static void listings_are_exact(void **state)
{
	(void)state;
	set_mode("");
	RUN(0, "sandbox list");
	assert_string_equal(out, "NAME           CREATED              PHASE\n"
				 "demo           2026-04-01 03:28:52  Ready\n"
				 "a-longer-name  2026-04-01 03:28:52  Ready\n");
	RUN(0, "sandbox list --names");
	assert_string_equal(out, "demo\na-longer-name\n");
	RUN(0, "sandbox list -l [team=a b,x=y]");
	assert_non_null(strstr(sh->params, "\"labels\":{\"team\":\"a b\",\"x\":\"y\"}"));
	RUN(0, "sandbox list -o json");
	assert_int_equal(
		strncmp(out,
			"[\n  {\n    \"annotations\": {},\n    \"created_at\": \"2026-04-01 "
			"03:28:52\",\n    \"current_policy_version\": 3,\n",
			90),
		0);
	RUN(0, "sandbox list -o yaml");
	assert_non_null(strstr(out, "- annotations: {}\n  created_at: \"2026-04-01 03:28:52\"\n"));
	RUN(0, "sandbox get demo");
	assert_string_equal(out, "Sandbox:\n  Id: 6f1c0000-0000-4000-8000-000000000000\n"
				 "  Name: demo\n  Phase: Ready\n  Resource version: 5\n"
				 "  Labels:\n    team: a b\n  Policy source: sandbox\n"
				 "  Revision: 3\n\nPolicy:\n  version: 1\n  network_policies:\n"
				 "    a: {}\n");
	set_mode("empty");
	RUN(0, "sandbox list");
	assert_string_equal(out, "No sandboxes found.\n");
	RUN(0, "sandbox list --ids");
	assert_string_equal(out, "");
	RUN(0, "sandbox delete --all");
	assert_string_equal(out, "No sandboxes to delete.\n");
	set_mode("");
	RUN(0, "sandbox delete demo gone");
	assert_string_equal(out, "\xe2\x9c\x93 Deleted sandbox demo\n! Sandbox gone not found\n");
	RUN(0, "sandbox stop demo");
	assert_string_equal(out, "\xe2\x9c\x93 Stopped sandbox demo\n");
}

static void policy_set_outcomes(void **state)
{
	static const struct {
		const char *mode;
		int code;
		const char *text;
	} rows[] = {
		{ "", 0,
		  "\xe2\x9c\x93 Policy version 4 submitted (hash: 0cc0c2b52557)\n"
		  "\xe2\x9c\x93 Policy version 4 loaded (active version: 4)\n" },
		{ "unchanged", 0, "\xc2\xb7 Policy unchanged (version 4, hash: 0cc0c2b52557)\n" },
		{ "failed", 1,
		  "\xe2\x9c\x93 Policy version 4 submitted (hash: 0cc0c2b52557)\n"
		  "\xe2\x9c\x97 Policy version 4 failed to load: too many frobs\n" },
		{ "superseded", 0,
		  "\xe2\x9c\x93 Policy version 4 submitted (hash: 0cc0c2b52557)\n"
		  "\xe2\x9a\xa0 Policy version 4 was superseded (active version: 6)\n" },
		{ "hang", 124,
		  "\xe2\x9c\x93 Policy version 4 submitted (hash: 0cc0c2b52557)\n"
		  "\xe2\x9c\x97 Timeout waiting for policy version 4 to load\n" },
	};

	(void)state;
	write_file("p.yaml", "version: 1\n");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		set_mode(rows[i].mode);
		RUN(rows[i].code, "policy set demo --policy p.yaml --wait --timeout 1");
		assert_string_equal(out, "");
		assert_string_equal(err, rows[i].text);
	}
	set_mode("");
	RUN(0, "policy set demo --policy p.yaml");
	assert_string_equal(err, "\xe2\x9c\x93 Policy version 4 submitted (hash: 0cc0c2b52557)\n");
	RUN(0, "policy set --global --yes --policy p.yaml");
	assert_string_equal(err,
			    "\xe2\x9c\x93 Global policy configured (hash: 0cc0c2b52557, settings "
			    "revision: 3)\n");
	RUN(1, "policy set --global --policy p.yaml");
	assert_string_equal(err,
			    "error: global setting updates require confirmation; pass --yes in "
			    "non-interactive mode\n");
	RUN(1, "policy set --global --yes --wait --policy p.yaml");
	assert_string_equal(err, "error: --wait is not supported for global policies; global "
				 "policies are effective immediately\n");
	set_mode("invalid");
	RUN(1, "policy set demo --policy p.yaml");
	assert_string_equal(err,
			    "p.yaml:3:1: bad\nerror: cannot set the policy of sandbox \"demo\": "
			    "policy contains unsafe content: bad\n");
}

static void bad_files_are_refused_before_any_call(void **state)
{
	(void)state;
	set_mode("");
	write_file("bad.yaml", "version: 1\nnetwork_polices: {}\n");
	RUN(1, "policy set demo --policy bad.yaml");
	assert_non_null(strstr(err, "bad.yaml:2:1: "));
	assert_non_null(strstr(err, "network_policies"));
	assert_string_equal(sh->method, "");
	RUN(1, "policy set demo --policy missing.yaml");
	assert_string_equal(err, "error: cannot read the policy: missing.yaml: No such file or "
				 "directory\n");
	write_file("head.yaml", "Version:      3\nHash:         x\nStatus:       Effective\n---\n"
				"version: 1\n");
	RUN(1, "policy set demo --policy head.yaml");
	assert_non_null(
		strstr(err, "hint: this is the output of 'policy get': leave out the header"));
	assert_string_equal(sh->method, "");
}

static void policy_get_and_list_are_exact(void **state)
{
	(void)state;
	set_mode("");
	RUN(0, "policy get demo --full");
	assert_string_equal(out,
			    "Version:      3\n"
			    "Hash:         "
			    "0cc0c2b525570000000000000000000000000000000000000000000000000000\n"
			    "Status:       Effective\nSource:       sandbox\n"
			    "Config rev:   77\n---\nversion: 1\n");
	RUN(0, "policy get demo");
	assert_null(strstr(out, "---"));
	set_mode("rev");
	RUN(0, "policy get demo --rev 3");
	assert_non_null(strstr(out, "Status:       Failed\nActive:       2\nCreated:      "
				    "1775014132118 ms\nError:        too many frobs\n"));
	set_mode("");
	RUN(0, "policy get demo -o json");
	assert_string_equal(out,
			    "{\n  \"active_version\": 2,\n  \"config_revision\": 77,\n  \"hash\": "
			    "\"0cc0c2b525570000000000000000000000000000000000000000000000000000\","
			    "\n  \"policy_source\": \"sandbox\",\n  \"sandbox\": \"demo\",\n  "
			    "\"scope\": \"sandbox\",\n  \"status\": \"effective\",\n  \"version\": "
			    "3\n}\n");
	set_mode("nohistory");
	RUN(0, "policy get demo");
	assert_string_equal(err, "No policy history found for sandbox 'demo'\n");
	RUN(0, "policy get --global");
	assert_string_equal(err, "No global policy history found\n");
	set_mode("");
	RUN(0, "policy list demo");
	assert_string_equal(
		out,
		"VERSION  HASH           STATUS       CREATED                  ERROR\n"
		"3        0cc0c2b52557   Loaded       1775014132118            \n"
		"2        9f86d081884c   Superseded   1775014100000            \n"
		"1        e3b0c44298fc   Failed       1775014090000            policy contains "
		"unsafe content: too many...\n");
	RUN(1, "policy delete demo");
	assert_string_equal(err, "error: sandbox policy delete is not supported; use --global to "
				 "remove global policy lock\n");
}

static void policy_update_checks_flags_first(void **state)
{
	static const char *const rows[][2] = {
		{ "policy update demo", "policy update requires at least one operation flag" },
		{ "policy update demo --binary /bin/x --remove-rule a",
		  "--binary can only be used with --add-endpoint" },
		{ "policy update demo --binary [ ] --add-endpoint h.example:443",
		  "--binary values must not be empty" },
		{ "policy update demo --rule-name a --remove-rule b",
		  "--rule-name can only be used with --add-endpoint" },
		{ "policy update demo --rule-name a --add-endpoint a.example:1 --add-endpoint "
		  "b.example:1",
		  "--rule-name is only supported when exactly one --add-endpoint is provided" },
		{ "policy update demo --wait --dry-run --remove-rule a",
		  "--wait cannot be combined with --dry-run" },
		{ "policy update demo --add-endpoint h",
		  "--add-endpoint expects "
		  "host:port[:access[:protocol[:enforcement[:options]]]], got 'h'" },
	};

	(void)state;
	set_mode("");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		char want[300];

		RUN(1, rows[i][0]);
		(void)snprintf(want, sizeof(want), "error: %s\n", rows[i][1]);
		assert_string_equal(err, want);
		assert_string_equal(sh->method, "");
	}
	set_mode("dry");
	RUN(0,
	    "policy update demo --dry-run --add-endpoint a.example:443:read-only --remove-rule b");
	assert_string_equal(err,
			    "\xe2\x9c\x93 Dry run preview for 2 incremental policy operation(s)\n"
			    "! expanded access preset 'read-only' to explicit rules for endpoint "
			    "api.github.com:443\n");
	assert_string_equal(out, "Policy:\n\n  version: 1\n");
	assert_non_null(strstr(sh->params, "\"add_endpoints\":[\"a.example:443:read-only\"]"));
	set_mode("");
	RUN(0, "policy rollback demo 2 --wait");
	assert_non_null(strstr(sh->params, "\"version\":2"));
}

static void settings_are_exact(void **state)
{
	(void)state;
	set_mode("");
	RUN(0, "settings get demo");
	assert_string_equal(out,
			    "Sandbox:       demo\nConfig Rev:    9\nPolicy Source: sandbox\n"
			    "Policy Hash:   abc\nSettings:\n  ocsf_json_enabled = true (global)\n"
			    "  providers_v2_enabled = <unset> (unset)\n");
	RUN(0, "settings set demo --key a --value b");
	assert_string_equal(out, "\xe2\x9c\x93 Set sandbox setting a=b for demo (revision 3)\n");
	RUN(0, "settings set --global --yes --key a --value b");
	assert_string_equal(out, "\xe2\x9c\x93 Set global setting a=b (revision 3)\n");
	RUN(0, "settings delete demo --key a");
	assert_string_equal(out, "\xe2\x9c\x93 Deleted sandbox setting a for demo (revision 4)\n");
	set_mode("missing");
	RUN(0, "settings delete demo --key a");
	assert_string_equal(out, "! Sandbox setting a not found for demo\n");
}

static void logs_print_the_tutorial_line(void **state)
{
	(void)state;
	set_mode("");
	RUN(0, "logs demo --since 5m --level warn --source sandbox");
	assert_string_equal(out,
			    "[1775014132.690] [sandbox] [WARN ] [openshell_sandbox::proxy] "
			    "action=deny dst_host=api.github.com dst_port=443 "
			    "binary=/usr/bin/curl deny_reason=\"no matching network policy\"\n");
	assert_non_null(strstr(sh->params, "\"level\":\"WARN\""));
	assert_non_null(strstr(sh->params, "\"sources\":[\"sandbox\"]"));
	assert_non_null(strstr(sh->params, "\"lines\":200"));
	RUN(0, "logs demo --format ocsf");
	assert_string_equal(out, "[1775014132.690] [sandbox] [OCSF ] [ocsf] NET:OPEN [MED] DENIED "
				 "/usr/bin/curl(0) -> api.github.com:443 [policy:- engine:opa] "
				 "[reason:no matching network policy]\n");
	RUN(0, "logs demo --format json");
	assert_int_equal(strncmp(out, "{\"action\":\"Denied\",\"action_id\":2,", 33), 0);
	RUN(1, "logs demo --since 5x");
	assert_string_equal(err, "error: unknown duration unit: x (use s, m, or h)\n");
}

static void tail_goes_on_after_a_restart(void **state)
{
	char *argv[] = { exe, (char *)(uintptr_t) "logs", (char *)(uintptr_t) "demo",
			 (char *)(uintptr_t) "--tail", NULL };
	int p[2], status;
	size_t lines = 0;
	pid_t pid;

	(void)state;
	set_mode("");
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(p[1], 1);
		execv(exe, argv);
		_exit(126);
	}
	close(p[1]);
	/* the first server dies after two records; the second sends 1 and 2 again: not repeated */
	waitpid(server_pid, &status, 0);
	server_start();
	waitpid(server_pid, &status, 0);
	server_start();
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	(void)slurp(p[0], out, sizeof(out));
	for (const char *c = out; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 2);
}

static void unreachable_daemon_is_explained(void **state)
{
	(void)state;
	RUN(1, "sandbox list --socket /nonexistent/s");
	assert_string_equal(err,
			    "error: cannot list sandboxes: openshelld does not answer at "
			    "/nonexistent/s\n  hint: start it with 'openshell gateway start', or "
			    "name its socket with --socket\n");
	RUN(0, "status --socket /nonexistent/s");
	assert_non_null(strstr(out, "  Status: Disconnected\n"));
	RUN(0, "status");
	assert_non_null(strstr(out, "Server Status\n\n  Gateway: local\n"));
	assert_non_null(strstr(out, "  Status: Connected\n"));
	RUN(0, "status -o json --socket /nonexistent/s");
	assert_non_null(strstr(out, "\"status\": \"disconnected\""));
}
static char manual[1 << 18];

/* Read before a test changes the working directory. */
static int setup_with_manual(void **state)
{
	int fd = open("user/man/openshellctl.1", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	(void)slurp(fd, manual, sizeof(manual));
	return fake_setup(state);
}

static void the_manual_names_every_command(void **state)
{
	char *next;

	(void)state;
	RUN(0, "help --synopsis");
	for (char *line = out; *line; line = next) {
		/* the words before the first option or argument */
		size_t n = 0;

		next = strchr(line, '\n') + 1;
		while (line[n] == ' ' || line[n] == '-' || (line[n] >= 'a' && line[n] <= 'z'))
			n++;
		while (n && line[n - 1] == ' ')
			n--;
		line[n] = '\0';
		if (!strstr(manual, line))
			print_message("not in openshellctl.1: %s\n", line);
		assert_non_null(strstr(manual, line));
	}
}

static void completion_is_valid_bash(void **state)
{
	(void)state;
	RUN(0, "completions bash");
	write_file("c.bash", out);
	{
		char path[200];
		pid_t pid = fork();
		int status;

		(void)snprintf(path, sizeof(path), "%s/c.bash", dir);
		if (!pid) {
			execl("/bin/bash", "bash", "-c",
			      ". \"$0\"; COMP_WORDS=(openshellctl sandbox cr) COMP_CWORD=2; _openshell; "
			      "[ \"${COMPREPLY[*]}\" = create ] || exit 3; "
			      "COMP_WORDS=(openshellctl policy set --wa) COMP_CWORD=3; _openshell; "
			      "[ \"${COMPREPLY[*]}\" = --wait ] || exit 4; "
			      "COMP_WORDS=(openshellctl logs --level w) COMP_CWORD=3; _openshell; "
			      "[ \"${COMPREPLY[*]}\" = warn ] || exit 5",
			      path, (char *)NULL);
			_exit(126);
		}
		waitpid(pid, &status, 0);
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void colour_only_where_wanted(void **state)
{
	char *argv[] = { exe, (char *)(uintptr_t) "sandbox", (char *)(uintptr_t) "list", NULL };

	(void)state;
	set_mode("");
	for (int no_color = 0; no_color < 2; no_color++) {
		int master, status;
		pid_t pid = forkpty(&master, NULL, NULL, NULL);

		if (!pid) {
			(void)setenv("TERM", "xterm", 1);
			if (no_color)
				(void)setenv("NO_COLOR", "1", 1);
			else
				(void)unsetenv("NO_COLOR");
			execv(exe, argv);
			_exit(126);
		}
		out[0] = '\0';
		expect_on(master, "a-longer-name");
		waitpid(pid, &status, 0);
		close(master);
		assert_int_equal(strchr(out, '\033') != NULL, !no_color);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_neither_libcrypto_nor_libbpf),
		cmocka_unit_test(usage_errors_exit_2_and_say_what),
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(create_sends_everything_and_detaches_without_a_terminal),
		cmocka_unit_test(listings_are_exact),
		cmocka_unit_test(policy_set_outcomes),
		cmocka_unit_test(bad_files_are_refused_before_any_call),
		cmocka_unit_test(policy_get_and_list_are_exact),
		cmocka_unit_test(policy_update_checks_flags_first),
		cmocka_unit_test(settings_are_exact),
		cmocka_unit_test(logs_print_the_tutorial_line),
		cmocka_unit_test(tail_goes_on_after_a_restart),
		cmocka_unit_test(unreachable_daemon_is_explained),
		cmocka_unit_test(the_manual_names_every_command),
		cmocka_unit_test(completion_is_valid_bash),
		cmocka_unit_test(colour_only_where_wanted),
	};

	return cmocka_run_group_tests(tests, setup_with_manual, fake_teardown);
}
