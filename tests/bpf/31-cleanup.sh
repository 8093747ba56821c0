#!/bin/sh
# SPDX-License-Identifier: MIT
# Removing a sandbox leaves nothing, and no anomaly counter moved.
exec "${OSH_BUILD:?}/tests/bpf/kt" cleanup
