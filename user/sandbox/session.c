/* SPDX-License-Identifier: MIT */
#include "sandbox/session.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/str.h"
#include "sandbox/proto.h"
#include "sandbox/sandbox.h"

#define CONNS_MAX      (OSH_INIT_SESSIONS_MAX + 64u) /* running, and not yet asked for anything */
#define MESSAGE_MAX    (sizeof(struct osh_proto_exec) + OSH_INIT_REQUEST_MAX)
#define DEFAULT_PATH   "/usr/local/bin:/usr/bin:/bin"
#define EVENTS_AT_ONCE 32

enum conn_state {
	CONN_FREE = 0,
	CONN_IDLE, /* connected, no request yet */
	CONN_STARTING, /* forked, not yet executing */
	CONN_RUNNING,
};

struct conn {
	enum conn_state state;
	int fd;
	int exec_fd; /* STARTING: tells when and whether the program was executed */
	int pty_fd; /* STARTING with a terminal: the master, until it is handed over */
	pid_t pid; /* session leader */
	bool tty;
	enum osh_init_on_close on_close;
};

/* What the epoll data of a source says. */
enum source { SOURCE_LISTEN = 0, SOURCE_SIGNAL, SOURCE_CONN, SOURCE_EXEC };

struct server {
	int listen_fd, signal_fd, epoll_fd;
	unsigned int sessions; /* STARTING or RUNNING */
	struct conn conns[CONNS_MAX];
	char message[MESSAGE_MAX + 1];
};

/* A request, pointing into server.message. */
struct request {
	struct osh_proto_exec head;
	const char *cwd; /* NULL: none given */
	char **argv, **env; /* one allocation, argv */
	int stdio[3];
};

/* What the forked child writes when it could not become the program. */
struct exec_failure {
	int32_t err;
	uint32_t step;
};

static int watch(struct server *srv, int fd, enum source source, size_t index)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = index << 8 | source };

	return epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static size_t index_of(const struct server *srv, const struct conn *conn)
{
	return (size_t)(conn - srv->conns);
}

/* A child between fork and exec has copies, which would keep a closed descriptor in epoll. */
static void unwatch_close(struct server *srv, int *fd)
{
	if (*fd >= 0)
		(void)epoll_ctl(srv->epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
	osh_close_ptr(fd);
}

static void free_conn(struct server *srv, struct conn *conn)
{
	if (conn->state == CONN_STARTING || conn->state == CONN_RUNNING)
		srv->sessions--;
	unwatch_close(srv, &conn->fd);
	unwatch_close(srv, &conn->exec_fd);
	osh_close_ptr(&conn->pty_fd);
	conn->state = CONN_FREE;
	conn->pid = 0;
}

static void send_event(const struct conn *conn, const struct osh_proto_event *event, int with_fd)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)event, .iov_len = sizeof(*event) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (with_fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), &with_fd, sizeof(with_fd));
	}
	/* At most three small messages per connection: the only failure is a peer that is gone. */
	(void)!sendmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_failed(const struct conn *conn, int err, enum osh_proto_step step)
{
	const struct osh_proto_event event = {
		.type = OSH_PROTO_EVENT,
		.event = OSH_INIT_EVENT_FAILED,
		.err = err,
		.step = step,
	};

	send_event(conn, &event, -1);
}

/* ---- requests ---- */

static char *next_string(char **at, char *end)
{
	char *s = *at, *nul = memchr(s, '\0', (size_t)(end - s));

	if (!nul)
		return NULL;
	*at = nul + 1;
	return s;
}

static int parse_strings(struct request *req, char *at, char *end)
{
	size_t n = (size_t)req->head.argc + req->head.envc + 2;

	if (req->head.flags & OSH_PROTO_CWD) {
		req->cwd = next_string(&at, end);
		if (!req->cwd)
			return -EBADMSG;
	}
	req->argv = calloc(n, sizeof(*req->argv));
	if (!req->argv)
		return -ENOMEM;
	req->env = req->argv + req->head.argc + 1;
	for (uint32_t i = 0; i < req->head.argc; i++)
		if (!(req->argv[i] = next_string(&at, end)))
			return -EBADMSG;
	for (uint32_t i = 0; i < req->head.envc; i++)
		if (!(req->env[i] = next_string(&at, end)))
			return -EBADMSG;
	return at == end ? 0 : -EBADMSG;
}

static int parse_request(struct server *srv, size_t n, const int *fds, unsigned int fds_count,
			 struct request *req)
{
	char *at = srv->message + sizeof(req->head);
	bool tty;

