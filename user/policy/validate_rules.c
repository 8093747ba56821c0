/* SPDX-License-Identifier: MIT */
/* Allow rules, deny rules and presets of one endpoint, by protocol. */
#include "policy/check.h"
#include "policy/glob.h"

static const struct osh_place nowhere;

static bool rule_is_graphql(const struct osh_rule *rule)
{
	return rule->operation_type.n || rule->operation_name.n || rule->fields.n;
}

static bool rule_is_empty(const struct osh_rule *rule)
{
	return !rule->method.n && !rule->path.n && !rule->command.n && !rule->n_query &&
	       !rule->n_params && !rule_is_graphql(rule);
}

static const struct osh_keyed_matcher *rule_tool(const struct osh_rule *rule)
{
	for (size_t i = 0; i < rule->n_params; i++)
		if (osh_str_is(rule->params[i].key, "name"))
			return &rule->params[i];
	return NULL;
}

bool osh_endpoint_is_ws_graphql(const struct osh_endpoint *ep)
{
	if (ep->protocol != OSH_PROTO_WEBSOCKET)
		return false;
	for (size_t i = 0; i < ep->n_rules; i++)
		if (rule_is_graphql(&ep->rules[i]))
			return true;
	for (size_t i = 0; i < ep->n_deny_rules; i++)
		if (rule_is_graphql(&ep->deny_rules[i]))
			return true;
	return false;
}

static bool is_glob(struct osh_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (memchr("*?[]{}\\", s.p[i], 7))
			return true;
	return false;
}

/* ---- globs, whatever the protocol ---- */

static void check_glob(const struct osh_check *c, struct osh_place at,
		       enum osh_glob_dialect dialect, const char *what, struct osh_str glob)
{
	const char *why;

	if (osh_glob_check(dialect, glob, &why) < 0)
		osh_check_err(c, at, "invalid %s pattern '%.*s': %s", what, OSH_CLIP(glob), why);
}

static void check_matcher(const struct osh_check *c, const struct osh_keyed_matcher *k,
			  const char *what)
{
	if (k->m.globs.n == 0)
		osh_check_err(c, k->at, "%s matcher '%.*s': any must not be empty", what,
			      OSH_CLIP(k->key));
	for (size_t i = 0; i < k->m.globs.n; i++)
		check_glob(c, k->at, OSH_GLOB_QUERY, what, k->m.globs.v[i]);
}

static void check_globs(const struct osh_check *c, const struct osh_rule *rule)
{
	check_glob(c, rule->at, OSH_GLOB_PATH, "path", rule->path);
	check_glob(c, rule->at, OSH_GLOB_QUERY, "operation_name", rule->operation_name);
	for (size_t i = 0; i < rule->n_query; i++)
		check_matcher(c, &rule->query[i], "query");
	for (size_t i = 0; i < rule->n_params; i++)
		check_matcher(c, &rule->params[i], "params");
	for (size_t i = 0; i < rule->fields.n; i++) {
		if (rule->fields.v[i].n == 0)
			osh_check_err(c, rule->at, "fields must not contain an empty name");
		check_glob(c, rule->at, OSH_GLOB_QUERY, "fields", rule->fields.v[i]);
	}
}

/* ---- HTTP ---- */

static void check_method(const struct osh_check *c, const struct osh_rule *rule)
{
	static const char *const rest[] = { "GET",   "HEAD",	"POST", "PUT", "DELETE",
					    "PATCH", "OPTIONS", "*",	NULL };
	static const char *const websocket[] = { "GET", "WEBSOCKET_TEXT", "*", NULL };
	bool ws = c->ep->protocol == OSH_PROTO_WEBSOCKET;

	for (const char *const *m = ws ? websocket : rest; *m; m++)
		if (osh_str_ieq(rule->method, osh_str(*m)))
			return;
	/* A rest endpoint that rewrites text messages judges them by this pseudo-method. */
	if (c->ep->websocket_credential_rewrite &&
	    osh_str_ieq(rule->method, OSH_STR("WEBSOCKET_TEXT")))
		return;
	osh_check_warn(
		c, rule->at,
		"Unknown HTTP/WebSocket method '%.*s'. Standard methods for this protocol: %s",
		OSH_CLIP(rule->method),
		ws ? "GET, WEBSOCKET_TEXT, *" : "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, *");
}

