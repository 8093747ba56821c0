/* SPDX-License-Identifier: MIT */
/* Shared by the files that build a struct osh_policy. Not for use outside policy/. */
#ifndef OSH_POLICY_BUILD_H
#define OSH_POLICY_BUILD_H

#include "base/json.h"
#include "policy/model.h"
#include "policy/schema.h"

#define OSH_POLICY_ARENA_MAX_BYTES ((size_t)1 << 30)

/* A text inside a message: at most 200 bytes, cut between characters. For "%.*s". */
#define OSH_CLIP(s) (int)osh_utf8_cut((s), 200), (s).p

/* Everything empty or at its default. */
struct osh_rule osh_rule_init(void);
struct osh_endpoint osh_endpoint_init(void);
/* Set the enums (protocol, tls, ...) from the texts beside them. */
void osh_endpoint_words(struct osh_endpoint *ep);

void osh_build_sort_matchers(struct osh_keyed_matcher *v, size_t n);
void osh_build_sort_persisted(struct osh_persisted_query *v, size_t n);
void osh_build_sort_entries(struct osh_entry *v, size_t n);
void osh_build_sort_middlewares(struct osh_middleware *v, size_t n);

/* Compact JSON with sorted keys. -EBADMSG with a message: a number JSON cannot hold. -ENOMEM. */
int osh_build_node_json(const struct osh_node *node, struct osh_buf *out,
			struct osh_diag *diag) OSH_MUST_CHECK;

void osh_build_read_endpoint(struct osh_reader *rd, const struct osh_node *node,
			     struct osh_endpoint *ep);

/* Deep copies into @arena: 0 or -ENOMEM. The destination may be the source (strings are renewed). */
int osh_build_copy_str(struct osh_arena *arena, struct osh_str *s) OSH_MUST_CHECK;
int osh_build_copy_rule(struct osh_arena *arena, struct osh_rule *rule) OSH_MUST_CHECK;
int osh_build_copy_endpoint(struct osh_arena *arena, struct osh_endpoint *ep) OSH_MUST_CHECK;

#endif
