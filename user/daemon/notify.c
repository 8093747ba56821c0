/* SPDX-License-Identifier: MIT */
#include "daemon/monitor.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* One datagram to $NOTIFY_SOCKET (path or @abstract), as sd_notify(3) describes; no-op without it. */
void osh_notify_fd(const char *state, int send_fd)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	osh_auto_close int fd = -1;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)state, strlen(state) };
	struct msghdr msg = { .msg_name = &un, .msg_iov = &iov, .msg_iovlen = 1 };
	size_t n;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, path, n);
	if (un.sun_path[0] == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (send_fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &send_fd, sizeof(int));
	}
	/* nobody to tell when the service manager does not listen */
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
}

void osh_notify(const char *state)
{
	osh_notify_fd(state, -1);
}
