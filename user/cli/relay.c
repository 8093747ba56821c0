/* SPDX-License-Identifier: MIT */
#include "cli/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

enum {
	CHUNK = 65536,
	DRAIN_MS = 200, /* after the exit of a terminal's program, for its last output */
};

enum { P_STDIN = 0, P_REMOTE_IN, P_OUT, P_ERR, P_CTL, P_SIGNAL, P_COUNT };

struct state {
	struct osh_relay *r;
	struct pollfd p[P_COUNT];
	char to_remote[CHUNK]; /* read from stdin, not written yet */
	size_t n_to_remote;
	bool stdin_eof;
	bool exited, ctl_gone;
	int code;
	unsigned int interrupts;
	bool raw;
	struct termios saved;
};

/* ---- our terminal ---- */

static void raw_mode(struct state *s)
{
	struct termios t;

	if (!s->r->tty || tcgetattr(STDIN_FILENO, &s->saved) < 0)
		return;
	t = s->saved;
	cfmakeraw(&t);
	s->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
}

static void restore_mode(struct state *s)
{
	if (s->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s->saved); /* or the terminal is gone */
	s->raw = false;
}

static void copy_size(const struct state *s)
{
	struct winsize ws;

	if (s->r->tty && s->r->fds[0] >= 0 &&
	    (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0 ||
	     ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0))
		(void)ioctl(s->r->fds[0], TIOCSWINSZ, &ws); /* only cosmetic */
}

/* ---- signals ---- */

