/* SPDX-License-Identifier: MIT */
#include "runner.h"

const struct kind http_kinds[] = {
	{ "canon", NULL, false },
	{ "query", NULL, false },
	{ "http_head", NULL, false },
	{ "http_body", NULL, false },
	{ "tunnel_protocol", NULL, false },
	{ "ws_upgrade", NULL, false },
	{ 0 },
};
