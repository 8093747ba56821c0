#!/bin/sh
# SPDX-License-Identifier: MIT
# Sandbox cgroups: make, list, move, kill, wait, remove.
exec "${OSH_BUILD:?}/tests/bpf/kt" cgroups
