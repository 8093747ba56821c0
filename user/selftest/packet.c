/* SPDX-License-Identifier: MIT */
/* Forged, marked and rerouted packets; families and protocols other than TCP and UDP; io_uring. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "selftest/attempt.h"

enum {
	FAMILY_VSOCK = 40,
	FAMILY_XDP = 44,
	FAMILIES = 64,
	ST_IP_OPTIONS = 4,
	ST_IP_TRANSPARENT = 19,
	ST_IPV6_HOPOPTS = 54,
	ST_IPV6_RTHDR = 57,
	ST_IPV6_2292RTHDR = 5,
	ST_TCP_REPAIR = 19,
	ST_TCP_ULP = 31,
};

static int udp(int family)
{
	return socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* Setting @name must fail. Consumes @take_fd. */
static enum osh_selftest_state option(int take_fd, int level, int name, const void *v, socklen_t n,
				      const char *what, char *detail)
{
	osh_auto_close int fd = take_fd;

	if (fd < 0)
		return osh_st_refused(detail, "socket");
	if (setsockopt(fd, level, name, v, n) < 0)
		return osh_st_refused(detail, what);
	osh_st_say(detail, "%s was accepted", what);
	return OSH_SELFTEST_OPEN;
}

/* Routing header of type 4 with one segment: the packet goes to the segment first. */
struct rthdr {
	unsigned char next, len, type, left, last, flags, tag[2];
	struct in6_addr segment[2];
};

static struct rthdr rthdr_via(const struct in6_addr *hop)
{
	struct rthdr h = { .len = 4, .type = 4, .left = 1, .last = 1 };

	h.segment[1] = *hop;
	return h;
}

enum osh_selftest_state osh_st_rthdr(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in6 to = osh_st_target6(env);
	struct rthdr h = rthdr_via(&to.sin6_addr);

	if (option(udp(AF_INET6), IPPROTO_IPV6, ST_IPV6_2292RTHDR, &h, sizeof(h), "IPV6_2292RTHDR",
		   detail) == OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return option(udp(AF_INET6), IPPROTO_IPV6, ST_IPV6_RTHDR, &h, sizeof(h), "IPV6_RTHDR",
		      detail);
}

/* One datagram to loopback with a control message. Consumes @take_fd. */
static enum osh_selftest_state with_cmsg(const struct osh_selftest_env *env, int take_fd,
					 const void *to, socklen_t len, int level, int type,
					 const void *v, size_t n, char *detail)
{
	osh_auto_close int fd = take_fd;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(128)] = { 0 };
	char marker[OSH_SELFTEST_MARKER_BYTES];
	struct iovec iov = { marker, sizeof(marker) };
	struct msghdr msg = { .msg_name = (void *)(uintptr_t)to,
			      .msg_namelen = len,
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = CMSG_SPACE(n) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	errno = 0;
	osh_st_marker(env, marker);
	if (fd < 0)
		return osh_st_refused(detail, "socket");
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), v, n);
	if (sendmsg(fd, &msg, 0) < 0)
		return osh_st_refused(detail, "sendmsg");
	/* whether it got anywhere is the observer's to say: the packet filter drops silently */
	osh_st_say(detail, "accepted by sendmsg, dropped on its way");
	return OSH_SELFTEST_CLOSED;
}

/* Control messages may carry type 2 only (where mobile IPv6 is built in): one segment. */
enum osh_selftest_state osh_st_rthdr_cmsg(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in6 hop = osh_st_target6(env), to = hop;
	struct {
		unsigned char next, len, type, left, reserved[4];
		struct in6_addr segment;
	} h = { .len = 2, .type = 2, .left = 1, .segment = hop.sin6_addr };
	enum osh_selftest_state s;

	to.sin6_addr = in6addr_loopback;
	s = with_cmsg(env, udp(AF_INET6), &to, sizeof(to), IPPROTO_IPV6, ST_IPV6_RTHDR, &h,
		      sizeof(h), detail);
	if (s == OSH_SELFTEST_CLOSED && errno == EINVAL)
		return osh_st_not_here(detail, "routing headers in control messages");
	return s;
}

