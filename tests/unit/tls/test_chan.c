/* SPDX-License-Identifier: MIT */
/*
 * Record buffers of a channel: who keeps them, when they go, and that no byte is lost on the way. The
 * peer is plain OpenSSL over memory, so that its records can be cut anywhere.
 */
#include "tls/ca.h"
#include "tls/chan.h"
#include "tls/priv.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

enum { BULK = 600000, MANY = 100000 };

static struct osh_tls_env *env;
static struct osh_tls_scope *scope;
static struct osh_leaf *leaf;
static SSL_CTX *client;

struct pair {
	struct osh_chan c;
	SSL *ssl;
	int fd; /* raw end of the peer */
};

static int setup(void **state)
{
	struct osh_mint_leaf m = { .host = OSH_STR("a.test"), .serial = { 1 } };
	osh_auto_ca struct osh_ca *ca = NULL;
	unsigned char der[OSH_MINT_MAX_BYTES];
	struct osh_ticket_seed seed;
	size_t n;

	(void)state;
	assert_int_equal(osh_tls_env_new(OSH_STR(""), &env), 0);
	assert_int_equal(osh_ca_create(time(NULL), &ca), 0);
	m.spki = osh_tls_env_spki(env);
	m.not_before_s = time(NULL) - 60;
	m.not_after_s = time(NULL) + 3600;
	assert_int_equal(osh_mint_leaf(ca, &m, der, &n), 0);
	assert_int_equal(osh_leaf_new(env, 1, m.host, der, n, &leaf), 0);
	assert_int_equal(osh_ticket_seed_new(&seed), 0);
	assert_int_equal(osh_tls_scope_new(&seed, 1, osh_ca_cert_pem(ca), &scope), 0);
	client = SSL_CTX_new(TLS_client_method());
	assert_non_null(client);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	SSL_CTX_free(client);
	scope = osh_tls_scope_free(scope);
	leaf = osh_leaf_unref(leaf);
	env = osh_tls_env_free(env);
	return 0;
}

/* Bytes of the peer's records that wait, to the channel's socket; at most @max. */
static size_t push(struct pair *p, size_t max)
{
	size_t sent = 0;
	char *data;
	long have = BIO_get_mem_data(SSL_get_wbio(p->ssl), &data);

	while (sent < max && sent < (size_t)have) {
		ssize_t n = send(p->fd, data + sent, OSH_MIN(max, (size_t)have) - sent, 0);

		if (n < 0)
			break;
		sent += (size_t)n;
	}
	for (size_t left = sent; left;) {
		char sink[4096];
		int n = BIO_read(SSL_get_wbio(p->ssl), sink, (int)OSH_MIN(left, sizeof(sink)));

		assert_true(n > 0);
		left -= (size_t)n;
	}
	osh_chan_event(&p->c, EPOLLIN);
	return sent;
}

static void pull(struct pair *p)
{
	char buf[65536];
	ssize_t n;

	assert_int_equal(osh_chan_flush(&p->c), 0);
	while ((n = recv(p->fd, buf, sizeof(buf), 0)) > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(p->ssl), buf, (int)n), n);
}

static void begin(struct pair *p, int version)
{
	int fd[2], r = -EAGAIN;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	p->fd = fd[1];
	p->ssl = SSL_new(client);
	assert_non_null(p->ssl);
	SSL_set_max_proto_version(p->ssl, version);
	SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	osh_chan_init(&p->c, env, fd[0]);
	assert_int_equal(osh_chan_server(&p->c, scope, leaf), 0);
	for (int i = 0; i < 6 && (r == -EAGAIN || !SSL_is_init_finished(p->ssl)); i++) {
		ERR_clear_error();
		(void)SSL_connect(p->ssl);
		(void)push(p, SIZE_MAX);
		if (r == -EAGAIN)
			r = osh_chan_handshake(&p->c);
		pull(p);
	}
	assert_int_equal(r, 0);
	assert_true(SSL_is_init_finished(p->ssl));
}

static void end(struct pair *p)
{
	osh_chan_close(&p->c, false);
	SSL_free(p->ssl);
	close(p->fd);
	assert_int_equal(env->n_kept, 0);
	assert_int_equal(env->n_bulk, 0);
}

