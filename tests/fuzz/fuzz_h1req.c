/* SPDX-License-Identifier: MIT */
/* Request heads. First two bytes: where to cut the input. */
#include "h1_common.h"

#include "http/request.h"
#include "http/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct osh_req_place places[] = {
		{ .proxy_port = true },
		{ .tls = true, .host = { "api.test", 8 }, .port = 443 },
		{ .host = { "::1", 3 }, .port = 80, .allow_encoded_slash = true },
	};
	static struct osh_h1_head head;
	static struct osh_req req;
	struct osh_str in;
	char *mem;

	if (size < 2)
		return 0;
	in = fuzz_copy(data + 2, size - 2, &mem);
	(void)osh_sniff(in, true);
	(void)osh_sniff(in, false);
	if (fuzz_h1_parse(&head, OSH_H1_REQUEST, in, (size_t)data[0] << 8 | data[1]) == 0) {
		CHECK(head.method_len && head.target_len);
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			enum osh_req_error error = OSH_REQ_OK;

			if (osh_req_build(&head, in.p, &places[i], &req, &error) < 0)
				CHECK(error != OSH_REQ_OK);
			else
				CHECK(req.is_connect || req.path.p[0] == '/');
		}
		(void)osh_ws_upgrade_is_valid(&head, in.p);
		(void)osh_h1_persistent(&head, head.body);
	}
	free(mem);
	return 0;
}
