/* SPDX-License-Identifier: MIT */
/* A running sandbox seen from outside and through programs in it: files, sessions, life. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "fixture.h"
#include "sandbox/spec.h"

static struct fx fx; /* the one most tests share */
static struct fx_result res;

#define SH(script) assert_int_equal(fx_sh(&fx, (script), &res), 0)
#define OUT_IS(text)                                  \
	do {                                          \
		assert_string_equal(res.out, (text)); \
		assert_int_equal(res.code, 0);        \
	} while (0)

/* ---- files ---- */

static void root_holds_nothing_unlisted(void **state)
{
	(void)state;
	SH("for e in /*; do case $e in /bin|/sbin|/lib|/lib32|/lib64|/libx32|/usr|/etc|/proc|/dev|"
	   "/tmp|/sandbox|/var) ;; *) echo $e ;; esac; done");
	OUT_IS("");
	SH("for d in /root /home /boot /opt /srv /run /sys /mnt /media /var/lib /var/run "
	   "/lost+found /app; do [ -e $d ] && echo $d; done; ls /var; true");
	OUT_IS("log\n");
}

static void read_only_paths_cannot_be_written(void **state)
{
	(void)state;
	SH("for d in / /usr /usr/lib /etc /var /var/log /proc; do "
	   "(: >$d/osh-x) 2>/dev/null && echo $d; done; "
	   "(: >>/etc/passwd) 2>/dev/null && echo passwd; head -c 2 /usr/bin/env >/dev/null && "
	   "cat /etc/debian_version >/dev/null && echo ok");
	OUT_IS("ok\n");
}

static void private_directories_are_writable_and_private(void **state)
{
	struct stat st;

	(void)state;
	SH("echo 1 >/sandbox/a && echo 2 >/tmp/b && echo 3 >/dev/shm/c && cat /sandbox/a /tmp/b "
	   "/dev/shm/c && stat -c '%a %U' /sandbox /tmp && mv /sandbox/a /sandbox/a2 && "
	   "ln /sandbox/a2 /sandbox/a3");
	OUT_IS("1\n2\n3\n700 sandbox\n1777 root\n");
	assert_int_not_equal(stat("/tmp/b", &st), 0);
	assert_int_equal(fstatat(fx.state_fd, "tmp/b", &st, 0), 0);
	assert_int_equal(st.st_uid, FX_UID);
}

static void generated_files(void **state)
{
	(void)state;
	SH("cat /etc/resolv.conf /etc/hostname; hostname; id -un; id -gn; getent passwd sandbox; "
	   "getent hosts demo; head -1 /etc/openshell-tls/openshell-ca.pem; "
	   "tail -2 /etc/ssl/certs/ca-certificates.crt; "
	   "cmp /etc/ssl/certs/ca-certificates.crt /etc/openshell-tls/ca-bundle.pem; "
	   "grep -c BEGIN $SSL_CERT_FILE | grep -qv '^1$' && echo merged");
	OUT_IS("nameserver 198.18.0.1\noptions edns0\ndemo\ndemo\nsandbox\nsandbox\n"
	       "sandbox:x:42123:42123:sandbox:/sandbox:/bin/bash\n"
	       "127.0.0.1       localhost demo\n"
	       "-----BEGIN CERTIFICATE-----\nTEST\n-----END CERTIFICATE-----\nmerged\n");
}

static void dev_is_minimal_and_works(void **state)
{
	(void)state;
	SH("cd /dev && echo *; head -c 4 /dev/urandom | wc -c; head -c 4 /dev/zero | wc -c; "
	   "echo x >/dev/null; echo y >/dev/stdout; echo z >/dev/stderr; "
	   "[ -e /dev/pts/ptmx ] && echo pty");
	OUT_IS("fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n4\n4\ny\nz\n"
	       "pty\n");
}

