/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * The kernel's part of the policy: refuse now what no entry could allow. It knows less than the
 * proxy and errs towards asking it; the proxy has the last word.
 */
#ifndef OSH_BPF_POLICY_H
#define OSH_BPF_POLICY_H

#include "common.bpf.h"

/*
 * Add the classes @exe has itself (or hands down) to @set; false when the map does not know it: any
 * class is possible.
 */
static __always_inline bool add_classes(void *inner, __u32 exe, bool is_self, __u64 *set)
{
	struct osh_pol_key key = {};
	struct osh_pol_val *val;

	if (!exe)
		return false;
	key.kind = OSH_POL_EXE;
	key.id = exe;
	val = bpf_map_lookup_elem(inner, &key);
	if (!val)
		return false;
	*set |= is_self ? val->classes : val->inherit;
	return true;
}

/* Add the classes a destination row lists to @set; false when there is no such row. */
static __always_inline bool add_row(void *inner, const struct osh_pol_key *key, __u64 *set)
{
	struct osh_pol_val *val = bpf_map_lookup_elem(inner, key);

	if (!val)
		return false;
	*set |= val->classes;
	return true;
}

/* Fills rec->generation. 0: to the proxy; else the reason to deny. One outer lookup. */
static __always_inline __u32 policy_verdict(struct osh_flow_rec *rec, __u32 kind)
{
	__u32 sandbox = rec->sandbox, flags, i;
	__u64 may = 0, is = 0;
	struct osh_pol_key key = {};
	struct osh_pol_val *meta;
	bool known;
	void *inner;

	inner = bpf_map_lookup_elem(&osh_policies, &sandbox);
	if (!inner)
		return OSH_KR_NO_POLICY;
	meta = bpf_map_lookup_elem(inner, &key);
	if (!meta)
		return OSH_KR_NO_POLICY;
	rec->generation = meta->generation;
	flags = meta->flags;
	/* the explicit proxy's destination is in a request nobody has read yet */
	if (kind == OSH_FLOW_EXPLICIT || (flags & OSH_POL_ALL_TO_PROXY))
		return 0;
	if ((flags & OSH_POL_WEB_TO_PROXY) &&
	    (rec->dst_port_be == bpf_htons(80) || rec->dst_port_be == bpf_htons(443)))
		return 0;

	key.kind = rec->host_id ? OSH_POL_HOST : OSH_POL_ADDR;
	key.id = rec->host_id;
	if (!rec->host_id)
		__builtin_memcpy(key.addr, rec->dst, sizeof(key.addr));
	known = add_row(inner, &key, &may); /* on any port */
	if (rec->host_id && !known)
		return 0; /* a name younger than this map */
	key.port_be = rec->dst_port_be;
	if (add_row(inner, &key, &may))
		known = true;
	if (!known && !(flags & OSH_POL_LITERALS_LISTED))
		return 0;

	if (!may)
		return OSH_KR_POLICY; /* nobody may go there */
	if (!add_classes(inner, rec->exe, true, &is))
		return 0; /* not classified yet: the proxy knows */
	for (i = 0; i < OSH_LINEAGE_MAX; i++) {
		if (i >= rec->lineage_count)
			break;
		if (!add_classes(inner, rec->lineage[i].exe, false, &is))
			return 0;
	}
	return may & is ? 0 : OSH_KR_POLICY;
}

#endif
