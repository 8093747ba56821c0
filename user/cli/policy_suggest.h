/* SPDX-License-Identifier: MIT */
/* The smallest change of a policy that would allow what was refused, tried out before it is shown. */
#ifndef OSH_CLI_POLICY_SUGGEST_H
#define OSH_CLI_POLICY_SUGGEST_H

#include "http/judge.h"
#include "policy/model.h"

/*
 * Write to @ret_yaml the one changed entry of the policy, under network_policies, with
 * lines to add marked by '+' in the first column and lines to remove by '-'. 1: written; 0: no such
 * change is known (*ret_hint, a constant, says what to look at; may be NULL); -ENOMEM.
 */
int osh_policy_suggest(const struct osh_policy *policy, const struct osh_judge_input *in,
		       const struct osh_judge_result *res, struct osh_buf *ret_yaml,
		       const char **ret_hint) OSH_MUST_CHECK;

/*
 * The same change as the options of `policy update`, quoted for a shell, when operations can express
 * it: they are applied to a copy and judged first. 1, 0 (there is none), -ENOMEM.
 */
int osh_policy_suggest_flags(const struct osh_policy *policy, const struct osh_judge_input *in,
			     const struct osh_judge_result *res,
			     struct osh_buf *ret_text) OSH_MUST_CHECK;

/* Does @policy allow this, all of it? */
bool osh_policy_permits(const struct osh_policy *policy, const struct osh_judge_input *in);
/* A path as a glob that matches exactly it; in the policy's arena. .p NULL: out of memory. */
struct osh_str osh_policy_literal_glob(struct osh_policy *p, struct osh_str path);

#endif
