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
	case PLACE_DAEMON:
		return opts->daemon_fd;
	default:
		return opts->sandboxes_fd;
	}
}

static bool is_cgroup(enum kprog_place place)
{
	return place == PLACE_DAEMON || place == PLACE_SANDBOXES;
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
static int pin_over(int link_fd, const char *path)
{
	char fresh[PATH_MAX + 8];
	int n;

	n = snprintf(fresh, sizeof(fresh), "%s_new", path);
	if (n < 0 || (size_t)n >= sizeof(fresh))
		return -ENAMETOOLONG;
	if (unlink(fresh) < 0 && errno != ENOENT)
		return -errno;
	if (bpf_obj_pin(link_fd, fresh) < 0)
		return -errno;
	if (rename(fresh, path) < 0) {
		int r = -errno;

		(void)unlink(fresh); /* best effort: the next start removes it */
		return r;
	}
	return 0;
}

/*
 * A system call's tracepoint. Not by libbpf where it is pinned: its object switches the event off
 * when it is destroyed.
 */
static int attach_watch(struct osh_kern *kern, size_t i, const char *path)
{
	osh_auto_close int perf_fd = -1, link_fd = -1;
	struct bpf_link *link;
	int r;

	r = osh_kfs_syscall_event(kern->prog[i], &perf_fd);
	if (r < 0)
		return r;
	if (!kern->pin_dir) {
		link = bpf_program__attach_perf_event(kern->prog[i], perf_fd);
		if (link)
			perf_fd = -1; /* the link's now */
	} else {
		link_fd = bpf_link_create(bpf_program__fd(kern->prog[i]), perf_fd, BPF_PERF_EVENT,
					  NULL);
		if (link_fd < 0)
			return -errno;
		r = pin_over(link_fd, path);
		if (r < 0)
			return r;
		link = bpf_link__open(path);
	}
	if (!link)
		return -errno;
	kern->link[i] = link;
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
	if (def->place == PLACE_TAINT_SYSCALL)
		return attach_watch(kern, i, path);
	if (kern->pin_dir && kern->adopted && def->place == PLACE_DAEMON) {
		r = osh_kern_old_keep(path, kern->cgroup_id[def->place]);
		if (r == 0)
			r = osh_kern_old_refresh(kern->pin_dir, def->name, prog);
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
		r = pin_over(bpf_link__fd(link), path);
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

	for (place = PLACE_DAEMON; place <= PLACE_SANDBOXES; place++) {
		if (fstat(place_fd(opts, place), &st) < 0)
			return -errno;
		kern->cgroup_id[place] = st.st_ino;
	}
	return 0;
}

/*
 * Each way to watch mappings is whole or not used: with the system calls' own tracepoints attached
 * the raw one is not, and without one of them none is.
 */
static void choose_watch(struct osh_kern *kern, size_t i)
{
	bool broken = false;
	size_t k;

	for (k = 0; k < i; k++)
		if (osh_kprogs[k].place == PLACE_TAINT_SYSCALL && kern->probe[k].err)
			broken = true;
	if (!broken) {
		kern->probe[i].err = -ECANCELED;
		return;
	}
	for (k = 0; k < i; k++) {
		if (osh_kprogs[k].place != PLACE_TAINT_SYSCALL || kern->probe[k].err)
			continue;
		kern->probe[k].err = -ECANCELED;
		(void)bpf_link__destroy(kern->link[k]); /* ends, or is unpinned next */
		kern->link[k] = NULL;
		(void)drop_pin(kern, k); /* at worst it goes on watching as well */
	}
}

/* 0, or why nothing that was asked for watches executable mappings. */
static int check_watch(const struct osh_kern *kern, const struct osh_kern_opts *opts)
{
	static const enum kprog_place places[] = { PLACE_TAINT_LSM, PLACE_TAINT_SYSCALL,
						   PLACE_TAINT_RAW };
	size_t p, i;

	if (opts->taint == OSH_KERN_TAINT_OFF)
		return 0;
	for (p = 0; p < OSH_ARRAY_SIZE(places); p++) {
		bool whole = true;

		for (i = 0; i < osh_kprog_count; i++)
			if (osh_kprogs[i].place == places[p] && !kern->link[i])
				whole = false;
		if (whole)
			return 0;
	}
	return -EOPNOTSUPP;
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
		if (def->place == PLACE_TAINT_RAW && opts->taint == OSH_KERN_TAINT_AUTO &&
		    !kern->probe[i].err)
			choose_watch(kern, i);
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
	if (r == 0) {
		r = check_watch(kern, opts);
		if (r < 0)
			osh_diag_err(diag, 0, 0, "cannot watch executable mappings: %s",
				     strerror(-r));
	}
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

		if (def->place == PLACE_NONE || (!def->required && kern->probe[i].err))
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
