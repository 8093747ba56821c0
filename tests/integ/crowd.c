/* SPDX-License-Identifier: MIT */
/*
 * One program of a sandbox as a crowd: thousands of connections to the proxy from one thread.
 *
 *	crowd hold N WIDE SECONDS NAME CA	CONNECT, TLS, one GET each, WIDE of them being set up at
 *						once; then all stay open until SECONDS after the last
 *	crowd names N WIDE TIMEOUT SUFFIX CA how	a new name with a TLS handshake each, how: explicit
 *						(CONNECT) or transparent (DNS, then the address)
 *	crowd churn SECONDS WIDE - NAME CA	new connections without end, each with a GET; every fourth
 *						is reset in the middle
 *
 *	crowd serve				outside: an upstream that accepts and drops what it reads; prints
 *						"listening PORT"
 *
 * Prints one line of counts when the connections are made ("made ...") and one at the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum stage { NONE = 0, DNS, CONNECTING, PROXY, TLS, ANSWER, HELD };
enum { PROXY_PORT = 3128, STALL_MS = 20000 };

struct conn {
	SSL *ssl;
	uint64_t since_ms; /* of the current stage */
	int fd;
	enum stage stage;
	char name[64];
};

static struct {
	uint64_t held, shed, refused, reset, failed, stalled, dns, done;
} n;

static enum { HOLD, NAMES, CHURN } mode;
static bool transparent;
static uint64_t total, started, wide, seconds, busy;
static const char *name, *ca;
static struct conn *conns;
static struct in_addr resolver;
static SSL_CTX *ctx;
static int ep;
static uint64_t now_ms, t0_ms;

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static void die(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void enter(struct conn *c, enum stage stage)
{
	c->stage = stage;
	c->since_ms = now_ms;
}

static void drop(struct conn *c, uint64_t *count, bool rst)
{
	const struct linger l = { .l_onoff = 1 };

	(*count)++;
	if (c->ssl)
		SSL_free(c->ssl);
	c->ssl = NULL;
	if (rst)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(c->fd);
	if (c->stage != HELD)
		busy--;
	enter(c, NONE);
}

static void watch(struct conn *c, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				  .data.ptr = c };

	c->fd = fd;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

static void random_name(char *ret, size_t size)
{
	unsigned char raw[12];

	if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
		die("getrandom");
	for (size_t i = 0; i < sizeof(raw); i++)
		ret[i] = (char)('a' + raw[i] % 26);
	snprintf(ret + sizeof(raw), size - sizeof(raw), ".%s", name);
}

/* ---- steps ---- */

static void dial(struct conn *c, struct in_addr addr, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr = addr };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int one = 1;

	if (fd < 0)
		die("socket");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 && errno != EINPROGRESS) {
		c->fd = fd;
		drop(c, &n.refused, false);
		return;
	}
	enter(c, CONNECTING);
	watch(c, fd);
}

static void ask_dns(struct conn *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(53),
				   .sin_addr = resolver };
	unsigned char q[128] = { 0x12, 0x34, 1, 0, 0, 1 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	size_t at = 12;

	if (fd < 0)
		die("socket");
	for (const char *p = c->name; *p;) {
		size_t len = strcspn(p, ".");

		q[at++] = (unsigned char)len;
		memcpy(q + at, p, len);
		at += len;
		p += len + (p[len] == '.');
	}
	q[at + 2] = q[at + 4] = 1; /* A, IN */
	c->fd = fd;
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || send(fd, q, at + 5, 0) < 0) {
		drop(c, &n.dns, false);
		return;
	}
	enter(c, DNS);
	watch(c, fd);
}

static void on_dns(struct conn *c)
{
	unsigned char m[512];
	ssize_t r = recv(c->fd, m, sizeof(m), 0);
	struct in_addr addr;

	if (r < 0 && errno == EAGAIN)
		return;
	if (r < 16 || !m[7]) {
		drop(c, &n.dns, false);
		return;
	}
	memcpy(&addr, m + r - 4, 4);
	for (ssize_t i = 12; i < r - 4; i++) /* the answer's data: after its fixed TTL and length */
		if (m[i] == 0 && m[i + 1] == 4 && m[i - 8] == 0 && m[i - 7] == 1)
			memcpy(&addr, m + i + 2, 4);
	close(c->fd);
	dial(c, addr, 443);
}

