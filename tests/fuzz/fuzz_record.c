/* SPDX-License-Identifier: MIT */
/*
 * Records as a hostile proxy could write them: whatever is accepted renders to one printable line
 * in every form, and its JSON form reads back to the same record.
 */
#include "fuzz.h"

#include "audit/render.h"
#include "audit/segment.h"

static void check_line(const struct osh_buf *text)
{
	CHECK(text->len);
	for (size_t i = 0; i < text->len; i++)
		CHECK(text->data[i] >= 0x20 && text->data[i] < 0x7f);
}

static void check_fields(const struct osh_buf *text)
{
	struct osh_str rest = osh_buf_str(text), line;

	CHECK(rest.n && rest.p[rest.n - 1] == '\n');
	rest.n--;
	while (osh_str_split(&rest, '\n', &line)) {
		struct osh_str key = osh_str_sub(line, 0, osh_str_find(line, '='));

		CHECK(key.n && key.n < line.n);
		for (size_t i = 0; i < key.n; i++)
			CHECK((key.p[i] >= 'A' && key.p[i] <= 'Z') || key.p[i] == '_');
		for (size_t i = 0; i < line.n; i++)
			CHECK(line.p[i] >= 0x20 && line.p[i] < 0x7f);
	}
}

static void check_json(const struct osh_rec *rec, struct osh_buf *text)
{
	struct osh_log_filter all = { .max_level = -1 };
	struct osh_jval *v = NULL;
	struct osh_rec back;
	struct osh_buf again;

	osh_buf_init(&again, 8 * OSH_RENDER_MAX, 0);
	osh_buf_reset(text);
	CHECK(osh_render_json(rec, text) == 0);
	CHECK(!memchr(text->data, '\n', text->len));
	CHECK(osh_json_parse(osh_buf_str(text), &v, NULL, 0) == 0);
	CHECK(osh_render_parse_json(v, &back) == 0);
	CHECK(osh_log_filter_has_line(&all, osh_buf_str(text)));
	/* the first reading may replace bytes that are no UTF-8 and then cut; after that it is stable */
	v = osh_jval_free(v);
	CHECK(osh_render_json(&back, &again) == 0);
	CHECK(osh_json_parse(osh_buf_str(&again), &v, NULL, 0) == 0);
	v = osh_jval_free(v);
	osh_buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osh_jval *v = NULL;
	struct osh_rec rec;
	struct osh_buf text;

	osh_buf_init(&text, 8 * OSH_RENDER_MAX, 0);
	if (osh_rec_decode(data, size, &rec) == 0) {
		CHECK(rec.size <= sizeof(rec));
		osh_rec_set_sandbox(&rec, OSH_STR("demo"));
		CHECK(osh_render_line(&rec, &text) == 0);
		check_line(&text);
		osh_buf_reset(&text);
		CHECK(osh_render_ocsf_line(&rec, &text) == 0);
		check_line(&text);
		osh_buf_reset(&text);
		CHECK(osh_render_journal(&rec, &text) == 0);
		check_fields(&text);
		osh_buf_reset(&text);
		CHECK(osh_render_ocsf_json(&rec, "host", &text) == 0);
		CHECK(osh_json_parse(osh_buf_str(&text), &v, NULL, 0) == 0);
		v = osh_jval_free(v);
		check_json(&rec, &text);
	}
	osh_buf_fini(&text);
	return 0;
}
