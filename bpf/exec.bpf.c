/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Identity: follows fork, exec and exit of sandbox processes and keeps, per process, which
 * executable it runs and through which others it came to be (the lineage: it survives reparenting
 * and exec without fork). Host processes cost one failed lookup.
 */
#include "common.bpf.h"

BPF_LICENSE;

#define S_ISUID	    04000
#define S_ISGID	    02000
#define PATH_BUF    (2 * OSH_PATH_MAX) /* the verifier wants room for one name beyond any offset */
#define ENV_CHUNK   4096
#define ENV_STRINGS 4096 /* at most that many variables are looked at */

#define MAGIC_EXT4  0xef53
#define MAGIC_XFS   0x58465342
#define MAGIC_BTRFS 0x9123683e
#define MAGIC_TMPFS 0x01021994

#if defined(__TARGET_ARCH_x86)
#define START_IP(regs) ((regs)->ip)
#else
#define START_IP(regs) ((regs)->pc)
#endif

struct scratch {
	__u32 busy;
	__u32 pad;
	struct osh_exe exe;
	char buf[PATH_BUF];
	char env[ENV_CHUNK];
};

/*
 * osh_scratch - working space of one exec, too large for the stack
 * key/val: 0 -> struct scratch, per CPU; busy guards against a second exec on the CPU meanwhile
 * writer:  exec.bpf.c
 * reader:  exec.bpf.c
 * full:    cannot be
 * miss:    cannot be; busy: exe id 0 (unknown) and counter helper
 * life:    the programs'
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} osh_scratch __weak SEC(".maps");

struct walk {
	struct vfsmount *mnt;
	struct dentry *dentry;
	struct vfsmount *root_mnt;
	struct dentry *root_dentry;
};

/*
 * Write the path of @w into s->buf, ending at OSH_PATH_MAX, and return the offset of its first byte.
 * Stops at the caller's root directory; what is not below it is DETACHED.
 */
static __always_inline __u32 build_path(struct scratch *s, struct walk *w, __u32 *flags)
{
	__u32 off = OSH_PATH_MAX;
	int i;

	for (i = 0; i < OSH_PATH_DEPTH; i++) {
		struct dentry *parent, *mnt_root, *dentry = w->dentry;
		struct vfsmount *mnt = w->mnt;
		struct qstr name;

		if (mnt == w->root_mnt && dentry == w->root_dentry)
			return off;
		mnt_root = BPF_CORE_READ(mnt, mnt_root);
		if (dentry == mnt_root) {
			struct mount *m, *up;

			m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
			up = BPF_CORE_READ(m, mnt_parent);
			if (up == m || !up)
				break;
			w->dentry = BPF_CORE_READ(m, mnt_mountpoint);
			w->mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry || !parent)
			break;
		name.len = BPF_CORE_READ(dentry, d_name.len);
		name.name = BPF_CORE_READ(dentry, d_name.name);
		if (name.len > 255 || name.len + 1 > off) {
			*flags |= OSH_EXE_PATH_CUT;
			return OSH_PATH_MAX;
		}
		off -= name.len;
		if (bpf_probe_read_kernel(&s->buf[off & (OSH_PATH_MAX - 1)], name.len & 255,
					  name.name)) {
			*flags |= OSH_EXE_PATH_CUT;
			return OSH_PATH_MAX;
		}
		off--;
		s->buf[off & (OSH_PATH_MAX - 1)] = '/';
		w->dentry = parent;
	}
	*flags |= i < OSH_PATH_DEPTH ? OSH_EXE_DETACHED : OSH_EXE_PATH_CUT;
	return off;
}

static __always_inline __u64 mix(__u64 h, __u64 v)
{
	h ^= v;
	h *= 0x9fb21c651e98df25ull;
	return h ^ (h >> 32);
}

