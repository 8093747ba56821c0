/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"
#include "sys/fs.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>

struct osh_px_box *osh_px_box_find(struct osh_px *px, uint32_t id)
{
	struct osh_list *it;

	osh_list_for_each (it, &px->boxes) {
		struct osh_px_box *box = osh_list_entry(it, struct osh_px_box, node);

		if (box->id == id && !box->gone)
			return box;
	}
	return NULL;
}

/* ---- policy images ---- */

static void image_close(struct osh_px_image *image)
{
	if (image->map)
		(void)munmap((void *)(uintptr_t)image->map, image->bytes);
	*image = (struct osh_px_image){ 0 };
}

int osh_px_box_load(struct osh_px_box *box, int fd, uint64_t generation)
{
	struct osh_px_image image = { .generation = generation };
	int r;

	r = osh_fs_map_sealed(fd, OSH_IMAGE_MAX_BYTES, &image.map, &image.bytes);
	if (r < 0)
		return r;
	r = osh_image_open(image.map, image.bytes, &image.img);
	if (!r && osh_image_generation(image.img) != generation)
		r = -EBADMSG;
	if (r < 0) {
		image_close(&image);
		return r;
	}
	image_close(&box->next);
	box->next = image;
	return 0;
}

int osh_px_box_switch(struct osh_px_box *box, uint64_t generation)
{
	struct osh_px_image old = box->now;
	struct osh_list *it, *tmp;

	if (!box->next.img || box->next.generation != generation)
		return -ESTALE;
	box->now = box->next;
	box->next = (struct osh_px_image){ 0 };
	image_close(&old); /* nothing keeps pointers into an image across turns */
	osh_list_for_each_safe (it, tmp, &box->conns)
		osh_px_conn_reevaluate(osh_list_entry(it, struct osh_px_conn, node));
	osh_px_box_start(box);
	osh_px_ahead_begin(box);
	return 0;
}

/* ---- listeners ---- */

/*
 * Accepted sockets inherit both. Failing costs speed only: no delay towards the client, and no pacing
 * (it is for networks, this hop is memory).
 */
static void tune(int fd)
{
	const int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

void osh_px_box_start(struct osh_px_box *box)
{
	/*
	 * Who connects before the first policy is here waits instead of being refused: after a restart
	 * of the daemon there may be many in the queue.
	 */
	if (!box->now.img || !box->px->started || box->px->draining)
		return;
	for (int i = 0; i < OSH_SBFD_COUNT; i++) {
		struct osh_px_listener *l = &box->listener[i];
		bool udp = i == OSH_SBFD_DNS_UDP4 || i == OSH_SBFD_DNS_UDP6;

		if (l->fd < 0 || l->src.loop)
			continue;
		if (!udp)
			tune(l->fd);
		/* a listener that cannot be polled leaves its connections waiting, not open */
		if (osh_src_add(box->px->loop, &l->src, l->fd, EPOLLIN, 0,
				udp ? osh_px_on_dns_udp : osh_px_on_listener,
				udp ? "dns" : "listener") < 0)
			continue;
	}
}

void osh_px_box_stop(struct osh_px_box *box)
{
	osh_timer_stop(&box->ahead);
	for (int i = 0; i < OSH_SBFD_COUNT; i++) {
		struct osh_px_listener *l = &box->listener[i];

		osh_timer_stop(&l->pause);
		osh_src_del(&l->src);
		if (l->fd >= 0)
			close(l->fd);
		l->fd = -1;
	}
}

void osh_px_box_drain(struct osh_px_box *box)
{
	struct osh_list *it, *tmp;

	osh_px_box_stop(box);
	osh_list_for_each_safe (it, tmp, &box->conns) {
		struct osh_px_conn *c = osh_list_entry(it, struct osh_px_conn, node);

		if (c->state == OSH_PX_REQUEST && !c->head && !c->in.len)
			osh_px_conn_close(c, false);
	}
}

/* ---- life ---- */

static struct osh_px_box *box_free(struct osh_px_box *box)
{
	if (!box)
		return NULL;
	osh_px_box_stop(box);
	osh_tls_scope_free(box->scope);
	osh_resolver_share_free(box->names);
	image_close(&box->now);
	image_close(&box->next);
	free(box);
	return NULL;
}

int osh_px_box_add(struct osh_px *px, const struct osh_msg_sandbox *msg,
		   int take_fds[OSH_SBFD_COUNT])
{
	struct osh_ticket_seed seed = { .epoch = msg->ticket_epoch };
	struct osh_px_box *box = NULL;
	int r = -EEXIST;

	memcpy(seed.secret, msg->ticket_secret, sizeof(seed.secret));
	if (msg->id && !osh_px_box_find(px, msg->id)) {
		box = calloc(1, sizeof(*box));
		r = box ? osh_tls_scope_new(&seed, msg->id, osh_str(msg->ca_pem), &box->scope)
			: -ENOMEM;
		if (!r) {
			box->names = osh_resolver_share_new(px->resolver);
			r = box->names ? 0 : -ENOMEM;
		}
	}
	osh_ticket_seed_wipe(&seed);
	for (int i = 0; i < OSH_SBFD_COUNT; i++) {
		if (box)
			box->listener[i] = (struct osh_px_listener){
				.box = box,
				.which = (enum osh_sandbox_fd)i,
				.fd = take_fds[i],
			};
		else if (take_fds[i] >= 0)
			close(take_fds[i]);
		take_fds[i] = -1;
	}
	if (r < 0) {
		box_free(box);
		return r;
	}
	box->px = px;
	box->id = msg->id;
	(void)osh_strlcpy(box->name, msg->name, sizeof(box->name));
	osh_list_init(&box->whos);
	osh_list_init(&box->sites);
	osh_list_init(&box->shelves);
	osh_list_init(&box->conns);
	osh_list_init(&box->waiting);
	osh_list_init(&box->dns_conns);
	osh_list_init(&box->dns_waits);
	box->exe_epoch = 1;
	osh_list_add_tail(&px->boxes, &box->node);
	return 0;
}

void osh_px_box_del(struct osh_px_box *box)
{
	box->gone = true;
	osh_px_box_stop(box);
	osh_px_dns_free(box);
	while (!osh_list_is_empty(&box->conns))
		osh_px_conn_close(osh_list_entry(box->conns.next, struct osh_px_conn, node), true);
	osh_px_sites_free(box);
	osh_px_shelves_free(box);
	osh_px_whos_free(box);
	osh_px_names_free(box);
	osh_list_del(&box->node);
	box_free(box);
}

void osh_px_box_wake(struct osh_px_box *box)
{
	struct osh_list todo;

	/* who still has to wait queues up again behind */
	osh_list_init(&todo);
	while (!osh_list_is_empty(&box->waiting)) {
		struct osh_list *node = box->waiting.next;

		osh_list_del(node);
		osh_list_add_tail(&todo, node);
	}
	while (!osh_list_is_empty(&todo)) {
		struct osh_px_conn *c = osh_list_entry(todo.next, struct osh_px_conn, wait);

		osh_list_del(&c->wait);
		osh_px_conn_run(c);
	}
	osh_px_dns_wake(box);
}
