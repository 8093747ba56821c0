/* SPDX-License-Identifier: MIT */
#include "ctl/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Debian 12's libc does not name it */
#endif

enum {
	ACCEPT_BATCH = 16,
	ACCEPT_PAUSE_MS = 100, /* after running out of descriptors */
};

struct osh_ctl_server {
	struct osh_src src;
	struct osh_timer resume;
	struct osh_ctl_config config;
	int fd;
	struct osh_list conns;
	unsigned int n_conns;
};

static void out_free(struct osh_ctl_out *out)
{
	for (unsigned int i = 0; i < out->n_fds; i++)
		osh_close_ptr(&out->fds[i]);
	free(out);
}

static void call_reset(struct osh_ctl_call *call)
{
	for (size_t i = 0; i < OSH_CTL_FDS_MAX; i++)
		osh_close_ptr(&call->fds[i]);
	while (call->n_out_fds)
		osh_close_ptr(&call->out_fds[--call->n_out_fds]);
	osh_buf_reset(&call->out);
	call->active = call->more = call->oneway = call->reply_open = call->no_room = false;
	call->waiter = NULL;
}

static void conn_free(struct osh_src *src)
{
	struct osh_ctl_conn *conn = osh_container_of(src, struct osh_ctl_conn, src);

	while (!osh_list_is_empty(&conn->queue)) {
		struct osh_list *first = conn->queue.next;

		osh_list_del(first);
		out_free(osh_list_entry(first, struct osh_ctl_out, node));
	}
	call_reset(&conn->call);
	osh_buf_fini(&conn->call.out);
	osh_ctl_wire_fini(&conn->wire);
	osh_close_ptr(&conn->src.fd);
	free(conn);
}

/* Tell whoever still works on a call that nobody waits for the answer any more. */
static void call_abandon(struct osh_ctl_call *call)
{
	struct osh_ctl_waiter *w = call->waiter;

	call->active = false;
	call->waiter = NULL;
	if (!w)
		return;
	w->call = NULL;
	w->on_close(w);
}

static void conn_close(struct osh_ctl_conn *conn)
{
	osh_list_del(&conn->node);
	conn->server->n_conns--;
	osh_loop_retire(&conn->src, conn_free);
	call_abandon(&conn->call);
}

static void update_want(struct osh_ctl_conn *conn)
{
	uint32_t want = 0;

	if (conn->queued)
		want |= EPOLLOUT;
	/* no reading ahead while a call is being worked on: the socket is the queue */
	if (!conn->call.active && !conn->eof)
		want |= EPOLLIN;
	osh_src_want(&conn->src, want);
}

void osh_ctl_conn_push(struct osh_ctl_conn *conn, bool last)
{
	struct osh_ctl_call *call = &conn->call;
	struct osh_ctl_out *out = NULL;

	if (!call->oneway) {
		if (conn->queued + call->out.len <= OSH_CTL_QUEUE_MAX)
			out = malloc(sizeof(*out) + call->out.len);
		if (!out) {
			conn->broken = true;
		} else {
			out->len = call->out.len;
			out->sent = 0;
			out->n_fds = call->n_out_fds;
			memcpy(out->fds, call->out_fds, sizeof(out->fds));
			memcpy(out->data, call->out.data, call->out.len);
			call->n_out_fds = 0;
			osh_list_add_tail(&conn->queue, &out->node);
			conn->queued += out->len;
		}
	}
	osh_buf_reset(&call->out);
	while (call->n_out_fds)
		osh_close_ptr(&call->out_fds[--call->n_out_fds]);
	call->reply_open = false;
	if (last)
		call_reset(call);
	update_want(conn);
	if (last || conn->broken)
		osh_src_again(&conn->src); /* the next call may be in the buffer already */
}

static int conn_flush(struct osh_ctl_conn *conn)
{
	while (!osh_list_is_empty(&conn->queue)) {
		struct osh_ctl_out *out = osh_list_entry(conn->queue.next, struct osh_ctl_out,
							 node);
		ssize_t n = osh_ctl_wire_send(conn->src.fd, (struct osh_str){ out->data, out->len },
					      out->sent, out->fds, out->n_fds, MSG_DONTWAIT);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		out->sent += (size_t)n;
		conn->queued -= (size_t)n;
		if (out->sent == out->len) {
			osh_list_del(&out->node);
			out_free(out);
		}
	}
	if (conn->call.no_room && conn->queued < OSH_CTL_QUEUE_HIGH / 2) {
		struct osh_ctl_waiter *w = conn->call.waiter;

		conn->call.no_room = false;
		if (w && w->on_room)
			w->on_room(w);
	}
	return 0;
}

