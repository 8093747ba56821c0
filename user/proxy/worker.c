/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

#include "http/chain.h"

#include "base/log.h"
#include "sys/flow.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

enum {
	SWEEP_MS = 1000,
	QUIET_MS = 1000, /* buffers of a connection go after so long */
	TRIM_HEAP_AFTER = 16, /* record buffers released at once */
	KICK_MS = 10,
	KICK_BYTES = 64 * 1024, /* a small part of the ring */
	MALLOC_KEEP_BYTES = 4 * 1024 * 1024,
	MALLOC_STEP_BYTES = 1024 * 1024,
};

const char *const osh_proxy_syscalls[] = {
	/* sockets */
	"accept4",
	"bind",
	"connect",
	"getpeername",
	"getsockname",
	"getsockopt",
	"recvfrom",
	"recvmsg",
	"sendmsg",
	"sendto",
	"setsockopt",
	"shutdown",
	"socket",
	"splice",
	"pipe2",
	"socketpair",
	/* files: resolver configuration, hosts, memory files */
	"close",
	"dup",
	"fcntl",
	"fstat",
	"newfstatat",
	"lseek",
	"open",
	"openat",
	"pread64",
	"read",
	"readv",
	"write",
	"writev",
	"ioctl",
	/* memory, time, loop */
	"brk",
	"madvise",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"clock_gettime",
	"gettimeofday",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_wait",
	"futex",
	"getpid",
	"getrandom",
	"poll",
	"ppoll",
	"restart_syscall",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"sysinfo",
	"uname",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"gettid",
	"tgkill",
	"exit",
	"exit_group",
	"sched_yield",
	"clock_nanosleep",
	"prlimit64",
#ifdef __SANITIZE_ADDRESS__
	"readlink", /* its report, which would be lost otherwise */
#endif
	NULL,
};

/* Release what a quiet connection does not need. How many of its two sides had much? */
static unsigned int trim(struct osh_px_conn *c)
{
	unsigned int n = 0;

	if (c->state == OSH_PX_REQUEST || c->state == OSH_PX_TUNNEL ||
	    c->state == OSH_PX_EXCHANGE) {
		n += osh_chan_trim(&c->chan);
		if (c->up)
			n += osh_chan_trim(&c->up->chan);
	}
	if (c->state == OSH_PX_REQUEST && !c->in.len) {
		osh_buf_fini(&c->in);
		osh_buf_fini(&c->req);
		osh_buf_fini(&c->up_in);
	}
	return n;
}

/*
 * A connection costs nothing here but once after its last use: the list is gone through once a second,
 * and who is in it is not moved when it runs.
 */
static void trim_quiet(struct osh_px *px)
{
	uint64_t now = osh_loop_now_ms(px->loop);
	struct osh_list *it, *tmp;
	unsigned int n = 0;

	osh_list_for_each_safe (it, tmp, &px->active) {
		struct osh_px_conn *c = osh_list_entry(it, struct osh_px_conn, active);

		if (now - c->used_ms < QUIET_MS)
			continue;
		osh_list_del(&c->active);
		n += trim(c);
	}
	/* it lies between what others keep: the kernel would not see any of it again */
	if (n >= TRIM_HEAP_AFTER)
		(void)malloc_trim(MALLOC_STEP_BYTES);
}

static void on_sweep(struct osh_timer *timer)
{
	struct osh_px *px = osh_container_of(timer, struct osh_px, sweep);
	struct osh_list *it;

	trim_quiet(px);
	osh_list_for_each (it, &px->boxes)
		osh_px_dns_wake(osh_list_entry(it, struct osh_px_box, node)); /* deadlines */
	osh_px_pool_sweep(px);
	osh_px_accept_report(px);
	osh_timer_set(px->loop, &px->sweep, SWEEP_MS, on_sweep);
}

static void on_kick(struct osh_timer *timer)
{
	(void)timer; /* the turn it begins ends with a kick */
}

/*
 * Make what was logged visible: at once after a quiet time, else once for all that comes within
 * KICK_MS (a wake-up of the monitor costs as much as several records), unless it gets much.
 */
