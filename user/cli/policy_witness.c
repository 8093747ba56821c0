/* SPDX-License-Identifier: MIT */
#include "cli/policy_witness.h"

#define WITNESS_MAX 4096

struct gen {
	struct osh_str in;
	size_t at;
	char *out;
	size_t n;
};

static void put(struct gen *g, char c)
{
	if (g->n < WITNESS_MAX)
		g->out[g->n++] = c;
}

/* [abc], [a-z], [!x]: some character of the class, or '_' when none is obvious (checked later). */
static void put_class(struct gen *g)
{
	size_t end = g->at + 1;
	bool negated;
	char c;

	while (end < g->in.n && (g->in.p[end] != ']' || end == g->at + 1 ||
				 (end == g->at + 2 && strchr("!^", g->in.p[g->at + 1]))))
		end++;
	negated = g->at + 1 < end && strchr("!^", g->in.p[g->at + 1]);
	c = g->at + 1 < end ? g->in.p[g->at + 1] : '_';
	if (negated) {
		c = 'a';
		while (c < 'z' && memchr(g->in.p + g->at, c, end - g->at))
			c++;
	}
	put(g, c);
	g->at = end < g->in.n ? end + 1 : end;
}

/* Skip the alternatives after the first one, up to the closing brace. */
static void skip_alternatives(struct gen *g)
{
	unsigned int depth = 1;

	while (g->at < g->in.n && depth) {
		char c = g->in.p[g->at++];

		if (c == '\\' && g->at < g->in.n)
			g->at++;
		else if (c == '{')
			depth++;
		else if (c == '}')
			depth--;
	}
}

static void generate(struct gen *g)
{
	while (g->at < g->in.n) {
		char c = g->in.p[g->at];

		switch (c) {
		case '*':
			while (g->at < g->in.n && g->in.p[g->at] == '*')
				g->at++;
			put(g, 'x');
			break;
		case '?':
			g->at++;
			put(g, 'x');
			break;
		case '[':
			put_class(g);
			break;
		case '{':
		case '}':
			g->at++; /* the first alternative follows, or a group has ended */
			break;
		case ',':
			g->at++;
			skip_alternatives(g);
			break;
		case '\\':
			g->at++;
			if (g->at < g->in.n)
				put(g, g->in.p[g->at++]);
			break;
		default:
			g->at++;
			put(g, c);
			break;
		}
	}
}

bool osh_witness_matches(enum osh_glob_dialect dialect, struct osh_str pattern,
			 struct osh_str input)
{
	osh_auto_bufmem struct osh_buf prog = { 0 };
	size_t off;

	osh_buf_init(&prog, 16u << 20, 0);
	return osh_glob_compile(dialect, pattern, &prog, &off) == 0 &&
	       osh_glob_match(prog.data + off, input);
}

struct osh_str osh_witness(struct osh_arena *arena, enum osh_glob_dialect dialect,
			   struct osh_str pattern)
{
	char text[WITNESS_MAX];
	struct gen g = { .in = pattern, .out = text };
	struct osh_str made;

	if (osh_witness_matches(dialect, pattern, pattern) && !memchr(pattern.p, '*', pattern.n))
		return pattern;
	if (dialect == OSH_GLOB_PATH && osh_str_is(pattern, "**"))
		return OSH_STR("/x");
	generate(&g);
	made = osh_arena_str(arena, (struct osh_str){ text, g.n });
	if (!made.p || !osh_witness_matches(dialect, pattern, made))
		return OSH_STR_NONE;
	return made;
}
