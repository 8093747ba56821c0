/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * What sockets a sandbox may make and how it may set them up. Only INET and INET6 come through
 * here; the other families are the process fence's business (seccomp, and lsm.bpf.c where it loads).
 */
#include "common.bpf.h"

BPF_LICENSE;

#define SOL_IP	 0
#define SOL_TCP	 6
#define SOL_UDP	 17
#define SOL_IPV6 41

static __always_inline void report(struct osh_sb *sb, __u32 reason, __u32 op, __u32 protocol,
				   __u32 detail, const __u8 *addr, __u16 port_be, bool v4)
{
	struct osh_kev_deny *ev = event_new(sb, OSH_KEV_DENY, sizeof(*ev));

	if (!ev)
		return;
	__builtin_memset(&ev->rec, 0, sizeof(ev->rec));
	if (sb)
		(void)caller_identity(sb, &ev->rec);
	ev->rec.reason = reason;
	ev->rec.host_id = detail;
	if (addr) {
		__builtin_memcpy(ev->rec.dst, addr, sizeof(ev->rec.dst));
		ev->rec.dst_port_be = port_be;
		ev->rec.family = v4 ? AF_INET : AF_INET6;
	}
	ev->protocol = protocol;
	ev->op = op;
	event_send(ev);
}

/* Allow-list: TCP and UDP. Everything else inside a sandbox: deny. */
SEC("cgroup/sock_create")
int osh_sock_create(struct bpf_sock *sk)
{
	__u32 family = sk->family, type = sk->type, protocol = sk->protocol;
	__u64 cookie;

	if (family == AF_INET || family == AF_INET6) {
		if (type == SOCK_STREAM && protocol == IPPROTO_TCP)
			return 1;
		if (type == SOCK_DGRAM && protocol == IPPROTO_UDP)
			return 1;
	}
	count(OSH_CTR_DENY_SOCKET);
	cookie = bpf_get_netns_cookie(sk);
	report(bpf_map_lookup_elem(&osh_sandboxes, &cookie), OSH_KR_PROTOCOL, OSH_KOP_SOCKET,
	       protocol, family << 16 | type, NULL, 0, true);
	bpf_set_retval(-EPROTONOSUPPORT);
	return 0;
}

static __always_inline bool own_port(const struct osh_sb *sb, __u16 port_be)
{
	return port_be && (port_be == sb->tcp4_port_be || port_be == sb->tcp6_port_be ||
			   port_be == sb->dns4_port_be || port_be == sb->dns6_port_be ||
			   port_be == bpf_htons(osh_cfg_explicit_port));
}

static __always_inline int bind_deny(struct bpf_sock_addr *ctx, struct osh_sb *sb, const __u8 *addr,
				     bool v4)
{
	count(OSH_CTR_DENY_BIND);
	report(sb, OSH_KR_BIND, OSH_KOP_BIND, ctx->protocol, 0, addr, ctx->user_port, v4);
	bpf_set_retval(-EADDRNOTAVAIL);
	return 0;
}

/* Loopback and the wildcard (in a namespace that has only lo) on ports that are not ours. */
SEC("cgroup/bind4")
int osh_bind4(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);
	struct osh_sb *sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	__u32 ip = ctx->user_ip4;
	__u8 addr[16];

	if (sb && (!ip || (bpf_ntohl(ip) >> 24) == 127) && !own_port(sb, ctx->user_port))
		return 1;
	addr_from_v4(addr, ip);
	return bind_deny(ctx, sb, addr, true);
}

SEC("cgroup/bind6")
int osh_bind6(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);
	struct osh_sb *sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	__u32 a = ctx->user_ip6[0], b = ctx->user_ip6[1], c = ctx->user_ip6[2],
	      d = ctx->user_ip6[3];
	__u32 addr[4] = { a, b, c, d };
	bool ok = false;

	if (!a && !b) {
		if (!c)
			ok = !d || d == bpf_htonl(1);
		else if (c == bpf_htonl(0xffff))
			ok = !d || (bpf_ntohl(d) >> 24) == 127;
	}
	if (sb && ok && !own_port(sb, ctx->user_port))
		return 1;
	return bind_deny(ctx, sb, (__u8 *)addr, false);
}

