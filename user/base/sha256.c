/* SPDX-License-Identifier: MIT */
#include "base/sha256.h"

#include <errno.h>
#include <openssl/evp.h>

struct osh_sha256 {
	EVP_MD_CTX *ctx;
};

struct osh_sha256 *osh_sha256_new(void)
{
	struct osh_sha256 *h = malloc(sizeof(*h));

	if (!h)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL))
		return osh_sha256_free(h);
	return h;
}

struct osh_sha256 *osh_sha256_free(struct osh_sha256 *h)
{
	if (h) {
		EVP_MD_CTX_free(h->ctx);
		free(h);
	}
	return NULL;
}

int osh_sha256_add(struct osh_sha256 *h, const void *data, size_t n)
{
	return EVP_DigestUpdate(h->ctx, data, n) ? 0 : -EIO;
}

int osh_sha256_end(struct osh_sha256 *h, unsigned char ret_digest[OSH_SHA256_BYTES])
{
	return EVP_DigestFinal_ex(h->ctx, ret_digest, NULL) ? 0 : -EIO;
}

int osh_sha256(const void *data, size_t n, unsigned char ret_digest[OSH_SHA256_BYTES])
{
	return EVP_Digest(data, n, ret_digest, NULL, EVP_sha256(), NULL) ? 0 : -EIO;
}
