/* SPDX-License-Identifier: MIT */
/* What the proxy must refuse: names, TLS, HTTP, DNS, and the listeners themselves. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "selftest/attempt.h"

enum { EXPLICIT_PORT = OSH_ST_EXPLICIT_PORT, TEXT = 2048 };

/* ---- controls ---- */

enum osh_selftest_state osh_st_raw_control(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = osh_st_dial(env, env->raw_port);

	errno = -fd;
	if (fd < 0)
		return osh_st_refused(detail, "connect");
	if (!osh_st_talk(env, fd))
		return OSH_SELFTEST_CLOSED;
	return osh_st_open(detail, "transparent TCP to a permitted name: answered");
}

enum osh_selftest_state osh_st_connect_control(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = osh_st_tunnel_to(env->host, env->raw_port);

	if (fd < 0) {
		osh_st_say(detail, "CONNECT refused with %d", -fd);
		return OSH_SELFTEST_CLOSED;
	}
	if (!osh_st_talk(env, fd))
		return OSH_SELFTEST_CLOSED;
	return osh_st_open(detail, "CONNECT to a permitted name: answered");
}

enum osh_selftest_state osh_st_http_control(const struct osh_selftest_env *env, char *detail)
{
	char marker[OSH_SELFTEST_MARKER_BYTES];
	int r;

	osh_st_marker(env, marker);
	r = osh_st_ask(env, "GET /%s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", marker, env->host,
		       env->http_port);
	if (r == 1)
		return osh_st_open(detail, "inspected GET: answered");
	osh_st_say(detail, "inspected GET: %s", r < 0 ? strerror(-r) : "no answer");
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_dns_control(const struct osh_selftest_env *env, char *detail)
{
	struct in_addr a = { 0 };
	int r = osh_st_resolve("9.9.9.9", env->host, &a);

	errno = -r;
	if (r < 0)
		return osh_st_refused(detail, "permitted name through a foreign server's address");
	osh_st_say(detail, "%s",
		   (ntohl(a.s_addr) >> 17) == (198u << 7 | 9) ? "synthetic address"
							      : "another address");
	return (ntohl(a.s_addr) >> 17) == (198u << 7 | 9) ? OSH_SELFTEST_OPEN : OSH_SELFTEST_CLOSED;
}

/* ---- names and addresses ---- */

/* A permitted name's port at an address of one's own. */
enum osh_selftest_state osh_st_literal(const struct osh_selftest_env *env, char *detail)
{
	static const char *const addrs[] = { "203.0.113.2", "198.19.255.254", "10.0.0.1" };
	const uint16_t ports[] = { env->raw_port, env->http_port, 443 };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(addrs); i++) {
		for (size_t k = 0; k < OSH_ARRAY_SIZE(ports); k++) {
			struct sockaddr_in to = osh_st_sin(addrs[i], ports[k]);
			osh_auto_close int fd = osh_st_connect(&to, sizeof(to));

			if (fd >= 0 && osh_st_talk(env, fd)) {
				osh_st_say(detail, "%s:%u answered", addrs[i], ports[k]);
				return OSH_SELFTEST_OPEN;
			}
		}
	}
	return osh_st_refused(detail, "addresses no name stands for");
}

enum osh_selftest_state osh_st_metadata(const struct osh_selftest_env *env, char *detail)
{
	static const char *const names[] = { "169.254.169.254", "[fd00:ec2::254]",
					     "metadata.google.internal", "0xa9fea9fe",
					     "[::ffff:169.254.169.254]" };
	struct sockaddr_in to = osh_st_sin("169.254.169.254", 80);
	osh_auto_close int direct = osh_st_connect(&to, sizeof(to));

