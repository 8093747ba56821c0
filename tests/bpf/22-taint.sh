#!/bin/sh
# SPDX-License-Identifier: MIT
# LD_PRELOAD, LD_LIBRARY_PATH and executable mappings of writable files taint.
exec "${OSH_BUILD:?}/tests/bpf/kt" taint
