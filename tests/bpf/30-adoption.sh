#!/bin/sh
# SPDX-License-Identifier: MIT
# Without a daemon the fence stands and connections wait; the next one adopts all of it.
exec "${OSH_BUILD:?}/tests/bpf/kt" adoption
