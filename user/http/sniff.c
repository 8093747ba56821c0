/* SPDX-License-Identifier: MIT */
#include "http/sniff.h"

/* Is the shorter of both the start of the longer? */
static bool agrees(struct osh_str bytes, struct osh_str word)
{
	size_t n = OSH_MIN(bytes.n, word.n);

	return n == 0 || memcmp(bytes.p, word.p, n) == 0;
}

static enum osh_sniff sniff_tls(struct osh_str bytes)
{
	if (bytes.n >= 2 && bytes.p[1] != 3)
		return OSH_SNIFF_OTHER;
	if (bytes.n < 3)
		return OSH_SNIFF_MORE;
	return (unsigned char)bytes.p[2] <= 4 ? OSH_SNIFF_TLS : OSH_SNIFF_OTHER;
}

enum osh_sniff osh_sniff(struct osh_str bytes, bool final)
{
	static const char *const methods[] = { "GET ",	 "HEAD ",    "POST ",	 "PUT ",  "DELETE ",
					       "PATCH ", "OPTIONS ", "CONNECT ", "TRACE " };
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	enum osh_sniff what = OSH_SNIFF_OTHER;

	_Static_assert(sizeof(preface) - 1 == OSH_SNIFF_MAX, "the preface is the longest");
	if (bytes.n && bytes.p[0] == 0x16)
		what = sniff_tls(bytes);
	else if (!bytes.n)
		what = OSH_SNIFF_MORE;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(methods) && bytes.n; i++) {
		struct osh_str word = osh_str(methods[i]);

		if (agrees(bytes, word))
			what = bytes.n >= word.n ? OSH_SNIFF_HTTP1 : OSH_SNIFF_MORE;
	}
	if (bytes.n && agrees(bytes, OSH_STR(preface))) {
		/* "PRI " is no method of anything else: enough when no more comes. */
		if (bytes.n >= OSH_SNIFF_MAX || (final && bytes.n >= 4))
			return OSH_SNIFF_H2;
		what = OSH_SNIFF_MORE;
	}
	return final && what == OSH_SNIFF_MORE ? OSH_SNIFF_OTHER : what;
}

const char *osh_sniff_name(enum osh_sniff what)
{
	switch (what) {
	case OSH_SNIFF_TLS:
		return "tls";
	case OSH_SNIFF_HTTP1:
		return "http1";
	case OSH_SNIFF_H2:
		return "h2";
	case OSH_SNIFF_MORE:
	case OSH_SNIFF_OTHER:
		break;
	}
	return "other";
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (osh_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Canonical base64 of exactly 16 bytes. */
static bool is_ws_key(struct osh_str key)
{
	if (key.n != 24 || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (base64_value(key.p[i]) < 0)
			return false;
	return (base64_value(key.p[21]) & 15) == 0;
}

static bool are_tokens(struct osh_str list)
{
	bool more = true;

	while (more) {
		size_t comma = osh_str_find(list, ',');

		if (!osh_h1_is_token(osh_str_trim(osh_str_sub(list, 0, comma))))
			return false;
		more = comma < list.n;
		list = osh_str_sub(list, OSH_MIN(comma + 1, list.n), list.n);
	}
	return true;
}

bool osh_ws_upgrade_is_valid(const struct osh_h1_head *head, const char *buf)
{
	if (!osh_str_is(osh_h1_method(head, buf), "GET") || head->minor != 1 || !head->upgrade ||
	    !head->websocket || head->body != OSH_H1_BODY_NONE)
		return false;
	if (osh_h1_count(head, OSH_HF_SEC_WEBSOCKET_KEY) != 1 ||
	    !is_ws_key(osh_h1_get(head, buf, OSH_HF_SEC_WEBSOCKET_KEY)))
		return false;
	if (osh_h1_count(head, OSH_HF_SEC_WEBSOCKET_VERSION) != 1 ||
	    !osh_str_is(osh_h1_get(head, buf, OSH_HF_SEC_WEBSOCKET_VERSION), "13"))
		return false;
	for (size_t i = 0; i < head->n_fields; i++)
		if (head->fields[i].id == OSH_HF_SEC_WEBSOCKET_PROTOCOL &&
		    !are_tokens(osh_h1_value(&head->fields[i], buf)))
			return false;
	return true;
}
