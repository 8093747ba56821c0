/* SPDX-License-Identifier: MIT */
/*
 * From the DER of a leaf to the X509 object that SSL wants. d2i_X509() spends 130 us on finding a
 * decoder for the public key, which we have in hand: so the object is put together from its fields
 * (13 us) and compared, encoded, with the bytes that were signed. Whatever does not fit the pattern
 * of mint.c takes the slow way.
 *
 * X509_set_pubkey() is only cheap with a key that is not owned by a provider, and such a key is only
 * made by the older EC_KEY functions.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/sha256.h"
#include "tls/priv.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

EVP_PKEY *osh_leaf_key_new(void)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *key = EVP_PKEY_new();

	if (!ec || !key || EC_KEY_generate_key(ec) != 1 || EVP_PKEY_set1_EC_KEY(key, ec) != 1) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	EC_KEY_free(ec);
	return key;
}

/* ---- a reader for exactly what mint.c writes ---- */

struct tlv {
	unsigned char tag;
	const unsigned char *all; /* header included */
	size_t all_len;
	const unsigned char *p;
	size_t n;
};

static bool next(const unsigned char **at, const unsigned char *end, struct tlv *ret)
{
	const unsigned char *p = *at;
	size_t len, head = 2;

	if (end - p < 2)
		return false;
	len = p[1];
	if (len == 0x81 && end - p >= 3) {
		len = p[2];
		head = 3;
	} else if (len == 0x82 && end - p >= 4) {
		len = (size_t)p[2] << 8 | p[3];
		head = 4;
	} else if (len >= 0x80) {
		return false;
	}
	if ((size_t)(end - p) - head < len)
		return false;
	*ret = (struct tlv){ p[0], p, head + len, p + head, len };
	*at = p + head + len;
	return true;
}

struct fields {
	struct tlv serial, sig_alg, issuer, not_before, not_after, subject, spki, exts, sig;
};

static bool split(const unsigned char *der, size_t len, struct fields *f)
{
	const unsigned char *at = der, *end = der + len, *tbs_end;
	struct tlv cert, tbs, version, alg, validity, wrap;

	if (!next(&at, end, &cert) || at != end)
		return false;
	at = cert.p;
	end = cert.p + cert.n;
	if (!next(&at, end, &tbs) || !next(&at, end, &alg) || !next(&at, end, &f->sig) ||
	    at != end || f->sig.tag != 0x03 || f->sig.n < 2 || f->sig.p[0])
		return false;
	at = tbs.p;
	tbs_end = tbs.p + tbs.n;
	if (!next(&at, tbs_end, &version) || !next(&at, tbs_end, &f->serial) ||
	    !next(&at, tbs_end, &f->sig_alg) || !next(&at, tbs_end, &f->issuer) ||
	    !next(&at, tbs_end, &validity) || !next(&at, tbs_end, &f->subject) ||
	    !next(&at, tbs_end, &f->spki) || !next(&at, tbs_end, &wrap) || at != tbs_end)
		return false;
	at = validity.p;
	end = validity.p + validity.n;
	if (!next(&at, end, &f->not_before) || !next(&at, end, &f->not_after) || at != end)
		return false;
	at = wrap.p;
	end = wrap.p + wrap.n;
	return wrap.tag == 0xa3 && next(&at, end, &f->exts) && at == end && f->exts.n < 65536 / 2;
}

/* ---- putting together ---- */

static bool set_name(X509 *x, const struct tlv *t, int (*set)(X509 *x, const X509_NAME *name))
{
	const unsigned char *p = t->all;
	X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)t->all_len);
	bool ok = name && set(x, name) == 1;

	X509_NAME_free(name);
	return ok;
}

static bool set_time(X509 *x, const struct tlv *t, int (*set)(X509 *x, const ASN1_TIME *tm))
{
	const unsigned char *p = t->all;
	ASN1_TIME *tm = d2i_ASN1_TIME(NULL, &p, (long)t->all_len);
	bool ok = tm && set(x, tm) == 1;

	ASN1_TIME_free(tm);
	return ok;
}

static bool set_serial(X509 *x, const struct tlv *t)
{
	const unsigned char *p = t->all;
	ASN1_INTEGER *serial = d2i_ASN1_INTEGER(NULL, &p, (long)t->all_len);
	bool ok = serial && X509_set_serialNumber(x, serial) == 1;

	ASN1_INTEGER_free(serial);
	return ok;
}