/* Loose source route over the forbidden hop. */
static const unsigned char lsrr[] = { 131, 7, 4, 10, 77, 0, 2, 0 };

enum osh_selftest_state osh_st_ip_options(const struct osh_selftest_env *env, char *detail)
{
	static const unsigned char record[] = { 7, 7, 4, 0, 0, 0, 0, 0 }, nop[] = { 1, 1, 1, 0 };

	(void)env;
	if (option(udp(AF_INET), IPPROTO_IP, ST_IP_OPTIONS, lsrr, sizeof(lsrr), "source route",
		   detail) == OSH_SELFTEST_OPEN ||
	    option(udp(AF_INET), IPPROTO_IP, ST_IP_OPTIONS, record, sizeof(record), "record route",
		   detail) == OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return option(udp(AF_INET), IPPROTO_IP, ST_IP_OPTIONS, nop, sizeof(nop), "IP_OPTIONS",
		      detail);
}

enum osh_selftest_state osh_st_ip_options_cmsg(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_sin("127.0.0.1", env->forbidden_port);

	return with_cmsg(env, udp(AF_INET), &to, sizeof(to), IPPROTO_IP, 7 /* IP_RETOPTS */, lsrr,
			 sizeof(lsrr), detail);
}

enum osh_selftest_state osh_st_hopopts(const struct osh_selftest_env *env, char *detail)
{
	static const unsigned char pad[8] = { 0, 0, 1, 4, 0, 0, 0, 0 };

	(void)env;
	return option(udp(AF_INET6), IPPROTO_IPV6, ST_IPV6_HOPOPTS, pad, sizeof(pad),
		      "IPV6_HOPOPTS", detail);
}

/* By option; and, where there are no capabilities, with a datagram. */
enum osh_selftest_state osh_st_mark(const struct osh_selftest_env *env, char *detail)
{
	char control[CMSG_SPACE(sizeof(unsigned int))] __attribute__((aligned(8))) = { 0 };
	struct sockaddr_in to = osh_st_sin("127.0.0.1", 9);
	struct iovec iov = { .iov_base = (char[]){ "x" }, .iov_len = 1 };
	struct msghdr msg = { .msg_name = &to,
			      .msg_namelen = sizeof(to),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	const unsigned int mark = 0x4f53;

	if (env->inside) {
		osh_auto_close int fd = udp(AF_INET);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SO_MARK;
		c->cmsg_len = CMSG_LEN(sizeof(mark));
		memcpy(CMSG_DATA(c), &mark, sizeof(mark));
		if (fd >= 0 && sendmsg(fd, &msg, 0) >= 0)
			return osh_st_open(detail, "a datagram was marked");
	}
	return option(udp(AF_INET), SOL_SOCKET, SO_MARK, &mark, sizeof(mark), "SO_MARK", detail);
}

enum osh_selftest_state osh_st_repair(const struct osh_selftest_env *env, char *detail)
{
	const int on = 1;

	(void)env;
	return option(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), IPPROTO_TCP, ST_TCP_REPAIR,
		      &on, sizeof(on), "TCP_REPAIR", detail);
}

enum osh_selftest_state osh_st_ulp(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	return option(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), IPPROTO_TCP, ST_TCP_ULP,
		      "tls", 4, "TCP_ULP", detail);
}

enum osh_selftest_state osh_st_transparent(const struct osh_selftest_env *env, char *detail)
{
	const int on = 1;

	(void)env;
	return option(udp(AF_INET), IPPROTO_IP, ST_IP_TRANSPARENT, &on, sizeof(on),
		      "IP_TRANSPARENT", detail);
}

/* Making the socket must fail. */
static enum osh_selftest_state no_socket(int family, int type, int protocol, const char *what,
					 char *detail)
{
	osh_auto_close int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return osh_st_refused(detail, what);
	osh_st_say(detail, "%s was created", what);
	return OSH_SELFTEST_OPEN;
}

