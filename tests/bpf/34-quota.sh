#!/bin/sh
# SPDX-License-Identifier: MIT
# A sandbox with too many executables harms only itself.
exec "${OSH_BUILD:?}/tests/bpf/kt" quota
