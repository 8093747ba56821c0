/* SPDX-License-Identifier: MIT */
#include "sandbox/seccomp_role.h"

#include <errno.h>
#include <seccomp.h>

static int add_rules(scmp_filter_ctx ctx, uint32_t action, const char *const *names)
{
	for (; *names; names++) {
		int nr = seccomp_syscall_resolve_name(*names);
		int r = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, action, nr, 0);

		/* -EDOM: a pseudo number, this architecture reaches the call another way */
		if (r < 0 && r != -EDOM)
			return r;
	}
	return 0;
}

static int load(uint32_t otherwise, uint32_t action, const char *const *names)
{
	scmp_filter_ctx ctx = seccomp_init(otherwise);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = add_rules(ctx, action, names);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int osh_seccomp_role_enter(const char *const *names)
{
	return load(SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW, names);
}

int osh_seccomp_deny(const char *const *names)
{
	return load(SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM), names);
}
