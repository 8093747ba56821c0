/* SPDX-License-Identifier: MIT */
/*
 * Proxies and signer: started by executing ourselves again, supervised by pidfd, talked to over
 * SEQPACKET. A role that dies is restarted (with a growing delay) and told everything anew; while it
 * is away nothing is let through on its account.
 */
#include "daemon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "daemon/proxyconf.h"
#include "io/ring.h"
#include "io/rolemsg.h"

enum {
	RING_BYTES = 4 << 20,
	QUEUE_MAX = 8192, /* messages waiting for one role */
	DRAINS_MAX = 512,
	RESTART_FIRST_MS = 50,
	RESTART_MAX_MS = 5000,
	PING_MS = 5000,
	UNANSWERED_MAX = 4, /* pings in a row without a word: it is stuck */
	HEALTHY_MS = 10000, /* a role that lived so long restarts without delay */
};

/* Messages that did not fit the socket, in order. */
struct out_msg {
	struct osh_list node;
	uint32_t type;
	uint64_t cookie;
	size_t len;
	int fds[OSH_SEQPKT_MAX_FDS];
	unsigned int nfds;
	char body[];
};

struct osh_outq {
	struct osh_list list;
	unsigned int count;
};

static void role_died(struct osh_role *role);

/* ---- sending ---- */

static void out_msg_free(struct out_msg *msg)
{
	osh_list_del(&msg->node);
	for (unsigned int i = 0; i < msg->nfds; i++)
		osh_close_ptr(&msg->fds[i]);
	if (msg->type == OSH_MSG_UPSTREAM_AUTH)
		explicit_bzero(msg->body, msg->len);
	free(msg);
}

static void outq_clear(struct osh_role *role)
{
	while (!osh_list_is_empty(&role->outq->list))
		out_msg_free(osh_list_entry(role->outq->list.next, struct out_msg, node));
	role->outq->count = 0;
}

static int outq_push(struct osh_role *role, uint32_t type, uint64_t cookie, const void *body,
		     size_t len, const int *fds, unsigned int nfds)
{
	struct out_msg *msg;

	if (role->outq->count >= QUEUE_MAX)
		return -ENOBUFS;
	msg = calloc(1, sizeof(*msg) + len);
	if (!msg)
		return -ENOMEM;
	osh_list_add_tail(&role->outq->list, &msg->node);
	msg->type = type;
	msg->cookie = cookie;
	msg->len = len;
	if (len)
		memcpy(msg->body, body, len);
	for (unsigned int i = 0; i < nfds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (fd < 0) {
			int r = -errno;

			out_msg_free(msg);
			return r;
		}
		msg->fds[msg->nfds++] = fd;
	}
	role->outq->count++;
	osh_src_want(&role->src, EPOLLIN | EPOLLOUT);
	return 0;
}

static void role_kill(struct osh_role *role, int err, const char *why)
{
	osh_log_warn_errno(err, "%s %u: %s; ending it, it will be restarted", role->name,
			   role->index, why);
	(void)kill(role->pid, SIGKILL); /* our own child, not yet reaped */
}

void osh_role_send(struct osh_role *role, uint32_t type, uint64_t cookie, const void *body,
		   size_t len, const int *fds, unsigned int nfds)
{
	int r = -EAGAIN;

	if (role->state == OSH_ROLE_DEAD)
		return;
	if (!role->outq->count)
		r = osh_seqpkt_send(role->sock, type, cookie, body, len, fds, nfds);
	if (r == -EAGAIN)
		r = outq_push(role, type, cookie, body, len, fds, nfds);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		role_kill(role, r, "cannot send a message");
}

static void flush(struct osh_role *role)
{
	while (role->outq->count) {
		struct out_msg *msg = osh_list_entry(role->outq->list.next, struct out_msg, node);
		int r = osh_seqpkt_send(role->sock, msg->type, msg->cookie, msg->body, msg->len,
					msg->fds, msg->nfds);

		if (r == -EAGAIN)
			return;
		role->outq->count--;
		out_msg_free(msg);
	}
	osh_src_want(&role->src, EPOLLIN);
}

void osh_proxies_send(struct osh_monitor *m, uint32_t type, const void *body, size_t len,
		      const int *fds, unsigned int nfds)
{
	for (unsigned int i = 0; i < m->nproxies; i++)
		osh_role_send(&m->proxies[i], type, 0, body, len, fds, nfds);
}

