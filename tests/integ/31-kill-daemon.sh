#!/bin/bash
# kill -9 the daemon: sandboxes live on without egress; a new daemon adopts them with their policy.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
get() { in_box box curl -sS --max-time 10 https://api.test/zen; }
check "before" test "$(get)" = 'Anything added dilutes everything else.'
cat >"$W/loop.sh" <<'L'
while :; do
	if curl -s --noproxy '*' --max-time 3 https://api.test/zen >/tmp/got 2>&1 && grep -q Anything /tmp/got; then echo up; else echo down; fi
	sleep 0.2
done >>/sandbox/loop
L
cp "$W/loop.sh" "$W/state/sandboxes/box/home/loop.sh"; chmod 755 "$W/state/sandboxes/box/home/loop.sh"
openshell sandbox exec -n box --no-tty -- sh -c 'setsid sh /sandbox/loop.sh >/dev/null 2>&1 &'
loop=$W/state/sandboxes/box/home/loop
check "the loop sees the origin" until_ok grep -q up "$loop"
daemon_kill
check "its roles are gone too" until_ok eval '! pgrep -f "^openshelld: (proxy|signer)" -P '"$DAEMON"
: >"$loop"
check "without a daemon there is no egress" until_ok grep -q down "$loop"
sleep 1
check "none at all" has_not up "$loop"
version=$(sqlite3 "$W/state/state.db" "select max(version) from revisions" 2>/dev/null || echo 1)
daemon_start
check "adopted" has 'adopted' "$W/openshelld.log"
: >"$loop"
check "egress is back for the very same process" until_ok grep -q up "$loop"
check "and through the CLI" test "$(get)" = 'Anything added dilutes everything else.'
in_box box curl -sS -X POST -d x https://api.test/x >"$W/out" 2>&1
check "the policy is the same" has 'not permitted by policy' "$W/out"
openshell policy get box >"$W/out"
check "the revision too" has "Version:      $version" "$W/out"
