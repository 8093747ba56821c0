/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sandbox/init.h"
#include "sandbox/sandbox.h"
#include "sandbox/seccomp.h"
#include "sandbox/spec.h"

#define DEFAULT_TIMEOUT_MS 10000
#define SAFE_FD		   64 /* above the fixed descriptors of init */
#define LABEL_MAX	   63 /* of a host name */

struct spawn {
	const struct osh_sandbox_cfg *cfg;
	struct osh_diag *diag;
	uint64_t start_ns, deadline_ns;
	int spec_fd;
	int program_fd; /* borrowed */
	int status_fd, child_status_fd;
	bool told; /* @diag has the reason */
	struct osh_sandbox_proc proc;
};

void osh_sandbox_proc_init(struct osh_sandbox_proc *proc)
{
	*proc = (struct osh_sandbox_proc){ .pidfd = -1, .netns_fd = -1, .go_fd = -1 };
	osh_sandbox_listeners_init(&proc->lst);
}

void osh_sandbox_proc_fini(struct osh_sandbox_proc *proc)
{
	osh_close_ptr(&proc->pidfd);
	osh_close_ptr(&proc->netns_fd);
	osh_close_ptr(&proc->go_fd);
	osh_sandbox_listeners_fini(&proc->lst);
	for (size_t i = 0; i < proc->notes_count; i++)
		free(proc->notes[i].text);
	free(proc->notes);
	proc->notes = NULL;
	proc->notes_count = 0;
}

static int fail(struct spawn *sp, int r, const char *step)
{
	if (!sp->told)
		osh_diag_err(sp->diag, 0, 0, "sandbox set-up failed at step %s: %s", step,
			     strerror(-r));
	sp->told = true;
	return r;
}

static uint32_t since_start(const struct spawn *sp, uint64_t now_ns)
{
	return (uint32_t)((now_ns - sp->start_ns) / 1000);
}