	if (n < sizeof(req->head))
		return -EBADMSG;
	memcpy(&req->head, srv->message, sizeof(req->head));
	tty = req->head.flags & OSH_PROTO_TTY;
	if ((req->head.flags & ~(OSH_PROTO_TTY | OSH_PROTO_CWD)) ||
	    req->head.bytes != n - sizeof(req->head) || !req->head.argc ||
	    req->head.argc > OSH_INIT_STRINGS_MAX || req->head.envc > OSH_INIT_STRINGS_MAX ||
	    req->head.on_close > OSH_INIT_ON_CLOSE_NONE || fds_count != (tty ? 0u : 3u))
		return -EBADMSG;
	for (unsigned int i = 0; i < 3; i++)
		req->stdio[i] = tty ? -1 : fds[i];
	return parse_strings(req, at, at + req->head.bytes);
}

/* ---- the child ---- */

static void child_fail(int exec_fd, int err, enum osh_proto_step step)
{
	const struct exec_failure failure = { err, step };

	(void)!write(exec_fd, &failure, sizeof(failure)); /* a pipe takes this at once */
	_exit(127);
}

static void child_stdio(const struct request *req, int pty_fd, int exec_fd)
{
	int from[3] = { req->stdio[0], req->stdio[1], req->stdio[2] };

	if (pty_fd >= 0) {
		int slave = ioctl(pty_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

		if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
			child_fail(exec_fd, errno, OSH_PROTO_STEP_PTY);
		from[0] = from[1] = from[2] = slave;
	}
	/* All of them are above 2, which init itself keeps open. */
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			child_fail(exec_fd, errno, OSH_PROTO_STEP_SESSION);
}

static const char *find_env(char **env, const char *name)
{
	size_t n = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

/* A script without "#!": what shells have always done with it. */
static void exec_file(const char *path, const struct request *req)
{
	(void)execve(path, req->argv, req->env);
	if (errno == ENOEXEC) {
		size_t n = (size_t)req->head.argc + 2;
		char **argv = calloc(n, sizeof(*argv));

		if (!argv)
			return;
		argv[0] = req->argv[0];
		argv[1] = (char *)path;
		memcpy(argv + 2, req->argv + 1, (req->head.argc - 1) * sizeof(*argv));
		(void)execve("/bin/sh", argv, req->env);
	}
}

/* Returns only when nothing could be executed: the errno that tells most. */
static int exec_program(const struct request *req)
{
	const char *name = req->argv[0], *search = find_env(req->env, "PATH");
	struct osh_str rest = osh_str(search ? search : DEFAULT_PATH), dir;
	int err = ENOENT;

	if (!name[0])
		return ENOENT;
	if (strchr(name, '/')) {
		exec_file(name, req);
		return errno;
	}
	while (osh_str_split(&rest, ':', &dir)) {
		char path[4096];
		int len = snprintf(path, sizeof(path), "%.*s%s%s", OSH_STR_FMT(dir),
				   dir.n ? "/" : "", name);

		if (len < 0 || (size_t)len >= sizeof(path))
			continue;
		exec_file(path, req);
		if (errno == EACCES)
			err = EACCES; /* found, but not for us: go on, remember */
		else if (errno != ENOENT && errno != ENOTDIR)
			return errno;
	}
	return err;
}

static _Noreturn void child_main(const struct request *req, int pty_fd, int exec_fd)
{
	sigset_t none;

	(void)sigemptyset(&none);
	if (setsid() < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		child_fail(exec_fd, errno, OSH_PROTO_STEP_SESSION);
	child_stdio(req, pty_fd, exec_fd);
	if (req->cwd) {
		if (chdir(req->cwd) < 0)
			child_fail(exec_fd, errno, OSH_PROTO_STEP_CWD);
	} else if (chdir(OSH_SANDBOX_HOME) < 0 && chdir("/") < 0) {
		child_fail(exec_fd, errno, OSH_PROTO_STEP_CWD);
	}
	/* Every descriptor of init is close-on-exec already: this is the second lock. */
	if (syscall(SYS_close_range, 3, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) < 0)
		child_fail(exec_fd, errno, OSH_PROTO_STEP_SESSION);
	child_fail(exec_fd, exec_program(req), OSH_PROTO_STEP_EXEC);
	_exit(127);
}

/* ---- starting ---- */

static int open_pty(const struct osh_proto_exec *head, int *ret_fd)
{
	const struct winsize size = { .ws_row = head->rows, .ws_col = head->cols };
	osh_auto_close int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios tio;
	int unlock = 0;

	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) < 0 || ioctl(fd, TIOCSWINSZ, &size) < 0 ||
	    tcgetattr(fd, &tio) < 0)
		return -errno;
	tio.c_iflag |= IUTF8;
	if (tcsetattr(fd, TCSANOW, &tio) < 0)
		return -errno;
	*ret_fd = osh_take_fd(&fd);
	return 0;
}

/* 0, or an errno with the step it belongs to. */
static int start(struct server *srv, struct conn *conn, const struct request *req,
		 enum osh_proto_step *ret_step)
{
	osh_auto_close int pty = -1, done_r = -1, done_w = -1;
	int pipe_fds[2];
	pid_t pid;
	int r = 0;

	*ret_step = OSH_PROTO_STEP_LIMIT;
	if (srv->sessions == OSH_INIT_SESSIONS_MAX)
		return EAGAIN;
	*ret_step = OSH_PROTO_STEP_PTY;
	if (req->head.flags & OSH_PROTO_TTY)
		r = open_pty(&req->head, &pty);
	if (r < 0)
		return -r;
	*ret_step = OSH_PROTO_STEP_FORK;
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return errno;
	done_r = pipe_fds[0];
	done_w = pipe_fds[1];
	r = watch(srv, done_r, SOURCE_EXEC, index_of(srv, conn));
	if (r < 0)
		return -r;
	pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0)
		child_main(req, pty, done_w);
	conn->pid = pid;
	conn->tty = pty >= 0;
	conn->on_close = (enum osh_init_on_close)req->head.on_close;
	conn->pty_fd = osh_take_fd(&pty);
	conn->exec_fd = osh_take_fd(&done_r);
	conn->state = CONN_STARTING;
	srv->sessions++;
	return 0;
}

