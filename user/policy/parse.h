/* SPDX-License-Identifier: MIT */
/* YAML text to the policy model: syntax, fields and types only. */
#ifndef OSH_POLICY_PARSE_H
#define OSH_POLICY_PARSE_H

#include "policy/model.h"
#include "policy/node.h"

/*
 * Read a document without judging its meaning: unknown fields, types, ranges, the version. @limits
 * may be NULL. 0, -EBADMSG or -EMSGSIZE with errors in @diag, -ENOMEM. osh_policy_load() is this
 * and osh_policy_validate().
 */
int osh_policy_parse(struct osh_str text, const struct osh_node_limits *limits,
		     struct osh_policy **ret_policy, struct osh_diag *diag) OSH_MUST_CHECK;

/*
 * The same, but hand out what could be read even when @diag got errors, so that validation can look
 * for more of them. NULL when nothing could be read. Such a policy is for reporting only.
 */
int osh_policy_read(struct osh_str text, const struct osh_node_limits *limits,
		    struct osh_policy **ret_policy, struct osh_diag *diag) OSH_MUST_CHECK;

#endif
