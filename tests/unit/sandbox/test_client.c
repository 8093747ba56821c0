/* SPDX-License-Identifier: MIT */
/* The monitor's side against an init that lies, and requests that must not be sent. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "sandbox/client.h"
#include "sandbox/proto.h"

static int pair[2]; /* ours, init's */

static int set_up(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state)
{
	(void)state;
	(void)close(pair[0]);
	(void)close(pair[1]);
	return 0;
}

static void answer(const void *data, size_t n, const int *fds, size_t count)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), fds, count * sizeof(int));
	}
	assert_int_equal(sendmsg(pair[1], &msg, 0), n);
}

/* The lowest free descriptor tells whether one was leaked. */
static int next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)close(fd);
	return fd;
}

static void lies_are_refused_and_leak_nothing(void **state)
{
	const struct osh_proto_event good = { .type = OSH_PROTO_EVENT,
					      .event = OSH_INIT_EVENT_STARTED,
					      .pid = 7 };
	struct osh_proto_event lie;
	struct osh_init_event ev;
	int before, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int many[8] = { null, null, null, null, null, null, null, null };

	(void)state;
	before = next_fd();
	answer(&good, sizeof(good) - 1, NULL, 0);
	assert_int_equal(osh_init_read(pair[0], &ev), -EBADMSG);
	answer((const char[200]){ 0 }, 200, NULL, 0);
	assert_int_equal(osh_init_read(pair[0], &ev), -EBADMSG);
	answer(&good, sizeof(good), &null, 1); /* not a terminal */
	assert_int_equal(osh_init_read(pair[0], &ev), -EBADMSG);
	answer(&good, sizeof(good), many, 2);
	assert_int_equal(osh_init_read(pair[0], &ev), -EBADMSG);
	answer(&good, sizeof(good), many, 8);
	assert_int_equal(osh_init_read(pair[0], &ev), -EBADMSG);
	for (unsigned int i = 0; i < 10; i++) {
		lie = good;
		switch (i) {
		case 0:
			lie.type = 99;
			break;
		case 1:
			lie.event = 0;
			break;
		case 2:
			lie.event = 77;
			break;
		case 3:
			lie.pid = 0;
			break;
		case 4:
			lie.step = OSH_PROTO_STEP_END;
			break;
		case 5:
			lie.event = OSH_INIT_EVENT_FAILED; /* without an error */
			break;
		case 6:
			lie.event = OSH_INIT_EVENT_FAILED;
			lie.err = 5000;
			break;
		case 7:
			lie.event = OSH_INIT_EVENT_EXITED;
			lie.code = 256;
			break;
		case 8:
			lie.event = OSH_INIT_EVENT_EXITED;
			lie.signo = -1;
			break;
		case 9:
			lie.event = OSH_INIT_EVENT_EXITED;
			lie.code = -1;
			break;
		default:
			break;
		}
		answer(&lie, sizeof(lie), i % 2 ? &null : NULL, i % 2);
		assert_int_equal(osh_init_read(pair[0], &ev), -EBADMSG);
	}
	assert_int_equal(next_fd(), before);
	assert_int_equal(osh_init_read(pair[0], &ev), -EAGAIN);
	answer(&good, sizeof(good), NULL, 0);
	assert_int_equal(osh_init_read(pair[0], &ev), 0);
	assert_int_equal(ev.pid, 7);
	assert_int_equal(ev.pty_fd, -1);
	(void)close(null);
}

static void a_master_is_taken(void **state)
{
	const struct osh_proto_event good = { .type = OSH_PROTO_EVENT,
					      .event = OSH_INIT_EVENT_STARTED,
					      .pid = 7 };
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct osh_init_event ev;

	(void)state;
	assert_true(master >= 0);
	answer(&good, sizeof(good), &master, 1);
	assert_int_equal(osh_init_read(pair[0], &ev), 0);
	assert_true(ev.pty_fd >= 0);
	(void)close(ev.pty_fd);
	(void)close(master);
}

static void requests_have_limits(void **state)
{
	const char *none[] = { NULL }, *empty[] = { "", NULL }, *fine[] = { "true", NULL };
	static char huge[OSH_INIT_REQUEST_MAX];
	const char *big[] = { "echo", huge, NULL };
	struct osh_init_exec req = { .argv = none, .env = none, .stdio = { -1, -1, -1 } };
	struct osh_proto_exec head;
	char buf[4096];

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	assert_int_equal(osh_init_exec_start(pair[0], &req), -EINVAL);
	req.argv = empty;
	assert_int_equal(osh_init_exec_start(pair[0], &req), -EINVAL);
	req.argv = big;
	assert_int_equal(osh_init_exec_start(pair[0], &req), -E2BIG);
	req.argv = fine;
	req.tty = true;
	req.cwd = "/tmp";
	assert_int_equal(osh_init_exec_start(pair[0], &req), 0);
	assert_int_equal(recv(pair[1], buf, sizeof(buf), 0), sizeof(head) + 10);
	memcpy(&head, buf, sizeof(head));
	assert_int_equal(head.bytes, 10);
	assert_int_equal(head.rows, 24);
	assert_memory_equal(buf + sizeof(head), "/tmp\0true\0", 10);
	assert_int_equal(osh_init_signal(pair[0], 0), -EINVAL);
	assert_int_equal(osh_init_signal(pair[0], 65), -EINVAL);
}

static void named_pipes_and_terminals_stay_out(void **state)
{
	const char *argv[] = { "true", NULL };
	char dir[] = "/tmp/osh-fifo-XXXXXX", path[64];
	struct osh_init_exec req = { .argv = argv, .stdio = { -1, -1, -1 }, .uid = getuid() };
	int fifo, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	fifo = open(path, O_RDWR | O_CLOEXEC);
	req.stdio[0] = fifo;
	assert_int_equal(osh_init_exec_start(pair[0], &req), -EINVAL);
	req.stdio[0] = master;
	assert_int_equal(osh_init_exec_start(pair[0], &req), -EINVAL);
	req.stdio[0] = -1;
	assert_int_equal(osh_init_exec_start(pair[0], &req), 0);
	(void)close(fifo);
	(void)close(master);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lies_are_refused_and_leak_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_master_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(requests_have_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(named_pipes_and_terminals_stay_out, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
