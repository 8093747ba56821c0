/* SPDX-License-Identifier: MIT */
/*
 * Passing oneself off as a binary of the policy. The real one is a file of root's that may talk to
 * id_port (osh_st_allowed_control); everything here must not get an answer from there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "selftest/attempt.h"

enum {
	ENV_FILL = 5000,
	CODE_ERRNO = 100, /* exit codes from here: exec failed with the errno above it */
};

struct start {
	const char *path; /* NULL: @fd is executed */
	int fd;
	const char *argv0; /* NULL: the path */
	const char *how, *arg; /* further arguments of fetch */
	char *const *envp;
	bool traced;
};

struct arguments {
	char port[8], index[8];
	char *argv[9];
};

static void arguments(const struct osh_selftest_env *env, const struct start *s,
		      struct arguments *a)
{
	const char *name = s->argv0 ? s->argv0 : s->path ? s->path : "fetch";
	const char *argv[] = { name, "fetch", env->host, a->port, a->index, s->how, s->arg, NULL };

	(void)snprintf(a->port, sizeof(a->port), "%u", env->id_port);
	(void)snprintf(a->index, sizeof(a->index), "%u", env->index);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(argv); i++)
		a->argv[i] = (char *)(uintptr_t)argv[i];
}

/* Exit code 0: it got an answer. Otherwise, or when it could not be started, not 0. */
static int fetch_with(const struct osh_selftest_env *env, const struct start *s)
{
	static char *const none[] = { NULL };
	char *const *envp = s->envp ? s->envp : none;
	struct arguments a;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return 126;
	if (pid == 0) {
		arguments(env, s, &a);
		if (s->traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(CODE_ERRNO + errno);
		if (s->path)
			(void)execve(s->path, a.argv, envp);
		else
			(void)syscall(SYS_execveat, s->fd, "", a.argv, envp, AT_EMPTY_PATH);
		_exit(CODE_ERRNO + OSH_MIN(errno, 155));
	}
	for (;;) {
		if (waitpid(pid, &status, 0) != pid)
			return 126;
		if (!WIFSTOPPED(status))
			break;
		(void)ptrace(PTRACE_CONT, pid, NULL, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *code_text(int code)
{
	return code == 0	   ? "the permitted listener answered"
	       : code == 1	   ? "refused"
	       : code == 2	   ? "it could not prepare"
	       : code > CODE_ERRNO ? strerror(code - CODE_ERRNO)
				   : "it ended otherwise";
}

static enum osh_selftest_state judge(int code, const char *what, char *detail)
{
	osh_st_say(detail, "%s: %s", what, code_text(code));
	return code == 0 ? OSH_SELFTEST_OPEN : OSH_SELFTEST_CLOSED;
}

static enum osh_selftest_state run_path(const struct osh_selftest_env *env, const char *path,
					const char *what, char *detail)
{
	struct start s = { .path = path };

	return judge(fetch_with(env, &s), what, detail);
}

/* A copy of the policy's binary, executable; @extra: a byte more than the original. */
static int copy_to(int out, bool extra)
{
	osh_auto_close int in = open(OSH_SELFTEST_ALLOWED, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (in < 0 || fstat(in, &st) < 0)
		return -errno;
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
			return -errno;
	if (extra && write(out, "", 1) != 1)
		return -errno;
	return 0;
}

static int make_copy(const char *path, bool extra)
{
	osh_auto_close int fd = -1;
	int r;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return -errno;
	r = copy_to(fd, extra);
	if (r == 0 && fchmod(fd, 0755) < 0)
		r = -errno;
	return r;
}

static int make_dir_copy(const char *dir, const char *path)
{
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	return make_copy(path, false);
}

enum osh_selftest_state osh_st_allowed_control(const struct osh_selftest_env *env, char *detail)
{
	return run_path(env, OSH_SELFTEST_ALLOWED, "the policy's binary", detail);
}

enum osh_selftest_state osh_st_not_allowed(const struct osh_selftest_env *env, char *detail)
{
	return run_path(env, OSH_SELFTEST_PROBE, "another binary", detail);
}

enum osh_selftest_state osh_st_copy(const struct osh_selftest_env *env, char *detail)
{
	if (make_copy("/sandbox/allowed", false) < 0 || make_copy("/tmp/allowed", false) < 0)
		return osh_st_refused(detail, "copy");
	if (run_path(env, "/tmp/allowed", "a copy of it", detail) == OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return run_path(env, "/sandbox/allowed", "a copy of it", detail);
}

/* Put the copy where a careless comparison of paths would take it for the original. */
enum osh_selftest_state osh_st_rename(const struct osh_selftest_env *env, char *detail)
{
	static const char *const pairs[][2] = {
		{ "/tmp/sandbox", "/tmp/sandbox/allowed" },
		{ "/sandbox/st ", "/sandbox/st /allowed" },
		{ "/sandbox/ST", "/sandbox/ST/allowed" },
	};

	for (size_t i = 0; i < OSH_ARRAY_SIZE(pairs); i++) {
		if (make_dir_copy(pairs[i][0], pairs[i][1]) < 0)
			return osh_st_refused(detail, "copy");
		if (run_path(env, pairs[i][1], "a copy in a similar place", detail) ==
		    OSH_SELFTEST_OPEN)
			return OSH_SELFTEST_OPEN;
	}
	/* exchanging the file itself must fail: its folder belongs to root */
	if (rename("/tmp/sandbox/allowed", OSH_SELFTEST_ALLOWED) == 0)
		return osh_st_open(detail, "the policy's binary was replaced");
	return OSH_SELFTEST_CLOSED;
}

/* Another name for the very file: it is trusted under the policy's name only. */
enum osh_selftest_state osh_st_hardlink(const struct osh_selftest_env *env, char *detail)
{
	(void)unlink("/sandbox/hard");
	if (link(OSH_SELFTEST_ALLOWED, "/sandbox/hard") < 0)
		return osh_st_refused(detail, "link");
	return run_path(env, "/sandbox/hard", "a hard link", detail);
}

enum osh_selftest_state osh_st_argv(const struct osh_selftest_env *env, char *detail)
{
	struct start s = { .path = "/sandbox/argv", .argv0 = OSH_SELFTEST_ALLOWED };

	if (make_copy(s.path, false) < 0)
		return osh_st_refused(detail, "copy");
	(void)prctl(PR_SET_NAME, "allowed");
	return judge(fetch_with(env, &s), "its name in argv[0] and comm", detail);
}

enum osh_selftest_state osh_st_memfd(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = memfd_create("allowed", 0);
	char path[64];

	if (fd < 0)
		return osh_st_refused(detail, "memfd_create");
	if (copy_to(fd, false) < 0)
		return osh_st_refused(detail, "copy");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return run_path(env, path, "from memory", detail);
}

/* Execute a descriptor through /proc, then with execveat(). */
static enum osh_selftest_state run_fd(const struct osh_selftest_env *env, int fd, const char *what,
				      char *detail)
{
	struct start s = { .fd = fd }, by_path = { 0 };
	char path[64];
	int first, second;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	by_path.path = path;
	first = fetch_with(env, &by_path);
	second = fetch_with(env, &s);
	osh_st_say(detail, "%s: through /proc: %s; execveat: %s", what, code_text(first),
		   code_text(second));
	return first && second ? OSH_SELFTEST_CLOSED : OSH_SELFTEST_OPEN;
}

enum osh_selftest_state osh_st_tmpfile(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int w = open("/tmp", O_TMPFILE | O_RDWR, 0755), fd = -1;
	char path[64];

	if (w < 0)
		return osh_st_refused(detail, "O_TMPFILE");
	if (copy_to(w, false) < 0)
		return osh_st_refused(detail, "copy");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", w);
	fd = open(path, O_RDONLY);
	osh_close_ptr(&w); /* what is open for writing cannot be executed */
	if (fd < 0)
		return osh_st_refused(detail, "open");
	return run_fd(env, fd, "a file without a name", detail);
}

/* At a path of the policy, and gone before it is asked about. */
enum osh_selftest_state osh_st_deleted(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = -1;

	if (make_copy(OSH_SELFTEST_TOFU, false) < 0)
		return osh_st_refused(detail, "copy");
	fd = open(OSH_SELFTEST_TOFU, O_RDONLY);
	if (fd < 0 || unlink(OSH_SELFTEST_TOFU) < 0)
		return osh_st_refused(detail, "unlink");
	return run_fd(env, fd, "a deleted file", detail);
}

enum osh_selftest_state osh_st_fexecve(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = -1;

	if (make_copy("/sandbox/fexec", false) < 0)
		return osh_st_refused(detail, "copy");
	fd = open("/sandbox/fexec", O_RDONLY);
	if (fd < 0)
		return osh_st_refused(detail, "open");
	return run_fd(env, fd, "a descriptor of a copy", detail);
}

/*
 * Another dynamic program of the policy: the real one first, then the loader with it as an argument
 * (a loader simply executes a static program, so our own will not do).
 */
#define DYNAMIC OSH_SELFTEST_DYNAMIC

/* 0: the answer of the permitted listener (and not the proxy's refusal) came back. */
static int run_dynamic(const struct osh_selftest_env *env, const char *loader, char *const *envp)
{
	char marker[OSH_SELFTEST_MARKER_BYTES], url[200], text[1024];
	const char *argv[] = { loader, DYNAMIC, "-s", "--max-time", "5", url, NULL };
	const char *const *v = loader ? argv : argv + 1;
	static char *const none[] = { NULL };
	size_t n = 0;
	ssize_t got;
	int out[2];
	pid_t pid;

	osh_st_marker(env, marker);
	(void)snprintf(url, sizeof(url), "http://%s:%u/%s", env->host, env->id_port, marker);
	if (pipe2(out, O_CLOEXEC) < 0)
		return CODE_ERRNO + errno;
	pid = fork();
	if (pid == 0) {
		(void)dup2(out[1], 1);
		(void)execve(v[0], (char *const *)(uintptr_t)v, envp ? envp : none);
		_exit(CODE_ERRNO + OSH_MIN(errno, 155));
	}
	(void)close(out[1]);
	while (n < sizeof(text) && (got = read(out[0], text + n, sizeof(text) - n)) > 0)
		n += (size_t)got;
	(void)close(out[0]);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		return 126;
	return memmem(text, n, OSH_SELFTEST_ANSWER, strlen(OSH_SELFTEST_ANSWER)) ? 0 : 1;
}

enum osh_selftest_state osh_st_dynamic_control(const struct osh_selftest_env *env, char *detail)
{
	if (access(DYNAMIC, X_OK) < 0)
		return osh_st_not_here(detail, DYNAMIC " to try it with");
	return judge(run_dynamic(env, NULL, NULL), DYNAMIC, detail);
}

enum osh_selftest_state osh_st_ld_so(const struct osh_selftest_env *env, char *detail)
{
	static const char *const loaders[] = { "/lib64/ld-linux-x86-64.so.2",
					       "/usr/lib64/ld-linux-x86-64.so.2",
					       "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
					       "/lib/ld-linux-aarch64.so.1" };
	unsigned int tried = 0;

	if (access(DYNAMIC, X_OK) < 0)
		return osh_st_not_here(detail, DYNAMIC " to try it with");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(loaders); i++) {
		if (access(loaders[i], X_OK) < 0)
			continue;
		tried++;
		if (judge(run_dynamic(env, loaders[i], NULL), loaders[i], detail) ==
		    OSH_SELFTEST_OPEN)
			return OSH_SELFTEST_OPEN;
	}
	return tried ? OSH_SELFTEST_CLOSED : osh_st_not_here(detail, "a loader's path");
}

static enum osh_selftest_state with_env(const struct osh_selftest_env *env, const char *variable,
					char *detail)
{
	char *envp[] = { (char *)(uintptr_t) "A=1", (char *)(uintptr_t)variable, NULL };
	struct start s = { .path = OSH_SELFTEST_ALLOWED, .envp = envp };

	return judge(fetch_with(env, &s), variable, detail);
}

enum osh_selftest_state osh_st_preload(const struct osh_selftest_env *env, char *detail)
{
	return with_env(env, "LD_PRELOAD=/sandbox/evil.so", detail);
}

enum osh_selftest_state osh_st_audit(const struct osh_selftest_env *env, char *detail)
{
	return with_env(env, "LD_AUDIT=/sandbox/evil.so", detail);
}

/* A library of one's own in the place of one of the program's. */
enum osh_selftest_state osh_st_libpath(const struct osh_selftest_env *env, char *detail)
{
	static const char *const libs[] = { "/usr/lib/x86_64-linux-gnu/libcurl.so.4",
					    "/usr/lib/aarch64-linux-gnu/libcurl.so.4",
					    "/usr/lib64/libcurl.so.4" };
	char *envp[] = { (char *)(uintptr_t) "LD_LIBRARY_PATH=/sandbox/lib", NULL };
	osh_auto_close int in = -1, out = -1;
	ssize_t n;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(libs) && in < 0; i++)
		in = open(libs[i], O_RDONLY | O_CLOEXEC);
	if (in < 0 || access(DYNAMIC, X_OK) < 0)
		return osh_st_not_here(detail, DYNAMIC " and its library to try it with");
	(void)mkdir("/sandbox/lib", 0755);
	out = open("/sandbox/lib/libcurl.so.4", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (out < 0)
		return osh_st_refused(detail, "copy");
	while ((n = sendfile(out, in, NULL, 1u << 20)) > 0)
		;
	osh_close_ptr(&out);
	return judge(run_dynamic(env, NULL, envp), "a library of its own by LD_LIBRARY_PATH",
		     detail);
}

/* Hide the variable behind more of them than anybody cares to read. */
enum osh_selftest_state osh_st_big_env(const struct osh_selftest_env *env, char *detail)
{
	static char *envp[ENV_FILL + 2];
	static char filler[] = "X=1", preload[] = "LD_PRELOAD=/sandbox/evil.so";
	struct start s = { .path = OSH_SELFTEST_ALLOWED, .envp = envp };

	for (int i = 0; i < ENV_FILL; i++)
		envp[i] = filler;
	envp[ENV_FILL] = preload;
	return judge(fetch_with(env, &s), "LD_PRELOAD behind 5000 variables", detail);
}

/* It maps code from a writable place, as a preloaded library or plug-in does. */
enum osh_selftest_state osh_st_mapped_code(const struct osh_selftest_env *env, char *detail)
{
	struct start s = { .path = OSH_SELFTEST_ALLOWED, .how = "map", .arg = "/sandbox/code" };

	if (make_copy("/sandbox/code", true) < 0)
		return osh_st_refused(detail, "copy");
	return judge(fetch_with(env, &s), "code from a writable place", detail);
}

enum osh_selftest_state osh_st_mm_exe(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = open(OSH_SELFTEST_ALLOWED, O_RDONLY | O_CLOEXEC);

	(void)env;
	if (fd < 0)
		return osh_st_refused(detail, "open");
	if (prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0, 0) == 0)
		return osh_st_open(detail, "the link to the executable was changed");
	return osh_st_refused(detail, "PR_SET_MM_EXE_FILE");
}

/* Programs started later would execute whatever they can read, at addresses known beforehand. */
enum osh_selftest_state osh_st_layout(const struct osh_selftest_env *env, char *detail)
{
	/* the kernel takes bits that mean nothing: the highest is that of the question 0xffffffff */
	static const unsigned long layouts[] = { READ_IMPLIES_EXEC,
						 ADDR_NO_RANDOMIZE,
						 ADDR_COMPAT_LAYOUT,
						 MMAP_PAGE_ZERO,
						 0x80000000ul | READ_IMPLIES_EXEC,
						 0x80000000ul | ADDR_NO_RANDOMIZE,
						 0xfffffffeul };
	int id;

	(void)env;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(layouts); i++) {
		if (personality(layouts[i]) == -1)
			continue;
		(void)personality(0);
		osh_st_say(detail, "personality 0x%lx was accepted", layouts[i]);
		return OSH_SELFTEST_OPEN;
	}
	id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700);
	if (id >= 0) {
		void *p = shmat(id, NULL, SHM_EXEC);

		(void)shmctl(id, IPC_RMID, NULL);
		if (p != (void *)-1)
			return osh_st_open(detail, "executable shared memory");
	}
	return osh_st_refused(detail, "personality, shmat");
}

/*
 * Who connects counts, not who uses the socket later: straight to the destination, and to the proxy,
 * where everybody may connect and the policy's binary then asks for its destination.
 */
enum osh_selftest_state osh_st_connect_exec(const struct osh_selftest_env *env, char *detail)
{
	struct start s = { .path = OSH_SELFTEST_ALLOWED };
	int fds[2] = { osh_st_dial(env, env->id_port), osh_st_explicit() };
	int codes[2] = { CODE_ERRNO + ECONNREFUSED, 2 };

	for (int i = 0; i < 2; i++) {
		char number[16];

		if (fds[i] < 0)
			continue;
		(void)fcntl(fds[i], F_SETFD, 0);
		(void)snprintf(number, sizeof(number), "%d", fds[i]);
		s.arg = number;
		s.how = i ? "proxy" : "fd";
		codes[i] = fetch_with(env, &s);
	}
	osh_st_say(detail, "to the destination: %s; to the proxy: %s", code_text(codes[0]),
		   code_text(codes[1]));
	if (fds[1] < 0)
		return osh_st_open(detail, "cannot be tried: no connection to the proxy");
	return codes[0] && codes[1] ? OSH_SELFTEST_CLOSED : OSH_SELFTEST_OPEN;
}

struct race {
	const struct osh_selftest_env *env;
	struct sockaddr_in to;
};

static void *connect_all_the_time(void *arg)
{
	struct race *race = arg;
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(race->env, marker);
	for (;;) {
		int fd = osh_st_connect(&race->to, sizeof(race->to));

		if (fd >= 0) {
			(void)!send(fd, marker, sizeof(marker), MSG_NOSIGNAL); /* seen or not */
			(void)close(fd);
		}
	}
	return NULL;
}

/* One thread connects while another turns the process into the policy's binary. */
enum osh_selftest_state osh_st_thread_exec(const struct osh_selftest_env *env, char *detail)
{
	struct race race = { .env = env, .to = osh_st_sin("0.0.0.0", env->id_port) };
	struct start s = { .path = OSH_SELFTEST_ALLOWED, .how = "wait" };
	struct arguments a;

	if (osh_st_resolve("198.18.0.1", env->host, &race.to.sin_addr) < 0)
		return osh_st_open(detail, "the permitted name does not resolve");
	arguments(env, &s, &a);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		pthread_t thread;

		if (pid == 0) {
			osh_auto_close int null = open("/dev/null", O_RDWR);

			(void)dup2(null, 0);
			(void)dup2(null, 1);
			if (pthread_create(&thread, NULL, connect_all_the_time, &race))
				_exit(1);
			(void)usleep(1000u + 500u * (unsigned int)i);
			(void)execv(OSH_SELFTEST_ALLOWED, a.argv);
			_exit(CODE_ERRNO + OSH_MIN(errno, 155));
		}
		if (pid > 0)
			(void)waitpid(pid, NULL, 0);
	}
	osh_st_say(detail, "20 races, no byte got through"); /* else the listener convicts us */
	return OSH_SELFTEST_CLOSED;
}

static void *connect_later(void *arg)
{
	struct race *race = arg;
	int fd;

	(void)usleep(50000); /* the leader is gone by then */
	fd = osh_st_connect(&race->to, sizeof(race->to));
	_exit(fd >= 0 && osh_st_talk(race->env, fd) ? 0 : 1);
}

enum osh_selftest_state osh_st_leader_exit(const struct osh_selftest_env *env, char *detail)
{
	struct race race = { .env = env, .to = osh_st_sin("0.0.0.0", env->id_port) };
	int status;
	pid_t pid;

	if (osh_st_resolve("198.18.0.1", env->host, &race.to.sin_addr) < 0)
		return osh_st_open(detail, "the permitted name does not resolve");
	pid = fork();
	if (pid == 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, connect_later, &race))
			_exit(2);
		(void)syscall(SYS_exit, 0); /* this thread only */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return osh_st_open(detail, "cannot tell");
	return judge(WIFEXITED(status) ? WEXITSTATUS(status) : 3, "leader gone, thread connects",
		     detail);
}

