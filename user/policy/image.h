/* SPDX-License-Identifier: MIT */
/*
 * The compiled policy: one flat, immutable, position-independent block (offsets only) that a
 * publisher puts into a sealed memfd and any number of readers map read-only. Deciding needs nothing
 * but this block and a struct osh_idclass; see policy/decide.h.
 */
#ifndef OSH_POLICY_IMAGE_H
#define OSH_POLICY_IMAGE_H

#include "base/buf.h"

/* Ceiling of a block; a larger policy is refused with -EMSGSIZE. */
#define OSH_IMAGE_MAX_BYTES (64u * 1024 * 1024)
#define OSH_IMAGE_ALIGN	    8 /* required alignment of a block in memory */

struct osh_cidr; /* policy/addr.h */
struct osh_image; /* a verified block; lives exactly as long as the memory it was opened on */
struct osh_policy; /* policy/model.h */

/* ---- making one ---- */

/*
 * Compile a validated policy. @hash is its 64 lower-case hex digits. The result is appended to
 * @ret_block (which should be empty and needs a ceiling of OSH_IMAGE_MAX_BYTES). Same policy, same
 * generation, same bytes.
 * -EINVAL: @hash is not a hash, or the policy contains a pattern or address that does not compile
 * (it was not validated). -EMSGSIZE, -ENOMEM.
 */
int osh_image_compile(const struct osh_policy *policy, uint64_t generation, const char *hash,
		      struct osh_buf *ret_block) OSH_MUST_CHECK;

/*
 * The same with names for binaries: where the policy lists exactly the path @from, @to matches as
 * well (reference 3.3: a path that is a symlink in the sandbox also means the file it leads to).
 */
struct osh_image_alias {
	struct osh_str from, to;
};
int osh_image_compile_with(const struct osh_policy *policy, uint64_t generation, const char *hash,
			   const struct osh_image_alias *aliases, size_t naliases,
			   struct osh_buf *ret_block) OSH_MUST_CHECK;

/*
 * A block that denies everything, with a reason for people (D21: the stored policy could not be
 * loaded). @why is cut at 500 bytes.
 */
int osh_image_quarantine(uint64_t generation, struct osh_str why,
			 struct osh_buf *ret_block) OSH_MUST_CHECK;

/* ---- opening one ---- */

/*
 * Verify every offset, count and program of a block of @n bytes and give it as an image. Nothing is
 * allocated or copied: the image is the block. -EBADMSG: not a well-formed block of this build.
 */
int osh_image_open(const void *block, size_t n, const struct osh_image **ret_image) OSH_MUST_CHECK;

/* ---- asking it ---- */

uint64_t osh_image_generation(const struct osh_image *img);
const char *osh_image_hash(const struct osh_image *img); /* 64 hex, NUL-terminated */
size_t osh_image_bytes(const struct osh_image *img);
bool osh_image_is_quarantine(const struct osh_image *img);
struct osh_str osh_image_quarantine_why(const struct osh_image *img);

/*
 * Could some entry allow some binary to reach @host, on @port (0: on any port)? For DNS: a name for
 * which this is false is refused without asking upstream. Case-insensitive; one trailing dot is
 * ignored here (DNS names carry it; connections do not).
 */
bool osh_image_host_known(const struct osh_image *img, struct osh_str host, unsigned int port);

/* ---- entries: the keys of network_policies, sorted ---- */

struct osh_image_entry {
	struct osh_str key;
	struct osh_str name; /* display name; the key when the policy gives none */
	unsigned int line; /* of the key in the policy file; 0: unknown */
	unsigned int class_id; /* its binaries; see below */
};

size_t osh_image_entry_count(const struct osh_image *img);
void osh_image_entry(const struct osh_image *img, size_t i, struct osh_image_entry *ret_entry);

/* ---- targets: one per endpoint, ordered by entry key and position ---- */

struct osh_image_target {
	size_t entry; /* index of its entry */
	size_t index; /* position in the entry's list of endpoints */
	struct osh_str host; /* as in the policy, lower case; empty: any host */
	bool is_glob; /* @host contains '*' */
	bool inspected; /* TLS is terminated for it */
	const uint16_t *ports; /* host byte order, sorted */
	size_t nports;
	const struct osh_cidr *allowed_ips;
	size_t nallowed_ips;
	unsigned int class_id;
	unsigned int line; /* of the endpoint in the policy file; 0: unknown */
};

size_t osh_image_target_count(const struct osh_image *img);
void osh_image_target(const struct osh_image *img, size_t i, struct osh_image_target *ret_target);

/* ---- binary classes: the distinct lists of binaries; entries with equal lists share one ---- */

struct osh_image_binary {
	struct osh_str pattern;
	bool is_glob;
	bool exact_scope; /* D18: matches the process itself only, not through an ancestor */
	const unsigned char *sha256; /* pin of 32 bytes, or NULL */
};

size_t osh_image_class_count(const struct osh_image *img);
size_t osh_image_class_size(const struct osh_image *img, size_t class_id);
void osh_image_class_binary(const struct osh_image *img, size_t class_id, size_t i,
			    struct osh_image_binary *ret_binary);

/*
 * Class sets as 64-bit masks for the kernel's tables: class c is bit c for c < 63; bit 63 stands for
 * all classes from 63 on. The masks say "possibly": empty intersection means that the proxy would
 * deny; anything else is for the proxy to decide.
 */
#define OSH_IMAGE_CLASS_REST 63
/* Classes of the entries with an endpoint that matches @host (or any host) and @port (0: any port). */
uint64_t osh_image_dest_mask(const struct osh_image *img, struct osh_str host, unsigned int port);
/*
 * Classes that contain this executable: @ret_self when it is the process itself, @ret_inherit when
 * it is an ancestor. @sha256 (32 bytes) may be NULL: not known, so pinned binaries do not match.
 */
void osh_image_binary_mask(const struct osh_image *img, struct osh_str path,
			   const unsigned char *sha256, uint64_t *ret_self, uint64_t *ret_inherit);

#endif
