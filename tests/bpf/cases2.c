/* SPDX-License-Identifier: MIT */
/* Cases about the kernel policy, hand-over under attack, and the rest of identity. */
#include "kt.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cases.h"

static struct osh_kern_row row(uint16_t kind, uint32_t id, uint16_t port, uint64_t classes,
			       uint64_t inherit)
{
	struct osh_kern_row r = { .classes = classes, .inherit = inherit };

	r.key.kind = kind;
	r.key.id = id;
	r.key.port_be = htons(port);
	return r;
}

static struct osh_kern_row addr_row(const char *ip, uint16_t port, uint64_t classes)
{
	struct osh_kern_row r = row(OSH_POL_ADDR, 0, port, classes, 0);

	r.key.addr[10] = r.key.addr[11] = 0xff;
	(void)inet_pton(AF_INET, ip, r.key.addr + 12);
	return r;
}

/* Nobody in the sandbox can write to @path any more. */
static int protect(const char *path)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (mount(path, path, NULL, MS_BIND, NULL) < 0)
		return -errno;
	return syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

void case_policy(struct kt *kt)
{
	struct osh_kern_row rows[8];
	struct osh_kern_policy p = { .generation = 2, .rows = rows };
	char copy[128], args[256];
	struct osh_flow_rec rec;
	struct event_log log;
	struct kt_sandbox sb;
	uint32_t self, other;
	uint64_t gen;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	(void)snprintf(copy, sizeof(copy), "%s/copy", kt->tmp);
	NEED(kt_copy(kt_self(), copy) == 0);
	NEED(protect(copy) == 0); /* or every run has an id of its own */
	NEED(arrives(kt, &sb, "connect plain 10.0.0.1 80", sb.tcp4, NULL, &rec));
	self = rec.exe;
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	other = rec.exe;

	/* host 7 on 443 for class 0, host 8 for class 1; self is class 0, its children inherit 1 */
	rows[0] = row(OSH_POL_HOST, 7, 0, 0, 0);
	rows[1] = row(OSH_POL_HOST, 7, 443, 1, 0);
	rows[2] = row(OSH_POL_HOST, 8, 0, 2, 0);
	rows[3] = row(OSH_POL_EXE, self, 0, 1, 2);
	rows[4] = row(OSH_POL_EXE, other, 0, 0, 0);
	rows[5] = addr_row("10.0.0.5", 80, 1);
	p.count = 6;
	p.flags = OSH_POL_LITERALS_LISTED;
	NEED(osh_kern_publish(kt->kern, sb.id, &p) == 0);
	CHECK(osh_kern_generation(kt->kern, sb.id, &gen) == 0 && gen == 2);
	drain(kt, &log);

	CHECK(arrives(kt, &sb, "connect plain 198.18.0.7 443", sb.tcp4, NULL, &rec));
	CHECK(rec.generation == 2);
	CHECK(says(kt, &sb, "connect plain 198.18.0.7 80", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "connect nonblock 198.18.0.7 80", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "connect tfo 198.18.0.7 80", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "connect plain 198.18.0.8 80", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "connect plain fd00:5b::8 80", "ECONNREFUSED"));
	drain(kt, &log);
	CHECK(log.denies == 5 && log.deny[0].rec.reason == OSH_KR_POLICY);
	CHECK(log.deny[0].rec.generation == 2 && log.deny[0].rec.exe == self &&
	      log.deny[0].rec.host_id == 7);
	/* a child of ours in its own right may not, as our descendant it may reach 8, and not 7 */
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 198.18.0.8 80", copy);
	CHECK(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 198.18.0.7 443", copy);
	CHECK(says(kt, &sb, args, "ECONNREFUSED"));
	/* a name the map does not know is for the proxy; so is an executable it does not know */
	CHECK(arrives(kt, &sb, "connect plain 198.18.0.99 1", sb.tcp4, NULL, &rec));
	CHECK(arrives(kt, &sb, "connect plain 10.0.0.5 80", sb.tcp4, NULL, &rec));
	CHECK(says(kt, &sb, "connect plain 10.0.0.6 80", "ECONNREFUSED"));
	CHECK(says(kt, &sb, "connect plain 2001:db8::1 80", "ECONNREFUSED"));
	/* the explicit proxy always */
	CHECK(arrives(kt, &sb, "connect plain 127.0.0.1 3128", sb.tcp4, NULL, &rec));

	/* with this flag the web ports are the proxy's, which can answer in words */
	p.generation = 3;
	p.flags |= OSH_POL_WEB_TO_PROXY;
	CHECK(osh_kern_publish(kt->kern, sb.id, &p) == 0);
	CHECK(arrives(kt, &sb, "connect plain 198.18.0.7 80", sb.tcp4, NULL, &rec));
	CHECK(arrives(kt, &sb, "connect plain 10.0.0.6 443", sb.tcp4, NULL, &rec));
	CHECK(says(kt, &sb, "connect plain 10.0.0.6 22", "ECONNREFUSED"));
	p.generation = 4;
	p.flags = OSH_POL_LITERALS_LISTED;
	CHECK(osh_kern_publish(kt->kern, sb.id, &p) == 0);
	CHECK(says(kt, &sb, "connect plain 198.18.0.7 80", "ECONNREFUSED"));

	/* rows added to the loaded generation, and only to that */
	rows[0] = row(OSH_POL_HOST, 7, 80, 1, 0);
	CHECK(osh_kern_policy_put(kt->kern, sb.id, 3, rows, 1) == -ESTALE);
	CHECK(osh_kern_policy_put(kt->kern, sb.id, 4, rows, 1) == 0);
	CHECK(arrives(kt, &sb, "connect plain 198.18.0.7 80", sb.tcp4, NULL, &rec));

	/* older is refused and changes nothing; without META kinds */
	p.generation = 1;
	CHECK(osh_kern_publish(kt->kern, sb.id, &p) == -ESTALE);
	p.generation = 5;
	rows[1].key.kind = OSH_POL_META;
	CHECK(osh_kern_publish(kt->kern, sb.id, &p) == -EINVAL);
	CHECK(osh_kern_generation(kt->kern, sb.id, &gen) == 0 && gen == 4);
	kt_sandbox_drop(kt, &sb);
}

struct drainer {
	struct kt_sandbox *sb;
	volatile bool stop;
	unsigned long accepted, no_record, wrong, claims, old;
	uint64_t last_gen;
};

/* Take connections as fast as they come; a claim that is there must agree with the record. */
static void *accept_loop(void *arg)
{
	struct drainer *d = arg;

	while (!d->stop) {
		struct osh_flow_rec rec;
		struct kt_claim claim;
		int fd = accept4(d->sb->tcp4, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			(void)usleep(200);
			continue;
		}
		d->accepted++;
		if (osh_flow_fetch(fd, &rec) < 0) {
			d->no_record++;
		} else {
			if (rec.generation + 1 < d->last_gen)
				d->old++;
			if (rec.generation > d->last_gen)
				d->last_gen = rec.generation;
			if (recv(fd, &claim, sizeof(claim), 0) == sizeof(claim)) {
				d->claims++;
				if (memcmp(rec.dst + 12, &claim.ip_be, 4) != 0 ||
				    ntohs(rec.dst_port_be) != claim.port || rec.tgid != claim.tgid)
					d->wrong++;
			}
		}
		(void)close(fd);
	}
	return NULL;
}

#define HAMMERS 3

void case_swap(struct kt *kt)
{
	char *argv[] = { (char *)kt_self(),
			 (char[]){ "client" },
			 (char[]){ "hammer" },
			 (char[]){ "3" },
			 (char[]){ "198.18.0.7" },
			 (char[]){ "443" },
			 NULL };
	struct osh_kern_row *rows = calloc(1000, sizeof(*rows));
	struct osh_kern_policy p = { .flags = OSH_POL_LITERALS_LISTED,
				     .rows = rows,
				     .count = 1000 };
	unsigned long ok, refused, total = 0, reloads = 0;
	struct osh_flow_rec rec;
	struct kt_sandbox sb;
	struct drainer d = { .sb = &sb };
	int out[HAMMERS], status, live = HAMMERS;
	pid_t pids[HAMMERS];
	pthread_t t;
	char text[128];
	uint32_t i;

	NEED(rows && kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	NEED(arrives(kt, &sb, "connect plain 198.18.0.7 443", sb.tcp4, NULL, &rec));
	for (i = 3; i < 1000; i++)
		rows[i] = row(OSH_POL_HOST, 100 + i, 443, 1, 0);
	NEED(pthread_create(&t, NULL, accept_loop, &d) == 0);
	for (i = 0; i < HAMMERS; i++)
		NEED((pids[i] = kt_spawn(kt, &sb, argv, NULL, &out[i])) > 0);
	/* every generation allows, but each by another class: whoever mixes two is refused */
	while (live) {
		uint64_t cls = 1ull << (reloads % 60);

		rows[0] = row(OSH_POL_HOST, 7, 0, 0, 0);
		rows[1] = row(OSH_POL_HOST, 7, 443, cls, 0);
		rows[2] = row(OSH_POL_EXE, rec.exe, 0, cls, 0);
		p.generation = 2 + reloads++;
		NEED(osh_kern_publish(kt->kern, sb.id, &p) == 0);
		(void)usleep(2000);
		for (i = 0; i < HAMMERS; i++)
			if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				pids[i] = 0;
				live--;
			}
	}
	d.stop = true;
	CHECK(pthread_join(t, NULL) == 0);
	for (i = 0; i < HAMMERS; i++) {
		ssize_t n = read(out[i], text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		CHECK(sscanf(text, "ok %lu refused %lu", &ok, &refused) == 2 && refused == 0);
		total += ok;
		(void)close(out[i]);
	}
	printf("%lu connects, %lu reloads, %lu accepted\n", total, reloads, d.accepted);
	CHECK(total > 100 && reloads > 20 && d.no_record == 0);
	free(rows);
	kt_sandbox_drop(kt, &sb);
}

void case_reuse(struct kt *kt)
{
	char *argv[] = { (char *)kt_self(), (char[]){ "client" }, (char[]){ "reuse" },
			 (char[]){ "8000" }, NULL };
	uint64_t counters[OSH_CTR_MAX];
	struct kt_sandbox sb;
	struct drainer d = { .sb = &sb };
	pid_t pids[HAMMERS];
	pthread_t t;
	int status;
	size_t i;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	NEED(pthread_create(&t, NULL, accept_loop, &d) == 0);
	for (i = 0; i < HAMMERS; i++)
		NEED((pids[i] = kt_spawn(kt, &sb, argv, NULL, NULL)) > 0);
	for (i = 0; i < HAMMERS; i++)
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
	(void)usleep(100 * 1000);
	d.stop = true;
	CHECK(pthread_join(t, NULL) == 0);
	printf("%lu accepted, %lu claims, %lu wrong, %lu without a record\n", d.accepted, d.claims,
	       d.wrong, d.no_record);
	CHECK(osh_kern_counters(kt->kern, counters) == 0);
	/* some of the clients close before their connection stands: those alone may lose the record */
	CHECK(d.accepted > 1000 && d.claims > 100 && d.wrong == 0);
	CHECK(d.no_record == counters[OSH_CTR_CLIENT_GONE]);
	CHECK(counters[OSH_CTR_NO_HANDOVER] == 0 && counters[OSH_CTR_FLOW_FULL] == 0);
	CHECK(osh_kern_flow_sweep(kt->kern, 0) == 0);
	kt_sandbox_drop(kt, &sb);
}

/* The same file through other mounts, and files of an overlay. */
void case_mounts(struct kt *kt)
{
	char dir[3][128], path[192], opts[512], args[256];
	struct osh_flow_rec rec;
	struct osh_exe_key key;
	struct kt_sandbox sb;
	struct osh_exe exe, first;
	uint64_t size;
	size_t i;
	int fd;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	for (i = 0; i < 3; i++) {
		(void)snprintf(dir[i], sizeof(dir[i]), "%s/d%zu", kt->tmp, i);
		NEED(mkdir(dir[i], 0755) == 0);
	}
	(void)snprintf(path, sizeof(path), "%s/prog", dir[0]);
	NEED(kt_copy(kt_self(), path) == 0);
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", path);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	NEED(osh_kern_exe_get(kt->kern, rec.exe, &first) == 0);

	/* bind mount, read-only: the same file, another path, not writable */
	NEED(mount(dir[0], dir[1], NULL, MS_BIND, NULL) == 0);
	NEED(mount(NULL, dir[1], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
	(void)snprintf(path, sizeof(path), "%s/prog", dir[1]);
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", path);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	NEED(osh_kern_exe_get(kt->kern, rec.exe, &exe) == 0);
	CHECK(memcmp(&exe.ident.key, &first.ident.key, sizeof(exe.ident.key)) == 0);
	CHECK(strcmp(exe.path, path) == 0 && !(exe.flags & OSH_EXE_WRITABLE));
	CHECK((first.flags & OSH_EXE_WRITABLE) && exe.id != first.id);
	CHECK(umount2(dir[1], 0) == 0);

	/* overlay: stat() and the kernel disagree, osh_kern_file_key() does not */
	(void)snprintf(opts, sizeof(opts), "%s/up", dir[2]);
	NEED(mkdir(opts, 0755) == 0);
	(void)snprintf(opts, sizeof(opts), "%s/work", dir[2]);
	NEED(mkdir(opts, 0755) == 0);
	(void)snprintf(opts, sizeof(opts), "lowerdir=%s,upperdir=%s/up,workdir=%s/work", dir[0],
		       dir[2], dir[2]);
	if (mount("overlay", dir[1], "overlay", 0, opts) < 0) {
		CHECK(errno == ENODEV); /* a kernel without overlayfs */
		kt_sandbox_drop(kt, &sb);
		return;
	}
	for (i = 0; i < 2; i++) {
		NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
		NEED(osh_kern_exe_get(kt->kern, rec.exe, &exe) == 0);
		CHECK(strcmp(exe.path, path) == 0);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0 && osh_kern_file_key(kt->kern, fd, &key, &size) == 0 &&
		      memcmp(&key, &exe.ident.key, sizeof(key)) == 0);
		osh_close_ptr(&fd);
		/* copied up: the content may now change; it is another file */
		if (i == 0) {
			first = exe;
			CHECK(chmod(path, 0700) == 0);
		}
	}
	CHECK(exe.id != first.id);
	CHECK(umount2(dir[1], MNT_DETACH) == 0);
	kt_sandbox_drop(kt, &sb);
}

static bool is_active(struct kt *kt, const char *prog)
{
	const struct osh_kern_probe *probes;
	size_t i, n = osh_kern_probes(kt->kern, &probes);

	for (i = 0; i < n; i++)
		if (strcmp(probes[i].what, prog) == 0)
			return probes[i].err == 0;
	return false;
}

void case_cheats(struct kt *kt)
{
	uint64_t before[OSH_CTR_MAX], after[OSH_CTR_MAX];
	char copy[128], args[256];
	struct osh_flow_rec rec;
	struct kt_sandbox sb;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	(void)snprintf(copy, sizeof(copy), "%s/copy", kt->tmp);
	NEED(kt_copy(kt_self(), copy) == 0);

	/* another file in mm->exe_file: unknown, and said to be; with BPF LSM not even possible */
	if (is_active(kt, "osh_lsm_userns")) {
		CHECK(says(kt, &sb, "spoof /bin/true 10.0.0.1 80", "EPERM"));
	} else {
		NEED(arrives(kt, &sb, "spoof /bin/true 10.0.0.1 80", sb.tcp4, NULL, &rec));
		CHECK(rec.exe == 0 && (rec.flags & OSH_RUN_EXE_MOVED) && rec.lineage_count == 0);
	}

	(void)snprintf(args, sizeof(args), "traced %s client connect plain 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.flags & OSH_RUN_TRACED);

	(void)snprintf(args, sizeof(args), "threadexec %s client connect plain 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.lineage_count == 1 && rec.exe != rec.lineage[0].exe && rec.pid == rec.tgid);

	/* a long chain keeps the nearest and says that it is cut */
	(void)snprintf(args, sizeof(args), "deep 20 %s %s 10.0.0.1 80", kt->tmp, copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.lineage_count == OSH_LINEAGE_MAX && (rec.flags & OSH_RUN_CHAIN_CUT));
	(void)snprintf(args, sizeof(args), "deep 3 %s %s 10.0.0.1 80", kt->tmp, copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.lineage_count == 3 && !(rec.flags & OSH_RUN_CHAIN_CUT));

	CHECK(osh_kern_counters(kt->kern, before) == 0);
	CHECK(says(kt, &sb, "exthdr", "EPERM"));
	CHECK(osh_kern_counters(kt->kern, after) == 0);
	CHECK(after[OSH_CTR_SKB_OPTIONS] == before[OSH_CTR_SKB_OPTIONS] + 1);
	kt_sandbox_drop(kt, &sb);
}

/* In the sandbox's cgroup and namespace, but never exec'd there: nobody knows what it is. */
static int connect_without_exec(struct kt_sandbox *sb)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP,
				   .exit_signal = SIGCHLD,
				   .cgroup = (uint64_t)sb->cgroup_fd };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80) };
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	int status, fd;

	if (pid == 0) {
		to.sin_addr.s_addr = inet_addr("10.0.0.1");
		if (setns(sb->netns_fd, CLONE_NEWNET) < 0)
			_exit(99);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		_exit(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0);
	}
	return pid < 0 || waitpid((pid_t)pid, &status, 0) < 0 ? -1 : WEXITSTATUS(status);
}

void case_strangers(struct kt *kt)
{
	struct kt_sandbox a, b;
	struct event_log log;
	char args[128];

	NEED(kt_sandbox_make(kt, &a) == 0 && kt_sandbox_make(kt, &b) == 0);
	NEED(kt_publish_all(kt, &a, 1) == 0 && kt_publish_all(kt, &b, 1) == 0);
	drain(kt, &log);
	CHECK(connect_without_exec(&a) == ECONNREFUSED);
	drain(kt, &log);
	CHECK(log.denies == 1 && log.deny[0].rec.reason == OSH_KR_NO_IDENTITY);

	/* a namespace nobody announced, even from inside (it takes privilege to make one) */
	CHECK(says(kt, &a, "newnet 10.0.0.1 80", "ECONNREFUSED"));
	drain(kt, &log);
	CHECK(log.denies == 1 && log.deny[0].rec.reason == OSH_KR_NO_SANDBOX);

	/* a process of one sandbox in the namespace of another */
	(void)snprintf(args, sizeof(args), "setns /proc/%d/fd/%d 10.0.0.1 80", (int)getpid(),
		       b.netns_fd);
	CHECK(says(kt, &a, args, "ECONNREFUSED"));
	drain(kt, &log);
	CHECK(log.denies == 1 && log.deny[0].rec.reason == OSH_KR_WRONG_SANDBOX);
	kt_sandbox_drop(kt, &b);
	kt_sandbox_drop(kt, &a);
}

/* One sandbox with more executables than its share: its own new ones are unknown, nobody else's. */
void case_quota(struct kt *kt)
{
	uint64_t counters[OSH_CTR_MAX];
	char copy[128], args[256];
	struct kt_sandbox sb, other;
	struct osh_flow_rec rec;

	NEED(kt_sandbox_make(kt, &sb) == 0 && kt_sandbox_make(kt, &other) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0 && kt_publish_all(kt, &other, 1) == 0);
	(void)snprintf(copy, sizeof(copy), "%s/copy", kt->tmp);
	NEED(kt_copy("/bin/true", copy) == 0);
	(void)snprintf(args, sizeof(args), "many %d %s %s", OSH_EXE_PER_SANDBOX / 2 + 10, kt->tmp,
		       copy);
	CHECK(says(kt, &sb, args, "ok"));
	CHECK(osh_kern_counters(kt->kern, counters) == 0 && counters[OSH_CTR_EXE_FULL] >= 10);

	NEED(kt_copy(kt_self(), copy) == 0);
	(void)snprintf(args, sizeof(args), "spawn %s client connect plain 10.0.0.1 80", copy);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.exe == 0);
	NEED(arrives(kt, &other, args, other.tcp4, NULL, &rec));
	CHECK(rec.exe != 0);
	/* nobody runs them any more: after two sweeps there is room again */
	CHECK(osh_kern_exe_sweep(kt->kern, 0) == 0 && osh_kern_exe_sweep(kt->kern, 0) == 0);
	NEED(arrives(kt, &sb, args, sb.tcp4, NULL, &rec));
	CHECK(rec.exe != 0);
	kt_sandbox_drop(kt, &other);
	kt_sandbox_drop(kt, &sb);
}

