/* SPDX-License-Identifier: MIT */
#include "sys/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { ALL_SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static int mkdir_one(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return chmod(path, mode) < 0 ? -errno : 0; /* the umask may have cut bits */
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int osh_fs_mkdir_p(const char *path, mode_t mode)
{
	char part[PATH_MAX];

	if (!osh_strlcpy(part, path, sizeof(part)))
		return -ENAMETOOLONG;
	for (char *c = part + 1; *c; c++) {
		int r;

		if (*c != '/')
			continue;
		*c = '\0';
		r = mkdir_one(part, 0755);
		if (r < 0)
			return r;
		*c = '/';
	}
	return mkdir_one(part, mode);
}

int osh_fs_read_at(int dirfd, const char *name, size_t max, struct osh_buf *ret_text)
{
	osh_auto_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (ret_text->max > ret_text->len + max) {
		size_t before = ret_text->max;
		int r;

		ret_text->max = ret_text->len + max;
		r = osh_buf_read_all(ret_text, fd);
		ret_text->max = before;
		return r;
	}
	return osh_buf_read_all(ret_text, fd);
}

int osh_fs_read(const char *path, size_t max, struct osh_buf *ret_text)
{
	return osh_fs_read_at(AT_FDCWD, path, max, ret_text);
}

int osh_fs_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

int osh_fs_write_atomic(int dirfd, const char *name, struct osh_str text, mode_t mode)
{
	char tmp[NAME_MAX + 1];
	osh_auto_close int fd = -1;
	int r;

	if (snprintf(tmp, sizeof(tmp), ".%s.%d.tmp", name, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	(void)unlinkat(dirfd, tmp, 0); /* left over from a crash with the same pid */
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = osh_fs_write_all(fd, text.p, text.n);
	if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0); /* the first error is the one to report */
		return r;
	}
	if (dirfd != AT_FDCWD && fsync(dirfd) < 0)
		return -errno;
	return 0;
}

int osh_fs_memfd_sealed(const char *name, const void *data, size_t n)
{
	osh_auto_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = osh_fs_write_all(fd, data, n);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0)
		return -errno;
	return osh_take_fd(&fd);
}

int osh_fs_map_sealed(int fd, size_t max, const void **ret_data, size_t *ret_n)
{
	struct stat st;
	void *p;

	if (fcntl(fd, F_GET_SEALS) != ALL_SEALS)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || (uint64_t)st.st_size > max)
		return -EMSGSIZE;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret_data = p;
	*ret_n = (size_t)st.st_size;
	return 0;
}
