/* SPDX-License-Identifier: MIT */
/* Layout of a compiled glob, shared by glob_compile.c and glob.c; nobody else includes this. */
#ifndef OSH_POLICY_GLOB_PROG_H
#define OSH_POLICY_GLOB_PROG_H

#include "policy/glob.h"

/*
 * Operations form an automaton whose edges only lead forwards, but for the loops of STAR and GSTAR
 * on themselves. So one pass in ascending order closes a set of states under its empty edges, and a
 * set of (state, state) pairs of two automata likewise.
 */
enum osh_glob_op_type {
	OSH_GLOB_OP_MATCH = 0,
	OSH_GLOB_OP_CHAR, /* the byte c */
	OSH_GLOB_OP_ONE, /* any byte but the separator */
	OSH_GLOB_OP_BYTE, /* any byte */
	OSH_GLOB_OP_CLASS, /* a byte of class arg */
	OSH_GLOB_OP_STAR, /* any number of bytes but the separator, then on */
	OSH_GLOB_OP_GSTAR, /* any number of bytes, then on */
	OSH_GLOB_OP_SPLIT, /* next, or arg */
	OSH_GLOB_OP_JUMP, /* arg */
	OSH_GLOB_OP_COUNT,
};

struct osh_glob_op {
	uint8_t type;
	uint8_t c;
	uint16_t arg;
};

/* Shapes that need no automaton, by what follows or precedes the text. */
enum osh_glob_kind {
	OSH_GLOB_LITERAL = 0, /* text */
	OSH_GLOB_ANY,
	OSH_GLOB_PREFIX, /* text, anything */
	OSH_GLOB_PREFIX_SEG, /* text, anything without separator */
	OSH_GLOB_SUFFIX, /* anything, text */
	OSH_GLOB_SUFFIX_SEG, /* anything without separator, text */
	OSH_GLOB_BELOW, /* text, or text '/' anything */
	OSH_GLOB_NFA, /* text, then the automaton */
	OSH_GLOB_NFA_OR_TEXT, /* text, or else the automaton from the start */
	OSH_GLOB_KIND_COUNT,
};

/* Followed by @n_ops operations, padding to 8, @n_classes sets of 32 bytes, and the text. */
struct osh_glob_prog {
	uint32_t size; /* of everything, a multiple of 8 */
	uint16_t n_ops;
	uint16_t n_classes;
	uint16_t text_len;
	uint8_t kind;
	uint8_t dialect;
	uint8_t sep;
	uint8_t fold; /* lower-case the input */
	uint8_t pad[2];
};
_Static_assert(sizeof(struct osh_glob_prog) == 16, "layout of the policy image");

#define OSH_GLOB_OPS_MAX (3 * OSH_GLOB_PATTERN_MAX)

struct osh_glob_class {
	uint64_t bits[4];
};

static inline size_t osh_glob_ops_size(size_t n_ops)
{
	return (n_ops * sizeof(struct osh_glob_op) + 7) & ~(size_t)7;
}

static inline const struct osh_glob_op *osh_glob_ops(const struct osh_glob_prog *p)
{
	return (const struct osh_glob_op *)(p + 1);
}

static inline const struct osh_glob_class *osh_glob_classes(const struct osh_glob_prog *p)
{
	return (const struct osh_glob_class *)((const char *)(p + 1) + osh_glob_ops_size(p->n_ops));
}

static inline const char *osh_glob_text(const struct osh_glob_prog *p)
{
	return (const char *)(osh_glob_classes(p) + p->n_classes);
}

static inline bool osh_glob_class_has(const struct osh_glob_class *class, unsigned char c)
{
	return class->bits[c >> 6] >> (c & 63) & 1;
}

#endif