	(void)env;
	if (direct >= 0) {
		int status;

		(void)osh_st_send(direct, "GET / HTTP/1.0\r\n\r\n", 18);
		status = osh_st_status(direct);
		if (status >= 200 && status < 400)
			return osh_st_open(detail, "169.254.169.254 answered");
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++) {
		osh_auto_close int fd = osh_st_tunnel_to(names[i], 80);

		if (fd >= 0) {
			osh_st_say(detail, "CONNECT %s was accepted", names[i]);
			return OSH_SELFTEST_OPEN;
		}
	}
	osh_st_say(detail, "connect() and %zu spellings refused", OSH_ARRAY_SIZE(names));
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_other_port(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = osh_st_dial(env, env->forbidden_port);
	osh_auto_close int fd2 = osh_st_tunnel_to(env->host, env->forbidden_port);

	if ((fd >= 0 && osh_st_talk(env, fd)) || fd2 >= 0)
		return osh_st_open(detail, "another port of a permitted name");
	osh_st_say(detail, "another port of a permitted name: refused");
	return OSH_SELFTEST_CLOSED;
}

/* The host's loopback in every spelling somebody's parser understands. */
enum osh_selftest_state osh_st_connect_forms(const struct osh_selftest_env *env, char *detail)
{
	static const char *const forms[] = {
		"127.0.0.1:%u",
		"localhost:%u",
		"127.1:%u",
		"0x7f.1:%u",
		"0x7f000001:%u",
		"2130706433:%u",
		"0177.0.0.1:%u",
		"017700000001:%u",
		"127.0.0.1.:%u",
		"[::1]:%u",
		"[::ffff:127.0.0.1]:%u",
		"[::ffff:7f00:1]:%u",
		"[64:ff9b::7f00:1]:%u",
		"[2002:7f00:1::]:%u",
		"[::127.0.0.1]:%u",
		"[fe80::1%%25lo]:%u",
		"0.0.0.0:%u",
		"[::]:%u",
		"127.0.0.1.nip.io:%u",
		"permitted@127.0.0.1:%u",
		"127.0.0.1:%u#permitted",
		"127.0.0.1:%u/permitted",
		"http://127.0.0.1:%u",
		"127.0.0.1%%00:%u",
		"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:%u",
	};
	char target[400];
	int n;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(forms) + 2; i++) {
		osh_auto_close int fd = -1;

		if (i < OSH_ARRAY_SIZE(forms))
			n = snprintf(target, sizeof(target), forms[i], env->forbidden_port);
		else if (i == OSH_ARRAY_SIZE(forms)) /* the permitted name up to a NUL byte */
			n = snprintf(target, sizeof(target), "%s%c.127.0.0.1:%u", env->host, '\0',
				     env->forbidden_port);
		else /* user information that looks like the permitted name */
			n = snprintf(target, sizeof(target), "%s:%u@127.0.0.1:%u", env->host,
				     env->raw_port, env->forbidden_port);
		fd = osh_st_tunnel(target, (size_t)n);
		if (fd < 0)
			continue;
		(void)osh_st_talk(env, fd); /* convicted by the listener as well */
		osh_st_say(detail, "accepted: CONNECT %s", target);
		return OSH_SELFTEST_OPEN;
	}
	osh_st_say(detail, "%zu spellings of loopback refused", OSH_ARRAY_SIZE(forms) + 2);
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_socks(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = osh_st_explicit();
	unsigned char hello[] = { 5, 1, 0 }, request[] = { 5, 1, 0, 1, 127, 0, 0, 1, 0, 0 };
	unsigned char answer[2] = { 0 };

	if (fd < 0)
		return osh_st_refused(detail, "connect");
	request[8] = (unsigned char)(env->forbidden_port >> 8);
	request[9] = (unsigned char)env->forbidden_port;
	(void)osh_st_send(fd, hello, sizeof(hello));
	osh_st_deadline(fd, 2000);
	if (recv(fd, answer, 2, MSG_WAITALL) != 2 || answer[0] != 5) {
		osh_st_say(detail, "SOCKS is not spoken");
		return OSH_SELFTEST_CLOSED;
	}
	(void)osh_st_send(fd, request, sizeof(request));
	return osh_st_talk(env, fd) ? osh_st_open(detail, "SOCKS reached the host's loopback")
				    : OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_absolute(const struct osh_selftest_env *env, char *detail)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "2130706433", "[::1]",
					     "%s@127.0.0.1" };
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(hosts); i++) {
		osh_auto_close int fd = osh_st_explicit();
		char host[300], text[TEXT];
		int n, status;

		(void)snprintf(host, sizeof(host), hosts[i], env->host);
		n = snprintf(text, sizeof(text),
			     "GET http://%s:%u/%s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", host,
			     env->forbidden_port, marker, env->host, env->http_port);
		if (fd < 0 || osh_st_send(fd, text, (size_t)n) < 0)
			continue;
		status = osh_st_status(fd);
		if (status >= 200 && status < 300) {
			osh_st_say(detail, "%s answered %d", host, status);
			return OSH_SELFTEST_OPEN;
		}
	}
	osh_st_say(detail, "%zu absolute-form requests refused", OSH_ARRAY_SIZE(hosts));
	return OSH_SELFTEST_CLOSED;
}

