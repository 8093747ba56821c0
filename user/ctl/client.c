/* SPDX-License-Identifier: MIT */
#include "ctl/varlink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "ctl/wire.h"

struct osh_ctl_client {
	int fd;
	struct osh_ctl_wire wire;
};

static int unix_addr(const char *path, struct sockaddr_un *ret_addr)
{
	*ret_addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return osh_strlcpy(ret_addr->sun_path, path, sizeof(ret_addr->sun_path)) ? 0
										 : -ENAMETOOLONG;
}

int osh_ctl_connect(const char *path, struct osh_ctl_client **ret_client)
{
	osh_auto_close int fd = -1;
	struct osh_ctl_client *client;
	struct sockaddr_un addr;
	int r;

	r = unix_addr(path, &addr);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->fd = osh_take_fd(&fd);
	osh_ctl_wire_init(&client->wire);
	*ret_client = client;
	return 0;
}

struct osh_ctl_client *osh_ctl_client_free(struct osh_ctl_client *client)
{
	if (!client)
		return NULL;
	osh_close_ptr(&client->fd);
	osh_ctl_wire_fini(&client->wire);
	free(client);
	return NULL;
}

int osh_ctl_client_fd(const struct osh_ctl_client *client)
{
	return client->fd;
}

bool osh_ctl_client_has_pending(const struct osh_ctl_client *client)
{
	struct osh_str rest = osh_buf_str(&client->wire.in);

	return osh_str_find(rest, '\0') != rest.n;
}

int osh_ctl_send(struct osh_ctl_client *client, const char *method, struct osh_str params_json,
		 unsigned int flags, const int *fds, unsigned int n_fds)
{
	osh_auto_bufmem struct osh_buf msg;
	struct osh_json j;
	char name[128];
	size_t sent = 0;
	int r;

	if (strchr(method, '.'))
		r = snprintf(name, sizeof(name), "%s", method);
	else
		r = snprintf(name, sizeof(name), OSH_CTL_INTERFACE ".%s", method);
	osh_buf_init(&msg, OSH_CTL_MSG_MAX, 0);
	if (r < 0 || (size_t)r >= sizeof(name))
		return -EINVAL;
	osh_json_init(&j, &msg, 0);
	osh_json_obj(&j);
	osh_json_kz(&j, "method", name);
	osh_json_key(&j, "parameters");
	osh_json_raw(&j, params_json);
	if (flags & OSH_CTL_MORE)
		osh_json_kbool(&j, "more", true);
	if (flags & OSH_CTL_ONEWAY)
		osh_json_kbool(&j, "oneway", true);
	osh_json_obj_end(&j);
	if (j.err)
		return j.err;
	r = osh_buf_add_c(&msg, '\0');
	if (r < 0)
		return r;
	while (sent < msg.len) {
		ssize_t n = osh_ctl_wire_send(client->fd, osh_buf_str(&msg), sent, fds, n_fds, 0);

		if (n < 0)
			return (int)n == -EPIPE ? -ECONNRESET : (int)n;
		sent += (size_t)n;
	}
	return 0;
}

static int64_t mono_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int wait_readable(int fd, int64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - mono_ms();
		int n;

		if (deadline_ms >= 0 && left < 0)
			left = 0;
		n = poll(&p, 1, (int)OSH_MIN(left, (int64_t)INT32_MAX));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && deadline_ms >= 0 && mono_ms() >= deadline_ms)
			return -ETIMEDOUT;
	}
}

/* Check the shape of a reply: {parameters?: object, error?: string, continues?: bool}. */
static int parse_reply(struct osh_str text, struct osh_ctl_reply *reply)
{
	const struct osh_jval *v;
	int r;

	r = osh_json_parse(text, &reply->root, NULL, 0);
	if (r < 0)
		return r;
	if (osh_jval_type(reply->root) != OSH_JSON_OBJ)
		return -EBADMSG;
	v = osh_jval_get(reply->root, "error");
	if (v) {
		if (osh_jval_type(v) != OSH_JSON_STR)
			return -EBADMSG;
		reply->error = osh_jval_z(v, "");
	}
	v = osh_jval_get(reply->root, "continues");
	if (v && osh_jval_type(v) != OSH_JSON_BOOL && osh_jval_type(v) != OSH_JSON_NULL)
		return -EBADMSG;
	reply->continues = osh_jval_bool(v, false);
	v = osh_jval_get(reply->root, "parameters");
	if (v && osh_jval_type(v) != OSH_JSON_OBJ && osh_jval_type(v) != OSH_JSON_NULL)
		return -EBADMSG;
	reply->params = osh_jval_type(v) == OSH_JSON_OBJ ? v : NULL;
	return 0;
}

int osh_ctl_recv(struct osh_ctl_client *client, int timeout_ms, struct osh_ctl_reply *ret_reply)
{
	int64_t deadline = timeout_ms < 0 ? -1 : mono_ms() + timeout_ms;
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	struct osh_str text;
	int r;

	while (!osh_ctl_wire_peek(&client->wire, &text)) {
		ssize_t n;

		r = wait_readable(client->fd, deadline);
		if (r < 0)
			return r;
		n = osh_ctl_wire_read(&client->wire, client->fd);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && n != -EAGAIN)
			return (int)n;
	}
	r = parse_reply(text, &reply);
	osh_ctl_wire_pop(&client->wire, reply.fds);
	if (r < 0)
		return r;
	*ret_reply = reply;
	reply = (struct osh_ctl_reply)OSH_CTL_REPLY_NONE;
	return 0;
}

void osh_ctl_reply_fini(struct osh_ctl_reply *reply)
{
	for (size_t i = 0; i < OSH_CTL_FDS_MAX; i++)
		osh_close_ptr(&reply->fds[i]);
	if (reply->root)
		reply->root = osh_jval_free(reply->root);
	reply->params = NULL;
	reply->error = NULL;
}

int osh_ctl_call_simple(struct osh_ctl_client *client, const char *method,
			struct osh_str params_json, struct osh_ctl_reply *ret_reply)
{
	int r = osh_ctl_send(client, method, params_json, 0, NULL, 0);

	return r < 0 ? r : osh_ctl_recv(client, -1, ret_reply);
}
