/* SPDX-License-Identifier: MIT */
/* Sections that act only at start: a running sandbox may be told them again, not told others. */
#include "policy/check.h"
#include "policy/validate.h"

static bool has(const struct osh_strs *list, struct osh_str path)
{
	for (size_t i = 0; i < list->n; i++)
		if (osh_str_eq(list->v[i], path))
			return true;
	return false;
}

static struct osh_place place_of(const struct osh_place *places, size_t i, struct osh_place section)
{
	return places ? places[i] : section;
}

static void diff_paths(const struct osh_strs *base, const struct osh_strs *next,
		       const struct osh_place *places, struct osh_place section, const char *list,
		       struct osh_diag *diag)
{
	for (size_t i = 0; i < base->n; i++)
		if (!has(next, base->v[i]))
			osh_diag_err(
				diag, section.line, section.col,
				"filesystem %s path '%.*s' cannot be removed on a live sandbox",
				list, OSH_CLIP(base->v[i]));
	for (size_t i = 0; i < next->n; i++) {
		struct osh_place at = place_of(places, i, section);

		if (!has(base, next->v[i]))
			osh_diag_err(diag, at.line, at.col,
				     "filesystem %s path '%.*s' cannot be added on a live sandbox "
				     "(applied at startup)",
				     list, OSH_CLIP(next->v[i]));
	}
}

static void diff_filesystem(const struct osh_policy_fs *base, const struct osh_policy_fs *next,
			    struct osh_diag *diag)
{
	if (base->present && !next->present) {
		osh_diag_err(diag, 0, 0, "filesystem policy cannot be removed on a live sandbox");
		return;
	}
	if (!base->present && next->present) {
		osh_diag_err(diag, next->at.line, next->at.col,
			     "filesystem policy cannot be added on a live sandbox (applied at "
			     "startup)");
		return;
	}
	if (base->include_workdir != next->include_workdir)
		osh_diag_err(diag, next->at.line, next->at.col,
			     "filesystem include_workdir cannot be changed on a live sandbox");
	diff_paths(&base->read_only, &next->read_only, next->read_only_at, next->at, "read_only",
		   diag);
	diff_paths(&base->read_write, &next->read_write, next->read_write_at, next->at,
		   "read_write", diag);
}

int osh_policy_static_diff(const struct osh_policy *base, const struct osh_policy *next,
			   struct osh_diag *diag)
{
	unsigned int errors = diag->errors;

	diff_filesystem(&base->filesystem, &next->filesystem, diag);
	if (base->landlock.present != next->landlock.present ||
	    !osh_str_eq(base->landlock.compatibility, next->landlock.compatibility))
		osh_diag_err(diag, next->landlock.at.line, next->landlock.at.col,
			     "landlock policy cannot be changed on a live sandbox (applied at "
			     "startup)");
	if (base->process.present != next->process.present ||
	    !osh_str_eq(base->process.run_as_user, next->process.run_as_user) ||
	    !osh_str_eq(base->process.run_as_group, next->process.run_as_group))
		osh_diag_err(diag, next->process.at.line, next->process.at.col,
			     "process policy cannot be changed on a live sandbox (applied at "
			     "startup)");
	return diag->errors == errors ? 0 : -EBADMSG;
}
