/* SPDX-License-Identifier: MIT */
#include "base/reason.h"

static const struct {
	const char *token, *text;
} reasons[] = {
#define OSH_REASON_ROW(name, token, text) { token, text },
	OSH_REASONS(OSH_REASON_ROW)
#undef OSH_REASON_ROW
};

const char *osh_reason_token(unsigned int reason)
{
	return reason < OSH_ARRAY_SIZE(reasons) ? reasons[reason].token : "unknown";
}

const char *osh_reason_text(unsigned int reason)
{
	return reason < OSH_ARRAY_SIZE(reasons) ? reasons[reason].text : "unknown reason";
}

enum osh_reason osh_reason_from_token(struct osh_str token)
{
	for (unsigned int i = 0; i < OSH_ARRAY_SIZE(reasons); i++)
		if (osh_str_is(token, reasons[i].token))
			return (enum osh_reason)i;
	return OSH_REASON_COUNT;
}
