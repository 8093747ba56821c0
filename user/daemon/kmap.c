/* SPDX-License-Identifier: MIT */
/* The kernel's share of a policy image. */
#include "daemon/publish.h"

int osh_kmap_publish(struct osh_sandbox *sb, const struct osh_sb_policy *policy)
{
	/* The proxies decide; the kernel redirects and carries the generation. */
	struct osh_kern_policy kp = {
		.generation = policy->generation,
		.flags = OSH_POL_ALL_TO_PROXY,
	};

	return osh_kern_publish(sb->m->kern, sb->id, &kp);
}
