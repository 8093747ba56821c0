/* SPDX-License-Identifier: MIT */
#include "proxy/resolve.h"

#include "policy/host.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

enum {
	BUCKETS = 512,
	QUERY_MS = 2000,
	TRIES = 2,
	TTL_MIN_S = 1,
	TTL_MAX_S = 60,
	TTL_FAILED_S = 1,
};

struct entry {
	struct osh_list node; /* most recently used first */
	struct entry *next;
	struct osh_resolver *resolver;
	uint32_t hash;
	bool pending;
	int status; /* 0 or negative errno, once not pending */
	uint64_t expires_ms;
	struct osh_list waiters;
	struct osh_px_addrs addrs;
	uint16_t len;
	char host[]; /* NUL-terminated */
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
	struct osh_timer timer;
	struct osh_list entries;
	struct entry *bucket[BUCKETS];
	uint32_t n_entries, inflight;
	bool closing;
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
	arm(r);
}

static void on_socket(struct osh_src *src, uint32_t events)
{
	struct sock *s = osh_container_of(src, struct sock, src);
	struct osh_resolver *r = s->resolver;
	int fd = src->fd;
	bool in = events & (EPOLLIN | EPOLLHUP | EPOLLERR), out = events & EPOLLOUT;

	ares_process_fd(r->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
	arm(r);
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

static void entry_free(struct entry *e)
{
	struct osh_resolver *r = e->resolver;
	struct entry **p = &r->bucket[e->hash % BUCKETS];

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	osh_list_del(&e->node);
	r->n_entries--;
	free(e);
}

static struct entry *entry_find(struct osh_resolver *r, struct osh_str host, uint32_t hash)
{
	struct entry *e = r->bucket[hash % BUCKETS];

	while (e && !(e->hash == hash && e->len == host.n && !memcmp(e->host, host.p, host.n)))
		e = e->next;
	return e;
}

static bool evict(struct osh_resolver *r)
{
	struct osh_list *it;

	for (it = r->entries.prev; it != &r->entries; it = it->prev) {
		struct entry *e = osh_list_entry(it, struct entry, node);

		if (!e->pending) {
			entry_free(e);
			return true;
		}
	}
	return false;
}

static struct entry *entry_new(struct osh_resolver *r, struct osh_str host, uint32_t hash)
{
	struct entry *e;

	if (r->n_entries >= r->cfg->limits.dns_cache && !evict(r))
		return NULL;
	e = calloc(1, sizeof(*e) + host.n + 1);
	if (!e)
		return NULL;
	e->resolver = r;
	e->hash = hash;
	e->len = (uint16_t)host.n;
	memcpy(e->host, host.p, host.n);
	osh_list_init(&e->waiters);
	e->next = r->bucket[hash % BUCKETS];
	r->bucket[hash % BUCKETS] = e;
	osh_list_add_head(&r->entries, &e->node);
	r->n_entries++;
	return e;
}

static void wake(struct entry *e)
{
	while (!osh_list_is_empty(&e->waiters)) {
		struct osh_px_lookup *l = osh_list_entry(e->waiters.next, struct osh_px_lookup,
							 node);

		osh_lookup_cancel(l);
		l->fn(l);
	}
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

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct entry *e = arg;
	struct osh_resolver *r = e->resolver;
	uint32_t ttl_s = TTL_MAX_S;

	(void)timeouts;
	r->inflight--;
	e->pending = false;
	e->addrs = (struct osh_px_addrs){ 0 };
	if (status == ARES_SUCCESS) {
		for (struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
			add_node(&e->addrs, n);
			if (n->ai_ttl >= 0)
				ttl_s = OSH_MIN(ttl_s, (uint32_t)n->ai_ttl);
		}
	}
	if (info)
		ares_freeaddrinfo(info);
	e->status = e->addrs.n ? 0 : status == ARES_ETIMEOUT ? -ETIMEDOUT : -EHOSTUNREACH;
	ttl_s = e->status ? TTL_FAILED_S : OSH_MAX(ttl_s, (uint32_t)TTL_MIN_S);
	e->expires_ms = osh_loop_now_ms(r->loop) + ttl_s * 1000ull;
	if (!r->closing)
		wake(e);
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

static void ask(struct osh_resolver *r, struct entry *e)
{
	/* a final dot keeps the resolver from trying search domains */
	char name[OSH_HOST_MAX + 2];
	struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};

	snprintf(name, sizeof(name), "%s%s", e->host,
		 e->len && e->host[e->len - 1] == '.' ? "" : ".");
	e->pending = true;
	r->inflight++;
	ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, e);
	arm(r);
}

int osh_resolve(struct osh_resolver *r, struct osh_str host, struct osh_px_lookup *lookup,
		struct osh_px_addrs *ret_addrs)
{
	struct osh_addr literal;
	struct entry *e;
	uint32_t hash;

	if (from_table(r, host, ret_addrs))
		return 0;
	if (!osh_addr_parse(host, &literal)) {
		*ret_addrs = (struct osh_px_addrs){ .addr = { literal }, .n = 1 };
		return 0;
	}
	/* "127.1" and its kind: some resolver would read it as an address */
	if (host.n > OSH_HOST_MAX || osh_host_is_numeric_name(host) || !r->cfg->n_resolvers)
		return -EHOSTUNREACH;
	hash = hash_of(host);
	e = entry_find(r, host, hash);
	if (e && !e->pending && e->expires_ms > osh_loop_now_ms(r->loop)) {
		osh_list_del(&e->node);
		osh_list_add_head(&r->entries, &e->node);
		if (!e->status)
			*ret_addrs = e->addrs;
		return e->status;
	}
	if (!e || !e->pending) {
		if (r->inflight >= r->cfg->limits.dns_inflight)
			return -EBUSY;
		if (!e)
			e = entry_new(r, host, hash);
		if (!e)
			return -ENOMEM;
		/* c-ares may answer at once (hosts file): then there is nothing to wait for */
		ask(r, e);
		if (!e->pending) {
			if (!e->status)
				*ret_addrs = e->addrs;
			return e->status;
		}
	}
	if (!lookup->waiting) {
		lookup->waiting = true;
		osh_list_add_tail(&e->waiters, &lookup->node);
	}
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
	case -EHOSTUNREACH:
		return "name not found or without address";
	case -ETIMEDOUT:
		return "resolver timed out";
	case -EBUSY:
		return "too many lookups under way";
	default:
		return "resolver failed";
	}
}

/* ---- life ---- */

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

struct osh_resolver *osh_resolver_free(struct osh_resolver *r)
{
	if (!r)
		return NULL;
	r->closing = true;
	if (r->channel)
		ares_destroy(r->channel); /* ends every query through on_answer() */
	while (!osh_list_is_empty(&r->entries)) {
		struct entry *e = osh_list_entry(r->entries.next, struct entry, node);

		while (!osh_list_is_empty(&e->waiters))
			osh_lookup_cancel(
				osh_list_entry(e->waiters.next, struct osh_px_lookup, node));
		entry_free(e);
	}
	osh_timer_stop(&r->timer);
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
		.tries = TRIES,
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
	osh_list_init(&r->entries);
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
