/* SPDX-License-Identifier: MIT */
/* Bytes between our streams and the descriptors the daemon handed out. */
#ifndef OSH_CLI_RELAY_H
#define OSH_CLI_RELAY_H

#include "cli/rpc.h"

struct osh_relay {
	struct osh_cli *cli;
	struct osh_rpc *rpc; /* the Exec call; its last reply carries the exit code */
	const char *session;
	bool tty;
	/* remote ends; -1 when closed. With tty: fds[0] is the PTY master. Owned. */
	int fds[3];
};

/* Runs until the program is done; its exit code, or ours after a message. */
int osh_relay_run(struct osh_relay *relay);

#endif
