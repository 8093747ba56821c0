/* SPDX-License-Identifier: MIT */
#include "tls/chan.h"
#include "tls/priv.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

/*
 * Upstream verification: chain to a certificate of the bundle (no partial chains), name or address
 * of the authorised host, no SHA-1 (security level 2), and a stapled OCSP answer is believed: bad or
 * revoked ends the handshake; a missing one does unless the certificate says must-staple.
 */

enum {
	OCSP_SKEW_S = 300,
	OCSP_MAX_AGE_S = -1,
	HOST_FLAGS = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
};

static bool is_must_staple(X509 *cert)
{
	TLS_FEATURE *f = X509_get_ext_d2i(cert, NID_tlsfeature, NULL, NULL);
	bool found = false;

	for (int i = 0; f && i < sk_ASN1_INTEGER_num(f); i++)
		if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(f, i)) == TLSEXT_TYPE_status_request)
			found = true;
	TLS_FEATURE_free(f);
	return found;
}

static X509 *issuer_of(STACK_OF(X509) * chain, X509 *leaf)
{
	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *x = sk_X509_value(chain, i);

		if (x != leaf && X509_check_issued(x, leaf) == X509_V_OK)
			return x;
	}
	return NULL;
}

static bool seconds_of(const ASN1_TIME *t, int64_t *ret_s)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(t, &tm))
		return false;
	*ret_s = timegm(&tm);
	return true;
}

/* X509_V_OK or why the certificate is not to be trusted. The answer may bring @until_s forward. */
static int check_basic(SSL *ssl, OCSP_BASICRESP *basic, X509 *leaf, int64_t *until_s)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	X509 *issuer = chain ? issuer_of(chain, leaf) : NULL;
	OCSP_CERTID *id = issuer ? OCSP_cert_to_id(EVP_sha1(), leaf, issuer) : NULL;
	ASN1_GENERALIZEDTIME *from, *until;
	int status, why, r = X509_V_ERR_OCSP_VERIFY_FAILED;
	int64_t end_s = INT64_MAX;

	if (!id)
		return X509_V_ERR_OCSP_VERIFY_FAILED;
	if (OCSP_basic_verify(basic, chain, SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)),
			      OCSP_TRUSTOTHER) == 1 &&
	    OCSP_resp_find_status(basic, id, &status, &why, NULL, &from, &until) == 1 &&
	    OCSP_check_validity(from, until, OCSP_SKEW_S, OCSP_MAX_AGE_S) == 1 &&
	    (!until || seconds_of(until, &end_s))) {
		if (status == V_OCSP_CERTSTATUS_GOOD)
			r = X509_V_OK;
		else if (status == V_OCSP_CERTSTATUS_REVOKED)
			r = X509_V_ERR_CERT_REVOKED;
		*until_s = OSH_MIN(*until_s, end_s);
	}
	OCSP_CERTID_free(id);
	return r;
}

static int check_staple(SSL *ssl, X509 *leaf, int64_t *until_s)
{
	const unsigned char *der = NULL;
	long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
	OCSP_RESPONSE *resp;
	OCSP_BASICRESP *basic = NULL;
	int r = X509_V_ERR_OCSP_VERIFY_FAILED;

	if (!der || len <= 0)
		return is_must_staple(leaf) ? X509_V_ERR_OCSP_VERIFY_NEEDED : X509_V_OK;
	resp = d2i_OCSP_RESPONSE(NULL, &der, len);
	if (resp && OCSP_response_status(resp) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
		basic = OCSP_response_get1_basic(resp);
	if (basic)
		r = check_basic(ssl, basic, leaf, until_s);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(resp);
	return r;
}

static struct osh_tls_client *client_of(SSL *ssl)
{
	struct osh_chan *c = ssl ? SSL_get_app_data(ssl) : NULL;

	return c ? c->client : NULL;
}

static int on_status(SSL *ssl, void *arg)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	struct osh_tls_client *client = client_of(ssl);
	int64_t until_s = INT64_MAX;
	int r;

	(void)arg;
	if (SSL_session_reused(ssl))
		return 1; /* judged when the session was made */
	r = leaf ? check_staple(ssl, leaf, &until_s) : X509_V_ERR_OCSP_VERIFY_FAILED;
	if (r != X509_V_OK)
		SSL_set_verify_result(ssl, r);
	if (client)
		client->proof.until_s = OSH_MIN(client->proof.until_s, until_s);
	return r == X509_V_OK;
}

