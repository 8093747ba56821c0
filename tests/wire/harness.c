/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include "io/loop.h"
#include "io/ring.h"
#include "io/seqpkt.h"
#include "openshell/role.h"
#include "policy/host.h"
#include "policy/image.h"
#include "policy/model.h"
#include "proxy/proxy.h"
#include "sys/fs.h"
#include "tls/signer.h"
#include "tls/ticket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { EVENTS = 4096, EXES = 64, NAMES = 256 };

struct shared {
	struct osh_flow_rec rec;
	int present;
};

struct harness {
	struct shared *shared; /* with the proxy process */
	pid_t proxy, signer;
	int proxy_sock, signer_sock, stop_pipe[2];
	int fds[OSH_SBFD_COUNT];
	uint16_t port, dns_port, dns_tcp_port;
	struct osh_ring *ring;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	uint64_t generation, loaded, active;
	int status;
	bool proxy_ready, signer_ready, have_ca;
	char ca_pem[OSH_MSG_CA_PEM_MAX], ca_file[96], dir[64];
	struct osh_ca *origin_ca;
	char exe_path[EXES][256];
	char names[NAMES][256];
	struct osh_rec events[EVENTS];
	size_t n_events;
	char stats[8192];
	uint64_t stats_cookie, stats_asked;
	bool discard, mute;
	void (*tap)(const struct osh_rec *rec);
};

static struct shared *child_shared;
static const char *trust_file;
static uint32_t signer_burst = OSH_SIGNER_BURST, signer_per_s = OSH_SIGNER_PER_S;

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* ---- flow records ---- */

static int test_fetch(int fd, struct osh_flow_rec *ret)
{
	(void)fd;
	if (!child_shared->present)
		return -ENOENT;
	*ret = child_shared->rec;
	return 0;
}

static int test_fetch_dns(int fd, unsigned int port, struct osh_flow_rec *ret)
{
	(void)port;
	return test_fetch(fd, ret);
}

struct osh_flow_rec *harness_rec(struct harness *h)
{
	return &h->shared->rec;
}

static void rec_reset(struct harness *h, uint32_t exe)
{
	h->shared->rec = (struct osh_flow_rec){
		.sandbox = 1,
		.exe = exe,
		.tgid = 4242,
		.pid = 4242,
		.uid = 1000,
		.family = AF_INET,
	};
	h->shared->present = 1;
}

void harness_explicit(struct harness *h, uint32_t exe)
{
	rec_reset(h, exe);
	h->shared->rec.kind = OSH_FLOW_EXPLICIT;
}

void harness_no_record(struct harness *h)
{
	h->shared->present = 0;
}

static uint32_t name_id(struct harness *h, const char *host)
{
	for (uint32_t i = 0; i < NAMES; i++) {
		if (!h->names[i][0])
			snprintf(h->names[i], sizeof(h->names[i]), "%s", host);
		if (!strcmp(h->names[i], host))
			return HARNESS_HOST_ID + i;
	}
	return 0;
}

void harness_transparent(struct harness *h, uint32_t exe, const char *host_or_addr, uint16_t port)
{
	struct osh_addr addr;

	rec_reset(h, exe);
	h->shared->rec.kind = OSH_FLOW_TRANSPARENT;
	h->shared->rec.dst_port_be = htons(port);
	if (!osh_addr_parse(osh_str(host_or_addr), &addr)) {
		memcpy(h->shared->rec.dst, addr.b, 16);
		return;
	}
	pthread_mutex_lock(&h->lock);
	h->shared->rec.host_id = name_id(h, host_or_addr);
	pthread_mutex_unlock(&h->lock);
}

void harness_exe(struct harness *h, uint32_t exe, const char *path)
{
	pthread_mutex_lock(&h->lock);
	snprintf(h->exe_path[exe % EXES], sizeof(h->exe_path[0]), "%s", path);
	pthread_mutex_unlock(&h->lock);
}

/* ---- monitor thread ---- */

