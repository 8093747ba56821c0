/* SPDX-License-Identifier: MIT */
/*
 * What the fence costs: connect() with and without it, a denial in the kernel, exec with and without
 * tracking, the swap of a policy, the watch on mappings. Medians over rounds that alternate, so that
 * a busy host disturbs all alike; programs' own times from the kernel's statistics. Prints goals
 * beside figures, judges nothing. Needs root.
 */
#include "../bpf/kt.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { ROUNDS = 15, SWAPS = 5, BATCH = 250, BATCHES = 4, CONNECTS = BATCH * BATCHES, EXECS = 100 };
enum { CALLS = 200000, MAPS = 20000 };

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/* ---- in the measured process ("bench_kern connect|exec ...") ---- */

static void pin_to_last_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

/* Accept what was queued and fetch its records, as a proxy does. */
static void drain(int listener)
{
	struct osh_flow_rec rec;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		(void)!osh_flow_fetch(fd, &rec); /* the twin's have none */
		(void)close(fd);
	}
}

/*
 * Nobody accepts while the clock runs: connections wait in the backlog and are drained by this same
 * process between batches, so neither another program's work nor waking it is part of the figure.
 * @step: stop before and after each phase of one batch, for the observer's statistics.
 */
static int time_connects(const char *ip, const char *port, const char *listener_fd, bool step)
{
	static uint64_t took[CONNECTS];
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct linger now = { .l_onoff = 1 };
	int listener = (int)strtol(listener_fd, NULL, 10), fds[BATCH], b, i;

	to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	to.sin_addr.s_addr = inet_addr(ip);
	pin_to_last_cpu();
	for (b = 0; b < (step ? 1 : BATCHES); b++) {
		int good = 0;

		for (i = 0; i < BATCH; i++) {
			fds[i] = socket(AF_INET, SOCK_STREAM, 0);
			(void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		}
		if (step)
			(void)raise(SIGSTOP);
		for (i = 0; i < BATCH; i++) {
			uint64_t t0 = now_ns();

			good += connect(fds[i], (struct sockaddr *)&to, sizeof(to)) == 0;
			took[b * BATCH + i] = now_ns() - t0;
		}
		if (step)
			(void)raise(SIGSTOP);
		for (i = 0; i < BATCH; i++)
			(void)close(fds[i]);
		/* without a listener all must be refused, else none */
		if (good != (listener >= 0 ? BATCH : 0))
			return 1;
		if (listener >= 0)
			drain(listener);
	}
	printf("%llu\n", (unsigned long long)median(took, CONNECTS));
	return 0;
}

/* The cheapest system call there is, then one that maps and one that unmaps. */
static int time_calls(bool map)
{
	int i, n = map ? MAPS : CALLS;
	uint64_t t0;

	pin_to_last_cpu();
	t0 = now_ns();
	for (i = 0; i < n; i++) {
		if (map) {
			void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			(void)munmap(p, 4096);
		} else {
			(void)syscall(SYS_getppid);
		}
	}
	printf("%llu\n", (unsigned long long)((now_ns() - t0) * 10 / (uint64_t)n)); /* 0.1 ns */
	return 0;
}

static int time_execs(void)
{
	char *argv[] = { (char[]){ "/bin/true" }, NULL }, *envp[] = { NULL };
	static uint64_t took[EXECS];
	int i, status;

	pin_to_last_cpu();

	for (i = 0; i < EXECS; i++) {
		uint64_t t0 = now_ns();
		pid_t pid;

		if (posix_spawn(&pid, argv[0], NULL, NULL, argv, envp) != 0 ||
		    waitpid(pid, &status, 0) != pid)
			return 1;
		took[i] = now_ns() - t0;
	}
	printf("%llu\n", (unsigned long long)median(took, EXECS));
	return 0;
}

/* ---- the observer ---- */

static uint64_t run(struct kt *kt, struct kt_sandbox *sb, const char *verb, const char *ip,
		    unsigned int port, int listener)
{
	char port_text[16], fd_text[16], out[64];
	char *argv[] = { (char *)kt_self(), (char *)verb, (char *)ip, port_text, fd_text, NULL };

	(void)snprintf(port_text, sizeof(port_text), "%u", port);
	(void)snprintf(fd_text, sizeof(fd_text), "%d", listener);
	if (kt_run(kt, sb, argv, out, sizeof(out)) != 0)
		return 0;
	return strtoull(out, NULL, 10);
}

/* A "sandbox" outside the fence: a network namespace and the cgroup root. */
static int make_open_ground(const struct kt_sandbox *like, struct kt_sandbox *ret)
{
	char root[PATH_MAX];
	int r = osh_cgroup_mount(root, sizeof(root));

	if (r < 0)
		return r;
	*ret = *like;
	ret->cgroup_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ret->cgroup_fd < 0 ? -errno : 0;
}

/* The twin of the sandbox's listener that no program of ours sees: made in the cgroup root. */
static int plain_listener(struct kt_sandbox *open_ground, uint16_t *ret_port)
{
	osh_auto_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd, daemon;

	daemon = osh_cgroup_move(open_ground->cgroup_fd, 0);
	if (daemon < 0 || setns(open_ground->netns_fd, CLONE_NEWNET) < 0)
		return -EIO;
	a.sin_addr.s_addr = inet_addr("198.18.0.1");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &(int){ 16 }, sizeof(int)) < 0 ||
	    bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0 || setns(home, CLONE_NEWNET) < 0)
		return -EIO;
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* ---- program statistics ---- */