/* ---- reaching into a process that is allowed ---- */

enum osh_selftest_state osh_st_traced(const struct osh_selftest_env *env, char *detail)
{
	struct start s = { .path = OSH_SELFTEST_ALLOWED, .traced = true };

	return judge(fetch_with(env, &s), "traced from its start", detail);
}

struct victim {
	pid_t pid;
	int in, out;
};

static int victim_start(const struct osh_selftest_env *env, struct victim *v)
{
	struct start s = { .path = OSH_SELFTEST_ALLOWED, .how = "wait" };
	struct arguments a;
	int in[2], out[2];
	char ready;

	if (pipe(in) < 0 || pipe(out) < 0)
		return -errno;
	arguments(env, &s, &a);
	v->pid = fork();
	if (v->pid < 0)
		return -errno;
	if (v->pid == 0) {
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		(void)execv(OSH_SELFTEST_ALLOWED, a.argv);
		_exit(CODE_ERRNO + OSH_MIN(errno, 155));
	}
	(void)close(in[0]);
	(void)close(out[1]);
	v->in = in[1];
	v->out = out[0];
	return read(v->out, &ready, 1) == 1 ? 0 : -ECHILD;
}

static void victim_end(struct victim *v)
{
	osh_close_ptr(&v->in);
	osh_close_ptr(&v->out);
	(void)kill(v->pid, SIGKILL); /* our own child */
	(void)waitpid(v->pid, NULL, 0);
}

