#!/bin/bash
# Records in a real journald: one that the test starts in a mount namespace of its own, so that
# neither the host's journal nor its /run is touched. journalctl finds exactly the denials.
. "$(dirname "$0")/lib.sh"
JD=/lib/systemd/systemd-journald
[ -x $JD ] && command -v journalctl >/dev/null || { echo "skip: no systemd-journald"; exit 77; }
mkdir -p "$W/jrun" "$W/jlog"
# its /run is ours outside as well: the socket is at $W/jrun/systemd/journal/socket
cat >"$W/journald.sh" <<S
mount --make-rprivate / &&
mount --bind $W/jrun /run &&
mkdir -p /run/systemd/journal /var/log/journal /etc/systemd &&
mount --bind $W/jlog /var/log/journal &&
printf '[Journal]\nStorage=persistent\nSplitMode=none\nForwardToSyslog=no\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\nRateLimitIntervalSec=0\n' >$W/journald.conf &&
{ [ -e /etc/systemd/journald.conf ] || : >/etc/systemd/journald.conf; mount --bind $W/journald.conf /etc/systemd/journald.conf; } &&
: >/run/systemd/journal/flushed &&
exec $JD
S
mkdir -p /var/log/journal 2>/dev/null; MADE=$?
env -i PATH="$PATH" unshare -m sh "$W/journald.sh" >"$W/journald.log" 2>&1 & JPID=$!
trap 'kill $JPID 2>/dev/null; wait $JPID 2>/dev/null; cleanup' EXIT
until_ok test -S "$W/jrun/systemd/journal/socket" || { cat "$W/journald.log"; die "journald does not start"; }
JOURNAL=$W/jrun/systemd/journal/socket
origin api.test
daemon_start
sandbox demo '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
sandbox noise ''
get() { in_box "$@" >/dev/null 2>&1; }
get demo curl -s https://api.test/zen
get demo curl -s -X POST -d x https://api.test/one
get demo curl -s https://blocked.test/
get noise curl -s https://noise.test/
j() { journalctl -D "$W/jlog" --no-pager "$@" 2>>"$W/journalctl.err"; }
check "the records arrive" until_ok eval 'j OPENSHELL_SANDBOX=noise -o cat | grep -q noise.test'
j OPENSHELL_SANDBOX=demo OPENSHELL_ACTION=deny -o json >"$W/deny"
check "exactly the denials of the sandbox" is "$($PY -c 'import json,sys
for l in open(sys.argv[1]):
    d = json.loads(l); print(d["OPENSHELL_DST_HOST"], d["OPENSHELL_DST_PORT"], d["OPENSHELL_BINARY"], d["PRIORITY"], d["SYSLOG_IDENTIFIER"])' "$W/deny" | sort)" \
"api.test 443 /usr/bin/curl 4 openshell
blocked.test 443 /usr/bin/curl 4 openshell"
openshell logs demo --level warn 2>/dev/null | grep -cE 'action=deny|l7_decision=deny' >"$W/n"
check "as many as in our own log" is "$(wc -l <"$W/deny")" "$(cat "$W/n")"
check "MESSAGE is the line" eval 'j OPENSHELL_SANDBOX=demo OPENSHELL_ACTION=deny -o cat | grep -q "action=deny dst_host=blocked.test dst_port=443 binary=/usr/bin/curl deny_reason=\"no matching network policy\""'
check "fields" is "$(j OPENSHELL_SANDBOX=demo OPENSHELL_DST_HOST=blocked.test -o json | $PY -c 'import json,sys; d=json.loads(sys.stdin.readline()); print(" ".join(sorted(k for k in d if k.startswith("OPENSHELL_"))))' | tr ' ' '\n' | grep -cxE 'OPENSHELL_(SANDBOX|ACTION|DST_HOST|DST_PORT|BINARY|CLASS|GENERATION)')" 7
check "from us, as the kernel says" is "$(j OPENSHELL_SANDBOX=demo OPENSHELL_ACTION=deny -o json | $PY -c 'import json,sys; print({json.loads(l)["_PID"] for l in sys.stdin}=={sys.argv[1]})' "$DAEMON")" True
check "warnings by priority" is "$(j -p warning OPENSHELL_SANDBOX=demo -o json | wc -l)" "$(openshell logs demo --level warn 2>/dev/null | wc -l)"
# journald goes away and comes back: what was missed is counted in the log, and in the journal
kill $JPID; wait $JPID 2>/dev/null
get demo curl -s https://missed.test/
check "the log has it" eval 'openshell logs demo 2>/dev/null | grep -q missed.test'
check "and says that the journal has not" until_ok eval 'openshell logs --all-sandboxes 2>/dev/null | grep -q "Records do not reach journald"'
env -i PATH="$PATH" unshare -m sh "$W/journald.sh" >"$W/journald.log" 2>&1 & JPID=$!
sleep 1
get demo curl -s https://again.test/
check "comes back by itself" until_ok eval 'j OPENSHELL_SANDBOX=demo -o cat | grep -q again.test'
check "with the count of what was missed" until_ok eval 'j -o cat | grep -qE "[0-9]+ records did not reach journald"'
check "the missed one is not there" eval '! j -o cat | grep -q missed.test'
