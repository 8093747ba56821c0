/* SPDX-License-Identifier: MIT */
#include "sandbox/path.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

void osh_path_init(struct osh_path *path)
{
	path->real[0] = '\0';
	path->fd = -1;
	path->links_count = 0;
}

void osh_path_fini(struct osh_path *path)
{
	for (unsigned int i = 0; i < path->links_count; i++) {
		free(path->links[i].at);
		free(path->links[i].text);
	}
	path->links_count = 0;
	osh_close_ptr(&path->fd);
}

int osh_path_normalise(const char *text, char ret_path[PATH_MAX])
{
	struct osh_str rest = osh_str(text), comp;
	char out[PATH_MAX];
	size_t n = 0;

	if (!rest.n || rest.p[0] != '/' || rest.n >= PATH_MAX)
		return -EINVAL;
	for (size_t i = 0; i < rest.n; i++)
		if ((unsigned char)rest.p[i] < 0x20 || rest.p[i] == 0x7f)
			return -EINVAL;
	while (osh_str_split(&rest, '/', &comp)) {
		if (!comp.n || osh_str_is(comp, "."))
			continue;
		if (osh_str_is(comp, ".."))
			return -EINVAL;
		out[n++] = '/'; /* at most as long as @text */
		memcpy(out + n, comp.p, comp.n);
		n += comp.n;
	}
	if (!n)
		out[n++] = '/';
	out[n] = '\0';
	memcpy(ret_path, out, n + 1);
	return 0;
}

bool osh_path_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1)
		return true; /* the root */
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* Only root could have put or swapped a link here. */
static bool is_roots_link(int dirfd, const struct stat *link)
{
	struct stat dir;

	if (link->st_uid != 0 || fstat(dirfd, &dir) < 0 || dir.st_uid != 0)
		return false;
	return !(dir.st_mode & 022) || (dir.st_mode & S_ISVTX);
}

/* One level up in @path, which has no links; the parent of the root is the root. */
static int go_up(struct osh_path *path)
{
	char *slash = strrchr(path->real, '/');
	int fd;

	if (slash)
		*slash = '\0';
	fd = openat(path->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	osh_close_ptr(&path->fd);
	path->fd = fd;
	return 0;
}

static int to_root(struct osh_path *path)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	osh_close_ptr(&path->fd);
	path->fd = fd;
	path->real[0] = '\0'; /* components are appended as "/name" */
	return 0;
}

/* @rest becomes "text of the link"/"rest"; the walk continues in the link's directory. */
static int follow(struct osh_path *path, const char *name, int linkfd, char *rest)
{
	struct osh_path_link *link;
	char text[PATH_MAX], joined[PATH_MAX];
	ssize_t n = readlinkat(linkfd, "", text, sizeof(text) - 1);
	int len;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (path->links_count == OSH_PATH_LINKS_MAX)
		return -ELOOP;
	link = &path->links[path->links_count];
	if (asprintf(&link->at, "%s/%s", path->real, name) < 0)
		return -ENOMEM;
	link->text = osh_str_dup(osh_str(text));
	path->links_count++;
	if (!link->text)
		return -ENOMEM;
	len = snprintf(joined, sizeof(joined), "%s/%s", text, rest);
	if (len < 0 || (size_t)len >= sizeof(joined))
		return -ENAMETOOLONG;
	memcpy(rest, joined, (size_t)len + 1);
	return text[0] == '/' ? to_root(path) : 0;
}

static int step(struct osh_path *path, const char *name, char *rest, bool nofollow_last)
{
	osh_auto_close int fd = -1;
	size_t len = strlen(path->real);
	struct stat st;

	if (name[0] == '\0' || strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) /* only ever from the text of a link */
		return go_up(path);
	fd = openat(path->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) {
		bool roots = is_roots_link(path->fd, &st);

		if (nofollow_last && strspn(rest, "/") == strlen(rest))
			return -ELOOP;
		if (!roots) {
			(void)snprintf(path->real + len, sizeof(path->real) - len, "/%s", name);
			return -EXDEV;
		}
		return follow(path, name, fd, rest);
	}
	if (len + strlen(name) + 2 > sizeof(path->real))
		return -ENAMETOOLONG;
	(void)snprintf(path->real + len, sizeof(path->real) - len, "/%s", name);
	osh_close_ptr(&path->fd);
	path->fd = osh_take_fd(&fd);
	return 0;
}

int osh_path_walk(const char *normalised, bool nofollow_last, struct osh_path *ret_path)
{
	char rest[PATH_MAX], name[NAME_MAX + 1];
	int r;

	osh_path_fini(ret_path);
	r = to_root(ret_path);
	if (r == 0 && !osh_strlcpy(rest, normalised, sizeof(rest)))
		r = -ENAMETOOLONG;
	while (r == 0 && rest[0]) {
		size_t n = strcspn(rest, "/"), skip = n + (rest[n] == '/');

		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, rest, n);
		name[n] = '\0';
		memmove(rest, rest + skip, strlen(rest) - skip + 1);
		/* "a/" left of the last component is empty: the component is still the last. */
		r = step(ret_path, name, rest, nofollow_last && ret_path->links_count == 0);
	}
	if (r == 0 && !ret_path->real[0])
		(void)osh_strlcpy(ret_path->real, "/", sizeof(ret_path->real));
	return r;
}
