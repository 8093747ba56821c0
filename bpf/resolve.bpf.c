/* SPDX-License-Identifier: Dual MIT/GPL */
/* Answers the daemon what an open file of its own looks like to the other programs. */
#include "common.bpf.h"

BPF_LICENSE;

struct resolve_args {
	struct osh_exe_key key;
	__u64 size;
	__u32 fd;
	__u32 found; /* 1: key and size are valid */
};

/* Run with BPF_PROG_TEST_RUN in the daemon's own context; not attached to anything. */
SEC("syscall")
int osh_resolve_fd(struct resolve_args *args)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct inode *in;
	struct fdtable *fdt = t->files->fdt;
	struct file **fds = BPF_CORE_READ(fdt, fd), *f = NULL;
	struct super_block *sb;
	__u32 fd = args->fd;

	args->found = 0;
	if (fd >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	if (bpf_probe_read_kernel(&f, sizeof(f), fds + fd) || !f)
		return 0;
	in = BPF_CORE_READ(f, f_inode);
	if (!in)
		return 0;
	sb = BPF_CORE_READ(in, i_sb);
	args->key.ino = BPF_CORE_READ(in, i_ino);
	args->key.dev = BPF_CORE_READ(sb, s_dev);
	args->key.gen = BPF_CORE_READ(in, i_generation);
	args->key.pad = 0;
	if (bpf_core_field_exists(in->i_ctime_sec)) {
		args->key.ctime_s = BPF_CORE_READ(in, i_ctime_sec);
		args->key.ctime_ns = BPF_CORE_READ(in, i_ctime_nsec) & 0x7fffffff;
	} else if (bpf_core_field_exists(((struct inode___ts *)0)->__i_ctime)) {
		struct inode___ts *ts = (void *)in;

		args->key.ctime_s = BPF_CORE_READ(ts, __i_ctime.tv_sec);
		args->key.ctime_ns = BPF_CORE_READ(ts, __i_ctime.tv_nsec) & 0x7fffffff;
	} else {
		struct inode___old *old = (void *)in;

		args->key.ctime_s = BPF_CORE_READ(old, i_ctime.tv_sec);
		args->key.ctime_ns = BPF_CORE_READ(old, i_ctime.tv_nsec) & 0x7fffffff;
	}
	args->size = BPF_CORE_READ(in, i_size);
	args->found = 1;
	return 0;
}
