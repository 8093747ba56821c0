/* SPDX-License-Identifier: MIT */
/*
 * PID 1 of a sandbox. osh_sandbox_spawn() executes the daemon's own binary in the new namespaces; it
 * comes here, builds the root, drops everything, confines itself, and only then serves exec requests
 * until its last breath. Needs no file of the sandbox and trusts nothing in it.
 */
#ifndef OSH_SANDBOX_INIT_H
#define OSH_SANDBOX_INIT_H

#include <stdbool.h>

#define OSH_INIT_ARGV0 "openshell-init"

/* True when main() was started as init: argv[0] is OSH_INIT_ARGV0 and this is PID 1. */
bool osh_init_is_role(int argc, char **argv);
/* Never returns before the sandbox ends; the result is for exit(). */
int osh_init_main(void);

#endif
