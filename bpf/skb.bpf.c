/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Backstop: whatever the socket hooks missed, packets of a sandbox's sockets stay among the
 * sandbox's own addresses, are TCP or UDP, carry no source routes, and datagrams go to our DNS or
 * over loopback. Each way to fail has its counter. Unknown: drop.
 */
#include "common.bpf.h"

BPF_LICENSE;

#define ETH_P_IP   0x0800
#define ETH_P_IPV6 0x86dd

struct ip4_hdr {
	__u8 ver_ihl, tos;
	__u16 len_be, id_be, frag_be;
	__u8 ttl, protocol;
	__u16 check;
	__u32 saddr_be, daddr_be;
};

/* What the kernel puts before a TCP segment above 64 KiB that only lo ever sees (RFC 2675). */
struct jumbo_hdr {
	__u8 nexthdr, len, type, type_len;
	__u32 payload_be;
};

struct ip6_hdr {
	__u32 flow;
	__u16 len_be;
	__u8 nexthdr, hops;
	__u32 saddr_be[4], daddr_be[4];
};

/* 198.18.0.0/15 is the benchmark range: routable nowhere, local on a sandbox's lo. */
static __always_inline bool local4(__u32 ip_be)
{
	__u32 ip = bpf_ntohl(ip_be);

	return (ip >> 24) == 127 || (ip & 0xfffe0000) == 0xc6120000;
}

static __always_inline bool loopback6(const __u32 ip[4])
{
	return !ip[0] && !ip[1] && !ip[2] && ip[3] == bpf_htonl(1);
}

/* Unique local addresses: the namespace has only lo, so only our own /64 leads anywhere. */
static __always_inline bool local6(const __u32 ip[4])
{
	return loopback6(ip) || (bpf_ntohl(ip[0]) >> 24) == 0xfd;
}

static __always_inline int drop(__u32 ctr)
{
	count(ctr);
	return 0;
}

/* The record of a datagram to our DNS is kept under its source port, for the daemon's log. */
static __always_inline int datagram(struct __sk_buff *skb, __u32 off, bool loopback)
{
	struct osh_dns_key key = {};
	struct osh_flow_rec *rec;
	struct bpf_sock *sk = skb->sk;
	struct osh_sb *sb;
	__u64 cookie;
	__u16 port[2];

	if (bpf_skb_load_bytes(skb, off, port, sizeof(port)))
		return drop(OSH_CTR_SKB_SHORT);
	if (loopback)
		return 1;
	if (!sk)
		return drop(OSH_CTR_SKB_PROTO);
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return drop(OSH_CTR_SKB_PROTO);
	rec = bpf_sk_storage_get(&osh_sk_rec, sk, 0, 0);
	if (!rec || rec->kind != OSH_FLOW_DNS_UDP)
		return drop(OSH_CTR_SKB_PROTO);
	cookie = rec->netns_cookie;
	sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	if (!sb || (port[1] != sb->dns4_port_be && port[1] != sb->dns6_port_be))
		return drop(OSH_CTR_SKB_PROTO);
	key.netns_cookie = cookie;
	key.port_be = port[0];
	bpf_map_update_elem(&osh_dns, &key, rec, BPF_ANY);
	return 1;
}

static __always_inline int check(struct __sk_buff *skb, bool out)
{
	__u32 proto = bpf_ntohs(skb->protocol), off;
	__u8 l4;
	bool loopback;

	if (proto == ETH_P_IP) {
		struct ip4_hdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
			return drop(OSH_CTR_SKB_SHORT);
		if (ip.ver_ihl != 0x45)
			return drop(OSH_CTR_SKB_OPTIONS);
		if (!local4(ip.daddr_be))
			return drop(out ? OSH_CTR_SKB_ADDR_OUT : OSH_CTR_SKB_ADDR_IN);
		if (!local4(ip.saddr_be))
			return drop(out ? OSH_CTR_SKB_ADDR_OUT : OSH_CTR_SKB_ADDR_IN);
		l4 = ip.protocol;
		loopback = (bpf_ntohl(ip.daddr_be) >> 24) == 127;
		off = sizeof(ip);
		/* a later fragment has no ports; the first one was judged */
		if (l4 == IPPROTO_UDP && (bpf_ntohs(ip.frag_be) & 0x1fff))
			return loopback ? 1 : drop(OSH_CTR_SKB_PROTO);
	} else if (proto == ETH_P_IPV6) {
		struct ip6_hdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
			return drop(OSH_CTR_SKB_SHORT);
		if (!local6(ip.daddr_be) || !local6(ip.saddr_be))
			return drop(out ? OSH_CTR_SKB_ADDR_OUT : OSH_CTR_SKB_ADDR_IN);
		l4 = ip.nexthdr;
		loopback = loopback6(ip.daddr_be);
		off = sizeof(ip);
		if (l4 == 0) {
			struct jumbo_hdr jumbo;

			if (bpf_skb_load_bytes(skb, off, &jumbo, sizeof(jumbo)))
				return drop(OSH_CTR_SKB_SHORT);
			if (jumbo.nexthdr != IPPROTO_TCP || jumbo.len || jumbo.type != 0xc2 ||
			    jumbo.type_len != 4)
				return drop(OSH_CTR_SKB_OPTIONS);
			return 1;
		}
		/* fragments inside ::1 stay inside; every other extension header is refused */
		if (l4 == 44 && loopback)
			return 1;
		if (l4 != IPPROTO_TCP && l4 != IPPROTO_UDP)
			return drop(OSH_CTR_SKB_OPTIONS);
	} else {
		return drop(OSH_CTR_SKB_PROTO);
	}
	if (l4 == IPPROTO_TCP)
		return 1;
	if (l4 != IPPROTO_UDP)
		return drop(OSH_CTR_SKB_PROTO);
	return out ? datagram(skb, off, loopback) : 1;
}

SEC("cgroup_skb/egress")
int osh_egress(struct __sk_buff *skb)
{
	return check(skb, true);
}

SEC("cgroup_skb/ingress")
int osh_ingress(struct __sk_buff *skb)
{
	return check(skb, false);
}
