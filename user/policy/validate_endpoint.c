/* SPDX-License-Identifier: MIT */
/* One endpoint: host, ports, protocol and the options that go with it. */
#include <stdio.h>

#include "policy/addr.h"
#include "policy/check.h"
#include "policy/glob.h"
#include "policy/host.h"

static bool is_l7(const struct osh_endpoint *ep)
{
	return ep->protocol_text.n && ep->protocol != OSH_PROTO_TCP;
}

static bool has_port(const struct osh_endpoint *ep, uint16_t port)
{
	for (size_t i = 0; i < ep->n_ports; i++)
		if (ep->ports[i] == port)
			return true;
	return false;
}

/* Pasted from a browser: a URL, a port behind it. No name that is asked for has such bytes. */
static bool is_more_than_host(struct osh_str host)
{
	struct osh_addr addr;

	if (osh_addr_parse(host, &addr) == 0)
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (memchr(":/@#%", host.p[i], 5))
			return true;
	return false;
}

static void check_host(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	const char *why;

	if (ep->host.n == 0) {
		if (ep->allowed_ips.n == 0)
			osh_check_err(c, ep->at,
				      "must declare host, or allowed_ips to mean any host at those "
				      "addresses");
		return;
	}
	if (osh_host_check_policy(ep->host, &why) < 0)
		osh_check_err(c, ep->host_at, "host '%.*s': %s", OSH_CLIP(ep->host), why);
	else if (is_more_than_host(ep->host))
		osh_check_warn(c, ep->host_at,
			       "host '%.*s' matches no host: write the name alone, without scheme, "
			       "port or path",
			       OSH_CLIP(ep->host));
}

static void check_ports(const struct osh_check *c)
{
	if (c->ep->n_ports == 0)
		osh_check_err(c, c->ep->at, "must declare at least one port");
	if (has_port(c->ep, 0))
		osh_check_err(c, c->ep->at, "has invalid port 0; ports are 1 to 65535");
}

static void check_path(const struct osh_check *c)
{
	struct osh_str path = c->ep->path;
	const char *why;

	if (path.n == 0)
		return;
	if (path.p[0] != '/' && !osh_str_is(path, "**")) {
		osh_check_err(c, c->ep->path_at, "path must start with '/' or be '**', got '%.*s'",
			      OSH_CLIP(path));
		return;
	}
	/* The gate in front of the rules reads the same text as a rule path. */
	if (osh_glob_check(OSH_GLOB_ENDPOINT_PATH, path, &why) < 0 ||
	    osh_glob_check(OSH_GLOB_PATH, path, &why) < 0)
		osh_check_err(c, c->ep->path_at, "invalid path pattern '%.*s': %s", OSH_CLIP(path),
			      why);
	if (c->ep->protocol_text.n == 0)
		osh_check_warn(c, c->ep->path_at, "path has no effect without protocol");
}

static void check_allowed_ips(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;

	for (size_t i = 0; i < ep->allowed_ips.n; i++) {
		struct osh_place at = ep->allowed_ips_at ? ep->allowed_ips_at[i] : ep->at;
		struct osh_str text = ep->allowed_ips.v[i];
		struct osh_cidr cidr;
		bool wide = false;
		int r = osh_allowed_ip_parse(text, &cidr, &wide);

		if (r == -EPERM)
			osh_check_err(c, at,
				      "contains always-blocked `allowed_ips` entry '%.*s'; SSRF "
				      "hardening prevents traffic to these destinations regardless "
				      "of policy",
				      OSH_CLIP(text));
		else if (r < 0)
			osh_check_err(
				c, at,
				"invalid `allowed_ips` entry '%.*s'; expected an address or a "
				"network such as 10.1.0.0/16",
				OSH_CLIP(text));
		else if (wide)
			osh_check_warn(
				c, at,
				"`allowed_ips` entry '%.*s' is broader than /16; narrow it to "
				"the networks that are needed",
				OSH_CLIP(text));
	}
}

/* ---- protocol: tcp ---- */

/* Labels as DNS has them; a star stands for what a label may hold. */
static bool is_dns_selector(struct osh_str host)
{
	struct osh_str rest = host, label;

	if (host.n == 0 || host.n > OSH_HOST_MAX)
		return false;
	while (osh_str_split(&rest, '.', &label)) {
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' ||
		    label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!osh_is_alnum(label.p[i]) && !memchr("-_*", label.p[i], 3))
				return false;
	}
	return true;
}

