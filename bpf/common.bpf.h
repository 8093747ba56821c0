/* SPDX-License-Identifier: Dual MIT/GPL */
/* What several programs need: settings, counting, events, the current process's identity. */
#ifndef OSH_BPF_COMMON_H
#define OSH_BPF_COMMON_H

#include "maps.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define AF_INET	 2
#define AF_INET6 10

#define SOCK_STREAM 1
#define SOCK_DGRAM  2

#define SOL_SOCKET 1
#define SO_MARK	   36

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

/* errno.h is not for BPF; these are the numbers of every architecture we build for. */
#define EPERM		1
#define ENOENT		2
#define EACCES		13
#define EBUSY		16
#define EEXIST		17
#define EINVAL		22
#define EPROTONOSUPPORT 93
#define EADDRNOTAVAIL	99

#define EXE_MNT_READONLY 0x40 /* MNT_READONLY */
#define EXE_MNT_INTERNAL 0x4000 /* MNT_INTERNAL */
#define EXE_SB_RDONLY	 1ul /* SB_RDONLY */

/* The wake-up of a sleeping reader costs 20 us in a virtual machine: one per burst. */
#define WAKE_INTERVAL_NS (50ull * 1000 * 1000)

extern const volatile __u32 osh_cfg_deny_errno;
extern const volatile __u16 osh_cfg_explicit_port; /* host order */

static __always_inline void count(__u32 ctr)
{
	__u64 *v = bpf_map_lookup_elem(&osh_counters, &ctr);

	if (v)
		(*v)++;
}

static __always_inline struct osh_state *state_row(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&osh_state, &zero);
}

extern __u64 osh_last_wake_ns;

static __always_inline __u64 wake_flags(void)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (now - osh_last_wake_ns < WAKE_INTERVAL_NS)
		return BPF_RB_NO_WAKEUP;
	osh_last_wake_ns = now;
	return BPF_RB_FORCE_WAKEUP;
}

/* The sandbox whose namespace the calling process is in; NULL: none. */
static __always_inline struct osh_sb *caller_sandbox(void)
{
	struct nsproxy *ns = bpf_get_current_task_btf()->nsproxy;
	__u64 cookie;

	if (!ns)
		return NULL;
	cookie = ns->net_ns->net_cookie;
	return bpf_map_lookup_elem(&osh_sandboxes, &cookie);
}

/* Once the reader lags each sandbox (strangers: nobody) has a budget, so that none drowns the others. */
static __always_inline bool may_report(struct osh_sb *sb)
{
	__u64 waits = bpf_ringbuf_query(&osh_events, BPF_RB_AVAIL_DATA), now;

	if (waits < OSH_EVENT_FREE)
		return true;
	if (!sb)
		return false;
	now = bpf_ktime_get_boot_ns();
	if (now - sb->events_ns > 1000000000) {
		sb->events_ns = now;
		sb->events = 0;
	}
	/* the last quarter is for those who have said little */
	return __sync_fetch_and_add(&sb->events, 1) <
	       (waits < OSH_EVENT_RING - OSH_EVENT_FREE ? OSH_EVENTS_PER_S : OSH_EVENTS_PER_S / 10);
}

/* Space in the ring for an event of @type, header filled; NULL (and counted): none for @sb. */
static __always_inline void *event_new(struct osh_sb *sb, __u32 type, __u32 size)
{
	struct osh_kev *ev = NULL;

	/* bpf_ringbuf_reserve() wants a constant: callers pass sizeof */
	if (may_report(sb))
		ev = bpf_ringbuf_reserve(&osh_events, size, 0);
	if (!ev) {
		count(OSH_CTR_RING_FULL);
		if (sb)
			__sync_fetch_and_add(&sb->events_lost, 1);
		return NULL;
	}
	ev->type = type;
	ev->size = size;
	ev->time_ns = bpf_ktime_get_boot_ns();
	return ev;
}

/* One more of what a sandbox has a share of; false: no more. */
static __always_inline bool charge(__u32 *counter, __u32 share)
{
	if (__sync_fetch_and_add(counter, 1) < share)
		return true;
	__sync_fetch_and_add(counter, -1);
	return false;
}

static __always_inline void uncharge(__u32 *counter)
{
	/* the daemon may have set the count meanwhile: never below zero */
	if (*counter)
		__sync_fetch_and_add(counter, -1);
}

