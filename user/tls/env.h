/* SPDX-License-Identifier: MIT */
/*
 * What all TLS channels of one process share: one server context (towards sandboxes), one client
 * context (towards upstreams), the process's leaf key, and the write scratch that coalesces records
 * of one turn into one send(). Not thread-safe.
 */
#ifndef OSH_TLS_ENV_H
#define OSH_TLS_ENV_H

#include "tls/mint.h"
#include "tls/session.h"
#include "tls/ticket.h"

struct osh_chan;
struct osh_tls_env;

enum {
	OSH_TLS_SCRATCH_BYTES = 256 * 1024,
	OSH_TLS_SID_BYTES = 32,
};

/* @trust_pem: bundle of upstream CAs; without any certificate in it nothing will verify. */
int osh_tls_env_new(struct osh_str trust_pem, struct osh_tls_env **ret_env) OSH_MUST_CHECK;
struct osh_tls_env *osh_tls_env_free(struct osh_tls_env *env);

/* Public half of the leaf key every certificate here is issued for; OSH_MINT_SPKI_BYTES. */
struct osh_str osh_tls_env_spki(const struct osh_tls_env *env);
size_t osh_tls_env_trusted(const struct osh_tls_env *env); /* certificates in the bundle */
/* Certificates in a PEM text, none of them kept. -EBADMSG: something in it does not decode; -ENOMEM. */
int osh_tls_trust_count(struct osh_str pem, size_t *ret_count) OSH_MUST_CHECK;

/* Send what channels of this turn have left in the scratch. Call before waiting. */
void osh_tls_env_flush(struct osh_tls_env *env);

/*
 * A leaf certificate, ready to serve. @der must be for the environment's key and for @host.
 * -EBADMSG when it is not a certificate or for another key.
 */
struct osh_leaf;

int osh_leaf_new(struct osh_tls_env *env, uint32_t sandbox, struct osh_str host, const void *der,
		 size_t len, struct osh_leaf **ret_leaf) OSH_MUST_CHECK;
struct osh_leaf *osh_leaf_unref(struct osh_leaf *leaf); /* takes NULL, returns NULL */
int64_t osh_leaf_not_after_s(const struct osh_leaf *leaf);

static inline void osh_tls_env_free_ptr(struct osh_tls_env **env)
{
	*env = osh_tls_env_free(*env);
}

#define osh_auto_tls_env OSH_CLEANUP(osh_tls_env_free_ptr) /* struct osh_tls_env * */

#endif
