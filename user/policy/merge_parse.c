/* SPDX-License-Identifier: MIT */
/* Flags of `policy update` to operations. Pure: nothing here knows a policy. */
#include <stdio.h>
#include <stdlib.h>

#include "policy/build.h"
#include "policy/merge.h"

struct parser {
	struct osh_merge *merge;
	struct osh_diag *diag;
	const struct osh_merge_flag *flags;
	size_t n;
	struct osh_strs binaries;
	struct osh_str rule_name;
};

/* One spec under examination; messages begin with the flag and end with the spec. */
struct spec {
	struct parser *p;
	struct osh_str flag, text;
	struct osh_str part[6];
	size_t n_parts;
};

static int no_spec(struct parser *p, const char *message)
{
	osh_diag_err(p->diag, 0, 0, "%s", message);
	return -EBADMSG;
}

/* "<flag> <message> in '<spec>'"; @value is what the message's "%.*s" stands for. */
static int bad(const struct spec *s, const char *before, struct osh_str value, const char *after)
{
	osh_diag_err(s->p->diag, 0, 0, "%.*s %s%.*s%s in '%.*s'", OSH_CLIP(s->flag), before,
		     OSH_CLIP(value), after, OSH_CLIP(s->text));
	return -EBADMSG;
}

static int bad_plain(const struct spec *s, const char *message)
{
	return bad(s, message, OSH_STR(""), "");
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct osh_str trim(struct osh_str s)
{
	while (s.n && is_space(s.p[0]))
		s = osh_str_sub(s, 1, s.n);
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool has_space(struct osh_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_space(s.p[i]))
			return true;
	return false;
}

/* Split at colons; false when there are more parts than fit. */
static bool split(struct spec *s, size_t max)
{
	struct osh_str rest = s->text, part;

	s->n_parts = 0;
	while (osh_str_split(&rest, ':', &part)) {
		if (s->n_parts == max)
			return false;
		s->part[s->n_parts++] = trim(part);
	}
	return true;
}

static int parse_host(const struct spec *s, struct osh_str *ret_host)
{
	struct osh_str host = s->part[0];

	if (host.n == 0)
		return bad_plain(s, "has an empty host segment");
	if (has_space(host))
		return bad_plain(s, "host must not contain whitespace");
	if (osh_str_find(host, '/') < host.n)
		return bad_plain(s, "host must not contain '/'");
	*ret_host = host;
	return 0;
}

static int parse_port(const struct spec *s, uint16_t *ret_port)
{
	struct osh_str text = s->part[1];
	uint64_t port;

	if (text.n == 0)
		return bad_plain(s, "has an empty port segment");
	if (osh_parse_u64(text, UINT32_MAX, &port) < 0)
		return bad(s, "port segment must be a base-10 integer, got '", text, "'");
	if (port < 1 || port > UINT16_MAX)
		return bad(s, "port must be in the range 1-65535, got '", text, "'");
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_target(const struct spec *s, struct osh_str *ret_host, uint16_t *ret_port)
{
	int r = parse_host(s, ret_host);

	return r < 0 ? r : parse_port(s, ret_port);
}

static bool is_one_of(struct osh_str s, const char *const *words)
{
	for (; *words; words++)
		if (osh_str_is(s, *words))
			return true;
	return false;
}

/* ---- --add-endpoint ---- */

static int add_allowed_ip(const struct spec *s, struct osh_endpoint *ep, struct osh_str value)
{
	if (value.n == 0)
		return bad_plain(s, "allowed-ip option must include a CIDR or IP value");
	for (size_t i = 0; i < ep->allowed_ips.n; i++)
		if (osh_str_eq(ep->allowed_ips.v[i], value))
			return 0;
	ep->allowed_ips.v[ep->allowed_ips.n++] = value;
	return 0;
}

static int parse_option(const struct spec *s, struct osh_endpoint *ep, struct osh_str option)
{
	struct osh_str allowed_ip = OSH_STR("allowed-ip=");

	if (osh_str_is(option, "allow-uninspected-credentials")) {
		ep->allow_uninspected_credentials = true;
		return 0;
	}
	if (osh_str_is(option, "websocket-credential-rewrite")) {
		if (ep->protocol != OSH_PROTO_REST && ep->protocol != OSH_PROTO_WEBSOCKET)
			return bad_plain(s, "websocket-credential-rewrite endpoint option requires "
					    "protocol 'rest' or 'websocket'");
		ep->websocket_credential_rewrite = true;
		return 0;
	}
	if (osh_str_is(option, "request-body-credential-rewrite")) {
		if (ep->protocol != OSH_PROTO_REST)
			return bad_plain(s, "request-body-credential-rewrite endpoint option "
					    "requires protocol 'rest'");
		ep->request_body_credential_rewrite = true;
		return 0;
	}
	if (osh_str_has_prefix(option, allowed_ip))
		return add_allowed_ip(s, ep, trim(osh_str_sub(option, allowed_ip.n, option.n)));
	return bad(s,
		   "options segment supports only 'allow-uninspected-credentials', "
		   "'websocket-credential-rewrite', 'request-body-credential-rewrite', and "
		   "'allowed-ip=<CIDR-or-IP>'; got '",
		   option, "'");
}

static int parse_options(const struct spec *s, struct osh_endpoint *ep)
{
	struct osh_str rest = s->part[5], option;
	size_t max = 1;
	int r = 0;

	for (size_t i = 0; i < rest.n; i++)
		max += rest.p[i] == ',';
	ep->allowed_ips.v = osh_arena_array(&s->p->merge->arena, max, sizeof(*ep->allowed_ips.v));
	if (!ep->allowed_ips.v)
		return -ENOMEM;
	while (r == 0 && osh_str_split(&rest, ',', &option))
		r = parse_option(s, ep, trim(option));
	if (ep->allowed_ips.n == 0)
		ep->allowed_ips.v = NULL;
	return r;
}

static int parse_inspection(const struct spec *s, struct osh_endpoint *ep)
{
	static const char *const accesses[] = { "read-only", "read-write", "full", NULL };
	static const char *const protocols[] = { "tcp", "rest", "websocket", "sql", NULL };
	static const char *const enforcements[] = { "enforce", "audit", NULL };
	struct osh_str access = s->n_parts > 2 ? s->part[2] : OSH_STR("");
	struct osh_str protocol = s->n_parts > 3 ? s->part[3] : OSH_STR("");
	struct osh_str enforcement = s->n_parts > 4 ? s->part[4] : OSH_STR("");

	if (access.n && !is_one_of(access, accesses))
		return bad(s, "access segment must be one of read-only, read-write, or full; got '",
			   access, "'");
	if (protocol.n && !is_one_of(protocol, protocols))
		return bad(s,
			   "protocol segment must be 'tcp', 'rest', 'websocket', or 'sql'; got '",
			   protocol, "'");
	if (enforcement.n && protocol.n == 0)
		return bad_plain(s, "cannot set enforcement without protocol");
	if (osh_str_is(protocol, "tcp") && (access.n || enforcement.n))
		return bad_plain(s, "protocol 'tcp' does not support access or enforcement");
	if (enforcement.n && !is_one_of(enforcement, enforcements))
		return bad(s, "enforcement segment must be 'enforce' or 'audit'; got '",
			   enforcement, "'");
	ep->access_text = access;
	ep->protocol_text = protocol;
	ep->enforcement_text = enforcement;
	osh_endpoint_words(ep);
	return 0;
}

/* The two messages that go on after the quoted spec. */
static int empty_segment(const struct spec *s, const char *what, const char *need)
{
	osh_diag_err(
		s->p->diag, 0, 0,
		"%.*s has an empty %s segment in '%.*s'; omit it entirely if you do not need %s",
		OSH_CLIP(s->flag), what, OSH_CLIP(s->text), need);
	return -EBADMSG;
}

static int parse_add_endpoint(struct spec *s, struct osh_merge_op *op)
{
	struct osh_endpoint *ep = &op->endpoint;
	uint16_t port = 0;
	int r;

	*ep = osh_endpoint_init();
	if (!split(s, 6) || s->n_parts < 2) {
		osh_diag_err(s->p->diag, 0, 0,
			     "%.*s expects host:port[:access[:protocol[:enforcement[:options]]]], "
			     "got '%.*s'",
			     OSH_CLIP(s->flag), OSH_CLIP(s->text));
		return -EBADMSG;
	}
	r = parse_target(s, &ep->host, &port);
	if (r < 0)
		return r;
	if (s->n_parts == 3 && s->part[2].n == 0)
		return empty_segment(s, "access", "access or protocol fields");
	if (s->n_parts == 6 && s->part[5].n == 0)
		return empty_segment(s, "options", "endpoint options");
	r = parse_inspection(s, ep);
	if (r == 0 && s->n_parts == 6)
		r = parse_options(s, ep);
	if (r < 0)
		return r;
	ep->ports = osh_arena_array(&s->p->merge->arena, 1, sizeof(*ep->ports));
	if (!ep->ports)
		return -ENOMEM;
	ep->ports[0] = port;
	ep->n_ports = 1;
	op->host = ep->host;
	op->port = port;
	op->binaries = s->p->binaries;
	op->rule = s->p->rule_name;
	if (op->rule.n == 0)
		op->rule = osh_merge_rule_name(&s->p->merge->arena, ep->host, port);
	if (!op->rule.p)
		return -ENOMEM;
	if (op->rule.n > OSH_NODE_MAX_KEY_BYTES)
		return bad_plain(s, "host is too long to name a rule after it; give --rule-name");
	return 0;
}

struct osh_str osh_merge_rule_name(struct osh_arena *arena, struct osh_str host, unsigned int port)
{
	size_t size = host.n + 32;
	char *name = osh_arena_alloc(arena, size);
	size_t n = 0;

	if (!name)
		return OSH_STR_NONE;
	memcpy(name, "allow_", 6);
	n = 6;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (c == '.' || c == '-' || c == '_')
			name[n++] = '_';
		else if (osh_is_alnum(c))
			name[n++] = c;
	}
	n += (size_t)snprintf(name + n, size - n, "_%u", port);
	return (struct osh_str){ name, n };
}

/* ---- the others ---- */

static int parse_remove_endpoint(struct spec *s, struct osh_merge_op *op)
{
	if (!split(s, 2) || s->n_parts != 2) {
		osh_diag_err(s->p->diag, 0, 0, "%.*s expects host:port, got '%.*s'",
			     OSH_CLIP(s->flag), OSH_CLIP(s->text));
		return -EBADMSG;
	}
	return parse_target(s, &op->host, &op->port);
}

static int parse_rule_path(const struct spec *s, struct osh_rule *rule)
{
	struct osh_str path = s->part[3];

	if (path.n == 0)
		return bad_plain(s, "has an empty path segment");
	if (path.p[0] != '/' && !osh_str_is(path, "**") &&
	    !osh_str_has_prefix(path, OSH_STR("**/")))
		return bad(s, "path must start with '/' or be '**', got '", path, "'");
	rule->path = path;
	return 0;
}

static int parse_rule(struct spec *s, struct osh_merge_op *op)
{
	struct osh_rule *rule = osh_arena_alloc(&s->p->merge->arena, sizeof(*rule));
	char *method;
	int r;

	if (!rule)
		return -ENOMEM;
	*rule = osh_rule_init();
	if (!split(s, 4) || s->n_parts != 4) {
		osh_diag_err(s->p->diag, 0, 0,
			     "%.*s expects host:port:METHOD:path_glob, got '%.*s'",
			     OSH_CLIP(s->flag), OSH_CLIP(s->text));
		return -EBADMSG;
	}
	r = parse_target(s, &op->host, &op->port);
	if (r < 0)
		return r;
	if (s->part[2].n == 0)
		return bad_plain(s, "has an empty METHOD segment");
	if (has_space(s->part[2]))
		return bad_plain(s, "METHOD must not contain whitespace");
	r = parse_rule_path(s, rule);
	if (r < 0)
		return r;
	method = osh_arena_alloc(&s->p->merge->arena, s->part[2].n + 1);
	if (!method)
		return -ENOMEM;
	for (size_t i = 0; i < s->part[2].n; i++) {
		char c = s->part[2].p[i];

		method[i] = c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
	}
	rule->method = (struct osh_str){ method, s->part[2].n };
	op->rules = rule;
	op->n_rules = 1;
	return 0;
}

static int parse_remove_rule(struct spec *s, struct osh_merge_op *op)
{
	op->rule = trim(s->text);
	if (op->rule.n == 0)
		return no_spec(s->p, "--remove-rule values must not be empty");
	return 0;
}

/* In the order in which operations apply. */
static const struct {
	const char *flag;
	enum osh_merge_kind kind;
	int (*parse)(struct spec *s, struct osh_merge_op *op);
} kinds[] = {
	{ "--add-endpoint", OSH_MERGE_ADD_ENDPOINT, parse_add_endpoint },
	{ "--remove-endpoint", OSH_MERGE_REMOVE_ENDPOINT, parse_remove_endpoint },
	{ "--remove-rule", OSH_MERGE_REMOVE_RULE, parse_remove_rule },
	{ "--add-allow", OSH_MERGE_ADD_ALLOW, parse_rule },
	{ "--add-deny", OSH_MERGE_ADD_DENY, parse_rule },
};

static size_t count_flag(const struct parser *p, const char *flag)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += osh_str_is(p->flags[i].flag, flag);
	return n;
}

