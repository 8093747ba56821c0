/* SPDX-License-Identifier: MIT */
#include "policy/validate.h"

#include <stdarg.h>
#include <stdio.h>

#include "policy/check.h"
#include "policy/glob.h"
#include "policy/names.h"

/* ---- messages ---- */

void osh_check_ports(const struct osh_endpoint *ep, char *dst, size_t size)
{
	size_t len = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < ep->n_ports; i++) {
		int n = snprintf(dst + len, size - len, "%s%u", i ? "," : "", ep->ports[i]);

		if (n < 0 || (size_t)n >= size - len) {
			dst[len] = '\0';
			return;
		}
		len += (size_t)n;
	}
}

static void format(const struct osh_check *c, char *dst, size_t size, const char *fmt, va_list ap)
{
	char ports[64];
	int n;

	osh_check_ports(c->ep, ports, sizeof(ports));
	n = snprintf(dst, size,
		     "network policy '%.*s' endpoint[%zu] (%.*s:%s): ", OSH_CLIP(c->entry->name),
		     c->index, OSH_CLIP(c->ep->host), ports);
	if (n > 0 && (size_t)n < size)
		(void)vsnprintf(dst + n, size - (size_t)n, fmt, ap); /* may be cut, that is fine */
}

void osh_check_err(const struct osh_check *c, struct osh_place at, const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	va_start(ap, fmt);
	format(c, text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!at.line)
		at = c->ep->at;
	osh_diag_err(c->diag, at.line, at.col, "%s", text);
}

void osh_check_warn(const struct osh_check *c, struct osh_place at, const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	va_start(ap, fmt);
	format(c, text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!at.line)
		at = c->ep->at;
	osh_diag_warn(c->diag, at.line, at.col, "%s", text);
}

/* ---- static sections ---- */

static void check_identity(struct osh_diag *diag, struct osh_place at, const char *field,
			   struct osh_str value)
{
	uint64_t id;

	if (value.n == 0 || osh_str_is(value, "sandbox"))
		return;
	if (osh_parse_u64(value, 4294967294u, &id) == 0 && id >= 1)
		return;
	osh_diag_err(
		diag, at.line, at.col,
		"%s must be 'sandbox' or a numeric UID/GID in range [1, 4294967294], got '%.*s'",
		field, OSH_CLIP(value));
}

static void check_paths(struct osh_diag *diag, const struct osh_strs *list,
			const struct osh_place *places, bool writable)
{
	for (size_t i = 0; i < list->n; i++) {
		struct osh_str path = list->v[i];
		struct osh_place at = places ? places[i] : (struct osh_place){ 0, 0 };

		if (path.n > OSH_POLICY_MAX_PATH_BYTES)
			osh_diag_err(diag, at.line, at.col,
				     "path exceeds maximum length (%zu > %u bytes): '%.*s...'",
				     path.n, OSH_POLICY_MAX_PATH_BYTES, OSH_CLIP(path));
		if (path.n == 0 || path.p[0] != '/')
			osh_diag_err(diag, at.line, at.col,
				     "path must be absolute (start with '/'): '%.*s'",
				     OSH_CLIP(path));
		if (osh_fs_path_has_dotdot(path))
			osh_diag_err(diag, at.line, at.col,
				     "path contains '..' traversal component: '%.*s'",
				     OSH_CLIP(path));
		if (writable && osh_str_is(path, "/"))
			osh_diag_err(diag, at.line, at.col,
				     "read-write path is overly broad: '%.*s'", OSH_CLIP(path));
	}
}

