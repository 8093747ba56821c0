/* SPDX-License-Identifier: MIT */
#include "dns/name.h"

#include "policy/host.h"

int osh_dns_name_normalise(struct osh_str name, char dst[OSH_DNS_NAME_MAX + 1], size_t *ret_len)
{
	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!osh_host_is_dns_name(name))
		return -EBADMSG;
	for (size_t i = 0; i < name.n; i++)
		dst[i] = osh_lower(name.p[i]);
	dst[name.n] = '\0';
	*ret_len = name.n;
	return 0;
}
