#!/bin/sh
# SPDX-License-Identifier: MIT
# No decision mixes two generations while thousands connect and the policy is replaced all the time.
exec "${OSH_BUILD:?}/tests/bpf/kt" swap