static void proc_shows_only_the_sandbox(void **state)
{
	(void)state;
	SH("ls /proc | grep -c '^[0-9]' | { read n; [ $n -lt 8 ] && echo few; }; "
	   "ls -d /proc/1 2>/dev/null; cat /proc/1/environ 2>/dev/null | wc -c; "
	   "cat /proc/sys/kernel/hostname");
	OUT_IS("few\n0\ndemo\n");
}

/* ---- lists of other sandboxes ---- */

static void make_tree(const char *base)
{
	char cmd[2048];

	(void)snprintf(cmd, sizeof(cmd),
		       "mkdir -p %s/ro/sub %s/rw/sub %s/no && chmod -R a+rwX %s && "
		       "echo r >%s/ro/f && echo s >%s/ro/sub/f && echo w >%s/rw/f && "
		       "echo t >%s/rw/sub/f && echo n >%s/no/f && echo l >%s/file && "
		       "chmod -R a+rwX %s && chmod 755 %s && ln -s ro %s/link",
		       base, base, base, base, base, base, base, base, base, base, base, base,
		       base);
	const char *const argv[] = { "/bin/sh", "-c", cmd, NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)execv(argv[0], (char **)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void lists_mean_what_they_say(void **state)
{
	char base[96], text[2048], paths[8][128];
	const char *ro[8], *rw[4];
	struct fx f;
	struct stat st;

	(void)state;
	assert_int_equal(fx_make_dir("tree", base, sizeof(base)), 0);
	make_tree(base);
	const char *const names[] = { "ro", "rw/sub", "file", "link", "rw", "ro/sub", "new/dir" };

	for (size_t i = 0; i < 7; i++)
		(void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", base, names[i]);
	ro[0] = "/usr";
	for (size_t i = 0; i < 4; i++)
		ro[i + 1] = paths[i];
	for (size_t i = 0; i < 3; i++)
		rw[i] = paths[i + 4];
	fx_init(&f);
	f.cfg.read_only = (struct osh_sandbox_paths){ ro, 5 };
	f.cfg.read_write = (struct osh_sandbox_paths){ rw, 3 };
	f.cfg.include_workdir = false;
	assert_int_equal(fx_spawn(&f), 0);
	(void)snprintf(text, sizeof(text),
		       "cd %s; cat ro/f ro/sub/f rw/f rw/sub/f file link/f; "
		       "w() { (: >>$1) 2>/dev/null && echo w $1; }; "
		       "w ro/f; w ro/x; w ro/sub/f; w ro/sub/x; w rw/f; w rw/x; w rw/sub/f; "
		       "w rw/sub/x; w file; w new/dir/x; w x; cat no/f 2>/dev/null; echo *; pwd; "
		       "[ -e /sandbox ] || echo no home; [ -e /etc/debian_version ] || echo no etc",
		       base);
	assert_int_equal(fx_sh(&f, text, &res), 0);
	assert_int_equal(stat(paths[6], &st), 0);
	fx_fini(&f);
	(void)snprintf(text, sizeof(text),
		       "r\ns\nw\nt\nl\nr\nw ro/sub/f\nw ro/sub/x\nw rw/f\nw rw/x\nw new/dir/x\n"
		       "file link new ro rw\n%s\nno home\nno etc\n",
		       base);
	OUT_IS(text);
	assert_int_equal(st.st_uid, FX_UID);
}

static void unsafe_lists_are_fatal_and_leave_nothing(void **state)
{
	char base[96], link[128];
	const char *const relative = "usr";
	const char *list[1];

	(void)state;
	assert_int_equal(fx_make_dir("tree", base, sizeof(base)), 0);
	(void)snprintf(link, sizeof(link), "%s/link", base);
	assert_int_equal(symlink("/etc", link), 0);
	const struct {
		const char *path;
		bool write, hard;
	} cases[] = { { link, true, false },
		      { relative, false, false },
		      { "/nonexistent-osh", false, true },
		      { "/proc", true, true },
		      { "/", true, false } };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(cases); i++) {
		struct fx f;
		char procs[16];
		osh_auto_close int fd = -1;
		osh_auto_bufmem struct osh_buf text;

		fx_init(&f);
		list[0] = cases[i].path;
		*(cases[i].write ? &f.cfg.read_write
				 : &f.cfg.read_only) = (struct osh_sandbox_paths){ list, 1 };
		if (cases[i].hard) {
			f.cfg.landlock = OSH_SANDBOX_LANDLOCK_HARD;
			*(cases[i].write ? &f.cfg.read_only : &f.cfg.read_write) =
				(struct osh_sandbox_paths){ NULL, 0 };
		}
		assert_int_equal(osh_sandbox_spawn(&f.cfg, &f.proc, &f.diag), -EINVAL);
		osh_buf_init(&text, 4096, 0);
		assert_int_equal(osh_diag_render(&f.diag, &text), 0);
		assert_non_null(strstr(text.data, "step filesystem-policy"));
		assert_int_equal(f.diag.errors, 1);
		fd = openat(f.cgroup_fd, "cgroup.procs", O_RDONLY);
		assert_int_equal(read(fd, procs, sizeof(procs)), 0);
		fx_fini(&f);
	}
}

static void hidden_directories_are_empty(void **state)
{
	char base[96], secret[128], file[160], script[512];
	const char *ro[] = { "/usr", base };
	const char *hidden[] = { secret };
	struct fx f;

	(void)state;
	assert_int_equal(fx_make_dir("tree", base, sizeof(base)), 0);
	(void)snprintf(secret, sizeof(secret), "%s/secret", base);
	(void)snprintf(file, sizeof(file), "%s/key", secret);
	assert_int_equal(mkdir(secret, 0755), 0);
	assert_int_equal(close(open(file, O_CREAT | O_WRONLY, 0644)), 0);
	fx_init(&f);
	f.cfg.read_only = (struct osh_sandbox_paths){ ro, 2 };
	f.cfg.hide = (struct osh_sandbox_paths){ hidden, 1 };
	assert_int_equal(fx_spawn(&f), 0);
	(void)snprintf(script, sizeof(script), "ls %s; cat %s 2>/dev/null || echo hidden", base,
		       file);
	assert_int_equal(fx_sh(&f, script, &res), 0);
	fx_fini(&f);
	OUT_IS("secret\nhidden\n");
}

static void homes_are_kept_and_links_in_them_not_followed(void **state)
{
	const char *rw[] = { "/sandbox", "/sandbox/trap" };
	struct fx f;
	struct osh_sandbox_proc old;

	(void)state;
	fx_init(&f);
	assert_int_equal(fx_spawn(&f), 0);
	assert_int_equal(fx_sh(&f, "echo mine >~/.bashrc; ln -s /usr ~/trap; ls -a ~", &res), 0);
	OUT_IS(".\n..\n.bashrc\n.profile\ntrap\n");
	assert_int_equal(kill(f.proc.pid, SIGKILL), 0);
	assert_int_equal(waitpid(f.proc.pid, NULL, 0), f.proc.pid);
	f.spawned = false;
	old = f.proc;
	osh_sandbox_proc_fini(&old);
	osh_sandbox_proc_init(&f.proc);
	f.cfg.read_write = (struct osh_sandbox_paths){ rw, 2 };
	assert_int_not_equal(osh_sandbox_spawn(&f.cfg, &f.proc, &f.diag), 0);
	f.cfg.read_write.count = 1;
	assert_int_equal(fx_spawn(&f), 0);
	assert_int_equal(fx_sh(&f, "cat ~/.bashrc", &res), 0);
	fx_fini(&f);
	OUT_IS("mine\n");
}

/* ---- sessions ---- */

static void exit_codes_signals_and_failures(void **state)
{
	const char *const missing[] = { "no-such-program", NULL };
	const char *const not_executable[] = { "/etc/passwd", NULL };

	(void)state;
	SH("exit 42");
	assert_int_equal(res.code, 42);
	SH("kill -TERM $$");
	assert_int_equal(res.signo, SIGTERM);
	assert_int_equal(fx_run(&fx, missing, NULL, &res), 0);
	assert_int_equal(res.err, ENOENT);
	assert_string_equal(res.step, "exec");
	assert_int_equal(fx_run(&fx, not_executable, NULL, &res), 0);
	assert_int_equal(res.err, EACCES);
	SH("printf 'echo $0 $1' >/tmp/script && chmod +x /tmp/script && /tmp/script a");
	OUT_IS("/tmp/script a\n");
}

static void input_and_output_are_whole(void **state)
{
	const char *const argv[] = { "cat", NULL };
	static char input[60001];

	(void)state;
	memset(input, 'x', sizeof(input) - 1);
	assert_int_equal(fx_run(&fx, argv, input, &res), 0);
	OUT_IS(input);
}

static void only_pipes_enter(void **state)
{
	const char *const argv[] = { "true", NULL };
	struct osh_init_exec req = { .argv = argv, .env = fx_env(), .uid = FX_UID };
	osh_auto_close int fd = -1, file = open("/etc/passwd", O_RDONLY);
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(osh_init_connect(fx.sock, &fd), 0);
	req.stdio[0] = file;
	req.stdio[1] = req.stdio[2] = -1;
	assert_int_equal(osh_init_exec_start(fd, &req), -EINVAL);
	req.stdio[0] = pair[0];
	assert_int_equal(osh_init_exec_start(fd, &req), -EINVAL);
	(void)close(pair[0]);
	(void)close(pair[1]);
	SH("ls /proc/self/fd");
	OUT_IS("0\n1\n2\n3\n"); /* 3 is ls reading the directory */
}

static int start(struct fx *f, const char *script, bool tty, enum osh_init_on_close on_close,
		 struct osh_init_event *ret_ev)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct osh_init_exec req = { .argv = argv,
				     .env = fx_env(),
				     .tty = tty,
				     .on_close = on_close,
				     .stdio = { -1, -1, -1 },
				     .uid = FX_UID };
	int fd;

	assert_int_equal(osh_init_connect(f->sock, &fd), 0);
	assert_int_equal(osh_init_exec_start(fd, &req), 0);
	assert_int_equal(fx_wait_event(fd, OSH_INIT_EVENT_STARTED, ret_ev), 0);
	return fd;
}

static void sessions_end_as_asked_when_the_connection_goes(void **state)
{
	struct osh_init_event ev;
	int fd;

	(void)state;
	fd = start(&fx, "exec sleep 1001", false, OSH_INIT_ON_CLOSE_KILL, &ev);
	(void)close(fd);
	fd = start(&fx, "exec sleep 1002", false, OSH_INIT_ON_CLOSE_NONE, &ev);
	(void)close(fd);
	fd = start(&fx, "exec sleep 1003", false, OSH_INIT_ON_CLOSE_KILL, &ev);
	assert_int_equal(osh_init_set_on_close(fd, OSH_INIT_ON_CLOSE_NONE), 0);
	(void)close(fd);
	fd = start(
		&fx,
		"trap 'echo hup >/tmp/hup; exit' HUP; : >/tmp/ready; while :; do sleep 0.01; done",
		false, OSH_INIT_ON_CLOSE_HUP, &ev);
	SH("until [ -e /tmp/ready ]; do sleep 0.01; done");
	(void)close(fd);
	SH("for i in $(seq 500); do [ -s /tmp/hup ] && break; sleep 0.01; done; cat /tmp/hup; "
	   "pgrep -af 'slee[p] 100' | cut -d' ' -f2- | sort; pkill -f 'slee[p] 100'");
	OUT_IS("hup\nsleep 1002\nsleep 1003\n");
}

static void signals_reach_the_session(void **state)
{
	struct osh_init_event ev;
	int fd = start(&fx, "exec sleep 1004", false, OSH_INIT_ON_CLOSE_KILL, &ev);

	(void)state;
	assert_int_equal(osh_init_signal(fd, SIGUSR1), 0);
	assert_int_equal(fx_wait_event(fd, OSH_INIT_EVENT_EXITED, &ev), 0);
	assert_int_equal(ev.signo, SIGUSR1);
	assert_int_equal(fx_wait_event(fd, OSH_INIT_EVENT_NONE, &ev), -ECONNRESET);
	(void)close(fd);
}

static void many_sessions_at_once(void **state)
{
	struct osh_init_event ev;
	int fds[40];

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(fds); i++) {
		char script[64];

		(void)snprintf(script, sizeof(script), "read x </dev/null; exit %zu", i);
		fds[i] = start(&fx, script, false, OSH_INIT_ON_CLOSE_KILL, &ev);
	}
	for (size_t i = OSH_ARRAY_SIZE(fds); i-- > 0;) {
		assert_int_equal(fx_wait_event(fds[i], OSH_INIT_EVENT_EXITED, &ev), 0);
		assert_int_equal(ev.code, i);
		(void)close(fds[i]);
	}
}

