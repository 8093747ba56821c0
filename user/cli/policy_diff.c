/* SPDX-License-Identifier: MIT */
/*
 * policy diff: two policies compared by what they decide. Both are asked the same questions, made
 * from every host, port, binary, method, path and operation that either of them names; an answer
 * that differs is a difference. What no pattern of either policy can tell apart is asked once.
 */
#include "cli/policy_tool.h"
#include "cli/policy_witness.h"
#include "policy/addr.h"
#include "policy/validate.h"

#define ARENA_MAX (256u << 20)
#define TYPES	  3

/* A question about a pattern: how it is shown, and the input that stands for it. */
struct probe {
	struct osh_str label, text;
};

struct list {
	struct probe *v;
	size_t n, cap;
};

/* One request to try on a destination. */
struct ask {
	struct osh_str label; /* "POST /a", "mutation drop", "tools/call find" */
	struct osh_request_facts facts;
};

struct asks {
	struct ask *v;
	size_t n, cap;
};

struct change {
	struct osh_str binaries; /* one a line */
	struct osh_str host, label; /* label empty: the connection */
	unsigned int port;
	const char *before, *after;
};

struct diff {
	struct osh_arena arena;
	struct osh_tool_policy *side[2];
	struct list binaries, hosts;
	struct osh_idclass **cls[2]; /* of each binary */
	uint16_t *ports;
	size_t nports;
	struct change *changes;
	size_t nchanges, changes_cap;
};

static void *grow(struct diff *d, void *v, size_t n, size_t *cap, size_t size)
{
	void *bigger;

	if (n < *cap)
		return v;
	bigger = osh_arena_array(&d->arena, *cap ? 2 * *cap : 32, size);
	if (bigger && n)
		memcpy(bigger, v, n * size);
	if (bigger)
		*cap = *cap ? 2 * *cap : 32;
	return bigger;
}

/* ---- what to ask ---- */

static int add_probe(struct diff *d, struct list *list, enum osh_glob_dialect dialect,
		     struct osh_str pattern)
{
	struct probe p = { pattern, OSH_STR_NONE };

	for (size_t i = 0; i < list->n; i++)
		if (osh_str_eq(list->v[i].label, pattern))
			return 0;
	p.text = osh_witness(&d->arena, dialect, pattern);
	if (!p.text.p)
		return 0; /* a pattern without an example: its literal parts are covered by others */
	list->v = grow(d, list->v, list->n, &list->cap, sizeof(*list->v));
	if (!list->v)
		return -ENOMEM;
	list->v[list->n++] = p;
	return 0;
}

static int add_port(struct diff *d, uint16_t port)
{
	for (size_t i = 0; i < d->nports; i++)
		if (d->ports[i] == port)
			return 0;
	if (!d->ports)
		d->ports = osh_arena_array(&d->arena, UINT16_MAX + 1, sizeof(*d->ports));
	if (!d->ports)
		return -ENOMEM;
	d->ports[d->nports++] = port;
	return 0;
}

static int collect_entry(struct diff *d, const struct osh_entry *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < e->n_binaries; i++)
		r = add_probe(d, &d->binaries, OSH_GLOB_BINARY, e->binaries[i].path);
	for (size_t i = 0; !r && i < e->n_endpoints; i++) {
		const struct osh_endpoint *ep = &e->endpoints[i];

		r = add_probe(d, &d->hosts, OSH_GLOB_HOST,
			      ep->host.n ? ep->host : OSH_STR("any-host.invalid"));
		for (size_t k = 0; !r && k < ep->n_ports; k++)
			r = add_port(d, ep->ports[k]);
	}
	return r;
}

static int collect(struct diff *d)
{
	int r = 0;

	for (int s = 0; s < 2; s++)
		for (size_t i = 0; !r && i < d->side[s]->policy->n_entries; i++)
			r = collect_entry(d, &d->side[s]->policy->entries[i]);
	for (int s = 0; !r && s < 2; s++) {
		d->cls[s] = osh_arena_array(&d->arena, d->binaries.n + 1, sizeof(*d->cls[s]));
		if (!d->cls[s])
			return -ENOMEM;
		for (size_t i = 0; !r && i < d->binaries.n; i++) {
			const struct osh_identity id = { .self.path = d->binaries.v[i].text };

			r = osh_idclass_new(d->side[s]->img, &id, &d->cls[s][i]);
		}
	}
	return r;
}

