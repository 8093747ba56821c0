/* SPDX-License-Identifier: MIT */
/*
 * Varlink (https://varlink.org) over a Unix stream socket: NUL-terminated JSON objects, `more`,
 * `oneway`, errors by name, and file descriptors (SCM_RIGHTS) that belong to the message they were
 * sent with. user/doc/CTL-PROTOCOL.md is the manual, user/ctl/io.openshell.varlink the interface.
 *
 * Daemon side: a table of methods, one event-loop server. A handler answers now or keeps the
 * struct osh_ctl_call and answers later:
 *
 *	static void on_list(struct osh_ctl_call *call, const struct osh_jval *params)
 *	{
 *		struct osh_json *j = osh_ctl_reply_begin(call);
 *
 *		osh_json_key(j, "sandboxes");
 *		...
 *		osh_ctl_reply_end(call);
 *	}
 *
 *	static const struct osh_ctl_method methods[] = {
 *		{ "SandboxList", on_list, 0 },
 *		{ 0 },
 *	};
 */
#ifndef OSH_CTL_VARLINK_H
#define OSH_CTL_VARLINK_H

#include <sys/types.h>

#include "base/json.h"

#define OSH_CTL_INTERFACE "io.openshell"
#define OSH_CTL_MSG_MAX	  1048576 /* bytes of one message, NUL included; more ends the connection */
#define OSH_CTL_FDS_MAX	  4 /* per message */
#define OSH_CTL_QUEUE_HIGH \
	262144 /* bytes queued for one peer: osh_ctl_call_has_room() false above */
#define OSH_CTL_QUEUE_MAX   (2 * OSH_CTL_MSG_MAX) /* bytes queued: the connection is closed */
#define OSH_CTL_CONNS_MAX   256
#define OSH_CTL_CONNS_UID   192 /* of one uid other than root */
#define OSH_CTL_SOCKET_PATH "/run/openshell/openshelld.sock"

/* Errors of the interface (names without "io.openshell."); all carry {message, hint?}. */
#define OSH_CTL_ERR_NOT_FOUND	   "NotFound"
#define OSH_CTL_ERR_EXISTS	   "AlreadyExists"
#define OSH_CTL_ERR_INVALID	   "InvalidArgument"
#define OSH_CTL_ERR_PRECONDITION   "FailedPrecondition"
#define OSH_CTL_ERR_DENIED	   "PermissionDenied"
#define OSH_CTL_ERR_POLICY_INVALID "PolicyInvalid"
#define OSH_CTL_ERR_UNAVAILABLE	   "Unavailable"
#define OSH_CTL_ERR_TIMEOUT	   "Timeout"
#define OSH_CTL_ERR_INTERNAL	   "Internal"

struct osh_loop;
struct osh_ctl_server;
struct osh_ctl_call;

/* ======================= daemon side ======================= */

struct osh_ctl_peer {
	pid_t pid; /* 0: a process of a pid namespace that is not ours */
	uid_t uid;
	gid_t gid;
	int pidfd; /* of that very process, borrowed, only in admit(); -1: the kernel has none */
};

enum osh_ctl_method_flags {
	OSH_CTL_NEEDS_MORE = 1u << 0, /* refused unless the call says "more": true */
	OSH_CTL_ROOT_ONLY = 1u << 1, /* peer uid must be 0 (or the daemon's own) */
	OSH_CTL_ONEWAY_OK = 1u << 2, /* may be called "oneway" */
};

/*
 * @params is always an object and only valid during the call. The handler must answer @call exactly
 * once, now or later, with one of the functions that end it.
 */
struct osh_ctl_method {
	const char *name; /* without the interface; NULL ends the table */
	void (*fn)(struct osh_ctl_call *call, const struct osh_jval *params);
	unsigned int flags;
};

/*
 * What a handler that answers later embeds in its own object. The server calls on_close at most
 * once, when the peer goes away before the call is ended: the handler drops its references, and
 * must not touch @call afterwards. on_room (may be NULL): the queue to the peer fell below half of
 * OSH_CTL_QUEUE_HIGH after osh_ctl_call_has_room() had said no.
 */
struct osh_ctl_waiter {
	void (*on_close)(struct osh_ctl_waiter *w);
	void (*on_room)(struct osh_ctl_waiter *w);
	struct osh_ctl_call *call; /* set by osh_ctl_call_wait(), NULL after on_close */
};

struct osh_ctl_config {
	struct osh_loop *loop; /* borrowed */
	const struct osh_ctl_method *methods; /* static */
	/*
	 * Called for whoever opened a connection, and again for the writer of everything read from
	 * it (the descriptor may have been handed on): 0 accepts, negative closes the connection
	 * (e.g. the process is in a sandbox). NULL accepts whoever the socket's mode let in.
	 */
	int (*admit)(const struct osh_ctl_peer *peer);
};

/* @take_listen_fd: from osh_ctl_listen(); consumed even on failure. */
int osh_ctl_server_new(const struct osh_ctl_config *config, int take_listen_fd,
		       struct osh_ctl_server **ret_server) OSH_MUST_CHECK;
struct osh_ctl_server *osh_ctl_server_free(struct osh_ctl_server *server);
/* Open the listening socket at @path: replaces a dead one, -EADDRINUSE if somebody answers there. */
int osh_ctl_listen(const char *path, mode_t mode, gid_t gid, int *ret_fd) OSH_MUST_CHECK;

