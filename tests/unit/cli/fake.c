/* SPDX-License-Identifier: MIT */
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

#include "audit/render.h"
#include "ctl/varlink.h"
#include "io/loop.h"
#include "fake.h"

char dir[64], exe[4200], out[1 << 18], err[1 << 16];
pid_t server_pid;
struct fake_shared *sh;
static char sock[128];

/* ---- the server ---- */

static struct osh_loop *loop;

static void seen(const char *method, const struct osh_jval *params)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, sizeof(sh->params) - 1, 0);
	(void)osh_strlcpy(sh->method, method, sizeof(sh->method));
	if (osh_jval_dump(params, &text) == 0) {
		memcpy(sh->params, text.data, text.len);
		sh->params[text.len] = '\0';
	}
}

static bool mode(const char *name)
{
	return !strcmp(sh->mode, name);
}

static void put_sandbox(struct osh_json *j, const char *name)
{
	osh_json_obj(j);
	osh_json_kz(j, "id", "6f1c0000-0000-4000-8000-000000000000");
	osh_json_kz(j, "name", name);
	osh_json_kz(j, "phase", "Ready");
	osh_json_kz(j, "phase_reason", "");
	osh_json_ku64(j, "created_ms", 1775014132118);
	osh_json_key(j, "labels");
	osh_json_obj(j);
	osh_json_kz(j, "team", "a b");
	osh_json_obj_end(j);
	osh_json_key(j, "annotations");
	osh_json_obj(j);
	osh_json_obj_end(j);
	osh_json_ku64(j, "current_policy_version", 3);
	osh_json_ku64(j, "resource_version", 5);
	osh_json_kz(j, "workspace", "default");
	osh_json_kbool(j, "keep", true);
	osh_json_obj_end(j);
}

static void on_create(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j;

	seen("SandboxCreate", params);
	if (mode("exists")) {
		osh_ctl_fail(call, OSH_CTL_ERR_EXISTS, NULL, "sandbox 'demo' already exists");
		return;
	}
	osh_json_kz(osh_ctl_reply_begin(call), "stage", "starting");
	osh_ctl_reply_continue(call);
	j = osh_ctl_reply_begin(call);
	osh_json_key(j, "sandbox");
	put_sandbox(j, osh_jval_z(osh_jval_get(params, "name"), "brave-otter"));
	osh_ctl_reply_end(call);
}

static void on_list(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	seen("SandboxList", params);
	osh_json_key(j, "sandboxes");
	osh_json_arr(j);
	if (!mode("empty")) {
		put_sandbox(j, "demo");
		put_sandbox(j, "a-longer-name");
	}
	osh_json_arr_end(j);
	osh_ctl_reply_end(call);
}

static void on_get(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	seen("SandboxGet", params);
	osh_json_key(j, "sandbox");
	put_sandbox(j, "demo");
	osh_json_kz(j, "policy", "version: 1\nnetwork_policies:\n  a: {}\n");
	osh_json_kz(j, "policy_source", "sandbox");
	osh_json_ku64(j, "revision", 3);
	osh_ctl_reply_end(call);
}

static void on_delete(struct osh_ctl_call *call, const struct osh_jval *params)
{
	seen("SandboxDelete", params);
	if (!strcmp(osh_jval_z(osh_jval_get(params, "name"), ""), "gone"))
		osh_ctl_fail(call, OSH_CTL_ERR_NOT_FOUND, NULL, "no such sandbox");
	else
		osh_ctl_reply_ok(call);
}

static struct osh_ctl_waiter never;

static void on_never_closed(struct osh_ctl_waiter *w)
{
	(void)w;
}

