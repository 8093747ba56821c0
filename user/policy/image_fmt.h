/* SPDX-License-Identifier: MIT */
/*
 * Layout of a policy image; private to image*.c, decide*.c and explain.c. A block is this header
 * followed by tables of fixed-size records. Records name each other by index, texts by (offset,
 * length) into the text pool. osh_image_open() checks every index, so readers need not.
 */
#ifndef OSH_POLICY_IMAGE_FMT_H
#define OSH_POLICY_IMAGE_FMT_H

#include "policy/addr.h"
#include "policy/decide.h"
#include "policy/glob.h"
#include "policy/image.h"

#define IMG_MAGIC  "OSHIMAGE"
#define IMG_FORMAT 1u
#define IMG_NONE   UINT32_MAX /* no such record */

enum img_table {
	IMG_ENTRIES,
	IMG_ENDPOINTS,
	IMG_RULES,
	IMG_MATCHERS,
	IMG_GLOB_REFS, /* uint32_t: a glob */
	IMG_PERSISTED,
	IMG_CLASSES,
	IMG_BINARIES,
	IMG_BIN_EXACT, /* uint32_t: index into IMG_BINARIES, sorted by pattern */
	IMG_BIN_GLOB, /* uint32_t: index into IMG_BINARIES */
	IMG_HOST_SLOTS, /* hash of exact hosts */
	IMG_SUFFIX_SLOTS, /* hash of the literal suffixes of host patterns */
	IMG_HOST_REFS, /* uint32_t: index into IMG_ENDPOINTS */
	IMG_PORTS, /* uint16_t */
	IMG_CIDRS, /* struct osh_cidr */
	IMG_PROG, /* uint64_t: programs of policy/glob.h; a glob is the index of its first word */
	IMG_TEXT,
	IMG_TABLES,
};

struct img_str {
	uint32_t off, len;
};

struct img_span {
	uint32_t first, count;
};

struct img_tab {
	uint64_t off; /* from the start of the block, multiple of 8 */
	uint32_t count; /* records */
	uint32_t size; /* bytes of one record, as compiled */
};

enum img_flags {
	IMG_F_QUARANTINE = 1u << 0,
};

struct osh_image {
	char magic[8];
	uint32_t format;
	uint32_t flags;
	uint64_t bytes; /* of the whole block */
	uint64_t generation;
	char hash[72]; /* 64 hex and zeros */
	struct img_str why; /* quarantine */
	struct img_span any_host; /* IMG_HOST_REFS of endpoints without a host */
	struct img_tab tab[IMG_TABLES];
};

struct img_entry {
	struct img_str key, name;
	struct img_span endpoints;
	uint32_t class_id;
	uint32_t line;
};

enum img_host_kind {
	IMG_HOST_ANY = 0,
	IMG_HOST_EXACT,
	IMG_HOST_GLOB,
	IMG_HOST_KINDS,
};

enum img_ep_flags {
	IMG_EP_ENFORCE = 1u << 0,
	IMG_EP_TLS_SKIP = 1u << 1,
	IMG_EP_TERMINATE = 1u << 2,
	IMG_EP_ENCODED_SLASH = 1u << 3,
	IMG_EP_EXTENDED = 1u << 4, /* carries tls mode and allowed_ips (reference 3.6) */
	IMG_EP_TCP = 1u << 5,
	IMG_EP_STRICT_TOOLS = 1u << 6,
	IMG_EP_MCP_ALL = 1u << 7, /* allow_all_known_mcp_methods */
	IMG_EP_MCP_TOOL_RULES = 1u << 8, /* some allow rule names a tool */
	IMG_EP_WS_GRAPHQL = 1u << 9, /* websocket with GraphQL rules */
	IMG_EP_WS_MESSAGES = 1u << 10, /* client text messages are decided */
	IMG_EP_PERSISTED = 1u << 11, /* registered persisted queries are allowed */
	IMG_EP_USER_DECLARED = 1u << 12, /* endpoint and all its binaries come from the user */
};