/* ---- telling about sandboxes ---- */

static void send_sandbox(struct osh_role *role, struct osh_sandbox *sb)
{
	struct osh_msg_sandbox msg = { .id = sb->id };
	const int fds[OSH_SBFD_COUNT] = {
		[OSH_SBFD_TCP4] = sb->lst.tcp4,		[OSH_SBFD_TCP6] = sb->lst.tcp6,
		[OSH_SBFD_DNS_UDP4] = sb->lst.dns_udp4, [OSH_SBFD_DNS_UDP6] = sb->lst.dns_udp6,
		[OSH_SBFD_DNS_TCP4] = sb->lst.dns_tcp4, [OSH_SBFD_DNS_TCP6] = sb->lst.dns_tcp6,
	};
	struct osh_msg_policy policy = {
		.sandbox = sb->id,
		.generation = sb->active.generation,
		.bytes = sb->active.image_bytes,
	};

	(void)osh_strlcpy(msg.name, sb->name, sizeof(msg.name));
	(void)osh_strlcpy(msg.ca_pem, sb->ca_pem.data ? sb->ca_pem.data : "", sizeof(msg.ca_pem));
	/* a proxy that starts late must not learn what older tickets were protected by */
	if (osh_ticket_seed_advance(&sb->tickets, osh_ticket_epoch() - 1) == 0) {
		msg.ticket_epoch = sb->tickets.epoch;
		memcpy(msg.ticket_secret, sb->tickets.secret, sizeof(msg.ticket_secret));
	}
	osh_role_send(role, OSH_MSG_SANDBOX_ADD, 0, &msg, sizeof(msg), fds, OSH_SBFD_COUNT);
	explicit_bzero(msg.ticket_secret, sizeof(msg.ticket_secret));
	if (sb->active.image_fd < 0)
		return;
	osh_role_send(role, OSH_MSG_POLICY_LOAD, 0, &policy, sizeof(policy), &sb->active.image_fd,
		      1);
	osh_role_send(role, OSH_MSG_POLICY_SWITCH, 0, &policy, sizeof(policy), NULL, 0);
}

void osh_role_add_sandbox(struct osh_monitor *m, struct osh_role *only, struct osh_sandbox *sb)
{
	if (only) {
		send_sandbox(only, sb);
		return;
	}
	for (unsigned int i = 0; i < m->nproxies; i++)
		if (m->proxies[i].state == OSH_ROLE_READY)
			send_sandbox(&m->proxies[i], sb);
}

static void proxy_ready(struct osh_role *role)
{
	struct osh_monitor *m = role->m;
	struct osh_list *it;

	role->state = OSH_ROLE_READY;
	osh_list_for_each (it, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(it, struct osh_sandbox, node);

		if (sb->lst.tcp4 >= 0)
			send_sandbox(role, sb);
	}
	osh_role_send(role, OSH_MSG_START, 0, NULL, 0, NULL, 0);
}

bool osh_roles_ready(const struct osh_monitor *m)
{
	if (m->signer.state != OSH_ROLE_READY)
		return false;
	for (unsigned int i = 0; i < m->nproxies; i++)
		if (m->proxies[i].state != OSH_ROLE_READY)
			return false;
	return true;
}

/* ---- receiving ---- */

static int on_proxy_msg(struct osh_role *role, const struct osh_seqpkt_msg *msg)
{
	switch (msg->hdr.type) {
	case OSH_MSG_READY:
		if (role->state != OSH_ROLE_STARTING)
			return -EBADMSG;
		proxy_ready(role);
		return 0;
	case OSH_MSG_POLICY_LOADED:
	case OSH_MSG_POLICY_ACTIVE:
		osh_publish_on_msg(role->m, role, msg->hdr.type, msg->body);
		return 0;
	case OSH_MSG_EXE_ASK:
		osh_idents_on_ask(role, msg->hdr.cookie, msg->body);
		return 0;
	case OSH_MSG_NAME_ASK:
		osh_names_on_ask(role, msg->hdr.cookie, msg->body);
		return 0;
	case OSH_MSG_FLOWS:
	case OSH_MSG_STATS:
		return osh_flows_on_msg(role, msg->hdr.type, msg->hdr.cookie,
					(struct osh_str){ msg->body, msg->hdr.len });
	default:
		return -EBADMSG;
	}
}

