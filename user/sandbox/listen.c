/* SPDX-License-Identifier: MIT */
/*
 * Loopback and listeners of a sandbox's network namespace. A short-lived child of the caller enters
 * the namespace; the sockets are therefore created by a task of the daemon's cgroup, which decides
 * which cgroup programs see their connections, and the caller itself never leaves its namespace.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "sandbox/sandbox.h"

#define LO_IFINDEX   1 /* always the first device of a namespace */
#define STACK_BYTES  (64u * 1024)
#define BACKLOG	     4096
#define SO_COOKIE_NS 71 /* SO_NETNS_COOKIE; Debian 12's libc does not name it */

struct nl_request {
	struct nlmsghdr hdr;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
	};
	char attrs[64];
};

struct job {
	int netns_fd;
	bool only_cookie;
	int result; /* 0 or -errno */
	struct osh_sandbox_listeners lst;
	uint64_t cookie;
};

void osh_sandbox_listeners_init(struct osh_sandbox_listeners *lst)
{
	*lst = (struct osh_sandbox_listeners){
		.tcp4 = -1,
		.tcp6 = -1,
		.dns_udp4 = -1,
		.dns_udp6 = -1,
		.dns_tcp4 = -1,
		.dns_tcp6 = -1,
	};
}

void osh_sandbox_listeners_fini(struct osh_sandbox_listeners *lst)
{
	osh_close_ptr(&lst->tcp4);
	osh_close_ptr(&lst->tcp6);
	osh_close_ptr(&lst->dns_udp4);
	osh_close_ptr(&lst->dns_udp6);
	osh_close_ptr(&lst->dns_tcp4);
	osh_close_ptr(&lst->dns_tcp6);
	osh_sandbox_listeners_init(lst);
}

static void add_attr(struct nl_request *req, unsigned short type, const void *data, size_t n)
{
	struct rtattr *rta = (void *)((char *)req + NLMSG_ALIGN(req->hdr.nlmsg_len));

	rta->rta_type = type;
	rta->rta_len = (unsigned short)RTA_LENGTH(n);
	memcpy(RTA_DATA(rta), data, n);
	req->hdr.nlmsg_len = NLMSG_ALIGN(req->hdr.nlmsg_len) + RTA_ALIGN(rta->rta_len);
}