/* ---- requests ---- */

static int add_ask(struct diff *d, struct asks *asks, const struct ask *ask)
{
	for (size_t i = 0; i < asks->n; i++)
		if (osh_str_eq(asks->v[i].label, ask->label))
			return 0;
	asks->v = grow(d, asks->v, asks->n, &asks->cap, sizeof(*asks->v));
	if (!asks->v)
		return -ENOMEM;
	asks->v[asks->n++] = *ask;
	return 0;
}

static struct osh_str join_by(struct diff *d, struct osh_str a, char by, struct osh_str b)
{
	char *p = a.p && b.p ? osh_arena_alloc(&d->arena, a.n + b.n + 2) : NULL;

	if (!p)
		return OSH_STR_NONE;
	memcpy(p, a.p, a.n);
	p[a.n] = by;
	memcpy(p + a.n + 1, b.p, b.n);
	return (struct osh_str){ p, a.n + 1 + b.n };
}

static struct osh_str join(struct diff *d, struct osh_str a, struct osh_str b)
{
	return join_by(d, a, ' ', b);
}

/* Every usual method on this path, and @extra_method if it is none of them. */
static int ask_path(struct diff *d, struct asks *asks, const struct osh_endpoint *ep,
		    struct osh_str label, struct osh_str path, const struct osh_query *query,
		    struct osh_str extra_method)
{
	static const char *const usual[] = { "GET",   "HEAD",	"OPTIONS",	  "POST", "PUT",
					     "PATCH", "DELETE", "WEBSOCKET_TEXT", NULL };
	int r = 0;

	for (size_t i = 0; !r && i < OSH_ARRAY_SIZE(usual); i++) {
		struct osh_str method = usual[i] ? osh_str(usual[i]) : extra_method;
		struct ask ask = { .facts = { .method = method,
					      .path = path,
					      .query = query,
					      .is_ws_upgrade = true } };

		if (!method.n || osh_str_is(method, "*"))
			continue;
		if (osh_str_is(method, "WEBSOCKET_TEXT") && ep->protocol != OSH_PROTO_WEBSOCKET &&
		    !ep->websocket_credential_rewrite)
			continue;
		ask.label = join(d, method, label);
		r = ask.label.p ? add_ask(d, asks, &ask) : -ENOMEM;
	}
	return r;
}

static int ask_http_rule(struct diff *d, struct asks *asks, const struct osh_endpoint *ep,
			 const struct osh_rule *rule)
{
	struct osh_query *query = osh_arena_alloc(&d->arena, sizeof(*query));
	struct osh_query_pair *pairs = osh_arena_array(&d->arena, rule->n_query + 1,
						       sizeof(*pairs));
	struct osh_str path = osh_witness(&d->arena, OSH_GLOB_PATH, rule->path);
	struct osh_str label = rule->path;
	size_t n = 0;

	if (!query || !pairs)
		return -ENOMEM;
	if (!rule->path.n || !path.p)
		return 0;
	for (size_t i = 0; i < rule->n_query; i++) {
		const struct osh_keyed_matcher *m = &rule->query[i];

		pairs[n].key = m->key;
		pairs[n].value = osh_witness(&d->arena, OSH_GLOB_QUERY, m->m.globs.v[0]);
		label = join(d, label, m->key);
		if (!label.p)
			return -ENOMEM;
		n += pairs[n].value.p != NULL;
	}
	*query = (struct osh_query){ pairs, n };
	return ask_path(d, asks, ep, label, path, query, rule->method);
}

