/* SPDX-License-Identifier: MIT */
/* Cases about files that change: an identity must not outlive the content it was given for. */
#include "kt.h"

#include <elf.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/str.h"
#include "cases.h"

enum { SETTLE_US = 2 * OSH_EXE_SETTLE_MS * 1000 };

/* Run a copy of the client at @path; what it was taken for. */
static bool run_copy(struct kt *kt, struct kt_sandbox *sb, const char *path, struct osh_exe *ret)
{
	struct osh_flow_rec rec;
	char args[256];

	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", path);
	memset(ret, 0, sizeof(*ret));
	return arrives(kt, sb, args, sb->tcp4, NULL, &rec) && rec.exe &&
	       osh_kern_exe_get(kt->kern, rec.exe, ret) == 0;
}

/* A process that sleeps, running a copy of /bin/sleep at @path; what it is taken for. */
static pid_t run_sleeper(struct kt *kt, struct kt_sandbox *sb, char *path, struct osh_exe *ret)
{
	char *argv[] = { path, (char[]){ "1000" }, NULL };
	struct osh_task task = { 0 };
	pid_t pid;
	int i;

	if (kt_copy("/bin/sleep", path) < 0)
		return -1;
	pid = kt_spawn(kt, sb, argv, NULL, NULL);
	for (i = 0; pid > 0 && i < 2000; i++) {
		if (osh_kern_task_get(kt->kern, pid, &task) == 0 && task.exe &&
		    osh_kern_exe_get(kt->kern, task.exe, ret) == 0 && strcmp(ret->path, path) == 0)
			return pid;
		(void)usleep(1000);
	}
	return -1;
}

