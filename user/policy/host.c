/* SPDX-License-Identifier: MIT */
#include "policy/host.h"

#include "policy/glob.h"

static bool is_label_char(char c)
{
	return osh_is_alnum(c) || c == '-' || c == '_';
}

/* Labels of 1..63 characters; one trailing dot if @dot. */
static bool are_labels(struct osh_str s, bool dot)
{
	size_t len = 0;

	if (!s.n || s.n > OSH_HOST_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.') {
			if (!len || (i + 1 == s.n && !dot))
				return false;
			len = 0;
		} else if (!is_label_char(s.p[i]) || ++len > 63) {
			return false;
		}
	}
	return true;
}

static void set_name(struct osh_host *host, struct osh_str s)
{
	for (size_t i = 0; i < s.n; i++)
		host->name[i] = osh_lower(s.p[i]);
	host->name[s.n] = '\0';
	host->len = (uint8_t)s.n;
}

int osh_host_parse(struct osh_str text, unsigned int flags, struct osh_host *ret)
{
	bool brackets = text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']';
	struct osh_str inner = brackets ? osh_str_sub(text, 1, text.n - 2) : text;
	bool colon = osh_str_find(inner, ':') < inner.n;

	if (brackets ? !(flags & OSH_HOST_BRACKETS) || !colon
		     : colon && !(flags & OSH_HOST_BARE_V6))
		return -EBADMSG;
	if (colon) {
		if (inner.n >= OSH_ADDR_TEXT_MAX || osh_addr_parse(inner, &ret->addr) < 0)
			return -EBADMSG;
		ret->is_addr = true;
	} else {
		if (!are_labels(inner, true))
			return -EBADMSG;
		ret->is_addr = osh_addr_parse(inner, &ret->addr) == 0;
	}
	set_name(ret, inner);
	return 0;
}

/* Where the host ends: the first ':' outside brackets, or the end. */
static size_t host_end(struct osh_str text)
{
	size_t from = 0, colon;

	if (text.n && text.p[0] == '[') {
		from = osh_str_find(text, ']');
		if (from == text.n)
			return text.n;
	}
	colon = osh_str_find(osh_str_sub(text, from, text.n - from), ':');
	return from + colon;
}

static int parse_authority(struct osh_str text, bool want_port, struct osh_authority *ret)
{
	size_t end = host_end(text);
	struct osh_authority auth = { 0 };
	uint64_t port = 0;
	int r;

	if (end < text.n) {
		struct osh_str digits = osh_str_sub(text, end + 1, text.n - end - 1);

		if (digits.n > 5 || osh_parse_u64(digits, 65535, &port) < 0 || !port)
			return -EBADMSG;
	} else if (want_port) {
		return -EBADMSG;
	}
	r = osh_host_parse(osh_str_sub(text, 0, end), OSH_HOST_BRACKETS, &auth.host);
	if (r < 0)
		return r;
	auth.port = (uint16_t)port;
	*ret = auth;
	return 0;
}

int osh_connect_target(struct osh_str text, struct osh_authority *ret)
{
	return parse_authority(text, true, ret);
}

int osh_authority_parse(struct osh_str text, struct osh_authority *ret)
{
	return parse_authority(text, false, ret);
}

bool osh_host_same(struct osh_str a, struct osh_str b)
{
	if (a.n && a.p[a.n - 1] == '.')
		a.n--;
	if (b.n && b.p[b.n - 1] == '.')
		b.n--;
	return osh_str_eq(a, b);
}

bool osh_host_is_numeric_name(struct osh_str host)
{
	struct osh_addr addr;
	size_t from, hex;

	if (osh_addr_parse(host, &addr) == 0)
		return false;
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	for (from = host.n; from > 0 && host.p[from - 1] != '.';)
		from--;
	host = osh_str_sub(host, from, host.n - from);
	if (!host.n)
		return false;
	hex = host.n >= 2 && host.p[0] == '0' && osh_lower(host.p[1]) == 'x' ? 2 : 0;
	for (size_t i = hex; i < host.n; i++)
		if (hex ? osh_hex_value(host.p[i]) < 0 : !osh_is_digit(host.p[i]))
			return false;
	return true;
}

int osh_host_check_policy(struct osh_str host, const char **ret_why)
{
	if (!host.n || host.n > OSH_HOST_MAX) {
		*ret_why = host.n ? "host is too long" : "host is empty";
		return -EBADMSG;
	}
	return osh_glob_check(OSH_GLOB_HOST, host, ret_why);
}

bool osh_host_is_dns_name(struct osh_str host)
{
	struct osh_addr addr;

	return are_labels(host, false) && osh_addr_parse(host, &addr) < 0;
}
