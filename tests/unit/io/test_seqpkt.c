/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/seqpkt.h"

static _Alignas(8) char buf[OSH_SEQPKT_MAX_BYTES + sizeof(struct osh_seqpkt_hdr)];

static void body_and_descriptors_arrive(void **state)
{
	struct osh_seqpkt_msg msg;
	int s[2], p[2];
	char c = 0;

	(void)state;
	assert_int_equal(osh_seqpkt_pair(s), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(osh_seqpkt_send(s[0], 7, 42, "hello", 5, &p[1], 1), 0);
	assert_int_equal(osh_seqpkt_recv(s[1], buf, sizeof(buf), &msg), 0);
	assert_int_equal(msg.hdr.type, 7);
	assert_int_equal(msg.hdr.cookie, 42);
	assert_memory_equal(msg.body, "hello", 5);
	assert_int_equal(msg.fd_count, 1);
	assert_int_equal(write(msg.fds[0], "x", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	osh_seqpkt_msg_close(&msg);
	assert_int_equal(osh_seqpkt_recv(s[1], buf, sizeof(buf), &msg), -EAGAIN);
	close(s[0]);
	assert_int_equal(osh_seqpkt_recv(s[1], buf, sizeof(buf), &msg), -ECONNRESET);
	close(s[1]), close(p[0]), close(p[1]);
}

static void a_wrong_length_is_refused(void **state)
{
	struct osh_seqpkt_hdr hdr = { .type = 1, .len = 100 };
	struct osh_seqpkt_msg msg;
	int s[2];

	(void)state;
	assert_int_equal(osh_seqpkt_pair(s), 0);
	assert_int_equal(send(s[0], &hdr, sizeof(hdr), 0), sizeof(hdr));
	assert_int_equal(osh_seqpkt_recv(s[1], buf, sizeof(buf), &msg), -EBADMSG);
	assert_int_equal(send(s[0], "abc", 3, 0), 3);
	assert_int_equal(osh_seqpkt_recv(s[1], buf, sizeof(buf), &msg), -EBADMSG);
	assert_int_equal(osh_seqpkt_send(s[0], 1, 0, buf, OSH_SEQPKT_MAX_BYTES + 1, NULL, 0),
			 -EMSGSIZE);
	close(s[0]), close(s[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_and_descriptors_arrive),
		cmocka_unit_test(a_wrong_length_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