/* ---- TLS: the marker is in the hello's random bytes ---- */

static size_t put16(unsigned char *p, size_t v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return 2;
}

/* A handshake message of type ClientHello for @name. */
static size_t hello(const struct osh_selftest_env *env, const char *name, unsigned char *p)
{
	size_t n = strlen(name), at = 4;
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	p[0] = 1;
	at += put16(p + at, 0x0303);
	memset(p + at, 'r', 32);
	memcpy(p + at, marker, sizeof(marker) - 1);
	at += 32;
	p[at++] = 0; /* session */
	at += put16(p + at, 2);
	at += put16(p + at, 0x1301);
	p[at++] = 1; /* compression */
	p[at++] = 0;
	at += put16(p + at, n + 9 + 7); /* extensions */
	at += put16(p + at, 0); /* server_name */
	at += put16(p + at, n + 5);
	at += put16(p + at, n + 3);
	p[at++] = 0;
	at += put16(p + at, n);
	memcpy(p + at, name, n);
	at += n;
	at += put16(p + at, 43); /* supported_versions */
	at += put16(p + at, 3);
	p[at++] = 2;
	at += put16(p + at, 0x0304);
	p[1] = 0;
	(void)put16(p + 2, at - 4);
	return at;
}

/* @per_record bytes in each record, @per_send bytes in each segment. Consumes @take_fd. */
static enum osh_selftest_state send_hello(const struct osh_selftest_env *env, int take_fd,
					  size_t per_record, size_t per_send, char *detail)
{
	osh_auto_close int fd = take_fd;
	unsigned char message[512], wire[4096];
	size_t len, n = 0;
	const int on = 1;

	if (fd < 0)
		return osh_st_open(detail, "cannot be tried: no connection");
	len = hello(env, "other.selftest.invalid", message);
	for (size_t at = 0; at < len; at += per_record) {
		size_t part = OSH_MIN(per_record, len - at);

		wire[n++] = 22;
		n += put16(wire + n, 0x0301);
		n += put16(wire + n, part);
		memcpy(wire + n, message + at, part);
		n += part;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (size_t at = 0; at < n; at += per_send) {
		if (osh_st_send(fd, wire + at, OSH_MIN(per_send, n - at)) < 0)
			break;
		if (per_send < n)
			(void)usleep(1000); /* so that each goes alone */
	}
	if (osh_st_answered(fd))
		return osh_st_open(detail, "a different server name reached the permitted host");
	osh_st_say(detail, "a different server name was not relayed");
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_sni(const struct osh_selftest_env *env, char *detail)
{
	return send_hello(env, osh_st_dial(env, env->raw_port), 512, 4096, detail);
}

enum osh_selftest_state osh_st_sni_split(const struct osh_selftest_env *env, char *detail)
{
	return send_hello(env, osh_st_dial(env, env->raw_port), 512, 3, detail);
}

enum osh_selftest_state osh_st_sni_records(const struct osh_selftest_env *env, char *detail)
{
	return send_hello(env, osh_st_dial(env, env->raw_port), 5, 1, detail);
}

enum osh_selftest_state osh_st_connect_sni(const struct osh_selftest_env *env, char *detail)
{
	return send_hello(env, osh_st_tunnel_to(env->host, env->raw_port), 512, 4096, detail);
}

/* ---- the listeners ---- */

static bool listening_port(const char *line, unsigned int *ret_port)
{
	unsigned int port, state;

	if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &port, &state) != 2 ||
	    state != 10)
		return false;
	*ret_port = port;
	return true;
}

