/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Unix sockets: a socket with a path can be met by whoever sees the path, so one of the host in a
 * listed folder is a way out that no network policy covers. Only the kernel knows which socket a path
 * (relative, or through links) leads to, and shows it to these two, after the lookup and before a
 * byte passes. By return value of the security calls, which works without BPF LSM, wherever the
 * kernel can place trampolines.
 */
#include "common.bpf.h"

BPF_LICENSE;

/* Sockets of a sandbox are made in its network namespace; both ends given to it count as one place. */
static __always_inline int judge(struct sock *own, struct sock *other)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	/* a process beyond its sandbox's share has no row, but is in the namespace all the same */
	if (!bpf_map_lookup_elem(&osh_tasks, &tgid) && !caller_sandbox())
		return 0;
	if (own && other &&
	    own->__sk_common.skc_net.net->net_cookie == other->__sk_common.skc_net.net->net_cookie)
		return 0;
	count(OSH_CTR_DENY_UNIX);
	return -EACCES;
}

/* Inside a sandbox: to its own only. Outside: two failed lookups. */
SEC("?fmod_ret/security_unix_stream_connect")
int BPF_PROG(osh_unix_conn, struct sock *sock, struct sock *other, struct sock *newsk, int ret)
{
	return ret ? ret : judge(sock, other);
}

/* The same for datagrams and sequenced packets, at connect and at every send. */
SEC("?fmod_ret/security_unix_may_send")
int BPF_PROG(osh_unix_send, struct socket *sock, struct socket *other, int ret)
{
	return ret ? ret : judge(sock->sk, other->sk);
}