static int ask_operation(struct diff *d, struct asks *asks, struct osh_str path,
			 const struct osh_rule *rule, enum osh_gql_type type)
{
	static const char *const types[] = { "", "query", "mutation", "subscription" };
	struct osh_gql_op *op = osh_arena_alloc(&d->arena, sizeof(*op));
	struct osh_graphql *gql = osh_arena_alloc(&d->arena, sizeof(*gql));
	struct osh_str *fields;
	size_t n = rule ? rule->fields.n : 0;
	struct ask ask = { .label = osh_str(types[type]) };

	fields = osh_arena_array(&d->arena, n + 1, sizeof(*fields));
	if (!op || !gql || !fields)
		return -ENOMEM;
	op->type = type;
	if (rule && rule->operation_name.n) {
		op->name = osh_witness(&d->arena, OSH_GLOB_QUERY, rule->operation_name);
		ask.label = join(d, ask.label, rule->operation_name);
	}
	for (size_t i = 0; i < n; i++) {
		fields[op->n_fields] = osh_witness(&d->arena, OSH_GLOB_QUERY, rule->fields.v[i]);
		op->n_fields += fields[op->n_fields].p != NULL;
		if (ask.label.p)
			ask.label = join(d, ask.label, rule->fields.v[i]);
	}
	if (!n) {
		fields[0] = OSH_STR("x");
		op->n_fields = 1;
	}
	if (!ask.label.p)
		return -ENOMEM;
	op->fields = fields;
	*gql = (struct osh_graphql){ op, 1 };
	ask.facts = (struct osh_request_facts){
		.method = OSH_STR("POST"), .path = path, .has_body = true, .graphql = gql
	};
	return add_ask(d, asks, &ask);
}

static int ask_call(struct diff *d, struct asks *asks, struct osh_str path,
		    const struct osh_rule *rule)
{
	struct osh_rpc_call *call = osh_arena_alloc(&d->arena, sizeof(*call));
	struct osh_jsonrpc *rpc = osh_arena_alloc(&d->arena, sizeof(*rpc));
	struct ask ask = { 0 };

	if (!call || !rpc)
		return -ENOMEM;
	ask.label = rule->method.n ? rule->method : OSH_STR("tools/call");
	call->method = osh_witness(&d->arena, OSH_GLOB_QUERY, ask.label);
	if (!call->method.p)
		return 0;
	if (rule->n_params && rule->params[0].m.globs.n) {
		struct osh_str glob = rule->params[0].m.globs.v[0];

		call->tool = osh_witness(&d->arena, OSH_GLOB_QUERY, glob);
		ask.label = join(d, ask.label, glob);
		if (!ask.label.p)
			return -ENOMEM;
	} else if (osh_str_is(call->method, "tools/call")) {
		call->tool = OSH_STR("x");
	}
	*rpc = (struct osh_jsonrpc){ call, 1, false };
	ask.facts = (struct osh_request_facts){
		.method = OSH_STR("POST"), .path = path, .has_body = true, .jsonrpc = rpc
	};
	return add_ask(d, asks, &ask);
}

static int ask_rule(struct diff *d, struct asks *asks, const struct osh_endpoint *ep,
		    struct osh_str path, const struct osh_rule *rule)
{
	static const char *const types[] = { "query", "mutation", "subscription" };
	int r = 0;

	switch (ep->protocol) {
	case OSH_PROTO_GRAPHQL:
		for (size_t t = 0; !r && t < TYPES; t++)
			if (osh_str_ieq(rule->operation_type, osh_str(types[t])) ||
			    osh_str_is(rule->operation_type, "*"))
				r = ask_operation(d, asks, path, rule, (enum osh_gql_type)(t + 1));
		return r;
	case OSH_PROTO_JSON_RPC:
	case OSH_PROTO_MCP:
		return ask_call(d, asks, path, rule);
	default:
		return ask_http_rule(d, asks, ep, rule);
	}
}

static int ask_endpoint(struct diff *d, struct asks *asks, const struct osh_endpoint *ep)
{
	static const struct osh_rule other = { .method = { "other.method", 12 } };
	struct osh_str path = OSH_STR("/x");
	int r = 0;

	if (ep->path.n)
		path = osh_witness(&d->arena, OSH_GLOB_ENDPOINT_PATH, ep->path);
	if (!path.p)
		return 0;
	r = ask_path(d, asks, ep, ep->path.n ? ep->path : OSH_STR("(any other path)"), path, NULL,
		     OSH_STR(""));
	if (ep->protocol == OSH_PROTO_GRAPHQL)
		for (int t = OSH_GQL_QUERY; !r && t <= OSH_GQL_SUBSCRIPTION; t++)
			r = ask_operation(d, asks, path, NULL, (enum osh_gql_type)t);
	if (!r && (ep->protocol == OSH_PROTO_JSON_RPC || ep->protocol == OSH_PROTO_MCP))
		r = ask_call(d, asks, path, &other);
	for (size_t i = 0; !r && i < ep->n_rules; i++)
		r = ask_rule(d, asks, ep, path, &ep->rules[i]);
	for (size_t i = 0; !r && i < ep->n_deny_rules; i++)
		r = ask_rule(d, asks, ep, path, &ep->deny_rules[i]);
	return r;
}

