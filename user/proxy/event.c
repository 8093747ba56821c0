/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

#include <arpa/inet.h>
#include <time.h>

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void osh_px_event_begin(struct osh_px_conn *c, struct osh_rec *rec, enum osh_rec_class class,
			enum osh_rec_verdict verdict, enum osh_reason reason)
{
	const struct osh_px_who *w = c->who;

	osh_rec_init(rec, class, verdict, wall_ns());
	rec->reason = (uint16_t)reason;
	rec->port = c->port;
	rec->pid = c->pid;
	rec->uid = c->uid;
	rec->sandbox_id = c->box->id;
	rec->generation = c->box->now.generation;
	rec->flow = c->flow;
	if (c->kind == OSH_FLOW_EXPLICIT)
		rec->flags |= OSH_REC_EXPLICIT;
	if (c->tls)
		rec->flags |= OSH_REC_TLS_INSPECTED;
	osh_rec_set(rec, OSH_REC_HOST, osh_px_conn_host(c));
	if (!w)
		return;
	osh_rec_set(rec, OSH_REC_BINARY, w->id.self.path);
	for (size_t i = 0; i < w->id.nancestors; i++)
		if (w->id.ancestors[i].path.n)
			osh_rec_add_ancestor(rec, w->id.ancestors[i].path);
}

void osh_px_event_put(struct osh_px *px, const struct osh_rec *rec)
{
	if (!px->ring)
		return;
	/* the ring counts what it drops, and the monitor logs the count */
	if (!osh_ring_put(px->ring, rec, rec->size))
		px->stats.events_lost++;
}

/* What the policy refuses is called the same in every record; the reason code says which it was. */
static const char *text_of(enum osh_reason reason)
{
	switch (reason) {
	case OSH_REASON_NO_POLICY:
	case OSH_REASON_NO_ENDPOINT:
	case OSH_REASON_NO_BINARY:
		return osh_conn_reason(&(struct osh_conn_verdict){ .reason = reason });
	default:
		return osh_reason_text(reason);
	}
}

void osh_px_event(struct osh_px_conn *c, enum osh_rec_class class, enum osh_rec_verdict verdict,
		  enum osh_reason reason, const char *engine, struct osh_str detail)
{
	struct osh_rec rec;

	osh_px_event_begin(c, &rec, class, verdict, reason);
	osh_rec_set_z(&rec, OSH_REC_ENGINE, engine);
	osh_rec_set_z(&rec, OSH_REC_REASON, text_of(reason));
	if (detail.n)
		osh_rec_set(&rec, OSH_REC_DETAIL, detail);
	osh_px_event_put(c->box->px, &rec);
}
