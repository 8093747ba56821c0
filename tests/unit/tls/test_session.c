/* SPDX-License-Identifier: MIT */
/*
 * What is resumed with upstreams, above all with the session of another name: handshakes over a socket
 * pair with a server made of plain OpenSSL. Linked with --wrap=time: certificates and proofs age here.
 */
#include "tls/chan.h"
#include "tls/priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

time_t __real_time(time_t *t);
time_t __wrap_time(time_t *t);

static time_t ahead_s; /* of the clock that the code under test sees */

time_t __wrap_time(time_t *t)
{
	time_t now = __real_time(NULL) + ahead_s;

	if (t)
		*t = now;
	return now;
}

static EVP_PKEY *key;
static X509 *root;
static struct osh_tls_env *env;

static void extension(X509 *x, X509V3_CTX *v3, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, v3, nid, value);

	assert_true(X509_add_ext(x, ext, -1));
	X509_EXTENSION_free(ext); /* a copy was added */
}

static X509 *certificate(const char *names, long from_s, long until_s)
{
	X509 *x = X509_new();
	X509V3_CTX v3;
	X509_NAME *subject;

	assert_non_null(x);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), names ? 2 : 1);
	X509_gmtime_adj(X509_getm_notBefore(x), from_s);
	X509_gmtime_adj(X509_getm_notAfter(x), until_s);
	subject = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
				   (const unsigned char *)(names ? "leaf" : "root"), -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(root ? root : x));
	X509_set_pubkey(x, key);
	X509V3_set_ctx(&v3, root ? root : x, x, NULL, NULL, 0);
	extension(x, &v3, NID_basic_constraints, names ? "CA:FALSE" : "critical,CA:TRUE");
	if (names)
		extension(x, &v3, NID_subject_alt_name, names);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

/* ---- a server ---- */

static char seen_name[64]; /* last server name */
static bool ends_foreign; /* end handshakes that resume a session of another name */

static int on_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const char *before = SSL_SESSION_get0_hostname(SSL_get0_session(ssl));

	(void)arg;
	strncpy(seen_name, name ? name : "-", sizeof(seen_name) - 1);
	*alert = SSL_AD_ACCESS_DENIED;
	if (ends_foreign && SSL_session_reused(ssl) && name && before && strcmp(name, before) != 0)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server(const char *names, int version, long until_s)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	X509 *x = certificate(names, -3600, until_s);

	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	X509_free(x);
	return ctx;
}

/* ---- a client ---- */

enum outcome { REFUSED = -1, FULL, RESUMED };

static struct osh_tls_client last; /* state of the last visit */

/* One connection for @host: what became of it, @ret of osh_chan_handshake(). */
static enum outcome visit(SSL_CTX *at, const char *host, struct osh_tls_sessions *own,
			  struct osh_tls_shelf *shelf, int *ret)
{
	struct osh_tls_client tls = { .own = own, .shelf = shelf };
	SSL *ssl = SSL_new(at);
	enum outcome is = REFUSED;
	struct osh_chan c;
	int fd[2], r = -EAGAIN, accepted = 0;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	osh_chan_init(&c, env, fd[0]);
	assert_int_equal(osh_chan_client(&c, osh_str(host), &tls), 0);
	SSL_set_fd(ssl, fd[1]);
	for (int i = 0; i < 10 && (r == -EAGAIN || (!r && accepted != 1)); i++) {
		osh_chan_event(&c, EPOLLIN);
		if (r == -EAGAIN)
			r = osh_chan_handshake(&c);
		(void)osh_chan_flush(&c);
		if (accepted != 1)
			accepted = SSL_accept(ssl);
	}
	if (!r) {
		assert_int_equal(accepted, 1);
		assert_int_equal(osh_chan_resumed(&c), SSL_session_reused(ssl));
		is = osh_chan_resumed(&c) ? RESUMED : FULL;
		assert_int_equal(SSL_write(ssl, "x", 1), 1);
		osh_chan_event(&c, EPOLLIN);
		assert_int_equal(osh_chan_read(&c, &byte, 1), 1); /* and with it the tickets */
	}
	if (ret)
		*ret = r;
	osh_chan_close(&c, false);
	SSL_set_quiet_shutdown(ssl, 1);
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd[1]);
	ERR_clear_error();
	last = tls;
	return is;
}

struct names {
	struct osh_tls_sessions a, b, c;
	struct osh_tls_shelf shelf, other;
};

static void begin(struct names *n)
{
	osh_tls_sessions_init(&n->a);
	osh_tls_sessions_init(&n->b);
	osh_tls_sessions_init(&n->c);
	osh_tls_shelf_init(&n->shelf);
	osh_tls_shelf_init(&n->other);
	ahead_s = 0;
	ends_foreign = false;
}

