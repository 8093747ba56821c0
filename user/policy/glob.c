/* SPDX-License-Identifier: MIT */
#include "policy/glob.h"

#include "policy/glob_prog.h"

#define WORDS_MAX (OSH_GLOB_OPS_MAX / 64)

static bool text_eq(const struct osh_glob_prog *p, const char *s)
{
	const char *text = osh_glob_text(p);

	if (!p->fold)
		return memcmp(text, s, p->text_len) == 0;
	for (size_t i = 0; i < p->text_len; i++)
		if (osh_lower(s[i]) != text[i])
			return false;
	return true;
}

/* Does @s hold no byte @c? */
static bool lacks(const char *s, size_t n, char c)
{
	return n == 0 || !memchr(s, c, n);
}

/*
 * One step of a set of states: the states of @cur, closed under empty edges on the way (they only
 * lead to higher states), give those of @next. Returns true when every further input matches.
 */
static bool step(const struct osh_glob_prog *p, uint64_t *cur, uint64_t *next, size_t words,
		 unsigned char c)
{
	const struct osh_glob_op *ops = osh_glob_ops(p);
	const struct osh_glob_class *classes = osh_glob_classes(p);

	for (size_t w = 0; w < words; w++) {
		while (cur[w]) {
			size_t s = w * 64 + (size_t)__builtin_ctzll(cur[w]);
			const struct osh_glob_op *op = &ops[s];
			size_t to = 0; /* state 0 is never entered again */

			cur[w] &= cur[w] - 1;
			switch ((enum osh_glob_op_type)op->type) {
			case OSH_GLOB_OP_CHAR:
				to = c == op->c ? s + 1 : 0;
				break;
			case OSH_GLOB_OP_ONE:
				to = c != p->sep ? s + 1 : 0;
				break;
			case OSH_GLOB_OP_BYTE:
				to = s + 1;
				break;
			case OSH_GLOB_OP_CLASS:
				to = osh_glob_class_has(&classes[op->arg], c) ? s + 1 : 0;
				break;
			case OSH_GLOB_OP_GSTAR:
				if (ops[s + 1].type == OSH_GLOB_OP_MATCH)
					return true;
				next[w] |= (uint64_t)1 << (s & 63);
				cur[(s + 1) / 64] |= (uint64_t)1 << ((s + 1) & 63);
				break;
			case OSH_GLOB_OP_STAR:
				if (c != p->sep)
					next[w] |= (uint64_t)1 << (s & 63);
				cur[(s + 1) / 64] |= (uint64_t)1 << ((s + 1) & 63);
				break;
			case OSH_GLOB_OP_SPLIT:
				cur[(s + 1) / 64] |= (uint64_t)1 << ((s + 1) & 63);
				cur[op->arg / 64] |= (uint64_t)1 << (op->arg & 63);
				break;
			case OSH_GLOB_OP_JUMP:
				cur[op->arg / 64] |= (uint64_t)1 << (op->arg & 63);
				break;
			case OSH_GLOB_OP_MATCH:
			case OSH_GLOB_OP_COUNT:
				break;
			}
			if (to)
				next[to / 64] |= (uint64_t)1 << (to & 63);
		}
	}
	return false;
}

/* Does the set, closed under empty edges, contain a final state? */
static bool is_final(const struct osh_glob_prog *p, uint64_t *cur, size_t words)
{
	const struct osh_glob_op *ops = osh_glob_ops(p);

	for (size_t w = 0; w < words; w++) {
		while (cur[w]) {
			size_t s = w * 64 + (size_t)__builtin_ctzll(cur[w]), to = s + 1;

			cur[w] &= cur[w] - 1;
			switch ((enum osh_glob_op_type)ops[s].type) {
			case OSH_GLOB_OP_MATCH:
				return true;
			case OSH_GLOB_OP_SPLIT:
				cur[to / 64] |= (uint64_t)1 << (to & 63);
				/* fallthrough */
			case OSH_GLOB_OP_JUMP:
				to = ops[s].arg;
				/* fallthrough */
			case OSH_GLOB_OP_STAR:
			case OSH_GLOB_OP_GSTAR:
				cur[to / 64] |= (uint64_t)1 << (to & 63);
				break;
			default:
				break;
			}
		}
	}
	return false;
}

/* The same for programs of at most 64 operations, nearly all there are: the set is one register. */
static bool run_small(const struct osh_glob_prog *p, const char *s, size_t n)
{
	const struct osh_glob_op *ops = osh_glob_ops(p);
	const struct osh_glob_class *classes = osh_glob_classes(p);
	uint64_t cur = 1;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)(p->fold ? osh_lower(s[i]) : s[i]);
		uint64_t next = 0;

		while (cur) {
			unsigned int at = (unsigned int)__builtin_ctzll(cur);
			const struct osh_glob_op *op = &ops[at];
			uint64_t bit = (uint64_t)1 << at;

			cur &= cur - 1;
			switch ((enum osh_glob_op_type)op->type) {
			case OSH_GLOB_OP_CHAR:
				next |= c == op->c ? bit << 1 : 0;
				break;
			case OSH_GLOB_OP_STAR:
				next |= c != p->sep ? bit : 0;
				cur |= bit << 1;
				break;
			case OSH_GLOB_OP_GSTAR:
				if (op[1].type == OSH_GLOB_OP_MATCH)
					return true;
				next |= bit;
				cur |= bit << 1;
				break;
			case OSH_GLOB_OP_ONE:
				next |= c != p->sep ? bit << 1 : 0;
				break;
			case OSH_GLOB_OP_BYTE:
				next |= bit << 1;
				break;
			case OSH_GLOB_OP_CLASS:
				next |= osh_glob_class_has(&classes[op->arg], c) ? bit << 1 : 0;
				break;
			case OSH_GLOB_OP_SPLIT:
				cur |= bit << 1 | (uint64_t)1 << op->arg;
				break;
			case OSH_GLOB_OP_JUMP:
				cur |= (uint64_t)1 << op->arg;
				break;
			case OSH_GLOB_OP_MATCH:
			case OSH_GLOB_OP_COUNT:
				break;
			}
		}
		if (!next)
			return false;
		cur = next;
	}
	return is_final(p, &cur, 1);
}