/* Calls @fn for each listening port of this namespace until it returns true. */
static bool each_listener(bool (*fn)(const struct osh_selftest_env *env, uint16_t port,
				     char *detail),
			  const struct osh_selftest_env *env, char *detail, unsigned int *ret_n)
{
	static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6" };
	bool hit = false;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(tables) && !hit; i++) {
		FILE *f = fopen(tables[i], "re");
		char line[512];
		unsigned int port;

		while (f && !hit && fgets(line, sizeof(line), f))
			if (listening_port(line, &port)) {
				(*ret_n)++;
				hit = fn(env, (uint16_t)port, detail);
			}
		if (f)
			(void)fclose(f);
	}
	return hit;
}

/* Our listeners are reached by redirection only: without a record, the connection must not live. */
static bool direct(const struct osh_selftest_env *env, uint16_t port, char *detail)
{
	static const char *const addrs[] = { "198.18.0.1", "127.0.0.1", "127.9.9.9", "0.0.0.0" };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	static const char *const addrs6[] = { "::1", "fd23:6f70:656e::1", "::ffff:198.18.0.1",
					      "::ffff:127.0.0.1", "::" };

	(void)env;
	if (port == EXPLICIT_PORT)
		return false;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(addrs) + OSH_ARRAY_SIZE(addrs6); i++) {
		bool v6 = i >= OSH_ARRAY_SIZE(addrs);
		const char *addr = v6 ? addrs6[i - OSH_ARRAY_SIZE(addrs)] : addrs[i];
		struct sockaddr_in to = osh_st_sin(v6 ? "0.0.0.0" : addr, port);
		osh_auto_close int fd = -1;

		(void)inet_pton(AF_INET6, addr, &to6.sin6_addr);
		fd = v6 ? osh_st_connect(&to6, sizeof(to6)) : osh_st_connect(&to, sizeof(to));
		if (fd < 0)
			continue;
		osh_st_say(detail, "connected to our listener at %s port %u", addr, port);
		return true;
	}
	return false;
}

enum osh_selftest_state osh_st_listener(const struct osh_selftest_env *env, char *detail)
{
	unsigned int n = 0;

	if (each_listener(direct, env, detail, &n))
		return OSH_SELFTEST_OPEN;
	if (!n)
		return osh_st_not_here(detail, "the listeners are not visible in /proc/net");
	osh_st_say(detail, "%u listeners found in /proc/net, none can be reached directly", n);
	return OSH_SELFTEST_CLOSED;
}

static int marked_fd; /* of osh_st_kept_mark() */

