/* SPDX-License-Identifier: MIT */
/*
 * Ends at every byte of an exchange (orderly and by reset, of the client and of the origin, plain and
 * inside TLS), ceilings, slow and mute peers, many names: the proxy says or closes, never hangs, never
 * leaks, never lets a cut-off response look complete.
 */
#include "harness.h"

#include "base/buf.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct harness *h;
static unsigned int passed, failed;
static int origin_fd;
static SSL_CTX *client_ctx, *origin_ctx;

static const char response[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"
			       "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
static const char request[] = "PUT /a HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 10\r\n\r\n"
			      "0123456789";

static void check(bool ok, const char *what, size_t at)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s at %zu\n", what, at);
	harness_events_print(h);
}

static void reset_fd(int fd)
{
	const struct linger rst = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

/* ---- the origin: one connection, first @cut bytes of the response, then the end ---- */

struct plan {
	size_t cut;
	bool rst, tls;
};

static void *origin(void *arg)
{
	const struct plan *plan = arg;
	SSL *ssl = NULL;
	char buf[4096];
	int fd = tcp_accept(origin_fd, 5000);

	if (fd < 0)
		return NULL;
	if (plan->tls) {
		ssl = SSL_new(origin_ctx);
		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1 && SSL_read(ssl, buf, sizeof(buf)) > 0 && plan->cut)
			(void)SSL_write(ssl, response, (int)plan->cut);
	} else if (recv(fd, buf, sizeof(buf), 0) > 0 && plan->cut) {
		(void)send(fd, response, plan->cut, MSG_NOSIGNAL);
	}
	if (plan->rst) {
		reset_fd(fd);
	} else {
		if (ssl)
			(void)SSL_shutdown(ssl);
		close(fd);
	}
	SSL_free(ssl);
	return NULL;
}

/* All that comes until the end; *ret_clean: the end was orderly. */
static size_t read_all(int fd, SSL *ssl, char *buf, size_t size, bool *ret_clean)
{
	size_t have = 0;
	int n = 1;

	ERR_clear_error();
	while (n > 0 && have < size - 1) {
		n = ssl ? SSL_read(ssl, buf + have, (int)(size - 1 - have))
			: (int)recv(fd, buf + have, size - 1 - have, 0);
		if (n > 0)
			have += (size_t)n;
		if (memmem(buf, have, "\r\n0\r\n\r\n", 7))
			break;
	}
	*ret_clean = n == 0 && (!ssl || SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN);
	buf[have] = '\0';
	return have;
}

