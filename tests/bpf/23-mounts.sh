#!/bin/sh
# SPDX-License-Identifier: MIT
# Identity through bind mounts and overlays.
exec "${OSH_BUILD:?}/tests/bpf/kt" mounts
