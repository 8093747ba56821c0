/* SPDX-License-Identifier: MIT */
/* Globs, hosts, addresses, names. */
#include <stdio.h>

#include "dns/name.h"
#include "http/noproxy.h"
#include "policy/glob.h"
#include "policy/host.h"
#include "runner.h"

static bool dialect_of(const json_t *row, struct outcome *out, enum osh_glob_dialect *ret)
{
	static const char *const names[] = {
		[OSH_GLOB_HOST] = "host",
		[OSH_GLOB_PATH] = "path",
		[OSH_GLOB_ENDPOINT_PATH] = "endpoint_path",
		[OSH_GLOB_QUERY] = "query",
		[OSH_GLOB_BINARY] = "binary",
	};
	struct osh_str name = text_of(out, row, "dialect");

	for (size_t i = 0; i < OSH_ARRAY_SIZE(names); i++)
		if (osh_str_is(name, names[i])) {
			*ret = (enum osh_glob_dialect)i;
			return true;
		}
	out->malformed = true;
	return false;
}

static bool row_glob(const json_t *row, struct outcome *out)
{
	osh_auto_bufmem struct osh_buf buf;
	enum osh_glob_dialect dialect;
	size_t off;
	bool match = false;
	int r;

	osh_buf_init(&buf, 1u << 20, 0);
	if (!dialect_of(row, out, &dialect))
		return false;
	r = osh_glob_compile(dialect, text_of(out, row, "pattern"), &buf, &off);
	if (r == 0) {
		if (!osh_glob_verify(buf.data + off, buf.len - off))
			return got(out, "a program that does not verify");
		match = osh_glob_match(buf.data + off, text_of(out, row, "input"));
	}
	return same_bool(out, bool_of(out, row, "match"), match);
}

static bool row_glob_valid(const json_t *row, struct outcome *out)
{
	enum osh_glob_dialect dialect;
	const char *why = "";

	if (!dialect_of(row, out, &dialect))
		return false;
	return same_bool(out, bool_of(out, row, "valid"),
			 osh_glob_check(dialect, text_of(out, row, "pattern"), &why) == 0);
}

static bool row_ip(const json_t *row, struct outcome *out)
{
	struct osh_str expected = text_of(out, row, "class");
	struct osh_addr addr;
	const char *class = "invalid";

	if (osh_addr_parse(text_of(out, row, "address"), &addr) == 0)
		class = osh_addr_class_name(osh_addr_classify(&addr));
	if (json_object_get(row, "strict") && osh_str_is(expected, "internal") &&
	    osh_str_is(osh_str(class), "always_blocked"))
		return true;
	return same_str(out, expected, osh_str(class));
}

#define LIST_MAX 64

static size_t list_of(const json_t *row, struct outcome *out, const char *key,
		      struct osh_str texts[LIST_MAX])
{
	const json_t *list = json_object_get(row, key);
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > LIST_MAX)
		out->malformed = true;
	n = OSH_MIN(n, (size_t)LIST_MAX);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);

		if (!json_is_string(v))
			out->malformed = true;
		texts[i] = osh_str(json_string_value(v));
	}
	return n;
}

static bool row_allowed_ips(const json_t *row, struct outcome *out)
{
	struct osh_str texts[LIST_MAX], expected = text_of(out, row, "verdict");
	struct osh_str contains = opt_text(row, "reason_contains");
	struct osh_str gateway_text = opt_text(row, "trusted_gateway");
	struct osh_cidr allowed[LIST_MAX];
	struct osh_addr resolved[LIST_MAX], gateway;
	struct osh_dest_verdict verdict;
	struct osh_dest dest = {
		.host = text_of(out, row, "host"),
		.port = (uint16_t)opt_int(row, "port", 443),
		.declared_exact = opt_bool(row, "declared_exact", false),
		.allowed = allowed,
	};
	char reason[512];
	size_t n, n_resolved;
	bool allow;

	n = list_of(row, out, "entries", texts);
	for (size_t i = 0; i < n; i++) {
		if (osh_allowed_ip_parse(texts[i], &allowed[dest.n_allowed], NULL) == 0)
			dest.n_allowed++;
		else
			dest.bad_allowed_ips = true;
	}
	n_resolved = list_of(row, out, "resolved", texts);
	for (size_t i = 0; i < n_resolved; i++)
		if (osh_addr_parse(texts[i], &resolved[i]) < 0)
			out->malformed = true;
	if (gateway_text.p) {
		if (osh_addr_parse(gateway_text, &gateway) < 0)
			out->malformed = true;
		dest.gateway = &gateway;
	}
	if (out->malformed)
		return false;
	allow = osh_dest_check(&dest, resolved, n_resolved, &verdict) == 0;
	osh_dest_reason_text(&dest, &verdict, reason, sizeof(reason));
	if (!same_str(out, expected, allow ? OSH_STR("allow") : OSH_STR("deny")))
		return false;
	if (contains.p && !memmem(reason, strlen(reason), contains.p, contains.n)) {
		want(out, "a reason with %s", osh_quote(contains));
		return got(out, "%s", OSH_Q(reason));
	}
	return true;
}

