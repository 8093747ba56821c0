/* SPDX-License-Identifier: MIT */
#include "io/seqpkt.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int osh_seqpkt_pair(int ret_fds[2])
{
	int bytes = 4 << 20;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		/* a larger queue only saves retries; FORCE needs privilege, the plain form does not */
		if (setsockopt(ret_fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
			(void)setsockopt(ret_fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	}
	return 0;
}

int osh_seqpkt_send(int sock, uint32_t type, uint64_t cookie, const void *body, size_t len,
		    const int *fds, unsigned int fd_count)
{
	struct osh_seqpkt_hdr hdr = { .type = type, .len = (uint32_t)len, .cookie = cookie };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { (void *)(uintptr_t)body, len } };
	union {
		char buf[CMSG_SPACE(sizeof(int) * OSH_SEQPKT_MAX_FDS)];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };

	if (len > OSH_SEQPKT_MAX_BYTES || fd_count > OSH_SEQPKT_MAX_FDS)
		return -EMSGSIZE;
	if (fd_count) {
		struct cmsghdr *c;

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	for (;;) {
		if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	}
}

void osh_seqpkt_msg_close(struct osh_seqpkt_msg *msg)
{
	for (unsigned int i = 0; i < msg->fd_count; i++)
		osh_close_ptr(&msg->fds[i]);
	msg->fd_count = 0;
}

static void take_fds(struct msghdr *mh, struct osh_seqpkt_msg *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(msg->fds, CMSG_DATA(c),
		       OSH_MIN(n, (size_t)OSH_SEQPKT_MAX_FDS) * sizeof(int));
		msg->fd_count = (unsigned int)OSH_MIN(n, (size_t)OSH_SEQPKT_MAX_FDS);
	}
}

int osh_seqpkt_recv(int sock, void *buf, size_t size, struct osh_seqpkt_msg *ret_msg)
{
	struct iovec iov = { buf, size };
	union {
		char buf[CMSG_SPACE(sizeof(int) * OSH_SEQPKT_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct osh_seqpkt_msg msg = { 0 };
	ssize_t n;

	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	take_fds(&mh, &msg);
	if (n == 0) {
		osh_seqpkt_msg_close(&msg);
		return -ECONNRESET;
	}
	if ((size_t)n < sizeof(msg.hdr) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		osh_seqpkt_msg_close(&msg);
		return -EBADMSG;
	}
	memcpy(&msg.hdr, buf, sizeof(msg.hdr));
	if (msg.hdr.len != (size_t)n - sizeof(msg.hdr)) {
		osh_seqpkt_msg_close(&msg);
		return -EBADMSG;
	}
	msg.body = (const char *)buf + sizeof(msg.hdr);
	*ret_msg = msg;
	return 0;
}
