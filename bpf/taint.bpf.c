/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Code that is not the program's own: an executable mapping of a file on a writable mount (a
 * preloaded or plugged-in library) or of an anonymous file taints the process until its next exec.
 * By LSM where it loads; else at entry of the system calls that map, where a second thread could
 * exchange the descriptor before it is used: that much is not caught. Those tracepoints do not see
 * calls of another ABI (int 0x80, x32): seccomp kills whoever makes one.
 */
#include "common.bpf.h"

BPF_LICENSE;

#define PROT_EXEC 4
#define VM_EXEC	  4ul

#define MPROTECT_TURNS 256 /* mappings in one mprotect, plus attempts while they are locked */

extern const volatile __u32 osh_cfg_nr_mmap;
extern const volatile __u32 osh_cfg_nr_mprotect;
extern const volatile __u32 osh_cfg_nr_pkey;

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
	ev = event_new(caller_sandbox(), OSH_KEV_TAINT, sizeof(*ev));
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

/* The file behind descriptor @fd of the calling task; NULL: none. */
static __always_inline struct file *file_of(__u32 fd)
{
	struct fdtable *fdt = bpf_get_current_task_btf()->files->fdt;
	struct file **fds, *f = NULL;

	if (fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	fds = BPF_CORE_READ(fdt, fd);
	if (bpf_probe_read_kernel(&f, sizeof(f), fds + fd))
		return NULL;
	return f;
}

static __always_inline void on_mmap(unsigned long prot, unsigned long fd)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct osh_task *task;
	struct file *f;

	if (!(prot & PROT_EXEC) || (int)fd < 0)
		return;
	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (!task)
		return;
	f = file_of(fd);
	if (f)
		taint(task, f, tgid);
}

struct range {
	unsigned long at, end;
	__u32 tgid;
	__u32 busy; /* turns that found the address space locked */
};

static long on_vma(struct task_struct *t, struct vm_area_struct *vma, struct range *r)
{
	struct osh_task *task = bpf_map_lookup_elem(&osh_tasks, &r->tgid);
	struct file *f = vma->vm_file;

	r->at = vma->vm_end;
	if (task && f)
		taint(task, f, r->tgid);
	return 0;
}

/* One mapping of the range a turn. -EBUSY: another thread holds the address space; again. */
static long next_vma(__u32 i, struct range *r)
{
	long err;

	if (r->at >= r->end)
		return 1;
	err = bpf_find_vma(bpf_get_current_task_btf(), r->at, on_vma, r, 0);
	if (err == -EBUSY)
		r->busy++;
	return err && err != -EBUSY;
}

static __always_inline void on_mprotect(unsigned long at, unsigned long len, unsigned long prot)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct range r = { .at = at, .end = at + len, .tgid = tgid };

	struct osh_task *task;

	if (!(prot & PROT_EXEC))
		return;
	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (!task)
		return;
	/* more mappings at once than anybody would look through: no honest program does that */
	if (bpf_loop(MPROTECT_TURNS, next_vma, &r, 0) == MPROTECT_TURNS && r.at < r.end && !r.busy)
		task->flags |= OSH_RUN_MAPPED;
}

struct sys_enter {
	__u64 common;
	__s64 nr;
	unsigned long args[6];
};

/* Outside every sandbox: for an executable mapping one failed lookup; other system calls: nothing. */
SEC("?tp/syscalls/sys_enter_mmap")
int osh_tp_mmap(struct sys_enter *ctx)
{
	on_mmap(ctx->args[2], ctx->args[4]);
	return 0;
}

SEC("?tp/syscalls/sys_enter_mprotect")
int osh_tp_mprotect(struct sys_enter *ctx)
{
	on_mprotect(ctx->args[0], ctx->args[1], ctx->args[2]);
	return 0;
}

SEC("?tp/syscalls/sys_enter_pkey_mprotect")
int osh_tp_pkey(struct sys_enter *ctx)
{
	on_mprotect(ctx->args[0], ctx->args[1], ctx->args[2]);
	return 0;
}

/* Where the three above cannot be attached. Runs on every system call of the host. */
SEC("?tp_btf/sys_enter")
int BPF_PROG(osh_sys_enter, struct pt_regs *regs, long nr)
{
#if defined(__TARGET_ARCH_x86)
	unsigned long a = regs->di, b = regs->si, c = regs->dx, e = regs->r8;
#else
	unsigned long a = regs->regs[0], b = regs->regs[1], c = regs->regs[2], e = regs->regs[4];
#endif

	if (nr == osh_cfg_nr_mmap)
		on_mmap(c, e);
	else if (nr == osh_cfg_nr_mprotect || nr == osh_cfg_nr_pkey)
		on_mprotect(a, b, c);
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
