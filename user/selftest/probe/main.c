/* SPDX-License-Identifier: MIT */
/*
 * The program of the self-test inside the sandbox. As "probe" it runs every attempt and prints one
 * line for each, "INDEX STATE DETAIL"; as "fetch" it is the policy's binary (fetch.c).
 *
 *	probe run HOST RAW-PORT HTTP-PORT ID-PORT FORBIDDEN-PORT ABSTRACT CONTROL-SOCKET STATE-DIR
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "selftest/attempt.h"

static int port(const char *text, uint16_t *ret_port)
{
	uint64_t v;

	if (osh_parse_u64(osh_str(text), 65535, &v) < 0)
		return -1;
	*ret_port = (uint16_t)v;
	return 0;
}

int main(int argc, char **argv)
{
	struct osh_selftest_env env = { .inside = true };

	if (argc > 1 && !strcmp(argv[1], "fetch"))
		return osh_st_fetch_main(argc, argv);
	if (argc > 3 && !strcmp(argv[1], "script")) /* probe script SCRIPT fetch ... */
		return osh_st_fetch_main(argc - 2, argv + 2);
	if (argc != 10 || strcmp(argv[1], "run") || port(argv[3], &env.raw_port) < 0 ||
	    port(argv[4], &env.http_port) < 0 || port(argv[5], &env.id_port) < 0 ||
	    port(argv[6], &env.forbidden_port) < 0)
		return 2;
	env.host = argv[2];
	env.abstract = argv[7];
	env.control_socket = argv[8];
	env.state_dir = argv[9];
	for (env.index = 0; env.index < osh_selftest_count; env.index++) {
		char detail[OSH_SELFTEST_DETAIL] = "";
		enum osh_selftest_state state;

		if (!(osh_selftest_attempts[env.index].flags & OSH_SELFTEST_INSIDE))
			continue;
		state = osh_selftest_run(&env, detail);
		(void)printf("%u %d %s\n", env.index, state, detail);
		if (fflush(stdout))
			return 1;
	}
	return 0;
}
