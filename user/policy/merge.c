/* SPDX-License-Identifier: MIT */
#include "policy/merge.h"

#include <stdlib.h>

#include "policy/merge_int.h"
#include "policy/validate.h"

static int cmp_port(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static bool drop_port(struct osh_endpoint *ep, uint16_t port)
{
	size_t n = 0;

	if (!osh_merge_has_port(ep, port))
		return false;
	for (size_t i = 0; i < ep->n_ports; i++)
		if (ep->ports[i] != port)
			ep->ports[n++] = ep->ports[i];
	ep->n_ports = n;
	if (n)
		qsort(ep->ports, n, sizeof(*ep->ports), cmp_port);
	else
		ep->ports = NULL;
	return true;
}

/* Drop the port from the endpoints of one entry, and the endpoints that have none left. */
static bool drop_from(struct osh_entry *entry, const struct osh_merge_op *op)
{
	bool found = false;
	size_t n = 0;

	for (size_t i = 0; i < entry->n_endpoints; i++) {
		struct osh_endpoint *ep = &entry->endpoints[i];

		if (osh_str_ieq(ep->host, op->host) && drop_port(ep, op->port)) {
			found = true;
			if (ep->n_ports == 0)
				continue;
		}
		entry->endpoints[n++] = *ep;
	}
	entry->n_endpoints = n;
	if (n == 0)
		entry->endpoints = NULL;
	return found;
}

static void remove_endpoint(struct osh_merge_run *run, const struct osh_merge_op *op)
{
	struct osh_policy *policy = run->policy;
	bool found = false;
	size_t n = 0;

	for (size_t i = 0; i < policy->n_entries; i++) {
		struct osh_entry *entry = &policy->entries[i];

		if (drop_from(entry, op)) {
			found = true;
			if (entry->n_endpoints == 0)
				continue;
		}
		policy->entries[n++] = *entry;
	}
	policy->n_entries = n;
	if (n == 0)
		policy->entries = NULL;
	if (!found)
		osh_diag_warn(run->diag, 0, 0,
			      "endpoint %.*s:%u was not found in the current policy; nothing was "
			      "removed",
			      OSH_CLIP(op->host), op->port);
}

static void remove_rule(struct osh_merge_run *run, const struct osh_merge_op *op)
{
	struct osh_policy *policy = run->policy;
	size_t n = 0;

	for (size_t i = 0; i < policy->n_entries; i++)
		if (!osh_str_eq(policy->entries[i].key, op->rule))
			policy->entries[n++] = policy->entries[i];
	policy->n_entries = n;
	if (n == 0)
		policy->entries = NULL;
}

static int apply(struct osh_merge_run *run, const struct osh_merge_op *op)
{
	switch (op->kind) {
	case OSH_MERGE_ADD_ENDPOINT:
		return osh_merge_add_endpoint(run, op);
	case OSH_MERGE_REMOVE_ENDPOINT:
		remove_endpoint(run, op);
		return 0;
	case OSH_MERGE_REMOVE_RULE:
		remove_rule(run, op);
		return 0;
	case OSH_MERGE_ADD_ALLOW:
	case OSH_MERGE_ADD_DENY:
		return osh_merge_change_rules(run, op);
	}
	return -EINVAL;
}

int osh_merge_apply(const struct osh_policy *base, const struct osh_merge *merge,
		    struct osh_policy **ret_policy, struct osh_diag *diag)
{
	osh_auto_policy struct osh_policy *policy = NULL;
	struct osh_merge_run run = { .diag = diag };
	int r = osh_policy_copy(base, &policy);

	if (r < 0)
		return r;
	run.policy = policy;
	for (size_t i = 0; r == 0 && i < merge->n_ops; i++) {
		run.number = i + 1;
		r = apply(&run, &merge->ops[i]);
	}
	if (r == 0)
		r = osh_policy_validate(policy, diag);
	if (r < 0)
		return r;
	*ret_policy = osh_take_ptr(&policy);
	return 0;
}
