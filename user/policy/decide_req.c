/* SPDX-License-Identifier: MIT */
/* What an authorised connection may carry. */
#include "policy/decide_match.h"

#define REASON_MAX 8192

/* ---- which endpoint ---- */

/* What the endpoints of a connection say about one path. */
struct scene {
	uint32_t first; /* smallest matching endpoint: the reported entry */
	uint32_t extended; /* first one that carries the tls mode */
	uint32_t routed; /* the one whose parser and enforcement apply */
	bool has_rules, terminate;
};

static bool selects(const struct osh_image *img, const struct img_endpoint *ep, struct osh_str path)
{
	return ep->select_glob == IMG_NONE || img_glob_match(img, ep->select_glob, path);
}

/* Most specific path wins; among equals the last one (reference 4.5). */
static bool beats(const struct osh_image *img, uint32_t id, uint32_t than)
{
	uint32_t a, b;

	if (than == IMG_NONE)
		return true;
	a = img_endpoint(img, id)->specificity;
	b = img_endpoint(img, than)->specificity;
	return a != b ? a > b : id > than;
}

static void survey(struct img_walk *w, const struct osh_idclass *cls, struct osh_str path,
		   struct scene *ret)
{
	struct scene s = { IMG_NONE, IMG_NONE, IMG_NONE, false, false };

	for (uint32_t id; (id = img_match_next(w, cls)) != IMG_NONE;) {
		const struct img_endpoint *ep = img_endpoint(w->img, id);

		s.first = OSH_MIN(s.first, id);
		if (ep->flags & IMG_EP_EXTENDED)
			s.extended = OSH_MIN(s.extended, id);
		s.terminate = s.terminate || (ep->flags & IMG_EP_TERMINATE);
		if (ep->inspect == OSH_INSPECT_NONE)
			continue;
		s.has_rules = true;
		if (beats(w->img, id, s.routed) && selects(w->img, ep, path))
			s.routed = id;
	}
	*ret = s;
}

static bool is_inspected(const struct osh_image *img, const struct scene *s)
{
	if (s->extended != IMG_NONE && (img_endpoint(img, s->extended)->flags & IMG_EP_TLS_SKIP))
		return false;
	return s->has_rules;
}

static const struct img_entry *entry_of(const struct osh_image *img, uint32_t endpoint)
{
	return img_entry(img, img_endpoint(img, endpoint)->entry);
}

void osh_decide_route(const struct osh_image *img, const struct osh_idclass *cls,
		      struct osh_str host, unsigned int port, struct osh_str path,
		      struct osh_route *ret_route)
{
	struct osh_route r = { 0 };
	const struct img_endpoint *ep;
	struct img_walk w;
	struct scene s;

	*ret_route = r;
	if (!port || !img_idclass_fits(img, cls) || !img_walk_init(&w, img, host, port))
		return;
	survey(&w, cls, path, &s);
	if (s.first == IMG_NONE)
		return;
	if (!is_inspected(img, &s)) {
		r.found = true;
		r.inspect = s.terminate ? OSH_INSPECT_AUTHORITY : OSH_INSPECT_NONE;
		s.routed = s.first;
	} else if (s.routed == IMG_NONE) {
		return;
	}
	ep = img_endpoint(img, s.routed);
	r.key = img_text(img, entry_of(img, s.routed)->key);
	r.name = img_text(img, entry_of(img, s.routed)->name);
	r.line = ep->line;
	if (!r.found) {
		r.found = true;
		r.inspect = (enum osh_inspect)ep->inspect;
		r.enforce = ep->flags & IMG_EP_ENFORCE;
		r.allow_encoded_slash = ep->flags & IMG_EP_ENCODED_SLASH;
		r.wants_body = r.inspect == OSH_INSPECT_GRAPHQL ||
			       r.inspect == OSH_INSPECT_JSON_RPC || r.inspect == OSH_INSPECT_MCP;
		r.max_body_bytes = ep->max_body;
		r.strict_tool_names = ep->flags & IMG_EP_STRICT_TOOLS;
		r.ws_messages = ep->flags & IMG_EP_WS_MESSAGES;
		r.ws_graphql = ep->flags & IMG_EP_WS_GRAPHQL;
	}
	*ret_route = r;
}

/* ---- judging ---- */

/* A judgement in progress. */
struct trial {
	const struct osh_image *img;
	const struct osh_idclass *cls;
	struct img_walk *w;
	const struct osh_request_facts *facts;
	struct img_request req;
	const struct img_endpoint *routed;
	struct osh_req_verdict *v;
};

