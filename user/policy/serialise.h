/* SPDX-License-Identifier: MIT */
/*
 * Writing policies. Deterministic: maps sorted by key, fields in a fixed order, absent and default
 * ones left out. Parsing the YAML again gives an equal policy (osh_policy_eq).
 */
#ifndef OSH_POLICY_SERIALISE_H
#define OSH_POLICY_SERIALISE_H

#include "base/json.h"
#include "policy/model.h"

/* YAML without a document marker, appended to @out. -EMSGSIZE, -ENOMEM. */
int osh_policy_to_yaml(const struct osh_policy *policy, struct osh_buf *out) OSH_MUST_CHECK;
/* The same document as one JSON object; errors stick to @j. */
void osh_policy_to_json(const struct osh_policy *policy, struct osh_json *j);

#endif
