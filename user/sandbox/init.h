/* SPDX-License-Identifier: MIT */
/*
 * PID 1 of a sandbox: a small static program of its own (init/main.c), carried inside the daemon's
 * binary and executed from memory by osh_sandbox_spawn() in the new namespaces. Nothing of the
 * daemon is in its address space, and no loader or library of the host is needed to start it. It
 * builds the root, drops everything, confines itself, and only then serves exec requests until its
 * last breath.
 */
#ifndef OSH_SANDBOX_INIT_H
#define OSH_SANDBOX_INIT_H

#include <stdbool.h>

#include "base/macros.h"

#define OSH_INIT_ARGV0 "openshell-init"

/*
 * Descriptor of the carried program, made at the first call and kept; not the caller's to close.
 * -EACCES where vm.memfd_noexec forbids to execute from memory.
 */
int osh_init_program(int *ret_fd) OSH_MUST_CHECK;

/* main() was started by osh_sandbox_spawn() with this program as osh_sandbox_cfg.exe_fd. */
bool osh_init_is_role(int argc, char **argv);
/* The whole of init. Never returns before the sandbox ends; the result is for exit(). */
int osh_init_main(void);

#endif
