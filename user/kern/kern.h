/* SPDX-License-Identifier: MIT */
/*
 * The kernel side: loads, attaches, pins and adopts the fence, and reads and writes its maps. The
 * only module that sees libbpf. For the monitor (root); proxies need only osh_flow_fetch() of
 * sys/flow.h. Nothing here logs; texts for people go through diag. Everything fails closed: what
 * cannot be loaded, attached or recognised is an error, and what is pinned keeps denying.
 *
 * Pins in <pin_dir> (mode 0700): link_<program>, map_<map>, and the links outlive us: with the
 * daemon dead the fence stands. osh_kern_open() adopts what it finds there (programs are replaced in
 * place, maps are kept) and refuses pins of another OSH_ABI_VERSION with -EPROTO.
 */
#ifndef OSH_KERN_KERN_H
#define OSH_KERN_KERN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/diag.h"
#include "openshell/abi.h"

struct osh_kern;

enum osh_kern_taint {
	OSH_KERN_TAINT_AUTO = 0, /* the first that can be had of those below; none: -EOPNOTSUPP */
	OSH_KERN_TAINT_OFF = 1,
	OSH_KERN_TAINT_LSM = 2,
	OSH_KERN_TAINT_SYSCALL = 3, /* tracepoints of the system calls that map */
	OSH_KERN_TAINT_RAW = 4, /* the raw tracepoint of all system calls: each of the host pays */
};

struct osh_kern_opts {
	int daemon_fd, sandboxes_fd; /* of struct osh_cgroup; borrowed during open */
	const char *pin_dir; /* under a bpffs, mounted there if missing; NULL: no pins (tests) */
	uint16_t explicit_port; /* 127.0.0.1 and [::1]; 0: 3128 */
	int deny_errno; /* of a denied connect; 0: ECONNREFUSED */
	bool no_lsm; /* do not try the LSM programs */
	/*
	 * Sandboxes that can use up their share of the common tables at a time, 1..OSH_SHARES_MAX; 0:
	 * OSH_SHARES_DEFAULT. Adopted tables keep the size they were made with.
	 */
	unsigned int shares;
	enum osh_kern_taint taint;
};

/*
 * -EPERM: not permitted here (privilege, lockdown); -EOPNOTSUPP: this kernel cannot; -EPROTO: pins
 * of another version. @diag says what, with the program's or map's name.
 */
int osh_kern_open(const struct osh_kern_opts *opts, struct osh_kern **ret_kern,
		  struct osh_diag *diag) OSH_MUST_CHECK;
/* Closes our descriptors. Pinned links go on enforcing; unpinned ones end. */
struct osh_kern *osh_kern_free(struct osh_kern *kern);
/* Remove every pin of @pin_dir and the directory: the fence ends when its last descriptor does. */
int osh_kern_unpin(const char *pin_dir);
bool osh_kern_is_adopted(const struct osh_kern *kern); /* pins were there already */

/* What loads and attached here, for `status` and `selftest`. */
struct osh_kern_probe {
	const char *what; /* program or feature; static */
	int err; /* 0: active; else why not: -EPERM, -EOPNOTSUPP, -ECANCELED (not wanted) */
	bool required;
};
size_t osh_kern_probes(const struct osh_kern *kern, const struct osh_kern_probe **ret_probes);

/* ---- sandboxes ---- */

struct osh_kern_sandbox {
	uint32_t id; /* not 0; unique while its pins live */
	uint64_t netns_cookie; /* osh_kern_netns_cookie() of a socket in it */
	uint64_t cgroup_id; /* osh_cgroup_id() */
	struct in_addr listen4; /* 198.18.0.1; host id n is the address pool4 + n */
	struct in_addr pool4; /* 198.18.0.0 */
	unsigned int pool4_bits; /* 15 */
	uint16_t tcp4_port, dns4_port; /* host order; 0: no such listener */
	struct in6_addr listen6; /* pool6 + 1 */
	struct in6_addr pool6; /* a /64; host id n is pool6 + n, n in the last 32 bits */
	uint16_t tcp6_port, dns6_port;
	uint32_t flags; /* enum osh_sb_flags */
};

/* SO_NETNS_COOKIE of @socket_fd. */
int osh_kern_netns_cookie(int socket_fd, uint64_t *ret_cookie) OSH_MUST_CHECK;
/*
 * Call after the listeners exist and before the sandbox's first exec. Until a policy is published
 * every connection is denied. Adding an id that is there replaces addresses, ports and flags.
 */
