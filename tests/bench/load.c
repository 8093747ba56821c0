/* SPDX-License-Identifier: MIT */
/*
 * Load on one TLS-inspecting proxy, closed loop: N connections, each with [CONNECT], [TLS] and a
 * number of requests, as fast as answers come. Prints one line of JSON: counts, latencies, and the
 * CPU time that the processes given with --pid used meanwhile (user and system).
 *
 *	load --port P [--connect HOST:PORT] [--tls NAME --ca FILE] [--conns N] [--per-conn N]
 *	     [--names N [--same-target]] [--resume] [--hold] [--path P] [--host H] [--status N]
 *	     [--seconds S] [--total N] [--pid PID]...
 *
 * --per-conn 0: for ever. --names N: connection i asks for "n<pid>-<i mod N>.NAME", in CONNECT as well unless
 * --same-target. --total N ends after so many responses (or connections, when there is no request).
 * --hold keeps connections open after their requests, waits until the proxy has settled and measures
 * the resident memory of the processes; --seconds is then the most that opening them may take.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OSH_MIN_(a, b) ((a) < (b) ? (a) : (b))

enum { PIDS = 16, BUCKETS = 64 * 32, BUF = 262144 };
enum stage { IDLE = 0, CONNECTING, PROXY, TLS, REQUEST, HELD };

struct conn {
	int fd;
	SSL *ssl;
	enum stage stage;
	char name[128];
	unsigned int done; /* responses on this connection */
	uint64_t opened_ns, sent_ns;
	char head[4096];
	size_t have;
	uint64_t left;
	bool in_body;
};

static struct {
	uint16_t port;
	const char *connect, *tls, *ca, *path, *method, *host;
	unsigned int conns, per_conn, names, seconds, status;
	uint64_t total;
	bool resume, hold, same_target;
	int pids[PIDS], n_pids;
} o = { .conns = 1, .path = "/1k", .method = "GET", .seconds = 5, .status = 200 };

static SSL_CTX *ctx;
static SSL_SESSION *session;
static int ep;
static uint64_t n_conns, n_reqs, n_bytes, n_errors, n_resumed, n_started, n_held;
static uint64_t hist[BUCKETS], hist_n;
static char buf[BUF];

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- latency histogram: 32 steps per power of two ---- */

static void record(uint64_t ns)
{
	uint64_t us = ns / 100; /* tenths */
	unsigned int top = us ? 63 - (unsigned int)__builtin_clzll(us) : 0;
	unsigned int sub = top >= 5 ? (unsigned int)(us >> (top - 5)) & 31 : (unsigned int)us & 31;

	hist[top * 32 + sub]++;
	hist_n++;
}

static double percentile(double p)
{
	uint64_t want = (uint64_t)(p * (double)hist_n), seen = 0;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		seen += hist[i];
		if (seen > want) {
			unsigned int top = i / 32, sub = i % 32;

			return (top >= 5 ? (double)(((uint64_t)32 + sub) << (top - 5)) : sub) / 10;
		}
	}
	return 0;
}

/* ---- CPU of other processes ---- */

/* In seconds, with the scheduler's resolution; threads that ended count, too. */
static double cpu_s(void)
{
	double sum = 0;

	for (int i = 0; i < o.n_pids; i++) {
		struct timespec t;
		clockid_t clock;

		if (clock_getcpuclockid(o.pids[i], &clock) != 0 || clock_gettime(clock, &t) < 0)
			die("no process %d", o.pids[i]);
		sum += (double)t.tv_sec + (double)t.tv_nsec / 1e9;
	}
	return sum;
}

/* Resident memory, KiB. */
static double rss_kib(void)
{
	double sum = 0;

	for (int i = 0; i < o.n_pids; i++) {
		char path[64], text[256];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/status", o.pids[i]);
		f = fopen(path, "re");
		while (f && fgets(text, sizeof(text), f))
			if (!strncmp(text, "VmRSS:", 6))
				sum += strtod(text + 6, NULL);
		if (f)
			fclose(f);
	}
	return sum;
}

/* ---- connections ---- */

static void start(struct conn *c);

static void finish(struct conn *c, bool error)
{
	if (error)
		n_errors++;
	if (c->ssl) {
		if (o.resume && !error) {
			SSL_SESSION *s = SSL_get1_session(c->ssl);

			SSL_SESSION_free(session);
			session = s;
		}
		SSL_set_quiet_shutdown(c->ssl, 1);
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	close(c->fd);
	c->stage = IDLE;
}

static int io_write(struct conn *c, const char *p, size_t n)
{
	return c->ssl ? SSL_write(c->ssl, p, (int)n) : (int)send(c->fd, p, n, MSG_NOSIGNAL);
}

/* >0; 0: end; -1: later; -2: error */
static int io_read(struct conn *c, char *p, int n)
{
	int r;

	if (!c->ssl) {
		r = (int)recv(c->fd, p, (size_t)n, 0);
		return r < 0 ? (errno == EAGAIN ? -1 : -2) : r;
	}
	ERR_clear_error();
	r = SSL_read(c->ssl, p, n);
	if (r > 0)
		return r;
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return -2;
	}
}

