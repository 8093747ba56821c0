/* SPDX-License-Identifier: MIT */
/*
 * Attaching through links, pinning them, taking over a predecessor's. A cgroup link is updated in
 * place: no instant without a program. A tracing link cannot be: the new one is attached before the
 * old pin is replaced, and the programs bear running twice.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int place_fd(const struct osh_kern_opts *opts, enum kprog_place place)
{
	switch (place) {
	case PLACE_AGENT:
		return opts->agent_fd;
	case PLACE_DAEMON:
		return opts->daemon_fd;
	default:
		return opts->sandboxes_fd;
	}
}

static bool is_cgroup(enum kprog_place place)
{
	return place == PLACE_AGENT || place == PLACE_DAEMON || place == PLACE_SANDBOXES;
}

static int link_info(struct bpf_link *link, struct bpf_link_info *ret_info)
{
	__u32 len = sizeof(*ret_info);

	memset(ret_info, 0, sizeof(*ret_info));
	if (bpf_obj_get_info_by_fd(bpf_link__fd(link), ret_info, &len) < 0)
		return -errno;
	return 0;
}

/* The pinned link, if it still hangs on the cgroup we mean; else NULL. */
static struct bpf_link *pinned_link(struct osh_kern *kern, const char *path, uint64_t cgroup_id)
{
	struct bpf_link_info info;
	struct bpf_link *link;

	if (!kern->adopted)
		return NULL;
	link = bpf_link__open(path);
	if (!link)
		return NULL;
	if (link_info(link, &info) == 0 && info.type == BPF_LINK_TYPE_CGROUP &&
	    info.cgroup.cgroup_id == cgroup_id)
		return link;
	(void)bpf_link__destroy(link);
	return NULL;
}

/* Pin under @path, replacing what is there in one step. */
static int pin_over(struct bpf_link *link, const char *path)
{
	char fresh[PATH_MAX + 8];
	int n;

	n = snprintf(fresh, sizeof(fresh), "%s_new", path);
	if (n < 0 || (size_t)n >= sizeof(fresh))
		return -ENAMETOOLONG;
	if (unlink(fresh) < 0 && errno != ENOENT)
		return -errno;
	if (bpf_obj_pin(bpf_link__fd(link), fresh) < 0)
		return -errno;
	if (rename(fresh, path) < 0) {
		int r = -errno;

		(void)unlink(fresh); /* best effort: the next start removes it */
		return r;
	}
	return 0;
}

static int attach_one(struct osh_kern *kern, size_t i, const struct osh_kern_opts *opts)
{
	const struct kprog_def *def = &osh_kprogs[i];
	struct bpf_program *prog = kern->prog[i];
	struct bpf_link *link = NULL;
	char path[PATH_MAX];
	int r;

	if (kern->pin_dir) {
		r = osh_pin_path(kern->pin_dir, "link", def->name, path, sizeof(path));
		if (r < 0)
			return r;
	}
	if (kern->pin_dir && is_cgroup(def->place)) {
		link = pinned_link(kern, path, kern->cgroup_id[def->place]);
		if (link) {
			r = bpf_link__update_program(link, prog);
			if (r < 0) {
				(void)bpf_link__destroy(link);
				return r;
			}
			kern->link[i] = link;
			return 0;
		}
	}
	link = is_cgroup(def->place) ? bpf_program__attach_cgroup(prog, place_fd(opts, def->place))
				     : bpf_program__attach(prog);
	if (!link)
		return -errno;
	if (kern->pin_dir) {
		r = pin_over(link, path);
		if (r < 0) {
			(void)bpf_link__destroy(link);
			return r;
		}
	}
	kern->link[i] = link;
	return 0;
}

