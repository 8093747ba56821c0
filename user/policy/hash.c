/* SPDX-License-Identifier: MIT */
#include "policy/hash.h"

#include "policy/build.h"
#include "policy/serialise.h"

int osh_policy_hash(const struct osh_policy *policy, char ret_hex[OSH_SHA256_HEX])
{
	unsigned char digest[OSH_SHA256_BYTES];
	osh_auto_bufmem struct osh_buf json;
	struct osh_json j;
	int r;

	osh_buf_init(&json, OSH_POLICY_ARENA_MAX_BYTES, 0);
	osh_json_init(&j, &json, 0);
	osh_policy_to_json(policy, &j);
	if (j.err)
		return j.err;
	r = osh_sha256(json.data, json.len, digest);
	if (r < 0)
		return r;
	osh_hex(ret_hex, digest, sizeof(digest));
	return 0;
}
