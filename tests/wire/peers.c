/* SPDX-License-Identifier: MIT */
/*
 * Peers that stop, end, half-close, send alerts or talk out of turn, at each phase of a connection, and
 * peers that never read. faults.c has the ends at every byte of an exchange.
 */
#include "harness.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEAF = 60, DEAF_KIB = 400 }; /* memory that a connection may take whose peer never reads */

static struct harness *h;
static unsigned int passed, failed;
static int origin_fd;
static SSL_CTX *client_ctx, *origin_ctx;
static char got[1 << 16];
static bool clean; /* how what was read last ended */

static const char get[] = "GET /a HTTP/1.1\r\nHost: plain.test\r\n\r\n";
static const char tls_get[] = "GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n";
static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char fatal_alert[] = { 0x15, 3, 3, 0, 2, 2, 40 };
static const char no_record[] = { 0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8,
				  9,	1, 2, 3, 4,  5, 6, 7, 8, 9, 1, 2 };

static void check(bool good, const char *what, size_t at)
{
	if (good) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s (%zu); last read: \"%.200s\", %s\n", what, at, got,
	       clean ? "orderly end" : "no orderly end");
	harness_events_print(h);
}

static void reset(int fd)
{
	const struct linger rst = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

static void say(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Read until @until is there, or the end; false: neither came. */
static bool hear(int fd, SSL *ssl, const char *until)
{
	size_t have = 0;
	int n, error = 0;

	clean = false;
	for (;;) {
		got[have] = '\0';
		if (until && strstr(got, until))
			return true;
		ERR_clear_error();
		n = ssl ? SSL_read(ssl, got + have, (int)(sizeof(got) - 1 - have))
			: (int)recv(fd, got + have, sizeof(got) - 1 - have, 0);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (ssl)
		error = SSL_get_error(ssl, n);
	clean = ssl ? error == SSL_ERROR_ZERO_RETURN : n == 0;
	return !until && !(n < 0 && (ssl ? error == SSL_ERROR_WANT_READ : errno == EAGAIN));
}

static bool starts(const char *text)
{
	return !strncmp(got, text, strlen(text));
}

/* The flow record is this connection's once it was accepted. */
static int conn(void)
{
	uint64_t before = harness_stat(h, "accepted");
	int fd = harness_connect(h);

	for (int i = 0; i < 500 && harness_stat(h, "accepted") == before; i++)
		(void)poll(NULL, 0, 1);
	return fd;
}

static int plain(void)
{
	harness_transparent(h, 1, "plain.test", 80);
	return conn();
}

static SSL *tls(int *ret_fd)
{
	SSL *ssl = SSL_new(client_ctx);

	harness_transparent(h, 1, "api.test", 443);
	*ret_fd = conn();
	SSL_set_fd(ssl, *ret_fd);
	SSL_set_tlsext_host_name(ssl, "api.test");
	check(SSL_connect(ssl) == 1, "handshake", 0);
	return ssl;
}

static int origin(const char *until)
{
	int fd = tcp_accept(origin_fd, 5000);

	check(fd >= 0, "the upstream is reached", 0);
	if (fd >= 0 && until)
		check(hear(fd, NULL, until), "the request", 0);
	return fd;
}

static SSL *origin_tls(int *ret_fd)
{
	SSL *ssl = SSL_new(origin_ctx);

	*ret_fd = origin(NULL);
	SSL_set_fd(ssl, *ret_fd);
	check(SSL_accept(ssl) == 1, "upstream handshake", 0);
	return ssl;
}

static bool nobody_came(void)
{
	int fd = tcp_accept(origin_fd, 50);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static void nothing_left(const char *what)
{
	check(harness_quiet(h, 5000), what, 0);
	harness_events_clear(h);
}

/* ---- a client that ends or stops at every byte of its TLS ---- */

/*
 * The client's side of a handshake and a request, of which at most @cut bytes leave. Returns how many
 * there would be.
 */
static size_t tls_up_to(int fd, size_t cut)
{
	SSL *ssl = SSL_new(client_ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	size_t sent = 0, all = 0;
	bool asked = false;
	char buf[16384];

	SSL_set_bio(ssl, in, out);
	SSL_set_tlsext_host_name(ssl, "api.test");
	for (;;) {
		int n, r = SSL_connect(ssl);

		if (r == 1 && !asked) {
			(void)SSL_write(ssl, tls_get, sizeof(tls_get) - 1);
			asked = true;
		}
		while ((n = BIO_read(out, buf, sizeof(buf))) > 0) {
			size_t some = OSH_MIN((size_t)n, cut - sent);

			all += (size_t)n;
			if (some && send(fd, buf, some, MSG_NOSIGNAL) > 0)
				sent += some;
		}
		if (asked || sent < all)
			break;
		n = (int)recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			break;
		(void)BIO_write(in, buf, n);
	}
	SSL_free(ssl);
	return all;
}

static void client_tls_ends(bool rst)
{
	size_t all;
	int fd, o;

	harness_transparent(h, 1, "api.test", 443);
	fd = conn();
	all = tls_up_to(fd, SIZE_MAX);
	o = origin(NULL);
	check(o >= 0, "whole, it reaches the upstream", all);
	close(fd);
	close(o);
	for (size_t cut = 0; cut < all; cut++) {
		fd = conn();
		(void)tls_up_to(fd, cut);
		if (rst)
			reset(fd);
		else
			close(fd);
	}
	check(nobody_came(), "cut, it never does", all);
	nothing_left("nothing is left of a client's ends inside TLS");
}

static void client_tls_stops(void)
{
	int held[24];
	size_t n = 0;

	harness_transparent(h, 1, "api.test", 443);
	for (size_t cut = 1; n < OSH_ARRAY_SIZE(held); cut += 31, n++) {
		held[n] = conn();
		(void)tls_up_to(held[n], cut);
	}
	nothing_left("a client that stops inside TLS is left");
	for (size_t i = 0; i < n; i++)
		close(held[i]);
	while (!nobody_came())
		;
}

/* A body that ends without its end, and without close_notify. */
static void client_truncates(void)
{
	static const char put[] = "PUT /a HTTP/1.1\r\nHost: api.test\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
	int fd, o;
	SSL *ssl = tls(&fd), *up;

	(void)SSL_write(ssl, put, sizeof(put) - 1);
	up = origin_tls(&o);
	check(hear(o, up, "abc"), "the beginning is passed on", 0);
	close(fd);
	(void)hear(o, up, NULL);
	check(!clean && !strstr(got, "0\r\n\r\n"), "the upstream can tell that it is not whole", 0);
	SSL_free(ssl);
	SSL_free(up);
	close(o);
	nothing_left("nothing is left of it");
}

/* ---- an upstream that ends or stops ---- */

/* Once the first bytes are there, so that it is not the dial that fails. */
static void end_unasked(int fd, bool rst)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)poll(&p, 1, 5000);
	if (rst) {
		reset(fd);
		return;
	}
	(void)recv(fd, got, sizeof(got), 0); /* or the kernel would reset */
	close(fd);
}

static void upstream_closes_at_once(bool rst)
{
	int fd = plain(), o;
	SSL *ssl;

	say(fd, get);
	o = origin(NULL);
	end_unasked(o, rst);
	check(hear(fd, NULL, NULL) && starts("HTTP/1.1 502 ") && strstr(got, "\"upstream_closed\""),
	      "closed on accept: 502 upstream_closed", rst);
	close(fd);
	ssl = tls(&fd);
	(void)SSL_write(ssl, tls_get, sizeof(tls_get) - 1);
	o = origin(NULL);
	end_unasked(o, rst);
	check(hear(fd, ssl, NULL) && starts("HTTP/1.1 502 ") &&
		      strstr(got, "\"upstream_tls_failed\""),
	      "closed in the handshake: 502 upstream_tls_failed", rst);
	check(harness_event(h, OSH_REC_TLS, -1, OSH_REASON_TLS_UPSTREAM, 2000, NULL), "logged", 0);
	SSL_free(ssl);
	close(fd);
	nothing_left("nothing is left of it");
}

/*
 * It answers without having read the body and closes, which is a reset behind the answer. The proxy meets
 * all of it at once, and more of the body to send: it must find the answer behind the failed send.
 */
static void upstream_answers_and_resets(bool close_delimited)
{
	static const char put[] =
		"PUT /a HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 300000\r\n\r\n";
	static char body[150000];
	const char *answer = close_delimited
				     ? "HTTP/1.1 409 No\r\n\r\nread me"
				     : "HTTP/1.1 409 No\r\nContent-Length: 7\r\n\r\nread me";
	int fd = plain(), o;

	memset(body, 'b', sizeof(body));
	say(fd, put);
	(void)send(fd, body, sizeof(body), MSG_NOSIGNAL);
	o = origin(NULL);
	(void)poll(NULL, 0, 50);
	(void)kill(harness_proxy_pid(h), SIGSTOP);
	(void)send(fd, body, sizeof(body), MSG_NOSIGNAL | MSG_DONTWAIT);
	say(o, answer);
	close(o); /* with the body unread */
	(void)poll(NULL, 0, 20);
	(void)kill(harness_proxy_pid(h), SIGCONT);
	(void)hear(fd, NULL, NULL);
	if (close_delimited)
		check(!clean && !strstr(got, "\r\n0\r\n"),
		      "an answer that ends with a reset is not complete", 0);
	else
		check(starts("HTTP/1.1 409 ") && strstr(got, "read me"),
		      "the answer in front of a reset is passed on", 0);
	close(fd);
	nothing_left("nothing is left of it");
}

/* It answers the ClientHello with @cut bytes of what it should, and stops. */
static void upstream_tls_stops(void)
{
	for (size_t cut = 0; cut < 700; cut += 70) {
		SSL *ssl, *up = SSL_new(origin_ctx);
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		char buf[8192];
		int fd, o, n;

		SSL_set_bio(up, in, out);
		ssl = tls(&fd);
		(void)SSL_write(ssl, tls_get, sizeof(tls_get) - 1);
		o = origin(NULL);
		n = (int)recv(o, buf, sizeof(buf), 0);
		(void)BIO_write(in, buf, n);
		(void)SSL_accept(up);
		n = BIO_read(out, buf, sizeof(buf));
		(void)send(o, buf, OSH_MIN(cut, (size_t)OSH_MAX(n, 0)), MSG_NOSIGNAL);
		check(hear(fd, ssl, NULL) && starts("HTTP/1.1 502 ") &&
			      strstr(got, "no TLS handshake with the upstream in time"),
		      "silence in the handshake: 502", cut);
		SSL_free(ssl);
		SSL_free(up);
		close(fd);
		close(o);
	}
	nothing_left("nothing is left of it");
}

/* The end of a body that only the connection's end delimits must be authentic. */
static void close_delimited(void)
{
	static const char response[] = "HTTP/1.1 200 OK\r\n\r\nabc";

	for (int how = 0; how < 3; how++) { /* close_notify; FIN without it; RST */
		int fd, o;
		SSL *ssl = tls(&fd), *up;

		(void)SSL_write(ssl, tls_get, sizeof(tls_get) - 1);
		up = origin_tls(&o);
		check(hear(o, up, "\r\n\r\n"), "the request", 0);
		(void)SSL_write(up, response, sizeof(response) - 1);
		check(hear(fd, ssl, "abc"), "the body", (size_t)how);
		if (how == 0)
			(void)SSL_shutdown(up);
		if (how == 2)
			reset(o);
		else
			close(o);
		(void)hear(fd, ssl, NULL);
		check(clean == (how == 0), "the client can tell whether it is whole", (size_t)how);
		check(harness_event(h, OSH_REC_UPSTREAM, -1, OSH_REASON_UPSTREAM_CLOSED,
				    how ? 2000 : 50, NULL) == (how != 0),
		      "and the log says when not", (size_t)how);
		SSL_free(ssl);
		SSL_free(up);
		close(fd);
		nothing_left("nothing is left of it");
	}
	for (int rst = 0; rst < 2; rst++) {
		int fd = plain(), o;

		say(fd, get);
		o = origin("\r\n\r\n");
		say(o, response);
		check(hear(fd, NULL, "abc"), "the body", (size_t)rst);
		if (rst)
			reset(o);
		else
			close(o);
		(void)hear(fd, NULL, NULL);
		check(clean == !rst, "without TLS: FIN is the end, RST is none", (size_t)rst);
		close(fd);
	}
	nothing_left("nothing is left of it");
}

/* ---- alerts and what is no record ---- */

static void upstream_alerts(void)
{
	int fd, o;
	SSL *ssl = tls(&fd), *up;

	(void)SSL_write(ssl, tls_get, sizeof(tls_get) - 1);
	o = origin(NULL);
	(void)recv(o, got, sizeof(got), 0);
	(void)send(o, fatal_alert, sizeof(fatal_alert), MSG_NOSIGNAL);
	check(hear(fd, ssl, NULL) && starts("HTTP/1.1 502 ") &&
		      strstr(got, "\"upstream_tls_failed\""),
	      "an alert in the handshake: 502", 0);
	SSL_free(ssl);
	close(fd);
	close(o);
	for (int begun = 0; begun < 2; begun++) {
		ssl = tls(&fd);
		(void)SSL_write(ssl, tls_get, sizeof(tls_get) - 1);
		up = origin_tls(&o);
		check(hear(o, up, "\r\n\r\n"), "the request", 0);
		if (begun) {
			(void)SSL_write(up, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 40);
			check(hear(fd, ssl, "ab"), "a beginning", 0);
		}
		(void)send(o, no_record, sizeof(no_record), MSG_NOSIGNAL);
		(void)hear(fd, ssl, NULL);
		check(begun ? !clean : starts("HTTP/1.1 502 "),
		      "a forged record: 502, or cut when it had begun", (size_t)begun);
		SSL_free(ssl);
		SSL_free(up);
		close(fd);
		close(o);
	}
	nothing_left("nothing is left of it");
}

static void client_alerts(void)
{
	static const char put[] =
		"PUT /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\nabc";
	int fd, o;
	SSL *ssl, *up;

	/* in place of its second flight */
	harness_transparent(h, 1, "api.test", 443);
	fd = conn();
	(void)tls_up_to(fd, 4096);
	close(fd);
	while (!nobody_came())
		;
	fd = conn();
	ssl = SSL_new(client_ctx);
	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, "api.test");
	SSL_set1_host(ssl, "other.test"); /* it will not like the certificate, and say so */
	check(SSL_connect(ssl) != 1, "no handshake", 0);
	check(harness_event(h, OSH_REC_TLS, -1, OSH_REASON_TLS_CLIENT, 2000, NULL), "logged", 0);
	SSL_free(ssl);
	close(fd);
	/* while its request is under way */
	ssl = tls(&fd);
	(void)SSL_write(ssl, put, sizeof(put) - 1);
	up = origin_tls(&o);
	check(hear(o, up, "abc"), "the beginning is passed on", 0);
	(void)send(fd, no_record, sizeof(no_record), MSG_NOSIGNAL);
	(void)hear(o, up, NULL);
	check(!clean, "a forged record ends both sides", 0);
	SSL_free(ssl);
	SSL_free(up);
	close(fd);
	close(o);
	nothing_left("nothing is left of it");
}

/* ---- half a connection ---- */

static void client_half_closes(void)
{
	static const char connect_raw[] =
		"CONNECT raw.test:7000 HTTP/1.1\r\nHost: raw.test\r\n\r\n";
	SSL *ssl, *up;
	int fd, o;

	fd = plain();
	say(fd, "GET /a HTT");
	(void)shutdown(fd, SHUT_WR);
	check(hear(fd, NULL, NULL) && nobody_came(), "in the head: the end", 0);
	close(fd);

	fd = plain();
	say(fd, get);
	(void)shutdown(fd, SHUT_WR);
	o = origin("\r\n\r\n");
	say(o, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
	check(hear(fd, NULL, "ab"), "after the request: the answer begins", 0);
	say(o, "cd");
	check(hear(fd, NULL, NULL) && starts("cd") && clean, "and ends in order", 0);
	close(fd);
	close(o);

	fd = plain();
	say(fd, "PUT /a HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 9\r\n\r\nabc");
	o = origin("abc");
	(void)shutdown(fd, SHUT_WR);
	(void)hear(o, NULL, NULL);
	check(!got[0], "in the body: the upstream gets no more", 0);
	close(fd);
	close(o);

	harness_explicit(h, 1);
	fd = conn();
	say(fd, "CONNECT raw.test:70");
	(void)shutdown(fd, SHUT_WR);
	check(hear(fd, NULL, NULL) && nobody_came(), "in CONNECT: the end", 0);
	close(fd);

	fd = conn();
	say(fd, connect_raw);
	(void)shutdown(fd, SHUT_WR);
	o = origin(NULL);
	check(hear(o, NULL, NULL) && clean, "after CONNECT: the end is passed on", 0);
	say(o, "still here");
	check(hear(fd, NULL, "still here"), "and the other direction lives", 0);
	close(o);
	check(hear(fd, NULL, NULL) && clean, "to its own end", 0);
	close(fd);

	ssl = tls(&fd);
	(void)SSL_write(ssl, tls_get, sizeof(tls_get) - 1);
	up = origin_tls(&o);
	check(hear(o, up, "\r\n\r\n"), "the request", 0);
	(void)SSL_shutdown(ssl);
	(void)shutdown(fd, SHUT_WR);
	(void)hear(o, up, NULL);
	check(hear(fd, NULL, NULL), "inside TLS it is the end of all", 0);
	SSL_free(ssl);
	SSL_free(up);
	close(fd);
	close(o);
	nothing_left("nothing is left of half-closed clients");
}

static void upstream_half_closes(void)
{
	int fd, o;

	fd = plain();
	say(fd, get);
	o = origin(NULL);
	(void)shutdown(o, SHUT_WR);
	check(hear(fd, NULL, NULL) && starts("HTTP/1.1 502 ") && strstr(got, "\"upstream_closed\""),
	      "before the answer: 502 upstream_closed", 0);
	close(fd);
	close(o);

	fd = plain();
	say(fd, get);
	o = origin("\r\n\r\n");
	say(o, "HTTP/1.1 103 Early Hints\r\n\r\n");
	check(hear(fd, NULL, "103 "), "a hint", 0);
	(void)shutdown(o, SHUT_WR);
	check(hear(fd, NULL, NULL) && strstr(got, "HTTP/1.1 502 "), "after a hint: 502", 0);
	close(fd);
	close(o);

	fd = plain();
	say(fd, "PUT /a HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 6\r\n\r\nabc");
	o = origin("abc");
	say(o, ok);
	(void)shutdown(o, SHUT_WR);
	check(hear(fd, NULL, NULL) && starts("HTTP/1.1 200 ") && strstr(got, "Connection: close"),
	      "answered before the body's end: that answer, then the end", 0);
	close(fd);
	close(o);

	fd = plain();
	say(fd, get);
	o = origin("\r\n\r\n");
	say(o, ok);
	(void)shutdown(o, SHUT_WR);
	check(hear(fd, NULL, "\r\n\r\nok"), "after the answer: it is whole", 0);
	say(fd, get);
	close(o);
	o = origin("\r\n\r\n");
	say(o, ok);
	check(hear(fd, NULL, "\r\n\r\nok"), "and the next request gets another connection", 0);
	close(fd);
	close(o);
	nothing_left("nothing is left of half-closed upstreams");
}

/* ---- out of turn ---- */

/* Answers @text to (or before) a request; the next request must not be answered by what is left of it. */
static void out_of_turn(const char *what, const char *text, const char *late, bool early)
{
	int fd = plain(), o, p;

	if (early) {
		say(fd, get);
		o = origin(NULL);
		say(o, text);
	} else {
		say(fd, get);
		o = origin("\r\n\r\n");
		say(o, text);
	}
	check(hear(fd, NULL, "\r\n\r\nok"), what, 1);
	say(o, late);
	(void)poll(NULL, 0, 30);
	say(fd, get);
	p = origin("\r\n\r\n");
	say(p, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
	check(hear(fd, NULL, "\r\n\r\nnew") && !strstr(got, "evil"), what, 2);
	(void)hear(o, NULL, NULL);
	close(fd);
	close(o);
	close(p);
	nothing_left("nothing is left of it");
}

static void upstream_talks_out_of_turn(void)
{
	static const char two[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
				  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

	out_of_turn("two answers at once", two, "", false);
	out_of_turn("two answers, before the request", two, "", true);
	out_of_turn("a second answer later", ok, two, false);
	out_of_turn("garbage after the answer",
		    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", "", false);
	out_of_turn("garbage after the answer, later", ok, "\r\n", false);
}

/* ---- slow and deaf ---- */

static void slow_body_is_no_crime(void)
{
	int fd = plain(), o;

	say(fd, "PUT /a HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 20\r\n\r\n");
	o = origin("\r\n\r\n");
	for (int i = 0; i < 20; i++) { /* in all longer than the deadline for a byte */
		(void)poll(NULL, 0, 50);
		say(fd, "x");
	}
	check(hear(o, NULL, "xxxxxxxxxx"), "a body in drops is passed on", 0);
	say(o, ok);
	check(hear(fd, NULL, "\r\n\r\nok"), "and answered", 0);
	close(fd);
	close(o);
	nothing_left("nothing is left of it");
}

static long rss_kib(void)
{
	char path[64], text[4096], *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", harness_proxy_pid(h));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	at = strstr(text, "VmRSS:");
	return at ? strtol(at + 6, NULL, 10) : 0;
}

/* Send to all until none takes anything for a while. */
static size_t pour(const int fds[DEAF])
{
	static char block[1 << 16];
	size_t all = 0;

	for (int quiet = 0; quiet < 20;) {
		bool any = false;

		for (int i = 0; i < DEAF; i++) {
			ssize_t n = send(fds[i], block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);

			any |= n > 0;
			all += n > 0 ? (size_t)n : 0;
		}
		quiet = any ? 0 : quiet + 1;
		if (!any)
			(void)poll(NULL, 0, 10);
	}
	return all;
}

/* A gigabyte each; nobody reads. What is not taken must stay where it comes from. */
static void deaf_peers(bool upload)
{
	int fd[DEAF], o[DEAF];
	long before, grown;
	size_t all;

	before = rss_kib();
	for (int i = 0; i < DEAF; i++) {
		fd[i] = plain();
		say(fd[i], upload ? "PUT /a HTTP/1.1\r\nHost: plain.test\r\n"
				    "Content-Length: 1000000000\r\n\r\n"
				  : get);
		o[i] = origin("\r\n\r\n");
		if (!upload)
			say(o[i], "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	}
	all = pour(upload ? fd : o);
	grown = rss_kib() - before;
	snprintf(got, sizeof(got), "%zu bytes on their way, %ld KiB for %d", all, grown, DEAF);
	printf("figure: %s: %s\n", upload ? "deaf upstreams" : "deaf clients", got);
#ifndef __SANITIZE_ADDRESS__
	check(grown < DEAF * DEAF_KIB, "memory is bounded", (size_t)grown);
#endif
	check(all < (size_t)DEAF * 1000000000, "they are stopped", all);
	if (upload) {
		check(hear(fd[0], NULL, NULL) && starts("HTTP/1.1 504 ") &&
			      strstr(got, "\"upstream_timeout\""),
		      "an upstream that takes no body: 504", 0);
	}
	for (int i = 0; i < DEAF; i++) {
		close(fd[i]);
		close(o[i]);
	}
	nothing_left("nothing is left of them");
}

int main(void)
{
	char config[1024];
	uint16_t port;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	origin_fd = tcp_listen(&port);
	snprintf(config, sizeof(config),
		 "{\"hosts\":{\"api.test\":\"127.0.0.1:%u\",\"plain.test\":\"127.0.0.1:%u\","
		 "\"raw.test\":\"127.0.0.1:%u\"},\"timeouts_ms\":{\"handshake\":500,\"sniff\":500,"
		 "\"head\":700,\"body\":700,\"linger\":100,\"upstream_idle\":300}}",
		 port, port, port);
	h = harness_start(config);
	client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_load_verify_locations(client_ctx, harness_ca_file(h), NULL);
	SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
	origin_ctx = harness_origin_ctx(h, "api.test");
	harness_policy(h, "tests/wire/policies/limits.yaml");
	client_tls_ends(false);
	client_tls_ends(true);
	client_tls_stops();
	client_truncates();
	upstream_closes_at_once(false);
	upstream_closes_at_once(true);
	upstream_answers_and_resets(false);
	upstream_answers_and_resets(true);
	upstream_tls_stops();
	close_delimited();
	upstream_alerts();
	client_alerts();
	client_half_closes();
	upstream_half_closes();
	upstream_talks_out_of_turn();
	slow_body_is_no_crime();
	deaf_peers(false);
	deaf_peers(true);
	harness_stop(h);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(origin_ctx);
	close(origin_fd);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