/* Keyed hash of the bytes from @off to OSH_PATH_MAX of s->buf. Zeroes up to 7 bytes before @off. */
static __always_inline __u64 hash_path(struct scratch *s, __u32 off, __u64 seed)
{
	__u64 h = seed, *words = (__u64 *)s->buf;
	__u32 w, i;

	w = off / 8;
	for (i = 0; i < 8; i++)
		if (i < (off & 7))
			s->buf[((w * 8) + i) & (OSH_PATH_MAX - 1)] = 0;
	for (i = 0; i < OSH_PATH_MAX / 8; i++) {
		if (w >= OSH_PATH_MAX / 8)
			break;
		barrier_var(w); /* 6.1 wants to see the mask, the compiler finds it needless */
		h = mix(h, words[w & (OSH_PATH_MAX / 8 - 1)]);
		w++;
	}
	return mix(h, off);
}

static __always_inline __u64 hash_script(const char *p, __u32 len, __u64 seed)
{
	__u64 h = ~seed;
	__u32 i;

	for (i = 0; i < OSH_SCRIPT_MAX; i++) {
		if (i >= len)
			break;
		h = mix(h, (__u8)p[i & (OSH_SCRIPT_MAX - 1)]);
	}
	return h;
}

struct env_ctx {
	struct scratch *s;
	unsigned long at, end;
	__u32 flags;
	bool done;
};

/* @lit with its "=": at most 16 bytes. No memcmp() in BPF. */
static __always_inline bool starts(const char *s, const char *lit, int n)
{
	int i;

#pragma unroll
	for (i = 0; i < 16; i++)
		if (i < n && s[i] != lit[i])
			return false;
	return true;
}

#define IS(lit) starts(c->s->env, lit, sizeof(lit) - 1)

/* One environment string per turn. A string longer than the chunk takes several: harmless. */
static long scan_env_string(__u32 i, struct env_ctx *c)
{
	long n;

	if (c->at >= c->end) {
		c->done = true;
		return 1;
	}
	n = bpf_probe_read_user_str(c->s->env, ENV_CHUNK, (void *)c->at);
	if (n <= 0)
		return 1;
	if (IS("LD_PRELOAD=") || IS("LD_AUDIT="))
		c->flags |= OSH_RUN_PRELOAD;
	else if (IS("LD_LIBRARY_PATH=") || IS("GCONV_PATH="))
		c->flags |= OSH_RUN_LIBPATH;
	/* of a cut string the NUL counted is not there: go on right behind what was read */
	c->at += n == ENV_CHUNK ? n - 1 : n;
	return 0;
}

/* The environment as the new image will see it: just copied by the kernel, so resident. */
static __always_inline __u32 env_flags(struct scratch *s, struct task_struct *t)
{
	struct env_ctx c = { .s = s };
	struct mm_struct *mm = t->mm;

	if (!mm)
		return OSH_RUN_ENV_UNREAD;
	c.at = mm->env_start;
	c.end = mm->env_end;
	bpf_loop(ENV_STRINGS, scan_env_string, &c, 0);
	if (!c.done)
		c.flags |= OSH_RUN_ENV_UNREAD;
	return c.flags;
}

/* Did the file change so lately that a change still to come could leave its key as it is? */
static __always_inline bool is_fresh(const struct osh_exe_key *key)
{
	__u32 zero = 0;
	__s64 *offset = bpf_map_lookup_elem(&osh_clock, &zero), age;

	if (!offset)
		return true;
	age = (__s64)bpf_ktime_get_boot_ns() + *offset - key->ctime_s * 1000000000ll -
	      key->ctime_ns;
	return age < OSH_EXE_SETTLE_MS * 1000000ll; /* so is a change in the future */
}

/* Filesystems whose ctime moves with every change, also of a page written through a mapping. */
static __always_inline bool stamps_mapped_writes(unsigned long magic)
{
	return magic == MAGIC_EXT4 || magic == MAGIC_XFS || magic == MAGIC_BTRFS;
}