static void end(struct names *n, SSL_CTX *ctx)
{
	osh_tls_sessions_clear(&n->a);
	osh_tls_sessions_clear(&n->b);
	osh_tls_sessions_clear(&n->c);
	assert_int_equal(n->shelf.n, 0); /* nothing stays behind its name */
	assert_int_equal(n->other.n, 0);
	assert_true(osh_list_is_empty(&n->shelf.all));
	SSL_CTX_free(ctx);
}

/* ---- tests ---- */

static void one_certificate_for_both(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test,DNS:*.w.test", TLS1_3_VERSION, 86400);
	struct names n;

	(void)state;
	begin(&n);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	assert_false(last.foreign);
	assert_int_equal(n.shelf.n, 2);
	assert_int_equal(visit(ctx, "b.w.test", &n.b, &n.shelf, NULL), RESUMED);
	assert_true(last.foreign);
	assert_string_equal(seen_name, "b.w.test");
	/* one was used up, the server gave one for it, and that is the new name's */
	assert_int_equal(n.shelf.n, 2);
	assert_int_equal(n.a.n, 1);
	assert_int_equal(n.b.n, 1);
	/* its own first */
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), RESUMED);
	assert_false(last.foreign);
	end(&n, ctx);
}

static void another_address_has_another_shelf(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test,DNS:b.test", TLS1_3_VERSION, 86400);
	struct names n;

	(void)state;
	begin(&n);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	assert_int_equal(visit(ctx, "b.test", &n.b, &n.other, NULL), FULL);
	osh_tls_sessions_clear(&n.b);
	assert_int_equal(visit(ctx, "b.test", &n.b, NULL, NULL), FULL);
	assert_int_equal(visit(ctx, "b.test", NULL, &n.shelf, NULL), RESUMED);
	assert_int_equal(n.b.n, 2); /* without its own list nothing was kept */
	end(&n, ctx);
}

static void certificate_without_the_name(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test,DNS:*.w.test,IP:192.0.2.1", TLS1_3_VERSION, 86400);
	static const char *const names[] = { "b.test", "w.test", "x.y.w.test", "a.test.b.test",
					     "leaf" };
	struct names n;
	int r;

	(void)state;
	begin(&n);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++) {
		assert_int_equal(visit(ctx, names[i], &n.b, &n.shelf, &r), REFUSED);
		assert_int_equal(r, -EKEYREJECTED);
		assert_false(last.foreign); /* not offered at all */
		assert_int_equal(n.b.n, 0); /* and nothing kept */
		assert_int_equal(n.shelf.n, 2);
	}
	/* addresses share nothing */
	assert_int_equal(visit(ctx, "192.0.2.1", &n.b, &n.shelf, NULL), FULL);
	assert_false(last.foreign);
	end(&n, ctx);
}

/* Were a session kept under a wrong name, the check after the handshake would still see it. */
static void the_name_is_checked_on_every_connection(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct names n;
	int r;

	(void)state;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(versions); i++) {
		SSL_CTX *ctx = server("DNS:a.test", versions[i], 86400);

		begin(&n);
		assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
		assert_int_equal(visit(ctx, "b.test", &n.a, NULL, &r), REFUSED);
		assert_int_equal(r, -EKEYREJECTED);
		end(&n, ctx);
	}
}

static void tls_1_2_is_not_shared(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test,DNS:b.test", TLS1_2_VERSION, 86400);
	struct names n;

	(void)state;
	begin(&n);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	assert_int_equal(n.a.n, 1);
	assert_int_equal(n.shelf.n, 0);
	assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, NULL), FULL);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), RESUMED);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), RESUMED);
	end(&n, ctx);
}

static void what_was_not_verified_is_not_kept(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test", TLS1_3_VERSION, -60);
	struct names n;
	int r;

	(void)state;
	begin(&n);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, &r), REFUSED);
	assert_int_equal(r, -EKEYREJECTED);
	assert_int_equal(n.a.n + n.shelf.n, 0);
	end(&n, ctx);
}

static void certificate_ends_before_the_session(void **state)
{
	struct names n;

	(void)state;
	for (int who = 0; who < 2; who++) {
		SSL_CTX *ctx = server("DNS:a.test,DNS:b.test", TLS1_3_VERSION, 600);

		begin(&n);
		assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
		ahead_s = 590;
		assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, NULL), RESUMED);
		ahead_s = 601;
		assert_int_equal(
			visit(ctx, who ? "a.test" : "c.test", who ? &n.a : &n.c, &n.shelf, NULL),
			who ? FULL : REFUSED);
		assert_false(last.foreign);
		/* this clock says it has ended: neither kept nor still there */
		assert_int_equal(n.shelf.n, 0);
		end(&n, ctx);
	}
	ahead_s = 0;
}

