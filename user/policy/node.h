/* SPDX-License-Identifier: MIT */
/*
 * Strict YAML 1.2 into a bounded tree with positions: the only user of libyaml. One document, UTF-8,
 * no NUL, no aliases, no tags, no merge keys, unique scalar keys. An anchor that nothing can refer
 * to is ignored with a warning. Plain scalars are typed by the YAML 1.2 core schema, so "no", "on"
 * and "1:30" are text.
 */
#ifndef OSH_POLICY_NODE_H
#define OSH_POLICY_NODE_H

#include "base/arena.h"
#include "base/diag.h"

#define OSH_NODE_MAX_BYTES (1u << 20)
#define OSH_NODE_MAX_DEPTH 16u /* collections within each other */
#define OSH_NODE_MAX_COUNT 20000u /* scalars, keys and collections */

#define OSH_NODE_MAX_KEY_BYTES 255u /* so that any key can be written back as a quoted YAML key */

enum osh_node_type {
	OSH_NODE_NULL = 0,
	OSH_NODE_BOOL,
	OSH_NODE_INT,
	OSH_NODE_FLOAT,
	OSH_NODE_STR,
	OSH_NODE_SEQ,
	OSH_NODE_MAP,
};

struct osh_node {
	enum osh_node_type type;
	bool empty; /* a plain scalar of no characters, as in "key:" */
	bool boolean; /* BOOL */
	bool too_big; /* INT that does not fit @integer */
	unsigned int line, col; /* from 1 */
	struct osh_str text; /* any scalar: its characters; else empty */
	int64_t integer; /* INT */
	struct osh_node *child; /* SEQ, MAP: first member, in the order of the file */
	struct osh_node *next; /* next member of the same collection */
	size_t n; /* SEQ, MAP: number of members */
	struct osh_str key; /* member of a MAP */
	unsigned int key_line, key_col;
};

/* Ceilings; 0 means the default above. */
struct osh_node_limits {
	size_t max_bytes;
	unsigned int max_depth;
	unsigned int max_count;
};

/*
 * Parse @text; nodes live in @arena. @limits may be NULL. 0: *ret_root is the tree, NULL for an
 * empty document. -EBADMSG: @diag has an error; when the text could still be read to its end (for
 * example after a duplicate key) *ret_root is set all the same, only to look for more errors.
 * -EMSGSIZE: a ceiling was reached, @diag says which. -ENOMEM.
 */
int osh_node_parse(struct osh_arena *arena, struct osh_str text,
		   const struct osh_node_limits *limits, struct osh_node **ret_root,
		   struct osh_diag *diag) OSH_MUST_CHECK;

const char *osh_node_type_name(enum osh_node_type type); /* "text", "a list", ... */

/* Member of a MAP, or NULL. */
const struct osh_node *osh_node_get(const struct osh_node *map, struct osh_str key);

#define osh_node_for_each(it, parent) \
	for (const struct osh_node *it = (parent)->child; it; it = it->next)

#endif