/* {method: string, parameters?: object, more?: bool, oneway?: bool} and nothing else. */
static int parse_call(struct osh_ctl_conn *conn, const struct osh_jval *root,
		      const char **ret_method, const struct osh_jval **ret_params)
{
	const struct osh_jval *v;
	const char *key;
	void *iter = NULL;

	if (osh_jval_type(root) != OSH_JSON_OBJ)
		return -EBADMSG;
	*ret_method = NULL;
	*ret_params = NULL;
	while (osh_jval_next(root, &iter, &key, &v)) {
		enum osh_jtype type = osh_jval_type(v);

		if (!strcmp(key, "method") && type == OSH_JSON_STR)
			*ret_method = osh_jval_z(v, NULL);
		else if (!strcmp(key, "parameters") && type == OSH_JSON_OBJ)
			*ret_params = v;
		else if (!strcmp(key, "parameters") && type == OSH_JSON_NULL)
			continue;
		else if (!strcmp(key, "more") && type == OSH_JSON_BOOL)
			conn->call.more = osh_jval_bool(v, false);
		else if (!strcmp(key, "oneway") && type == OSH_JSON_BOOL)
			conn->call.oneway = osh_jval_bool(v, false);
		else
			return -EBADMSG;
	}
	if (!*ret_method || (conn->call.more && conn->call.oneway))
		return -EBADMSG;
	return 0;
}

/* Take one complete message and run its handler; -EBADMSG ends the connection. */
static int dispatch_next(struct osh_ctl_conn *conn)
{
	static const struct osh_str empty = { "{}", 2 };
	osh_auto_jval struct osh_jval *root = NULL, *none = NULL;
	const struct osh_jval *params;
	struct osh_ctl_call *call = &conn->call;
	const char *method;
	struct osh_str text;
	int r;

	if (!osh_ctl_wire_peek(&conn->wire, &text))
		return -EAGAIN;
	r = osh_json_parse(text, &root, NULL, 0);
	osh_ctl_wire_pop(&conn->wire, call->fds);
	if (r < 0)
		return r;
	r = parse_call(conn, root, &method, &params);
	if (r < 0)
		return r;
	if (!params) {
		r = osh_json_parse(empty, &none, NULL, 0);
		if (r < 0)
			return r;
		params = none;
	}
	call->active = true;
	osh_ctl_service_dispatch(conn, method, params);
	/* a handler that neither answers nor waits is our own mistake; the peer must not hang */
	if (call->active && !call->waiter)
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "%s gave no answer", method);
	return 0;
}

/*
 * Whoever was admitted may have handed the connection on, so the writer of every message is judged
 * like whoever opens one. A writer that is gone cannot be judged, and is refused.
 */
static int admit_sender(struct osh_ctl_conn *conn)
{
	const struct osh_ctl_sender *sender = &conn->wire.sender;
	const struct osh_ctl_peer writer = {
		.pid = sender->pid,
		.uid = sender->uid,
		.gid = sender->gid,
		.pidfd = sender->pidfd,
	};

	return conn->server->config.admit ? conn->server->config.admit(&writer) : 0;
}

static int conn_step(struct osh_ctl_conn *conn, uint32_t events)
{
	bool gone = events & EPOLLHUP;
	int r;

	if (conn->broken || events & EPOLLERR || (gone && conn->call.active))
		return -ECONNRESET;
	r = gone ? 0 : conn_flush(conn);
	if (r < 0)
		return r;
	if (conn->call.active || conn->queued >= OSH_CTL_QUEUE_HIGH)
		return 0;
	r = dispatch_next(conn); /* one per turn; the next one by osh_src_again() */
	if (r != -EAGAIN)
		return r;
	if (conn->eof)
		return conn->queued && !gone ? 0 : -ECONNRESET;
	/* a peer that sent its calls and left is still read to the end */
	if (events & EPOLLIN) {
		ssize_t n = osh_ctl_wire_read(&conn->wire, conn->src.fd);

		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n == 0)
			conn->eof = true;
		r = n > 0 ? admit_sender(conn) : 0;
		if (r < 0)
			return r;
		osh_src_again(&conn->src);
	} else if (gone) {
		return -ECONNRESET;
	}
	return 0;
}

static void on_conn(struct osh_src *src, uint32_t events)
{
	struct osh_ctl_conn *conn = osh_container_of(src, struct osh_ctl_conn, src);

	if (conn_step(conn, events) < 0 || conn->broken)
		conn_close(conn);
	else
		update_want(conn);
}

static unsigned int conns_of(const struct osh_ctl_server *server, uid_t uid)
{
	const struct osh_list *it;
	unsigned int n = 0;

	osh_list_for_each (it, &server->conns)
		n += osh_list_entry(it, struct osh_ctl_conn, node)->peer.uid == uid;
	return n;
}