enum osh_selftest_state osh_st_raw(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	if (no_socket(AF_INET, SOCK_RAW, IPPROTO_UDP, "raw IPv4 socket", detail) ==
	    OSH_SELFTEST_OPEN)
		return OSH_SELFTEST_OPEN;
	return no_socket(AF_INET6, SOCK_RAW, IPPROTO_UDP, "raw IPv6 socket", detail);
}

enum osh_selftest_state osh_st_packet(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	return no_socket(AF_PACKET, SOCK_DGRAM, htons(0x0800), "packet socket", detail);
}

enum osh_selftest_state osh_st_xdp(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	return no_socket(FAMILY_XDP, SOCK_RAW, 0, "XDP socket", detail);
}

enum osh_selftest_state osh_st_vsock(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	return no_socket(FAMILY_VSOCK, SOCK_STREAM, 0, "vsock", detail);
}

/* Every family but the four that are meant, with every type. */
enum osh_selftest_state osh_st_families(const struct osh_selftest_env *env, char *detail)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET };
	unsigned int tried = 0;

	(void)env;
	for (int family = 0; family < FAMILIES; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
		    family == AF_NETLINK)
			continue;
		for (size_t i = 0; i < OSH_ARRAY_SIZE(types); i++, tried++) {
			osh_auto_close int fd = socket(family, types[i] | SOCK_CLOEXEC, 0);

			if (fd < 0)
				continue;
			osh_st_say(detail, "family %d, type %d was created", family, types[i]);
			return OSH_SELFTEST_OPEN;
		}
	}
	osh_st_say(detail, "%u combinations refused", tried);
	return OSH_SELFTEST_CLOSED;
}

/* Every transport over IP but TCP and UDP: SCTP, DCCP, L2TP, UDP-Lite, MPTCP, ICMP, SMC, ... */
enum osh_selftest_state osh_st_protocols(const struct osh_selftest_env *env, char *detail)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, 6 /* DCCP */ };
	static const int families[] = { AF_INET, AF_INET6 };
	unsigned int tried = 0;

	(void)env;
	for (size_t f = 0; f < OSH_ARRAY_SIZE(families); f++) {
		for (int protocol = 1; protocol < 264; protocol++) {
			for (size_t i = 0; i < OSH_ARRAY_SIZE(types); i++, tried++) {
				osh_auto_close int fd = -1;

				if ((types[i] == SOCK_STREAM && protocol == IPPROTO_TCP) ||
				    (types[i] == SOCK_DGRAM && protocol == IPPROTO_UDP))
					continue;
				fd = socket(families[f], types[i] | SOCK_CLOEXEC, protocol);
				if (fd < 0)
					continue;
				osh_st_say(detail, "family %d, type %d, protocol %d was created",
					   families[f], types[i], protocol);
				return OSH_SELFTEST_OPEN;
			}
		}
	}
	osh_st_say(detail, "%u combinations refused", tried);
	return OSH_SELFTEST_CLOSED;
}

enum osh_selftest_state osh_st_netlink(const struct osh_selftest_env *env, char *detail)
{
	(void)env;
	for (int protocol = 1; protocol < 32; protocol++) {
		osh_auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

		if (fd < 0)
			continue;
		osh_st_say(detail, "netlink protocol %d was opened", protocol);
		return OSH_SELFTEST_OPEN;
	}
	osh_st_say(detail, "31 protocols refused");
	return OSH_SELFTEST_CLOSED;
}

/* ---- io_uring ---- */

struct ring {
	int fd;
	struct io_uring_params p;
	char *sq, *cq;
	struct io_uring_sqe *sqe;
};

