/* SPDX-License-Identifier: MIT */
#include "sandbox/fslist.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define ENTRIES_MAX (3 * OSH_SANDBOX_PATHS_MAX) /* both lists and an expanded "/" */

struct resolver {
	struct osh_fs_lists *lists;
	struct osh_fs_set set;
};

static void remark(struct resolver *res, enum osh_fs_remark_level level, const char *path,
		   const char *text)
{
	if ((int)level < res->set.worst)
		res->set.worst = (int)level;
	if (level == OSH_FS_REMARK_MISSING || level == OSH_FS_REMARK_SKIPPED)
		res->set.skipped++;
	res->lists->on_remark(res->lists, level, path, text);
}

static bool is_private(const char *path)
{
	return osh_path_is_below(path, OSH_SANDBOX_HOME) || osh_path_is_below(path, "/tmp");
}

static enum osh_fs_kind kind_of(const char *path)
{
	if (is_private(path))
		return OSH_FS_PRIVATE;
	if (osh_path_is_below(path, "/proc"))
		return OSH_FS_PROC;
	if (osh_path_is_below(path, "/dev"))
		return OSH_FS_DEV;
	if (strcmp(path, "/sys") == 0)
		return OSH_FS_SYS;
	if (strcmp(path, "/etc") == 0)
		return OSH_FS_ETC;
	return OSH_FS_HOST;
}

static struct osh_fs_entry *find_twin(struct resolver *res, const char *real)
{
	for (size_t i = 0; i < res->set.count; i++)
		if (strcmp(res->set.entries[i].path.real, real) == 0)
			return &res->set.entries[i];
	return NULL;
}

/* The lists are a union, as Landlock rules are: listed twice means the wider right. */
static int add_entry(struct resolver *res, struct osh_fs_entry *take_entry)
{
	struct osh_fs_entry *twin = find_twin(res, take_entry->path.real);

	if (twin) {
		/* Another way to the same place: its links matter, the place is known. */
		twin->write |= take_entry->write;
		for (unsigned int i = 0; i < take_entry->path.links_count &&
					 twin->path.links_count < OSH_PATH_LINKS_MAX;
		     i++) {
			twin->path.links[twin->path.links_count++] = take_entry->path.links[i];
			take_entry->path.links[i] = (struct osh_path_link){ 0 };
		}
		osh_path_fini(&take_entry->path);
		return 0;
	}
	if (res->set.count == ENTRIES_MAX) {
		osh_path_fini(&take_entry->path);
		return -E2BIG;
	}
	res->set.entries[res->set.count++] = *take_entry;
	return 0;
}

/*
 * Make the missing tail of a read_write directory; the last one belongs to the sandbox. Walks step
 * by step, so that no link made meanwhile is followed.
 */
static int make_dirs(struct resolver *res, const char *path, struct osh_path *walk)
{
	char part[PATH_MAX];
	const char *slash = path;
	int r = 0;

	while (r == 0 && *slash) {
		const char *next = strchr(slash + 1, '/');
		size_t n = next ? (size_t)(next - path) : strlen(path);

		memcpy(part, path, n);
		part[n] = '\0';
		r = osh_path_walk(part, false, walk);
		if (r == -ENOENT) {
			char *name = strrchr(part, '/');

			*name++ = '\0';
			r = osh_path_walk(part[0] ? part : "/", false, walk);
			if (r == 0 && mkdirat(walk->fd, name, 0755) < 0)
				r = -errno;
			if (r == 0 && !next &&
			    fchownat(walk->fd, name, res->lists->ids.uid, res->lists->ids.gid,
				     AT_SYMLINK_NOFOLLOW) < 0)
				r = -errno;
		}
		slash += next ? (size_t)(next - slash) : strlen(slash);
	}
	return r < 0 ? r : osh_path_walk(path, true, walk);
}

static int walk_host(struct resolver *res, const char *path, bool write, struct osh_path *walk)
{
	int r = osh_path_walk(path, write, walk);

	if (r == -ENOENT && write && res->lists->create)
		r = make_dirs(res, path, walk);
	return r;
}

/* True when the entry is usable; remarks otherwise. */
static bool check_type(struct resolver *res, const char *path, struct osh_fs_entry *entry)
{
	struct stat st;

	if (fstat(entry->path.fd, &st) < 0) {
		remark(res, OSH_FS_REMARK_SKIPPED, path, "cannot be examined");
		return false;
	}
	entry->is_dir = S_ISDIR(st.st_mode);
	entry->is_chardev = S_ISCHR(st.st_mode) && entry->kind == OSH_FS_DEV;
	if (entry->is_dir || S_ISREG(st.st_mode) || entry->is_chardev)
		return true;
	if (S_ISSOCK(st.st_mode))
		remark(res, OSH_FS_REMARK_SKIPPED, path,
		       "is a Unix socket of the host, which would be a way around the network policy");
	else
		remark(res, OSH_FS_REMARK_SKIPPED, path,
		       "is neither a directory nor a file nor a character device in /dev");
	return false;
}