static void rev(struct osh_ctl_call *call, const char *status, const char *error)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	osh_json_ku64(j, "version", 4);
	osh_json_kz(j, "hash", "0cc0c2b525570000000000000000000000000000000000000000000000000000");
	osh_json_kbool(j, "unchanged", mode("unchanged"));
	osh_json_kz(j, "status", status);
	osh_json_ku64(j, "active_version", mode("superseded") ? 6 : 4);
	osh_json_kz(j, "error", error);
	osh_json_ku64(j, "settings_revision", 3);
	osh_json_ku64(j, "operations", 2);
	if (mode("dry")) {
		osh_json_kz(j, "policy", "version: 1\n");
		osh_json_key(j, "warnings");
		osh_json_arr(j);
		osh_json_str(j, OSH_STR("expanded access preset 'read-only' to explicit rules for "
					"endpoint api.github.com:443"));
		osh_json_arr_end(j);
	}
}

static void on_revision(struct osh_ctl_call *call, const struct osh_jval *params)
{
	seen("Policy", params);
	if (mode("invalid")) {
		osh_ctl_fail_diag(call, OSH_CTL_ERR_POLICY_INVALID, NULL, "p.yaml:3:1: bad\n",
				  "policy contains unsafe content: bad");
		return;
	}
	rev(call, "pending", NULL);
	if (!osh_ctl_call_wants_more(call) || mode("unchanged")) {
		osh_ctl_reply_end(call);
		return;
	}
	osh_ctl_reply_continue(call);
	if (mode("hang")) {
		never.on_close = on_never_closed;
		osh_ctl_call_wait(call, &never);
		return;
	}
	rev(call,
	    mode("failed")	 ? "failed"
	    : mode("superseded") ? "superseded"
				 : "loaded",
	    mode("failed") ? "too many frobs" : NULL);
	osh_ctl_reply_end(call);
}

static void on_policy_get(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j;

	seen("PolicyGet", params);
	if (mode("nohistory")) {
		osh_ctl_fail(call, OSH_CTL_ERR_NOT_FOUND, NULL,
			     "no policy revision found for this sandbox");
		return;
	}
	j = osh_ctl_reply_begin(call);
	osh_json_ku64(j, "version", 3);
	osh_json_kz(j, "hash", "0cc0c2b525570000000000000000000000000000000000000000000000000000");
	osh_json_kz(j, "status", mode("rev") ? "failed" : "effective");
	osh_json_kz(j, "policy_source", "sandbox");
	osh_json_ku64(j, "config_revision", 77);
	osh_json_ku64(j, "active_version", 2);
	osh_json_ku64(j, "created_ms", 1775014132118);
	osh_json_kz(j, "error", mode("rev") ? "too many frobs" : NULL);
	osh_json_kz(j, "policy", "version: 1\n");
	osh_ctl_reply_end(call);
}

static void put_rev(struct osh_json *j, uint64_t v, const char *hash, const char *status,
		    uint64_t ms, const char *error)
{
	osh_json_obj(j);
	osh_json_ku64(j, "version", v);
	osh_json_kz(j, "hash", hash);
	osh_json_kz(j, "status", status);
	osh_json_ku64(j, "created_ms", ms);
	osh_json_ku64(j, "loaded_ms", 0);
	osh_json_kz(j, "error", error);
	osh_json_obj_end(j);
}

static void on_policy_list(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	seen("PolicyList", params);
	osh_json_key(j, "revisions");
	osh_json_arr(j);
	put_rev(j, 3, "0cc0c2b525570000", "loaded", 1775014132118, "");
	put_rev(j, 2, "9f86d081884c0000", "superseded", 1775014100000, "");
	put_rev(j, 1, "e3b0c44298fc0000", "failed", 1775014090000,
		"policy contains unsafe content: too many filesystem paths");
	osh_json_arr_end(j);
	osh_ctl_reply_end(call);
}

static void on_settings_get(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	seen("SettingsGet", params);
	osh_json_ku64(j, "config_revision", 9);
	osh_json_kz(j, "policy_source", "sandbox");
	osh_json_kz(j, "policy_hash", "abc");
	osh_json_key(j, "settings");
	osh_json_arr(j);
	osh_json_obj(j);
	osh_json_kz(j, "key", "ocsf_json_enabled");
	osh_json_kz(j, "value", "true");
	osh_json_kz(j, "scope", "global");
	osh_json_obj_end(j);
	osh_json_obj(j);
	osh_json_kz(j, "key", "providers_v2_enabled");
	osh_json_kz(j, "scope", "unset");
	osh_json_obj_end(j);
	osh_json_arr_end(j);
	osh_ctl_reply_end(call);
}

