/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Hands records to the daemon. The client's socket carries the record's number as its mark; with
 * net.ipv4.tcp_fwmark_accept (on in a sandbox's namespace) the kernel gives the accepted socket the
 * mark of the very SYN it came from. No address or port is compared, so none can be reused in time.
 * SO_MARK takes capabilities a sandbox does not have, and socket.bpf.c refuses it besides.
 */
#include "common.bpf.h"

BPF_LICENSE;

#define TCP_SYN_SENT 2
#define TCP_CLOSE    7
#define TCP_LISTEN   10

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

/*
 * A client's socket ends. Its record stays for the daemon while the connection may still be accepted
 * (clients that send and leave); one that never was, or was reset, is dead.
 */
SEC("cgroup/sock_release")
int osh_sk_release(struct bpf_sock *sk)
{
	struct osh_flow_key key = {};
	__u32 mark = sk->mark, state = sk->state;

	if (!mark)
		return 1;
	key.netns_cookie = bpf_get_netns_cookie(sk);
	drop_peer(key.netns_cookie, bpf_get_socket_cookie(sk));
	if (state == TCP_CLOSE || state == TCP_SYN_SENT || state == TCP_LISTEN) {
		key.mark = mark;
		(void)drop_flow(&key);
	}
	return 1;
}

/* The daemon closed what it accepted, perhaps without a look: shed load, or was killed. */
SEC("cgroup/sock_release")
int osh_acc_release(struct bpf_sock *sk)
{
	struct osh_flow_key key = {};

	key.mark = sk->mark;
	if (!key.mark)
		return 1;
	key.netns_cookie = bpf_get_netns_cookie(sk);
	(void)drop_flow(&key);
	return 1;
}

/*
 * Copied, then deleted: if somebody else was faster, the row may have been another's while we copied,
 * and this one has no record. Never twice the same.
 */
static __always_inline int answer_flow(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
	struct osh_flow_key key = {};
	struct osh_flow_rec *rec = NULL;

	key.netns_cookie = bpf_get_netns_cookie(ctx);
	key.mark = sk->mark;
	if (key.mark)
		rec = bpf_map_lookup_elem(&osh_flows, &key);
	if (rec && !answer(ctx, rec))
		return 0;
	if (!rec || drop_flow(&key)) {
		/*
		 * With a mark: the client took its record back, by dissolving the connection or by
		 * closing before it was established. Without: it did not come through connect.bpf.c.
		 */
		count(key.mark ? OSH_CTR_CLIENT_GONE : OSH_CTR_NO_HANDOVER);
		return answer(ctx, NULL);
	}
	count(OSH_CTR_HANDOVER);
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
		return answer_flow(ctx, sk);
	if ((ctx->optname & ~0xffff) == OSH_SO_DNS_RECORD) {
		key.netns_cookie = bpf_get_netns_cookie(ctx);
		key.port_be = bpf_htons(ctx->optname & 0xffff);
		return answer(ctx, bpf_map_lookup_elem(&osh_dns, &key));
	}
	return 1;
}
