/* SPDX-License-Identifier: MIT */
/* Heads whole and in two pieces must be read alike, and every slice must lie inside the head. */
#ifndef OSH_TESTS_FUZZ_H1_COMMON_H
#define OSH_TESTS_FUZZ_H1_COMMON_H

#include "fuzz.h"

#include "http/h1.h"

static const struct osh_h1_limits fuzz_h1_limits = { 16384, 100 };

static void fuzz_h1_check(const struct osh_h1_head *head, size_t n)
{
	CHECK(head->head_len <= n && head->n_fields <= 100);
	CHECK(head->method_off + head->method_len <= head->head_len);
	CHECK(head->target_off + head->target_len <= head->head_len);
	CHECK(head->reason_off + head->reason_len <= head->head_len);
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct osh_h1_field *f = &head->fields[i];

		CHECK(f->name_len && (size_t)f->name_off + f->name_len < head->head_len);
		CHECK((size_t)f->value_off + f->value_len < head->head_len);
		CHECK(f->id < OSH_HF_COUNT);
	}
	CHECK(!(head->chunked && head->length != OSH_H1_LEN_NONE));
}

/* Returns the result of the whole; @head holds it. */
static int fuzz_h1_parse(struct osh_h1_head *head, enum osh_h1_kind kind, struct osh_str in,
			 size_t cut)
{
	static struct osh_h1_head two;
	int whole, r;

	osh_h1_init(head, kind);
	whole = osh_h1_parse(head, in.p, in.n, &fuzz_h1_limits);
	osh_h1_init(&two, kind);
	r = osh_h1_parse(&two, in.p, cut < in.n ? cut : in.n, &fuzz_h1_limits);
	if (r == -EAGAIN)
		r = osh_h1_parse(&two, in.p, in.n, &fuzz_h1_limits);
	CHECK(r == whole);
	if (r == 0) {
		fuzz_h1_check(head, in.n);
		CHECK(two.head_len == head->head_len && two.n_fields == head->n_fields);
		CHECK(two.body == head->body && two.length == head->length);
		CHECK(memcmp(two.fields, head->fields, head->n_fields * sizeof(head->fields[0])) ==
		      0);
	} else if (r != -EAGAIN) {
		CHECK(head->error != OSH_H1_OK);
	}
	return whole;
}

#endif
