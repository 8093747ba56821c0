/* SPDX-License-Identifier: MIT */
/* Shared by server.c (connections) and call.c (answers); nobody else includes this. */
#ifndef OSH_CTL_SERVER_H
#define OSH_CTL_SERVER_H

#include "ctl/wire.h"
#include "io/loop.h"

struct osh_ctl_call {
	bool active; /* between dispatch and the last reply */
	bool more, oneway;
	bool reply_open; /* osh_ctl_reply_begin() without end */
	bool no_room; /* has_room() said no; on_room owed */
	struct osh_ctl_waiter *waiter;
	int fds[OSH_CTL_FDS_MAX]; /* came with the call */
	struct osh_buf out; /* reply being written */
	struct osh_json json;
	int out_fds[OSH_CTL_FDS_MAX];
	unsigned int n_out_fds;
};

struct osh_ctl_out { /* one message on its way to the peer */
	struct osh_list node;
	size_t len, sent;
	int fds[OSH_CTL_FDS_MAX];
	unsigned int n_fds;
	char data[];
};

struct osh_ctl_conn {
	struct osh_src src;
	struct osh_list node;
	struct osh_ctl_server *server;
	struct osh_ctl_peer peer;
	struct osh_ctl_wire wire;
	struct osh_ctl_call call; /* one at a time: replies come in the order of the calls */
	struct osh_list queue; /* struct osh_ctl_out */
	size_t queued; /* bytes in it */
	bool eof; /* peer will send no more */
	bool broken; /* close at the next event */
};

static inline struct osh_ctl_conn *osh_ctl_call_conn(const struct osh_ctl_call *call)
{
	return osh_container_of((struct osh_ctl_call *)(uintptr_t)call, struct osh_ctl_conn, call);
}

/* Queue what call->out holds with its descriptors; ends or keeps the call. */
void osh_ctl_conn_push(struct osh_ctl_conn *conn, bool last);

const struct osh_ctl_method *osh_ctl_conn_methods(const struct osh_ctl_conn *conn);

/* org.varlink.service and method lookup (service.c). */
void osh_ctl_service_dispatch(struct osh_ctl_conn *conn, const char *method,
			      const struct osh_jval *params);
/* End the call with a full error name and one string parameter (@key NULL: none). */
void osh_ctl_fail_raw(struct osh_ctl_call *call, const char *error, const char *key,
		      const char *value);

#endif