static void answer_exe(struct harness *h, const struct osh_seqpkt_msg *m)
{
	const struct osh_msg_exe *ask = m->body;
	struct osh_msg_exe info = { .sandbox = ask->sandbox, .exe_id = ask->exe_id };

	info.status = ask->exe_id < EXES && h->exe_path[ask->exe_id][0] ? OSH_EXE_OK
									: OSH_EXE_UNKNOWN;
	snprintf(info.path, sizeof(info.path), "%s", h->exe_path[ask->exe_id % EXES]);
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_EXE_INFO, m->hdr.cookie, &info, sizeof(info),
			    NULL, 0) < 0)
		die("cannot answer EXE_ASK");
}

static void answer_name(struct harness *h, const struct osh_seqpkt_msg *m)
{
	struct osh_msg_name info = *(const struct osh_msg_name *)m->body;

	if (info.host[0])
		info.host_id = name_id(h, info.host);
	else if (info.host_id >= HARNESS_HOST_ID && info.host_id < HARNESS_HOST_ID + NAMES)
		snprintf(info.host, sizeof(info.host), "%s",
			 h->names[info.host_id - HARNESS_HOST_ID]);
	if (!info.host[0])
		info.status = -ENOENT;
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_NAME_INFO, m->hdr.cookie, &info, sizeof(info),
			    NULL, 0) < 0)
		die("cannot answer NAME_ASK");
}

static void on_msg(struct harness *h, const struct osh_seqpkt_msg *m, bool from_proxy)
{
	switch (m->hdr.type) {
	case OSH_MSG_READY:
		*(from_proxy ? &h->proxy_ready : &h->signer_ready) = true;
		break;
	case OSH_MSG_CA:
		memcpy(h->ca_pem, ((const struct osh_msg_ca *)m->body)->pem, sizeof(h->ca_pem));
		h->status = ((const struct osh_msg_ca *)m->body)->status;
		h->have_ca = true;
		break;
	case OSH_MSG_POLICY_LOADED:
		h->loaded = ((const struct osh_msg_policy *)m->body)->generation;
		h->status = ((const struct osh_msg_policy *)m->body)->status;
		break;
	case OSH_MSG_POLICY_ACTIVE:
		h->active = ((const struct osh_msg_policy *)m->body)->generation;
		h->status = ((const struct osh_msg_policy *)m->body)->status;
		break;
	case OSH_MSG_STATS:
		snprintf(h->stats, sizeof(h->stats), "%.*s", (int)m->hdr.len,
			 (const char *)m->body);
		h->stats_cookie = m->hdr.cookie;
		break;
	case OSH_MSG_EXE_ASK:
		if (!h->mute)
			answer_exe(h, m);
		break;
	case OSH_MSG_NAME_ASK:
		if (!h->mute)
			answer_name(h, m);
		break;
	default:
		break;
	}
}

static void drain_sock(struct harness *h, int sock, bool from_proxy)
{
	static char buf[OSH_SEQPKT_MAX_BYTES + sizeof(struct osh_seqpkt_hdr)]
		__attribute__((aligned(8)));
	struct osh_seqpkt_msg m;

	while (!osh_seqpkt_recv(sock, buf, sizeof(buf), &m)) {
		on_msg(h, &m, from_proxy);
		osh_seqpkt_msg_close(&m);
	}
}

static void drain_ring(struct harness *h)
{
	static char buf[OSH_RING_MAX_RECORD];
	size_t n;

	while (!osh_ring_get(h->ring, buf, &n))
		if (h->tap) {
			struct osh_rec rec;

			if (osh_rec_decode(buf, n, &rec) == 0)
				h->tap(&rec);
		} else if (!h->discard && h->n_events < EVENTS &&
			   osh_rec_decode(buf, n, &h->events[h->n_events]) == 0)
			h->n_events++;
}

static void *monitor(void *arg)
{
	struct harness *h = arg;
	struct pollfd p[] = {
		{ .fd = h->proxy_sock, .events = POLLIN },
		{ .fd = h->signer_sock, .events = POLLIN },
		{ .fd = osh_ring_event_fd(h->ring), .events = POLLIN },
		{ .fd = h->stop_pipe[0], .events = POLLIN },
	};

	for (;;) {
		if (poll(p, 4, -1) < 0 && errno != EINTR)
			die("poll");
		pthread_mutex_lock(&h->lock);
		drain_sock(h, h->proxy_sock, true);
		drain_sock(h, h->signer_sock, false);
		drain_ring(h);
		pthread_cond_broadcast(&h->cond);
		pthread_mutex_unlock(&h->lock);
		if (p[3].revents)
			return NULL;
		if (p[0].revents & POLLHUP)
			p[0].fd = -1;
		if (p[1].revents & POLLHUP)
			p[1].fd = -1;
	}
}

