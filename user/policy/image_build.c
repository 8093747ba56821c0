/* SPDX-License-Identifier: MIT */
#include "policy/image_build.h"

static const size_t record_sizes[IMG_TABLES] = {
	[IMG_ENTRIES] = sizeof(struct img_entry),
	[IMG_ENDPOINTS] = sizeof(struct img_endpoint),
	[IMG_RULES] = sizeof(struct img_rule),
	[IMG_MATCHERS] = sizeof(struct img_matcher),
	[IMG_GLOB_REFS] = sizeof(uint32_t),
	[IMG_PERSISTED] = sizeof(struct img_persisted),
	[IMG_CLASSES] = sizeof(struct img_class),
	[IMG_BINARIES] = sizeof(struct img_binary),
	[IMG_BIN_EXACT] = sizeof(uint32_t),
	[IMG_BIN_GLOB] = sizeof(uint32_t),
	[IMG_HOST_SLOTS] = sizeof(struct img_slot),
	[IMG_SUFFIX_SLOTS] = sizeof(struct img_slot),
	[IMG_HOST_REFS] = sizeof(uint32_t),
	[IMG_PORTS] = sizeof(uint16_t),
	[IMG_CIDRS] = sizeof(struct osh_cidr),
	[IMG_PROG] = sizeof(uint64_t),
	[IMG_TEXT] = 1,
};

/* One endpoint under the name by which it is found. */
struct img_hostref {
	struct img_str key; /* interned: equal names have equal offsets */
	uint32_t kind; /* enum img_host_kind */
	uint32_t endpoint;
};

size_t img_record_size(enum img_table t)
{
	return record_sizes[t];
}

/* ---- interning ---- */

static int intern_grow(struct img_intern *in)
{
	size_t cap = in->cap ? in->cap * 2 : 256;
	struct img_intern_slot *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < cap; i++)
		slots[i].value = IMG_NONE;
	for (size_t i = 0; i < in->cap; i++) {
		size_t at = in->slots[i].hash & (cap - 1);

		if (in->slots[i].value == IMG_NONE)
			continue;
		while (slots[at].value != IMG_NONE)
			at = (at + 1) & (cap - 1);
		slots[at] = in->slots[i];
	}
	free(in->slots);
	in->slots = slots;
	in->cap = cap;
	return 0;
}

/*
 * The slot of @s, whose bytes lie in @pool if it is known. A slot with value IMG_NONE is new: the
 * caller puts @s into @pool, then sets off, len and value and counts it.
 */
static int intern_slot(struct img_intern *in, const struct osh_buf *pool, struct osh_str s,
		       struct img_intern_slot **ret_slot)
{
	uint32_t hash = img_hash(s);
	size_t at;
	int r;

	if (in->count * 2 >= in->cap) {
		r = intern_grow(in);
		if (r < 0)
			return r;
	}
	for (at = hash & (in->cap - 1); in->slots[at].value != IMG_NONE;
	     at = (at + 1) & (in->cap - 1)) {
		const struct img_intern_slot *slot = &in->slots[at];

		if (slot->hash == hash && slot->len == s.n &&
		    (!s.n || !memcmp(pool->data + slot->off, s.p, s.n)))
			break;
	}
	in->slots[at].hash = hash;
	*ret_slot = &in->slots[at];
	return 0;
}

static int intern_put(struct img_intern *in, struct img_intern_slot *slot, struct osh_buf *pool,
		      struct osh_str s, uint32_t value)
{
	uint32_t off = (uint32_t)pool->len;
	int r = osh_buf_add_str(pool, s);

	if (r < 0)
		return r;
	*slot = (struct img_intern_slot){ off, (uint32_t)s.n, slot->hash, value };
	in->count++;
	return 0;
}

/* ---- tables ---- */

