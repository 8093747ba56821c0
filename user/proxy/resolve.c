/* SPDX-License-Identifier: MIT */
#include "proxy/resolve.h"

#include "policy/host.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

enum {
	BUCKETS = 512, /* per share */
	/*
	 * Resolvers drop what is too much for them, and packets get lost: ask again soon. The pause doubles
	 * with each try.
	 */
	QUERY_MS = 800,
	TRIES_MAX = 12,
	TTL_MIN_S = 1,
	TTL_MAX_S = 60,
	TTL_FAILED_S = 1,
	/* The other family's answer is waited for this long (RFC 8305 3): many a resolver never gives it. */
	LATE_MS = 250,
};

enum entry_state {
	KNOWN = 0, /* until it expires */
	QUEUED, /* for its turn */
	ASKED,
	ANSWERED, /* its waiters are to be called */
};

enum { V4, V6, FAMILIES };

/* A question of c-ares. */
struct query {
	struct osh_list node; /* share->asked */
	struct osh_resolver *resolver;
	struct osh_resolver_share *share; /* NULL: gone */
	struct entry *entry; /* NULL: the answer is of no interest any more */
	int family;
};

struct entry {
	struct osh_list node; /* share->entries, most recently used first */
	struct osh_list work; /* share->queue or resolver->answered */
	struct entry *next;
	struct osh_resolver *resolver;
	struct osh_resolver_share *share;
	struct query *query[FAMILIES]; /* while no answer is there */
	struct osh_timer late; /* one of both has an answer */
	uint32_t hash, ttl_s;
	uint8_t state; /* enum entry_state */
	int status; /* 0 or negative errno, once KNOWN or ANSWERED */
	uint64_t expires_ms;
	struct osh_list waiters;
	struct osh_px_addrs addrs;
	uint16_t len;
	char host[]; /* NUL-terminated */
};

struct osh_resolver_share {
	struct osh_resolver *resolver;
	struct osh_list turn; /* resolver->turns while something may be asked */
	struct osh_list entries, queue, asked;
	struct entry *bucket[BUCKETS];
	uint32_t n_entries, inflight; /* questions of both families, two for each name */
};

/* A socket of c-ares in our loop. */
struct sock {
	struct osh_src src;
	struct osh_list node;
	struct osh_resolver *resolver;
};

struct osh_resolver {
	struct osh_loop *loop;
	const struct osh_px_cfg *cfg;
	ares_channel channel;
	struct osh_list socks;
	struct osh_timer timer, soon;
	struct osh_list turns; /* shares with something to ask, next first */
	struct osh_list answered; /* entries */
	uint32_t inflight;
	bool asking; /* inside ask_more() */
};

static uint32_t hash_of(struct osh_str s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619u;
	return h;
}

/* ---- sockets and time of c-ares ---- */

static void on_timer(struct osh_timer *timer);
static void finish(struct osh_resolver *r);
static void on_soon(struct osh_timer *timer);

