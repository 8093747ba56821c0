#!/bin/sh
# SPDX-License-Identifier: MIT
# No identity, an unknown namespace, another sandbox's namespace: denied, each with its reason.
exec "${OSH_BUILD:?}/tests/bpf/kt" strangers