static int on_signer_msg(struct osh_role *role, const struct osh_seqpkt_msg *msg)
{
	switch (msg->hdr.type) {
	case OSH_MSG_READY:
		if (role->state != OSH_ROLE_STARTING)
			return -EBADMSG;
		role->state = OSH_ROLE_READY;
		osh_signer_ready(role->m);
		return 0;
	case OSH_MSG_CA:
		return osh_signer_on_ca(role->m, msg->body);
	default:
		return -EBADMSG;
	}
}

/* The sender may be anybody by now: nothing is looked at before it has passed. */
static int on_msg(struct osh_role *role, const struct osh_seqpkt_msg *msg)
{
	bool signer = role == &role->m->signer;
	int r = osh_rolemsg_check(
		signer ? OSH_ROLEMSG_SIGNER_TO_MONITOR : OSH_ROLEMSG_PROXY_TO_MONITOR, msg);

	if (r < 0)
		return r;
	role->unanswered = 0;
	if (msg->hdr.type == OSH_MSG_PONG)
		return 0;
	return signer ? on_signer_msg(role, msg) : on_proxy_msg(role, msg);
}

/*
 * A role that is stopped or stuck holds connections that nobody serves. Questions that nobody heard are
 * counted, not time: if it was us who stood still, it had no chance to answer.
 */
static void on_ping(struct osh_timer *timer)
{
	struct osh_role *role = osh_container_of(timer, struct osh_role, ping);

	if (role->unanswered >= UNANSWERED_MAX) {
		role_kill(role, -ETIMEDOUT, "it does not answer");
		return;
	}
	role->unanswered++;
	osh_timer_set(role->m->loop, &role->ping, PING_MS, on_ping);
	osh_role_send(role, OSH_MSG_PING, role->unanswered, NULL, 0, NULL, 0);
}

static void on_role_sock(struct osh_src *src, uint32_t events)
{
	static _Alignas(8) char buf[OSH_SEQPKT_MAX_BYTES + sizeof(struct osh_seqpkt_hdr)];
	struct osh_role *role = osh_container_of(src, struct osh_role, src);

	if (events & EPOLLOUT)
		flush(role);
	for (int i = 0; i < 64 && role->state != OSH_ROLE_DEAD; i++) {
		struct osh_seqpkt_msg msg;
		int r = osh_seqpkt_recv(role->sock, buf, sizeof(buf), &msg);

		if (r == -EAGAIN)
			return;
		if (r == -ECONNRESET) {
			osh_src_del(&role->src); /* the pidfd tells the rest */
			return;
		}
		if (r == 0) {
			r = on_msg(role, &msg);
			osh_seqpkt_msg_close(&msg);
		}
		if (r < 0) {
			role_kill(role, r, "bad message");
			osh_src_del(&role->src);
			return;
		}
	}
}

/* ---- life ---- */

static void close_role(struct osh_role *role)
{
	osh_timer_stop(&role->ping);
	osh_src_del(&role->src);
	osh_src_del(&role->child);
	osh_src_del(&role->ring_src);
	if (role->child.fd > 0)
		osh_close_ptr(&role->child.fd);
	role->child.fd = -1;
	osh_close_ptr(&role->sock);
	role->ring = osh_ring_free(role->ring);
	outq_clear(role);
	role->state = OSH_ROLE_DEAD;
	role->pid = 0;
}

static int spawn_role(struct osh_role *role);

static void on_restart(struct osh_timer *timer)
{
	struct osh_role *role = osh_container_of(timer, struct osh_role, restart);
	int r;

	/* a proxy is of no use without the signer, and learns its socket at start */
	if (role != &role->m->signer && role->m->signer.state == OSH_ROLE_DEAD) {
		osh_timer_set(role->m->loop, &role->restart, RESTART_FIRST_MS, on_restart);
		return;
	}
	r = spawn_role(role);
	if (r < 0) {
		osh_log_warn_errno(r, "cannot restart %s %u, trying again in %d ms", role->name,
				   role->index, RESTART_MAX_MS);
		osh_timer_set(role->m->loop, &role->restart, RESTART_MAX_MS, on_restart);
	}
}

/* What a dead proxy wrote last. Bounded: somebody else may hold its ring and go on writing. */
static void drain_all(struct osh_role *role)
{
	for (int i = 0; role->ring && i < DRAINS_MAX && osh_events_drain_role(role); i++)
		;
}

