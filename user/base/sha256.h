/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4). Nothing here fails; the results are kept checked for a wrapper that can. */
#ifndef OSH_BASE_SHA256_H
#define OSH_BASE_SHA256_H

#include <stddef.h>

#include "base/macros.h"

#define OSH_SHA256_BYTES 32
#define OSH_SHA256_HEX	 65 /* with the NUL */

struct osh_sha256; /* running hash */

struct osh_sha256 *osh_sha256_new(void); /* NULL: out of memory */
struct osh_sha256 *osh_sha256_free(struct osh_sha256 *h);
int osh_sha256_add(struct osh_sha256 *h, const void *data, size_t n) OSH_MUST_CHECK;
/* Ends the computation; @h can only be freed afterwards. */
int osh_sha256_end(struct osh_sha256 *h, unsigned char ret_digest[OSH_SHA256_BYTES]) OSH_MUST_CHECK;

int osh_sha256(const void *data, size_t n,
	       unsigned char ret_digest[OSH_SHA256_BYTES]) OSH_MUST_CHECK;

#endif