extern const volatile __u32 osh_cfg_fmode_backing;

struct vma_ctx {
	struct dentry *exe; /* of the file exec'd */
	bool checked, writers, own, foreign;
};

/* A file of overlayfs is mapped as the real one under it: what the process opened. */
static __always_inline void opened_path(struct file *f, struct path *ret)
{
	struct backing_file *b = (void *)f - bpf_core_field_offset(struct backing_file, file);

	if (bpf_core_type_exists(struct backing_file) &&
	    (BPF_CORE_READ(f, f_mode) & osh_cfg_fmode_backing)) {
		ret->mnt = BPF_CORE_READ(b, user_path.mnt);
		ret->dentry = BPF_CORE_READ(b, user_path.dentry);
		return;
	}
	ret->mnt = BPF_CORE_READ(f, f_path.mnt);
	ret->dentry = BPF_CORE_READ(f, f_path.dentry);
}

static long check_vma(struct task_struct *t, struct vm_area_struct *vma, struct vma_ctx *c)
{
	struct file *f = vma->vm_file;
	struct path path;

	c->checked = true;
	if (!f) {
		c->foreign = true;
		return 0;
	}
	opened_path(f, &path);
	c->own = path.dentry == c->exe;
	c->writers = BPF_CORE_READ(f, f_inode, i_mapping, i_mmap_writable.counter) > 0;
	c->foreign = !c->own && !(BPF_CORE_READ(path.mnt, mnt_flags) & EXE_MNT_READONLY) &&
		     !(BPF_CORE_READ(path.dentry, d_sb, s_flags) & EXE_SB_RDONLY);
	return 0;
}

/*
 * Can somebody still write to the file? While a process runs it nobody can open it for writing, so
 * whoever could must have it open or mapped by now: then exec fails, but for overlayfs, which lets
 * writable mappings of the real file be, and some kernels that let everything be.
 */
static __always_inline bool has_writers(struct task_struct *t, struct file *f)
{
	struct inode *in = f->f_inode;
	unsigned long magic = in->i_sb->s_magic;
	struct vma_ctx c = { .exe = f->f_path.dentry };

	if (in->i_writecount.counter >= 0 || in->i_mapping->i_mmap_writable.counter > 0)
		return true;
	if (stamps_mapped_writes(magic) || magic == MAGIC_TMPFS)
		return false;
	bpf_find_vma(t, t->mm->start_code, check_vma, &c, 0);
	return !c.checked || !c.own || c.writers;
}

/* Is the first instruction one of a file on a writable mount (the loader that the program asks for)? */
static __always_inline bool starts_elsewhere(struct task_struct *t, struct file *f)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(t);
	struct vma_ctx c = { .exe = f->f_path.dentry };

	bpf_find_vma(t, START_IP(regs), check_vma, &c, 0);
	return !c.checked || c.foreign;
}