static SSL *client_tls(int fd)
{
	SSL *ssl = SSL_new(client_ctx);

	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, "api.test");
	if (SSL_connect(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static void origin_ends(bool tls, bool rst)
{
	const char *get = tls ? "GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n"
			      : "GET /a HTTP/1.1\r\nHost: plain.test\r\n\r\n";
	char buf[8192];

	for (size_t cut = 0; cut < sizeof(response); cut++) {
		struct plan plan = { cut, rst, tls };
		SSL *ssl = NULL;
		pthread_t t;
		bool clean, complete, answered;
		int fd;

		pthread_create(&t, NULL, origin, &plan);
		harness_transparent(h, 1, tls ? "api.test" : "plain.test", tls ? 443 : 80);
		fd = harness_connect(h);
		if (tls)
			ssl = client_tls(fd);
		if (ssl)
			(void)SSL_write(ssl, get, (int)strlen(get));
		else
			(void)send(fd, get, strlen(get), MSG_NOSIGNAL);
		(void)read_all(fd, ssl, buf, sizeof(buf), &clean);
		complete = strstr(buf, "\r\n0\r\n\r\n") != NULL;
		answered = strncmp(buf, "HTTP/1.1 502", 12) == 0;
		/* a reset may overtake bytes, an orderly end may not */
		if (cut == sizeof(response) - 1 && !rst)
			check(complete, "complete response", cut);
		else if (cut < sizeof(response) - 1)
			check(answered || (!complete && !clean), "response cut short", cut);
		SSL_free(ssl);
		close(fd);
		pthread_join(t, NULL);
	}
	check(harness_quiet(h, 3000), "nothing left of the origin's ends", 0);
}

/* ---- the same, counted on the wire: the TLS handshake and records are cut, too ---- */

struct wire {
	size_t cut; /* bytes the origin sends before it resets */
	size_t sent;
};

/* What the origin has to say, up to the cut. false: cut, or nobody listens. */
static bool say(int fd, BIO *out, struct wire *w)
{
	char buf[16384];
	int n;

	while ((n = BIO_read(out, buf, sizeof(buf))) > 0) {
		size_t some = OSH_MIN((size_t)n, w->cut - w->sent);

		if (some && send(fd, buf, some, MSG_NOSIGNAL) != (ssize_t)some)
			return false;
		w->sent += some;
		if (some < (size_t)n)
			return false;
	}
	return true;
}

static void *wire_origin(void *arg)
{
	struct wire *w = arg;
	SSL *ssl = SSL_new(origin_ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int fd = tcp_accept(origin_fd, 5000);
	bool answered = false;
	char buf[16384];

	SSL_set_bio(ssl, in, out);
	SSL_set_accept_state(ssl);
	while (fd >= 0 && !answered) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n <= 0)
			break;
		(void)BIO_write(in, buf, (int)n);
		if (SSL_read(ssl, buf, sizeof(buf)) > 0) {
			(void)SSL_write(ssl, response, sizeof(response) - 1);
			answered = true;
		}
		if (!say(fd, out, w))
			break;
	}
	SSL_free(ssl);
	if (fd < 0)
		return NULL;
	if (answered)
		(void)poll(NULL, 0, 20); /* or the reset would overtake a complete response */
	reset_fd(fd);
	return NULL;
}

static void origin_is_cut_on_the_wire(void)
{
	const char *get = "GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n";
	unsigned int whole = 0, failed_before = failed;
	char buf[8192];

	/* every third: bytes inside a record are alike, and each takes a handshake */
	for (size_t cut = 0; cut < 4096 && whole < 3; cut += 3) {
		struct wire w = { .cut = cut };
		bool clean, complete;
		pthread_t t;
		SSL *ssl;
		int fd;

		pthread_create(&t, NULL, wire_origin, &w);
		harness_transparent(h, 1, "api.test", 443);
		fd = harness_connect(h);
		ssl = client_tls(fd);
		if (ssl)
			(void)SSL_write(ssl, get, (int)strlen(get));
		(void)read_all(fd, ssl, buf, sizeof(buf), &clean);
		complete = strstr(buf, "\r\n0\r\n\r\n") != NULL;
		check(complete || !strncmp(buf, "HTTP/1.1 502", 12) || !clean,
		      "handshake or response cut on the wire", cut);
		whole += complete;
		SSL_free(ssl);
		close(fd);
		pthread_join(t, NULL);
	}
	check(whole == 3 || failed > failed_before, "the longest is whole", whole);
	check(harness_quiet(h, 3000), "nothing left of them", 0);
}

static void client_ends(bool rst)
{
	for (size_t cut = 0; cut < sizeof(request); cut++) {
		harness_transparent(h, 1, "plain.test", 80);
		int fd = harness_connect(h);

		(void)send(fd, request, cut, MSG_NOSIGNAL);
		if (rst)
			reset_fd(fd);
		else
			close(fd);
		for (int o; (o = tcp_accept(origin_fd, 1)) >= 0;)
			close(o);
	}
	for (int i = 0; i < 100 && !harness_quiet(h, 20); i++)
		for (int o; (o = tcp_accept(origin_fd, 1)) >= 0;)
			close(o);
	check(harness_quiet(h, 3000), "nothing left of the client's ends", 0);
}

static void hello_ends(void)
{
	uint8_t hello[4096]; /* post-quantum key shares make it longer than a segment */
	SSL *ssl = SSL_new(client_ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	uint64_t before;
	int n;

	SSL_set_bio(ssl, in, out);
	SSL_set_tlsext_host_name(ssl, "api.test");
	(void)SSL_connect(ssl);
	n = BIO_read(out, hello, sizeof(hello));
	before = harness_stat(h, "accepted");
	for (int cut = 0; cut < n; cut++) {
		int fd;

		harness_transparent(h, 1, "api.test", 443);
		fd = harness_connect(h);
		(void)send(fd, hello, (size_t)cut, MSG_NOSIGNAL);
		close(fd);
	}
	/* over the ceiling the listener pauses: some may not even have been accepted */
	for (int i = 0; i < 500 && harness_stat(h, "accepted") < before + (uint64_t)n; i++)
		(void)poll(NULL, 0, 10);
	check(harness_quiet(h, 3000), "nothing left of half hellos", 0);
	/* one byte at a time is still a hello */
	harness_transparent(h, 1, "api.test", 443);
	int fd = harness_connect(h);

	for (int i = 0; i < n; i++)
		(void)send(fd, hello + i, 1, MSG_NOSIGNAL);
	check(recv(fd, hello, 1, 0) == 1 && hello[0] == 0x16, "hello in single bytes", (size_t)n);
	close(fd);
	SSL_free(ssl);
	check(harness_quiet(h, 3000), "nothing left of half hellos", 0);
}

/* ---- ceilings ---- */

static void connections_have_a_ceiling(void)
{
	int fd[24];
	char buf[512];
	unsigned int shed = 0;

	harness_explicit(h, 1);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(fd); i++)
		fd[i] = harness_connect(h);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(fd); i++) {
		struct pollfd p = { .fd = fd[i], .events = POLLIN };

		if (poll(&p, 1, i < 4 ? 50 : 5) == 1 && recv(fd[i], buf, sizeof(buf), 0) > 12 &&
		    !memcmp(buf + 9, "503", 3))
			shed++;
	}
	check(shed == OSH_ARRAY_SIZE(fd) - 20, "the connections over the ceiling get 503", shed);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(fd); i++)
		close(fd[i]);
	check(harness_quiet(h, 3000), "nothing left of them", 0);
}

