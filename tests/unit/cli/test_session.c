/* SPDX-License-Identifier: MIT */
/* Programs in a sandbox as openshellctl attaches to them: streams, terminal, signals, exit code. */
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

#include "fake.h"

static void a_command_is_started_and_left_running_without_a_terminal(void **state)
{
	(void)state;
	set_mode("");
	RUN(0, "sandbox create --name demo -- /bin/echo hi");
	assert_string_equal(sh->method, "Exec");
	assert_non_null(strstr(sh->params, "\"detach\":true"));
	RUN(0, "sandbox create --name demo --no-tty -- /bin/echo hi");
	assert_non_null(strstr(out, "\nCreated sandbox: demo\n\nhi\n"));
	RUN(3, "sandbox create --name demo --no-keep -- /bin/sh -c [exit 3]");
	assert_string_equal(sh->method, "SandboxDelete");
}

static void exec_passes_streams_and_exit_code(void **state)
{
	static char big[3 << 20];
	char name[] = "/tmp/osh-cli-big-XXXXXX", cmd[256];
	int fd;

	(void)state;
	set_mode("");
	RUN(7, "sandbox exec demo -- /bin/sh -c [echo out; echo err >&2; exit 7]");
	assert_string_equal(out, "out\n");
	assert_string_equal(err, "err\n");
	RUN(0, "sandbox exec -n demo --env A=b --workdir /x --timeout 5 -- /bin/true");
	assert_non_null(strstr(sh->params, "\"env\":{\"A\":\"b\"}"));
	assert_non_null(strstr(sh->params, "\"workdir\":\"/x\""));
	assert_non_null(strstr(sh->params, "\"timeout_s\":5"));
	RUN(143, "sandbox exec demo -- /bin/sh -c [kill -TERM $$]");
	/* more than every pipe holds, through stdin and back */
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)('a' + i % 26);
	fd = mkostemp(name, O_CLOEXEC);
	(void)snprintf(cmd, sizeof(cmd), "sandbox exec demo -- /bin/sh -c [cat >%s]", name);
	assert_int_equal(run_in(big, sizeof(big), cmd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), sizeof(big));
	close(fd);
	unlink(name);
	RUN(0, "sandbox exec demo -- /bin/sh -c [head -c 150000 /dev/zero | base64 -w0]");
	/* a background child that keeps the pipes open does not hold us */
	RUN(0, "sandbox exec demo -- /bin/sh -c [sleep 20 & echo done]");
	assert_string_equal(out, "done\n");
	set_mode("notready");
	RUN(1, "sandbox exec demo -- /bin/true");
	assert_string_equal(err,
			    "error: cannot run a program in sandbox \"demo\": sandbox 'demo' is "
			    "not ready (phase: Stopped); wait for it to reach Ready state\n");
	RUN(1, "sandbox connect demo");
}

static void signals_are_forwarded(void **state)
{
	char *argv[] = {
		exe,
		(char *)(uintptr_t) "sandbox",
		(char *)(uintptr_t) "exec",
		(char *)(uintptr_t) "demo",
		(char *)(uintptr_t) "--",
		(char *)(uintptr_t) "/bin/sh",
		(char *)(uintptr_t) "-c",
		(char *)(uintptr_t) "trap 'echo caught; exit 9' INT; echo up; while :; do sleep "
				    "0.05; done",
		NULL
	};
	char text[64] = { 0 };
	int p[2], status;
	pid_t pid;

	(void)state;
	set_mode("");
	sh->signals = 0;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(p[1], 1);
		execv(exe, argv);
		_exit(126);
	}
	close(p[1]);
	assert_int_equal(read(p[0], text, 3), 3);
	kill(pid, SIGINT);
	waitpid(pid, &status, 0);
	(void)slurp(p[0], out, sizeof(out));
	assert_string_equal(out, "caught\n");
	assert_int_equal(WEXITSTATUS(status), 9);
	assert_int_equal(sh->signals, 1);
}

static void terminal_sessions_are_raw_sized_and_restored(void **state)
{
	char *argv[] = { exe, (char *)(uintptr_t) "sandbox", (char *)(uintptr_t) "connect",
			 (char *)(uintptr_t) "demo", NULL };
	struct winsize ws = { .ws_row = 33, .ws_col = 101 };
	struct termios before, during, after;
	int master, slave, status;
	pid_t pid;

	(void)state;
	set_mode("");
	out[0] = '\0';
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &ws), 0);
	tcgetattr(slave, &before);
	pid = fork();
	if (!pid) {
		login_tty(slave);
		(void)setenv("PS1", "prompt> ", 1);
		execv(exe, argv);
		_exit(126);
	}
	expect_on(master, "# ");
	tcgetattr(slave, &during);
	assert_false(during.c_lflag & (ICANON | ECHO | ISIG));
	assert_non_null(strstr(sh->params, "\"tty\":true"));
	assert_non_null(strstr(sh->params, "\"rows\":33"));
	assert_int_equal(write(master, "stty size\n", 10), 10);
	expect_on(master, "33 101");
	/* a new size reaches the terminal inside */
	ws.ws_row = 44;
	ioctl(master, TIOCSWINSZ, &ws);
	kill(pid, SIGWINCH);
	for (int i = 0; i < 100 && !strstr(out, "44 101"); i++) {
		assert_int_equal(write(master, "stty size\n", 10), 10);
		expect_on(master, "stty");
		usleep(10000);
		expect_on(master, " 101");
	}
	expect_on(master, "44 101");
	/* Ctrl-C is a byte for the program inside, not a signal for us */
	assert_int_equal(write(master, "sleep 100\n", 10), 10);
	usleep(100000);
	assert_int_equal(write(master, "\003", 1), 1);
	assert_int_equal(write(master, "echo rc=$?\n", 11), 11);
	expect_on(master, "rc=130");
	assert_int_equal(write(master, "exit 5\n", 7), 7);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 5);
	tcgetattr(slave, &after);
	assert_int_equal(after.c_lflag, before.c_lflag);
	close(master);
	close(slave);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_is_started_and_left_running_without_a_terminal),
		cmocka_unit_test(exec_passes_streams_and_exit_code),
		cmocka_unit_test(signals_are_forwarded),
		cmocka_unit_test(terminal_sessions_are_raw_sized_and_restored),
	};

	return cmocka_run_group_tests(tests, fake_setup, fake_teardown);
}
