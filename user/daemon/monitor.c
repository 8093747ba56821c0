/* SPDX-License-Identifier: MIT */
/*
 * The monitor from start to stop. Start: state, cgroups, fence (adopted or new), roles, sandboxes
 * that still run, control socket; then a canary proves that the fence stands, and only then READY=1.
 * Every step that fails ends the start: nothing is served half-configured.
 */
#include "daemon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "daemon/canary.h"
#include "daemon/fdstore.h"
#include "daemon/confine.h"
#include "daemon/proxyconf.h"
#include "openshell/version.h"
#include "sys/fs.h"

enum {
	ROLES_MS = 30000, /* to start, on a busy machine */
	CANARY_MS = 30000,
	CANARY_AGAIN_MS = 5000, /* it could not tell: no process, no memory */
	CANARY_MISSES_MAX = 6,
	SWEEP_MS = 60000,
	SWEEP_AGAIN_MS = 100, /* far longer than an exec takes in the kernel */
	PRESSURE_MS = 1000,
	FLOW_AGE_MS = 600000, /* connections may wait that long for a stopped proxy */
	KERN_BATCH = 512,
};

uint64_t osh_realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t osh_realtime_ms(void)
{
	return osh_realtime_ns() / 1000000;
}

/* ---- users ---- */

static int find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
	const struct passwd *pw = getpwnam(name);

	if (!pw || pw->pw_uid == 0)
		return osh_log_err(pw ? -EPERM : -ENOENT,
				   "cannot use system user %s%s; make it with: useradd --system "
				   "--no-create-home --shell /usr/sbin/nologin %s",
				   OSH_Q(name), pw ? " (it is root)" : "", name);
	*ret_uid = pw->pw_uid;
	*ret_gid = pw->pw_gid;
	return 0;
}

static int find_users(struct osh_monitor *m)
{
	const struct group *gr;
	int r = find_user(m->cfg.proxy_user.p, &m->proxy_uid, &m->proxy_gid);

	if (r == 0)
		r = find_user(m->cfg.signer_user.p, &m->signer_uid, &m->signer_gid);
	if (r < 0)
		return r;
	gr = getgrnam(m->cfg.socket_group.p);
	if (!gr)
		return osh_log_err(-ENOENT,
				   "cannot find group %s of the control socket; make it with: "
				   "groupadd --system %s",
				   OSH_Q(m->cfg.socket_group.p), m->cfg.socket_group.p);
	m->socket_gid = gr->gr_gid;
	return 0;
}

bool osh_monitor_sees_host_pids(void)
{
	const uint32_t first = 0xeffffffc; /* PROC_PID_INIT_INO of the kernel */
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == first;
}

/* ---- places ---- */

static int make_dir(const char *path, mode_t mode)
{
	int r = osh_fs_mkdir_p(path, mode);

	return r < 0 ? osh_log_err(r, "cannot make folder %s", OSH_Q(path)) : 0;
}

/* Whoever may write here may put another state or another CA into its place. */
static int check_dir(const char *key, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return osh_log_err(-errno, "cannot look at folder %s", OSH_Q(path));
	if (st.st_uid == geteuid() && !(st.st_mode & S_IWOTH))
		return 0;
	osh_log_error("%s %s %s; mend it with: chown root %s && chmod o-w %s", key, OSH_Q(path),
		      st.st_uid == geteuid() ? "can be written by everybody"
					     : "does not belong to root",
		      path, path);
	return -EPERM;
}