static int check_known(struct parser *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct osh_str flag = p->flags[i].flag;
		bool known = osh_str_is(flag, "--binary") || osh_str_is(flag, "--rule-name");

		for (size_t k = 0; k < OSH_ARRAY_SIZE(kinds); k++)
			known = known || osh_str_is(flag, kinds[k].flag);
		if (!known) {
			osh_diag_err(p->diag, 0, 0, "unknown operation flag %s", osh_quote(flag));
			return -EBADMSG;
		}
		/* What a policy file could not say must not get into a policy this way. */
		if (!osh_utf8_is_valid(p->flags[i].value) ||
		    osh_str_find(p->flags[i].value, '\0') < p->flags[i].value.n) {
			osh_diag_err(p->diag, 0, 0, "%.*s value %s is not UTF-8 text",
				     OSH_CLIP(flag), osh_quote(p->flags[i].value));
			return -EBADMSG;
		}
	}
	if (p->n > OSH_MERGE_MAX_OPS)
		return no_spec(p, "too many operation flags in one update (at most 256)");
	return 0;
}

static int read_binaries(struct parser *p)
{
	p->binaries.v = osh_arena_array(&p->merge->arena, p->n + 1, sizeof(*p->binaries.v));
	if (!p->binaries.v)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++) {
		struct osh_str path = trim(p->flags[i].value);
		bool seen = false;

		if (!osh_str_is(p->flags[i].flag, "--binary"))
			continue;
		if (path.n == 0)
			return no_spec(p, "--binary values must not be empty");
		for (size_t k = 0; k < p->binaries.n && !seen; k++)
			seen = osh_str_eq(p->binaries.v[k], path);
		if (!seen)
			p->binaries.v[p->binaries.n++] = path;
	}
	return 0;
}