static void exchange(struct pair *p)
{
	char buf[16];

	assert_int_equal(SSL_write(p->ssl, "ping", 4), 4);
	(void)push(p, SIZE_MAX);
	assert_int_equal(osh_chan_read(&p->c, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "ping", 4);
	assert_int_equal(osh_chan_write(&p->c, "pong", 4), 0);
	pull(p);
	assert_int_equal(SSL_read(p->ssl, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "pong", 4);
}

static void steady_use_keeps_buffers_until_quiet(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, TLS1_3_VERSION);
	exchange(&p);
	assert_false(p.c.kept);
	for (int i = 0; i < MANY && !p.c.kept; i++)
		exchange(&p);
	assert_true(p.c.kept);
	assert_int_equal(env->n_kept, 1);
	exchange(&p);
	assert_true(osh_chan_trim(&p.c));
	assert_false(osh_chan_trim(&p.c));
	assert_false(p.c.kept);
	assert_int_equal(env->n_kept, 0);
	exchange(&p);
	assert_false(p.c.kept);
	for (int i = 0; i < MANY && !p.c.kept; i++)
		exchange(&p);
	assert_true(p.c.kept);
	end(&p);
}

static void few_keep_buffers(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, TLS1_3_VERSION);
	env->n_kept = env->n_bulk = 1u << 20; /* as if so many did */
	for (int i = 0; i < 1000; i++)
		exchange(&p);
	assert_false(p.c.kept);
	assert_false(osh_chan_trim(&p.c));
	assert_int_equal(env->n_kept, 1u << 20);
	env->n_kept = env->n_bulk = 0;
	end(&p);
}

/* A record that is here in part is not lost, whatever is released around it. */
static void half_a_record_survives_a_trim(void **state)
{
	struct pair p;
	char buf[64];

	(void)state;
	begin(&p, TLS1_3_VERSION);
	for (int kept = 0; kept < 2; kept++) {
		for (size_t cut = 1; cut < 5 + 17 + 4; cut++) {
			assert_int_equal(SSL_write(p.ssl, "data", 4), 4);
			assert_int_equal(push(&p, cut), cut);
			assert_int_equal(osh_chan_read(&p.c, buf, sizeof(buf)), -EAGAIN);
			(void)osh_chan_trim(&p.c);
			(void)push(&p, SIZE_MAX);
			assert_int_equal(osh_chan_read(&p.c, buf, sizeof(buf)), 4);
			assert_memory_equal(buf, "data", 4);
			for (int i = 0; kept && i < MANY && !p.c.kept; i++)
				exchange(&p);
		}
	}
	end(&p);
}

/* All of @n bytes, as they come. */
static void transfer(struct pair *p, const char *data, size_t n)
{
	char *got = malloc(n + 1);
	size_t have = 0;

	assert_non_null(got);
	for (size_t at = 0; at < n; at += OSH_MIN(n - at, (size_t)100000))
		assert_true(SSL_write(p->ssl, data + at, (int)OSH_MIN(n - at, (size_t)100000)) > 0);
	while (have < n) {
		size_t sent = push(p, 150000);
		ssize_t r;

		while ((r = osh_chan_read(&p->c, got + have, n + 1 - have)) > 0)
			have += (size_t)r;
		assert_int_equal(r, -EAGAIN);
		assert_true(sent || have == n);
	}
	assert_memory_equal(got, data, n);
	free(got);
}

static void bulk_reads_much_at_once_until_quiet(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	char *data = malloc(BULK);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < BULK; i++)
		data[i] = (char)(i * 7 + i / 251);
	for (size_t v = 0; v < OSH_ARRAY_SIZE(versions); v++) {
		struct pair p;

		begin(&p, versions[v]);
		assert_int_equal(SSL_version(p.ssl), versions[v]);
		transfer(&p, data, 20000);
		assert_false(p.c.bulk);
		transfer(&p, data, BULK);
		assert_true(p.c.bulk);
		assert_int_equal(env->n_bulk, 1);
		(void)osh_chan_trim(&p.c);
		assert_false(p.c.bulk);
		assert_int_equal(env->n_bulk, 0);
		transfer(&p, data, BULK);
		assert_true(p.c.bulk);
		exchange(&p);
		end(&p); /* and is not counted any more */
	}
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steady_use_keeps_buffers_until_quiet),
		cmocka_unit_test(few_keep_buffers),
		cmocka_unit_test(half_a_record_survives_a_trim),
		cmocka_unit_test(bulk_reads_much_at_once_until_quiet),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