static void until(struct timespec *t, int ms)
{
	clock_gettime(CLOCK_REALTIME, t);
	t->tv_nsec += (long)ms % 1000 * 1000000;
	t->tv_sec += ms / 1000 + t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
}

#define WAIT_FOR(h, cond_expr, ms, what)                                                  \
	do {                                                                              \
		struct timespec until_;                                                   \
		until(&until_, (ms));                                                     \
		while (!(cond_expr))                                                      \
			if (pthread_cond_timedwait(&(h)->cond, &(h)->lock, &until_) != 0) \
				die("timeout: %s", (what));                               \
	} while (0)

/* ---- events ---- */

bool harness_event(struct harness *h, int class, int verdict, int reason, int ms,
		   struct osh_rec *ret)
{
	struct timespec t;
	bool found = false;
	size_t i = 0;

	until(&t, ms);
	pthread_mutex_lock(&h->lock);
	for (;;) {
		for (; i < h->n_events && !found; i++) {
			const struct osh_rec *r = &h->events[i];

			found = (class < 0 || r->class == class) &&
				(verdict < 0 || r->verdict == verdict) &&
				(reason < 0 || r->reason == reason);
			if (found && ret)
				*ret = *r;
		}
		if (found || pthread_cond_timedwait(&h->cond, &h->lock, &t) != 0)
			break;
	}
	pthread_mutex_unlock(&h->lock);
	return found;
}

void harness_events_clear(struct harness *h)
{
	pthread_mutex_lock(&h->lock);
	h->n_events = 0;
	pthread_mutex_unlock(&h->lock);
}

void harness_events_tap(struct harness *h, void (*fn)(const struct osh_rec *rec))
{
	pthread_mutex_lock(&h->lock);
	h->tap = fn;
	pthread_mutex_unlock(&h->lock);
}

void harness_events_print(struct harness *h)
{
	pthread_mutex_lock(&h->lock);
	for (size_t i = h->n_events > 16 ? h->n_events - 16 : 0; i < h->n_events; i++) {
		const struct osh_rec *r = &h->events[i];
		struct osh_str host = osh_rec_get(r, OSH_REC_HOST);
		struct osh_str reason = osh_rec_get(r, OSH_REC_REASON);
		struct osh_str detail = osh_rec_get(r, OSH_REC_DETAIL);

		fprintf(stderr, "  event %s %s %.*s:%u reason=%u %.*s (%.*s)\n",
			osh_rec_class_name(r->class), osh_rec_verdict_name(r->verdict),
			OSH_STR_FMT(host), r->port, r->reason, OSH_STR_FMT(reason),
			OSH_STR_FMT(detail));
	}
	pthread_mutex_unlock(&h->lock);
}

uint64_t harness_stat(struct harness *h, const char *name)
{
	char key[64], *at;
	uint64_t value;

	pthread_mutex_lock(&h->lock);
	h->stats_asked++;
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_STATS_ASK, h->stats_asked, NULL, 0, NULL, 0) < 0)
		die("STATS_ASK");
	WAIT_FOR(h, h->stats_cookie == h->stats_asked, 5000, "STATS");
	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(h->stats, key);
	if (!at)
		die("no counter %s in %s", name, h->stats);
	value = strtoull(at + strlen(key), NULL, 10);
	pthread_mutex_unlock(&h->lock);
	return value;
}

bool harness_quiet(struct harness *h, int ms)
{
	for (int waited = 0; waited < ms; waited += 2) {
		if (!harness_stat(h, "connections") && !harness_stat(h, "idle_upstream"))
			return true;
		(void)poll(NULL, 0, 2);
	}
	return false;
}

/* ---- sockets ---- */