static void kick(struct osh_px *px)
{
	uint64_t now = osh_loop_now_ms(px->loop);

	if (now - px->kicked_ms >= KICK_MS || osh_ring_unkicked(px->ring) >= KICK_BYTES ||
	    px->draining) {
		osh_ring_kick(px->ring);
		px->kicked_ms = now;
		osh_timer_stop(&px->kick);
	} else if (!osh_timer_armed(&px->kick)) {
		osh_timer_set(px->loop, &px->kick, px->kicked_ms + KICK_MS - now, on_kick);
	}
}

/* End of each turn: what was written leaves, what was logged becomes visible. */
static void on_idle(void *arg)
{
	struct osh_px *px = arg;

	if (px->tls)
		osh_tls_env_flush(px->tls);
	if (px->ring && osh_ring_unkicked(px->ring))
		kick(px);
	if (px->draining && !px->n_conns)
		osh_loop_stop(px->loop, 0);
}

struct osh_loop *osh_px_loop(struct osh_px *px)
{
	return px->loop;
}

struct osh_px *osh_px_free(struct osh_px *px)
{
	if (!px)
		return NULL;
	while (!osh_list_is_empty(&px->boxes))
		osh_px_box_del(osh_list_entry(px->boxes.next, struct osh_px_box, node));
	osh_px_link_close(&px->signer);
	osh_px_link_close(&px->monitor);
	osh_resolver_free(px->resolver);
	osh_timer_stop(&px->sweep);
	osh_timer_stop(&px->kick);
	osh_loop_free(px->loop); /* frees what was retired: before the TLS it may point into */
	osh_tls_env_free(px->tls);
	osh_ring_free(px->ring);
	if (px->reserve_fd >= 0)
		close(px->reserve_fd);
	osh_px_deny_free(px);
	osh_px_pipes_free(px);
	osh_buf_fini(&px->out);
	osh_buf_fini(&px->hop_auth);
	osh_px_cfg_fini(&px->cfg);
	free(px);
	return NULL;
}

int osh_px_new(int take_monitor_fd, const struct osh_px_hooks *hooks, struct osh_px **ret_px)
{
	static const struct osh_px_hooks kernel = {
		.flow_fetch = osh_flow_fetch,
		.flow_fetch_dns = osh_flow_fetch_dns,
	};
	struct osh_px *px = calloc(1, sizeof(*px));
	int r;

	if (!px) {
		close(take_monitor_fd);
		return -ENOMEM;
	}
	/* buffers of TLS records come and go: not from and to the kernel each time */
	(void)mallopt(M_MMAP_THRESHOLD, MALLOC_KEEP_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP_BYTES);
	(void)mallopt(M_TOP_PAD, MALLOC_STEP_BYTES);
	/* splice() knows no MSG_NOSIGNAL */
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	px->hooks = hooks ? *hooks : kernel;
	px->monitor.fd = px->signer.fd = px->reserve_fd = -1;
	osh_list_init(&px->monitor.queue);
	osh_list_init(&px->signer.queue);
	osh_list_init(&px->boxes);
	osh_list_init(&px->active);
	osh_list_init(&px->idle_ups);
	osh_list_init(&px->spare_pipes);
	osh_px_cfg_init(&px->cfg);
	osh_buf_init(&px->hop_auth, OSH_CHAIN_AUTH_MAX, OSH_BUF_SECRET);
	osh_buf_init(&px->out, 1024 * 1024, 0);
	px->loop = osh_loop_new();
	if (!px->loop) {
		r = -errno;
		close(take_monitor_fd);
		free(px);
		return r;
	}
	osh_loop_set_idle(px->loop, on_idle, px);
	r = osh_px_link_open(px, &px->monitor, take_monitor_fd, osh_px_on_monitor, "monitor");
	if (r < 0) {
		osh_px_free(px);
		return r;
	}
	osh_px_reserve(px);
	osh_timer_set(px->loop, &px->sweep, SWEEP_MS, on_sweep);
	*ret_px = px;
	return 0;
}

int osh_proxy_main(int take_monitor_fd)
{
	struct osh_px *px = NULL;
	int r;

	r = osh_px_new(take_monitor_fd, NULL, &px);
	if (r < 0) {
		osh_log_err(r, "cannot start");
		return 1;
	}
	r = osh_loop_run(px->loop);
	if (r < 0)
		osh_log_err(r, "event loop failed");
	osh_px_free(px);
	return r < 0 ? 1 : r;
}
