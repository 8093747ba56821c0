/* SPDX-License-Identifier: MIT */
#include "tls/session.h"

#include "tls/priv.h"

#include <time.h>

enum {
	/*
	 * Upstreams that take no session of another name cost a ticket each time, and those that end the
	 * handshake over it a connection: both are left alone for a while.
	 */
	DECLINED_MAX = 4,
	SHUT_S = 600,
};

struct session {
	struct osh_list own, shelved; /* the latter only while @shelf */
	struct osh_tls_sessions *of;
	struct osh_tls_shelf *shelf;
	SSL_SESSION *ssl; /* owned */
	struct osh_tls_proof proof;
};

bool osh_tls_proof_holds(const struct osh_tls_proof *proof, int64_t now_s)
{
	return now_s >= proof->from_s && now_s < proof->until_s;
}

/* ---- keeping ---- */

static void unshelve(struct session *s)
{
	if (!s->shelf)
		return;
	osh_list_del(&s->shelved);
	s->shelf->n--;
	s->shelf = NULL;
}

/* The reference to the SSL_SESSION is the caller's. */
static SSL_SESSION *detach(struct session *s)
{
	SSL_SESSION *ssl = s->ssl;

	unshelve(s);
	osh_list_del(&s->own);
	s->of->n--;
	free(s);
	return ssl;
}

static struct session *own_of(struct osh_list *node)
{
	return osh_list_entry(node, struct session, own);
}

static struct session *shelved_of(struct osh_list *node)
{
	return osh_list_entry(node, struct session, shelved);
}

void osh_tls_sessions_init(struct osh_tls_sessions *sessions)
{
	*sessions = (struct osh_tls_sessions){ 0 };
	osh_list_init(&sessions->all);
}

void osh_tls_sessions_clear(struct osh_tls_sessions *sessions)
{
	while (!osh_list_is_empty(&sessions->all))
		SSL_SESSION_free(detach(own_of(sessions->all.next)));
}

void osh_tls_shelf_init(struct osh_tls_shelf *shelf)
{
	*shelf = (struct osh_tls_shelf){ 0 };
	osh_list_init(&shelf->all);
}

static void shut(struct osh_tls_shelf *shelf, int64_t until_s)
{
	shelf->shut_until_s = until_s;
	shelf->declined = 0;
	while (!osh_list_is_empty(&shelf->all))
		unshelve(shelved_of(shelf->all.next));
}

void osh_tls_shelf_close(struct osh_tls_shelf *shelf)
{
	shut(shelf, INT64_MAX);
}

static void put_on_shelf(struct osh_tls_shelf *shelf, struct session *s, int64_t now_s)
{
	if (!shelf || now_s < shelf->shut_until_s ||
	    SSL_SESSION_get_protocol_version(s->ssl) != TLS1_3_VERSION)
		return;
	if (shelf->n >= OSH_TLS_SHELF)
		unshelve(shelved_of(shelf->all.prev));
	osh_list_add_head(&shelf->all, &s->shelved);
	s->shelf = shelf;
	shelf->n++;
}

bool osh_tls_session_keep(struct osh_tls_client *client, SSL_SESSION *take_session)
{
	int64_t now_s = time(NULL);
	struct session *s;

	if (!client->own || !SSL_SESSION_is_resumable(take_session) ||
	    !SSL_SESSION_get0_peer(take_session) || !osh_tls_proof_holds(&client->proof, now_s))
		return false;
	s = calloc(1, sizeof(*s));
	if (!s)
		return false;
	if (client->own->n >= OSH_TLS_SESSIONS)
		SSL_SESSION_free(detach(own_of(client->own->all.prev)));
	s->ssl = take_session;
	s->proof = client->proof;
	s->of = client->own;
	osh_list_add_head(&s->of->all, &s->own);
	s->of->n++;
	put_on_shelf(client->shelf, s, now_s);
	return true;
}

/* ---- using ---- */

static SSL_SESSION *take_own(struct osh_tls_client *client, int64_t now_s)
{
	struct osh_list *it, *tmp;

	if (!client->own)
		return NULL;
	osh_list_for_each_safe (it, tmp, &client->own->all) {
		struct session *s = own_of(it);

		if (!osh_tls_proof_holds(&s->proof, now_s)) {
			SSL_SESSION_free(detach(s));
			continue;
		}
		client->offered = s->proof;
		/* a TLS 1.2 session may be used again, and does not come back by itself */
		if (SSL_SESSION_get_protocol_version(s->ssl) < TLS1_3_VERSION) {
			SSL_SESSION_up_ref(s->ssl);
			return s->ssl;
		}
		return detach(s);
	}
	return NULL;
}

static SSL_SESSION *take_shelved(struct osh_tls_client *client, const char *name, int64_t now_s)
{
	struct osh_list *it, *tmp;

	if (!client->shelf || now_s < client->shelf->shut_until_s)
		return NULL;
	osh_list_for_each_safe (it, tmp, &client->shelf->all) {
		struct session *s = shelved_of(it);

		if (!osh_tls_proof_holds(&s->proof, now_s)) {
			SSL_SESSION_free(detach(s));
		} else if (osh_verify_is_for(SSL_SESSION_get0_peer(s->ssl), name)) {
			client->offered = s->proof;
			client->foreign = true;
			return detach(s);
		}
	}
	return NULL;
}

SSL_SESSION *osh_tls_session_take(struct osh_tls_client *client, const char *name)
{
	int64_t now_s = time(NULL);
	SSL_SESSION *session = take_own(client, now_s);

	return session || !name ? session : take_shelved(client, name, now_s);
}

void osh_tls_session_outcome(struct osh_tls_client *client, int r, bool resumed)
{
	struct osh_tls_shelf *shelf = client->shelf;

	if (!client->foreign || !shelf)
		return;
	if (!r && resumed)
		shelf->declined = 0;
	else if ((r < 0 && r != -EKEYREJECTED) || ++shelf->declined >= DECLINED_MAX)
		shut(shelf, OSH_MAX(shelf->shut_until_s, time(NULL) + SHUT_S));
}
