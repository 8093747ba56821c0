#!/bin/sh
# SPDX-License-Identifier: MIT
# What must not leave: own ports, protocols, datagrams, binds, socket options, strangers' namespaces.
exec "${OSH_BUILD:?}/tests/bpf/kt" denials