static void renewed_tickets_do_not_renew_the_proof(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test,DNS:b.test", TLS1_3_VERSION, 86400);
	struct names n;

	(void)state;
	begin(&n);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	for (ahead_s = 0; ahead_s < 3600; ahead_s += 400) {
		assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), RESUMED);
		assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, NULL), RESUMED);
	}
	ahead_s = 3601;
	assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, NULL), FULL);
	osh_tls_sessions_clear(&n.b);
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	/* a clock that goes back makes nothing valid */
	ahead_s = 0;
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	end(&n, ctx);
}

static void server_that_ends_it(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test,DNS:b.test", TLS1_3_VERSION, 86400);
	struct names n;
	int r;

	(void)state;
	begin(&n);
	ends_foreign = true;
	assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
	assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, &r), REFUSED);
	assert_int_equal(r, -EPROTO);
	assert_true(last.foreign);
	/* not again at this address, for a while */
	assert_int_equal(n.shelf.n, 0);
	assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, NULL), FULL);
	assert_false(last.foreign);
	assert_int_equal(n.shelf.n, 0);
	assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, NULL), RESUMED); /* its own */
	ends_foreign = false;
	ahead_s = 601;
	assert_int_equal(visit(ctx, "b.test", &n.b, &n.shelf, NULL), RESUMED);
	assert_int_equal(n.shelf.n, 1);
	assert_int_equal(visit(ctx, "c.test", &n.c, &n.shelf, NULL), REFUSED);
	assert_int_equal(visit(ctx, "a.test", &n.c, &n.shelf, NULL), RESUMED);
	assert_true(last.foreign);
	end(&n, ctx);
}

static void server_that_declines(void **state)
{
	SSL_CTX *ctx = server("DNS:a.test,DNS:b.test", TLS1_3_VERSION, 86400);
	struct names n;

	(void)state;
	begin(&n);
	for (int i = 0; i < 6; i++) {
		SSL_CTX *stranger = server("DNS:a.test,DNS:b.test", TLS1_3_VERSION, 86400);

		osh_tls_sessions_clear(&n.a);
		osh_tls_sessions_clear(&n.b);
		assert_int_equal(visit(ctx, "a.test", &n.a, &n.shelf, NULL), FULL);
		assert_int_equal(visit(stranger, "b.test", &n.b, &n.shelf, NULL), FULL);
		assert_int_equal(last.foreign, i < 4);
		SSL_CTX_free(stranger);
	}
	end(&n, ctx);
}

static void ceilings(void **state)
{
	struct osh_tls_sessions many[8];
	struct names n;
	char name[32];

	(void)state;
	begin(&n);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(many); i++) {
		SSL_CTX *ctx;

		osh_tls_sessions_init(&many[i]);
		snprintf(name, sizeof(name), "DNS:n%zu.test", i);
		ctx = server(name, TLS1_3_VERSION, 86400);
		SSL_CTX_set_num_tickets(ctx, 10);
		assert_int_equal(visit(ctx, name + 4, &many[i], &n.shelf, NULL), FULL);
		assert_int_equal(many[i].n, OSH_TLS_SESSIONS);
		assert_in_range(n.shelf.n, 1, OSH_TLS_SHELF);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(n.shelf.n, OSH_TLS_SHELF);
	osh_tls_shelf_close(&n.shelf);
	assert_int_equal(n.shelf.n, 0);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(many); i++)
		osh_tls_sessions_clear(&many[i]);
	end(&n, NULL);
}

static int set_up(void **state)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	long len;

	(void)state;
	key = EVP_EC_gen("P-256");
	root = certificate(NULL, -3600, 30 * 86400);
	if (PEM_write_bio_X509(bio, root) != 1)
		return -1;
	len = BIO_get_mem_data(bio, &pem);
	if (osh_tls_env_new((struct osh_str){ pem, (size_t)len }, &env) < 0)
		return -1;
	BIO_free(bio);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	env = osh_tls_env_free(env);
	X509_free(root);
	EVP_PKEY_free(key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_certificate_for_both),
		cmocka_unit_test(another_address_has_another_shelf),
		cmocka_unit_test(certificate_without_the_name),
		cmocka_unit_test(the_name_is_checked_on_every_connection),
		cmocka_unit_test(tls_1_2_is_not_shared),
		cmocka_unit_test(what_was_not_verified_is_not_kept),
		cmocka_unit_test(certificate_ends_before_the_session),
		cmocka_unit_test(renewed_tickets_do_not_renew_the_proof),
		cmocka_unit_test(server_that_ends_it),
		cmocka_unit_test(server_that_declines),
		cmocka_unit_test(ceilings),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
