#!/bin/sh
# SPDX-License-Identifier: MIT
# A file changed a moment ago: no two runs of it share an identity, and it is hashed only while it runs.
exec "${OSH_BUILD:?}/tests/bpf/kt" fresh
