#!/bin/sh
# SPDX-License-Identifier: MIT
# Datagrams to port 53 reach our DNS, the answer comes from whom was asked, the asker is known.
exec "${OSH_BUILD:?}/tests/bpf/kt" dns