/* What is never writable becomes read-only. */
static void weaken(struct resolver *res, const char *path, struct osh_fs_entry *entry)
{
	if (!entry->write)
		return;
	if (entry->kind == OSH_FS_PROC || entry->kind == OSH_FS_SYS || entry->kind == OSH_FS_ETC ||
	    osh_path_is_below(entry->path.real, "/sys")) {
		remark(res, OSH_FS_REMARK_SKIPPED, path, "is never writable and stays read-only");
		res->set.skipped--; /* weakened, not left out */
		entry->write = false;
	}
}

static int expand_root(struct resolver *res);

static int add_path(struct resolver *res, const char *text, bool write)
{
	struct osh_fs_entry entry = { .write = write };
	char path[PATH_MAX];
	int r;

	osh_path_init(&entry.path);
	if (osh_path_normalise(text, path) < 0) {
		remark(res, OSH_FS_REMARK_FATAL, text,
		       "must be absolute, without '..' and control characters");
		return 0;
	}
	if (strcmp(path, "/") == 0) {
		if (!write)
			return expand_root(res);
		remark(res, OSH_FS_REMARK_FATAL, text, "is overly broad for read_write");
		return 0;
	}
	entry.kind = kind_of(path);
	if (entry.kind == OSH_FS_PRIVATE || entry.kind == OSH_FS_PROC) {
		(void)osh_strlcpy(entry.path.real, path, sizeof(entry.path.real));
		entry.is_dir = true; /* decided when the root is built */
		weaken(res, path, &entry);
		return add_entry(res, &entry);
	}
	r = walk_host(res, path, write, &entry.path);
	if (r == -ELOOP && write)
		remark(res, OSH_FS_REMARK_FATAL, path, "is a symlink, which read_write refuses");
	else if (r == -EXDEV)
		remark(res, OSH_FS_REMARK_FATAL, entry.path.real,
		       "is a symlink that somebody else than root could have made");
	else if (r == -ENOENT && write && !res->lists->create)
		remark(res, OSH_FS_REMARK_NOTE, path, "does not exist and will be made");
	else if (r == -ENOENT || r == -ENOTDIR)
		remark(res, OSH_FS_REMARK_MISSING, path, "does not exist");
	else if (r < 0)
		remark(res, OSH_FS_REMARK_SKIPPED, path, strerror(-r));
	if (r == 0) {
		entry.kind = kind_of(entry.path.real); /* links may have led anywhere */
		weaken(res, path, &entry);
		if (osh_path_is_below(entry.path.real, "/run"))
			remark(res, OSH_FS_REMARK_RISK, path,
			       "may hold Unix sockets of the host, which no network policy covers");
		if (check_type(res, path, &entry))
			return add_entry(res, &entry);
	}
	osh_path_fini(&entry.path);
	return 0;
}

/* read_only "/" means every top directory; ours stay ours. */
static int expand_root(struct resolver *res)
{
	DIR *dir = opendir("/");
	struct dirent *de;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (de = readdir(dir))) {
		char path[NAME_MAX + 2];

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		(void)snprintf(path, sizeof(path), "/%s", de->d_name);
		if (kind_of(path) == OSH_FS_PRIVATE)
			continue;
		r = add_path(res, path, false);
	}
	(void)closedir(dir);
	return r;
}

static int compare_entries(const void *a, const void *b)
{
	const struct osh_fs_entry *x = a, *y = b;
	const char *p = x->path.real, *q = y->path.real;

	while (*p && *p == *q)
		p++, q++;
	/* '/' sorts before every other character, so that a directory's children follow it. */
	return (*p == '/' ? 1 : (unsigned char)*p) - (*q == '/' ? 1 : (unsigned char)*q);
}

int osh_fs_resolve(struct osh_fs_lists *lists, struct osh_fs_set *ret_set)
{
	struct resolver res = { .lists = lists, .set.worst = OSH_FS_REMARK_NOTE };
	int r = 0;

	res.set.entries = calloc(ENTRIES_MAX, sizeof(*res.set.entries));
	if (!res.set.entries)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < lists->read_write.count; i++)
		r = add_path(&res, lists->read_write.path[i], true);
	if (r == 0 && lists->workdir)
		r = add_path(&res, lists->workdir, true);
	for (size_t i = 0; r == 0 && i < lists->read_only.count; i++)
		r = add_path(&res, lists->read_only.path[i], false);
	if (r < 0) {
		osh_fs_set_fini(&res.set);
		return r;
	}
	qsort(res.set.entries, res.set.count, sizeof(*res.set.entries), compare_entries);
	*ret_set = res.set;
	return 0;
}

void osh_fs_set_fini(struct osh_fs_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		osh_path_fini(&set->entries[i].path);
	free(set->entries);
	*set = (struct osh_fs_set){ 0 };
}

const struct osh_fs_entry *osh_fs_find_cover(const struct osh_fs_set *set, const char *real)
{
	const struct osh_fs_entry *best = NULL;
	size_t best_len = 0;

	for (size_t i = 0; i < set->count; i++) {
		const char *p = set->entries[i].path.real;

		if (osh_path_is_below(real, p) && strlen(p) >= best_len) {
			best = &set->entries[i];
			best_len = strlen(p);
		}
	}
	return best;
}
