/* SPDX-License-Identifier: MIT */
#include "http/denybody.h"
#include "proxy/worker.h"

#include <time.h>

/*
 * Denied requests. Programs that are refused try again, so that answer and event of the last few
 * different denials are kept ready-made. Only their text is: the decision is made anew each time.
 */

enum {
	KEY_MAX = 1024,
	READY_MAX_BYTES = 8192, /* larger ones are made anew */
};

/* Everything that the texts are made of; two strings follow. */
struct key {
	uint64_t generation, who;
	uint32_t epoch, sandbox;
	uint16_t port, host_len, method_len, path_len;
	uint8_t flags[8];
};

struct osh_px_denied {
	size_t key_len, rec_len, answer_len;
	char bytes[]; /* key, event, answer */
};

void osh_px_deny_free(struct osh_px *px)
{
	for (size_t i = 0; i < OSH_PX_DENIED; i++) {
		free(px->denied[i]);
		px->denied[i] = NULL;
	}
}

void osh_px_request_event(struct osh_px_conn *c, const struct osh_req_verdict *v,
			  const struct osh_request_facts *facts, struct osh_str reason,
			  struct osh_rec *ret_rec)
{
	static const enum osh_rec_verdict verdicts[] = {
		[OSH_DECISION_DENY] = OSH_REC_DENY,
		[OSH_DECISION_ALLOW] = OSH_REC_ALLOW,
		[OSH_DECISION_AUDIT] = OSH_REC_AUDIT,
	};
	enum osh_rec_verdict verdict = verdicts[v->verdict];

	if (verdict == OSH_REC_ALLOW && c->upgrade)
		verdict = OSH_REC_ALLOW_UPGRADE;
	osh_px_event_begin(c, ret_rec, OSH_REC_L7, verdict, v->reason);
	osh_rec_set(ret_rec, OSH_REC_METHOD, facts->method);
	osh_rec_set(ret_rec, OSH_REC_PATH, facts->path);
	osh_rec_set(ret_rec, OSH_REC_POLICY_KEY, v->key);
	osh_rec_set(ret_rec, OSH_REC_POLICY_NAME, v->name);
	osh_rec_set_z(ret_rec, OSH_REC_ENGINE, "l7");
	osh_rec_set_z(ret_rec, OSH_REC_PROTOCOL, "rest");
	if (reason.n)
		osh_rec_set(ret_rec, OSH_REC_REASON, reason);
	if (v->verdict == OSH_DECISION_DENY)
		ret_rec->http_status = 403;
}

/* ---- ready-made ones ---- */

static size_t make_key(const struct osh_px_conn *c, const struct osh_req_verdict *v,
		       const struct osh_request_facts *facts, bool keep, char dst[KEY_MAX])
{
	struct osh_str host = osh_px_conn_host(c);
	struct key key = {
		.generation = c->box->now.generation,
		.who = c->who->serial,
		.epoch = c->who->epoch,
		.sandbox = c->box->id,
		.port = c->port,
		.host_len = (uint16_t)host.n,
		.method_len = (uint16_t)facts->method.n,
		.path_len = (uint16_t)facts->path.n,
		.flags = { keep, c->is_head, c->tls, c->kind, c->upgrade, (uint8_t)v->reason,
			   facts->query != NULL, facts->has_body },
	};
	size_t n = sizeof(key);

	if (n + host.n + facts->method.n + facts->path.n > KEY_MAX || facts->path.n > UINT16_MAX)
		return 0;
	memcpy(dst, &key, n);
	memcpy(dst + n, host.p, host.n);
	n += host.n;
	memcpy(dst + n, facts->method.p, facts->method.n);
	n += facts->method.n;
	memcpy(dst + n, facts->path.p, facts->path.n);
	return n + facts->path.n;
}

static struct osh_px_denied **slot_of(struct osh_px *px, const char *key, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)key[i]) * 16777619u;
	return &px->denied[h % OSH_PX_DENIED];
}

static void remember(struct osh_px_denied **slot, const char *key, size_t key_len,
		     const struct osh_rec *rec, struct osh_str answer)
{
	struct osh_px_denied *d;

	if (!key_len || key_len + rec->size + answer.n > READY_MAX_BYTES)
		return;
	d = malloc(sizeof(*d) + key_len + rec->size + answer.n);
	if (!d)
		return; /* made anew the next time */
	*d = (struct osh_px_denied){ key_len, rec->size, answer.n };
	memcpy(d->bytes, key, key_len);
	memcpy(d->bytes + key_len, rec, rec->size);
	memcpy(d->bytes + key_len + rec->size, answer.p, answer.n);
	free(*slot);
	*slot = d;
}

static int replay(struct osh_px_conn *c, const struct osh_px_denied *d)
{
	struct timespec t;
	struct osh_rec rec;

	memcpy(&rec, d->bytes + d->key_len, d->rec_len);
	clock_gettime(CLOCK_REALTIME, &t);
	rec.time_ns = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
	rec.flow = c->flow;
	rec.pid = c->pid;
	rec.uid = c->uid;
	osh_px_event_put(c->box->px, &rec);
	return osh_chan_write(&c->chan, d->bytes + d->key_len + d->rec_len, d->answer_len);
}

/* ---- making one ---- */

static int make(struct osh_px_conn *c, const struct osh_req_verdict *v,
		const struct osh_request_facts *facts, bool keep, struct osh_rec *ret_rec,
		struct osh_str *ret_answer)
{
	struct osh_px *px = c->box->px;
	struct osh_deny_l7 d = {
		.policy_key = v->key,
		.policy_name = v->name,
		.method = facts->method,
		.path = facts->path,
		.binary = c->who->id.self.path,
		.host = osh_px_conn_host(c),
		.port = c->port,
		.head_request = c->is_head,
		.keep_alive = keep,
	};
	size_t at;
	int r;

	osh_buf_reset(&px->out);
	r = osh_req_reason(v, facts, &px->out);
	if (r < 0)
		return r;
	at = px->out.len;
	/* the answer is built behind the reason it quotes: make sure that it stays where it is */
	r = osh_buf_reserve(&px->out, 8 * (at + facts->path.n + facts->method.n) + 16384);
	if (r < 0)
		return r;
	d.detail = (struct osh_str){ px->out.data, at };
	osh_px_request_event(c, v, facts, d.detail, ret_rec);
	r = osh_deny_l7_response(&d, &px->out);
	*ret_answer = osh_str_sub(osh_buf_str(&px->out), at, px->out.len);
	return r;
}

int osh_px_deny(struct osh_px_conn *c, const struct osh_req_verdict *v,
		const struct osh_request_facts *facts)
{
	struct osh_px *px = c->box->px;
	bool keep = osh_px_may_keep(c);
	struct osh_px_denied **slot;
	struct osh_str answer;
	struct osh_rec rec;
	char key[KEY_MAX];
	size_t n;
	int r;

	px->stats.denied_requests++;
	/* texts about bodies and routes are not made of the key alone */
	n = v->text || v->text_arg ? 0 : make_key(c, v, facts, keep, key);
	slot = slot_of(px, key, n);
	if (n && *slot && (*slot)->key_len == n && !memcmp((*slot)->bytes, key, n)) {
		r = replay(c, *slot);
		return r < 0 ? r : osh_px_answered(c, keep);
	}
	r = make(c, v, facts, keep, &rec, &answer);
	if (r < 0)
		return r;
	remember(slot, key, n, &rec, answer);
	osh_px_event_put(px, &rec);
	r = osh_chan_write(&c->chan, answer.p, answer.n);
	return r < 0 ? r : osh_px_answered(c, keep);
}
