#!/bin/bash
# kill -9 a proxy or the signer while sandboxes are talking: the dead one comes back, nothing gets out
# meanwhile, the others and the sandbox go on.
. "$(dirname "$0")/lib.sh"
origin api.test
CONFIG_MORE='workers: 2'
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
in_box box sleep 600 & SLEEPER=$!
role_pids() { pgrep -P "$DAEMON" -f "^openshelld: $1"; }
get() { in_box box curl -sS --max-time 10 https://api.test/zen; }
check "before" test "$(get)" = 'Anything added dilutes everything else.'
for role in proxy signer; do
	before=$(role_pids $role | sort | tr '\n' ' ')
	victim=${before%% *}
	kill -9 "$victim"
	check "$role: comes back" until_ok eval '[ "$(role_pids '$role' | wc -l)" = '"$(echo $before | wc -w)"' ] && ! role_pids '$role' | grep -qx '"$victim"
	check "$role: traffic goes on" until_ok eval '[ "$(get)" = "Anything added dilutes everything else." ]'
	in_box box curl -sS -X POST -d x https://api.test/x >"$W/out" 2>&1
	check "$role: rules still hold" has 'not permitted by policy' "$W/out"
done
check "the sandbox's processes went on" kill -0 $SLEEPER
# all roles dead and kept dead for a moment: no egress
pkill -STOP -P "$DAEMON" -f '^openshelld: ' 2>/dev/null
in_box box curl -sS --max-time 2 https://api.test/zen >"$W/out" 2>&1
check "no proxy, no egress" has_not 'Anything added' "$W/out"
pkill -CONT -P "$DAEMON" -f '^openshelld: '
check "and back" until_ok eval '[ "$(get)" = "Anything added dilutes everything else." ]'
