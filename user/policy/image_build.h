/* SPDX-License-Identifier: MIT */
/* Compiling an image: the tables under construction; private to image_build.c and image_rules.c. */
#ifndef OSH_POLICY_IMAGE_BUILD_H
#define OSH_POLICY_IMAGE_BUILD_H

#include "policy/image_fmt.h"
#include "policy/model.h"

/* Content-addressed set of byte strings that lie in some buffer, each with a value. */
struct img_intern_slot {
	uint32_t off, len, hash, value;
};

struct img_intern {
	struct img_intern_slot *slots; /* value IMG_NONE: empty */
	size_t cap, count;
};

struct img_build {
	struct osh_buf tab[IMG_TABLES];
	struct img_intern texts, globs, classes;
	struct osh_buf glob_keys, class_keys; /* content of the interned keys */
	struct img_hostref *hosts;
	size_t nhosts, hosts_cap;
	const struct osh_image_alias *aliases;
	size_t naliases;
};

/* Number of records in a table so far. */
uint32_t img_build_count(const struct img_build *b, enum img_table t);
size_t img_record_size(enum img_table t);
/* Append one record. -EMSGSIZE, -ENOMEM. */
int img_build_add(struct img_build *b, enum img_table t, const void *record) OSH_MUST_CHECK;
int img_build_text(struct img_build *b, struct osh_str s, struct img_str *ret) OSH_MUST_CHECK;
/* -EINVAL: the pattern does not compile. */
int img_build_glob(struct img_build *b, enum osh_glob_dialect dialect, struct osh_str pattern,
		   uint32_t *ret_glob) OSH_MUST_CHECK;

/* The rules, persisted queries and presets of one endpoint (image_rules.c). */
int img_build_rules(struct img_build *b, const struct osh_endpoint *ep,
		    struct img_endpoint *rec) OSH_MUST_CHECK;

#endif
