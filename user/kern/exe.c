/* SPDX-License-Identifier: MIT */
/* Executables and processes as the kernel side knows them, and the way back to the very file. */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

int osh_kern_exe_get(struct osh_kern *kern, uint32_t exe, struct osh_exe *ret_exe)
{
	struct osh_exe e;

	if (bpf_map_lookup_elem(kern->map_fd[KMAP_EXES], &exe, &e) < 0)
		return -errno;
	/* written by our program, but strings are used as strings: make sure */
	e.path[sizeof(e.path) - 1] = '\0';
	e.script[sizeof(e.script) - 1] = '\0';
	*ret_exe = e;
	return 0;
}

int osh_kern_task_get(struct osh_kern *kern, pid_t tgid, struct osh_task *ret_task)
{
	uint32_t key = (uint32_t)tgid;
	struct osh_task t;

	if (bpf_map_lookup_elem(kern->map_fd[KMAP_TASKS], &key, &t) < 0)
		return -errno;
	if (t.lineage_count > OSH_LINEAGE_MAX)
		return -EPROTO;
	*ret_task = t;
	return 0;
}

struct exe_walk {
	struct osh_kern *kern;
	uint32_t sandbox;
	int (*fn)(const struct osh_exe *exe, void *arg);
	void *arg;
};

static int exe_one(const void *key, void *arg)
{
	struct exe_walk *w = arg;
	struct osh_exe exe;
	int r;

	r = osh_kern_exe_get(w->kern, *(const uint32_t *)key, &exe);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (w->sandbox && exe.ident.sandbox != w->sandbox)
		return 0;
	return w->fn(&exe, w->arg);
}

int osh_kern_exe_each(struct osh_kern *kern, uint32_t sandbox,
		      int (*fn)(const struct osh_exe *exe, void *arg), void *arg)
{
	struct exe_walk w = { .kern = kern, .sandbox = sandbox, .fn = fn, .arg = arg };
	uint32_t key;

	return osh_kmap_each(kern->map_fd[KMAP_EXES], &key, sizeof(key),
			     2 * kern->map_max[KMAP_EXES], exe_one, &w);
}

struct task_walk {
	struct osh_kern *kern;
	uint32_t sandbox;
	int (*fn)(pid_t tgid, const struct osh_task *task, void *arg);
	void *arg;
};

static int task_one(const void *key, void *arg)
{
	pid_t tgid = (pid_t) * (const uint32_t *)key;
	struct task_walk *w = arg;
	struct osh_task task;
	int r;

	r = osh_kern_task_get(w->kern, tgid, &task);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (w->sandbox && task.sandbox != w->sandbox)
		return 0;
	return w->fn(tgid, &task, w->arg);
}

int osh_kern_task_each(struct osh_kern *kern, uint32_t sandbox,
		       int (*fn)(pid_t tgid, const struct osh_task *task, void *arg), void *arg)
{
	struct task_walk w = { .kern = kern, .sandbox = sandbox, .fn = fn, .arg = arg };
	uint32_t key;

	return osh_kmap_each(kern->map_fd[KMAP_TASKS], &key, sizeof(key),
			     2 * kern->map_max[KMAP_TASKS], task_one, &w);
}