static void orphans_are_reaped(void **state)
{
	(void)state;
	SH("for i in 1 2 3 4 5; do (setsid sh -c 'sleep 0.05' & ) ; done; sleep 0.3; "
	   "ps -e -o stat= | grep -c Z");
	assert_string_equal(res.out, "0\n");
}

/* ---- terminals ---- */

/* Read until @want has been seen; everything is appended to @text. */
static bool expect(int pty, char *text, size_t size, const char *want)
{
	uint64_t end = osh_spec_now_ns() + 15000000000ull;
	size_t n = strlen(text);
	char *rest;

	while (!strstr(text, want)) {
		struct pollfd pfd = { pty, POLLIN, 0 };
		ssize_t got;

		got = osh_spec_now_ns() > end || n + 1 >= size || poll(&pfd, 1, 15000) < 1
			      ? -1
			      : read(pty, text + n, size - 1 - n);
		if (got <= 0) {
			print_message("# wanted %s, got %s\n", OSH_Q(want), OSH_Q(text));
			return false;
		}
		n += (size_t)got;
		text[n] = '\0';
	}
	/* The next expectation begins after this one. */
	rest = strstr(text, want) + strlen(want);
	memmove(text, rest, strlen(rest) + 1);
	return true;
}

static void say(int pty, const char *line)
{
	assert_int_equal(write(pty, line, strlen(line)), strlen(line));
}