static void check_http(const struct osh_check *c, const struct osh_rule *rule)
{
	if (rule_is_empty(rule))
		return;
	if (rule->method.n == 0)
		osh_check_warn(
			c, rule->at,
			"rule has no method and matches no request; give one, or method: '*'");
	else
		check_method(c, rule);
	if (rule->path.n == 0)
		osh_check_warn(
			c, rule->at,
			"rule has no path and matches no request; write path: \"**\" for every "
			"path");
	else if (rule->path.p[0] != '/' && !osh_str_has_prefix(rule->path, OSH_STR("**")))
		osh_check_warn(c, rule->at,
			       "path '%.*s' does not begin with '/' and may match no request",
			       OSH_CLIP(rule->path));
}

static void check_rest(const struct osh_check *c, const struct osh_rule *rule)
{
	check_http(c, rule);
	if (rule_is_graphql(rule))
		osh_check_warn(c, rule->at,
			       "GraphQL rule fields are ignored unless protocol is graphql or "
			       "websocket");
}

/* ---- GraphQL ---- */

static void check_operation(const struct osh_check *c, const struct osh_rule *rule)
{
	static const char *const types[] = { "query", "mutation", "subscription" };

	for (size_t i = 0; i < OSH_ARRAY_SIZE(types); i++)
		if (osh_str_ieq(rule->operation_type, osh_str(types[i])))
			return;
	osh_check_err(c, rule->at,
		      "operation_type must be query, mutation, or subscription, got '%.*s'",
		      OSH_CLIP(rule->operation_type));
}

static void warn_http_fields(const struct osh_check *c, const struct osh_rule *rule)
{
	if (rule->path.n || rule->n_query)
		osh_check_warn(c, rule->at,
			       "path and query of a rule have no effect with protocol %s; use the "
			       "path of the endpoint",
			       osh_protocol_name(c->ep->protocol));
}

static void check_graphql(const struct osh_check *c, const struct osh_rule *rule)
{
	check_operation(c, rule);
	warn_http_fields(c, rule);
	if (rule->method.n)
		osh_check_warn(c, rule->at, "method of a rule has no effect with protocol graphql");
}

static void check_websocket(const struct osh_check *c, const struct osh_rule *rule)
{
	if (!rule_is_graphql(rule)) {
		check_http(c, rule);
		if (osh_endpoint_is_ws_graphql(c->ep) &&
		    osh_str_ieq(rule->method, OSH_STR("WEBSOCKET_TEXT")))
			osh_check_err(c, rule->at,
				      "WEBSOCKET_TEXT rules cannot be combined with GraphQL "
				      "operation rules on one endpoint");
		return;
	}
	if (rule->method.n || rule->path.n || rule->n_query)
		osh_check_err(c, rule->at,
			      "websocket rule mixes transport fields (method, path, query) with "
			      "GraphQL fields (operation_type, operation_name, fields); write two "
			      "rules");
	check_operation(c, rule);
}

/* ---- JSON-RPC ---- */

static void check_json_rpc(const struct osh_check *c, const struct osh_rule *rule, bool deny)
{
	warn_http_fields(c, rule);
	if (rule->method.n == 0)
		osh_check_err(c, rule->at,
			      deny ? "protocol json-rpc deny rules require a method"
				   : "protocol json-rpc requires explicit rules with allow.method");
	else if (is_glob(rule->method) && !osh_str_is(rule->method, "*"))
		osh_check_err(c, rule->at,
			      "protocol json-rpc method rules do not support glob or wildcard "
			      "matchers other than '*', got '%.*s'",
			      OSH_CLIP(rule->method));
	if (rule->n_params)
		osh_check_err(c, rule->at,
			      "protocol json-rpc rules do not support params matchers");
}

/* ---- MCP ---- */