static bool covers(const struct osh_endpoint *ep, struct osh_str host, uint16_t port)
{
	bool ok = false;

	for (size_t i = 0; i < ep->n_ports; i++)
		ok = ok || ep->ports[i] == port;
	return ok && (!ep->host.n || osh_witness_matches(OSH_GLOB_HOST, ep->host, host));
}

static int collect_asks(struct diff *d, struct osh_str host, uint16_t port, struct asks *asks)
{
	int r = 0;

	for (int s = 0; s < 2; s++) {
		const struct osh_policy *p = d->side[s]->policy;

		for (size_t i = 0; !r && i < p->n_entries; i++)
			for (size_t k = 0; !r && k < p->entries[i].n_endpoints; k++) {
				const struct osh_endpoint *ep = &p->entries[i].endpoints[k];

				if (ep->protocol > OSH_PROTO_TCP && covers(ep, host, port))
					r = ask_endpoint(d, asks, ep);
			}
	}
	return r;
}

/* ---- comparing ---- */

static int add_change(struct diff *d, struct osh_str binary, struct osh_str host, unsigned int port,
		      struct osh_str label, const char *before, const char *after)
{
	/* the same change for several binaries is one line */
	for (size_t i = d->nchanges; i > 0; i--) {
		struct change *c = &d->changes[i - 1];

		if (!osh_str_eq(c->host, host) || c->port != port)
			break;
		if (osh_str_eq(c->label, label) && !strcmp(c->before, before) &&
		    !strcmp(c->after, after)) {
			struct osh_str both = join_by(d, c->binaries, '\n', binary);

			if (!both.p)
				return -ENOMEM;
			c->binaries = both;
			return 0;
		}
	}
	d->changes = grow(d, d->changes, d->nchanges, &d->changes_cap, sizeof(*d->changes));
	if (!d->changes)
		return -ENOMEM;
	d->changes[d->nchanges++] = (struct change){ binary, host, label, port, before, after };
	return 0;
}

static bool same_ips(const struct osh_conn_verdict *a, const struct osh_conn_verdict *b)
{
	return a->nallowed_ips == b->nallowed_ips && a->declared_exact == b->declared_exact &&
	       (!a->nallowed_ips ||
		!memcmp(a->allowed_ips, b->allowed_ips, a->nallowed_ips * sizeof(struct osh_cidr)));
}

static const char *relay_word(const struct osh_conn_verdict *v)
{
	return v->tls_skip			? "relayed unseen"
	       : v->inspect == OSH_INSPECT_NONE ? "relayed"
						: osh_inspect_word(v->inspect);
}

static int compare_conn(struct diff *d, struct probe *bin, struct probe *host, uint16_t port,
			const struct osh_conn_verdict v[2])
{
	int r = 0;

	if (v[0].verdict != v[1].verdict)
		return add_change(d, bin->label, host->label, port, OSH_STR(""),
				  osh_decision_word(v[0].verdict), osh_decision_word(v[1].verdict));
	if (v[0].verdict != OSH_DECISION_ALLOW)
		return 0;
	if (strcmp(relay_word(&v[0]), relay_word(&v[1])) != 0)
		r = add_change(d, bin->label, host->label, port, OSH_STR("(inspection)"),
			       relay_word(&v[0]), relay_word(&v[1]));
	if (!r && !same_ips(&v[0], &v[1]))
		r = add_change(d, bin->label, host->label, port, OSH_STR("(addresses)"),
			       v[0].nallowed_ips ? "allowed_ips" : "default",
			       v[1].nallowed_ips ? "other allowed_ips" : "default");
	return r;
}

