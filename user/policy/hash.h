/* SPDX-License-Identifier: MIT */
/* The identity of a policy's content. In a file of its own so that the CLI needs no libcrypto. */
#ifndef OSH_POLICY_HASH_H
#define OSH_POLICY_HASH_H

#include "base/sha256.h"
#include "policy/model.h"

/*
 * Lower-case hex SHA-256. Equal policies (osh_policy_eq) have equal hashes however they were
 * written; any other difference, the order of a list included, changes it. -ENOMEM, -EIO.
 */
int osh_policy_hash(const struct osh_policy *policy, char ret_hex[OSH_SHA256_HEX]) OSH_MUST_CHECK;

#endif