int osh_kern_sandbox_add(struct osh_kern *kern, const struct osh_kern_sandbox *sb) OSH_MUST_CHECK;
/* Forget the sandbox, its policy, names, executables and tasks. 0 also when there was none. */
int osh_kern_sandbox_remove(struct osh_kern *kern, uint32_t id);
int osh_kern_sandbox_list(struct osh_kern *kern,
			  int (*fn)(const struct osh_kern_sandbox *sb, void *arg),
			  void *arg) OSH_MUST_CHECK;

/* What a sandbox has of the shared tables, and what it lost for want of more. */
struct osh_kern_usage {
	uint32_t exes, tasks, flows, peers;
	uint32_t events_lost; /* at least, since it was added */
};
int osh_kern_sandbox_usage(struct osh_kern *kern, uint64_t netns_cookie,
			   struct osh_kern_usage *ret_usage) OSH_MUST_CHECK; /* -ENOENT */

/* ---- policy ---- */

struct osh_kern_row {
	struct osh_pol_key key;
	uint64_t classes, inherit; /* as in struct osh_pol_val */
};

struct osh_kern_policy {
	uint64_t generation; /* not 0 */
	uint32_t flags; /* enum osh_pol_flags */
	const struct osh_kern_row *rows; /* EXE, HOST, ADDR; no META */
	size_t count; /* at most OSH_POLICY_MAX - 1, else -E2BIG */
};

/*
 * Replace a sandbox's kernel policy in one step. When it returns 0 each connect() that begins is
 * decided by the new one; one under way may end by the old one, entirely, and its record says so (the
 * proxy decides by its own image in any case). On failure nothing has changed. -ESTALE:
 * @policy->generation is older than the loaded.
 */
int osh_kern_publish(struct osh_kern *kern, uint32_t sandbox,
		     const struct osh_kern_policy *policy) OSH_MUST_CHECK;
/* Add or replace rows of the loaded generation; -ESTALE when @generation is not the loaded one. */
int osh_kern_policy_put(struct osh_kern *kern, uint32_t sandbox, uint64_t generation,
			const struct osh_kern_row *rows, size_t count) OSH_MUST_CHECK;
/* 0: none is loaded */
int osh_kern_generation(struct osh_kern *kern, uint32_t sandbox,
			uint64_t *ret_generation) OSH_MUST_CHECK;

/* ---- names of synthetic addresses: survive the daemon, gone with the sandbox ---- */
int osh_kern_name_put(struct osh_kern *kern, uint32_t sandbox, uint32_t host_id,
		      const char *host) OSH_MUST_CHECK; /* -EMSGSIZE, -ENOSPC */
int osh_kern_name_get(struct osh_kern *kern, uint32_t sandbox, uint32_t host_id,
		      char ret_host[OSH_HOST_LEN]) OSH_MUST_CHECK; /* -ENOENT */
int osh_kern_name_del(struct osh_kern *kern, uint32_t sandbox, uint32_t host_id) OSH_MUST_CHECK;
/* Each name of @sandbox (0: of all). */
int osh_kern_name_each(struct osh_kern *kern, uint32_t sandbox,
		       int (*fn)(uint32_t sandbox, uint32_t host_id, const char *host, void *arg),
		       void *arg) OSH_MUST_CHECK;

/* ---- identity ---- */
int osh_kern_exe_get(struct osh_kern *kern, uint32_t exe, struct osh_exe *ret_exe) OSH_MUST_CHECK;
int osh_kern_exe_each(struct osh_kern *kern, uint32_t sandbox,
		      int (*fn)(const struct osh_exe *exe, void *arg), void *arg) OSH_MUST_CHECK;
int osh_kern_task_get(struct osh_kern *kern, pid_t tgid, struct osh_task *ret_task) OSH_MUST_CHECK;
int osh_kern_task_each(struct osh_kern *kern, uint32_t sandbox,
		       int (*fn)(pid_t tgid, const struct osh_task *task, void *arg),
		       void *arg) OSH_MUST_CHECK;
/* The kernel's identity of an open file of ours, and its size. */
int osh_kern_file_key(struct osh_kern *kern, int fd, struct osh_exe_key *ret_key,
		      uint64_t *ret_size) OSH_MUST_CHECK;
/* A process that runs an executable; tgid 0: none, the file was reached by its path. */
struct osh_kern_run {
	pid_t tgid;
	uint64_t exec_id;
};
/*
 * Open the very file exe @exe stands for, to hash it: through /proc/<pid>/exe of a process that runs
 * it, else by its path under such a process's root; the kernel key of what was opened must be
 * @exe's. One of ONE_RUN is only reached through its process: while that lives nobody can write to
 * the file. -ESTALE: it is another file now; -ENOENT: no process left to reach it through.
 */