#define EXPECT(want) assert_true(expect(pty, text, sizeof(text), (want)))

static void login_shell_on_a_terminal(void **state)
{
	const char *const argv[] = { "/bin/bash", "-l", NULL };
	struct osh_init_exec req = {
		.argv = argv, .env = fx_env(), .tty = true, .rows = 33, .cols = 111, .uid = FX_UID
	};
	const struct winsize size = { .ws_row = 40, .ws_col = 99 };
	struct osh_init_event ev;
	static char text[65536];
	int fd, pty;

	(void)state;
	assert_int_equal(osh_init_connect(fx.sock, &fd), 0);
	assert_int_equal(osh_init_exec_start(fd, &req), 0);
	assert_int_equal(fx_wait_event(fd, OSH_INIT_EVENT_STARTED, &ev), 0);
	pty = ev.pty_fd;
	assert_true(pty >= 0);
	text[0] = '\0';
	EXPECT("sandbox@demo:~$ ");
	say(pty, "stty size; tty; echo $((40+2))\n");
	EXPECT("33 111\r\n/dev/pts/0\r\n42\r\n");
	EXPECT("sandbox@demo:~$ ");
	assert_int_equal(ioctl(pty, TIOCSWINSZ, &size), 0);
	say(pty, "stty size\n");
	EXPECT("40 99\r\n");
	EXPECT("sandbox@demo:~$ ");
	/* ^C ends the foreground job, not the shell. */
	say(pty, "sh -c 'echo g''o; exec sleep 1005'\n");
	EXPECT("go\r\n");
	say(pty, "\003");
	EXPECT("sandbox@demo:~$ ");
	say(pty, "echo $?\n");
	EXPECT("130\r\n");
	EXPECT("sandbox@demo:~$ ");
	/*
	 * Job control: ^Z stops, fg gives the terminal back and then continues the job. (No
	 * child in the loop: a shell that waits in vfork() for a stopped one never stops.)
	 */
	say(pty, "sh -c 'trap \"echo ba\"\"ck\" CONT; echo g''o; while :; do read x; done'\n");
	EXPECT("go\r\n");
	say(pty, "\032");
	EXPECT("Stopped");
	EXPECT("sandbox@demo:~$ ");
	say(pty, "fg\n");
	EXPECT("back\r\n");
	assert_int_equal(osh_init_signal(fd, SIGINT), 0); /* to the foreground group */
	EXPECT("sandbox@demo:~$ ");
	say(pty, "exit 9\n");
	assert_int_equal(fx_wait_event(fd, OSH_INIT_EVENT_EXITED, &ev), 0);
	assert_int_equal(ev.code, 9);
	(void)close(fd);
	(void)close(pty);
}

