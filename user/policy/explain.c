/* SPDX-License-Identifier: MIT */
#include "policy/explain.h"
#include "policy/decide_match.h"

struct asked {
	const struct osh_image *img;
	const struct osh_identity *id;
	struct osh_str host; /* folded */
	unsigned int port;
	const struct osh_request_facts *facts;
	struct img_request req;
};

struct found {
	struct osh_near *list;
	size_t n, max;
};

/* ---- keeping the best ---- */

/* How far off: the number of things missed, a foreign host counting most. */
static unsigned int distance(const struct osh_near *near)
{
	unsigned int d = 2u * (unsigned int)__builtin_popcount(near->missed);

	return near->missed & OSH_MISS_HOST ? d + 1 : d;
}

/* Sorted insertion; equal ones keep their order. The farthest falls out when the list is full. */
static void keep(struct found *f, const struct osh_near *near)
{
	size_t at = f->n;

	while (at > 0 && distance(&f->list[at - 1]) > distance(near))
		at--;
	if (at >= f->max)
		return;
	if (f->n < f->max)
		f->n++;
	for (size_t i = f->n - 1; i > at; i--)
		f->list[i] = f->list[i - 1];
	f->list[at] = *near;
}

/* ---- hosts ---- */

static bool host_matches(const struct asked *q, const struct img_endpoint *ep)
{
	switch (ep->host_kind) {
	case IMG_HOST_ANY:
		return true;
	case IMG_HOST_EXACT:
		return osh_str_eq(img_text(q->img, ep->host), q->host);
	case IMG_HOST_GLOB:
		return img_glob_match(q->img, ep->host_glob, q->host);
	default:
		return false;
	}
}

/* "*.x" did not match, "**.x" would have. */
static bool is_one_label_miss(const struct asked *q, const struct img_endpoint *ep)
{
	struct osh_str pattern = img_text(q->img, ep->host);

	return pattern.n > 2 && pattern.p[0] == '*' && pattern.p[1] == '.' &&
	       osh_str_has_suffix(q->host, osh_str_sub(pattern, 1, pattern.n));
}

/* A name a person may have meant: a slip of the pen, a subdomain, a parent, a trailing dot. */
static bool is_similar_host(const struct asked *q, const struct img_endpoint *ep)
{
	struct osh_str listed = img_text(q->img, ep->host);
	struct osh_str longer = listed.n > q->host.n ? listed : q->host;
	struct osh_str shorter = listed.n > q->host.n ? q->host : listed;

	if (is_one_label_miss(q, ep))
		return true;
	if (shorter.n > 3 && memchr(shorter.p, '.', shorter.n) && longer.n > shorter.n &&
	    osh_str_has_suffix(longer, shorter) && longer.p[longer.n - shorter.n - 1] == '.')
		return true;
	return listed.n > 4 && listed.n < 64 && q->host.n < 64 &&
	       osh_str_distance(listed, q->host) <= 2;
}

/* ---- binaries ---- */

static bool pattern_is(const struct asked *q, const struct img_binary *bin, struct osh_str path)
{
	if (!path.n)
		return false;
	if (bin->flags & IMG_BIN_IS_GLOB)
		return img_glob_match(q->img, bin->glob, path);
	return osh_str_eq(img_text(q->img, bin->pattern), path);
}

/* What is missing for this binary to be the process (self) or one of its ancestors; 0: nothing. */
static unsigned int binary_miss(const struct asked *q, const struct img_binary *bin,
				const struct osh_identity_exe *exe, bool self)
{
	unsigned int missed = 0;

	if (!pattern_is(q, bin, exe->path))
		return OSH_MISS_BINARY;
	if (!self && (bin->flags & IMG_BIN_EXACT_SCOPE))
		missed |= OSH_MISS_SCOPE;
	if ((bin->flags & IMG_BIN_PINNED) &&
	    (!exe->sha256 || memcmp(exe->sha256, bin->sha256, sizeof(bin->sha256)) != 0))
		missed |= OSH_MISS_PIN;
	return missed;
}

