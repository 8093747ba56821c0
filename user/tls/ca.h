/* SPDX-License-Identifier: MIT */
/*
 * A sandbox's certificate authority: one P-256 key and its self-signed certificate. Held by the
 * signer alone. On disk: "<name>.ca", one file of mode 0600 holding the key and the certificate in
 * PEM, written through a temporary file so that a reader sees all of it or none.
 */
#ifndef OSH_TLS_CA_H
#define OSH_TLS_CA_H

#include "tls/mint.h"

#define OSH_CA_COMMON_NAME  "OpenShell Sandbox CA"
#define OSH_CA_ORGANISATION "OpenShell"

enum {
	OSH_CA_SIG_MAX = 80, /* DER ECDSA signature on P-256 */
	OSH_CA_CERT_PEM_MAX = 2048, /* certificate in PEM */
	OSH_CA_NAME_MAX = 64,
};

#define OSH_CA_VALIDITY_S (5 * 365 * 86400LL)

/* @name may be used as a file name here: 1..OSH_CA_NAME_MAX of [a-z0-9-], not starting with '-'. */
bool osh_ca_name_is_valid(struct osh_str name);

int osh_ca_create(int64_t now_s, struct osh_ca **ret_ca) OSH_MUST_CHECK;
/* -ENOENT: no such file; -EBADMSG: not a CA as written by osh_ca_save(). */
int osh_ca_load(int dirfd, struct osh_str name, struct osh_ca **ret_ca) OSH_MUST_CHECK;
int osh_ca_save(const struct osh_ca *ca, int dirfd, struct osh_str name) OSH_MUST_CHECK;
/* Remove the file; 0 when there is none. */
int osh_ca_remove(int dirfd, struct osh_str name) OSH_MUST_CHECK;
struct osh_ca *osh_ca_free(struct osh_ca *ca);

/* Borrowed from @ca. */
struct osh_str osh_ca_cert_pem(const struct osh_ca *ca);
struct osh_str osh_ca_cert_der(const struct osh_ca *ca);
const unsigned char *osh_ca_key_id(const struct osh_ca *ca); /* OSH_MINT_KEY_ID_BYTES */

/* ECDSA-SHA256 over @tbs. For mint.c only: callers outside tls/ can ask for whole leaves. */
int osh_ca_sign(const struct osh_ca *ca, struct osh_str tbs, unsigned char ret_sig[OSH_CA_SIG_MAX],
		size_t *ret_len) OSH_MUST_CHECK;

static inline void osh_ca_free_ptr(struct osh_ca **ca)
{
	*ca = osh_ca_free(*ca);
}

#define osh_auto_ca OSH_CLEANUP(osh_ca_free_ptr) /* struct osh_ca * */

#endif
