/* SPDX-License-Identifier: MIT */
#include "key.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct harness *h;
char got[GOT_MAX];
int origin_fd;
uint16_t origin_port;

static unsigned int passed, failed;
static const char *key; /* under test */

void check(bool passes, const char *what)
{
	if (passes) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s: %s; last read: \"%s\"\n", key, what, got);
	harness_events_print(h);
}

void begin(const char *what, const char *limits, const char *timeouts, const char *more)
{
	char config[2048], hosts[512] = "";

	key = what;
	got[0] = '\0';
	if (!strstr(more, "\"hosts\""))
		snprintf(hosts, sizeof(hosts),
			 "\"hosts\":{\"api.test\":\"127.0.0.1:%u\",\"plain.test\":\"127.0.0.1:%u\","
			 "\"raw.test\":\"127.0.0.1:%u\",\"*.raw.test\":\"127.0.0.1:%u\"}%s",
			 origin_port, origin_port, origin_port, origin_port, *more ? "," : "");
	snprintf(config, sizeof(config), "{%s%s,\"limits\":{%s},\"timeouts_ms\":{%s}}", hosts, more,
		 limits, timeouts);
	h = harness_start(config);
	harness_policy(h, "tests/wire/policies/limits.yaml");
}

void end(void)
{
	harness_stop(h);
	for (int fd; (fd = tcp_accept(origin_fd, 0)) >= 0;)
		close(fd);
}

/* ---- talking ---- */

int conn(void)
{
	uint64_t before = harness_stat(h, "accepted");
	int fd = harness_connect(h);

	for (int i = 0; i < 500 && harness_stat(h, "accepted") == before; i++)
		(void)poll(NULL, 0, 2);
	return fd;
}

int plain(void)
{
	harness_transparent(h, 1, "plain.test", 80);
	return conn();
}

int by_connect(const char *host, const char *port)
{
	char head[512];
	int fd;

	harness_explicit(h, 1);
	fd = conn();
	snprintf(head, sizeof(head), "CONNECT %s:%s HTTP/1.1\r\nHost: %s\r\n\r\n", host, port,
		 host);
	(void)send(fd, head, strlen(head), MSG_NOSIGNAL);
	return fd;
}

void say(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

bool hear(int fd, const char *until)
{
	size_t have = 0;
	ssize_t n;

	for (;;) {
		got[have] = '\0';
		if (until && strstr(got, until))
			return true;
		n = recv(fd, got + have, sizeof(got) - 1 - have, 0);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return !until && !(n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

void ends(int fd, const char *status, const char *text, int reason)
{
	char line[64];

	check(hear(fd, NULL), "it ends");
	snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	if (*status)
		check(!strncmp(got, line, strlen(line)), status);
	else
		check(!got[0], "without a word");
	if (text)
		check(strstr(got, text) != NULL, text);
	if (reason >= 0)
		check(harness_event(h, -1, -1, reason, 2000, NULL), "the event says why");
	close(fd);
}

void says(const char *detail)
{
	struct osh_rec rec;

	check(harness_event(h, -1, -1, OSH_REASON_TIMEOUT, 2000, &rec) &&
		      osh_str_is(osh_rec_get(&rec, OSH_REC_DETAIL), detail),
	      detail);
}

void say_hello(int fd, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *out = BIO_new(BIO_s_mem());
	char buf[4096];
	int n;

	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	SSL_set_tlsext_host_name(ssl, name);
	(void)SSL_connect(ssl);
	n = BIO_read(out, buf, sizeof(buf));
	(void)send(fd, buf, (size_t)n, MSG_NOSIGNAL);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

SSL *client_tls(int fd, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);

	SSL_CTX_free(ctx);
	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, name);
	ERR_clear_error();
	return ssl;
}

int origin(void)
{
	char buf[4096];
	int fd = tcp_accept(origin_fd, 5000);

	check(fd >= 0, "the upstream is reached");
	if (fd >= 0)
		(void)recv(fd, buf, sizeof(buf), 0);
	return fd;
}

const char get[] = "GET /a HTTP/1.1\r\nHost: plain.test\r\n\r\n";
const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

void exchange_of(int fd, int *o, const char *request)
{
	char buf[4096];

	say(fd, request);
	if (*o < 0)
		*o = origin();
	else
		(void)recv(*o, buf, sizeof(buf), 0);
	say(*o, ok);
	check(hear(fd, "\r\n\r\nok"), "an answer");
}

void exchange(int fd, int *o)
{
	exchange_of(fd, o, get);
}

int full_port(int family, uint16_t *ret_port, int fill[4])
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&sin
						: (struct sockaddr *)&sin6;
	socklen_t len = family == AF_INET ? sizeof(sin) : sizeof(sin6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, sa, len) < 0 || listen(fd, 0) < 0 || getsockname(fd, sa, &len) < 0)
		die("listen");
	*ret_port = ntohs(family == AF_INET ? sin.sin_port : sin6.sin6_port);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], sa, len);
	}
	return fd;
}

void unfill(int fd, const int fill[4])
{
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	close(fd);
}

static size_t dns_question(uint8_t *m, const char *name)
{
	size_t at = 12;

	memset(m, 0, 12);
	m[2] = m[5] = 1;
	while (*name) {
		size_t n = strcspn(name, ".");

		m[at++] = (uint8_t)n;
		memcpy(m + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	memcpy(m + at, "\0\0\1\0\1", 5);
	return at + 5;
}

int dns_ask(const char *name)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(harness_dns_port(h)),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval tv = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t m[128];

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (sendto(fd, m, dns_question(m, name), 0, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		die("sendto");
	return fd;
}

int dns_code(int fd)
{
	uint8_t m[512];
	ssize_t n = recv(fd, m, sizeof(m), 0);

	close(fd);
	return n < 12 ? -1 : m[3] & 15;
}

void keys_begin(void)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	origin_fd = tcp_listen(&origin_port);
}

int keys_end(void)
{
	close(origin_fd);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
