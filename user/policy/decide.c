/* SPDX-License-Identifier: MIT */
/* Who may connect where. Requests: decide_req.c. */
#include "policy/decide.h"
#include "policy/image_fmt.h"

#define DETAIL_MAX 1024

/* ---- identity ---- */

struct osh_idclass {
	uint64_t generation;
	char hash[64]; /* of the image it belongs to */
	uint32_t nclasses;
	enum osh_reason why_none; /* reason to report when it matches nothing */
	bool empty;
	uint64_t bits[];
};

struct collect {
	struct osh_idclass *cls;
	bool ancestor;
};

static void add_class(void *arg, const struct img_binary *bin)
{
	struct collect *c = arg;

	if (c->ancestor && (bin->flags & IMG_BIN_EXACT_SCOPE))
		return;
	c->cls->bits[bin->class_id / 64] |= 1ull << bin->class_id % 64;
	c->cls->empty = false;
}

int osh_idclass_new(const struct osh_image *img, const struct osh_identity *id,
		    struct osh_idclass **ret_class)
{
	uint32_t n = img->tab[IMG_CLASSES].count;
	struct osh_idclass *cls = calloc(1, sizeof(*cls) + (n / 64 + 1) * sizeof(uint64_t));
	struct collect c = { .cls = cls };

	if (!cls)
		return -ENOMEM;
	cls->generation = img->generation;
	memcpy(cls->hash, img->hash, sizeof(cls->hash));
	cls->nclasses = n;
	cls->empty = true;
	cls->why_none = OSH_REASON_NO_BINARY;
	if (id->tainted) {
		cls->why_none = OSH_REASON_IDENTITY_TAINTED;
	} else if (!id->self.path.n) {
		cls->why_none = OSH_REASON_IDENTITY_UNKNOWN;
	} else {
		img_each_binary(img, &id->self, add_class, &c);
		c.ancestor = true;
		for (size_t i = 0; i < OSH_MIN(id->nancestors, (size_t)OSH_IDENTITY_ANCESTORS); i++)
			img_each_binary(img, &id->ancestors[i], add_class, &c);
	}
	*ret_class = cls;
	return 0;
}

struct osh_idclass *osh_idclass_free(struct osh_idclass *cls)
{
	free(cls);
	return NULL;
}

static bool idclass_has(const struct osh_idclass *cls, size_t class_id)
{
	return class_id < cls->nclasses && (cls->bits[class_id / 64] >> class_id % 64 & 1);
}

bool img_idclass_fits(const struct osh_image *img, const struct osh_idclass *cls)
{
	return cls->generation == img->generation && cls->nclasses == img->tab[IMG_CLASSES].count &&
	       !memcmp(cls->hash, img->hash, sizeof(cls->hash));
}

uint32_t img_match_next(struct img_walk *w, const struct osh_idclass *cls)
{
	for (uint32_t id; (id = img_walk_next(w)) != IMG_NONE;)
		if (idclass_has(cls, img_entry(w->img, img_endpoint(w->img, id)->entry)->class_id))
			return id;
	return IMG_NONE;
}

/* ---- connection ---- */

static enum osh_reason deny_reason(struct img_walk *w, const struct osh_idclass *cls)
{
	if (osh_image_is_quarantine(w->img))
		return OSH_REASON_QUARANTINE;
	if (!w->img->tab[IMG_ENTRIES].count)
		return OSH_REASON_NO_POLICY;
	img_walk_rewind(w);
	return img_walk_next(w) == IMG_NONE ? OSH_REASON_NO_ENDPOINT : cls->why_none;
}

/*
 * The facts of a connection come from several endpoints (reference 3.6): the reported entry is the
 * smallest, tls mode and allowed_ips are those of the first that carries any, and inspection is on
 * as soon as one of them has rules.
 */
static void fill_allowed(struct img_walk *w, const struct osh_idclass *cls,
			 struct osh_conn_verdict *v)
{
	const struct osh_image *img = w->img;
	uint32_t first = IMG_NONE, extended = IMG_NONE, ruled = IMG_NONE;
	bool terminate = false;

	img_walk_rewind(w);
	for (uint32_t id; (id = img_match_next(w, cls)) != IMG_NONE;) {
		const struct img_endpoint *ep = img_endpoint(img, id);

		first = OSH_MIN(first, id);
		if (ep->flags & IMG_EP_EXTENDED)
			extended = OSH_MIN(extended, id);
		if (ep->inspect != OSH_INSPECT_NONE)
			ruled = OSH_MIN(ruled, id);
		terminate = terminate || (ep->flags & IMG_EP_TERMINATE);
		v->allow_encoded_slash |= !!(ep->flags & IMG_EP_ENCODED_SLASH);
		v->is_tcp |= !!(ep->flags & IMG_EP_TCP);
		v->declared_exact |= ep->host_kind == IMG_HOST_EXACT &&
				     (ep->flags & IMG_EP_USER_DECLARED);
	}
	v->key = img_text(img, img_entry(img, img_endpoint(img, first)->entry)->key);
	v->name = img_text(img, img_entry(img, img_endpoint(img, first)->entry)->name);
	if (extended != IMG_NONE) {
		const struct img_endpoint *ep = img_endpoint(img, extended);

		v->tls_skip = ep->flags & IMG_EP_TLS_SKIP;
		v->nallowed_ips = ep->cidrs.count;
		v->allowed_ips = ep->cidrs.count ? img_cidr(img, ep->cidrs.first) : NULL;
	}
	if (v->tls_skip)
		return;
	if (ruled != IMG_NONE) {
		v->inspect = (enum osh_inspect)img_endpoint(img, ruled)->inspect;
		v->enforce = img_endpoint(img, ruled)->flags & IMG_EP_ENFORCE;
	} else if (terminate) {
		v->inspect = OSH_INSPECT_AUTHORITY;
	}
}

