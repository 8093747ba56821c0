#!/bin/sh
# SPDX-License-Identifier: MIT
# Executable mappings of writable files are seen, whichever way to watch them the kernel offers.
exec "${OSH_BUILD:?}/tests/bpf/kt" watch
