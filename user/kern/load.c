/* SPDX-License-Identifier: MIT */
/*
 * Opening: which programs there are, which load here, and the maps of a predecessor. The only file
 * that includes the skeleton.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "openshell.skel.h"

const char *const osh_kmap_names[KMAP_COUNT_] = {
	[KMAP_STATE] = "osh_state",	    [KMAP_CLOCK] = "osh_clock",
	[KMAP_SANDBOXES] = "osh_sandboxes", [KMAP_CGROUPS] = "osh_cgroups",
	[KMAP_POLICIES] = "osh_policies",   [KMAP_EXE_IDS] = "osh_exe_ids",
	[KMAP_EXES] = "osh_exes",	    [KMAP_TASKS] = "osh_tasks",
	[KMAP_SK_REC] = "osh_sk_rec",	    [KMAP_PEERS] = "osh_peers",
	[KMAP_FLOWS] = "osh_flows",	    [KMAP_DNS] = "osh_dns",
	[KMAP_NAMES] = "osh_names",	    [KMAP_EVENTS] = "osh_events",
	[KMAP_COUNTERS] = "osh_counters",
};

/* In the order they are attached: identity first, the ways out last. */
const struct kprog_def osh_kprogs[] = {
	{ "osh_exec", PLACE_TRACE, true },
	{ "osh_fork", PLACE_TRACE, true },
	{ "osh_exit", PLACE_TRACE, true },
	{ "osh_mmap_file", PLACE_TAINT_LSM, false },
	{ "osh_mprotect", PLACE_TAINT_LSM, false },
	{ "osh_tp_mmap", PLACE_TAINT_SYSCALL, false },
	{ "osh_tp_mprotect", PLACE_TAINT_SYSCALL, false },
	{ "osh_tp_pkey", PLACE_TAINT_SYSCALL, false },
	{ "osh_sys_enter", PLACE_TAINT_RAW, false },
	{ "osh_lsm_socket", PLACE_LSM, false },
	{ "osh_lsm_connect", PLACE_LSM, false },
	{ "osh_lsm_sendmsg", PLACE_LSM, false },
	{ "osh_lsm_ptrace", PLACE_LSM, false },
	{ "osh_lsm_userns", PLACE_LSM, false },
	{ "osh_lsm_bpf", PLACE_LSM, false },
	{ "osh_unix_conn", PLACE_MODRET, false },
	{ "osh_unix_send", PLACE_MODRET, false },
	{ "osh_resolve_fd", PLACE_NONE, true },
	{ "osh_getsockopt", PLACE_DAEMON, true },
	{ "osh_acc_release", PLACE_DAEMON, true },
	{ "osh_sock_create", PLACE_SANDBOXES, true },
	{ "osh_sk_release", PLACE_SANDBOXES, true },
	{ "osh_bind4", PLACE_SANDBOXES, true },
	{ "osh_bind6", PLACE_SANDBOXES, true },
	{ "osh_post_bind4", PLACE_SANDBOXES, true },
	{ "osh_post_bind6", PLACE_SANDBOXES, true },
	{ "osh_setsockopt", PLACE_SANDBOXES, true },
	{ "osh_egress", PLACE_SANDBOXES, true },
	{ "osh_ingress", PLACE_SANDBOXES, true },
	{ "osh_sendmsg4", PLACE_SANDBOXES, true },
	{ "osh_sendmsg6", PLACE_SANDBOXES, true },
	{ "osh_recvmsg4", PLACE_SANDBOXES, true },
	{ "osh_recvmsg6", PLACE_SANDBOXES, true },
	{ "osh_peername4", PLACE_SANDBOXES, true },
	{ "osh_peername6", PLACE_SANDBOXES, true },
	{ "osh_connect4", PLACE_SANDBOXES, true },
	{ "osh_connect6", PLACE_SANDBOXES, true },
};
const size_t osh_kprog_count = OSH_ARRAY_SIZE(osh_kprogs);
_Static_assert(OSH_ARRAY_SIZE(osh_kprogs) <= KPROG_MAX, "raise KPROG_MAX");

/*
 * What libbpf said while loading. A verifier's log is one long message whose end matters, so the
 * beginning gives way when there is no more room.
 */
static struct {
	char text[2048];
	size_t len;
} libbpf_said;

static int on_libbpf_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	osh_auto_free char *msg = NULL;
	size_t n, room = sizeof(libbpf_said.text) - 1, keep;
	int r;

	if (level != LIBBPF_WARN)
		return 0;
	r = vasprintf(&msg, fmt, ap);
	if (r < 0) {
		msg = NULL; /* left undefined by a failure */
		return 0;
	}
	n = OSH_MIN((size_t)r, room);
	keep = OSH_MIN(libbpf_said.len, room - n);
	memmove(libbpf_said.text, libbpf_said.text + libbpf_said.len - keep, keep);
	memcpy(libbpf_said.text + keep, msg + (size_t)r - n, n);
	libbpf_said.len = keep + n;
	return r;
}

