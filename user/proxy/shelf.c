/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

/*
 * TLS sessions that names of one sandbox share: those that one caller's connections to one address and
 * port were given. What may be resumed for which name is tls/session.c's business.
 */

enum { SHELVES_MAX = 64 }; /* per sandbox */

static void drop(struct osh_px_box *box, struct osh_px_shelf *s)
{
	osh_list_del(&s->node);
	box->n_shelves--;
	osh_tls_shelf_close(&s->tls);
	s->gone = true;
	if (!s->refs)
		free(s);
}

struct osh_px_shelf *osh_px_shelf_get(struct osh_px_box *box, const struct osh_px_who *who,
				      const struct osh_px_up *up)
{
	struct osh_px_shelf *s;
	struct osh_list *it;

	osh_list_for_each (it, &box->shelves) {
		s = osh_list_entry(it, struct osh_px_shelf, node);
		if (s->who == who->serial && s->port == up->port && s->trusted == up->trusted &&
		    !memcmp(&s->addr, &up->addr, sizeof(s->addr))) {
			osh_list_del(&s->node);
			osh_list_add_head(&box->shelves, &s->node);
			s->refs++;
			return s;
		}
	}
	if (box->n_shelves >= SHELVES_MAX)
		drop(box, osh_list_entry(box->shelves.prev, struct osh_px_shelf, node));
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->who = who->serial;
	s->addr = up->addr;
	s->port = up->port;
	s->trusted = up->trusted;
	s->refs = 1;
	osh_tls_shelf_init(&s->tls);
	osh_list_add_head(&box->shelves, &s->node);
	box->n_shelves++;
	return s;
}

void osh_px_shelf_put(struct osh_px_shelf *shelf)
{
	if (shelf && --shelf->refs == 0 && shelf->gone)
		free(shelf);
}

void osh_px_shelves_free(struct osh_px_box *box)
{
	while (!osh_list_is_empty(&box->shelves))
		drop(box, osh_list_entry(box->shelves.next, struct osh_px_shelf, node));
}