struct img_endpoint {
	struct img_str host; /* lower case */
	struct img_str path; /* as written */
	struct img_span ports, cidrs, persisted;
	/* Rules: literal paths first, sorted by path_hash, then the others. */
	struct img_span allow, deny;
	uint32_t allow_literals, deny_literals;
	uint32_t entry, index, line;
	uint32_t host_glob; /* IMG_HOST_GLOB only */
	uint32_t gate_glob; /* rule-side path gate; IMG_NONE: every path */
	uint32_t select_glob; /* selects the parser; IMG_NONE: every path */
	uint32_t specificity; /* of @path: characters other than '*' */
	uint32_t max_body;
	uint32_t flags;
	uint16_t host_kind;
	uint16_t inspect; /* enum osh_inspect, NONE for passthrough and tcp */
};

/* Methods with a bit of their own; others compare as text. */
enum img_method {
	IMG_M_GET = 1u << 0,
	IMG_M_HEAD = 1u << 1,
	IMG_M_POST = 1u << 2,
	IMG_M_PUT = 1u << 3,
	IMG_M_DELETE = 1u << 4,
	IMG_M_PATCH = 1u << 5,
	IMG_M_OPTIONS = 1u << 6,
	IMG_M_WS_TEXT = 1u << 7,
	IMG_M_OTHER = 1u << 8, /* matches @method only */
	IMG_M_ANY = 1u << 9, /* "*" */
};

enum img_path_kind {
	IMG_PATH_NEVER = 0, /* no path given */
	IMG_PATH_ANY,
	IMG_PATH_LITERAL,
	IMG_PATH_GLOB,
	IMG_PATH_KINDS,
};

enum img_op_type {
	IMG_OP_QUERY = 1u << 0,
	IMG_OP_MUTATION = 1u << 1,
	IMG_OP_SUBSCRIPTION = 1u << 2,
	IMG_OP_ALL = 7u,
};

struct img_rule {
	struct img_str path;
	struct img_str method; /* as written */
	struct img_span query; /* IMG_MATCHERS */
	struct img_span fields; /* IMG_GLOB_REFS */
	struct img_span params; /* IMG_MATCHERS */
	uint32_t path_hash;
	uint32_t path_glob; /* IMG_PATH_GLOB only */
	uint32_t method_glob; /* mcp; IMG_NONE: absent */
	uint32_t name_glob; /* GraphQL operation name; IMG_NONE: any */
	uint32_t methods; /* enum img_method */
	uint32_t op_types; /* enum img_op_type; 0: no GraphQL rule */
	uint32_t index; /* position in the file */
	uint32_t line;
	uint32_t path_kind;
};

struct img_matcher {
	struct img_str key;
	struct img_span globs; /* IMG_GLOB_REFS; one that matches is enough */
};

struct img_persisted {
	struct img_str key;
	struct img_str name;
	struct img_span fields; /* IMG_MATCHERS.key: names */
	uint32_t op_type; /* enum img_op_type, one bit or 0 */
};

struct img_class {
	struct img_span binaries;
};

enum img_bin_flags {
	IMG_BIN_IS_GLOB = 1u << 0,
	IMG_BIN_EXACT_SCOPE = 1u << 1,
	IMG_BIN_PINNED = 1u << 2,
};

struct img_binary {
	struct img_str pattern;
	uint32_t class_id;
	uint32_t glob; /* IMG_BIN_IS_GLOB only */
	uint32_t flags;
	unsigned char sha256[32];
};

struct img_slot {
	struct img_str key;
	struct img_span refs; /* IMG_HOST_REFS; count 0: empty slot */
	uint32_t hash;
};

/* ---- access ---- */

static inline const void *img_table(const struct osh_image *img, enum img_table t)
{
	return (const char *)img + img->tab[t].off;
}

static inline struct osh_str img_text(const struct osh_image *img, struct img_str s)
{
	return (struct osh_str){ (const char *)img_table(img, IMG_TEXT) + s.off, s.len };
}

#define IMG_ACCESS(name, type, table)                                                 \
	static inline const type *img_##name(const struct osh_image *img, uint32_t i) \
	{                                                                             \
		return (const type *)img_table(img, table) + i;                       \
	}
