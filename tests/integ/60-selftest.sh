#!/bin/bash
# The red team built in: every way out that can be tried here is closed, what is permitted works, and
# nothing of it is left behind. A daemon without other sandboxes, then one with a busy one.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
openshellctl selftest >"$W/card" 2>"$W/err"; rc=$?
grep -v '^  closed' "$W/card"; cat "$W/err"
[ -n "${CARD:-}" ] && cp "$W/card" "$CARD" # to look at
check "exit code" is $rc 0
check "nothing is open" has_not '  OPEN' "$W/card"
check "at least a hundred attempts" test "$(grep -c '^  closed' "$W/card")" -ge 100
check "the totals are of what was printed" has "$(grep -c '^  closed' "$W/card") closed, 0 open, $(grep -c '^  n/a' "$W/card") not tried" "$W/card"
for control in 'fence control: observer' 'sandbox: permitted name by TCP' 'sandbox: permitted name by CONNECT' \
	'sandbox: permitted request' 'sandbox: permitted name by DNS' 'sandbox: permitted binary' \
	'sandbox: first use of a writable binary' 'sandbox: the forbidden listener'; do
	check "control: $control" has "  closed  $control" "$W/card"
done
openshell sandbox list >"$W/out"
check "its sandbox is gone" has_not selftest "$W/out"
cg=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG
check "its cgroup too" eval '! ls "$cg/sandboxes" | grep -qi selftest'
check "its files too" eval '! ls "$W/state/sandboxes" | grep -q selftest'
in_box box curl -sS https://api.test/zen >"$W/out" 2>&1
check "the other sandbox was not disturbed" has 'Anything added' "$W/out"
timeout -s INT 4 openshellctl selftest >"$W/out" 2>&1
no_trace() { ! openshell sandbox list | grep -q selftest && ! ls "$cg/sandboxes" | grep -qi selftest && ! ls "$W/state/sandboxes" | grep -q selftest; }
check "an interrupted one is cleaned up as well" until_ok no_trace
check "no child of it is left" until_ok eval '! pgrep -f "^$BUILD/openshelld -c" -P "$DAEMON"'
