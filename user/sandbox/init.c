/* SPDX-License-Identifier: MIT */
#include "sandbox/init.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/confine.h"
#include "sandbox/root.h"
#include "sandbox/session.h"
#include "sandbox/spec.h"

#define SPEC_ARENA_BYTES (256u * 1024)

bool osh_init_is_role(int argc, char **argv)
{
	return argc == 1 && argv[0] && strcmp(argv[0], OSH_INIT_ARGV0) == 0 && getpid() == 1;
}

/* What the daemon ignores or blocks must not be inherited by the agent's programs. */
static int reset_signals(void)
{
	/* the kernel's layout: libc refuses to touch 32 and 33, which posix_spawn() leaves ignored */
	const unsigned long dfl[4] = { 0 };
	sigset_t none;

	(void)sigemptyset(&none);
	for (int signo = 1; signo < NSIG; signo++)
		(void)syscall(SYS_rt_sigaction, signo, dfl, NULL,
			      (NSIG - 1) / 8); /* not KILL, STOP */
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

/* The mapping stays for the life of init: the specification borrows from it. */
static int read_spec(struct osh_arena *arena, struct osh_spec *ret_spec)
{
	struct stat st;
	void *map;

	if (fstat(OSH_SPEC_FD_SPEC, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || (uint64_t)st.st_size > OSH_SPEC_MAX)
		return -EBADMSG;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, OSH_SPEC_FD_SPEC, 0);
	if (map == MAP_FAILED)
		return -errno;
	return osh_spec_decode((struct osh_str){ map, (size_t)st.st_size }, arena, ret_spec);
}

/* Everything that needs root, then everything that takes it away. */
static int set_up(const struct osh_spec *spec, int status)
{
	struct osh_root root = { .spec = spec, .status_fd = status, .state_fd = OSH_SPEC_FD_STATE };
	int keep[3] = { status, OSH_SPEC_FD_LISTEN };
	unsigned int abi = 0;
	int ruleset = -1, r;

	r = osh_root_enter(&root);
	if (r == 0) {
		osh_report_send(status, OSH_REPORT_ROOTED, 0, NULL);
		r = osh_confine_prepare(status, spec);
	}
	if (r == 0)
		r = osh_root_landlock(&root, &abi, &ruleset);
	osh_root_fini(&root);
	if (r < 0)
		return r;
	keep[2] = ruleset;
	r = osh_confine_drop(status, spec, keep, ruleset < 0 ? 2 : 3);
	if (r == 0)
		r = osh_confine_lock(status, spec, ruleset);
	osh_close_ptr(&ruleset);
	if (r < 0)
		return r;
	osh_report_send(status, OSH_REPORT_CONFINED, 0, NULL);
	osh_report_send(status, OSH_REPORT_READY, (int)abi, NULL);
	return 0;
}

/* The caller registers the sandbox with the kernel fence meanwhile; without it nothing runs. */
static int wait_for_release(int status)
{
	ssize_t n;
	char go;

	do
		n = recv(status, &go, sizeof(go), 0);
	while (n < 0 && errno == EINTR);
	return n == 1 && go == 'g' ? 0 : -ECONNRESET;
}

int osh_init_main(void)
{
	int status = OSH_SPEC_FD_STATUS;
	struct osh_spec spec = { 0 };
	struct osh_arena arena;
	int r;

	/* the root is for the sandbox to see, whatever umask the service gave the daemon */
	(void)umask(022);
	osh_report_send(status, OSH_REPORT_ENTERED, 0, NULL);
	osh_arena_init(&arena, SPEC_ARENA_BYTES);
	r = reset_signals();
	if (r == 0)
		r = read_spec(&arena, &spec);
	if (r < 0) {
		(void)osh_report_fail(status, r, "specification", NULL);
		return 1;
	}
	if (set_up(&spec, status) < 0)
		return 1;
	if (wait_for_release(status) < 0)
		return 1;
	osh_close_ptr(&status);
	(void)osh_session_serve(OSH_SPEC_FD_LISTEN); /* nobody is left to tell */
	return 1;
}
