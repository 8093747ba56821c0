/* SPDX-License-Identifier: MIT */
/*
 * A TLS client that sends much of what is small and costs much: key updates, records
 * of one byte. Other connections are served meanwhile.
 */
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

enum { FLOOD = 150000, SLOWEST_MS = 1000 };

static struct harness *h;
static unsigned int passed, failed;

static void check(bool ok, const char *flood, const char *what, long value)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s: %s (%ld)\n", flood, what, value);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the flood ---- */

struct flood {
	const char *name;
	const char *request; /* first */
	int version;
	int fd;
	SSL *ssl;
	BIO *out;
	bool cut; /* the proxy ended it */
};

static void handshake(struct flood *f)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem());
	static char buf[65536];

	SSL_CTX_set_max_proto_version(ctx, f->version);
	f->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	f->out = BIO_new(BIO_s_mem());
	SSL_set_bio(f->ssl, in, f->out);
	SSL_set_tlsext_host_name(f->ssl, "api.test");
	SSL_set_connect_state(f->ssl);
	f->fd = harness_connect(h);
	for (;;) {
		int r = SSL_do_handshake(f->ssl), n;

		while ((n = BIO_read(f->out, buf, sizeof(buf))) > 0)
			if (send(f->fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
				die("send");
		if (r == 1)
			return;
		n = (int)recv(f->fd, buf, sizeof(buf), 0);
		if (n <= 0)
			die("%s: no handshake", f->name);
		BIO_write(in, buf, n);
	}
}

/* All of it is made before any of it is sent: the sender must not be the slower one. */
static void *blast(void *arg)
{
	struct flood *f = arg;
	char *p;
	long len = BIO_get_mem_data(f->out, &p), at = 0;

	while (at < len) {
		ssize_t n = send(f->fd, p + at, (size_t)OSH_MIN(len - at, 65536L), MSG_NOSIGNAL);

		if (n <= 0) {
			f->cut = true;
			return NULL;
		}
		at += n;
	}
	f->cut = poll(&(struct pollfd){ .fd = f->fd, .events = POLLRDHUP }, 1, 3000) == 1;
	return NULL;
}

static void key_updates(struct flood *f)
{
	for (int i = 0; i < FLOOD; i++)
		if (SSL_key_update(f->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
		    SSL_do_handshake(f->ssl) != 1)
			die("key update");
}

static void small_records(struct flood *f)
{
	if (SSL_write(f->ssl, f->request, (int)strlen(f->request)) <= 0)
		die("request");
	for (int i = 0; i < FLOOD; i++)
		if (SSL_write(f->ssl, "a", 1) != 1)
			die("record");
}

/* What the proxy has computed so far: unlike the clock on the wall not a question of who else does. */
static long proxy_ms(void)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(harness_proxy_pid(h), &clock) != 0 || clock_gettime(clock, &t) < 0)
		die("no clock of the proxy");
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The most that the proxy did before an answer to somebody else while the flood lasts. */
static long slowest(struct flood *f)
{
	static const char ask[] = "GET /x HTTP/1.1\r\nHost: other.test\r\n\r\n";
	long worst = 0, end = now_ms() + 1500;
	pthread_t thread;
	char buf[512];

	if (pthread_create(&thread, NULL, blast, f) != 0)
		die("thread");
	while (now_ms() < end) {
		long from = proxy_ms();
		int fd = harness_connect(h);

		if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0 ||
		    recv(fd, buf, sizeof(buf), 0) <= 0)
			die("%s: somebody else is not answered", f->name);
		close(fd);
		worst = OSH_MAX(worst, proxy_ms() - from);
		(void)poll(NULL, 0, 5);
	}
	pthread_join(thread, NULL);
	return worst;
}

static void run(struct flood f, void (*make)(struct flood *f), bool must_end)
{
	long worst;

	handshake(&f);
	make(&f);
	worst = slowest(&f);
	check(worst < SLOWEST_MS, f.name, "others waited, ms of work", worst);
	if (must_end)
		check(f.cut, f.name, "it was let go on", 0);
	SSL_free(f.ssl);
	close(f.fd);
}

/* A few are as they should be. */
static void modest(void)
{
	struct flood f = { .name = "a few key updates", .version = TLS1_3_VERSION };
	static const char ask[] = "DELETE /x HTTP/1.1\r\nHost: api.test\r\n\r\n";
	char buf[4096], *p;
	long len;
	int n;

	handshake(&f);
	for (int i = 0; i < 50; i++)
		(void)!(SSL_key_update(f.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
			SSL_do_handshake(f.ssl) == 1);
	if (SSL_write(f.ssl, ask, sizeof(ask) - 1) <= 0)
		die("request");
	len = BIO_get_mem_data(f.out, &p);
	if (send(f.fd, p, (size_t)len, MSG_NOSIGNAL) != len)
		die("send");
	n = (int)recv(f.fd, buf, sizeof(buf), 0);
	check(n > 0, f.name, "no answer", n);
	SSL_free(f.ssl);
	close(f.fd);
}

int main(void)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	h = harness_start("{\"hosts\":{\"api.test\":\"127.0.0.1:1\"}}");
	harness_policy(h, "tests/wire/policies/basic.yaml");
	harness_transparent(h, 1, "api.test", 443);
	modest();
	run((struct flood){ .name = "key updates", .version = TLS1_3_VERSION }, key_updates, true);
	run((struct flood){ .name = "small records behind an answer",
			    .version = TLS1_3_VERSION,
			    .request = "BAD\r\n\r\n" },
	    small_records, false);
	run((struct flood){ .name = "small records of a head",
			    .version = TLS1_2_VERSION,
			    .request = "GET /" },
	    small_records, false);
	harness_stop(h);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
