/* SPDX-License-Identifier: MIT */
/*
 * Reading mappings by table: each struct osh_key says how a key is called, what it holds and where
 * that goes. Unknown keys are errors with a suggestion, and reading goes on after every error so
 * that one run reports them all.
 */
#ifndef OSH_POLICY_SCHEMA_H
#define OSH_POLICY_SCHEMA_H

#include <stddef.h>

#include "policy/node.h"
#include "policy/strs.h"

enum osh_key_kind {
	OSH_KEY_TEXT = 0, /* struct osh_str; any scalar but null */
	OSH_KEY_BOOL, /* bool */
	OSH_KEY_U16, /* uint16_t */
	OSH_KEY_U32, /* uint32_t */
	OSH_KEY_I32, /* int32_t */
	OSH_KEY_TEXTS, /* struct osh_strs; a list of texts */
	OSH_KEY_SEQ, /* a list, into @set once as a whole */
	OSH_KEY_MAP, /* a mapping, into @set */
	OSH_KEY_ANY, /* any node, into @set */
};

enum osh_key_flags {
	OSH_KEY_REQUIRED = 1u << 0,
	/* null counts as absent (for MAP, also marked as such by not calling @set) */
	OSH_KEY_NULLABLE = 1u << 1,
};

struct osh_reader {
	struct osh_arena *arena; /* where results go */
	struct osh_diag *diag;
	int err; /* sticks: -ENOMEM, after which readers do nothing */
};

struct osh_key {
	const char *name;
	enum osh_key_kind kind;
	unsigned int flags;
	size_t offset; /* of the destination in the object, for the scalar kinds */
	void (*set)(struct osh_reader *rd, const struct osh_node *node, void *obj);
	/*
	 * When @has_at: the struct osh_place at @at_offset gets the value's place; for TEXTS the
	 * struct osh_place * there gets an array with the place of each item.
	 */
	bool has_at;
	size_t at_offset;
};

/* Table rows for the scalar kinds; the table ends with { 0 }. */
#define OSH_KEY_FIELD(name_, kind_, flags_, type_, member_)          \
	{                                                            \
		.name = (name_), .kind = (kind_), .flags = (flags_), \
		.offset = offsetof(type_, member_)                   \
	}
#define OSH_KEY_FIELD_AT(name_, kind_, flags_, type_, member_, at_)  \
	{                                                            \
		.name = (name_), .kind = (kind_), .flags = (flags_), \
		.offset = offsetof(type_, member_), .has_at = true,  \
		.at_offset = offsetof(type_, at_)                    \
	}
#define OSH_KEY_CALL(name_, kind_, flags_, set_)                                   \
	{                                                                          \
		.name = (name_), .kind = (kind_), .flags = (flags_), .set = (set_) \
	}

/*
 * Read @node (anything but a mapping is an error) into @obj by @keys. @what names the thing in
 * messages ("endpoint"). Errors go to rd->diag.
 */
void osh_schema_read(struct osh_reader *rd, const struct osh_node *node, const struct osh_key *keys,
		     void *obj, const char *what);

/* The single readers, for use in @set functions. false: an error was reported. */
bool osh_schema_text(struct osh_reader *rd, const struct osh_node *node, const char *what,
		     struct osh_str *ret_text);
bool osh_schema_int(struct osh_reader *rd, const struct osh_node *node, const char *what,
		    int64_t min, int64_t max, int64_t *ret_value);
/* "a list" / "a mapping"; an empty "key:" counts as an empty one. */
bool osh_schema_is_seq(struct osh_reader *rd, const struct osh_node *node, const char *what);
bool osh_schema_is_map(struct osh_reader *rd, const struct osh_node *node, const char *what);

/* Zeroed array from the reader's arena; NULL and rd->err on failure or when @n is 0. */
void *osh_reader_array(struct osh_reader *rd, size_t n, size_t size);
/* Copy into the arena; the empty string (never NULL) on failure. */
struct osh_str osh_reader_str(struct osh_reader *rd, struct osh_str s);

#endif
