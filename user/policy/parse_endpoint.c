/* SPDX-License-Identifier: MIT */
/* Reading one endpoint of a policy: fields, allow and deny rules, matchers. */
#include "policy/build.h"

static struct osh_place place(const struct osh_node *node)
{
	return (struct osh_place){ node->line, node->col };
}

static struct osh_place key_place(const struct osh_node *node)
{
	return (struct osh_place){ node->key_line, node->key_col };
}

/* ---- rules ---- */

/* Globs are text in quotes or plain words; a number or a boolean is more likely a slip. */
static bool read_glob(struct osh_reader *rd, const struct osh_node *node, struct osh_str *ret_glob)
{
	if (node->type == OSH_NODE_STR) {
		*ret_glob = osh_reader_str(rd, node->text);
		return true;
	}
	osh_diag_err(rd->diag, node->line, node->col,
		     "matcher: expected a glob or { any: [glob, ...] }, got %s%s",
		     osh_node_type_name(node->type), node->text.n ? "; put it in quotes" : "");
	return false;
}

static void set_any(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_matcher *m = obj;
	struct osh_str *globs = osh_reader_array(rd, node->n, sizeof(*globs));
	size_t n = 0;

	m->any = true;
	if (!globs)
		return;
	osh_node_for_each(it, node) if (read_glob(rd, it, &globs[n])) n++;
	m->globs = (struct osh_strs){ n ? globs : NULL, n };
}

static void read_matcher(struct osh_reader *rd, const struct osh_node *node, struct osh_matcher *m)
{
	static const struct osh_key keys[] = {
		OSH_KEY_CALL("any", OSH_KEY_SEQ, OSH_KEY_REQUIRED, set_any),
		{ 0 },
	};
	struct osh_str *glob;

	if (node->type == OSH_NODE_MAP) {
		osh_schema_read(rd, node, keys, m, "matcher");
		return;
	}
	glob = osh_reader_array(rd, 1, sizeof(*glob));
	if (glob && read_glob(rd, node, glob))
		m->globs = (struct osh_strs){ glob, 1 };
}

static void set_query(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_rule *rule = obj;
	struct osh_keyed_matcher *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node)
	{
		v[n].at = key_place(it);
		v[n].key = osh_reader_str(rd, it->key);
		read_matcher(rd, it, &v[n].m);
		n++;
	}
	osh_build_sort_matchers(v, n);
	rule->query = v;
	rule->n_query = n;
}

/* Parameters may nest: a: { b: x } is the same as a.b: x. */
struct params {
	struct osh_keyed_matcher *v;
	size_t n, max;
};

static size_t count_leaves(const struct osh_node *node)
{
	size_t n = 0;

	osh_node_for_each(it, node)
		n += it->type == OSH_NODE_MAP && !osh_node_get(it, OSH_STR("any"))
			     ? count_leaves(it)
			     : 1;
	return n;
}

static void add_param(struct osh_reader *rd, struct params *params, struct osh_place at,
		      struct osh_str key, const struct osh_node *node)
{
	struct osh_keyed_matcher *p;

	if (rd->err < 0 || params->n == params->max)
		return;
	for (size_t i = 0; i < params->n; i++) {
		if (!osh_str_eq(params->v[i].key, key))
			continue;
		osh_diag_err(rd->diag, at.line, at.col,
			     "parameter %s is given twice (\"tool\" is short for params.name)",
			     osh_quote(key));
		return;
	}
	p = &params->v[params->n++];
	p->at = at;
	p->key = osh_reader_str(rd, key);
	read_matcher(rd, node, &p->m);
}

static void flatten_params(struct osh_reader *rd, struct params *params, struct osh_str prefix,
			   const struct osh_node *node)
{
	osh_node_for_each(it, node)
	{
		osh_auto_bufmem struct osh_buf key;
		int r = 0;

		osh_buf_init(&key, OSH_NODE_MAX_KEY_BYTES, 0);
		if (rd->err < 0)
			return;
		if (prefix.n)
			r = osh_buf_printf(&key, "%.*s.", OSH_STR_FMT(prefix));
		if (r == 0)
			r = osh_buf_add_str(&key, it->key);
		if (r == -ENOMEM) {
			rd->err = r;
			return;
		}
		if (r < 0) {
			osh_diag_err(rd->diag, it->key_line, it->key_col,
				     "parameter name is longer than %u bytes",
				     OSH_NODE_MAX_KEY_BYTES);
			continue;
		}
		if (it->type == OSH_NODE_MAP && !osh_node_get(it, OSH_STR("any")))
			flatten_params(rd, params, osh_buf_str(&key), it);
		else
			add_param(rd, params, key_place(it), osh_buf_str(&key), it);
	}
}

struct rule_in {
	struct osh_rule rule;
	const struct osh_node *tool, *params;
};

static void set_tool(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	(void)rd;
	((struct rule_in *)obj)->tool = node;
}

static void set_params(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	(void)rd;
	((struct rule_in *)obj)->params = node;
}

