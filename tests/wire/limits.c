/* SPDX-License-Identifier: MIT */
#include "key.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void l_connections(const char *which)
{
	char limits[64];
	int a, b;

	snprintf(limits, sizeof(limits), "\"%s\":1", which);
	begin(which, limits, "", "");
	harness_explicit(h, 1);
	a = conn();
	say(a, "CONNECT ");
	b = conn();
	ends(b, "503", "{\"detail\":\"too many connections\",\"error\":\"overloaded\"}", -1);
	harness_transparent(h, 1, "plain.test", 80);
	ends(conn(), "", NULL, -1);
	check(harness_stat(h, "shed") == 2, "they are counted");
	close(a);
	check(harness_quiet(h, 3000), "then there is room");
	end();
}

static void say_long_head(int fd, const char *first, unsigned int n)
{
	say(fd, first);
	for (unsigned int i = 0; i < n; i++)
		say(fd, "X-Some-Field: some value that takes some room\r\n");
	say(fd, "\r\n");
}

static void l_heads(void)
{
	int fd, o;

	begin("limits.head_bytes", "\"head_bytes\":300", "", "");
	fd = plain();
	say_long_head(fd, "GET /a HTTP/1.1\r\nHost: plain.test\r\n", 8);
	ends(fd, "431", "\"request_head_too_large\"", OSH_REASON_HTTP_TOO_LARGE);
	fd = plain();
	say(fd, get);
	o = origin();
	say_long_head(o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", 8);
	ends(fd, "502", "\"invalid_upstream_response\"", OSH_REASON_HTTP_RESPONSE);
	close(o);
	harness_explicit(h, 1);
	fd = conn();
	say_long_head(fd, "CONNECT raw.test:7000 HTTP/1.1\r\nHost: raw.test\r\n", 8);
	check(hear(fd, "\r\n\r\n") && !strncmp(got, "HTTP/1.1 200 ", 13), "not that of CONNECT");
	close(fd);
	end();
	begin("limits.connect_head_bytes", "\"connect_head_bytes\":300", "", "");
	harness_explicit(h, 1);
	fd = conn();
	say_long_head(fd, "CONNECT raw.test:7000 HTTP/1.1\r\nHost: raw.test\r\n", 8);
	ends(fd, "431", "\"request_head_too_large\"", OSH_REASON_HTTP_TOO_LARGE);
	end();
	begin("limits.fields", "\"fields\":8", "", "");
	fd = plain();
	say_long_head(fd, "GET /a HTTP/1.1\r\nHost: plain.test\r\n", 8);
	ends(fd, "431", "\"request_head_too_large\"", OSH_REASON_HTTP_TOO_LARGE);
	end();
}

static void l_sites(void)
{
	char name[32];
	int fd[17], o[16];

	begin("limits.sites", "\"sites\":16", "", "");
	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "n%d.raw.test", i);
		fd[i] = by_connect(name, "7000");
		check(hear(fd[i], "\r\n\r\n"), "a tunnel each");
		o[i] = tcp_accept(origin_fd, 5000);
	}
	fd[16] = by_connect("n16.raw.test", "7000");
	ends(fd[16], "503", "too many host names in use at once", OSH_REASON_LIMIT);
	harness_events_clear(h);
	harness_transparent(h, 1, "n17.raw.test", 7000);
	ends(conn(), "", NULL, OSH_REASON_LIMIT);
	close(fd[0]);
	close(o[0]);
	for (int i = 0; i < 200 && harness_stat(h, "connections") > 15; i++)
		(void)poll(NULL, 0, 10);
	fd[0] = by_connect("n16.raw.test", "7000");
	check(hear(fd[0], "\r\n\r\n") && !strncmp(got, "HTTP/1.1 200 ", 13),
	      "one that is not in use makes room");
	for (int i = 0; i < 16; i++)
		close(fd[i]);
	for (int i = 1; i < 16; i++)
		close(o[i]);
	end();
}

static void l_identities(void)
{
	begin("limits.identities", "\"identities\":4", "", "");
	for (uint32_t exe = 1; exe < 20; exe++) {
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/usr/bin/x%u", exe);
		harness_exe(h, exe, path);
		harness_explicit(h, exe);
		fd = conn();
		say(fd, "CONNECT evil.test:1 HTTP/1.1\r\nHost: evil.test\r\n\r\n");
		ends(fd, "403", "policy_denied", -1);
	}
	check(harness_quiet(h, 3000), "all have gone");
	check(harness_stat(h, "identities") <= 4, "the oldest are forgotten");
	end();
}

