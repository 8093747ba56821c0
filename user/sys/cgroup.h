/* SPDX-License-Identifier: MIT */
/*
 * Our part of the cgroup v2 tree:
 *	<agent>/			limits shared by all of it
 *	<agent>/daemon			our own processes; getsockopt answers with flow records
 *	<agent>/sandboxes/		the fence, attached once, inherited
 *	<agent>/sandboxes/<name>	one sandbox
 * <agent> is our delegated cgroup under systemd, else <cgroup2 mount>/<agent name>. Everything is
 * addressed by directory descriptor; no controller is enabled.
 */
#ifndef OSH_SYS_CGROUP_H
#define OSH_SYS_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

#define OSH_CGROUP_NAME_MAX 64 /* sandbox and agent names, with the NUL */

struct osh_cgroup {
	int agent_fd, daemon_fd, sandboxes_fd; /* directories, O_PATH not set; -1: closed */
	bool delegated; /* <agent> was given to us: not ours to remove */
	char agent_path[PATH_MAX]; /* for messages */
};

/*
 * Where cgroup v2 is mounted, from /proc/self/mounts (unified and hybrid layouts). -ENOENT: nowhere.
 */
int osh_cgroup_mount(char *ret_path, size_t size) OSH_MUST_CHECK;

/*
 * Find or make the three directories. @agent_name: [A-Za-z0-9._-]+; with @use_delegated our own
 * cgroup is taken as <agent> if systemd delegated it (user.delegate/trusted.delegate is 1). Moves
 * no process. -ENOENT: no cgroup2.
 */
int osh_cgroup_open(struct osh_cgroup *cg, const char *agent_name,
		    bool use_delegated) OSH_MUST_CHECK;
/* Close the descriptors; removes nothing. Takes a zeroed or closed struct too. */
void osh_cgroup_close(struct osh_cgroup *cg);
/* Remove the three directories if empty; -EBUSY if processes or sandboxes are left. */
int osh_cgroup_remove_tree(struct osh_cgroup *cg) OSH_MUST_CHECK;

/* Move the calling process (all threads) into <agent>/daemon. */
int osh_cgroup_enter_daemon(const struct osh_cgroup *cg) OSH_MUST_CHECK;
/* Move @pid into the cgroup @cgroup_fd; 0 is the caller. */
int osh_cgroup_move(int cgroup_fd, pid_t pid) OSH_MUST_CHECK;

/*
 * Sandbox cgroups. create: *ret_fd is a directory fd for CLONE_INTO_CGROUP; -EEXIST if it is there.
 * open: -ENOENT if not. Names as for the agent; a bad one is -EINVAL.
 */
int osh_cgroup_sandbox_create(const struct osh_cgroup *cg, const char *name,
			      int *ret_fd) OSH_MUST_CHECK;
int osh_cgroup_sandbox_open(const struct osh_cgroup *cg, const char *name,
			    int *ret_fd) OSH_MUST_CHECK;
/* rmdir; -EBUSY while processes are left, 0 if it was not there. */
int osh_cgroup_sandbox_remove(const struct osh_cgroup *cg, const char *name);
/* Each sandbox cgroup's name once; a callback result < 0 ends the walk and is returned. */
int osh_cgroup_sandbox_list(const struct osh_cgroup *cg, int (*fn)(const char *name, void *arg),
			    void *arg) OSH_MUST_CHECK;

/*
 * SIGKILL every process in the cgroup and below (cgroup.kill, or one by one where that is missing).
 * Processes may take a moment to go: wait with osh_cgroup_events_fd().
 */
int osh_cgroup_kill(int cgroup_fd);
/* 1: no process in it or below, 0: some. */
int osh_cgroup_is_empty(int cgroup_fd) OSH_MUST_CHECK;
/* cgroup.events: poll for POLLPRI, then ask osh_cgroup_is_empty() again. */
int osh_cgroup_events_fd(int cgroup_fd, int *ret_fd) OSH_MUST_CHECK;
/* Block until empty or @timeout_ms passed (-ETIMEDOUT). */
int osh_cgroup_wait_empty(int cgroup_fd, int timeout_ms) OSH_MUST_CHECK;
/* Process ids in the cgroup itself; at most @max are written, the result is how many there are. */
int osh_cgroup_pids(int cgroup_fd, pid_t *ret_pids, size_t max) OSH_MUST_CHECK;
/* The kernel's id of a cgroup (its inode number). */
int osh_cgroup_id(int cgroup_fd, uint64_t *ret_id) OSH_MUST_CHECK;
/* 1: process @pid is inside <agent>/sandboxes, 0: not. Refuses to guess: errors are errors. */
int osh_cgroup_pid_is_sandboxed(const struct osh_cgroup *cg, pid_t pid) OSH_MUST_CHECK;
/*
 * The same for the process that @pidfd refers to, whose number is @pid: it is certain that the answer
 * is about that very process and not about a later one of the same number. -ESRCH: it is gone, nothing
 * can be told. @pidfd -1 (the kernel cannot give one for a socket's peer, before 6.5): the process that
 * has the number now is judged, and must be the same before and after.
 */
int osh_cgroup_pidfd_is_sandboxed(const struct osh_cgroup *cg, pid_t pid, int pidfd) OSH_MUST_CHECK;

#endif
