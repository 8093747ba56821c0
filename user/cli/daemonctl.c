/* SPDX-License-Identifier: MIT */
/* gateway start */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cli/rpc.h"
#include "cli/table.h"

extern char **environ;

enum { START_TRIES = 150, START_STEP_MS = 100 };

/* Beside our own program, in ../sbin of it, or in the usual places. */
static bool find_daemon(char *dst, size_t size)
{
	static const char *const places[] = { "/usr/sbin/openshelld",
					      "/usr/local/sbin/openshelld" };
	static const char *const near[] = { "openshelld", "../sbin/openshelld" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < OSH_ARRAY_SIZE(near); i++) {
		slash[1] = '\0';
		if ((size_t)snprintf(dst, size, "%s%s", self, near[i]) < size &&
		    access(dst, X_OK) == 0)
			return true;
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(places); i++)
		if (osh_strlcpy(dst, places[i], size) && access(dst, X_OK) == 0)
			return true;
	return false;
}

static int no_daemon(struct osh_cli *cli, const char *what)
{
	return osh_cli_fail(cli, what, "install the package openshell, or run 'make install'",
			    "the program openshelld was not found");
}

static void destroy_actions(posix_spawn_file_actions_t *a)
{
	(void)posix_spawn_file_actions_destroy(a); /* only frees */
}

/* Run @argv; with @flags (a session of its own) nothing of it reaches our terminal. */
static int spawn(const char *const *argv, int out_fd, short flags, pid_t *ret_pid)
{
	OSH_CLEANUP(destroy_actions) posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	if (!r && flags)
		r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r)
		return -r;
	r = posix_spawnattr_setflags(&attr, flags);
	if (!r)
		r = posix_spawn(ret_pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv,
				environ);
	(void)posix_spawnattr_destroy(&attr); /* only frees */
	return -r;
}

/* ---- gateway start ---- */

static int say_running(struct osh_cli *cli, struct osh_rpc *rpc)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	int code = osh_rpc_call(cli, rpc, "Status", &reply);

	if (code)
		return code;
	osh_cli_note(cli, cli->out, '+',
		     "openshelld %s is running (process %" PRIu64 ", socket %s)",
		     osh_reply_z(&reply, "version"), osh_reply_u64(&reply, "pid"), cli->socket);
	return OSH_EXIT_OK;
}

/* systemd has our unit: let it start the daemon, so that there is one way only. */
static bool use_systemd(struct osh_cli *cli, const struct osh_args *args)
{
	return !args->rest_count && !strcmp(cli->socket, OSH_CTL_SOCKET_PATH) &&
	       access("/run/systemd/system", F_OK) == 0 &&
	       (access("/usr/lib/systemd/system/openshelld.service", F_OK) == 0 ||
		access("/usr/local/lib/systemd/system/openshelld.service", F_OK) == 0 ||
		access("/etc/systemd/system/openshelld.service", F_OK) == 0);
}

/* The daemon makes its socket openshelld.sock in the runtime directory. */
static int runtime_dir(struct osh_cli *cli, const char *what, char *dst, size_t size)
{
	struct osh_str path = osh_str(cli->socket), name = OSH_STR("/openshelld.sock");

	if (!osh_str_has_suffix(path, name) || path.n - name.n >= size || path.p[0] != '/')
		return osh_cli_fail(cli, what,
				    "name a socket openshelld.sock by its absolute path, or start "
				    "openshelld by hand",
				    "%s is not where openshelld puts its socket", cli->socket);
	memcpy(dst, path.p, path.n - name.n);
	dst[path.n - name.n] = '\0';
	return 0;
}

static int launch(struct osh_cli *cli, const struct osh_args *args, const char *what,
		  pid_t *ret_pid)
{
	osh_auto_free const char **argv = calloc(args->rest_count + 4, sizeof(*argv));
	osh_auto_close int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	static const char *const systemctl[] = { "/usr/bin/systemctl", "start",
						 "openshelld.service", NULL };
	char path[4200], dir[4096];
	size_t n = 0;
	int r;

	if (!argv || null_fd < 0)
		return osh_cli_fail(cli, what, NULL, "%s", strerror(errno));
	if (use_systemd(cli, args)) {
		r = spawn(systemctl, STDOUT_FILENO, 0, ret_pid);
	} else {
		if (!find_daemon(path, sizeof(path)))
			return no_daemon(cli, what);
		argv[n++] = path;
		if (strcmp(cli->socket, OSH_CTL_SOCKET_PATH)) {
			r = runtime_dir(cli, what, dir, sizeof(dir));
			if (r)
				return r;
			argv[n++] = "--runtime-dir";
			argv[n++] = dir;
		}
		for (size_t i = 0; i < args->rest_count; i++)
			argv[n++] = args->rest[i];
		r = spawn(argv, null_fd, POSIX_SPAWN_SETSID, ret_pid);
	}
	return r < 0 ? osh_cli_fail(cli, what, NULL, "%s", strerror(-r)) : 0;
}

static int gateway_start(struct osh_cli *cli, const struct osh_args *args)
{
	const char *what = "start openshelld";
	osh_auto_rpc struct osh_rpc rpc;
	bool dead = false;
	pid_t pid;
	int code, r, status;

	osh_rpc_begin(&rpc, what);
	r = osh_rpc_try(cli, &rpc);
	if (r == 0)
		return say_running(cli, &rpc);
	if (r != -ENOENT && r != -ECONNREFUSED)
		return osh_cli_fail(cli, what, NULL, "%s: %s", cli->socket, strerror(-r));
	if (geteuid() != 0)
		return osh_cli_fail(cli, what, "run 'sudo openshell gateway start'",
				    "only root can start it");
	code = launch(cli, args, what, &pid);
	if (code)
		return code;
	for (unsigned int i = 0; i < START_TRIES; i++) {
		if (osh_rpc_try(cli, &rpc) == 0)
			return say_running(cli, &rpc);
		/* systemctl ends with success before the socket answers; anything else is over */
		if (!dead && waitpid(pid, &status, WNOHANG) == pid) {
			dead = true;
			if (!WIFEXITED(status) || WEXITSTATUS(status))
				return osh_cli_fail(cli, what,
						    "run openshelld in the foreground to see why",
						    "it ended at once");
		}
		(void)poll(NULL, 0, START_STEP_MS);
	}
	return osh_cli_fail(cli, what, "see journalctl -u openshelld", "it does not answer at %s",
			    cli->socket);
}

const struct osh_cmd osh_cmd_gateway_start = {
	.name = "start",
	.args = "[-- OPTIONS...]",
	.help = "Start openshelld, or say that it runs",
	.takes_rest = true,
	.fn = gateway_start,
};
