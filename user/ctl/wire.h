/* SPDX-License-Identifier: MIT */
/*
 * Framing shared by both ends: NUL-terminated messages on a stream socket, each with the
 * descriptors that came with it. A descriptor belongs to the message that holds the last byte of
 * the read it arrived in (the kernel never returns bytes sent after those that carried it).
 */
#ifndef OSH_CTL_WIRE_H
#define OSH_CTL_WIRE_H

#include "ctl/varlink.h"

enum { OSH_CTL_WIRE_FDS = 8 }; /* descriptors waiting for their message to be taken */

/* Who wrote what the last read returned; the kernel says so if SO_PASSCRED is set. */
struct osh_ctl_sender {
	pid_t pid; /* 0: not said, or a process of a pid namespace that is not ours */
	uid_t uid;
	gid_t gid;
	int pidfd; /* owned; -1: the kernel has none (SO_PASSPIDFD, since 6.5) */
};

struct osh_ctl_wire {
	struct osh_buf in;
	struct osh_ctl_sender sender;
	size_t scanned; /* no NUL before this offset */
	struct {
		size_t at; /* offset in `in` of the byte it came with */
		int fd;
	} fds[OSH_CTL_WIRE_FDS];
	unsigned int n_fds;
};

void osh_ctl_wire_init(struct osh_ctl_wire *wire);
void osh_ctl_wire_fini(struct osh_ctl_wire *wire); /* closes descriptors not taken */

/* Ask the kernel to name the writer of every message; sockets accepted from @fd do the same. */
int osh_ctl_wire_name_senders(int fd) OSH_MUST_CHECK;

/*
 * One recvmsg(2), which never joins bytes of two writers. Returns the number of bytes, 0 at end of
 * stream, -EAGAIN, -EMSGSIZE (a message over OSH_CTL_MSG_MAX), -EBADMSG (too many descriptors) or
 * another -errno.
 */
ssize_t osh_ctl_wire_read(struct osh_ctl_wire *wire, int fd);
/* The first complete message without its NUL; false: none. Valid until osh_ctl_wire_pop(). */
bool osh_ctl_wire_peek(struct osh_ctl_wire *wire, struct osh_str *ret_msg);
/*
 * Remove that message; its descriptors go to @ret_fds (unused entries -1). Those beyond
 * OSH_CTL_FDS_MAX are closed.
 */
void osh_ctl_wire_pop(struct osh_ctl_wire *wire, int ret_fds[OSH_CTL_FDS_MAX]);

/*
 * sendmsg(2) of @data from offset @sent on; the descriptors go with the first byte. Returns bytes
 * sent or -errno.
 */
ssize_t osh_ctl_wire_send(int fd, struct osh_str data, size_t sent, const int *fds,
			  unsigned int n_fds, int flags);

#endif
