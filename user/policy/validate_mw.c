/* SPDX-License-Identifier: MIT */
/* network_middlewares: limits, selectors, and what they cannot see. */
#include "policy/check.h"
#include "policy/glob.h"

/* Labels of letters, digits, '-', '_' and '*'; a double star only as a whole label; no braces. */
static bool is_selector(struct osh_str host)
{
	struct osh_str rest = host, label;

	if (host.n == 0 || host.n > 253)
		return false;
	while (osh_str_split(&rest, '.', &label)) {
		if (label.n == 0 || label.n > 63)
			return false;
		for (size_t i = 0; i < label.n; i++) {
			if (!osh_is_alnum(label.p[i]) && !memchr("-_*", label.p[i], 3))
				return false;
			if (i > 0 && label.p[i] == '*' && label.p[i - 1] == '*' && label.n != 2)
				return false;
		}
	}
	return true;
}

static void check_patterns(const struct osh_middleware *mw, const struct osh_strs *list,
			   const char *what, struct osh_diag *diag)
{
	for (size_t i = 0; i < list->n; i++)
		if (!is_selector(list->v[i]))
			osh_diag_err(
				diag, mw->endpoints_at.line, mw->endpoints_at.col,
				"network middleware '%.*s': %s host pattern '%.*s' is invalid; "
				"use names with '*' inside a label or '**' as a whole label",
				OSH_CLIP(mw->key), what, OSH_CLIP(list->v[i]));
}

static void check_selector(const struct osh_middleware *mw, struct osh_diag *diag)
{
	size_t n = mw->include.n + mw->exclude.n;

	if (!mw->has_endpoints) {
		osh_diag_err(diag, mw->at.line, mw->at.col,
			     "network middleware '%.*s': endpoint selector is required",
			     OSH_CLIP(mw->key));
		return;
	}
	if (mw->include.n == 0)
		osh_diag_err(diag, mw->endpoints_at.line, mw->endpoints_at.col,
			     "network middleware '%.*s': endpoints must include at least one host "
			     "pattern",
			     OSH_CLIP(mw->key));
	if (n > OSH_MIDDLEWARE_MAX_HOSTS)
		osh_diag_err(diag, mw->endpoints_at.line, mw->endpoints_at.col,
			     "network middleware '%.*s': too many selector patterns (%zu > %u)",
			     OSH_CLIP(mw->key), n, OSH_MIDDLEWARE_MAX_HOSTS);
	check_patterns(mw, &mw->include, "include", diag);
	check_patterns(mw, &mw->exclude, "exclude", diag);
}

/* A pattern that cannot be compared (reported elsewhere) counts as overlapping. */
static bool overlaps(struct osh_str a, struct osh_str b)
{
	return osh_host_patterns_overlap(a, b) != 0;
}

/* Is every host of the endpoint left out? Certain only for an exact host or the very same pattern. */
static bool is_excluded(const struct osh_middleware *mw, struct osh_str host)
{
	bool exact = host.n && osh_str_find(host, '*') == host.n;

	for (size_t i = 0; i < mw->exclude.n; i++) {
		if (osh_str_ieq(mw->exclude.v[i], host))
			return true;
		if (exact && is_selector(mw->exclude.v[i]) &&
		    osh_host_patterns_overlap(mw->exclude.v[i], host) == 1)
			return true;
	}
	return false;
}

static bool selects(const struct osh_middleware *mw, struct osh_str host)
{
	for (size_t i = 0; i < mw->include.n; i++)
		if (overlaps(mw->include.v[i], host))
			return !is_excluded(mw, host);
	return false;
}

/* A middleware that must see every request cannot stand in front of bytes that nobody decrypts. */
static void check_raw(const struct osh_policy *policy, const struct osh_middleware *mw,
		      struct osh_diag *diag)
{
	for (size_t i = 0; i < policy->n_entries; i++) {
		const struct osh_entry *entry = &policy->entries[i];

		for (size_t k = 0; k < entry->n_endpoints; k++) {
			const struct osh_endpoint *ep = &entry->endpoints[k];

			if (ep->tls != OSH_TLS_SKIP || !selects(mw, ep->host))
				continue;
			osh_diag_err(
				diag, ep->at.line, ep->at.col,
				"network middleware '%.*s' is fail_closed and selects the tls: "
				"skip endpoint '%.*s' of network policy '%.*s', whose traffic it "
				"cannot see; exclude the host or use on_error: fail_open",
				OSH_CLIP(mw->key), OSH_CLIP(ep->host), OSH_CLIP(entry->name));
		}
	}
}

static void check_orders(const struct osh_policy *policy, struct osh_diag *diag)
{
	/* At most ten pass the limit; the square of what a file can hold is bounded by it. */
	size_t n = OSH_MIN(policy->n_middlewares, (size_t)OSH_MIDDLEWARE_MAX + 1);

	for (size_t i = 1; i < n; i++)
		for (size_t k = 0; k < i; k++) {
			const struct osh_middleware *a = &policy->middlewares[k];
			const struct osh_middleware *b = &policy->middlewares[i];

			if (a->order != b->order)
				continue;
			osh_diag_err(
				diag, b->at.line, b->at.col,
				"network middleware '%.*s' has order %d, which '%.*s' has already; "
				"every order must be unique",
				OSH_CLIP(b->key), b->order, OSH_CLIP(a->key));
			break;
		}
}

void osh_check_middlewares(const struct osh_policy *policy, struct osh_diag *diag)
{
	if (policy->n_middlewares > OSH_MIDDLEWARE_MAX)
		osh_diag_err(diag, policy->middlewares[0].at.line, policy->middlewares[0].at.col,
			     "too many middleware configs (%zu > %u)", policy->n_middlewares,
			     OSH_MIDDLEWARE_MAX);
	check_orders(policy, diag);
	for (size_t i = 0; i < OSH_MIN(policy->n_middlewares, (size_t)OSH_MIDDLEWARE_MAX + 1);
	     i++) {
		const struct osh_middleware *mw = &policy->middlewares[i];

		if (mw->middleware.n == 0)
			osh_diag_err(diag, mw->at.line, mw->at.col,
				     "network middleware '%.*s' does not name its middleware",
				     OSH_CLIP(mw->key));
		if (mw->on_error_text.n && !osh_str_is(mw->on_error_text, "fail_closed") &&
		    !mw->fail_open)
			osh_diag_err(diag, mw->at.line, mw->at.col,
				     "network middleware '%.*s': invalid on_error '%.*s' (expected "
				     "fail_closed or fail_open)",
				     OSH_CLIP(mw->key), OSH_CLIP(mw->on_error_text));
		check_selector(mw, diag);
		if (!mw->fail_open)
			check_raw(policy, mw, diag);
	}
}
