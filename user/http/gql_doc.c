/* SPDX-License-Identifier: MIT */
/*
 * Lexer and parser of executable GraphQL documents (October 2021 grammar, without descriptions and
 * type system definitions). Only what stands at the root of an operation is kept: field names and
 * fragment spreads; everything below is checked and forgotten.
 */
#include "http/gql_doc.h"

#include "http/graphql.h"

#define SPREAD_DEPTH_MAX 64 /* fragments that spread fragments at the root */

enum tok {
	T_END = 0,
	T_PUNCT, /* one character, in lexer.c */
	T_SPREAD, /* ... */
	T_NAME,
	T_NUMBER,
	T_STRING,
	T_BAD,
};

/* A root selection: a field's name, or a spread fragment's. */
struct item {
	struct osh_str name;
	bool spread;
	struct item *next;
};

struct def {
	enum osh_gql_type type; /* PERSISTED: a fragment */
	struct osh_str name; /* .p NULL: anonymous */
	struct item *items; /* in reverse order */
	struct def *next;
	bool open; /* being expanded: meeting it again is a cycle */
	bool done;
};

struct parser {
	struct osh_str s;
	size_t at;
	enum tok tok;
	char c; /* T_PUNCT */
	struct osh_str text; /* T_NAME */
	unsigned int tokens;
	unsigned int depth;
	struct osh_arena *arena;
	const char *error; /* sticks */
	bool oom;
};

static bool fail(struct parser *p, const char *error)
{
	if (!p->error)
		p->error = error;
	p->tok = T_BAD;
	return false;
}

/* ---- lexer ---- */

static bool is_name_start(char c)
{
	return c == '_' || (osh_is_alnum(c) && !osh_is_digit(c));
}

static char at(const struct parser *p, size_t ahead)
{
	return p->at + ahead < p->s.n ? p->s.p[p->at + ahead] : '\0';
}

static void skip_ignored(struct parser *p)
{
	while (p->at < p->s.n) {
		char c = p->s.p[p->at];

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
			p->at++;
		} else if (c == '#') {
			while (p->at < p->s.n && at(p, 0) != '\n' && at(p, 0) != '\r')
				p->at++;
		} else if (p->s.n - p->at >= 3 && memcmp(p->s.p + p->at, "\xef\xbb\xbf", 3) == 0) {
			p->at += 3;
		} else {
			return;
		}
	}
}

static bool digits(struct parser *p)
{
	size_t from = p->at;

	while (osh_is_digit(at(p, 0)))
		p->at++;
	return p->at > from;
}

static bool lex_number(struct parser *p)
{
	if (at(p, 0) == '-')
		p->at++;
	if (at(p, 0) == '0' && osh_is_digit(at(p, 1)))
		return fail(p, "malformed number");
	if (!digits(p))
		return fail(p, "malformed number");
	if (at(p, 0) == '.') {
		p->at++;
		if (!digits(p))
			return fail(p, "malformed number");
	}
	if (osh_lower(at(p, 0)) == 'e') {
		p->at++;
		if (at(p, 0) == '+' || at(p, 0) == '-')
			p->at++;
		if (!digits(p))
			return fail(p, "malformed number");
	}
	if (is_name_start(at(p, 0)) || at(p, 0) == '.')
		return fail(p, "malformed number");
	p->tok = T_NUMBER;
	return true;
}

static bool lex_block_string(struct parser *p)
{
	p->at += 3;
	for (; p->at < p->s.n; p->at++) {
		if (at(p, 0) == '\\' && at(p, 1) == '"' && at(p, 2) == '"' && at(p, 3) == '"') {
			p->at += 3;
		} else if (at(p, 0) == '"' && at(p, 1) == '"' && at(p, 2) == '"') {
			p->at += 3;
			p->tok = T_STRING;
			return true;
		} else if ((unsigned char)at(p, 0) < 0x20 && !strchr("\t\n\r", at(p, 0))) {
			break;
		}
	}
	return fail(p, "unterminated block string");
}

/* After the backslash. */
static bool lex_escape(struct parser *p)
{
	char c = at(p, 0);
	size_t n = 0;

	if (c && strchr("\"\\/bfnrt", c)) {
		p->at++;
		return true;
	}
	if (c != 'u')
		return false;
	p->at++;
	if (at(p, 0) == '{') {
		for (p->at++; osh_hex_value(at(p, 0)) >= 0; p->at++)
			n++;
		return n > 0 && n <= 8 && at(p, 0) == '}' && ++p->at;
	}
	for (; n < 4 && osh_hex_value(at(p, 0)) >= 0; n++)
		p->at++;
	return n == 4;
}

