/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Hands the record from the connecting socket to the accepted one. The key holds the client's
 * initial sequence number, so a reused address and port cannot be mistaken; the record then lives in
 * the accepted socket. Attached to <agent>, which holds both ends: the passive side runs in the
 * cgroup of whoever created the listener.
 */
#include "common.bpf.h"

BPF_LICENSE;

#define TCP_SYN_SENT 2
#define TCP_CLOSE    7

/* Key of a connecting socket; @rec says which family is on the wire (v4-mapped is IPv4). */
static __always_inline void key_active(struct bpf_sock_ops *o, const struct osh_flow_rec *rec,
				       struct osh_flow_key *key)
{
	__u32 v4 = o->local_ip4, a = o->local_ip6[0], b = o->local_ip6[1], c = o->local_ip6[2],
	      d = o->local_ip6[3];

	/* select values, not context addresses: the verifier refuses the latter */
	barrier_var(v4);
	barrier_var(a);
	barrier_var(b);
	barrier_var(c);
	barrier_var(d);
	if (rec->family == AF_INET) {
		a = 0;
		b = 0;
		c = bpf_htonl(0xffff);
		d = v4;
	}
	key->netns_cookie = rec->netns_cookie;
	key->saddr_be[0] = a;
	key->saddr_be[1] = b;
	key->saddr_be[2] = c;
	key->saddr_be[3] = d;
	key->sport_be = bpf_htons(o->local_port);
	key->dport_be = bpf_ntohl(o->remote_port) & 0xffff;
	key->dport_be = bpf_htons(key->dport_be);
}

static __always_inline void key_passive(struct bpf_sock_ops *o, struct osh_flow_key *key)
{
	__u32 v4 = o->remote_ip4, a = o->remote_ip6[0], b = o->remote_ip6[1], c = o->remote_ip6[2],
	      d = o->remote_ip6[3], family = o->family;

	barrier_var(v4);
	barrier_var(a);
	barrier_var(b);
	barrier_var(c);
	barrier_var(d);
	barrier_var(family);
	if (family == AF_INET) {
		a = 0;
		b = 0;
		c = bpf_htonl(0xffff);
		d = v4;
	}
	key->netns_cookie = bpf_get_netns_cookie(o);
	key->saddr_be[0] = a;
	key->saddr_be[1] = b;
	key->saddr_be[2] = c;
	key->saddr_be[3] = d;
	key->sport_be = bpf_htons(bpf_ntohl(o->remote_port) & 0xffff);
	key->dport_be = bpf_htons(o->local_port);
}

static __always_inline void on_connect(struct bpf_sock_ops *o)
{
	struct osh_flow_key key = {};
	struct osh_flow_rec *rec;
	struct tcp_sock *tp;
	struct bpf_sock *sk = o->sk;

	if (!sk)
		return;
	rec = bpf_sk_storage_get(&osh_sk_rec, sk, 0, 0);
	if (!rec || rec->kind == OSH_FLOW_NONE)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	rec->isn = tp->write_seq;
	key_active(o, rec, &key);
	key.isn = rec->isn;
	if (bpf_map_update_elem(&osh_flows, &key, rec, BPF_ANY)) {
		count(OSH_CTR_FLOW_FULL);
		return;
	}
	bpf_sock_ops_cb_flags_set(o, BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void on_established(struct bpf_sock_ops *o)
{
	struct osh_flow_key key = {};
	struct osh_flow_rec *rec, *own;
	struct bpf_sock *sk = o->sk;
	struct osh_sb *sb;
	struct tcp_sock *tp;

	if (!sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	key_passive(o, &key);
	key.isn = tp->copied_seq - 1;
	rec = bpf_map_lookup_elem(&osh_flows, &key);
	if (!rec) {
		/* only our listeners owe a record; servers inside a sandbox do not */
		sb = bpf_map_lookup_elem(&osh_sandboxes, &key.netns_cookie);
		if (sb && (key.dport_be == sb->tcp4_port_be || key.dport_be == sb->tcp6_port_be))
			count(OSH_CTR_NO_HANDOVER);
		return;
	}
	own = bpf_sk_storage_get(&osh_sk_acc, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!own) {
		count(OSH_CTR_STORAGE_FULL);
		return;
	}
	__builtin_memcpy(own, rec, sizeof(*own));
	bpf_map_delete_elem(&osh_flows, &key);
	count(OSH_CTR_HANDOVER);
}

/*
 * Only a failed connect may take its record back. Any other way to CLOSE can come before the
 * daemon's end is established (an orphan in FIN_WAIT2, an abort that overtakes its own ACK).
 */
static __always_inline void on_state(struct bpf_sock_ops *o)
{
	struct osh_flow_key key = {};
	struct osh_flow_rec *rec;
	struct bpf_sock *sk = o->sk;

	if (o->args[0] != TCP_SYN_SENT || o->args[1] != TCP_CLOSE || !sk)
		return;
	rec = bpf_sk_storage_get(&osh_sk_rec, sk, 0, 0);
	if (!rec)
		return;
	key_active(o, rec, &key);
	key.isn = rec->isn;
	bpf_map_delete_elem(&osh_flows, &key);
}

/* Sockets without a record pass untouched: the fence is elsewhere. */
SEC("sockops")
int osh_sockops(struct bpf_sock_ops *o)
{
	switch (o->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		on_connect(o);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		on_established(o);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		/* it did not fail: later states are of no interest */
		if (o->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG)
			bpf_sock_ops_cb_flags_set(o, o->bpf_sock_ops_cb_flags &
							     ~BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		on_state(o);
		break;
	}
	return 1;
}

static __always_inline int answer(struct bpf_sockopt *ctx, const struct osh_flow_rec *rec)
{
	struct osh_flow_rec *out = ctx->optval;

	if (!rec) {
		bpf_set_retval(-ENOENT);
		return 0;
	}
	if ((void *)(out + 1) > ctx->optval_end) {
		bpf_set_retval(-EINVAL);
		return 0;
	}
	__builtin_memcpy(out, rec, sizeof(*out));
	/* two stores: the compiler would join them, and the verifier refuses one of 8 bytes */
	*(volatile __s32 *)&ctx->optlen = sizeof(*out);
	*(volatile __s32 *)&ctx->retval = 0;
	count(OSH_CTR_GETSOCKOPT);
	return 1;
}

/* On <agent>/daemon: the proxies' way to the record. Other options pass. */
SEC("cgroup/getsockopt")
int osh_getsockopt(struct bpf_sockopt *ctx)
{
	struct osh_dns_key key = {};
	struct bpf_sock *sk = ctx->sk;

	if (ctx->level != OSH_SOL_FLOW)
		return 1;
	if (!sk)
		return 0;
	if (ctx->optname == OSH_SO_FLOW)
		return answer(ctx, bpf_sk_storage_get(&osh_sk_acc, sk, 0, 0));
	if ((ctx->optname & ~0xffff) == OSH_SO_DNS_RECORD) {
		key.netns_cookie = bpf_get_netns_cookie(ctx);
		key.port_be = bpf_htons(ctx->optname & 0xffff);
		return answer(ctx, bpf_map_lookup_elem(&osh_dns, &key));
	}
	return 1;
}
