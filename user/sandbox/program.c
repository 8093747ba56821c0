/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "sandbox/init.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u /* since 6.3; without it newer kernels warn or refuse */
#endif

/* The linker's names for the embedded file, see local.mk. */
extern const char _binary_openshell_init_start[], _binary_openshell_init_end[];

static int write_program(int fd)
{
	const char *at = _binary_openshell_init_start;

	while (at < _binary_openshell_init_end) {
		ssize_t n = write(fd, at, (size_t)(_binary_openshell_init_end - at));

		if (n < 0)
			return -errno;
		at += n;
	}
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0
		       ? -errno
		       : 0;
}

int osh_init_program(int *ret_fd)
{
	static int program = -1; /* part of the process, like its text */
	osh_auto_close int fd = -1;
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	char path[64];
	int r;

	if (program < 0) {
		fd = memfd_create(OSH_INIT_ARGV0, flags | MFD_EXEC);
		if (fd < 0 && errno == EINVAL)
			fd = memfd_create(OSH_INIT_ARGV0, flags);
		if (fd < 0)
			return -errno;
		r = write_program(fd);
		if (r < 0)
			return r;
		/* A file that is open for writing cannot be executed. */
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		program = open(path, O_RDONLY | O_CLOEXEC);
		if (program < 0)
			return -errno;
	}
	*ret_fd = program;
	return 0;
}
