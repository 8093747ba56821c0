/* SPDX-License-Identifier: MIT */
/*
 * The monitor's side of a sandbox's init: one SEQPACKET connection per session (one program and its
 * children). Nothing blocks; put the connection into the event loop and call osh_init_read() when it
 * is readable. Init is as untrusted as the agent: whatever it sends is checked here.
 *
 * The data path never touches the monitor: without a terminal, the caller's pipe ends are handed to
 * the program; with one, the PTY master comes back as a descriptor for the CLI, which reads, writes
 * and resizes (TIOCSWINSZ) it directly. The kernel hangs the session up when the last copy of the
 * master is closed.
 */
#ifndef OSH_SANDBOX_CLIENT_H
#define OSH_SANDBOX_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

#define OSH_INIT_REQUEST_MAX  (160u * 1024) /* bytes of cwd + argv + env, NULs included */
#define OSH_INIT_STRINGS_MAX  4096u /* entries of argv and of env */
#define OSH_INIT_SESSIONS_MAX 256u /* at once in one sandbox */

/* What init does with the session's processes when the connection goes away. */
enum osh_init_on_close {
	OSH_INIT_ON_CLOSE_KILL = 0, /* SIGKILL to the session's process group */
	OSH_INIT_ON_CLOSE_HUP = 1, /* SIGHUP and SIGCONT */
	OSH_INIT_ON_CLOSE_NONE = 2, /* go on: detached */
};

struct osh_init_exec {
	const char *const *argv; /* NULL-terminated; argv[0] is searched in the PATH of @env
				  * unless it has a slash */
	const char *const *env; /* NULL-terminated, complete */
	const char *cwd; /* NULL: /sandbox, or / when there is none */
	bool tty;
	uint16_t rows, cols; /* with @tty; 0: 24, 80 */
	enum osh_init_on_close on_close;
	int stdio[3]; /* without @tty: pipe ends or the read end of /dev/null, -1: /dev/null;
		       * anything but a pipe or a /dev/null is refused (a socket or file of the
		       * host must never enter); stay the caller's */
	uid_t uid; /* the pipes are given to this uid, so that /dev/stdout can be reopened */
};

enum osh_init_event_type {
	OSH_INIT_EVENT_NONE = 0,
	OSH_INIT_EVENT_STARTED, /* @pid, and with a terminal @pty_fd */
	OSH_INIT_EVENT_FAILED, /* nothing runs; @err; the connection is finished */
	OSH_INIT_EVENT_EXITED, /* @code or @signo; the connection is finished */
};

struct osh_init_event {
	enum osh_init_event_type type;
	pid_t pid; /* in the sandbox's pid namespace */
	int pty_fd; /* PTY master, close-on-exec, now the receiver's; else -1 */
	int err; /* errno > 0 of the failed step */
	const char *step; /* static: "request", "limit", "pty", "fork", "cwd", "exec", ... */
	int code; /* exit code 0..255; valid when @signo is 0 */
	int signo; /* killed by this signal; 0: exited */
};

/*
 * Listening socket for osh_sandbox_cfg.init_fd at @path (at most 107 bytes), mode 0600. The path
 * stays outside of the sandbox and survives the daemon; an old socket file is replaced.
 */
int osh_init_listen(const char *path, int *ret_fd) OSH_MUST_CHECK;
/* Non-blocking, close-on-exec connection; -ECONNREFUSED/-ENOENT: no sandbox, -EAGAIN: backlog full. */
int osh_init_connect(const char *path, int *ret_fd) OSH_MUST_CHECK;

/*
 * Ask for the program. Once per connection; STARTED or FAILED follows, then EXITED.
 * -EINVAL (empty argv, a descriptor that is not a pipe), -E2BIG, -EAGAIN, or the errno of sendmsg.
 */
int osh_init_exec_start(int fd, const struct osh_init_exec *req) OSH_MUST_CHECK;
/* Signal 1..64 to the session's foreground process group (tty) or process group. */
int osh_init_signal(int fd, int signo) OSH_MUST_CHECK;
/* Change what happens when the connection goes away. */
int osh_init_set_on_close(int fd, enum osh_init_on_close on_close) OSH_MUST_CHECK;

/*
 * One event. -EAGAIN: none now; -ECONNRESET: init is gone or has closed (normal after FAILED and
 * EXITED); -EBADMSG: not our protocol, close the connection.
 */
int osh_init_read(int fd, struct osh_init_event *ret_ev) OSH_MUST_CHECK;

#endif
