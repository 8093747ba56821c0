/* SPDX-License-Identifier: MIT */
#include "tls/env.h"

#include "tls/chan.h"
#include "tls/priv.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <time.h>

enum {
	READ_BUFFER_BYTES = 128 * 1024, /* one recv() per wake-up for bulk */
	TICKET_KEY_S = 8 * 3600,
	SESSION_S = 2 * 3600, /* what a client may resume */
};

struct ticket_key {
	unsigned char name[16], aes[32], mac[32];
	time_t made;
};

struct osh_tls_scope {
	struct ticket_key now, before;
};

/* ---- server side ---- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned int in_len, void *arg)
{
	static const unsigned char http11[] = "\x08http/1.1";
	unsigned char *picked;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&picked, out_len, http11, sizeof(http11) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = picked;
	return SSL_TLSEXT_ERR_OK;
}

static int key_make(struct ticket_key *k, time_t now)
{
	k->made = now;
	if (RAND_bytes(k->name, sizeof(k->name)) != 1 ||
	    RAND_priv_bytes(k->aes, sizeof(k->aes)) != 1 ||
	    RAND_priv_bytes(k->mac, sizeof(k->mac)) != 1)
		return -EIO;
	return 0;
}

int osh_tls_scope_new(struct osh_tls_scope **ret_scope)
{
	struct osh_tls_scope *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (key_make(&s->now, time(NULL)) < 0) {
		osh_tls_scope_free(s);
		return -EIO;
	}
	s->before = s->now;
	*ret_scope = s;
	return 0;
}

struct osh_tls_scope *osh_tls_scope_free(struct osh_tls_scope *scope)
{
	if (scope) {
		OPENSSL_cleanse(scope, sizeof(*scope));
		free(scope);
	}
	return NULL;
}

/* 1: use it; 2: use it and issue a new ticket; 0: unknown key, full handshake; -1: failure */
int osh_tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		       EVP_MAC_CTX *mac, int enc)
{
	struct osh_chan *c = SSL_get_app_data(ssl);
	struct osh_tls_scope *s = c ? c->scope : NULL;
	struct ticket_key *k;
	OSSL_PARAM params[3];
	int found = 1;

	if (!s)
		return 0;
	k = &s->now;
	if (enc) {
		time_t now = time(NULL);

		if (now - k->made > TICKET_KEY_S) {
			struct ticket_key next;

			if (key_make(&next, now) < 0)
				return -1;
			s->before = s->now;
			s->now = next;
			OPENSSL_cleanse(&next, sizeof(next));
		}
		memcpy(name, k->name, sizeof(k->name));
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
	} else if (memcmp(name, k->name, sizeof(k->name)) != 0) { /* names are public */
		k = &s->before;
		if (memcmp(name, k->name, sizeof(k->name)) != 0)
			return 0;
		found = 2;
	}
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"sha256", 0);
	params[2] = OSSL_PARAM_construct_end();
	if (!EVP_MAC_CTX_set_params(mac, params) ||
	    !EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, enc))
		return -1;
	return found;
}

static const SSL_METHOD *common(bool server)
{
	return server ? TLS_server_method() : TLS_client_method();
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
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
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
	SSL_CTX_set_alpn_select_cb(env->server, on_alpn, NULL);
	if (SSL_CTX_use_PrivateKey(env->server, env->key) != 1 ||
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(env->server, osh_tls_ticket_key) != 1)
		return -EIO;
	return 0;
}

/* ---- client side ---- */

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct osh_chan *c = SSL_get_app_data(ssl);
	struct osh_tls_sessions *s = c ? c->sessions : NULL;

	if (!s || !SSL_SESSION_is_resumable(session))
		return 0;
	SSL_SESSION_free(s->s[OSH_TLS_SESSIONS - 1]);
	memmove(&s->s[1], &s->s[0], sizeof(s->s) - sizeof(s->s[0]));
	s->s[0] = session;
	return 1; /* the reference is ours now */
}

/* TLS 1.3 tickets are for one use; a TLS 1.2 session comes back through on_new_session(). */
SSL_SESSION *osh_tls_sessions_take(struct osh_tls_sessions *sessions)
{
	SSL_SESSION *session = sessions->s[0];

	if (!session)
		return NULL;
	if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION) {
		SSL_SESSION_up_ref(session);
		return session;
	}
	memmove(&sessions->s[0], &sessions->s[1], sizeof(sessions->s) - sizeof(sessions->s[0]));
	sessions->s[OSH_TLS_SESSIONS - 1] = NULL;
	return session;
}

void osh_tls_sessions_clear(struct osh_tls_sessions *sessions)
{
	for (size_t i = 0; i < OSH_TLS_SESSIONS; i++) {
		SSL_SESSION_free(sessions->s[i]);
		sessions->s[i] = NULL;
	}
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
	return osh_verify_setup(env->client, trust_pem, &env->trusted);
}

/* ---- environment ---- */

struct osh_tls_env *osh_tls_env_free(struct osh_tls_env *env)
{
	if (env) {
		SSL_CTX_free(env->server);
		SSL_CTX_free(env->client);
		EVP_PKEY_free(env->key);
		BIO_meth_free(env->bio);
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
	if (!env->bio || !env->key)
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
