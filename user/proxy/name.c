/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

/*
 * Host ids of the synthetic addresses. The monitor is the authority (the kernel knows the same
 * numbers); what it said is kept for the life of the sandbox, since an id is never given to another
 * name.
 */

enum {
	NAMES_MAX = 65536, /* per sandbox; the monitor's own ceiling is lower */
	ASKS_MAX = 4096,
	ASK_AGAIN_MS = 1000,
};

static const uint8_t pool_v4[4] = { 198, 18, 0, 0 }; /* /15 */
static const uint8_t pool_v6[8] = { 0xfd, 0x23, 0x6f, 0x70, 0x65, 0x6e, 0, 0 }; /* /64 */

static uint32_t hash_of(struct osh_str s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619u;
	return h;
}

uint32_t osh_px_synthetic(const struct osh_addr *addr)
{
	const uint8_t *v4 = osh_addr_v4(addr);

	if (v4) {
		if (v4[0] != pool_v4[0] || (v4[1] & 0xfe) != pool_v4[1])
			return 0;
		return (uint32_t)(v4[1] & 1) << 16 | (uint32_t)v4[2] << 8 | v4[3];
	}
	if (memcmp(addr->b, pool_v6, sizeof(pool_v6)) != 0 || addr->b[8] || addr->b[9] ||
	    addr->b[10] || addr->b[11])
		return 0;
	return (uint32_t)addr->b[12] << 24 | (uint32_t)addr->b[13] << 16 |
	       (uint32_t)addr->b[14] << 8 | addr->b[15];
}

void osh_px_synthetic_v4(uint32_t id, uint8_t ret[4])
{
	ret[0] = pool_v4[0];
	ret[1] = (uint8_t)(pool_v4[1] | (id >> 16 & 1));
	ret[2] = (uint8_t)(id >> 8);
	ret[3] = (uint8_t)id;
}

void osh_px_synthetic_v6(uint32_t id, uint8_t ret[16])
{
	memcpy(ret, pool_v6, sizeof(pool_v6));
	memset(ret + 8, 0, 4);
	ret[12] = (uint8_t)(id >> 24);
	ret[13] = (uint8_t)(id >> 16);
	ret[14] = (uint8_t)(id >> 8);
	ret[15] = (uint8_t)id;
}

static struct osh_px_name *by_id(struct osh_px_box *box, uint32_t id)
{
	struct osh_px_name *n = box->names_by_id[id % OSH_PX_HASH];

	while (n && n->id != id)
		n = n->next_id;
	return n;
}

static struct osh_px_name *by_host(struct osh_px_box *box, struct osh_str host)
{
	struct osh_px_name *n = box->names_by_host[hash_of(host) % OSH_PX_HASH];

	while (n && !(n->len == host.n && !memcmp(n->host, host.p, host.n)))
		n = n->next_host;
	return n;
}

/* A question under way, or its refusal, remembered for a second. */
static struct osh_px_ask **ask_slot(struct osh_px_box *box, uint32_t id, struct osh_str host)
{
	struct osh_px_ask **p = &box->asks[(id ^ hash_of(host)) % OSH_PX_HASH];
	uint64_t now = osh_loop_now_ms(box->px->loop);

	while (*p) {
		struct osh_px_ask *a = *p;

		if (now - a->at_ms > ASK_AGAIN_MS) {
			*p = a->next;
			box->n_asks--;
			free(a);
			continue;
		}
		if (a->id == id && a->len == host.n && !memcmp(a->host, host.p, host.n))
			break;
		p = &a->next;
	}
	return p;
}

static int ask(struct osh_px_box *box, uint32_t id, struct osh_str host)
{
	struct osh_px_ask **slot = ask_slot(box, id, host), *a = *slot;
	struct osh_msg_name msg = { .sandbox = box->id, .host_id = id };
	struct osh_px *px = box->px;
	int r;

	if (a)
		return a->status;
	if (host.n >= sizeof(msg.host) || box->n_asks >= ASKS_MAX)
		return -ENOSPC;
	memcpy(msg.host, host.p, host.n);
	a = calloc(1, sizeof(*a) + host.n);
	if (!a)
		return -ENOMEM;
	a->id = id;
	a->status = -EAGAIN;
	a->at_ms = osh_loop_now_ms(px->loop);
	a->len = (uint16_t)host.n;
	memcpy(a->host, host.p, host.n);
	r = osh_px_link_send(px, &px->monitor, OSH_MSG_NAME_ASK, ++px->next_cookie, &msg,
			     sizeof(msg));
	if (r < 0) {
		free(a);
		return r == -EAGAIN ? -ENOBUFS : r;
	}
	*slot = a; /* end of its chain: ask_slot() stopped there */
	box->n_asks++;
	return -EAGAIN;
}

int osh_px_name_by_id(struct osh_px_box *box, uint32_t id, struct osh_str *ret_host)
{
	struct osh_px_name *n = by_id(box, id);

	if (!n)
		return ask(box, id, OSH_STR(""));
	*ret_host = (struct osh_str){ n->host, n->len };
	return 0;
}

int osh_px_name_by_host(struct osh_px_box *box, struct osh_str host, uint32_t *ret_id)
{
	struct osh_px_name *n = by_host(box, host);

	if (!n)
		return ask(box, 0, host);
	*ret_id = n->id;
	return 0;
}

/* The answer repeats what was asked: an id, a host, or (when it succeeded) both. */
static void settle(struct osh_px_box *box, uint32_t id, struct osh_str host, int status)
{
	struct osh_px_ask **slot = ask_slot(box, id, host), *a = *slot;

	if (!a)
		return;
	if (status < 0) {
		a->status = status;
		a->at_ms = osh_loop_now_ms(box->px->loop);
		return;
	}
	*slot = a->next;
	box->n_asks--;
	free(a);
}

void osh_px_on_name(struct osh_px_box *box, const struct osh_msg_name *msg)
{
	struct osh_str host = osh_str(msg->host);
	struct osh_px_name *n;
	int status = msg->status ? msg->status : !msg->host_id || !host.n ? -ENOENT : 0;
	uint32_t h;

	if (box->n_names >= NAMES_MAX && !status)
		status = -ENOSPC;
	if (msg->host_id)
		settle(box, msg->host_id, OSH_STR(""), status);
	if (host.n)
		settle(box, 0, host, status);
	if (status || by_id(box, msg->host_id))
		return;
	n = calloc(1, sizeof(*n) + host.n + 1);
	if (!n)
		return; /* asked again */
	n->id = msg->host_id;
	n->len = (uint16_t)host.n;
	memcpy(n->host, host.p, host.n);
	n->next_id = box->names_by_id[n->id % OSH_PX_HASH];
	box->names_by_id[n->id % OSH_PX_HASH] = n;
	h = hash_of(host) % OSH_PX_HASH;
	n->next_host = box->names_by_host[h];
	box->names_by_host[h] = n;
	box->n_names++;
}

void osh_px_names_free(struct osh_px_box *box)
{
	for (size_t i = 0; i < OSH_PX_HASH; i++) {
		while (box->names_by_id[i]) {
			struct osh_px_name *n = box->names_by_id[i];

			box->names_by_id[i] = n->next_id;
			free(n);
		}
		box->names_by_host[i] = NULL;
		while (box->asks[i]) {
			struct osh_px_ask *a = box->asks[i];

			box->asks[i] = a->next;
			free(a);
		}
	}
}
