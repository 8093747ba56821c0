/* SPDX-License-Identifier: MIT */
#include "tls/signer.h"

#include "base/log.h"
#include "io/loop.h"
#include "io/rolemsg.h"
#include "openshell/role.h"
#include "tls/ca.h"

#include <openssl/rand.h>
#include <time.h>

enum {
	CAS_MAX = 4096,
	PROXIES_MAX = 256,
	BATCH = 64, /* messages of one peer per turn */
	QUOTAS_MAX = 4096, /* sandboxes remembered per proxy */
	SAY_S = 60,
};

/* What a proxy may still ask for in the name of a sandbox. */
struct quota {
	uint32_t sandbox;
	uint32_t left;
	int64_t filled_ms;
};

struct held {
	struct osh_list node;
	uint32_t sandbox;
	char name[OSH_MSG_NAME_MAX];
	int64_t not_before_s;
	struct osh_ca *ca;
};

struct signer;

struct peer {
	struct osh_src src;
	struct osh_list node;
	struct signer *signer;
	bool is_monitor;
	struct quota *quotas; /* owned */
	size_t n_quotas;
	uint64_t refused; /* over quota, not said yet */
	int64_t said_ms;
	/* an answer the peer had no room for; nothing more is read from it until it is sent */
	bool pending;
	uint32_t type;
	uint64_t cookie;
	size_t len;
	char body[sizeof(struct osh_msg_cert) > sizeof(struct osh_msg_ca)
			  ? sizeof(struct osh_msg_cert)
			  : sizeof(struct osh_msg_ca)];
};

struct signer {
	uint32_t burst, per_s; /* of certificates, per proxy and sandbox */
	struct osh_loop *loop;
	int dir;
	struct osh_list cas, peers;
	uint32_t n_cas, n_peers;
	struct peer *monitor;
	char buf[OSH_SEQPKT_MAX_BYTES + sizeof(struct osh_seqpkt_hdr)] __attribute__((aligned(8)));
};

const char *const osh_signer_syscalls[] = {
	"recvmsg",	"sendmsg",     "close",		  "openat",	  "read",
	"write",	"fsync",       "renameat",	  "renameat2",	  "unlinkat",
	"fstat",	"newfstatat",  "lseek",		  "fcntl",	  "brk",
	"madvise",	"mmap",	       "mprotect",	  "mremap",	  "munmap",
	"mlock",	"mlock2",      "clock_gettime",	  "gettimeofday", "epoll_create1",
	"epoll_ctl",	"epoll_pwait", "epoll_wait",	  "futex",	  "getpid",
	"getrandom",	"gettid",      "restart_syscall", "rt_sigaction", "rt_sigprocmask",
	"rt_sigreturn", "sigaltstack", "tgkill",	  "exit",	  "exit_group",
	NULL,
};

static struct held *find(struct signer *s, uint32_t sandbox)
{
	struct osh_list *it;

	osh_list_for_each (it, &s->cas) {
		struct held *h = osh_list_entry(it, struct held, node);

		if (h->sandbox == sandbox)
			return h;
	}
	return NULL;
}

static void drop(struct signer *s, struct held *h)
{
	osh_list_del(&h->node);
	s->n_cas--;
	osh_ca_free(h->ca);
	free(h);
}

/* ---- answers ---- */

static int send_pending(struct peer *p)
{
	int r = osh_seqpkt_send(p->src.fd, p->type, p->cookie, p->body, p->len, NULL, 0);

	if (r == -EAGAIN) {
		osh_src_want(&p->src, EPOLLOUT | EPOLLRDHUP);
		return 0;
	}
	p->pending = false;
	osh_src_want(&p->src, EPOLLIN | EPOLLRDHUP);
	return r;
}

static int answer(struct peer *p, uint32_t type, uint64_t cookie, const void *body, size_t n)
{
	p->pending = true;
	p->type = type;
	p->cookie = cookie;
	p->len = n;
	memcpy(p->body, body, n);
	return send_pending(p);
}

/* ---- monitor ---- */

/* Load the sandbox's CA, or make and keep one. A file that cannot be read is never replaced. */
static int make(struct signer *s, const struct osh_msg_ca *msg, struct held **ret)
{
	struct osh_str name = osh_str(msg->name);
	struct held *h = find(s, msg->sandbox);
	int64_t now = time(NULL);
	int r;

	if (h) {
		if (!osh_str_is(name, h->name))
			return -EEXIST;
		*ret = h;
		return 0;
	}
	if (!msg->sandbox || !osh_ca_name_is_valid(name) || s->n_cas >= CAS_MAX)
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	r = osh_ca_load(s->dir, name, &h->ca);
	if (r == -ENOENT) {
		r = osh_ca_create(now, &h->ca);
		if (!r)
			r = osh_ca_save(h->ca, s->dir, name);
	}
	if (r < 0) {
		osh_ca_free(h->ca);
		free(h);
		return r;
	}
	h->sandbox = msg->sandbox;
	(void)osh_strlcpy(h->name, msg->name, sizeof(h->name));
	osh_list_add_tail(&s->cas, &h->node);
	s->n_cas++;
	*ret = h;
	return 0;
}

