/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

/*
 * Certificates before they are needed: a policy's literal host names get theirs when it becomes active,
 * a few at a time, so that the first connection does not wait for the signer. They take only room that
 * is free, and are the first to go when somebody needs it.
 */

enum {
	AHEAD_MAX = 256, /* names per policy */
	AHEAD_BATCH = 16, /* per turn; the signer gives a proxy's sandbox 2048 a second */
	AHEAD_MS = 100,
	SITES_SHARE = 2, /* at most one part in so many of the sandbox's sites */
};

/* 1: asked; 0: nothing to do; negative: no more for now */
static int prepare(struct osh_px_box *box, const struct osh_image_target *t)
{
	struct osh_px_site *site;
	struct osh_addr addr;
	int r;

	if (!t->inspected || t->is_glob || !t->host.n || !osh_addr_parse(t->host, &addr) ||
	    osh_px_site_known(box, t->host))
		return 0;
	if (box->n_sites >= box->px->cfg.limits.sites / SITES_SHARE)
		return -ENOSPC;
	r = osh_px_site_get(box, t->host, &site);
	if (r < 0)
		return r;
	r = osh_px_site_prepare(site);
	osh_px_site_put(site);
	return r < 0 ? r : 1;
}

static void on_ahead(struct osh_timer *timer)
{
	struct osh_px_box *box = osh_container_of(timer, struct osh_px_box, ahead);
	size_t n = osh_image_target_count(box->now.img);
	unsigned int batch = AHEAD_BATCH;

	for (; box->ahead_next < n && batch && box->ahead_left; box->ahead_next++) {
		struct osh_image_target t;
		int r;

		osh_image_target(box->now.img, box->ahead_next, &t);
		r = prepare(box, &t);
		if (r < 0)
			return; /* whoever connects asks for himself */
		batch -= (unsigned int)r;
		box->ahead_left -= (unsigned int)r;
	}
	if (box->ahead_next < n && box->ahead_left)
		osh_timer_set(box->px->loop, &box->ahead, AHEAD_MS, on_ahead);
}

void osh_px_ahead_begin(struct osh_px_box *box)
{
	box->ahead_next = 0;
	box->ahead_left = AHEAD_MAX;
	osh_timer_set(box->px->loop, &box->ahead, AHEAD_MS, on_ahead);
}
