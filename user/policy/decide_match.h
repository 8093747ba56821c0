/* SPDX-License-Identifier: MIT */
/* Does one rule match one request? Private to decide_req.c, decide_match.c and explain.c. */
#ifndef OSH_POLICY_DECIDE_MATCH_H
#define OSH_POLICY_DECIDE_MATCH_H

#include "policy/image_fmt.h"

/* A request with what is computed once for all rules. */
struct img_request {
	const struct osh_request_facts *facts;
	uint32_t method; /* enum img_method, one bit */
	uint32_t path_hash;
};

void img_request_init(struct img_request *req, const struct osh_request_facts *facts);

/* @deny: the rule is a deny rule; matching is then as wide as the contract allows. */
bool img_rule_matches_http(const struct osh_image *img, const struct img_rule *rule,
			   const struct img_request *req, bool deny);
/* Index of a matching rule in IMG_RULES, or IMG_NONE. */
uint32_t img_http_rule(const struct osh_image *img, const struct img_endpoint *ep,
		       const struct img_request *req, bool deny);

/* An operation with its persisted form looked up. */
struct img_operation {
	uint32_t type; /* enum img_op_type, one bit; 0: unknown (not registered) */
	struct osh_str name; /* .p NULL: anonymous */
	const struct osh_str *fields;
	size_t n_fields;
	struct img_span registered; /* IMG_MATCHERS.key: fields of a registered query */
	bool is_registered;
};

/* Look up a hash-only operation among the queries registered at @ep. */
void img_operation_resolve(const struct osh_image *img, const struct img_endpoint *ep,
			   const struct osh_gql_op *op, struct img_operation *ret);
uint32_t img_graphql_rule(const struct osh_image *img, const struct img_endpoint *ep,
			  const struct img_operation *op, bool deny);

/* JSON-RPC and MCP, by the endpoint's protocol. */
uint32_t img_rpc_rule(const struct osh_image *img, const struct img_endpoint *ep,
		      const struct osh_rpc_call *call, bool deny);

#endif