static void slow_heads_end(void)
{
	int fd;
	char buf[64];

	harness_transparent(h, 1, "plain.test", 80);
	fd = harness_connect(h);
	for (int i = 0; i < 30; i++) {
		if (send(fd, i ? "X" : "GET / HTTP/1.1\r\nX: ", i ? 1 : 19, MSG_NOSIGNAL) < 0)
			break;
		(void)poll(NULL, 0, 50);
	}
	check(recv(fd, buf, sizeof(buf), 0) > 12 && !memcmp(buf, "HTTP/1.1 408", 12),
	      "a head in drops ends by its deadline", 0);
	close(fd);
}

/* @text in drops of a byte for as long as it is taken. */
static void drip(int fd, const char *text, size_t n, const char *what)
{
	char buf[512];
	size_t i = 0;

	for (; i < n; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (send(fd, text + i, 1, MSG_NOSIGNAL) < 0 || poll(&p, 1, 40) == 1)
			break;
	}
	check(i < n, what, i);
	while (recv(fd, buf, sizeof(buf), 0) > 0)
		;
	close(fd);
}

static void slow_beginnings_end(void)
{
	char connect_head[200] = "CONNECT api.test:443 HTTP/1.1\r\nX: ",
	     hello[200] = { 22, 3, 1, 2 };

	memset(connect_head + strlen(connect_head), 'x', 150);
	harness_explicit(h, 1);
	drip(harness_connect(h), connect_head, 150, "a CONNECT in drops ends by its deadline");
	harness_transparent(h, 1, "api.test", 443);
	drip(harness_connect(h), hello, 150, "a ClientHello in drops ends by its deadline");
	check(harness_quiet(h, 5000), "nothing left of them", 0);
}

/* A whole ClientHello, then silence. */
static void silent_handshakes_end(void)
{
	SSL *ssl = SSL_new(client_ctx);
	BIO *out = BIO_new(BIO_s_mem());
	char buf[4096];
	int n, fd;

	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	SSL_set_tlsext_host_name(ssl, "api.test");
	(void)SSL_connect(ssl);
	n = BIO_read(out, buf, sizeof(buf));
	harness_transparent(h, 1, "api.test", 443);
	fd = harness_connect(h);
	(void)send(fd, buf, (size_t)n, MSG_NOSIGNAL);
	while (recv(fd, buf, sizeof(buf), 0) > 0)
		;
	check(harness_quiet(h, 1000), "a silent handshake ends by its deadline", 0);
	close(fd);
	SSL_free(ssl);
}

