/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a policy nearly allowed something, and what was missing. For people: `policy
 * explain`, hints after a denial. Pure; cost grows with the policy, so not for the request path.
 */
#ifndef OSH_POLICY_EXPLAIN_H
#define OSH_POLICY_EXPLAIN_H

#include "policy/decide.h"

enum osh_near_miss {
	OSH_MISS_HOST = 1u << 0,
	OSH_MISS_PORT = 1u << 1,
	OSH_MISS_BINARY = 1u << 2, /* no listed binary is the process or an ancestor */
	OSH_MISS_SCOPE = 1u << 3, /* an ancestor is listed, but with scope: exact */
	OSH_MISS_PIN = 1u << 4, /* the path is listed, but its content is another */
	OSH_MISS_ENDPOINT_PATH = 1u << 5, /* the endpoint's own path scope */
	OSH_MISS_METHOD = 1u << 6,
	OSH_MISS_PATH = 1u << 7,
	OSH_MISS_QUERY = 1u << 8,
};

struct osh_near {
	size_t target; /* index for osh_image_target() */
	unsigned int missed; /* enum osh_near_miss: all that did not match */
	unsigned int line; /* of the endpoint or of the rule */
	bool is_rule; /* an allow rule of that endpoint; else the endpoint itself */
	bool one_label; /* OSH_MISS_HOST: only because '*' stays inside one label */
	struct osh_str rule_method, rule_path; /* of that rule, as written; preset: empty */
};

/*
 * The nearest ones first, at most @max. @facts may be NULL (connection only); rules are compared for
 * method, path and query. Returns how many were stored.
 */
size_t osh_explain_near(const struct osh_image *img, const struct osh_identity *id,
			struct osh_str host, unsigned int port,
			const struct osh_request_facts *facts, struct osh_near *ret_near,
			size_t max);

#endif
