/* SPDX-License-Identifier: MIT */
/* Ordinary sockets used in every way that leads around a hook at connect(). */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "selftest/attempt.h"

#define ICMP_ECHO_REQUEST   8
#define ICMPV6_ECHO_REQUEST 128

static int inet_socket(int family, int type, int protocol)
{
	return socket(family, type | SOCK_CLOEXEC, protocol);
}

/* An unconnected datagram with the marker. Consumes @take_fd. */
static enum osh_selftest_state datagram(const struct osh_selftest_env *env, int take_fd,
					const void *to, socklen_t len, char *detail)
{
	osh_auto_close int fd = take_fd;
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (fd < 0)
		return osh_st_refused(detail, "socket");
	if (sendto(fd, marker, sizeof(marker), 0, to, len) < 0)
		return osh_st_refused(detail, "sendto");
	return osh_st_open(detail, "sent");
}

enum osh_selftest_state osh_st_tcp4(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);

	return osh_st_try(env, inet_socket(AF_INET, SOCK_STREAM, 0), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_tcp6(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in6 to = osh_st_target6(env);

	return osh_st_try(env, inet_socket(AF_INET6, SOCK_STREAM, 0), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_mapped(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in v4 = osh_st_target4(env);
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = v4.sin_port };

	to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
	memcpy(to.sin6_addr.s6_addr + 12, &v4.sin_addr, 4);
	return osh_st_try(env, inet_socket(AF_INET6, SOCK_STREAM, 0), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_fastopen(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = osh_st_target4(env);
	char marker[OSH_SELFTEST_MARKER_BYTES];

	osh_st_marker(env, marker);
	if (fd < 0)
		return osh_st_refused(detail, "socket");
	osh_st_deadline(fd, 2000);
	if (sendto(fd, marker, sizeof(marker), MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to,
		   sizeof(to)) < 0)
		return osh_st_refused(detail, "sendto with MSG_FASTOPEN");
	return osh_st_open(detail, "data went with the SYN");
}

/* connect() that waits for the first data. */
enum osh_selftest_state osh_st_fastopen_connect(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = osh_st_target4(env);
	const int on = 1;

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	if (setsockopt(fd, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, &on, sizeof(on)) < 0)
		return osh_st_refused(detail, "TCP_FASTOPEN_CONNECT");
	return osh_st_try(env, osh_take_fd(&fd), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_mptcp(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);

	return osh_st_try(env, inet_socket(AF_INET, SOCK_STREAM, 262), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_udp_sendto(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);
	struct sockaddr_in6 to6 = osh_st_target6(env);

	if (datagram(env, inet_socket(AF_INET, SOCK_DGRAM, 0), &to, sizeof(to), detail) ==
	    OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return datagram(env, inet_socket(AF_INET6, SOCK_DGRAM, 0), &to6, sizeof(to6), detail);
}

/* Addresses whose family is not the socket's: other code in the kernel, other hooks. */
enum osh_selftest_state osh_st_udp_families(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env), unspec = to;

	unspec.sin_family = AF_UNSPEC;
	if (datagram(env, inet_socket(AF_INET, SOCK_DGRAM, 0), &unspec, sizeof(unspec), detail) ==
	    OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return datagram(env, inet_socket(AF_INET6, SOCK_DGRAM, 0), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_udp_connect(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);

	return osh_st_try(env, inet_socket(AF_INET, SOCK_DGRAM, 0), &to, sizeof(to), detail);
}

/* Connected to something harmless, then a datagram with an address of its own. */
enum osh_selftest_state osh_st_udp_reconnect(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in first = osh_st_sin(env->inside ? "198.18.0.1" : "127.0.0.1", 53);
	struct sockaddr_in to = osh_st_target4(env);

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	(void)!connect(fd, (struct sockaddr *)&first, sizeof(first)); /* may be refused as well */
	return datagram(env, osh_take_fd(&fd), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_udplite_connect(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);
	struct sockaddr_in6 to6 = osh_st_target6(env);

	if (osh_st_try(env, inet_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), &to, sizeof(to),
		       detail) == OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return osh_st_try(env, inet_socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE), &to6,
			  sizeof(to6), detail);
}

enum osh_selftest_state osh_st_udplite_sendto(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);

	return datagram(env, inet_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), &to, sizeof(to),
			detail);
}

enum osh_selftest_state osh_st_broadcast(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = osh_st_sin("255.255.255.255", env->forbidden_port);
	const int on = 1;

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	return datagram(env, osh_take_fd(&fd), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_multicast(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_sin("224.0.0.251", 5353);
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(5353) };

	(void)inet_pton(AF_INET6, "ff02::fb", &to6.sin6_addr);
	to6.sin6_scope_id = 1;
	if (datagram(env, inet_socket(AF_INET, SOCK_DGRAM, 0), &to, sizeof(to), detail) ==
	    OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return datagram(env, inet_socket(AF_INET6, SOCK_DGRAM, 0), &to6, sizeof(to6), detail);
}

/* Echo requests carry a payload; the group range is opened for them in the fence's namespace. */
static enum osh_selftest_state ping(const struct osh_selftest_env *env, int family, const void *to,
				    socklen_t len, char *detail)
{
	osh_auto_close int fd = inet_socket(family, SOCK_DGRAM,
					    family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	struct {
		unsigned char type, code;
		uint16_t sum, id, seq;
		char marker[OSH_SELFTEST_MARKER_BYTES];
	} echo = { .type = family == AF_INET ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST };

	osh_st_marker(env, echo.marker);
	if (fd < 0)
		return osh_st_refused(detail, "socket");
	if (sendto(fd, &echo, sizeof(echo), 0, to, len) < 0)
		return osh_st_refused(detail, "sendto");
	return osh_st_open(detail, "an echo request with a payload was sent");
}

enum osh_selftest_state osh_st_ping4(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);

	to.sin_port = 0;
	return ping(env, AF_INET, &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_ping6(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in6 to = osh_st_target6(env);

	to.sin6_port = 0;
	return ping(env, AF_INET6, &to, sizeof(to), detail);
}

/* Dissolve a connection and use the same socket again. */
enum osh_selftest_state osh_st_unspec(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in first = osh_st_sin("127.0.0.1", env->inside ? 3128 : 1);
	struct sockaddr_in to = osh_st_target4(env);
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	osh_st_deadline(fd, 2000);
	(void)!connect(fd, (struct sockaddr *)&first, sizeof(first));
	(void)!connect(fd, &none, sizeof(none));
	return osh_st_try(env, osh_take_fd(&fd), &to, sizeof(to), detail);
}

enum osh_selftest_state osh_st_bind_device(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = osh_st_target4(env);
	const int first = 1;

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == 0)
		return osh_st_open(detail, "SO_BINDTODEVICE was accepted");
	if (setsockopt(fd, SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */, &first, sizeof(first)) == 0)
		return osh_st_open(detail, "SO_BINDTOIFINDEX was accepted");
	return osh_st_try(env, osh_take_fd(&fd), &to, sizeof(to), detail);
}

/* A source address that is not loopback; listening on it would let others in. */
enum osh_selftest_state osh_st_source_bind(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = osh_st_sin(env->inside ? "198.18.0.1" : "10.77.0.1", 0);

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return osh_st_refused(detail, "bind");
	if (listen(fd, 1) < 0)
		return osh_st_refused(detail, "listen");
	return osh_st_open(detail, "listens on an address that is not loopback");
}

/* An IPv6 socket becomes an IPv4 one after its connect() was judged. */
enum osh_selftest_state osh_st_addrform(const struct osh_selftest_env *env, char *detail)
{
	osh_auto_close int fd = inet_socket(AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in6 first = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr_in to = osh_st_target4(env);
	const int form = AF_INET;

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	(void)inet_pton(AF_INET6, "::ffff:127.0.0.1", &first.sin6_addr);
	if (connect(fd, (struct sockaddr *)&first, sizeof(first)) < 0)
		return osh_st_refused(detail, "connect");
	if (setsockopt(fd, IPPROTO_IPV6, 1 /* IPV6_ADDRFORM */, &form, sizeof(form)) < 0)
		return osh_st_refused(detail, "IPV6_ADDRFORM");
	return datagram(env, osh_take_fd(&fd), &to, sizeof(to), detail);
}
