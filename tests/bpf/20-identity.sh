#!/bin/sh
# SPDX-License-Identifier: MIT
# Identity: fork, exec, orphans, hard links, renames, deleted files, memory files, threads.
exec "${OSH_BUILD:?}/tests/bpf/kt" identity