static int make_places(struct osh_monitor *m)
{
	char path[4096];
	int r;

	r = make_dir(m->cfg.state_dir.p, 0755);
	if (r == 0)
		r = make_dir(m->cfg.runtime_dir.p, 0755);
	if (r == 0)
		r = check_dir("state_dir", m->cfg.state_dir.p);
	if (r == 0)
		r = check_dir("runtime_dir", m->cfg.runtime_dir.p);
	(void)snprintf(path, sizeof(path), "%s/sandboxes", m->cfg.state_dir.p);
	if (r == 0)
		r = make_dir(path, 0700);
	(void)snprintf(path, sizeof(path), "%s/ca", m->cfg.state_dir.p);
	if (r == 0)
		r = make_dir(path, 0700);
	if (r < 0)
		return r;
	m->signer_dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->signer_dir_fd < 0 || fchown(m->signer_dir_fd, m->signer_uid, m->signer_gid) < 0)
		return osh_log_err(-errno, "cannot give folder %s to the signer", OSH_Q(path));
	return 0;
}

static int open_state(struct osh_monitor *m)
{
	char path[4096], why[256] = "";
	osh_auto_free char *generation = NULL;
	int r;

	(void)snprintf(path, sizeof(path), "%s/state.db", m->cfg.state_dir.p);
	r = osh_state_open(path, &m->state, why, sizeof(why));
	if (r == -EBUSY)
		return osh_log_err(r,
				   "cannot open the state in %s: another openshelld has it; end "
				   "that one, or give this one a --state-dir of its own",
				   OSH_Q(path));
	if (r < 0)
		return osh_log_err(r, "cannot open the state in %s%s%s", OSH_Q(path),
				   why[0] ? ": " : "", why);
	r = osh_state_meta_get(m->state, "generation", &generation);
	if (r == 0)
		r = osh_parse_u64(osh_str(generation), UINT64_MAX / 2, &m->generation);
	if (r < 0 && r != -ENOENT)
		return osh_log_err(r, "cannot read the last generation from the state");
	return 0;
}

static int load_bundle(struct osh_monitor *m)
{
	osh_auto_bufmem struct osh_buf pem;
	osh_auto_diag struct osh_diag diag;
	int r;

	osh_buf_init(&pem, 64 << 20, 0);
	osh_diag_init(&diag, NULL);
	r = osh_proxyconf_bundle(&m->cfg, &pem, &diag);
	if (r < 0) {
		for (size_t i = 0; i < diag.count; i++)
			osh_log_error("%s", diag.msgs[i].text);
		return r;
	}
	r = osh_fs_memfd_sealed("openshell-ca-bundle", pem.data, pem.len);
	if (r < 0)
		return osh_log_err(r, "cannot keep the CA bundle");
	m->ca_bundle_fd = r;
	return 0;
}

/* ---- fence ---- */

static void drain_kernel(struct osh_monitor *m);

static void on_repoll(struct osh_timer *timer)
{
	drain_kernel(osh_container_of(timer, struct osh_monitor, kern_repoll));
}

static void on_sweep(struct osh_timer *timer)
{
	struct osh_monitor *m = osh_container_of(timer, struct osh_monitor, sweep);
	int r = osh_kern_flow_sweep(m->kern, FLOW_AGE_MS);

	osh_fdstore_finish(); /* whoever was to be adopted has been by now */

	if (r == 0)
		r = osh_kern_exe_sweep(m->kern, 0);
	if (r == 0)
		osh_idents_sweep(m);
	if (r < 0)
		osh_log_warn_errno(r, "cannot sweep the kernel's tables, trying again in a minute");
	if (m->sweeps_left)
		m->sweeps_left--;
	osh_timer_set(m->loop, &m->sweep, m->sweeps_left ? SWEEP_AGAIN_MS : SWEEP_MS, on_sweep);
}

/*
 * A sandbox has used many exe ids: do not wait for the next round. It takes two sweeps to free one;
 * a sandbox that goes on and on gets its sweeps at intervals, and unknown executables in between.
 */
static void on_pressure(struct osh_monitor *m)
{
	uint64_t now = osh_loop_now_ms(m->loop);

	if (m->sweeps_left || now - m->pressure_ms < PRESSURE_MS)
		return;
	m->pressure_ms = now;
	m->sweeps_left = 2;
	osh_timer_set(m->loop, &m->sweep, 0, on_sweep);
}

