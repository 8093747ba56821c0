#!/bin/bash
# openshell logs: every flag, the three formats, and a --tail that survives a restart of the daemon.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
sandbox other ''
matches() { grep -qE -- "$1" "$2" || { echo "--- no match: $1"; cat "$2"; return 1; }; }
rc() { local want=$1; shift; "$@"; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out" "$W/err"; return 1; }; }
l() { openshell logs "$@" >"$W/out" 2>"$W/err"; }
get() { in_box box curl -sS --max-time 10 "$@" >/dev/null 2>&1; }
get https://api.test/zen; get -X POST -d x 'https://api.test/x?secret=q'; get https://blocked.test/

# ---- line format, levels
check "logs" rc 0 l box
check "every line has the head" eval '! grep -vE "^\[[0-9]+\.[0-9]{3}\] \[(gateway|sandbox)\] \[(ERROR|WARN |INFO |DEBUG|TRACE)\] \[[a-z0-9_:]+\] " "$W/out"'
check "starts with the sandbox" has '[sandbox] [INFO ] [openshell_sandbox] Starting sandbox' "$W/out"
check "L4 denial" matches '\[WARN \] \[[a-z_:]+\] action=deny dst_host=blocked\.test dst_port=443 binary=/usr/bin/curl deny_reason="no matching network policy"' "$W/out"
check "L7 denial" matches '\[WARN \] \[[a-z0-9_:]+\] l7_decision=deny dst_host=api\.test l7_action=POST l7_target=/x l7_deny_reason="POST /x not permitted by policy"' "$W/out"
check "never the query" has_not secret "$W/out"
check "nothing of other sandboxes" has_not other "$W/out"
check "--level warn" rc 0 l box --level warn
check "only that and worse" eval '! grep -vE "\[(ERROR|WARN )\]" "$W/out"'
check "has the denials" is "$(grep -cE 'action=deny|l7_decision=deny' "$W/out")" "$(openshell logs box 2>/dev/null | grep -cE 'action=deny|l7_decision=deny')"
check "case does not matter" eval 'l box --level WARN; cp "$W/out" "$W/o1"; l box --level warn; cmp "$W/o1" "$W/out"'
check "an unknown level shows everything" eval 'l box --level nonsense; cp "$W/out" "$W/o1"; l box; cmp "$W/o1" "$W/out"'
check "-n 1" eval 'l box -n 1; test "$(wc -l <"$W/out")" = 1'
check "is the newest" eval 'l box; tail -n 1 "$W/out" >"$W/o1"; l box -n 1; cmp "$W/o1" "$W/out"'
check "--since 1h" eval 'l box --since 1h; test -s "$W/out"'
sleep 1.2
check "--since 1s: nothing so old" eval 'l box --since 1s; test ! -s "$W/out"'
check "--since nonsense" rc 1 l box --since 5x
check "exactly" has 'unknown duration unit: x (use s, m, or h)' "$W/err"
check "--since without a number" rc 1 l box --since m
check "exactly" has 'invalid duration: m (expected e.g. 5m, 1h, 30s)' "$W/err"
check "--source sandbox" eval 'l box --source sandbox; test -s "$W/out" && ! grep -q "\[gateway\]" "$W/out"'
check "--source gateway" eval 'l box --source gateway; test -s "$W/out" && ! grep -q "\[sandbox\]" "$W/out"'
check "--source twice" eval 'l box --source gateway --source sandbox; cp "$W/out" "$W/o1"; l box; cmp "$W/o1" "$W/out"'
check "--source nonsense" rc 2 l box --source nonsense
check "--all-sandboxes" eval 'l --all-sandboxes; grep -q "openshelld .* started" "$W/out"'
check "--format ocsf" eval 'l box --format ocsf'
check "shorthand" matches '\[OCSF \] \[ocsf\] NET:OPEN \[MED\] DENIED /usr/bin/curl\([0-9]+\) -> blocked\.test:443 \[policy:- engine:opa\] \[reason:' "$W/out"
check "shorthand" matches 'HTTP:GET \[INFO\] ALLOWED /usr/bin/curl\([0-9]+\) -> GET https?://api\.test(:443)?/zen \[policy:api engine:l7\]' "$W/out"
check "--format json" eval 'l box --format json; $PY -c "import json,sys; [json.loads(x) for x in open(sys.argv[1])]" "$W/out"'
check "one per line" is "$(wc -l <"$W/out")" "$(openshell logs box 2>/dev/null | wc -l)"
check "--format nonsense" rc 2 l box --format nonsense
check "last used sandbox" eval 'l; grep -q "Using sandbox .box. (last used)" "$W/err"'
check "no such sandbox: what was logged of it, nothing" eval 'l nobody; test ! -s "$W/out"'

# ---- --tail, across a restart
openshell logs box --tail -n 5 >"$W/tail" 2>"$W/tail.err" & tail=$!
check "--tail starts with the last lines" until_ok eval '[ "$(wc -l <"$W/tail")" -ge 5 ]'
get https://one.test/
check "goes on" until_ok grep -q one.test "$W/tail"
daemon_kill
check "says when the daemon goes away" until_ok grep -q 'openshelld went away; waiting for it' "$W/tail.err"
daemon_start
until_ok get https://api.test/zen
get https://two.test/
check "goes on after the restart" until_ok grep -q two.test "$W/tail"
check "nothing twice" is "$(sort "$W/tail" | uniq -d)" ''
check "still one process" kill -0 $tail
kill $tail; wait $tail 2>/dev/null
openshell logs box -n 1000 >"$W/all" 2>/dev/null
check "the history is whole" eval 'grep -q one.test "$W/all" && grep -q two.test "$W/all"'
check "deleting a sandbox keeps its log" eval 'openshell sandbox delete box >/dev/null; l box; grep -q "Sandbox deleted" "$W/out" && grep -q two.test "$W/out"'
