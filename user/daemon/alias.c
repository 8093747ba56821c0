/* SPDX-License-Identifier: MIT */
#include "daemon/alias.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "sys/fs.h"
#include "sys/inroot.h"

enum { STATUS_MAX = 16384 };

static size_t count_binaries(const struct osh_policy *policy)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->n_entries; i++)
		n += policy->entries[i].n_binaries;
	return n;
}

/* 1: @ret holds the pair; 0: the path is what it says, or leads nowhere; -ENOMEM. */
static int resolve(int root_fd, uid_t sandboxed, struct osh_str path, struct osh_arena *arena,
		   struct osh_image_alias *ret)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (memchr(path.p, '*', path.n) || path.n >= sizeof(from) || memchr(path.p, '\0', path.n))
		return 0;
	memcpy(from, path.p, path.n);
	from[path.n] = '\0';
	if (osh_inroot_resolve(root_fd, from, sandboxed, to, sizeof(to)) < 0 || !strcmp(from, to))
		return 0;
	ret->from = path;
	ret->to = osh_arena_str(arena, osh_str(to));
	return ret->to.p ? 1 : -ENOMEM;
}

static bool is_known(const struct osh_image_alias *list, size_t n, struct osh_str path)
{
	for (size_t i = 0; i < n; i++)
		if (osh_str_eq(list[i].from, path))
			return true;
	return false;
}

/* Whose the sandbox's processes are: what @pid runs as, not who owns its files in /proc. */
static int process_uid(pid_t pid, uid_t *ret_uid)
{
	osh_auto_bufmem struct osh_buf text;
	struct osh_str rest, line, word;
	char path[64];
	uint64_t uid;
	int r;

	osh_buf_init(&text, STATUS_MAX, 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid); /* fits */
	r = osh_fs_read(path, STATUS_MAX, &text);
	if (r < 0)
		return r;
	rest = osh_buf_str(&text);
	while (osh_str_split(&rest, '\n', &line)) {
		if (!osh_str_has_prefix(line, OSH_STR("Uid:\t")))
			continue;
		line = osh_str_sub(line, 5, line.n);
		word = osh_str_sub(line, 0, osh_str_find(line, '\t'));
		if (osh_parse_u64(word, UINT32_MAX, &uid) < 0)
			break;
		*ret_uid = (uid_t)uid;
		return 0;
	}
	return -EBADMSG;
}

int osh_alias_collect(pid_t pid, const struct osh_policy *policy, struct osh_arena *arena,
		      const struct osh_image_alias **ret_aliases, size_t *ret_count)
{
	struct osh_image_alias *list = osh_arena_array(arena, count_binaries(policy) + 1,
						       sizeof(*list));
	osh_auto_close int root_fd = -1;
	size_t n = 0;
	char path[64];
	uid_t uid;
	int err;

	if (!list)
		return -ENOMEM;
	err = process_uid(pid, &uid);
	if (err < 0)
		return err;
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid); /* fits */
	root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	for (size_t i = 0; i < policy->n_entries; i++) {
		const struct osh_entry *entry = &policy->entries[i];

		for (size_t k = 0; k < entry->n_binaries; k++) {
			struct osh_str bin = entry->binaries[k].path;
			int r = is_known(list, n, bin)
					? 0
					: resolve(root_fd, uid, bin, arena, &list[n]);

			if (r < 0)
				return r;
			n += r > 0;
		}
	}
	*ret_aliases = list;
	*ret_count = n;
	return 0;
}
