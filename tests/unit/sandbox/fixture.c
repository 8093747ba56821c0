/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "sandbox/spec.h"

static const char *const read_only[] = { "/usr", "/lib", "/proc",   "/dev/urandom",
					 "/app", "/etc", "/var/log" };
static const char *const read_write[] = { "/sandbox", "/tmp", "/dev/null" };

static int find_cgroup2(char *ret_path, size_t size)
{
	FILE *f = fopen("/proc/self/mounts", "re");
	char dev[256], path[256], type[64];
	int r = -ENOENT;

	while (f && r < 0 && fscanf(f, "%255s %255s %63s %*[^\n]", dev, path, type) == 3)
		if (strcmp(type, "cgroup2") == 0 && osh_strlcpy(ret_path, path, size))
			r = 0;
	if (f)
		(void)fclose(f);
	return r;
}

/* Everything of this program is below one directory outside of /tmp, which sandboxes never show. */
static char top[] = "/var/tmp/osh-sbx-XXXXXX";
static unsigned int made; /* cgroups osh-test-PID-0 ... */

const char *fx_why_not(void)
{
	char path[256];

	if (getuid() != 0)
		return "skip: not root";
	if (find_cgroup2(path, sizeof(path)) < 0)
		return "skip: kernel: cgroup2 is not mounted";
	return mkdtemp(top) && chmod(top, 0755) == 0 ? NULL : "skip: no /var/tmp";
}

/* After a failed test its sandbox may still be there. */
static void remove_cgroup(const char *path)
{
	osh_auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), kill_fd = -1;

	if (fd < 0)
		return;
	kill_fd = openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (kill_fd >= 0)
		(void)!write(kill_fd, "1", 1);
	for (int i = 0; rmdir(path) < 0 && i < 200; i++) {
		const struct timespec ts = { 0, 10000000 }; /* until the kernel has let go */

		(void)nanosleep(&ts, NULL);
	}
}

int fx_make_dir(const char *name, char *ret_path, size_t size)
{
	(void)snprintf(ret_path, size, "%s/%s-XXXXXX", top, name);
	return mkdtemp(ret_path) ? chmod(ret_path, 0755) : -errno;
}

int fx_end(int result)
{
	osh_auto_close int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char base[200], path[256];

	for (unsigned int i = 0; find_cgroup2(base, sizeof(base)) == 0 && i < made; i++) {
		(void)snprintf(path, sizeof(path), "%s/osh-test-%d-%u", base, getpid(), i);
		remove_cgroup(path);
	}
	if (fd < 0 || osh_sandbox_wipe(fd) < 0 || rmdir(top) < 0)
		return result ? result : 1;
	return result;
}

