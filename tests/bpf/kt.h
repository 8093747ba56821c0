/* SPDX-License-Identifier: MIT */
/*
 * Kernel test harness: a daemon's cgroups, pins and fence of its own (named after the process id), a
 * sandbox that is a network namespace and a cgroup, listeners, and client processes in it. The
 * clients are this same program ("kt client ...") so that nothing else need be installed.
 */
#ifndef OSH_TESTS_BPF_KT_H
#define OSH_TESTS_BPF_KT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kern/kern.h"
#include "sys/cgroup.h"
#include "sys/flow.h"

struct kt_sandbox {
	char name[32];
	uint32_t id;
	int netns_fd, cgroup_fd;
	uint64_t cookie;
	int tcp4, tcp6, dns4, dns6; /* listeners */
	struct osh_kern_sandbox k;
};

struct kt {
	struct osh_cgroup cg;
	struct osh_kern *kern;
	char pin_dir[96];
	char tmp[64]; /* private directory, removed at the end */
	struct osh_kern_opts opts;
	unsigned int sandboxes;
};

/* What a "reuse" client says about its own connection. */
struct kt_claim {
	uint32_t ip_be;
	uint32_t port;
	uint32_t tgid;
};

extern unsigned int kt_failures;

#define CHECK(cond)                                                                         \
	do {                                                                                \
		if (!(cond)) {                                                              \
			printf("%s:%d: failed: %s (errno %s)\n", __FILE__, __LINE__, #cond, \
			       strerror(errno));                                            \
			kt_failures++;                                                      \
		}                                                                           \
	} while (0)
/* For what later steps need. */
#define NEED(cond)               \
	do {                     \
		CHECK(cond);     \
		if (kt_failures) \
			return;  \
	} while (0)

/*
 * Run @fn with a struct kt set up, in a child: however it ends (a crash, a signal to us), its
 * processes, cgroups and directory are removed. Result: exit status.
 */
int kt_main(void (*fn)(struct kt *kt));
int kt_setup(struct kt *kt);
void kt_teardown(struct kt *kt);
/* Close and open the kern object again, as a restarted daemon would. */
int kt_restart(struct kt *kt);
int kt_sandbox_make(struct kt *kt, struct kt_sandbox *sb);
void kt_sandbox_drop(struct kt *kt, struct kt_sandbox *sb);
/* Publish "everything to the proxy". */
int kt_publish_all(struct kt *kt, struct kt_sandbox *sb, uint64_t generation);

/* Start a program inside the sandbox; its stdout comes from *ret_out. Result: pid. */
pid_t kt_spawn(struct kt *kt, struct kt_sandbox *sb, char *const argv[], char *const envp[],
	       int *ret_out);
/* Run to the end; output (at most @size - 1 bytes) into @out; result: exit status. */
int kt_run(struct kt *kt, struct kt_sandbox *sb, char *const argv[], char *out, size_t size);
/* The same for "kt client ARGS": blank-separated. */
int kt_client(struct kt *kt, struct kt_sandbox *sb, const char *args, char *out, size_t size);
/* accept() with a deadline of 5 s; -1: none. */
int kt_accept(int listener);
const char *kt_self(void);

int kt_client_main(int argc, char **argv);

#endif
