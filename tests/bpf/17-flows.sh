#!/bin/sh
# SPDX-License-Identifier: MIT
# Records on their way to the daemon: bound to their connection, had once, never left behind.
exec "${OSH_BUILD:?}/tests/bpf/kt" flows
