/* SPDX-License-Identifier: MIT */
#include "daemon/canary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CANARY_WAIT_MS = 3000 };

/* Bits of the child's exit code: what got through. */
enum {
	THROUGH_TCP = 1,
	THROUGH_UDP = 2,
	THROUGH_SOCKET = 4,
	CANARY_BROKEN = 64,
};

static int tcp_through(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = port };
	osh_auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static int udp_through(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = port };
	osh_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd >= 0 && sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1;
}

static int socket_through(void)
{
	osh_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);

	return fd >= 0;
}

/* The host's own namespace: without the programs every attempt would succeed. */
static int child(uint16_t port)
{
	int through = 0;

	if (tcp_through(port))
		through |= THROUGH_TCP;
	if (udp_through(port))
		through |= THROUGH_UDP;
	if (socket_through())
		through |= THROUGH_SOCKET;
	return through;
}

static int clone_into(int cgroup_fd)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)cgroup_fd,
	};

	return (int)syscall(SYS_clone3, &args, sizeof(args));
}

static int listen_loopback(uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	osh_auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return -errno;
	*ret_port = at.sin_port;
	return osh_take_fd(&fd);
}

static int wait_child(pid_t pid, int *ret_code)
{
	osh_auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int status;

	if (pidfd < 0 || poll(&p, 1, CANARY_WAIT_MS) != 1)
		(void)kill(pid, SIGKILL); /* our child */
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	*ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : CANARY_BROKEN;
	return 0;
}

static int try_to_get_out(int cgroup_fd, struct osh_diag *diag)
{
	osh_auto_close int listener = -1;
	uint16_t port = 0;
	int code = CANARY_BROKEN, r;
	pid_t pid;

	listener = listen_loopback(&port);
	if (listener < 0) {
		osh_diag_err(diag, 0, 0, "cannot listen on loopback: %s", strerror(-listener));
		return listener;
	}
	if (!tcp_through(port)) {
		osh_diag_err(diag, 0, 0,
			     "the canary cannot tell: its listener is not reachable at all");
		return -EIO;
	}
	pid = clone_into(cgroup_fd);
	if (pid < 0) {
		r = -errno;
		osh_diag_err(diag, 0, 0, "cannot start in the canary's cgroup: %s", strerror(-r));
		return r;
	}
	if (pid == 0)
		_exit(child(port));
	r = wait_child(pid, &code);
	if (r < 0 || code & CANARY_BROKEN) {
		osh_diag_err(diag, 0, 0, "the canary did not finish");
		return r < 0 ? r : -EIO;
	}
	if (code & THROUGH_TCP)
		osh_diag_err(diag, 0, 0, "a TCP connection from a sandbox cgroup got through");
	if (code & THROUGH_UDP)
		osh_diag_err(diag, 0, 0, "a datagram from a sandbox cgroup got through");
	if (code & THROUGH_SOCKET)
		osh_diag_err(diag, 0, 0, "a forbidden socket type was created in a sandbox cgroup");
	return code ? -EPERM : 0;
}

int osh_canary_run(struct osh_monitor *m, struct osh_diag *diag)
{
	osh_auto_close int cgroup_fd = -1;
	char name[OSH_CGROUP_NAME_MAX];
	int r = osh_kern_verify(m->kern, diag);

	if (r < 0)
		return -EPERM; /* not what was put up */
	/* upper case: no sandbox can have this name */
	(void)snprintf(name, sizeof(name), "CANARY-%d", (int)getpid());
	r = osh_cgroup_sandbox_create(&m->cg, name, &cgroup_fd);
	if (r == -EEXIST)
		r = osh_cgroup_sandbox_open(&m->cg, name, &cgroup_fd);
	if (r < 0) {
		osh_diag_err(diag, 0, 0, "cannot make the canary's cgroup: %s", strerror(-r));
		return r;
	}
	r = try_to_get_out(cgroup_fd, diag);
	if (osh_cgroup_wait_empty(cgroup_fd, CANARY_WAIT_MS) == 0)
		(void)!osh_cgroup_sandbox_remove(&m->cg, name); /* used again next time */
	return r;
}