int osh_kern_exe_open(struct osh_kern *kern, const struct osh_exe *exe, int *ret_fd,
		      struct osh_kern_run *ret_run) OSH_MUST_CHECK;
/*
 * After the last byte of @fd was read: is what was read what ran? The key is still @exe's, and of
 * ONE_RUN the process still runs it. -ESTALE: no.
 */
int osh_kern_exe_confirm(struct osh_kern *kern, const struct osh_exe *exe, int fd,
			 const struct osh_kern_run *run) OSH_MUST_CHECK;
/* Forget executables of @sandbox (0: all) that no live task or its lineage refers to. */
int osh_kern_exe_sweep(struct osh_kern *kern, uint32_t sandbox) OSH_MUST_CHECK;

/* ---- events ---- */

struct osh_kern_sink {
	/* @ev is one of struct osh_kev_*, @ev->size bytes; borrowed for the call. */
	void (*on_event)(const struct osh_kev *ev, void *arg);
	void *arg;
};
/* Readable (EPOLLIN) when events wait. Belongs to @kern. */
int osh_kern_events_fd(const struct osh_kern *kern);
/*
 * Hand over at most @max waiting events; returns how many. To spare wake-ups the kernel signals only
 * the first event of a burst: call again OSH_KERN_REPOLL_MS after any call that returned > 0.
 */
int osh_kern_events_drain(struct osh_kern *kern, const struct osh_kern_sink *sink,
			  unsigned int max) OSH_MUST_CHECK;
#define OSH_KERN_REPOLL_MS 60

/* ---- looking in ---- */

/* Sums over CPUs; index enum osh_ctr. */
int osh_kern_counters(struct osh_kern *kern, uint64_t ret_values[OSH_CTR_MAX]) OSH_MUST_CHECK;
const char *osh_kern_ctr_name(unsigned int ctr); /* "deny-policy"; NULL beyond the last */
const char *osh_kern_ctr_text(unsigned int ctr);
bool osh_kern_ctr_is_anomaly(unsigned int ctr);
const char *osh_kreason_name(uint32_t reason); /* "unknown" for a stranger */

/* Records of connections older than @age_ms that nobody fetched are dropped. */
int osh_kern_flow_sweep(struct osh_kern *kern, unsigned int age_ms) OSH_MUST_CHECK;

struct osh_kern_prog_info {
	uint32_t id;
	char name[64]; /* as in the source */
	char type[32]; /* section, such as cgroup/connect4 */
	uint32_t insns; /* after translation */
	uint32_t jited_bytes;
	uint64_t run_count, run_ns; /* 0 unless kernel statistics are on */
	uint64_t load_ns; /* CLOCK_BOOTTIME */
	bool attached, required;
	char tag[17];
};
struct osh_kern_map_info {
	uint32_t id;
	char name[32];
	char type[32];
	uint32_t key_bytes, value_bytes, max_entries;
	int64_t entries; /* -1: not countable */
};
struct osh_kern_link_info {
	uint32_t id, prog_id;
	char prog[64];
	char type[32]; /* cgroup, tracing, ... */
	uint64_t cgroup_id; /* 0: none */
	bool pinned;
};
/* Each own object once; a result < 0 ends the walk and is returned. */
int osh_kern_prog_each(struct osh_kern *kern,
		       int (*fn)(const struct osh_kern_prog_info *info, void *arg),
		       void *arg) OSH_MUST_CHECK;
int osh_kern_map_each(struct osh_kern *kern,
		      int (*fn)(const struct osh_kern_map_info *info, void *arg),
		      void *arg) OSH_MUST_CHECK;
int osh_kern_link_each(struct osh_kern *kern,
		       int (*fn)(const struct osh_kern_link_info *info, void *arg),
		       void *arg) OSH_MUST_CHECK;
/*
 * Entries of map @name as lines "key: hex  value: hex" (@json false) or a JSON array of
 * {"key":"hex","value":"hex"}; -ENOENT: no such map of ours, -EMSGSIZE: @out's ceiling.
 */
int osh_kern_map_dump(struct osh_kern *kern, const char *name, bool json,
		      struct osh_buf *out) OSH_MUST_CHECK;
/* Run-time statistics of all BPF programs on the host, on while *ret_fd is open. */
int osh_kern_stats_enable(int *ret_fd) OSH_MUST_CHECK;

/*
 * The fence is attached and answers: every required link is there, belongs to our cgroups and runs
 * our programs. For the canary before "ready" and on a timer. @diag says what is missing.
 */
int osh_kern_verify(struct osh_kern *kern, struct osh_diag *diag) OSH_MUST_CHECK;

#endif