enum osh_selftest_state osh_st_attach(const struct osh_selftest_env *env, char *detail)
{
	enum osh_selftest_state s;
	struct victim v;

	if (victim_start(env, &v) < 0)
		return osh_st_open(detail, "cannot start the victim");
	s = ptrace(PTRACE_ATTACH, v.pid, NULL, NULL) == 0 ||
			    ptrace(PTRACE_SEIZE, v.pid, NULL, NULL) == 0
		    ? osh_st_open(detail, "attached to the policy's binary")
		    : osh_st_refused(detail, "PTRACE_ATTACH, PTRACE_SEIZE");
	victim_end(&v);
	return s;
}

enum osh_selftest_state osh_st_vm_write(const struct osh_selftest_env *env, char *detail)
{
	/* same program, same place? no: any address will do to see who refuses */
	char byte = 0;
	struct iovec here = { &byte, 1 }, there = { (void *)4096, 1 };
	enum osh_selftest_state s;
	struct victim v;

	if (victim_start(env, &v) < 0)
		return osh_st_open(detail, "cannot start the victim");
	errno = 0;
	if (process_vm_writev(v.pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT)
		s = osh_st_open(detail, "process_vm_writev reaches another process");
	else
		s = osh_st_refused(detail, "process_vm_writev");
	victim_end(&v);
	return s;
}

enum osh_selftest_state osh_st_proc_mem(const struct osh_selftest_env *env, char *detail)
{
	enum osh_selftest_state s;
	osh_auto_close int fd = -1;
	struct victim v;
	char path[64];

