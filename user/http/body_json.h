/* SPDX-License-Identifier: MIT */
/* JSON as request bodies carry it; for graphql.c and jsonrpc.c. */
#ifndef OSH_HTTP_BODY_JSON_H
#define OSH_HTTP_BODY_JSON_H

#include "base/json.h"

#define OSH_BODY_JSON_DEPTH_MAX 127 /* nested arrays and objects */

/*
 * Strict JSON of bounded depth; integers beyond 64 bits become reals instead of an error. -EBADMSG
 * (*ret_error: a constant phrase), -ENOMEM. Free with osh_jval_free().
 */
int osh_body_json_parse(struct osh_str text, struct osh_jval **ret,
			const char **ret_error) OSH_MUST_CHECK;

#endif