static void on_kernel_event(const struct osh_kev *ev, void *arg)
{
	struct osh_monitor *m = arg;

	if (ev->type == OSH_KEV_EXE) {
		const struct osh_kev_exe *exe = (const struct osh_kev_exe *)(const void *)ev;

		osh_idents_on_exe(m, exe->exe, exe->sandbox);
		return;
	}
	if (ev->type == OSH_KEV_PRESSURE)
		on_pressure(m);
	else
		osh_events_kernel(m, ev);
}

static void drain_kernel(struct osh_monitor *m)
{
	const struct osh_kern_sink sink = { .on_event = on_kernel_event, .arg = m };
	int r = osh_kern_events_drain(m->kern, &sink, KERN_BATCH);

	if (r < 0)
		osh_log_warn_errno(r, "cannot read events of the kernel");
	if (r != 0)
		osh_timer_set(m->loop, &m->kern_repoll, OSH_KERN_REPOLL_MS, on_repoll);
}

static void on_kernel(struct osh_src *src, uint32_t events)
{
	(void)events;
	drain_kernel(osh_container_of(src, struct osh_monitor, kern_src));
}

static int deny_errno(const struct osh_config *cfg)
{
	static const struct {
		const char *name;
		int err;
	} names[] = { { "ECONNREFUSED", ECONNREFUSED },
		      { "EPERM", EPERM },
		      { "EACCES", EACCES },
		      { "ENETUNREACH", ENETUNREACH } };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++)
		if (osh_str_is(cfg->deny_errno, names[i].name))
			return names[i].err;
	return ECONNREFUSED; /* config.c lets no other in */
}

static int generation_floor(const struct osh_kern_sandbox *sb, void *arg)
{
	struct osh_monitor *m = arg;
	uint64_t generation;

	if (osh_kern_generation(m->kern, sb->id, &generation) == 0 && generation > m->generation)
		m->generation = generation;
	return 0;
}

static int open_fence(struct osh_monitor *m)
{
	osh_auto_diag struct osh_diag diag = { 0 };
	struct osh_kern_opts opts = {
		.pin_dir = m->cfg.bpf_dir.p,
		.explicit_port = m->cfg.proxy_port,
		.deny_errno = deny_errno(&m->cfg),
		.shares = m->cfg.kernel_shares,
	};
	int r = osh_cgroup_open(&m->cg, m->cfg.agent_cgroup.p, m->cfg.use_delegated);

	if (r < 0)
		return osh_log_err(r, "cannot make cgroups %s; cgroup v2 must be mounted",
				   OSH_Q(m->cfg.agent_cgroup.p));
	/* two daemons in one cgroup would tear down each other's sandboxes */
	if (flock(m->cg.agent_fd, LOCK_EX | LOCK_NB) < 0)
		return osh_log_err(-errno, "cannot take cgroup %s: another openshelld has it",
				   m->cg.agent_path);
	r = osh_cgroup_enter_daemon(&m->cg);
	if (r < 0)
		return osh_log_err(r, "cannot enter cgroup %s/daemon", m->cg.agent_path);
	opts.daemon_fd = m->cg.daemon_fd;
	opts.sandboxes_fd = m->cg.sandboxes_fd;
	osh_diag_init(&diag, NULL);
	r = osh_kern_open(&opts, &m->kern, &diag);
	for (size_t i = 0; i < diag.count; i++)
		osh_log_msg(r < 0 ? OSH_LOG_ERR : OSH_LOG_WARN, 0, "fence: %s", diag.msgs[i].text);
	if (r < 0)
		return osh_log_err(r, "cannot put up the fence; refusing to start");
	osh_log_info("fence %s in %s", osh_kern_is_adopted(m->kern) ? "adopted" : "put up",
		     m->cg.agent_path);
	r = osh_kern_sandbox_list(m->kern, generation_floor, m);
	if (r < 0)
		return osh_log_err(r, "cannot read the sandboxes in the kernel's tables");
	return 0;
}