static int compare_dest(struct diff *d, struct probe *host, uint16_t port)
{
	struct asks asks = { 0 };
	int r = collect_asks(d, host->text, port, &asks);

	for (size_t i = 0; !r && i < d->binaries.n; i++) {
		struct probe *bin = &d->binaries.v[i];
		struct osh_conn_verdict v[2];

		for (int s = 0; s < 2; s++)
			osh_decide_conn(d->side[s]->img, d->cls[s][i], host->text, port, &v[s]);
		r = compare_conn(d, bin, host, port, v);
		if (v[0].verdict != OSH_DECISION_ALLOW || v[1].verdict != OSH_DECISION_ALLOW)
			continue;
		for (size_t k = 0; !r && k < asks.n; k++) {
			struct osh_req_verdict q[2];

			for (int s = 0; s < 2; s++)
				osh_decide_request(d->side[s]->img, d->cls[s][i], host->text, port,
						   &asks.v[k].facts, &q[s]);
			if (q[0].verdict != q[1].verdict)
				r = add_change(d, bin->label, host->label, port, asks.v[k].label,
					       osh_decision_word(q[0].verdict),
					       osh_decision_word(q[1].verdict));
		}
	}
	return r;
}

static int compare_all(struct diff *d)
{
	int r = 0;

	for (size_t h = 0; !r && h < d->hosts.n; h++)
		for (size_t p = 0; !r && p < d->nports; p++)
			r = compare_dest(d, &d->hosts.v[h], d->ports[p]);
	return r;
}

/* The same change of several methods on one path is one line: "GET,HEAD /a". */
static int fold_methods(struct diff *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->nchanges; i++) {
		struct change *c = &d->changes[i], *last = n ? &d->changes[n - 1] : NULL;
		struct osh_str rest = c->label, method, last_rest, last_method;

		if (last && c->label.n && last->label.n) {
			last_rest = last->label;
			(void)osh_str_split(&rest, ' ', &method); /* not empty */
			(void)osh_str_split(&last_rest, ' ', &last_method);
			if (rest.n && osh_str_eq(rest, last_rest) &&
			    osh_str_eq(c->host, last->host) && c->port == last->port &&
			    osh_str_eq(c->binaries, last->binaries) &&
			    !strcmp(c->before, last->before) && !strcmp(c->after, last->after)) {
				last->label = join(d, join_by(d, last_method, ',', method), rest);
				if (!last->label.p)
					return -ENOMEM;
				continue;
			}
		}
		d->changes[n++] = *c;
	}
	d->nchanges = n;
	return 0;
}

/* ---- output ---- */

/* '+' more is allowed, '-' less, '~' neither can be said. */
static char direction(const struct change *c)
{
	static const char *const order[] = { "deny", "audit", "allow" };
	int before = -1, after = -1;

	for (int i = 0; i < (int)OSH_ARRAY_SIZE(order); i++) {
		before = strcmp(c->before, order[i]) ? before : i;
		after = strcmp(c->after, order[i]) ? after : i;
	}
	if (before < 0 || after < 0)
		return '~';
	return after > before ? '+' : '-';
}

static int show_change(struct osh_cli *cli, const struct change *c, struct osh_buf *out)
{
	struct osh_str rest = c->binaries, one;
	const char *sep = "  by ";
	char dir = direction(c);
	int r;

	r = osh_buf_printf(out, "%s%c %s -> %s%s  %.*s:%u%s%.*s",
			   osh_tool_color(cli, dir == '+'   ? 'g'
					       : dir == '-' ? 'r'
							    : 'y'),
			   dir, c->before, c->after, osh_tool_color(cli, 0), OSH_STR_FMT(c->host),
			   c->port, c->label.n ? "  " : "", OSH_STR_FMT(c->label));
	while (!r && osh_str_split(&rest, '\n', &one)) {
		r = osh_buf_printf(out, "%s%.*s", sep, OSH_STR_FMT(one));
		sep = ", ";
	}
	return r ? r : osh_buf_add_c(out, '\n');
}

static int show_text(struct osh_cli *cli, const struct diff *d, const struct osh_diag *fixed,
		     struct osh_buf *out)
{
	int r = 0;