static int open_signals(const struct state *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (!s->r->tty) {
		/* with a terminal these arrive as bytes */
		sigaddset(&set, SIGINT);
		sigaddset(&set, SIGQUIT);
	}
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* On a connection of its own: the one of the Exec call waits for the exit code. */
static void forward_signal(const struct state *s, int signo)
{
	osh_auto_rpc struct osh_rpc rpc;
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;

	osh_rpc_begin(&rpc, "send a signal");
	osh_json_kz(&rpc.j, "session", s->r->session);
	osh_json_ku64(&rpc.j, "signal", (uint64_t)signo);
	if (osh_rpc_ask(s->r->cli, &rpc, "SessionSignal", &reply) == 0 && reply.error)
		(void)osh_rpc_tell(s->r->cli, rpc.what, &reply);
}

static int on_signal(struct state *s)
{
	struct signalfd_siginfo info;

	while (read(s->p[P_SIGNAL].fd, &info, sizeof(info)) == sizeof(info)) {
		int signo = (int)info.ssi_signo;

		if (signo == SIGWINCH) {
			copy_size(s);
			continue;
		}
		/* ended from outside, or asked twice: leave; the daemon hangs the session up */
		if (s->r->tty || signo == SIGHUP || ++s->interrupts > 1)
			return 128 + signo;
		forward_signal(s, signo);
	}
	return 0;
}

/* ---- bytes ---- */

static void close_remote(struct state *s, int i)
{
	osh_close_ptr(&s->r->fds[i]);
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN) {
			struct pollfd wait = { .fd = fd, .events = POLLOUT };

			if (poll(&wait, 1, -1) < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* 1: bytes were moved; 0: nothing there now; negative: this stream is over. */
static int pump_out(struct state *s, int i, int to)
{
	char buf[CHUNK];
	ssize_t n;

	if (s->r->fds[i] < 0)
		return -EPIPE;
	n = read(s->r->fds[i], buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || write_all(to, buf, (size_t)n) < 0) {
		/* with a pipe the program gets SIGPIPE, as it would without us */
		close_remote(s, i);
		return -EPIPE;
	}
	return 1;
}

static void read_stdin(struct state *s)
{
	ssize_t n = read(STDIN_FILENO, s->to_remote + s->n_to_remote,
			 sizeof(s->to_remote) - s->n_to_remote);

	if (n > 0)
		s->n_to_remote += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		s->stdin_eof = true;
	/* a terminal has no end of file, but a key for it */
	if (s->stdin_eof && s->r->tty && s->n_to_remote < sizeof(s->to_remote))
		s->to_remote[s->n_to_remote++] = 0x04;
}

static void write_remote(struct state *s)
{
	ssize_t n;

	if (s->r->fds[0] < 0 || !s->n_to_remote)
		return;
	n = write(s->r->fds[0], s->to_remote, s->n_to_remote);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		s->n_to_remote = 0;
		s->stdin_eof = true;
		if (!s->r->tty)
			close_remote(s, 0);
		return;
	}
	if (n > 0) {
		s->n_to_remote -= (size_t)n;
		memmove(s->to_remote, s->to_remote + n, s->n_to_remote);
	}
}

/* ---- the call ---- */

static int on_reply(struct state *s)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	int r = osh_ctl_recv(s->r->rpc->client, -1, &reply);

	if (r < 0) {
		s->ctl_gone = true;
		return 0;
	}
	if (reply.error) {
		restore_mode(s);
		return osh_rpc_tell(s->r->cli, s->r->rpc->what, &reply);
	}
	if (reply.continues)
		return 0;
	s->exited = true;
	s->code = (int)(osh_reply_u64(&reply, "exit_code") & 0xff);
	if (osh_reply_bool(&reply, "timed_out"))
		s->code = OSH_EXIT_TIMEOUT;
	return 0;
}

static void prepare(struct state *s)
{
	struct osh_relay *r = s->r;
	bool in_open = r->fds[0] >= 0;

	for (int i = 0; i < P_SIGNAL; i++)
		s->p[i] = (struct pollfd){ .fd = -1 };
	if (in_open && !s->stdin_eof && s->n_to_remote < sizeof(s->to_remote))
		s->p[P_STDIN] = (struct pollfd){ STDIN_FILENO, POLLIN, 0 };
	if (in_open && s->n_to_remote)
		s->p[P_REMOTE_IN] = (struct pollfd){ r->fds[0], POLLOUT, 0 };
	if (r->tty)
		s->p[P_OUT] = (struct pollfd){ r->fds[0], POLLIN, 0 };
	else
		s->p[P_OUT] = (struct pollfd){ r->fds[1], POLLIN, 0 };
	if (!r->tty)
		s->p[P_ERR] = (struct pollfd){ r->fds[2], POLLIN, 0 };
	if (!s->exited && !s->ctl_gone)
		s->p[P_CTL] = (struct pollfd){ osh_ctl_client_fd(r->rpc->client), POLLIN, 0 };
}

static bool outputs_closed(const struct state *s)
{
	return s->r->tty ? s->r->fds[0] < 0 : s->r->fds[1] < 0 && s->r->fds[2] < 0;
}

/* Everything the program itself wrote is there when its exit code is; its children may go on. */
static void drain(struct state *s)
{
	if (!s->r->tty) {
		while (pump_out(s, 1, STDOUT_FILENO) > 0)
			;
		while (pump_out(s, 2, STDERR_FILENO) > 0)
			;
		return;
	}
	/* a terminal hands its last bytes on a moment later */
	while (s->r->fds[0] >= 0) {
		struct pollfd wait = { .fd = s->r->fds[0], .events = POLLIN };

		if (poll(&wait, 1, DRAIN_MS) <= 0 || pump_out(s, 0, STDOUT_FILENO) < 0)
			return;
	}
}

static int turn(struct state *s)
{
	int code = 0;

	prepare(s);
	if (osh_ctl_client_has_pending(s->r->rpc->client) && !s->exited)
		return on_reply(s);
	if (poll(s->p, P_COUNT, -1) < 0)
		return errno == EINTR ? 0 : OSH_EXIT_ERROR;
	if (s->p[P_SIGNAL].revents)
		code = on_signal(s);
	if (s->p[P_STDIN].revents)
		read_stdin(s);
	if (s->p[P_STDIN].revents || s->p[P_REMOTE_IN].revents)
		write_remote(s);
	if (s->stdin_eof && !s->n_to_remote && !s->r->tty)
		close_remote(s, 0);
	if (s->p[P_OUT].revents)
		(void)pump_out(s, s->r->tty ? 0 : 1, STDOUT_FILENO); /* its end is seen by fds[] */
	if (s->p[P_ERR].revents)
		(void)pump_out(s, 2, STDERR_FILENO); /* likewise */
	if (s->p[P_CTL].revents && !code)
		code = on_reply(s);
	return code;
}

int osh_relay_run(struct osh_relay *relay)
{
	struct state *s = calloc(1, sizeof(*s));
	int code = 0;

	if (!s)
		return osh_cli_fail(relay->cli, relay->rpc->what, NULL, "out of memory");
	s->r = relay;
	s->p[P_SIGNAL] = (struct pollfd){ open_signals(s), POLLIN, 0 };
	for (int i = 0; i < 3; i++)
		if (relay->fds[i] >= 0)
			(void)fcntl(relay->fds[i], F_SETFL,
				    fcntl(relay->fds[i], F_GETFL) | O_NONBLOCK);
	fflush(relay->cli->out);
	raw_mode(s);
	copy_size(s);
	while (!code && !s->exited && !(s->ctl_gone && outputs_closed(s)))
		code = turn(s);
	if (s->exited)
		drain(s);
	restore_mode(s);
	osh_close_ptr(&s->p[P_SIGNAL].fd);
	for (int i = 0; i < 3; i++)
		close_remote(s, i);
	if (!code && s->exited)
		code = s->code;
	else if (!code)
		code = osh_cli_fail(relay->cli, relay->rpc->what,
				    "reconnect with 'openshell sandbox connect'",
				    "the connection to openshelld was lost");
	free(s);
	return code;
}
