/* SPDX-License-Identifier: MIT */
#include "sandbox/seccomp.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/macros.h"

/* The same number on every architecture; older headers do not name them. */
enum {
	NR_open_tree = 428,
	NR_move_mount = 429,
	NR_fsopen = 430,
	NR_fsconfig = 431,
	NR_fsmount = 432,
	NR_fspick = 433,
	NR_pidfd_open = 434,
	NR_clone3 = 435,
	NR_pidfd_getfd = 438,
	NR_process_madvise = 440,
	NR_mount_setattr = 442,
	NR_memfd_secret = 447,
	NR_process_mrelease = 448,
	NR_open_tree_attr = 467,
};

/*
 * EPERM whatever the arguments. The reference's list, then what it leaves to capabilities but what
 * reaches into other processes, keyrings shared by uid, or the mount table all the same.
 */
static const int denied[] = {
	SCMP_SYS(memfd_create),
	SCMP_SYS(ptrace),
	SCMP_SYS(bpf),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	NR_pidfd_open,
	NR_pidfd_getfd,
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(mount),
	NR_fsopen,
	NR_fsconfig,
	NR_fsmount,
	NR_fspick,
	NR_move_mount,
	NR_open_tree,
	SCMP_SYS(setns),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(uselib),

	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(kcmp),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(chroot),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(quotactl),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(reboot),
	SCMP_SYS(syslog),
	NR_process_madvise,
	NR_mount_setattr,
	NR_memfd_secret,
	NR_process_mrelease,
	NR_open_tree_attr,
};

static struct osh_buf blob_cache; /* filled once, never freed: part of the program like its text */

/*
 * Family allow-list: UNIX, INET, INET6, NETLINK. Arguments are compared in 64 bits while the kernel
 * takes 32, so every range ends in "greater than": a value with high bits set is refused, never
 * mistaken for its low half.
 */
static int add_families(scmp_filter_ctx ctx)
{
	static const int refused[] = { 0, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15 };
	/* The reference answers EPERM for these three; other families look like not built in. */
	static const int eperm[] = { AF_PACKET, AF_BLUETOOTH, AF_VSOCK };
	uint32_t unsupported = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	int r = 0;

	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(refused); i++)
		r = seccomp_rule_add_exact(ctx, unsupported, SCMP_SYS(socket), 1,
					   SCMP_A0_64(SCMP_CMP_EQ, (uint64_t)refused[i]));
	/* Above NETLINK one by one, for the sake of the two errnos; then everything that is left. */
	for (uint64_t family = AF_NETLINK + 1; r == 0 && family < 64; family++) {
		uint32_t action = unsupported;

		for (size_t i = 0; i < OSH_ARRAY_SIZE(eperm); i++)
			if (family == (uint64_t)eperm[i])
				action = SCMP_ACT_ERRNO(EPERM);
		r = seccomp_rule_add_exact(ctx, action, SCMP_SYS(socket), 1,
					   SCMP_A0_64(SCMP_CMP_EQ, family));
	}
	if (r == 0)
		r = seccomp_rule_add_exact(ctx, unsupported, SCMP_SYS(socket), 1,
					   SCMP_A0_64(SCMP_CMP_GE, 64));
	/* Only Unix has useful pairs; TIPC has them too and must not come in by this door. */
	if (r == 0)
		r = seccomp_rule_add_exact(ctx, unsupported, SCMP_SYS(socketpair), 1,
					   SCMP_A0_64(SCMP_CMP_NE, AF_UNIX));
	if (r == 0)
		r = seccomp_rule_add_exact(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 2,
					   SCMP_A0_64(SCMP_CMP_EQ, AF_NETLINK),
					   SCMP_A2_64(SCMP_CMP_NE, 0 /* NETLINK_ROUTE */));
	return r;
}

/* INET and INET6: {STREAM, 0 or TCP} and {DGRAM, 0 or UDP}; everything else is refused. */
static int add_protocols(scmp_filter_ctx ctx, uint64_t family)
{
	static const struct {
		uint64_t type, protocol;
	} allowed[] = { { SOCK_STREAM, 6 }, { SOCK_DGRAM, 17 } };
	int r = 0;

	for (uint64_t type = 0; r == 0 && type < 16; type++)
		if (type != SOCK_STREAM && type != SOCK_DGRAM)
			r = seccomp_rule_add_exact(ctx, SCMP_ACT_ERRNO(ESOCKTNOSUPPORT),
						   SCMP_SYS(socket), 2,
						   SCMP_A0_64(SCMP_CMP_EQ, family),
						   SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, type));
	for (size_t i = 0; i < OSH_ARRAY_SIZE(allowed); i++) {
		uint64_t last = allowed[i].protocol;

		for (uint64_t p = 1; r == 0 && p <= last + 1; p++) {
			if (p == last)
				continue;
			r = seccomp_rule_add_exact(
				ctx, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 3,
				SCMP_A0_64(SCMP_CMP_EQ, family),
				SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, allowed[i].type),
				SCMP_A2_64(p > last ? SCMP_CMP_GT : SCMP_CMP_EQ,
					   p > last ? last : p));
		}
	}
	return r;
}

