/* SPDX-License-Identifier: MIT */
/* The Landlock ruleset for a root that osh_root_enter() made. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "sandbox/landlock.h"
#include "sandbox/root.h"

struct rules {
	struct osh_root *root;
	unsigned int abi;
	int fd;
	unsigned int applied, skipped;
};

/* In every sandbox, whatever is listed: made by us, nothing of the host's in it. */
static const struct {
	const char *path;
	enum osh_landlock_access access;
} always[] = {
	{ "/", OSH_LANDLOCK_LIST },	      { "/proc", OSH_LANDLOCK_READ },
	{ "/etc", OSH_LANDLOCK_READ },	      { "/dev/null", OSH_LANDLOCK_WRITE },
	{ "/dev/zero", OSH_LANDLOCK_WRITE },  { "/dev/full", OSH_LANDLOCK_WRITE },
	{ "/dev/random", OSH_LANDLOCK_READ }, { "/dev/urandom", OSH_LANDLOCK_READ },
	{ "/dev/tty", OSH_LANDLOCK_WRITE },   { "/dev/pts", OSH_LANDLOCK_WRITE },
	{ "/dev/shm", OSH_LANDLOCK_WRITE },
};

static bool is_hard(const struct rules *rules)
{
	return rules->root->spec->landlock == OSH_SANDBOX_LANDLOCK_HARD;
}

static int add(struct rules *rules, const char *path, enum osh_landlock_access access)
{
	osh_auto_close int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : osh_landlock_allow(rules->fd, rules->abi, fd, access);

	if (r == 0) {
		rules->applied++;
		return 0;
	}
	if (is_hard(rules))
		return osh_report_fail(rules->root->status_fd, r, "landlock-rule", path);
	rules->skipped++;
	osh_report_note(rules->root->status_fd, OSH_SANDBOX_NOTE_MEDIUM,
			"Skipping inaccessible Landlock path (best-effort) [path:%s error:%s]",
			path, strerror(-r));
	return 0;
}

static int add_listed(struct rules *rules)
{
	const struct osh_fs_set *set = &rules->root->set;
	bool tmp_listed = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < set->count; i++) {
		const struct osh_fs_entry *e = &set->entries[i];
		struct stat st;

		if (strcmp(e->path.real, "/tmp") == 0)
			tmp_listed = true;
		/* A private path that is listed to be read but that nobody has made. */
		if (e->kind == OSH_FS_PRIVATE && !e->write && lstat(e->path.real, &st) < 0) {
			rules->skipped++;
			continue;
		}
		if (e->kind == OSH_FS_DEV && strcmp(e->path.real, "/dev") == 0)
			continue; /* its nodes have their own rules */
		r = add(rules, e->path.real, e->write ? OSH_LANDLOCK_WRITE : OSH_LANDLOCK_READ);
	}
	if (r == 0 && !tmp_listed)
		r = add(rules, "/tmp", OSH_LANDLOCK_WRITE);
	return r;
}

static void announce(struct rules *rules)
{
	const struct osh_spec *spec = rules->root->spec;
	const char *compat = is_hard(rules) ? "HardRequirement" : "BestEffort";
	unsigned int write = spec->read_write.count + (spec->include_workdir ? 1 : 0);
	int fd = rules->root->status_fd;

	osh_report_note(fd, OSH_SANDBOX_NOTE_INFO,
			"Landlock filesystem sandbox available [abi:v%u compat:%s ro:%u rw:%u]",
			rules->abi, compat, spec->read_only.count, write);
	osh_report_note(fd, OSH_SANDBOX_NOTE_INFO,
			"Applying Landlock filesystem sandbox [abi:V%u compat:%s ro:%u rw:%u]",
			rules->abi, compat, spec->read_only.count, write);
}

int osh_root_landlock(struct osh_root *root, unsigned int *ret_abi, int *ret_ruleset)
{
	struct rules rules = { .root = root, .abi = osh_landlock_abi(), .fd = -1 };
	int r;

	if (!rules.abi) {
		if (is_hard(&rules))
			return osh_report_fail(root->status_fd, -EOPNOTSUPP, "landlock",
					       "the kernel has no Landlock and the policy says "
					       "hard_requirement");
		osh_report_note(root->status_fd, OSH_SANDBOX_NOTE_HIGH,
				"Landlock Filesystem Sandbox Unavailable");
		*ret_abi = 0;
		*ret_ruleset = -1;
		return 0;
	}
	announce(&rules);
	r = osh_landlock_new(rules.abi, &rules.fd);
	if (r < 0)
		return osh_report_fail(root->status_fd, r, "landlock-ruleset", NULL);
	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(always); i++)
		r = add(&rules, always[i].path, always[i].access);
	if (r == 0)
		r = add_listed(&rules);
	if (r < 0) {
		osh_close_ptr(&rules.fd);
		return r;
	}
	osh_report_note(root->status_fd, OSH_SANDBOX_NOTE_INFO,
			"Landlock ruleset built [rules_applied:%u skipped:%u]", rules.applied,
			rules.skipped + root->set.skipped);
	*ret_abi = rules.abi;
	*ret_ruleset = rules.fd;
	return 0;
}
