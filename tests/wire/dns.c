/* SPDX-License-Identifier: MIT */
/* The sandbox's name service in the proxy role, over UDP and TCP. */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct harness *h;
static unsigned int passed, failed;

static void check(bool ok, const char *what)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAIL %s\n", what);
	harness_events_print(h);
}

static size_t make_query(uint8_t *m, const char *name, uint16_t type)
{
	size_t at = 12;

	memset(m, 0, 12);
	m[0] = 0x12;
	m[1] = 0x34;
	m[2] = 1; /* recursion desired */
	m[5] = 1;
	while (*name) {
		size_t n = strcspn(name, ".");

		m[at++] = (uint8_t)n;
		memcpy(m + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	m[at++] = 0;
	m[at++] = (uint8_t)(type >> 8);
	m[at++] = (uint8_t)type;
	m[at++] = 0;
	m[at++] = 1;
	return at;
}

struct reply {
	int rcode; /* -1: none came */
	int answers;
	uint8_t addr[16];
	uint32_t ttl_s;
};

static struct reply read_reply(const uint8_t *m, ssize_t n, size_t question_end, size_t addr_len)
{
	struct reply r = { .rcode = -1 };

	if (n < 12 || m[0] != 0x12 || m[1] != 0x34 || !(m[2] & 0x80))
		return r;
	r.rcode = m[3] & 15;
	r.answers = m[6] << 8 | m[7];
	if (r.answers && (size_t)n >= question_end + 12 + addr_len) {
		const uint8_t *rr = m + question_end;

		r.ttl_s = (uint32_t)rr[6] << 24 | (uint32_t)rr[7] << 16 | (uint32_t)rr[8] << 8 |
			  rr[9];
		memcpy(r.addr, rr + 12, addr_len);
	}
	return r;
}

static struct reply ask_raw(const uint8_t *msg, size_t n, size_t addr_len)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(harness_dns_port(h)),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval tv = { .tv_sec = 1 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t got[2048];
	struct reply r;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (sendto(fd, msg, n, 0, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		die("sendto");
	r = read_reply(got, recv(fd, got, sizeof(got), 0), n, addr_len);
	close(fd);
	return r;
}

static struct reply ask(const char *name, uint16_t type)
{
	uint8_t m[512];

	return ask_raw(m, make_query(m, name, type), type == 28 ? 16 : 4);
}

static void known_names(void)
{
	static const uint8_t v4[4] = { 198, 18, 0, HARNESS_HOST_ID };
	static const uint8_t v6[16] = {
		0xfd, 0x23, 0x6f, 0x70, 0x65, 0x6e, [15] = HARNESS_HOST_ID
	};
	struct reply a = ask("api.test", 1), b, c;

	check(a.rcode == 0 && a.answers == 1 && !memcmp(a.addr, v4, 4), "A of a known name");
	check(a.ttl_s > 0 && a.ttl_s <= 30, "short TTL");
	b = ask("API.Test", 1);
	check(b.answers == 1 && !memcmp(b.addr, v4, 4), "the case of a name does not matter");
	c = ask("api.test", 28);
	check(c.rcode == 0 && c.answers == 1 && !memcmp(c.addr, v6, 16), "AAAA of a known name");
	a = ask("raw.test", 1);
	check(a.answers == 1 && memcmp(a.addr, v4, 4) != 0, "another name, another address");
	b = ask("x.raw.test", 1);
	check(b.answers == 1 && memcmp(a.addr, b.addr, 4) != 0, "a name that a wildcard matches");
	a = ask("api.test", 65);
	check(a.rcode == 0 && a.answers == 0, "HTTPS is empty");
	a = ask("api.test", 16);
	check(a.rcode == 0 && a.answers == 0, "TXT is empty");
}

static void refused_names(void)
{
	struct osh_rec rec;
	struct reply r;

	harness_events_clear(h);
	r = ask("evil.test", 1);
	check(r.rcode == 5 && r.answers == 0, "an unknown name is refused");
	check(harness_event(h, OSH_REC_DNS, OSH_REC_DENY, OSH_REASON_DNS_REFUSED, 2000, &rec),
	      "which is logged");
	check(osh_str_is(osh_rec_get(&rec, OSH_REC_HOST), "evil.test"), "with the name");
	check(osh_str_is(osh_rec_get(&rec, OSH_REC_BINARY), "/usr/bin/curl"), "and the binary");
	harness_events_clear(h);
	(void)ask("evil.test", 28);
	check(!harness_event(h, OSH_REC_DNS, -1, -1, 100, NULL), "once");
	(void)ask("1.0.0.127.in-addr.arpa", 12);
	check(!harness_event(h, OSH_REC_DNS, -1, -1, 100, NULL), "and not for reverse lookups");
	check(ask("raw.test.evil.test", 1).rcode == 5, "an allowed name as a prefix");
	check(ask("xraw.test", 1).rcode == 5, "a name that only ends alike");
}

static void odd_messages(void)
{
	uint8_t m[600];
	size_t n = make_query(m, "api.test", 1);

	m[2] |= 0x80;
	check(ask_raw(m, n, 4).rcode == -1, "a response is not answered");
	n = make_query(m, "api.test", 1);
	check(ask_raw(m, 11, 4).rcode == -1, "half a header is not answered");
	n = make_query(m, "api.test", 1);
	m[5] = 2;
	check(ask_raw(m, n, 4).rcode == 1, "two questions");
	n = make_query(m, "api.test", 1);
	m[2] = 0x11; /* IQUERY-like opcode */
	check(ask_raw(m, n, 4).rcode == 4, "another opcode");
	n = make_query(m, "a%b.test", 1);
	check(ask_raw(m, n, 4).rcode == 5, "a name with odd bytes");
	n = make_query(m, "api.test", 1);
	m[n - 1] = 3; /* CHAOS */
	check(ask_raw(m, n, 4).rcode != 0, "another class");
}

static void over_tcp(void)
{
	uint8_t m[600], got[600];
	size_t n = make_query(m + 2, "api.test", 1);
	int fd = tcp_connect(harness_dns_tcp_port(h));
	struct reply r;
	ssize_t have = 0, k;

	m[0] = 0;
	m[1] = (uint8_t)n;
	/* two queries, cut at an odd place */
	memcpy(m + 2 + n, m, 2 + n);
	if (send(fd, m, 7, 0) != 7 || send(fd, m + 7, 2 * (n + 2) - 7, 0) < 0)
		die("send");
	while (have < 2 * (ssize_t)(n + 16 + 2) &&
	       (k = recv(fd, got + have, sizeof(got) - (size_t)have, 0)) > 0)
		have += k;
	r = read_reply(got + 2, have - 2, n, 4);
	check(r.rcode == 0 && r.answers == 1 && r.addr[0] == 198, "TCP: first answer");
	check(have == 2 * (ssize_t)(n + 16 + 2), "TCP: both answers");
	m[0] = 0xff;
	if (send(fd, m, 2, 0) != 2)
		die("send");
	check(recv(fd, got, sizeof(got), 0) <= 0, "TCP: an overlong message ends it");
	close(fd);
}

int main(void)
{
	h = harness_start("{}");
	harness_explicit(h, 1);
	harness_rec(h)->kind = OSH_FLOW_DNS_TCP;
	check(ask("api.test", 1).rcode == -1, "before the first policy questions wait");
	harness_policy(h, "tests/wire/policies/basic.yaml");
	known_names();
	refused_names();
	odd_messages();
	over_tcp();
	harness_stop(h);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