	if (victim_start(env, &v) < 0)
		return osh_st_open(detail, "cannot start the victim");
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)v.pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	s = fd >= 0 ? osh_st_open(detail, "/proc/PID/mem of the policy's binary was opened")
		    : osh_st_refused(detail, "/proc/PID/mem");
	victim_end(&v);
	return s;
}

enum osh_selftest_state osh_st_getfd(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int pidfd = -1, fd = -1;
	enum osh_selftest_state s;
	struct victim v;

	if (victim_start(env, &v) < 0)
		return osh_st_open(detail, "cannot start the victim");
	pidfd = (int)syscall(SYS_pidfd_open, v.pid, 0);
	if (pidfd >= 0)
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	s = fd >= 0 ? osh_st_open(detail, "a descriptor of the policy's binary was taken")
		    : osh_st_refused(detail, pidfd < 0 ? "pidfd_open" : "pidfd_getfd");
	victim_end(&v);
	return s;
}

/* ---- trust on first use ---- */

enum osh_selftest_state osh_st_tofu_control(const struct osh_selftest_env *env, char *detail)
{
	if (make_copy(OSH_SELFTEST_TOFU, false) < 0)
		return osh_st_open(detail, "cannot copy");
	return run_path(env, OSH_SELFTEST_TOFU, "first use", detail);
}

