/* SPDX-License-Identifier: MIT */
/* Lines of a log that somebody else wrote: reading them never harms, and what is read renders. */
#include "fuzz.h"

#include "audit/render.h"
#include "audit/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osh_log_filter filter = {
		.sandbox = "demo",
		.max_level = OSH_REC_WARN,
		.sources = 1u << OSH_REC_SANDBOX_SRC,
		.since_ns = 1000,
	};
	struct osh_jval *v = NULL;
	struct osh_buf text;
	struct osh_rec rec;
	struct osh_str s;
	uint64_t seq;
	char *copy;
	bool quick;

	s = fuzz_copy(data, size, &copy);
	osh_buf_init(&text, 8 * OSH_RENDER_MAX, 0);
	quick = osh_log_filter_has_line(&filter, s);
	(void)!osh_log_line_seq(s, &seq);
	if (osh_json_parse(s, &v, NULL, 0) == 0 && osh_render_parse_json(v, &rec) == 0) {
		CHECK(osh_render_line(&rec, &text) == 0);
		osh_buf_reset(&text);
		CHECK(osh_render_shorthand(&rec, &text) == 0);
		osh_buf_reset(&text);
		CHECK(osh_render_json(&rec, &text) == 0);
		/* the quick filter on our own rendering agrees with the slow one */
		quick = osh_log_filter_has_line(&filter, osh_buf_str(&text));
		if (osh_rec_get(&rec, OSH_REC_SANDBOX_NAME).n < 20)
			CHECK(quick == osh_log_filter_has(&filter, &rec));
	}
	v = osh_jval_free(v);
	osh_buf_fini(&text);
	free(copy);
	return 0;
}
