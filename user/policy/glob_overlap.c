/* SPDX-License-Identifier: MIT */
/*
 * Do two patterns have a common match? Both are written out as automata and their product is
 * searched. Edges only lead forwards (but for loops on the spot), so visiting the pairs of states in
 * ascending order sees each pair once, after everything that leads to it.
 */
#include "policy/glob_prog.h"

struct nfa {
	struct osh_glob_op *ops; /* owned */
	size_t n;
	const struct osh_glob_class *classes;
	unsigned char sep;
};

static void add(struct nfa *nfa, enum osh_glob_op_type type, char c, size_t arg)
{
	nfa->ops[nfa->n++] = (struct osh_glob_op){ (uint8_t)type, (uint8_t)c, (uint16_t)arg };
}

static void add_text(struct nfa *nfa, const struct osh_glob_prog *p)
{
	for (size_t i = 0; i < p->text_len; i++)
		add(nfa, OSH_GLOB_OP_CHAR, osh_glob_text(p)[i], 0);
}

static void add_ops(struct nfa *nfa, const struct osh_glob_prog *p)
{
	size_t shift = nfa->n;

	for (size_t i = 0; i < p->n_ops; i++) {
		struct osh_glob_op op = osh_glob_ops(p)[i];

		if (op.type == OSH_GLOB_OP_SPLIT || op.type == OSH_GLOB_OP_JUMP)
			op.arg = (uint16_t)(op.arg + shift);
		nfa->ops[nfa->n++] = op;
	}
}

static int nfa_init(struct nfa *nfa, const struct osh_glob_prog *p)
{
	*nfa = (struct nfa){ .classes = osh_glob_classes(p), .sep = p->sep };
	nfa->ops = calloc((size_t)p->text_len + p->n_ops + 8, sizeof(*nfa->ops));
	if (!nfa->ops)
		return -ENOMEM;
	switch ((enum osh_glob_kind)p->kind) {
	case OSH_GLOB_ANY:
		add(nfa, OSH_GLOB_OP_GSTAR, 0, 0);
		break;
	case OSH_GLOB_PREFIX:
		add_text(nfa, p);
		add(nfa, OSH_GLOB_OP_GSTAR, 0, 0);
		break;
	case OSH_GLOB_PREFIX_SEG:
		add_text(nfa, p);
		add(nfa, OSH_GLOB_OP_STAR, 0, 0);
		break;
	case OSH_GLOB_SUFFIX:
		add(nfa, OSH_GLOB_OP_GSTAR, 0, 0);
		add_text(nfa, p);
		break;
	case OSH_GLOB_SUFFIX_SEG:
		add(nfa, OSH_GLOB_OP_STAR, 0, 0);
		add_text(nfa, p);
		break;
	case OSH_GLOB_BELOW:
		add_text(nfa, p);
		add(nfa, OSH_GLOB_OP_SPLIT, 0, nfa->n + 3);
		add(nfa, OSH_GLOB_OP_CHAR, '/', 0);
		add(nfa, OSH_GLOB_OP_GSTAR, 0, 0);
		break;
	case OSH_GLOB_NFA_OR_TEXT:
		add(nfa, OSH_GLOB_OP_SPLIT, 0, (size_t)p->text_len + 2);
		add_text(nfa, p);
		add(nfa, OSH_GLOB_OP_MATCH, 0, 0);
		add_ops(nfa, p);
		break;
	case OSH_GLOB_NFA:
		add_text(nfa, p);
		add_ops(nfa, p);
		break;
	case OSH_GLOB_LITERAL:
	case OSH_GLOB_KIND_COUNT:
		add_text(nfa, p);
		break;
	}
	add(nfa, OSH_GLOB_OP_MATCH, 0, 0);
	return 0;
}

static struct osh_glob_class op_set(const struct nfa *nfa, const struct osh_glob_op *op)
{
	struct osh_glob_class set = { 0 };

	switch ((enum osh_glob_op_type)op->type) {
	case OSH_GLOB_OP_CHAR:
		set.bits[op->c >> 6] = (uint64_t)1 << (op->c & 63);
		break;
	case OSH_GLOB_OP_CLASS:
		set = nfa->classes[op->arg];
		break;
	case OSH_GLOB_OP_ONE:
	case OSH_GLOB_OP_STAR:
		memset(&set, 0xff, sizeof(set));
		set.bits[nfa->sep >> 6] &= ~((uint64_t)1 << (nfa->sep & 63));
		set.bits[0] &= ~(uint64_t)1;
		break;
	case OSH_GLOB_OP_BYTE:
	case OSH_GLOB_OP_GSTAR:
		memset(&set, 0xff, sizeof(set));
		set.bits[0] &= ~(uint64_t)1;
		break;
	default:
		break;
	}
	return set;
}

static bool is_loop(const struct osh_glob_op *op)
{
	return op->type == OSH_GLOB_OP_STAR || op->type == OSH_GLOB_OP_GSTAR;
}

