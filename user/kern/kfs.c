/* SPDX-License-Identifier: MIT */
/*
 * What the kernel tells only in file systems of its own: tracefs has the numbers of perf events,
 * securityfs the active security modules. They are mounted for the moment, on no path: the host's
 * mounts are not ours to change.
 */
#include "kern/priv.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "base/str.h"

/* The content of @path in a file system of @type, without the last newline; at most @size - 1 bytes. */
static int read_file(const char *type, const char *path, char *ret_text, size_t size)
{
	osh_auto_close int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), dirfd = -1, fd = -1;
	ssize_t n;

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	dirfd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (dirfd < 0)
		return -errno;
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, ret_text, size - 1);
	if (n < 0)
		return -errno;
	if (n > 0 && ret_text[n - 1] == '\n')
		n--;
	ret_text[n] = '\0';
	return 0;
}

/*
 * BPF LSM programs load and attach in kernels where the module is built in but not switched on:
 * then nobody calls them.
 */
int osh_kfs_has_bpf_lsm(void)
{
	char text[512], *save = NULL, *name;
	int r = read_file("securityfs", "lsm", text, sizeof(text));

	if (r < 0)
		return r;
	for (name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (strcmp(name, "bpf") == 0)
			return 1;
	return 0;
}

/* The perf event of the tracepoint that @prog's section names. */
int osh_kfs_syscall_event(const struct bpf_program *prog, int *ret_perf_fd)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	const char *name = strchr(bpf_program__section_name(prog), '/');
	char path[128], text[24];
	uint64_t config;
	long fd;
	int n, r;

	n = name ? snprintf(path, sizeof(path), "events%s/id", name) : -1;
	if (n < 0 || (size_t)n >= sizeof(path))
		return -EINVAL;
	r = read_file("tracefs", path, text, sizeof(text));
	if (r < 0)
		return r;
	r = osh_parse_u64(osh_str(text), UINT64_MAX, &config);
	if (r < 0)
		return r;
	attr.config = config;
	/* one CPU's event: its programs run on all of them */
	fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_perf_fd = (int)fd;
	return 0;
}
