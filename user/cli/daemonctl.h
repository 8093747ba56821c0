/* SPDX-License-Identifier: MIT */
/* The daemon's program: finding, starting and asking it. */
#ifndef OSH_CLI_DAEMONCTL_H
#define OSH_CLI_DAEMONCTL_H

#include "base/json.h"
#include "cli/cmd.h"

/* Run `openshelld --doctor` and parse the JSON object it prints. Exit code after a message. */
int osh_daemon_doctor(struct osh_cli *cli, const char *what,
		      struct osh_jval **ret_value) OSH_MUST_CHECK;

#endif