static int load_trust(X509_STORE *store, struct osh_str pem, size_t *ret_count)
{
	BIO *bio = BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n);
	size_t count = 0;
	X509 *x;
	int r = 0;

	if (!bio)
		return -ENOMEM;
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, (void *)"")) != NULL) {
		if (X509_STORE_add_cert(store, x) == 1) /* a duplicate is success */
			count++;
		else
			r = -ENOMEM;
		X509_free(x);
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		r = -EBADMSG; /* garbage in the middle: not half a trust store */
	ERR_clear_error();
	BIO_free(bio);
	if (!r)
		*ret_count = count;
	return r;
}

int osh_tls_trust_count(struct osh_str pem, size_t *ret_count)
{
	X509_STORE *store = X509_STORE_new();
	int r = store ? load_trust(store, pem, ret_count) : -ENOMEM;

	X509_STORE_free(store);
	return r;
}

/* ---- chains seen before ---- */

/*
 * Upstreams show the same certificates again and again, and the signatures in them stay what they
 * are: a chain that was verified is remembered by the digest of every certificate that was shown.
 * What depends on the connection or on time is looked at each time all the same: the name, the
 * validity of each certificate of the chain, and the stapled answer (on_status()).
 */
enum {
	CHAINS = 256,
	CHAIN_S = 3600,
	CHAIN_HASH = 32,
};

struct osh_chains {
	struct chain {
		unsigned char shown[CHAIN_HASH];
		time_t until; /* 0: empty */
		struct osh_tls_proof valid; /* when all of @certs are */
		STACK_OF(X509) * certs; /* leaf to trust anchor; owned */
	} e[CHAINS];
};

struct osh_chains *osh_chains_free(struct osh_chains *chains)
{
	for (size_t i = 0; chains && i < CHAINS; i++)
		sk_X509_pop_free(chains->e[i].certs, X509_free);
	free(chains);
	return NULL;
}

static bool digest_add(EVP_MD_CTX *md, X509 *cert)
{
	unsigned char one[CHAIN_HASH];

	return X509_digest(cert, EVP_sha256(), one, NULL) == 1 &&
	       EVP_DigestUpdate(md, one, sizeof(one)) == 1;
}

static bool digest_shown(X509_STORE_CTX *ctx, unsigned char ret[CHAIN_HASH])
{
	STACK_OF(X509) *rest = X509_STORE_CTX_get0_untrusted(ctx);
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && leaf && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		  digest_add(md, leaf);

	for (int i = 0; ok && i < sk_X509_num(rest); i++)
		ok = digest_add(md, sk_X509_value(rest, i));
	ok = ok && EVP_DigestFinal_ex(md, ret, NULL) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

/* When are all of them valid? An empty time if that cannot be read. */
static struct osh_tls_proof validity(STACK_OF(X509) * certs)
{
	struct osh_tls_proof v = { INT64_MIN, INT64_MAX };

	for (int i = 0; i < sk_X509_num(certs); i++) {
		X509 *x = sk_X509_value(certs, i);
		int64_t from_s, until_s;

		if (!seconds_of(X509_get0_notBefore(x), &from_s) ||
		    !seconds_of(X509_get0_notAfter(x), &until_s))
			return (struct osh_tls_proof){ 0 };
		v.from_s = OSH_MAX(v.from_s, from_s);
		v.until_s = OSH_MIN(v.until_s, until_s);
	}
	return sk_X509_num(certs) > 0 ? v : (struct osh_tls_proof){ 0 };
}

bool osh_verify_is_for(X509 *cert, const char *name)
{
	return cert && X509_check_host(cert, name, 0, HOST_FLAGS, NULL) == 1;
}

/* The check that X509_verify_cert() makes of what osh_verify_expect() has set; none set: false. */
static bool is_for_expected(X509_VERIFY_PARAM *param, X509 *leaf)
{
	const char *host = X509_VERIFY_PARAM_get0_host(param, 0);
	char *ip = X509_VERIFY_PARAM_get1_ip_asc(param);
	bool ok = host || ip;

	if (host && !osh_verify_is_for(leaf, host))
		ok = false;
	if (ip && X509_check_ip_asc(leaf, ip, 0) != 1)
		ok = false;
	OPENSSL_free(ip);
	return ok;
}

static bool recall(X509_STORE_CTX *ctx, struct chain *e, const unsigned char shown[CHAIN_HASH],
		   time_t now)
{
	STACK_OF(X509) * certs;

	if (now >= e->until || now < e->until - CHAIN_S ||
	    memcmp(e->shown, shown, CHAIN_HASH) != 0 || !osh_tls_proof_holds(&e->valid, now) ||
	    !is_for_expected(X509_STORE_CTX_get0_param(ctx), X509_STORE_CTX_get0_cert(ctx)))
		return false;
	certs = X509_chain_up_ref(e->certs);
	if (!certs)
		return false;
	X509_STORE_CTX_set0_verified_chain(ctx, certs);
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return true;
}

static bool keep(X509_STORE_CTX *ctx, struct chain *e, const unsigned char shown[CHAIN_HASH],
		 time_t now)
{
	STACK_OF(X509) *certs = X509_STORE_CTX_get1_chain(ctx);

	if (!certs)
		return false;
	sk_X509_pop_free(e->certs, X509_free);
	e->certs = certs;
	e->valid = validity(certs);
	memcpy(e->shown, shown, CHAIN_HASH);
	e->until = now + CHAIN_S;
	return true;
}

/* The connection rests on @e from now on; without, what it gets is not kept for resumption. */
static void prove(X509_STORE_CTX *ctx, const struct chain *e, time_t now)
{
	struct osh_tls_client *client =
		client_of(X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx()));

	if (client)
		client->proof = (struct osh_tls_proof){
			.from_s = now,
			.until_s = OSH_MIN(e->valid.until_s, (int64_t)now + CHAIN_S),
		};
}

