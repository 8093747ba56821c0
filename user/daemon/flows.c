/* SPDX-License-Identifier: MIT */
/* Questions to all proxies (live flows, statistics) whose answers are collected for one caller. */
#include "daemon/flows.h"

#include <errno.h>

enum { ANSWER_MS = 2000, COLLECT_MAX = 4 << 20 };

struct osh_flows_ask {
	struct osh_list node;
	uint64_t cookie;
	uint32_t type; /* of the answer */
	uint64_t waiting; /* bit per proxy */
	struct osh_buf items; /* comma-separated JSON */
	struct osh_timer deadline;
	osh_flows_fn *done;
	void *arg;
};

static struct osh_list asks = { &asks, &asks };
static uint64_t next_cookie = 1;

static void finish(struct osh_flows_ask *ask)
{
	osh_timer_stop(&ask->deadline);
	osh_list_del(&ask->node);
	ask->done(osh_buf_str(&ask->items), ask->arg);
	osh_buf_fini(&ask->items);
	free(ask);
}

static void on_deadline(struct osh_timer *timer)
{
	finish(osh_container_of(timer, struct osh_flows_ask, deadline)); /* what came is shown */
}

int osh_flows_collect(struct osh_monitor *m, bool stats, osh_flows_fn *done, void *arg)
{
	struct osh_flows_ask *ask = calloc(1, sizeof(*ask));

	if (!ask)
		return -ENOMEM;
	ask->cookie = next_cookie++;
	ask->type = stats ? OSH_MSG_STATS : OSH_MSG_FLOWS;
	ask->done = done;
	ask->arg = arg;
	osh_buf_init(&ask->items, COLLECT_MAX, 0);
	osh_list_add_tail(&asks, &ask->node);
	for (unsigned int i = 0; i < m->nproxies; i++) {
		if (m->proxies[i].state != OSH_ROLE_READY)
			continue;
		ask->waiting |= UINT64_C(1) << i;
		osh_role_send(&m->proxies[i], stats ? OSH_MSG_STATS_ASK : OSH_MSG_FLOWS_ASK,
			      ask->cookie, NULL, 0, NULL, 0);
	}
	osh_timer_set(m->loop, &ask->deadline, ask->waiting ? ANSWER_MS : 0, on_deadline);
	return 0;
}

static struct osh_flows_ask *find(uint64_t cookie)
{
	struct osh_list *it;

	osh_list_for_each (it, &asks) {
		struct osh_flows_ask *ask = osh_list_entry(it, struct osh_flows_ask, node);

		if (ask->cookie == cookie)
			return ask;
	}
	return NULL;
}

/* Inside of a JSON array ("[...]"), checked to be JSON: the writer is a proxy. */
static int add_items(struct osh_flows_ask *ask, struct osh_str json, bool array)
{
	osh_auto_jval struct osh_jval *v = NULL;
	int r = osh_json_parse(json, &v, NULL, 0);

	if (r < 0)
		return r;
	if (osh_jval_type(v) != (array ? OSH_JSON_ARR : OSH_JSON_OBJ))
		return -EBADMSG;
	if (array && !osh_jval_len(v))
		return 0;
	if (array)
		json = osh_str_sub(json, 1, json.n - 2);
	if (ask->items.len && osh_buf_add_c(&ask->items, ',') < 0)
		return 0; /* the table is cut at its ceiling */
	if (osh_buf_add_str(&ask->items, json) < 0 && ask->items.len)
		ask->items.data[--ask->items.len] = '\0'; /* take the comma back */
	return 0;
}

int osh_flows_on_msg(struct osh_role *role, uint32_t type, uint64_t cookie, struct osh_str json)
{
	struct osh_flows_ask *ask = find(cookie);
	bool flows = type == OSH_MSG_FLOWS;
	int r;

	if (!ask || ask->type != type || !(ask->waiting >> role->index & 1))
		return 0; /* too late */
	if (json.n) {
		r = add_items(ask, json, flows);
		if (r < 0)
			return r;
		if (flows)
			return 0; /* an empty message ends the list */
	}
	ask->waiting &= ~(UINT64_C(1) << role->index);
	if (!ask->waiting)
		finish(ask);
	return 0;
}