static int on_ca_make(struct peer *p, const struct osh_seqpkt_msg *m)
{
	const struct osh_msg_ca *msg = m->body;
	struct osh_msg_ca reply;
	struct held *h = NULL;
	struct osh_str pem;

	reply = *msg;
	memset(reply.pem, 0, sizeof(reply.pem));
	reply.status = make(p->signer, msg, &h);
	if (!reply.status) {
		pem = osh_ca_cert_pem(h->ca);
		memcpy(reply.pem, pem.p, OSH_MIN(pem.n, sizeof(reply.pem) - 1));
	}
	return answer(p, OSH_MSG_CA, m->hdr.cookie, &reply, sizeof(reply));
}

static int on_ca_drop(struct peer *p, const struct osh_seqpkt_msg *m)
{
	const struct osh_msg_ca *msg = m->body;
	struct osh_msg_ca reply;
	struct held *h;

	reply = *msg;
	memset(reply.pem, 0, sizeof(reply.pem));
	h = find(p->signer, msg->sandbox);
	if (h)
		drop(p->signer, h);
	reply.status = osh_ca_remove(p->signer->dir, osh_str(msg->name));
	return answer(p, OSH_MSG_CA, m->hdr.cookie, &reply, sizeof(reply));
}

static void on_peer(struct osh_src *src, uint32_t events);

static struct peer *peer_add(struct signer *s, int take_fd, bool is_monitor)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p || osh_src_add(s->loop, &p->src, take_fd, EPOLLIN | EPOLLRDHUP, 0, on_peer,
			      is_monitor ? "monitor" : "proxy") < 0) {
		close(take_fd);
		free(p);
		return NULL;
	}
	p->signer = s;
	p->is_monitor = is_monitor;
	osh_list_add_tail(&s->peers, &p->node);
	s->n_peers++;
	return p;
}

static int on_proxy_add(struct peer *p, struct osh_seqpkt_msg *m)
{
	if (p->signer->n_peers > PROXIES_MAX)
		return -ENOSPC;
	return peer_add(p->signer, osh_take_fd(&m->fds[0]), false) ? 0 : -ENOMEM;
}

/* ---- proxies ---- */

static int64_t monotonic_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The least recently used one makes room: it is full again by then, or soon. */
static struct quota *quota_of(struct peer *p, uint32_t sandbox, int64_t now_ms)
{
	struct quota *oldest = NULL, *grown;

	for (size_t i = 0; i < p->n_quotas; i++) {
		struct quota *q = &p->quotas[i];

		if (q->sandbox == sandbox)
			return q;
		if (!oldest || q->filled_ms < oldest->filled_ms)
			oldest = q;
	}
	if (p->n_quotas < QUOTAS_MAX) {
		grown = realloc(p->quotas, (p->n_quotas + 1) * sizeof(*grown));
		if (!grown)
			return NULL;
		p->quotas = grown;
		oldest = &p->quotas[p->n_quotas++];
	}
	*oldest = (struct quota){ sandbox, p->signer->burst, now_ms };
	return oldest;
}

static bool within_quota(struct peer *p, uint32_t sandbox)
{
	int64_t now_ms = monotonic_ms();
	struct quota *q = quota_of(p, sandbox, now_ms);
	int64_t more = q ? (now_ms - q->filled_ms) * p->signer->per_s / 1000 : 0;

	if (more > 0) {
		q->left = (uint32_t)OSH_MIN(q->left + more, (int64_t)p->signer->burst);
		q->filled_ms = now_ms;
	}
	if (q && q->left) {
		q->left--;
		return true;
	}
	p->refused++;
	if (!p->said_ms || now_ms - p->said_ms >= SAY_S * 1000) {
		osh_log_warn("a proxy asks for more certificates of sandbox %u than it can need; "
			     "%llu refused, the quota is %u at once and %u per second",
			     sandbox, (unsigned long long)p->refused, p->signer->burst,
			     p->signer->per_s);
		p->said_ms = now_ms;
		p->refused = 0;
	}
	return false;
}

