/* SPDX-License-Identifier: MIT */
/* First byte 0: a body; 1: a bare document; 2: a query string of a GET. */
#include "fuzz.h"

#include "http/gql_doc.h"
#include "http/graphql.h"
#include "http/query.h"

static void check_ops(const struct osh_graphql *gql)
{
	CHECK(gql->n_ops >= 1 && gql->n_ops <= OSH_GQL_OPS_MAX);
	for (size_t i = 0; i < gql->n_ops; i++) {
		const struct osh_gql_op *op = &gql->ops[i];

		CHECK(op->type != OSH_GQL_PERSISTED || op->hash.n || op->id.n);
		CHECK((op->type == OSH_GQL_PERSISTED) == (op->n_fields == 0));
		for (size_t f = 0; f < op->n_fields; f++)
			CHECK(op->fields[f].n &&
			      (f == 0 || osh_str_cmp(op->fields[f - 1], op->fields[f]) < 0));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct osh_query_pair pairs[64];
	struct osh_graphql_input in = { .method = OSH_STR("POST") };
	struct osh_query query = { pairs, 0 };
	struct osh_graphql gql = { 0 };
	const char *error = NULL;
	struct osh_arena arena;
	struct osh_gql_op op;
	char *mem, *text;
	int r = -EAGAIN;

	if (!size || size > 65536)
		return 0;
	osh_arena_init(&arena, OSH_GQL_ARENA_BYTES(size));
	in.body = fuzz_copy(data + 1, size - 1, &mem);
	text = malloc(size);
	CHECK(text);
	if (data[0] % 3 == 0) {
		r = osh_graphql_parse(&in, &arena, &gql, &error);
	} else if (data[0] % 3 == 1) {
		r = osh_gql_document(in.body, OSH_STR_NONE, &arena, &op, &error);
		if (r == 0)
			gql = (struct osh_graphql){ &op, 1 };
		op.hash = op.id = OSH_STR_NONE;
	} else if (osh_query_decode(in.body, text, size, pairs, 64, &query.n) == 0) {
		in = (struct osh_graphql_input){ .method = OSH_STR("GET"), .query = &query };
		r = osh_graphql_parse(&in, &arena, &gql, &error);
	}
	CHECK(r != -EBADMSG || error);
	CHECK(r != -ENOMEM);
	if (r == 0)
		check_ops(&gql);
	osh_arena_fini(&arena);
	free(text);
	free(mem);
	return 0;
}