static void build_init(struct img_build *b)
{
	*b = (struct img_build){ 0 };
	for (int t = 0; t < IMG_TABLES; t++)
		osh_buf_init(&b->tab[t], OSH_IMAGE_MAX_BYTES, 0);
	osh_buf_init(&b->glob_keys, OSH_IMAGE_MAX_BYTES, 0);
	osh_buf_init(&b->class_keys, OSH_IMAGE_MAX_BYTES, 0);
}

static void build_fini(struct img_build *b)
{
	for (int t = 0; t < IMG_TABLES; t++)
		osh_buf_fini(&b->tab[t]);
	osh_buf_fini(&b->glob_keys);
	osh_buf_fini(&b->class_keys);
	free(b->texts.slots);
	free(b->globs.slots);
	free(b->classes.slots);
	free(b->hosts);
	*b = (struct img_build){ 0 };
}

uint32_t img_build_count(const struct img_build *b, enum img_table t)
{
	return (uint32_t)(b->tab[t].len / record_sizes[t]);
}

int img_build_add(struct img_build *b, enum img_table t, const void *record)
{
	return osh_buf_add(&b->tab[t], record, record_sizes[t]);
}

int img_build_text(struct img_build *b, struct osh_str s, struct img_str *ret)
{
	struct img_intern_slot *slot;
	int r;

	r = intern_slot(&b->texts, &b->tab[IMG_TEXT], s, &slot);
	if (r < 0)
		return r;
	if (slot->value == IMG_NONE) {
		r = intern_put(&b->texts, slot, &b->tab[IMG_TEXT], s, 0);
		if (r < 0)
			return r;
	}
	*ret = (struct img_str){ slot->off, slot->len };
	return 0;
}

int img_build_glob(struct img_build *b, enum osh_glob_dialect dialect, struct osh_str pattern,
		   uint32_t *ret_glob)
{
	osh_auto_bufmem struct osh_buf key = { 0 };
	struct img_intern_slot *slot;
	size_t off;
	int r;

	osh_buf_init(&key, OSH_IMAGE_MAX_BYTES, 0);
	r = osh_buf_add_c(&key, (char)dialect);
	if (!r)
		r = osh_buf_add_str(&key, pattern);
	if (!r)
		r = intern_slot(&b->globs, &b->glob_keys, osh_buf_str(&key), &slot);
	if (r < 0)
		return r;
	if (slot->value == IMG_NONE) {
		r = osh_glob_compile(dialect, pattern, &b->tab[IMG_PROG], &off);
		if (r < 0)
			return r == -EBADMSG ? -EINVAL : r;
		r = intern_put(&b->globs, slot, &b->glob_keys, osh_buf_str(&key),
			       (uint32_t)(off / sizeof(uint64_t)));
		if (r < 0)
			return r;
	}
	*ret_glob = slot->value;
	return 0;
}

/* ---- binaries ---- */

static int add_binary(struct img_build *b, const struct osh_binary *bin, struct osh_str path,
		      uint32_t class_id)
{
	struct img_binary rec = { .class_id = class_id, .glob = IMG_NONE };
	int r;

	r = img_build_text(b, path, &rec.pattern);
	if (r < 0)
		return r;
	if (memchr(path.p, '*', path.n)) {
		rec.flags |= IMG_BIN_IS_GLOB;
		r = img_build_glob(b, OSH_GLOB_BINARY, path, &rec.glob);
		if (r < 0)
			return r;
	}
	if (bin->scope == OSH_SCOPE_EXACT)
		rec.flags |= IMG_BIN_EXACT_SCOPE;
	if (bin->has_sha256) {
		rec.flags |= IMG_BIN_PINNED;
		memcpy(rec.sha256, bin->sha256, sizeof(rec.sha256));
	}
	return img_build_add(b, IMG_BINARIES, &rec);
}

