/* SPDX-License-Identifier: MIT */
#include "sandbox/root.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "sandbox/etcfiles.h"
#include "sandbox/mnt.h"

#define DIR_FLAGS  (O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
#define SHM_BYTES  (64ull * 1024 * 1024)
#define HOST_ATTRS (OSH_MNT_NOSUID | OSH_MNT_NODEV)

struct builder {
	struct osh_root *root;
	int stage_fd; /* tmpfs outside of what the sandbox sees: "root" and "etc" */
	int top_fd; /* the sandbox's root */
	int state_fd; /* state directory, in this mount namespace */
	const char *detail; /* of the failing step */
};

static int fail(struct builder *b, int r, const char *step, const char *detail)
{
	return osh_report_fail(b->root->status_fd, r, step, detail);
}

/* Open @path (absolute, no links) below the new root, making directories on the way. */
static int open_dir(struct builder *b, const char *path, int *ret_fd)
{
	osh_auto_close int fd = openat(b->top_fd, ".", O_PATH | DIR_FLAGS);
	struct osh_str rest = osh_str(path), comp;

	if (fd < 0)
		return -errno;
	while (osh_str_split(&rest, '/', &comp)) {
		char name[NAME_MAX + 1];
		int next;

		if (!comp.n)
			continue;
		if (comp.n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, comp.p, comp.n);
		name[comp.n] = '\0';
		next = openat(fd, name, O_PATH | DIR_FLAGS);
		if (next < 0 && errno == ENOENT) {
			if (mkdirat(fd, name, 0755) < 0)
				return -errno;
			next = openat(fd, name, O_PATH | DIR_FLAGS);
		}
		if (next < 0)
			return -errno;
		osh_close_ptr(&fd);
		fd = next;
	}
	*ret_fd = osh_take_fd(&fd);
	return 0;
}

/* The directory that holds @path; *ret_name points into @path. */
static int open_parent(struct builder *b, const char *path, int *ret_fd, const char **ret_name)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*ret_name = slash + 1;
	return open_dir(b, dir, ret_fd);
}

