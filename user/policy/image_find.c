/* SPDX-License-Identifier: MIT */
/* Finding endpoints by destination and classes by executable. */
#include "policy/image_fmt.h"

/* ---- destinations ---- */

bool img_fold_host(struct osh_str host, char *dst, size_t size)
{
	if (!host.n || host.n > size || memchr(host.p, '\0', host.n))
		return false;
	for (size_t i = 0; i < host.n; i++)
		dst[i] = osh_lower(host.p[i]);
	return true;
}

static struct img_span lookup(const struct osh_image *img, enum img_table t, struct osh_str key,
			      uint32_t hash)
{
	const struct img_slot *slots = img_table(img, t);
	uint32_t mask = img->tab[t].count - 1;

	if (!img->tab[t].count)
		return (struct img_span){ 0 };
	for (uint32_t at = hash & mask; slots[at].refs.count; at = (at + 1) & mask)
		if (slots[at].hash == hash && osh_str_eq(img_text(img, slots[at].key), key))
			return slots[at].refs;
	return (struct img_span){ 0 };
}

static void add_span(struct img_walk *w, struct img_span span)
{
	if (span.count && w->nspans < OSH_ARRAY_SIZE(w->spans))
		w->spans[w->nspans++] = span;
}

bool img_walk_init(struct img_walk *w, const struct osh_image *img, struct osh_str host,
		   unsigned int port)
{
	uint32_t h = IMG_HASH_SEED;

	w->img = img;
	w->port = port;
	w->nspans = 0;
	img_walk_rewind(w);
	if (!img_fold_host(host, w->fold, IMG_HOST_MAX))
		return false;
	w->host = (struct osh_str){ w->fold, host.n };

	/* Patterns are filed under their literal suffix, which starts after a dot (or is empty). */
	if (img->tab[IMG_SUFFIX_SLOTS].count) {
		add_span(w, lookup(img, IMG_SUFFIX_SLOTS, OSH_STR(""), img_hash_end(h)));
		for (size_t i = host.n; i > 0; i--) {
			if (w->fold[i - 1] == '.' && i < host.n)
				add_span(w, lookup(img, IMG_SUFFIX_SLOTS,
						   (struct osh_str){ w->fold + i, host.n - i },
						   img_hash_end(h)));
			h = img_hash_step(h, w->fold[i - 1]);
		}
	} else {
		for (size_t i = host.n; i > 0; i--)
			h = img_hash_step(h, w->fold[i - 1]);
	}
	add_span(w, lookup(img, IMG_HOST_SLOTS, w->host, img_hash_end(h)));
	add_span(w, img->any_host);
	return true;
}

void img_walk_rewind(struct img_walk *w)
{
	w->span = 0;
	w->pos = 0;
}

static bool has_port(const struct osh_image *img, struct img_span ports, unsigned int port)
{
	const uint16_t *p = img_port(img, ports.first);
	uint32_t lo = 0, hi = ports.count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (p[mid] == port)
			return true;
		if (p[mid] < port)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

uint32_t img_walk_next(struct img_walk *w)
{
	while (w->span < w->nspans) {
		const struct img_span *span = &w->spans[w->span];

		while (w->pos < span->count) {
			uint32_t id = *img_host_ref(w->img, span->first + w->pos++);
			const struct img_endpoint *ep = img_endpoint(w->img, id);

			if (w->port && !has_port(w->img, ep->ports, w->port))
				continue;
			if (ep->host_kind == IMG_HOST_GLOB &&
			    !img_glob_match(w->img, ep->host_glob, w->host))
				continue;
			return id;
		}
		w->span++;
		w->pos = 0;
	}
	return IMG_NONE;
}

bool osh_image_host_known(const struct osh_image *img, struct osh_str host, unsigned int port)
{
	struct img_walk w;

	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	return img_walk_init(&w, img, host, port) && img_walk_next(&w) != IMG_NONE;
}

/* ---- classes ---- */

static uint64_t class_bit(uint32_t class_id)
{
	return 1ull << OSH_MIN(class_id, (uint32_t)OSH_IMAGE_CLASS_REST);
}

uint64_t osh_image_dest_mask(const struct osh_image *img, struct osh_str host, unsigned int port)
{
	struct img_walk w;
	uint64_t mask = 0;

	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	if (!img_walk_init(&w, img, host, port))
		return 0;
	for (uint32_t id; (id = img_walk_next(&w)) != IMG_NONE;) {
		uint32_t cls = img_entry(img, img_endpoint(img, id)->entry)->class_id;

		/* nobody is in a class without binaries */
		if (img_class(img, cls)->binaries.count)
			mask |= class_bit(cls);
	}
	return mask;
}

/* First index in the sorted exact binaries whose pattern is not less than @path. */
static uint32_t exact_from(const struct osh_image *img, struct osh_str path)
{
	uint32_t lo = 0, hi = img->tab[IMG_BIN_EXACT].count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct img_binary *bin = img_binary(img, *img_bin_exact(img, mid));

		if (osh_str_cmp(img_text(img, bin->pattern), path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool pin_holds(const struct img_binary *bin, const unsigned char *sha256)
{
	if (!(bin->flags & IMG_BIN_PINNED))
		return true;
	return sha256 && !memcmp(bin->sha256, sha256, sizeof(bin->sha256)); /* not a secret */
}

void img_each_binary(const struct osh_image *img, const struct osh_identity_exe *exe,
		     void (*found)(void *arg, const struct img_binary *bin), void *arg)
{
	if (!exe->path.n)
		return;
	for (uint32_t i = exact_from(img, exe->path); i < img->tab[IMG_BIN_EXACT].count; i++) {
		const struct img_binary *bin = img_binary(img, *img_bin_exact(img, i));

		if (!osh_str_eq(img_text(img, bin->pattern), exe->path))
			break;
		if (pin_holds(bin, exe->sha256))
			found(arg, bin);
	}
	for (uint32_t i = 0; i < img->tab[IMG_BIN_GLOB].count; i++) {
		const struct img_binary *bin = img_binary(img, *img_bin_glob(img, i));

		if (pin_holds(bin, exe->sha256) && img_glob_match(img, bin->glob, exe->path))
			found(arg, bin);
	}
}

struct masks {
	uint64_t self, inherit;
};

static void add_mask(void *arg, const struct img_binary *bin)
{
	struct masks *m = arg;

	m->self |= class_bit(bin->class_id);
	if (!(bin->flags & IMG_BIN_EXACT_SCOPE))
		m->inherit |= class_bit(bin->class_id);
}

void osh_image_binary_mask(const struct osh_image *img, struct osh_str path,
			   const unsigned char *sha256, uint64_t *ret_self, uint64_t *ret_inherit)
{
	const struct osh_identity_exe exe = { path, sha256 };
	struct masks m = { 0 };

	img_each_binary(img, &exe, add_mask, &m);
	*ret_self = m.self;
	*ret_inherit = m.inherit;
}
