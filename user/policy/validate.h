/* SPDX-License-Identifier: MIT */
/* What a parsed policy must satisfy. Everything here reports into a diag and changes nothing. */
#ifndef OSH_POLICY_VALIDATE_H
#define OSH_POLICY_VALIDATE_H

#include "policy/model.h"

/*
 * All rules of both layers, reserved keys, globs, addresses, ambiguity, middleware; and the
 * warnings. 0; -EBADMSG when @diag got at least one error; -ENOMEM.
 */
int osh_policy_validate(const struct osh_policy *policy, struct osh_diag *diag) OSH_MUST_CHECK;

/* The pairwise endpoint check alone (part of the above). 0, -EBADMSG, -ENOMEM. */
int osh_policy_check_ambiguity(const struct osh_policy *policy,
			       struct osh_diag *diag) OSH_MUST_CHECK;

/*
 * What this build cannot enforce: one error "not supported by this build: ..." for each use, with
 * its place. 0 or -EBADMSG. For whoever is about to enforce the policy; the tools accept it.
 */
int osh_policy_unsupported(const struct osh_policy *policy, struct osh_diag *diag) OSH_MUST_CHECK;

/*
 * Remarks for authors who share a policy with other OpenShell releases ('tls: terminate' is
 * deprecated there, ...), as warnings. For `policy check`; loading does not print them.
 */
void osh_policy_portability(const struct osh_policy *policy, struct osh_diag *diag);

/*
 * May @next replace @base on a running sandbox? Static sections must say the same. 0, or -EBADMSG
 * with errors at places of @next.
 */
int osh_policy_static_diff(const struct osh_policy *base, const struct osh_policy *next,
			   struct osh_diag *diag) OSH_MUST_CHECK;

#endif
