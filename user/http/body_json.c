/* SPDX-License-Identifier: MIT */
#include "http/body_json.h"

/*
 * Depth of the deepest nesting, looking at brackets outside of strings only. The text need not be
 * JSON: the parser decides about that afterwards.
 */
static size_t depth_of(struct osh_str text)
{
	size_t depth = 0, deepest = 0;
	bool in_string = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			deepest = OSH_MAX(deepest, ++depth);
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return deepest;
}

int osh_body_json_parse(struct osh_str text, struct osh_jval **ret, const char **ret_error)
{
	int r;

	/* First, because the parser below recurses. */
	if (depth_of(text) > OSH_BODY_JSON_DEPTH_MAX) {
		*ret_error = "JSON nested too deeply";
		return -EBADMSG;
	}
	r = osh_json_parse(text, ret, NULL, 0);
	if (r == -ERANGE)
		r = osh_json_parse_reals(text, ret);
	if (r < 0 && r != -ENOMEM) {
		*ret_error = "body is not strict JSON";
		return -EBADMSG;
	}
	return r;
}
