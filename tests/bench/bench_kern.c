/* SPDX-License-Identifier: MIT */
/*
 * What the fence costs: connect() with and without it, a denial in the kernel, exec with and without
 * tracking, the swap of a policy. Medians over rounds that alternate, so that a busy host disturbs
 * all alike; programs' own times from the kernel's statistics. Prints goals beside figures, judges
 * nothing. Needs root.
 */
#include "../bpf/kt.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

enum { ROUNDS = 7, CONNECTS = 2000, EXECS = 200 };

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

static int time_connects(const char *ip, const char *port)
{
	static uint64_t took[CONNECTS];
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct linger now = { .l_onoff = 1 };
	int i;

	to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	to.sin_addr.s_addr = inet_addr(ip);
	for (i = 0; i < CONNECTS; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		uint64_t t0;

		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		t0 = now_ns();
		(void)!connect(fd, (struct sockaddr *)&to, sizeof(to)); /* refused is timed too */
		took[i] = now_ns() - t0;
		(void)close(fd);
	}
	printf("%llu\n", (unsigned long long)median(took, CONNECTS));
	return 0;
}

static int time_execs(void)
{
	char *argv[] = { (char[]){ "/bin/true" }, NULL }, *envp[] = { NULL };
	static uint64_t took[EXECS];
	int i, status;

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

/* ---- the other end ---- */

struct acceptor {
	int fd;
	volatile bool stop;
	bool fetch; /* read the record as a proxy does */
};

static void *accept_loop(void *arg)
{
	struct acceptor *a = arg;
	struct osh_flow_rec rec;

	while (!a->stop) {
		struct pollfd p = { .fd = a->fd, .events = POLLIN };
		int fd;

		if (poll(&p, 1, 50) != 1)
			continue;
		while ((fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
			if (a->fetch)
				(void)!osh_flow_fetch(fd, &rec);
			(void)close(fd);
		}
	}
	return NULL;
}

static uint64_t run(struct kt *kt, struct kt_sandbox *sb, const char *verb, const char *ip,
		    unsigned int port)
{
	char port_text[16], out[64];
	char *argv[] = { (char *)kt_self(), (char *)verb, (char *)ip, port_text, NULL };

	(void)snprintf(port_text, sizeof(port_text), "%u", port);
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

/* A listener that no program of ours sees: made by a child in the cgroup root. */
static int plain_listener(struct kt_sandbox *open_ground, uint16_t *ret_port)
{
	osh_auto_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd, daemon;

	daemon = osh_cgroup_move(open_ground->cgroup_fd, 0);
	if (daemon < 0 || setns(open_ground->netns_fd, CLONE_NEWNET) < 0)
		return -EIO;
	a.sin_addr.s_addr = inet_addr("127.0.0.1");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 1024) < 0 ||
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
	size_t n, at;
};

static int take_prog(const struct osh_kern_prog_info *info, void *arg)
{
	struct prog_times *t = arg;

	t->before[t->n].count = info->run_count;
	t->before[t->n++].ns = info->run_ns;
	return 0;
}

static int show_prog(const struct osh_kern_prog_info *info, void *arg)
{
	struct prog_times *t = arg;
	uint64_t runs = info->run_count - t->before[t->at].count;
	uint64_t ns = info->run_ns - t->before[t->at++].ns;

	if (runs > 10)
		printf("  %-16s %8llu runs %8.0f ns\n", info->name, (unsigned long long)runs,
		       (double)ns / (double)runs);
	return 0;
}

static void show_programs(struct kt *kt, struct kt_sandbox *sb, const char *what, const char *verb,
			  const char *ip, unsigned int port)
{
	struct prog_times t = { .n = 0 };
	int fd;

	NEED(osh_kern_stats_enable(&fd) == 0);
	CHECK(osh_kern_prog_each(kt->kern, take_prog, &t) == 0);
	(void)run(kt, sb, verb, ip, port);
	printf("programs, %s (the statistics themselves cost 20-30 ns a run):\n", what);
	CHECK(osh_kern_prog_each(kt->kern, show_prog, &t) == 0);
	(void)close(fd);
}

static double swap_ms(struct kt *kt, struct kt_sandbox *sb, size_t n, uint64_t *generation)
{
	struct osh_kern_row *rows = calloc(n, sizeof(*rows));
	struct osh_kern_policy p = { .rows = rows, .count = n };
	uint64_t took[ROUNDS];
	size_t i;

	for (i = 0; rows && i < n; i++) {
		rows[i].key.kind = OSH_POL_HOST;
		rows[i].key.id = (uint32_t)(1000 + i / 2);
		rows[i].key.port_be = i % 2 ? htons(443) : 0;
		rows[i].classes = i % 2;
	}
	for (i = 0; rows && i < ROUNDS; i++) {
		uint64_t t0 = now_ns();

		p.generation = ++*generation;
		CHECK(osh_kern_publish(kt->kern, sb->id, &p) == 0);
		took[i] = now_ns() - t0;
	}
	free(rows);
	return rows ? (double)median(took, ROUNDS) / 1e6 : 0;
}

static void line(const char *what, uint64_t ns, uint64_t base, double goal_us)
{
	printf("%-44s %8.1f us", what, (double)ns / 1000);
	if (base)
		printf("  %+7.1f us  x%.2f", ((double)ns - (double)base) / 1000,
		       (double)ns / (double)base);
	if (goal_us > 0)
		printf("  (goal %.0f us)", goal_us);
	putchar('\n');
}

static void measure(struct kt *kt)
{
	enum { PLAIN, TRANSPARENT, EXPLICIT, DENIED, REFUSED, EXEC_OUT, EXEC_IN, KINDS };
	uint64_t v[KINDS][ROUNDS] = { { 0 } }, m[KINDS], generation = 10;
	struct osh_kern_policy deny = { .generation = 5, .flags = OSH_POL_LITERALS_LISTED };
	struct kt_sandbox sb, denied, open_ground;
	struct acceptor fenced = { .fetch = true }, plain = { 0 };
	pthread_t t1, t2;
	uint16_t port = 0;
	int i, k;

	NEED(kt_sandbox_make(kt, &sb) == 0 && kt_sandbox_make(kt, &denied) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	NEED(osh_kern_publish(kt->kern, denied.id, &deny) == 0);
	NEED(make_open_ground(&sb, &open_ground) == 0);
	fenced.fd = sb.tcp4;
	plain.fd = plain_listener(&open_ground, &port);
	NEED(plain.fd >= 0);
	NEED(osh_cgroup_enter_daemon(&kt->cg) == 0);
	NEED(pthread_create(&t1, NULL, accept_loop, &fenced) == 0);
	NEED(pthread_create(&t2, NULL, accept_loop, &plain) == 0);

	for (i = 0; i < ROUNDS; i++) {
		v[PLAIN][i] = run(kt, &open_ground, "connect", "127.0.0.1", port);
		v[TRANSPARENT][i] = run(kt, &sb, "connect", "10.1.2.3", 443);
		v[EXPLICIT][i] = run(kt, &sb, "connect", "127.0.0.1", 3128);
		v[DENIED][i] = run(kt, &denied, "connect", "10.1.2.3", 443);
		v[REFUSED][i] = run(kt, &open_ground, "connect", "127.0.0.1", 1);
		v[EXEC_OUT][i] = run(kt, &open_ground, "exec", "-", 0);
		v[EXEC_IN][i] = run(kt, &sb, "exec", "-", 0);
	}
	for (k = 0; k < KINDS; k++) {
		m[k] = median(v[k], ROUNDS);
		CHECK(m[k] > 0);
	}
	line("connect() without the fence", m[PLAIN], 0, 0);
	line("connect(), transparent", m[TRANSPARENT], m[PLAIN], 2);
	line("connect(), explicit proxy", m[EXPLICIT], m[PLAIN], 2);
	line("connect() to a closed port, no fence", m[REFUSED], 0, 0);
	line("connect() denied in the kernel", m[DENIED], 0, 3);
	line("spawn+exit of /bin/true outside", m[EXEC_OUT], 0, 0);
	line("spawn+exit of /bin/true in a sandbox", m[EXEC_IN], m[EXEC_OUT], 5);
	printf("%-44s %8.2f ms  (goal 10 ms)\n", "policy swap (the kernel waits for its readers)",
	       swap_ms(kt, &sb, 1, &generation));
	printf("%-44s %8.2f ms\n", "policy of  10000 rows, build and swap",
	       swap_ms(kt, &sb, 10000, &generation));
	printf("%-44s %8.2f ms\n", "policy of 100000 rows, build and swap",
	       swap_ms(kt, &sb, 100000, &generation));

	NEED(kt_publish_all(kt, &sb, ++generation) == 0);
	show_programs(kt, &sb, "connect(), transparent", "connect", "10.1.2.3", 443);
	show_programs(kt, &denied, "connect() denied in the kernel", "connect", "10.1.2.3", 443);
	show_programs(kt, &sb, "connect() inside the sandbox", "connect", "127.0.0.1", 1);
	show_programs(kt, &sb, "spawn and exit", "exec", "-", 0);

	fenced.stop = plain.stop = true;
	CHECK(pthread_join(t1, NULL) == 0 && pthread_join(t2, NULL) == 0);
	(void)close(plain.fd);
	(void)close(open_ground.cgroup_fd);
	kt_sandbox_drop(kt, &denied);
	kt_sandbox_drop(kt, &sb);
}

int main(int argc, char **argv)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && strcmp(argv[1], "connect") == 0)
		return time_connects(argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "exec") == 0)
		return time_execs();
	return kt_main(measure);
}
