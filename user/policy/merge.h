/* SPDX-License-Identifier: MIT */
/*
 * Incremental updates (`policy update`): flags to operations, operations to a new policy. All or
 * nothing, and the result is validated as a whole.
 */
#ifndef OSH_POLICY_MERGE_H
#define OSH_POLICY_MERGE_H

#include "policy/model.h"

#define OSH_MERGE_MAX_OPS 256u /* operation flags in one update */

enum osh_merge_kind {
	OSH_MERGE_ADD_ENDPOINT = 0,
	OSH_MERGE_REMOVE_ENDPOINT,
	OSH_MERGE_REMOVE_RULE,
	OSH_MERGE_ADD_ALLOW,
	OSH_MERGE_ADD_DENY,
};

struct osh_merge_op {
	enum osh_merge_kind kind;
	struct osh_str rule; /* ADD_ENDPOINT, REMOVE_RULE: entry key */
	struct osh_endpoint endpoint; /* ADD_ENDPOINT */
	struct osh_strs binaries; /* ADD_ENDPOINT: paths, unique */
	struct osh_str host; /* the others: where */
	uint16_t port;
	/* ADD_ALLOW, ADD_DENY: the rules for one host and port, in the order given */
	struct osh_rule *rules;
	size_t n_rules;
};

/* Parsed operations in the order they apply. Owns everything it points to. */
struct osh_merge {
	struct osh_arena arena;
	struct osh_merge_op *ops;
	size_t n_ops;
};

/* One command-line flag and its value, as in { "--add-endpoint", "host:443" }. */
struct osh_merge_flag {
	struct osh_str flag;
	struct osh_str value;
};

/*
 * Parse the operation flags of `policy update`: --add-endpoint --remove-endpoint --add-allow
 * --add-deny --remove-rule --binary --rule-name, in any order. -EBADMSG: @diag has the message (no
 * place); an unknown flag is an error too. -ENOMEM.
 */
int osh_merge_parse(const struct osh_merge_flag *flags, size_t n, struct osh_merge **ret_merge,
		    struct osh_diag *diag) OSH_MUST_CHECK;
struct osh_merge *osh_merge_free(struct osh_merge *merge); /* takes NULL, returns NULL */

/*
 * Apply to a copy of @base and validate the result: 0 and a new policy, with merge warnings in
 * @diag; or -EBADMSG with the errors in @diag and @base as it was. -ENOMEM.
 */
int osh_merge_apply(const struct osh_policy *base, const struct osh_merge *merge,
		    struct osh_policy **ret_policy, struct osh_diag *diag) OSH_MUST_CHECK;

/* "allow_<host>_<port>" as --add-endpoint names a rule; in @arena. .p is NULL: out of memory. */
struct osh_str osh_merge_rule_name(struct osh_arena *arena, struct osh_str host, unsigned int port);

static inline void osh_merge_free_ptr(struct osh_merge **merge)
{
	*merge = osh_merge_free(*merge);
}

#define osh_auto_merge OSH_CLEANUP(osh_merge_free_ptr) /* struct osh_merge * */

#endif
