#!/bin/sh
# SPDX-License-Identifier: MIT
# A program whose loader lies in a writable place is tainted from the start.
exec "${OSH_BUILD:?}/tests/bpf/kt" loader
