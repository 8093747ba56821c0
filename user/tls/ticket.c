/* SPDX-License-Identifier: MIT */
#include "tls/ticket.h"

#include "base/sha256.h"
#include "tls/chan.h"
#include "tls/priv.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
	EPOCH_S = 8 * 3600,
	NAME_BYTES = 16,
	KEY_BYTES = OSH_SHA256_BYTES,
	BLOCK_BYTES = 64, /* of SHA-256 */
	LABEL_MAX = 64,
};

/* Keys of one epoch. */
struct keys {
	unsigned char name[NAME_BYTES], aes[KEY_BYTES], mac[KEY_BYTES];
};

struct osh_tls_scope {
	struct osh_ticket_seed seed; /* of the epoch of @now */
	struct keys now, before;
	unsigned char bound[KEY_BYTES]; /* digest of what tickets are bound to */
};

/* ---- seeds ---- */

uint64_t osh_ticket_epoch(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec / EPOCH_S + 2; /* there is one before, and it is not 0 */
}

int osh_ticket_seed_new(struct osh_ticket_seed *ret_seed)
{
	struct osh_ticket_seed seed = { .epoch = osh_ticket_epoch() - 1 };

	if (getrandom(seed.secret, sizeof(seed.secret), 0) != sizeof(seed.secret))
		return -errno;
	*ret_seed = seed;
	osh_ticket_seed_wipe(&seed);
	return 0;
}

/* HMAC-SHA-256 (RFC 2104) of @label, its NUL and @bound under the seed's secret. */
static int derive(const struct osh_ticket_seed *seed, const char *label,
		  const unsigned char bound[KEY_BYTES], unsigned char ret[KEY_BYTES])
{
	unsigned char in[BLOCK_BYTES + LABEL_MAX + KEY_BYTES] = { 0 };
	unsigned char out[BLOCK_BYTES + KEY_BYTES] = { 0 };
	size_t n = strlen(label) + 1;
	int r;

	memcpy(in, seed->secret, sizeof(seed->secret));
	memcpy(out, seed->secret, sizeof(seed->secret));
	for (size_t i = 0; i < BLOCK_BYTES; i++) {
		in[i] ^= 0x36;
		out[i] ^= 0x5c;
	}
	memcpy(in + BLOCK_BYTES, label, n);
	memcpy(in + BLOCK_BYTES + n, bound, KEY_BYTES);
	r = osh_sha256(in, BLOCK_BYTES + n + KEY_BYTES, out + BLOCK_BYTES);
	if (!r)
		r = osh_sha256(out, sizeof(out), ret);
	explicit_bzero(in, sizeof(in));
	explicit_bzero(out, sizeof(out));
	return r;
}

int osh_ticket_seed_advance(struct osh_ticket_seed *seed, uint64_t epoch)
{
	static const unsigned char nothing[KEY_BYTES];
	int r;

	for (; seed->epoch < epoch; seed->epoch++) {
		r = derive(seed, "openshell ticket epoch", nothing, seed->secret);
		if (r < 0)
			return r;
	}
	return 0;
}

void osh_ticket_seed_wipe(struct osh_ticket_seed *seed)
{
	explicit_bzero(seed, sizeof(*seed));
}

/* ---- keys ---- */

static int keys_make(const struct osh_tls_scope *s, struct keys *ret)
{
	unsigned char name[KEY_BYTES];
	int r = derive(&s->seed, "openshell ticket name", s->bound, name);

	if (!r)
		r = derive(&s->seed, "openshell ticket encryption", s->bound, ret->aes);
	if (!r)
		r = derive(&s->seed, "openshell ticket authentication", s->bound, ret->mac);
	memcpy(ret->name, name, sizeof(ret->name));
	return r;
}

int osh_tls_scope_advance(struct osh_tls_scope *scope, uint64_t epoch)
{
	struct osh_tls_scope next = *scope;
	int r = 0;

	if (scope->seed.epoch >= epoch)
		return 0;
	r = osh_ticket_seed_advance(&next.seed, epoch - 1);
	if (!r)
		r = keys_make(&next, &next.before);
	if (!r)
		r = osh_ticket_seed_advance(&next.seed, epoch);
	if (!r)
		r = keys_make(&next, &next.now);
	if (!r)
		*scope = next;
	explicit_bzero(&next, sizeof(next));
	return r;
}

static int bind_to(uint32_t sandbox, struct osh_str ca, unsigned char ret[KEY_BYTES])
{
	struct osh_sha256 *h = osh_sha256_new();
	int r = h ? osh_sha256_add(h, &sandbox, sizeof(sandbox)) : -ENOMEM;

	if (!r)
		r = osh_sha256_add(h, ca.p, ca.n);
	if (!r)
		r = osh_sha256_end(h, ret);
	osh_sha256_free(h);
	return r;
}

int osh_tls_scope_new(const struct osh_ticket_seed *seed, uint32_t sandbox, struct osh_str ca,
		      struct osh_tls_scope **ret_scope)
{
	uint64_t epoch = osh_ticket_epoch();
	struct osh_tls_scope *s;
	int r;

	if (!seed->epoch || seed->epoch >= epoch)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->seed = *seed;
	r = bind_to(sandbox, ca, s->bound);
	if (!r)
		r = osh_tls_scope_advance(s, epoch);
	if (r < 0) {
		osh_tls_scope_free(s);
		return r;
	}
	*ret_scope = s;
	return 0;
}

struct osh_tls_scope *osh_tls_scope_free(struct osh_tls_scope *scope)
{
	if (scope) {
		explicit_bzero(scope, sizeof(*scope));
		free(scope);
	}
	return NULL;
}

/* ---- what OpenSSL asks ---- */

/* 1: use it; 2: use it and issue a new ticket; 0: unknown key, full handshake; -1: failure */
int osh_tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		       EVP_MAC_CTX *mac, int enc)
{
	struct osh_chan *c = SSL_get_app_data(ssl);
	struct osh_tls_scope *s = c ? c->scope : NULL;
	struct keys *k;
	OSSL_PARAM params[3];
	/* clients may use a TLS 1.3 ticket once only (RFC 8446 C.4): they get another each time */
	int found = SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;

	if (!s)
		return 0;
	if (osh_tls_scope_advance(s, osh_ticket_epoch()) < 0)
		return -1;
	k = &s->now;
	if (enc) {
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
	    !EVP_CipherInit_ex(cipher, c->env->ticket_cipher, NULL, k->aes, iv, enc))
		return -1;
	return found;
}
