/* SPDX-License-Identifier: MIT */
#include "policy/image_build.h"

/* ---- verification ---- */

struct verify {
	const struct osh_image *img;
	bool bad;
};

static uint32_t count(const struct osh_image *img, enum img_table t)
{
	return img->tab[t].count;
}

static void want(struct verify *v, bool ok)
{
	v->bad = v->bad || !ok;
}

static void want_span(struct verify *v, struct img_span s, enum img_table t)
{
	want(v, s.first <= count(v->img, t) && s.count <= count(v->img, t) - s.first);
}

static void want_text(struct verify *v, struct img_str s)
{
	want_span(v, (struct img_span){ s.off, s.len }, IMG_TEXT);
}

/* Looking at a program is safe only when its first word is inside the table. */
static void want_glob(struct verify *v, uint32_t glob)
{
	const uint64_t *prog = img_table(v->img, IMG_PROG);
	uint32_t n = count(v->img, IMG_PROG);

	want(v, glob < n && osh_glob_verify(prog + glob, (n - glob) * sizeof(uint64_t)));
}

static void want_glob_or_none(struct verify *v, uint32_t glob)
{
	if (glob != IMG_NONE)
		want_glob(v, glob);
}

static bool tables_fit(const struct osh_image *img, size_t n)
{
	for (int t = 0; t < IMG_TABLES; t++) {
		const struct img_tab *tab = &img->tab[t];

		if (tab->size != img_record_size(t) || tab->off % OSH_IMAGE_ALIGN ||
		    tab->off < sizeof(*img) || tab->off > n ||
		    tab->count > (n - tab->off) / tab->size)
			return false;
	}
	return true;
}

static void check_entries(struct verify *v)
{
	for (uint32_t i = 0; i < count(v->img, IMG_ENTRIES); i++) {
		const struct img_entry *e = img_entry(v->img, i);

		want_text(v, e->key);
		want_text(v, e->name);
		want_span(v, e->endpoints, IMG_ENDPOINTS);
		want(v, e->class_id < count(v->img, IMG_CLASSES));
	}
}

static void check_endpoints(struct verify *v)
{
	for (uint32_t i = 0; i < count(v->img, IMG_ENDPOINTS); i++) {
		const struct img_endpoint *ep = img_endpoint(v->img, i);

		want_text(v, ep->host);
		want_text(v, ep->path);
		want_span(v, ep->ports, IMG_PORTS);
		want_span(v, ep->cidrs, IMG_CIDRS);
		want_span(v, ep->persisted, IMG_PERSISTED);
		want_span(v, ep->allow, IMG_RULES);
		want_span(v, ep->deny, IMG_RULES);
		want(v, ep->allow_literals <= ep->allow.count);
		want(v, ep->deny_literals <= ep->deny.count);
		want(v, ep->entry < count(v->img, IMG_ENTRIES));
		want(v, ep->host_kind < IMG_HOST_KINDS && ep->inspect <= OSH_INSPECT_SQL);
		if (ep->host_kind == IMG_HOST_GLOB)
			want_glob(v, ep->host_glob);
		want_glob_or_none(v, ep->gate_glob);
		want_glob_or_none(v, ep->select_glob);
	}
}

static void check_rules(struct verify *v)
{
	for (uint32_t i = 0; i < count(v->img, IMG_RULES); i++) {
		const struct img_rule *rule = img_rule(v->img, i);

		want_text(v, rule->path);
		want_text(v, rule->method);
		want_span(v, rule->query, IMG_MATCHERS);
		want_span(v, rule->fields, IMG_GLOB_REFS);
		want_span(v, rule->params, IMG_MATCHERS);
		want_glob_or_none(v, rule->method_glob);
		want_glob_or_none(v, rule->name_glob);
		want(v, rule->path_kind < IMG_PATH_KINDS);
		if (rule->path_kind == IMG_PATH_GLOB)
			want_glob(v, rule->path_glob);
	}
	for (uint32_t i = 0; i < count(v->img, IMG_MATCHERS); i++) {
		want_text(v, img_matcher(v->img, i)->key);
		want_span(v, img_matcher(v->img, i)->globs, IMG_GLOB_REFS);
	}
	for (uint32_t i = 0; i < count(v->img, IMG_GLOB_REFS); i++)
		want_glob(v, *img_glob_ref(v->img, i));
	for (uint32_t i = 0; i < count(v->img, IMG_PERSISTED); i++) {
		want_text(v, img_persisted(v->img, i)->key);
		want_text(v, img_persisted(v->img, i)->name);
		want_span(v, img_persisted(v->img, i)->fields, IMG_MATCHERS);
	}
}

static void check_binaries(struct verify *v)
{
	for (uint32_t i = 0; i < count(v->img, IMG_CLASSES); i++)
		want_span(v, img_class(v->img, i)->binaries, IMG_BINARIES);
	for (uint32_t i = 0; i < count(v->img, IMG_BINARIES); i++) {
		const struct img_binary *bin = img_binary(v->img, i);

		want_text(v, bin->pattern);
		want(v, bin->class_id < count(v->img, IMG_CLASSES));
		if (bin->flags & IMG_BIN_IS_GLOB)
			want_glob(v, bin->glob);
	}
	for (uint32_t i = 0; i < count(v->img, IMG_BIN_EXACT); i++)
		want(v, *img_bin_exact(v->img, i) < count(v->img, IMG_BINARIES));
	for (uint32_t i = 0; i < count(v->img, IMG_BIN_GLOB); i++) {
		uint32_t id = *img_bin_glob(v->img, i);

		want(v, id < count(v->img, IMG_BINARIES) &&
				(img_binary(v->img, id)->flags & IMG_BIN_IS_GLOB));
	}
}