static int add_conditional(scmp_filter_ctx ctx)
{
	static const uint64_t layouts[] = { ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC,
					    ADDR_COMPAT_LAYOUT, MMAP_PAGE_ZERO };
	uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
	int r;

	r = seccomp_rule_add_exact(ctx, eperm, SCMP_SYS(execveat), 1,
				   SCMP_A4_64(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	if (r == 0)
		r = seccomp_rule_add_exact(
			ctx, eperm, SCMP_SYS(unshare), 1,
			SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
	if (r == 0)
		r = seccomp_rule_add_exact(
			ctx, eperm, SCMP_SYS(clone), 1,
			SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
	/* Its flags are behind a pointer: libc falls back to clone(). */
	if (r == 0)
		r = seccomp_rule_add_exact(ctx, SCMP_ACT_ERRNO(ENOSYS), NR_clone3, 0);
	/*
	 * seccomp(2) can hand out a listener, with which a parent answers the system calls of an
	 * allowed program it started; so it is refused, as in the reference. prctl() cannot: filters
	 * stacked that way only take away, and browsers and ssh rely on it.
	 */
	if (r == 0)
		r = seccomp_rule_add_exact(
			ctx, eperm, SCMP_SYS(seccomp), 1,
			SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0xffffffff, SECCOMP_SET_MODE_FILTER));
	/* Can make /proc/self/exe, hence the identity of a program, point to another file. */
	if (r == 0)
		r = seccomp_rule_add_exact(ctx, eperm, SCMP_SYS(prctl), 1,
					   SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0xffffffff, PR_SET_MM));
	/*
	 * A library that asks for an executable stack, fixed addresses, or that whatever is readable can
	 * be executed, turn what an allowed program merely loads into code that no executable mapping
	 * gives away; programs started later inherit the last two. (All bits set: only a question.)
	 */
	if (r == 0)
		r = seccomp_rule_add_exact(ctx, eperm, SCMP_SYS(mprotect), 1,
					   SCMP_A2_64(SCMP_CMP_MASKED_EQ,
						      PROT_EXEC | PROT_GROWSDOWN,
						      PROT_EXEC | PROT_GROWSDOWN));
	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(layouts); i++)
		r = seccomp_rule_add_exact(
			ctx, eperm, SCMP_SYS(personality), 1,
			SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0x80000000u | layouts[i], layouts[i]));
	/* The question has all bits set: with the highest and not every other one it is none. */
	for (unsigned int bit = 0; r == 0 && bit < 31; bit++)
		r = seccomp_rule_add_exact(
			ctx, eperm, SCMP_SYS(personality), 1,
			SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0x80000000u | 1u << bit, 0x80000000u));
	/* The same for code without a name, from another process's memory. */
	if (r == 0)
		r = seccomp_rule_add_exact(ctx, eperm, SCMP_SYS(shmat), 1,
					   SCMP_A2_64(SCMP_CMP_MASKED_EQ, SHM_EXEC, SHM_EXEC));
	return r;
}

static int add_rules(scmp_filter_ctx ctx)
{
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (r == 0) /* loaded by our own call, after no_new_privs has been set and checked */
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (r == 0) /* binary tree over the numbers */
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(denied); i++) {
		if (denied[i] < 0) /* does not exist on this architecture */
			continue;
		r = seccomp_rule_add_exact(ctx, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
	}
	if (r == 0)
		r = add_conditional(ctx);
	if (r == 0)
		r = add_families(ctx);
	if (r == 0)
		r = add_protocols(ctx, AF_INET);
	if (r == 0)
		r = add_protocols(ctx, AF_INET6);
	return r;
}

int osh_seccomp_blob(struct osh_str *ret_blob)
{
	osh_auto_close int fd = -1;
	scmp_filter_ctx ctx;
	int r;

	if (blob_cache.len) {
		*ret_blob = osh_buf_str(&blob_cache);
		return 0;
	}
	fd = memfd_create("osh-seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx)
		return -ENOMEM;
	r = add_rules(ctx);
	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	osh_buf_init(&blob_cache, OSH_SECCOMP_MAX * sizeof(struct sock_filter), 0);
	r = osh_buf_read_all(&blob_cache, fd);
	if (r == 0 && (!blob_cache.len || blob_cache.len % sizeof(struct sock_filter)))
		r = -EBADMSG;
	if (r < 0) {
		osh_buf_fini(&blob_cache);
		return r;
	}
	*ret_blob = osh_buf_str(&blob_cache);
	return 0;
}
