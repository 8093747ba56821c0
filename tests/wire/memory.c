/* SPDX-License-Identifier: MIT */
/*
 * Every allocation that the proxy makes for a connection fails once: the first one in the first round,
 * the second one in the second, and so on until a round has none left to fail. That connection may end
 * however it likes, but it ends; the process lives, and the next one is served.
 */
#include "harness.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Shared with the proxy process. */
static struct {
	int pid;
	unsigned int left; /* the one that brings it to 0 fails */
	unsigned int failed;
} * fault;

static struct harness *h;
static unsigned int passed, failed;
static int origin_fd;
static SSL_CTX *client_ctx, *origin_ctx;

#ifndef __SANITIZE_ADDRESS__ /* which has its own */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool fails(void)
{
	if (!fault || !fault->left || fault->pid != getpid() || --fault->left)
		return false;
	fault->failed++;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
#endif

static void check(bool ok, const char *what, unsigned int at)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s, allocation %u\n", what, at);
	harness_events_print(h);
}

/* To the end of its body, which is "abc". */
static bool read_request(int fd, SSL *ssl)
{
	char buf[4096];
	size_t have = 0;
	int n;

	do {
		n = ssl ? SSL_read(ssl, buf + have, (int)(sizeof(buf) - 1 - have))
			: (int)recv(fd, buf + have, sizeof(buf) - 1 - have, 0);
		have += n > 0 ? (size_t)n : 0;
		buf[have] = '\0';
	} while (n > 0 && !strstr(buf, "abc"));
	return n > 0;
}

/* Serves one request per connection, with TLS where the other end speaks it. */
static void *origin(void *arg)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				 "2\r\nok\r\n0\r\n\r\n";
	char buf[4096];
	int fd;

	(void)arg;
	while ((fd = tcp_accept(origin_fd, -1)) >= 0) {
		SSL *ssl = NULL;

		if (recv(fd, buf, 1, MSG_PEEK) == 1 && buf[0] == 0x16) {
			ssl = SSL_new(origin_ctx);
			SSL_set_fd(ssl, fd);
			if (SSL_accept(ssl) == 1 && read_request(fd, ssl)) {
				(void)SSL_write(ssl, ok, sizeof(ok) - 1);
				(void)SSL_read(ssl, buf, sizeof(buf)); /* until it is given up */
			}
		} else if (read_request(fd, NULL)) {
			(void)send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL);
			(void)recv(fd, buf, sizeof(buf), 0);
		}
		SSL_free(ssl);
		close(fd);
	}
	return NULL;
}

/* Another caller each time: they are known to the proxy for a while only. */
static uint32_t somebody(void)
{
	static uint32_t serial;

	return 2 + serial++ % 60;
}

/* Everything that comes, until its end or the last chunk. */
static bool read_answer(int fd, SSL *ssl)
{
	char buf[8192];
	size_t have = 0;
	int n;

	do {
		ERR_clear_error();
		n = ssl ? SSL_read(ssl, buf + have, (int)(sizeof(buf) - 1 - have))
			: (int)recv(fd, buf + have, sizeof(buf) - 1 - have, 0);
		if (n > 0)
			have += (size_t)n;
		buf[have] = '\0';
	} while (n > 0 && !strstr(buf, "\r\n0\r\n\r\n"));
	return n > 0 && !strncmp(buf, "HTTP/1.1 200 ", 13);
}

/* Two requests in drops, so that every buffer is used. */
static bool ask(int fd, SSL *ssl, const char *host)
{
	char req[256];
	int n = snprintf(req, sizeof(req),
			 "PUT /a HTTP/1.1\r\nHost: %s\r\nContent-Length: 3\r\n\r\n", host);
	bool good = true;

	for (int i = 0; i < 2 && good; i++) {
		if (ssl) {
			(void)SSL_write(ssl, req, 10);
			(void)SSL_write(ssl, req + 10, n - 10);
			(void)SSL_write(ssl, "abc", 3);
		} else {
			(void)send(fd, req, 10, MSG_NOSIGNAL);
			(void)poll(NULL, 0, 1);
			(void)send(fd, req + 10, (size_t)n - 10, MSG_NOSIGNAL);
			(void)send(fd, "abc", 3, MSG_NOSIGNAL);
		}
		good = read_answer(fd, ssl);
	}
	return good;
}

static bool by_tls(void)
{
	char buf[256];
	SSL *ssl;
	bool good = false;
	int fd;

	harness_explicit(h, somebody());
	fd = harness_connect(h);
	(void)send(fd, "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n", 49, MSG_NOSIGNAL);
	if (recv(fd, buf, sizeof(buf), 0) > 12 && !memcmp(buf + 9, "200", 3)) {
		ssl = SSL_new(client_ctx);
		SSL_set_fd(ssl, fd);
		SSL_set_tlsext_host_name(ssl, "api.test");
		ERR_clear_error();
		good = SSL_connect(ssl) == 1 && ask(fd, ssl, "api.test");
		SSL_free(ssl);
	}
	close(fd);
	return good;
}

static bool by_plain(void)
{
	bool good;
	int fd;

	harness_transparent(h, somebody(), "plain.test", 80);
	fd = harness_connect(h);
	good = ask(fd, NULL, "plain.test");
	close(fd);
	return good;
}

