/* SPDX-License-Identifier: MIT */
#include "runner.h"

const struct kind policy_kinds[] = {
	{ "validate", NULL, false },  { "warn", NULL, false },
	{ "roundtrip", NULL, false }, { "decide", NULL, false },
	{ "deny_body", NULL, false }, { "merge", NULL, false },
	{ "rule_name", NULL, false }, { "static_diff", NULL, false },
	{ "fs_path", NULL, false },   { 0 },
};