/* @always: blocked in audit mode too (reference 3.8). */
static void refuse(struct trial *t, bool always, enum osh_reason reason, const char *text,
		   const char *arg)
{
	bool audit = !always && t->routed && !(t->routed->flags & IMG_EP_ENFORCE);

	t->v->verdict = audit ? OSH_DECISION_AUDIT : OSH_DECISION_DENY;
	t->v->reason = reason;
	t->v->text = text;
	t->v->text_arg = arg;
}

static void permit(struct trial *t)
{
	t->v->verdict = OSH_DECISION_ALLOW;
	t->v->reason = OSH_REASON_NONE;
}

static void cite(struct trial *t, const struct img_endpoint *ep, uint32_t rule)
{
	t->v->rule_key = img_text(t->img, img_entry(t->img, ep->entry)->key);
	t->v->rule_line = rule == IMG_NONE ? ep->line : img_rule(t->img, rule)->line;
}

/* Endpoints of this connection with rules whose path scope holds the request. */
static const struct img_endpoint *next_scoped(struct trial *t)
{
	for (uint32_t id; (id = img_match_next(t->w, t->cls)) != IMG_NONE;) {
		const struct img_endpoint *ep = img_endpoint(t->img, id);

		if (ep->inspect == OSH_INSPECT_NONE)
			continue;
		if (ep->gate_glob != IMG_NONE &&
		    !img_glob_match(t->img, ep->gate_glob, t->facts->path))
			continue;
		return ep;
	}
	return NULL;
}

static bool is_http_ruled(const struct img_endpoint *ep)
{
	return ep->inspect == OSH_INSPECT_REST || ep->inspect == OSH_INSPECT_WEBSOCKET;
}

/* Deny anywhere wins, also over other protocols' grants. True: refused. */
static bool denied_by_http(struct trial *t)
{
	img_walk_rewind(t->w);
	for (const struct img_endpoint *ep; (ep = next_scoped(t));) {
		uint32_t rule;

		if (!is_http_ruled(ep) || !ep->deny.count)
			continue;
		rule = img_http_rule(t->img, ep, &t->req, true);
		if (rule == IMG_NONE)
			continue;
		cite(t, ep, rule);
		refuse(t, false, OSH_REASON_L7_DENY_RULE, NULL, NULL);
		return true;
	}
	return false;
}

static void judge_http(struct trial *t)
{
	if (denied_by_http(t))
		return;
	img_walk_rewind(t->w);
	for (const struct img_endpoint *ep; (ep = next_scoped(t));) {
		uint32_t rule;

		if (ep->inspect != t->routed->inspect)
			continue;
		rule = img_http_rule(t->img, ep, &t->req, false);
		if (rule == IMG_NONE)
			continue;
		cite(t, ep, rule);
		permit(t);
		return;
	}
	refuse(t, false, OSH_REASON_L7_NOT_PERMITTED, NULL, NULL);
}

/* True: some rule of the connection's GraphQL endpoints (or of one like the routed one) matches. */
static bool graphql_rule(struct trial *t, const struct img_operation *op, bool deny)
{
	img_walk_rewind(t->w);
	for (const struct img_endpoint *ep; (ep = next_scoped(t));) {
		uint32_t rule;

		if (ep->inspect != t->routed->inspect)
			continue;
		rule = img_graphql_rule(t->img, ep, op, deny);
		if (rule == IMG_NONE)
			continue;
		cite(t, ep, rule);
		return true;
	}
	return false;
}

static void judge_operations(struct trial *t)
{
	static const char rejected[] = "GraphQL request rejected";
	const struct osh_graphql *gql = t->facts->graphql;
	struct img_operation op;

	if (t->facts->body_error) {
		refuse(t, true, OSH_REASON_L7_BODY, rejected, t->facts->body_error);
		return;
	}
	if (!gql || !gql->n_ops) {
		refuse(t, true, OSH_REASON_L7_BODY, rejected, "no operation");
		return;
	}
	for (size_t i = 0; i < gql->n_ops; i++) {
		img_operation_resolve(t->img, t->routed, &gql->ops[i], &op);
		if (op.type && graphql_rule(t, &op, true)) {
			refuse(t, false, OSH_REASON_L7_DENY_RULE,
			       "GraphQL operation blocked by endpoint policy", NULL);
			return;
		}
	}
	for (size_t i = 0; i < gql->n_ops; i++) {
		img_operation_resolve(t->img, t->routed, &gql->ops[i], &op);
		if (!op.type) {
			refuse(t, false, OSH_REASON_L7_NOT_PERMITTED,
			       "GraphQL persisted query is not registered", NULL);
			return;
		}
		if (!graphql_rule(t, &op, false)) {
			cite(t, t->routed, IMG_NONE);
			refuse(t, false, OSH_REASON_L7_NOT_PERMITTED,
			       "GraphQL operation blocked by endpoint policy", NULL);
			return;
		}
	}
	permit(t);
}

