/* SPDX-License-Identifier: MIT */
/*
 * The operator's upstream proxy, played by this process: its answer cut, split and reset at every byte,
 * clients that leave and policies that change while it is asked, bytes where none may be.
 */
#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct harness *h;
static unsigned int passed, failed;
static int proxy_fd;

static const char answer[] = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
static const char banner[] = "SSH-2.0-far\r\n";
static const char established[] = "HTTP/1.1 200 Connection Established\r\n\r\n";
static const char ask_raw[] = "CONNECT raw.test:7000 HTTP/1.1\r\nHost: raw.test:7000\r\n\r\n";
static const char ask_api[] = "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n";
static const char get_plain[] = "GET http://plain.test/a HTTP/1.1\r\nHost: plain.test\r\n\r\n";

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

static void put(int fd, const char *bytes, size_t n)
{
	(void)send(fd, bytes, n, MSG_NOSIGNAL);
}

static void end(int fd, bool rst)
{
	const struct linger linger = { .l_onoff = 1 };

	if (rst)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* Until @n bytes are there, or the end. The receive timeout of the harness bounds it. */
static size_t get(int fd, char *buf, size_t size, size_t n)
{
	size_t have = 0;

	while (have < n && have < size - 1) {
		ssize_t got = recv(fd, buf + have, size - 1 - have, 0);

		if (got <= 0)
			break;
		have += (size_t)got;
	}
	buf[have] = '\0';
	return have;
}

static int client(const char *request)
{
	int fd;

	harness_explicit(h, 1);
	fd = harness_connect(h);
	put(fd, request, strlen(request));
	return fd;
}

/* Accept what the role dials and take its CONNECT, which must be exactly this. */
static int asked(const char *target, size_t at)
{
	char buf[1024], want[256];
	int fd = tcp_accept(proxy_fd, 3000), n;

	if (fd < 0)
		die("the upstream proxy is not dialled");
	n = snprintf(want, sizeof(want), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target);
	(void)get(fd, buf, sizeof(buf), (size_t)n);
	check(strcmp(buf, want) == 0, "exact CONNECT", at);
	return fd;
}

static void answers_cut_short(bool rst)
{
	char buf[2048];

	for (size_t cut = 0; cut < sizeof(answer) - 1; cut++) {
		int c = client(ask_raw), p = asked("[2606:2800::22]:7000", cut);

		put(p, answer, cut);
		end(p, rst);
		(void)get(c, buf, sizeof(buf), sizeof(buf) - 1);
		check(strncmp(buf, "HTTP/1.1 502", 12) == 0, "502", cut);
		check(strstr(buf, "closed the connection without an answer") != NULL, "reason",
		      cut);
		close(c);
	}
	check(harness_quiet(h, 3000), "nothing left of answers cut short", 0);
}

/* In two pieces, the split anywhere in answer and banner: the relay gets the banner, and works. */
static void answers_split(void)
{
	char whole[sizeof(answer) + sizeof(banner)], buf[2048];
	size_t n = (size_t)snprintf(whole, sizeof(whole), "%s%s", answer, banner);
	const size_t want = sizeof(established) - 1 + sizeof(banner) - 1;

	for (size_t cut = 1; cut < n; cut++) {
		int c = client(ask_raw), p = asked("[2606:2800::22]:7000", cut);

		put(p, whole, cut);
		if (cut < sizeof(answer) - 1)
			(void)poll(NULL, 0, 1); /* so that it is read as two */
		put(p, whole + cut, n - cut);
		(void)get(c, buf, sizeof(buf), want);
		check(strncmp(buf, established, sizeof(established) - 1) == 0 &&
			      strcmp(buf + sizeof(established) - 1, banner) == 0,
		      "established, then the banner", cut);
		put(c, "hello", 5);
		check(get(p, buf, sizeof(buf), 5) == 5 && !strcmp(buf, "hello"), "upwards", cut);
		close(p);
		close(c);
	}
	check(harness_quiet(h, 3000), "nothing left of split answers", 0);
}

static void bytes_where_none_may_be(void)
{
	static const struct {
		const char *request, *target;
	} rows[] = { { ask_api, "93.184.216.34:443" }, { get_plain, "93.184.216.35:80" } };
	char buf[2048];

	for (size_t i = 0; i < OSH_ARRAY_SIZE(rows); i++) {
		int c = client(rows[i].request), p = asked(rows[i].target, i);

		put(p, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		    61);
		(void)get(c, buf, sizeof(buf), sizeof(buf) - 1);
		check(strncmp(buf, "HTTP/1.1 502", 12) == 0 && !strstr(buf, "evil"), "502", i);
		check(strstr(buf, "sent more than its answer") != NULL, "reason", i);
		close(p);
		close(c);
	}
	check(harness_quiet(h, 3000), "nothing left of early bytes", 0);
}

/* The request goes through the tunnel, in origin form. */
static void plain_requests_pass(void)
{
	static const char want[] = "GET /a HTTP/1.1\r\nHost: plain.test\r\n"
				   "Via: 1.1 openshell-sandbox\r\n\r\n";
	char buf[2048];
	int c = client(get_plain), p = asked("93.184.216.35:80", 0);

	put(p, answer, sizeof(answer) - 1);
	(void)get(p, buf, sizeof(buf), sizeof(want) - 1);
	check(strcmp(buf, want) == 0, "request in the tunnel", 0);
	put(p, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", 41);
	(void)get(c, buf, sizeof(buf), sizeof(buf) - 1);
	check(strstr(buf, "\r\n\r\nyes") != NULL, "answer from the tunnel", 0);
	close(c);
	/* pooled: the next one needs no CONNECT */
	c = client(get_plain);
	(void)get(p, buf, sizeof(buf), sizeof(want) - 1);
	check(strcmp(buf, want) == 0, "request in the same tunnel", 1);
	put(p, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo", 41);
	(void)get(c, buf, sizeof(buf), sizeof(buf) - 1);
	check(strstr(buf, "\r\n\r\ntwo") != NULL, "answer from the same tunnel", 1);
	close(c);
	close(p);
}

static void clients_leave(bool rst)
{
	char buf[64];

	for (size_t cut = 0; cut < sizeof(answer) - 1; cut += 7) {
		int c = client(ask_raw), p = asked("[2606:2800::22]:7000", cut);

		put(p, answer, cut);
		end(c, rst);
		if (!rst) /* half-closed is not gone: then the deadline is what ends it */
			put(p, answer + cut, sizeof(answer) - 1 - cut);
		check(get(p, buf, sizeof(buf), 1) == 0, "the proxy is let go", cut);
		close(p);
	}
	check(harness_quiet(h, 5000), "nothing left of clients that leave", 0);
}

static void policies_change(void)
{
	char buf[2048];

	for (int early = 0; early < 2; early++) {
		int c = client(ask_raw), p = asked("[2606:2800::22]:7000", (size_t)early);

		if (early)
			put(p, answer, 20);
		harness_policy(h, "tests/wire/policies/narrow.yaml");
		put(p, answer + (early ? 20 : 0), sizeof(answer) - 1 - (early ? 20 : 0));
		put(p, banner, sizeof(banner) - 1);
		(void)get(c, buf, sizeof(buf), sizeof(buf) - 1);
		check(!strstr(buf, " 200 ") && !strstr(buf, "SSH"), "refused since", (size_t)early);
		close(c);
		close(p);
		harness_policy(h, "tests/wire/policies/basic.yaml");
	}
	check(harness_quiet(h, 3000), "nothing left of a policy before", 0);
}

static void silence_ends(void)
{
	char buf[2048];
	int c = client(ask_raw), p = asked("[2606:2800::22]:7000", 0);

	put(p, answer, 30);
	(void)get(c, buf, sizeof(buf), sizeof(buf) - 1);
	check(strstr(buf, "did not answer in time") != NULL, "reason", 0);
	close(c);
	check(get(p, buf, sizeof(buf), 1) == 0, "the proxy is let go", 0);
	close(p);
}

int main(void)
{
	uint16_t port;
	char config[1024];

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	proxy_fd = tcp_listen(&port);
	snprintf(
		config, sizeof(config),
		"{\"hosts\":{\"api.test\":\"93.184.216.34\",\"plain.test\":\"93.184.216.35\","
		"\"raw.test\":\"2606:2800::22\"},"
		"\"upstream_proxy\":{\"https\":\"http://127.0.0.1:%u\",\"http\":\"http://127.0.0.1:%u\"},"
		"\"timeouts_ms\":{\"upstream_proxy\":1000,\"linger\":200,\"half_close\":500}}",
		port, port);
	h = harness_start(config);
	harness_policy(h, "tests/wire/policies/basic.yaml");
	answers_cut_short(false);
	answers_cut_short(true);
	answers_split();
	bytes_where_none_may_be();
	plain_requests_pass();
	clients_leave(true);
	clients_leave(false);
	policies_change();
	silence_ends();
	harness_stop(h);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
