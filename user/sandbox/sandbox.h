/* SPDX-License-Identifier: MIT */
/*
 * Sandboxes as the monitor sees them: make one, let it run, find one again, wipe its files. The
 * caller owns cgroups (creation, limits, cgroup.kill), BPF maps and the event loop; this module owns
 * everything between clone3() and the first program of the agent.
 *
 *   osh_sandbox_spawn()     namespaces, root, identity, Landlock, seccomp, listeners; init waits
 *   (caller)                registers proc->netns_cookie and the listeners in the BPF maps
 *   osh_sandbox_release()   init starts to serve osh_init_exec_start() requests (sandbox/client.h)
 *
 * Everything here blocks for a few milliseconds and is to be called from one thread that runs as
 * root, in the agent's "daemon" cgroup, and has CAP_SYS_ADMIN, NET_ADMIN, CHOWN, FOWNER,
 * DAC_OVERRIDE, KILL, MKNOD, SETUID, SETGID, SETPCAP, SYS_PTRACE (to open the namespace of a
 * confined init) and SYS_RESOURCE (only to raise limits). Nothing logs: what people should know
 * comes back as notes and diagnostics.
 */
#ifndef OSH_SANDBOX_SANDBOX_H
#define OSH_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/diag.h"

#define OSH_SANDBOX_ADDR4      "198.18.0.1" /* on lo, /15: the whole synthetic pool is local */
#define OSH_SANDBOX_ADDR6      "fd23:6f70:656e::1" /* on lo; fd23:6f70:656e::/64 is local */
#define OSH_SANDBOX_PROXY_PORT 3128 /* what the proxy variables name, on 127.0.0.1 */
#define OSH_SANDBOX_HOME       "/sandbox"
#define OSH_SANDBOX_USER       "sandbox"
#define OSH_SANDBOX_PATHS_MAX  256 /* entries of one filesystem list */
#define OSH_SANDBOX_NOTES_MAX  256

enum osh_sandbox_landlock {
	OSH_SANDBOX_LANDLOCK_HARD = 0, /* hard_requirement: anything missing is fatal */
	OSH_SANDBOX_LANDLOCK_BEST_EFFORT = 1, /* missing paths and rights are noted and skipped */
};

/* Who the sandbox's processes are. Never uid 0 or gid 0. */
struct osh_sandbox_ids {
	uid_t uid;
	gid_t gid;
};

struct osh_sandbox_paths {
	const char *const *path; /* absolute; borrowed */
	size_t count;
};

struct osh_sandbox_limits {
	uint64_t nofile; /* RLIMIT_NOFILE, soft and hard; 0: inherited */
	uint64_t nproc; /* RLIMIT_NPROC, per uid and therefore shared by sandboxes; 0: inherited */
	uint64_t shm_bytes; /* size of /dev/shm; 0: 64 MiB */
};

/* All pointers are borrowed for the call; all descriptors stay the caller's. */
struct osh_sandbox_cfg {
	const char *name; /* host name inside: one label, as policy/names.h or wider */
	const char *id; /* printable */

	int cgroup_fd; /* directory <agent>/sandboxes/<name>, empty: everything starts in it */
	int state_fd; /* directory of this sandbox in the state directory, root-owned 0700;
		       * "home" and "tmp" are made below it when missing and kept */
	int init_fd; /* listening SEQPACKET socket for exec requests, see osh_init_listen() */
	int exe_fd; /* program that runs as init; -1: the one carried in this library */

	struct osh_sandbox_paths read_only;
	struct osh_sandbox_paths read_write;
	struct osh_sandbox_paths hide; /* covered by something empty when a list shows them:
					* the daemon's state, runtime and bpffs directories */
	bool include_workdir; /* adds @workdir to read_write */
	const char *workdir; /* NULL: OSH_SANDBOX_HOME */

	enum osh_sandbox_landlock landlock;
	struct osh_sandbox_ids ids;
	struct osh_sandbox_limits limits;

	struct osh_str ca_pem; /* this sandbox's CA; empty: no CA files, no bundle */
	const char
		*system_bundle; /* PEM file of the host; NULL: /etc/ssl/certs/ca-certificates.crt */
	const char *dns_addr; /* for resolv.conf; NULL: OSH_SANDBOX_ADDR4 */

	unsigned int timeout_ms; /* for the whole set-up; 0: 10 s */
};

/*
 * Sockets in the sandbox's network namespace, created by a task in the caller's cgroup:
 * non-blocking, close-on-exec, listening where that applies. TCP on 198.18.0.1 and the ULA, DNS on
 * the same addresses. Ports in host byte order. The v6 ones are -1 and 0 on a kernel without IPv6.
 */
struct osh_sandbox_listeners {
	int tcp4, tcp6;
	int dns_udp4, dns_udp6;
	int dns_tcp4, dns_tcp6;
	uint16_t tcp4_port, tcp6_port;
	uint16_t dns_udp4_port, dns_udp6_port;
	uint16_t dns_tcp4_port, dns_tcp6_port;
};

enum osh_sandbox_note_level {
	OSH_SANDBOX_NOTE_INFO = 0,
	OSH_SANDBOX_NOTE_MEDIUM = 1, /* something the policy asked for was skipped */
	OSH_SANDBOX_NOTE_HIGH = 2, /* a lock is missing (best_effort only) */
};

