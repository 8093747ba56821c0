/* SPDX-License-Identifier: MIT */
/* Shared by the files of state/ only. */
#ifndef OSH_STATE_PRIV_H
#define OSH_STATE_PRIV_H

#include "state/db.h"
#include "state/state.h"

struct osh_state {
	struct osh_db *db;
};

/* Inside a transaction: +1 to the scope's settings revision. */
int osh_state_bump(struct osh_state *state, const char *scope,
		   uint64_t *ret_revision) OSH_MUST_CHECK;
/* 0 for "" and for existing sandboxes, else -ENOENT. */
int osh_state_scope_check(struct osh_state *state, const char *scope) OSH_MUST_CHECK;

/* Inside a transaction: a revision of @scope, which exists. */
int osh_state_insert_rev(struct osh_state *state, const char *scope, struct osh_str text,
			 const char *hash, const char *provenance, uint64_t now_ms,
			 uint64_t *ret_version, bool *ret_unchanged) OSH_MUST_CHECK;

#endif