static bool send_request(struct conn *c)
{
	char req[512];
	int n = snprintf(req, sizeof(req), "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n",
			 o.method, o.path,
			 o.host	      ? o.host
			 : c->name[0] ? c->name
				      : "localhost");

	c->sent_ns = now_ns();
	return io_write(c, req, (size_t)n) == n;
}

static bool begin_tls(struct conn *c)
{
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_tlsext_host_name(c->ssl, c->name);
	if (o.ca)
		SSL_set1_host(c->ssl, c->name);
	if (o.resume && session)
		SSL_set_session(c->ssl, session);
	SSL_set_connect_state(c->ssl);
	c->stage = TLS;
	return true;
}

static bool opened(struct conn *c)
{
	n_conns++;
	c->stage = REQUEST;
	c->have = 0;
	return send_request(c);
}

/* Take one response out of what was read. false: broken. */
static bool on_bytes(struct conn *c, const char *p, size_t n, bool *complete)
{
	*complete = false;
	n_bytes += n;
	while (n) {
		char *end, *cl;
		size_t take;

		if (c->in_body) {
			take = n < c->left ? n : (size_t)c->left;
			c->left -= take;
			p += take;
			n -= take;
			if (c->left)
				return true;
			c->in_body = false;
			*complete = true;
			return n == 0;
		}
		take = sizeof(c->head) - 1 - c->have;
		take = n < take ? n : take;
		memcpy(c->head + c->have, p, take);
		c->have += take;
		c->head[c->have] = '\0';
		end = strstr(c->head, "\r\n\r\n");
		if (!end)
			return take == n;
		if (strtoul(c->head + 9, NULL, 10) != o.status)
			return false;
		cl = strcasestr(c->head, "\r\nContent-Length: ");
		c->left = cl ? strtoull(cl + 18, NULL, 10) : 0;
		take = (size_t)(end + 4 - c->head) - (c->have - take);
		p += take;
		n -= take;
		c->have = 0;
		c->in_body = c->left > 0;
		if (!c->in_body) {
			*complete = true;
			return n == 0;
		}
	}
	return true;
}

static void on_readable(struct conn *c)
{
	bool complete;
	int r;

	for (;;) {
		if (c->stage == TLS) {
			ERR_clear_error();
			r = SSL_do_handshake(c->ssl);
			if (r != 1) {
				if (SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ)
					finish(c, true);
				return;
			}
			n_resumed += (uint64_t)SSL_session_reused(c->ssl);
			if (!opened(c)) {
				finish(c, true);
				return;
			}
		}
		r = io_read(c, buf, BUF);
		if (r == -1)
			return;
		if (r <= 0) {
			finish(c, true);
			return;
		}
		if (c->stage == PROXY) {
			if (r < 12 || memcmp(buf + 9, "200", 3) != 0) {
				finish(c, true);
				return;
			}
			if (!o.tls) {
				n_conns++;
				record(now_ns() - c->opened_ns);
				finish(c, false);
				return;
			}
			begin_tls(c);
			continue;
		}
		if (c->stage != REQUEST || !on_bytes(c, buf, (size_t)r, &complete)) {
			finish(c, true);
			return;
		}
		if (!complete)
			continue;
		n_reqs++;
		c->done++;
		record(now_ns() - (o.per_conn == 1 ? c->opened_ns : c->sent_ns));
		if (o.per_conn && c->done >= o.per_conn) {
			if (o.hold) {
				c->stage = HELD;
				n_held++;
			} else {
				finish(c, false);
			}
			return;
		}
		if (!send_request(c)) {
			finish(c, true);
			return;
		}
	}
}

static void on_connected(struct conn *c)
{
	char req[512];
	int n;

	if (!o.connect) {
		if (o.tls)
			begin_tls(c);
		else if (!opened(c))
			finish(c, true);
		if (c->stage == TLS)
			on_readable(c);
		return;
	}
	if (o.names && !o.same_target)
		n = snprintf(req, sizeof(req), "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n",
			     c->name, c->name);
	else
		n = snprintf(req, sizeof(req), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", o.connect,
			     o.connect);
	c->stage = PROXY;
	if (send(c->fd, req, (size_t)n, MSG_NOSIGNAL) != n)
		finish(c, true);
}

