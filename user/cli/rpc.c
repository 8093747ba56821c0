/* SPDX-License-Identifier: MIT */
#include "cli/rpc.h"

#include <errno.h>

void osh_rpc_begin(struct osh_rpc *rpc, const char *what)
{
	*rpc = (struct osh_rpc){ .what = what };
	osh_buf_init(&rpc->params, OSH_CTL_MSG_MAX, 0);
	osh_json_init(&rpc->j, &rpc->params, 0);
	osh_json_obj(&rpc->j);
}

void osh_rpc_fini(struct osh_rpc *rpc)
{
	rpc->client = osh_ctl_client_free(rpc->client);
	osh_buf_fini(&rpc->params);
}

int osh_rpc_try(struct osh_cli *cli, struct osh_rpc *rpc)
{
	return rpc->client ? 0 : osh_ctl_connect(cli->socket, &rpc->client);
}

static int tell_unreachable(struct osh_cli *cli, const char *what, int r)
{
	switch (-r) {
	case ENOENT:
	case ECONNREFUSED:
		return osh_cli_fail(cli, what,
				    "start it with 'openshell gateway start', or name its socket "
				    "with --socket",
				    "openshelld does not answer at %s", cli->socket);
	case EACCES:
	case EPERM:
		return osh_cli_fail(cli, what,
				    "run it as root or as a member of the group openshell",
				    "access to %s is not permitted", cli->socket);
	case ECONNRESET:
		return osh_cli_fail(cli, what, "see the daemon's log (journalctl -u openshelld)",
				    "openshelld closed the connection");
	default:
		return osh_cli_fail(cli, what, NULL, "%s: %s", cli->socket, strerror(-r));
	}
}

static int send_call(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
		     unsigned int flags)
{
	int r;

	osh_json_obj_end(&rpc->j);
	if (rpc->j.err)
		return rpc->j.err;
	r = osh_rpc_try(cli, rpc);
	return r < 0 ? r
		     : osh_ctl_send(rpc->client, method, osh_buf_str(&rpc->params), flags, NULL, 0);
}

int osh_rpc_start(struct osh_cli *cli, struct osh_rpc *rpc, const char *method, unsigned int flags)
{
	int r = send_call(cli, rpc, method, flags);

	return r < 0 ? tell_unreachable(cli, rpc->what, r) : 0;
}

int osh_rpc_next(struct osh_cli *cli, struct osh_rpc *rpc, int timeout_ms,
		 struct osh_ctl_reply *ret_reply)
{
	int r = osh_ctl_recv(rpc->client, timeout_ms, ret_reply);

	if (r == -ETIMEDOUT)
		return OSH_EXIT_TIMEOUT;
	if (r < 0)
		return tell_unreachable(cli, rpc->what, r);
	return ret_reply->error ? osh_rpc_tell(cli, rpc->what, ret_reply) : 0;
}

int osh_rpc_call(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
		 struct osh_ctl_reply *ret_reply)
{
	int code = osh_rpc_start(cli, rpc, method, 0);

	return code ? code : osh_rpc_next(cli, rpc, -1, ret_reply);
}

int osh_rpc_ask(struct osh_cli *cli, struct osh_rpc *rpc, const char *method,
		struct osh_ctl_reply *ret_reply)
{
	int r = send_call(cli, rpc, method, 0);

	if (r == 0)
		r = osh_ctl_recv(rpc->client, -1, ret_reply);
	return r < 0 ? tell_unreachable(cli, rpc->what, r) : 0;
}

bool osh_rpc_is(const struct osh_ctl_reply *reply, const char *name)
{
	size_t n = strlen(OSH_CTL_INTERFACE ".");

	return reply->error && !strncmp(reply->error, OSH_CTL_INTERFACE ".", n) &&
	       !strcmp(reply->error + n, name);
}

int osh_rpc_tell(struct osh_cli *cli, const char *what, const struct osh_ctl_reply *reply)
{
	const char *message = osh_jval_z(osh_jval_get(reply->params, "message"), NULL);
	const char *hint = osh_jval_z(osh_jval_get(reply->params, "hint"), NULL);
	const char *diagnostics = osh_jval_z(osh_jval_get(reply->params, "diagnostics"), "");
	const char *parameter = osh_jval_z(osh_jval_get(reply->params, "parameter"), NULL);

	fputs(diagnostics, cli->err);
	if (message && *message)
		return osh_cli_fail(cli, what, hint, "%s", message);
	if (parameter)
		return osh_cli_fail(cli, what, hint, "the daemon refuses the value of %s",
				    OSH_Q(parameter));
	if (strstr(reply->error, "MethodNotFound"))
		return osh_cli_fail(cli, what, "bring both to the same version",
				    "this openshelld does not know the request");
	return osh_cli_fail(cli, what, hint, "%s", OSH_Q(reply->error));
}

const char *osh_reply_z(const struct osh_ctl_reply *reply, const char *key)
{
	return osh_jval_z(osh_jval_get(reply->params, key), "");
}

uint64_t osh_reply_u64(const struct osh_ctl_reply *reply, const char *key)
{
	int64_t v = osh_jval_i64(osh_jval_get(reply->params, key), 0);

	return v < 0 ? 0 : (uint64_t)v;
}

bool osh_reply_bool(const struct osh_ctl_reply *reply, const char *key)
{
	return osh_jval_bool(osh_jval_get(reply->params, key), false);
}

void osh_reply_warnings(struct osh_cli *cli, const struct osh_ctl_reply *reply)
{
	const struct osh_jval *list = osh_jval_get(reply->params, "warnings");

	for (size_t i = 0; i < osh_jval_len(list); i++)
		osh_cli_note(cli, cli->err, '!', "%s", osh_jval_z(osh_jval_at(list, i), ""));
}
