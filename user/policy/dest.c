/* SPDX-License-Identifier: MIT */
/* Destination safety (declared in policy/addr.h): which resolved addresses may be dialled. */
#include <stdio.h>

#include "policy/addr.h"
#include "policy/host.h"

static struct osh_str without_dot(struct osh_str host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

static bool is_one_of(struct osh_str host, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (osh_str_ieq(host, osh_str(names[i])))
			return true;
	return false;
}

bool osh_host_is_gateway_alias(struct osh_str host)
{
	static const char *const names[] = { "host.openshell.internal", "host.containers.internal",
					     "host.docker.internal" };

	return is_one_of(host, names, OSH_ARRAY_SIZE(names));
}

bool osh_host_is_metadata_name(struct osh_str host)
{
	static const char *const names[] = { "metadata.google.internal" };

	return is_one_of(without_dot(host), names, OSH_ARRAY_SIZE(names));
}

bool osh_host_is_localhost(struct osh_str host)
{
	host = without_dot(host);
	return osh_str_ieq(host, OSH_STR("localhost")) ||
	       (host.n > 10 &&
		osh_str_ieq(osh_str_sub(host, host.n - 10, 10), OSH_STR(".localhost")));
}

static bool port_is_control_plane(uint16_t port)
{
	return port == 2379 || port == 2380 || port == 6443 || port == 10250 || port == 10255;
}

bool osh_addr_is_gateway(const struct osh_addr *addr)
{
	static const uint8_t link_local4[2] = { 169, 254 };
	static const uint8_t metadata4[4] = { 169, 254, 169, 254 };
	const uint8_t *v4 = osh_addr_v4(addr);

	if (v4)
		return memcmp(v4, link_local4, 2) == 0 && memcmp(v4, metadata4, 4) != 0;
	return addr->b[0] == 0xfe && (addr->b[1] & 0xc0) == 0x80;
}

static enum osh_dest_mode dest_mode(const struct osh_dest *dest, struct osh_addr *ret_literal)
{
	if (dest->gateway && osh_host_is_gateway_alias(dest->host) &&
	    osh_addr_is_gateway(dest->gateway))
		return OSH_DEST_GATEWAY;
	if (dest->n_allowed || dest->bad_allowed_ips)
		return OSH_DEST_ALLOWED_IPS;
	if (osh_addr_parse(dest->host, ret_literal) == 0)
		return OSH_DEST_LITERAL;
	return dest->declared_exact ? OSH_DEST_EXACT_HOST : OSH_DEST_PUBLIC_ONLY;
}

static bool is_allowed(const struct osh_dest *dest, const struct osh_addr *addr)
{
	for (size_t i = 0; i < dest->n_allowed; i++)
		if (osh_cidr_has(&dest->allowed[i], addr))
			return true;
	return false;
}

static enum osh_dest_reason judge(const struct osh_dest *dest, enum osh_dest_mode mode,
				  const struct osh_addr *literal, const struct osh_addr *addr)
{
	enum osh_addr_class class = osh_addr_classify(addr);

	if (mode == OSH_DEST_GATEWAY)
		return osh_addr_eq(addr, dest->gateway) ? OSH_DEST_OK : OSH_DEST_NOT_GATEWAY;
	if (mode == OSH_DEST_PUBLIC_ONLY)
		return class == OSH_ADDR_PUBLIC ? OSH_DEST_OK : OSH_DEST_INTERNAL;
	if (class == OSH_ADDR_ALWAYS_BLOCKED)
		return OSH_DEST_BLOCKED;
	if (mode == OSH_DEST_ALLOWED_IPS && !is_allowed(dest, addr))
		return OSH_DEST_NOT_ALLOWED;
	if (mode == OSH_DEST_LITERAL && !osh_addr_eq(addr, literal))
		return OSH_DEST_NOT_LITERAL;
	return OSH_DEST_OK;
}

int osh_dest_check(const struct osh_dest *dest, const struct osh_addr *resolved, size_t n,
		   struct osh_dest_verdict *ret)
{
	struct osh_addr literal;

	*ret = (struct osh_dest_verdict){ .mode = dest_mode(dest, &literal) };
	if (dest->bad_allowed_ips && ret->mode == OSH_DEST_ALLOWED_IPS)
		ret->reason = OSH_DEST_BAD_ALLOWED_IPS;
	else if (ret->mode != OSH_DEST_PUBLIC_ONLY && port_is_control_plane(dest->port))
		ret->reason = OSH_DEST_CONTROL_PORT;
	else if (n == 0)
		ret->reason = OSH_DEST_UNRESOLVED;
	else
		ret->reason = OSH_DEST_OK;
	for (size_t i = 0; i < n && ret->reason == OSH_DEST_OK; i++) {
		ret->reason = judge(dest, ret->mode, &literal, &resolved[i]);
		ret->addr = resolved[i];
	}
	return ret->reason == OSH_DEST_OK ? 0 : -EPERM;
}

bool osh_dest_may_dial(const struct osh_dest *dest, const struct osh_addr *addr)
{
	struct osh_dest_verdict verdict;

	return osh_dest_check(dest, addr, 1, &verdict) == 0;
}

const char *osh_dest_reason_text(const struct osh_dest *dest,
				 const struct osh_dest_verdict *verdict, char *dst, size_t size)
{
	const char *what = NULL;
	char ip[OSH_ADDR_TEXT_MAX];
	int host_n = (int)OSH_MIN(dest->host.n, (size_t)OSH_HOST_MAX);

	switch (verdict->reason) {
	case OSH_DEST_INTERNAL:
		what = "resolves to internal address %s";
		break;
	case OSH_DEST_BLOCKED:
		what = "resolves to always-blocked address %s";
		break;
	case OSH_DEST_NOT_ALLOWED:
		what = "resolves to %s which is not in allowed_ips";
		break;
	case OSH_DEST_NOT_GATEWAY:
		what = "resolves to %s which is not the trusted gateway";
		break;
	case OSH_DEST_NOT_LITERAL:
		what = "resolves to %s which is not the declared address";
		break;
	case OSH_DEST_BAD_ALLOWED_IPS:
		(void)snprintf(dst, size, "invalid allowed_ips in policy");
		return dst;
	case OSH_DEST_CONTROL_PORT:
		(void)snprintf(dst, size,
			       "port %u is a blocked control-plane port, connection rejected",
			       dest->port);
		return dst;
	case OSH_DEST_UNRESOLVED:
		(void)snprintf(dst, size, "DNS resolution failed for %.*s:%u: no address", host_n,
			       dest->host.p, dest->port);
		return dst;
	case OSH_DEST_OK:
		(void)snprintf(dst, size, "%s", "");
		return dst;
	}
	if (what) {
		char text[96];

		(void)snprintf(text, sizeof(text), what, osh_addr_text(&verdict->addr, ip));
		(void)snprintf(dst, size, "%.*s %s, connection rejected", host_n, dest->host.p,
			       text);
	}
	return dst;
}

const char *osh_dest_kind(const struct osh_dest_verdict *verdict)
{
	if (verdict->reason == OSH_DEST_BAD_ALLOWED_IPS)
		return "invalid allowed_ips in policy";
	switch (verdict->mode) {
	case OSH_DEST_GATEWAY:
		return "trusted-gateway check failed";
	case OSH_DEST_ALLOWED_IPS:
		return "allowed_ips check failed";
	case OSH_DEST_LITERAL:
	case OSH_DEST_EXACT_HOST:
		return "declared endpoint check failed";
	case OSH_DEST_PUBLIC_ONLY:
		break;
	}
	return "internal address";
}