static bool lex_string(struct parser *p)
{
	if (at(p, 1) == '"' && at(p, 2) == '"')
		return lex_block_string(p);
	for (p->at++; p->at < p->s.n;) {
		unsigned char c = (unsigned char)p->s.p[p->at++];

		if (c == '"') {
			p->tok = T_STRING;
			return true;
		}
		if (c == '\\') {
			if (!lex_escape(p))
				return fail(p, "malformed escape in a string");
		} else if (c < 0x20 && c != '\t') {
			break;
		}
	}
	return fail(p, "unterminated string");
}

static bool advance(struct parser *p)
{
	char c;

	if (p->tok == T_BAD)
		return false;
	skip_ignored(p);
	if (p->at == p->s.n) {
		p->tok = T_END;
		return true;
	}
	if (++p->tokens > OSH_GQL_TOKENS_MAX)
		return fail(p, "too many tokens");
	c = p->s.p[p->at];
	if (is_name_start(c)) {
		size_t from = p->at;

		while (is_name_start(at(p, 0)) || osh_is_digit(at(p, 0)))
			p->at++;
		p->text = osh_str_sub(p->s, from, p->at - from);
		p->tok = T_NAME;
		return true;
	}
	if (osh_is_digit(c) || c == '-')
		return lex_number(p);
	if (c == '"')
		return lex_string(p);
	if (c == '.' && at(p, 1) == '.' && at(p, 2) == '.') {
		p->at += 3;
		p->tok = T_SPREAD;
		return true;
	}
	if (!c || !strchr("!$&():=@[]{|}", c))
		return fail(p, "unexpected character");
	p->at++;
	p->c = c;
	p->tok = T_PUNCT;
	return true;
}

/* ---- parser: every function is called on the first token of its phrase and ends behind it ---- */

static bool is_punct(const struct parser *p, char c)
{
	return p->tok == T_PUNCT && p->c == c;
}

static bool expect(struct parser *p, char c)
{
	if (!is_punct(p, c))
		return fail(p, "unexpected token");
	return advance(p);
}

static bool expect_name(struct parser *p, struct osh_str *ret)
{
	if (p->tok != T_NAME)
		return fail(p, "a name is missing");
	if (ret)
		*ret = p->text;
	return advance(p);
}

static bool deeper(struct parser *p)
{
	if (++p->depth > OSH_GQL_DEPTH_MAX)
		return fail(p, "nested too deeply");
	return true;
}

static bool value(struct parser *p, bool constant);

/* "name: value" pairs up to @end; the opening mark has been taken. */
static bool named_values(struct parser *p, char end, bool constant, bool may_be_empty)
{
	if (is_punct(p, end) && !may_be_empty)
		return fail(p, "empty list");
	while (!is_punct(p, end))
		if (!expect_name(p, NULL) || !expect(p, ':') || !value(p, constant))
			return false;
	return advance(p);
}

static bool value(struct parser *p, bool constant)
{
	bool ok;

	switch (p->tok) {
	case T_NUMBER:
	case T_STRING:
	case T_NAME:
		return advance(p);
	case T_PUNCT:
		break;
	default:
		return fail(p, "a value is missing");
	}
	if (p->c == '$' && !constant)
		return advance(p) && expect_name(p, NULL);
	if (p->c == '[') {
		ok = deeper(p) && advance(p);
		while (ok && !is_punct(p, ']'))
			ok = value(p, constant);
		p->depth--;
		return ok && advance(p);
	}
	if (p->c == '{') {
		ok = deeper(p) && advance(p) && named_values(p, '}', constant, true);
		p->depth--;
		return ok;
	}
	return fail(p, "a value is missing");
}

static bool arguments(struct parser *p, bool constant)
{
	if (!is_punct(p, '('))
		return true;
	return advance(p) && named_values(p, ')', constant, false);
}

static bool directives(struct parser *p, bool constant)
{
	while (is_punct(p, '@'))
		if (!advance(p) || !expect_name(p, NULL) || !arguments(p, constant))
			return false;
	return p->tok != T_BAD;
}

static bool type(struct parser *p)
{
	bool ok;

	if (is_punct(p, '[')) {
		ok = deeper(p) && advance(p) && type(p) && expect(p, ']');
		p->depth--;
	} else {
		ok = expect_name(p, NULL);
	}
	if (ok && is_punct(p, '!'))
		ok = advance(p);
	return ok;
}