/* Flags that qualify --add-endpoint rather than being operations. */
static int read_qualifiers(struct parser *p)
{
	size_t adds = count_flag(p, "--add-endpoint");
	size_t names = count_flag(p, "--rule-name");

	p->rule_name = OSH_STR("");
	if (count_flag(p, "--binary") && !adds)
		return no_spec(p, "--binary can only be used with --add-endpoint");
	if (names && !adds)
		return no_spec(p, "--rule-name can only be used with --add-endpoint");
	if (names && adds != 1)
		return no_spec(p,
			       "--rule-name is only supported when exactly one --add-endpoint is "
			       "provided");
	if (names > 1)
		return no_spec(p, "--rule-name can be given only once");
	for (size_t i = 0; i < p->n; i++)
		if (osh_str_is(p->flags[i].flag, "--rule-name"))
			p->rule_name = trim(p->flags[i].value);
	if (names && p->rule_name.n == 0)
		return no_spec(p, "--rule-name must not be empty");
	if (p->rule_name.n > OSH_NODE_MAX_KEY_BYTES)
		return no_spec(p, "--rule-name is longer than 255 bytes");
	return read_binaries(p);
}

static int cmp_target(const void *pa, const void *pb)
{
	const struct osh_merge_op *a = pa, *b = pb;
	int r = osh_str_cmp(a->host, b->host);

	if (r == 0)
		r = (int)a->port - (int)b->port;
	/* Rules of one target keep the order of the command line. */
	return r ? r : (a->rules > b->rules) - (a->rules < b->rules);
}

