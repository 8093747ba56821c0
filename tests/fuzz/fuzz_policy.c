/* SPDX-License-Identifier: MIT */
/* Policy documents: what loads must survive being written and read again, and being copied. */
#include "fuzz.h"

#include "policy/hash.h"
#include "policy/parse.h"
#include "policy/serialise.h"
#include "policy/validate.h"

static void check_identity(const struct osh_policy *policy)
{
	/* The written form may be longer than what people may submit. */
	const struct osh_node_limits wide = { .max_bytes = 64u << 20 };
	struct osh_policy *again = NULL, *copy = NULL;
	char a[OSH_SHA256_HEX], b[OSH_SHA256_HEX];
	struct osh_diag diag;
	struct osh_buf yaml;

	osh_buf_init(&yaml, 64u << 20, 0);
	osh_diag_init(&diag, NULL);
	CHECK(osh_policy_to_yaml(policy, &yaml) == 0);
	CHECK(osh_policy_parse(osh_buf_str(&yaml), &wide, &again, &diag) == 0);
	CHECK(osh_policy_validate(again, &diag) == 0);
	CHECK(osh_policy_eq(policy, again));
	CHECK(osh_policy_copy(policy, &copy) == 0);
	CHECK(osh_policy_hash(copy, a) == 0 && osh_policy_hash(again, b) == 0);
	CHECK(strcmp(a, b) == 0);
	CHECK(osh_policy_static_diff(policy, again, &diag) == 0);
	osh_policy_free(again);
	osh_policy_free(copy);
	osh_diag_fini(&diag);
	osh_buf_fini(&yaml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osh_policy *policy = NULL;
	struct osh_diag diag;
	struct osh_buf text;
	char *copy;

	osh_diag_init(&diag, "p.yaml");
	osh_buf_init(&text, 64u << 20, 0);
	if (osh_policy_load(fuzz_copy(data, size, &copy), NULL, &policy, &diag) == 0) {
		CHECK(policy && diag.errors == 0);
		/* Nothing may point into the input. */
		memset(copy, 0xa5, size);
		check_identity(policy);
	} else {
		CHECK(!policy && diag.errors > 0);
	}
	CHECK(osh_diag_render(&diag, &text) == 0);
	osh_policy_free(policy);
	osh_diag_fini(&diag);
	osh_buf_fini(&text);
	free(copy);
	return 0;
}