struct prog_times {
	struct {
		uint64_t count, ns;
	} before[64];
	size_t at;
	double sum; /* ns per connection */
};

static int take_prog(const struct osh_kern_prog_info *info, void *arg)
{
	struct prog_times *t = arg;

	t->before[t->at].count = info->run_count;
	t->before[t->at++].ns = info->run_ns;
	return 0;
}

static int show_prog(const struct osh_kern_prog_info *info, void *arg)
{
	struct prog_times *t = arg;
	uint64_t runs = info->run_count - t->before[t->at].count;
	uint64_t ns = info->run_ns - t->before[t->at++].ns;

	if (runs < BATCH / 10)
		return 0;
	printf("  %-16s %6.1f runs x %6.0f ns = %6.0f ns\n", info->name, (double)runs / BATCH,
	       (double)ns / (double)runs, (double)ns / BATCH);
	t->sum += (double)ns / BATCH;
	return 0;
}

static void show_since(struct kt *kt, struct prog_times *t, const char *what)
{
	printf("programs, %s:\n", what);
	t->at = 0;
	t->sum = 0;
	CHECK(osh_kern_prog_each(kt->kern, show_prog, t) == 0);
	printf("  %-39s %6.0f ns\n", "sum (the statistics themselves: 20-30 ns a run)", t->sum);
	t->at = 0;
	CHECK(osh_kern_prog_each(kt->kern, take_prog, t) == 0);
}

/* Per connection: what runs in connect() itself, on a client and, in its softirq, the listener. */
static void show_connect(struct kt *kt, struct kt_sandbox *sb, const char *what, const char *ip,
			 unsigned int port, int listener)
{
	char port_text[16], fd_text[16], text[80];
	char *argv[] = {
		(char *)kt_self(), (char[]){ "step" }, (char *)ip, port_text, fd_text, NULL
	};
	struct prog_times t = { .at = 0 };
	int stats, out, status = 0;
	pid_t pid;

	(void)snprintf(port_text, sizeof(port_text), "%u", port);
	(void)snprintf(fd_text, sizeof(fd_text), "%d", listener);
	NEED(osh_kern_stats_enable(&stats) == 0);
	pid = kt_spawn(kt, sb, argv, NULL, &out);
	NEED(pid > 0);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	CHECK(osh_kern_prog_each(kt->kern, take_prog, &t) == 0);
	(void)kill(pid, SIGCONT);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	(void)snprintf(text, sizeof(text), "connect(), %s", what);
	show_since(kt, &t, text);
	(void)kill(pid, SIGCONT);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
	if (listener >= 0)
		show_since(kt, &t, "the same connections accepted, records fetched, closed");
	(void)close(out);
	(void)close(stats);
}

