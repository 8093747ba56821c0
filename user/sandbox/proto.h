/* SPDX-License-Identifier: MIT */
/*
 * Messages between sandbox/client.c (in the monitor) and init, on one SEQPACKET connection per
 * session. Host byte order: both ends are the same program. A message of unknown type or wrong size
 * ends the connection. Descriptors travel with the first message in each direction only.
 */
#ifndef OSH_SANDBOX_PROTO_H
#define OSH_SANDBOX_PROTO_H

#include <stdint.h>

#include "sandbox/client.h"

enum osh_proto_type {
	OSH_PROTO_EXEC = 1, /* struct osh_proto_exec + strings; 3 descriptors unless tty */
	OSH_PROTO_SIGNAL = 2, /* struct osh_proto_control, value: signal */
	OSH_PROTO_ON_CLOSE = 3, /* struct osh_proto_control, value: enum osh_init_on_close */
	OSH_PROTO_EVENT =
		4, /* from init: struct osh_proto_event; 1 descriptor when STARTED on a tty */
};

#define OSH_PROTO_TTY (1u << 0)
#define OSH_PROTO_CWD (1u << 1) /* the first string is the working directory */

struct osh_proto_exec {
	uint32_t type;
	uint32_t flags;
	uint32_t on_close;
	uint16_t rows, cols;
	uint32_t argc; /* at least 1 */
	uint32_t envc;
	uint32_t bytes; /* of the NUL-terminated strings that follow: cwd, argv, env */
	uint32_t pad;
};

struct osh_proto_control {
	uint32_t type;
	int32_t value;
};

enum osh_proto_step { /* where a request failed; keep in step with step_names in client.c */
		      OSH_PROTO_STEP_NONE = 0,
		      OSH_PROTO_STEP_REQUEST,
		      OSH_PROTO_STEP_LIMIT,
		      OSH_PROTO_STEP_PTY,
		      OSH_PROTO_STEP_FORK,
		      OSH_PROTO_STEP_SESSION,
		      OSH_PROTO_STEP_CWD,
		      OSH_PROTO_STEP_EXEC,
		      OSH_PROTO_STEP_END,
};

struct osh_proto_event {
	uint32_t type;
	uint32_t event; /* enum osh_init_event_type */
	int32_t pid;
	int32_t err;
	uint32_t step; /* enum osh_proto_step */
	int32_t code;
	int32_t signo;
	uint32_t pad;
};

_Static_assert(sizeof(struct osh_proto_exec) == 32, "layout of osh_proto_exec");
_Static_assert(sizeof(struct osh_proto_event) == 32, "layout of osh_proto_event");

#endif