static bool run(const struct osh_glob_prog *p, const char *s, size_t n)
{
	size_t words = (p->n_ops + 63u) / 64;
	uint64_t mem[2][WORDS_MAX];
	uint64_t *cur = mem[0], *next = mem[1];

	if (words == 1)
		return run_small(p, s, n);
	memset(cur, 0, words * sizeof(*cur));
	cur[0] = 1;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)(p->fold ? osh_lower(s[i]) : s[i]);
		uint64_t any = 0, *done = cur;

		memset(next, 0, words * sizeof(*next));
		if (step(p, cur, next, words, c))
			return true;
		for (size_t w = 0; w < words; w++)
			any |= next[w];
		if (!any)
			return false;
		cur = next;
		next = done;
	}
	return is_final(p, cur, words);
}

bool osh_glob_match(const void *prog, struct osh_str input)
{
	const struct osh_glob_prog *p = prog;
	size_t n = p->text_len;
	const char *s = input.p;

	if (p->kind == OSH_GLOB_LITERAL)
		return input.n == n && (n == 0 || text_eq(p, s)); /* a text holds no NUL */
	if (!lacks(s, input.n, '\0'))
		return false;
	switch ((enum osh_glob_kind)p->kind) {
	case OSH_GLOB_ANY:
		return true;
	case OSH_GLOB_PREFIX:
		return input.n >= n && text_eq(p, s);
	case OSH_GLOB_PREFIX_SEG:
		return input.n >= n && text_eq(p, s) && lacks(s + n, input.n - n, (char)p->sep);
	case OSH_GLOB_SUFFIX:
		return input.n >= n && text_eq(p, s + input.n - n);
	case OSH_GLOB_SUFFIX_SEG:
		return input.n >= n && text_eq(p, s + input.n - n) &&
		       lacks(s, input.n - n, (char)p->sep);
	case OSH_GLOB_BELOW:
		return input.n >= n && text_eq(p, s) && (input.n == n || s[n] == '/');
	case OSH_GLOB_NFA:
		return input.n >= n && (n == 0 || text_eq(p, s)) &&
		       run(p, n ? s + n : s, input.n - n);
	case OSH_GLOB_NFA_OR_TEXT:
		return (input.n == n && text_eq(p, s)) || run(p, s, input.n);
	case OSH_GLOB_LITERAL:
	case OSH_GLOB_KIND_COUNT:
		break;
	}
	return false;
}

size_t osh_glob_size(const void *prog)
{
	return ((const struct osh_glob_prog *)prog)->size;
}

struct osh_str osh_glob_prefix(const void *prog)
{
	const struct osh_glob_prog *p = prog;

	switch ((enum osh_glob_kind)p->kind) {
	case OSH_GLOB_LITERAL:
	case OSH_GLOB_PREFIX:
	case OSH_GLOB_PREFIX_SEG:
	case OSH_GLOB_BELOW:
	case OSH_GLOB_NFA:
		return (struct osh_str){ osh_glob_text(p), p->text_len };
	default:
		return OSH_STR("");
	}
}

bool osh_glob_is_literal(const void *prog)
{
	return ((const struct osh_glob_prog *)prog)->kind == OSH_GLOB_LITERAL;
}

bool osh_glob_is_any(const void *prog)
{
	return ((const struct osh_glob_prog *)prog)->kind == OSH_GLOB_ANY;
}

bool osh_glob_verify(const void *prog, size_t max)
{
	const struct osh_glob_prog *p = prog;
	const struct osh_glob_op *ops;
	size_t need;

	if (max < sizeof(*p) || (uintptr_t)prog % 8 || p->size > max || p->size % 8 ||
	    p->kind >= OSH_GLOB_KIND_COUNT || p->dialect > OSH_GLOB_BINARY ||
	    p->n_ops > OSH_GLOB_OPS_MAX || p->text_len > OSH_GLOB_LITERAL_MAX)
		return false;
	need = sizeof(*p) + osh_glob_ops_size(p->n_ops) +
	       p->n_classes * sizeof(struct osh_glob_class) + p->text_len;
	if (p->size < need)
		return false;
	if (p->kind != OSH_GLOB_NFA && p->kind != OSH_GLOB_NFA_OR_TEXT)
		return p->n_ops == 0;
	ops = osh_glob_ops(p);
	if (!p->n_ops || ops[p->n_ops - 1].type != OSH_GLOB_OP_MATCH)
		return false;
	for (size_t i = 0; i < p->n_ops; i++) {
		if (ops[i].type >= OSH_GLOB_OP_COUNT)
			return false;
		if (ops[i].type == OSH_GLOB_OP_CLASS && ops[i].arg >= p->n_classes)
			return false;
		if ((ops[i].type == OSH_GLOB_OP_SPLIT || ops[i].type == OSH_GLOB_OP_JUMP) &&
		    (ops[i].arg <= i || ops[i].arg >= p->n_ops))
			return false;
	}
	return true;
}