static void arm(struct osh_resolver *r)
{
	struct timeval tv, *t = ares_timeout(r->channel, NULL, &tv);

	if (t)
		osh_timer_set(r->loop, &r->timer,
			      (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000 + 1,
			      on_timer);
	else
		osh_timer_stop(&r->timer);
}

static void on_timer(struct osh_timer *timer)
{
	struct osh_resolver *r = osh_container_of(timer, struct osh_resolver, timer);

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	finish(r);
}

static void on_socket(struct osh_src *src, uint32_t events)
{
	struct sock *s = osh_container_of(src, struct sock, src);
	struct osh_resolver *r = s->resolver;
	int fd = src->fd;
	bool in = events & (EPOLLIN | EPOLLHUP | EPOLLERR), out = events & EPOLLOUT;

	ares_process_fd(r->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
	finish(r);
}

static void sock_free(struct osh_src *src)
{
	free(osh_container_of(src, struct sock, src));
}

static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct osh_resolver *r = arg;
	uint32_t want = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
	struct osh_list *it;
	struct sock *s;

	osh_list_for_each (it, &r->socks) {
		s = osh_list_entry(it, struct sock, node);
		if (s->src.fd != fd)
			continue;
		if (want) {
			osh_src_want(&s->src, want);
		} else {
			osh_list_del(&s->node);
			osh_loop_retire(&s->src, sock_free);
		}
		return;
	}
	if (!want)
		return;
	s = calloc(1, sizeof(*s));
	if (!s)
		return; /* the query runs into its timeout */
	s->resolver = r;
	if (osh_src_add(r->loop, &s->src, fd, want, 0, on_socket, "resolver") < 0) {
		free(s);
		return;
	}
	osh_list_add_tail(&r->socks, &s->node);
}

/* ---- cache ---- */

/* Is there something of this share to ask? Then it stands in the queue of shares. */
static void take_turns(struct osh_resolver_share *share)
{
	struct osh_resolver *r = share->resolver;
	bool may = !osh_list_is_empty(&share->queue) &&
		   share->inflight < FAMILIES * r->cfg->limits.dns_inflight_each;

	if (!may)
		osh_list_del(&share->turn);
	else if (osh_list_is_empty(&share->turn))
		osh_list_add_tail(&r->turns, &share->turn);
}

/* c-ares goes on; what it finds is dropped. */
static void give_up(struct entry *e)
{
	osh_timer_stop(&e->late);
	for (int i = 0; i < FAMILIES; i++) {
		if (e->query[i])
			e->query[i]->entry = NULL;
		e->query[i] = NULL;
	}
}

static void entry_free(struct entry *e)
{
	struct osh_resolver_share *share = e->share;
	struct entry **p = &share->bucket[e->hash % BUCKETS];

	give_up(e);
	osh_list_del(&e->node);
	osh_list_del(&e->work);
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	share->n_entries--;
	take_turns(share);
	free(e);
}

static struct entry *entry_find(struct osh_resolver_share *share, struct osh_str host,
				uint32_t hash)
{
	struct entry *e = share->bucket[hash % BUCKETS];

	while (e && !(e->hash == hash && e->len == host.n && !memcmp(e->host, host.p, host.n)))
		e = e->next;
	return e;
}

/* Least recently used that nothing is under way for; nor that is waited for and not asked yet. */
static bool evict(struct osh_resolver_share *share)
{
	struct osh_list *it;

	for (it = share->entries.prev; it != &share->entries; it = it->prev) {
		struct entry *e = osh_list_entry(it, struct entry, node);

		if (e->state == KNOWN || (e->state == QUEUED && osh_list_is_empty(&e->waiters))) {
			entry_free(e);
			return true;
		}
	}
	return false;
}

static int entry_new(struct osh_resolver_share *share, struct osh_str host, uint32_t hash,
		     struct entry **ret_entry)
{
	struct entry *e;

	if (share->n_entries >= share->resolver->cfg->limits.dns_cache && !evict(share))
		return -EBUSY;
	e = calloc(1, sizeof(*e) + host.n + 1);
	if (!e)
		return -ENOMEM;
	e->resolver = share->resolver;
	e->share = share;
	e->hash = hash;
	e->len = (uint16_t)host.n;
	memcpy(e->host, host.p, host.n);
	osh_list_init(&e->waiters);
	osh_list_init(&e->work);
	e->next = share->bucket[hash % BUCKETS];
	share->bucket[hash % BUCKETS] = e;
	osh_list_add_head(&share->entries, &e->node);
	share->n_entries++;
	*ret_entry = e;
	return 0;
}

static void add_node(struct osh_px_addrs *addrs, const struct ares_addrinfo_node *n)
{
	struct osh_addr a;

	if (addrs->n == OSH_PX_ADDRS_MAX)
		return;
	if (n->ai_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)n->ai_addr;

		a = osh_addr_from_v4((const uint8_t *)&sin->sin_addr);
	} else if (n->ai_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)n->ai_addr;

		memcpy(a.b, &sin6->sin6_addr, sizeof(a.b));
	} else {
		return;
	}
	for (size_t i = 0; i < addrs->n; i++)
		if (osh_addr_eq(&addrs->addr[i], &a))
			return;
	addrs->addr[addrs->n++] = a;
}

static int status_of(int ares)
{
	switch (ares) {
	case ARES_ETIMEOUT:
		return -ETIME;
	case ARES_SUCCESS: /* without an address */
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return -ENXIO;
	default:
		return -EIO;
	}
}

/* All that will be known is: who waits can be called. */
static void answered(struct entry *e)
{
	struct osh_resolver *r = e->resolver;
	uint32_t ttl_s = e->addrs.n ? OSH_MAX(e->ttl_s, (uint32_t)TTL_MIN_S) : TTL_FAILED_S;

	give_up(e);
	if (e->addrs.n)
		e->status = 0;
	e->expires_ms = osh_loop_now_ms(r->loop) + ttl_s * 1000ull;
	e->state = ANSWERED;
	osh_list_add_tail(&r->answered, &e->work);
}

