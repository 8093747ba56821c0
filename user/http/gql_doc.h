/* SPDX-License-Identifier: MIT */
/* GraphQL documents for graphql.c: parse one, pick the operation, list its root fields. */
#ifndef OSH_HTTP_GQL_DOC_H
#define OSH_HTTP_GQL_DOC_H

#include "base/arena.h"
#include "policy/facts.h"

/*
 * @op_name (.p NULL or empty: none) chooses among several operations. Sets type, name and fields of
 * @ret; its strings are in @arena. -EBADMSG: malformed, ambiguous or over a limit (*ret_error: a
 * constant phrase); -ENOMEM.
 */
int osh_gql_document(struct osh_str text, struct osh_str op_name, struct osh_arena *arena,
		     struct osh_gql_op *ret, const char **ret_error) OSH_MUST_CHECK;

#endif