static void check_tcp_host(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	struct osh_addr addr;

	if (ep->host.n == 0)
		osh_check_err(c, ep->at, "protocol tcp requires a DNS hostname");
	else if (osh_addr_parse(ep->host, &addr) == 0 || osh_str_find(ep->host, ':') < ep->host.n)
		osh_check_err(c, ep->host_at,
			      "protocol tcp must use a DNS hostname, not an IP literal");
	else if (!is_dns_selector(ep->host) || osh_host_is_numeric_name(ep->host))
		osh_check_err(c, ep->host_at,
			      "protocol tcp has an invalid DNS host selector '%.*s'",
			      OSH_CLIP(ep->host));
}

static void check_tcp(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	const struct {
		const char *name;
		bool set;
	} fields[] = {
		{ "path", ep->path.n > 0 },
		{ "enforcement", ep->enforcement_text.n > 0 },
		{ "allow_encoded_slash", ep->allow_encoded_slash },
		{ "websocket_credential_rewrite", ep->websocket_credential_rewrite },
		{ "request_body_credential_rewrite", ep->request_body_credential_rewrite },
		{ "persisted_queries", ep->persisted_queries_text.n > 0 },
		{ "graphql_persisted_queries", ep->n_graphql_persisted_queries > 0 },
		{ "graphql_max_body_bytes", ep->graphql_max_body_bytes > 0 },
		{ "credential_signing", ep->credential_signing_text.n > 0 },
		{ "signing_service", ep->signing_service.n > 0 },
		{ "signing_region", ep->signing_region.n > 0 },
		{ "credential_binding", ep->has_credential_binding },
		{ "json_rpc", ep->has_json_rpc },
		{ "mcp", ep->has_mcp },
	};
	char names[400] = "";
	size_t len = 0;

	check_tcp_host(c);
	if (ep->access_text.n || ep->n_rules || ep->n_deny_rules)
		osh_check_err(c, ep->protocol_at,
			      "protocol tcp does not support access, rules, or deny_rules");
	for (size_t i = 0; i < OSH_ARRAY_SIZE(fields); i++)
		if (fields[i].set)
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", fields[i].name);
	if (len)
		osh_check_err(c, ep->protocol_at,
			      "protocol tcp does not support L7-only fields: %s", names);
}

/* ---- options ---- */

static void check_tls(const struct osh_check *c)
{
	static const char *const known[] = { "", "skip", "terminate", "passthrough" };
	const struct osh_endpoint *ep = c->ep;
	bool ok = false;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(known); i++)
		ok = ok || osh_str_is(ep->tls_text, known[i]);
	if (!ok)
		osh_check_warn(c, ep->tls_at,
			       "unknown tls mode '%.*s' has no effect; the only mode that changes "
			       "anything is skip",
			       OSH_CLIP(ep->tls_text));
	if (ep->tls == OSH_TLS_SKIP && is_l7(ep) && has_port(ep, 443))
		osh_check_warn(c, ep->tls_at,
			       "'tls: skip' with L7 rules on port 443 cannot work: encrypted "
			       "requests are not inspected, so the rules do not apply to them");
}

static void check_enforcement(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;

	if (ep->protocol == OSH_PROTO_SQL && ep->enforcement == OSH_ENFORCE)
		osh_check_err(c, ep->enforcement_at,
			      "protocol sql does not support 'enforcement: enforce' (SQL is not "
			      "parsed); use 'enforcement: audit'");
	if (!is_l7(ep) || ep->enforcement == OSH_ENFORCE)
		return;
	if (ep->enforcement_text.n == 0)
		osh_check_warn(c, ep->at,
			       "enforcement is not given and defaults to audit: requests that the "
			       "rules do not allow, writes included, are logged, not blocked; add "
			       "'enforcement: enforce' to block them");
	else if (!osh_str_is(ep->enforcement_text, "audit"))
		osh_check_warn(c, ep->enforcement_at,
			       "unknown enforcement '%.*s' is treated as audit: requests are "
			       "logged, not blocked",
			       OSH_CLIP(ep->enforcement_text));
}