/* What ran while there was no daemon is in the ring; whose it is, is known from here on. */
static int listen_to_fence(struct osh_monitor *m)
{
	return osh_src_add(m->loop, &m->kern_src, osh_kern_events_fd(m->kern), EPOLLIN, 0,
			   on_kernel, "kernel events");
}

/* ---- timers ---- */

static void on_canary(struct osh_timer *timer);

/* The one of the start, then that of the timer. */
static struct own_canary {
	struct osh_canary canary;
	struct osh_monitor *m;
	bool back;
	int err;
} regular;

static void canary_back(struct osh_canary *canary, int err, const struct osh_diag *diag)
{
	struct osh_monitor *m = osh_container_of(canary, struct own_canary, canary)->m;

	/* a sandbox that uses up a resource of the host must not be able to end us with it */
	if (err < 0 && err != -EPERM && ++m->canary_misses < CANARY_MISSES_MAX) {
		osh_log_warn_errno(err, "the canary could not be sent, trying again in %d ms",
				   CANARY_AGAIN_MS);
		osh_timer_set(m->loop, &m->canary, CANARY_AGAIN_MS, on_canary);
		return;
	}
	if (err < 0) {
		for (size_t i = 0; i < diag->count; i++)
			osh_log_error("canary: %s", diag->msgs[i].text);
		osh_log_error("the fence does not stand; ending, no sandbox has egress");
		osh_events_log(m, NULL, OSH_REC_ERROR, "Canary failed: the fence does not stand");
		osh_notify("STATUS=fence broken\nSTOPPING=1");
		osh_loop_stop(m->loop, EXIT_FAILURE);
		return;
	}
	m->canary_misses = 0;
	osh_timer_set(m->loop, &m->canary, CANARY_MS, on_canary);
}

static void on_canary(struct osh_timer *timer)
{
	struct osh_monitor *m = osh_container_of(timer, struct osh_monitor, canary);

	osh_canary_send(m, &regular.canary, canary_back);
}

static void on_watchdog(struct osh_timer *timer)
{
	struct osh_monitor *m = osh_container_of(timer, struct osh_monitor, watchdog);

	osh_notify("WATCHDOG=1");
	osh_timer_set(m->loop, &m->watchdog, 5000, on_watchdog);
}

static void on_signal(struct osh_src *src, uint32_t events)
{
	struct osh_monitor *m = osh_container_of(src, struct osh_monitor, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(src->fd, &info, sizeof(info)) != sizeof(info))
		return;
	osh_log_notice("%s: stopping; sandboxes live on without egress",
		       info.ssi_signo == SIGINT ? "interrupted" : "asked to stop");
	osh_notify("STOPPING=1");
	osh_loop_stop(m->loop, EXIT_SUCCESS);
}

static int watch_signals(struct osh_monitor *m)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP); /* the terminal went away: stop like the rest */
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	return osh_src_add(m->loop, &m->signals, fd, EPOLLIN, 0, on_signal, "signals");
}

/* ---- start ---- */

/* Roles answer within the first turns; nothing else may happen before. */
static int wait_for_roles(struct osh_monitor *m)
{
	/* the loop's time is that of its last turn: loading the fence, before it, may have taken long */
	int r = osh_loop_turn(m->loop, 0);
	uint64_t deadline = osh_loop_now_ms(m->loop) + ROLES_MS;

	while (r >= 0 && !osh_roles_ready(m)) {
		r = osh_loop_turn(m->loop, 100);
		if (!osh_roles_ready(m) && osh_loop_now_ms(m->loop) > deadline)
			return osh_log_err(-ETIMEDOUT, "proxies or signer did not become ready");
	}
	return OSH_MIN(r, 0);
}

static void first_canary_back(struct osh_canary *canary, int err, const struct osh_diag *diag)
{
	for (size_t i = 0; i < diag->count; i++)
		osh_log_error("canary: %s", diag->msgs[i].text);
	regular.err = err;
	regular.back = true;
	(void)canary;
}

