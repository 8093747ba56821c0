#!/bin/sh
# SPDX-License-Identifier: MIT
# The kernel policy denies at connect() what no entry allows, and nothing it does not know.
exec "${OSH_BUILD:?}/tests/bpf/kt" policy
