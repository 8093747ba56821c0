#!/bin/sh
# SPDX-License-Identifier: MIT
# Unix sockets of the host in sight of a sandbox, reached or not as the kernel allows; its own always.
exec "${OSH_BUILD:?}/tests/bpf/kt" unix
