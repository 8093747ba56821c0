#!/bin/sh
# SPDX-License-Identifier: MIT
# PR_SET_MM, ptrace, exec by a thread, long chains, extension headers.
exec "${OSH_BUILD:?}/tests/bpf/kt" cheats
