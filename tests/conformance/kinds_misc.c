/* SPDX-License-Identifier: MIT */
#include "runner.h"

const struct kind misc_kinds[] = {
	{ "duration", NULL, false },
	{ "sandbox_name", NULL, false },
	{ "env_var", NULL, false },
	{ "log_level", NULL, false },
	{ "event_level", NULL, false },
	{ "setting", NULL, true },
	{ "placeholder", NULL, true },
	{ "redact", NULL, true },
	{ "no_proxy", NULL, true },
	{ "aws_region", NULL, true },
	{ 0 },
};
