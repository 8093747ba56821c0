/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Where a sandbox's sockets may go. Attached to <agent>/sandboxes only, so "inside" is everything
 * these programs see: unknown means deny. TCP goes to the in-sandbox listener; who asked for what is
 * kept under a number of its own, which the socket carries as its mark: the kernel copies it from the
 * SYN to the accepted socket, and nobody inside can set it (flow.bpf.c). DNS datagrams go to our DNS;
 * what stays inside the sandbox passes.
 */
#include "common.bpf.h"
#include "policy.bpf.h"

BPF_LICENSE;

enum route {
	ROUTE_DENY = 0,
	ROUTE_PASS, /* stays inside: untouched */
	ROUTE_TCP, /* to the TCP listener */
	ROUTE_DNS, /* to the DNS datagram listener */
};

struct dest {
	__u8 addr[16]; /* IPv4 mapped */
	__u16 port_be;
	bool v4;
	bool loopback; /* 127/8, ::1, or the wildcard address, which means the same */
	bool own; /* the listeners' address */
	bool pool; /* synthetic */
	__u32 host_id;
};

static __always_inline void classify4(struct osh_sb *sb, __u32 ip_be, struct dest *d)
{
	d->v4 = true;
	addr_from_v4(d->addr, ip_be);
	d->loopback = !ip_be || (bpf_ntohl(ip_be) >> 24) == 127;
	d->own = ip_be == sb->listen4_be;
	d->pool = (ip_be & sb->pool4_mask_be) == sb->pool4_be;
	d->host_id = d->pool ? bpf_ntohl(ip_be) - bpf_ntohl(sb->pool4_be) : 0;
}

static __always_inline void classify6(struct osh_sb *sb, const __u32 ip[4], struct dest *d)
{
	__u32 *w = (__u32 *)d->addr;
	bool high0 = !ip[0] && !ip[1];

	if (high0 && ip[2] == bpf_htonl(0xffff)) {
		classify4(sb, ip[3], d);
		return;
	}
	d->v4 = false;
	w[0] = ip[0];
	w[1] = ip[1];
	w[2] = ip[2];
	w[3] = ip[3];
	d->loopback = high0 && !ip[2] && (!ip[3] || ip[3] == bpf_htonl(1));
	d->own = ip[0] == sb->listen6_be[0] && ip[1] == sb->listen6_be[1] &&
		 ip[2] == sb->listen6_be[2] && ip[3] == sb->listen6_be[3];
	d->pool = ip[0] == sb->pool6_be[0] && ip[1] == sb->pool6_be[1] &&
		  (sb->pool6_be[0] || sb->pool6_be[1]);
	/* an address of the /64 that is not pool + n belongs to nobody: a literal, and none listed */
	if (d->pool && (ip[2] != sb->pool6_be[2]))
		d->pool = false;
	d->host_id = d->pool ? bpf_ntohl(ip[3]) : 0;
}

static __always_inline void deny_counter(__u32 reason)
{
	switch (reason) {
	case OSH_KR_NO_SANDBOX:
	case OSH_KR_WRONG_SANDBOX:
		count(OSH_CTR_DENY_SANDBOX);
		break;
	case OSH_KR_NO_IDENTITY:
		count(OSH_CTR_DENY_IDENTITY);
		break;
	case OSH_KR_OWN_PORT:
		count(OSH_CTR_DENY_OWN_PORT);
		break;
	case OSH_KR_UDP:
		count(OSH_CTR_DENY_UDP);
		break;
	case OSH_KR_PROTOCOL:
		count(OSH_CTR_DENY_SOCKET);
		break;
	case OSH_KR_POLICY:
		count(OSH_CTR_DENY_POLICY);
		break;
	case OSH_KR_NO_POLICY:
		count(OSH_CTR_DENY_NO_POLICY);
		break;
	case OSH_KR_NO_LISTENER:
		count(OSH_CTR_DENY_LISTENER);
		break;
	case OSH_KR_NO_MEMORY:
		count(OSH_CTR_STORAGE_FULL);
		break;
	default:
		count(OSH_CTR_DENY_ADDRESS);
	}
}

