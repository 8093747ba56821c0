/* SPDX-License-Identifier: MIT */
/* The files of /etc (and of a new home) that every sandbox gets from us. */
#ifndef OSH_SANDBOX_ETCFILES_H
#define OSH_SANDBOX_ETCFILES_H

#include "sandbox/spec.h"

/*
 * Write resolv.conf, hosts, hostname, passwd, group and, with a CA, openshell-tls/ and the bundle
 * that takes the place of the system's, below the directory @etc_fd. *ret_what names the file that
 * failed.
 */
int osh_etc_write(int etc_fd, const struct osh_spec *spec, const char **ret_what) OSH_MUST_CHECK;
/* First contents of a home that has just been made; the files belong to the sandbox's user. */
int osh_etc_seed_home(int home_fd, const struct osh_sandbox_ids *ids) OSH_MUST_CHECK;

#endif
