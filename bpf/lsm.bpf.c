/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * An extra layer where the kernel offers BPF LSM: judges the task that acts, not the cgroup a socket
 * was born in. Never required; inside a sandbox unknown means deny, outside every sandbox each
 * program returns what came before it.
 */
#include "common.bpf.h"

BPF_LICENSE;

#define AF_UNIX	     1
#define AF_NETLINK   16
#define EAFNOSUPPORT 97

/* With a row, or without one (beyond its sandbox's share) but in the namespace all the same. */
static __always_inline bool sandboxed(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&osh_tasks, &tgid) || caller_sandbox();
}

SEC("?lsm/socket_create")
int BPF_PROG(osh_lsm_socket, int family, int type, int protocol, int kern, int ret)
{
	if (ret || kern || !sandboxed())
		return ret;
	if (family == AF_INET || family == AF_INET6 || family == AF_UNIX)
		return 0; /* their types: cgroup/sock_create */
	if (family == AF_NETLINK && protocol == 0)
		return 0; /* NETLINK_ROUTE: getifaddrs() */
	count(OSH_CTR_DENY_SOCKET);
	return -EAFNOSUPPORT;
}

/* A socket made elsewhere and smuggled in belongs to another network namespace. */
static __always_inline int own_netns(struct socket *sock)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct sock *sk = sock->sk;
	__u16 family;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (sk->__sk_common.skc_net.net->net_cookie == t->nsproxy->net_ns->net_cookie)
		return 0;
	count(OSH_CTR_DENY_SOCKET);
	return -EPERM;
}

SEC("?lsm/socket_connect")
int BPF_PROG(osh_lsm_connect, struct socket *sock, void *addr, int len, int ret)
{
	if (ret || !sandboxed())
		return ret;
	return own_netns(sock);
}

SEC("?lsm/socket_sendmsg")
int BPF_PROG(osh_lsm_sendmsg, struct socket *sock, void *msg, int size, int ret)
{
	if (ret || !sandboxed())
		return ret;
	return own_netns(sock);
}

SEC("?lsm/ptrace_access_check")
int BPF_PROG(osh_lsm_ptrace, struct task_struct *child, unsigned int mode, int ret)
{
	/* PTRACE_MODE_READ (1) alone is ps and friends */
	if (ret || !(mode & 2) || !sandboxed())
		return ret;
	return -EPERM;
}

SEC("?lsm/userns_create")
int BPF_PROG(osh_lsm_userns, const void *cred, int ret)
{
	if (ret || !sandboxed())
		return ret;
	return -EPERM;
}

SEC("?lsm/bpf")
int BPF_PROG(osh_lsm_bpf, int cmd, void *attr, unsigned int size, int ret)
{
	if (ret || !sandboxed())
		return ret;
	return -EPERM;
}
