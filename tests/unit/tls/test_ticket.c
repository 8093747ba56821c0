/* SPDX-License-Identifier: MIT */
/* Where a session ticket is good, and where it is not: two workers, handshakes over a socket pair. */
#include "tls/ca.h"
#include "tls/chan.h"
#include "tls/ticket.h"

#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <setjmp.h>
#include <cmocka.h>

static struct osh_ca *ca, *other_ca;
static struct osh_ticket_seed seed;

struct worker {
	struct osh_tls_env *env;
	struct osh_tls_scope *scope;
	struct osh_leaf *leaf;
};

static void worker_init(struct worker *w, const struct osh_ticket_seed *s, uint32_t sandbox,
			const struct osh_ca *of, const char *host)
{
	unsigned char der[OSH_MINT_MAX_BYTES];
	int64_t now = time(NULL);
	struct osh_mint_leaf leaf = { .host = osh_str(host),
				      .serial = { 1, 2, 3 },
				      .not_before_s = now - OSH_MINT_BACKDATE_S,
				      .not_after_s = now + OSH_MINT_LEAF_S };
	size_t n;

	assert_int_equal(osh_tls_env_new(osh_ca_cert_pem(of), &w->env), 0);
	leaf.spki = osh_tls_env_spki(w->env);
	assert_int_equal(osh_mint_leaf(of, &leaf, der, &n), 0);
	assert_int_equal(osh_leaf_new(w->env, sandbox, leaf.host, der, n, &w->leaf), 0);
	assert_int_equal(osh_tls_scope_new(s, sandbox, osh_ca_cert_pem(of), &w->scope), 0);
}

static void worker_fini(struct worker *w)
{
	osh_leaf_unref(w->leaf);
	osh_tls_scope_free(w->scope);
	osh_tls_env_free(w->env);
}

