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
check "as root nothing of the fence is left out for want of privileges" eval '! grep "^  n/a *fence" "$W/card" | grep -v "routing header"'

# a global policy is no reason not to, and does not apply to it
policy_file '' >"$W/global.yaml"
openshell policy set --global --policy "$W/global.yaml" --yes >/dev/null 2>&1 || die "no global policy"
openshellctl selftest >"$W/card" 2>&1; rc=$?
grep '  OPEN' "$W/card"
check "with a global policy too" is $rc 0
check "it tried as much" test "$(grep -c '^  closed' "$W/card")" -ge 100
openshell policy delete --global --yes >/dev/null 2>&1
openshell sandbox create --name selftest-0a1b2c --policy "$W/box.yaml" </dev/null >"$W/out" 2>&1 && die "its names are for everybody"
check "its names are reserved" has "self-test's" "$W/out"

timeout -s INT 4 openshellctl selftest >"$W/out" 2>&1
no_trace() { ! openshell sandbox list | grep -q selftest && ! ls "$cg/sandboxes" | grep -qi selftest && ! ls "$W/state/sandboxes" | grep -q selftest; }
check "an interrupted one is cleaned up as well" until_ok no_trace
check "no child of it is left" until_ok eval '! pgrep -f "^$BUILD/openshelld -c" -P "$DAEMON"'

# the daemon killed in the middle: the next one removes what is left
openshellctl selftest >"$W/out" 2>&1 & CARD_PID=$!
in_the_middle() { openshell sandbox list | grep -q 'selftest-.*Ready' && grep -q 'sandbox: ' "$W/out"; }
check "in the middle" until_ok in_the_middle
daemon_kill; wait "$CARD_PID"
ls -d "$cg"/sandboxes/selftest-* >/dev/null || die "nothing was left to remove"
daemon_start
check "a new daemon removes an interrupted self-test" until_ok no_trace
check "and its processes" eval '! pgrep -f /sandbox/st/'
in_box box curl -sS https://api.test/zen >"$W/out" 2>&1
check "and disturbs no other" has 'Anything added' "$W/out"
