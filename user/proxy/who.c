/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

enum {
	EXES_MAX = OSH_EXE_PER_SANDBOX + 1,
	ASK_AGAIN_MS = 1000, /* an executable the monitor could not resolve yet */
};

/* ---- executables ---- */

static struct osh_px_exe *exe_find(struct osh_px_box *box, uint32_t id)
{
	struct osh_px_exe *e = box->exes[id % OSH_PX_HASH];

	while (e && e->id != id)
		e = e->next;
	return e;
}

static int exe_ask(struct osh_px_box *box, struct osh_px_exe *e)
{
	struct osh_msg_exe msg = { .sandbox = box->id, .exe_id = e->id };
	struct osh_px *px = box->px;

	e->asked_ms = osh_loop_now_ms(px->loop);
	return osh_px_link_send(px, &px->monitor, OSH_MSG_EXE_ASK, ++px->next_cookie, &msg,
				sizeof(msg));
}

static void who_free(struct osh_px_box *box, struct osh_px_who *w);

static void exe_mark(struct osh_px_box *box, uint32_t id)
{
	struct osh_px_exe *e = exe_find(box, id);

	if (e)
		e->marked = true;
}

/*
 * Forget executables that no identity in use borrows from (@keep is being filled): over time there are
 * many, as the kernel gives a file that nobody ran for a while a new id.
 */
static void exes_trim(struct osh_px_box *box, const struct osh_px_who *keep)
{
	struct osh_list *it, *tmp;

	osh_list_for_each_safe (it, tmp, &box->whos) {
		struct osh_px_who *w = osh_list_entry(it, struct osh_px_who, node);

		if (!w->refs && w != keep) {
			who_free(box, w);
			continue;
		}
		exe_mark(box, w->exe);
		for (uint32_t i = 0; i < w->lineage_count; i++)
			exe_mark(box, w->lineage[i].exe);
	}
	for (size_t i = 0; i < OSH_PX_HASH; i++) {
		for (struct osh_px_exe **at = &box->exes[i]; *at;) {
			struct osh_px_exe *e = *at;

			if (e->marked || !e->known) {
				e->marked = false;
				at = &e->next;
				continue;
			}
			*at = e->next;
			box->n_exes--;
			free(e->path);
			free(e);
		}
	}
}

/*
 * 0: *ret is answered; -EAGAIN: will be. Executable 0 is nobody: *ret NULL. Without @ask what is not
 * known counts as nobody, too.
 */
static int exe_get(struct osh_px_box *box, uint32_t id, const struct osh_px_who *keep, bool ask,
		   struct osh_px_exe **ret)
{
	struct osh_px_exe *e;
	int r;

	*ret = NULL;
	if (!id)
		return 0;
	e = exe_find(box, id);
	if (!ask) {
		*ret = e && e->known ? e : NULL;
		return 0;
	}
	if (!e) {
		if (box->n_exes >= EXES_MAX)
			exes_trim(box, keep);
		if (box->n_exes >= EXES_MAX)
			return 0; /* beyond the kernel's own quota: nobody */
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->id = id;
		e->next = box->exes[id % OSH_PX_HASH];
		box->exes[id % OSH_PX_HASH] = e;
		box->n_exes++;
		r = exe_ask(box, e);
		return r < 0 ? r : -EAGAIN;
	}
	if (!e->known)
		return -EAGAIN;
	if (e->status == OSH_EXE_UNKNOWN &&
	    osh_loop_now_ms(box->px->loop) - e->asked_ms > ASK_AGAIN_MS) {
		e->known = false;
		r = exe_ask(box, e);
		return r < 0 ? r : -EAGAIN;
	}
	*ret = e;
	return 0;
}

void osh_px_on_exe(struct osh_px_box *box, const struct osh_msg_exe *msg)
{
	struct osh_px_exe *e = exe_find(box, msg->exe_id);

	if (!e)
		return;
	/* identities borrow the path: it is set once, a later answer may only change the status */
	if (!e->path && msg->status != OSH_EXE_UNKNOWN) {
		e->path = osh_str_dup(osh_str(msg->path));
		if (!e->path)
			return; /* asked again by the next connection */
	}
	e->known = true;
	e->status = msg->status;
	e->flags = msg->flags;
	memcpy(e->sha256, msg->sha256, sizeof(e->sha256));
	memcpy(e->first_sha256, msg->first_sha256, sizeof(e->first_sha256));
	box->exe_epoch++;
}

const char *osh_px_exe_path(struct osh_px_box *box, uint32_t exe)
{
	const struct osh_px_exe *e = exe ? exe_find(box, exe) : NULL;

	return e && e->path ? e->path : "";
}

/* ---- callers ---- */

static uint32_t hash_rec(const struct osh_flow_rec *rec, uint32_t n)
{
	uint32_t h = 2166136261u ^ rec->exe;

	h = (h * 16777619u) ^ (rec->flags & OSH_RUN_TAINTED);
	for (uint32_t i = 0; i < n; i++) {
		h = (h * 16777619u) ^ rec->lineage[i].exe;
		h = (h * 16777619u) ^ (rec->lineage[i].flags & OSH_RUN_TAINTED);
	}
	return h * 2654435761u;
}

static struct osh_px_who *who_find(struct osh_px_box *box, const struct osh_flow_rec *rec,
				   uint32_t hash, uint32_t n)
{
	struct osh_px_who *w;

	for (w = box->who_hash[hash % OSH_PX_HASH]; w; w = w->next) {
		if (w->hash != hash || w->exe != rec->exe || w->lineage_count != n ||
		    w->run_flags != (rec->flags & OSH_RUN_TAINTED))
			continue;
		if (!memcmp(w->lineage, rec->lineage, n * sizeof(w->lineage[0])))
			return w;
	}
	return NULL;
}

