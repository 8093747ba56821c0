/* SPDX-License-Identifier: Dual MIT/GPL */
/* Settings the daemon writes before loading, and the one variable programs share. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

const volatile __u32 osh_cfg_deny_errno = 111; /* ECONNREFUSED */
const volatile __u16 osh_cfg_explicit_port = 3128; /* host order */

/* System call numbers of the loading architecture, for taint.bpf.c. */
const volatile __u32 osh_cfg_nr_mmap = 0;
const volatile __u32 osh_cfg_nr_mprotect = 0;
const volatile __u32 osh_cfg_nr_pkey = 0;

/* FMODE_BACKING of the running kernel: no part of its type information. */
const volatile __u32 osh_cfg_fmode_backing = 1u << 24;

/* When a reader was last woken; a lost update costs one wake-up more. */
__u64 osh_last_wake_ns = 0;