static void set_timeouts(int fd)
{
	const struct timeval tv = { .tv_sec = 5 };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int bind_socket(int family, int type, uint16_t *ret_port)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = family == AF_INET ? sizeof(sin) : sizeof(sin6);
	struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&sin
						: (struct sockaddr *)&sin6;
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, sa, len) < 0 || getsockname(fd, sa, &len) < 0)
		die("cannot bind a loopback socket: %s", strerror(errno));
	if (type == SOCK_STREAM && listen(fd, 1024) < 0)
		die("listen");
	if (ret_port)
		*ret_port = ntohs(family == AF_INET ? sin.sin_port : sin6.sin6_port);
	return fd;
}

bool own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, r;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return r == 0;
}

int tcp_listen(uint16_t *ret_port)
{
	return bind_socket(AF_INET, SOCK_STREAM, ret_port);
}

int tcp_accept(int listener, int ms)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int fd;

	if (poll(&p, 1, ms) != 1)
		return -1;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		set_timeouts(fd);
	return fd;
}

int tcp_connect(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	set_timeouts(fd);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		die("connect to port %u: %s", port, strerror(errno));
	return fd;
}

int harness_connect(struct harness *h)
{
	return tcp_connect(h->port);
}

/* ---- policy ---- */

void harness_policy_text(struct harness *h, const char *yaml)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	osh_auto_bufmem struct osh_buf block, text;
	osh_auto_close int fd = -1;
	struct osh_msg_policy msg;
	struct osh_diag diag;

	osh_buf_init(&block, OSH_IMAGE_MAX_BYTES, 0);
	osh_buf_init(&text, 65536, 0);
	osh_diag_init(&diag, "policy");
	if (osh_policy_load(osh_str(yaml), "policy", &policy, &diag) < 0) {
		(void)!osh_diag_render(&diag, &text);
		die("policy: %s", text.data ? text.data : "?");
	}
	osh_diag_fini(&diag);
	pthread_mutex_lock(&h->lock);
	h->generation++;
	if (osh_image_compile(policy, h->generation,
			      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			      &block) < 0)
		die("policy does not compile");
	fd = osh_fs_memfd_sealed("image", block.data, block.len);
	if (fd < 0)
		die("memfd");
	msg = (struct osh_msg_policy){ .sandbox = 1,
				       .generation = h->generation,
				       .bytes = block.len };
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_POLICY_LOAD, 0, &msg, sizeof(msg), &fd, 1) < 0)
		die("POLICY_LOAD");
	WAIT_FOR(h, h->loaded == h->generation, 5000, "POLICY_LOADED");
	if (h->status)
		die("policy refused by the proxy: %s", strerror(-h->status));
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_POLICY_SWITCH, 0, &msg, sizeof(msg), NULL, 0) <
	    0)
		die("POLICY_SWITCH");
	WAIT_FOR(h, h->active == h->generation, 5000, "POLICY_ACTIVE");
	pthread_mutex_unlock(&h->lock);
}

void harness_policy(struct harness *h, const char *yaml_file)
{
	osh_auto_bufmem struct osh_buf text;

	osh_buf_init(&text, 1 << 20, 0);
	if (osh_fs_read(yaml_file, 1 << 20, &text) < 0)
		die("cannot read %s", yaml_file);
	harness_policy_text(h, text.data);
}

uint64_t harness_generation(const struct harness *h)
{
	return h->generation;
}

/* ---- certificates ---- */

SSL_CTX *harness_origin_ctx(struct harness *h, const char *host)
{
	unsigned char der[OSH_MINT_MAX_BYTES], spki[OSH_MINT_SPKI_BYTES], *p = spki;
	const unsigned char *q = der;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct osh_mint_leaf leaf = {
		.host = osh_str(host),
		.spki = { (const char *)spki, sizeof(spki) },
		.serial = { 1 },
		.not_before_s = time(NULL) - 3600,
		.not_after_s = time(NULL) + 86400,
	};
	size_t len;
	X509 *x;

	if (!key || !ctx || i2d_PUBKEY(key, &p) != OSH_MINT_SPKI_BYTES ||
	    osh_mint_leaf(h->origin_ca, &leaf, der, &len) < 0)
		die("cannot make an origin certificate for %s", host);
	x = d2i_X509(NULL, &q, (long)len);
	if (!x || SSL_CTX_use_certificate(ctx, x) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)
		die("origin certificate");
	X509_free(x);
	EVP_PKEY_free(key);
	return ctx;
}