/* Ports the kernel chose itself, and binds that no bind hook sees. */
static __always_inline int after_bind(struct bpf_sock *sk)
{
	__u64 cookie = bpf_get_netns_cookie(sk);
	struct osh_sb *sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);

	if (sb && !own_port(sb, bpf_htons(sk->src_port)))
		return 1;
	count(OSH_CTR_DENY_BIND);
	return 0;
}

SEC("cgroup/post_bind4")
int osh_post_bind4(struct bpf_sock *sk)
{
	return after_bind(sk);
}

SEC("cgroup/post_bind6")
int osh_post_bind6(struct bpf_sock *sk)
{
	return after_bind(sk);
}

static __always_inline bool option_is_denied(int level, int name)
{
	switch (level) {
	case SOL_SOCKET:
		switch (name) {
		case 25: /* SO_BINDTODEVICE */
		case 36: /* SO_MARK */
		case 62: /* SO_BINDTOIFINDEX */
		case 75: /* SO_RCVMARK */
			return true;
		}
		return false;
	case SOL_IP:
		switch (name) {
		case 3: /* IP_HDRINCL */
		case 4: /* IP_OPTIONS */
		case 15: /* IP_FREEBIND */
		case 16: /* IP_IPSEC_POLICY */
		case 17: /* IP_XFRM_POLICY */
		case 19: /* IP_TRANSPARENT */
			return true;
		}
		return false;
	case SOL_IPV6:
		switch (name) {
		case 1: /* IPV6_ADDRFORM */
		case 3: /* IPV6_2292HOPOPTS */
		case 4: /* IPV6_2292DSTOPTS */
		case 5: /* IPV6_2292RTHDR */
		case 6: /* IPV6_2292PKTOPTIONS */
		case 34: /* IPV6_IPSEC_POLICY */
		case 35: /* IPV6_XFRM_POLICY */
		case 36: /* IPV6_HDRINCL */
		case 54: /* IPV6_HOPOPTS */
		case 55: /* IPV6_RTHDRDSTOPTS */
		case 57: /* IPV6_RTHDR */
		case 59: /* IPV6_DSTOPTS */
		case 75: /* IPV6_TRANSPARENT */
		case 78: /* IPV6_FREEBIND */
			return true;
		}
		return false;
	case SOL_TCP:
		switch (name) {
		case 14: /* TCP_MD5SIG */
		case 19: /* TCP_REPAIR */
		case 20: /* TCP_REPAIR_QUEUE */
		case 21: /* TCP_QUEUE_SEQ */
		case 22: /* TCP_REPAIR_OPTIONS */
		case 29: /* TCP_REPAIR_WINDOW */
		case 31: /* TCP_ULP */
		case 32: /* TCP_MD5SIG_EXT */
		case 38: /* TCP_AO_ADD_KEY */
		case 39: /* TCP_AO_DEL_KEY */
		case 40: /* TCP_AO_INFO */
		case 42: /* TCP_AO_REPAIR */
			return true;
		}
		return false;
	case SOL_UDP:
		return name == 100; /* UDP_ENCAP */
	}
	return false;
}

/* Options that forge, mark or reroute packets, or change what a socket is. Others pass. */
SEC("cgroup/setsockopt")
int osh_setsockopt(struct bpf_sockopt *ctx)
{
	__u32 level = ctx->level, name = ctx->optname;
	__u64 cookie;

	if (!option_is_denied(level, name)) {
		/*
		 * The kernel reads at most a page through the hook; larger values pass as they are:
		 * say so, or it refuses them.
		 */
		if (ctx->optlen > 4096)
			ctx->optlen = 0;
		return 1;
	}
	count(OSH_CTR_DENY_SOCKOPT);
	cookie = bpf_get_netns_cookie(ctx);
	report(bpf_map_lookup_elem(&osh_sandboxes, &cookie), OSH_KR_SOCKOPT, OSH_KOP_SOCKOPT, 0,
	       level << 16 | name, NULL, 0, true);
	return 0; /* EPERM */
}