static void on_late(struct osh_timer *timer)
{
	struct entry *e = osh_container_of(timer, struct entry, late);
	struct osh_resolver *r = e->resolver;

	answered(e);
	finish(r);
}

/* Of two failures: the one that asking again may mend. */
static int worse(int a, int b)
{
	if (a == -ETIME || b == -ETIME)
		return -ETIME;
	return a == -EIO || b == -EIO ? -EIO : -ENXIO;
}

static void query_free(struct query *q)
{
	q->resolver->inflight--;
	osh_list_del(&q->node);
	if (q->share) {
		q->share->inflight--;
		take_turns(q->share);
	}
	free(q);
}

/* From anywhere inside c-ares: only notes what is to be done. */
static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct query *q = arg;
	struct entry *e = q->entry;
	uint32_t before = e ? e->addrs.n : 0;

	(void)timeouts;
	if (e)
		e->query[q->family] = NULL;
	if (e && status == ARES_SUCCESS) {
		for (struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
			add_node(&e->addrs, n);
			if (n->ai_ttl >= 0)
				e->ttl_s = OSH_MIN(e->ttl_s, (uint32_t)n->ai_ttl);
		}
	}
	if (info)
		ares_freeaddrinfo(info);
	query_free(q);
	if (!e)
		return;
	if (e->addrs.n == before)
		e->status = worse(e->status, status_of(status));
	if (!e->query[V4] && !e->query[V6])
		answered(e);
	else if (e->addrs.n)
		osh_timer_set(e->resolver->loop, &e->late, LATE_MS, on_late);
}

/* ---- asking ---- */

static bool is_entry(const struct osh_px_host_entry *e, struct osh_str host)
{
	struct osh_str name = osh_str(e->host);

	if (!e->subdomains)
		return osh_host_same(name, host);
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	return host.n > name.n + 1 && host.p[host.n - name.n - 1] == '.' &&
	       osh_str_has_suffix(host, name);
}

static bool from_table(const struct osh_resolver *r, struct osh_str host, struct osh_px_addrs *ret)
{
	for (uint32_t i = 0; i < r->cfg->n_hosts; i++) {
		const struct osh_px_host_entry *e = &r->cfg->hosts[i];

		if (!is_entry(e, host))
			continue;
		*ret = (struct osh_px_addrs){ .n = e->n, .trusted = true };
		memcpy(ret->addr, e->addr, e->n * sizeof(e->addr[0]));
		memcpy(ret->port, e->port, e->n * sizeof(e->port[0]));
		return true;
	}
	return false;
}

static struct query *query_new(struct entry *e, int family)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	*q = (struct query){
		.resolver = e->resolver, .share = e->share, .entry = e, .family = family
	};
	osh_list_add_tail(&e->share->asked, &q->node);
	e->share->inflight++;
	e->resolver->inflight++;
	return q;
}

static void ask(struct entry *e)
{
	struct osh_resolver *r = e->resolver;
	/* a final dot keeps the resolver from trying search domains */
	char name[OSH_HOST_MAX + 2];
	struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT,
		.ai_socktype = SOCK_STREAM,
	};
	struct query *q[FAMILIES];

	snprintf(name, sizeof(name), "%s%s", e->host,
		 e->len && e->host[e->len - 1] == '.' ? "" : ".");
	e->state = ASKED;
	e->addrs = (struct osh_px_addrs){ 0 };
	e->ttl_s = TTL_MAX_S;
	e->status = -ENXIO;
	for (int i = 0; i < FAMILIES; i++)
		q[i] = e->query[i] = query_new(e, i);
	if (!q[V4] || !q[V6]) {
		for (int i = 0; i < FAMILIES; i++)
			if (q[i])
				query_free(q[i]);
		e->query[V4] = e->query[V6] = NULL;
		e->status = -EIO;
		answered(e);
		return;
	}
	/* either may be answered before the call returns, and only the second one ends the entry */
	for (int i = 0; i < FAMILIES; i++) {
		hints.ai_family = i == V4 ? AF_INET : AF_INET6;
		ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, q[i]);
	}
}