static void role_died(struct osh_role *role)
{
	struct osh_monitor *m = role->m;
	siginfo_t info = { 0 };
	uint64_t lived_ms = osh_loop_now_ms(m->loop) - role->started_ms;
	uint64_t delay = RESTART_FIRST_MS;

	drain_all(role);
	(void)waitid(P_PID, (id_t)role->pid, &info, WEXITED | WNOHANG); /* a zombie: cannot fail */
	if (!m->stopping)
		osh_log_warn("%s %u (pid %d) ended by %s %d after %llu ms; restarting it",
			     role->name, role->index, (int)role->pid,
			     info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status,
			     (unsigned long long)lived_ms);
	close_role(role);
	if (role != &m->signer)
		osh_publish_role_gone(m, role);
	if (m->stopping)
		return;
	if (lived_ms >= HEALTHY_MS)
		role->restarts = 0;
	for (uint32_t i = 0; i < role->restarts && delay < RESTART_MAX_MS; i++)
		delay *= 2;
	role->restarts++;
	osh_timer_set(m->loop, &role->restart, OSH_MIN(delay, (uint64_t)RESTART_MAX_MS),
		      on_restart);
	if (role == &m->signer)
		for (unsigned int i = 0; i < m->nproxies; i++)
			if (m->proxies[i].state != OSH_ROLE_DEAD)
				(void)kill(m->proxies[i].pid, SIGKILL); /* our own child */
}

static void on_child(struct osh_src *src, uint32_t events)
{
	(void)events;
	role_died(osh_container_of(src, struct osh_role, child));
}

static void on_ring(struct osh_src *src, uint32_t events)
{
	(void)events;
	(void)osh_events_drain_role(osh_container_of(src, struct osh_role, ring_src));
}

/* Between fork and exec: only system calls. */
static void child_exec(const struct osh_role *role, int sock, pid_t monitor)
{
	char role_arg[32], uid_arg[32], gid_arg[32], agent_arg[64], burst_arg[48], per_s_arg[48];
	struct osh_monitor *m = role->m;
	bool signer = role == &m->signer;
	sigset_t none;
	int dir;

	(void)snprintf(role_arg, sizeof(role_arg), "--role=%s", role->name);
	(void)snprintf(uid_arg, sizeof(uid_arg), "--uid=%u", signer ? m->signer_uid : m->proxy_uid);
	(void)snprintf(gid_arg, sizeof(gid_arg), "--gid=%u", signer ? m->signer_gid : m->proxy_gid);
	(void)snprintf(agent_arg, sizeof(agent_arg), "--index=%u", role->index);
	(void)snprintf(burst_arg, sizeof(burst_arg), "--certificates-burst=%u",
		       m->cfg.certificates_burst);
	(void)snprintf(per_s_arg, sizeof(per_s_arg), "--certificates-per-s=%u",
		       m->cfg.certificates_per_s);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a role without its monitor must not serve */
	if (getppid() != monitor)
		_exit(125);
	/* out of the way first: either may have the number the other is to get */
	sock = fcntl(sock, F_DUPFD, 16);
	dir = signer ? fcntl(m->signer_dir_fd, F_DUPFD, 16) : -1;
	if (sock < 0 || dup2(sock, OSH_ROLE_MONITOR_FD) < 0)
		_exit(126);
	if (signer && (dir < 0 || dup2(dir, OSH_ROLE_MONITOR_FD + 1) < 0))
		_exit(126);
	if (syscall(SYS_close_range, signer ? OSH_ROLE_MONITOR_FD + 2u : OSH_ROLE_MONITOR_FD + 1u,
		    ~0u, 0) < 0)
		_exit(126);
	execl("/proc/self/exe", signer ? "openshelld: signer" : "openshelld: proxy", role_arg,
	      uid_arg, gid_arg, agent_arg, signer ? burst_arg : NULL, per_s_arg, (char *)NULL);
	_exit(127);
}

