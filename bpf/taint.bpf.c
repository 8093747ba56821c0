/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Code that is not the program's own: an executable mapping of a file on a writable mount (a
 * preloaded or plugged-in library) or of an anonymous file taints the process until its next exec.
 * By LSM where it loads; else at system call entry, where a second thread could exchange the
 * descriptor before it is used: that much is not caught.
 */
#include "common.bpf.h"

BPF_LICENSE;

#define PROT_EXEC 4
#define VM_EXEC	  4ul

extern const volatile __u32 osh_cfg_nr_mmap;

static __always_inline bool is_writable_file(struct file *f)
{
	struct vfsmount *mnt = BPF_CORE_READ(f, f_path.mnt);
	struct inode *in = BPF_CORE_READ(f, f_inode);
	int flags = BPF_CORE_READ(mnt, mnt_flags);

	if (flags & EXE_MNT_INTERNAL)
		return true;
	return !(flags & EXE_MNT_READONLY) && !(BPF_CORE_READ(in, i_sb, s_flags) & EXE_SB_RDONLY);
}

static __always_inline void taint(struct osh_task *task, struct file *f, __u32 tgid)
{
	struct inode *in = BPF_CORE_READ(f, f_inode);
	struct super_block *sb = BPF_CORE_READ(in, i_sb);
	struct osh_kev_taint *ev;

	/* its own image, from a writable mount: the exe's flags say so already */
	if (BPF_CORE_READ(in, i_ino) == task->key.ino && BPF_CORE_READ(sb, s_dev) == task->key.dev)
		return;
	if (task->flags & OSH_RUN_MAPPED)
		return;
	if (!is_writable_file(f))
		return;
	task->flags |= OSH_RUN_MAPPED;
	count(OSH_CTR_TAINT);
	ev = event_new(OSH_KEV_TAINT, sizeof(*ev));
	if (!ev)
		return;
	__builtin_memset(&ev->key, 0, sizeof(ev->key));
	ev->key.ino = BPF_CORE_READ(in, i_ino);
	ev->key.dev = BPF_CORE_READ(sb, s_dev);
	ev->key.gen = BPF_CORE_READ(in, i_generation);
	ev->sandbox = task->sandbox;
	ev->exe = task->exe;
	ev->tgid = tgid;
	ev->flags = OSH_RUN_MAPPED;
	event_send(ev);
}

/* Outside every sandbox: one comparison, and for mmap one failed lookup. */
SEC("?tp_btf/sys_enter")
int BPF_PROG(osh_sys_enter, struct pt_regs *regs, long nr)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	unsigned long prot, fd;
	struct file **fds, *f = NULL;
	struct task_struct *t;
	struct osh_task *task;
	struct fdtable *fdt;

	if (nr != osh_cfg_nr_mmap)
		return 0;
#if defined(__TARGET_ARCH_x86)
	prot = regs->dx;
	fd = regs->r8;
#else
	prot = regs->regs[2];
	fd = regs->regs[4];
#endif
	if (!(prot & PROT_EXEC) || (int)fd < 0)
		return 0;
	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (!task)
		return 0;
	t = bpf_get_current_task_btf();
	fdt = t->files->fdt;
	if ((unsigned int)fd >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	fds = BPF_CORE_READ(fdt, fd);
	if (bpf_probe_read_kernel(&f, sizeof(f), fds + (unsigned int)fd) || !f)
		return 0;
	taint(task, f, tgid);
	return 0;
}

SEC("?lsm/mmap_file")
int BPF_PROG(osh_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot,
	     unsigned long flags, int ret)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct osh_task *task;

	if (ret)
		return ret;
	if (!file || !(prot & PROT_EXEC))
		return 0;
	/* the image of an exec under way: the task's row still describes the old program */
	if (BPF_CORE_READ_BITFIELD(bpf_get_current_task_btf(), in_execve))
		return 0;
	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (task)
		taint(task, file, tgid);
	return 0;
}

SEC("?lsm/file_mprotect")
int BPF_PROG(osh_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot,
	     int ret)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct osh_task *task;
	struct file *f;

	if (ret)
		return ret;
	if (!(prot & PROT_EXEC))
		return 0;
	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (!task)
		return 0;
	f = vma->vm_file;
	if (f)
		taint(task, f, tgid);
	return 0;
}
