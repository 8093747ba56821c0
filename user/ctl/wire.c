/* SPDX-License-Identifier: MIT */
#include "ctl/wire.h"

#include <errno.h>
#include <sys/socket.h>

enum { CHUNK = 65536 };

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* Debian 12's libc does not name it */
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

void osh_ctl_wire_init(struct osh_ctl_wire *wire)
{
	*wire = (struct osh_ctl_wire){ .sender.pidfd = -1 };
	osh_buf_init(&wire->in, OSH_CTL_MSG_MAX + CHUNK, 0);
}

void osh_ctl_wire_fini(struct osh_ctl_wire *wire)
{
	for (unsigned int i = 0; i < wire->n_fds; i++)
		osh_close_ptr(&wire->fds[i].fd);
	wire->n_fds = 0;
	osh_close_ptr(&wire->sender.pidfd);
	osh_buf_fini(&wire->in);
}

int osh_ctl_wire_name_senders(int fd)
{
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	/* a kernel before 6.5 cannot: the sender is then known by number only */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0 && errno != ENOPROTOOPT)
		return -errno;
	return 0;
}

static void note_sender(struct osh_ctl_sender *sender, struct cmsghdr *c)
{
	struct ucred cred;

	if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(cred))) {
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		sender->pid = cred.pid;
		sender->uid = cred.uid;
		sender->gid = cred.gid;
	} else if (c->cmsg_type == SCM_PIDFD && c->cmsg_len == CMSG_LEN(sizeof(int))) {
		memcpy(&sender->pidfd, CMSG_DATA(c), sizeof(int));
		if (sender->pidfd < 0)
			sender->pidfd = -1; /* it is gone: an error instead of a descriptor */
	}
}

/*
 * Keep what came with the bytes: descriptors, and who wrote them; -EBADMSG when there is more than
 * we have room for.
 */
static int keep_fds(struct osh_ctl_wire *wire, struct msghdr *msg, size_t at)
{
	int r = msg->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level == SOL_SOCKET)
			note_sender(&wire->sender, c);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (wire->n_fds == OSH_CTL_WIRE_FDS) {
				osh_close_ptr(&fd);
				r = -EBADMSG;
				continue;
			}
			wire->fds[wire->n_fds].at = at;
			wire->fds[wire->n_fds++].fd = fd;
		}
	}
	return r;
}

ssize_t osh_ctl_wire_read(struct osh_ctl_wire *wire, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * OSH_CTL_WIRE_FDS) +
			   CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;
	int r;

	if (wire->in.len >= OSH_CTL_MSG_MAX)
		return -EMSGSIZE;
	r = osh_buf_reserve(&wire->in, CHUNK);
	if (r < 0)
		return r;
	iov = (struct iovec){ wire->in.data + wire->in.len, CHUNK };
	osh_close_ptr(&wire->sender.pidfd);
	wire->sender = (struct osh_ctl_sender){ .pidfd = -1 };
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r = keep_fds(wire, &msg, wire->in.len + (n ? (size_t)n - 1 : 0));
	wire->in.len += (size_t)n;
	return r < 0 ? r : n;
}

static size_t first_nul(struct osh_ctl_wire *wire)
{
	struct osh_str rest = osh_str_sub(osh_buf_str(&wire->in), wire->scanned, SIZE_MAX);

	wire->scanned += osh_str_find(rest, '\0');
	return wire->scanned;
}

bool osh_ctl_wire_peek(struct osh_ctl_wire *wire, struct osh_str *ret_msg)
{
	size_t end = first_nul(wire);

	if (end == wire->in.len)
		return false;
	*ret_msg = osh_str_sub(osh_buf_str(&wire->in), 0, end);
	return true;
}

void osh_ctl_wire_pop(struct osh_ctl_wire *wire, int ret_fds[OSH_CTL_FDS_MAX])
{
	size_t end = first_nul(wire) + 1;
	unsigned int given = 0, kept = 0;

	for (unsigned int i = 0; i < OSH_CTL_FDS_MAX; i++)
		ret_fds[i] = -1;
	for (unsigned int i = 0; i < wire->n_fds; i++) {
		if (wire->fds[i].at >= end) {
			wire->fds[kept] = wire->fds[i];
			wire->fds[kept++].at -= end;
		} else if (given < OSH_CTL_FDS_MAX) {
			ret_fds[given++] = wire->fds[i].fd;
		} else {
			osh_close_ptr(&wire->fds[i].fd);
		}
	}
	wire->n_fds = kept;
	wire->scanned = 0;
	osh_buf_consume(&wire->in, end);
}

ssize_t osh_ctl_wire_send(int fd, struct osh_str data, size_t sent, const int *fds,
			  unsigned int n_fds, int flags)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * OSH_CTL_FDS_MAX)];
	} control = { 0 };
	struct iovec iov = { (char *)(uintptr_t)data.p + sent, data.n - sent };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > OSH_CTL_FDS_MAX)
		return -EINVAL;
	if (n_fds && !sent) {
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do {
		n = sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