static int tunnel(int *ret_origin)
{
	int fd;

	harness_transparent(h, 1, "raw.test", 7000);
	fd = harness_connect(h);
	*ret_origin = tcp_accept(origin_fd, 3000);
	check(*ret_origin >= 0, "tunnel", 0);
	return fd;
}

/* Bytes that @fd takes until it takes none for 200 ms. */
static size_t send_until_stopped(int fd)
{
	static char block[1 << 16];
	size_t sent = 0;

	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int quiet = 0; quiet < 20 && sent < 256u << 20;) {
		ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL);

		if (n > 0) {
			sent += (size_t)n;
			quiet = 0;
		} else {
			quiet++;
			(void)poll(NULL, 0, 10);
		}
	}
	return sent;
}

/* One end of a tunnel sends and the other never reads; both ways. */
static void deaf_tunnels_hold_little(bool to_client)
{
	int o, fd = tunnel(&o), from = to_client ? o : fd;
	size_t sent;

	sent = send_until_stopped(from);
	check(sent < 64 << 20, "a deaf end of a tunnel stops the other", sent);
	close(fd);
	close(o);
	check(harness_quiet(h, 3000), "nothing left of it", 0);
}

/* One end closed its direction, the other says nothing for ever. */
static void half_open_tunnels_end(bool client_closes)
{
	int o, fd = tunnel(&o);
	char buf[16];

	(void)shutdown(client_closes ? fd : o, SHUT_WR);
	check(recv(client_closes ? o : fd, buf, sizeof(buf), 0) == 0, "the end is passed on", 0);
	check(harness_quiet(h, 4000), "half a tunnel ends by its deadline", 0);
	close(fd);
	close(o);
}

/* A client that never reads must stop the upstream, not fill memory. */
static void deaf_clients_hold_little(void)
{
	char buf[1024];
	const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
	size_t sent;
	int fd, o;

	harness_transparent(h, 1, "plain.test", 80);
	fd = harness_connect(h);
	(void)send(fd, "GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n", 36, MSG_NOSIGNAL);
	o = tcp_accept(origin_fd, 3000);
	check(o >= 0, "upstream connection", 0);
	(void)recv(o, buf, sizeof(buf), 0);
	(void)send(o, head, sizeof(head) - 1, MSG_NOSIGNAL);
	sent = send_until_stopped(o);
	/* four socket buffers and one backlog; far below the response */
	check(sent < 64 << 20, "a deaf client stops the upstream", sent);
	close(fd);
	close(o);
	check(harness_quiet(h, 3000), "nothing left of it", 0);
}

static void many_names(void)
{
	char name[64];
	uint64_t mints = harness_stat(h, "mints");

	for (int i = 0; i < 200; i++) {
		SSL *ssl;
		int fd;

		harness_transparent(h, 1, "10.9.9.9", 443);
		fd = harness_connect(h);
		ssl = SSL_new(client_ctx);
		SSL_set_fd(ssl, fd);
		snprintf(name, sizeof(name), "n%d.names.test", i);
		SSL_set_tlsext_host_name(ssl, name);
		SSL_set1_host(ssl, name);
		check(SSL_connect(ssl) == 1, "a denied name gets a certificate to read why", 0);
		SSL_free(ssl);
		close(fd);
	}
	check(harness_stat(h, "mints") - mints == 200, "each minted once", 0);
	check(harness_stat(h, "sites") <= 64, "names have a ceiling", 0);
	check(harness_quiet(h, 3000), "nothing left of them", 0);
}