static int on_exec_request(struct server *srv, struct conn *conn, size_t n, const int *fds,
			   unsigned int fds_count)
{
	struct request req = { 0 };
	enum osh_proto_step step = OSH_PROTO_STEP_REQUEST;
	int r = parse_request(srv, n, fds, fds_count, &req);
	int err = -r;

	if (r == 0)
		err = start(srv, conn, &req, &step);
	free(req.argv);
	if (err)
		send_failed(conn, err, step);
	return err ? -err : 0;
}

/* ---- running ---- */

/* Field 8 of /proc/PID/stat; the name in field 2 may hold anything, but no ')' after its own. */
static pid_t foreground_group(pid_t leader)
{
	osh_auto_close int fd = -1;
	char path[64], text[1024], *at;
	ssize_t n;
	int group = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", leader);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return leader;
	text[n] = '\0';
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %d", &group) != 1 || group < 1)
		return leader;
	return group;
}

static void signal_session(const struct conn *conn, int signo)
{
	pid_t group = conn->tty ? foreground_group(conn->pid) : conn->pid;

	/* Before setsid() there is no group yet; a group that is gone needs no signal. */
	if (kill(-group, signo) < 0 && group == conn->pid)
		(void)kill(conn->pid, signo);
}

static void on_peer_gone(struct server *srv, struct conn *conn)
{
	if (conn->state == CONN_STARTING || conn->state == CONN_RUNNING) {
		switch (conn->on_close) {
		case OSH_INIT_ON_CLOSE_KILL:
			(void)kill(conn->pid, SIGKILL);
			(void)kill(-conn->pid, SIGKILL);
			break;
		case OSH_INIT_ON_CLOSE_HUP:
			signal_session(conn, SIGHUP);
			(void)kill(-conn->pid, SIGHUP);
			(void)kill(-conn->pid, SIGCONT); /* a stopped one must hear it */
			break;
		case OSH_INIT_ON_CLOSE_NONE:
			break;
		}
	}
	free_conn(srv, conn);
}

/* The program runs, or the child said why not. */
static void on_exec_done(struct server *srv, struct conn *conn)
{
	struct exec_failure failure;
	ssize_t n = read(conn->exec_fd, &failure, sizeof(failure));
	struct osh_proto_event event = {
		.type = OSH_PROTO_EVENT,
		.event = OSH_INIT_EVENT_STARTED,
		.pid = conn->pid,
	};

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == (ssize_t)sizeof(failure)) {
		send_failed(conn, failure.err, (enum osh_proto_step)failure.step);
		free_conn(srv, conn);
		return;
	}
	send_event(conn, &event, conn->pty_fd);
	osh_close_ptr(&conn->pty_fd); /* the CLI's copy must be the last one */
	unwatch_close(srv, &conn->exec_fd);
	conn->state = CONN_RUNNING;
}

static void on_child_end(struct server *srv, pid_t pid, int status)
{
	struct osh_proto_event event = { .type = OSH_PROTO_EVENT, .event = OSH_INIT_EVENT_EXITED };

	for (size_t i = 0; i < CONNS_MAX; i++) {
		struct conn *conn = &srv->conns[i];

		if (conn->pid != pid)
			continue;
		if (conn->state == CONN_STARTING)
			on_exec_done(srv, conn);
		if (conn->state != CONN_RUNNING)
			return;
		event.pid = pid;
		if (WIFSIGNALED(status))
			event.signo = WTERMSIG(status);
		else
			event.code = WEXITSTATUS(status);
		send_event(conn, &event, -1);
		free_conn(srv, conn);
		return;
	}
}

