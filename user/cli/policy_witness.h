/* SPDX-License-Identifier: MIT */
/* Example inputs for the patterns of a policy, to compare policies by what they do. */
#ifndef OSH_CLI_POLICY_WITNESS_H
#define OSH_CLI_POLICY_WITNESS_H

#include "base/arena.h"
#include "policy/glob.h"

/*
 * A text that @pattern matches, in @arena; .p is NULL when none was found (the caller leaves that
 * pattern out) or memory ran out. Literal patterns give themselves.
 */
struct osh_str osh_witness(struct osh_arena *arena, enum osh_glob_dialect dialect,
			   struct osh_str pattern);
/* Does @pattern match @input? False for a pattern that does not compile. */
bool osh_witness_matches(enum osh_glob_dialect dialect, struct osh_str pattern,
			 struct osh_str input);

#endif