static bool direct_with_mark(const struct osh_selftest_env *env, uint16_t port, char *detail)
{
	static const char *const addrs[] = { "198.18.0.1", "127.0.0.1" };

	(void)env;
	for (size_t i = 0; port != EXPLICIT_PORT && i < OSH_ARRAY_SIZE(addrs); i++) {
		struct sockaddr_in to = osh_st_sin(addrs[i], port);

		if (connect(marked_fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
			osh_st_say(detail, "connected to %s port %u, marked", addrs[i], port);
			return true;
		}
	}
	return false;
}

/*
 * The fence knows a permitted connection by its socket's mark. The socket of one is dissolved, made to
 * listen, and hands the mark on to what it accepts: with that, straight to our listeners.
 */
enum osh_selftest_state osh_st_kept_mark(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_in to = osh_st_sin("0.0.0.0", env->raw_port), at;
	osh_auto_close int fd = -1, client = -1, child = -1;
	socklen_t len = sizeof(at);
	unsigned int n = 0;

	if (osh_st_resolve("198.18.0.1", env->host, &to.sin_addr) < 0)
		return osh_st_open(detail, "the permitted name does not resolve");
	fd = osh_st_connect(&to, sizeof(to));
	if (fd < 0 || connect(fd, &none, sizeof(none)) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return osh_st_open(detail, "cannot be tried: no connection, or no listening");
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client = osh_st_connect(&at, sizeof(at));
	child = client < 0 ? -1 : accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (child < 0 || connect(child, &none, sizeof(none)) < 0)
		return osh_st_open(detail, "cannot be tried: nothing accepted");
	osh_close_ptr(&fd); /* or it would be found among the listeners */
	osh_st_deadline(child, 1000);
	marked_fd = child;
	if (each_listener(direct_with_mark, env, detail, &n))
		return OSH_SELFTEST_OPEN;
	osh_st_say(detail, "%u listeners, none takes it", n);
	return OSH_SELFTEST_CLOSED;
}

/* Take a port of ours, to answer in our place to other programs of the sandbox. */
static bool impersonate(const struct osh_selftest_env *env, uint16_t port, char *detail)
{
	/* on loopback only where something is redirected from there: the explicit proxy */
	static const char *const addrs[] = { "198.18.0.1", "0.0.0.0", "127.0.0.1", "127.0.0.2" };
	const size_t n = port == EXPLICIT_PORT ? OSH_ARRAY_SIZE(addrs) : 1;
	const int on = 1;

	(void)env;
	for (size_t i = 0; i < n; i++) {
		osh_auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct sockaddr_in at = osh_st_sin(addrs[i], port);

		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0)
			continue;
		osh_st_say(detail, "listening at %s port %u, which is ours", addrs[i], port);
		return true;
	}
	return false;
}

enum osh_selftest_state osh_st_impersonate(const struct osh_selftest_env *env, char *detail)
{
	unsigned int n = 0;

	if (impersonate(env, EXPLICIT_PORT, detail) || each_listener(impersonate, env, detail, &n))
		return OSH_SELFTEST_OPEN;
	osh_st_say(detail, "port %d and %u listening ports cannot be taken", EXPLICIT_PORT, n);
	return OSH_SELFTEST_CLOSED;
}

static int dial_from(const struct osh_selftest_env *env, uint16_t sport, uint16_t dport,
		     const struct in_addr *addr)
{
	osh_auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = osh_st_sin("127.0.0.1", sport), to = osh_st_sin("0.0.0.0", dport);
	const struct linger reset = { .l_onoff = 1 };
	const int on = 1;

	(void)env;
	at.sin_addr.s_addr = 0;
	to.sin_addr = *addr;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	osh_st_deadline(fd, 1000);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	return osh_take_fd(&fd);
}

/* A POST on a connection whose requests are inspected; 1: it was relayed all the same. */
static int post(const struct osh_selftest_env *env, int fd)
{
	char marker[OSH_SELFTEST_MARKER_BYTES], text[TEXT];
	int n;

	osh_st_marker(env, marker);
	n = snprintf(text, sizeof(text), "POST /%s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", marker,
		     env->host, env->http_port);
	return osh_st_send(fd, text, (size_t)n) < 0 ? 0 : osh_st_answered(fd);
}

/*
 * The same source port again and again, first for what is relayed, then for what is inspected or for
 * another binary: the proxy must not judge one connection by the record of another.
 */
enum osh_selftest_state osh_st_port_reuse(const struct osh_selftest_env *env, char *detail)
{
	struct in_addr addr;
	unsigned int second = 0;

	if (osh_st_resolve("198.18.0.1", env->host, &addr) < 0)
		return osh_st_open(detail, "the permitted name does not resolve");
	for (int i = 0; i < 40; i++) {
		uint16_t sport = (uint16_t)(20000 + i % 4);
		int fd = dial_from(env, sport, env->raw_port, &addr), hit;

		if (fd >= 0)
			(void)close(fd); /* with a reset: the port is free at once */
		fd = dial_from(env, sport, i % 2 ? env->http_port : env->id_port, &addr);
		if (fd < 0)
			continue;
		second++;
		hit = i % 2 ? post(env, fd) : osh_st_talk(env, fd);
		(void)close(fd);
		if (hit)
			return osh_st_open(detail, "judged by another connection's record");
	}
	osh_st_say(detail, "40 rounds, %u second connections made and refused", second);
	return second ? OSH_SELFTEST_CLOSED : OSH_SELFTEST_OPEN;
}

/* A record of a permitted connection must not serve the next destination of the same socket. */
enum osh_selftest_state osh_st_unspec_flow(const struct osh_selftest_env *env, char *detail)
{
	const uint16_t ports[] = { env->http_port, env->id_port };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_in to = osh_st_sin("0.0.0.0", 0);
	unsigned int again = 0;

	if (osh_st_resolve("198.18.0.1", env->host, &to.sin_addr) < 0)
		return osh_st_open(detail, "the permitted name does not resolve");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(ports); i++) {
		osh_auto_close int fd = -1;

		to.sin_port = htons(env->raw_port);
		fd = osh_st_connect(&to, sizeof(to));
		if (fd < 0 || connect(fd, &none, sizeof(none)) < 0)
			return osh_st_open(detail, "cannot be tried: no connection");
		to.sin_port = htons(ports[i]);
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			continue;
		again++;
		if (ports[i] == env->http_port ? post(env, fd) : osh_st_talk(env, fd))
			return osh_st_open(detail, "judged by the first destination");
	}
	osh_st_say(detail, "%u of 2 connected again, judged anew", again);
	return OSH_SELFTEST_CLOSED;
}