/* Instead of X509_verify_cert(), and by it whenever in doubt. */
static int on_verify(X509_STORE_CTX *ctx, void *arg)
{
	struct osh_chains *chains = arg;
	unsigned char shown[CHAIN_HASH];
	time_t now = time(NULL);
	struct chain *e;
	int r;

	if (!digest_shown(ctx, shown))
		return X509_verify_cert(ctx);
	e = &chains->e[shown[0] % CHAINS];
	if (recall(ctx, e, shown, now)) {
		prove(ctx, e, now);
		return 1;
	}
	r = X509_verify_cert(ctx);
	if (r == 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK && keep(ctx, e, shown, now))
		prove(ctx, e, now);
	return r;
}

int osh_verify_done(SSL *ssl, struct osh_tls_client *client)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
		return -EKEYREJECTED;
	if (!SSL_session_reused(ssl))
		return 0;
	if (!client || !osh_tls_proof_holds(&client->offered, time(NULL)) ||
	    !is_for_expected(SSL_get0_param(ssl), cert)) {
		SSL_set_verify_result(ssl, X509_V_ERR_HOSTNAME_MISMATCH);
		return -EKEYREJECTED;
	}
	client->proof = client->offered;
	return 0;
}

int osh_verify_setup(SSL_CTX *client, struct osh_str trust_pem, struct osh_chains **ret_chains,
		     size_t *ret_count)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(client);
	struct osh_chains *chains;
	int r = load_trust(SSL_CTX_get_cert_store(client), trust_pem, ret_count);

	if (r < 0)
		return r;
	chains = calloc(1, sizeof(*chains));
	if (!chains)
		return -ENOMEM;
	X509_VERIFY_PARAM_set_hostflags(param, HOST_FLAGS);
	SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_verify_depth(client, 8);
	SSL_CTX_set_cert_verify_callback(client, on_verify, chains);
	SSL_CTX_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
	SSL_CTX_set_tlsext_status_cb(client, on_status);
	*ret_chains = chains;
	return 0;
}

int osh_verify_expect(SSL *ssl, struct osh_str host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char text[OSH_MINT_HOST_MAX + 1];
	unsigned char ip[16];

	if (!host.n || host.n >= sizeof(text) || memchr(host.p, '\0', host.n))
		return -EINVAL;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1 ? 0 : -EIO;
	/* no server name for addresses (RFC 6066 3) */
	if (SSL_set_tlsext_host_name(ssl, text) != 1 ||
	    X509_VERIFY_PARAM_set1_host(param, text, host.n) != 1)
		return -EIO;
	return 0;
}