/* Something to mount on: a directory or an empty file. */
static int open_target(struct builder *b, const char *path, bool is_dir, int *ret_fd)
{
	osh_auto_close int dir = -1;
	const char *name;
	int fd, r;

	if (is_dir)
		return open_dir(b, path, ret_fd);
	r = open_parent(b, path, &dir, &name);
	if (r < 0)
		return r;
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		fd = openat(dir, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	}
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int mount_at(struct builder *b, int mnt_fd, const char *path)
{
	osh_auto_close int target = -1;
	int r = open_dir(b, path, &target);

	return r < 0 ? r : osh_mnt_attach(mnt_fd, target);
}

static int mount_new(struct builder *b, const char *fstype, const struct osh_mnt_option *options,
		     unsigned int attrs, const char *path)
{
	osh_auto_close int mnt = -1;
	int r = osh_mnt_new(fstype, options, attrs, &mnt);

	return r < 0 ? r : mount_at(b, mnt, path);
}

/*
 * Descriptors from before the clone refer to the mounts of the daemon's namespace, which cannot be
 * copied or mounted on from here: find the same directory again by its path.
 */
static int reopen_state(struct builder *b)
{
	struct stat theirs, ours;

	b->state_fd = open(b->root->spec->state_path, O_RDONLY | DIR_FLAGS);
	if (b->state_fd < 0 || fstat(b->state_fd, &ours) < 0 ||
	    fstat(b->root->state_fd, &theirs) < 0)
		return -errno;
	return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino ? 0 : -ESTALE;
}

/* "home" and "tmp" of the state directory. */
static int make_private_dirs(struct builder *b)
{
	const struct osh_sandbox_ids *ids = &b->root->spec->ids;
	osh_auto_close int home = -1;
	bool fresh;
	int r = 0;

	fresh = mkdirat(b->state_fd, "home", 0700) == 0;
	if (!fresh && errno != EEXIST)
		return -errno;
	home = openat(b->state_fd, "home", O_RDONLY | DIR_FLAGS);
	if (home < 0 || fchown(home, ids->uid, ids->gid) < 0)
		return -errno;
	if (fresh) /* later it is the sandbox's, and root writes nothing in it */
		r = osh_etc_seed_home(home, ids);
	if (r < 0)
		return r;
	if (mkdirat(b->state_fd, "tmp", 0700) == 0) {
		if (fchmodat(b->state_fd, "tmp", 01777, 0) < 0)
			return -errno;
	} else if (errno != EEXIST) {
		return -errno;
	}
	return 0;
}

/*
 * The staging tmpfs covers the state directory in this namespace. Its "root" becomes the sandbox's
 * root; "etc" is a layer of the sandbox's /etc and is reached by no path of it.
 */
static int make_stage(struct builder *b)
{
	static const struct osh_mnt_option options[] = {
		{ "mode", "0755" }, { "size", "32m" }, { "nr_inodes", "8192" }, { 0 }
	};
	osh_auto_close int mnt = -1, dir = -1, copy = -1;
	int r = osh_mnt_new("tmpfs", options, HOST_ATTRS, &mnt);

	if (r == 0)
		r = osh_mnt_attach(mnt, b->state_fd);
	if (r < 0)
		return r;
	b->stage_fd = osh_take_fd(&mnt);
	if (mkdirat(b->stage_fd, "root", 0755) < 0 || mkdirat(b->stage_fd, "etc", 0755) < 0)
		return -errno;
	dir = openat(b->stage_fd, "root", O_PATH | DIR_FLAGS);
	if (dir < 0)
		return -errno;
	/* pivot_root() wants a mount of its own. */
	r = osh_mnt_copy(dir, 0, &copy);
	if (r == 0)
		r = osh_mnt_attach(copy, dir);
	if (r < 0)
		return r;
	b->top_fd = osh_take_fd(&copy);
	return 0;
}

/* Our files over the host's, or alone when the policy does not show /etc. */
static int mount_etc(struct builder *b, bool with_host)
{
	osh_auto_close int etc = openat(b->stage_fd, "etc", O_RDONLY | DIR_FLAGS), mnt = -1;
	unsigned int attrs = HOST_ATTRS | OSH_MNT_RDONLY;
	char lower[64];
	int r;

	if (etc < 0)
		return -errno;
	r = osh_etc_write(etc, b->root->spec, &b->detail);
	if (r < 0)
		return r;
	b->detail = "/etc";
	if (with_host) {
		const struct osh_mnt_option options[] = { { "lowerdir", lower },
							  { "source", "openshell-etc" },
							  { 0 } };

		(void)snprintf(lower, sizeof(lower), "/proc/self/fd/%d:/etc", etc);
		r = osh_mnt_new("overlay", options, attrs, &mnt);
		if (r == -ENODEV)
			b->detail =
				"/etc: the kernel has no overlay file system (modprobe overlay)";
	} else {
		r = osh_mnt_copy(etc, attrs, &mnt);
	}
	return r < 0 ? r : mount_at(b, mnt, "/etc");
}

static int make_node(int dev_fd, const char *name, unsigned int major_nr, unsigned int minor_nr)
{
	if (mknodat(dev_fd, name, S_IFCHR | 0666, makedev(major_nr, minor_nr)) < 0 ||
	    fchmodat(dev_fd, name, 0666, 0) < 0)
		return -errno;
	return 0;
}

static int mount_dev(struct builder *b)
{
	static const struct osh_mnt_option dev_options[] = {
		{ "mode", "0755" }, { "size", "64k" }, { "nr_inodes", "256" }, { 0 }
	};
	static const struct osh_mnt_option pts_options[] = {
		{ "newinstance", NULL }, { "ptmxmode", "0666" }, { "mode", "0600" }, { 0 }
	};
	static const struct {
		const char *name;
		unsigned int minor_nr;
	} mem_nodes[] = {
		{ "null", 3 }, { "zero", 5 }, { "full", 7 }, { "random", 8 }, { "urandom", 9 },
	};
	static const struct {
		const char *name, *text;
	} links[] = {
		{ "fd", "/proc/self/fd" },	 { "stdin", "/proc/self/fd/0" },
		{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
		{ "ptmx", "pts/ptmx" },
	};
	uint64_t shm = b->root->spec->limits.shm_bytes;
	osh_auto_close int dev = -1;
	char shm_size[32];
	const struct osh_mnt_option shm_options[] = { { "mode", "1777" },
						      { "size", shm_size },
						      { 0 } };
	int r = mount_new(b, "tmpfs", dev_options, OSH_MNT_NOSUID | OSH_MNT_NOEXEC, "/dev");

	if (r == 0)
		r = open_dir(b, "/dev", &dev);
	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(mem_nodes); i++)
		r = make_node(dev, mem_nodes[i].name, 1, mem_nodes[i].minor_nr);
	if (r == 0)
		r = make_node(dev, "tty", 5, 0);
	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(links); i++)
		if (symlinkat(links[i].text, dev, links[i].name) < 0)
			r = -errno;
	if (r == 0)
		r = mount_new(b, "devpts", pts_options, OSH_MNT_NOSUID | OSH_MNT_NOEXEC,
			      "/dev/pts");
	(void)snprintf(shm_size, sizeof(shm_size), "%llu",
		       (unsigned long long)(shm ? shm : SHM_BYTES));
	if (r == 0)
		r = mount_new(b, "tmpfs", shm_options, HOST_ATTRS, "/dev/shm");
	return r;
}