/* Start what may be started. c-ares may answer at once, on failures: on_answer() only notes it. */
static void ask_more(struct osh_resolver *r)
{
	if (r->asking)
		return;
	r->asking = true;
	while (r->inflight < FAMILIES * r->cfg->limits.dns_inflight &&
	       !osh_list_is_empty(&r->turns)) {
		struct osh_resolver_share *share = osh_list_entry(r->turns.next,
								  struct osh_resolver_share, turn);
		struct entry *e = osh_list_entry(share->queue.next, struct entry, work);

		osh_list_del(&share->turn);
		osh_list_del(&e->work);
		if (osh_list_is_empty(&e->waiters))
			entry_free(e); /* all gave up */
		else
			ask(e);
		take_turns(share);
	}
	r->asking = false;
	arm(r);
}

static void wake(struct osh_resolver *r)
{
	while (!osh_list_is_empty(&r->answered)) {
		struct entry *e = osh_list_entry(r->answered.next, struct entry, work);

		/* stays ANSWERED, hence in the cache, until everybody took the answer */
		while (!osh_list_is_empty(&e->waiters)) {
			struct osh_px_lookup *l = osh_list_entry(e->waiters.next,
								 struct osh_px_lookup, node);

			osh_lookup_cancel(l);
			l->fn(l);
		}
		osh_list_del(&e->work);
		e->state = KNOWN;
	}
}

static void finish(struct osh_resolver *r)
{
	wake(r);
	ask_more(r);
	if (!osh_list_is_empty(&r->answered)) /* answered at once */
		osh_timer_set(r->loop, &r->soon, 0, on_soon);
}

static void on_soon(struct osh_timer *timer)
{
	finish(osh_container_of(timer, struct osh_resolver, soon));
}

static int enqueue(struct osh_resolver_share *share, struct osh_str host, uint32_t hash,
		   struct entry *known, struct entry **ret_entry)
{
	struct entry *e = known;
	int r = e ? 0 : entry_new(share, host, hash, &e);

	if (r < 0)
		return r;
	e->state = QUEUED;
	osh_list_add_tail(&share->queue, &e->work);
	take_turns(share);
	*ret_entry = e;
	return 0;
}

int osh_resolve(struct osh_resolver_share *share, struct osh_str host, struct osh_px_lookup *lookup,
		struct osh_px_addrs *ret_addrs)
{
	struct osh_resolver *resolver = share->resolver;
	const struct osh_addr *gateway = osh_px_cfg_gateway(resolver->cfg, host);
	struct osh_addr literal;
	struct entry *e;
	uint32_t hash;
	int r;

	if (from_table(resolver, host, ret_addrs))
		return 0;
	if (gateway || !osh_addr_parse(host, &literal)) {
		*ret_addrs = (struct osh_px_addrs){ .n = 1 };
		ret_addrs->addr[0] = gateway ? *gateway : literal;
		return 0;
	}
	/* "127.1" and its kind: some resolver would read it as an address */
	if (host.n > OSH_HOST_MAX || osh_host_is_numeric_name(host) || !resolver->cfg->n_resolvers)
		return -ENXIO;
	hash = hash_of(host);
	e = entry_find(share, host, hash);
	if (!e || (e->state == KNOWN && e->expires_ms <= osh_loop_now_ms(resolver->loop))) {
		r = enqueue(share, host, hash, e, &e);
		if (r < 0)
			return r;
	}
	if (e->state == KNOWN || e->state == ANSWERED) {
		osh_list_del(&e->node);
		osh_list_add_head(&share->entries, &e->node);
		if (!e->status)
			*ret_addrs = e->addrs;
		return e->status;
	}
	if (!lookup->waiting) {
		lookup->waiting = true;
		osh_list_add_tail(&e->waiters, &lookup->node);
	}
	if (e->state == QUEUED)
		ask_more(resolver);
	if (!osh_list_is_empty(&resolver->answered))
		osh_timer_set(resolver->loop, &resolver->soon, 0, on_soon);
	return -EAGAIN;
}

void osh_lookup_cancel(struct osh_px_lookup *lookup)
{
	if (!lookup->waiting)
		return;
	lookup->waiting = false;
	osh_list_del(&lookup->node);
}

const char *osh_resolve_error(int r)
{
	switch (r) {
	case -ENXIO:
		return "name not found or without address";
	case -ETIME:
		return "resolver timed out";
	case -EBUSY:
		return "too many lookups under way in this sandbox";
	default:
		return "no resolver gave a usable answer";
	}
}

