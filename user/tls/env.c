/* SPDX-License-Identifier: MIT */
#include "tls/env.h"

#include "tls/chan.h"
#include "tls/priv.h"

#include <openssl/err.h>

enum {
	READ_BUFFER_BYTES = OSH_TLS_BULK_RECORDS * OSH_TLS_RECORD_12 + 8, /* 8: alignment */
	SESSION_S = 2 * 3600, /* what a client may resume */
};

/* ---- server side ---- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned int in_len, void *arg)
{
	/* the second is what clients say that were told to speak the older one */
	static const unsigned char known[] = "\x08http/1.1\x08http/1.0";
	unsigned char *picked;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&picked, out_len, known, sizeof(known) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = picked;
	return SSL_TLSEXT_ERR_OK;
}

static const SSL_METHOD *common(bool server)
{
	return server ? TLS_server_method() : TLS_client_method();
}

/*
 * Messages after the handshake (key updates, tickets, refused renegotiations) are small, cost us far
 * more than their sender, and no read ends with them: a peer gets few of them.
 */
static void on_info(const SSL *ssl, int where, int ret)
{
	struct osh_chan *c = SSL_get_app_data(ssl);

	(void)ret;
	if (c && c->established && (where & (SSL_CB_LOOP | SSL_CB_ALERT)) &&
	    ++c->chatter > OSH_CHAN_CHATTER_MAX)
		c->err = -EPROTO;
}

static SSL_CTX *ctx_new(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(common(server));
	uint64_t options = SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
			   SSL_OP_CIPHER_SERVER_PREFERENCE;

	if (!ctx)
		return NULL;
	SSL_CTX_set_options(ctx, options);
	SSL_CTX_set_security_level(ctx, 2); /* no SHA-1 signatures, no short keys */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_NO_AUTO_CHAIN); /* there is a leaf and no more */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_info_callback(ctx, on_info);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER_BYTES);
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
					   "TLS_CHACHA20_POLY1305_SHA256") ||
	    !SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") ||
	    !SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384")) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static int server_setup(struct osh_tls_env *env)
{
	env->server = ctx_new(true);
	if (!env->server)
		return -ENOMEM;
	SSL_CTX_set_num_tickets(env->server, 1);
	SSL_CTX_set_session_cache_mode(env->server, SSL_SESS_CACHE_OFF); /* tickets only */
	SSL_CTX_set_timeout(env->server, SESSION_S);
	SSL_CTX_set_max_early_data(env->server, 0);
	/* what the leaf's key can do at all: the long default list costs some us of each handshake */
	if (SSL_CTX_set1_sigalgs_list(env->server, "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512") != 1)
		return -EIO;
	SSL_CTX_set_alpn_select_cb(env->server, on_alpn, NULL);
	if (SSL_CTX_use_PrivateKey(env->server, env->key) != 1 ||
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(env->server, osh_tls_ticket_key) != 1)
		return -EIO;
	return 0;
}

/* ---- client side ---- */

/* 1: the reference is ours now */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct osh_chan *c = SSL_get_app_data(ssl);

	if (!c || !c->client)
		return 0;
	/* with TLS 1.2 they come before osh_chan_handshake() has looked at the result */
	if (!c->established && osh_verify_done(ssl, c->client) < 0)
		return 0;
	return osh_tls_session_keep(c->client, session);
}

static int client_setup(struct osh_tls_env *env, struct osh_str trust_pem)
{
	static const unsigned char http11[] = "\x08http/1.1";

	env->client = ctx_new(false);
	if (!env->client)
		return -ENOMEM;
	/* some upstreams have no AEAD suite with TLS 1.2; CBC with ECDHE is still sound there */
	if (!SSL_CTX_set_cipher_list(env->client, "DEFAULT:!aNULL:!eNULL:!PSK:!SRP:!kRSA") ||
	    SSL_CTX_set_alpn_protos(env->client, http11, sizeof(http11) - 1) != 0)
		return -EIO;
	SSL_CTX_set_session_cache_mode(env->client,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(env->client, on_new_session);
	return osh_verify_setup(env->client, trust_pem, &env->chains, &env->trusted);
}

/* ---- environment ---- */

struct osh_tls_env *osh_tls_env_free(struct osh_tls_env *env)
{
	if (env) {
		SSL_CTX_free(env->server);
		SSL_CTX_free(env->client);
		osh_chains_free(env->chains);
		EVP_PKEY_free(env->key);
		BIO_meth_free(env->bio);
		EVP_CIPHER_free(env->ticket_cipher);
		free(env);
	}
	return NULL;
}

int osh_tls_env_new(struct osh_str trust_pem, struct osh_tls_env **ret_env)
{
	osh_auto_tls_env struct osh_tls_env *env = calloc(1, sizeof(*env));
	unsigned char *p;
	int r;

	if (!env)
		return -ENOMEM;
	env->bio = osh_chan_bio_method();
	env->key = osh_leaf_key_new();
	env->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (!env->bio || !env->key || !env->ticket_cipher)
		return -ENOMEM;
	p = env->spki;
	if (i2d_PUBKEY(env->key, NULL) != OSH_MINT_SPKI_BYTES ||
	    i2d_PUBKEY(env->key, &p) != OSH_MINT_SPKI_BYTES)
		return -EIO;
	r = server_setup(env);
	if (!r)
		r = client_setup(env, trust_pem);
	ERR_clear_error();
	if (r < 0)
		return r;
	*ret_env = osh_take_ptr(&env);
	return 0;
}

struct osh_str osh_tls_env_spki(const struct osh_tls_env *env)
{
	return (struct osh_str){ (const char *)env->spki, sizeof(env->spki) };
}

size_t osh_tls_env_trusted(const struct osh_tls_env *env)
{
	return env->trusted;
}

void osh_tls_env_flush(struct osh_tls_env *env)
{
	if (env->owner)
		osh_chan_push(env->owner);
}