void osh_decide_conn(const struct osh_image *img, const struct osh_idclass *cls,
		     struct osh_str host, unsigned int port, struct osh_conn_verdict *ret_verdict)
{
	struct osh_conn_verdict v = { .generation = img->generation };
	struct img_walk w;
	bool valid = img_walk_init(&w, img, host, port) && port;

	if (!img_idclass_fits(img, cls)) {
		v.reason = OSH_REASON_GENERATION;
	} else if (!valid) {
		w.nspans = 0; /* matches nothing, whatever the port */
		v.reason = deny_reason(&w, cls);
	} else if (img_match_next(&w, cls) == IMG_NONE) {
		v.reason = deny_reason(&w, cls);
	} else {
		v.verdict = OSH_DECISION_ALLOW;
		fill_allowed(&w, cls, &v);
	}
	*ret_verdict = v;
}

/* ---- why not ---- */

const char *osh_conn_reason(const struct osh_conn_verdict *verdict)
{
	switch (verdict->reason) {
	case OSH_REASON_NONE:
		return "";
	case OSH_REASON_QUARANTINE:
		return "policy validation failed; fail-closed quarantine is active";
	case OSH_REASON_GENERATION:
		return "policy changed while the connection was set up";
	default:
		return "no matching network policy";
	}
}

static int add_escaped(struct osh_buf *out, struct osh_str s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c >= 0x7f || c == '\'' || c == '\\')
			r = osh_buf_printf(out, "\\x%02x", c);
		else
			r = osh_buf_add_c(out, (char)c);
	}
	return r;
}

static int add_ancestors(struct osh_buf *out, const struct osh_identity *id)
{
	int r;

	if (!id->nancestors)
		return 0;
	r = osh_buf_printf(out, " (ancestors: [");
	for (size_t i = 0; !r && i < id->nancestors; i++) {
		if (i)
			r = osh_buf_printf(out, " -> ");
		if (!r)
			r = add_escaped(out, id->ancestors[i].path);
	}
	if (!r)
		r = osh_buf_printf(out, "])");
	return r;
}

/* One clause for each entry that has the destination, in key order. */
static int add_binary_clauses(struct osh_buf *out, const struct osh_image *img,
			      const struct osh_identity *id, struct osh_str host, unsigned int port)
{
	struct img_walk w;
	uint32_t last = IMG_NONE;
	bool more = true;
	int r = 0;

	if (!img_walk_init(&w, img, host, port))
		return 0;
	/* the walk is in no order: take the smallest entry above the last one, again and again */
	while (!r && more) {
		uint32_t best = IMG_NONE;

		img_walk_rewind(&w);
		for (uint32_t ep; (ep = img_walk_next(&w)) != IMG_NONE;) {
			uint32_t entry = img_endpoint(img, ep)->entry;

			if (last == IMG_NONE || entry > last)
				best = OSH_MIN(best, entry);
		}
		more = best != IMG_NONE;
		if (!more)
			break;
		r = osh_buf_printf(out, "%sbinary '", last == IMG_NONE ? "" : "; ");
		last = best;
		if (!r)
			r = add_escaped(out, id->self.path);
		if (!r)
			r = osh_buf_printf(out, "' not allowed in policy '");
		if (!r)
			r = add_escaped(out, img_text(img, img_entry(img, best)->key));
		if (!r)
			r = osh_buf_printf(out, "'");
		if (!r)
			r = add_ancestors(out, id);
	}
	return r;
}

static int add_detail(struct osh_buf *out, const struct osh_image *img,
		      const struct osh_identity *id, struct osh_str host, unsigned int port,
		      const struct osh_conn_verdict *verdict)
{
	int r;

	switch (verdict->reason) {
	case OSH_REASON_NONE:
		return 0;
	case OSH_REASON_NO_POLICY:
		return osh_buf_printf(out, "network connections not allowed by policy");
	case OSH_REASON_QUARANTINE:
		r = osh_buf_printf(out,
				   "policy validation failed; fail-closed quarantine is active; ");
		return r ? r : add_escaped(out, osh_image_quarantine_why(img));
	case OSH_REASON_NO_ENDPOINT:
		r = osh_buf_printf(out, "endpoint ");
		if (!r)
			r = add_escaped(out, host);
		if (!r)
			r = osh_buf_printf(out, ":%u is not allowed by any policy", port);
		return r;
	case OSH_REASON_IDENTITY_TAINTED:
		return osh_buf_printf(out, "the calling process is not only its binary");
	case OSH_REASON_IDENTITY_UNKNOWN:
		return osh_buf_printf(out, "the calling binary could not be identified");
	case OSH_REASON_NO_BINARY:
		return add_binary_clauses(out, img, id, host, port);
	default:
		return osh_buf_printf(out, "%s", osh_conn_reason(verdict));
	}
}

int osh_conn_detail(const struct osh_image *img, const struct osh_identity *id, struct osh_str host,
		    unsigned int port, const struct osh_conn_verdict *verdict,
		    struct osh_buf *ret_text)
{
	osh_auto_bufmem struct osh_buf text = { 0 };
	int r;

	osh_buf_init(&text, DETAIL_MAX, 0);
	r = add_detail(&text, img, id, host, port, verdict);
	if (r == -EMSGSIZE) /* cut: what is there is ASCII and true as far as it goes */
		r = 0;
	if (!r)
		r = osh_buf_add_str(ret_text, osh_buf_str(&text));
	return r;
}