/* ---- DNS ---- */

enum osh_selftest_state osh_st_dns_tunnel(const struct osh_selftest_env *env, char *detail)
{
	char marker[OSH_SELFTEST_MARKER_BYTES], name[300];
	struct in_addr a;

	osh_st_marker(env, marker);
	(void)snprintf(name, sizeof(name), "%s.tunnel.example.com", marker);
	if (osh_st_resolve("198.18.0.1", name, &a) >= 0)
		return osh_st_open(detail, "a name of no policy entry was resolved");
	(void)snprintf(name, sizeof(name), "%s.%s", marker, env->host);
	if (osh_st_resolve("198.18.0.1", name, &a) >= 0)
		return osh_st_open(detail, "a name below a permitted one was resolved");
	osh_st_say(detail, "names of no policy entry, and below a permitted one: refused");
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_dns_other(const struct osh_selftest_env *env, char *detail)
{
	static const char *const servers[] = { "8.8.8.8", "127.0.0.1", "127.0.0.53", "10.0.0.1" };
	struct in_addr a;

	(void)env;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(servers); i++)
		if (osh_st_resolve(servers[i], "www.example.com", &a) >= 0) {
			osh_st_say(detail, "%s resolved it", servers[i]);
			return OSH_SELFTEST_OPEN;
		}
	osh_st_say(detail, "%zu other servers: refused all the same", OSH_ARRAY_SIZE(servers));
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_dns_tcp(const struct osh_selftest_env *env, char *detail)
{
	static const unsigned char query[] =
		"\0\x21\x4f\x53\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1";
	struct sockaddr_in to = osh_st_sin("8.8.8.8", 53);
	osh_auto_close int fd = osh_st_connect(&to, sizeof(to));
	unsigned char answer[64];

	(void)env;
	if (fd < 0)
		return osh_st_refused(detail, "connect");
	osh_st_deadline(fd, 2000);
	if (osh_st_send(fd, query, sizeof(query) - 1) < 0 ||
	    recv(fd, answer, 14, MSG_WAITALL) != 14) {
		osh_st_say(detail, "no answer");
		return OSH_SELFTEST_CLOSED;
	}
	osh_st_say(detail, "code %d", answer[5] & 15);
	return answer[5] & 15 ? OSH_SELFTEST_CLOSED : OSH_SELFTEST_OPEN;
}

/* Encrypted DNS and HTTP/3: ports of their own, nothing listens for them. */
enum osh_selftest_state osh_st_dot_quic(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in dot = osh_st_sin("9.9.9.9", 853), quic = osh_st_sin("0.0.0.0", 443);
	osh_auto_close int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), tcp = -1;
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	tcp = osh_st_connect(&dot, sizeof(dot));
	if (tcp >= 0 && osh_st_talk(env, tcp))
		return osh_st_open(detail, "DNS over TLS: connected and answered");
	if (osh_st_resolve("198.18.0.1", env->host, &quic.sin_addr) < 0)
		return osh_st_open(detail, "the permitted name does not resolve");
	if (sendto(udp, marker, sizeof(marker), 0, (struct sockaddr *)&quic, sizeof(quic)) >= 0)
		return osh_st_open(detail, "a datagram to port 443 of a permitted name was sent");
	return osh_st_refused(detail, "port 853 and UDP 443");
}