/* Give the executable described in s->exe an id; 0 when there is no room. */
static __always_inline __u32 exe_id(struct scratch *s, struct osh_sb *sb, struct osh_state *st,
				    __u32 off)
{
	struct osh_kev_exe *ev;
	__u32 *known, id, len = OSH_PATH_MAX - off, share, n;

	known = bpf_map_lookup_elem(&osh_exe_ids, &s->exe.ident);
	if (known)
		return *known;

	/* a build that makes and runs programs all day leaves room for those of the system */
	share = s->exe.flags & OSH_EXE_WRITABLE ? OSH_EXE_PER_SANDBOX / 2 : OSH_EXE_PER_SANDBOX;
	n = __sync_fetch_and_add(&sb->exe_count, 1);
	if (n >= share) {
		__sync_fetch_and_add(&sb->exe_count, -1);
		count(OSH_CTR_EXE_FULL);
		return 0;
	}
	if (n == OSH_EXE_PRESSURE) {
		struct osh_kev_pressure *p = event_new(sb, OSH_KEV_PRESSURE, sizeof(*p));

		if (p) {
			p->sandbox = sb->id;
			p->pad = 0;
			event_send(p);
		}
	}
	__builtin_memset(s->exe.path, 0, sizeof(s->exe.path));
	/* one byte of the path field stays 0; an empty path is legal (memfd) */
	if (len > 0 && len < OSH_PATH_MAX)
		bpf_probe_read_kernel(s->exe.path, len & (OSH_PATH_MAX - 1),
				      &s->buf[off & (OSH_PATH_MAX - 1)]);
	s->exe.path_len = len < OSH_PATH_MAX ? len : 0;
	s->exe.first_ns = bpf_ktime_get_boot_ns();

	id = __sync_fetch_and_add(&st->next_exe, 1) + 1;
	s->exe.id = id;
	if (!id || bpf_map_update_elem(&osh_exes, &id, &s->exe, BPF_ANY))
		goto full;
	if (bpf_map_update_elem(&osh_exe_ids, &s->exe.ident, &id, BPF_NOEXIST)) {
		/* another CPU was faster, or no room */
		bpf_map_delete_elem(&osh_exes, &id);
		known = bpf_map_lookup_elem(&osh_exe_ids, &s->exe.ident);
		if (!known)
			goto full;
		__sync_fetch_and_add(&sb->exe_count, -1);
		return *known;
	}
	count(OSH_CTR_EXE_NEW);
	ev = event_new(sb, OSH_KEV_EXE, sizeof(*ev));
	if (ev) {
		ev->sandbox = sb->id;
		ev->exe = id;
		ev->tgid = s->exe.first_tgid;
		ev->pad = 0;
		event_send(ev);
	}
	return id;
full:
	__sync_fetch_and_add(&sb->exe_count, -1);
	count(OSH_CTR_EXE_FULL);
	return 0;
}

/* The sandbox whose namespace @t is in, if it is @id. */
static __always_inline struct osh_sb *sandbox_of(struct task_struct *t, __u32 id)
{
	struct nsproxy *ns = t->nsproxy;
	struct osh_sb *sb;
	__u64 cookie;

	if (!ns)
		return NULL;
	cookie = ns->net_ns->net_cookie;
	sb = bpf_map_lookup_elem(&osh_sandboxes, &cookie);
	return sb && sb->id == id ? sb : NULL;
}

/* One process more; false when the sandbox has its share: it shall not starve the others. */
static __always_inline bool task_charge(struct osh_sb *sb)
{
	if (charge(&sb->task_count, OSH_TASK_PER_SANDBOX))
		return true;
	count(OSH_CTR_TASK_FULL);
	return false;
}

/* Describe what @t now runs in s->exe and return its exe id. */
static __always_inline __u32 describe(struct scratch *s, struct task_struct *t,
				      struct linux_binprm *bprm, __u32 sandbox,
				      struct osh_exe_key *key, __u64 exec_id)
{
	struct osh_state *st = state_row();
	struct osh_exe *exe = &s->exe;
	struct walk w = {};
	struct file *f = t->mm->exe_file;
	struct osh_sb *sb;
	struct inode *in;
	__u32 off;
	long n;

	sb = sandbox_of(t, sandbox);
	if (!sb || !st || !f)
		return 0;
	in = f->f_inode;
	exe->ident.key = *key;
	exe->ident.sandbox = sandbox;
	exe->ident.pad = 0;
	exe->ident.script_hash = 0;
	exe->size = in->i_size;
	exe->flags = 0;
	exe->first_tgid = t->tgid;
	exe->script_len = 0;
	exe->script[0] = 0;