/* Sort the single-rule operations from @from on by target and join those with the same. */
static int group_rules(struct parser *p, size_t from)
{
	struct osh_merge_op *ops = p->merge->ops;
	size_t n = p->merge->n_ops - from, out = 0;
	struct osh_rule *rules;

	if (n == 0)
		return 0;
	rules = osh_arena_array(&p->merge->arena, n, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	/* The address of a copied rule is its position on the command line. */
	for (size_t i = 0; i < n; i++) {
		rules[i] = *ops[from + i].rules;
		ops[from + i].rules = &rules[i];
	}
	qsort(ops + from, n, sizeof(*ops), cmp_target);
	for (size_t i = 0; i < n; i++) {
		struct osh_merge_op *op = &ops[from + i], *last = out ? &ops[from + out - 1] : NULL;
		struct osh_rule *joined;

		if (!last || !osh_str_eq(last->host, op->host) || last->port != op->port) {
			ops[from + out++] = *op;
			continue;
		}
		joined = osh_arena_array(&p->merge->arena, last->n_rules + 1, sizeof(*joined));
		if (!joined)
			return -ENOMEM;
		memcpy(joined, last->rules, last->n_rules * sizeof(*joined));
		joined[last->n_rules] = *op->rules;
		last->rules = joined;
		last->n_rules++;
	}
	p->merge->n_ops = from + out;
	return 0;
}

static int parse_kind(struct parser *p, size_t k)
{
	size_t from = p->merge->n_ops;

	for (size_t i = 0; i < p->n; i++) {
		struct spec s = { .p = p, .flag = p->flags[i].flag };
		struct osh_merge_op *op = &p->merge->ops[p->merge->n_ops];
		int r;

		if (!osh_str_is(p->flags[i].flag, kinds[k].flag))
			continue;
		s.text = p->flags[i].value;
		if (osh_build_copy_str(&p->merge->arena, &s.text) < 0)
			return -ENOMEM;
		op->kind = kinds[k].kind;
		op->rule = op->host = OSH_STR("");
		r = kinds[k].parse(&s, op);
		if (r < 0)
			return r;
		p->merge->n_ops++;
	}
	if (kinds[k].kind == OSH_MERGE_ADD_ALLOW || kinds[k].kind == OSH_MERGE_ADD_DENY)
		return group_rules(p, from);
	return 0;
}

static int parse_all(struct parser *p)
{
	int r = check_known(p);

	if (r == 0)
		r = read_qualifiers(p);
	if (r < 0)
		return r;
	p->merge->ops = osh_arena_array(&p->merge->arena, p->n + 1, sizeof(*p->merge->ops));
	if (!p->merge->ops)
		return -ENOMEM;
	for (size_t k = 0; r == 0 && k < OSH_ARRAY_SIZE(kinds); k++)
		r = parse_kind(p, k);
	if (r == 0 && p->merge->n_ops == 0)
		return no_spec(p, "policy update requires at least one operation flag");
	return r;
}

/* What the caller passed need not outlive the call: binaries and the name are still its bytes. */
static int own_strings(struct osh_merge *merge)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < merge->n_ops; i++) {
		struct osh_merge_op *op = &merge->ops[i];
		struct osh_str *v;

		r = osh_build_copy_str(&merge->arena, &op->rule);
		if (r < 0 || op->binaries.n == 0)
			continue;
		v = osh_arena_array(&merge->arena, op->binaries.n, sizeof(*v));
		if (!v)
			return -ENOMEM;
		for (size_t k = 0; r == 0 && k < op->binaries.n; k++) {
			v[k] = op->binaries.v[k];
			r = osh_build_copy_str(&merge->arena, &v[k]);
		}
		op->binaries.v = v;
	}
	return r;
}

int osh_merge_parse(const struct osh_merge_flag *flags, size_t n, struct osh_merge **ret_merge,
		    struct osh_diag *diag)
{
	osh_auto_merge struct osh_merge *merge = calloc(1, sizeof(*merge));
	struct parser p = { .merge = merge, .diag = diag, .flags = flags, .n = n };
	int r;

	if (!merge)
		return -ENOMEM;
	osh_arena_init(&merge->arena, OSH_POLICY_ARENA_MAX_BYTES);
	r = parse_all(&p);
	if (r == 0)
		r = own_strings(merge);
	if (r < 0)
		return r;
	*ret_merge = osh_take_ptr(&merge);
	return 0;
}

struct osh_merge *osh_merge_free(struct osh_merge *merge)
{
	if (!merge)
		return NULL;
	osh_arena_fini(&merge->arena);
	free(merge);
	return NULL;
}