/* A shared mapping that can write to @path; the descriptor is closed again. */
static char *map_shared(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char *p;

	if (fd < 0)
		return NULL;
	p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/*
 * Change a byte of @path in a place that nothing depends on: the ELF header's padding. Read before
 * it is written, it is mapped for writing without the kernel taking note.
 */
static bool change_by_mapping(const char *path)
{
	char *p = map_shared(path);
	volatile char *pad = p + EI_NIDENT - 1;
	char was;

	if (!p)
		return false;
	was = *pad;
	*pad = (char)(was ^ 1);
	return munmap(p, 65536) == 0;
}

/* A file changed a moment ago could change again without a trace: no two runs share an identity. */
void case_fresh(struct kt *kt)
{
	struct osh_exe one, two;
	struct osh_kern_run run;
	struct kt_sandbox sb;
	char copy[128];
	int fd;
	pid_t pid;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	(void)snprintf(copy, sizeof(copy), "%s/copy", kt->tmp);
	NEED(kt_copy(kt_self(), copy) == 0);
	NEED(run_copy(kt, &sb, copy, &one));
	/* again within the same tick, as far as the file's times can tell */
	NEED(kt_copy(kt_self(), copy) == 0);
	NEED(run_copy(kt, &sb, copy, &two));
	CHECK(one.id != two.id && (one.flags & two.flags & OSH_EXE_ONE_RUN));
	CHECK(osh_kern_exe_open(kt->kern, &two, &fd, &run) == -ENOENT); /* nobody runs it */

	/* still running: reachable through the process, and only as long as that runs it */
	pid = run_sleeper(kt, &sb, copy, &one);
	NEED(pid > 0);
	CHECK(one.flags & OSH_EXE_ONE_RUN);
	NEED(osh_kern_exe_open(kt->kern, &one, &fd, &run) == 0);
	CHECK(run.tgid == pid);
	CHECK(osh_kern_exe_confirm(kt->kern, &one, fd, &run) == 0);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	CHECK(osh_kern_exe_confirm(kt->kern, &one, fd, &run) == -ESTALE);
	(void)close(fd);
	kt_sandbox_drop(kt, &sb);
}

/*
 * tmpfs: a write through a mapping leaves no trace in the file's times, so equal times say nothing
 * about equal content.
 */
static void on_tmpfs(struct kt *kt, struct kt_sandbox *sb)
{
	struct osh_exe one, two;
	struct stat before, after;
	char copy[128], *p;

	(void)snprintf(copy, sizeof(copy), "%s/old", kt->tmp);
	NEED(kt_copy(kt_self(), copy) == 0);
	(void)usleep(SETTLE_US);
	NEED(run_copy(kt, sb, copy, &one));
	CHECK((one.flags & OSH_EXE_ONE_RUN) && !(one.flags & OSH_EXE_WRITERS));
	NEED(stat(copy, &before) == 0);
	NEED(change_by_mapping(copy));
	NEED(stat(copy, &after) == 0);
	printf("tmpfs: a mapped write %s ctime\n",
	       before.st_ctim.tv_nsec == after.st_ctim.tv_nsec ? "does not move" : "moves");
	NEED(run_copy(kt, sb, copy, &two));
	CHECK(one.id != two.id);

	/* whoever holds it open for writing keeps it from running, or from being anybody */
	p = map_shared(copy);
	NEED(p != NULL);
	CHECK(!run_copy(kt, sb, copy, &two) || (two.flags & OSH_EXE_WRITERS));
	CHECK(munmap(p, 65536) == 0);
	NEED(run_copy(kt, sb, copy, &two));
	CHECK(!(two.flags & OSH_EXE_WRITERS));
}

/* A filesystem whose times can be relied on: one id until something changes, then another. */
static void on_disk(struct kt *kt, struct kt_sandbox *sb)
{
	struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };
	char self[PATH_MAX], disk[128], copy[256];
	struct osh_exe one, two;
	struct statfs fs;

	(void)osh_strlcpy(self, kt_self(), sizeof(self));
	(void)snprintf(disk, sizeof(disk), "%s/disk", kt->tmp);
	NEED(mkdir(disk, 0755) == 0);
	NEED(mount(dirname(self), disk, NULL, MS_BIND, NULL) == 0);
	NEED(syscall(SYS_mount_setattr, AT_FDCWD, disk, 0, &attr, sizeof(attr)) == 0);
	NEED(statfs(disk, &fs) == 0);
	if (fs.f_type != 0xef53 && fs.f_type != 0x58465342 && fs.f_type != 0x9123683e) {
		printf("the build is on none of ext4, xfs, btrfs: nothing to see there\n");
		return;
	}
	(void)snprintf(copy, sizeof(copy), "%s/osh-kt-%d", disk, (int)getpid());
	CHECK(kt_copy(kt_self(), copy) == 0);
	(void)usleep(SETTLE_US);
	CHECK(run_copy(kt, sb, copy, &one) && run_copy(kt, sb, copy, &two));
	CHECK(one.id == two.id && (one.flags & OSH_EXE_WRITABLE));
	CHECK(!(one.flags & (OSH_EXE_ONE_RUN | OSH_EXE_WRITERS)));
	CHECK(change_by_mapping(copy));
	CHECK(run_copy(kt, sb, copy, &two) && two.id != one.id);
	CHECK(two.flags & OSH_EXE_ONE_RUN); /* changed a moment ago */
	(void)usleep(SETTLE_US);
	CHECK(run_copy(kt, sb, copy, &two) && two.id != one.id);
	CHECK(!(two.flags & OSH_EXE_ONE_RUN));
	(void)unlink(copy);
}

/*
 * overlayfs lets a program start while somebody has a writable mapping of it, and write to it while
 * it runs: such a program is nobody.
 */
