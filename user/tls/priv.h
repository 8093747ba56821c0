/* SPDX-License-Identifier: MIT */
/* Shared by the files of tls/ only. */
#ifndef OSH_TLS_PRIV_H
#define OSH_TLS_PRIV_H

#include <openssl/ssl.h>

#include "tls/chan.h"
#include "tls/env.h"

struct osh_chains;

enum {
	/* A full record as it is on the wire: header, (nonce,) data, (type,) tag. */
	OSH_TLS_RECORD_12 = 5 + 8 + 16384 + 16,
	OSH_TLS_RECORD_13 = 5 + 16384 + 1 + 16,
	OSH_TLS_BULK_RECORDS = 8, /* of one recv() */
};

struct osh_tls_env {
	SSL_CTX *server, *client;
	EVP_PKEY *key;
	unsigned char spki[OSH_MINT_SPKI_BYTES];
	size_t trusted;
	struct osh_chains *chains; /* verified before */
	BIO_METHOD *bio;
	EVP_CIPHER *ticket_cipher; /* fetched once, not for each ticket */
	uint32_t n_kept, n_bulk; /* channels with osh_chan.kept, .bulk */
	struct osh_chan *owner; /* whose bytes are in scratch; NULL: nobody's */
	size_t scratch_len;
	unsigned char scratch[OSH_TLS_SCRATCH_BYTES];
};

struct osh_leaf {
	unsigned int refs;
	X509 *cert;
	int64_t not_after_s;
	unsigned char sid[OSH_TLS_SID_BYTES]; /* session id context: sandbox and host */
};

/* bio.c: a BIO over a struct osh_chan */
BIO_METHOD *osh_chan_bio_method(void);
/* Move scratch (if @c owns it) to the socket, the rest to the spill. */
void osh_chan_push(struct osh_chan *c);

/* A send() has failed: an answer and the end may be waiting, whatever the last read said. */
static inline void osh_chan_send_failed(struct osh_chan *c, int err)
{
	c->send_err = err;
	c->sock_drained = false;
	c->hup = true;
}

/* Why nothing more can be written, or 0. */
static inline int osh_chan_unsendable(const struct osh_chan *c)
{
	return c->err ? c->err : c->send_err;
}

/* Read little at a time again. */
void osh_chan_unbulk(struct osh_chan *c);

/* verify.c */
int osh_verify_setup(SSL_CTX *client, struct osh_str trust_pem, struct osh_chains **ret_chains,
		     size_t *ret_count);
struct osh_chains *osh_chains_free(struct osh_chains *chains);
int osh_verify_expect(SSL *ssl, struct osh_str host);
/* Is @cert (may be NULL) for the name? As strict as a full handshake. */
bool osh_verify_is_for(X509 *cert, const char *name);
/*
 * The handshake went through: was its certificate verified, now or for the session, and is it for what
 * osh_verify_expect() has set? 0 or -EKEYREJECTED. Sets client->proof when resumed.
 */
int osh_verify_done(SSL *ssl, struct osh_tls_client *client) OSH_MUST_CHECK;

/* leaf.c */
EVP_PKEY *osh_leaf_key_new(void);

/* session.c */
bool osh_tls_proof_holds(const struct osh_tls_proof *proof, int64_t now_s);
/*
 * A session to offer for client->own, or for the server name @name (NULL: own only); the reference is the
 * caller's. Sets client->offered and ->foreign.
 */
SSL_SESSION *osh_tls_session_take(struct osh_tls_client *client, const char *name);
/* Keep a session of a connection that rests on client->proof. False: the reference is still the caller's. */
bool osh_tls_session_keep(struct osh_tls_client *client, SSL_SESSION *take_session);
/* How the handshake ended: @r of osh_chan_handshake(). */
void osh_tls_session_outcome(struct osh_tls_client *client, int r, bool resumed);

/* ticket.c */
int osh_tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		       EVP_MAC_CTX *mac, int enc);

#endif
