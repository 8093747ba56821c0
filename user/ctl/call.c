/* SPDX-License-Identifier: MIT */
#include "ctl/server.h"

#include <errno.h>
#include <stdio.h>

const struct osh_ctl_peer *osh_ctl_call_peer(const struct osh_ctl_call *call)
{
	return &osh_ctl_call_conn(call)->peer;
}

bool osh_ctl_call_wants_more(const struct osh_ctl_call *call)
{
	return call->more;
}

int osh_ctl_call_take_fd(struct osh_ctl_call *call, unsigned int i)
{
	if (i >= OSH_CTL_FDS_MAX || call->fds[i] < 0)
		return -EBADF;
	return osh_take_fd(&call->fds[i]);
}

void osh_ctl_call_wait(struct osh_ctl_call *call, struct osh_ctl_waiter *w)
{
	call->waiter = w;
	w->call = call;
}

bool osh_ctl_call_has_room(struct osh_ctl_call *call)
{
	if (osh_ctl_call_conn(call)->queued < OSH_CTL_QUEUE_HIGH)
		return true;
	call->no_room = true;
	return false;
}

/* ---- replies ---- */

static void begin(struct osh_ctl_call *call)
{
	osh_buf_reset(&call->out);
	osh_json_init(&call->json, &call->out, 0);
	osh_json_obj(&call->json);
	call->reply_open = true;
}

static int finish(struct osh_ctl_call *call)
{
	osh_json_obj_end(&call->json);
	if (call->json.err)
		return call->json.err;
	return osh_buf_add_c(&call->out, '\0');
}

struct osh_json *osh_ctl_reply_begin(struct osh_ctl_call *call)
{
	begin(call);
	osh_json_key(&call->json, "parameters");
	osh_json_obj(&call->json);
	return &call->json;
}

static void reply_finish(struct osh_ctl_call *call, bool last)
{
	int r;

	osh_json_obj_end(&call->json);
	if (!last)
		osh_json_kbool(&call->json, "continues", true);
	r = finish(call);
	if (r == -EMSGSIZE) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, "ask for less", "the answer is too big");
		return;
	}
	if (r < 0) {
		osh_ctl_fail(call, OSH_CTL_ERR_INTERNAL, NULL, "cannot write the answer");
		return;
	}
	osh_ctl_conn_push(osh_ctl_call_conn(call), last);
}

void osh_ctl_reply_end(struct osh_ctl_call *call)
{
	reply_finish(call, true);
}

void osh_ctl_reply_continue(struct osh_ctl_call *call)
{
	/* a peer that asked for one answer gets one: the first is the last */
	reply_finish(call, !call->more);
}

void osh_ctl_reply_take_fd(struct osh_ctl_call *call, int take_fd)
{
	osh_auto_close int fd = take_fd;

	if (call->n_out_fds == OSH_CTL_FDS_MAX) {
		call->json.err = -EMFILE;
		return;
	}
	call->out_fds[call->n_out_fds++] = osh_take_fd(&fd);
}

void osh_ctl_reply_ok(struct osh_ctl_call *call)
{
	(void)osh_ctl_reply_begin(call);
	osh_ctl_reply_end(call);
}

/* Queue what was written, or drop the connection when even an error could not be written. */
static void push_error(struct osh_ctl_call *call)
{
	struct osh_ctl_conn *conn = osh_ctl_call_conn(call);

	osh_json_obj_end(&call->json);
	if (finish(call) < 0)
		conn->broken = true;
	while (call->n_out_fds)
		osh_close_ptr(&call->out_fds[--call->n_out_fds]);
	osh_ctl_conn_push(conn, true);
}

void osh_ctl_fail_raw(struct osh_ctl_call *call, const char *error, const char *key,
		      const char *value)
{
	begin(call);
	osh_json_kz(&call->json, "error", error);
	osh_json_key(&call->json, "parameters");
	osh_json_obj(&call->json);
	if (key)
		osh_json_kz(&call->json, key, value);
	push_error(call);
}