static void check_static(const struct osh_policy *policy, struct osh_diag *diag)
{
	const struct osh_policy_fs *fs = &policy->filesystem;
	const struct osh_policy_landlock *ll = &policy->landlock;
	size_t paths = fs->read_only.n + fs->read_write.n;

	check_identity(diag, policy->process.user_at, "run_as_user", policy->process.run_as_user);
	check_identity(diag, policy->process.group_at, "run_as_group",
		       policy->process.run_as_group);
	if (paths > OSH_POLICY_MAX_PATHS)
		osh_diag_err(diag, fs->at.line, fs->at.col, "too many filesystem paths (%zu > %u)",
			     paths, OSH_POLICY_MAX_PATHS);
	check_paths(diag, &fs->read_only, fs->read_only_at, false);
	check_paths(diag, &fs->read_write, fs->read_write_at, true);
	if (ll->compatibility.n && !ll->hard_requirement &&
	    !osh_str_is(ll->compatibility, "best_effort"))
		osh_diag_warn(diag, ll->at.line, ll->at.col,
			      "landlock compatibility '%.*s' is neither best_effort nor "
			      "hard_requirement and is treated as best_effort",
			      OSH_CLIP(ll->compatibility));
}

/* ---- entries ---- */

static void check_key(const struct osh_entry *entry, struct osh_diag *diag)
{
	if (!osh_str_has_prefix(entry->key, OSH_STR("_provider_")))
		return;
	osh_diag_err(
		diag, entry->at.line, entry->at.col,
		"network_policies key '%.*s' uses reserved '_provider_' prefix for provider "
		"composition; use 'openshell policy get <sandbox> --base' for a round-trippable "
		"base policy, or use 'openshell policy get <sandbox> --full' to inspect the "
		"effective policy including provider entries",
		OSH_CLIP(entry->key));
}

static void check_binaries(const struct osh_entry *entry, struct osh_diag *diag)
{
	if (entry->n_binaries == 0)
		osh_diag_warn(diag, entry->at.line, entry->at.col,
			      "network policy '%.*s' has no binaries: it matches no program and "
			      "allows nothing",
			      OSH_CLIP(entry->name));
	for (size_t i = 0; i < entry->n_binaries; i++) {
		const struct osh_binary *b = &entry->binaries[i];
		const char *why;

		if (osh_glob_check(OSH_GLOB_BINARY, b->path, &why) < 0)
			osh_diag_err(diag, b->at.line, b->at.col,
				     "network policy '%.*s': invalid binary pattern '%.*s': %s",
				     OSH_CLIP(entry->name), OSH_CLIP(b->path), why);
		else if (b->path.n == 0 || (b->path.p[0] != '/' && b->path.p[0] != '*'))
			osh_diag_warn(
				diag, b->at.line, b->at.col,
				"network policy '%.*s': binary '%.*s' is not an absolute path "
				"and matches no program",
				OSH_CLIP(entry->name), OSH_CLIP(b->path));
	}
}

static void check_entry(const struct osh_policy *policy, const struct osh_entry *entry,
			struct osh_diag *diag)
{
	struct osh_check c = { .diag = diag, .policy = policy, .entry = entry };

	check_key(entry, diag);
	check_binaries(entry, diag);
	if (entry->n_endpoints == 0)
		osh_diag_warn(diag, entry->at.line, entry->at.col,
			      "network policy '%.*s' has no endpoints and allows nothing",
			      OSH_CLIP(entry->name));
	for (size_t i = 0; i < entry->n_endpoints; i++) {
		c.ep = &entry->endpoints[i];
		c.index = i;
		/* Errors were reported inside: what seems to be missing may be what is wrong. */
		if (c.ep->incomplete)
			continue;
		osh_check_endpoint(&c);
		osh_check_rules(&c);
	}
}

int osh_policy_validate(const struct osh_policy *policy, struct osh_diag *diag)
{
	unsigned int errors = diag->errors;
	int r;

	check_static(policy, diag);
	for (size_t i = 0; i < policy->n_entries; i++)
		check_entry(policy, &policy->entries[i], diag);
	osh_check_middlewares(policy, diag);
	r = osh_policy_check_ambiguity(policy, diag);
	if (r == -ENOMEM)
		return r;
	return diag->errors == errors ? 0 : -EBADMSG;
}