static void read_params(struct osh_reader *rd, struct rule_in *in)
{
	size_t max = (in->tool ? 1 : 0) + (in->params ? count_leaves(in->params) : 0);
	struct params params = { .max = max };

	params.v = osh_reader_array(rd, max, sizeof(*params.v));
	if (!params.v)
		return;
	if (in->tool)
		add_param(rd, &params, key_place(in->tool), OSH_STR("name"), in->tool);
	if (in->params)
		flatten_params(rd, &params, OSH_STR(""), in->params);
	osh_build_sort_matchers(params.v, params.n);
	in->rule.params = params.n ? params.v : NULL;
	in->rule.n_params = params.n;
}

static const struct osh_key rule_keys[] = {
	OSH_KEY_FIELD("method", OSH_KEY_TEXT, 0, struct rule_in, rule.method),
	OSH_KEY_FIELD("path", OSH_KEY_TEXT, 0, struct rule_in, rule.path),
	OSH_KEY_FIELD("command", OSH_KEY_TEXT, 0, struct rule_in, rule.command),
	OSH_KEY_CALL("query", OSH_KEY_MAP, 0, set_query),
	OSH_KEY_FIELD("operation_type", OSH_KEY_TEXT, 0, struct rule_in, rule.operation_type),
	OSH_KEY_FIELD("operation_name", OSH_KEY_TEXT, 0, struct rule_in, rule.operation_name),
	OSH_KEY_FIELD("fields", OSH_KEY_TEXTS, 0, struct rule_in, rule.fields),
	OSH_KEY_CALL("tool", OSH_KEY_ANY, OSH_KEY_NULLABLE, set_tool),
	OSH_KEY_CALL("params", OSH_KEY_MAP, 0, set_params),
	{ 0 },
};

static void read_rule(struct osh_reader *rd, const struct osh_node *node, struct osh_rule *rule,
		      const char *what)
{
	struct rule_in in = { .rule = osh_rule_init() };

	in.rule.at = place(node);
	osh_schema_read(rd, node, rule_keys, &in, what);
	read_params(rd, &in);
	*rule = in.rule;
}

static void set_allow(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	read_rule(rd, node, obj, "allow rule");
}

static void read_allow(struct osh_reader *rd, const struct osh_node *node, struct osh_rule *rule)
{
	static const struct osh_key keys[] = {
		OSH_KEY_CALL("allow", OSH_KEY_MAP, OSH_KEY_REQUIRED, set_allow),
		{ 0 },
	};

	*rule = osh_rule_init();
	osh_schema_read(rd, node, keys, rule, "rule");
	rule->at = place(node);
}

/* ---- endpoints ---- */

struct endpoint_in {
	struct osh_endpoint ep;
	uint16_t port;
};

static void set_rules(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_endpoint *ep = obj;
	struct osh_rule *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node) read_allow(rd, it, &v[n++]);
	ep->rules = v;
	ep->n_rules = n;
}

static void set_deny_rules(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_endpoint *ep = obj;
	struct osh_rule *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node) read_rule(rd, it, &v[n++], "deny rule");
	ep->deny_rules = v;
	ep->n_deny_rules = n;
}

static void set_ports(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_endpoint *ep = obj;
	uint16_t *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node)
	{
		int64_t value;
		bool seen = false;

		if (!osh_schema_int(rd, it, "ports", 0, UINT16_MAX, &value))
			continue;
		for (size_t i = 0; i < n && !seen; i++)
			seen = v[i] == value;
		if (!seen)
			v[n++] = (uint16_t)value;
	}
	ep->ports = n ? v : NULL;
	ep->n_ports = n;
}

static void set_persisted_query(struct osh_reader *rd, const struct osh_node *node,
				struct osh_persisted_query *q)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("operation_type", OSH_KEY_TEXT, 0, struct osh_persisted_query,
			      operation_type),
		OSH_KEY_FIELD("operation_name", OSH_KEY_TEXT, 0, struct osh_persisted_query,
			      operation_name),
		OSH_KEY_FIELD("fields", OSH_KEY_TEXTS, 0, struct osh_persisted_query, fields),
		{ 0 },
	};

	q->at = key_place(node);
	q->key = osh_reader_str(rd, node->key);
	q->operation_type = q->operation_name = OSH_STR("");
	osh_schema_read(rd, node, keys, q, "persisted query");
}

static void set_persisted_queries(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_endpoint *ep = obj;
	struct osh_persisted_query *v = osh_reader_array(rd, node->n, sizeof(*v));
	size_t n = 0;

	if (!v)
		return;
	osh_node_for_each(it, node) set_persisted_query(rd, it, &v[n++]);
	osh_build_sort_persisted(v, n);
	ep->graphql_persisted_queries = v;
	ep->n_graphql_persisted_queries = n;
}

static void set_binding(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("provider", OSH_KEY_TEXT, OSH_KEY_REQUIRED, struct osh_endpoint,
			      credential_binding_provider),
		{ 0 },
	};
	struct osh_endpoint *ep = obj;

	ep->has_credential_binding = true;
	ep->binding_at = key_place(node);
	osh_schema_read(rd, node, keys, ep, "credential_binding");
}