static void judge_graphql(struct trial *t)
{
	if (t->req.method != IMG_M_GET && t->req.method != IMG_M_POST) {
		refuse(t, true, OSH_REASON_L7_BODY, "GraphQL request rejected",
		       "only GET and POST carry GraphQL");
		return;
	}
	if (!denied_by_http(t))
		judge_operations(t);
}

static void judge_websocket(struct trial *t)
{
	if (t->req.method != IMG_M_WS_TEXT) {
		if (!t->facts->is_ws_upgrade)
			refuse(t, true, OSH_REASON_HTTP_UPGRADE,
			       "websocket endpoint requires a valid WebSocket upgrade request",
			       NULL);
		else
			judge_http(t);
	} else if (!(t->routed->flags & IMG_EP_WS_GRAPHQL)) {
		judge_http(t);
	} else if (t->facts->ws_control && !t->facts->body_error) {
		permit(t);
	} else {
		judge_operations(t);
	}
}

/* ---- JSON-RPC and MCP ---- */

static bool rpc_call_denied(struct trial *t, const struct osh_rpc_call *call)
{
	img_walk_rewind(t->w);
	for (const struct img_endpoint *ep; (ep = next_scoped(t));) {
		uint32_t rule;

		if (ep->inspect != t->routed->inspect)
			continue;
		rule = img_rpc_rule(t->img, ep, call, true);
		if (rule != IMG_NONE) {
			cite(t, ep, rule);
			return true;
		}
	}
	return false;
}

static bool rpc_call_allowed(struct trial *t, const struct osh_rpc_call *call)
{
	img_walk_rewind(t->w);
	for (const struct img_endpoint *ep; (ep = next_scoped(t));) {
		uint32_t rule = IMG_NONE;
		bool open;

		if (ep->inspect != t->routed->inspect)
			continue;
		/* allow_all opens every method, but not tools/call once a rule names tools */
		open = (ep->flags & IMG_EP_MCP_ALL) && (!(ep->flags & IMG_EP_MCP_TOOL_RULES) ||
							!osh_str_is(call->method, "tools/call"));
		if (!open)
			rule = img_rpc_rule(t->img, ep, call, false);
		if (open || rule != IMG_NONE) {
			cite(t, ep, rule);
			return true;
		}
	}
	return false;
}

/* MCP lets a client listen: GET without a body that asks for an event stream. */
static bool is_receive_stream(const struct trial *t)
{
	return t->routed->inspect == OSH_INSPECT_MCP && t->req.method == IMG_M_GET &&
	       !t->facts->has_body && t->facts->is_event_stream;
}

static void judge_calls(struct trial *t, const struct osh_jsonrpc *rpc)
{
	for (size_t i = 0; i < rpc->n_calls; i++) {
		if (rpc_call_denied(t, &rpc->calls[i])) {
			refuse(t, false, OSH_REASON_L7_DENY_RULE, NULL, NULL);
			return;
		}
	}
	for (size_t i = 0; i < rpc->n_calls; i++) {
		if (!rpc_call_allowed(t, &rpc->calls[i])) {
			cite(t, t->routed, IMG_NONE);
			refuse(t, false, OSH_REASON_L7_NOT_PERMITTED, NULL, NULL);
			return;
		}
	}
	permit(t);
}

static void judge_rpc(struct trial *t)
{
	static const char rejected[] = "JSON-RPC request rejected";
	const struct osh_jsonrpc *rpc = t->facts->jsonrpc;

	if (is_receive_stream(t)) {
		if (!denied_by_http(t))
			permit(t);
		return;
	}
	if (t->req.method != IMG_M_POST) {
		refuse(t, true, OSH_REASON_L7_BODY, rejected, "only POST carries calls");
		return;
	}
	if (t->facts->body_error) {
		refuse(t, true, OSH_REASON_L7_BODY, rejected, t->facts->body_error);
		return;
	}
	if (!rpc || (!rpc->n_calls && !rpc->has_response)) {
		refuse(t, true, OSH_REASON_L7_BODY, rejected, "no message");
		return;
	}
	if (rpc->has_response && t->routed->inspect != OSH_INSPECT_MCP) {
		refuse(t, true, OSH_REASON_L7_BODY,
		       "JSON-RPC response frames are not permitted from client to server", NULL);
		return;
	}
	if (!denied_by_http(t))
		judge_calls(t, rpc);
}