/* Read before it is written, a page of some filesystems changes without the file's times moving. */
static int edit_by_mapping(const char *path)
{
	osh_auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	volatile char *p;
	char was;

	if (fd < 0)
		return -1;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	was = p[15]; /* padding of the ELF header */
	p[15] = (char)(was ^ 1);
	return munmap((void *)p, 4096);
}

/* An edit through a mapping; another file in the place of one that was seen; an edit of the file. */
enum osh_selftest_state osh_st_tofu(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = -1;

	if (edit_by_mapping(OSH_SELFTEST_TOFU) < 0)
		return osh_st_refused(detail, "mapping");
	if (run_path(env, OSH_SELFTEST_TOFU, "edited through a mapping", detail) ==
	    OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	if (make_copy("/sandbox/tofu.new", true) < 0 ||
	    rename("/sandbox/tofu.new", OSH_SELFTEST_TOFU) < 0)
		return osh_st_refused(detail, "replace");
	if (run_path(env, OSH_SELFTEST_TOFU, "replaced", detail) == OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	fd = open(OSH_SELFTEST_TOFU, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, "", 1) != 1)
		return osh_st_refused(detail, "append");
	osh_close_ptr(&fd);
	return run_path(env, OSH_SELFTEST_TOFU, "edited in place", detail);
}

/* A script whose interpreter is not in the policy, under a name that is. */
enum osh_selftest_state osh_st_script(const struct osh_selftest_env *env, char *detail)
{
	static const char text[] = "#!" OSH_SELFTEST_PROBE " script\n";
	osh_auto_close int fd = -1;
	struct start s = { .path = "/sandbox/script", .argv0 = OSH_SELFTEST_ALLOWED };

	fd = open(s.path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		return osh_st_refused(detail, "script");
	osh_close_ptr(&fd);
	return judge(fetch_with(env, &s), "a script named like it", detail);
}