static void on_settings_set(struct osh_ctl_call *call, const struct osh_jval *params)
{
	seen("SettingsSet", params);
	osh_json_ku64(osh_ctl_reply_begin(call), "revision", 3);
	osh_ctl_reply_end(call);
}

static void on_settings_delete(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	seen("SettingsDelete", params);
	osh_json_kbool(j, "found", !mode("missing"));
	osh_json_ku64(j, "revision", 4);
	osh_ctl_reply_end(call);
}

static void put_record(struct osh_json *j, uint64_t seq)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_rec rec;

	osh_buf_init(&text, OSH_RENDER_MAX, 0);
	osh_rec_init(&rec, OSH_REC_CONNECT, OSH_REC_DENY, 1775014132690000000ull);
	rec.seq = seq;
	rec.port = 443;
	osh_rec_set_z(&rec, OSH_REC_HOST, "api.github.com");
	osh_rec_set_z(&rec, OSH_REC_BINARY, "/usr/bin/curl");
	osh_rec_set_z(&rec, OSH_REC_REASON, "no matching network policy");
	if (osh_render_json(&rec, &text) == 0)
		osh_json_raw(j, osh_buf_str(&text));
}

/* The daemon dies; --tail must go on with the next one. */
static struct osh_timer death;

static void on_death(struct osh_timer *t)
{
	(void)t;
	_exit(0);
}

static void on_logs(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	seen("Logs", params);
	osh_json_key(j, "records");
	osh_json_arr(j);
	put_record(j, 1);
	osh_json_arr_end(j);
	if (!osh_jval_bool(osh_jval_get(params, "follow"), false)) {
		osh_ctl_reply_end(call);
		return;
	}
	osh_ctl_reply_continue(call);
	j = osh_ctl_reply_begin(call);
	osh_json_key(j, "records");
	osh_json_arr(j);
	put_record(j, 2);
	osh_json_arr_end(j);
	osh_ctl_reply_continue(call);
	never.on_close = on_never_closed;
	osh_ctl_call_wait(call, &never);
	osh_timer_set(loop, &death, 50, on_death);
}

static void on_status(struct osh_ctl_call *call, const struct osh_jval *params)
{
	struct osh_json *j = osh_ctl_reply_begin(call);

	seen("Status", params);
	osh_json_kz(j, "version", "0.1.0");
	osh_json_ku64(j, "pid", 77);
	osh_json_kz(j, "log_dir", dir);
	osh_json_ku64(j, "started_ms", 1775014132118);
	osh_ctl_reply_end(call);
}

/* ---- sessions: the program is this process's child, on a terminal or on pipes ---- */

static struct session {
	struct osh_ctl_waiter w;
	struct osh_timer poll;
	pid_t pid;
} session;

static void session_closed(struct osh_ctl_waiter *w)
{
	(void)w;
	osh_timer_stop(&session.poll);
	kill(session.pid, SIGHUP);
}

static void session_poll(struct osh_timer *t)
{
	struct osh_json *j;
	int status;

	if (waitpid(session.pid, &status, WNOHANG) == 0) {
		osh_timer_set(loop, t, 5, session_poll);
		return;
	}
	j = osh_ctl_reply_begin(session.w.call);
	osh_json_ku64(j, "exit_code",
		      WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status)
					: 128 + (uint64_t)WTERMSIG(status));
	osh_ctl_reply_end(session.w.call);
}

static const char **argv_of(const struct osh_jval *params)
{
	const struct osh_jval *list = osh_jval_get(params, "argv");
	const char **argv = calloc(osh_jval_len(list) + 2, sizeof(*argv));

	for (size_t i = 0; argv && i < osh_jval_len(list); i++)
		argv[i] = osh_jval_z(osh_jval_at(list, i), "");
	if (argv && !osh_jval_len(list))
		argv[0] = "/bin/sh";
	return argv;
}