static void on_overlay(struct kt *kt, struct kt_sandbox *sb)
{
	char dir[4][128], opts[512], copy[160], *p;
	static const char *const names[] = { "lower", "upper", "work", "merged" };
	struct osh_exe exe;

	for (int i = 0; i < 4; i++) {
		(void)snprintf(dir[i], sizeof(dir[i]), "%s/%s", kt->tmp, names[i]);
		NEED(mkdir(dir[i], 0755) == 0);
	}
	(void)snprintf(opts, sizeof(opts), "lowerdir=%s,upperdir=%s,workdir=%s", dir[0], dir[1],
		       dir[2]);
	if (mount("overlay", dir[3], "overlay", MS_NOSUID | MS_NODEV, opts) < 0) {
		printf("no overlayfs here\n");
		return;
	}
	(void)snprintf(copy, sizeof(copy), "%s/copy", dir[3]);
	NEED(kt_copy(kt_self(), copy) == 0);
	(void)usleep(SETTLE_US);
	NEED(run_copy(kt, sb, copy, &exe));
	CHECK((exe.flags & OSH_EXE_ONE_RUN) && !(exe.flags & OSH_EXE_UNUSABLE));
	p = map_shared(copy);
	NEED(p != NULL);
	CHECK(!run_copy(kt, sb, copy, &exe) || (exe.flags & OSH_EXE_WRITERS));
	CHECK(munmap(p, 65536) == 0);
	NEED(run_copy(kt, sb, copy, &exe));
	CHECK(!(exe.flags & OSH_EXE_UNUSABLE));
}

void case_content(struct kt *kt)
{
	struct kt_sandbox sb;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	on_tmpfs(kt, &sb);
	if (!kt_failures)
		on_disk(kt, &sb);
	if (!kt_failures)
		on_overlay(kt, &sb);
	kt_sandbox_drop(kt, &sb);
}

/* Give the ELF file at @path another loader: at most as long as the one it has. */
static bool set_interp(const char *path, const char *interp)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	bool ok = false;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		return false;
	for (int i = 0; !ok && i < eh.e_phnum; i++) {
		off_t at = (off_t)(eh.e_phoff + (unsigned int)i * sizeof(ph));

		if (pread(fd, &ph, sizeof(ph), at) != sizeof(ph) || ph.p_type != PT_INTERP)
			continue;
		ok = strlen(interp) < ph.p_filesz &&
		     pwrite(fd, interp, strlen(interp) + 1, (off_t)ph.p_offset) > 0;
		ph.p_filesz = ph.p_memsz = strlen(interp) + 1;
		ok = ok && pwrite(fd, &ph, sizeof(ph), at) == sizeof(ph);
	}
	(void)close(fd);
	return ok;
}

/* The loader that a program asks for runs with its identity: it must not be one anybody can change. */
void case_loader(struct kt *kt)
{
	static const char *const loaders[] = { "/lib64/ld-linux-x86-64.so.2",
					       "/lib/ld-linux-aarch64.so.1" };
	char copy[128], args[256], loader[80];
	struct osh_flow_rec rec;
	struct kt_sandbox sb;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	(void)snprintf(copy, sizeof(copy), "%s/copy", kt->tmp);
	(void)snprintf(loader, sizeof(loader), "%s/l", kt->tmp);
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", copy);
	NEED(kt_copy(kt_self(), copy) == 0);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.exe && !(rec.flags & OSH_RUN_TAINTED));
	CHECK(kt_copy(loaders[0], loader) == 0 || kt_copy(loaders[1], loader) == 0);
	NEED(set_interp(copy, loader));
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.flags & OSH_RUN_MAPPED);
	kt_sandbox_drop(kt, &sb);
}