static void on_signal(struct server *srv)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	while (read(srv->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		on_child_end(srv, pid, status);
}

/* ---- connections ---- */

/* Root outside of the sandbox, and nobody else: no process in here can be either. */
static bool is_monitor(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == 0 &&
	       cred.pid == 0;
}

static void on_listen(struct server *srv)
{
	osh_auto_close int fd = accept4(srv->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct conn *conn = NULL;

	if (fd < 0 || !is_monitor(fd))
		return;
	for (size_t i = 0; !conn && i < CONNS_MAX; i++)
		if (srv->conns[i].state == CONN_FREE)
			conn = &srv->conns[i];
	if (!conn || watch(srv, fd, SOURCE_CONN, index_of(srv, conn)) < 0)
		return;
	*conn = (struct conn){
		.state = CONN_IDLE, .fd = osh_take_fd(&fd), .exec_fd = -1, .pty_fd = -1
	};
}

static int on_message(struct server *srv, struct conn *conn, size_t n, const int *fds,
		      unsigned int fds_count)
{
	struct osh_proto_control ctl;
	uint32_t type;

	if (n < sizeof(type))
		return -EBADMSG;
	memcpy(&type, srv->message, sizeof(type));
	if (type == OSH_PROTO_EXEC)
		return conn->state == CONN_IDLE ? on_exec_request(srv, conn, n, fds, fds_count)
						: -EBADMSG;
	if (n != sizeof(ctl) || fds_count || conn->state == CONN_IDLE)
		return -EBADMSG;
	memcpy(&ctl, srv->message, sizeof(ctl));
	if (type == OSH_PROTO_SIGNAL && ctl.value >= 1 && ctl.value <= 64) {
		signal_session(conn, ctl.value);
		return 0;
	}
	if (type == OSH_PROTO_ON_CLOSE && ctl.value >= 0 && ctl.value <= OSH_INIT_ON_CLOSE_NONE) {
		conn->on_close = (enum osh_init_on_close)ctl.value;
		return 0;
	}
	return -EBADMSG;
}

static void on_conn(struct server *srv, struct conn *conn)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(3 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = srv->message, .iov_len = MESSAGE_MAX };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	unsigned int fds_count = 0;
	int fds[3] = { -1, -1, -1 };
	int r = -EBADMSG;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		on_peer_gone(srv, conn);
		return;
	}
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		fds_count = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		fds_count = OSH_MIN(fds_count, 3u);
		memcpy(fds, CMSG_DATA(c), fds_count * sizeof(int));
	}
	if (!(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		r = on_message(srv, conn, (size_t)n, fds, fds_count);
	for (unsigned int i = 0; i < fds_count; i++)
		osh_close_ptr(&fds[i]);
	if (r < 0)
		on_peer_gone(srv, conn);
}

static void dispatch(struct server *srv, uint64_t data)
{
	struct conn *conn = &srv->conns[data >> 8];

	switch ((enum source)(data & 0xff)) {
	case SOURCE_LISTEN:
		on_listen(srv);
		break;
	case SOURCE_SIGNAL:
		on_signal(srv);
		break;
	case SOURCE_CONN:
		if (conn->state != CONN_FREE)
			on_conn(srv, conn);
		break;
	case SOURCE_EXEC:
		if (conn->state == CONN_STARTING)
			on_exec_done(srv, conn);
		break;
	}
}

static int set_up(struct server *srv)
{
	sigset_t mask;
	int r;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0)
		return -errno;
	srv->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	srv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (srv->signal_fd < 0 || srv->epoll_fd < 0)
		return -errno;
	r = watch(srv, srv->listen_fd, SOURCE_LISTEN, 0);
	return r < 0 ? r : watch(srv, srv->signal_fd, SOURCE_SIGNAL, 0);
}

int osh_session_serve(int listen_fd)
{
	static struct server srv; /* PID 1 is this service and nothing else */
	int r;

	srv.listen_fd = listen_fd;
	for (size_t i = 0; i < CONNS_MAX; i++)
		srv.conns[i] = (struct conn){ .fd = -1, .exec_fd = -1, .pty_fd = -1 };
	r = set_up(&srv);
	if (r < 0)
		return r;
	for (;;) {
		struct epoll_event events[EVENTS_AT_ONCE];
		int n = epoll_wait(srv.epoll_fd, events, EVENTS_AT_ONCE, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			dispatch(&srv, events[i].data.u64);
	}
}