	if (!in->i_nlink)
		exe->flags |= OSH_EXE_DELETED;
	if (in->i_mode & (S_ISUID | S_ISGID))
		exe->flags |= OSH_EXE_SUID;
	if (f->f_path.mnt->mnt_flags & EXE_MNT_INTERNAL)
		exe->flags |= OSH_EXE_MEMFD;
	if (!(f->f_path.mnt->mnt_flags & EXE_MNT_READONLY) && !(in->i_sb->s_flags & EXE_SB_RDONLY))
		exe->flags |= OSH_EXE_WRITABLE;

	if (exe->flags & OSH_EXE_WRITABLE) {
		if (!stamps_mapped_writes(in->i_sb->s_magic) || is_fresh(key))
			exe->flags |= OSH_EXE_ONE_RUN;
		if (has_writers(t, f))
			exe->flags |= OSH_EXE_WRITERS;
	}

	w.mnt = f->f_path.mnt;
	w.dentry = f->f_path.dentry;
	w.root_mnt = t->fs->root.mnt;
	w.root_dentry = t->fs->root.dentry;
	off = build_path(s, &w, &exe->flags);
	exe->ident.path_hash = hash_path(s, off, st->seed);

	if (bprm->filename != bprm->interp) {
		exe->flags |= OSH_EXE_SCRIPT;
		n = bpf_probe_read_kernel_str(exe->script, OSH_SCRIPT_MAX, bprm->filename);
		if (n > 0 && n <= OSH_SCRIPT_MAX) {
			exe->script_len = n - 1;
			if (n == OSH_SCRIPT_MAX)
				exe->flags |= OSH_EXE_SCRIPT_CUT;
			exe->ident.script_hash = hash_script(exe->script, n - 1, st->seed);
		}
	}
	/* flags belong to the file and path at first sight; a link count that fell is another id */
	exe->ident.script_hash = mix(exe->ident.script_hash, exe->flags);
	if (exe->flags & OSH_EXE_ONE_RUN)
		exe->ident.script_hash = mix(exe->ident.script_hash, exec_id);
	return exe_id(s, sb, st, off);
}

/* What the process was becomes its nearest ancestor. Each exe is kept once, at its nearest place. */
static __always_inline void push_lineage(struct osh_task *task)
{
	struct osh_lineage was = { .exe = task->exe, .flags = task->flags };
	__u32 n = task->lineage_count, pos, i;

	pos = n < OSH_LINEAGE_MAX ? n : OSH_LINEAGE_MAX;
	for (i = 0; i < OSH_LINEAGE_MAX; i++)
		if (i < pos && task->lineage[i].exe == was.exe)
			pos = i;
	if (pos == OSH_LINEAGE_MAX) {
		pos = OSH_LINEAGE_MAX - 1;
		task->flags |= OSH_RUN_CHAIN_CUT;
	}
	for (i = OSH_LINEAGE_MAX - 1; i > 0; i--)
		if (i <= pos)
			task->lineage[i] = task->lineage[i - 1];
	task->lineage[0] = was;
	if (pos >= n)
		task->lineage_count = pos + 1;
}

static __always_inline struct osh_task *seed(struct task_struct *t, __u32 tgid)
{
	__u64 cgroup = t->cgroups->dfl_cgrp->kn->id;
	struct osh_task task = {};
	__u32 *sandbox;
	struct osh_sb *sb;

	sandbox = bpf_map_lookup_elem(&osh_cgroups, &cgroup);
	if (!sandbox)
		return NULL;
	sb = sandbox_of(t, *sandbox);
	if (!sb || !task_charge(sb))
		return NULL;
	task.sandbox = *sandbox;
	task.flags = OSH_RUN_SEEDED;
	task.start_ns = t->group_leader->start_boottime;
	task.self_exec = ~0ull;
	if (bpf_map_update_elem(&osh_tasks, &tgid, &task, BPF_ANY)) {
		uncharge(&sb->task_count);
		count(OSH_CTR_TASK_FULL);
		return NULL;
	}
	return bpf_map_lookup_elem(&osh_tasks, &tgid);
}