static double swap_ms(struct kt *kt, struct kt_sandbox *sb, size_t n, uint64_t *generation)
{
	struct osh_kern_row *rows = calloc(n, sizeof(*rows));
	struct osh_kern_policy p = { .rows = rows, .count = n };
	uint64_t took[SWAPS];
	size_t i;

	for (i = 0; rows && i < n; i++) {
		rows[i].key.kind = OSH_POL_HOST;
		rows[i].key.id = (uint32_t)(1000 + i / 2);
		rows[i].key.port_be = i % 2 ? htons(443) : 0;
		rows[i].classes = i % 2;
	}
	for (i = 0; rows && i < SWAPS; i++) {
		uint64_t t0 = now_ns();

		p.generation = ++*generation;
		CHECK(osh_kern_publish(kt->kern, sb->id, &p) == 0);
		took[i] = now_ns() - t0;
	}
	free(rows);
	return rows ? (double)median(took, SWAPS) / 1e6 : 0;
}

/* Median of the differences of rounds that lie side by side. */
static double added_us(const uint64_t *v, const uint64_t *base)
{
	double d[ROUNDS];
	int i, k;

	for (i = 0; i < ROUNDS; i++) {
		double x = ((double)v[i] - (double)base[i]) / 1000;

		for (k = i; k > 0 && d[k - 1] > x; k--)
			d[k] = d[k - 1];
		d[k] = x;
	}
	return d[ROUNDS / 2];
}

static void line(const char *what, const uint64_t *v, const uint64_t *base, double goal_us)
{
	uint64_t copy[ROUNDS], m, b;

	memcpy(copy, v, sizeof(copy));
	m = median(copy, ROUNDS);
	CHECK(m > 0);
	printf("%-44s %8.2f us", what, (double)m / 1000);
	if (base) {
		memcpy(copy, base, sizeof(copy));
		b = median(copy, ROUNDS);
		printf("  %+7.2f us  x%.2f", added_us(v, base), (double)m / (double)b);
	}
	if (goal_us > 0)
		printf("  (goal %.0f us)", goal_us);
	putchar('\n');
}

/* What every system call of the host pays for the watch on mappings, without LSM. */
static void measure_watch(struct kt *kt, struct kt_sandbox *open_ground)
{
	static const struct {
		const char *what;
		enum osh_kern_taint taint;
	} kinds[] = {
		{ "no watch", OSH_KERN_TAINT_OFF },
		{ "system call tracepoints", OSH_KERN_TAINT_SYSCALL },
		{ "raw tracepoint", OSH_KERN_TAINT_RAW },
	};
	uint64_t call[OSH_ARRAY_SIZE(kinds)][SWAPS], map[OSH_ARRAY_SIZE(kinds)][SWAPS];
	size_t k, i;

	for (i = 0; i < SWAPS; i++) {
		for (k = 0; k < OSH_ARRAY_SIZE(kinds); k++) {
			kt->opts.taint = kinds[k].taint;
			NEED(kt_restart(kt) == 0);
			call[k][i] = run(kt, open_ground, "calls", "-", 0, -1);
			map[k][i] = run(kt, open_ground, "maps", "-", 0, -1);
		}
	}
	for (k = 0; k < OSH_ARRAY_SIZE(kinds); k++)
		printf("%-26s getppid() %6.1f ns   mmap()+munmap() %7.1f ns\n", kinds[k].what,
		       (double)median(call[k], SWAPS) / 10, (double)median(map[k], SWAPS) / 10);
	kt->opts.taint = OSH_KERN_TAINT_AUTO;
	NEED(kt_restart(kt) == 0);
}

