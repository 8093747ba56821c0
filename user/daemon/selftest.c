/* SPDX-License-Identifier: MIT */
#include "daemon/selftest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/str.h"
#include "selftest/selftest.h"
#include "sys/fs.h"

enum {
	CONNS_MAX = 128,
	CONN_BYTES = 65536, /* read from one connection, then it is closed */
	GRACE_MS = 500, /* after the last attempt, for bytes under way */
	CALL_MS = 60000,
	WHOLE_MS = 300000,
	ATTEMPTS_MAX = 512,
};

enum place { FORBIDDEN = 0, RAW, HTTP, ID, PLACES };

struct conn {
	int fd;
	enum place place;
	size_t n;
	char tail[64]; /* end of the bytes before: a marker may be cut */
	size_t ntail;
	bool upgraded;
};

struct st {
	const struct osh_selftest_plan *plan;
	int out;
	int listener[PLACES], udp, abstract;
	uint16_t port[PLACES];
	char abstract_name[64];
	struct conn conns[CONNS_MAX];
	size_t nconns;
	const char *convicted[ATTEMPTS_MAX]; /* where the marker was seen */
	bool reported[ATTEMPTS_MAX];
	unsigned int strangers; /* bytes without a marker where none may arrive */
};

/* ---- results ---- */

static void result(struct st *st, int state, const char *name, const char *fmt, ...)
	OSH_PRINTF(4, 5);

static void result(struct st *st, int state, const char *name, const char *fmt, ...)
{
	char line[OSH_SELFTEST_LINE_MAX], detail[OSH_SELFTEST_DETAIL + 128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	n = snprintf(line, sizeof(line), "%d\t%s\t%s\n", state, name, detail);
	if (osh_fs_write_all(st->out, line, (size_t)n) < 0)
		_exit(1); /* nobody wants to know any more */
}

static void report(void *arg, const char *stage, unsigned int index, int state, const char *detail)
{
	char name[128];

	osh_selftest_title(stage, index, name, sizeof(name));
	result(arg, state, name, "%s", detail);
}

/* ---- listeners ---- */

static int listen_loopback(int type, uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	osh_auto_close int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons(*ret_port);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 64) < 0) ||
	    getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return -errno;
	*ret_port = ntohs(at.sin_port);
	return osh_take_fd(&fd);
}

static int listen_abstract(struct st *st)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	osh_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	size_t n;

	(void)snprintf(st->abstract_name, sizeof(st->abstract_name), "%s", st->plan->sandbox);
	n = strlen(st->abstract_name);
	memcpy(un.sun_path + 1, st->abstract_name, n);
	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&un,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) < 0 ||
	    listen(fd, 1) < 0)
		return -errno;
	return osh_take_fd(&fd);
}

static int listen_all(struct st *st)
{
	for (int i = 0; i < PLACES; i++) {
		st->listener[i] = listen_loopback(SOCK_STREAM, &st->port[i]);
		if (st->listener[i] < 0)
			return st->listener[i];
	}
	st->udp = listen_loopback(SOCK_DGRAM, &st->port[FORBIDDEN]);
	if (st->udp < 0)
		return st->udp;
	st->abstract = listen_abstract(st);
	return st->abstract < 0 ? st->abstract : 0;
}

/* Every marker in @text convicts its attempt, unless it may be at @place. */
static void judge(struct st *st, enum place place, const char *text, size_t n)
{
	static const char *const where[] = {
		[FORBIDDEN] = "reached the forbidden listener",
		[RAW] = "reached a permitted listener it may not reach",
		[HTTP] = "reached an inspected listener",
		[ID] = "reached the listener of another binary",
	};
	const size_t len = strlen(OSH_SELFTEST_MARKER);
	bool any = false;
	const char *at;

	while ((at = memmem(text, n, OSH_SELFTEST_MARKER, len))) {
		unsigned int index = 0;

		n -= (size_t)(at + len - text);
		text = at + len;
		if (n < 4)
			break;
		for (int i = 0; i < 4; i++)
			index = index * 10 + (unsigned int)(text[i] - '0') % 10;
		any = true;
		if (index >= osh_selftest_count)
			st->strangers++;
		else if (place == FORBIDDEN ||
			 !(osh_selftest_attempts[index].flags & OSH_SELFTEST_CONTROL))
			st->convicted[index] = where[place];
	}
	if (!any && place == FORBIDDEN && n)
		st->strangers++;
}