static bool variables(struct parser *p)
{
	if (!is_punct(p, '('))
		return true;
	if (!advance(p))
		return false;
	if (is_punct(p, ')'))
		return fail(p, "empty list");
	while (!is_punct(p, ')')) {
		if (!expect(p, '$') || !expect_name(p, NULL) || !expect(p, ':') || !type(p))
			return false;
		if (is_punct(p, '=') && (!advance(p) || !value(p, true)))
			return false;
		if (!directives(p, true))
			return false;
	}
	return advance(p);
}

static bool add_item(struct parser *p, struct def *def, struct osh_str name, bool spread)
{
	struct item *item = osh_arena_alloc(p->arena, sizeof(*item));

	if (!item) {
		p->oom = true;
		return fail(p, "out of memory");
	}
	*item = (struct item){ .name = name, .spread = spread, .next = def->items };
	def->items = item;
	return true;
}

/* @def: keep what is found here, at the root; NULL: below a field. */
static bool selection_set(struct parser *p, struct def *def);

static bool field(struct parser *p, struct def *def)
{
	struct osh_str name;

	if (!expect_name(p, &name))
		return false;
	if (is_punct(p, ':') && (!advance(p) || !expect_name(p, &name)))
		return false;
	if (!arguments(p, false) || !directives(p, false))
		return false;
	if (def && !add_item(p, def, name, false))
		return false;
	return !is_punct(p, '{') || selection_set(p, NULL);
}

/* After "...". */
static bool fragment(struct parser *p, struct def *def)
{
	if (p->tok == T_NAME && !osh_str_is(p->text, "on")) {
		if (def && !add_item(p, def, p->text, true))
			return false;
		return advance(p) && directives(p, false);
	}
	if (p->tok == T_NAME && (!advance(p) || !expect_name(p, NULL)))
		return false;
	return directives(p, false) && selection_set(p, def);
}

static bool selection_set(struct parser *p, struct def *def)
{
	bool ok = deeper(p) && expect(p, '{');

	if (ok && is_punct(p, '}'))
		ok = fail(p, "empty selection");
	while (ok && !is_punct(p, '}'))
		ok = p->tok == T_SPREAD ? advance(p) && fragment(p, def) : field(p, def);
	p->depth--;
	return ok && advance(p);
}

static bool operation(struct parser *p, struct def *def)
{
	if (osh_str_is(p->text, "query"))
		def->type = OSH_GQL_QUERY;
	else if (osh_str_is(p->text, "mutation"))
		def->type = OSH_GQL_MUTATION;
	else if (osh_str_is(p->text, "subscription"))
		def->type = OSH_GQL_SUBSCRIPTION;
	else
		return fail(p, "not an executable definition");
	if (!advance(p))
		return false;
	if (p->tok == T_NAME && !expect_name(p, &def->name))
		return false;
	return variables(p) && directives(p, false) && selection_set(p, def);
}

static bool definition(struct parser *p, struct def *def)
{
	if (is_punct(p, '{')) {
		def->type = OSH_GQL_QUERY;
		return selection_set(p, def);
	}
	if (p->tok != T_NAME)
		return fail(p, "unexpected token");
	if (!osh_str_is(p->text, "fragment"))
		return operation(p, def);
	if (!advance(p))
		return false;
	if (p->tok == T_NAME && osh_str_is(p->text, "on"))
		return fail(p, "a fragment cannot be called 'on'");
	if (!expect_name(p, &def->name))
		return false;
	if (p->tok != T_NAME || !osh_str_is(p->text, "on"))
		return fail(p, "a fragment needs a type condition");
	return advance(p) && expect_name(p, NULL) && directives(p, false) && selection_set(p, def);
}

/* ---- the document ---- */

static struct def *find(struct def *defs, bool fragments, struct osh_str name)
{
	for (struct def *d = defs; d; d = d->next)
		if ((d->type == OSH_GQL_PERSISTED) == fragments && d->name.p &&
		    osh_str_eq(d->name, name))
			return d;
	return NULL;
}