/* One connection of a client that keeps its tickets in @sessions. Was it resumed? */
static bool visit(struct worker *client, struct worker *server, const char *host,
		  struct osh_tls_sessions *sessions)
{
	struct osh_tls_client tls = { .own = sessions };
	struct osh_chan c, s;
	char byte;
	int fd[2], rc = -EAGAIN, rs = -EAGAIN;
	bool resumed;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	osh_chan_init(&c, client->env, fd[0]);
	osh_chan_init(&s, server->env, fd[1]);
	assert_int_equal(osh_chan_client(&c, osh_str(host), &tls), 0);
	assert_int_equal(osh_chan_server(&s, server->scope, server->leaf), 0);
	for (int i = 0; i < 10 && (rc || rs); i++) {
		osh_chan_event(&c, EPOLLIN);
		osh_chan_event(&s, EPOLLIN);
		if (rc)
			rc = osh_chan_handshake(&c);
		(void)osh_chan_flush(&c);
		if (rs)
			rs = osh_chan_handshake(&s);
		(void)osh_chan_flush(&s);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(rs, 0);
	assert_int_equal(osh_chan_resumed(&c), osh_chan_resumed(&s));
	assert_int_equal(osh_chan_write(&s, "x", 1), 0);
	assert_int_equal(osh_chan_flush(&s), 0);
	osh_chan_event(&c, EPOLLIN);
	assert_int_equal(osh_chan_read(&c, &byte, 1), 1); /* and with it the ticket */
	resumed = osh_chan_resumed(&s);
	osh_chan_close(&c, false);
	osh_chan_close(&s, false);
	return resumed;
}

static void resumes_on_another_worker(void **state)
{
	struct osh_tls_sessions kept;
	struct worker a = { 0 }, b = { 0 };

	osh_tls_sessions_init(&kept);
	(void)state;
	worker_init(&a, &seed, 7, ca, "one.test");
	worker_init(&b, &seed, 7, ca, "one.test");
	assert_false(visit(&a, &a, "one.test", &kept));
	/* each used once, and each answered with another */
	for (int i = 0; i < 5; i++)
		assert_true(visit(&a, i % 2 ? &a : &b, "one.test", &kept));
	osh_tls_sessions_clear(&kept);
	worker_fini(&a);
	worker_fini(&b);
}

/* A handshake that must not succeed; what the client says about it. */
static int refused(struct worker *client, struct worker *server, const char *host,
		   struct osh_tls_sessions *sessions)
{
	struct osh_tls_client tls = { .own = sessions };
	struct osh_chan c, s;
	int fd[2], rc = -EAGAIN, rs = -EAGAIN;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	osh_chan_init(&c, client->env, fd[0]);
	osh_chan_init(&s, server->env, fd[1]);
	assert_int_equal(osh_chan_client(&c, osh_str(host), &tls), 0);
	assert_int_equal(osh_chan_server(&s, server->scope, server->leaf), 0);
	for (int i = 0; i < 6; i++) {
		osh_chan_event(&c, EPOLLIN);
		osh_chan_event(&s, EPOLLIN);
		if (rc == -EAGAIN)
			rc = osh_chan_handshake(&c);
		(void)osh_chan_flush(&c);
		if (rs == -EAGAIN)
			rs = osh_chan_handshake(&s);
		(void)osh_chan_flush(&s);
	}
	assert_true(rs < 0);
	osh_chan_close(&c, true);
	osh_chan_close(&s, true);
	return rc;
}

/* Full handshake at @b with a ticket of @a? */
static void assert_strange(struct worker *a, struct worker *b, const char *host)
{
	struct osh_tls_sessions kept;

	osh_tls_sessions_init(&kept);
	assert_false(visit(a, a, "one.test", &kept));
	assert_false(visit(b, b, host, &kept));
	osh_tls_sessions_clear(&kept);
}

static void other_scopes_take_none(void **state)
{
	struct osh_ticket_seed other;
	struct worker a = { 0 }, b = { 0 };

	(void)state;
	assert_int_equal(osh_ticket_seed_new(&other), 0);
	worker_init(&a, &seed, 7, ca, "one.test");
	worker_init(&b, &other, 7, ca, "one.test"); /* another sandbox's, or another run's seed */
	assert_strange(&a, &b, "one.test");
	worker_fini(&b);
	worker_init(&b, &seed, 8, ca, "one.test");
	assert_strange(&a, &b, "one.test");
	worker_fini(&b);
	worker_init(&b, &seed, 7, other_ca, "one.test");
	assert_strange(&a, &b, "one.test");
	worker_fini(&b);
	worker_fini(&a);
}

/* A ticket for one host does not open a session with another, whatever name the client sends. */
static void other_hosts_take_none(void **state)
{
	struct osh_tls_sessions kept;
	struct worker a = { 0 }, b = { 0 };

	osh_tls_sessions_init(&kept);
	(void)state;
	worker_init(&a, &seed, 7, ca, "one.test");
	worker_init(&b, &seed, 7, ca, "two.test");
	assert_strange(&a, &b, "two.test");
	/* the client still says "one.test": the ticket would fit but for the authorised host */
	assert_false(visit(&a, &a, "one.test", &kept));
	assert_int_equal(refused(&a, &b, "one.test", &kept), -EKEYREJECTED); /* a full handshake */
	osh_tls_sessions_clear(&kept);
	worker_fini(&a);
	worker_fini(&b);
}
/* What is remembered of a verified certificate is its chain, not that it was for this host. */
static void chains_seen_before(void **state)
{
	struct worker a = { 0 }, b = { 0 };

	(void)state;
	worker_init(&a, &seed, 7, ca, "one.test");
	worker_init(&b, &seed, 7, other_ca, "one.test");
	assert_false(visit(&a, &a, "one.test", NULL));
	assert_int_equal(refused(&a, &a, "two.test", NULL), -EKEYREJECTED);
	assert_int_equal(refused(&a, &a, "192.0.2.1", NULL), -EKEYREJECTED);
	assert_false(visit(&a, &a, "one.test", NULL));
	/* and what was not verified is not remembered */
	for (int i = 0; i < 3; i++)
		assert_int_equal(refused(&a, &b, "one.test", NULL), -EKEYREJECTED);
	worker_fini(&a);
	worker_fini(&b);
}

static void keys_change(void **state)
{
	struct osh_tls_sessions kept;
	struct worker a = { 0 }, b = { 0 };
	uint64_t now = osh_ticket_epoch();

	osh_tls_sessions_init(&kept);
	(void)state;
	worker_init(&a, &seed, 7, ca, "one.test");
	worker_init(&b, &seed, 7, ca, "one.test");
	assert_int_equal(osh_tls_scope_advance(b.scope, now + 1), 0);
	assert_false(visit(&a, &a, "one.test", &kept));
	assert_true(visit(&a, &b, "one.test", &kept)); /* key of the epoch before; renewed */
	assert_false(visit(&a, &a, "one.test", &kept)); /* @a is an epoch behind @b here */
	assert_int_equal(osh_tls_scope_advance(b.scope, now + 2), 0);
	assert_false(visit(&a, &b, "one.test", &kept));
	osh_tls_sessions_clear(&kept);
	worker_fini(&a);
	worker_fini(&b);
}

static void seeds_advance(void **state)
{
	struct osh_ticket_seed a = seed, b = seed;
	struct osh_tls_scope *scope = NULL;

	(void)state;
	assert_int_equal(osh_ticket_seed_advance(&a, seed.epoch + 3), 0);
	for (uint64_t e = seed.epoch; e <= seed.epoch + 3; e++)
		assert_int_equal(osh_ticket_seed_advance(&b, e), 0);
	assert_int_equal(a.epoch, b.epoch);
	assert_memory_equal(a.secret, b.secret, sizeof(a.secret));
	assert_memory_not_equal(a.secret, seed.secret, sizeof(a.secret));
	assert_int_equal(osh_ticket_seed_advance(&a, seed.epoch), 0); /* never back */
	assert_int_equal(a.epoch, b.epoch);
	/* a seed of the future could not take what is given out now */
	assert_int_equal(osh_tls_scope_new(&a, 7, OSH_STR("ca"), &scope), -EINVAL);
	a.epoch = 0;
	assert_int_equal(osh_tls_scope_new(&a, 7, OSH_STR("ca"), &scope), -EINVAL);
}

static int set_up(void **state)
{
	(void)state;
	return osh_ca_create(time(NULL), &ca) || osh_ca_create(time(NULL), &other_ca) ||
	       osh_ticket_seed_new(&seed);
}

static int tear_down(void **state)
{
	(void)state;
	ca = osh_ca_free(ca);
	other_ca = osh_ca_free(other_ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resumes_on_another_worker),
		cmocka_unit_test(other_scopes_take_none),
		cmocka_unit_test(other_hosts_take_none),
		cmocka_unit_test(chains_seen_before),
		cmocka_unit_test(keys_change),
		cmocka_unit_test(seeds_advance),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