static void explain(struct osh_diag *diag, int r, const char *what)
{
	size_t i, n = libbpf_said.len;

	/* a message is one line */
	for (i = 0; i < n; i++)
		if (libbpf_said.text[i] == '\n' || libbpf_said.text[i] == '\t')
			libbpf_said.text[i] = ' ';
	libbpf_said.text[n] = '\0';
	osh_diag_err(diag, 0, 0, "%s: %s%s%s", what, strerror(-r), n ? ": " : "", libbpf_said.text);
}

/* What this kernel offers beyond what we need: 0, or why not. */
struct extras {
	int lsm, modret;
};

/* Wanted at all? Required ones always are; the taint programs stand in for each other. */
static bool is_wanted(const struct kprog_def *def, const struct osh_kern_opts *opts,
		      const struct extras *x)
{
	bool have_lsm = x->lsm == 0;

	switch (def->place) {
	case PLACE_LSM:
		return have_lsm;
	case PLACE_MODRET:
		return x->modret == 0;
	case PLACE_TAINT_LSM:
		return have_lsm &&
		       (opts->taint == OSH_KERN_TAINT_AUTO || opts->taint == OSH_KERN_TAINT_LSM);
	case PLACE_TAINT_SYSCALL:
		return opts->taint == OSH_KERN_TAINT_SYSCALL ||
		       (opts->taint == OSH_KERN_TAINT_AUTO && !have_lsm);
	case PLACE_TAINT_RAW: /* in case the former cannot be attached: attach.c */
		return opts->taint == OSH_KERN_TAINT_RAW ||
		       (opts->taint == OSH_KERN_TAINT_AUTO && !have_lsm);
	default:
		return true;
	}
}

/* The bit moved in 6.14. */
static uint32_t fmode_backing(void)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	if (uname(&u) == 0)
		(void)sscanf(u.release, "%u.%u", &major, &minor); /* else: as in old ones */
	return major > 6 || (major == 6 && minor >= 14) ? 1u << 24 : 1u << 25;
}

static void set_tunables(struct openshell_bpf *skel, const struct osh_kern_opts *opts)
{
	skel->rodata->osh_cfg_deny_errno = (uint32_t)(opts->deny_errno ? opts->deny_errno
								       : ECONNREFUSED);
	skel->rodata->osh_cfg_explicit_port = opts->explicit_port ? opts->explicit_port : 3128;
	skel->rodata->osh_cfg_nr_mmap = __NR_mmap;
	skel->rodata->osh_cfg_nr_mprotect = __NR_mprotect;
	skel->rodata->osh_cfg_nr_pkey = __NR_pkey_mprotect;
	skel->rodata->osh_cfg_fmode_backing = fmode_backing();
}

/* A program that does nothing: what the kernel says to it, it says to all of its type. */
static int probe_type(enum bpf_prog_type type, enum bpf_attach_type attach, const char *target)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = attach);
	int fd, id;

	id = libbpf_find_vmlinux_btf_id(target, attach);
	if (id < 0)
		return -EOPNOTSUPP;
	o.attach_btf_id = (__u32)id;
	fd = bpf_prog_load(type, "osh_probe", "GPL", insns, OSH_ARRAY_SIZE(insns), &o);
	if (fd < 0)
		return fd;
	(void)close(fd);
	return 0;
}

/* Do LSM programs load, and would they be called at all? */
static int probe_lsm(void)
{
	int r = probe_type(BPF_PROG_TYPE_LSM, BPF_LSM_MAC, "file_open");

	if (r < 0)
		return r;
	r = osh_kfs_has_bpf_lsm();
	return r > 0 ? 0 : r == 0 ? -EOPNOTSUPP : r;
}

static int probe_modret(void)
{
	return probe_type(BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, "security_unix_may_send");
}

/* Tables that sandboxes have shares of. */
static const struct {
	enum kmap map;
	uint32_t share;
} shared_maps[] = {
	{ KMAP_EXE_IDS, OSH_EXE_PER_SANDBOX }, { KMAP_EXES, OSH_EXE_PER_SANDBOX },
	{ KMAP_TASKS, OSH_TASK_PER_SANDBOX },  { KMAP_FLOWS, OSH_FLOW_PER_SANDBOX },
	{ KMAP_PEERS, OSH_PEER_PER_SANDBOX },
};

