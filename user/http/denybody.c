/* SPDX-License-Identifier: MIT */
#include "http/denybody.h"

#include <stdio.h>

#define HEAD_MAX 1024
#define KEY_MAX	 256 /* bytes of the policy key in its field */

static const char *reason_phrase(unsigned int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 417:
		return "Expectation Failed";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	default:
		return "Error";
	}
}

/* A policy key comes from a file, but a field value must not depend on that file being tame. */
static void field_value(char dst[KEY_MAX + 1], struct osh_str s)
{
	size_t n = OSH_MIN(s.n, (size_t)KEY_MAX);

	for (size_t i = 0; i < n; i++)
		dst[i] = s.p[i] > 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';
	dst[n] = '\0';
}

/*
 * Put the head before the body that starts at @at: its length is only known now. The answer to HEAD
 * keeps the head only.
 */
static int insert_head(struct osh_buf *out, size_t at, unsigned int status, const char *type,
		       const char *policy_key, bool head_request, bool keep_alive)
{
	size_t body = out->len - at;
	char head[HEAD_MAX];
	int n, r;

	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 %u %s\r\n"
		     "Content-Type: %s\r\n"
		     "Content-Length: %zu\r\n"
		     "%s%s%s"
		     "%s"
		     "\r\n",
		     status, reason_phrase(status), type, body,
		     policy_key ? "X-OpenShell-Policy: " : "", policy_key ? policy_key : "",
		     policy_key ? "\r\n" : "", keep_alive ? "" : "Connection: close\r\n");
	if (n < 0 || (size_t)n >= sizeof(head))
		return -EMSGSIZE;
	if (head_request) {
		out->len = at;
		return osh_buf_add(out, head, (size_t)n);
	}
	r = osh_buf_add(out, head, (size_t)n); /* room for it; the bytes are placed below */
	if (r < 0)
		return r;
	memmove(out->data + at + n, out->data + at, body);
	memcpy(out->data + at, head, (size_t)n);
	return 0;
}

static void where(struct osh_json *j, const struct osh_deny_l7 *deny)
{
	if (deny->binary.n)
		osh_json_kstr(j, "binary", deny->binary);
	if (deny->host.n)
		osh_json_kstr(j, "host", deny->host);
	osh_json_kz(j, "layer", "l7");
	osh_json_kstr(j, "method", deny->method);
}

/* "METHOD path" without a buffer of its own. */
static int rule_text(const struct osh_deny_l7 *deny, char *dst, size_t size, struct osh_str *ret)
{
	int n = snprintf(dst, size, "%.*s %.*s", OSH_STR_FMT(deny->method),
			 OSH_STR_FMT(deny->path));

	if (n < 0)
		return -EINVAL;
	*ret = (struct osh_str){ dst, OSH_MIN((size_t)n, size - 1) };
	return 0;
}

static int l7_body(const struct osh_deny_l7 *deny, struct osh_buf *out)
{
	struct osh_str rule;
	struct osh_json j;
	char text[8192];
	int r;

	r = rule_text(deny, text, sizeof(text), &rule);
	if (r < 0)
		return r;
	osh_json_init(&j, out, 0);
	osh_json_obj(&j);
	osh_json_kz(&j, "error", "policy_denied");
	osh_json_kstr(&j, "policy", deny->policy_name);
	osh_json_kstr(&j, "detail", deny->detail);
	where(&j, deny);
	osh_json_key(&j, "next_steps");
	osh_json_arr(&j);
	osh_json_arr_end(&j);
	osh_json_kstr(&j, "path", deny->path);
	if (deny->port)
		osh_json_ku64(&j, "port", deny->port);
	osh_json_kz(&j, "protocol", "rest");
	osh_json_kstr(&j, "rule", rule);
	osh_json_key(&j, "rule_missing");
	osh_json_obj(&j);
	where(&j, deny);
	osh_json_kstr(&j, "path", deny->path);
	if (deny->port)
		osh_json_ku64(&j, "port", deny->port);
	osh_json_kz(&j, "type", "rest_allow");
	osh_json_obj_end(&j);
	osh_json_obj_end(&j);
	return j.err;
}

/* Undo a half-written answer, so that a failing caller's buffer is as it was. */
static int settle(struct osh_buf *out, size_t at, int r)
{
	if (r < 0)
		out->len = at;
	return r;
}

int osh_deny_l7_response(const struct osh_deny_l7 *deny, struct osh_buf *out)
{
	size_t at = out->len;
	char key[KEY_MAX + 1];
	int r;

	field_value(key, deny->policy_key);
	r = l7_body(deny, out);
	if (r == 0)
		r = insert_head(out, at, 403, "application/json", key, deny->head_request,
				deny->keep_alive);
	return settle(out, at, r);
}

static void opt(struct osh_json *j, const char *key, struct osh_str value)
{
	if (value.n)
		osh_json_kstr(j, key, value);
}

int osh_deny_response(const struct osh_deny_plain *deny, struct osh_buf *out)
{
	size_t at = out->len;
	struct osh_json j;
	int r;

	osh_json_init(&j, out, 0);
	osh_json_obj(&j);
	opt(&j, "detail", deny->detail);
	osh_json_kz(&j, "error", deny->error);
	opt(&j, "message", deny->message);
	opt(&j, "reason", deny->reason);
	osh_json_obj_end(&j);
	r = j.err;
	if (r == 0)
		r = insert_head(out, at, deny->status, "application/json", NULL, deny->head_request,
				false);
	return settle(out, at, r);
}

int osh_deny_authority(struct osh_buf *out)
{
	static const struct osh_deny_plain deny = {
		.status = 403,
		.error = "request_authority_mismatch",
		.message = { "HTTP request authority does not match the authorized tunnel endpoint",
			     sizeof("HTTP request authority does not match the authorized tunnel "
				    "endpoint") -
				     1 },
	};

	return osh_deny_response(&deny, out);
}

int osh_deny_https_url(struct osh_buf *out)
{
	size_t at = out->len;
	int r = osh_buf_add_str(out, OSH_STR("Use CONNECT for HTTPS URLs"));

	if (r == 0)
		r = insert_head(out, at, 400, "text/plain", NULL, false, false);
	return settle(out, at, r);
}
