/* SPDX-License-Identifier: MIT */
/* process.run_as_user / run_as_group, and the dry check of the filesystem lists. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "sandbox/fslist.h"
#include "sandbox/sandbox.h"

#define ID_MAX 4294967294u

static bool is_default(const char *text)
{
	return !text || !text[0] || strcmp(text, OSH_SANDBOX_USER) == 0;
}

static int parse_id(const char *text, const char *field, uint32_t *ret_id, struct osh_diag *diag)
{
	uint64_t value;

	if (osh_parse_u64(osh_str(text), ID_MAX, &value) < 0 || value == 0) {
		osh_diag_err(diag, 0, 0,
			     "%s must be 'sandbox' or a numeric UID/GID in range [1, 4294967294], "
			     "got '%s'",
			     field, text);
		return -EINVAL;
	}
	*ret_id = (uint32_t)value;
	return 0;
}

static int find_user(uint32_t *ret_uid, struct osh_diag *diag)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(OSH_SANDBOX_USER);
	if (pw && pw->pw_uid) {
		*ret_uid = pw->pw_uid;
		return 0;
	}
	osh_diag_err(diag, 0, 0,
		     "the system user 'sandbox' does not exist; make it with: "
		     "useradd --system --user-group --no-create-home --home-dir /sandbox "
		     "--shell /usr/sbin/nologin sandbox");
	return -ENOENT;
}

static int find_group(uint32_t *ret_gid, struct osh_diag *diag)
{
	const struct group *gr;

	errno = 0;
	gr = getgrnam(OSH_SANDBOX_USER);
	if (gr && gr->gr_gid) {
		*ret_gid = gr->gr_gid;
		return 0;
	}
	osh_diag_err(diag, 0, 0,
		     "the system group 'sandbox' does not exist; make it with: "
		     "groupadd --system sandbox");
	return -ENOENT;
}

int osh_sandbox_run_as(const char *user, const char *group, struct osh_sandbox_ids *ret_ids,
		       struct osh_diag *diag)
{
	uint32_t uid = 0, gid = 0;
	int r, g;

	r = is_default(user) ? find_user(&uid, diag) : parse_id(user, "run_as_user", &uid, diag);
	g = is_default(group) ? find_group(&gid, diag)
			      : parse_id(group, "run_as_group", &gid, diag);
	if (r < 0 || g < 0)
		return r < 0 ? r : g;
	*ret_ids = (struct osh_sandbox_ids){ uid, gid };
	return 0;
}

struct checker {
	struct osh_fs_lists lists;
	struct osh_diag *diag;
	bool hard;
};

static void on_remark(struct osh_fs_lists *lists, enum osh_fs_remark_level level, const char *path,
		      const char *text)
{
	struct checker *chk = osh_container_of(lists, struct checker, lists);

	if (level == OSH_FS_REMARK_FATAL || (chk->hard && level <= OSH_FS_REMARK_MISSING))
		osh_diag_err(chk->diag, 0, 0, "filesystem path %s %s", OSH_Q(path), text);
	else if (level != OSH_FS_REMARK_NOTE)
		osh_diag_warn(chk->diag, 0, 0, "filesystem path %s %s", OSH_Q(path), text);
}

int osh_sandbox_check_paths(const struct osh_sandbox_cfg *cfg, struct osh_diag *diag)
{
	struct checker chk = {
		.lists = {
			.read_only = cfg->read_only,
			.read_write = cfg->read_write,
			.workdir = !cfg->include_workdir ? NULL :
				   cfg->workdir		 ? cfg->workdir :
							   OSH_SANDBOX_HOME,
			.ids = cfg->ids,
			.on_remark = on_remark,
		},
		.diag = diag,
		.hard = cfg->landlock == OSH_SANDBOX_LANDLOCK_HARD,
	};
	struct osh_fs_set set;
	int r, worst;

	if (cfg->read_only.count + cfg->read_write.count > OSH_SANDBOX_PATHS_MAX) {
		osh_diag_err(diag, 0, 0, "too many filesystem paths (%zu > %u)",
			     cfg->read_only.count + cfg->read_write.count, OSH_SANDBOX_PATHS_MAX);
		return -EINVAL;
	}
	r = osh_fs_resolve(&chk.lists, &set);
	if (r < 0)
		return r;
	worst = set.worst;
	osh_fs_set_fini(&set);
	return worst <= (chk.hard ? OSH_FS_REMARK_MISSING : OSH_FS_REMARK_FATAL) ? -EINVAL : 0;
}