static int size_maps(struct osh_kern *kern, unsigned int shares)
{
	if (!shares)
		shares = OSH_SHARES_DEFAULT;
	if (shares > OSH_SHARES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < OSH_ARRAY_SIZE(shared_maps); i++) {
		const char *name = osh_kmap_names[shared_maps[i].map];
		struct bpf_map *map = bpf_object__find_map_by_name(kern->obj, name);
		int r = map ? bpf_map__set_max_entries(map, shares * shared_maps[i].share)
			    : -ENOENT;

		if (r < 0)
			return r;
	}
	return 0;
}

/* A predecessor's table may have another size: that of its setting. */
static bool has_size(enum kmap which, uint32_t entries, const struct bpf_map *map)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(shared_maps); i++)
		if (shared_maps[i].map == which)
			return entries && entries % shared_maps[i].share == 0;
	return entries == bpf_map__max_entries(map);
}

static int check_same(int fd, enum kmap which, const struct bpf_map *map)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) || !has_size(which, info.max_entries, map))
		return -EPROTO;
	return 0;
}

/* Take over the pinned maps: all, or none when there are none. */
static int adopt_maps(struct osh_kern *kern, struct osh_diag *diag)
{
	unsigned int i, found = 0;
	char path[PATH_MAX];
	int fds[KMAP_COUNT_];
	int r = 0;

	for (i = 0; i < KMAP_COUNT_; i++) {
		r = osh_pin_path(kern->pin_dir, "map", osh_kmap_names[i], path, sizeof(path));
		if (r < 0)
			return r;
		fds[i] = bpf_obj_get(path);
		if (fds[i] >= 0)
			found++;
		else if (errno != ENOENT)
			r = -errno;
		if (r < 0) {
			osh_diag_err(diag, 0, 0, "cannot open pin %s: %s", path, strerror(-r));
			break;
		}
	}
	if (r == 0 && found && found < KMAP_COUNT_) {
		/* links are pinned after every map: with a link there, a missing map is damage */
		r = osh_pin_path(kern->pin_dir, "link", "osh_connect4", path, sizeof(path));
		if (r == 0 && access(path, F_OK) == 0) {
			osh_diag_err(diag, 0, 0, "pins in %s are incomplete", kern->pin_dir);
			r = -EPROTO;
		}
		/* else: a predecessor died while pinning; start over, pin.c replaces the rest */
		found = 0;
	}
	for (i = 0; r == 0 && found && i < KMAP_COUNT_; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(kern->obj, osh_kmap_names[i]);

		r = check_same(fds[i], (enum kmap)i, map);
		if (r == 0)
			r = bpf_map__reuse_fd(map, fds[i]);
		if (r < 0)
			osh_diag_err(diag, 0, 0, "pinned map %s is not ours: %s", osh_kmap_names[i],
				     strerror(-r));
	}
	for (i = 0; i < KMAP_COUNT_; i++)
		osh_close_ptr(&fds[i]);
	if (r < 0)
		return r;
	kern->adopted = found > 0;
	return 0;
}

static int check_state(struct osh_kern *kern, struct osh_diag *diag)
{
	struct osh_state st;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(kern->map_fd[KMAP_STATE], &zero, &st) < 0)
		return -errno;
	if (kern->adopted) {
		if (st.abi == OSH_ABI_VERSION)
			return 0;
		osh_diag_err(diag, 0, 0, "pins in %s are of ABI version %u, this daemon's is %u",
			     kern->pin_dir, st.abi, OSH_ABI_VERSION);
		return -EPROTO;
	}
	st = (struct osh_state){ .abi = OSH_ABI_VERSION };
	if (getrandom(&st.seed, sizeof(st.seed), 0) != sizeof(st.seed))
		return -EIO;
	if (bpf_map_update_elem(kern->map_fd[KMAP_STATE], &zero, &st, BPF_ANY) < 0)
		return -errno;
	return 0;
}

static int find_parts(struct osh_kern *kern, const struct osh_kern_opts *opts,
		      const struct extras *x)
{
	struct bpf_program *prog;
	unsigned int known = 0;
	size_t i;

	for (i = 0; i < osh_kprog_count; i++) {
		const struct kprog_def *def = &osh_kprogs[i];
		bool want = is_wanted(def, opts, x);

		kern->prog[i] = bpf_object__find_program_by_name(kern->obj, def->name);
		if (!kern->prog[i] || bpf_program__set_autoload(kern->prog[i], want) < 0)
			return -ENOENT;
		kern->probe[i].what = def->name;
		kern->probe[i].required = def->required;
		kern->probe[i].err = want ? 0 : -ECANCELED;
		if (!want && x->lsm && (def->place == PLACE_LSM || def->place == PLACE_TAINT_LSM))
			kern->probe[i].err = x->lsm;
		if (!want && def->place == PLACE_MODRET)
			kern->probe[i].err = x->modret;
	}
	/* a program this table does not know would never be attached: a bug, not a state */
	bpf_object__for_each_program(prog, kern->obj) known++;
	return known == osh_kprog_count ? 0 : -ENOENT;
}