static void on_exec(struct osh_ctl_call *call, const struct osh_jval *params)
{
	bool tty = osh_jval_bool(osh_jval_get(params, "tty"), false);
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	osh_auto_free const char **argv = argv_of(params);
	struct osh_json *j;
	int master = -1, in[2], p_out[2], p_err[2];

	seen("Exec", params);
	if (mode("notready")) {
		osh_ctl_fail(call, OSH_CTL_ERR_PRECONDITION, NULL,
			     "sandbox 'demo' is not ready (phase: Stopped); wait for it to reach "
			     "Ready state");
		return;
	}
	j = osh_ctl_reply_begin(call);
	if (osh_jval_bool(osh_jval_get(params, "detach"), false)) {
		osh_json_kz(j, "session", "s1");
		osh_ctl_reply_end(call);
		return;
	}
	if (tty) {
		session.pid = forkpty(&master, NULL, NULL, NULL);
	} else {
		if (pipe2(in, O_CLOEXEC) < 0 || pipe2(p_out, O_CLOEXEC) < 0 ||
		    pipe2(p_err, O_CLOEXEC) < 0)
			_exit(9);
		session.pid = fork();
	}
	if (session.pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		if (!tty) {
			dup2(in[0], 0);
			dup2(p_out[1], 1);
			dup2(p_err[1], 2);
		}
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	osh_json_kz(j, "session", "s1");
	osh_json_key(j, "fds");
	osh_json_arr(j);
	for (int i = 0; i < (tty ? 1 : 3); i++)
		osh_json_str(j, tty ? OSH_STR("pty") : osh_str(names[i]));
	osh_json_arr_end(j);
	if (tty) {
		osh_ctl_reply_take_fd(call, master);
	} else {
		osh_ctl_reply_take_fd(call, in[1]);
		osh_ctl_reply_take_fd(call, p_out[0]);
		osh_ctl_reply_take_fd(call, p_err[0]);
		close(in[0]);
		close(p_out[1]);
		close(p_err[1]);
	}
	osh_ctl_reply_continue(call);
	session.w = (struct osh_ctl_waiter){ .on_close = session_closed };
	osh_ctl_call_wait(call, &session.w);
	osh_timer_set(loop, &session.poll, 5, session_poll);
}

static void on_signal(struct osh_ctl_call *call, const struct osh_jval *params)
{
	sh->signals++;
	kill(session.pid, (int)osh_jval_i64(osh_jval_get(params, "signal"), 0));
	osh_ctl_reply_ok(call);
}

static const struct osh_ctl_method methods[] = {
	{ "SandboxCreate", on_create, 0 },
	{ "SandboxList", on_list, 0 },
	{ "SandboxGet", on_get, 0 },
	{ "SandboxDelete", on_delete, 0 },
	{ "SandboxStop", on_delete, 0 },
	{ "SandboxStart", on_delete, 0 },
	{ "Exec", on_exec, OSH_CTL_NEEDS_MORE },
	{ "SessionSignal", on_signal, 0 },
	{ "PolicySet", on_revision, 0 },
	{ "PolicyUpdate", on_revision, 0 },
	{ "PolicyRollback", on_revision, 0 },
	{ "PolicyGet", on_policy_get, 0 },
	{ "PolicyList", on_policy_list, 0 },
	{ "SettingsGet", on_settings_get, 0 },
	{ "SettingsSet", on_settings_set, 0 },
	{ "SettingsDelete", on_settings_delete, 0 },
	{ "Logs", on_logs, 0 },
	{ "Status", on_status, 0 },
	{ 0 },
};

void server_start(void)
{
	struct osh_ctl_config config = { .methods = methods };
	struct osh_ctl_server *server;
	int fd;

	assert_int_equal(osh_ctl_listen(sock, 0660, (gid_t)-1, &fd), 0);
	server_pid = fork();
	if (server_pid) {
		close(fd);
		return;
	}
	alarm(120);
	loop = osh_loop_new();
	config.loop = loop;
	if (!loop || osh_ctl_server_new(&config, fd, &server) < 0)
		_exit(3);
	_exit(osh_loop_run(loop) < 0);
}

int fake_setup(void **state)
{
	const char *build = secure_getenv("OSH_BUILD");

	(void)state;
	(void)snprintf(exe, sizeof(exe), "%s/openshellctl", build ? build : "build");
	(void)snprintf(dir, sizeof(dir), "/tmp/osh-cli-XXXXXX");
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!mkdtemp(dir) || sh == MAP_FAILED)
		return -1;
	(void)snprintf(sock, sizeof(sock), "%s/s.sock", dir);
	(void)setenv("OPENSHELL_SOCKET", sock, 1);
	(void)setenv("HOME", dir, 1);
	(void)unsetenv("XDG_STATE_HOME");
	(void)unsetenv("OPENSHELL_SANDBOX_POLICY");
	server_start();
	return 0;
}