/* Send and wait for the kernel's answer; rtnetlink answers within the call. */
static int transact(int nl, struct nl_request *req)
{
	struct {
		struct nlmsghdr hdr;
		struct nlmsgerr err;
		char more[256];
	} reply;
	ssize_t n;

	req->hdr.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(nl, req, req->hdr.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(nl, &reply, sizeof(reply), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(reply.hdr) + sizeof(reply.err) ||
	    reply.hdr.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return reply.err.error == -EEXIST ? 0 : reply.err.error;
}

static int link_up(int nl)
{
	struct nl_request req = {
		.hdr = { .nlmsg_len = NLMSG_LENGTH(sizeof(req.link)), .nlmsg_type = RTM_NEWLINK },
		.link = { .ifi_index = LO_IFINDEX, .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
	};

	return transact(nl, &req);
}

static int add_address(int nl, unsigned char family, const void *addr, size_t n,
		       unsigned char prefix)
{
	struct nl_request req = {
		.hdr = { .nlmsg_len = NLMSG_LENGTH(sizeof(req.addr)),
			 .nlmsg_type = RTM_NEWADDR,
			 .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL },
		.addr = { .ifa_family = family,
			  .ifa_prefixlen = prefix,
			  .ifa_flags = IFA_F_NODAD, /* usable at once */
			  .ifa_index = LO_IFINDEX },
	};

	add_attr(&req, IFA_LOCAL, addr, n);
	if (family == AF_INET)
		add_attr(&req, IFA_ADDRESS, addr, n);
	return transact(nl, &req);
}

/* The whole /64 is this host's, as an address with /15 makes it for IPv4 on a loopback device. */
static int add_local_route6(int nl, const struct in6_addr *net)
{
	const unsigned int lo = LO_IFINDEX;
	struct nl_request req = {
		.hdr = { .nlmsg_len = NLMSG_LENGTH(sizeof(req.route)),
			 .nlmsg_type = RTM_NEWROUTE,
			 .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL },
		.route = { .rtm_family = AF_INET6,
			   .rtm_dst_len = 64,
			   .rtm_table = RT_TABLE_LOCAL,
			   .rtm_protocol = RTPROT_STATIC,
			   .rtm_scope = RT_SCOPE_UNIVERSE,
			   .rtm_type = RTN_LOCAL },
	};

	add_attr(&req, RTA_DST, net, sizeof(*net));
	add_attr(&req, RTA_OIF, &lo, sizeof(lo));
	return transact(nl, &req);
}

static bool has_ipv6(void)
{
	osh_auto_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0;
}

/* A new namespace may inherit "no IPv6" from the host's defaults. */
static void enable_ipv6_on_lo(void)
{
	osh_auto_close int fd = open("/proc/sys/net/ipv6/conf/lo/disable_ipv6",
				     O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "0", 1); /* adding the address tells whether it helped */
}

static int set_up_loopback(bool ipv6)
{
	osh_auto_close int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct in_addr addr4;
	struct in6_addr addr6, net6;
	int r;

	if (nl < 0)
		return -errno;
	if (inet_pton(AF_INET, OSH_SANDBOX_ADDR4, &addr4) != 1 ||
	    inet_pton(AF_INET6, OSH_SANDBOX_ADDR6, &addr6) != 1)
		return -EINVAL;
	net6 = addr6;
	memset(net6.s6_addr + 8, 0, 8);
	if (ipv6)
		enable_ipv6_on_lo();
	r = link_up(nl);
	if (r == 0)
		r = add_address(nl, AF_INET, &addr4, sizeof(addr4), 15);
	if (r == 0 && ipv6)
		r = add_address(nl, AF_INET6, &addr6, sizeof(addr6), 128);
	if (r == 0 && ipv6)
		r = add_local_route6(nl, &net6);
	return r;
}

static int open_listener(int family, int type, int *ret_fd, uint16_t *ret_port)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr = { .sa.sa_family = (sa_family_t)family };
	socklen_t len = family == AF_INET ? sizeof(addr.in) : sizeof(addr.in6);
	osh_auto_close int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (inet_pton(family, family == AF_INET ? OSH_SANDBOX_ADDR4 : OSH_SANDBOX_ADDR6,
		      family == AF_INET ? (void *)&addr.in.sin_addr : &addr.in6.sin6_addr) != 1)
		return -EINVAL;
	if (bind(fd, &addr.sa, len) < 0)
		return -errno;
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return -errno;
	if (getsockname(fd, &addr.sa, &len) < 0)
		return -errno;
	*ret_port = ntohs(family == AF_INET ? addr.in.sin_port : addr.in6.sin6_port);
	*ret_fd = osh_take_fd(&fd);
	return 0;
}

static int open_listeners(bool ipv6, struct osh_sandbox_listeners *lst)
{
	const struct {
		int family, type;
		int *fd;
		uint16_t *port;
	} wanted[] = {
		{ AF_INET, SOCK_STREAM, &lst->tcp4, &lst->tcp4_port },
		{ AF_INET, SOCK_DGRAM, &lst->dns_udp4, &lst->dns_udp4_port },
		{ AF_INET, SOCK_STREAM, &lst->dns_tcp4, &lst->dns_tcp4_port },
		{ AF_INET6, SOCK_STREAM, &lst->tcp6, &lst->tcp6_port },
		{ AF_INET6, SOCK_DGRAM, &lst->dns_udp6, &lst->dns_udp6_port },
		{ AF_INET6, SOCK_STREAM, &lst->dns_tcp6, &lst->dns_tcp6_port },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(wanted); i++)
		if (wanted[i].family == AF_INET || ipv6)
			r = open_listener(wanted[i].family, wanted[i].type, wanted[i].fd,
					  wanted[i].port);
	return r;
}

/*
 * Accepted sockets take the mark of the SYN they come from: by it the kernel programs know a
 * connection's record again. /proc/sys/net shows the namespace of who opens it.
 */
static int accept_marks(void)
{
	osh_auto_close int fd = open("/proc/sys/net/ipv4/tcp_fwmark_accept", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "1", 1) != 1 ? -errno : 0;
}

static int read_cookie(int fd, uint64_t *ret_cookie)
{
	socklen_t len = sizeof(*ret_cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE_NS, ret_cookie, &len) < 0 ? -errno : 0;
}

static int run_job(struct job *job)
{
	bool ipv6;
	int r;

	if (setns(job->netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	if (job->only_cookie) {
		osh_auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		return fd < 0 ? -errno : read_cookie(fd, &job->cookie);
	}
	ipv6 = has_ipv6();
	r = set_up_loopback(ipv6);
	if (r == 0)
		r = accept_marks();
	if (r == 0)
		r = open_listeners(ipv6, &job->lst);
	return r < 0 ? r : read_cookie(job->lst.tcp4, &job->cookie);
}

static int child_main(void *arg)
{
	struct job *job = arg;

	job->result = run_job(job);
	return 0; /* clone() ends the task without running exit handlers */
}

/*
 * The child shares memory and descriptors with the caller, which is suspended until it ends: what it
 * opens is simply there, and no page table is copied. Signals stay blocked in it, so that no handler
 * of the caller can run in the wrong namespace.
 */
static int run_in_child(struct job *job)
{
	sigset_t all, old;
	char *stack;
	pid_t pid;
	int r = 0;

	stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	job->result = -ECHILD; /* stays if the child dies on its way */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_FILES, job);
	if (pid < 0)
		r = -errno;
	else /* __WALL: without an exit signal it is invisible to ordinary waits */
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)munmap(stack, STACK_BYTES);
	return r < 0 ? r : job->result;
}

int osh_sandbox_listen(int netns_fd, struct osh_sandbox_listeners *ret_lst,
		       uint64_t *ret_netns_cookie)
{
	struct job job = { .netns_fd = netns_fd };
	int r;

	osh_sandbox_listeners_init(&job.lst);
	r = run_in_child(&job);
	if (r < 0) {
		osh_sandbox_listeners_fini(&job.lst);
		return r;
	}
	*ret_lst = job.lst;
	*ret_netns_cookie = job.cookie;
	return 0;
}

int osh_sandbox_netns_cookie(int netns_fd, uint64_t *ret_cookie)
{
	struct job job = { .netns_fd = netns_fd, .only_cookie = true };
	int r = run_in_child(&job);

	if (r == 0)
		*ret_cookie = job.cookie;
	return r;
}