static int try_load(struct osh_kern *kern, const struct osh_kern_opts *opts, const struct extras *x,
		    struct osh_diag *diag)
{
	unsigned int i;
	int r;

	libbpf_said.len = 0;
	kern->skel = openshell_bpf__open();
	if (!kern->skel)
		return -errno;
	kern->obj = kern->skel->obj;
	set_tunables(kern->skel, opts);
	r = find_parts(kern, opts, x);
	if (r < 0)
		return r;
	r = size_maps(kern, opts->shares);
	if (r < 0)
		return r;
	if (kern->pin_dir) {
		r = adopt_maps(kern, diag);
		if (r < 0)
			return r;
	}
	r = openshell_bpf__load(kern->skel);
	if (r < 0)
		return r;
	for (i = 0; i < KMAP_COUNT_; i++) {
		kern->map_fd[i] = bpf_object__find_map_fd_by_name(kern->obj, osh_kmap_names[i]);
		if (kern->map_fd[i] < 0)
			return kern->map_fd[i];
		kern->map_max[i] = bpf_map__max_entries(
			bpf_object__find_map_by_name(kern->obj, osh_kmap_names[i]));
	}
	return 0;
}

static int load_programs(struct osh_kern *kern, const struct osh_kern_opts *opts,
			 struct osh_diag *diag)
{
	libbpf_print_fn_t before = libbpf_set_print(on_libbpf_print);
	struct extras x = { opts->no_lsm ? -ECANCELED : probe_lsm(), probe_modret() };
	int r;

	if (opts->taint == OSH_KERN_TAINT_LSM && x.lsm) {
		osh_diag_err(diag, 0, 0, "BPF LSM programs do not load here: %s", strerror(-x.lsm));
		r = x.lsm;
		goto out;
	}
	r = try_load(kern, opts, &x, diag);
	if (r < 0 && r != -EPROTO && (x.lsm == 0 || x.modret == 0) &&
	    opts->taint != OSH_KERN_TAINT_LSM) {
		/* the type loads but one of ours does not: go on without, and say so in the probes */
		openshell_bpf__destroy(kern->skel);
		kern->skel = NULL;
		kern->obj = NULL;
		x.lsm = x.lsm ? x.lsm : r;
		x.modret = x.modret ? x.modret : r;
		r = try_load(kern, opts, &x, diag);
	}
	if (r < 0) {
		explain(diag, r, "cannot load the kernel programs");
		goto out;
	}
	r = check_state(kern, diag);
out:
	(void)libbpf_set_print(before); /* restores */
	return r;
}

struct osh_kern *osh_kern_free(struct osh_kern *kern)
{
	size_t i;

	if (!kern)
		return NULL;
	kern->swaps = osh_swaps_free(kern->swaps);
	ring_buffer__free(kern->ring);
	for (i = 0; i < osh_kprog_count; i++)
		(void)bpf_link__destroy(kern->link[i]); /* closes; a pin keeps the link */
	openshell_bpf__destroy(kern->skel);
	free(kern->pin_dir);
	free(kern);
	return NULL;
}

int osh_kern_open(const struct osh_kern_opts *opts, struct osh_kern **ret_kern,
		  struct osh_diag *diag)
{
	struct osh_kern *kern = calloc(1, sizeof(*kern));
	int r;

	if (!kern)
		return -ENOMEM;
	if (opts->pin_dir) {
		kern->pin_dir = strdup(opts->pin_dir);
		r = kern->pin_dir ? osh_pin_prepare(kern->pin_dir, diag) : -ENOMEM;
		if (r < 0)
			goto fail;
	}
	r = load_programs(kern, opts, diag);
	if (r < 0)
		goto fail;
	r = osh_clock_set(kern);
	if (r < 0)
		goto fail;
	r = osh_kern_attach(kern, opts, diag);
	if (r < 0)
		goto fail;
	r = osh_events_init(kern);
	if (r < 0)
		goto fail;
	*ret_kern = kern;
	return 0;
fail:
	osh_kern_free(kern);
	return r;
}

bool osh_kern_is_adopted(const struct osh_kern *kern)
{
	return kern->adopted;
}

size_t osh_kern_probes(const struct osh_kern *kern, const struct osh_kern_probe **ret_probes)
{
	*ret_probes = kern->probe;
	return osh_kprog_count;
}
