/* SPDX-License-Identifier: MIT */
#include "sandbox/seccomp_role.h"

#include <errno.h>
#include <seccomp.h>

int osh_seccomp_role_enter(const char *const *names, bool log_only)
{
	scmp_filter_ctx ctx = seccomp_init(log_only ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (; r == 0 && *names; names++) {
		int nr = seccomp_syscall_resolve_name(*names);

		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		/* a pseudo number: this architecture reaches the call another way */
		if (r == -EDOM)
			r = 0;
	}
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