/* Count, report, set the errno; the result is the program's. @rec may be NULL. */
static __noinline int deny(struct osh_sb *sb, const struct dest *d, __u32 reason, __u64 generation,
			   __u32 proto_op)
{
	struct osh_kev_deny *ev;

	deny_counter(reason);
	ev = event_new(sb, OSH_KEV_DENY, sizeof(*ev));
	if (ev) {
		struct osh_flow_rec *rec = &ev->rec;

		__builtin_memset(rec, 0, sizeof(*rec));
		if (sb)
			(void)caller_identity(sb, rec); /* as much as is known */
		rec->generation = generation;
		rec->reason = reason;
		if (d) {
			__builtin_memcpy(rec->dst, d->addr, sizeof(rec->dst));
			rec->dst_port_be = d->port_be;
			rec->family = d->v4 ? AF_INET : AF_INET6;
			rec->host_id = d->host_id;
		}
		ev->protocol = proto_op >> 8;
		ev->op = proto_op & 0xff;
		event_send(ev);
	}
	bpf_set_retval(-(int)osh_cfg_deny_errno);
	return 0;
}

/* The datagram socket now leads nowhere of ours. */
static __always_inline void forget(struct bpf_sock_addr *ctx)
{
	struct osh_flow_rec *rec = bpf_sk_storage_get(&osh_sk_rec, ctx->sk, 0, 0);

	if (rec)
		rec->kind = OSH_FLOW_NONE;
}

/* Everything of a record but what the kind asks for. 0 or a reason to deny. */
static __always_inline __u32 describe(struct bpf_sock_addr *ctx, struct osh_sb *sb,
				      const struct dest *d, __u64 cookie, struct osh_flow_rec *rec)
{
	__u32 reason = caller_identity(sb, rec);

	__builtin_memcpy(rec->dst, d->addr, sizeof(rec->dst));
	rec->dst_port_be = d->port_be;
	rec->family = d->v4 ? AF_INET : AF_INET6;
	rec->host_id = d->host_id;
	rec->reason = 0;
	rec->mark = 0;
	rec->cookie = cookie;
	rec->generation = 0;
	return reason;
}

/* For a datagram socket that asks our DNS. 0 or a reason to deny. */
static __always_inline __u32 record(struct bpf_sock_addr *ctx, struct osh_sb *sb,
				    const struct dest *d)
{
	struct osh_flow_rec *rec;
	__u32 reason;

	rec = bpf_sk_storage_get(&osh_sk_rec, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!rec)
		return OSH_KR_NO_MEMORY;
	rec->kind = OSH_FLOW_NONE;
	reason = describe(ctx, sb, d, bpf_get_socket_cookie(ctx), rec);
	if (!reason)
		rec->kind = OSH_FLOW_DNS_UDP;
	return reason;
}

static __always_inline bool set_mark(struct bpf_sock_addr *ctx, __u32 mark)
{
	return bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;
}

/*
 * The socket connects anew: what it had before is dissolved, and dead if nobody has fetched it.
 * @away: and it leads nowhere of ours now.
 */
static __always_inline void dissolve(struct bpf_sock_addr *ctx, struct osh_sb *sb, bool away)
{
	struct osh_flow_key key = { .netns_cookie = sb->netns_cookie };
	struct bpf_sock *sk = ctx->sk;

	if (!sk || !sk->mark)
		return;
	key.mark = sk->mark;
	(void)drop_flow(&key);
	if (!away)
		return;
	drop_peer(sb->netns_cookie, bpf_get_socket_cookie(ctx));
	(void)set_mark(ctx, 0); /* of no use without its record */
}

/* Put @rec where the daemon finds it and give the socket its mark. 0 or a reason to deny. */
static __always_inline __u32 announce(struct bpf_sock_addr *ctx, struct osh_sb *sb,
				      struct osh_flow_rec *rec)
{
	struct osh_flow_key key = { .netns_cookie = rec->netns_cookie };
	struct osh_state *st = state_row();
	struct osh_peer peer = {};
	bool again = ctx->sk->mark;
	int i, r = -1;