static void begin_tls(struct conn *c)
{
	c->ssl = SSL_new(ctx);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || !SSL_set_tlsext_host_name(c->ssl, c->name) ||
	    !SSL_set1_host(c->ssl, c->name))
		die("SSL_new");
	SSL_set_connect_state(c->ssl);
	enter(c, TLS);
}

static void on_connected(struct conn *c)
{
	char req[256];
	int len = snprintf(req, sizeof(req), "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n",
			   c->name, c->name);

	if (transparent) {
		begin_tls(c);
		return;
	}
	enter(c, PROXY);
	if (send(c->fd, req, (size_t)len, MSG_NOSIGNAL) != len)
		drop(c, &n.reset, false);
}

static void on_proxy(struct conn *c)
{
	char buf[1024];
	ssize_t r = recv(c->fd, buf, sizeof(buf), 0);

	if (r < 0 && errno == EAGAIN)
		return;
	if (r < 12)
		drop(c, &n.reset, false);
	else if (!memcmp(buf + 9, "200", 3))
		begin_tls(c);
	else
		drop(c, memcmp(buf + 9, "503", 3) ? &n.refused : &n.shed, false);
}

/* true: go on with what it is now */
static bool on_tls(struct conn *c)
{
	char req[256];
	int r, len;

	ERR_clear_error();
	r = SSL_do_handshake(c->ssl);
	if (r != 1) {
		r = SSL_get_error(c->ssl, r);
		if (r != SSL_ERROR_WANT_READ && r != SSL_ERROR_WANT_WRITE)
			drop(c, &n.failed, false);
		return false;
	}
	if (mode == NAMES) {
		drop(c, &n.done, false);
		return false;
	}
	len = snprintf(req, sizeof(req), "GET /1 HTTP/1.1\r\nHost: %s\r\n\r\n", c->name);
	enter(c, ANSWER);
	if (SSL_write(c->ssl, req, len) != len) {
		drop(c, &n.reset, false);
		return false;
	}
	return true;
}

static void on_answer(struct conn *c)
{
	char buf[16384];
	int r;

	ERR_clear_error();
	r = SSL_read(c->ssl, buf, sizeof(buf));
	if (r <= 0) {
		if (SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ)
			drop(c, &n.reset, false);
		return;
	}
	if (mode == CHURN) {
		drop(c, &n.done, n.done % 4 == 3);
		return;
	}
	busy--;
	n.held++;
	enter(c, HELD);
}

/* A held connection has news: it lives unless it ended. */
static void on_held(struct conn *c)
{
	char buf[4096];
	int r;

	ERR_clear_error();
	r = SSL_read(c->ssl, buf, sizeof(buf));
	if (r > 0 || SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ)
		return;
	n.held--;
	drop(c, &n.reset, false);
}

static void on_event(struct conn *c, uint32_t events)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (c->stage == CONNECTING) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err) {
			drop(c, &n.reset, false);
			return;
		}
		if (!(events & EPOLLOUT))
			return;
		on_connected(c);
	}
	if (c->stage == DNS)
		on_dns(c);
	if (c->stage == PROXY)
		on_proxy(c);
	if (c->stage == TLS && !on_tls(c))
		return;
	if (c->stage == ANSWER)
		on_answer(c);
	else if (c->stage == HELD)
		on_held(c);
}

static void start(struct conn *c)
{
	started++;
	busy++;
	if (mode == NAMES)
		random_name(c->name, sizeof(c->name));
	else
		snprintf(c->name, sizeof(c->name), "%s", name);
	if (transparent)
		ask_dns(c);
	else
		dial(c, (struct in_addr){ htonl(INADDR_LOOPBACK) }, PROXY_PORT);
}

