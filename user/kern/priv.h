/* SPDX-License-Identifier: MIT */
/* Inside kern/ only: what the parts of the module share. */
#ifndef OSH_KERN_PRIV_H
#define OSH_KERN_PRIV_H

#include "kern/kern.h"

struct bpf_link;
struct bpf_object;
struct bpf_program;
struct openshell_bpf;
struct osh_swaps;
struct ring_buffer;

enum kmap {
	KMAP_STATE,
	KMAP_CLOCK,
	KMAP_SANDBOXES,
	KMAP_CGROUPS,
	KMAP_POLICIES,
	KMAP_EXE_IDS,
	KMAP_EXES,
	KMAP_TASKS,
	KMAP_SK_REC,
	KMAP_PEERS,
	KMAP_FLOWS,
	KMAP_DNS,
	KMAP_NAMES,
	KMAP_EVENTS,
	KMAP_COUNTERS,
	KMAP_COUNT_,
};

extern const char *const osh_kmap_names[KMAP_COUNT_];

enum kprog_place {
	PLACE_NONE = 0, /* run by us, not attached */
	PLACE_DAEMON,
	PLACE_SANDBOXES,
	PLACE_TRACE,
	PLACE_LSM,
	PLACE_MODRET, /* the return value of a security call: needs trampolines, no BPF LSM */
	PLACE_TAINT_LSM, /* these three stand in for each other */
	PLACE_TAINT_SYSCALL,
	PLACE_TAINT_RAW,
};

struct kprog_def {
	const char *name;
	enum kprog_place place;
	bool required;
};

#define KPROG_MAX 40

extern const struct kprog_def osh_kprogs[];
extern const size_t osh_kprog_count;

struct osh_kern {
	struct openshell_bpf *skel;
	struct bpf_object *obj; /* of the skeleton */
	char *pin_dir; /* NULL: nothing is pinned */
	bool adopted;
	int map_fd[KMAP_COUNT_]; /* the object's: not ours to close */
	uint32_t map_max[KMAP_COUNT_]; /* entries it has room for */
	struct bpf_program *prog[KPROG_MAX]; /* by osh_kprogs[] index; the object's */
	struct bpf_link *link[KPROG_MAX]; /* NULL: not attached */
	struct osh_kern_probe probe[KPROG_MAX];
	uint64_t cgroup_id[PLACE_SANDBOXES + 1]; /* by place */
	struct osh_swaps *swaps; /* NULL: none yet */
	struct ring_buffer *ring;
	const struct osh_kern_sink *sink; /* during a drain */
	unsigned int drained, drain_max;
};

/* attach.c */
int osh_kern_attach(struct osh_kern *kern, const struct osh_kern_opts *opts, struct osh_diag *diag);
/* kfs.c */
int osh_kfs_has_bpf_lsm(void); /* 1, 0, or why it is not known */
int osh_kfs_syscall_event(const struct bpf_program *prog, int *ret_perf_fd);
/* pin.c */
int osh_pin_prepare(const char *pin_dir, struct osh_diag *diag);
int osh_pin_path(const char *dir, const char *kind, const char *name, char *ret_path, size_t size);
/* events.c */
int osh_events_init(struct osh_kern *kern);
/* swap.c */
int osh_swap_put(struct osh_kern *kern, int outer_fd, uint32_t key, int inner_fd);
struct osh_swaps *osh_swaps_free(struct osh_swaps *swaps);
/* policy.c */
int osh_policy_drop(struct osh_kern *kern, uint32_t sandbox);
/* exe.c */
int osh_clock_set(struct osh_kern *kern);
int osh_exe_drop(struct osh_kern *kern, uint32_t sandbox);
int osh_task_drop(struct osh_kern *kern, uint32_t sandbox);
/* name.c */
int osh_name_drop(struct osh_kern *kern, uint32_t sandbox);

/*
 * Each key of hash map @fd, safe against @fn deleting the key it is shown. The bound keeps a map
 * that others fill from holding us forever.
 */
int osh_kmap_each(int fd, void *key, size_t key_size, unsigned int max,
		  int (*fn)(const void *key, void *arg), void *arg);

struct bpf_program;
/* old.c: keep what is pinned at @path if it hangs on another cgroup than @cgroup_id. */
int osh_kern_old_keep(const char *path, uint64_t cgroup_id) OSH_MUST_CHECK;
/* Links kept of @name: today's program, or gone if their cgroup has no socket any more. */
int osh_kern_old_refresh(const char *pin_dir, const char *name,
			 struct bpf_program *prog) OSH_MUST_CHECK;

#endif
