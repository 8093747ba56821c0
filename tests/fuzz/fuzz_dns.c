/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "dns/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t addrs[16 * 16] = { 198, 18, 0, 7 };
	uint8_t reply[OSH_DNS_MSG_MAX];
	struct osh_dns_query query, echo;
	struct osh_str in;
	char *mem;
	int rcode;

	in = fuzz_copy(data, size, &mem);
	rcode = osh_dns_parse(in, &query);
	if (rcode >= 0) {
		struct osh_dns_answer answer = {
			.rcode = (enum osh_dns_rcode)rcode,
			.n = size % 17,
			.v6 = size & 1,
			.addrs = addrs,
			.ttl_s = 5,
		};
		size_t n = 0;

		CHECK(rcode != 0 || query.has_question);
		CHECK(!query.has_name || query.name_len == strlen(query.name));
		CHECK(osh_dns_reply(&query, &answer, false, reply, sizeof(reply), &n) == 0);
		CHECK(n >= 12 && n <= OSH_DNS_UDP_MAX &&
		      n <= (query.udp_size > 512 ? query.udp_size : 512u));
		CHECK(osh_dns_reply(&query, &answer, true, reply, sizeof(reply), &n) == 0);
		/* a reply is never taken for a query; with the bit cleared it asks the same */
		CHECK(osh_dns_parse((struct osh_str){ (char *)reply, n }, &echo) == -EBADMSG);
		CHECK(echo.id == query.id || !echo.id);
	}
	free(mem);
	return 0;
}