static int admit(struct osh_ctl_server *server, int fd, struct osh_ctl_peer *ret_peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred), pidfd_len = sizeof(int);
	osh_auto_close int pidfd = -1;
	struct osh_ctl_peer peer;
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	/* a kernel before 6.5 cannot; any other error is of a process that is gone */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &pidfd_len) < 0) {
		pidfd = -1;
		if (errno != ENOPROTOOPT)
			return -errno;
	}
	peer = (struct osh_ctl_peer){
		.pid = cred.pid, .uid = cred.uid, .gid = cred.gid, .pidfd = pidfd
	};
	if (server->n_conns >= OSH_CTL_CONNS_MAX ||
	    (peer.uid && conns_of(server, peer.uid) >= OSH_CTL_CONNS_UID))
		return -EMFILE;
	r = server->config.admit ? server->config.admit(&peer) : 0;
	if (r < 0)
		return r;
	peer.pidfd = -1;
	*ret_peer = peer;
	return 0;
}

static int conn_new(struct osh_ctl_server *server, int take_fd)
{
	osh_auto_close int fd = take_fd;
	struct osh_ctl_conn *conn;
	struct osh_ctl_peer peer;
	int r;

	r = admit(server, fd, &peer);
	if (r < 0)
		return r;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	r = osh_src_add(server->config.loop, &conn->src, fd, EPOLLIN, 0, on_conn, "ctl-conn");
	if (r < 0) {
		free(conn);
		return r;
	}
	(void)osh_take_fd(&fd); /* conn->src.fd has it */
	conn->server = server;
	conn->peer = peer;
	osh_ctl_wire_init(&conn->wire);
	osh_buf_init(&conn->call.out, OSH_CTL_MSG_MAX, 0);
	for (size_t i = 0; i < OSH_CTL_FDS_MAX; i++)
		conn->call.fds[i] = -1;
	osh_list_init(&conn->queue);
	osh_list_add_tail(&server->conns, &conn->node);
	server->n_conns++;
	return 0;
}

static void on_resume(struct osh_timer *timer)
{
	struct osh_ctl_server *server = osh_container_of(timer, struct osh_ctl_server, resume);

	osh_src_want(&server->src, EPOLLIN);
}

static void on_listen(struct osh_src *src, uint32_t events)
{
	struct osh_ctl_server *server = osh_container_of(src, struct osh_ctl_server, src);

	(void)events;
	for (unsigned int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
				osh_src_want(&server->src, 0);
				osh_timer_set(server->config.loop, &server->resume, ACCEPT_PAUSE_MS,
					      on_resume);
			}
			return;
		}
		(void)conn_new(server, fd); /* refused: closed, the peer sees it */
	}
}

int osh_ctl_server_new(const struct osh_ctl_config *config, int take_listen_fd,
		       struct osh_ctl_server **ret_server)
{
	osh_auto_close int fd = take_listen_fd;
	struct osh_ctl_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->config = *config;
	osh_list_init(&server->conns);
	r = osh_src_add(config->loop, &server->src, fd, EPOLLIN, 0, on_listen, "ctl-listen");
	if (r < 0) {
		free(server);
		return r;
	}
	server->fd = osh_take_fd(&fd);
	*ret_server = server;
	return 0;
}

static void server_free(struct osh_src *src)
{
	free(osh_container_of(src, struct osh_ctl_server, src));
}

struct osh_ctl_server *osh_ctl_server_free(struct osh_ctl_server *server)
{
	if (!server)
		return NULL;
	while (!osh_list_is_empty(&server->conns))
		conn_close(osh_list_entry(server->conns.next, struct osh_ctl_conn, node));
	osh_timer_stop(&server->resume);
	osh_loop_retire(&server->src, server_free);
	osh_close_ptr(&server->fd);
	return NULL;
}

const struct osh_ctl_method *osh_ctl_conn_methods(const struct osh_ctl_conn *conn)
{
	return conn->server->config.methods;
}

/* ---- the socket ---- */

static int bind_listen(int fd, const struct sockaddr_un *addr, mode_t mode, gid_t gid)
{
	/* nobody can connect before listen(), so setting the mode afterwards leaves no gap */
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return -errno;
	if (gid != (gid_t)-1 && chown(addr->sun_path, (uid_t)-1, gid) < 0)
		return -errno;
	if (chmod(addr->sun_path, mode) < 0)
		return -errno;
	if (listen(fd, 128) < 0)
		return -errno;
	return 0;
}

/* -EADDRINUSE when somebody listens at @path; else remove a left-over socket. */
static int clear_path(const struct sockaddr_un *addr)
{
	osh_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(addr->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int osh_ctl_listen(const char *path, mode_t mode, gid_t gid, int *ret_fd)
{
	osh_auto_close int fd = -1;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	if (!osh_strlcpy(addr.sun_path, path, sizeof(addr.sun_path)))
		return -ENAMETOOLONG;
	r = clear_path(&addr);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* before anybody can connect: what is sent to a socket not yet accepted counts too */
	r = osh_ctl_wire_name_senders(fd);
	if (r == 0)
		r = bind_listen(fd, &addr, mode, gid);
	if (r < 0)
		return r;
	*ret_fd = osh_take_fd(&fd);
	return 0;
}
