/* SPDX-License-Identifier: MIT */
/* The watch on executable mappings, by each of the ways the kernel may offer. */
#include "cases.h"

static int probe_of(struct kt *kt, const char *what)
{
	const struct osh_kern_probe *probes;
	size_t i, n = osh_kern_probes(kt->kern, &probes);

	for (i = 0; i < n; i++)
		if (strcmp(probes[i].what, what) == 0)
			return probes[i].err;
	return -ENOENT;
}

static bool is_pinned(struct kt *kt, const char *prog)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/link_%s", kt->pin_dir, prog);
	return access(path, F_OK) == 0;
}

static void notices(struct kt *kt, struct kt_sandbox *sb, const char *verb, const char *lib)
{
	struct osh_flow_rec rec;
	char args[192];

	(void)snprintf(args, sizeof(args), "%s %s 10.0.0.1 80", verb, lib);
	CHECK(arrives(kt, sb, args, sb->tcp4, NULL, &rec));
	CHECK(rec.flags & OSH_RUN_MAPPED);
	if (!(rec.flags & OSH_RUN_MAPPED))
		printf("not noticed: %s, by way %d\n", verb, (int)kt->opts.taint);
}

static void each_call(struct kt *kt, struct kt_sandbox *sb, const char *lib)
{
	struct osh_flow_rec rec;

	notices(kt, sb, "map", lib);
	notices(kt, sb, "protect", lib);
	notices(kt, sb, "pkey", lib);
	CHECK(arrives(kt, sb, "map /bin/true 10.0.0.1 80", sb->tcp4, NULL, &rec));
	CHECK(!(rec.flags & OSH_RUN_MAPPED));
	CHECK(arrives(kt, sb, "protect /bin/true 10.0.0.1 80", sb->tcp4, NULL, &rec));
	CHECK(!(rec.flags & OSH_RUN_MAPPED));
}

static void by(struct kt *kt, struct kt_sandbox *sb, const char *lib, enum osh_kern_taint way)
{
	osh_auto_diag struct osh_diag diag;

	osh_diag_init(&diag, NULL);
	kt->opts.taint = way;
	NEED(kt_restart(kt) == 0);
	CHECK(osh_kern_verify(kt->kern, &diag) == 0);
	each_call(kt, sb, lib);
}

void case_watch(struct kt *kt)
{
	static const char *const calls[] = { "osh_tp_mmap", "osh_tp_mprotect", "osh_tp_pkey" };
	bool lsm = probe_of(kt, "osh_mmap_file") == 0;
	struct kt_sandbox sb;
	char lib[128];
	size_t i;

	NEED(kt_sandbox_make(kt, &sb) == 0);
	NEED(kt_publish_all(kt, &sb, 1) == 0);
	(void)snprintf(lib, sizeof(lib), "%s/lib", kt->tmp);
	NEED(kt_copy("/bin/true", lib) == 0);

	/* found by itself: one way, and not the one every system call pays for */
	CHECK(!lsm == !probe_of(kt, "osh_tp_mmap"));
	CHECK(probe_of(kt, "osh_sys_enter") == -ECANCELED && !is_pinned(kt, "osh_sys_enter"));
	each_call(kt, &sb, lib);
	/* pinned: goes on without a daemon */
	kt->kern = osh_kern_free(kt->kern);
	each_call(kt, &sb, lib);

	by(kt, &sb, lib, OSH_KERN_TAINT_RAW);
	CHECK(is_pinned(kt, "osh_sys_enter"));
	for (i = 0; i < OSH_ARRAY_SIZE(calls); i++)
		CHECK(!is_pinned(kt, calls[i]));
	by(kt, &sb, lib, OSH_KERN_TAINT_SYSCALL);
	for (i = 0; i < OSH_ARRAY_SIZE(calls); i++)
		CHECK(is_pinned(kt, calls[i]));
	CHECK(!is_pinned(kt, "osh_sys_enter"));
	if (lsm)
		by(kt, &sb, lib, OSH_KERN_TAINT_LSM);
	kt->opts.taint = OSH_KERN_TAINT_OFF;
	NEED(kt_restart(kt) == 0);
	CHECK(!is_pinned(kt, "osh_tp_mmap") && !is_pinned(kt, "osh_mmap_file"));

	(void)unlink(lib);
	kt_sandbox_drop(kt, &sb);
}