static bool is_name(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	if (!n || n > LABEL_MAX || name[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!osh_is_alnum(name[i]) && name[i] != '-')
			return false;
	return true;
}

/* It is written into resolv.conf as it stands. */
static bool is_address(const char *text)
{
	return !text || (text[0] && strspn(text, "0123456789abcdefABCDEF:.") == strlen(text));
}

static int check_cfg(struct spawn *sp)
{
	const struct osh_sandbox_cfg *cfg = sp->cfg;
	const char *what = NULL;

	if (!is_name(cfg->name))
		what = "name";
	else if (!cfg->ids.uid || !cfg->ids.gid || cfg->ids.uid == (uid_t)-1 ||
		 cfg->ids.gid == (gid_t)-1)
		what = "uid or gid";
	else if (!is_address(cfg->dns_addr))
		what = "DNS address";
	else if (cfg->read_only.count + cfg->read_write.count > OSH_SANDBOX_PATHS_MAX)
		what = "number of filesystem paths";
	if (!what)
		return 0;
	osh_diag_err(sp->diag, 0, 0, "sandbox set-up refused: bad %s", what);
	sp->told = true;
	return -EINVAL;
}

static int path_of(int fd, char ret_path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret_path, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	ret_path[n] = '\0';
	return ret_path[0] == '/' ? 0 : -EBADF;
}

static int write_spec(struct spawn *sp)
{
	osh_auto_bufmem struct osh_buf bytes;
	char state_path[PATH_MAX];
	struct osh_str blob, rest;
	int r;

	osh_buf_init(&bytes, OSH_SPEC_MAX, 0);
	r = osh_seccomp_blob(&blob);
	if (r < 0)
		return fail(sp, r, "seccomp-build");
	r = path_of(sp->cfg->state_fd, state_path);
	if (r < 0)
		return fail(sp, r, "state-directory");
	r = osh_spec_encode(sp->cfg, state_path, blob, &bytes);
	if (r < 0)
		return fail(sp, r, "specification");
	sp->spec_fd = memfd_create("osh-sandbox-spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (sp->spec_fd < 0)
		return fail(sp, -errno, "specification");
	for (rest = osh_buf_str(&bytes); rest.n;) {
		ssize_t n = write(sp->spec_fd, rest.p, rest.n);

		if (n < 0)
			return fail(sp, -errno, "specification");
		rest = osh_str_sub(rest, (size_t)n, rest.n);
	}
	if (fcntl(sp->spec_fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return fail(sp, -errno, "specification");
	return 0;
}

/* ---- the child, between clone and exec: a copy of the caller, so only system calls ---- */

static _Noreturn void become_init(const struct spawn *sp)
{
	static char *const argv[] = { (char *)OSH_INIT_ARGV0, NULL };
	static char *const env[] = { NULL };
	const int from[] = { sp->spec_fd, sp->child_status_fd, sp->cfg->init_fd, sp->cfg->state_fd,
			     sp->program_fd };
	int safe[OSH_ARRAY_SIZE(from)];

	for (size_t i = 0; i < OSH_ARRAY_SIZE(from); i++) {
		safe[i] = fcntl(from[i], F_DUPFD_CLOEXEC, SAFE_FD);
		if (safe[i] < 0)
			_exit(126);
	}
	for (size_t i = 0; i + 1 < OSH_ARRAY_SIZE(from); i++)
		if (dup2(safe[i], OSH_SPEC_FD_SPEC + (int)i) < 0)
			_exit(126);
	/* Whatever else the caller has open ends with the exec, flagged or not. */
	if (syscall(SYS_close_range, OSH_SPEC_FD_END, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) < 0)
		_exit(126);
	(void)syscall(SYS_execveat, safe[OSH_ARRAY_SIZE(from) - 1], "", argv, env, AT_EMPTY_PATH);
	(void)osh_report_fail(OSH_SPEC_FD_STATUS, -errno, "exec-init", NULL);
	_exit(126);
}

static int clone_init(struct spawn *sp)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
			 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)sp->cfg->cgroup_fd,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_init(sp);
	sp->proc.pid = (pid_t)pid;
	sp->proc.pidfd = pidfd;
	return 0;
}

static int open_netns(pid_t pid)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- reports ---- */

static int add_note(struct spawn *sp, int level, const char *text)
{
	struct osh_sandbox_proc *proc = &sp->proc;

	if (!proc->notes) {
		proc->notes = calloc(OSH_SANDBOX_NOTES_MAX, sizeof(*proc->notes));
		if (!proc->notes)
			return -ENOMEM;
	}
	if (proc->notes_count == OSH_SANDBOX_NOTES_MAX)
		return 0;
	proc->notes[proc->notes_count].text = osh_str_dup(osh_str(text));
	if (!proc->notes[proc->notes_count].text)
		return -ENOMEM;
	proc->notes[proc->notes_count++].level = (enum osh_sandbox_note_level)level;
	return 0;
}

static int on_failed(struct spawn *sp, const struct osh_report *report, size_t text_len)
{
	size_t step_len = strlen(report->text);
	const char *detail = step_len + 1 < text_len ? report->text + step_len + 1 : "";

	osh_diag_err(sp->diag, 0, 0, "sandbox set-up failed at step %s: %s%s%s", report->text,
		     detail, detail[0] ? ": " : "", strerror(report->value));
	sp->told = true;
	return report->value > 0 ? -report->value : -EIO;
}

/* 1: ready, 0: go on, or the failure. */
static int on_report(struct spawn *sp, const struct osh_report *report, size_t text_len)
{
	uint32_t at = since_start(sp, report->when_ns);

	switch ((enum osh_report_type)report->type) {
	case OSH_REPORT_FAILED:
		return on_failed(sp, report, text_len);
	case OSH_REPORT_NOTE:
		return add_note(sp, report->value, report->text);
	case OSH_REPORT_ENTERED:
		sp->proc.times.execed = at;
		return 0;
	case OSH_REPORT_ROOTED:
		sp->proc.times.rooted = at;
		return 0;
	case OSH_REPORT_CONFINED:
		sp->proc.times.confined = at;
		return 0;
	case OSH_REPORT_READY:
		sp->proc.landlock_abi = (unsigned int)report->value;
		return 1;
	}
	return -EBADMSG;
}

static int read_report(struct spawn *sp)
{
	struct osh_report report;
	ssize_t n = recv(sp->status_fd, &report, sizeof(report) - 1, 0);
	size_t head = offsetof(struct osh_report, text);

	if (n < 0)
		return errno == EINTR ? 0 : fail(sp, -errno, "report");
	if (n == 0)
		return fail(sp, -ECHILD, "init (it died without a word)");
	if ((size_t)n <= head)
		return fail(sp, -EBADMSG, "report");
	((char *)&report)[n] = '\0';
	return on_report(sp, &report, (size_t)n - head);
}

static int wait_ready(struct spawn *sp)
{
	struct pollfd pfd = { .fd = sp->status_fd, .events = POLLIN };
	int r = 0;

	while (r == 0) {
		uint64_t now = osh_spec_now_ns();
		int n;

		if (now >= sp->deadline_ns)
			return fail(sp, -ETIMEDOUT, "wait");
		n = poll(&pfd, 1, (int)((sp->deadline_ns - now) / 1000000) + 1);
		if (n < 0 && errno != EINTR)
			return fail(sp, -errno, "wait");
		if (n > 0)
			r = read_report(sp);
	}
	return r < 0 ? r : 0;
}

/*
 * Init runs at the same time: when a step of ours fails because init is dead already, its own report
 * says why.
 */
static int fail_or_report(struct spawn *sp, int r, const char *step)
{
	struct pollfd pfd = { .fd = sp->status_fd, .events = POLLIN };

	while (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLIN)) {
		int told = read_report(sp);

		if (told < 0)
			return told;
		if (told > 0)
			break;
	}
	return fail(sp, r, step);
}

/* ---- */

static int open_files(struct spawn *sp)
{
	int pair[2], r = write_spec(sp);

	if (r < 0)
		return r;
	sp->program_fd = sp->cfg->exe_fd;
	if (sp->program_fd < 0)
		r = osh_init_program(&sp->program_fd);
	if (r < 0)
		return fail(sp, r, "init-program (is vm.memfd_noexec set?)");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(sp, -errno, "socketpair");
	sp->status_fd = pair[0];
	sp->child_status_fd = pair[1];
	sp->proc.times.prepared = since_start(sp, osh_spec_now_ns());
	return 0;
}

static int run(struct spawn *sp)
{
	int r = check_cfg(sp);

	if (r == 0)
		r = open_files(sp);
	if (r < 0)
		return r;
	r = clone_init(sp);
	osh_close_ptr(&sp->child_status_fd); /* so that init's death is heard */
	if (r < 0)
		return fail(sp, r, "clone");
	sp->proc.times.cloned = since_start(sp, osh_spec_now_ns());
	r = open_netns(sp->proc.pid);
	if (r < 0)
		return fail_or_report(sp, r, "network-namespace");
	sp->proc.netns_fd = r;
	r = osh_sandbox_listen(sp->proc.netns_fd, &sp->proc.lst, &sp->proc.netns_cookie);
	if (r < 0)
		return fail_or_report(sp, r, "listeners");
	sp->proc.times.listening = since_start(sp, osh_spec_now_ns());
	r = wait_ready(sp);
	if (r < 0)
		return r;
	sp->proc.times.ready = since_start(sp, osh_spec_now_ns());
	sp->proc.go_fd = osh_take_fd(&sp->status_fd);
	return 0;
}

static void kill_and_reap(struct osh_sandbox_proc *proc)
{
	if (proc->pidfd < 0)
		return;
	(void)syscall(SYS_pidfd_send_signal, proc->pidfd, SIGKILL, NULL, 0);
	/* PID 1 takes its whole namespace with it before it can be waited for. */
	while (waitid((idtype_t)P_PIDFD, (id_t)proc->pidfd, NULL, WEXITED) < 0 && errno == EINTR)
		;
}

int osh_sandbox_spawn(const struct osh_sandbox_cfg *cfg, struct osh_sandbox_proc *ret_proc,
		      struct osh_diag *diag)
{
	struct spawn sp = {
		.cfg = cfg,
		.diag = diag,
		.spec_fd = -1,
		.program_fd = -1,
		.status_fd = -1,
		.child_status_fd = -1,
	};
	unsigned int timeout_ms = cfg->timeout_ms ? cfg->timeout_ms : DEFAULT_TIMEOUT_MS;
	int r;

	osh_sandbox_proc_init(&sp.proc);
	sp.start_ns = osh_spec_now_ns();
	sp.deadline_ns = sp.start_ns + (uint64_t)timeout_ms * 1000000;
	r = run(&sp);
	osh_close_ptr(&sp.spec_fd);
	osh_close_ptr(&sp.status_fd);
	osh_close_ptr(&sp.child_status_fd);
	if (r < 0) {
		kill_and_reap(&sp.proc);
		osh_sandbox_proc_fini(&sp.proc);
		return r;
	}
	*ret_proc = sp.proc;
	return 0;
}

int osh_sandbox_release(struct osh_sandbox_proc *proc)
{
	int r = send(proc->go_fd, "g", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;

	osh_close_ptr(&proc->go_fd);
	return r;
}

/* ---- adoption ---- */

/* Last number of the NSpid line: the pid in the innermost namespace. */
static bool is_pid1(pid_t pid)
{
	osh_auto_bufmem struct osh_buf text;
	osh_auto_close int fd = -1;
	char path[64];
	const char *line, *last = NULL;

	osh_buf_init(&text, 64u * 1024, 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || osh_buf_read_all(&text, fd) < 0 || !text.len)
		return false;
	line = strstr(text.data, "\nNSpid:");
	if (!line)
		return false;
	for (line += strlen("\nNSpid:"); *line && *line != '\n'; line++)
		if (*line == '\t')
			last = line + 1;
	return last && last[0] == '1' && (last[1] == '\n' || last[1] == '\0');
}

static int find_init(int cgroup_fd, pid_t *ret_pid)
{
	osh_auto_bufmem struct osh_buf text = { 0 };
	osh_auto_close int fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	struct osh_str rest, line;
	uint64_t pid;
	int r;

	if (fd < 0)
		return -errno;
	osh_buf_init(&text, 4u * 1024 * 1024, 0);
	r = osh_buf_read_all(&text, fd);
	if (r < 0)
		return r;
	rest = osh_buf_str(&text);
	while (osh_str_split(&rest, '\n', &line)) {
		if (osh_parse_u64(line, INT32_MAX, &pid) < 0 || !is_pid1((pid_t)pid))
			continue;
		*ret_pid = (pid_t)pid;
		return 0;
	}
	return -ESRCH;
}

int osh_sandbox_adopt(int cgroup_fd, struct osh_sandbox_proc *ret_proc)
{
	struct osh_sandbox_proc proc;
	int r;

	osh_sandbox_proc_init(&proc);
	r = find_init(cgroup_fd, &proc.pid);
	if (r < 0)
		return r;
	proc.pidfd = (int)syscall(SYS_pidfd_open, proc.pid, 0);
	if (proc.pidfd < 0)
		return errno == ESRCH ? -ESRCH : -errno;
	/* The number may have been reused between reading it and holding it: look again. */
	r = find_init(cgroup_fd, &proc.pid);
	if (r == 0)
		r = open_netns(proc.pid);
	if (r >= 0) {
		proc.netns_fd = r;
		r = osh_sandbox_netns_cookie(proc.netns_fd, &proc.netns_cookie);
	}
	if (r < 0) {
		osh_sandbox_proc_fini(&proc);
		return r;
	}
	*ret_proc = proc;
	return 0;
}