	for (size_t i = 0; !r && i < fixed->count; i++)
		r = osh_buf_printf(out, "! %s\n", fixed->msgs[i].text);
	for (size_t i = 0; !r && i < d->nchanges; i++)
		r = show_change(cli, &d->changes[i], out);
	if (!r && !d->nchanges && !fixed->count)
		r = osh_buf_printf(out, "no difference in what is allowed\n");
	return r;
}

static int show_json(const struct diff *d, const struct osh_diag *fixed, struct osh_buf *out)
{
	struct osh_json j;

	osh_json_init(&j, out, 2);
	osh_json_obj(&j);
	osh_json_key(&j, "static");
	osh_tool_json_diag(&j, fixed, OSH_DIAG_ERROR);
	osh_json_key(&j, "changes");
	osh_json_arr(&j);
	for (size_t i = 0; i < d->nchanges; i++) {
		const struct change *c = &d->changes[i];
		struct osh_str rest = c->binaries, one;

		osh_json_obj(&j);
		osh_json_kstr(&j, "host", c->host);
		osh_json_ku64(&j, "port", c->port);
		if (c->label.n)
			osh_json_kstr(&j, "request", c->label);
		osh_json_key(&j, "binaries");
		osh_json_arr(&j);
		while (osh_str_split(&rest, '\n', &one))
			osh_json_str(&j, one);
		osh_json_arr_end(&j);
		osh_json_kz(&j, "before", c->before);
		osh_json_kz(&j, "after", c->after);
		osh_json_obj_end(&j);
	}
	osh_json_arr_end(&j);
	osh_json_obj_end(&j);
	return j.err ? j.err : osh_buf_add_c(out, '\n');
}

static void diff_fini(struct diff *d)
{
	for (int s = 0; s < 2; s++)
		for (size_t i = 0; d->cls[s] && i < d->binaries.n; i++)
			d->cls[s][i] = osh_idclass_free(d->cls[s][i]);
	osh_arena_fini(&d->arena);
}

static int run_diff(struct osh_cli *cli, const struct osh_args *args)
{
	osh_auto_tool struct osh_tool_policy a = { 0 }, b = { 0 };
	osh_auto_diag struct osh_diag fixed = { 0 };
	osh_auto_bufmem struct osh_buf out = { 0 };
	struct diff d = { .side = { &a, &b } };
	int r, json = osh_tool_wants_json(cli, args);
	bool differ;

	if (json < 0)
		return OSH_EXIT_USAGE;
	r = osh_tool_require(cli, osh_args_pos(args, 0), &a);
	if (!r)
		r = osh_tool_require(cli, osh_args_pos(args, 1), &b);
	if (r)
		return r;
	osh_arena_init(&d.arena, ARENA_MAX);
	osh_buf_init(&out, OSH_TOOL_OUT_MAX, 0);
	osh_diag_init(&fixed, NULL);
	r = osh_policy_static_diff(a.policy, b.policy, &fixed);
	if (r == -EBADMSG)
		r = 0; /* the differences are in @fixed */
	if (!r)
		r = collect(&d);
	if (!r)
		r = compare_all(&d);
	if (!r)
		r = fold_methods(&d);
	if (!r)
		r = json ? show_json(&d, &fixed, &out) : show_text(cli, &d, &fixed, &out);
	differ = d.nchanges || fixed.count;
	diff_fini(&d);
	r = osh_tool_print(cli, r, &out);
	return r ? r : differ && osh_args_has(args, "exit-code") ? OSH_EXIT_ERROR : OSH_EXIT_OK;
}

const struct osh_cmd osh_cmd_policy_diff = {
	.name = "diff",
	.args = "OLD NEW",
	.help = "Show what a new policy allows or refuses that the old one did not",
	.more = "Compares decisions, not text: both policies are asked about every host, port, binary, "
		"method, path and operation that either names. '+' more is allowed, '-' less, '~' "
		"another treatment, '!' a static section that cannot change on a running sandbox.",
	.opts =
		(const struct osh_opt[]){
			{ "exit-code", 0, NULL, "Exit 1 when there is a difference", 0, NULL },
			{ "output", 'o', "FORMAT", "Table or json", 0, "table json" },
			{ 0 },
		},
	.complete = "file",
	.pos_min = 2,
	.pos_max = 2,
	.fn = run_diff,
};
