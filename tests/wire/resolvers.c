/* SPDX-License-Identifier: MIT */
/*
 * Name servers that are silent, broken, hostile or odd: what the client is told, what the log says, and
 * that no answer that is not one leads anywhere. The servers' addresses are internal: 403 ssrf_denied
 * means that an answer was taken.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct harness *h;
static unsigned int passed, failed;
static int udp, tcp, other_port;
static char got[8192];

/* What the server does; both ends of its threads look at it. */
enum mode {
	ANSWER = 0,
	SILENT,
	NOISE, /* the question's id, then bytes without meaning */
	SHORT, /* half a header */
	WRONG_ID, /* and never the right one */
	WRONG_THEN_RIGHT,
	WRONG_PORT, /* from a port that was not asked */
	WRONG_QUESTION,
	NO_ANSWERS,
	NXDOMAIN,
	LOOP, /* a CNAME of itself */
	RCODE, /* of detail */
	LYING_COUNT, /* announces more records than there are */
	BAD_POINTER, /* a compressed name that points at itself */
	TRUNCATED, /* come back by TCP */
	TRUNCATED_SILENT,
	TRUNCATED_CLOSED,
	TRUNCATED_CUT,
	TRUNCATED_EMPTY,
	MANY, /* 100 addresses, number detail is internal, the others are not */
	NO_AAAA, /* is silent about IPv6 */
	NO_A,
};
static volatile enum mode mode;
static volatile int detail;
static volatile unsigned int by_tcp, unanswered;

static void check(bool ok, const char *what, const char *promise)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s: %s; last read: \"%s\"\n", what, promise, got);
	harness_events_print(h);
}

/* ---- the server ---- */

static size_t question_end(const uint8_t *q, size_t n)
{
	size_t at = 12;

	while (at < n && q[at])
		at += 1u + q[at];
	return at + 5 <= n ? at + 5 : n;
}

static size_t add(uint8_t *m, size_t at, uint8_t type, const void *data, size_t n)
{
	const uint8_t rr[12] = { 0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, (uint8_t)n };

	memcpy(m + at, rr, sizeof(rr));
	memcpy(m + at + sizeof(rr), data, n);
	return at + sizeof(rr) + n;
}

/* 0: nothing is said */
static size_t answer(const uint8_t *q, size_t n, uint8_t *m, bool over_tcp)
{
	static const uint8_t self[2] = { 0xc0, 12 };
	uint8_t v4[4] = { 127, 0, 0, 1 }, v6[16] = { [15] = 1 };
	size_t at = question_end(q, n), end = at;
	bool aaaa = at > 12 && q[at - 3] == 28;
	unsigned int records = 1;

	if (mode == SILENT || (mode == NO_AAAA && aaaa) || (mode == NO_A && !aaaa)) {
		unanswered++;
		return 0;
	}
	memcpy(m, q, at);
	m[2] = 0x81;
	m[3] = 0x80;
	m[8] = m[9] = m[10] = m[11] = 0;
	switch (mode) {
	case NOISE:
		memset(m + 2, 0xa5, 60);
		return 62;
	case SHORT:
		return 7;
	case WRONG_ID:
		m[0] ^= 0x55;
		break;
	case WRONG_QUESTION:
		m[13] ^= 1;
		break;
	case NXDOMAIN:
		m[3] |= 3;
		records = 0;
		break;
	case NO_ANSWERS:
		records = 0;
		break;
	case RCODE:
		m[3] = (uint8_t)(0x80 | detail);
		records = 0;
		break;
	case LOOP:
		m[7] = 1;
		return add(m, end, 5, self, sizeof(self));
	case BAD_POINTER:
		m[7] = 1;
		end = add(m, end, 5, "\xc0", 1);
		m[end - 13] = (uint8_t)(end - 13);
		return end;
	case TRUNCATED:
	case TRUNCATED_SILENT:
	case TRUNCATED_CLOSED:
	case TRUNCATED_CUT:
	case TRUNCATED_EMPTY:
		if (over_tcp)
			break;
		m[2] |= 2;
		records = 0;
		break;
	case MANY:
		records = aaaa ? 0 : 100;
		break;
	default:
		break;
	}
	m[6] = 0;
	m[7] = (uint8_t)(mode == LYING_COUNT ? 200 : records);
	for (unsigned int i = 0; i < records; i++) {
		if (mode == MANY && (int)i != detail) {
			const uint8_t public[4] = { 93, 184, 216, (uint8_t)(i + 1) };

			memcpy(v4, public, sizeof(v4));
		} else if (mode == MANY) {
			memcpy(v4, "\x7f\0\0\1", 4);
		}
		end = aaaa ? add(m, end, 28, v6, 16) : add(m, end, 1, v4, 4);
	}
	return end;
}

