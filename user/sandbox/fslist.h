/* SPDX-License-Identifier: MIT */
/*
 * The filesystem lists of a policy, resolved against the host: what is shown, from where, and how.
 * Used by init to build the root and the Landlock ruleset, and without side effects by
 * osh_sandbox_check_paths().
 */
#ifndef OSH_SANDBOX_FSLIST_H
#define OSH_SANDBOX_FSLIST_H

#include "sandbox/path.h"
#include "sandbox/sandbox.h"

enum osh_fs_kind {
	OSH_FS_HOST = 0, /* copied from the host's tree */
	OSH_FS_PRIVATE, /* /sandbox, /tmp and below: this sandbox's own, never the host's */
	OSH_FS_PROC, /* /proc and below: always our own, always read-only */
	OSH_FS_DEV, /* our own /dev, or a device node in it */
	OSH_FS_SYS, /* /sys: a new instance */
	OSH_FS_ETC, /* /etc: the host's under our generated files */
};

struct osh_fs_entry {
	enum osh_fs_kind kind;
	bool write;
	bool is_dir;
	bool is_chardev;
	struct osh_path path;
};

/* Who hears about entries that are not taken as they stand. */
enum osh_fs_remark_level {
	OSH_FS_REMARK_FATAL = 0, /* the list is refused whatever the mode */
	OSH_FS_REMARK_SKIPPED, /* fatal in hard_requirement, otherwise left out or weakened */
	OSH_FS_REMARK_MISSING, /* read_only path that is not there; fatal in hard_requirement */
	OSH_FS_REMARK_RISK, /* taken as it stands, but somebody should know */
	OSH_FS_REMARK_NOTE,
};

struct osh_fs_lists {
	struct osh_sandbox_paths read_only, read_write;
	const char *workdir; /* NULL: no workdir to include */
	struct osh_sandbox_ids ids;
	bool create; /* make missing read_write directories */
	void (*on_remark)(struct osh_fs_lists *lists, enum osh_fs_remark_level level,
			  const char *path, const char *text);
};

struct osh_fs_set {
	struct osh_fs_entry *entries; /* sorted by real path: parents before children; no twins */
	size_t count;
	unsigned int skipped; /* entries left out */
	int worst; /* enum osh_fs_remark_level of the worst remark; _NOTE when there was none */
};

/* 0 even when there were remarks (look at ret_set->worst); -ENOMEM and the like otherwise. */
int osh_fs_resolve(struct osh_fs_lists *lists, struct osh_fs_set *ret_set) OSH_MUST_CHECK;
void osh_fs_set_fini(struct osh_fs_set *set);
/* The nearest entry at or above @real; NULL: none. */
const struct osh_fs_entry *osh_fs_find_cover(const struct osh_fs_set *set, const char *real);

#endif
