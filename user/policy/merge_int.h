/* SPDX-License-Identifier: MIT */
/* Shared by the files that apply a merge. Not for use outside policy/. */
#ifndef OSH_POLICY_MERGE_INT_H
#define OSH_POLICY_MERGE_INT_H

#include "policy/build.h"
#include "policy/merge.h"

struct osh_merge_run {
	struct osh_policy *policy; /* the copy being changed */
	struct osh_diag *diag;
	size_t number; /* of the operation, from 1, for messages */
};

bool osh_merge_shares_port(const struct osh_endpoint *a, const struct osh_endpoint *b);
bool osh_merge_has_port(const struct osh_endpoint *ep, uint16_t port);

/*
 * Merge @in into @ep (same host and path, a common port). Warnings go to @warn. *ret_changed: what
 * the endpoint authorises is not what it was. 0, -ENOMEM.
 */
int osh_merge_endpoint(struct osh_arena *arena, struct osh_endpoint *ep,
		       const struct osh_endpoint *in, struct osh_diag *warn,
		       bool *ret_changed) OSH_MUST_CHECK;

/* Operations: 0, -EBADMSG with an error in run->diag, -ENOMEM. */
int osh_merge_add_endpoint(struct osh_merge_run *run, const struct osh_merge_op *op) OSH_MUST_CHECK;
int osh_merge_change_rules(struct osh_merge_run *run, const struct osh_merge_op *op) OSH_MUST_CHECK;

#endif