static void *serve_udp(void *arg)
{
	uint8_t q[512], m[4096];

	(void)arg;
	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(udp, q, sizeof(q), 0, (struct sockaddr *)&from, &len);
		size_t k;

		if (n < 12)
			return NULL;
		k = answer(q, (size_t)n, m, false);
		if (mode == WRONG_THEN_RIGHT) {
			m[0] ^= 0x55;
			(void)sendto(udp, m, k, 0, (struct sockaddr *)&from, len);
			m[0] ^= 0x55;
		}
		if (k)
			(void)sendto(mode == WRONG_PORT ? other_port : udp, m, k, 0,
				     (struct sockaddr *)&from, len);
	}
}

static void *serve_tcp(void *arg)
{
	uint8_t q[514], m[4096];

	(void)arg;
	for (;;) {
		int fd = accept(tcp, NULL, NULL);
		const struct timeval tv = { .tv_sec = 3 };
		ssize_t n;
		size_t k;

		if (fd < 0)
			return NULL;
		by_tcp++;
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		while (mode != TRUNCATED_CLOSED && (n = recv(fd, q, sizeof(q), 0)) > 14) {
			if (mode == TRUNCATED_SILENT)
				continue;
			/* questions come one to a segment, or two in one */
			for (ssize_t at = 0; at + 14 < n; at += 2 + (q[at] << 8 | q[at + 1])) {
				k = answer(q + at + 2, (size_t)(n - at - 2), m + 2, true);
				m[0] = (uint8_t)(k >> 8);
				m[1] = (uint8_t)k;
				if (mode == TRUNCATED_EMPTY)
					m[0] = m[1] = 0;
				(void)send(fd, m, mode == TRUNCATED_CUT ? k / 2 : k + 2,
					   MSG_NOSIGNAL);
			}
			if (mode == TRUNCATED_CUT)
				break;
		}
		close(fd);
	}
}

static int bind_port(int type, uint16_t *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(*port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	const int one = 1;
	socklen_t len = sizeof(sin);

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, len) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 64) < 0) ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) < 0) {
		close(fd);
		return -1;
	}
	*port = ntohs(sin.sin_port);
	return fd;
}

/* ---- questions ---- */

static const char taken[] = "blocked: internal address";

/* The answer has @text, or @other (if not NULL), which other releases of the resolver's library lead to. */
static void ask_or(const char *what, enum mode m, int more, const char *text, const char *other)
{
	const char *status;
	static unsigned int serial;
	char head[256], line[32];
	struct osh_rec rec;
	size_t have = 0;
	ssize_t n;
	int fd;

	mode = m;
	detail = more;
	harness_events_clear(h);
	harness_explicit(h, 1);
	fd = harness_connect(h);
	/* a name each: nothing is known from before */
	snprintf(head, sizeof(head), "CONNECT n%u.odd.test:7000 HTTP/1.1\r\nHost: odd.test\r\n\r\n",
		 ++serial);
	(void)send(fd, head, strlen(head), MSG_NOSIGNAL);
	while ((n = recv(fd, got + have, sizeof(got) - 1 - have, 0)) > 0)
		have += (size_t)n;
	got[have] = '\0';
	close(fd);
	if (other && !strstr(got, text))
		text = other;
	status = text == taken ? "403" : "502";
	snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	check(!strncmp(got, line, strlen(line)), what, status);
	check(strstr(got, text) != NULL, what, text);
	if (!strcmp(status, "502") && !strstr(text, "unreachable"))
		check(harness_event(h, OSH_REC_UPSTREAM, -1, OSH_REASON_DNS_FAILED, 2000, &rec) &&
			      osh_str_is(osh_rec_get(&rec, OSH_REC_DETAIL), text),
		      what, "the log says so");
	if (!strcmp(status, "403"))
		check(harness_event(h, OSH_REC_SSRF, OSH_REC_DENY, -1, 2000, NULL), what,
		      "the log says so");
}

