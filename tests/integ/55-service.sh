#!/bin/bash
# openshelld under a service manager: READY, WATCHDOG, STOPPING; its listeners survive a crash in the
# manager's descriptor store, so that connections made meanwhile wait instead of failing.
. "$(dirname "$0")/lib.sh"
origin api.test
M=$W/manager; mkdir "$M"; : >"$M/notify"; : >"$M/fds"
daemon_config
$PY "$ROOT/tests/integ/manager.py" "$M" "$BUILD/openshelld" -c "$W/openshelld.yaml" >>"$W/openshelld.log" 2>&1 & MANAGER=$!
trap 'timeout 30 openshell sandbox delete --all >/dev/null 2>&1; kill $MANAGER 2>/dev/null; wait $MANAGER 2>/dev/null; cleanup' EXIT
check "READY=1" until_ok grep -q '^READY=1 ' "$M/notify"
check "with a status" grep -q 'STATUS=' "$M/notify"
check "WATCHDOG=1" until_ok grep -q '^WATCHDOG=1' "$M/notify"
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
check "its listeners are stored" until_ok eval '[ "$(grep -c "^sb-box-" "$M/fds")" -ge 3 ]'
cat >"$W/state/sandboxes/box/home/wait.sh" <<'L'
while [ ! -e /sandbox/go ]; do sleep 0.05; done
curl -sS --noproxy '*' --max-time 30 https://api.test/zen >/sandbox/got 2>/sandbox/err & a=$!
curl -sS --max-time 30 https://api.test/zen >/sandbox/got2 2>/sandbox/err2 & b=$!
wait $a; echo $? >/sandbox/rc; wait $b; echo $? >/sandbox/rc2
touch /sandbox/done
L
home=$W/state/sandboxes/box/home
openshell sandbox exec -n box --no-tty -- sh -c 'setsid sh /sandbox/wait.sh >/dev/null 2>&1 &'
first=$(cat "$M/pid")
kill -9 "$first"
check "no daemon" until_ok eval '! kill -0 '"$first"
# as service managers do with empty cgroups of a service that ended: the listeners' own is gone
cg=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG
check "its cgroup is removed" until_ok rmdir "$cg/daemon"
touch "$home/go"
sleep 1.5
check "the connections wait" test ! -e "$home/done"
touch "$M/go"
check "started again" until_ok eval '[ "$(grep -c "^READY=1" "$M/notify")" = 2 ]'
check "they were served" until_ok test -e "$home/done"
check "transparent: no error at all" is "$(cat "$home/rc" "$home/err" "$home/got")" '0
Anything added dilutes everything else.'
check "explicit proxy: likewise" is "$(cat "$home/rc2" "$home/err2" "$home/got2")" '0
Anything added dilutes everything else.'
check "nothing was stored twice" is "$(sort "$M/fds" | uniq -d)" ''
openshell logs box >"$W/out" 2>/dev/null
check "decided and logged as ever" eval 'test "$(grep -c "l7_action=GET l7_target=/zen" "$W/out")" = 2'
check "new connections" is "$(in_box box curl -sS https://api.test/zen)" 'Anything added dilutes everything else.'
# an orderly restart
kill "$(cat "$M/pid")"
check "its cgroup is removed again" until_ok rmdir "$cg/daemon"
check "STOPPING=1" until_ok grep -q '^STOPPING=1' "$M/notify"
sleep 0.3; touch "$M/go"
check "started again" until_ok eval '[ "$(grep -c "^READY=1" "$M/notify")" = 3 ]'
check "listeners are kept" eval '[ "$(grep -c "^sb-box-" "$M/fds")" -ge 3 ]'
check "traffic" until_ok eval '[ "$(in_box box curl -sS https://api.test/zen)" = "Anything added dilutes everything else." ]'
check "denials" eval 'test "$(in_box box curl -s -o /dev/null -w "%{http_code}" -X POST -d x https://api.test/zen)" = 403'
openshell sandbox delete box >/dev/null
check "deleted: forgotten" until_ok eval '! grep -q "^sb-box-" "$M/fds"'
sandbox box ''
check "made anew: stored anew" until_ok eval '[ "$(grep -c "^sb-box-" "$M/fds")" -ge 3 ]'
# descriptors that are not ours to take are not taken
check "the daemon survives nonsense" eval 'env LISTEN_PID=$$ LISTEN_FDS=99999 LISTEN_FDNAMES=: "$BUILD/openshelld" -n -c "$W/openshelld.yaml" >/dev/null'
