/* SPDX-License-Identifier: MIT */
#include "sys/flow.h"

#include <sys/socket.h>

static int fetch(int fd, int optname, struct osh_flow_rec *ret_rec)
{
	struct osh_flow_rec rec;
	socklen_t len = sizeof(rec);

	if (getsockopt(fd, OSH_SOL_FLOW, optname, &rec, &len) < 0)
		return errno == ENOPROTOOPT ? -EOPNOTSUPP : -errno;
	if (len != sizeof(rec) || rec.lineage_count > OSH_LINEAGE_MAX)
		return -EPROTO;
	*ret_rec = rec;
	return 0;
}

int osh_flow_fetch(int accepted_fd, struct osh_flow_rec *ret_rec)
{
	return fetch(accepted_fd, OSH_SO_FLOW, ret_rec);
}

int osh_flow_fetch_dns(int dns_fd, unsigned int client_port, struct osh_flow_rec *ret_rec)
{
	if (!client_port || client_port > 65535)
		return -EINVAL;
	return fetch(dns_fd, OSH_SO_DNS_RECORD | (int)client_port, ret_rec);
}
