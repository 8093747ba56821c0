/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

#include <time.h>

enum {
	LEAF_RENEW_S = 86400, /* ask for a new leaf when less than this is left */
	LEAF_ASK_AGAIN_MS = 1000,
	ORIGINS_MAX = 64, /* per site; ports and callers */
};

static uint32_t hash_of(struct osh_str s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619u;
	return h;
}

/* ---- origins ---- */

static void origin_free(struct osh_px_origin *o)
{
	osh_list_del(&o->node);
	osh_tls_sessions_clear(&o->sessions);
	free(o);
}

void osh_px_origin_put(struct osh_px_origin *origin)
{
	/* kept for its TLS sessions until the site goes */
	origin->refs--;
}

static void origin_make_room(struct osh_px_site *site)
{
	struct osh_list *it, *tmp;
	uint32_t n = 0;

	osh_list_for_each_safe (it, tmp, &site->origins) {
		struct osh_px_origin *o = osh_list_entry(it, struct osh_px_origin, node);

		if (++n >= ORIGINS_MAX && !o->refs)
			origin_free(o);
	}
}

struct osh_px_origin *osh_px_origin_get(struct osh_px_site *site, struct osh_px_who *who,
					uint16_t port, bool tls, bool plain)
{
	struct osh_px_origin *o;
	struct osh_list *it;

	osh_list_for_each (it, &site->origins) {
		o = osh_list_entry(it, struct osh_px_origin, node);
		if (o->port == port && o->tls == tls && o->plain == plain &&
		    o->who == who->serial) {
			o->refs++;
			return o;
		}
	}
	origin_make_room(site);
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->site = site;
	o->who = who->serial;
	o->port = port;
	o->tls = tls;
	o->plain = plain;
	o->refs = 1;
	osh_list_init(&o->idle);
	osh_tls_sessions_init(&o->sessions);
	osh_list_add_head(&site->origins, &o->node);
	return o;
}

/* ---- sites ---- */

static void site_free(struct osh_px_site *s)
{
	struct osh_px_box *box = s->box;
	struct osh_px_site **p = &box->site_hash[s->hash % OSH_PX_HASH];

	while (!osh_list_is_empty(&s->origins)) {
		struct osh_px_origin *o = osh_list_entry(s->origins.next, struct osh_px_origin,
							 node);

		while (!osh_list_is_empty(&o->idle))
			osh_px_up_free(osh_list_entry(o->idle.next, struct osh_px_up, node), false);
		origin_free(o);
	}
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	osh_list_del(&s->node);
	box->n_sites--;
	osh_leaf_unref(s->leaf);
	free(s);
}

/* Least recently used without a connection; each sandbox has its own list and ceiling. */
static bool site_evict(struct osh_px_box *box)
{
	struct osh_list *it;

	for (it = box->sites.prev; it != &box->sites; it = it->prev) {
		struct osh_px_site *s = osh_list_entry(it, struct osh_px_site, node);

		if (!s->refs) {
			site_free(s);
			return true;
		}
	}
	return false;
}

static struct osh_px_site *find(const struct osh_px_box *box, struct osh_str host, uint32_t hash)
{
	struct osh_px_site *s = box->site_hash[hash % OSH_PX_HASH];

	while (s && !(s->hash == hash && s->len == host.n && !memcmp(s->host, host.p, host.n)))
		s = s->next;
	return s;
}

bool osh_px_site_known(const struct osh_px_box *box, struct osh_str host)
{
	return find(box, host, hash_of(host));
}

int osh_px_site_get(struct osh_px_box *box, struct osh_str host, struct osh_px_site **ret_site)
{
	uint32_t hash = hash_of(host);
	struct osh_px_site *s = find(box, host, hash);

	if (!s) {
		if (!host.n || host.n > OSH_HOST_MAX)
			return -EINVAL;
		if (box->n_sites >= box->px->cfg.limits.sites && !site_evict(box))
			return -ENOSPC;
		s = calloc(1, sizeof(*s) + host.n + 1);
		if (!s)
			return -ENOMEM;
		s->box = box;
		s->hash = hash;
		s->len = (uint16_t)host.n;
		memcpy(s->host, host.p, host.n);
		s->is_addr = !osh_addr_parse(host, &s->addr);
		osh_list_init(&s->waiters);
		osh_list_init(&s->origins);
		s->next = box->site_hash[hash % OSH_PX_HASH];
		box->site_hash[hash % OSH_PX_HASH] = s;
		osh_list_add_head(&box->sites, &s->node);
		box->n_sites++;
	} else if (box->sites.next != &s->node) {
		osh_list_del(&s->node);
		osh_list_add_head(&box->sites, &s->node);
	}
	s->refs++;
	*ret_site = s;
	return 0;
}