IMG_ACCESS(entry, struct img_entry, IMG_ENTRIES)
IMG_ACCESS(endpoint, struct img_endpoint, IMG_ENDPOINTS)
IMG_ACCESS(rule, struct img_rule, IMG_RULES)
IMG_ACCESS(matcher, struct img_matcher, IMG_MATCHERS)
IMG_ACCESS(persisted, struct img_persisted, IMG_PERSISTED)
IMG_ACCESS(class, struct img_class, IMG_CLASSES)
IMG_ACCESS(binary, struct img_binary, IMG_BINARIES)
IMG_ACCESS(bin_exact, uint32_t, IMG_BIN_EXACT)
IMG_ACCESS(bin_glob, uint32_t, IMG_BIN_GLOB)
IMG_ACCESS(host_slot, struct img_slot, IMG_HOST_SLOTS)
IMG_ACCESS(suffix_slot, struct img_slot, IMG_SUFFIX_SLOTS)
IMG_ACCESS(host_ref, uint32_t, IMG_HOST_REFS)
IMG_ACCESS(glob_ref, uint32_t, IMG_GLOB_REFS)
IMG_ACCESS(port, uint16_t, IMG_PORTS)
IMG_ACCESS(cidr, struct osh_cidr, IMG_CIDRS)
#undef IMG_ACCESS

/*
 * Hash of a host name, from its last byte to its first: the hash of a name passes through the hash
 * of each of its suffixes, so that one walk finds them all.
 */
#define IMG_HASH_SEED 2166136261u
static inline uint32_t img_hash_step(uint32_t h, char c)
{
	return (h ^ (unsigned char)c) * 16777619u;
}

/* Spread the low bits; tables are powers of two. */
static inline uint32_t img_hash_end(uint32_t h)
{
	h ^= h >> 16;
	h *= 0x85ebca6bu;
	return h ^ h >> 13;
}

static inline uint32_t img_hash(struct osh_str s)
{
	uint32_t h = IMG_HASH_SEED;

	for (size_t i = s.n; i > 0; i--)
		h = img_hash_step(h, s.p[i - 1]);
	return img_hash_end(h);
}

/* Bit of a method (case-insensitive), IMG_M_OTHER for any without one. */
uint32_t img_method_bit(struct osh_str method);

static inline bool img_glob_match(const struct osh_image *img, uint32_t glob, struct osh_str input)
{
	return osh_glob_match((const uint64_t *)img_table(img, IMG_PROG) + glob, input);
}

/* Lower-case copy of a host into @dst (@size bytes, no NUL added); false if empty, too long or NUL. */
bool img_fold_host(struct osh_str host, char *dst, size_t size);

/* ---- endpoints that match a destination (image_find.c) ---- */

#define IMG_HOST_MAX 255 /* bytes of a host name */

/*
 * Walk over the endpoints that match (host, port), whatever the binary, in no particular order.
 * Everything is in here: it must not be moved while in use.
 */
struct img_walk {
	const struct osh_image *img;
	struct osh_str host; /* folded, in @fold */
	unsigned int port; /* 0: any port */
	uint32_t nspans, span, pos;
	struct img_span spans[IMG_HOST_MAX + 3]; /* each suffix, the name itself, any */
	char fold[IMG_HOST_MAX + 1];
};

/* False: this host can match nothing (empty, too long, NUL). */
bool img_walk_init(struct img_walk *w, const struct osh_image *img, struct osh_str host,
		   unsigned int port);
void img_walk_rewind(struct img_walk *w);
/* Index of the next matching endpoint, IMG_NONE at the end. */
uint32_t img_walk_next(struct img_walk *w);

/* Was @cls made for this very image? */
bool img_idclass_fits(const struct osh_image *img, const struct osh_idclass *cls);
/* The next matching endpoint whose entry lists the identity's binary; IMG_NONE at the end. */
uint32_t img_match_next(struct img_walk *w, const struct osh_idclass *cls);

/* Call @found for each listed binary that is this executable: path and, where pinned, content. */
void img_each_binary(const struct osh_image *img, const struct osh_identity_exe *exe,
		     void (*found)(void *arg, const struct img_binary *bin), void *arg);

#endif
