/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * The kernel's structures as far as our programs read them: curated, not generated. Field order and
 * size mean nothing here; preserve_access_index makes every access relocatable (CO-RE). Structures
 * with a "___" suffix are flavours: the same kernel type in another release.
 */
#ifndef OSH_VMLINUX_VMLINUX_H
#define OSH_VMLINUX_VMLINUX_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
};

struct address_space {
	atomic_t i_mmap_writable;
};

struct inode {
	__u16 i_mode;
	struct super_block *i_sb;
	struct address_space *i_mapping;
	atomic_t i_writecount;
	unsigned long i_ino;
	unsigned int i_nlink;
	__s64 i_size;
	__s64 i_ctime_sec;
	__u32 i_ctime_nsec;
	__u32 i_generation;
};

struct inode___ts { /* 6.6 to 6.10 */
	struct timespec64 __i_ctime;
};

struct inode___old { /* up to 6.5 */
	struct timespec64 i_ctime;
};

struct qstr {
	union {
		struct {
			__u32 hash;
			__u32 len;
		};
		__u64 hash_len;
	};
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct super_block *d_sb;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
	int mnt_flags;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	unsigned int f_mode;
	struct path f_path;
};

struct backing_file { /* since 6.5: the real file under one of overlayfs */
	struct file file;
	struct path user_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
};

struct mm_struct {
	struct file *exe_file;
	unsigned long start_code, env_start, env_end;
};

struct vm_area_struct {
	unsigned long vm_end;
	unsigned long vm_flags;
	struct file *vm_file;
};

struct linux_binprm {
	const char *filename;
	const char *interp;
};

struct signal_struct {
	atomic_t live;
};

struct net {
	__u64 net_cookie;
};

struct nsproxy {
	struct net *net_ns;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	unsigned int ptrace;
	int pid;
	int tgid;
	__u64 start_boottime;
	__u64 self_exec_id;
	unsigned int in_execve : 1;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
};

struct tcp_sock {
	__u32 write_seq;
	__u32 copied_seq;
};

struct sock_common {
	unsigned short skc_family;
	struct {
		struct net *net;
	} skc_net;
};

struct sock {
	struct sock_common __sk_common;
};

struct socket {
	struct sock *sk;
};

struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long dx, r8, di, si, ip;
#elif defined(__TARGET_ARCH_arm64)
	unsigned long long regs[31], pc;
#else
#error "system call arguments of this architecture are not described"
#endif
};

#pragma clang attribute pop

#endif
