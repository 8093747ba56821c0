/* SPDX-License-Identifier: MIT */
#include "sandbox/client.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include "base/buf.h"
#include "sandbox/proto.h"

#define SOCKET_BYTES (512 * 1024) /* room for the largest request */
#define BACKLOG	     64

static int to_addr(const char *path, struct sockaddr_un *ret_addr)
{
	*ret_addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!path[0] || !osh_strlcpy(ret_addr->sun_path, path, sizeof(ret_addr->sun_path)))
		return -ENAMETOOLONG;
	return 0;
}

int osh_init_listen(const char *path, int *ret_fd)
{
	osh_auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr;
	int r = to_addr(path, &addr);

	if (r < 0)
		return r;
	if (fd < 0)
		return -errno;
	/* Sets the mode the socket file gets; nobody can connect before listen() anyway. */
	if (fchmod(fd, 0600) < 0)
		return -errno;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0600) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = osh_take_fd(&fd);
	return 0;
}

int osh_init_connect(const char *path, int *ret_fd)
{
	osh_auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int size = SOCKET_BYTES;
	struct sockaddr_un addr;
	int r = to_addr(path, &addr);

	if (r < 0)
		return r;
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	*ret_fd = osh_take_fd(&fd);
	return 0;
}

static int count_strings(const char *const *list, uint32_t *ret_count)
{
	uint32_t n = 0;

	while (list && list[n])
		if (++n > OSH_INIT_STRINGS_MAX)
			return -E2BIG;
	*ret_count = n;
	return 0;
}

static int add_strings(struct osh_buf *buf, const char *const *list, uint32_t count)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = osh_buf_add(buf, list[i], strlen(list[i]) + 1);
	return r;
}

/* A pipe, which then belongs to the sandbox's user, or the null device. */
static int check_stdio(int fd, uid_t uid)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return 0;
	/* A named pipe is a file of the host: not to be given away, nor to be opened again. */
	if (!S_ISFIFO(st.st_mode) || fstatfs(fd, &fs) < 0 || fs.f_type != PIPEFS_MAGIC)
		return -EINVAL;
	return fchown(fd, uid, (gid_t)-1) < 0 ? -errno : 0;
}

static int send_message(int fd, const void *data, size_t n, const int *fds, size_t fds_count)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(3 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds_count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(fds_count * sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), fds, fds_count * sizeof(int));
	}
	if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static int encode(const struct osh_init_exec *req, struct osh_buf *ret_msg)
{
	struct osh_proto_exec head = {
		.type = OSH_PROTO_EXEC,
		.flags = (req->tty ? OSH_PROTO_TTY : 0) | (req->cwd ? OSH_PROTO_CWD : 0),
		.on_close = req->on_close,
		.rows = req->rows ? req->rows : 24,
		.cols = req->cols ? req->cols : 80,
	};
	int r;

	if (count_strings(req->argv, &head.argc) < 0 || count_strings(req->env, &head.envc) < 0)
		return -E2BIG;
	if (!head.argc || !req->argv[0][0])
		return -EINVAL;
	r = osh_buf_add(ret_msg, &head, sizeof(head));
	if (r == 0 && req->cwd)
		r = osh_buf_add(ret_msg, req->cwd, strlen(req->cwd) + 1);
	if (r == 0)
		r = add_strings(ret_msg, req->argv, head.argc);
	if (r == 0)
		r = add_strings(ret_msg, req->env, head.envc);
	if (r < 0)
		return r == -EMSGSIZE ? -E2BIG : r;
	head.bytes = (uint32_t)(ret_msg->len - sizeof(head));
	memcpy(ret_msg->data, &head, sizeof(head));
	return 0;
}