static void l_idle_upstream(const char *which)
{
	char limits[64];
	int a, b, oa = -1, ob;

	snprintf(limits, sizeof(limits), "\"%s\":1", which);
	begin(which, limits, "", "");
	a = plain();
	b = plain();
	say(a, get);
	oa = origin();
	say(b, get);
	ob = origin();
	say(oa, ok);
	check(hear(a, "\r\n\r\nok"), "an answer");
	say(ob, ok);
	check(hear(b, "\r\n\r\nok"), "an answer");
	check(hear(oa, NULL), "the older one is closed");
	check(harness_stat(h, "idle_upstream") == 1, "one is kept");
	close(a);
	close(b);
	close(oa);
	close(ob);
	end();
}

static void l_drain(void)
{
	static const char post[] =
		"DELETE /a HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 20\r\n\r\n"
		"01234567890123456789";
	int fd, o = -1;

	begin("limits.drain_bytes", "\"drain_bytes\":20", "", "");
	fd = plain();
	say(fd, post);
	check(hear(fd, "}") && !strncmp(got, "HTTP/1.1 403 ", 13), "denied");
	exchange(fd, &o);
	close(fd);
	close(o);
	end();
	begin("limits.drain_bytes", "\"drain_bytes\":19", "", "");
	fd = plain();
	say(fd, post);
	ends(fd, "403", "Connection: close", -1);
	end();
}

static void l_linger(void)
{
	static const char much[4000] = { 0 };
	int fd;

	begin("limits.linger_bytes", "\"linger_bytes\":1000", "\"linger\":60000", "");
	fd = plain();
	say(fd, "nonsense\r\n\r\n");
	check(hear(fd, NULL), "a final answer");
	(void)send(fd, much, 500, MSG_NOSIGNAL);
	(void)poll(NULL, 0, 50);
	check(harness_stat(h, "connections") == 1, "a little is dropped");
	(void)send(fd, much, sizeof(much), MSG_NOSIGNAL);
	check(harness_quiet(h, 3000), "more ends it");
	close(fd);
	end();
}

static void l_dns(void)
{
	int a, b;

	begin("limits.dns_tcp", "\"dns_tcp\":1", "", "");
	harness_explicit(h, 1);
	harness_rec(h)->kind = OSH_FLOW_DNS_TCP;
	a = tcp_connect(harness_dns_tcp_port(h));
	for (int i = 0; i < 200 && !harness_stat(h, "dns_connections"); i++)
		(void)poll(NULL, 0, 10);
	b = tcp_connect(harness_dns_tcp_port(h));
	check(hear(b, NULL), "the second one is closed");
	check(harness_stat(h, "dns_connections") == 1, "the first one stays");
	close(a);
	close(b);
	end();
	begin("limits.dns_waits", "\"dns_waits\":1", "\"dns_wait\":60000", "");
	harness_monitor_mute(h, true);
	harness_rec(h)->kind = OSH_FLOW_DNS_TCP;
	a = dns_ask("raw.test");
	for (int i = 0; i < 200 && !harness_stat(h, "dns_waiting"); i++)
		(void)poll(NULL, 0, 10);
	b = dns_ask("x.raw.test");
	check(dns_code(b) == 2, "SERVFAIL at once");
	check(harness_stat(h, "dns_waiting") == 1, "the first one waits");
	close(a);
	harness_monitor_mute(h, false);
	end();
}

static void l_certificates(void)
{
	unsigned int made = 0;
	struct osh_rec rec;
	char name[32];

	harness_signer_quota(3, 1);
	begin("certificates_burst", "", "", "");
	for (int i = 0; i < 5; i++) {
		SSL *ssl;
		int fd;

		harness_transparent(h, 1, "10.9.9.9", 443);
		fd = conn();
		snprintf(name, sizeof(name), "n%d.names.test", i);
		ssl = client_tls(fd, name);
		made += SSL_connect(ssl) == 1;
		SSL_free(ssl);
		close(fd);
	}
	check(made >= 3 && made < 5, "the quota and no more");
	check(harness_event(h, OSH_REC_TLS, OSH_REC_DENY, OSH_REASON_LIMIT, 2000, &rec) &&
		      osh_str_is(osh_rec_get(&rec, OSH_REC_DETAIL),
				 "too many new certificates at once"),
	      "the event says why");
	end();
	harness_signer_quota(3, 1000);
	begin("certificates_per_s", "", "", "");
	made = 0;
	for (int i = 0; i < 30; i++) {
		SSL *ssl;
		int fd;

		harness_transparent(h, 1, "10.9.9.9", 443);
		fd = conn();
		snprintf(name, sizeof(name), "n%d.names.test", i);
		ssl = client_tls(fd, name);
		made += SSL_connect(ssl) == 1;
		SSL_free(ssl);
		close(fd);
		(void)poll(NULL, 0, 2);
	}
	check(made == 30, "paced, none is refused");
	end();
}

int main(void)
{
	keys_begin();
	l_connections("connections");
	l_connections("connections_total");
	l_heads();
	l_sites();
	l_identities();
	l_idle_upstream("idle_upstream");
	l_idle_upstream("idle_upstream_total");
	l_drain();
	l_linger();
	l_dns();
	l_certificates();
	return keys_end();
}
