/* SPDX-License-Identifier: MIT */
/*
 * Inside of a publish: revision -> compiled image -> every proxy has mapped it -> kernel table
 * swapped and revision committed -> proxies switched -> done. See publish.c.
 */
#ifndef OSH_DAEMON_PUBLISH_H
#define OSH_DAEMON_PUBLISH_H

#include "daemon/monitor.h"

enum osh_publish_step {
	OSH_PUBLISH_QUEUED = 0,
	OSH_PUBLISH_LOADING, /* proxies map the image */
	OSH_PUBLISH_SWITCHING, /* kernel has it, proxies switch */
};

struct osh_publish {
	struct osh_list node; /* osh_sandbox.publish_queue */
	struct osh_sandbox *sb;
	enum osh_publish_step step;
	bool global;
	bool broken; /* the stored text does not load */
	uint64_t version;
	char reason[256]; /* of a quarantine */
	struct osh_sb_policy policy;
	struct osh_policy *doc;
	uint64_t waiting; /* bit per proxy that has not answered this step */
	uint64_t told; /* bit per proxy that was given the image */
	struct osh_timer deadline;
	osh_publish_fn *done;
	void *arg;
};

/*
 * kmap.c: the kernel's share of an image. All rows at once, or what a new name or a newly hashed
 * executable adds to the policy in force (nothing to do, and no error, when there is none).
 */
int osh_kmap_publish(struct osh_sandbox *sb, const struct osh_sb_policy *policy) OSH_MUST_CHECK;
void osh_kmap_add_name(struct osh_sandbox *sb, uint32_t host_id, const char *host);
void osh_kmap_add_exe(struct osh_sandbox *sb, uint32_t exe);

#endif