static int add_class(struct img_build *b, const struct osh_entry *entry, uint32_t class_id)
{
	struct img_class rec = { .binaries.first = img_build_count(b, IMG_BINARIES) };
	int r;

	for (size_t i = 0; i < entry->n_binaries; i++) {
		const struct osh_binary *bin = &entry->binaries[i];

		r = add_binary(b, bin, bin->path, class_id);
		if (r < 0)
			return r;
		for (size_t k = 0; k < b->naliases; k++) {
			/* a glob in @to would grant more than one file; it never comes from readlink */
			if (!osh_str_eq(b->aliases[k].from, bin->path) ||
			    osh_str_eq(b->aliases[k].to, bin->path) ||
			    memchr(b->aliases[k].to.p, '*', b->aliases[k].to.n))
				continue;
			r = add_binary(b, bin, b->aliases[k].to, class_id);
			if (r < 0)
				return r;
			break; /* a path leads to one place */
		}
	}
	rec.binaries.count = img_build_count(b, IMG_BINARIES) - rec.binaries.first;
	return img_build_add(b, IMG_CLASSES, &rec);
}

/* Everything of a list of binaries that matters for matching, as one key. */
static int class_key(const struct osh_entry *entry, struct osh_buf *key)
{
	for (size_t i = 0; i < entry->n_binaries; i++) {
		const struct osh_binary *bin = &entry->binaries[i];
		uint32_t n = (uint32_t)bin->path.n;
		char flags = (char)((bin->scope == OSH_SCOPE_EXACT) | (bin->has_sha256 ? 2 : 0));
		int r;

		r = osh_buf_add(key, &n, sizeof(n));
		if (!r)
			r = osh_buf_add_str(key, bin->path);
		if (!r)
			r = osh_buf_add_c(key, flags);
		if (!r && bin->has_sha256)
			r = osh_buf_add(key, bin->sha256, sizeof(bin->sha256));
		if (r < 0)
			return r;
	}
	return 0;
}

static int class_of(struct img_build *b, const struct osh_entry *entry, uint32_t *ret_class)
{
	osh_auto_bufmem struct osh_buf key = { 0 };
	struct img_intern_slot *slot;
	uint32_t id = img_build_count(b, IMG_CLASSES);
	int r;

	osh_buf_init(&key, OSH_IMAGE_MAX_BYTES, 0);
	r = class_key(entry, &key);
	if (!r)
		r = intern_slot(&b->classes, &b->class_keys, osh_buf_str(&key), &slot);
	if (r < 0)
		return r;
	if (slot->value == IMG_NONE) {
		r = add_class(b, entry, id);
		if (!r)
			r = intern_put(&b->classes, slot, &b->class_keys, osh_buf_str(&key), id);
		if (r < 0)
			return r;
	}
	*ret_class = slot->value;
	return 0;
}