	if (!st)
		return OSH_KR_NO_MEMORY;
	if (!charge(&sb->flow_count, OSH_FLOW_PER_SANDBOX)) {
		count(OSH_CTR_FLOW_FULL);
		return OSH_KR_NO_MEMORY;
	}
	/* numbers come round after 2^32 connections: one that is still in use is passed over */
	for (i = 0; i < 4 && r; i++) {
		key.mark = __sync_fetch_and_add(&st->next_mark, 1) + 1;
		if (!key.mark)
			continue;
		rec->mark = key.mark;
		r = bpf_map_update_elem(&osh_flows, &key, rec, BPF_NOEXIST);
		if (r != -EEXIST)
			break;
	}
	if (r) {
		uncharge(&sb->flow_count);
		count(OSH_CTR_FLOW_FULL);
		return OSH_KR_NO_MEMORY;
	}
	if (!set_mark(ctx, key.mark)) {
		(void)drop_flow(&key);
		return OSH_KR_NO_MEMORY;
	}
	__builtin_memcpy(peer.addr, rec->dst, sizeof(peer.addr));
	peer.port_be = rec->dst_port_be;
	peer.family = rec->family;
	if (again && !bpf_map_update_elem(&osh_peers, &rec->cookie, &peer, BPF_EXIST))
		return 0; /* this socket's second connection: its row is there as a rule */
	if (!charge(&sb->peer_count, OSH_PEER_PER_SANDBOX)) {
		count(OSH_CTR_STORAGE_FULL);
	} else if (bpf_map_update_elem(&osh_peers, &rec->cookie, &peer, BPF_ANY)) {
		uncharge(&sb->peer_count);
		count(OSH_CTR_STORAGE_FULL);
	}
	return 0;
}

static __always_inline enum route route_tcp(struct bpf_sock_addr *ctx, struct osh_sb *sb,
					    const struct dest *d, __u32 *reason, __u64 *generation)
{
	__u32 kind = OSH_FLOW_TRANSPARENT;
	struct osh_flow_rec rec;

	count(OSH_CTR_CONNECT);
	if (ctx->protocol != IPPROTO_TCP) {
		*reason = OSH_KR_PROTOCOL;
		return ROUTE_DENY;
	}
	if (d->port_be == bpf_htons(53)) {
		kind = OSH_FLOW_DNS_TCP;
	} else if (d->loopback) {
		if (d->port_be != bpf_htons(osh_cfg_explicit_port)) {
			if (d->port_be == (d->v4 ? sb->tcp4_port_be : sb->tcp6_port_be)) {
				*reason = OSH_KR_OWN_PORT;
				return ROUTE_DENY;
			}
			count(OSH_CTR_LOOPBACK);
			dissolve(ctx, sb, true);
			return ROUTE_PASS;
		}
		kind = OSH_FLOW_EXPLICIT;
	} else if (d->own) {
		*reason = OSH_KR_OWN_PORT;
		return ROUTE_DENY;
	}
	if (sb->flags & OSH_SB_QUARANTINE) {
		*reason = OSH_KR_NO_POLICY;
		return ROUTE_DENY;
	}
	if (!(d->v4 ? sb->tcp4_port_be : sb->tcp6_port_be)) {
		*reason = OSH_KR_NO_LISTENER;
		return ROUTE_DENY;
	}
	dissolve(ctx, sb, false);
	*reason = describe(ctx, sb, d, bpf_get_socket_cookie(ctx), &rec);
	if (*reason)
		return ROUTE_DENY;
	rec.kind = kind;
	if (kind == OSH_FLOW_TRANSPARENT || kind == OSH_FLOW_EXPLICIT) {
		*reason = policy_verdict(&rec, kind);
		*generation = rec.generation;
		if (*reason)
			return ROUTE_DENY;
	}
	*reason = announce(ctx, sb, &rec);
	if (*reason)
		return ROUTE_DENY;
	count(OSH_CTR_REDIRECT);
	if (kind == OSH_FLOW_EXPLICIT)
		count(OSH_CTR_EXPLICIT);
	return ROUTE_TCP;
}

