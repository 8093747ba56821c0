/* SPDX-License-Identifier: MIT */
/*
 * Certificates written byte by byte: P-256 keys, ecdsa-with-SHA256, one fixed profile for the CA
 * and one for leaves. Pure but for the signature, which a struct osh_ca makes.
 */
#ifndef OSH_TLS_MINT_H
#define OSH_TLS_MINT_H

#include "base/str.h"

struct osh_ca;

enum {
	OSH_MINT_SPKI_BYTES = 91, /* SubjectPublicKeyInfo of an uncompressed P-256 point */
	OSH_MINT_SERIAL_BYTES = 16,
	OSH_MINT_KEY_ID_BYTES = 20,
	OSH_MINT_MAX_BYTES = 1536, /* upper bound of any certificate made here */
	OSH_MINT_HOST_MAX = 253,
};

#define OSH_MINT_LEAF_S	    (30 * 86400LL) /* validity of a leaf */
#define OSH_MINT_BACKDATE_S 3600LL /* for clients whose clock runs late */

struct osh_mint_leaf {
	struct osh_str host; /* lower-case A-label name, or an IP literal without brackets */
	struct osh_str spki; /* exactly OSH_MINT_SPKI_BYTES */
	unsigned char serial[OSH_MINT_SERIAL_BYTES]; /* made positive by clearing the top bit */
	int64_t not_before_s, not_after_s;
};

/* Is @host something a leaf may be issued for: an A-label name or an IP literal. */
bool osh_mint_host_is_valid(struct osh_str host);
/* Is @spki an uncompressed P-256 key in the one encoding accepted here. Not a curve check. */
bool osh_mint_spki_is_valid(struct osh_str spki);
/* SHA-1 of the key's bits: the subject and authority key identifier (RFC 5280 4.2.1.2 (1)). */
int osh_mint_key_id(struct osh_str spki,
		    unsigned char ret_id[OSH_MINT_KEY_ID_BYTES]) OSH_MUST_CHECK;

/* DER certificate into @ret_der. -EINVAL: host or key not acceptable; -EIO: signing failed. */
int osh_mint_leaf(const struct osh_ca *ca, const struct osh_mint_leaf *leaf,
		  unsigned char ret_der[OSH_MINT_MAX_BYTES], size_t *ret_len) OSH_MUST_CHECK;
/* Self-signed CA certificate of @ca's key. */
int osh_mint_ca(const struct osh_ca *ca, struct osh_str spki,
		const unsigned char serial[OSH_MINT_SERIAL_BYTES], int64_t not_before_s,
		int64_t not_after_s, unsigned char ret_der[OSH_MINT_MAX_BYTES],
		size_t *ret_len) OSH_MUST_CHECK;

#endif