/* Inside a sandbox: tracked. Outside every sandbox: one failed lookup. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(osh_exec, struct task_struct *t, int old_pid, struct linux_binprm *bprm)
{
	__u32 tgid = t->tgid, zero = 0, id = 0, run;
	__u64 exec_id;
	struct osh_exe_key key = {};
	struct osh_task *task;
	struct osh_state *st;
	struct scratch *s;
	struct file *f;
	bool first = false;

	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (!task || task->start_ns != t->group_leader->start_boottime) {
		task = seed(t, tgid);
		if (!task)
			return 0;
		first = true;
	}
	/* while a new daemon replaces the old one's program both may run: once is enough */
	if (task->self_exec == t->self_exec_id)
		return 0;
	count(OSH_CTR_EXEC);

	f = t->mm->exe_file;
	if (f)
		inode_key(f->f_inode, &key);
	run = task->flags & (OSH_RUN_SEEDED | OSH_RUN_CHAIN_CUT);
	if (first) {
		run = OSH_RUN_SEEDED;
	} else {
		/* a first process's own exec drops nothing: SEEDED says "chain ends here" */
		push_lineage(task);
		run = task->flags & OSH_RUN_CHAIN_CUT;
	}
	if (t->ptrace)
		run |= OSH_RUN_TRACED;
	if (!f || starts_elsewhere(t, f))
		run |= OSH_RUN_MAPPED;

	st = state_row();
	exec_id = st ? __sync_fetch_and_add(&st->next_exec, 1) + 1 : 0;
	s = bpf_map_lookup_elem(&osh_scratch, &zero);
	if (s && !__sync_lock_test_and_set(&s->busy, 1)) {
		run |= env_flags(s, t);
		id = describe(s, t, bprm, task->sandbox, &key, exec_id);
		__sync_lock_test_and_set(&s->busy, 0);
	} else {
		count(OSH_CTR_HELPER);
		run |= OSH_RUN_ENV_UNREAD;
	}
	/* unknown first, so that a reader never sees the new file under the old id */
	task->exe = 0;
	task->key = key;
	task->flags = run;
	task->exec_id = exec_id;
	task->self_exec = t->self_exec_id;
	task->exe = id;
	return 0;
}

/* Inside a sandbox: the child starts as what its parent is. Outside: one failed lookup. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(osh_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 ptgid = parent->tgid, tgid = child->tgid;
	struct osh_task *task, copy;
	struct osh_sb *sb;

	if (ptgid == tgid)
		return 0; /* a thread */
	task = bpf_map_lookup_elem(&osh_tasks, &ptgid);
	if (!task || task->start_ns != parent->group_leader->start_boottime)
		return 0;
	/* a child in a namespace of its own, or one too many: no identity, so denied */
	sb = sandbox_of(child, task->sandbox);
	if (!sb || !task_charge(sb))
		return 0;
	copy = *task;
	copy.start_ns = child->start_boottime;
	copy.flags &= ~OSH_RUN_SEEDED;
	count(OSH_CTR_FORK);
	if (bpf_map_update_elem(&osh_tasks, &tgid, &copy, BPF_ANY)) {
		uncharge(&sb->task_count);
		count(OSH_CTR_TASK_FULL);
	}
	return 0;
}

/* Newer kernels pass a second argument: declare the first only. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(osh_exit, struct task_struct *t)
{
	__u32 tgid = t->tgid, sandbox;
	struct osh_task *task;
	struct osh_sb *sb;

	if (t->signal->live.counter)
		return 0; /* other threads live */
	task = bpf_map_lookup_elem(&osh_tasks, &tgid);
	if (!task)
		return 0;
	sandbox = task->sandbox; /* before the row goes */
	if (bpf_map_delete_elem(&osh_tasks, &tgid))
		return 0;
	count(OSH_CTR_EXIT);
	sb = sandbox_of(t, sandbox);
	if (sb)
		uncharge(&sb->task_count);
	return 0;
}