struct osh_px_site *osh_px_site_put(struct osh_px_site *site)
{
	if (site)
		site->refs--;
	return NULL;
}

void osh_px_sites_free(struct osh_px_box *box)
{
	while (!osh_list_is_empty(&box->sites))
		site_free(osh_list_entry(box->sites.next, struct osh_px_site, node));
}

/* ---- leaves ---- */

/* Name in the certificate: without a final dot, which no client puts into its check. */
static struct osh_str leaf_host(const struct osh_px_site *s)
{
	struct osh_str host = { s->host, s->len };

	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

static int leaf_ask(struct osh_px_site *s)
{
	struct osh_px *px = s->box->px;
	struct osh_str spki = osh_tls_env_spki(px->tls), host = leaf_host(s);
	struct osh_msg_sign msg = { .sandbox = s->box->id, .pubkey_len = (uint32_t)spki.n };
	int r;

	memcpy(msg.host, host.p, host.n);
	memcpy(msg.pubkey, spki.p, spki.n);
	s->asked_ms = osh_loop_now_ms(px->loop);
	r = osh_px_link_send(px, &px->signer, OSH_MSG_SIGN, ++px->next_cookie, &msg, sizeof(msg));
	if (r < 0)
		return r == -EAGAIN ? -ENOBUFS : r;
	px->stats.mints++;
	return 0;
}

static bool leaf_is_fresh(const struct osh_px_site *s)
{
	return s->leaf && osh_leaf_not_after_s(s->leaf) - time(NULL) > LEAF_RENEW_S;
}

int osh_px_site_leaf(struct osh_px_site *site, struct osh_px_conn *conn)
{
	uint64_t now = osh_loop_now_ms(site->box->px->loop);
	int r;

	if (site->leaf_state == OSH_PX_LEAF_READY && leaf_is_fresh(site))
		return 0;
	if (site->leaf_state == OSH_PX_LEAF_FAILED && now - site->asked_ms < LEAF_ASK_AGAIN_MS)
		return site->leaf_error;
	if (site->leaf_state != OSH_PX_LEAF_ASKED ||
	    now - site->asked_ms > site->box->px->cfg.timeouts.identity_ms) {
		r = leaf_ask(site);
		if (r < 0)
			return r;
		site->leaf_state = OSH_PX_LEAF_ASKED;
	}
	if (osh_list_is_empty(&conn->wait))
		osh_list_add_tail(&site->waiters, &conn->wait);
	return -EAGAIN;
}

int osh_px_site_prepare(struct osh_px_site *site)
{
	int r = leaf_ask(site);

	osh_list_del(&site->node);
	osh_list_add_tail(&site->box->sites, &site->node);
	if (!r)
		site->leaf_state = OSH_PX_LEAF_ASKED;
	return r;
}

void osh_px_on_cert(struct osh_px *px, const struct osh_msg_cert *msg)
{
	struct osh_px_box *box = osh_px_box_find(px, msg->sandbox);
	struct osh_str host = osh_str(msg->host);
	struct osh_list *it;
	struct osh_px_site *s = NULL;

	if (!box)
		return; /* the sandbox went while its certificate was made */
	osh_list_for_each (it, &box->sites) {
		s = osh_list_entry(it, struct osh_px_site, node);
		if (s->leaf_state == OSH_PX_LEAF_ASKED && osh_str_eq(leaf_host(s), host))
			break;
		s = NULL;
	}
	if (!s)
		return; /* evicted meanwhile */
	s->leaf = osh_leaf_unref(s->leaf);
	s->leaf_state = OSH_PX_LEAF_FAILED;
	s->leaf_error = msg->status == -EDQUOT ? -EDQUOT : -EIO;
	if (!msg->status &&
	    !osh_leaf_new(px->tls, box->id, host, msg->cert, msg->cert_len, &s->leaf))
		s->leaf_state = OSH_PX_LEAF_READY;
	s->refs++; /* a woken connection may let go of it */
	while (!osh_list_is_empty(&s->waiters)) {
		struct osh_px_conn *c = osh_list_entry(s->waiters.next, struct osh_px_conn, wait);

		osh_list_del(&c->wait);
		osh_px_conn_run(c);
	}
	s->refs--;
}
