/* SPDX-License-Identifier: MIT */
#include "proxy/worker.h"

#include <fcntl.h>
#include <sys/socket.h>

/*
 * A plain tunnel that has proven bulky moves its bytes through a pipe inside the kernel. One pipe per
 * direction, taken from a small pool only then: most tunnels never need one.
 */

enum {
	PIPE_BYTES = 256 * 1024,
	SPARE_MAX = 32, /* pipes kept for the next tunnels */
	TURN_BYTES = 1024 * 1024,
};

struct osh_px_pipe {
	struct osh_list node; /* px->spare_pipes */
	int fd[2];
	size_t held; /* bytes inside */
};

static struct osh_px_pipe *pipe_free(struct osh_px *px, struct osh_px_pipe *p)
{
	if (p) {
		px->n_pipes--;
		close(p->fd[0]);
		close(p->fd[1]);
		free(p);
	}
	return NULL;
}

static struct osh_px_pipe *pipe_get(struct osh_px *px)
{
	struct osh_px_pipe *p;

	if (!osh_list_is_empty(&px->spare_pipes)) {
		p = osh_list_entry(px->spare_pipes.next, struct osh_px_pipe, node);
		osh_list_del(&p->node);
		px->n_spare_pipes--;
		return p;
	}
	if (px->n_pipes >= px->cfg.limits.pipes)
		return NULL; /* copied instead: descriptors are for connections first */
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (pipe2(p->fd, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(p);
		return NULL;
	}
	px->n_pipes++;
	osh_list_init(&p->node);
	(void)fcntl(p->fd[1], F_SETPIPE_SZ, PIPE_BYTES); /* the default works, too */
	return p;
}

void osh_px_pipe_put(struct osh_px *px, struct osh_px_pipe *p)
{
	if (!p)
		return;
	if (p->held || px->n_spare_pipes >= SPARE_MAX) {
		pipe_free(px, p); /* bytes of one tunnel must not come out in another */
		return;
	}
	osh_list_add_head(&px->spare_pipes, &p->node);
	px->n_spare_pipes++;
}

void osh_px_pipes_free(struct osh_px *px)
{
	while (!osh_list_is_empty(&px->spare_pipes)) {
		struct osh_px_pipe *p = osh_list_entry(px->spare_pipes.next, struct osh_px_pipe,
						       node);

		osh_list_del(&p->node);
		pipe_free(px, p);
	}
	px->n_spare_pipes = 0;
}

/* What is in the pipe, to the socket. 0: empty; -EAGAIN: the socket is full. */
static int drain(struct osh_px_pipe *p, struct osh_chan *to)
{
	while (p->held) {
		ssize_t n = splice(p->fd[0], NULL, to->fd, NULL, p->held,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n > 0) {
			p->held -= (size_t)n;
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else {
			return n < 0 ? -errno : -EPIPE;
		}
	}
	return 0;
}

int osh_px_splice(struct osh_px *px, struct osh_px_pipe **pipe, struct osh_chan *from,
		  struct osh_chan *to, bool *eof, uint64_t *bytes)
{
	size_t moved = 0;
	int r;

	if (!*pipe)
		*pipe = pipe_get(px);
	if (!*pipe)
		return -EMFILE;
	for (;;) {
		ssize_t n;

		r = drain(*pipe, to);
		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		if (*eof || moved >= TURN_BYTES)
			return *eof ? 0 : OSH_PX_YIELD;
		if (from->sock_drained)
			return 0;
		n = splice(from->fd, NULL, (*pipe)->fd[1], NULL, PIPE_BYTES,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n > 0) {
			(*pipe)->held += (size_t)n;
			moved += (size_t)n;
			*bytes += (uint64_t)n;
			px->stats.spliced_bytes += (uint64_t)n;
		} else if (n == 0) {
			*eof = true;
			return 0;
		} else if (errno == EAGAIN) {
			/* the pipe is empty here, so it is the socket that has nothing */
			from->sock_drained = true;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
}
