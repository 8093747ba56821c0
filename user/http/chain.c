/* SPDX-License-Identifier: MIT */
#include "http/chain.h"

#include <errno.h>

const char *osh_chain_error_text(unsigned int error)
{
	static const char *const texts[OSH_CHAIN_ERROR_COUNT] = {
		[OSH_CHAIN_OK] = "no error",
		[OSH_CHAIN_RESOLVE] = "the name of the upstream proxy does not resolve",
		[OSH_CHAIN_DIAL] = "no connection to the upstream proxy",
		[OSH_CHAIN_TIMEOUT] = "the upstream proxy did not answer in time",
		[OSH_CHAIN_CLOSED] = "the upstream proxy closed the connection without an answer",
		[OSH_CHAIN_MALFORMED] = "the answer of the upstream proxy is not HTTP/1",
		[OSH_CHAIN_TOO_LONG] = "the answer of the upstream proxy is too long",
		[OSH_CHAIN_EARLY_BYTES] = "the upstream proxy sent more than its answer",
		[OSH_CHAIN_AUTH] = "the upstream proxy did not accept the credentials",
		[OSH_CHAIN_FORBIDDEN] = "the upstream proxy does not allow this destination",
		[OSH_CHAIN_UNREACHABLE] = "the upstream proxy cannot reach the destination",
		[OSH_CHAIN_REFUSED] = "the upstream proxy refused the connection",
	};

	return error < OSH_CHAIN_ERROR_COUNT ? texts[error] : "unknown error";
}

int osh_chain_url_parse(struct osh_str url, struct osh_authority *ret, const char **ret_why)
{
	static const struct osh_str scheme = OSH_STR("http://");
	struct osh_authority a;

	if (!osh_str_ieq(osh_str_sub(url, 0, scheme.n), scheme)) {
		*ret_why = osh_str_ieq(osh_str_sub(url, 0, 8), OSH_STR("https://"))
				   ? "a proxy that is itself reached by TLS is not supported"
				   : "it must be http://HOST:PORT";
		return -EBADMSG;
	}
	url = osh_str_sub(url, scheme.n, url.n);
	if (url.n && url.p[url.n - 1] == '/')
		url.n--;
	if (osh_str_find(url, '@') != url.n) {
		*ret_why = "credentials belong into auth_file";
		return -EBADMSG;
	}
	if (osh_authority_parse(url, &a) < 0 ||
	    (!a.host.is_addr && osh_host_is_numeric_name(osh_host_str(&a.host)))) {
		*ret_why = "it must be http://HOST:PORT and nothing else";
		return -EBADMSG;
	}
	if (!a.port) {
		*ret_why = "the port is missing";
		return -EBADMSG;
	}
	*ret = a;
	return 0;
}

/* ---- credentials ---- */

static int add_base64(struct osh_str in, struct osh_buf *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)in.p;

	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = in.n - i;
		unsigned int v = (unsigned int)p[i] << 16;
		char four[4];
		int r;

		v |= left > 1 ? (unsigned int)p[i + 1] << 8 : 0;
		v |= left > 2 ? p[i + 2] : 0;
		four[0] = digits[v >> 18];
		four[1] = digits[v >> 12 & 63];
		four[2] = left > 1 ? digits[v >> 6 & 63] : '=';
		four[3] = left > 2 ? digits[v & 63] : '=';
		r = osh_buf_add(out, four, sizeof(four));
		explicit_bzero(four, sizeof(four));
		if (r < 0)
			return r;
	}
	return 0;
}

int osh_chain_auth(struct osh_str text, struct osh_buf *out, const char **ret_why)
{
	size_t colon;
	int r;

	if (text.n && text.p[text.n - 1] == '\n') {
		text.n--;
		if (text.n && text.p[text.n - 1] == '\r')
			text.n--;
	}
	colon = osh_str_find(text, ':');
	if (!colon || colon == text.n) {
		*ret_why = "it must hold one line USER:PASSWORD";
		return -EBADMSG;
	}
	if (text.n > OSH_CHAIN_USERPASS_MAX) {
		*ret_why = "it is longer than 512 bytes";
		return -EBADMSG;
	}
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f) {
			*ret_why = "it must hold one line without control characters";
			return -EBADMSG;
		}
	r = osh_buf_add_str(out, OSH_STR("Basic "));
	return r ? r : add_base64(text, out);
}

/* ---- wire ---- */

int osh_chain_request(struct osh_str host, uint16_t port, struct osh_str auth, struct osh_buf *out)
{
	bool v6 = osh_str_find(host, ':') != host.n;
	const char *l = v6 ? "[" : "", *r = v6 ? "]" : "";
	int err;

	err = osh_buf_printf(out, "CONNECT %s%.*s%s:%u HTTP/1.1\r\nHost: %s%.*s%s:%u\r\n", l,
			     OSH_STR_FMT(host), r, port, l, OSH_STR_FMT(host), r, port);
	if (!err && auth.n)
		err = osh_buf_add_str(out, OSH_STR("Proxy-Authorization: "));
	if (!err && auth.n)
		err = osh_buf_add_str(out, auth);
	return err ? err : osh_buf_add_str(out, auth.n ? OSH_STR("\r\n\r\n") : OSH_STR("\r\n"));
}

static enum osh_chain_error judge(uint16_t status)
{
	switch (status) {
	case 407:
		return OSH_CHAIN_AUTH;
	case 403:
		return OSH_CHAIN_FORBIDDEN;
	case 502:
	case 503:
	case 504:
		return OSH_CHAIN_UNREACHABLE;
	case 101: /* nothing of the kind was asked for */
		return OSH_CHAIN_MALFORMED;
	default:
		return status / 100 == 2 ? OSH_CHAIN_OK : OSH_CHAIN_REFUSED;
	}
}

int osh_chain_answer(struct osh_h1_head *scratch, struct osh_str data, struct osh_chain_answer *ret)
{
	struct osh_h1_limits limits = { .head_bytes = OSH_CHAIN_ANSWER_MAX,
					.fields = OSH_H1_FIELDS_MAX };
	size_t at = 0;
	int r;

	*ret = (struct osh_chain_answer){ 0 };
	do {
		limits.head_bytes = (uint32_t)(OSH_CHAIN_ANSWER_MAX - at);
		if (!limits.head_bytes) {
			ret->error = OSH_CHAIN_TOO_LONG;
			return -ECONNREFUSED;
		}
		osh_h1_init(scratch, OSH_H1_RESPONSE);
		r = osh_h1_parse(scratch, data.p + at, data.n - at, &limits);
		if (r == -EAGAIN)
			return r;
		if (r < 0) {
			ret->error = r == -EMSGSIZE ? OSH_CHAIN_TOO_LONG : OSH_CHAIN_MALFORMED;
			return -ECONNREFUSED;
		}
		at += scratch->head_len;
	} while (scratch->status / 100 == 1 && scratch->status != 101);
	ret->status = scratch->status;
	ret->error = judge(scratch->status);
	if (ret->error)
		return -ECONNREFUSED;
	/* whatever framing a 2xx to CONNECT claims is meaningless (RFC 9110 9.3.6) */
	ret->head_len = (uint32_t)at;
	return 0;
}