static int mount_proc(struct builder *b)
{
	static const struct osh_mnt_option options[] = { { "hidepid", "invisible" }, { 0 } };

	return mount_new(b, "proc", options, HOST_ATTRS | OSH_MNT_NOEXEC, "/proc");
}

static const struct osh_fs_entry *find_entry(const struct osh_fs_set *set, const char *real)
{
	const struct osh_fs_entry *e = osh_fs_find_cover(set, real);

	return e && strcmp(e->path.real, real) == 0 ? e : NULL;
}

/* /tmp is always there and writable unless listed read-only; /sandbox only when it is listed. */
static int mount_private(struct builder *b, const char *at, const char *name, bool always)
{
	const struct osh_fs_set *set = &b->root->set;
	const struct osh_fs_entry *e = find_entry(set, at);
	osh_auto_close int src = -1, mnt = -1;
	bool write = e ? e->write : always, wanted = e || always;
	int r;

	for (size_t i = 0; i < set->count; i++) /* a listed path below needs its parents */
		if (osh_path_is_below(set->entries[i].path.real, at))
			wanted = true;
	if (!wanted)
		return 0;
	src = openat(b->state_fd, name, O_PATH | DIR_FLAGS);
	if (src < 0)
		return -errno;
	r = osh_mnt_copy(src, HOST_ATTRS | (write ? 0 : OSH_MNT_RDONLY), &mnt);
	return r < 0 ? r : mount_at(b, mnt, at);
}

