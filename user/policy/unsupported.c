/* SPDX-License-Identifier: MIT */
/*
 * What the schema can say and this build cannot enforce. One row for each feature: delete the row
 * when the feature works.
 */
#include "policy/check.h"
#include "policy/validate.h"

struct feature {
	const char *field; /* as the author wrote it */
	bool (*used)(const struct osh_endpoint *ep);
	size_t at; /* offset of the struct osh_place in the endpoint */
};

static bool is_graphql(const struct osh_endpoint *ep)
{
	return ep->protocol == OSH_PROTO_GRAPHQL;
}

static bool is_websocket(const struct osh_endpoint *ep)
{
	return ep->protocol == OSH_PROTO_WEBSOCKET;
}

static bool is_json_rpc(const struct osh_endpoint *ep)
{
	return ep->protocol == OSH_PROTO_JSON_RPC;
}

static bool is_mcp(const struct osh_endpoint *ep)
{
	return ep->protocol == OSH_PROTO_MCP;
}

static bool is_sql(const struct osh_endpoint *ep)
{
	return ep->protocol == OSH_PROTO_SQL;
}

static bool has_signing(const struct osh_endpoint *ep)
{
	return ep->credential_signing_text.n > 0;
}

static bool has_binding(const struct osh_endpoint *ep)
{
	return ep->has_credential_binding;
}

static bool has_body_rewrite(const struct osh_endpoint *ep)
{
	return ep->request_body_credential_rewrite;
}

static bool has_ws_rewrite(const struct osh_endpoint *ep)
{
	return ep->websocket_credential_rewrite;
}

#define AT(member) offsetof(struct osh_endpoint, member)

static const struct feature features[] = {
	{ "protocol: graphql", is_graphql, AT(protocol_at) },
	{ "protocol: websocket", is_websocket, AT(protocol_at) },
	{ "protocol: json-rpc", is_json_rpc, AT(protocol_at) },
	{ "protocol: mcp", is_mcp, AT(protocol_at) },
	{ "protocol: sql", is_sql, AT(protocol_at) },
	{ "credential_signing", has_signing, AT(signing_at) },
	{ "credential_binding", has_binding, AT(binding_at) },
	{ "request_body_credential_rewrite", has_body_rewrite, AT(rewrite_at) },
	{ "websocket_credential_rewrite", has_ws_rewrite, AT(rewrite_at) },
};

static void check_endpoint(const struct osh_entry *entry, size_t index, struct osh_diag *diag)
{
	const struct osh_endpoint *ep = &entry->endpoints[index];

	for (size_t i = 0; i < OSH_ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];
		const struct osh_place *at = (const struct osh_place *)((const char *)ep + f->at);

		if (!f->used(ep))
			continue;
		if (!at->line)
			at = &ep->at;
		osh_diag_err(
			diag, at->line, at->col,
			"not supported by this build: %s (network policy '%.*s' endpoint[%zu], "
			"%.*s); remove it to load this policy here",
			f->field, OSH_CLIP(entry->key), index, OSH_CLIP(ep->host));
	}
}

int osh_policy_unsupported(const struct osh_policy *policy, struct osh_diag *diag)
{
	unsigned int errors = diag->errors;

	for (size_t i = 0; i < policy->n_entries; i++)
		for (size_t k = 0; k < policy->entries[i].n_endpoints; k++)
			check_endpoint(&policy->entries[i], k, diag);
	for (size_t i = 0; i < policy->n_middlewares; i++)
		osh_diag_err(diag, policy->middlewares[i].at.line, policy->middlewares[i].at.col,
			     "not supported by this build: network_middlewares ('%.*s'); remove it "
			     "to load this policy here",
			     OSH_CLIP(policy->middlewares[i].key));
	return diag->errors == errors ? 0 : -EBADMSG;
}

/* ---- remarks for portable files ---- */

static void remark(const struct osh_entry *entry, size_t index, struct osh_diag *diag)
{
	const struct osh_endpoint *ep = &entry->endpoints[index];

	if (!osh_str_is(ep->tls_text, "terminate") && !osh_str_is(ep->tls_text, "passthrough"))
		return;
	osh_diag_warn(diag, ep->tls_at.line, ep->tls_at.col,
		      "network policy '%.*s' endpoint[%zu]: 'tls: %.*s' is deprecated in newer "
		      "OpenShell releases; TLS termination is now automatic. Use 'tls: skip' to "
		      "disable. It is accepted here",
		      OSH_CLIP(entry->name), index, OSH_CLIP(ep->tls_text));
}

void osh_policy_portability(const struct osh_policy *policy, struct osh_diag *diag)
{
	for (size_t i = 0; i < policy->n_entries; i++)
		for (size_t k = 0; k < policy->entries[i].n_endpoints; k++)
			remark(&policy->entries[i], k, diag);
}