static void start(struct conn *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(o.port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				  .data.ptr = c };
	const int one = 1;

	*c = (struct conn){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (o.names)
		snprintf(c->name, sizeof(c->name), "n%u-%u.%s", (unsigned int)getpid(),
			 (unsigned int)(n_started % o.names), o.tls);
	else if (o.tls)
		snprintf(c->name, sizeof(c->name), "%s", o.tls);
	n_started++;
	c->opened_ns = now_ns();
	c->stage = CONNECTING;
	if (connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 && errno != EINPROGRESS)
		die("connect: %s", strerror(errno));
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll_ctl: %s", strerror(errno));
}

static void on_event(struct conn *c, uint32_t events)
{
	if (c->stage == CONNECTING) {
		if (events & (EPOLLERR | EPOLLHUP)) {
			finish(c, true);
			return;
		}
		if (!(events & EPOLLOUT))
			return;
		on_connected(c);
		return;
	}
	if (c->stage != IDLE && c->stage != HELD &&
	    (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		on_readable(c);
}

static bool enough(void)
{
	if (o.hold)
		return n_held >= o.conns;
	return o.total && (n_reqs >= o.total || (!o.per_conn && !o.tls && n_conns >= o.total));
}

static void loop(void)
{
	struct conn *all = calloc(o.conns, sizeof(*all));
	struct epoll_event ev[256];
	uint64_t until = now_ns() + o.seconds * 1000000000ull;

	/* with --hold, set up a few at a time: the peak should not hide what stays */
	while (n_started < (o.hold ? OSH_MIN_(o.conns, 16u) : o.conns))
		start(&all[n_started]);
	while (now_ns() < until && !enough()) {
		int n = epoll_wait(ep, ev, 256, 100);

		while (o.hold && n_started < o.conns && n_started < n_held + 16)
			start(&all[n_started]);

		for (int i = 0; i < n; i++)
			on_event(ev[i].data.ptr, ev[i].events);
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (c->stage == IDLE)
				start(c);
		}
		if (n_errors > 1000)
			die("too many errors");
	}
}

static void parse(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "port", 1, NULL, 'p' },    { "connect", 1, NULL, 'c' },
		{ "tls", 1, NULL, 't' },     { "ca", 1, NULL, 'a' },
		{ "conns", 1, NULL, 'n' },   { "per-conn", 1, NULL, 'k' },
		{ "names", 1, NULL, 'N' },   { "resume", 0, NULL, 'r' },
		{ "path", 1, NULL, 'u' },    { "status", 1, NULL, 's' },
		{ "seconds", 1, NULL, 'S' }, { "total", 1, NULL, 'T' },
		{ "pid", 1, NULL, 'P' },     { "method", 1, NULL, 'm' },
		{ "hold", 0, NULL, 'i' },    { "same-target", 0, NULL, 'x' },
		{ "host", 1, NULL, 'h' },    { NULL, 0, NULL, 0 }
	};
	int ch;

	while ((ch = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		unsigned long v = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (ch) {
		case 'p':
			o.port = (uint16_t)v;
			break;
		case 'c':
			o.connect = optarg;
			break;
		case 't':
			o.tls = optarg;
			break;
		case 'a':
			o.ca = optarg;
			break;
		case 'n':
			o.conns = (unsigned int)v;
			break;
		case 'k':
			o.per_conn = (unsigned int)v;
			break;
		case 'N':
			o.names = (unsigned int)v;
			break;
		case 'r':
			o.resume = true;
			break;
		case 'u':
			o.path = optarg;
			break;
		case 'm':
			o.method = optarg;
			break;
		case 's':
			o.status = (unsigned int)v;
			break;
		case 'S':
			o.seconds = (unsigned int)v;
			break;
		case 'T':
			o.total = v;
			break;
		case 'i':
			o.hold = true;
			break;
		case 'h':
			o.host = optarg;
			break;
		case 'x':
			o.same_target = true;
			break;
		case 'P':
			if (o.n_pids < PIDS)
				o.pids[o.n_pids++] = (int)v;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t t0, t1;
	double cpu0, cpu, wall, units, rss0, rss = 0;

	parse(argc, argv);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, 131072);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	if (o.ca) {
		if (SSL_CTX_load_verify_locations(ctx, o.ca, NULL) != 1)
			die("cannot load %s", o.ca);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
	cpu0 = cpu_s();
	rss0 = rss_kib();
	t0 = now_ns();
	loop();
	if (o.hold) {
		sleep(4); /* buffers of idle connections are let go after a second */
		rss = (rss_kib() - rss0) / (double)(n_held ? n_held : 1);
		if (n_held < o.conns)
			fprintf(stderr, "only %llu of %u are held\n", (unsigned long long)n_held,
				o.conns);
	}
	t1 = now_ns();
	cpu = cpu_s() - cpu0;
	wall = (double)(t1 - t0) / 1e9;
	if (!n_reqs && !n_conns)
		die("not one answer");
	units = o.per_conn == 1 || !o.tls ? (double)(n_reqs ? n_reqs : n_conns) : (double)n_reqs;
	printf("{\"conns\":%llu,\"reqs\":%llu,\"errors\":%llu,\"resumed\":%llu,\"bytes\":%llu,"
	       "\"wall_s\":%.3f,\"cpu_s\":%.4f,\"cpu_us\":%.2f,\"cpu_s_per_gb\":%.4f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"kib_per_conn\":%.2f}\n",
	       (unsigned long long)n_conns, (unsigned long long)n_reqs,
	       (unsigned long long)n_errors, (unsigned long long)n_resumed,
	       (unsigned long long)n_bytes, wall, cpu, units ? cpu * 1e6 / units : 0,
	       n_bytes ? cpu * 1e9 / (double)n_bytes : 0, percentile(0.5), percentile(0.99), rss);
	if (n_errors > n_conns / 100 + 1)
		die("%llu of %llu connections broke", (unsigned long long)n_errors,
		    (unsigned long long)n_conns);
	return 0;
}
