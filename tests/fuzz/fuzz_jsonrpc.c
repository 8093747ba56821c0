/* SPDX-License-Identifier: MIT */
/* First byte: bit 0 mcp, bit 1 strict tool names. */
#include "fuzz.h"

#include "http/jsonrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool mcp, strict;
	struct osh_jsonrpc rpc;
	const char *error = NULL;
	struct osh_arena arena;
	struct osh_str body;
	char *mem;
	int r;

	if (!size || size > 65536)
		return 0;
	mcp = data[0] & 1;
	strict = data[0] & 2;
	body = fuzz_copy(data + 1, size - 1, &mem);
	osh_arena_init(&arena, 64u << 20);
	r = osh_jsonrpc_parse(body, mcp, strict, &arena, &rpc, &error);
	CHECK(r == 0 || (r == -EBADMSG && error) || r == -ENOMEM);
	if (r == 0) {
		CHECK(rpc.n_calls || rpc.has_response);
		for (size_t i = 0; i < rpc.n_calls; i++) {
			CHECK(rpc.calls[i].method.p);
			CHECK(mcp || !rpc.calls[i].tool.p);
			CHECK(!rpc.calls[i].tool.p || !strict ||
			      osh_rpc_tool_name_is_strict(rpc.calls[i].tool));
		}
	}
	osh_arena_fini(&arena);
	free(mem);
	return 0;
}