static bool covers_tools_call(struct osh_str method)
{
	osh_auto_bufmem struct osh_buf prog;
	size_t off;

	osh_buf_init(&prog, 1u << 20, 0);
	if (!is_glob(method))
		return osh_str_is(method, "tools/call");
	/* A pattern that does not compile was reported; take it for the broad case. */
	if (osh_glob_compile(OSH_GLOB_QUERY, method, &prog, &off) < 0)
		return true;
	return osh_glob_match(prog.data + off, OSH_STR("tools/call"));
}

static bool any_is_glob(const struct osh_matcher *m)
{
	for (size_t i = 0; i < m->globs.n; i++)
		if (is_glob(m->globs.v[i]))
			return true;
	return false;
}

static void check_tool(const struct osh_check *c, const struct osh_rule *rule,
		       const struct osh_keyed_matcher *tool)
{
	bool implied = rule->method.n == 0 && c->ep->mcp_allow_all_known_methods;

	if (!implied && !osh_str_is(rule->method, "tools/call"))
		osh_check_err(c, tool->at,
			      "tool matchers require method: tools/call (or "
			      "mcp.allow_all_known_mcp_methods and no method)");
	if (any_is_glob(&tool->m) && !c->ep->mcp_strict_tool_names)
		osh_check_err(c, tool->at,
			      "wildcard tool matchers require mcp.strict_tool_names to remain "
			      "enabled");
}

static void check_mcp(const struct osh_check *c, const struct osh_rule *rule)
{
	const struct osh_keyed_matcher *tool = rule_tool(rule);

	warn_http_fields(c, rule);
	check_glob(c, rule->at, OSH_GLOB_QUERY, "method", rule->method);
	if (is_glob(rule->method) && !osh_str_has_prefix(rule->method, OSH_STR("tools/")))
		osh_check_err(c, rule->at,
			      "MCP method glob '%.*s': globs are only valid for the tools/ method "
			      "family",
			      OSH_CLIP(rule->method));
	if (tool)
		check_tool(c, rule, tool);
	else if (rule->method.n == 0 && !rule_is_empty(rule))
		osh_check_err(c, rule->at, "protocol mcp rules require a method or a tool");
	for (size_t i = 0; i < rule->n_params; i++)
		if (&rule->params[i] != tool)
			osh_check_err(
				c, rule->params[i].at,
				"protocol mcp rules support no params matcher but name (tool), "
				"got '%.*s'",
				OSH_CLIP(rule->params[i].key));
}

/* One rule names tools and another takes or refuses every call: the author meant one of the two. */
static void check_mcp_conflicts(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	bool specific = false;

	for (size_t i = 0; i < ep->n_rules; i++)
		specific = specific || rule_tool(&ep->rules[i]);
	for (size_t i = 0; specific && i < ep->n_rules; i++)
		if (!rule_tool(&ep->rules[i]) && covers_tools_call(ep->rules[i].method))
			osh_check_err(
				c, ep->rules[i].at,
				"allow rule for every tools/call conflicts with MCP tool allow "
				"rules");
	for (size_t i = 0; specific && i < ep->n_deny_rules; i++)
		if (!rule_tool(&ep->deny_rules[i]) && covers_tools_call(ep->deny_rules[i].method))
			osh_check_err(
				c, ep->deny_rules[i].at,
				"deny rule for every tools/call conflicts with MCP tool allow "
				"rules");
}

/* ---- all of one endpoint ---- */

static void check_rule(const struct osh_check *c, const struct osh_rule *rule, bool deny)
{
	check_globs(c, rule);
	if (rule->n_params && c->ep->protocol != OSH_PROTO_MCP &&
	    c->ep->protocol != OSH_PROTO_JSON_RPC)
		osh_check_err(c, rule->at,
			      "tool and params matchers are only valid for protocol mcp");
	if (rule->command.n && c->ep->protocol != OSH_PROTO_SQL)
		osh_check_warn(c, rule->at, "command is ignored unless protocol is sql");
	switch (c->ep->protocol) {
	case OSH_PROTO_REST:
		check_rest(c, rule);
		break;
	case OSH_PROTO_GRAPHQL:
		check_graphql(c, rule);
		break;
	case OSH_PROTO_WEBSOCKET:
		check_websocket(c, rule);
		break;
	case OSH_PROTO_JSON_RPC:
		check_json_rpc(c, rule, deny);
		break;
	case OSH_PROTO_MCP:
		check_mcp(c, rule);
		break;
	case OSH_PROTO_NONE:
	case OSH_PROTO_TCP:
	case OSH_PROTO_SQL:
		break;
	}
}