static __always_inline enum route route_udp(struct bpf_sock_addr *ctx, struct osh_sb *sb,
					    const struct dest *d, bool connecting, __u32 *reason)
{
	if (ctx->protocol != IPPROTO_UDP) {
		*reason = OSH_KR_PROTOCOL;
		return ROUTE_DENY;
	}
	if (d->port_be == bpf_htons(53)) {
		if (!(d->v4 ? sb->dns4_port_be : sb->dns6_port_be)) {
			*reason = OSH_KR_NO_LISTENER;
			return ROUTE_DENY;
		}
		*reason = record(ctx, sb, d);
		if (*reason)
			return ROUTE_DENY;
		count(OSH_CTR_DNS);
		return ROUTE_DNS;
	}
	/*
	 * A v6 socket connected to a v4-mapped name server: the kernel names the rewritten address in
	 * each send. Only for a socket that has its record already.
	 */
	if (!connecting && d->own && d->port_be == (d->v4 ? sb->dns4_port_be : sb->dns6_port_be)) {
		struct osh_flow_rec *rec = bpf_sk_storage_get(&osh_sk_rec, ctx->sk, 0, 0);

		if (rec && rec->kind == OSH_FLOW_DNS_UDP)
			return ROUTE_PASS;
	}
	if (d->loopback) {
		if (d->port_be == (d->v4 ? sb->dns4_port_be : sb->dns6_port_be)) {
			*reason = OSH_KR_OWN_PORT;
			return ROUTE_DENY;
		}
		forget(ctx);
		return ROUTE_PASS;
	}
	/*
	 * getaddrinfo() connects a datagram socket to each address it found, to sort them, and sends
	 * nothing. Datagrams themselves are dropped by skb.bpf.c.
	 */
	if (connecting && d->pool && !d->own) {
		forget(ctx);
		return ROUTE_PASS;
	}
	*reason = OSH_KR_UDP;
	return ROUTE_DENY;
}

static __always_inline int fence4(struct bpf_sock_addr *ctx, bool connecting)
{
	__u64 cookie = bpf_get_netns_cookie(ctx), generation = 0;
	struct osh_sb *sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	__u32 reason = OSH_KR_NO_SANDBOX, op;
	enum route route = ROUTE_DENY;
	struct dest d = {};

	op = ctx->protocol << 8 | (connecting ? OSH_KOP_CONNECT : OSH_KOP_SENDMSG);
	d.port_be = ctx->user_port;
	if (!sb) {
		addr_from_v4(d.addr, ctx->user_ip4);
		d.v4 = true;
		return deny(NULL, &d, reason, 0, op);
	}
	classify4(sb, ctx->user_ip4, &d);
	if (ctx->type == SOCK_STREAM && connecting)
		route = route_tcp(ctx, sb, &d, &reason, &generation);
	else if (ctx->type == SOCK_DGRAM)
		route = route_udp(ctx, sb, &d, connecting, &reason);
	else
		reason = OSH_KR_PROTOCOL;

	switch (route) {
	case ROUTE_PASS:
		return 1;
	case ROUTE_TCP:
		ctx->user_ip4 = sb->listen4_be;
		ctx->user_port = sb->tcp4_port_be;
		return 1;
	case ROUTE_DNS:
		ctx->user_ip4 = sb->listen4_be;
		ctx->user_port = sb->dns4_port_be;
		return 1;
	default:
		return deny(sb, &d, reason, generation, op);
	}
}

static __always_inline int fence6(struct bpf_sock_addr *ctx, bool connecting)
{
	__u64 cookie = bpf_get_netns_cookie(ctx), generation = 0;
	struct osh_sb *sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	__u32 reason = OSH_KR_NO_SANDBOX, op, ip[4];
	enum route route = ROUTE_DENY;
	struct dest d = {};

	op = ctx->protocol << 8 | (connecting ? OSH_KOP_CONNECT : OSH_KOP_SENDMSG);
	ip[0] = ctx->user_ip6[0];
	ip[1] = ctx->user_ip6[1];
	ip[2] = ctx->user_ip6[2];
	ip[3] = ctx->user_ip6[3];
	d.port_be = ctx->user_port;
	if (!sb) {
		__builtin_memcpy(d.addr, ip, sizeof(d.addr));
		return deny(NULL, &d, reason, 0, op);
	}
	classify6(sb, ip, &d);
	if (ctx->type == SOCK_STREAM && connecting)
		route = route_tcp(ctx, sb, &d, &reason, &generation);
	else if (ctx->type == SOCK_DGRAM)
		route = route_udp(ctx, sb, &d, connecting, &reason);
	else
		reason = OSH_KR_PROTOCOL;

	if (route == ROUTE_PASS)
		return 1;
	if (route == ROUTE_DENY)
		return deny(sb, &d, reason, generation, op);
	if (d.v4) {
		ctx->user_ip6[3] = sb->listen4_be;
		ctx->user_port = route == ROUTE_TCP ? sb->tcp4_port_be : sb->dns4_port_be;
		return 1;
	}
	ctx->user_ip6[0] = sb->listen6_be[0];
	ctx->user_ip6[1] = sb->listen6_be[1];
	ctx->user_ip6[2] = sb->listen6_be[2];
	ctx->user_ip6[3] = sb->listen6_be[3];
	ctx->user_port = route == ROUTE_TCP ? sb->tcp6_port_be : sb->dns6_port_be;
	return 1;
}