void fx_init(struct fx *fx)
{
	char base[200], state[96];

	memset(fx, 0, sizeof(*fx));
	fx->cgroup_fd = fx->state_fd = fx->init_fd = -1;
	osh_diag_init(&fx->diag, NULL);
	osh_sandbox_proc_init(&fx->proc);
	if (fx_make_dir("fx", fx->dir, sizeof(fx->dir)) < 0 || find_cgroup2(base, sizeof(base)) < 0)
		return;
	(void)snprintf(state, sizeof(state), "%s/state", fx->dir);
	(void)mkdir(state, 0700);
	fx->state_fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(fx->cgroup, sizeof(fx->cgroup), "%s/osh-test-%d-%u", base, getpid(), made++);
	if (mkdir(fx->cgroup, 0755) < 0)
		fx->cgroup[0] = '\0';
	fx->cgroup_fd = open(fx->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(fx->sock, sizeof(fx->sock), "%s/init.sock", fx->dir);
	(void)!osh_init_listen(fx->sock, &fx->init_fd);
	fx->cfg = (struct osh_sandbox_cfg){
		.name = "demo",
		.id = "test",
		.cgroup_fd = fx->cgroup_fd,
		.state_fd = fx->state_fd,
		.init_fd = fx->init_fd,
		.exe_fd = -1,
		.read_only = { read_only, OSH_ARRAY_SIZE(read_only) },
		.read_write = { read_write, OSH_ARRAY_SIZE(read_write) },
		.include_workdir = true,
		.landlock = OSH_SANDBOX_LANDLOCK_BEST_EFFORT,
		.ids = { FX_UID, FX_UID },
		.ca_pem = OSH_STR("-----BEGIN CERTIFICATE-----\nTEST\n"
				  "-----END CERTIFICATE-----\n"),
	};
}

int fx_spawn(struct fx *fx)
{
	int r = osh_sandbox_spawn(&fx->cfg, &fx->proc, &fx->diag);

	if (r < 0) {
		for (size_t i = 0; i < fx->diag.count; i++)
			fprintf(stderr, "# %s\n", fx->diag.msgs[i].text);
		return r;
	}
	fx->spawned = true;
	return osh_sandbox_release(&fx->proc);
}

void fx_fini(struct fx *fx)
{
	osh_auto_close int kill_fd = -1;

	kill_fd = openat(fx->cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (kill_fd >= 0)
		(void)!write(kill_fd, "1", 1);
	if (fx->spawned)
		(void)waitpid(fx->proc.pid, NULL, 0);
	osh_sandbox_proc_fini(&fx->proc);
	osh_diag_fini(&fx->diag);
	osh_close_ptr(&fx->cgroup_fd);
	osh_close_ptr(&fx->init_fd);
	osh_close_ptr(&fx->state_fd);
	if (fx->cgroup[0])
		remove_cgroup(fx->cgroup);
}

const char *const *fx_env(void)
{
	static char **env;

	if (!env) {
		const struct osh_sandbox_env in = { .has_ca = true };

		(void)!osh_sandbox_env_build(&in, &env);
	}
	return (const char *const *)env;
}

int fx_wait_event(int fd, enum osh_init_event_type type, struct osh_init_event *ret)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int r;

	do {
		if (poll(&pfd, 1, 20000) != 1)
			return -ETIMEDOUT;
		r = osh_init_read(fd, ret);
	} while (r == -EAGAIN);
	if (r < 0)
		return r;
	return ret->type == type ? 0 : -EPROTO;
}

/* Feed @input, collect the output until both the pipe and the program have ended. */
static int collect(int fd, int in_fd, int out_fd, const char *input, struct fx_result *ret)
{
	size_t left = input ? strlen(input) : 0, got = 0;
	uint64_t end = osh_spec_now_ns() + 20000000000ull;
	bool ended = false, eof = false;
	struct osh_init_event ev;

	if (!left)
		osh_close_ptr(&in_fd);
	while (!ended || !eof) {
		struct pollfd pfd[3] = { { ended ? -1 : fd, POLLIN, 0 },
					 { eof ? -1 : out_fd, POLLIN, 0 },
					 { in_fd, POLLOUT, 0 } };
		int r;

		if (osh_spec_now_ns() > end || poll(pfd, 3, 20000) < 1)
			return -ETIMEDOUT;
		if (pfd[2].revents) {
			ssize_t n = write(in_fd, input, left);

			if (n > 0) {
				input += n;
				left -= (size_t)n;
			}
			if (n < 0 || !left)
				osh_close_ptr(&in_fd);
		}
		if (pfd[1].revents) {
			ssize_t n = read(out_fd, ret->out + got, sizeof(ret->out) - 1 - got);

			if (n <= 0)
				eof = true;
			else
				got += (size_t)n;
		}
		if (!pfd[0].revents)
			continue;
		r = osh_init_read(fd, &ev);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			return r;
		if (ev.type == OSH_INIT_EVENT_FAILED) {
			ret->err = ev.err;
			(void)osh_strlcpy(ret->step, ev.step, sizeof(ret->step));
			osh_close_ptr(&in_fd);
			return 0;
		}
		if (ev.type == OSH_INIT_EVENT_EXITED) {
			ret->code = ev.code;
			ret->signo = ev.signo;
			ended = true;
		}
	}
	osh_close_ptr(&in_fd);
	return 0;
}

int fx_run(struct fx *fx, const char *const *argv, const char *input, struct fx_result *ret)
{
	osh_auto_close int fd = -1, in_r = -1, out_r = -1, out_w = -1;
	int in[2], out[2], r;
	struct osh_init_exec req = { .argv = argv, .env = fx_env(), .uid = FX_UID };

	memset(ret, 0, sizeof(*ret));
	r = osh_init_connect(fx->sock, &fd);
	if (r < 0)
		return r;
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	in_r = in[0];
	out_r = out[0];
	out_w = out[1];
	req.stdio[0] = in_r;
	req.stdio[1] = req.stdio[2] = out_w;
	r = osh_init_exec_start(fd, &req);
	osh_close_ptr(&in_r);
	osh_close_ptr(&out_w);
	if (r < 0) {
		(void)close(in[1]);
		return r;
	}
	return collect(fd, in[1], out_r, input, ret);
}

int fx_sh(struct fx *fx, const char *script, struct fx_result *ret)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };

	return fx_run(fx, argv, NULL, ret);
}

int fx_put_probe(struct fx *fx)
{
	osh_auto_close int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), out = -1;
	char buf[65536];
	ssize_t n;

	out = openat(fx->state_fd, "home/probe", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (in < 0 || out < 0)
		return -errno;
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			return -EIO;
	return n < 0 ? -errno : 0;
}
