/* SPDX-License-Identifier: MIT */
/* The restrictive policy of a sandbox that was given none: base paths and no network at all. */
#ifndef OSH_POLICY_DEFAULTS_H
#define OSH_POLICY_DEFAULTS_H

#include "policy/model.h"

const char *osh_policy_default_yaml(void);
int osh_policy_default(struct osh_policy **ret_policy) OSH_MUST_CHECK; /* -ENOMEM */

#endif