/* A probe ends at an empty slot, so a non-empty table needs one; its size is a power of two. */
static void check_slots(struct verify *v, enum img_table t)
{
	const struct img_slot *slots = img_table(v->img, t);
	uint32_t n = count(v->img, t), empty = 0;

	want(v, !(n & (n - 1)));
	for (uint32_t i = 0; i < n; i++) {
		want_text(v, slots[i].key);
		want_span(v, slots[i].refs, IMG_HOST_REFS);
		empty += !slots[i].refs.count;
	}
	want(v, !n || empty);
}

static void check_hosts(struct verify *v)
{
	want_span(v, v->img->any_host, IMG_HOST_REFS);
	check_slots(v, IMG_HOST_SLOTS);
	check_slots(v, IMG_SUFFIX_SLOTS);
	for (uint32_t i = 0; i < count(v->img, IMG_HOST_REFS); i++)
		want(v, *img_host_ref(v->img, i) < count(v->img, IMG_ENDPOINTS));
	for (uint32_t i = 0; i < count(v->img, IMG_CIDRS); i++)
		want(v, img_cidr(v->img, i)->bits <= 128);
}

int osh_image_open(const void *block, size_t n, const struct osh_image **ret_image)
{
	const struct osh_image *img = block;
	struct verify v = { .img = img };

	if (!block || (uintptr_t)block % OSH_IMAGE_ALIGN || n < sizeof(*img) ||
	    n > OSH_IMAGE_MAX_BYTES)
		return -EBADMSG;
	if (memcmp(img->magic, IMG_MAGIC, sizeof(img->magic)) || img->format != IMG_FORMAT ||
	    img->bytes != n || (img->flags & ~(uint32_t)IMG_F_QUARANTINE) ||
	    !memchr(img->hash, '\0', sizeof(img->hash)) || !tables_fit(img, n))
		return -EBADMSG;
	want_text(&v, img->why);
	check_entries(&v);
	check_endpoints(&v);
	check_rules(&v);
	check_binaries(&v);
	check_hosts(&v);
	if (v.bad)
		return -EBADMSG;
	*ret_image = img;
	return 0;
}

/* ---- plain questions ---- */

uint64_t osh_image_generation(const struct osh_image *img)
{
	return img->generation;
}

const char *osh_image_hash(const struct osh_image *img)
{
	return img->hash;
}

size_t osh_image_bytes(const struct osh_image *img)
{
	return img->bytes;
}

bool osh_image_is_quarantine(const struct osh_image *img)
{
	return img->flags & IMG_F_QUARANTINE;
}

struct osh_str osh_image_quarantine_why(const struct osh_image *img)
{
	return img_text(img, img->why);
}

size_t osh_image_entry_count(const struct osh_image *img)
{
	return count(img, IMG_ENTRIES);
}

void osh_image_entry(const struct osh_image *img, size_t i, struct osh_image_entry *ret_entry)
{
	const struct img_entry *e = img_entry(img, (uint32_t)i);

	*ret_entry = (struct osh_image_entry){
		.key = img_text(img, e->key),
		.name = img_text(img, e->name),
		.line = e->line,
		.class_id = e->class_id,
	};
}

size_t osh_image_target_count(const struct osh_image *img)
{
	return count(img, IMG_ENDPOINTS);
}

void osh_image_target(const struct osh_image *img, size_t i, struct osh_image_target *ret_target)
{
	const struct img_endpoint *ep = img_endpoint(img, (uint32_t)i);

	*ret_target = (struct osh_image_target){
		.entry = ep->entry,
		.index = ep->index,
		.host = img_text(img, ep->host),
		.is_glob = ep->host_kind == IMG_HOST_GLOB,
		.inspected = ep->inspect != OSH_INSPECT_NONE,
		.ports = img_port(img, ep->ports.first),
		.nports = ep->ports.count,
		.allowed_ips = ep->cidrs.count ? img_cidr(img, ep->cidrs.first) : NULL,
		.nallowed_ips = ep->cidrs.count,
		.class_id = img_entry(img, ep->entry)->class_id,
		.line = ep->line,
	};
}

size_t osh_image_class_count(const struct osh_image *img)
{
	return count(img, IMG_CLASSES);
}

size_t osh_image_class_size(const struct osh_image *img, size_t class_id)
{
	return img_class(img, (uint32_t)class_id)->binaries.count;
}

void osh_image_class_binary(const struct osh_image *img, size_t class_id, size_t i,
			    struct osh_image_binary *ret_binary)
{
	const struct img_class *cls = img_class(img, (uint32_t)class_id);
	const struct img_binary *bin = img_binary(img, cls->binaries.first + (uint32_t)i);

	*ret_binary = (struct osh_image_binary){
		.pattern = img_text(img, bin->pattern),
		.is_glob = bin->flags & IMG_BIN_IS_GLOB,
		.exact_scope = bin->flags & IMG_BIN_EXACT_SCOPE,
		.sha256 = bin->flags & IMG_BIN_PINNED ? bin->sha256 : NULL,
	};
}