static int compare_binaries(const void *a, const void *b, void *build)
{
	const struct img_build *bld = build;
	const struct img_binary *bins = (const void *)bld->tab[IMG_BINARIES].data;
	const struct img_str *x = &bins[*(const uint32_t *)a].pattern;
	const struct img_str *y = &bins[*(const uint32_t *)b].pattern;
	const char *text = bld->tab[IMG_TEXT].data;
	int r = osh_str_cmp((struct osh_str){ text + x->off, x->len },
			    (struct osh_str){ text + y->off, y->len });

	if (r)
		return r;
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

/* Exact patterns are found by binary search, globs are tried one by one (once per identity). */
static int index_binaries(struct img_build *b)
{
	uint32_t n = img_build_count(b, IMG_BINARIES);

	for (uint32_t i = 0; i < n; i++) {
		const struct img_binary *bins = (const void *)b->tab[IMG_BINARIES].data;
		bool glob = bins[i].flags & IMG_BIN_IS_GLOB;
		int r = img_build_add(b, glob ? IMG_BIN_GLOB : IMG_BIN_EXACT, &i);

		if (r < 0)
			return r;
	}
	if (img_build_count(b, IMG_BIN_EXACT))
		qsort_r(b->tab[IMG_BIN_EXACT].data, img_build_count(b, IMG_BIN_EXACT),
			sizeof(uint32_t), compare_binaries, b);
	return 0;
}

/* ---- hosts ---- */

/*
 * The text after the last wildcard character and the dot that follows it: every name the pattern
 * matches ends in "." and this. Empty when there is no such text.
 */
static struct osh_str literal_suffix(struct osh_str pattern)
{
	size_t i = pattern.n;

	while (i > 0 && !strchr("*?[]{}\\", pattern.p[i - 1]))
		i--;
	for (; i < pattern.n; i++)
		if (pattern.p[i] == '.')
			return osh_str_sub(pattern, i + 1, pattern.n - i - 1);
	return OSH_STR("");
}

static int add_hostref(struct img_build *b, struct osh_str key, uint32_t kind, uint32_t endpoint)
{
	struct img_hostref ref = { .kind = kind, .endpoint = endpoint };
	int r = img_build_text(b, key, &ref.key);

	if (r < 0)
		return r;
	if (b->nhosts == b->hosts_cap) {
		size_t cap = b->hosts_cap ? 2 * b->hosts_cap : 64;
		struct img_hostref *hosts = reallocarray(b->hosts, cap, sizeof(*hosts));

		if (!hosts)
			return -ENOMEM;
		b->hosts = hosts;
		b->hosts_cap = cap;
	}
	b->hosts[b->nhosts++] = ref;
	return 0;
}

static int compare_hostrefs(const void *a, const void *b)
{
	const struct img_hostref *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->key.off != y->key.off)
		return x->key.off < y->key.off ? -1 : 1;
	if (x->key.len != y->key.len)
		return x->key.len < y->key.len ? -1 : 1;
	return x->endpoint < y->endpoint ? -1 : x->endpoint > y->endpoint;
}

static bool same_name(const struct img_hostref *a, const struct img_hostref *b)
{
	return a->key.off == b->key.off && a->key.len == b->key.len;
}

/* Open addressing, at most half full, so that every probe ends. */
static int add_slots(struct img_build *b, enum img_table t, const struct img_hostref *refs,
		     size_t n)
{
	osh_auto_free struct img_slot *slots = NULL;
	size_t names = 0, cap = 4;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		names += !i || !same_name(&refs[i], &refs[i - 1]);
	if (!names)
		return 0;
	while (cap < 2 * names)
		cap *= 2;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0, end; i < n; i = end) {
		struct img_slot slot = { .key = refs[i].key };
		size_t at;

		slot.hash = img_hash(
			(struct osh_str){ b->tab[IMG_TEXT].data + slot.key.off, slot.key.len });
		slot.refs.first = img_build_count(b, IMG_HOST_REFS);
		for (end = i; end < n && same_name(&refs[end], &refs[i]); end++) {
			r = img_build_add(b, IMG_HOST_REFS, &refs[end].endpoint);
			if (r < 0)
				return r;
		}
		slot.refs.count = (uint32_t)(end - i);
		for (at = slot.hash & (cap - 1); slots[at].refs.count; at = (at + 1) & (cap - 1))
			;
		slots[at] = slot;
	}
	return osh_buf_add(&b->tab[t], slots, cap * sizeof(*slots));
}

static int index_hosts(struct img_build *b, struct osh_image *head)
{
	size_t any = 0, exact;
	int r;

	if (b->nhosts)
		qsort(b->hosts, b->nhosts, sizeof(*b->hosts), compare_hostrefs);
	while (any < b->nhosts && b->hosts[any].kind == IMG_HOST_ANY)
		any++;
	for (exact = any; exact < b->nhosts && b->hosts[exact].kind == IMG_HOST_EXACT; exact++)
		;
	head->any_host = (struct img_span){ img_build_count(b, IMG_HOST_REFS), (uint32_t)any };
	for (size_t i = 0; i < any; i++) {
		r = img_build_add(b, IMG_HOST_REFS, &b->hosts[i].endpoint);
		if (r < 0)
			return r;
	}
	r = add_slots(b, IMG_HOST_SLOTS, b->hosts + any, exact - any);
	if (r < 0)
		return r;
	return add_slots(b, IMG_SUFFIX_SLOTS, b->hosts + exact, b->nhosts - exact);
}