static void ask(const char *what, enum mode m, int more, const char *text)
{
	ask_or(what, m, more, text, NULL);
}

static void start(uint16_t port, unsigned int resolve_ms)
{
	static const char yaml[] = "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n"
				   "      - { host: \"*.odd.test\", port: 7000 }\n"
				   "    binaries: [{ path: /usr/bin/curl }]\n";
	char config[256];

	snprintf(config, sizeof(config),
		 "{\"resolvers\":[\"127.0.0.1:%u\"],\"timeouts_ms\":{\"resolve\":%u,\"dial\":500}}",
		 port, resolve_ms);
	h = harness_start(config);
	harness_policy_text(h, yaml);
}

int main(void)
{
	static const char late[] = "resolver timed out",
			  none[] = "name not found or without address",
			  useless[] = "no resolver gave a usable answer";
	bool own = own_network();
	pthread_t a, b;
	uint64_t dials;
	uint16_t port, zero = 0;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	do {
		port = 0;
		udp = bind_port(SOCK_DGRAM, &port);
		tcp = bind_port(SOCK_STREAM, &port);
	} while (udp < 0 || tcp < 0);
	other_port = bind_port(SOCK_DGRAM, &zero);
	start(port, 2600);
	pthread_create(&a, NULL, serve_udp, NULL);
	pthread_create(&b, NULL, serve_tcp, NULL);

	ask("an answer", ANSWER, 0, taken);
	ask("silence", SILENT, 0, late);
	ask_or("noise", NOISE, 0, late, useless);
	ask_or("half a header", SHORT, 0, late, useless);
	ask("another id", WRONG_ID, 0, late);
	ask("another id, then the right one", WRONG_THEN_RIGHT, 0, taken);
	ask("from another port", WRONG_PORT, 0, late);
	ask("to another question", WRONG_QUESTION, 0, late);
	ask("no answers", NO_ANSWERS, 0, none);
	ask("no such name", NXDOMAIN, 0, none);
	ask("a CNAME of itself", LOOP, 0, none);
	ask("format error", RCODE, 1, useless);
	ask("server failure", RCODE, 2, useless);
	ask("not implemented", RCODE, 4, useless);
	ask("refused", RCODE, 5, useless);
	ask("fewer records than announced", LYING_COUNT, 0, useless);
	ask("a name that points at itself", BAD_POINTER, 0, useless);
	ask("truncated, whole by TCP", TRUNCATED, 0, taken);
	check(by_tcp > 0, "truncated", "TCP was used");
	ask("truncated, silent by TCP", TRUNCATED_SILENT, 0, late);
	/* or what came by UDP, checked like every address */
	ask_or("truncated, closed by TCP", TRUNCATED_CLOSED, 0, useless, taken);
	ask("truncated, cut by TCP", TRUNCATED_CUT, 0, useless);
	ask_or("truncated, empty by TCP", TRUNCATED_EMPTY, 0, useless, late);
	ask("100 addresses, one of the first internal", MANY, 7, taken);
	dials = harness_stat(h, "dials");
	if (own) { /* for public ones are dialled */
		ask("100 addresses", MANY, 50, "upstream_unreachable");
		check(harness_stat(h, "dials") - dials == 16, "100 addresses", "16 are tried");
	}
	/* with time for many repetitions; some releases make the first of them at once */
	harness_stop(h);
	start(port, 30000);
	unanswered = 0;
	ask("no word about IPv6", NO_AAAA, 0, taken);
	ask("no word about IPv4", NO_A, 0, taken);
	check(unanswered <= 4, "no word about a family", "its repetitions were not waited for");
	ask("an answer again", ANSWER, 0, taken);
	check(harness_quiet(h, 3000), "in the end", "nothing is left");
	harness_stop(h);
	(void)shutdown(udp, SHUT_RDWR);
	(void)shutdown(tcp, SHUT_RDWR);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	close(udp);
	close(tcp);
	close(other_port);
	if (!own)
		printf("note: no network namespace of our own\n");
	printf("%u passed, %u failed, %d skipped\n", passed, failed, !own);
	return failed ? 1 : 0;
}
