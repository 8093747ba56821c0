#!/bin/sh
# SPDX-License-Identifier: MIT
# Tables and rings that sandboxes share: one that takes all it can get does not harm another.
exec "${OSH_BUILD:?}/tests/bpf/kt" shares
