/* SPDX-License-Identifier: MIT */
#include "tls/mint.h"

#include "tls/ca.h"
#include "tls/der.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <string.h>

enum { CN_MAX_BYTES = 64 }; /* ub-common-name */

static const unsigned char version_3[] = { 0xa0, 0x03, 0x02, 0x01, 0x02 };
static const unsigned char alg_ecdsa_sha256[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
						  0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
/* SubjectPublicKeyInfo up to and including the 0x04 of the uncompressed point */
static const unsigned char spki_p256[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
					   0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
					   0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
static const unsigned char oid_san[] = { 0x55, 0x1d, 0x11 };
static const unsigned char oid_aki[] = { 0x55, 0x1d, 0x23 };
static const unsigned char oid_ski[] = { 0x55, 0x1d, 0x0e };

/* basicConstraints critical CA:FALSE, keyUsage critical digitalSignature, extKeyUsage serverAuth */
static const unsigned char ext_leaf_fixed[] = {
	0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30,
	0x00, 0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04,
	0x03, 0x02, 0x07, 0x80, 0x30, 0x13, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x0c,
	0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01
};
/* basicConstraints critical CA:TRUE pathlen 0, keyUsage critical keyCertSign cRLSign */
static const unsigned char ext_ca_fixed[] = {
	0x30, 0x12, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x08,
	0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00, 0x30, 0x0e, 0x06, 0x03,
	0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x01, 0x06
};

static size_t ip_literal(struct osh_str host, unsigned char ret_ip[16])
{
	char text[64];

	if (host.n >= sizeof(text))
		return 0;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, ret_ip) == 1)
		return 4;
	return inet_pton(AF_INET6, text, ret_ip) == 1 ? 16 : 0;
}