/* A pin of a program that is not wanted any more would go on running. */
static int drop_pin(struct osh_kern *kern, size_t i)
{
	char path[PATH_MAX];
	int r;

	if (!kern->pin_dir)
		return 0;
	r = osh_pin_path(kern->pin_dir, "link", osh_kprogs[i].name, path, sizeof(path));
	if (r < 0)
		return r;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int pin_maps(struct osh_kern *kern, struct osh_diag *diag)
{
	char path[PATH_MAX];
	unsigned int i;
	int r;

	if (!kern->pin_dir || kern->adopted)
		return 0;
	for (i = 0; i < KMAP_COUNT_; i++) {
		r = osh_pin_path(kern->pin_dir, "map", osh_kmap_names[i], path, sizeof(path));
		if (r < 0)
			return r;
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
		if (bpf_obj_pin(kern->map_fd[i], path) < 0) {
			r = -errno;
			osh_diag_err(diag, 0, 0, "cannot pin %s: %s", path, strerror(-r));
			return r;
		}
	}
	return 0;
}

static int cgroup_ids(struct osh_kern *kern, const struct osh_kern_opts *opts)
{
	enum kprog_place place;
	struct stat st;

	for (place = PLACE_AGENT; place <= PLACE_SANDBOXES; place++) {
		if (fstat(place_fd(opts, place), &st) < 0)
			return -errno;
		kern->cgroup_id[place] = st.st_ino;
	}
	return 0;
}

int osh_kern_attach(struct osh_kern *kern, const struct osh_kern_opts *opts, struct osh_diag *diag)
{
	libbpf_print_fn_t before;
	size_t i;
	int r;

	r = cgroup_ids(kern, opts);
	if (r < 0) {
		osh_diag_err(diag, 0, 0, "cgroup directories: %s", strerror(-r));
		return r;
	}
	r = pin_maps(kern, diag);
	if (r < 0)
		return r;
	before = libbpf_set_print(NULL);
	for (i = 0; i < osh_kprog_count; i++) {
		const struct kprog_def *def = &osh_kprogs[i];

		if (def->place == PLACE_NONE)
			continue;
		r = kern->probe[i].err ? drop_pin(kern, i) : attach_one(kern, i, opts);
		if (r < 0 && !def->required) {
			kern->probe[i].err = r;
			r = 0;
		}
		if (r < 0) {
			osh_diag_err(diag, 0, 0, "cannot attach %s: %s", def->name, strerror(-r));
			break;
		}
	}
	(void)libbpf_set_print(before); /* restores */
	return r;
}

static uint32_t prog_id(const struct bpf_program *prog)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) < 0)
		return 0;
	return info.id;
}

/* Does the pin still name the very link we hold? */
static bool pin_is_ours(struct osh_kern *kern, const char *name, uint32_t link_id)
{
	struct bpf_link_info info;
	char path[PATH_MAX];
	struct bpf_link *link;
	bool same;

	if (osh_pin_path(kern->pin_dir, "link", name, path, sizeof(path)) < 0)
		return false;
	link = bpf_link__open(path);
	if (!link)
		return false;
	same = link_info(link, &info) == 0 && info.id == link_id;
	(void)bpf_link__destroy(link); /* a second descriptor of the same link */
	return same;
}

int osh_kern_verify(struct osh_kern *kern, struct osh_diag *diag)
{
	libbpf_print_fn_t before = libbpf_set_print(NULL);
	unsigned int bad = 0;
	size_t i;

	for (i = 0; i < osh_kprog_count; i++) {
		const struct kprog_def *def = &osh_kprogs[i];
		const char *wrong = NULL;
		struct bpf_link_info info;

		if (!def->required || def->place == PLACE_NONE)
			continue;
		if (!kern->link[i] || link_info(kern->link[i], &info) < 0)
			wrong = "is not attached";
		else if (info.prog_id != prog_id(kern->prog[i]))
			wrong = "was replaced by another program";
		else if (is_cgroup(def->place) &&
			 info.cgroup.cgroup_id != kern->cgroup_id[def->place])
			wrong = "is detached from its cgroup";
		else if (kern->pin_dir && !pin_is_ours(kern, def->name, info.id))
			wrong = "is not pinned";
		if (wrong) {
			osh_diag_err(diag, 0, 0, "%s %s", def->name, wrong);
			bad++;
		}
	}
	(void)libbpf_set_print(before); /* restores */
	return bad ? -ENOTCONN : 0;
}
