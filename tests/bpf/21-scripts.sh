#!/bin/sh
# SPDX-License-Identifier: MIT
# The script behind an interpreter is known.
exec "${OSH_BUILD:?}/tests/bpf/kt" scripts
