/* SPDX-License-Identifier: MIT */
/* Response heads. First two bytes: where to cut the input. */
#include "h1_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct osh_h1_head head;
	struct osh_str in;
	char *mem;

	if (size < 2)
		return 0;
	in = fuzz_copy(data + 2, size - 2, &mem);
	if (fuzz_h1_parse(&head, OSH_H1_RESPONSE, in, (size_t)data[0] << 8 | data[1]) == 0) {
		enum osh_h1_body body = osh_h1_response_body(&head, OSH_STR("GET"));

		CHECK(head.status >= 100 && head.status <= 599);
		CHECK(osh_h1_response_body(&head, OSH_STR("HEAD")) == OSH_H1_BODY_NONE);
		CHECK(body != OSH_H1_BODY_LENGTH || head.length > 0);
		CHECK(body != OSH_H1_BODY_CLOSE || !osh_h1_persistent(&head, body));
	}
	free(mem);
	return 0;
}