static bool row_connect_target(const json_t *row, struct outcome *out)
{
	const json_t *expect = json_object_get(row, "expect");
	struct osh_authority auth;
	char text[320] = "", expected[320] = "";
	bool ok = osh_connect_target(bytes_of(out, row, "target"), &auth) == 0;

	if (ok)
		(void)snprintf(text, sizeof(text), "%s port %u", auth.host.name, auth.port);
	if (json_is_object(expect))
		(void)snprintf(expected, sizeof(expected), "%s port %ld",
			       json_string_value(json_object_get(expect, "host")),
			       opt_int(expect, "port", -1));
	else if (!json_is_null(expect))
		out->malformed = true;
	return same_str(out, osh_str(expected), osh_str(text));
}

static bool row_dns_name(const json_t *row, struct outcome *out)
{
	char name[OSH_DNS_NAME_MAX + 1];
	size_t n = 0;
	bool ok = osh_dns_name_normalise(text_of(out, row, "name"), name, &n) == 0;

	return same_opt(out, json_object_get(row, "normalized"), ok, (struct osh_str){ name, n });
}

/* Bit i: resolved[i] is expected to be dialled directly. */
static uint32_t expected_mask(const json_t *expect, const json_t *resolved)
{
	const json_t *e, *r;
	uint32_t mask = 0;
	size_t i, k;

	json_array_foreach(expect, i, e) json_array_foreach(resolved, k, r) if (json_equal(e, r))
		mask |= UINT32_C(1) << k;
	return mask;
}

static bool row_no_proxy(const json_t *row, struct outcome *out)
{
	const json_t *resolved = json_object_get(row, "resolved"), *v;
	struct osh_str rest = text_of(out, row, "entries"), item;
	struct osh_addr addrs[OSH_NOPROXY_ADDRS_MAX];
	uint32_t expected = expected_mask(json_object_get(row, "expect"), resolved), mask;
	struct osh_noproxy *list;
	size_t n = 0, i;

	list = osh_arena_array(&out->arena, 64, sizeof(*list));
	if (!list || !json_array_size(resolved) ||
	    json_array_size(resolved) > OSH_ARRAY_SIZE(addrs)) {
		out->malformed = true;
		return false;
	}
	while (n < 64 && osh_str_split(&rest, ',', &item)) {
		item = osh_str_trim(item);
		/* what is no entry keeps the daemon from starting; here it just is not there */
		if (item.n && osh_noproxy_parse(item, &list[n], NULL) == 0)
			n++;
	}
	json_array_foreach(resolved, i, v)
	{
		if (osh_addr_parse(osh_str(json_string_value(v)), &addrs[i]) < 0) {
			out->malformed = true;
			return false;
		}
	}
	mask = osh_noproxy_match(list, n, text_of(out, row, "host"),
				 (uint16_t)opt_int(row, "port", 0), addrs, i);
	return mask == expected ||
	       (want(out, "direct: %x", expected), got(out, "direct: %x", mask));
}

const struct kind net_kinds[] = {
	{ "glob", row_glob, false },
	{ "glob_valid", row_glob_valid, false },
	{ "ip", row_ip, false },
	{ "allowed_ips", row_allowed_ips, false },
	{ "connect_target", row_connect_target, false },
	{ "dns_name", row_dns_name, false },
	{ "no_proxy", row_no_proxy, false },
	{ 0 },
};
