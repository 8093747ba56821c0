#!/bin/bash
# The state is lost (or another one is used) while sandboxes run: what runs in them is ended, the kernel
# forgets them, and new sandboxes, which get the same numbers, start and work.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
net='  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
for n in one two; do
	sandbox $n "$net"
	openshell sandbox exec -n $n --no-tty -- sh -c 'echo $$ >/sandbox/pid; exec sleep 1000' </dev/null >/dev/null 2>&1 &
	until_ok in_box $n test -s /sandbox/pid || die "nothing runs in $n"
done
cgroups=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG/sandboxes
old=$(cat "$cgroups"/one/cgroup.procs "$cgroups"/one/*/cgroup.procs 2>/dev/null | head -1)
check "something runs in it" test -n "$old"
kill "$DAEMON"; wait "$DAEMON" 2>/dev/null
check "it lives on without the daemon" kill -0 "$old"
mv "$W/state" "$W/lost"
daemon_start
check "the daemon knows no sandbox" is "$(openshell sandbox list --names)" ''
check "what ran in the old ones has ended" until_ok eval '! kill -0 "$old"'
check "their cgroups go" until_ok eval "! test -d $cgroups/one && ! test -d $cgroups/two"
check "the kernel has forgotten them" is "$(openshell bpf map -o json | $PY -c 'import json,sys; print([m["entries"] for m in json.load(sys.stdin) if m["name"] == "osh_sandboxes"])')" "['0']"
check "that is said" has 'of the kernel'\''s tables: the state does not know it' "$W/openshelld.log"
sandbox three "$net"
check "a new one works" is "$(in_box three curl -s -o /dev/null -w '%{http_code}' https://api.test/zen)" 200
check "and obeys" is "$(in_box three curl -s -o /dev/null -w '%{http_code}' -X POST -d x https://api.test/zen)" 403
# and one that is known is not forgotten
kill "$DAEMON"; wait "$DAEMON" 2>/dev/null
daemon_start
check "adopted by the next" until_ok grep -q 'sandbox "three" adopted' "$W/openshelld.log"
check "it works on" is "$(in_box three curl -s -o /dev/null -w '%{http_code}' https://api.test/zen)" 200
