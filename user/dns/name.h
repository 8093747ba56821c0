/* SPDX-License-Identifier: MIT */
/* DNS names as text. */
#ifndef OSH_DNS_NAME_H
#define OSH_DNS_NAME_H

#include "base/str.h"

#define OSH_DNS_NAME_MAX 253 /* bytes as text, without the final NUL */

/*
 * Lower-case, without the trailing dot: labels of 1..63 letters, digits, '-' and '_'. -EBADMSG: the
 * root, an address literal, an empty or overlong label, any other byte. @dst is NUL-terminated.
 */
int osh_dns_name_normalise(struct osh_str name, char dst[OSH_DNS_NAME_MAX + 1],
			   size_t *ret_len) OSH_MUST_CHECK;

#endif