static void closing_the_master_hangs_up(void **state)
{
	struct osh_init_event ev, end;
	int fd = start(&fx, "sleep 1007", true, OSH_INIT_ON_CLOSE_HUP, &ev);

	(void)state;
	assert_true(ev.pty_fd >= 0);
	(void)close(ev.pty_fd);
	assert_int_equal(fx_wait_event(fd, OSH_INIT_EVENT_EXITED, &end), 0);
	assert_int_equal(end.signo, SIGHUP);
	(void)close(fd);
}

/* ---- life ---- */

static void adopted_after_a_restart(void **state)
{
	struct osh_sandbox_proc proc;
	struct osh_sandbox_listeners lst;
	uint64_t cookie;

	(void)state;
	assert_int_equal(osh_sandbox_adopt(fx.cgroup_fd, &proc), 0);
	assert_int_equal(proc.pid, fx.proc.pid);
	assert_true(proc.netns_cookie == fx.proc.netns_cookie && proc.netns_cookie);
	assert_int_equal(osh_sandbox_listen(proc.netns_fd, &lst, &cookie), 0);
	assert_true(cookie == fx.proc.netns_cookie && lst.tcp4_port && lst.dns_udp4_port);
	osh_sandbox_listeners_fini(&lst);
	osh_sandbox_proc_fini(&proc);
}