static int count_name(const char *name, void *arg)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

void case_cgroups(struct kt *kt)
{
	char *argv[] = { (char[]){ "/bin/sleep" }, (char[]){ "1000" }, NULL };
	struct kt_sandbox sb;
	int n = 0, fd, status;
	pid_t pid, seen[4];

	CHECK(osh_cgroup_sandbox_create(&kt->cg, "../x", &fd) == -EINVAL);
	CHECK(osh_cgroup_sandbox_create(&kt->cg, "", &fd) == -EINVAL);
	CHECK(osh_cgroup_sandbox_open(&kt->cg, "nobody", &fd) == -ENOENT);
	CHECK(osh_cgroup_sandbox_remove(&kt->cg, "nobody") == 0);
	NEED(kt_sandbox_make(kt, &sb) == 0);
	CHECK(osh_cgroup_sandbox_create(&kt->cg, sb.name, &fd) == -EEXIST);
	CHECK(osh_cgroup_sandbox_list(&kt->cg, count_name, &n) == 0 && n == 1);
	CHECK(osh_cgroup_is_empty(sb.cgroup_fd) == 1);
	pid = kt_spawn(kt, &sb, argv, NULL, NULL);
	NEED(pid > 0);
	CHECK(osh_cgroup_is_empty(sb.cgroup_fd) == 0);
	CHECK(osh_cgroup_pids(sb.cgroup_fd, seen, 4) == 1 && seen[0] == pid);
	CHECK(osh_cgroup_pid_is_sandboxed(&kt->cg, pid) == 1);
	CHECK(osh_cgroup_pid_is_sandboxed(&kt->cg, getpid()) == 0);
	CHECK(osh_cgroup_sandbox_remove(&kt->cg, sb.name) == -EBUSY);
	CHECK(osh_cgroup_wait_empty(sb.cgroup_fd, 10) == -ETIMEDOUT);
	CHECK(osh_cgroup_kill(sb.cgroup_fd) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	CHECK(osh_cgroup_wait_empty(sb.cgroup_fd, 5000) == 0);
	kt_sandbox_drop(kt, &sb);
}

static int look_prog(const struct osh_kern_prog_info *info, void *arg)
{
	CHECK(info->id && info->insns && info->name[0] && info->tag[0]);
	++*(int *)arg;
	return 0;
}

static int look_map(const struct osh_kern_map_info *info, void *arg)
{
	CHECK(info->id && info->name[0] && info->type[0]);
	++*(int *)arg;
	return 0;
}

static int look_link(const struct osh_kern_link_info *info, void *arg)
{
	CHECK(info->id && info->prog_id && info->pinned);
	++*(int *)arg;
	return 0;
}

void case_inspect(struct kt *kt)
{
	osh_auto_bufmem struct osh_buf buf;
	struct kt_sandbox sb;
	int progs = 0, maps = 0, links = 0;
	const struct osh_kern_probe *probes;
	size_t i, n;

	n = osh_kern_probes(kt->kern, &probes);
	for (i = 0; i < n; i++)
		if (!probes[i].required)
			printf("%s: %s\n", probes[i].what,
			       probes[i].err ? strerror(-probes[i].err) : "active");
	osh_buf_init(&buf, 1 << 20, 0);
	NEED(kt_sandbox_make(kt, &sb) == 0);
	CHECK(osh_kern_prog_each(kt->kern, look_prog, &progs) == 0 && progs >= 20);
	CHECK(osh_kern_map_each(kt->kern, look_map, &maps) == 0 && maps >= 14);
	CHECK(osh_kern_link_each(kt->kern, look_link, &links) == 0 && links >= 20);
	CHECK(osh_kern_map_dump(kt->kern, "osh_sandboxes", true, &buf) == 0);
	CHECK(buf.len > 80 && buf.data[0] == '[' && buf.data[buf.len - 1] == ']');
	osh_buf_reset(&buf);
	CHECK(osh_kern_map_dump(kt->kern, "osh_counters", false, &buf) == 0 && buf.len > 0);
	CHECK(osh_kern_map_dump(kt->kern, "osh_events", false, &buf) == -EOPNOTSUPP);
	CHECK(osh_kern_map_dump(kt->kern, "nothing", false, &buf) == -ENOENT);
	kt_sandbox_drop(kt, &sb);
}
