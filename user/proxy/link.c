/* SPDX-License-Identifier: MIT */
#include "io/seqpkt.h"
#include "proxy/worker.h"

enum { QUEUE_MAX = 4096 };

struct queued {
	struct osh_list node;
	uint32_t type;
	uint64_t cookie;
	size_t n;
	char body[];
};

int osh_px_link_open(struct osh_px *px, struct osh_px_link *link, int take_fd, osh_src_fn *fn,
		     const char *name)
{
	int r;

	*link = (struct osh_px_link){ .fd = take_fd };
	osh_list_init(&link->queue);
	r = osh_src_add(px->loop, &link->src, take_fd, EPOLLIN | EPOLLRDHUP, 0, fn, name);
	if (r < 0)
		osh_px_link_close(link);
	return r;
}

void osh_px_link_close(struct osh_px_link *link)
{
	if (link->fd < 0)
		return;
	osh_src_del(&link->src);
	while (!osh_list_is_empty(&link->queue)) {
		struct queued *q = osh_list_entry(link->queue.next, struct queued, node);

		osh_list_del(&q->node);
		free(q);
	}
	link->queued = 0;
	close(link->fd);
	link->fd = -1;
}

int osh_px_link_flush(struct osh_px_link *link)
{
	while (!osh_list_is_empty(&link->queue)) {
		struct queued *q = osh_list_entry(link->queue.next, struct queued, node);
		int r = osh_seqpkt_send(link->fd, q->type, q->cookie, q->body, q->n, NULL, 0);

		if (r == -EAGAIN) {
			osh_src_want(&link->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
			return 0;
		}
		if (r < 0)
			return r;
		osh_list_del(&q->node);
		link->queued--;
		free(q);
	}
	osh_src_want(&link->src, EPOLLIN | EPOLLRDHUP);
	return 0;
}

int osh_px_link_send(struct osh_px *px, struct osh_px_link *link, uint32_t type, uint64_t cookie,
		     const void *body, size_t n)
{
	struct queued *q;
	int r;

	(void)px;
	if (link->fd < 0)
		return -EPIPE;
	if (osh_list_is_empty(&link->queue)) {
		r = osh_seqpkt_send(link->fd, type, cookie, body, n, NULL, 0);
		if (r != -EAGAIN)
			return r;
	}
	if (link->queued >= QUEUE_MAX)
		return -ENOBUFS;
	q = malloc(sizeof(*q) + n);
	if (!q)
		return -ENOMEM;
	*q = (struct queued){ .type = type, .cookie = cookie, .n = n };
	if (n)
		memcpy(q->body, body, n);
	osh_list_add_tail(&link->queue, &q->node);
	link->queued++;
	osh_src_want(&link->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	return 0;
}
