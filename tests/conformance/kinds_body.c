/* SPDX-License-Identifier: MIT */
#include "runner.h"

const struct kind body_kinds[] = {
	{ "graphql", NULL, false },
	{ "jsonrpc", NULL, false },
	{ 0 },
};