/* ---- endpoints ---- */

static int compare_ports(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static int add_ports(struct img_build *b, const struct osh_endpoint *ep, struct img_span *ret)
{
	uint32_t first = img_build_count(b, IMG_PORTS);
	int r;

	if (!ep->n_ports)
		return 0;
	r = osh_buf_add(&b->tab[IMG_PORTS], ep->ports, ep->n_ports * sizeof(*ep->ports));
	if (r < 0)
		return r;
	qsort(b->tab[IMG_PORTS].data + first * sizeof(uint16_t), ep->n_ports, sizeof(uint16_t),
	      compare_ports);
	*ret = (struct img_span){ first, (uint32_t)ep->n_ports };
	return 0;
}

static int add_cidrs(struct img_build *b, const struct osh_endpoint *ep, struct img_span *ret)
{
	ret->first = img_build_count(b, IMG_CIDRS);
	for (size_t i = 0; i < ep->allowed_ips.n; i++) {
		struct osh_cidr cidr = { 0 };
		int r = osh_allowed_ip_parse(ep->allowed_ips.v[i], &cidr, NULL);

		if (r < 0)
			return -EINVAL;
		r = img_build_add(b, IMG_CIDRS, &cidr);
		if (r < 0)
			return r;
	}
	ret->count = (uint32_t)ep->allowed_ips.n;
	return 0;
}

static int add_host(struct img_build *b, const struct osh_endpoint *ep, struct img_endpoint *rec)
{
	uint32_t id = img_build_count(b, IMG_ENDPOINTS);
	char fold[OSH_GLOB_LITERAL_MAX];
	struct osh_str host = { fold, ep->host.n };
	int r;

	if (ep->host.n > sizeof(fold))
		return -EINVAL;
	for (size_t i = 0; i < ep->host.n; i++)
		fold[i] = osh_lower(ep->host.p[i]);
	r = img_build_text(b, host, &rec->host);
	if (r < 0)
		return r;
	if (!host.n) {
		/* no host means "any host, filtered by address": never without a filter */
		if (!ep->allowed_ips.n)
			return -EINVAL;
		rec->host_kind = IMG_HOST_ANY;
		return add_hostref(b, host, IMG_HOST_ANY, id);
	}
	if (!memchr(host.p, '*', host.n)) {
		rec->host_kind = IMG_HOST_EXACT;
		return add_hostref(b, host, IMG_HOST_EXACT, id);
	}
	rec->host_kind = IMG_HOST_GLOB;
	r = img_build_glob(b, OSH_GLOB_HOST, host, &rec->host_glob);
	if (r < 0)
		return r;
	return add_hostref(b, literal_suffix(host), IMG_HOST_GLOB, id);
}

static int add_path(struct img_build *b, const struct osh_endpoint *ep, struct img_endpoint *rec)
{
	int r = img_build_text(b, ep->path, &rec->path);

	if (r < 0)
		return r;
	rec->specificity = (uint32_t)osh_glob_specificity(ep->path);
	if (!ep->path.n)
		return 0;
	r = img_build_glob(b, OSH_GLOB_ENDPOINT_PATH, ep->path, &rec->select_glob);
	if (r < 0)
		return r;
	return img_build_glob(b, OSH_GLOB_PATH, ep->path, &rec->gate_glob);
}

static enum osh_inspect inspect_of(enum osh_protocol protocol)
{
	switch (protocol) {
	case OSH_PROTO_NONE:
	case OSH_PROTO_TCP:
		return OSH_INSPECT_NONE;
	case OSH_PROTO_REST:
		return OSH_INSPECT_REST;
	case OSH_PROTO_WEBSOCKET:
		return OSH_INSPECT_WEBSOCKET;
	case OSH_PROTO_GRAPHQL:
		return OSH_INSPECT_GRAPHQL;
	case OSH_PROTO_JSON_RPC:
		return OSH_INSPECT_JSON_RPC;
	case OSH_PROTO_MCP:
		return OSH_INSPECT_MCP;
	case OSH_PROTO_SQL:
		break;
	}
	return OSH_INSPECT_SQL; /* no parser: denied */
}

static uint32_t endpoint_flags(const struct osh_entry *entry, const struct osh_endpoint *ep)
{
	uint32_t flags = 0;
	bool user = !ep->advisor_proposed;

	for (size_t i = 0; i < entry->n_binaries; i++)
		user = user && !entry->binaries[i].advisor_proposed;
	flags |= user ? IMG_EP_USER_DECLARED : 0;
	flags |= ep->enforcement == OSH_ENFORCE ? IMG_EP_ENFORCE : 0;
	flags |= ep->tls == OSH_TLS_SKIP ? IMG_EP_TLS_SKIP : 0;
	flags |= ep->tls == OSH_TLS_TERMINATE ? IMG_EP_TERMINATE : 0;
	flags |= ep->allow_encoded_slash ? IMG_EP_ENCODED_SLASH : 0;
	flags |= ep->protocol == OSH_PROTO_TCP ? IMG_EP_TCP : 0;
	if ((ep->protocol != OSH_PROTO_NONE && ep->protocol != OSH_PROTO_TCP) ||
	    ep->allowed_ips.n || ep->tls_text.n)
		flags |= IMG_EP_EXTENDED;
	flags |= ep->mcp_strict_tool_names ? IMG_EP_STRICT_TOOLS : 0;
	flags |= ep->mcp_allow_all_known_methods ? IMG_EP_MCP_ALL : 0;
	if (ep->protocol == OSH_PROTO_WEBSOCKET ||
	    (ep->protocol == OSH_PROTO_REST && ep->websocket_credential_rewrite))
		flags |= IMG_EP_WS_MESSAGES;
	if (ep->persisted_queries == OSH_PERSISTED_ALLOW_REGISTERED)
		flags |= IMG_EP_PERSISTED;
	return flags;
}

static int add_endpoint(struct img_build *b, const struct osh_entry *entry, uint32_t entry_id,
			uint32_t index)
{
	const struct osh_endpoint *ep = &entry->endpoints[index];
	struct img_endpoint rec = {
		.entry = entry_id,
		.index = index,
		.line = ep->at.line,
		.host_glob = IMG_NONE,
		.gate_glob = IMG_NONE,
		.select_glob = IMG_NONE,
		.inspect = (uint16_t)inspect_of(ep->protocol),
		.flags = endpoint_flags(entry, ep),
		.max_body = ep->protocol == OSH_PROTO_GRAPHQL ? osh_endpoint_graphql_max(ep)
							      : osh_endpoint_rpc_max(ep),
	};
	int r;

	r = add_host(b, ep, &rec);
	if (!r)
		r = add_path(b, ep, &rec);
	if (!r)
		r = add_ports(b, ep, &rec.ports);
	if (!r)
		r = add_cidrs(b, ep, &rec.cidrs);
	if (!r)
		r = img_build_rules(b, ep, &rec);
	if (r < 0)
		return r;
	return img_build_add(b, IMG_ENDPOINTS, &rec);
}

static int add_entry(struct img_build *b, const struct osh_entry *entry)
{
	struct img_entry rec = { .line = entry->at.line };
	uint32_t id = img_build_count(b, IMG_ENTRIES);
	int r;

	r = img_build_text(b, entry->key, &rec.key);
	if (!r)
		r = img_build_text(b, entry->name.n ? entry->name : entry->key, &rec.name);
	if (!r)
		r = class_of(b, entry, &rec.class_id);
	rec.endpoints = (struct img_span){ img_build_count(b, IMG_ENDPOINTS),
					   (uint32_t)entry->n_endpoints };
	for (uint32_t i = 0; !r && i < entry->n_endpoints; i++)
		r = add_endpoint(b, entry, id, i);
	if (r < 0)
		return r;
	return img_build_add(b, IMG_ENTRIES, &rec);
}

/* ---- the block ---- */

static int emit(struct img_build *b, struct osh_image *head, struct osh_buf *ret_block)
{
	static const char zeros[OSH_IMAGE_ALIGN];
	size_t at = (sizeof(*head) + OSH_IMAGE_ALIGN - 1) & ~(size_t)(OSH_IMAGE_ALIGN - 1);
	size_t start = ret_block->len;
	int r;

	for (int t = 0; t < IMG_TABLES; t++) {
		head->tab[t] = (struct img_tab){ at, (uint32_t)(b->tab[t].len / record_sizes[t]),
						 (uint32_t)record_sizes[t] };
		at += (b->tab[t].len + OSH_IMAGE_ALIGN - 1) & ~(size_t)(OSH_IMAGE_ALIGN - 1);
	}
	if (at > OSH_IMAGE_MAX_BYTES)
		return -EMSGSIZE;
	head->bytes = at;
	r = osh_buf_reserve(ret_block, at);
	if (r < 0)
		return r;
	/* reserved: these cannot fail */
	r = osh_buf_add(ret_block, head, sizeof(*head));
	for (int t = 0; !r && t < IMG_TABLES; t++) {
		r = osh_buf_add(ret_block, zeros, start + head->tab[t].off - ret_block->len);
		if (!r && b->tab[t].len)
			r = osh_buf_add(ret_block, b->tab[t].data, b->tab[t].len);
	}
	if (!r)
		r = osh_buf_add(ret_block, zeros, start + at - ret_block->len);
	return r;
}

static void init_head(struct osh_image *head, uint64_t generation)
{
	*head = (struct osh_image){ .format = IMG_FORMAT, .generation = generation };
	memcpy(head->magic, IMG_MAGIC, sizeof(head->magic));
	memset(head->hash, '0', 64);
}

static bool is_hash(const char *hash)
{
	if (strlen(hash) != 64)
		return false;
	for (const char *p = hash; *p; p++)
		if (!osh_is_digit(*p) && (*p < 'a' || *p > 'f'))
			return false;
	return true;
}

int osh_image_compile_with(const struct osh_policy *policy, uint64_t generation, const char *hash,
			   const struct osh_image_alias *aliases, size_t naliases,
			   struct osh_buf *ret_block)
{
	struct osh_image head;
	struct img_build b;
	int r = 0;

	if (!is_hash(hash))
		return -EINVAL;
	init_head(&head, generation);
	memcpy(head.hash, hash, 64);
	build_init(&b);
	b.aliases = aliases;
	b.naliases = naliases;
	for (size_t i = 0; !r && i < policy->n_entries; i++)
		r = add_entry(&b, &policy->entries[i]);
	if (!r)
		r = index_binaries(&b);
	if (!r)
		r = index_hosts(&b, &head);
	if (!r)
		r = emit(&b, &head, ret_block);
	build_fini(&b);
	return r;
}

int osh_image_compile(const struct osh_policy *policy, uint64_t generation, const char *hash,
		      struct osh_buf *ret_block)
{
	return osh_image_compile_with(policy, generation, hash, NULL, 0, ret_block);
}

int osh_image_quarantine(uint64_t generation, struct osh_str why, struct osh_buf *ret_block)
{
	struct osh_image head;
	struct img_build b;
	int r;

	init_head(&head, generation);
	head.flags = IMG_F_QUARANTINE;
	build_init(&b);
	r = img_build_text(&b, osh_str_sub(why, 0, osh_utf8_cut(why, 500)), &head.why);
	if (!r)
		r = emit(&b, &head, ret_block);
	build_fini(&b);
	return r;
}
