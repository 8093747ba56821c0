/* SPDX-License-Identifier: MIT */
/*
 * Programs on cgroups that are gone. A socket belongs for ever to the cgroup it was made in: a service
 * manager that restarts us may remove <agent>/daemon and keep our listeners, and connections to them then
 * run the programs of the removed cgroup. So its links are kept, under names of their own, with the
 * programs of today, until the last such socket is closed; the kernel detaches them then.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The id of the cgroup that @link hangs on; 0: none any more. */
static uint64_t cgroup_of(const struct bpf_link *link)
{
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &len) < 0 ||
	    info.type != BPF_LINK_TYPE_CGROUP)
		return 0;
	return info.cgroup.cgroup_id;
}

int osh_kern_old_keep(const char *path, uint64_t cgroup_id)
{
	struct bpf_link *link = bpf_link__open(path);
	char kept[PATH_MAX + 32];
	uint64_t id;
	int r = 0;

	if (!link)
		return errno == ENOENT ? 0 : -errno;
	id = cgroup_of(link);
	if (id && id != cgroup_id) {
		(void)snprintf(kept, sizeof(kept), "%s_old_%llx", path, (unsigned long long)id);
		if (bpf_obj_pin(bpf_link__fd(link), kept) < 0 && errno != EEXIST)
			r = -errno;
	}
	(void)bpf_link__destroy(link); /* closes our handle; pins stay */
	return r;
}

static int refresh_one(const char *path, struct bpf_program *prog)
{
	struct bpf_link *link = bpf_link__open(path);
	int r = 0;

	if (!link)
		return -errno;
	if (!cgroup_of(link))
		r = unlink(path) < 0 ? -errno : 0;
	else
		r = bpf_link__update_program(link, prog);
	(void)bpf_link__destroy(link);
	return r == -ENOLINK ? 0 : r; /* it went this moment */
}

int osh_kern_old_refresh(const char *pin_dir, const char *name, struct bpf_program *prog)
{
	char prefix[NAME_MAX], path[PATH_MAX];
	struct dirent *de;
	DIR *dir = opendir(pin_dir);
	int r = 0;

	if (!dir)
		return -errno;
	(void)snprintf(prefix, sizeof(prefix), "link_%s_old_", name);
	while (r == 0 && (errno = 0, de = readdir(dir))) {
		if (strncmp(de->d_name, prefix, strlen(prefix)) != 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", pin_dir, de->d_name) >= (int)sizeof(path))
			r = -ENAMETOOLONG;
		else
			r = refresh_one(path, prog);
	}
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(dir);
	return r;
}