static bool set_extensions(X509 *x, const struct tlv *t)
{
	const unsigned char *at = t->p, *end = t->p + t->n;
	struct tlv one;

	while (at < end) {
		const unsigned char *p = at;
		X509_EXTENSION *ext;
		bool ok;

		if (!next(&at, end, &one))
			return false;
		ext = d2i_X509_EXTENSION(NULL, &p, (long)one.all_len);
		ok = ext && X509_add_ext(x, ext, -1) == 1;
		X509_EXTENSION_free(ext);
		if (!ok)
			return false;
	}
	return true;
}

/* There is no setter for a signature made elsewhere; the getters lead to the object's own parts. */
static bool set_signature(X509 *x, const struct tlv *sig)
{
	const ASN1_BIT_STRING *csig;
	const X509_ALGOR *calg;
	ASN1_BIT_STRING *bits;

	X509_get0_signature(&csig, &calg, x);
	bits = (ASN1_BIT_STRING *)(uintptr_t)csig;
	if (!bits || ASN1_STRING_set(bits, sig->p + 1, (int)sig->n - 1) != 1)
		return false;
	bits->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07);
	bits->flags |= ASN1_STRING_FLAG_BITS_LEFT;
	return X509_ALGOR_set0((X509_ALGOR *)(uintptr_t)calg, OBJ_nid2obj(NID_ecdsa_with_SHA256),
			       V_ASN1_UNDEF, NULL) == 1 &&
	       X509_ALGOR_set0((X509_ALGOR *)(uintptr_t)X509_get0_tbs_sigalg(x),
			       OBJ_nid2obj(NID_ecdsa_with_SHA256), V_ASN1_UNDEF, NULL) == 1;
}

static bool same_bytes(X509 *x, const unsigned char *der, size_t len)
{
	unsigned char out[OSH_MINT_MAX_BYTES], *p = out;
	int n = i2d_X509(x, NULL);

	return n > 0 && (size_t)n == len && (size_t)n <= sizeof(out) && i2d_X509(x, &p) == n &&
	       !memcmp(out, der, len);
}

static X509 *assemble(EVP_PKEY *key, struct osh_str spki, const unsigned char *der, size_t len)
{
	struct fields f;
	X509 *x;

	if (!split(der, len, &f) || f.spki.all_len != spki.n ||
	    memcmp(f.spki.all, spki.p, spki.n) != 0)
		return NULL;
	x = X509_new();
	if (x && X509_set_version(x, 2) && X509_set_pubkey(x, key) && set_serial(x, &f.serial) &&
	    set_name(x, &f.issuer, X509_set_issuer_name) &&
	    set_name(x, &f.subject, X509_set_subject_name) &&
	    set_time(x, &f.not_before, X509_set1_notBefore) &&
	    set_time(x, &f.not_after, X509_set1_notAfter) && set_extensions(x, &f.exts) &&
	    set_signature(x, &f.sig) && same_bytes(x, der, len))
		return x;
	X509_free(x);
	return NULL;
}

/* ---- leaves ---- */

int osh_leaf_new(struct osh_tls_env *env, uint32_t sandbox, struct osh_str host, const void *der,
		 size_t len, struct osh_leaf **ret_leaf)
{
	const unsigned char *p = der;
	struct osh_leaf *leaf = calloc(1, sizeof(*leaf));
	struct tm tm;

	if (!leaf)
		return -ENOMEM;
	leaf->refs = 1;
	leaf->cert = assemble(env->key, osh_tls_env_spki(env), der, len);
	if (!leaf->cert) {
		leaf->cert = d2i_X509(NULL, &p, (long)len);
		if (p != (const unsigned char *)der + len) {
			osh_leaf_unref(leaf);
			return -EBADMSG;
		}
	}
	if (!leaf->cert || X509_check_private_key(leaf->cert, env->key) != 1 ||
	    !ASN1_TIME_to_tm(X509_get0_notAfter(leaf->cert), &tm)) {
		ERR_clear_error();
		osh_leaf_unref(leaf);
		return -EBADMSG;
	}
	leaf->not_after_s = timegm(&tm);
	if (osh_sha256(host.p, host.n, leaf->sid) < 0) {
		osh_leaf_unref(leaf);
		return -EIO;
	}
	memcpy(leaf->sid, &sandbox, sizeof(sandbox));
	*ret_leaf = leaf;
	return 0;
}

struct osh_leaf *osh_leaf_unref(struct osh_leaf *leaf)
{
	if (leaf && --leaf->refs == 0) {
		X509_free(leaf->cert);
		free(leaf);
	}
	return NULL;
}

int64_t osh_leaf_not_after_s(const struct osh_leaf *leaf)
{
	return leaf->not_after_s;
}