static void who_free(struct osh_px_box *box, struct osh_px_who *w)
{
	struct osh_px_who **p = &box->who_hash[w->hash % OSH_PX_HASH];

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	osh_list_del(&w->node);
	box->n_whos--;
	osh_idclass_free(w->cls);
	free(w);
}

static void who_evict(struct osh_px_box *box)
{
	struct osh_list *it, *prev;

	for (it = box->whos.prev; it != &box->whos; it = prev) {
		struct osh_px_who *w = osh_list_entry(it, struct osh_px_who, node);

		prev = it->prev;
		if (!w->refs) {
			who_free(box, w);
			return;
		}
	}
}

static struct osh_px_who *who_new(struct osh_px_box *box, const struct osh_flow_rec *rec,
				  uint32_t hash, uint32_t n)
{
	struct osh_px_who *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (box->n_whos >= box->px->cfg.limits.identities)
		who_evict(box); /* all in use: one more is bounded by the connections */
	w->serial = ++box->px->next_who;
	w->hash = hash;
	w->exe = rec->exe;
	w->run_flags = rec->flags & OSH_RUN_TAINTED;
	w->lineage_count = n;
	memcpy(w->lineage, rec->lineage, n * sizeof(w->lineage[0]));
	w->next = box->who_hash[hash % OSH_PX_HASH];
	box->who_hash[hash % OSH_PX_HASH] = w;
	osh_list_add_head(&box->whos, &w->node);
	box->n_whos++;
	return w;
}

static struct osh_identity_exe usable(const struct osh_px_exe *e)
{
	if (!e || e->status != OSH_EXE_OK || !e->path || (e->flags & OSH_EXE_UNUSABLE))
		return (struct osh_identity_exe){ OSH_STR("") };
	return (struct osh_identity_exe){ osh_str(e->path), e->sha256 };
}

/*
 * Fill the identity from the executables' answers. All are asked for before the first wait; of a
 * connection that lives already (!@ask) only what became known since counts.
 */
static int who_fill(struct osh_px_box *box, struct osh_px_who *w, bool ask)
{
	struct osh_px_exe *self, *anc[OSH_LINEAGE_MAX];
	int wait = exe_get(box, w->exe, w, ask, &self);

	for (uint32_t i = 0; i < w->lineage_count; i++) {
		int r = exe_get(box, w->lineage[i].exe, w, ask, &anc[i]);

		if (r < 0)
			wait = r;
	}
	if (wait < 0)
		return wait;
	w->mismatch = self && self->status == OSH_EXE_MISMATCH;
	w->id = (struct osh_identity){
		.self = usable(self),
		.ancestors = w->anc,
		.nancestors = w->lineage_count,
		.tainted = w->run_flags != 0,
	};
	for (uint32_t i = 0; i < w->lineage_count; i++) {
		w->anc[i] = usable(anc[i]);
		if (anc[i] && anc[i]->status == OSH_EXE_MISMATCH)
			w->mismatch = true;
		/* an ancestor that was more than its binary lends no name to its children */
		if (w->lineage[i].flags & OSH_RUN_TAINTED)
			w->anc[i] = usable(NULL);
	}
	w->epoch = box->exe_epoch;
	w->cls = osh_idclass_free(w->cls);
	return 0;
}

int osh_px_who_get(struct osh_px_box *box, const struct osh_flow_rec *rec,
		   struct osh_px_who **ret_who)
{
	uint32_t n = OSH_MIN(rec->lineage_count, (uint32_t)OSH_LINEAGE_MAX);
	uint32_t hash = hash_rec(rec, n);
	struct osh_px_who *w = who_find(box, rec, hash, n);
	int r;

	if (!w)
		w = who_new(box, rec, hash, n);
	if (!w)
		return -ENOMEM;
	if (w->epoch != box->exe_epoch || !w->epoch) {
		r = who_fill(box, w, true);
		if (r < 0)
			return r;
	}
	if (box->whos.next != &w->node) {
		osh_list_del(&w->node);
		osh_list_add_head(&box->whos, &w->node);
	}
	w->refs++;
	*ret_who = w;
	return 0;
}

void osh_px_who_put(struct osh_px_box *box, struct osh_px_who *who)
{
	who->refs--;
	if (!who->refs && box->n_whos > box->px->cfg.limits.identities)
		who_free(box, who);
}

const struct osh_idclass *osh_px_who_class(struct osh_px_box *box, struct osh_px_who *who)
{
	if (!box->now.img)
		return NULL;
	/* an executable may have turned out to be changed since */
	if (who->epoch != box->exe_epoch && who_fill(box, who, false) < 0) {
		who->epoch = 0;
		return NULL;
	}
	if (who->cls && who->cls_gen == box->now.generation)
		return who->cls;
	who->cls = osh_idclass_free(who->cls);
	if (osh_idclass_new(box->now.img, &who->id, &who->cls) < 0)
		return NULL;
	who->cls_gen = box->now.generation;
	return who->cls;
}

void osh_px_whos_free(struct osh_px_box *box)
{
	while (!osh_list_is_empty(&box->whos))
		who_free(box, osh_list_entry(box->whos.next, struct osh_px_who, node));
	for (size_t i = 0; i < OSH_PX_HASH; i++) {
		while (box->exes[i]) {
			struct osh_px_exe *e = box->exes[i];

			box->exes[i] = e->next;
			free(e->path);
			free(e);
		}
	}
}
