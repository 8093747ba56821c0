#!/bin/sh
# SPDX-License-Identifier: MIT
# Every way to connect arrives at the listener with a correct record and a truthful peer name.
exec "${OSH_BUILD:?}/tests/bpf/kt" redirect
