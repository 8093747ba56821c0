/* SPDX-License-Identifier: MIT */
/*
 * The proxy and signer roles for measurements: prints "PORT CAFILE PROXY-PID SIGNER-PID", then waits
 * for end of file on its input. Arguments: policy file, upstream CA (PEM), JSON configuration, CPU
 * for both, and how many descriptors the proxy shall believe that it has (0: what is true).
 */
#include "../wire/harness.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static rlim_t files;

/*
 * Instead of libc's: the proxy reckons with two descriptors for each connection and keeps a third from
 * any one sandbox. An idle inspected connection needs one, and here is only one sandbox.
 */
int getrlimit(__rlimit_resource_t what, struct rlimit *ret)
{
	int r = (int)syscall(SYS_prlimit64, 0, what, NULL, ret);

	if (r == 0 && what == RLIMIT_NOFILE && files)
		ret->rlim_cur = files;
	return r;
}

int main(int argc, char **argv)
{
	struct harness *h;
	cpu_set_t set;
	char byte;

	if (argc != 6)
		die("usage: px_serve POLICY UPSTREAM-CA CONFIG CPU FILES");
	files = strtoul(argv[5], NULL, 10);
	harness_trust_file(argv[2]);
	h = harness_start(argv[3]);
	CPU_ZERO(&set);
	CPU_SET(strtoul(argv[4], NULL, 10), &set);
	if (sched_setaffinity(harness_proxy_pid(h), sizeof(set), &set) < 0 ||
	    sched_setaffinity(harness_signer_pid(h), sizeof(set), &set) < 0)
		die("cannot pin the proxy");
	harness_policy(h, argv[1]);
	harness_events_discard(h);
	printf("%u %s %d %d\n", harness_port(h), harness_ca_file(h), harness_proxy_pid(h),
	       harness_signer_pid(h));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	harness_stop(h);
	return 0;
}