/* ---- life ---- */

/* As many as end within the time that who waits has: of two questions one may have been answered. */
static int tries(const struct osh_px_cfg *cfg)
{
	uint64_t round = QUERY_MS * (uint64_t)OSH_MAX(cfg->n_resolvers, 1u), ms = round;
	int n = 1;

	while (n < TRIES_MAX && ms + (round << n) <= cfg->timeouts.resolve_ms)
		ms += round << n++;
	return n;
}

static int set_servers(struct osh_resolver *r)
{
	char list[OSH_PX_RESOLVERS_MAX * (OSH_ADDR_TEXT_MAX + 16)];
	size_t at = 0;

	if (!r->cfg->n_resolvers)
		return 0;
	for (uint32_t i = 0; i < r->cfg->n_resolvers; i++) {
		uint16_t port = r->cfg->resolver_port[i] ? r->cfg->resolver_port[i] : 53;
		bool v4 = osh_addr_is_v4(&r->cfg->resolver[i]);
		char text[OSH_ADDR_TEXT_MAX];

		(void)osh_addr_text(&r->cfg->resolver[i], text);
		at += (size_t)snprintf(list + at, sizeof(list) - at, v4 ? "%s%s:%u" : "%s[%s]:%u",
				       i ? "," : "", text, port);
	}
	return ares_set_servers_ports_csv(r->channel, list) == ARES_SUCCESS ? 0 : -EINVAL;
}

struct osh_resolver_share *osh_resolver_share_new(struct osh_resolver *r)
{
	struct osh_resolver_share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	share->resolver = r;
	osh_list_init(&share->turn);
	osh_list_init(&share->entries);
	osh_list_init(&share->queue);
	osh_list_init(&share->asked);
	return share;
}

struct osh_resolver_share *osh_resolver_share_free(struct osh_resolver_share *share)
{
	if (!share)
		return NULL;
	while (!osh_list_is_empty(&share->entries)) {
		struct entry *e = osh_list_entry(share->entries.next, struct entry, node);

		while (!osh_list_is_empty(&e->waiters))
			osh_lookup_cancel(
				osh_list_entry(e->waiters.next, struct osh_px_lookup, node));
		entry_free(e);
	}
	while (!osh_list_is_empty(&share->asked)) {
		struct query *q = osh_list_entry(share->asked.next, struct query, node);

		q->share = NULL; /* c-ares still holds it */
		osh_list_del(&q->node);
	}
	osh_list_del(&share->turn);
	free(share);
	return NULL;
}

struct osh_resolver *osh_resolver_free(struct osh_resolver *r)
{
	if (!r)
		return NULL;
	if (r->channel)
		ares_destroy(r->channel); /* ends every query through on_answer() */
	osh_timer_stop(&r->timer);
	osh_timer_stop(&r->soon);
	free(r);
	return NULL;
}

int osh_resolver_new(struct osh_loop *loop, const struct osh_px_cfg *cfg,
		     struct osh_resolver **ret_resolver)
{
	struct in_addr nowhere = { .s_addr = htonl(INADDR_LOOPBACK) }; /* replaced below */
	struct osh_resolver *r = calloc(1, sizeof(*r));
	struct ares_options opt = {
		.flags = ARES_FLAG_NOSEARCH,
		.timeout = QUERY_MS,
		.tries = tries(cfg),
		.sock_state_cb = on_sock_state,
		.sock_state_cb_data = r,
		.lookups = (char *)"b",
		.ndots = 1,
		.servers = &nowhere,
		.nservers = 1,
	};
	/* everything is given, so that c-ares reads no file: the role could not open one */
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
		   ARES_OPT_LOOKUPS | ARES_OPT_NDOTS | ARES_OPT_SERVERS | ARES_OPT_DOMAINS |
		   ARES_OPT_SORTLIST;

	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->cfg = cfg;
	osh_list_init(&r->socks);
	osh_list_init(&r->turns);
	osh_list_init(&r->answered);
	if (ares_init_options(&r->channel, &opt, mask) != ARES_SUCCESS) {
		r->channel = NULL;
		osh_resolver_free(r);
		return -EIO;
	}
	if (set_servers(r) < 0) {
		osh_resolver_free(r);
		return -EINVAL;
	}
	*ret_resolver = r;
	return 0;
}