const char *harness_ca_file(const struct harness *h)
{
	return h->ca_file;
}

struct osh_str harness_ca_pem(const struct harness *h)
{
	return osh_str(h->ca_pem);
}

/* ---- life ---- */

/* A child keeps what is its own: the parent's ends must close when the parent closes them. */
static void keep_only(int a, int b, int c)
{
	for (int fd = 3; fd < 256; fd++)
		if (fd != a && fd != b && fd != c)
			close(fd);
}

static pid_t spawn_proxy(struct harness *h, int sock)
{
	const struct osh_px_hooks hooks = { .flow_fetch = test_fetch,
					    .flow_fetch_dns = test_fetch_dns };
	pid_t pid = fork();

	if (pid == 0) {
		struct osh_px *px = NULL;
		int r;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		keep_only(sock, -1, -1);
		child_shared = h->shared;
		r = osh_px_new(sock, &hooks, &px);
		if (!r)
			r = osh_loop_run(osh_px_loop(px));
		osh_px_free(px);
		exit(r ? 1 : 0); /* not _exit(): sanitizers report at exit */
	}
	return pid;
}

static pid_t spawn_signer(int sock, int dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		keep_only(sock, dir, -1);
		exit(osh_signer_main(sock, dir, signer_burst, signer_per_s));
	}
	return pid;
}

static void configure(struct harness *h, const char *config, int signer_for_proxy)
{
	osh_auto_bufmem struct osh_buf pem;
	osh_auto_close int trust = -1;
	int fds[4];

	osh_buf_init(&pem, 1 << 20, 0);
	if (osh_buf_add_str(&pem, osh_ca_cert_pem(h->origin_ca)) < 0 ||
	    (trust_file && osh_fs_read(trust_file, 1 << 20, &pem) < 0))
		die("no trust bundle");
	trust = osh_fs_memfd_sealed("trust", pem.data, pem.len);
	fds[0] = osh_ring_mem_fd(h->ring);
	fds[1] = osh_ring_event_fd(h->ring);
	fds[2] = trust;
	fds[3] = signer_for_proxy;
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_CONFIG, 0, config, strlen(config), fds, 4) < 0)
		die("CONFIG");
	WAIT_FOR(h, h->proxy_ready && h->signer_ready, 5000, "READY");
}

static void add_sandbox(struct harness *h)
{
	struct osh_msg_ca ca = { .sandbox = 1, .name = "demo" };
	struct osh_msg_sandbox sb = { .id = 1, .name = "demo" };
	struct osh_ticket_seed tickets;
	int fd;

	if (osh_seqpkt_send(h->signer_sock, OSH_MSG_CA_MAKE, 0, &ca, sizeof(ca), NULL, 0) < 0)
		die("CA_MAKE");
	WAIT_FOR(h, h->have_ca, 5000, "CA");
	if (h->status)
		die("no CA: %s", strerror(-h->status));
	memcpy(sb.ca_pem, h->ca_pem, sizeof(sb.ca_pem));
	if (osh_ticket_seed_new(&tickets) < 0)
		die("tickets");
	sb.ticket_epoch = tickets.epoch;
	memcpy(sb.ticket_secret, tickets.secret, sizeof(sb.ticket_secret));
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_SANDBOX_ADD, 0, &sb, sizeof(sb), h->fds,
			    OSH_SBFD_COUNT) < 0)
		die("SANDBOX_ADD");
	if (osh_seqpkt_send(h->proxy_sock, OSH_MSG_START, 0, NULL, 0, NULL, 0) < 0)
		die("START");
	snprintf(h->ca_file, sizeof(h->ca_file), "%s/sandbox-ca.pem", h->dir);
	fd = open(h->ca_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || osh_fs_write_all(fd, h->ca_pem, strlen(h->ca_pem)) < 0)
		die("cannot write %s", h->ca_file);
	close(fd);
}

struct harness *harness_start(const char *config)
{
	struct harness *h = calloc(1, sizeof(*h));
	int p[2], s[2], ps[2], dir;

