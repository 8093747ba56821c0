/* SPDX-License-Identifier: MIT */
/*
 * What the CLI tests share: a server of canned answers in a child process, and running openshellctl
 * against it. Include after cmocka.
 */
#ifndef TESTS_UNIT_CLI_FAKE_H
#define TESTS_UNIT_CLI_FAKE_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* What the server saw last, and how it is to behave. */
struct fake_shared {
	char method[64];
	char params[65536];
	char mode[32];
	unsigned int signals;
};

extern struct fake_shared *sh;
extern char dir[64], exe[4200];
extern pid_t server_pid;
extern char out[1 << 18], err[1 << 16]; /* of the last run */

int fake_setup(void **state);
int fake_teardown(void **state);
void server_start(void);
/* Choose the server's behaviour and forget what it saw. */
void set_mode(const char *name);
/* Words are split at blanks; [a b] is one word. The exit code; -signal when killed. */
int run(const char *command);
int run_in(const char *input, size_t input_len, const char *command);
void write_file(const char *name, const char *text);
size_t slurp(int fd, char *dst, size_t size);
/* Read until @want was seen; everything seen so far is in `out`. */
void expect_on(int fd, const char *want);

#define RUN(code, command)                                                     \
	do {                                                                   \
		int rc_ = run(command);                                        \
		if (rc_ != (code))                                             \
			print_message("%s: %d\n%s%s", command, rc_, out, err); \
		assert_int_equal(rc_, code);                                   \
	} while (0)

#endif
