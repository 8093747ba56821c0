/* SPDX-License-Identifier: MIT */
/*
 * Messages between our own processes over AF_UNIX SOCK_SEQPACKET: a fixed header, a body, and up to
 * OSH_SEQPKT_MAX_FDS descriptors. The transport checks sizes; a receiver treats any message it does
 * not understand as fatal for the connection.
 */
#ifndef OSH_IO_SEQPKT_H
#define OSH_IO_SEQPKT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

enum {
	OSH_SEQPKT_MAX_FDS = 8,
	OSH_SEQPKT_MAX_BYTES = 65536, /* body */
};

struct osh_seqpkt_hdr {
	uint32_t type;
	uint32_t len; /* bytes of body that follow */
	uint64_t cookie; /* request/reply correlation; 0 where unused */
};

struct osh_seqpkt_msg {
	struct osh_seqpkt_hdr hdr;
	const void *body; /* hdr.len bytes in the caller's buffer, 8-byte aligned */
	int fds[OSH_SEQPKT_MAX_FDS]; /* the receiver owns these: take (set to -1) or close */
	unsigned int fd_count;
};

/* Close-on-exec, non-blocking pair. */
int osh_seqpkt_pair(int ret_fds[2]) OSH_MUST_CHECK;

/* 0, -EAGAIN (peer's queue full), -EPIPE/-ECONNRESET (peer gone), -EMSGSIZE. fds are duplicated by
 * the kernel: the caller still owns its own. */
int osh_seqpkt_send(int sock, uint32_t type, uint64_t cookie, const void *body, size_t len,
		    const int *fds, unsigned int fd_count) OSH_MUST_CHECK;

/*
 * @buf: at least OSH_SEQPKT_MAX_BYTES + sizeof(struct osh_seqpkt_hdr), 8-byte aligned. 0; -EAGAIN;
 * -ECONNRESET at end of stream; -EBADMSG for a truncated or mis-sized message (descriptors closed).
 */
int osh_seqpkt_recv(int sock, void *buf, size_t size,
		    struct osh_seqpkt_msg *ret_msg) OSH_MUST_CHECK;
/* Close what was not taken. */
void osh_seqpkt_msg_close(struct osh_seqpkt_msg *msg);

#endif