static void fail(struct osh_ctl_call *call, const char *error, const char *hint,
		 const char *diagnostics, const char *fmt, va_list ap)
{
	osh_auto_bufmem struct osh_buf text;
	char name[96];

	osh_buf_init(&text, 65536, 0);
	if (osh_buf_vprintf(&text, fmt, ap) < 0)
		osh_buf_reset(&text); /* too long or no memory: the name of the error must do */
	(void)snprintf(name, sizeof(name), OSH_CTL_INTERFACE ".%s", error);
	begin(call);
	osh_json_kz(&call->json, "error", name);
	osh_json_key(&call->json, "parameters");
	osh_json_obj(&call->json);
	osh_json_kstr(&call->json, "message", osh_buf_str(&text));
	osh_json_kz(&call->json, "hint", hint);
	osh_json_kz(&call->json, "diagnostics", diagnostics);
	push_error(call);
}

void osh_ctl_fail(struct osh_ctl_call *call, const char *error, const char *hint, const char *fmt,
		  ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(call, error, hint, NULL, fmt, ap);
	va_end(ap);
}

void osh_ctl_fail_diag(struct osh_ctl_call *call, const char *error, const char *hint,
		       const char *diagnostics, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(call, error, hint, diagnostics, fmt, ap);
	va_end(ap);
}

void osh_ctl_fail_param(struct osh_ctl_call *call, const char *name)
{
	osh_ctl_fail_raw(call, "org.varlink.service.InvalidParameter", "parameter", name);
}

/* ---- parameters ---- */

static int bad_param(struct osh_ctl_call *call, const char *key)
{
	osh_ctl_fail_param(call, key);
	return -EINVAL;
}

int osh_ctl_param_str(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
		      size_t max, const char **ret_value)
{
	struct osh_str s = osh_jval_str(osh_jval_get(params, key));

	if (!s.p || s.n > max)
		return bad_param(call, key);
	*ret_value = s.p;
	return 0;
}

static bool absent(const struct osh_jval *params, const char *key)
{
	return osh_jval_type(osh_jval_get(params, key)) == OSH_JSON_NULL;
}

int osh_ctl_param_str_opt(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
			  size_t max, const char **ret_value)
{
	if (absent(params, key)) {
		*ret_value = NULL;
		return 0;
	}
	return osh_ctl_param_str(call, params, key, max, ret_value);
}

int osh_ctl_param_u64_opt(struct osh_ctl_call *call, const struct osh_jval *params, const char *key,
			  uint64_t max, uint64_t otherwise, uint64_t *ret_value)
{
	const struct osh_jval *v = osh_jval_get(params, key);
	int64_t n;

	if (absent(params, key)) {
		*ret_value = otherwise;
		return 0;
	}
	n = osh_jval_i64(v, -1);
	if (osh_jval_type(v) != OSH_JSON_INT || n < 0 || (uint64_t)n > max)
		return bad_param(call, key);
	*ret_value = (uint64_t)n;
	return 0;
}

int osh_ctl_param_bool_opt(struct osh_ctl_call *call, const struct osh_jval *params,
			   const char *key, bool otherwise, bool *ret_value)
{
	const struct osh_jval *v = osh_jval_get(params, key);

	if (absent(params, key)) {
		*ret_value = otherwise;
		return 0;
	}
	if (osh_jval_type(v) != OSH_JSON_BOOL)
		return bad_param(call, key);
	*ret_value = osh_jval_bool(v, otherwise);
	return 0;
}

int osh_ctl_param_strv_opt(struct osh_ctl_call *call, const struct osh_jval *params,
			   const char *key, size_t max, size_t count_max,
			   const struct osh_jval **ret_array)
{
	const struct osh_jval *v = osh_jval_get(params, key);

	if (absent(params, key)) {
		*ret_array = NULL;
		return 0;
	}
	if (osh_jval_type(v) != OSH_JSON_ARR || osh_jval_len(v) > count_max)
		return bad_param(call, key);
	for (size_t i = 0; i < osh_jval_len(v); i++) {
		struct osh_str s = osh_jval_str(osh_jval_at(v, i));

		if (!s.p || s.n > max)
			return bad_param(call, key);
	}
	*ret_array = v;
	return 0;
}
