/* SPDX-License-Identifier: MIT */
/* Hosts, authorities, addresses, networks, DNS names as text. */
#include "fuzz.h"

#include "dns/name.h"
#include "policy/host.h"

static void check_addr(struct osh_str s)
{
	struct osh_addr addr, again;
	struct osh_cidr cidr;
	char text[OSH_ADDR_TEXT_MAX];

	if (osh_addr_parse(s, &addr) == 0) {
		osh_addr_text(&addr, text);
		CHECK(osh_addr_parse(osh_str(text), &again) == 0);
		CHECK(osh_addr_eq(&addr, &again));
		(void)osh_addr_classify(&addr);
	}
	if (osh_cidr_parse(s, &cidr) == 0) {
		CHECK(cidr.bits <= 128);
		CHECK(osh_cidr_has(&cidr, &cidr.base));
		CHECK(osh_cidr_overlap(&cidr, &cidr));
		/* a network that touches no always-blocked one has no such address at its start */
		if (!osh_cidr_hits_always_blocked(&cidr) && osh_addr_is_v4(&cidr.base))
			CHECK(osh_addr_classify(&cidr.base) != OSH_ADDR_ALWAYS_BLOCKED);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osh_authority auth, again;
	char name[OSH_DNS_NAME_MAX + 1], text[OSH_HOST_MAX + 16];
	struct osh_host host;
	struct osh_str s;
	char *mem;
	size_t n;

	s = fuzz_copy(data, size, &mem);
	check_addr(s);
	if (osh_connect_target(s, &auth) == 0) {
		bool v6 = osh_str_find(osh_host_str(&auth.host), ':') < auth.host.len;
		int len;

		len = snprintf(text, sizeof(text), "%s%s%s:%u", v6 ? "[" : "", auth.host.name,
			       v6 ? "]" : "", auth.port);
		CHECK(auth.port && auth.host.len == strlen(auth.host.name));
		CHECK(osh_connect_target((struct osh_str){ text, (size_t)len }, &again) == 0);
		CHECK(again.port == auth.port);
		CHECK(osh_str_eq(osh_host_str(&again.host), osh_host_str(&auth.host)));
		CHECK(osh_authority_parse(s, &again) == 0);
	}
	if (osh_host_parse(s, OSH_HOST_BRACKETS | OSH_HOST_BARE_V6, &host) == 0)
		CHECK(!memchr(host.name, '\0', host.len) && !host.name[host.len]);
	(void)osh_host_is_numeric_name(s);
	(void)osh_host_is_gateway_alias(s);
	(void)osh_host_is_localhost(s);
	if (osh_dns_name_normalise(s, name, &n) == 0)
		CHECK(n == strlen(name) && n <= OSH_DNS_NAME_MAX &&
		      osh_host_is_dns_name(osh_str(name)));
	free(mem);
	return 0;
}