static void set_json_rpc(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("max_body_bytes", OSH_KEY_U32, 0, struct osh_endpoint,
			      json_rpc_max_body_bytes),
		{ 0 },
	};
	struct osh_endpoint *ep = obj;

	ep->has_json_rpc = true;
	ep->json_rpc_at = key_place(node);
	osh_schema_read(rd, node, keys, ep, "json_rpc");
}

static void set_mcp(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	static const struct osh_key keys[] = {
		OSH_KEY_FIELD("max_body_bytes", OSH_KEY_U32, 0, struct osh_endpoint,
			      mcp_max_body_bytes),
		OSH_KEY_FIELD("strict_tool_names", OSH_KEY_BOOL, 0, struct osh_endpoint,
			      mcp_strict_tool_names),
		OSH_KEY_FIELD("allow_all_known_mcp_methods", OSH_KEY_BOOL, 0, struct osh_endpoint,
			      mcp_allow_all_known_methods),
		{ 0 },
	};
	struct osh_endpoint *ep = obj;

	ep->has_mcp = true;
	ep->mcp_at = key_place(node);
	osh_schema_read(rd, node, keys, ep, "mcp");
}

#define EP(name, kind, member) OSH_KEY_FIELD(name, kind, 0, struct endpoint_in, ep.member)
#define EP_AT(name, kind, member, at_) \
	OSH_KEY_FIELD_AT(name, kind, 0, struct endpoint_in, ep.member, ep.at_)

static const struct osh_key endpoint_keys[] = {
	EP_AT("host", OSH_KEY_TEXT, host, host_at),
	OSH_KEY_FIELD("port", OSH_KEY_U16, 0, struct endpoint_in, port),
	OSH_KEY_CALL("ports", OSH_KEY_SEQ, 0, set_ports),
	EP_AT("path", OSH_KEY_TEXT, path, path_at),
	EP_AT("protocol", OSH_KEY_TEXT, protocol_text, protocol_at),
	EP_AT("tls", OSH_KEY_TEXT, tls_text, tls_at),
	EP_AT("enforcement", OSH_KEY_TEXT, enforcement_text, enforcement_at),
	EP_AT("access", OSH_KEY_TEXT, access_text, access_at),
	OSH_KEY_CALL("rules", OSH_KEY_SEQ, 0, set_rules),
	OSH_KEY_CALL("deny_rules", OSH_KEY_SEQ, 0, set_deny_rules),
	EP_AT("allowed_ips", OSH_KEY_TEXTS, allowed_ips, allowed_ips_at),
	EP("allow_encoded_slash", OSH_KEY_BOOL, allow_encoded_slash),
	EP_AT("websocket_credential_rewrite", OSH_KEY_BOOL, websocket_credential_rewrite,
	      rewrite_at),
	EP_AT("request_body_credential_rewrite", OSH_KEY_BOOL, request_body_credential_rewrite,
	      rewrite_at),
	EP("allow_uninspected_credentials", OSH_KEY_BOOL, allow_uninspected_credentials),
	EP_AT("persisted_queries", OSH_KEY_TEXT, persisted_queries_text, persisted_at),
	OSH_KEY_CALL("graphql_persisted_queries", OSH_KEY_MAP, 0, set_persisted_queries),
	EP("graphql_max_body_bytes", OSH_KEY_U32, graphql_max_body_bytes),
	EP_AT("credential_signing", OSH_KEY_TEXT, credential_signing_text, signing_at),
	EP("signing_service", OSH_KEY_TEXT, signing_service),
	EP("signing_region", OSH_KEY_TEXT, signing_region),
	OSH_KEY_CALL("credential_binding", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_binding),
	OSH_KEY_CALL("json_rpc", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_json_rpc),
	OSH_KEY_CALL("mcp", OSH_KEY_MAP, OSH_KEY_NULLABLE, set_mcp),
	{ 0 },
};

void osh_build_read_endpoint(struct osh_reader *rd, const struct osh_node *node,
			     struct osh_endpoint *ep)
{
	struct endpoint_in in = { .ep = osh_endpoint_init() };
	unsigned int errors = rd->diag->errors;

	_Static_assert(offsetof(struct endpoint_in, ep) == 0, "set functions take the endpoint");
	in.ep.at = place(node);
	osh_schema_read(rd, node, endpoint_keys, &in, "endpoint");
	if (in.port && in.ep.n_ports == 0) {
		in.ep.ports = osh_reader_array(rd, 1, sizeof(*in.ep.ports));
		if (in.ep.ports) {
			in.ep.ports[0] = in.port;
			in.ep.n_ports = 1;
		}
	} else if (in.port) {
		osh_diag_warn(rd->diag, node->line, node->col,
			      "endpoint has port and ports; ports wins and port %u has no effect",
			      in.port);
	}
	osh_endpoint_words(&in.ep);
	in.ep.incomplete = rd->diag->errors != errors;
	*ep = in.ep;
}