/* Nothing is served before it is back. */
static int wait_for_canary(struct osh_monitor *m)
{
	regular.m = m;
	osh_canary_send(m, &regular.canary, first_canary_back);
	while (!regular.back) {
		int r = osh_loop_turn(m->loop, 100);

		if (r < 0)
			return r;
	}
	return regular.err;
}

static unsigned int default_workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (unsigned int)OSH_MIN(n, (long)OSH_CONFIG_WORKERS_MAX);
}

static int start(struct osh_monitor *m)
{
	int r;

	r = osh_confine_monitor();
	if (r < 0)
		return osh_log_err(r, "cannot give up what the monitor does not need");
	r = find_users(m);
	if (!osh_monitor_sees_host_pids())
		osh_log_error(
			"this is not the host's pid namespace: process numbers of the kernel mean "
			"nothing here, no program can be identified and every entry of a policy "
			"denies");
	if (r == 0)
		r = make_places(m);
	if (r == 0)
		r = open_state(m);
	if (r == 0)
		r = load_bundle(m);
	if (r == 0)
		r = watch_signals(m);
	if (r == 0)
		r = osh_events_new(m);
	if (r == 0)
		r = osh_idents_new(m);
	if (r == 0)
		r = open_fence(m);
	if (r == 0)
		r = osh_roles_start(m);
	if (r == 0)
		r = wait_for_roles(m);
	if (r == 0)
		r = wait_for_canary(m);
	if (r == 0)
		r = osh_sandboxes_adopt(m);
	if (r == 0)
		r = listen_to_fence(m);
	if (r == 0)
		r = osh_api_start(m);
	return r;
}

static void stop(struct osh_monitor *m)
{
	m->stopping = true;
	osh_api_stop(m);
	osh_canary_stop(m);
	osh_roles_stop(m);
	osh_sandboxes_detach(m);
	m->kern = osh_kern_free(m->kern);
	osh_idents_free(m);
	osh_events_free(m);
	m->state = osh_state_free(m->state);
	osh_cgroup_close(&m->cg);
}

int osh_monitor_main(struct osh_config *take_cfg)
{
	static struct osh_monitor monitor;
	struct osh_monitor *m = &monitor;
	char status[128];
	int r;

	m->cfg = *take_cfg;
	m->nproxies = m->cfg.workers ? m->cfg.workers : default_workers();
	m->ca_bundle_fd = m->signer_dir_fd = -1;
	m->cg.agent_fd = m->cg.daemon_fd = m->cg.sandboxes_fd = -1;
	m->start_ms = osh_realtime_ms();
	osh_list_init(&m->sandboxes);
	m->loop = osh_loop_new();
	if (!m->loop)
		return osh_log_err(-errno, "cannot make the event loop") ? EXIT_FAILURE : 0;
	r = start(m);
	if (r < 0) {
		osh_log_error("openshelld " OSH_VERSION " did not start");
		stop(m);
		return EXIT_FAILURE;
	}
	m->ready = true;
	osh_timer_set(m->loop, &m->canary, CANARY_MS, on_canary);
	osh_timer_set(m->loop, &m->sweep, SWEEP_MS, on_sweep);
	osh_timer_set(m->loop, &m->watchdog, 0, on_watchdog);
	(void)snprintf(status, sizeof(status), "READY=1\nSTATUS=%u proxies\n", m->nproxies);
	osh_notify(status);
	osh_events_life(m, NULL, OSH_REC_ACT_START, "openshelld " OSH_VERSION " started");
	osh_log_notice("openshelld " OSH_VERSION " ready: %u proxies, state in %s", m->nproxies,
		       m->cfg.state_dir.p);
	r = osh_loop_run(m->loop);
	if (r < 0)
		osh_log_error("event loop failed: %s", strerror(-r));
	osh_events_life(m, NULL, OSH_REC_ACT_STOP, "openshelld stops; sandboxes have no egress");
	stop(m);
	return r < 0 ? EXIT_FAILURE : r;
}