/* Bind @path in our namespace: what the host's sockets are to a sandbox. */
static int serve(const char *path, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	(void)osh_strlcpy(a.sun_path, path, sizeof(a.sun_path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(path, 0777) < 0 ||
	    (type != SOCK_DGRAM && listen(fd, 8) < 0))
		return -1;
	return fd;
}

static bool is_active(struct kt *kt, const char *program)
{
	const struct osh_kern_probe *probes;
	size_t n = osh_kern_probes(kt->kern, &probes);

	for (size_t i = 0; i < n; i++)
		if (strcmp(probes[i].what, program) == 0)
			return probes[i].err == 0;
	return false;
}

/* A process of @sb without a row of its own, as those beyond the share are: errno of connect(@path). */
static int reach_without_row(struct kt_sandbox *sb, const char *path, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		(void)osh_strlcpy(a.sun_path, path, sizeof(a.sun_path));
		if (setns(sb->netns_fd, CLONE_NEWNET) < 0)
			_exit(255);
		fd = socket(AF_UNIX, type, 0);
		_exit(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* Unix sockets of the host that a sandbox can see: not for it. Its own: as ever. */
void case_unix(struct kt *kt)
{
	static const struct {
		const char *type, *how;
		int number;
	} ways[] = { { "stream", "connect", SOCK_STREAM },
		     { "packet", "connect", SOCK_SEQPACKET },
		     { "dgram", "connect", SOCK_DGRAM },
		     { "dgram", "send", SOCK_DGRAM } };
	bool closed = is_active(kt, "osh_unix_conn") && is_active(kt, "osh_unix_send");
	char path[96], link[96], args[256];
	struct kt_sandbox sb;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	if (!closed)
		printf("no trampolines here: Unix sockets of the host can be reached\n");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(ways); i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "%s/host-%zu", kt->tmp, i);
		fd = serve(path, ways[i].number);
		NEED(fd >= 0);
		(void)snprintf(args, sizeof(args), "unix %s %s %s", ways[i].type, ways[i].how,
			       path);
		CHECK(says(kt, &sb, args, closed ? "EACCES" : "ok"));
		(void)snprintf(link, sizeof(link), "%s/link-%zu", kt->tmp, i);
		NEED(symlink(path, link) == 0);
		(void)snprintf(args, sizeof(args), "unix %s %s %s", ways[i].type, ways[i].how,
			       link);
		CHECK(says(kt, &sb, args, closed ? "EACCES" : "ok"));
		CHECK(reach_without_row(&sb, path, ways[i].number) == (closed ? EACCES : 0));
		(void)close(fd);
		(void)snprintf(args, sizeof(args), "unix %s %s %s/own-%zu self", ways[i].type,
			       ways[i].how, kt->tmp, i);
		CHECK(says(kt, &sb, args, "ok"));
	}
	kt_sandbox_drop(kt, &sb);
}

struct listen_for {
	uint32_t sandbox;
	bool heard;
};

static void on_any_event(const struct osh_kev *ev, void *arg)
{
	const struct osh_kev_deny *deny = (const void *)ev;
	struct listen_for *l = arg;

	l->heard = l->heard || (ev->type == OSH_KEV_DENY && deny->rec.sandbox == l->sandbox);
}

/* Events: one sandbox says more than anybody reads; what another says arrives all the same. */
static void share_events(struct kt *kt, struct kt_sandbox *loud, struct kt_sandbox *quiet)
{
	struct osh_kern_policy p = { .generation = 2, .flags = OSH_POL_LITERALS_LISTED };
	struct listen_for l = { .sandbox = quiet->id };
	const struct osh_kern_sink sink = { .on_event = on_any_event, .arg = &l };
	struct osh_kern_usage usage;
	char out[128];

	NEED(osh_kern_publish(kt->kern, loud->id, &p) == 0);
	NEED(osh_kern_publish(kt->kern, quiet->id, &p) == 0);
	CHECK(kt_client(kt, loud, "hammer 3 10.0.0.1 80", out, sizeof(out)) == 0);
	CHECK(says(kt, quiet, "connect plain 10.9.9.9 80", "ECONNREFUSED"));
	CHECK(osh_kern_sandbox_usage(kt->kern, loud->k.netns_cookie, &usage) == 0);
	CHECK(usage.events_lost > 0);
	CHECK(osh_kern_sandbox_usage(kt->kern, quiet->k.netns_cookie, &usage) == 0);
	CHECK(usage.events_lost == 0);
	CHECK(osh_kern_events_drain(kt->kern, &sink, 100000) > 0);
	CHECK(l.heard);
}

/* Connections that nobody fetches: one sandbox has its share of them, another still connects. */
static void share_flows(struct kt *kt, struct kt_sandbox *loud, struct kt_sandbox *quiet)
{
	char number[16], out[64] = "",
			 *argv[] = { NULL,   (char[]){ "client" },   (char[]){ "hold" },
				     number, (char[]){ "10.0.0.1" }, (char[]){ "80" },
				     NULL };
	struct osh_kern_usage usage = { 0 };
	struct osh_flow_rec rec;
	char self[PATH_MAX];
	int fd = -1, held = 0;
	ssize_t n;
	pid_t pid;

	NEED(kt_publish_all(kt, loud, 3) == 0 && kt_publish_all(kt, quiet, 3) == 0);
	(void)osh_strlcpy(self, kt_self(), sizeof(self));
	argv[0] = self;
	(void)snprintf(number, sizeof(number), "%d", OSH_FLOW_PER_SANDBOX + 100);
	pid = kt_spawn(kt, loud, argv, NULL, &fd);
	NEED(pid > 0);
	n = read(fd, out, sizeof(out) - 1);
	CHECK(n > 0 && sscanf(out, "held %d", &held) == 1);
	if (held != OSH_FLOW_PER_SANDBOX)
		printf("said: %s\n", out);
	CHECK(held == OSH_FLOW_PER_SANDBOX);
	CHECK(osh_kern_sandbox_usage(kt->kern, loud->k.netns_cookie, &usage) == 0);
	CHECK(usage.flows == OSH_FLOW_PER_SANDBOX && usage.peers == OSH_FLOW_PER_SANDBOX);
	CHECK(says(kt, loud, "connect plain 10.0.0.1 80", "ECONNREFUSED"));
	CHECK(arrives(kt, quiet, "connect plain 10.0.0.1 80", quiet->tcp4, NULL, &rec));
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	(void)close(fd);
	/* what was still connecting is gone with its sockets; what waits in accept queues is not */
	CHECK(osh_kern_sandbox_usage(kt->kern, loud->k.netns_cookie, &usage) == 0);
	CHECK(usage.flows < OSH_FLOW_PER_SANDBOX / 2 && usage.peers == 0);
	CHECK(osh_kern_flow_sweep(kt->kern, 0) == 0 && osh_kern_exe_sweep(kt->kern, 0) == 0);
	CHECK(osh_kern_sandbox_usage(kt->kern, loud->k.netns_cookie, &usage) == 0);
	CHECK(usage.flows <= 16);
}

static int find_tasks(const struct osh_kern_map_info *info, void *arg)
{
	if (strcmp(info->name, "osh_tasks") == 0)
		*(uint32_t *)arg = info->max_entries;
	return 0;
}

/* Tables are as large as asked for when they are made, and stay as they are for the next daemon. */
static void map_sizes(struct kt *kt)
{
	uint32_t n = 0;

	CHECK(osh_kern_map_each(kt->kern, find_tasks, &n) == 0);
	CHECK(n == OSH_SHARES_DEFAULT * OSH_TASK_PER_SANDBOX);
	kt->opts.shares = 2;
	NEED(kt_restart(kt) == 0);
	CHECK(osh_kern_map_each(kt->kern, find_tasks, &n) == 0);
	CHECK(n == OSH_SHARES_DEFAULT * OSH_TASK_PER_SANDBOX);
	kt->kern = osh_kern_free(kt->kern);
	NEED(osh_kern_unpin(kt->pin_dir) == 0);
	NEED(kt_restart(kt) == 0);
	CHECK(osh_kern_map_each(kt->kern, find_tasks, &n) == 0);
	CHECK(n == 2 * OSH_TASK_PER_SANDBOX);
}

void case_shares(struct kt *kt)
{
	struct kt_sandbox loud, quiet;

	map_sizes(kt);
	NEED(kt_sandbox_make(kt, &loud) == 0 && kt_sandbox_make(kt, &quiet) == 0);
	share_events(kt, &loud, &quiet);
	if (!kt_failures)
		share_flows(kt, &loud, &quiet);
	kt_sandbox_drop(kt, &quiet);
	kt_sandbox_drop(kt, &loud);
}
