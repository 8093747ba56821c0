#!/bin/sh
# SPDX-License-Identifier: MIT
# Equal inode and times do not make equal content: tmpfs, overlayfs, and a disk where they do.
exec "${OSH_BUILD:?}/tests/bpf/kt" content