/* ---- the decision ---- */

static bool has_encoded_slash(struct osh_str path)
{
	for (size_t i = 0; i + 2 < path.n; i++)
		if (path.p[i] == '%' && path.p[i + 1] == '2' && osh_lower(path.p[i + 2]) == 'f')
			return true;
	return false;
}

static void judge(struct trial *t)
{
	cite(t, t->routed, IMG_NONE);
	t->v->inspect = (enum osh_inspect)t->routed->inspect;
	if (has_encoded_slash(t->facts->path) && !(t->routed->flags & IMG_EP_ENCODED_SLASH)) {
		refuse(t, true, OSH_REASON_HTTP_TARGET, "request target contains an encoded slash",
		       NULL);
		return;
	}
	switch (t->v->inspect) {
	case OSH_INSPECT_REST:
		judge_http(t);
		break;
	case OSH_INSPECT_WEBSOCKET:
		judge_websocket(t);
		break;
	case OSH_INSPECT_GRAPHQL:
		judge_graphql(t);
		break;
	case OSH_INSPECT_JSON_RPC:
	case OSH_INSPECT_MCP:
		judge_rpc(t);
		break;
	case OSH_INSPECT_NONE:
	case OSH_INSPECT_AUTHORITY:
	case OSH_INSPECT_SQL:
		refuse(t, true, OSH_REASON_L7_PROTOCOL,
		       "protocol cannot be inspected on this endpoint", NULL);
		break;
	}
}

void osh_decide_request(const struct osh_image *img, const struct osh_idclass *cls,
			struct osh_str host, unsigned int port,
			const struct osh_request_facts *facts, struct osh_req_verdict *ret_verdict)
{
	struct osh_req_verdict v = { .generation = img->generation };
	struct trial t = { .img = img, .cls = cls, .facts = facts, .v = &v };
	struct img_walk w;
	struct scene s = { .first = IMG_NONE };

	if (!img_idclass_fits(img, cls)) {
		v.reason = OSH_REASON_GENERATION;
		v.text = "policy changed while the connection was set up";
		*ret_verdict = v;
		return;
	}
	if (port && img_walk_init(&w, img, host, port))
		survey(&w, cls, facts->path, &s);
	if (s.first == IMG_NONE) {
		/* the connection itself would be refused: a policy that came after it was made */
		v.reason = osh_image_is_quarantine(img) ? OSH_REASON_QUARANTINE
							: OSH_REASON_NO_ENDPOINT;
		v.text = "no matching network policy";
		*ret_verdict = v;
		return;
	}
	v.key = img_text(img, entry_of(img, s.first)->key);
	v.name = img_text(img, entry_of(img, s.first)->name);
	t.w = &w;
	if (!is_inspected(img, &s)) {
		v.inspect = s.terminate ? OSH_INSPECT_AUTHORITY : OSH_INSPECT_NONE;
		cite(&t, img_endpoint(img, s.first), IMG_NONE);
		permit(&t);
	} else if (s.routed == IMG_NONE) {
		refuse(&t, true, OSH_REASON_L7_NO_ENDPOINT_PATH,
		       "no L7 endpoint path matched request", NULL);
	} else {
		t.routed = img_endpoint(img, s.routed);
		img_request_init(&t.req, facts);
		judge(&t);
	}
	*ret_verdict = v;
}

/* ---- in words ---- */

int osh_req_reason(const struct osh_req_verdict *verdict, const struct osh_request_facts *facts,
		   struct osh_buf *ret_text)
{
	osh_auto_bufmem struct osh_buf text = { 0 };
	int r;

	osh_buf_init(&text, REASON_MAX, 0);
	if (verdict->reason == OSH_REASON_NONE)
		return 0;
	if (verdict->text) {
		r = osh_buf_printf(&text, "%s%s%s", verdict->text, verdict->text_arg ? ": " : "",
				   verdict->text_arg ? verdict->text_arg : "");
	} else {
		r = osh_buf_printf(
			&text, "%.*s %.*s %s", OSH_STR_FMT(osh_str_sub(facts->method, 0, 64)),
			OSH_STR_FMT(osh_str_sub(facts->path, 0, REASON_MAX - 128)),
			verdict->reason == OSH_REASON_L7_DENY_RULE ? "blocked by deny rule"
								   : "not permitted by policy");
	}
	if (!r)
		r = osh_buf_add_str(ret_text, osh_buf_str(&text));
	return r;
}