static int open_beneath(int dir_fd, const char *path, uint64_t flags)
{
	const struct {
		uint64_t flags, mode, resolve;
	} how = { flags | O_CLOEXEC | O_NOFOLLOW, 0,
		  0x04 | 0x08 | 0x02 /* NO_SYMLINKS, BENEATH, NO_MAGICLINKS */ };
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* What the nearest listed parent already shows needs no mount of its own. */
static bool is_shown_by_parent(const struct osh_fs_set *set, const struct osh_fs_entry *e)
{
	char parent[PATH_MAX];
	const struct osh_fs_entry *cover;
	char *slash;

	(void)osh_strlcpy(parent, e->path.real, sizeof(parent));
	slash = strrchr(parent, '/');
	if (slash == parent)
		return false;
	*slash = '\0';
	cover = osh_fs_find_cover(set, parent);
	return cover && cover->kind == e->kind && cover->write == e->write;
}

/* mkdir -p below a directory the sandbox can write: no link is followed. */
static int make_private_path(int base_fd, const char *path, const struct osh_sandbox_ids *ids)
{
	char part[PATH_MAX];
	const char *end = path;

	while (*end) {
		osh_auto_close int dir = -1;
		char *name;

		end += 1 + strcspn(end + 1, "/");
		memcpy(part, path, (size_t)(end - path));
		part[end - path] = '\0';
		name = strrchr(part, '/');
		if (name)
			*name++ = '\0';
		dir = open_beneath(base_fd, name ? part : ".", O_PATH | O_DIRECTORY);
		if (dir < 0)
			return dir;
		if (!name)
			name = part;
		if (mkdirat(dir, name, 0755) < 0) {
			if (errno != EEXIST)
				return -errno;
		} else if (fchownat(dir, name, ids->uid, ids->gid, AT_SYMLINK_NOFOLLOW) < 0) {
			return -errno;
		}
	}
	return 0;
}

/* A listed directory below /sandbox or /tmp: made when writable, else shown as it is. */
static int mount_private_child(struct builder *b, const struct osh_fs_entry *e)
{
	const struct osh_sandbox_ids *ids = &b->root->spec->ids;
	bool home = osh_path_is_below(e->path.real, OSH_SANDBOX_HOME);
	const char *rest = e->path.real + strlen(home ? OSH_SANDBOX_HOME : "/tmp");
	osh_auto_close int base = -1, target = -1, copy = -1;
	int r = 0;

	if (!*rest)
		return 0; /* the private directory itself */
	rest++;
	base = openat(b->state_fd, home ? "home" : "tmp", O_PATH | DIR_FLAGS);
	if (base < 0)
		return -errno;
	if (e->write)
		r = make_private_path(base, rest, ids);
	if (r < 0)
		return r;
	target = open_beneath(base, rest, O_PATH | (e->write ? O_DIRECTORY : 0));
	if (target < 0) /* -ELOOP: a link, where the sandbox could have put it */
		return target == -ENOENT ? 0 : target;
	if (is_shown_by_parent(&b->root->set, e))
		return 0;
	r = osh_mnt_copy(target, HOST_ATTRS | (e->write ? 0 : OSH_MNT_RDONLY), &copy);
	osh_close_ptr(&target);
	if (r == 0)
		r = open_target(b, e->path.real, true, &target);
	if (r == -ENOTDIR) /* a file */
		r = open_target(b, e->path.real, false, &target);
	return r < 0 ? r : osh_mnt_attach(copy, target);
}

static int mount_copy(struct builder *b, const struct osh_fs_entry *e, unsigned int attrs)
{
	osh_auto_close int mnt = -1, target = -1;
	int r = osh_mnt_copy(e->path.fd, attrs | (e->write ? 0 : OSH_MNT_RDONLY), &mnt);

	if (r == 0)
		r = open_target(b, e->path.real, e->is_dir, &target);
	return r < 0 ? r : osh_mnt_attach(mnt, target);
}

static int mount_entry(struct builder *b, const struct osh_fs_entry *e)
{
	osh_auto_close int there = -1;

	switch (e->kind) {
	case OSH_FS_HOST:
		return is_shown_by_parent(&b->root->set, e) ? 0 : mount_copy(b, e, HOST_ATTRS);
	case OSH_FS_PRIVATE:
		return mount_private_child(b, e);
	case OSH_FS_SYS: /* a new instance: of this network namespace, without what is mounted below */
		return mount_new(b, "sysfs", NULL, HOST_ATTRS | OSH_MNT_NOEXEC | OSH_MNT_RDONLY,
				 "/sys");
	case OSH_FS_DEV:
		there = openat(b->top_fd, e->path.real + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (there >= 0) /* /dev itself or one of our nodes */
			return 0;
		return mount_copy(b, e, OSH_MNT_NOSUID | OSH_MNT_NOEXEC);
	case OSH_FS_PROC:
	case OSH_FS_ETC: /* mounted before */
		return 0;
	}
	return -EINVAL;
}

/* A link may already be there, or its directory may be a copy of the host's, which has it. */
static int make_link(struct builder *b, const char *at, const char *text)
{
	osh_auto_close int dir = -1;
	const char *name;
	int r = open_parent(b, at, &dir, &name);

	if (r < 0)
		return r == -EROFS ? 0 : r;
	if (symlinkat(text, dir, name) < 0 && errno != EEXIST && errno != EROFS)
		return -errno;
	return 0;
}

/* Links met on the way to listed paths, and the host's top-level links that lead into one. */
static int make_links(struct builder *b)
{
	const struct osh_fs_set *set = &b->root->set;
	struct dirent *de;
	DIR *dir;
	int r = 0;

	for (size_t i = 0; r == 0 && i < set->count; i++)
		for (unsigned int k = 0; r == 0 && k < set->entries[i].path.links_count; k++)
			r = make_link(b, set->entries[i].path.links[k].at,
				      set->entries[i].path.links[k].text);
	if (r < 0)
		return r;
	dir = opendir("/");
	if (!dir)
		return -errno;
	while (r == 0 && (de = readdir(dir))) {
		osh_auto_path struct osh_path walk;
		char path[NAME_MAX + 2];

		osh_path_init(&walk);
		if (de->d_type != DT_LNK)
			continue;
		(void)snprintf(path, sizeof(path), "/%s", de->d_name);
		if (osh_path_walk(path, false, &walk) == 0 && osh_fs_find_cover(set, walk.real))
			r = make_link(b, walk.links[0].at, walk.links[0].text);
	}
	(void)closedir(dir);
	return r;
}

/* Cover the daemon's own places where a list shows them. */
static int hide(struct builder *b, const char *text)
{
	static const struct osh_mnt_option options[] = {
		{ "mode", "0" }, { "size", "4k" }, { "nr_inodes", "2" }, { 0 }
	};
	osh_auto_close int there = -1, mnt = -1, empty = -1;
	osh_auto_path struct osh_path walk;
	char path[PATH_MAX];
	struct stat st;
	int r;

	osh_path_init(&walk);
	r = osh_path_normalise(text, path);
	if (r < 0)
		return r;
	/* By where it really is: that is where a copied tree shows it. */
	if (osh_path_walk(path, false, &walk) < 0)
		return 0; /* not on this host */
	there = open_beneath(b->top_fd, walk.real + 1, O_PATH);
	if (there < 0 || fstat(there, &st) < 0)
		return 0; /* not shown */
	if (S_ISDIR(st.st_mode)) {
		r = osh_mnt_new("tmpfs", options, HOST_ATTRS | OSH_MNT_NOEXEC | OSH_MNT_RDONLY,
				&mnt);
	} else {
		empty = openat(b->stage_fd, "empty", O_RDONLY | O_CREAT | O_CLOEXEC, 0);
		if (empty < 0)
			return -errno;
		r = osh_mnt_copy(empty, HOST_ATTRS | OSH_MNT_NOEXEC | OSH_MNT_RDONLY, &mnt);
	}
	return r < 0 ? r : osh_mnt_attach(mnt, there);
}

static int pivot(struct builder *b)
{
	if (fchdir(b->top_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return -errno;
	/* The old root now lies over the new one at the same place. */
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static void on_remark(struct osh_fs_lists *lists, enum osh_fs_remark_level level, const char *path,
		      const char *text);

/* The callback has no other way to the builder. */
struct lists_of_builder {
	struct osh_fs_lists lists;
	struct builder *b;
};

static void on_remark(struct osh_fs_lists *lists, enum osh_fs_remark_level level, const char *path,
		      const char *text)
{
	struct builder *b = osh_container_of(lists, struct lists_of_builder, lists)->b;
	bool hard = b->root->spec->landlock == OSH_SANDBOX_LANDLOCK_HARD;
	char line[PATH_MAX + 256];

	(void)snprintf(line, sizeof(line), "filesystem path %s %s", OSH_Q(path), text);
	if (level == OSH_FS_REMARK_FATAL || (hard && level <= OSH_FS_REMARK_MISSING))
		(void)fail(b, -EINVAL, "filesystem-policy", line);
	else
		osh_report_note(b->root->status_fd,
				level == OSH_FS_REMARK_SKIPPED || level == OSH_FS_REMARK_RISK
					? OSH_SANDBOX_NOTE_MEDIUM
					: OSH_SANDBOX_NOTE_INFO,
				"%s%s", line, level == OSH_FS_REMARK_MISSING ? ", skipped" : "");
}

static int resolve(struct builder *b)
{
	const struct osh_spec *spec = b->root->spec;
	struct lists_of_builder arg = {
		.lists = {
			.read_only = { spec->read_only.path, spec->read_only.count },
			.read_write = { spec->read_write.path, spec->read_write.count },
			.workdir = spec->include_workdir ? spec->workdir : NULL,
			.ids = spec->ids,
			.create = true,
			.on_remark = on_remark,
		},
		.b = b,
	};
	bool hard = spec->landlock == OSH_SANDBOX_LANDLOCK_HARD;
	int r = osh_fs_resolve(&arg.lists, &b->root->set);

	if (r < 0)
		return fail(b, r, "filesystem-policy", NULL);
	if (b->root->set.worst <= (hard ? OSH_FS_REMARK_MISSING : OSH_FS_REMARK_FATAL))
		return -EINVAL; /* reported by on_remark() */
	return 0;
}

static int build(struct builder *b)
{
	const struct osh_spec *spec = b->root->spec;
	const struct osh_fs_set *set = &b->root->set;
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(b, -errno, "mount-private", "/");
	r = reopen_state(b);
	if (r < 0)
		return fail(b, r, "state-directory", spec->state_path);
	r = make_private_dirs(b);
	if (r < 0)
		return fail(b, r, "private-directories", spec->state_path);
	r = resolve(b);
	if (r < 0)
		return r;
	r = make_stage(b);
	if (r < 0)
		return fail(b, r, "mount-root", spec->state_path);
	/* Ours first: listed paths come on top of them, never below. */
	r = mount_etc(b, find_entry(set, "/etc") != NULL);
	if (r < 0)
		return fail(b, r, "mount-etc", b->detail);
	r = mount_proc(b);
	if (r < 0)
		return fail(b, r, "mount-proc", NULL);
	r = mount_dev(b);
	if (r < 0)
		return fail(b, r, "mount-dev", NULL);
	r = mount_private(b, "/tmp", "tmp", true);
	if (r == 0)
		r = mount_private(b, OSH_SANDBOX_HOME, "home", false);
	if (r < 0)
		return fail(b, r, "mount-private-directories", NULL);
	for (size_t i = 0; i < set->count; i++) {
		r = mount_entry(b, &set->entries[i]);
		if (r < 0)
			return fail(b, r, "mount-path", set->entries[i].path.real);
	}
	r = make_links(b);
	if (r < 0)
		return fail(b, r, "make-links", NULL);
	for (uint32_t i = 0; i < spec->hide.count; i++) {
		r = hide(b, spec->hide.path[i]);
		if (r < 0)
			return fail(b, r, "hide-path", spec->hide.path[i]);
	}
	r = osh_mnt_restrict(b->top_fd, OSH_MNT_RDONLY);
	if (r < 0)
		return fail(b, r, "root-read-only", NULL);
	r = pivot(b);
	return r < 0 ? fail(b, r, "pivot-root", NULL) : 0;
}

int osh_root_enter(struct osh_root *root)
{
	struct builder b = { .root = root, .stage_fd = -1, .top_fd = -1, .state_fd = -1 };
	int r = build(&b);

	osh_close_ptr(&b.stage_fd);
	osh_close_ptr(&b.top_fd);
	osh_close_ptr(&b.state_fd);
	return r;
}

void osh_root_fini(struct osh_root *root)
{
	osh_fs_set_fini(&root->set);
}