/* Unknown namespace inside our cgroup: deny. Outside: not attached. */
SEC("cgroup/connect4")
int osh_connect4(struct bpf_sock_addr *ctx)
{
	return fence4(ctx, true);
}

SEC("cgroup/connect6")
int osh_connect6(struct bpf_sock_addr *ctx)
{
	return fence6(ctx, true);
}

/* Datagrams with an address of their own; those of connected sockets went through connect. */
SEC("cgroup/sendmsg4")
int osh_sendmsg4(struct bpf_sock_addr *ctx)
{
	return fence4(ctx, false);
}

SEC("cgroup/sendmsg6")
int osh_sendmsg6(struct bpf_sock_addr *ctx)
{
	return fence6(ctx, false);
}

/* Whom the socket asked for: false when it was not redirected. */
static __always_inline bool asked_for(struct bpf_sock_addr *ctx, struct osh_peer *ret)
{
	struct osh_flow_rec *rec;
	struct osh_peer *peer;
	__u64 cookie;

	if (ctx->type == SOCK_STREAM) {
		cookie = bpf_get_socket_cookie(ctx);
		peer = bpf_map_lookup_elem(&osh_peers, &cookie);
		if (!peer)
			return false;
		*ret = *peer;
		/* still ours after the copy: rows are reused at once, by anybody's sockets */
		return bpf_map_lookup_elem(&osh_peers, &cookie) == peer;
	}
	rec = bpf_sk_storage_get(&osh_sk_rec, ctx->sk, 0, 0);
	if (!rec || rec->kind == OSH_FLOW_NONE)
		return false;
	__builtin_memcpy(ret->addr, rec->dst, sizeof(ret->addr));
	ret->port_be = rec->dst_port_be;
	ret->family = rec->family;
	return true;
}

/*
 * Truthful names: where the kernel would show one of our listeners, show what the program asked for.
 * A datagram socket that asked several name servers in turn sees the last.
 */
static __always_inline int name4(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);
	struct osh_sb *sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	struct osh_peer peer;

	if (!sb || ctx->user_ip4 != sb->listen4_be)
		return 1;
	if (!asked_for(ctx, &peer) || peer.family != AF_INET)
		return 1;
	ctx->user_ip4 = ((__u32 *)peer.addr)[3];
	ctx->user_port = peer.port_be;
	return 1;
}

static __always_inline int name6(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);
	struct osh_sb *sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	struct osh_peer peer;
	__u32 *dst;

	if (!sb || !asked_for(ctx, &peer))
		return 1;
	dst = (__u32 *)peer.addr;
	if (peer.family == AF_INET) {
		if (ctx->user_ip6[3] != sb->listen4_be || ctx->user_ip6[2] != bpf_htonl(0xffff))
			return 1;
	} else if (ctx->user_ip6[0] != sb->listen6_be[0] || ctx->user_ip6[1] != sb->listen6_be[1] ||
		   ctx->user_ip6[2] != sb->listen6_be[2] || ctx->user_ip6[3] != sb->listen6_be[3]) {
		return 1;
	}
	ctx->user_ip6[0] = dst[0];
	ctx->user_ip6[1] = dst[1];
	ctx->user_ip6[2] = dst[2];
	ctx->user_ip6[3] = dst[3];
	ctx->user_port = peer.port_be;
	return 1;
}

SEC("cgroup/recvmsg4")
int osh_recvmsg4(struct bpf_sock_addr *ctx)
{
	return name4(ctx);
}

SEC("cgroup/recvmsg6")
int osh_recvmsg6(struct bpf_sock_addr *ctx)
{
	return name6(ctx);
}

SEC("cgroup/getpeername4")
int osh_peername4(struct bpf_sock_addr *ctx)
{
	return name4(ctx);
}

SEC("cgroup/getpeername6")
int osh_peername6(struct bpf_sock_addr *ctx)
{
	return name6(ctx);
}