static int ring_open(struct ring *r, unsigned int flags)
{
	*r = (struct ring){ .p = { .flags = flags } };
	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		return -errno;
	r->sq = mmap(NULL, r->p.sq_off.array + r->p.sq_entries * sizeof(uint32_t),
		     PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe),
		     PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
	r->sqe = mmap(NULL, r->p.sq_entries * sizeof(*r->sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
		      r->fd, IORING_OFF_SQES);
	return r->sq == MAP_FAILED || r->cq == MAP_FAILED || r->sqe == MAP_FAILED ? -ENOMEM : 0;
}

/* One operation, waited for; the result as io_uring gives it. */
static int ring_do(struct ring *r, const struct io_uring_sqe *sqe)
{
	uint32_t *tail = (uint32_t *)(r->sq + r->p.sq_off.tail);
	uint32_t *array = (uint32_t *)(r->sq + r->p.sq_off.array);
	uint32_t *head = (uint32_t *)(r->cq + r->p.cq_off.head);
	uint32_t slot = *tail % r->p.sq_entries, seen = *head;
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)(r->cq + r->p.cq_off.cqes);

	r->sqe[slot] = *sqe;
	array[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1,
		    IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0) < 0)
		return -errno;
	__atomic_store_n(head, seen + 1, __ATOMIC_RELEASE);
	return cqes[seen % r->p.cq_entries].res;
}

static enum osh_selftest_state uring_connect(const struct osh_selftest_env *env, unsigned int flags,
					     char *detail)
{
	struct sockaddr_in to = osh_st_target4(env);
	char marker[OSH_SELFTEST_MARKER_BYTES];
	struct msghdr msg = { .msg_name = &to, .msg_namelen = sizeof(to) };
	struct iovec iov = { marker, sizeof(marker) };
	struct io_uring_sqe sqe = { .opcode = IORING_OP_CONNECT, .off = sizeof(to) };
	osh_auto_close int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	osh_auto_close int dgram = udp(AF_INET);
	struct ring ring;
	int r = ring_open(&ring, flags);

	if (r == -ENOSYS)
		return osh_st_not_here(detail, "io_uring");
	/* the attacker is a child of the daemon, which may have denied it to itself */
	if (r == -EPERM)
		return osh_st_not_here(detail, "io_uring for the daemon's children");
	errno = -r;
	if (r < 0)
		return osh_st_refused(detail, "io_uring_setup");
	osh_st_marker(env, marker);
	sqe.fd = tcp;
	sqe.addr = (uintptr_t)&to;
	if (ring_do(&ring, &sqe) == 0)
		return osh_st_open(detail, "IORING_OP_CONNECT");
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	sqe = (struct io_uring_sqe){ .opcode = IORING_OP_SENDMSG, .fd = dgram, .len = 1 };
	sqe.addr = (uintptr_t)&msg;
	r = ring_do(&ring, &sqe);
	if (r > 0)
		return osh_st_open(detail, "IORING_OP_SENDMSG");
	errno = -r;
	return osh_st_refused(detail, flags ? "with a kernel thread" : "operations");
}

enum osh_selftest_state osh_st_uring_connect(const struct osh_selftest_env *env, char *detail)
{
	enum osh_selftest_state s = uring_connect(env, 0, detail);

	return s == OSH_SELFTEST_CLOSED ? uring_connect(env, IORING_SETUP_SQPOLL, detail) : s;
}

/* Inside, not even a ring: its operations bypass the system call filter. */
enum osh_selftest_state osh_st_uring_setup(const struct osh_selftest_env *env, char *detail)
{
	struct ring ring;
	int r = ring_open(&ring, 0);

	(void)env;
	errno = -r;
	return r < 0 ? osh_st_refused(detail, "io_uring_setup")
		     : osh_st_open(detail, "a ring was set up");
}

/* A network namespace of one's own: without the fence its loopback would be a way to hide. */
enum osh_selftest_state osh_st_nested_netns(const struct osh_selftest_env *env, char *detail)
{
	struct sockaddr_in to = osh_st_sin("127.0.0.1", env->forbidden_port);
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	osh_auto_close int listener = -1, ctl = -1;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return osh_st_refused(detail, "unshare");
	ctl = udp(AF_INET);
	if (ctl < 0 || ioctl(ctl, SIOCSIFFLAGS, &up) < 0)
		return osh_st_refused(detail, "lo up");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    listen(listener, 1) < 0)
		return osh_st_refused(detail, "listener in it");
	return osh_st_try(env, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, sizeof(to),
			  detail);
}
