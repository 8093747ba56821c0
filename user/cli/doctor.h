/* SPDX-License-Identifier: MIT */
/* Printing checks: {name, status: ok|warn|fail, detail, hint?}. */
#ifndef OSH_CLI_DOCTOR_H
#define OSH_CLI_DOCTOR_H

#include "base/json.h"
#include "cli/cmd.h"

/*
 * What can be checked without the daemon, as [check...] appended to @j; @r is why it cannot be asked. Loads small BPF programs to
 * see whether the kernel takes them; attaches nothing.
 */
void osh_checks_write(struct osh_cli *cli, int r, struct osh_json *j);

#endif
