/* SPDX-License-Identifier: MIT */
/* Flow records without privilege: for processes in <agent>/daemon. */
#ifndef OSH_SYS_FLOW_H
#define OSH_SYS_FLOW_H

#include "base/macros.h"
#include "openshell/abi.h"

/*
 * Record of an accepted connection. -ENOENT: it has none, drop it. -EOPNOTSUPP: no fence answers
 * (not in the daemon's cgroup). The record is complete: sizes other than ours are -EPROTO.
 */
int osh_flow_fetch(int accepted_fd, struct osh_flow_rec *ret_rec) OSH_MUST_CHECK;

/*
 * Who used @client_port (host order) last to send to the DNS socket @dns_fd. For logs: a port may
 * change hands between the datagram and this call. Errors as above.
 */
int osh_flow_fetch_dns(int dns_fd, unsigned int client_port,
		       struct osh_flow_rec *ret_rec) OSH_MUST_CHECK;

#endif