static int configure_proxy(struct osh_role *role)
{
	osh_auto_bufmem struct osh_buf json;
	osh_auto_close int proxy_end = -1, signer_end = -1;
	int pair[2], r;

	osh_buf_init(&json, OSH_SEQPKT_MAX_BYTES, 0);
	r = osh_proxyconf_write(&role->m->cfg, role->index, &json);
	if (r < 0)
		return r;
	r = osh_seqpkt_pair(pair);
	if (r < 0)
		return r;
	proxy_end = pair[0];
	signer_end = pair[1];
	osh_role_send(&role->m->signer, OSH_MSG_PROXY_ADD, 0, NULL, 0, &signer_end, 1);
	if (role->m->cfg.upstream.auth.len)
		osh_role_send(role, OSH_MSG_UPSTREAM_AUTH, 0, role->m->cfg.upstream.auth.data,
			      role->m->cfg.upstream.auth.len, NULL, 0);
	osh_role_send(role, OSH_MSG_CONFIG, 0, json.data, json.len,
		      (const int[]){ osh_ring_mem_fd(role->ring), osh_ring_event_fd(role->ring),
				     role->m->ca_bundle_fd, proxy_end },
		      4);
	return 0;
}

static int spawn_role(struct osh_role *role)
{
	struct osh_monitor *m = role->m;
	osh_auto_close int theirs = -1, ours = -1;
	pid_t monitor = getpid();
	int pair[2], pidfd, r;

	r = osh_seqpkt_pair(pair);
	if (r < 0)
		return r;
	ours = pair[0];
	theirs = pair[1];
	role->pid = fork();
	if (role->pid < 0)
		return -errno;
	if (role->pid == 0)
		child_exec(role, theirs, monitor);
	role->started_ms = osh_loop_now_ms(m->loop);
	role->sock = osh_take_fd(&ours);
	role->state = OSH_ROLE_STARTING;
	role->last_rec_ns = osh_realtime_ns();
	role->unanswered = 0;
	osh_timer_set(m->loop, &role->ping, PING_MS, on_ping);
	pidfd = (int)syscall(SYS_pidfd_open, role->pid, 0);
	if (pidfd < 0) {
		r = -errno;
		goto fail;
	}
	r = osh_src_add(m->loop, &role->child, pidfd, EPOLLIN, 0, on_child, "role pidfd");
	if (r < 0) {
		close(pidfd);
		goto fail;
	}
	r = osh_src_add(m->loop, &role->src, role->sock, EPOLLIN, 0, on_role_sock, "role");
	if (r < 0)
		goto fail;
	if (role == &m->signer)
		return 0;
	r = osh_ring_create(RING_BYTES, &role->ring);
	if (r == 0)
		r = osh_src_add(m->loop, &role->ring_src, osh_ring_event_fd(role->ring), EPOLLIN, 0,
				on_ring, "event ring");
	role->ring_lost = 0;
	if (r == 0)
		r = configure_proxy(role);
	if (r == 0)
		return 0;
fail:
	(void)kill(role->pid, SIGKILL); /* our own child */
	(void)waitpid(role->pid, NULL, 0);
	close_role(role);
	return r;
}

static int role_init(struct osh_monitor *m, struct osh_role *role, const char *name,
		     unsigned int index)
{
	*role = (struct osh_role){ .m = m, .name = name, .index = index, .sock = -1 };
	role->child.fd = -1;
	role->outq = calloc(1, sizeof(*role->outq));
	if (!role->outq)
		return -ENOMEM;
	osh_list_init(&role->outq->list);
	return 0;
}

int osh_roles_start(struct osh_monitor *m)
{
	int r = role_init(m, &m->signer, "signer", 0);

	for (unsigned int i = 0; r == 0 && i < m->nproxies; i++)
		r = role_init(m, &m->proxies[i], "proxy", i);
	if (r == 0)
		r = spawn_role(&m->signer);
	for (unsigned int i = 0; r == 0 && i < m->nproxies; i++)
		r = spawn_role(&m->proxies[i]);
	return r;
}

static void stop_role(struct osh_role *role)
{
	siginfo_t info;

	if (!role->outq)
		return;
	osh_timer_stop(&role->restart);
	if (role->state != OSH_ROLE_DEAD) {
		(void)kill(role->pid, SIGKILL); /* nothing of theirs needs saving */
		(void)waitid(P_PID, (id_t)role->pid, &info, WEXITED | WNOWAIT);
		drain_all(role);
		(void)waitpid(role->pid, NULL, 0);
		close_role(role);
	}
	free(role->outq);
	role->outq = NULL;
}

void osh_roles_stop(struct osh_monitor *m)
{
	for (unsigned int i = 0; i < m->nproxies; i++)
		stop_role(&m->proxies[i]);
	stop_role(&m->signer);
	osh_signer_forget();
}