static _Noreturn void serve(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct epoll_event ev[64], add = { .events = EPOLLIN, .data.fd = fd };
	socklen_t len = sizeof(sin);
	char buf[4096];

	ep = epoll_create1(EPOLL_CLOEXEC);
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &add) < 0)
		die("listen");
	printf("listening %u\n", ntohs(sin.sin_port));
	fflush(stdout);
	for (;;) {
		int k = epoll_wait(ep, ev, 64, -1);

		for (int i = 0; i < k; i++) {
			int one = ev[i].data.fd;

			if (one != fd) {
				if (recv(one, buf, sizeof(buf), 0) <= 0)
					close(one);
				continue;
			}
			one = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			add = (struct epoll_event){ .events = EPOLLIN, .data.fd = one };
			if (one >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, one, &add) < 0)
				close(one);
		}
	}
}

/* ---- main ---- */

static void find_resolver(void)
{
	char line[256], addr[64];
	FILE *f = fopen("/etc/resolv.conf", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "nameserver %63[0-9.]", addr) == 1 &&
		    inet_pton(AF_INET, addr, &resolver) == 1) {
			fclose(f);
			return;
		}
	die("no IPv4 resolver in /etc/resolv.conf");
}

static void turn(uint64_t slots)
{
	static uint64_t swept_ms;
	struct epoll_event ev[512];
	int k = epoll_wait(ep, ev, 512, 50);

	now_ms = clock_ms();
	for (int i = 0; i < k; i++) {
		struct conn *c = ev[i].data.ptr;

		if (c->stage != NONE)
			on_event(c, ev[i].events);
	}
	if (now_ms - swept_ms < 500)
		return;
	swept_ms = now_ms;
	for (uint64_t i = 0; i < slots; i++)
		if (conns[i].stage != NONE && conns[i].stage != HELD &&
		    now_ms - conns[i].since_ms > STALL_MS)
			drop(&conns[i], &n.stalled, true);
}

static void report(const char *what)
{
	double s = (double)(clock_ms() - t0_ms) / 1000;

	printf("%s started %llu held %llu done %llu shed %llu refused %llu reset %llu failed %llu dns "
	       "%llu stalled %llu seconds %.1f\n",
	       what, (unsigned long long)started, (unsigned long long)n.held,
	       (unsigned long long)n.done, (unsigned long long)n.shed,
	       (unsigned long long)n.refused, (unsigned long long)n.reset,
	       (unsigned long long)n.failed, (unsigned long long)n.dns,
	       (unsigned long long)n.stalled, s);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	uint64_t slots, last_ms, at = 0;

	if (argc == 2 && !strcmp(argv[1], "serve"))
		serve();
	if (argc < 7)
		return 2;
	mode = !strcmp(argv[1], "hold") ? HOLD : !strcmp(argv[1], "names") ? NAMES : CHURN;
	total = mode == CHURN ? UINT64_MAX : strtoull(argv[2], NULL, 10);
	wide = strtoull(argv[3], NULL, 10);
	seconds = strtoull(argv[mode == CHURN ? 2 : 4], NULL, 10);
	name = argv[5];
	ca = argv[6];
	transparent = argc > 7 && !strcmp(argv[7], "transparent");
	if (transparent)
		find_resolver();
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (mode == HOLD && total + 32 > files.rlim_cur)
		total = files.rlim_cur - 32;
	slots = mode == HOLD ? total : wide;
	conns = calloc(slots, sizeof(*conns));
	ep = epoll_create1(EPOLL_CLOEXEC);
	ctx = SSL_CTX_new(TLS_client_method());
	if (!conns || ep < 0 || !ctx)
		die("start");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
		die("certificates");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	t0_ms = now_ms = clock_ms();
	while (started < total || busy) {
		for (uint64_t seen = 0; busy < wide && started < total && seen < slots; seen++) {
			if (conns[at].stage == NONE)
				start(&conns[at]);
			at = (at + 1) % slots;
		}
		turn(slots);
		if (mode != HOLD && now_ms - t0_ms > seconds * 1000)
			break;
	}
	report("made");
	last_ms = now_ms;
	while (mode == HOLD && now_ms - last_ms < seconds * 1000)
		turn(slots);
	report("end");
	return 0;
}