/* States reached from @i without input: fills @to, returns how many. */
static size_t empty_edges(const struct nfa *nfa, size_t i, size_t to[2])
{
	const struct osh_glob_op *op = &nfa->ops[i];
	size_t n = 0;

	if (is_loop(op) || op->type == OSH_GLOB_OP_SPLIT)
		to[n++] = i + 1;
	if (op->type == OSH_GLOB_OP_SPLIT || op->type == OSH_GLOB_OP_JUMP)
		to[n++] = op->arg;
	return n;
}

static void mark(uint64_t *seen, size_t bit)
{
	seen[bit / 64] |= (uint64_t)1 << (bit & 63);
}

static bool product(const struct nfa *a, const struct nfa *b, uint64_t *seen)
{
	size_t to[2];

	mark(seen, 0);
	for (size_t bit = 0; bit < a->n * b->n; bit++) {
		size_t i = bit / b->n, j = bit % b->n, n;
		struct osh_glob_class x, y;

		if (!seen[bit / 64]) {
			bit |= 63;
			continue;
		}
		if (!(seen[bit / 64] >> (bit & 63) & 1))
			continue;
		if (a->ops[i].type == OSH_GLOB_OP_MATCH && b->ops[j].type == OSH_GLOB_OP_MATCH)
			return true;
		n = empty_edges(a, i, to);
		for (size_t k = 0; k < n; k++)
			mark(seen, to[k] * b->n + j);
		n = empty_edges(b, j, to);
		for (size_t k = 0; k < n; k++)
			mark(seen, i * b->n + to[k]);
		x = op_set(a, &a->ops[i]);
		y = op_set(b, &b->ops[j]);
		if ((x.bits[0] & y.bits[0]) | (x.bits[1] & y.bits[1]) | (x.bits[2] & y.bits[2]) |
		    (x.bits[3] & y.bits[3]))
			mark(seen, (is_loop(&a->ops[i]) ? i : i + 1) * b->n +
					   (is_loop(&b->ops[j]) ? j : j + 1));
	}
	return false;
}

/* Cheap answers for the usual pairs: -1 when there is none. */
static int quick(const struct osh_glob_prog *a, const struct osh_glob_prog *b)
{
	struct osh_str pa = osh_glob_prefix(a), pb = osh_glob_prefix(b);
	size_t n = OSH_MIN(pa.n, pb.n);

	if (a->kind == OSH_GLOB_LITERAL)
		return osh_glob_match(b, pa);
	if (b->kind == OSH_GLOB_LITERAL)
		return osh_glob_match(a, pb);
	if (a->kind == OSH_GLOB_ANY || b->kind == OSH_GLOB_ANY)
		return 1; /* no pattern of ours matches nothing at all */
	if (n && memcmp(pa.p, pb.p, n) != 0)
		return 0;
	if ((a->kind == OSH_GLOB_SUFFIX || a->kind == OSH_GLOB_SUFFIX_SEG) &&
	    (b->kind == OSH_GLOB_SUFFIX || b->kind == OSH_GLOB_SUFFIX_SEG)) {
		n = OSH_MIN(a->text_len, b->text_len);
		if (memcmp(osh_glob_text(a) + a->text_len - n, osh_glob_text(b) + b->text_len - n,
			   n) != 0)
			return 0;
	}
	return -1;
}

int osh_glob_overlap(const void *prog_a, const void *prog_b)
{
	const struct osh_glob_prog *pa = prog_a, *pb = prog_b;
	struct nfa a = { 0 }, b = { 0 };
	uint64_t *seen = NULL;
	int r = quick(pa, pb);

	if (r >= 0)
		return r;
	r = nfa_init(&a, pa);
	if (r == 0)
		r = nfa_init(&b, pb);
	if (r == 0) {
		seen = calloc((a.n * b.n + 63) / 64, sizeof(*seen));
		r = seen ? product(&a, &b, seen) : -ENOMEM;
	}
	free(seen);
	free(a.ops);
	free(b.ops);
	return r;
}

static int texts_overlap(enum osh_glob_dialect dialect, struct osh_str a, struct osh_str b)
{
	osh_auto_bufmem struct osh_buf buf;
	size_t off_a, off_b;
	int r;

	osh_buf_init(&buf, (size_t)1 << 20, 0);
	r = osh_glob_compile(dialect, a, &buf, &off_a);
	if (r == 0)
		r = osh_glob_compile(dialect, b, &buf, &off_b);
	return r < 0 ? r : osh_glob_overlap(buf.data + off_a, buf.data + off_b);
}

int osh_host_patterns_overlap(struct osh_str a, struct osh_str b)
{
	if (!a.n || !b.n)
		return 1;
	return texts_overlap(OSH_GLOB_HOST, a, b);
}

int osh_path_patterns_overlap(struct osh_str a, struct osh_str b)
{
	return texts_overlap(OSH_GLOB_ENDPOINT_PATH, a, b);
}