	if (!h)
		die("memory");
	(void)sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	snprintf(h->dir, sizeof(h->dir), "/tmp/osh-wire-XXXXXX");
	if (!mkdtemp(h->dir))
		die("mkdtemp");
	dir = open(h->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	h->shared = mmap(NULL, sizeof(*h->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h->shared == MAP_FAILED || osh_ca_create(time(NULL), &h->origin_ca) < 0 ||
	    osh_ring_create(1 << 20, &h->ring) < 0 || osh_seqpkt_pair(p) < 0 ||
	    osh_seqpkt_pair(s) < 0 || osh_seqpkt_pair(ps) < 0 || pipe2(h->stop_pipe, O_CLOEXEC) < 0)
		die("cannot set up");
	h->proxy = spawn_proxy(h, p[1]);
	h->signer = spawn_signer(s[1], dir);
	close(p[1]);
	close(s[1]);
	close(dir);
	h->proxy_sock = p[0];
	h->signer_sock = s[0];
	h->fds[OSH_SBFD_TCP4] = bind_socket(AF_INET, SOCK_STREAM, &h->port);
	h->fds[OSH_SBFD_TCP6] = bind_socket(AF_INET6, SOCK_STREAM, NULL);
	h->fds[OSH_SBFD_DNS_UDP4] = bind_socket(AF_INET, SOCK_DGRAM, &h->dns_port);
	h->fds[OSH_SBFD_DNS_UDP6] = bind_socket(AF_INET6, SOCK_DGRAM, NULL);
	h->fds[OSH_SBFD_DNS_TCP4] = bind_socket(AF_INET, SOCK_STREAM, &h->dns_tcp_port);
	h->fds[OSH_SBFD_DNS_TCP6] = bind_socket(AF_INET6, SOCK_STREAM, NULL);
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_cond_init(&h->cond, NULL);
	if (pthread_create(&h->thread, NULL, monitor, h) != 0)
		die("thread");
	pthread_mutex_lock(&h->lock);
	if (osh_seqpkt_send(h->signer_sock, OSH_MSG_PROXY_ADD, 0, NULL, 0, &ps[0], 1) < 0)
		die("PROXY_ADD");
	configure(h, config, ps[1]);
	close(ps[0]);
	close(ps[1]);
	add_sandbox(h);
	pthread_mutex_unlock(&h->lock);
	harness_exe(h, 1, "/usr/bin/curl");
	harness_exe(h, 2, "/usr/bin/wget");
	harness_explicit(h, 1);
	return h;
}

uint16_t harness_port(const struct harness *h)
{
	return h->port;
}

uint16_t harness_dns_port(const struct harness *h)
{
	return h->dns_port;
}

uint16_t harness_dns_tcp_port(const struct harness *h)
{
	return h->dns_tcp_port;
}

int harness_proxy_pid(const struct harness *h)
{
	return h->proxy;
}

int harness_signer_pid(const struct harness *h)
{
	return h->signer;
}

void harness_trust_file(const char *path)
{
	trust_file = path;
}

void harness_signer_quota(uint32_t burst, uint32_t per_s)
{
	signer_burst = burst;
	signer_per_s = per_s;
}

void harness_monitor_mute(struct harness *h, bool mute)
{
	pthread_mutex_lock(&h->lock);
	h->mute = mute;
	pthread_mutex_unlock(&h->lock);
}

void harness_events_discard(struct harness *h)
{
	h->discard = true;
}

static void reap(pid_t pid, const char *what)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		die("%s ended with status %#x", what, status);
}

void harness_stop(struct harness *h)
{
	char path[128];

	if (write(h->stop_pipe[1], "", 1) != 1)
		die("stop");
	pthread_join(h->thread, NULL);
	close(h->proxy_sock);
	reap(h->proxy, "proxy");
	close(h->signer_sock);
	reap(h->signer, "signer");
	for (int i = 0; i < OSH_SBFD_COUNT; i++)
		close(h->fds[i]);
	osh_ring_free(h->ring);
	osh_ca_free(h->origin_ca);
	(void)unlink(h->ca_file);
	snprintf(path, sizeof(path), "%s/demo.ca", h->dir);
	(void)unlink(path);
	(void)rmdir(h->dir);
	munmap(h->shared, sizeof(*h->shared));
	close(h->stop_pipe[0]);
	close(h->stop_pipe[1]);
	free(h);
}