static int parse_defs(struct parser *p, struct def **ret_defs)
{
	struct def *defs = NULL;

	(void)advance(p); /* an error sticks in p->tok */
	while (p->tok != T_END && p->tok != T_BAD) {
		struct def *def = osh_arena_alloc(p->arena, sizeof(*def));

		if (!def)
			return -ENOMEM;
		if (!definition(p, def))
			break;
		if (def->name.p && find(defs, def->type == OSH_GQL_PERSISTED, def->name))
			(void)fail(p, "two definitions of one name");
		def->next = defs;
		defs = def;
	}
	if (p->oom)
		return -ENOMEM;
	if (p->tok == T_BAD)
		return -EBADMSG;
	*ret_defs = defs;
	return 0;
}

static struct def *pick(struct parser *p, struct def *defs, struct osh_str name)
{
	struct def *only = NULL, *found;
	size_t n = 0;
	bool anonymous = false;

	for (struct def *d = defs; d; d = d->next) {
		if (d->type == OSH_GQL_PERSISTED)
			continue;
		n++;
		only = d;
		anonymous = anonymous || !d->name.p;
	}
	found = name.n ? find(defs, false, name) : n == 1 ? only : NULL;
	if (n == 0)
		(void)fail(p, "no operation");
	else if (n > 1 && anonymous)
		(void)fail(p, "an anonymous operation must be the only one");
	else if (!found)
		(void)fail(p, name.n ? "no operation of that name"
				     : "several operations and no operationName");
	return p->error ? NULL : found;
}

struct fields {
	struct osh_str *v;
	size_t n, cap;
};

static bool add_field(struct parser *p, struct fields *out, struct osh_str name)
{
	if (out->n == out->cap) {
		size_t cap = out->cap ? 2 * out->cap : 8;
		struct osh_str *v = osh_arena_array(p->arena, cap, sizeof(*v));

		if (!v) {
			p->oom = true;
			return false;
		}
		if (out->n)
			memcpy(v, out->v, out->n * sizeof(*v));
		out->v = v;
		out->cap = cap;
	}
	out->v[out->n++] = name;
	return true;
}

static bool expand(struct parser *p, struct def *defs, struct def *def, unsigned int depth,
		   struct fields *out)
{
	if (def->open || depth > SPREAD_DEPTH_MAX)
		return fail(p, "fragments spread each other");
	if (def->done)
		return true;
	def->open = true;
	for (const struct item *item = def->items; item; item = item->next) {
		struct def *to;

		if (!item->spread) {
			if (!add_field(p, out, item->name))
				return false;
			continue;
		}
		to = find(defs, true, item->name);
		if (!to)
			return fail(p, "a fragment is not defined");
		if (!expand(p, defs, to, depth + 1, out))
			return false;
	}
	def->open = false;
	def->done = true;
	return true;
}

static int compare(const void *a, const void *b)
{
	return osh_str_cmp(*(const struct osh_str *)a, *(const struct osh_str *)b);
}

static int finish(struct parser *p, const struct def *def, struct fields *fields,
		  struct osh_gql_op *ret)
{
	struct osh_str name = OSH_STR_NONE;
	size_t n = 0;

	if (fields->n)
		qsort(fields->v, fields->n, sizeof(*fields->v), compare);
	for (size_t i = 0; i < fields->n; i++)
		if (n == 0 || !osh_str_eq(fields->v[n - 1], fields->v[i]))
			fields->v[n++] = fields->v[i];
	for (size_t i = 0; i < n; i++) {
		fields->v[i] = osh_arena_str(p->arena, fields->v[i]);
		if (!fields->v[i].p)
			return -ENOMEM;
	}
	if (def->name.p) {
		name = osh_arena_str(p->arena, def->name);
		if (!name.p)
			return -ENOMEM;
	}
	ret->type = def->type;
	ret->name = name;
	ret->fields = fields->v;
	ret->n_fields = n;
	return 0;
}

int osh_gql_document(struct osh_str text, struct osh_str op_name, struct osh_arena *arena,
		     struct osh_gql_op *ret, const char **ret_error)
{
	struct parser p = { .s = text, .arena = arena, .tok = T_END };
	struct def *defs = NULL, *def = NULL;
	struct fields fields = { 0 };
	int r;

	if (!osh_utf8_is_valid(text)) {
		*ret_error = "document is not UTF-8";
		return -EBADMSG;
	}
	r = parse_defs(&p, &defs);
	if (r == 0)
		def = pick(&p, defs, op_name);
	if (def && expand(&p, defs, def, 0, &fields))
		return finish(&p, def, &fields, ret);
	if (p.oom || r == -ENOMEM)
		return -ENOMEM;
	*ret_error = p.error ? p.error : "malformed document";
	return -EBADMSG;
}
