/* SPDX-License-Identifier: MIT */
#include "http/noproxy.h"

#include <errno.h>

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -EBADMSG;
}

/* Take ":port" off the end. A second colon without brackets is an IPv6 address, which has none. */
static int split_port(struct osh_str *text, uint16_t *ret_port, const char **ret_why)
{
	struct osh_str port;
	uint64_t value;
	size_t at;

	if (text->n && text->p[0] == '[') {
		at = osh_str_find(*text, ']');
		if (at == text->n)
			return bad(ret_why, "a bracket is not closed");
		port = osh_str_sub(*text, at + 1, text->n);
		*text = osh_str_sub(*text, 1, at - 1);
		if (osh_str_find(*text, ':') == text->n)
			return bad(ret_why, "brackets are for IPv6 addresses only");
		if (!port.n)
			return 0;
		if (port.p[0] != ':')
			return bad(ret_why, "something other than a port follows the bracket");
		port = osh_str_sub(port, 1, port.n);
	} else {
		at = osh_str_find(*text, ':');
		port = osh_str_sub(*text, at + 1, text->n);
		if (at == text->n || osh_str_find(port, ':') != port.n)
			return 0;
		*text = osh_str_sub(*text, 0, at);
	}
	if (osh_parse_u64(port, UINT16_MAX, &value) < 0 || !value)
		return bad(ret_why, "the port is not a number in 1..65535");
	*ret_port = (uint16_t)value;
	return 0;
}

static int parse_name(struct osh_str text, struct osh_noproxy *ret, const char **ret_why)
{
	struct osh_host host;

	if (osh_str_has_prefix(text, OSH_STR("*.")))
		text = osh_str_sub(text, 2, text.n);
	else if (osh_str_has_prefix(text, OSH_STR(".")))
		text = osh_str_sub(text, 1, text.n);
	if (text.n > 1 && text.p[text.n - 1] == '.')
		text.n--;
	if (osh_host_parse(text, 0, &host) < 0 || host.is_addr || !host.len ||
	    host.name[host.len - 1] == '.')
		return bad(ret_why, "it is no name, address, network or \"*\"");
	/* "10.1" and its kind: who writes this means a network, and would not get it */
	if (osh_host_is_numeric_name(osh_host_str(&host)))
		return bad(ret_why, "an address or network must be written in full");
	ret->kind = OSH_NOPROXY_NAME;
	ret->len = host.len;
	memcpy(ret->name, host.name, (size_t)host.len + 1);
	return 0;
}

int osh_noproxy_parse(struct osh_str text, struct osh_noproxy *ret, const char **ret_why)
{
	struct osh_noproxy e = { 0 };
	int r;

	r = split_port(&text, &e.port, ret_why);
	if (r < 0)
		return r;
	if (!text.n)
		return bad(ret_why, "it is empty");
	if (osh_str_is(text, "*")) {
		e.kind = OSH_NOPROXY_ANY;
	} else if (osh_cidr_parse(text, &e.net) == 0) {
		e.kind = OSH_NOPROXY_NET;
	} else {
		/* what has a slash or a colon left was to be a network or an IPv6 address */
		if (osh_str_find(text, '/') != text.n || osh_str_find(text, ':') != text.n)
			return bad(ret_why, "it is no valid address or network");
		r = parse_name(text, &e, ret_why);
		if (r < 0)
			return r;
	}
	*ret = e;
	return 0;
}

/* Loopback or link-local: means something on this host only. */
static bool is_here(const struct osh_addr *addr)
{
	static const struct osh_addr one = { .b = { [15] = 1 } };
	const uint8_t *v4 = osh_addr_v4(addr);

	if (v4)
		return v4[0] == 127 || (v4[0] == 169 && v4[1] == 254);
	return osh_addr_eq(addr, &one) || (addr->b[0] == 0xfe && (addr->b[1] & 0xc0) == 0x80);
}

/* @host has no final dot. An address is never below a name: the last label of names is no number. */
static bool is_below(const struct osh_noproxy *e, struct osh_str host)
{
	struct osh_str name = { e->name, e->len };

	if (!osh_str_has_suffix(host, name))
		return false;
	return host.n == name.n || host.p[host.n - name.n - 1] == '.';
}

static uint32_t match_one(const struct osh_noproxy *e, struct osh_str host,
			  const struct osh_addr *addrs, size_t n)
{
	uint32_t all = n < 32 ? (UINT32_C(1) << n) - 1 : UINT32_MAX, mask = 0;

	switch ((enum osh_noproxy_kind)e->kind) {
	case OSH_NOPROXY_ANY:
		return all;
	case OSH_NOPROXY_NAME:
		return is_below(e, host) ? all : 0;
	case OSH_NOPROXY_NET:
		for (size_t i = 0; i < n; i++)
			if (osh_cidr_has(&e->net, &addrs[i]))
				mask |= UINT32_C(1) << i;
		return mask;
	case OSH_NOPROXY_NONE:
		break;
	}
	return 0;
}

uint32_t osh_noproxy_match(const struct osh_noproxy *list, size_t n, struct osh_str host,
			   uint16_t port, const struct osh_addr *addrs, size_t naddrs)
{
	uint32_t mask = 0;

	naddrs = OSH_MIN(naddrs, (size_t)OSH_NOPROXY_ADDRS_MAX);
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	for (size_t i = 0; i < naddrs; i++)
		if (is_here(&addrs[i]))
			mask |= UINT32_C(1) << i;
	for (size_t i = 0; i < n; i++)
		if (!list[i].port || list[i].port == port)
			mask |= match_one(&list[i], host, addrs, naddrs);
	return mask;
}