/* What permitted listeners say; /101 is an accomplice that pretends to switch protocols. */
static void answer(struct conn *c, const char *text, size_t n)
{
	static const char ok[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n" OSH_SELFTEST_ANSWER;
	static const char switched[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
				       "Upgrade: selftest\r\n\r\n";

	if (c->upgraded)
		return;
	if (c->place == HTTP && memmem(text, n, "GET /101 ", 9)) {
		c->upgraded = true;
		(void)send(c->fd, switched, sizeof(switched) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		return;
	}
	(void)send(c->fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void conn_close(struct st *st, size_t i)
{
	osh_close_ptr(&st->conns[i].fd);
	st->conns[i] = st->conns[--st->nconns];
}

/* False: the connection is gone. */
static bool conn_read(struct st *st, size_t i)
{
	struct conn *c = &st->conns[i];
	char buf[sizeof(c->tail) + 8192];
	ssize_t got;

	memcpy(buf, c->tail, c->ntail);
	got = recv(c->fd, buf + c->ntail, sizeof(buf) - c->ntail, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return true;
	if (got <= 0 || (c->n += (size_t)got) > CONN_BYTES) {
		conn_close(st, i);
		return false;
	}
	got += (ssize_t)c->ntail;
	judge(st, c->place, buf, (size_t)got);
	if (c->place != FORBIDDEN)
		answer(c, buf, (size_t)got);
	c->ntail = OSH_MIN((size_t)got, (size_t)OSH_SELFTEST_MARKER_BYTES);
	memcpy(c->tail, buf + got - c->ntail, c->ntail);
	return true;
}

static void accept_all(struct st *st, enum place place)
{
	for (;;) {
		int fd = accept4(st->listener[place], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if (st->nconns == CONNS_MAX)
			conn_close(st, 0); /* the oldest or so: attempts end theirs soon */
		st->conns[st->nconns++] = (struct conn){ .fd = fd, .place = place };
	}
}

/* Serve the listeners until @fd (-1: none) is readable or @ms passed. True: readable. */
static bool pump(struct st *st, int fd, int ms)
{
	struct pollfd p[PLACES + 2 + CONNS_MAX];
	size_t n = 0, conns;
	char buf[2048];

	p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = st->udp, .events = POLLIN };
	for (int i = 0; i < PLACES; i++)
		p[n++] = (struct pollfd){ .fd = st->listener[i], .events = POLLIN };
	conns = n;
	for (size_t i = 0; i < st->nconns; i++)
		p[n++] = (struct pollfd){ .fd = st->conns[i].fd, .events = POLLIN };
	if (poll(p, n, ms) <= 0)
		return false;
	for (size_t i = n; i-- > conns;) /* from the end: closing moves the last one down */
		if (p[i].revents)
			(void)conn_read(st, i - conns);
	if (p[1].revents) {
		ssize_t got = recv(st->udp, buf, sizeof(buf), MSG_DONTWAIT);

		if (got > 0)
			judge(st, FORBIDDEN, buf, (size_t)got);
	}
	for (int i = 0; i < PLACES; i++)
		if (p[2 + i].revents)
			accept_all(st, (enum place)i);
	return p[0].revents != 0;
}

/* ---- the sandbox ---- */

static int call(struct osh_ctl_client *client, const char *method, const struct osh_buf *params,
		struct osh_ctl_reply *ret_reply, char *why, size_t size)
{
	int r = osh_ctl_send(client, method, osh_buf_str(params), OSH_CTL_MORE, NULL, 0);

	while (r == 0) {
		r = osh_ctl_recv(client, CALL_MS, ret_reply);
		if (r < 0 || !ret_reply->continues || ret_reply->fds[0] >= 0)
			break;
		osh_ctl_reply_fini(ret_reply);
	}
	if (r < 0)
		(void)snprintf(why, size, "%s: %s", method, strerror(-r));
	else if (ret_reply->error)
		(void)snprintf(
			why, size, "%s: %s", method,
			osh_jval_z(osh_jval_get(ret_reply->params, "message"), ret_reply->error));
	return r == 0 && ret_reply->error ? -EIO : r;
}

static int write_policy(const struct st *st, struct osh_buf *ret_yaml)
{
	return osh_buf_printf(ret_yaml,
			      "version: 1\n"
			      "filesystem_policy:\n"
			      "  include_workdir: true\n"
			      "  read_only: [/usr, /lib, /proc, /dev/urandom, /etc]\n"
			      "  read_write: [/sandbox, /tmp, /dev/null]\n"
			      "landlock: { compatibility: best_effort }\n"
			      "process: { run_as_user: sandbox, run_as_group: sandbox }\n"
			      "network_policies:\n"
			      "  raw:\n"
			      "    endpoints: [{ host: %s, port: %u }]\n"
			      "    binaries: [{ path: %s }]\n"
			      "  http:\n"
			      "    endpoints:\n"
			      "      - host: %s\n"
			      "        port: %u\n"
			      "        protocol: rest\n"
			      "        enforcement: enforce\n"
			      "        rules:\n"
			      "          - allow: { method: GET, path: \"/" OSH_SELFTEST_MARKER
			      "*\" }\n"
			      "          - allow: { method: GET, path: /101 }\n"
			      "          - allow: { method: GET, path: /first }\n"
			      "    binaries: [{ path: %s }]\n"
			      "  identity:\n"
			      "    endpoints: [{ host: %s, port: %u }]\n"
			      "    binaries: [{ path: %s }, { path: %s }, { path: %s }]\n",
			      st->plan->host, st->port[RAW], OSH_SELFTEST_PROBE, st->plan->host,
			      st->port[HTTP], OSH_SELFTEST_PROBE, st->plan->host, st->port[ID],
			      OSH_SELFTEST_ALLOWED, OSH_SELFTEST_TOFU, OSH_SELFTEST_DYNAMIC);
}

static int create_sandbox(struct st *st, struct osh_ctl_client *client, char *why, size_t size)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_bufmem struct osh_buf yaml, params;
	struct osh_json j;
	int r;

	osh_buf_init(&yaml, 8192, 0);
	osh_buf_init(&params, 16384, 0);
	r = write_policy(st, &yaml);
	osh_json_init(&j, &params, 0);
	osh_json_obj(&j);
	osh_json_kz(&j, "name", st->plan->sandbox);
	osh_json_kstr(&j, "policy", osh_buf_str(&yaml));
	osh_json_obj_end(&j);
	if (r == 0)
		r = j.err;
	if (r < 0) {
		(void)snprintf(why, size, "out of memory");
		return r;
	}
	return call(client, "SandboxCreate", &params, &reply, why, size);
}

/* The program, twice, in a folder of root's in the private home. */
static int install(const struct st *st)
{
	osh_auto_close int dir = -1;
	const void *bytes;
	char path[4096];
	size_t n;
	int r;

	(void)snprintf(path, sizeof(path), "%s/sandboxes/%s/home/st", st->plan->state_dir,
		       st->plan->sandbox);
	r = osh_fs_mkdir_p(path, 0755);
	if (r < 0)
		return r;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return -errno;
	osh_selftest_program(&bytes, &n);
	r = osh_fs_write_atomic(dir, "probe", (struct osh_str){ bytes, n }, 0755);
	if (r == 0)
		r = osh_fs_write_atomic(dir, "allowed", (struct osh_str){ bytes, n }, 0755);
	return r;
}

static int write_exec(const struct st *st, struct osh_buf *params)
{
	char ports[PLACES][8];
	const char *argv[] = { OSH_SELFTEST_PROBE,
			       "run",
			       st->plan->host,
			       ports[RAW],
			       ports[HTTP],
			       ports[ID],
			       ports[FORBIDDEN],
			       st->abstract_name,
			       st->plan->control_socket,
			       st->plan->state_dir };
	struct osh_json j;

	for (int i = 0; i < PLACES; i++)
		(void)snprintf(ports[i], sizeof(ports[i]), "%u", st->port[i]);
	osh_json_init(&j, params, 0);
	osh_json_obj(&j);
	osh_json_kz(&j, "sandbox", st->plan->sandbox);
	osh_json_key(&j, "argv");
	osh_json_arr(&j);
	for (size_t i = 0; i < OSH_ARRAY_SIZE(argv); i++)
		osh_json_str(&j, osh_str(argv[i]));
	osh_json_arr_end(&j);
	osh_json_ku64(&j, "timeout_s", WHOLE_MS / 1000);
	osh_json_obj_end(&j);
	return j.err;
}

/* "INDEX STATE DETAIL" of the probe, which is as untrusted as whatever else runs in a sandbox. */
static void on_line(struct st *st, char *line)
{
	char *state, *detail = NULL;
	uint64_t index, value;

	state = strchr(line, ' ');
	if (state) {
		*state++ = '\0';
		detail = strchr(state, ' ');
	}
	if (!detail)
		return; /* reported as missing in the end */
	*detail++ = '\0';
	if (osh_parse_u64(osh_str(line), osh_selftest_count - 1, &index) < 0 ||
	    osh_parse_u64(osh_str(state), OSH_SELFTEST_NA, &value) < 0 || st->reported[index])
		return;
	for (char *p = detail; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	detail[OSH_MIN(strlen(detail), (size_t)OSH_SELFTEST_DETAIL)] = '\0';
	(void)pump(st, -1, 0);
	st->reported[index] = true;
	if (st->convicted[index]) {
		report(st, "sandbox", (unsigned int)index, OSH_SELFTEST_OPEN, st->convicted[index]);
		st->convicted[index] = NULL;
		return;
	}
	report(st, "sandbox", (unsigned int)index, (int)value, detail);
}

static void read_lines(struct st *st, int fd)
{
	char buf[4096];
	size_t n = 0;

	for (int waited = 0; waited < WHOLE_MS;) {
		ssize_t got;
		char *end;

		if (!pump(st, fd, 100)) {
			waited += 100;
			continue;
		}
		got = read(fd, buf + n, sizeof(buf) - 1 - n);
		if (got <= 0)
			return;
		n += (size_t)got;
		buf[n] = '\0';
		while ((end = memchr(buf, '\n', n))) {
			size_t len = (size_t)(end + 1 - buf);

			*end = '\0';
			on_line(st, buf);
			memmove(buf, buf + len, n - len);
			n -= len;
		}
		if (n == sizeof(buf) - 1)
			n = 0; /* not a line of ours */
	}
}

/* What came late, what never came, and bytes nobody can account for. */
static void settle(struct st *st)
{
	for (int ms = 0; ms < GRACE_MS; ms += 50)
		(void)pump(st, -1, 50);
	for (unsigned int i = 0; i < osh_selftest_count; i++) {
		if (!(osh_selftest_attempts[i].flags & OSH_SELFTEST_INSIDE))
			continue;
		if (st->convicted[i])
			report(st, "sandbox, late", i, OSH_SELFTEST_OPEN, st->convicted[i]);
		else if (!st->reported[i])
			report(st, "sandbox", i, OSH_SELFTEST_OPEN, "no result");
	}
	result(st, st->strangers ? OSH_SELFTEST_OPEN : OSH_SELFTEST_CLOSED,
	       "sandbox: the forbidden listener", "%u times bytes of unknown origin",
	       st->strangers);
}

static int run_inside(struct st *st, char *why, size_t size)
{
	osh_auto_ctl_reply struct osh_ctl_reply reply = OSH_CTL_REPLY_NONE;
	osh_auto_ctl_client struct osh_ctl_client *client = NULL;
	osh_auto_bufmem struct osh_buf params;
	int r = listen_all(st);

	osh_buf_init(&params, 16384, 0);
	if (r == 0)
		r = osh_ctl_connect(st->plan->control_socket, &client);
	if (r < 0) {
		(void)snprintf(why, size, "cannot prepare: %s", strerror(-r));
		return r;
	}
	r = create_sandbox(st, client, why, size);
	if (r < 0)
		return r;
	r = install(st);
	if (r == 0)
		r = write_exec(st, &params);
	if (r < 0) {
		(void)snprintf(why, size, "cannot install the program: %s", strerror(-r));
		return r;
	}
	r = call(client, "Exec", &params, &reply, why, size);
	if (r < 0)
		return r;
	if (reply.fds[1] < 0) {
		(void)snprintf(why, size, "Exec: no output");
		return -EIO;
	}
	read_lines(st, reply.fds[1]);
	settle(st);
	return 0;
}

/* A child of its own: it changes its network namespace. */
static void run_fence(struct st *st, int cgroup_fd)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int r;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		r = osh_selftest_fence(cgroup_fd, report, st);
		if (r < 0)
			result(st, OSH_SELFTEST_OPEN, "fence: set-up", "%s", strerror(-r));
		_exit(r < 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid ||
	    (status && !(WIFEXITED(status) && WEXITSTATUS(status) == 1)))
		result(st, OSH_SELFTEST_OPEN, "fence: set-up", "ended early (status %#x)",
		       (unsigned int)status);
}

void osh_selftest_child(const struct osh_selftest_plan *plan, int cgroup_fd, int out)
{
	static struct st st; /* too large for the stack of a careful program */
	char why[256] = "";

	st = (struct st){ .plan = plan, .out = out };
	if (osh_selftest_count > ATTEMPTS_MAX)
		_exit(1);
	if (!plan->no_fence)
		run_fence(&st, cgroup_fd);
	if (run_inside(&st, why, sizeof(why)) < 0)
		result(&st, OSH_SELFTEST_OPEN, "sandbox: set-up", "%s", why);
	_exit(0);
}