static void nobody_else_talks_to_init(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		char byte;
		int fd;

		if (chmod(fx.dir, 0755) < 0 || chmod(fx.sock, 0777) < 0 ||
		    setresuid(FX_UID, FX_UID, FX_UID) < 0)
			_exit(1);
		if (osh_init_connect(fx.sock, &fd) < 0)
			_exit(2);
		struct pollfd pfd = { fd, POLLIN, 0 };

		_exit(poll(&pfd, 1, 10000) == 1 && recv(fd, &byte, 1, 0) <= 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void everything_dies_with_init(void **state)
{
	struct osh_init_event ev;
	struct fx f;
	struct pollfd pfd;
	osh_auto_close int fd = -1, procs = -1;
	char byte;
	int n = 1;

	(void)state;
	fx_init(&f);
	assert_int_equal(fx_spawn(&f), 0);
	fd = start(&f, "setsid sleep 1008 & sleep 1009", false, OSH_INIT_ON_CLOSE_NONE, &ev);
	assert_int_equal(kill(f.proc.pid, SIGKILL), 0);
	pfd = (struct pollfd){ f.proc.pidfd, POLLIN, 0 };
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	for (int i = 0; n && i < 500; i++) {
		const struct timespec ts = { 0, 10000000 };

		osh_close_ptr(&procs);
		procs = openat(f.cgroup_fd, "cgroup.events", O_RDONLY);
		char events[128] = "";

		n = read(procs, events, sizeof(events) - 1) > 0 &&
		    strstr(events, "populated 1") != NULL;
		if (n)
			(void)nanosleep(&ts, NULL);
	}
	assert_int_equal(n, 0);
	assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0);
	fx_fini(&f);
}

static void init_dies_with_a_daemon_that_never_releases(void **state)
{
	struct fx f;
	struct pollfd pfd;

	(void)state;
	fx_init(&f);
	assert_int_equal(osh_sandbox_spawn(&f.cfg, &f.proc, &f.diag), 0);
	f.spawned = true;
	osh_close_ptr(&f.proc.go_fd);
	pfd = (struct pollfd){ f.proc.pidfd, POLLIN, 0 };
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	fx_fini(&f);
}

static void notes_and_times_are_reported(void **state)
{
	bool built = false, missing = false;

	(void)state;
	for (size_t i = 0; i < fx.proc.notes_count; i++) {
		built |= strncmp(fx.proc.notes[i].text,
				 "Landlock ruleset built [rules_applied:", 38) == 0;
		missing |= strstr(fx.proc.notes[i].text, "\"/app\" does not exist") != NULL;
	}
	assert_true(built || !osh_sandbox_landlock_abi());
	assert_true(missing || access("/app", F_OK) == 0);
	assert_true(fx.proc.times.ready >= fx.proc.times.confined &&
		    fx.proc.times.confined >= fx.proc.times.rooted);
	print_message("# us: prepared %u cloned %u listening %u execed %u rooted %u confined %u "
		      "ready %u\n",
		      fx.proc.times.prepared, fx.proc.times.cloned, fx.proc.times.listening,
		      fx.proc.times.execed, fx.proc.times.rooted, fx.proc.times.confined,
		      fx.proc.times.ready);
}

static int set_up(void **state)
{
	(void)state;
	fx_init(&fx);
	return fx_spawn(&fx);
}

static int tear_down(void **state)
{
	(void)state;
	fx_fini(&fx);
	return 0;
}

int main(void)
{
	const char *why_not;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_holds_nothing_unlisted),
		cmocka_unit_test(read_only_paths_cannot_be_written),
		cmocka_unit_test(private_directories_are_writable_and_private),
		cmocka_unit_test(generated_files),
		cmocka_unit_test(dev_is_minimal_and_works),
		cmocka_unit_test(proc_shows_only_the_sandbox),
		cmocka_unit_test(lists_mean_what_they_say),
		cmocka_unit_test(unsafe_lists_are_fatal_and_leave_nothing),
		cmocka_unit_test(hidden_directories_are_empty),
		cmocka_unit_test(homes_are_kept_and_links_in_them_not_followed),
		cmocka_unit_test(exit_codes_signals_and_failures),
		cmocka_unit_test(input_and_output_are_whole),
		cmocka_unit_test(only_pipes_enter),
		cmocka_unit_test(sessions_end_as_asked_when_the_connection_goes),
		cmocka_unit_test(signals_reach_the_session),
		cmocka_unit_test(many_sessions_at_once),
		cmocka_unit_test(orphans_are_reaped),
		cmocka_unit_test(login_shell_on_a_terminal),
		cmocka_unit_test(closing_the_master_hangs_up),
		cmocka_unit_test(adopted_after_a_restart),
		cmocka_unit_test(nobody_else_talks_to_init),
		cmocka_unit_test(everything_dies_with_init),
		cmocka_unit_test(init_dies_with_a_daemon_that_never_releases),
		cmocka_unit_test(notes_and_times_are_reported),
	};

	why_not = fx_why_not();
	if (why_not) {
		printf("%s\n", why_not);
		return 77;
	}
	return fx_end(cmocka_run_group_tests(tests, set_up, tear_down));
}
