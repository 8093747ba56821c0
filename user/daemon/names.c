/* SPDX-License-Identifier: MIT */
/*
 * Names of synthetic addresses. The monitor gives out host ids (one per name and sandbox, never
 * reused while the sandbox lives) and keeps them in the kernel's pinned table, where they survive a
 * restart of the daemon: programs cache addresses.
 */
#include "daemon/publish.h"

#include <errno.h>

#include "policy/decide.h"

enum {
	FIRST_ID = 16, /* 198.18.0.0..15 are ours: listeners, DNS */
	LAST_ID = 131071, /* a /15 */
	BUCKETS = 1024,
};

struct name {
	struct name *next; /* in its bucket */
	uint32_t id;
	char host[];
};

struct osh_names {
	struct name *by_host[BUCKETS];
	struct name **by_id; /* index id - FIRST_ID; NULL: not given out */
	uint32_t cap; /* entries of by_id */
	uint32_t count, next_id;
	uint32_t asked_by[OSH_CONFIG_WORKERS_MAX]; /* of them, by the proxy that asked first */
};

/* Sandboxes choose names, but only their own table suffers from collisions. */
static uint32_t hash_host(const char *host)
{
	uint32_t h = 2166136261u;

	for (; *host; host++)
		h = (h ^ (unsigned char)*host) * 16777619u;
	return (h ^ h >> 15) % BUCKETS;
}

static const struct name *find_host(const struct osh_names *names, const char *host)
{
	for (const struct name *n = names->by_host[hash_host(host)]; n; n = n->next)
		if (strcmp(n->host, host) == 0)
			return n;
	return NULL;
}

static int insert(struct osh_names *names, uint32_t id, const char *host)
{
	size_t len = strlen(host);
	uint32_t bucket = hash_host(host);
	struct name *n;

	if (id < FIRST_ID || id > LAST_ID)
		return -ERANGE;
	if (id - FIRST_ID >= names->cap) {
		uint32_t cap = OSH_MAX(2 * names->cap, id - FIRST_ID + 64);
		struct name **by_id = realloc(names->by_id, cap * sizeof(struct name *));

		if (!by_id)
			return -ENOMEM;
		memset(by_id + names->cap, 0, (cap - names->cap) * sizeof(struct name *));
		names->by_id = by_id;
		names->cap = cap;
	}
	n = malloc(sizeof(*n) + len + 1);
	if (!n)
		return -ENOMEM;
	n->id = id;
	memcpy(n->host, host, len + 1);
	n->next = names->by_host[bucket];
	names->by_host[bucket] = n;
	names->by_id[id - FIRST_ID] = n;
	names->count++;
	if (id >= names->next_id)
		names->next_id = id + 1;
	return 0;
}

static int load_one(uint32_t sandbox, uint32_t host_id, const char *host, void *arg)
{
	(void)sandbox;
	return insert(arg, host_id, host);
}

int osh_names_load(struct osh_sandbox *sb)
{
	int r;

	osh_names_free(sb);
	sb->names = calloc(1, sizeof(*sb->names));
	if (!sb->names)
		return -ENOMEM;
	sb->names->next_id = FIRST_ID;
	r = osh_kern_name_each(sb->m->kern, sb->id, load_one, sb->names);
	if (r < 0)
		osh_names_free(sb);
	return r;
}

void osh_names_free(struct osh_sandbox *sb)
{
	if (!sb->names)
		return;
	for (uint32_t i = 0; i < sb->names->cap; i++)
		free(sb->names->by_id[i]);
	free(sb->names->by_id);
	free(sb->names);
	sb->names = NULL;
}

int osh_names_each(const struct osh_sandbox *sb,
		   int (*fn)(uint32_t host_id, const char *host, void *arg), void *arg)
{
	for (uint32_t i = 0; sb->names && i < sb->names->cap; i++) {
		const struct name *n = sb->names->by_id[i];
		int r = n ? fn(n->id, n->host, arg) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

const char *osh_names_host(const struct osh_sandbox *sb, uint32_t host_id)
{
	const struct osh_names *names = sb->names;
	const struct name *n;

	if (!names || host_id < FIRST_ID || host_id - FIRST_ID >= names->cap)
		return NULL;
	n = names->by_id[host_id - FIRST_ID];
	return n ? n->host : NULL;
}

/*
 * A proxy asks for names that the policy could allow. One that fell must not be able to use up the
 * table with others, nor alone with those.
 */
static int may_allocate(const struct osh_sandbox *sb, const char *host, unsigned int proxy)
{
	const struct osh_names *names = sb->names;
	uint32_t max = sb->m->cfg.names_per_sandbox;
	uint32_t share = sb->m->nproxies > 1 ? max - max / 4 : max;

	if (!sb->active.image || !osh_image_host_known(sb->active.image, osh_str(host), 0))
		return -EPERM;
	if (names->next_id > LAST_ID || names->count >= max || names->asked_by[proxy] >= share)
		return -ENOSPC;
	return 0;
}

static int allocate(struct osh_sandbox *sb, const char *host, unsigned int proxy, uint32_t *ret_id)
{
	struct osh_names *names = sb->names;
	uint32_t id = names->next_id;
	int r = may_allocate(sb, host, proxy);

	if (r < 0)
		return r;
	r = osh_kern_name_put(sb->m->kern, sb->id, id, host);
	if (r < 0)
		return r;
	r = insert(names, id, host);
	if (r < 0) {
		(void)!osh_kern_name_del(sb->m->kern, sb->id, id); /* -ENOMEM is the news */
		return r;
	}
	names->asked_by[proxy]++;
	osh_kmap_add_name(sb, id, host);
	*ret_id = id;
	return 0;
}

void osh_names_on_ask(struct osh_role *role, uint64_t cookie, const struct osh_msg_name *ask)
{
	struct osh_sandbox *sb = osh_sb_by_id(role->m, ask->sandbox);
	struct osh_msg_name answer = *ask;

	answer.host[sizeof(answer.host) - 1] = '\0';
	answer.status = -ENOENT;
	if (sb && sb->names && ask->host_id) {
		const char *host = osh_names_host(sb, ask->host_id);

		if (host) {
			answer.status = 0;
			(void)osh_strlcpy(answer.host, host, sizeof(answer.host));
		}
	} else if (sb && sb->names && answer.host[0]) {
		const struct name *known = find_host(sb->names, answer.host);

		answer.status = 0;
		if (known)
			answer.host_id = known->id;
		else
			answer.status = allocate(sb, answer.host, role->index, &answer.host_id);
	}
	osh_role_send(role, OSH_MSG_NAME_INFO, cookie, &answer, sizeof(answer), NULL, 0);
}
