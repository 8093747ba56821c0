/* SPDX-License-Identifier: MIT */
/*
 * The policy's binary: the program that may talk to id_port. Identity attempts start it, or something
 * that pretends to be it, in every way they can think of, and look whether the listener answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/str.h"
#include "selftest/attempt.h"

static int number(const char *text, uint64_t max, uint64_t *ret_value)
{
	return osh_parse_u64(osh_str(text), max, ret_value);
}

/* Run code from @path in this process: a private executable mapping. */
static int map_code(const char *path)
{
	osh_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -errno
											 : 0;
}

/* Ask the proxy at the other end of @fd for our destination. */
static int ask_proxy(int fd, const char *host, uint64_t port)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "CONNECT %s:%u HTTP/1.1\r\nHost: %s\r\n\r\n", host,
			 (unsigned int)port, host);

	if (n <= 0 || n >= (int)sizeof(text) || osh_st_send(fd, text, (size_t)n) < 0)
		return -EPIPE;
	return osh_st_status(fd) == 200 ? 0 : -EACCES;
}

/* fetch HOST PORT INDEX [map PATH | fd N | proxy N | wait] */
int osh_st_fetch_main(int argc, char **argv)
{
	struct osh_selftest_env env = { .inside = true };
	const char *how = argc > 5 ? argv[5] : "";
	osh_auto_close int fd = -1;
	uint64_t port, index, inherited;

	if (argc < 5 || number(argv[3], 65535, &port) < 0 || number(argv[4], 9999, &index) < 0)
		return 2;
	env.host = argv[2];
	env.index = (unsigned int)index;
	if (!strcmp(how, "wait")) { /* a victim: lives until its pipe closes */
		char c;

		(void)!write(1, "r", 1); /* whoever waits for it notices */
		(void)!read(0, &c, 1);
		return 0;
	}
	if (!strcmp(how, "map") && (argc < 7 || map_code(argv[6]) < 0))
		return 2;
	if ((!strcmp(how, "fd") || !strcmp(how, "proxy")) && argc > 6 &&
	    number(argv[6], 1023, &inherited) == 0)
		fd = (int)inherited;
	else
		fd = osh_st_dial(&env, (uint16_t)port);
	if (fd < 0 || (!strcmp(how, "proxy") && ask_proxy(fd, env.host, port) < 0))
		return 1;
	return osh_st_talk(&env, fd) ? 0 : 1;
}