static void measure(struct kt *kt)
{
	enum { PLAIN, TRANSPARENT, EXPLICIT, DENIED, REFUSED, EXEC_OUT, EXEC_IN, KINDS };
	static uint64_t v[KINDS][ROUNDS];
	struct osh_kern_policy deny = { .generation = 5, .flags = OSH_POL_LITERALS_LISTED };
	struct kt_sandbox sb, denied, open_ground;
	uint64_t generation = 10;
	uint16_t port = 0;
	int i, plain, fenced;

	NEED(kt_sandbox_make(kt, &sb) == 0 && kt_sandbox_make(kt, &denied) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	NEED(osh_kern_publish(kt->kern, denied.id, &deny) == 0);
	NEED(make_open_ground(&sb, &open_ground) == 0);
	plain = plain_listener(&open_ground, &port);
	fenced = dup(sb.tcp4); /* not close-on-exec: the measured process drains it */
	NEED(plain >= 0 && fenced >= 0);
	NEED(osh_cgroup_enter_daemon(&kt->cg) == 0);

	for (i = 0; i < ROUNDS; i++) {
		v[PLAIN][i] = run(kt, &open_ground, "connect", "198.18.0.1", port, plain);
		v[TRANSPARENT][i] = run(kt, &sb, "connect", "10.1.2.3", 443, fenced);
		v[EXPLICIT][i] = run(kt, &sb, "connect", "127.0.0.1", 3128, fenced);
		v[DENIED][i] = run(kt, &denied, "connect", "10.1.2.3", 443, -1);
		v[REFUSED][i] = run(kt, &open_ground, "connect", "127.0.0.1", 1, -1);
		v[EXEC_OUT][i] = run(kt, &open_ground, "exec", "-", 0, -1);
		v[EXEC_IN][i] = run(kt, &sb, "exec", "-", 0, -1);
	}
	line("connect() without the fence", v[PLAIN], NULL, 0);
	line("connect(), transparent", v[TRANSPARENT], v[PLAIN], 2);
	line("connect(), explicit proxy", v[EXPLICIT], v[PLAIN], 2);
	line("connect() to a closed port, no fence", v[REFUSED], NULL, 0);
	line("connect() denied in the kernel", v[DENIED], NULL, 3);
	line("spawn+exit of /bin/true outside", v[EXEC_OUT], NULL, 0);
	line("spawn+exit of /bin/true in a sandbox", v[EXEC_IN], v[EXEC_OUT], 5);
	printf("%-44s %8.2f ms\n", "policy of      1 row, build and swap",
	       swap_ms(kt, &sb, 1, &generation));
	printf("%-44s %8.2f ms  (goal 10 ms)\n", "policy of  10000 rows, build and swap",
	       swap_ms(kt, &sb, 10000, &generation));
	printf("%-44s %8.2f ms\n", "policy of 100000 rows, build and swap",
	       swap_ms(kt, &sb, 100000, &generation));

	NEED(kt_publish_all(kt, &sb, ++generation) == 0);
	show_connect(kt, &sb, "transparent", "10.1.2.3", 443, fenced);
	show_connect(kt, &denied, "denied in the kernel", "10.1.2.3", 443, -1);
	show_connect(kt, &sb, "inside the sandbox, refused", "127.0.0.1", 1, -1);
	measure_watch(kt, &open_ground);

	(void)close(plain);
	(void)close(fenced);
	(void)close(open_ground.cgroup_fd);
	kt_sandbox_drop(kt, &denied);
	kt_sandbox_drop(kt, &sb);
}

int main(int argc, char **argv)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 5 && strcmp(argv[1], "connect") == 0)
		return time_connects(argv[2], argv[3], argv[4], false);
	if (argc == 5 && strcmp(argv[1], "step") == 0)
		return time_connects(argv[2], argv[3], argv[4], true);
	if (argc == 5 && strcmp(argv[1], "exec") == 0)
		return time_execs();
	if (argc == 5 && strcmp(argv[1], "calls") == 0)
		return time_calls(false);
	if (argc == 5 && strcmp(argv[1], "maps") == 0)
		return time_calls(true);
	return kt_main(measure);
}