static int issue(struct signer *s, const struct osh_msg_sign *msg, struct osh_msg_cert *reply)
{
	const struct held *h = find(s, msg->sandbox);
	int64_t now = time(NULL);
	struct osh_mint_leaf leaf = {
		.host = osh_str(msg->host),
		.spki = { (const char *)msg->pubkey, msg->pubkey_len },
		.not_before_s = now - OSH_MINT_BACKDATE_S,
		.not_after_s = now + OSH_MINT_LEAF_S,
	};
	size_t len = 0;
	int r;

	if (!h)
		return -ENOENT;
	if (RAND_bytes(leaf.serial, sizeof(leaf.serial)) != 1)
		return -EIO;
	_Static_assert(OSH_MINT_MAX_BYTES <= sizeof(reply->cert), "room for any leaf");
	r = osh_mint_leaf(h->ca, &leaf, reply->cert, &len);
	reply->cert_len = (uint32_t)len;
	return r;
}

static int on_sign(struct peer *p, const struct osh_seqpkt_msg *m)
{
	const struct osh_msg_sign *msg = m->body;
	struct osh_msg_cert reply = { 0 };

	reply.sandbox = msg->sandbox;
	memcpy(reply.host, msg->host, sizeof(reply.host));
	reply.status = !find(p->signer, msg->sandbox)  ? -ENOENT
		       : within_quota(p, msg->sandbox) ? issue(p->signer, msg, &reply)
						       : -EDQUOT;
	return answer(p, OSH_MSG_CERT, m->hdr.cookie, &reply, sizeof(reply));
}

/* ---- peers ---- */

static int dispatch(struct peer *p, struct osh_seqpkt_msg *m)
{
	int r = osh_rolemsg_check(
		p->is_monitor ? OSH_ROLEMSG_MONITOR_TO_SIGNER : OSH_ROLEMSG_PROXY_TO_SIGNER, m);

	if (r < 0)
		return r;
	if (p->is_monitor) {
		switch (m->hdr.type) {
		case OSH_MSG_PING:
			return answer(p, OSH_MSG_PONG, m->hdr.cookie, "", 0);
		case OSH_MSG_CA_MAKE:
			return on_ca_make(p, m);
		case OSH_MSG_CA_DROP:
			return on_ca_drop(p, m);
		case OSH_MSG_PROXY_ADD:
			return on_proxy_add(p, m);
		default:
			return -EBADMSG;
		}
	}
	return on_sign(p, m);
}

static void peer_free(struct osh_src *src)
{
	struct peer *p = osh_container_of(src, struct peer, src);

	free(p->quotas);
	free(p);
}

static void peer_gone(struct peer *p, int r)
{
	struct signer *s = p->signer;
	bool normal = r == -ECONNRESET || r == -EPIPE;

	if (!normal)
		osh_log_err(r, "message from %s not understood, dropping it", p->src.name);
	if (p->is_monitor) {
		s->monitor = NULL;
		osh_loop_stop(s->loop, normal ? 0 : 1);
	}
	osh_src_del(&p->src);
	close(p->src.fd);
	osh_list_del(&p->node);
	s->n_peers--;
	osh_loop_retire(&p->src, peer_free);
}

static void on_peer(struct osh_src *src, uint32_t events)
{
	struct peer *p = osh_container_of(src, struct peer, src);
	struct osh_seqpkt_msg m;
	int r = 0;

	(void)events;
	if (p->pending)
		r = send_pending(p);
	for (int i = 0; !r && !p->pending && i < BATCH; i++) {
		r = osh_seqpkt_recv(src->fd, p->signer->buf, sizeof(p->signer->buf), &m);
		if (r == -EAGAIN)
			return;
		if (r < 0)
			break;
		r = dispatch(p, &m);
		osh_seqpkt_msg_close(&m);
	}
	if (r < 0)
		peer_gone(p, r);
}

int osh_signer_main(int take_monitor_fd, int take_dir_fd, uint32_t burst, uint32_t per_s)
{
	struct signer *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return 1;
	s->dir = take_dir_fd;
	s->burst = burst;
	s->per_s = per_s;
	osh_list_init(&s->cas);
	osh_list_init(&s->peers);
	s->loop = osh_loop_new();
	s->monitor = s->loop ? peer_add(s, take_monitor_fd, true) : NULL;
	if (!s->monitor) {
		osh_log_error("cannot start");
		return 1;
	}
	r = osh_seqpkt_send(s->monitor->src.fd, OSH_MSG_READY, 0, NULL, 0, NULL, 0);
	if (!r)
		r = osh_loop_run(s->loop);
	while (!osh_list_is_empty(&s->peers)) {
		struct peer *p = osh_list_entry(s->peers.next, struct peer, node);

		osh_src_del(&p->src);
		close(p->src.fd);
		osh_list_del(&p->node);
		free(p->quotas);
		free(p);
	}
	while (!osh_list_is_empty(&s->cas))
		drop(s, osh_list_entry(s->cas.next, struct held, node));
	osh_loop_free(s->loop);
	close(s->dir);
	free(s);
	return r < 0 ? 1 : r;
}
