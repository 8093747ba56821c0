/* SPDX-License-Identifier: MIT */
/*
 * no_proxy: lines of the input are entries, the last one is the host; each answer must be what the
 * entries say one by one. The whole input is also taken for a proxy's URL and credentials.
 */
#include "fuzz.h"

#include <errno.h>

#include "http/chain.h"
#include "http/noproxy.h"

static void check_entry(const struct osh_noproxy *e, struct osh_str text)
{
	bool slash = osh_str_find(text, '/') != text.n;

	CHECK(e->kind > OSH_NOPROXY_NONE && e->kind <= OSH_NOPROXY_NET);
	if (e->kind != OSH_NOPROXY_NAME)
		return;
	CHECK(!slash && e->len && strlen(e->name) == e->len);
	CHECK(e->name[0] != '.' && e->name[e->len - 1] != '.');
	CHECK(!osh_host_is_numeric_name((struct osh_str){ e->name, e->len }));
}

static void check_chain(struct osh_str s)
{
	osh_auto_bufmem struct osh_buf out;
	struct osh_authority a;
	const char *why = NULL;

	osh_buf_init(&out, OSH_CHAIN_AUTH_MAX + 1024, OSH_BUF_SECRET);
	if (osh_chain_url_parse(s, &a, &why) == 0)
		CHECK(a.port && a.host.len);
	else
		CHECK(why);
	if (osh_chain_auth(s, &out, &why) == 0) {
		CHECK(out.len <= OSH_CHAIN_AUTH_MAX && !memchr(out.data, '\r', out.len));
		CHECK(osh_chain_request(OSH_STR("a.test"), 443, osh_buf_str(&out), &out) == 0 ||
		      out.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct osh_addr addrs[] = { osh_addr_from_v4((const uint8_t[]){ 10, 1, 1, 1 }),
					  osh_addr_from_v4((const uint8_t[]){ 127, 0, 0, 1 }),
					  osh_addr_from_v4((const uint8_t[]){ 140, 82, 112, 5 }),
					  { .b = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } } };
	struct osh_str in, rest, line, host = OSH_STR("");
	struct osh_noproxy list[16];
	uint32_t all, each = 0;
	uint16_t port = 443;
	const char *why;
	size_t n = 0;
	char *mem;

	in = fuzz_copy(data, size, &mem);
	check_chain(in);
	rest = in;
	while (osh_str_split(&rest, '\n', &line)) {
		host = line;
		why = NULL;
		if (n == OSH_ARRAY_SIZE(list))
			continue;
		if (osh_noproxy_parse(line, &list[n], &why) == 0)
			check_entry(&list[n++], line);
		else
			CHECK(why);
	}
	all = osh_noproxy_match(list, n, host, port, addrs, OSH_ARRAY_SIZE(addrs));
	for (size_t i = 0; i < n; i++) {
		uint32_t one = osh_noproxy_match(&list[i], 1, host, port, addrs,
						 OSH_ARRAY_SIZE(addrs));

		CHECK(!list[i].port || list[i].port == port || one == 2);
		each |= one;
	}
	CHECK(all == (each | 2) && all < 16);
	free(mem);
	return 0;
}