static unsigned int class_miss(const struct asked *q, uint32_t class_id)
{
	const struct img_span *bins = &img_class(q->img, class_id)->binaries;
	unsigned int best = OSH_MISS_BINARY;

	if (q->id->tainted)
		return OSH_MISS_BINARY;
	for (uint32_t i = 0; i < bins->count && best; i++) {
		const struct img_binary *bin = img_binary(q->img, bins->first + i);
		size_t n = OSH_MIN(q->id->nancestors, (size_t)OSH_IDENTITY_ANCESTORS);

		for (size_t k = 0; k <= n && best; k++) {
			const struct osh_identity_exe *exe = k ? &q->id->ancestors[k - 1]
							       : &q->id->self;
			unsigned int missed = binary_miss(q, bin, exe, !k);

			if (!missed || !(missed & OSH_MISS_BINARY))
				best = missed;
		}
	}
	return best;
}

/* ---- endpoints and rules ---- */

static bool port_matches(const struct asked *q, const struct img_endpoint *ep)
{
	for (uint32_t i = 0; i < ep->ports.count; i++)
		if (*img_port(q->img, ep->ports.first + i) == q->port)
			return true;
	return false;
}

static unsigned int rule_miss(const struct asked *q, const struct img_rule *rule)
{
	struct img_rule probe = *rule;
	unsigned int missed = 0;

	/* ask for one property at a time by opening the others */
	probe.path_kind = IMG_PATH_ANY;
	probe.query.count = 0;
	if (!img_rule_matches_http(q->img, &probe, &q->req, false))
		missed |= OSH_MISS_METHOD;
	probe = *rule;
	probe.methods = IMG_M_ANY;
	probe.query.count = 0;
	if (!img_rule_matches_http(q->img, &probe, &q->req, false))
		missed |= OSH_MISS_PATH;
	probe = *rule;
	probe.methods = IMG_M_ANY;
	probe.path_kind = IMG_PATH_ANY;
	if (!img_rule_matches_http(q->img, &probe, &q->req, false))
		missed |= OSH_MISS_QUERY;
	return missed;
}

static void look_at_rules(const struct asked *q, const struct img_endpoint *ep, size_t target,
			  struct found *f)
{
	struct osh_near near = { .target = target, .is_rule = true };

	if (ep->inspect != OSH_INSPECT_REST && ep->inspect != OSH_INSPECT_WEBSOCKET)
		return;
	if (ep->gate_glob != IMG_NONE && !img_glob_match(q->img, ep->gate_glob, q->facts->path)) {
		near.is_rule = false;
		near.line = ep->line;
		near.missed = OSH_MISS_ENDPOINT_PATH;
		keep(f, &near);
		return;
	}
	for (uint32_t i = 0; i < ep->allow.count; i++) {
		const struct img_rule *rule = img_rule(q->img, ep->allow.first + i);

		near.missed = rule_miss(q, rule);
		near.line = rule->line;
		near.rule_method = img_text(q->img, rule->method);
		near.rule_path = img_text(q->img, rule->path);
		/* a rule that shares nothing with the request is no near miss */
		if (near.missed && __builtin_popcount(near.missed) == 1)
			keep(f, &near);
	}
}

static void look_at(const struct asked *q, size_t target, struct found *f)
{
	const struct img_endpoint *ep = img_endpoint(q->img, (uint32_t)target);
	struct osh_near near = { .target = target, .line = ep->line };

	if (!host_matches(q, ep)) {
		if (!is_similar_host(q, ep))
			return;
		near.missed |= OSH_MISS_HOST;
		near.one_label = is_one_label_miss(q, ep);
	}
	if (!port_matches(q, ep))
		near.missed |= OSH_MISS_PORT;
	near.missed |= class_miss(q, img_entry(q->img, ep->entry)->class_id);
	/* a similar name, or no name, is near only when nothing else is wrong */
	if ((near.missed & OSH_MISS_HOST || ep->host_kind == IMG_HOST_ANY) &&
	    __builtin_popcount(near.missed) > 1)
		return;
	if (near.missed)
		keep(f, &near);
	else if (q->facts)
		look_at_rules(q, ep, target, f);
}

size_t osh_explain_near(const struct osh_image *img, const struct osh_identity *id,
			struct osh_str host, unsigned int port,
			const struct osh_request_facts *facts, struct osh_near *ret_near,
			size_t max)
{
	struct asked q = { .img = img, .id = id, .port = port, .facts = facts };
	struct found f = { ret_near, 0, max };
	char fold[IMG_HOST_MAX];

	if (!img_fold_host(host, fold, sizeof(fold)))
		return 0;
	q.host = (struct osh_str){ fold, host.n };
	if (facts)
		img_request_init(&q.req, facts);
	for (size_t i = 0; i < osh_image_target_count(img); i++)
		look_at(&q, i, &f);
	return f.n;
}
