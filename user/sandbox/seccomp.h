/* SPDX-License-Identifier: MIT */
/*
 * The sandbox's system call filter as a BPF blob: the reference's list, socket families and protocols
 * by allow-list, foreign ABIs killed. Built once by the monitor, loaded by every init (confine.c).
 */
#ifndef OSH_SANDBOX_SECCOMP_H
#define OSH_SANDBOX_SECCOMP_H

#include "base/str.h"

#define OSH_SECCOMP_MAX 4096u /* instructions; the kernel takes no longer program */

/* Array of struct sock_filter; lives as long as the process, not thread-safe. -errno of libseccomp. */
int osh_seccomp_blob(struct osh_str *ret_blob) OSH_MUST_CHECK;

#endif