/* One handshake for a name; false: it failed. */
static bool handshake_for(const char *name)
{
	SSL *ssl = SSL_new(client_ctx);
	int fd;
	bool ok;

	harness_transparent(h, 1, name, 443);
	fd = harness_connect(h);
	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, name);
	SSL_set1_host(ssl, name);
	ok = SSL_connect(ssl) == 1;
	SSL_free(ssl);
	close(fd);
	return ok;
}

static bool reaches(const char *stat, uint64_t want)
{
	for (int waited = 0; waited < 5000 && harness_stat(h, stat) < want; waited += 5)
		(void)poll(NULL, 0, 5);
	return harness_stat(h, stat) == want;
}

static void publish(unsigned int from, unsigned int to, const char *more)
{
	struct osh_buf text;

	osh_buf_init(&text, 1 << 20, 0);
	if (osh_buf_printf(&text, "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n%s", more) <
	    0)
		die("policy text");
	for (unsigned int i = from; i < to; i++)
		if (osh_buf_printf(&text,
				   "      - { host: l%u.ahead.test, port: 443, protocol: rest,"
				   " access: read-only }\n",
				   i) < 0)
			die("policy text");
	if (osh_buf_printf(&text, "    binaries:\n      - { path: /usr/bin/curl }\n") < 0)
		die("policy text");
	harness_policy_text(h, text.data);
	osh_buf_fini(&text);
}

/* Literal names of a policy have their certificate before anybody connects; sites are at most 64. */
static void names_of_a_policy(void)
{
	publish(0, 5,
		"      - { host: '*.glob.test', port: 443, protocol: rest, access: read-only }\n"
		"      - { host: raw.ahead.test, port: 443 }\n"
		"      - { host: 192.0.2.7, port: 443, protocol: rest, access: read-only }\n");
	check(reaches("mints", 5), "literal names get certificates", 0);
	check(handshake_for("l0.ahead.test") && handshake_for("l4.ahead.test") &&
		      harness_stat(h, "mints") == 5,
	      "they are used", 0);
	check(handshake_for("x.glob.test") && harness_stat(h, "mints") == 6,
	      "others get theirs when asked for", 0);
	publish(0, 100, "");
	check(reaches("sites", 32), "half of the room at most", 0);
	check(reaches("mints", 32), "nothing is asked for twice", 0);
	check(handshake_for("l0.ahead.test") && handshake_for("x.glob.test") &&
		      harness_stat(h, "mints") == 32,
	      "what was used is still there", 0);
	check(handshake_for("l99.ahead.test") && harness_stat(h, "mints") == 33,
	      "the rest when asked for", 0);
	check(harness_quiet(h, 3000), "nothing left of them", 0);
}

int main(void)
{
	uint16_t port;
	char config[1024];

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	origin_fd = tcp_listen(&port);
	snprintf(
		config, sizeof(config),
		"{\"hosts\":{\"api.test\":\"127.0.0.1:%u\",\"plain.test\":\"127.0.0.1:%u\","
		"\"raw.test\":\"127.0.0.1:%u\"},"
		"\"limits\":{\"connections\":20,\"sites\":64},"
		"\"timeouts_ms\":{\"head\":800,\"linger\":200,\"idle\":1000,\"sniff\":1000,\"handshake\":1000,"
		"\"half_close\":1000,\"body\":1000,\"upstream_idle\":500}}",
		port, port, port);
	h = harness_start(config);
	client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_load_verify_locations(client_ctx, harness_ca_file(h), NULL);
	SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
	origin_ctx = harness_origin_ctx(h, "api.test");
	names_of_a_policy();
	harness_policy(h, "tests/wire/policies/basic.yaml");
	origin_ends(false, false);
	origin_ends(false, true);
	origin_ends(true, false);
	origin_ends(true, true);
	origin_is_cut_on_the_wire();
	client_ends(false);
	client_ends(true);
	hello_ends();
	connections_have_a_ceiling();
	slow_heads_end();
	slow_beginnings_end();
	silent_handshakes_end();
	deaf_clients_hold_little();
	deaf_tunnels_hold_little(true);
	deaf_tunnels_hold_little(false);
	half_open_tunnels_end(true);
	half_open_tunnels_end(false);
	many_names();
	harness_stop(h);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(origin_ctx);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
