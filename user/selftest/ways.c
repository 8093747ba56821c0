/* SPDX-License-Identifier: MIT */
/* The ways to the proxy: the explicit one, tunnels, requests. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "selftest/attempt.h"

enum { TEXT = 2048 };

int osh_st_explicit(void)
{
	struct sockaddr_in to = osh_st_sin("127.0.0.1", OSH_ST_EXPLICIT_PORT);

	return osh_st_connect(&to, sizeof(to));
}

int osh_st_send(int fd, const void *data, size_t n)
{
	return send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

int osh_st_status(int fd)
{
	char head[16] = "";
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	while (n < 12 && poll(&p, 1, 2000) > 0) {
		ssize_t got = recv(fd, head + n, 12 - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n == 12 && !strncmp(head, "HTTP/1.", 7)
		       ? (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0')
		       : 0;
}

int osh_st_ask(const struct osh_selftest_env *env, const char *fmt, ...)
{
	osh_auto_close int fd = osh_st_dial(env, env->http_port);
	char text[TEXT];
	va_list ap;
	int n;

	if (fd < 0)
		return fd;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n <= 0 || n >= TEXT || osh_st_send(fd, text, (size_t)n) < 0)
		return 0;
	return osh_st_answered(fd);
}

int osh_st_tunnel(const char *target, size_t n)
{
	osh_auto_close int fd = osh_st_explicit();
	char text[TEXT];
	int len, status;

	if (fd < 0 || n > 512)
		return -1;
	len = snprintf(text, sizeof(text), "CONNECT ");
	memcpy(text + len, target, n);
	len += (int)n;
	len += snprintf(text + len, sizeof(text) - (size_t)len, " HTTP/1.1\r\nHost: x\r\n\r\n");
	if (osh_st_send(fd, text, (size_t)len) < 0)
		return -1;
	status = osh_st_status(fd);
	if (status != 200)
		return -(status ? status : 1);
	return osh_take_fd(&fd);
}

int osh_st_tunnel_to(const char *host, uint16_t port)
{
	char target[300];

	(void)snprintf(target, sizeof(target), "%s:%u", host, port);
	return osh_st_tunnel(target, strlen(target));
}