int fake_teardown(void **state)
{
	char cmd[160];
	pid_t pid;

	(void)state;
	kill(server_pid, SIGKILL);
	waitpid(server_pid, NULL, 0);
	(void)snprintf(cmd, sizeof(cmd), "%s", dir);
	pid = fork();
	if (!pid) {
		execl("/bin/rm", "rm", "-rf", cmd, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	return 0;
}
/* ---- running the tool ---- */

void set_mode(const char *name)
{
	(void)osh_strlcpy(sh->mode, name, sizeof(sh->mode));
	sh->method[0] = sh->params[0] = '\0';
}

/* Split at blanks; '_' in a word stands for itself, a word in [] is taken whole. */
static size_t split(char *line, char **argv, size_t max)
{
	size_t n = 0;

	while (*line && n + 1 < max) {
		while (*line == ' ')
			line++;
		if (!*line)
			break;
		if (*line == '[') {
			argv[n++] = ++line;
			line = strchr(line, ']');
		} else {
			argv[n++] = line;
			line += strcspn(line, " ");
		}
		if (*line)
			*line++ = '\0';
	}
	argv[n] = NULL;
	return n;
}

size_t slurp(int fd, char *dst, size_t size)
{
	size_t n = 0;
	ssize_t k;

	while (n + 1 < size && (k = read(fd, dst + n, size - 1 - n)) > 0)
		n += (size_t)k;
	dst[n] = '\0';
	close(fd);
	return n;
}

int run_in(const char *input, size_t input_len, const char *command)
{
	char line[4096], *argv[64] = { exe };
	int in[2], o, e, status;
	char name_o[] = "/tmp/osh-cli-o-XXXXXX", name_e[] = "/tmp/osh-cli-e-XXXXXX";
	pid_t pid;

	(void)osh_strlcpy(line, command, sizeof(line));
	(void)split(line, argv + 1, 62);
	o = mkostemp(name_o, O_CLOEXEC);
	e = mkostemp(name_e, O_CLOEXEC);
	unlink(name_o);
	unlink(name_e);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(in[0], 0);
		dup2(o, 1);
		dup2(e, 2);
		execv(exe, argv);
		_exit(126);
	}
	close(in[0]);
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	while (input_len) {
		ssize_t k = write(in[1], input, input_len);

		if (k <= 0)
			break;
		input += k;
		input_len -= (size_t)k;
	}
	close(in[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	lseek(o, 0, SEEK_SET);
	lseek(e, 0, SEEK_SET);
	(void)slurp(o, out, sizeof(out));
	(void)slurp(e, err, sizeof(err));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int run(const char *command)
{
	return run_in("", 0, command);
}

void write_file(const char *name, const char *text)
{
	char path[200];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}
void expect_on(int fd, const char *want)
{
	size_t n = strlen(out);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (!strstr(out, want)) {
		ssize_t k;

		if (poll(&p, 1, 5000) <= 0)
			break;
		k = read(fd, out + n, sizeof(out) - 1 - n);
		if (k <= 0)
			break;
		n += (size_t)k;
		out[n] = '\0';
	}
	if (!strstr(out, want))
		print_message("wanted %s, got: %s\n", want, out);
	assert_non_null(strstr(out, want));
}
