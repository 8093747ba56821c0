/* SPDX-License-Identifier: MIT */
#include "policy/defaults.h"

static const char default_yaml[] = "version: 1\n"
				   "filesystem_policy:\n"
				   "  include_workdir: true\n"
				   "  read_only:\n"
				   "  - /usr\n"
				   "  - /lib\n"
				   "  - /proc\n"
				   "  - /dev/urandom\n"
				   "  - /app\n"
				   "  - /etc\n"
				   "  - /var/log\n"
				   "  read_write:\n"
				   "  - /sandbox\n"
				   "  - /tmp\n"
				   "  - /dev/null\n"
				   "landlock:\n"
				   "  compatibility: best_effort\n"
				   "process:\n"
				   "  run_as_user: sandbox\n"
				   "  run_as_group: sandbox\n";

const char *osh_policy_default_yaml(void)
{
	return default_yaml;
}

int osh_policy_default(struct osh_policy **ret_policy)
{
	osh_auto_diag struct osh_diag diag;
	int r;

	osh_diag_init(&diag, "(built-in policy)");
	r = osh_policy_load(osh_str(default_yaml), NULL, ret_policy, &diag);
	/* The text is ours and valid (a test holds it to that): only memory can be missing. */
	return r < 0 ? -ENOMEM : 0;
}