bool osh_mint_host_is_valid(struct osh_str host)
{
	unsigned char ip[16];
	size_t label = 0;

	if (!host.n || host.n > OSH_MINT_HOST_MAX)
		return false;
	if (memchr(host.p, '\0', host.n))
		return false;
	if (ip_literal(host, ip))
		return true;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (c == '.') {
			if (!label)
				return false;
			label = 0;
			continue;
		}
		/* '_' occurs in real names; upper case would make two leaves for one name */
		if (!osh_is_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_')
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0;
}

bool osh_mint_spki_is_valid(struct osh_str spki)
{
	return spki.n == OSH_MINT_SPKI_BYTES && !memcmp(spki.p, spki_p256, sizeof(spki_p256));
}

int osh_mint_key_id(struct osh_str spki, unsigned char ret_id[OSH_MINT_KEY_ID_BYTES])
{
	const size_t skip = sizeof(spki_p256) - 1;

	if (!osh_mint_spki_is_valid(spki))
		return -EINVAL;
	if (!EVP_Digest(spki.p + skip, spki.n - skip, ret_id, NULL, EVP_sha1(), NULL))
		return -EIO;
	return 0;
}

static void put_extension(struct osh_der *d, const unsigned char oid[3], size_t mark)
{
	osh_der_wrap(d, OSH_DER_OCTET_STRING, mark);
	osh_der_prim(d, OSH_DER_OID, oid, 3);
	osh_der_wrap(d, OSH_DER_SEQUENCE, mark);
}

static void put_aki(struct osh_der *d, const unsigned char id[OSH_MINT_KEY_ID_BYTES])
{
	size_t mark = osh_der_mark(d);

	osh_der_prim(d, 0x80, id, OSH_MINT_KEY_ID_BYTES);
	osh_der_wrap(d, OSH_DER_SEQUENCE, mark);
	put_extension(d, oid_aki, mark);
}

static void put_ski(struct osh_der *d, const unsigned char id[OSH_MINT_KEY_ID_BYTES])
{
	size_t mark = osh_der_mark(d);

	osh_der_prim(d, OSH_DER_OCTET_STRING, id, OSH_MINT_KEY_ID_BYTES);
	put_extension(d, oid_ski, mark);
}

static void put_san(struct osh_der *d, struct osh_str host)
{
	size_t mark = osh_der_mark(d);
	unsigned char ip[16];
	size_t n = ip_literal(host, ip);

	if (n)
		osh_der_prim(d, 0x87, ip, n);
	else
		osh_der_prim(d, 0x82, host.p, host.n);
	osh_der_wrap(d, OSH_DER_SEQUENCE, mark);
	put_extension(d, oid_san, mark);
}

static void put_issuer(struct osh_der *d)
{
	size_t mark = osh_der_mark(d);

	osh_der_rdn(d, 3, OSH_STR(OSH_CA_COMMON_NAME));
	osh_der_rdn(d, 10, OSH_STR(OSH_CA_ORGANISATION));
	osh_der_wrap(d, OSH_DER_SEQUENCE, mark);
}

static void put_subject(struct osh_der *d, struct osh_str host)
{
	size_t mark = osh_der_mark(d);

	/* A name too long for a CN lives in the SAN only; the subject must still not be empty. */
	osh_der_rdn(d, 3, host.n <= CN_MAX_BYTES ? host : OSH_STR("OpenShell leaf"));
	osh_der_wrap(d, OSH_DER_SEQUENCE, mark);
}

static void put_validity(struct osh_der *d, int64_t from_s, int64_t to_s)
{
	size_t mark = osh_der_mark(d);

	osh_der_time(d, to_s);
	osh_der_time(d, from_s);
	osh_der_wrap(d, OSH_DER_SEQUENCE, mark);
}

static void put_head(struct osh_der *d, const unsigned char serial[OSH_MINT_SERIAL_BYTES])
{
	unsigned char positive[OSH_MINT_SERIAL_BYTES];

	memcpy(positive, serial, sizeof(positive));
	positive[0] = (unsigned char)((positive[0] & 0x7f) | 0x40); /* positive, no leading zero */
	osh_der_raw(d, alg_ecdsa_sha256, sizeof(alg_ecdsa_sha256));
	osh_der_prim(d, OSH_DER_INTEGER, positive, sizeof(positive));
	osh_der_raw(d, version_3, sizeof(version_3));
}

/* Sign the TBSCertificate in @tbs and write the whole certificate to the start of @ret_der. */
static int finish(const struct osh_ca *ca, struct osh_der *tbs,
		  unsigned char ret_der[OSH_MINT_MAX_BYTES], size_t *ret_len)
{
	unsigned char sig[OSH_CA_SIG_MAX], out[OSH_MINT_MAX_BYTES];
	struct osh_der d;
	struct osh_str bytes;
	size_t sig_len = 0, mark;
	int r;

	if (tbs->err)
		return -EINVAL;
	bytes = osh_der_str(tbs);
	r = osh_ca_sign(ca, bytes, sig, &sig_len);
	if (r < 0)
		return r;

	osh_der_init(&d, out, sizeof(out));
	mark = osh_der_mark(&d);
	osh_der_raw(&d, sig, sig_len);
	osh_der_raw(&d, "\0", 1); /* no unused bits */
	osh_der_wrap(&d, OSH_DER_BIT_STRING, mark);
	osh_der_raw(&d, alg_ecdsa_sha256, sizeof(alg_ecdsa_sha256));
	osh_der_raw(&d, bytes.p, bytes.n);
	osh_der_wrap(&d, OSH_DER_SEQUENCE, mark);
	if (d.err)
		return -EINVAL;
	bytes = osh_der_str(&d);
	memcpy(ret_der, bytes.p, bytes.n);
	*ret_len = bytes.n;
	return 0;
}

int osh_mint_leaf(const struct osh_ca *ca, const struct osh_mint_leaf *leaf,
		  unsigned char ret_der[OSH_MINT_MAX_BYTES], size_t *ret_len)
{
	unsigned char buf[OSH_MINT_MAX_BYTES];
	struct osh_der d;
	size_t mark;

	if (!osh_mint_host_is_valid(leaf->host) || !osh_mint_spki_is_valid(leaf->spki))
		return -EINVAL;

	osh_der_init(&d, buf, sizeof(buf));
	put_aki(&d, osh_ca_key_id(ca));
	put_san(&d, leaf->host);
	osh_der_raw(&d, ext_leaf_fixed, sizeof(ext_leaf_fixed));
	osh_der_wrap(&d, OSH_DER_SEQUENCE, 0);
	osh_der_wrap(&d, 0xa3, 0);
	osh_der_raw(&d, leaf->spki.p, leaf->spki.n);
	put_subject(&d, leaf->host);
	put_validity(&d, leaf->not_before_s, leaf->not_after_s);
	put_issuer(&d);
	put_head(&d, leaf->serial);
	mark = 0;
	osh_der_wrap(&d, OSH_DER_SEQUENCE, mark);
	return finish(ca, &d, ret_der, ret_len);
}

int osh_mint_ca(const struct osh_ca *ca, struct osh_str spki,
		const unsigned char serial[OSH_MINT_SERIAL_BYTES], int64_t not_before_s,
		int64_t not_after_s, unsigned char ret_der[OSH_MINT_MAX_BYTES], size_t *ret_len)
{
	unsigned char buf[OSH_MINT_MAX_BYTES];
	struct osh_der d;

	if (!osh_mint_spki_is_valid(spki))
		return -EINVAL;

	osh_der_init(&d, buf, sizeof(buf));
	put_aki(&d, osh_ca_key_id(ca));
	put_ski(&d, osh_ca_key_id(ca));
	osh_der_raw(&d, ext_ca_fixed, sizeof(ext_ca_fixed));
	osh_der_wrap(&d, OSH_DER_SEQUENCE, 0);
	osh_der_wrap(&d, 0xa3, 0);
	osh_der_raw(&d, spki.p, spki.n);
	put_issuer(&d);
	put_validity(&d, not_before_s, not_after_s);
	put_issuer(&d);
	put_head(&d, serial);
	osh_der_wrap(&d, OSH_DER_SEQUENCE, 0);
	return finish(ca, &d, ret_der, ret_len);
}