static bool by_tunnel(void)
{
	static unsigned int serial;
	char buf[256];
	bool good = false;
	int fd, n;

	harness_explicit(h, somebody());
	fd = harness_connect(h);
	n = snprintf(buf, sizeof(buf),
		     "CONNECT n%u.raw.test:7000 HTTP/1.1\r\nHost: raw.test\r\n\r\n", serial++);
	(void)send(fd, buf, (size_t)n, MSG_NOSIGNAL);
	if (recv(fd, buf, sizeof(buf), 0) > 12 && !memcmp(buf + 9, "200", 3)) {
		(void)send(fd, "abc", 3, MSG_NOSIGNAL);
		good = read_answer(fd, NULL);
	}
	close(fd);
	return good;
}

static bool by_unknown_name(void)
{
	char buf[512] = "";
	int fd;

	harness_explicit(h, somebody());
	fd = harness_connect(h);
	(void)send(fd, "CONNECT unknown.test:7000 HTTP/1.1\r\nHost: u\r\n\r\n", 48, MSG_NOSIGNAL);
	(void)!recv(fd, buf, sizeof(buf) - 1, 0);
	close(fd);
	return !strncmp(buf, "HTTP/1.1 502 ", 13);
}

static bool denied(void)
{
	char buf[512] = "";
	int fd;

	harness_transparent(h, somebody(), "plain.test", 80);
	fd = harness_connect(h);
	(void)send(fd, "DELETE /a HTTP/1.1\r\nHost: plain.test\r\n\r\n", 40, MSG_NOSIGNAL);
	(void)!recv(fd, buf, sizeof(buf) - 1, 0);
	close(fd);
	return !strncmp(buf, "HTTP/1.1 403 ", 13);
}

/* One round. @ret_failed: the allocation was met. */
static bool one(bool (*what)(void), unsigned int n, bool *ret_failed)
{
	unsigned int before = fault->failed;
	bool good;

	fault->left = n;
	good = what();
	fault->left = 0; /* what the monitor asks is not part of it */
	*ret_failed = fault->failed != before;
	return good;
}

static void each(bool (*what)(void), const char *name)
{
	unsigned int n = 1, needed = 0, rounds = 0;
	bool met = true;

	check(what(), name, 0);
	check(harness_quiet(h, 5000), "nothing is left", 0);
	while (n < 5000) {
		bool good = one(what, n, &met);

		if (!harness_quiet(h, 5000)) {
			check(false, name, n);
			break;
		}
		/* a failed certificate is remembered for a second: what ends early has not got there */
		for (int i = 0; i < 30 && !met && !good; i++) {
			(void)poll(NULL, 0, 100);
			good = one(what, n, &met);
		}
		if (!met)
			break; /* it has fewer */
		needed += !good;
		if (++rounds % 16 == 0)
			check(what() || (poll(NULL, 0, 1100), what()), "the next one is served", n);
		n += n < 150 ? 1 : 61; /* of the many inside of libcrypto a sample */
	}
	check(!met, "it comes to an end", n);
	check(what() || (poll(NULL, 0, 1100), what()), "and all is well", n);
	printf("figure: %s: %u allocations, %u failed, %u of them were needed\n", name, n - 1,
	       rounds, needed);
}

int main(void)
{
	char config[1024];
	pthread_t t;
	uint16_t port;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	fault = mmap(NULL, sizeof(*fault), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (fault == MAP_FAILED)
		die("mmap");
	origin_fd = tcp_listen(&port);
	snprintf(config, sizeof(config),
		 "{\"hosts\":{\"api.test\":\"127.0.0.1:%u\",\"plain.test\":\"127.0.0.1:%u\","
		 "\"*.raw.test\":\"127.0.0.1:%u\"},\"resolvers\":[\"127.0.0.1:1\"],"
		 "\"limits\":{\"idle_upstream\":0,\"identities\":4,\"sites\":16},"
		 "\"timeouts_ms\":{\"head\":1000,\"idle\":1000,\"handshake\":1000,\"sniff\":1000,"
		 "\"identity\":1000,\"resolve\":1000,\"dial\":1000,\"body\":1000,\"response\":1000,"
		 "\"stream\":1000,\"tunnel\":1000,\"half_close\":500,\"linger\":100}}",
		 port, port, port);
	h = harness_start(config);
	client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_load_verify_locations(client_ctx, harness_ca_file(h), NULL);
	SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
	origin_ctx = harness_origin_ctx(h, "api.test");
	harness_policy(h, "tests/wire/policies/limits.yaml");
	for (uint32_t exe = 2; exe < 62; exe++)
		harness_exe(h, exe, "/usr/bin/curl");
	pthread_create(&t, NULL, origin, NULL);
	fault->pid = harness_proxy_pid(h);
	each(denied, "a denied request");
	each(by_plain, "requests without TLS");
	each(by_tunnel, "a tunnel");
	each(by_unknown_name, "a name without address");
	each(by_tls, "requests inside TLS");
	fault->left = 0;
	harness_stop(h);
	(void)shutdown(origin_fd, SHUT_RDWR);
	pthread_join(t, NULL);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(origin_ctx);
	close(origin_fd);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