/* Where the base of allowed traffic must come from. */
static void check_base(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	bool access = ep->access_text.n > 0;

	switch (ep->protocol) {
	case OSH_PROTO_JSON_RPC:
		if (access)
			osh_check_err(c, ep->access_at,
				      "protocol json-rpc does not support access presets; use "
				      "explicit rules");
		if (ep->n_rules == 0)
			osh_check_err(
				c, ep->protocol_at,
				"protocol json-rpc requires explicit rules with allow.method");
		break;
	case OSH_PROTO_MCP:
		if (access)
			osh_check_err(c, ep->access_at,
				      "protocol mcp does not support access presets; use explicit "
				      "rules");
		if (ep->n_rules == 0 && !ep->mcp_allow_all_known_methods)
			osh_check_err(c, ep->protocol_at,
				      "protocol mcp requires explicit rules or "
				      "mcp.allow_all_known_mcp_methods");
		break;
	default:
		if (ep->n_rules == 0 && !access)
			osh_check_err(
				c, ep->protocol_at,
				"protocol requires rules or access to define allowed traffic");
		break;
	}
}

static void check_allows(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	size_t empty = 0;

	for (size_t i = 0; i < ep->n_rules; i++) {
		if (rule_is_empty(&ep->rules[i]))
			empty++;
		check_rule(c, &ep->rules[i], false);
	}
	if (empty && empty == ep->n_rules)
		osh_check_err(c, ep->rules[0].at,
			      "rules would deny all traffic: none of them says what it allows");
}

/* Without a protocol nothing looks at requests, whatever else is written. */
static void check_uninspected(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;

	if (ep->access_text.n || ep->n_rules)
		osh_check_warn(c, nowhere,
			       "%s has no effect without protocol: bytes are relayed without "
			       "inspection; add 'protocol: rest' to have requests checked",
			       ep->n_rules ? "rules" : "access");
	if (ep->n_deny_rules)
		osh_check_err(c, ep->deny_rules[0].at, "deny_rules require protocol");
}

void osh_check_rules(const struct osh_check *c)
{
	const struct osh_endpoint *ep = c->ep;
	bool access = ep->access_text.n > 0;

	if (ep->protocol == OSH_PROTO_TCP)
		return;
	if (access && ep->n_rules)
		osh_check_err(c, ep->access_at, "rules and access are mutually exclusive");
	if (ep->access == OSH_ACCESS_UNSUPPORTED)
		osh_check_warn(c, ep->access_at,
			       "unsupported L7 access preset '%.*s' allows nothing; use read-only, "
			       "read-write or full",
			       OSH_CLIP(ep->access_text));
	if (ep->protocol_text.n == 0)
		check_uninspected(c);
	else
		check_base(c);
	if (ep->protocol_text.n && ep->n_deny_rules && ep->n_rules == 0 && !access &&
	    !(ep->protocol == OSH_PROTO_MCP && ep->mcp_allow_all_known_methods))
		osh_check_err(c, ep->deny_rules[0].at,
			      "deny_rules require rules or access to define the base allow set");
	check_allows(c);
	for (size_t i = 0; i < ep->n_deny_rules; i++) {
		if (rule_is_empty(&ep->deny_rules[i]))
			osh_check_warn(c, ep->deny_rules[i].at,
				       "deny rule is empty and denies nothing");
		check_rule(c, &ep->deny_rules[i], true);
	}
	if (ep->protocol == OSH_PROTO_MCP)
		check_mcp_conflicts(c);
}
