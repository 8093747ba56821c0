#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs, maps and links can be listed and dumped.
exec "${OSH_BUILD:?}/tests/bpf/kt" inspect
