/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "base/str.h"
#include "selftest/attempt.h"

enum { CONNECT_MS = 3000, SILENCE_MS = 1000, REST_MS = 200 /* for the rest of an answer */ };

void osh_st_say(char *detail, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, OSH_SELFTEST_DETAIL, fmt, ap);
	va_end(ap);
	for (char *p = detail; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

enum osh_selftest_state osh_st_refused(char *detail, const char *what)
{
	osh_st_say(detail, "%s: %s", what, strerror(errno));
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_not_here(char *detail, const char *what)
{
	osh_st_say(detail, "not on this system: %s", what);
	return OSH_SELFTEST_NA;
}

static enum osh_selftest_state closed(char *detail, const char *what)
{
	osh_st_say(detail, "%s", what);
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_open(char *detail, const char *what)
{
	osh_st_say(detail, "%s", what);
	return OSH_SELFTEST_OPEN;
}

void osh_st_marker(const struct osh_selftest_env *env, char dst[OSH_SELFTEST_MARKER_BYTES])
{
	(void)snprintf(dst, OSH_SELFTEST_MARKER_BYTES, OSH_SELFTEST_MARKER "%04u",
		       env->index % 10000);
}

struct sockaddr_in osh_st_sin(const char *ip, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };

	(void)inet_pton(AF_INET, ip, &sin.sin_addr); /* callers pass constants */
	return sin;
}

struct sockaddr_in osh_st_target4(const struct osh_selftest_env *env)
{
	return osh_st_sin(env->inside ? "203.0.113.2" : "10.77.0.2", env->forbidden_port);
}

struct sockaddr_in6 osh_st_target6(const struct osh_selftest_env *env)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
				     .sin6_port = htons(env->forbidden_port) };

	(void)inet_pton(AF_INET6, env->inside ? "2001:db8::2" : "fd77::2", &sin6.sin6_addr);
	return sin6;
}

void osh_st_deadline(int fd, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

int osh_st_connect(const void *to, socklen_t len)
{
	const struct sockaddr *sa = to;
	osh_auto_close int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	osh_st_deadline(fd, CONNECT_MS); /* SO_SNDTIMEO bounds connect() too */
	if (connect(fd, sa, len) < 0)
		return -1;
	return osh_take_fd(&fd);
}

/*
 * Some refusals are left to the proxy, which can say why: it accepts, and answers or ends the
 * connection itself. Whoever got through would be heard by the listeners, if by nobody else.
 */
static bool taken_by_proxy(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);
	char c;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM)
		return false;
	(void)shutdown(fd, SHUT_WR);
	return recv(fd, &c, 1, 0) <= 0 || c == 'H'; /* "HTTP/1.1 403" at most */
}

enum osh_selftest_state osh_st_try(const struct osh_selftest_env *env, int take_fd, const void *to,
				   socklen_t len, char *detail)
{
	osh_auto_close int fd = take_fd;
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (fd < 0)
		return osh_st_refused(detail, "socket");
	osh_st_deadline(fd, CONNECT_MS);
	if (connect(fd, to, len) < 0)
		return osh_st_refused(detail, "connect");
	if (send(fd, marker, sizeof(marker), MSG_NOSIGNAL) < 0)
		return osh_st_refused(detail, "send");
	if (env->inside && taken_by_proxy(fd))
		return closed(detail, "taken by the proxy and refused there");
	return osh_st_open(detail, "connected and sent");
}

/* ---- names ---- */

static size_t put_question(unsigned char *q, size_t size, const char *name)
{
	static const unsigned char head[12] = { 0x4f, 0x53, 1, 0, 0, 1 };
	size_t at = sizeof(head), label;

	if (strlen(name) + sizeof(head) + 6 > size)
		return 0;
	memcpy(q, head, sizeof(head));
	for (; *name; name += label + (name[label] == '.')) {
		label = strcspn(name, ".");
		q[at++] = (unsigned char)label;
		memcpy(q + at, name, label);
		at += label;
	}
	memcpy(q + at, "\0\0\1\0\1", 5);
	return at + 5;
}

int osh_st_resolve(const char *server, const char *name, struct in_addr *ret_addr)
{
	osh_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = osh_st_sin(server, 53);
	unsigned char q[512], a[1024];
	size_t n = put_question(q, sizeof(q), name);
	ssize_t got;

	if (fd < 0)
		return -errno;
	osh_st_deadline(fd, CONNECT_MS);
	if (!n)
		return -ENAMETOOLONG;
	if (sendto(fd, q, n, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	got = recv(fd, a, sizeof(a), 0);
	if (got < 0)
		return -errno;
	if ((size_t)got < n || a[3] & 15)
		return -EHOSTUNREACH;
	/* one question, then one record with a compressed name: type, class, ttl, length, address */
	if (!(a[6] << 8 | a[7]) || (size_t)got < n + 16)
		return -ENODATA;
	memcpy(ret_addr, a + n + 12, 4);
	return 0;
}

int osh_st_dial(const struct osh_selftest_env *env, uint16_t port)
{
	struct sockaddr_in to = osh_st_sin("0.0.0.0", port);
	int r = osh_st_resolve("198.18.0.1", env->host, &to.sin_addr);

	if (r < 0)
		return r;
	r = osh_st_connect(&to, sizeof(to));
	return r < 0 ? -errno : r;
}

int osh_st_answered(int fd)
{
	char buf[4096];
	size_t n = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&p, 1, n ? REST_MS : SILENCE_MS) <= 0)
			return 0;
		got = recv(fd, buf + n, sizeof(buf) - n, MSG_DONTWAIT);
		if (got <= 0)
			return 0;
		n += (size_t)got;
		if (memmem(buf, n, OSH_SELFTEST_ANSWER, strlen(OSH_SELFTEST_ANSWER)))
			return 1;
		if (n == sizeof(buf))
			return 0;
	}
}

int osh_st_talk(const struct osh_selftest_env *env, int fd)
{
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	marker[sizeof(marker) - 1] = '\n';
	if (send(fd, marker, sizeof(marker), MSG_NOSIGNAL) < 0)
		return 0;
	return osh_st_answered(fd);
}