const struct osh_ctl_peer *osh_ctl_call_peer(const struct osh_ctl_call *call);
bool osh_ctl_call_wants_more(const struct osh_ctl_call *call);
/* The i-th descriptor that came with the call, handed over; -EBADF when there is none. */
int osh_ctl_call_take_fd(struct osh_ctl_call *call, unsigned int i);
/* Say that the answer comes later. */
void osh_ctl_call_wait(struct osh_ctl_call *call, struct osh_ctl_waiter *w);
bool osh_ctl_call_has_room(struct osh_ctl_call *call);

/*
 * Start a reply: the returned writer is inside the parameters object; add keys, then finish it with
 * osh_ctl_reply_end() (last reply: ends @call) or osh_ctl_reply_continue() (more follow; only if
 * the peer asked for more). Failures (out of memory, too big) turn into an Internal error there.
 */
struct osh_json *osh_ctl_reply_begin(struct osh_ctl_call *call);
void osh_ctl_reply_end(struct osh_ctl_call *call);
void osh_ctl_reply_continue(struct osh_ctl_call *call);
/* Attach a descriptor to the reply being written; consumed even on failure. */
void osh_ctl_reply_take_fd(struct osh_ctl_call *call, int take_fd);
/* Empty last reply. */
void osh_ctl_reply_ok(struct osh_ctl_call *call);
/*
 * End the call with an error of our interface: {message: fmt..., hint: @hint if not NULL}.
 * @error is one of OSH_CTL_ERR_*.
 */
void osh_ctl_fail(struct osh_ctl_call *call, const char *error, const char *hint, const char *fmt,
		  ...) OSH_PRINTF(4, 5);
/* The same with {diagnostics: "file:line:col: text" lines}; NULL leaves it out. */
void osh_ctl_fail_diag(struct osh_ctl_call *call, const char *error, const char *hint,
		       const char *diagnostics, const char *fmt, ...) OSH_PRINTF(5, 6);
/* End the call with org.varlink.service.InvalidParameter {parameter: @name}. */
void osh_ctl_fail_param(struct osh_ctl_call *call, const char *name);

/*
 * Typed access to parameters: 0, or -EINVAL after the call was ended with InvalidParameter (then
 * the handler just returns). _opt versions accept absence (and null).
 */
int osh_ctl_param_str(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
		      size_t max, const char **ret_value) OSH_MUST_CHECK;
int osh_ctl_param_str_opt(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
			  size_t max, const char **ret_value) OSH_MUST_CHECK;
int osh_ctl_param_u64_opt(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
			  uint64_t max, uint64_t otherwise, uint64_t *ret_value) OSH_MUST_CHECK;
int osh_ctl_param_bool_opt(struct osh_ctl_call *call, const struct osh_jval *params,
			   const char *key, bool otherwise, bool *ret_value) OSH_MUST_CHECK;
/* An array of strings, each at most @max bytes, at most @count_max of them; absent gives NULL. */
int osh_ctl_param_strv_opt(struct osh_ctl_call *call, const struct osh_jval *params,
			   const char *key, size_t max, size_t count_max,
			   const struct osh_jval **ret_array) OSH_MUST_CHECK;

/* ======================= client side (blocking) ======================= */

struct osh_ctl_client;

struct osh_ctl_reply {
	struct osh_jval *root; /* owns everything below */
	const struct osh_jval *params; /* an object */
	const char *error; /* NULL: success; else the full error name */
	bool continues;
	int fds[OSH_CTL_FDS_MAX]; /* owned; -1 when absent or taken */
};

int osh_ctl_connect(const char *path, struct osh_ctl_client **ret_client) OSH_MUST_CHECK;
struct osh_ctl_client *osh_ctl_client_free(struct osh_ctl_client *client);
int osh_ctl_client_fd(const struct osh_ctl_client *client);
/* Bytes of a further message are buffered already: do not poll() the descriptor, receive first. */
bool osh_ctl_client_has_pending(const struct osh_ctl_client *client);

enum osh_ctl_send_flags {
	OSH_CTL_MORE = 1u << 0,
	OSH_CTL_ONEWAY = 1u << 1,
};
/* @params_json: a JSON object ("{}" if none). @method without "io.openshell." unless it has a dot. */
int osh_ctl_send(struct osh_ctl_client *client, const char *method, struct osh_str params_json,
		 unsigned int flags, const int *fds, unsigned int n_fds) OSH_MUST_CHECK;
/*
 * Next reply. @timeout_ms < 0 waits for ever; -ETIMEDOUT. -ECONNRESET: the daemon went away.
 * -EBADMSG: not Varlink. Clear with osh_ctl_reply_fini().
 */
int osh_ctl_recv(struct osh_ctl_client *client, int timeout_ms,
		 struct osh_ctl_reply *ret_reply) OSH_MUST_CHECK;
void osh_ctl_reply_fini(struct osh_ctl_reply *reply);
/* Send and receive one. */
int osh_ctl_call_simple(struct osh_ctl_client *client, const char *method,
			struct osh_str params_json, struct osh_ctl_reply *ret_reply) OSH_MUST_CHECK;

static inline void osh_ctl_client_free_ptr(struct osh_ctl_client **client)
{
	*client = osh_ctl_client_free(*client);
}

#define osh_auto_ctl_client OSH_CLEANUP(osh_ctl_client_free_ptr) /* struct osh_ctl_client * */
#define osh_auto_ctl_reply \
	OSH_CLEANUP(osh_ctl_reply_fini) /* struct osh_ctl_reply, init OSH_CTL_REPLY_NONE */
#define OSH_CTL_REPLY_NONE                \
	{                                 \
		.fds = { -1, -1, -1, -1 } \
	}

#endif