struct osh_sandbox_note {
	enum osh_sandbox_note_level level;
	char *text; /* one line, reference wording, e.g. "Landlock ruleset built [...]" */
};

/* Microseconds since the start of osh_sandbox_spawn() at which a step was done; 0: not reached. */
struct osh_sandbox_times {
	uint32_t prepared; /* configuration and files written */
	uint32_t cloned;
	uint32_t listening; /* loopback and listeners */
	uint32_t execed; /* init's main() entered */
	uint32_t rooted; /* pivot_root done */
	uint32_t confined; /* uid, Landlock, seccomp done */
	uint32_t ready; /* the caller knows */
};

struct osh_sandbox_proc {
	pid_t pid; /* of init, in the caller's pid namespace */
	int pidfd; /* readable when the sandbox is dead */
	int netns_fd;
	uint64_t netns_cookie;
	int go_fd; /* init waits on the other end; -1 once released */
	struct osh_sandbox_listeners lst; /* all -1 after osh_sandbox_adopt() */
	unsigned int landlock_abi; /* 0: Landlock is not in force */
	struct osh_sandbox_note *notes;
	size_t notes_count;
	struct osh_sandbox_times times;
};

/* Caller's storage: every descriptor -1. */
void osh_sandbox_proc_init(struct osh_sandbox_proc *proc);
/* Closes descriptors and frees notes; kills nothing that was released. */
void osh_sandbox_proc_fini(struct osh_sandbox_proc *proc);
void osh_sandbox_listeners_init(struct osh_sandbox_listeners *lst);
void osh_sandbox_listeners_fini(struct osh_sandbox_listeners *lst);

/*
 * Make the sandbox and confine init completely; init then waits for osh_sandbox_release(). On
 * failure nothing is left running, @ret_proc is untouched and @diag says in one error which step
 * failed and why ("sandbox set-up failed at step mount-proc: Operation not permitted").
 * -EINVAL bad configuration, -EOPNOTSUPP the kernel lacks something that is required,
 * -ETIMEDOUT, or the errno of the step.
 */
int osh_sandbox_spawn(const struct osh_sandbox_cfg *cfg, struct osh_sandbox_proc *ret_proc,
		      struct osh_diag *diag) OSH_MUST_CHECK;
/* Let init serve. -EPIPE when it has died meanwhile. */
int osh_sandbox_release(struct osh_sandbox_proc *proc) OSH_MUST_CHECK;

/*
 * Find a running sandbox again by its cgroup after the daemon was restarted: pid, pidfd, netns_fd,
 * netns_cookie. -ESRCH when no init runs there.
 */
int osh_sandbox_adopt(int cgroup_fd, struct osh_sandbox_proc *ret_proc) OSH_MUST_CHECK;
/* New listeners for an adopted sandbox whose old ones were lost. */
int osh_sandbox_listen(int netns_fd, struct osh_sandbox_listeners *ret_lst,
		       uint64_t *ret_netns_cookie) OSH_MUST_CHECK;
int osh_sandbox_netns_cookie(int netns_fd, uint64_t *ret_cookie) OSH_MUST_CHECK;

/*
 * Remove everything below the directory @state_fd (home, tmp and whatever else), not the directory
 * itself; follows no symlink, crosses no mount. The sandbox must be dead. Goes on after an error
 * and returns the first.
 */
int osh_sandbox_wipe(int state_fd) OSH_MUST_CHECK;

/*
 * process.run_as_user / run_as_group to numbers: "sandbox" or 1..4294967294 in decimal; NULL or ""
 * means "sandbox". -EINVAL with a message for anything else, -ENOENT with advice when the system
 * user or group does not exist.
 */
int osh_sandbox_run_as(const char *user, const char *group, struct osh_sandbox_ids *ret_ids,
		       struct osh_diag *diag) OSH_MUST_CHECK;

/*
 * Check the lists of @cfg against this host without making anything: symlink in read_write, "/" and
 * pseudo file systems read_write, relative or dotted paths are errors; missing read_only paths are
 * warnings. Returns 0 or -EINVAL.
 */
int osh_sandbox_check_paths(const struct osh_sandbox_cfg *cfg,
			    struct osh_diag *diag) OSH_MUST_CHECK;

/*
 * Environment of a session, in the order of the reference: fixed variables, @user ("NAME=value",
 * OPENSHELL_* names are dropped), proxy variables, TLS variables (when @has_ca), @placeholders.
 * Later overrides earlier, so neither proxy nor TLS variables can be overridden by @user. @term may
 * be NULL. The result is NULL-terminated, one allocation, to be freed with free().
 */
struct osh_sandbox_env {
	const char *const *user; /* NULL-terminated or NULL */
	const char *const *placeholders; /* NULL-terminated or NULL */
	const char *term;
	bool has_ca;
};
int osh_sandbox_env_build(const struct osh_sandbox_env *env, char ***ret_envp) OSH_MUST_CHECK;

/* Landlock ABI of the running kernel; 0: none or switched off. */
unsigned int osh_sandbox_landlock_abi(void);

#endif