static int drop_task(pid_t tgid, const struct osh_task *task, void *arg)
{
	struct osh_kern *kern = arg;
	uint32_t key = (uint32_t)tgid;

	(void)task;
	if (bpf_map_delete_elem(kern->map_fd[KMAP_TASKS], &key) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int osh_task_drop(struct osh_kern *kern, uint32_t sandbox)
{
	return osh_kern_task_each(kern, sandbox, drop_task, kern);
}

static int drop_exe(const struct osh_exe *exe, void *arg)
{
	struct osh_kern *kern = arg;

	if (bpf_map_delete_elem(kern->map_fd[KMAP_EXE_IDS], &exe->ident) < 0 && errno != ENOENT)
		return -errno;
	if (bpf_map_delete_elem(kern->map_fd[KMAP_EXES], &exe->id) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int osh_exe_drop(struct osh_kern *kern, uint32_t sandbox)
{
	return osh_kern_exe_each(kern, sandbox, drop_exe, kern);
}

/* ---- sweeping ---- */

enum { FLOWS_SLACK = 16 };

struct ids {
	uint32_t *id;
	size_t count, cap;
};

static int ids_add(struct ids *ids, uint32_t id)
{
	if (!id)
		return 0;
	if (ids->count == ids->cap) {
		size_t cap = ids->cap ? 2 * ids->cap : 256;
		uint32_t *p = reallocarray(ids->id, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		ids->id = p;
		ids->cap = cap;
	}
	ids->id[ids->count++] = id;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int collect(pid_t tgid, const struct osh_task *task, void *arg)
{
	uint32_t i;
	int r;

	(void)tgid;
	r = ids_add(arg, task->exe);
	for (i = 0; r == 0 && i < task->lineage_count; i++)
		r = ids_add(arg, task->lineage[i].exe);
	return r;
}

struct sweep {
	struct osh_kern *kern;
	struct ids used;
};

/*
 * In two rounds, because an exec may be between finding an id and using it: this sweep takes away
 * the way to the id, the next one the row, if still nobody uses it.
 */
static int sweep_one(const struct osh_exe *exe, void *arg)
{
	struct sweep *s = arg;
	uint32_t id;

	if (s->used.count &&
	    bsearch(&exe->id, s->used.id, s->used.count, sizeof(*s->used.id), by_id))
		return 0;
	if (bpf_map_lookup_elem(s->kern->map_fd[KMAP_EXE_IDS], &exe->ident, &id) == 0 &&
	    id == exe->id) {
		if (bpf_map_delete_elem(s->kern->map_fd[KMAP_EXE_IDS], &exe->ident) < 0 &&
		    errno != ENOENT)
			return -errno;
		return 0;
	}
	if (bpf_map_delete_elem(s->kern->map_fd[KMAP_EXES], &exe->id) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

struct tally {
	struct osh_kern *kern;
	struct ids exes, tasks; /* sandbox of each, sorted */
	uint64_t *flows; /* network namespace of each */
	size_t nflows;
};

static int collect_flow(const void *key, void *arg)
{
	const struct osh_flow_key *k = key;
	struct tally *t = arg;

	if (t->nflows < t->kern->map_max[KMAP_FLOWS])
		t->flows[t->nflows++] = k->netns_cookie;
	return 0;
}

static int collect_flows(struct tally *t)
{
	struct osh_flow_key key;

	t->flows = calloc(t->kern->map_max[KMAP_FLOWS], sizeof(*t->flows));
	if (!t->flows)
		return -ENOMEM;
	return osh_kmap_each(t->kern->map_fd[KMAP_FLOWS], &key, sizeof(key),
			     2 * t->kern->map_max[KMAP_FLOWS], collect_flow, t);
}

static uint32_t flows_of(const struct tally *t, uint64_t netns_cookie)
{
	uint32_t n = 0;

	for (size_t i = 0; i < t->nflows; i++)
		n += t->flows[i] == netns_cookie;
	return n;
}

static int collect_owner(const struct osh_exe *exe, void *arg)
{
	return ids_add(arg, exe->ident.sandbox);
}

static int collect_task_owner(pid_t tgid, const struct osh_task *task, void *arg)
{
	(void)tgid;
	return ids_add(arg, task->sandbox);
}

static uint32_t count_of(const struct ids *ids, uint32_t id)
{
	size_t lo = 0, hi = ids->count, n = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ids->id[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < ids->count && ids->id[lo + n] == id)
		n++;
	return (uint32_t)n;
}

/* Quotas follow what is left. What comes and goes meanwhile may go uncounted until the next sweep. */
static int recount(const void *key, void *arg)
{
	struct tally *t = arg;
	struct osh_sb sb;
	uint32_t exes, tasks, flows;

	if (bpf_map_lookup_elem(t->kern->map_fd[KMAP_SANDBOXES], key, &sb) < 0)
		return errno == ENOENT ? 0 : -errno;
	exes = count_of(&t->exes, sb.id);
	tasks = count_of(&t->tasks, sb.id);
	flows = flows_of(t, sb.netns_cookie);
	/* flows come and go while we count: only what sweeping took is worth correcting */
	if (OSH_MAX(flows, sb.flow_count) - OSH_MIN(flows, sb.flow_count) <= FLOWS_SLACK)
		flows = sb.flow_count;
	if (sb.exe_count == exes && sb.task_count == tasks && sb.flow_count == flows)
		return 0;
	sb.exe_count = exes;
	sb.task_count = tasks;
	sb.flow_count = flows;
	if (bpf_map_update_elem(t->kern->map_fd[KMAP_SANDBOXES], key, &sb, BPF_EXIST) < 0 &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

int osh_kern_exe_sweep(struct osh_kern *kern, uint32_t sandbox)
{
	struct sweep s = { .kern = kern };
	struct tally t = { .kern = kern };
	uint64_t key;
	int r;

	r = osh_clock_set(kern);
	if (r < 0)
		return r;
	/* tasks of every sandbox: an id is never shared, but the table is one */
	r = osh_kern_task_each(kern, sandbox, collect, &s.used);
	if (r == 0) {
		if (s.used.count)
			qsort(s.used.id, s.used.count, sizeof(*s.used.id), by_id);
		r = osh_kern_exe_each(kern, sandbox, sweep_one, &s);
	}
	free(s.used.id);
	if (r == 0)
		r = osh_kern_exe_each(kern, 0, collect_owner, &t.exes);
	if (r == 0)
		r = osh_kern_task_each(kern, 0, collect_task_owner, &t.tasks);
	if (r == 0)
		r = collect_flows(&t);
	if (t.exes.count)
		qsort(t.exes.id, t.exes.count, sizeof(*t.exes.id), by_id);
	if (t.tasks.count)
		qsort(t.tasks.id, t.tasks.count, sizeof(*t.tasks.id), by_id);
	if (r == 0)
		r = osh_kmap_each(kern->map_fd[KMAP_SANDBOXES], &key, sizeof(key),
				  2 * OSH_SANDBOX_MAX, recount, &t);
	free(t.exes.id);
	free(t.tasks.id);
	free(t.flows);
	return r;
}

/* ---- the file itself ---- */

/* Must match struct resolve_args of bpf/resolve.bpf.c. */
struct resolve_args {
	struct osh_exe_key key;
	uint64_t size;
	uint32_t fd;
	uint32_t found;
};

static int resolve_prog_fd(struct osh_kern *kern)
{
	size_t i;

	for (i = 0; i < osh_kprog_count; i++)
		if (strcmp(osh_kprogs[i].name, "osh_resolve_fd") == 0)
			return bpf_program__fd(kern->prog[i]);
	return -ENOENT;
}

int osh_kern_file_key(struct osh_kern *kern, int fd, struct osh_exe_key *ret_key,
		      uint64_t *ret_size)
{
	struct resolve_args args = { .fd = (uint32_t)fd };
	/* the kernel writes the answer back into ctx_in, and refuses a ctx_out */
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = &args, .ctx_size_in = sizeof(args));
	int prog = resolve_prog_fd(kern);

	if (fd < 0)
		return -EBADF;
	if (prog < 0)
		return prog;
	if (bpf_prog_test_run_opts(prog, &o) < 0)
		return -errno;
	if (!args.found)
		return -EBADF;
	*ret_key = args.key;
	*ret_size = args.size;
	return 0;
}

static int check_key(struct osh_kern *kern, int fd, const struct osh_exe *exe)
{
	struct osh_exe_key key;
	uint64_t size;
	int r;

	r = osh_kern_file_key(kern, fd, &key, &size);
	if (r < 0)
		return r;
	return memcmp(&key, &exe->ident.key, sizeof(key)) == 0 ? 0 : -ESTALE;
}

/* O_NONBLOCK: a path may lead to a FIFO by now; O_NOCTTY likewise for terminals. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int open_running(pid_t tgid)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)tgid); /* fits */
	fd = open(path, OPEN_FLAGS);
	return fd < 0 ? -errno : fd;
}

static int open_in_root(pid_t tgid, const char *file)
{
	struct open_how how = { .flags = OPEN_FLAGS,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	osh_auto_close int root = -1;
	char path[64];
	long fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)tgid); /* fits */
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	fd = syscall(SYS_openat2, root, file, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

struct opener {
	struct osh_kern *kern;
	const struct osh_exe *exe;
	bool by_path;
	int fd, err;
	struct osh_kern_run run;
};

/* Ends the walk with -ECANCELED once the file is open. */
static int try_open(pid_t tgid, const struct osh_task *task, void *arg)
{
	struct opener *o = arg;
	int fd, r;

	if (!o->by_path && task->exe != o->exe->id)
		return 0;
	fd = o->by_path ? open_in_root(tgid, o->exe->path) : open_running(tgid);
	if (fd < 0)
		return 0; /* gone meanwhile: the next one may do */
	r = check_key(o->kern, fd, o->exe);
	if (r < 0) {
		(void)close(fd);
		o->err = r;
		return 0;
	}
	o->fd = fd;
	if (!o->by_path)
		o->run = (struct osh_kern_run){ tgid, task->exec_id };
	return -ECANCELED;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts); /* cannot fail */
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

int osh_clock_set(struct osh_kern *kern)
{
	int64_t offset = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
	uint32_t zero = 0;

	if (bpf_map_update_elem(kern->map_fd[KMAP_CLOCK], &zero, &offset, BPF_ANY) < 0)
		return -errno;
	return 0;
}

int osh_kern_exe_open(struct osh_kern *kern, const struct osh_exe *exe, int *ret_fd,
		      struct osh_kern_run *ret_run)
{
	struct opener o = { .kern = kern, .exe = exe, .fd = -1, .err = -ENOENT };
	struct osh_task first;
	int r;

	/* most often it still runs; going through every process of every sandbox is slow */
	r = osh_kern_task_get(kern, (pid_t)exe->first_tgid, &first);
	if (r == 0)
		r = try_open((pid_t)exe->first_tgid, &first, &o);
	if (o.fd < 0)
		r = osh_kern_task_each(kern, exe->ident.sandbox, try_open, &o);
	if (r == 0 && o.fd < 0 && exe->path_len &&
	    !(exe->flags & (OSH_EXE_UNUSABLE | OSH_EXE_ONE_RUN))) {
		o.by_path = true;
		r = osh_kern_task_each(kern, exe->ident.sandbox, try_open, &o);
	}
	if (o.fd >= 0) {
		*ret_fd = o.fd;
		*ret_run = o.run;
		return 0;
	}
	return r < 0 ? r : o.err;
}

int osh_kern_exe_confirm(struct osh_kern *kern, const struct osh_exe *exe, int fd,
			 const struct osh_kern_run *run)
{
	osh_auto_close int now = -1;
	struct osh_task task;
	int r;

	if (!(exe->flags & OSH_EXE_ONE_RUN))
		return check_key(kern, fd, exe);
	if (!run->tgid)
		return -ESTALE;
	/* the memory first: some kernels let go of it, and the file, before the row goes */
	now = open_running(run->tgid);
	if (now < 0)
		return now == -ENOENT ? -ESTALE : now;
	r = check_key(kern, now, exe);
	if (r == 0)
		r = osh_kern_task_get(kern, run->tgid, &task);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	return task.exe == exe->id && task.exec_id == run->exec_id ? 0 : -ESTALE;
}
