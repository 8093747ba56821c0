/* SPDX-License-Identifier: MIT */
/*
 * `policy update`: lines of "flag value" against a fixed policy. The base must stay as it is, the
 * result must be a valid policy that can be written and read.
 */
#include "fuzz.h"

#include "policy/merge.h"
#include "policy/serialise.h"

static const char base_yaml[] =
	"version: 1\n"
	"network_policies:\n"
	"  a:\n"
	"    endpoints:\n"
	"    - {host: a.example.org, ports: [443, 8443]}\n"
	"    - {host: r.example.org, port: 443, protocol: rest, access: read-only, enforcement: enforce}\n"
	"    - {host: r.example.org, port: 80, protocol: rest, rules: [{allow: {method: GET, path: /a}}]}\n"
	"    binaries: [{path: /a}, {path: /b}]\n"
	"  m:\n"
	"    endpoints: [{host: m.example.org, port: 443, protocol: mcp, rules: [{allow: {method: "
	"initialize}}]}]\n"
	"    binaries: [{path: /a}]\n"
	"  w:\n"
	"    endpoints: [{host: '*.w.example.org', port: 443, allowed_ips: [10.1.0.0/16]}]\n";

static size_t read_flags(struct osh_str text, struct osh_merge_flag *flags, size_t max)
{
	struct osh_str line;
	size_t n = 0;

	while (n < max && osh_str_split(&text, '\n', &line)) {
		size_t at = osh_str_find(line, ' ');

		if (line.n == 0)
			continue;
		flags[n].flag = osh_str_sub(line, 0, at);
		flags[n].value = osh_str_sub(line, at + 1, line.n);
		n++;
	}
	return n;
}

static void check_result(const struct osh_policy *merged)
{
	struct osh_policy *again = NULL;
	struct osh_diag diag;
	struct osh_buf yaml;

	osh_buf_init(&yaml, 16u << 20, 0);
	osh_diag_init(&diag, NULL);
	CHECK(osh_policy_to_yaml(merged, &yaml) == 0);
	CHECK(osh_policy_load(osh_buf_str(&yaml), NULL, &again, &diag) == 0);
	CHECK(osh_policy_eq(merged, again));
	osh_policy_free(again);
	osh_diag_fini(&diag);
	osh_buf_fini(&yaml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osh_policy *base = NULL, *same = NULL, *merged = NULL;
	struct osh_merge_flag flags[32];
	struct osh_merge *merge = NULL;
	struct osh_diag diag;
	char *copy;
	size_t n;

	osh_diag_init(&diag, NULL);
	CHECK(osh_policy_load(osh_str(base_yaml), NULL, &base, &diag) == 0);
	CHECK(osh_policy_copy(base, &same) == 0);
	n = read_flags(fuzz_copy(data, size, &copy), flags, OSH_ARRAY_SIZE(flags));
	if (osh_merge_parse(flags, n, &merge, &diag) == 0) {
		memset(copy, 0xa5, size);
		if (osh_merge_apply(base, merge, &merged, &diag) == 0)
			check_result(merged);
		else
			CHECK(diag.errors > 0);
		CHECK(osh_policy_eq(base, same));
	} else {
		CHECK(diag.errors > 0);
	}
	osh_policy_free(merged);
	osh_merge_free(merge);
	osh_policy_free(same);
	osh_policy_free(base);
	osh_diag_fini(&diag);
	free(copy);
	return 0;
}