/* Take a row of osh_flows or osh_peers away. 0: it was there, and its sandbox has room again. */
static __always_inline long drop_flow(struct osh_flow_key *key)
{
	struct osh_sb *sb;
	long r = bpf_map_delete_elem(&osh_flows, key);

	if (r)
		return r;
	sb = bpf_map_lookup_elem(&osh_sandboxes, &key->netns_cookie);
	if (sb)
		uncharge(&sb->flow_count);
	return 0;
}

static __always_inline void drop_peer(__u64 netns_cookie, __u64 socket_cookie)
{
	struct osh_sb *sb;

	if (bpf_map_delete_elem(&osh_peers, &socket_cookie))
		return;
	sb = bpf_map_lookup_elem(&osh_sandboxes, &netns_cookie);
	if (sb)
		uncharge(&sb->peer_count);
}

static __always_inline void event_send(void *ev)
{
	bpf_ringbuf_submit(ev, wake_flags());
}

/* Kernel's identity of a file. BTF-direct loads only: cheap, and allowed under lockdown. */
static __always_inline void inode_key(struct inode *in, struct osh_exe_key *key)
{
	key->ino = in->i_ino;
	key->dev = in->i_sb->s_dev;
	key->gen = in->i_generation;
	key->pad = 0;
	if (bpf_core_field_exists(in->i_ctime_sec)) {
		key->ctime_s = in->i_ctime_sec;
		key->ctime_ns = in->i_ctime_nsec & 0x7fffffff;
	} else if (bpf_core_field_exists(((struct inode___ts *)0)->__i_ctime)) {
		struct inode___ts *ts = (void *)in;

		key->ctime_s = ts->__i_ctime.tv_sec;
		key->ctime_ns = ts->__i_ctime.tv_nsec & 0x7fffffff;
	} else {
		struct inode___old *old = (void *)in;

		key->ctime_s = old->i_ctime.tv_sec;
		key->ctime_ns = old->i_ctime.tv_nsec & 0x7fffffff;
	}
}

/*
 * Fill who is calling: task, exe, lineage. 0, or a reason to deny. Trusts the table of exec.bpf.c,
 * not mm->exe_file, which a process can change; where the two disagree on the file, tracking missed
 * something or somebody cheats: then the caller is unknown, ancestors included.
 */
static __always_inline __u32 caller_identity(struct osh_sb *sb, struct osh_flow_rec *rec)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct osh_task *task;
	struct mm_struct *mm;
	struct inode *in;
	struct file *f;
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, n, flags;

	rec->tgid = tgid;
	rec->pid = (__u32)id;
	rec->uid = (__u32)bpf_get_current_uid_gid();
	rec->sandbox = sb->id;
	rec->netns_cookie = sb->netns_cookie;
	rec->exe = 0;
	rec->flags = 0;
	rec->exec_id = 0;
	rec->lineage_count = 0;
	rec->connect_ns = bpf_ktime_get_boot_ns();
	rec->start_ns = t->group_leader->start_boottime;

	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (!task || task->start_ns != rec->start_ns)
		return OSH_KR_NO_IDENTITY;
	if (task->sandbox != sb->id)
		return OSH_KR_WRONG_SANDBOX;
	flags = task->flags;
	rec->exec_id = task->exec_id;
	if (t->ptrace || t->group_leader->ptrace)
		flags |= OSH_RUN_TRACED;

	mm = t->mm;
	if (!mm)
		return OSH_KR_NO_IDENTITY;
	f = mm->exe_file;
	if (!f)
		return OSH_KR_NO_IDENTITY;
	in = f->f_inode;
	if (in->i_ino != task->key.ino || in->i_sb->s_dev != task->key.dev ||
	    in->i_generation != task->key.gen) {
		rec->flags = flags | OSH_RUN_EXE_MOVED;
		__builtin_memset(rec->lineage, 0, sizeof(rec->lineage));
		return 0;
	}

	rec->flags = flags;
	rec->exe = task->exe;
	n = task->lineage_count;
	rec->lineage_count = n < OSH_LINEAGE_MAX ? n : OSH_LINEAGE_MAX;
	__builtin_memcpy(rec->lineage, task->lineage, sizeof(rec->lineage));
	return 0;
}

/* An IPv4 address as the records store it. */
static __always_inline void addr_from_v4(__u8 dst[16], __u32 ip_be)
{
	__u32 *w = (__u32 *)dst;

	w[0] = 0;
	w[1] = 0;
	w[2] = bpf_htonl(0xffff);
	w[3] = ip_be;
}

#endif
