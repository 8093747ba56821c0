#!/bin/bash
# kill -9 the daemon in the middle of policy pushes: every accepted revision is there afterwards, the
# newest accepted one is in force, the history is consistent.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
net() { printf '  api%s:\n    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]\n    binaries: [{ path: /usr/bin/curl }]\n' "$1"; }
sandbox box "$(net 0)"
for round in 1 2 3 4 5; do
	( i=0; while [ $i -lt 50 ]; do
		i=$((i + 1))
		policy_file "$(net "r${round}x$i")" >"$W/p.yaml"
		openshell policy set box --policy "$W/p.yaml" 2>&1 | sed -n 's/.*version \([0-9]*\) submitted.*/\1/p' >>"$W/accepted"
	done ) & pusher=$!
	sleep "0.$((RANDOM % 5 + 2))"
	daemon_kill
	kill $pusher 2>/dev/null; wait $pusher 2>/dev/null
	daemon_start
	last=$(sort -n "$W/accepted" | tail -1)
	check "round $round: a policy is in force" until_ok eval 'openshell policy get box 2>/dev/null | grep -q "^Version:"'
	now=$(openshell policy get box | awk '/^Version:/{print $2}')
	check "round $round: nothing accepted is lost ($last accepted, $now in force)" test "$now" -ge "${last:-1}"
	openshell policy list box --limit 1000 >"$W/list"
	check "round $round: one revision is loaded" is "$(grep -c ' Loaded ' "$W/list")" 1
	check "round $round: none is pending" until_ok eval '! openshell policy list box --limit 1000 | grep -q " Pending "'
	check "round $round: versions have no gap" is "$(awk 'NR>1{print $1}' "$W/list" | sort -n | awk 'NR>1&&$1!=p+1{print "gap at " $1}{p=$1}')" ""
	check "round $round: and traffic flows" until_ok eval '[ "$(in_box box curl -sS --max-time 5 https://api.test/zen)" = "Anything added dilutes everything else." ]'
done