int osh_init_exec_start(int fd, const struct osh_init_exec *req)
{
	osh_auto_bufmem struct osh_buf msg;
	osh_auto_close int null = -1;
	int fds[3];
	int r;

	osh_buf_init(&msg, sizeof(struct osh_proto_exec) + OSH_INIT_REQUEST_MAX, 0);
	r = encode(req, &msg);
	if (r < 0)
		return r;
	if (req->tty)
		return send_message(fd, msg.data, msg.len, NULL, 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	for (unsigned int i = 0; i < 3; i++) {
		fds[i] = req->stdio[i] < 0 ? null : req->stdio[i];
		r = check_stdio(fds[i], req->uid);
		if (r < 0)
			return r;
	}
	return send_message(fd, msg.data, msg.len, fds, 3);
}

int osh_init_signal(int fd, int signo)
{
	const struct osh_proto_control msg = { OSH_PROTO_SIGNAL, signo };

	if (signo < 1 || signo > 64)
		return -EINVAL;
	return send_message(fd, &msg, sizeof(msg), NULL, 0);
}

int osh_init_set_on_close(int fd, enum osh_init_on_close on_close)
{
	const struct osh_proto_control msg = { OSH_PROTO_ON_CLOSE, (int32_t)on_close };

	return send_message(fd, &msg, sizeof(msg), NULL, 0);
}

/* A sandbox must not be able to hand its master of the world an odd descriptor. */
static bool is_pty_master(int fd)
{
	struct stat st;
	int n;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == 5 &&
	       minor(st.st_rdev) == 2 && ioctl(fd, TIOCGPTN, &n) == 0;
}

static int to_event(const struct osh_proto_event *msg, int *pty_fd, struct osh_init_event *ret_ev)
{
	static const char *const step_names[OSH_PROTO_STEP_END] = {
		[OSH_PROTO_STEP_NONE] = "",	  [OSH_PROTO_STEP_REQUEST] = "request",
		[OSH_PROTO_STEP_LIMIT] = "limit", [OSH_PROTO_STEP_PTY] = "pty",
		[OSH_PROTO_STEP_FORK] = "fork",	  [OSH_PROTO_STEP_SESSION] = "session",
		[OSH_PROTO_STEP_CWD] = "cwd",	  [OSH_PROTO_STEP_EXEC] = "exec",
	};
	struct osh_init_event ev = {
		.type = (enum osh_init_event_type)msg->event,
		.pid = msg->pid,
		.pty_fd = -1,
		.err = msg->err,
		.code = msg->code,
		.signo = msg->signo,
	};

	if (msg->type != OSH_PROTO_EVENT || msg->step >= OSH_PROTO_STEP_END)
		return -EBADMSG;
	ev.step = step_names[msg->step];
	switch (ev.type) {
	case OSH_INIT_EVENT_STARTED:
		if (msg->pid < 1 || (*pty_fd >= 0 && !is_pty_master(*pty_fd)))
			return -EBADMSG;
		ev.pty_fd = osh_take_fd(pty_fd);
		break;
	case OSH_INIT_EVENT_FAILED:
		if (msg->err < 1 || msg->err > 4095)
			return -EBADMSG;
		break;
	case OSH_INIT_EVENT_EXITED:
		if (msg->code < 0 || msg->code > 255 || msg->signo < 0 || msg->signo > 64)
			return -EBADMSG;
		break;
	case OSH_INIT_EVENT_NONE:
	default:
		return -EBADMSG;
	}
	*ret_ev = ev;
	return 0;
}

int osh_init_read(int fd, struct osh_init_event *ret_ev)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct osh_proto_event body;
	struct iovec iov = { .iov_base = &body, .iov_len = sizeof(body) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	osh_auto_close int first = -1;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	bool bad;

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (n == 0)
		return -ECONNRESET;
	bad = (size_t)n != sizeof(body) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (first < 0) {
				first = got;
			} else {
				(void)close(got); /* more than one: not our protocol */
				bad = true;
			}
		}
	}
	return bad ? -EBADMSG : to_event(&body, &first, ret_ev);
}
