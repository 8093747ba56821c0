/* SPDX-License-Identifier: MIT */
/*
 * Messages of openshell/role.h as a hostile sender could write them. The roles that strangers' bytes go
 * through are expected to fall some day; what they say then must be refused before anybody acts on it.
 * Pure: whether a sandbox or an id exists is for the receiver to know.
 */
#ifndef OSH_IO_ROLEMSG_H
#define OSH_IO_ROLEMSG_H

#include "io/seqpkt.h"

enum osh_rolemsg_link {
	OSH_ROLEMSG_NONE = 0,
	OSH_ROLEMSG_PROXY_TO_MONITOR,
	OSH_ROLEMSG_SIGNER_TO_MONITOR,
	OSH_ROLEMSG_MONITOR_TO_SIGNER,
	OSH_ROLEMSG_PROXY_TO_SIGNER,
	OSH_ROLEMSG_SIGNER_TO_PROXY,
};

/*
 * 0: a type that goes over this link, of its size, with its number of descriptors; every text field has
 * its NUL; host names are lower case without blanks or control characters; numbers are in range;
 * nothing is given that the type does not use. -EBADMSG: no role of ours sent it.
 */
int osh_rolemsg_check(enum osh_rolemsg_link link, const struct osh_seqpkt_msg *msg) OSH_MUST_CHECK;

#endif
