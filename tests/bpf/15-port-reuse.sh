#!/bin/sh
# SPDX-License-Identifier: MIT
# Reused ports, resets and abandoned connects: no record is wrong, none is missing.
exec "${OSH_BUILD:?}/tests/bpf/kt" reuse