static void check_rewrites(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;

	if (ep->websocket_credential_rewrite && ep->protocol != OSH_PROTO_REST &&
	    ep->protocol != OSH_PROTO_WEBSOCKET)
		osh_check_warn(c, ep->rewrite_at,
			       "websocket_credential_rewrite is ignored unless protocol is rest or "
			       "websocket");
	if (ep->request_body_credential_rewrite && ep->protocol != OSH_PROTO_REST)
		osh_check_warn(
			c, ep->rewrite_at,
			"request_body_credential_rewrite is ignored unless protocol is rest");
}

static void check_signing(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;

	if (ep->credential_signing_text.n == 0) {
		if (ep->signing_service.n || ep->signing_region.n)
			osh_check_warn(c, ep->at,
				       "signing_service and signing_region have no effect without "
				       "credential_signing");
		return;
	}
	if (ep->credential_signing == OSH_SIGNING_NONE)
		osh_check_err(c, ep->signing_at,
			      "unknown credential_signing '%.*s' (expected sigv4, sigv4:body, or "
			      "sigv4:no_body)",
			      OSH_CLIP(ep->credential_signing_text));
	if (ep->signing_service.n == 0)
		osh_check_err(c, ep->signing_at,
			      "credential_signing is set but signing_service is empty; name the "
			      "service, as in 'signing_service: s3'");
	if (ep->request_body_credential_rewrite)
		osh_check_err(c, ep->signing_at,
			      "credential_signing cannot be combined with "
			      "request_body_credential_rewrite");
}

static bool is_operation_type(struct osh_str s)
{
	return osh_str_ieq(s, OSH_STR("query")) || osh_str_ieq(s, OSH_STR("mutation")) ||
	       osh_str_ieq(s, OSH_STR("subscription"));
}

static void check_graphql(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	bool used = ep->persisted_queries_text.n || ep->n_graphql_persisted_queries ||
		    ep->graphql_max_body_bytes;

	if (ep->persisted_queries_text.n && !osh_str_is(ep->persisted_queries_text, "deny") &&
	    !osh_str_is(ep->persisted_queries_text, "allow_registered"))
		osh_check_err(c, ep->persisted_at,
			      "persisted_queries must be deny or allow_registered, got '%.*s'",
			      OSH_CLIP(ep->persisted_queries_text));
	for (size_t i = 0; i < ep->n_graphql_persisted_queries; i++) {
		const struct osh_persisted_query *q = &ep->graphql_persisted_queries[i];

		if (!is_operation_type(q->operation_type))
			osh_check_err(c, q->at,
				      "graphql_persisted_queries '%.*s': operation_type must be "
				      "query, mutation, or subscription, got '%.*s'",
				      OSH_CLIP(q->key), OSH_CLIP(q->operation_type));
	}
	if (used && ep->protocol != OSH_PROTO_GRAPHQL && ep->protocol != OSH_PROTO_WEBSOCKET)
		osh_check_warn(c, ep->at,
			       "GraphQL-specific endpoint fields are ignored unless protocol is "
			       "graphql or websocket");
}

static void check_rpc(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;

	if (ep->has_json_rpc && ep->protocol != OSH_PROTO_JSON_RPC)
		osh_check_warn(c, ep->json_rpc_at,
			       "JSON-RPC-specific endpoint fields are ignored unless protocol is "
			       "json-rpc");
	if (ep->has_mcp && ep->protocol != OSH_PROTO_MCP)
		osh_check_err(c, ep->mcp_at, "mcp options are only valid for protocol mcp");
}

void osh_check_endpoint(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;

	check_host(c);
	check_ports(c);
	check_allowed_ips(c);
	check_tls(c);
	if (ep->protocol_text.n && ep->protocol == OSH_PROTO_NONE)
		osh_check_err(c, ep->protocol_at,
			      "unknown protocol '%.*s' (expected tcp, rest, websocket, graphql, "
			      "sql, json-rpc, or mcp)",
			      OSH_CLIP(ep->protocol_text));
	if (ep->has_credential_binding && ep->credential_binding_provider.n == 0)
		osh_check_err(c, ep->binding_at, "credential_binding requires a provider name");
	if (ep->protocol == OSH_PROTO_TCP) {
		check_tcp(c);
		return;
	}
	check_path(c);
	check_enforcement(c);
	check_rewrites(c);
	check_signing(c);
	check_graphql(c);
	check_rpc(c);
}
