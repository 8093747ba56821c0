#!/bin/bash
# Each process of the daemon killed at random moments, again and again, under traffic: nothing gets out that
# the policy does not allow, everything recovers, nothing is left over. Then processes that stand still,
# and a full disk. ROUNDS (30) says how often.
. "$(dirname "$0")/lib.sh"
origin api.test
# where nobody may get: dialled only if somebody takes a denied name for an allowed one
cat >"$W/listener.py" <<'P'
import socket, sys
s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept(); print("REACHED", flush=True); c.close()
P
$PY "$W/listener.py" >"$W/forbidden" & ORIGINS="$ORIGINS $!"
until_ok test -s "$W/forbidden"
HOSTS="$HOSTS
    blocked.test: 127.0.0.1:$(head -1 "$W/forbidden")"
mkdir "$W/state"; mount -t tmpfs -o size=24m,mode=755 tmpfs "$W/state"
trap 'rc=$?; touch "$W/state/sandboxes/box/home/stop" 2>/dev/null; umount -l "$W/state" 2>/dev/null; (exit $rc); cleanup' EXIT
CONFIG_MORE='workers: 2'
daemon_start
NET='  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
sandbox box "$NET"
home=$W/state/sandboxes/box/home
cat >"$home/traffic.sh" <<'T'
while [ ! -e /sandbox/stop ]; do
	curl -s -m 3 -o /dev/null https://api.test/zen; [ $? = 0 ] && echo >>/sandbox/served
	curl -s -m 3 -o /dev/null --noproxy '*' https://api.test/zen
	curl -s -m 3 -o /dev/null https://blocked.test/; curl -s -m 3 -o /dev/null --noproxy '*' https://blocked.test/
	curl -s -m 3 -o /dev/null --resolve blocked.test:443:127.0.0.1 --noproxy '*' https://blocked.test/
	curl -s -m 3 -o /dev/null -X POST -d x https://api.test/write
done
T
openshell sandbox exec -n box --no-tty -- sh -c 'setsid sh /sandbox/traffic.sh >/dev/null 2>&1 & setsid sh /sandbox/traffic.sh >/dev/null 2>&1 &'
served() { in_box box curl -sf -m 5 -o /dev/null https://api.test/zen; }
denied() { ! in_box box curl -sf -m 5 -o /dev/null https://blocked.test/; }
roles_ready() { [ "$(openshell status -o json 2>/dev/null | grep -c '"state": *"ready"')" = 3 ] || [ "$(pgrep -P "$DAEMON" -f '^openshelld: (proxy|signer)' | wc -l)" = 3 ]; }
check "traffic" until_ok served
sleep 0.3
cg=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG
pins() { find "/sys/fs/bpf/$TAG" | sort; }
# of our own processes: other tests have theirs
nets() { find "$cg" -name cgroup.procs -exec cat {} + | while read -r p; do readlink "/proc/$p/ns/net"; done | sort -u | wc -l; }
# descriptors by kind; connections of the control socket come and go
fds() { for f in /proc/"$DAEMON"/fd/*; do readlink "$f"; done | sed 's/:.*//; s/.*\.log.*/log/; s/segment.*/log/' | sort | uniq -c | grep -v 'state/log'; }
PINS=$(pins) NETS=$(nets)
RANDOM=${SEED:=$$}
echo "note: SEED=$SEED"
for i in $(seq "${ROUNDS:-30}"); do
	sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
	case $((RANDOM % 4)) in
	0) what=monitor; daemon_kill; sleep "0.$((RANDOM % 3))"; daemon_start ;;
	1) what=signer; kill -9 "$(pgrep -P "$DAEMON" -f '^openshelld: signer')" 2>/dev/null ;;
	2) what=proxy; kill -9 "$(pgrep -P "$DAEMON" -f '^openshelld: proxy' | shuf -n1)" 2>/dev/null ;;
	3) what="all roles"; pgrep -P "$DAEMON" -f '^openshelld: ' | xargs -r kill -9 2>/dev/null ;;
	esac
	until_ok served || die "round $i: after killing $what nothing is served (SEED=$SEED)"
	denied || die "round $i: after killing $what a forbidden host answers"
	[ "$(wc -l <"$W/forbidden")" = 1 ] || die "round $i: after killing $what a byte got out (SEED=$SEED)"
done
check "every time it recovered and nothing got out" test "$(wc -l <"$W/forbidden")" = 1
check "requests were served all along" test "$(wc -l <"$home/served")" -gt "${ROUNDS:-30}"
check "roles are all there" until_ok roles_ready
check "pins: none too many, none missing" is "$(pins)" "$PINS"
no_more_nets() { [ "$(nets)" -le "$NETS" ]; } # a canary has one while it is under way
check "network namespaces: none too many" until_ok no_more_nets
only_box() { [ "$(ls -d "$cg"/sandboxes/*/ | grep -v CANARY)" = "$cg/sandboxes/box/" ]; }
check "cgroups: the sandbox's only" until_ok only_box
check "no stray process" test "$(wc -l <"$cg/daemon/cgroup.procs")" -le 4
before=$(fds)
for _ in 1 2 3 4 5 6; do pgrep -P "$DAEMON" -f '^openshelld: proxy' | head -1 | xargs -r kill -9; sleep 0.2; until_ok served || die "not served"; done
until_ok roles_ready; sleep 1
check "descriptors: as many after six more kills" is "$(fds)" "$before"

# ---- standing still
kill -STOP "$DAEMON"
sleep 6
check "the monitor stands still: what is known goes on" until_ok test "$(wc -l <"$home/served")" -gt 0
n=$(wc -l <"$home/served"); sleep 2
check "requests are served without it" test "$(wc -l <"$home/served")" -gt "$n"
timeout 1 openshell sandbox list >/dev/null 2>&1; check "who asks it waits" test $? -eq 124
roles=$(pgrep -P "$DAEMON" -f '^openshelld: ' | sort | tr '\n' ' ')
kill -CONT "$DAEMON"
check "it goes on" until_ok openshell sandbox list
sleep 6
check "and blames nobody for the time it lost" is "$(pgrep -P "$DAEMON" -f '^openshelld: ' | sort | tr '\n' ' ')" "$roles"
touch "$home/stop"; sleep 0.5
pgrep -P "$DAEMON" -f '^openshelld: (proxy|signer)' | xargs kill -STOP
begin=$(date +%s)
until served; do [ $(($(date +%s) - begin)) -lt 45 ] || die "roles that stand still are never replaced"; done
check "roles that stand still are noticed and replaced" test $(($(date +%s) - begin)) -lt 45
check "and named" has 'it does not answer' "$W/openshelld.log"

# ---- a full disk
cp "$W/box.yaml" "$W/full.yaml"; sed -i 's/read-only/full/' "$W/full.yaml"
dd if=/dev/zero of="$W/state/filler" bs=64k >/dev/null 2>&1
{ head -c 200000 /dev/zero | tr '\0' '#'; echo; cat "$W/full.yaml"; } >"$W/large.yaml"
for _ in 1 2 3; do openshell policy set box --policy "$W/full.yaml" --wait >"$W/set" 2>&1; rc=$?; [ $rc = 0 ] || break; sed -i 's/full }/read-write }/' "$W/full.yaml"; done
echo "note: with a full disk: exit $rc, $(tail -1 "$W/set")"
check "the daemon lives" kill -0 "$DAEMON"
check "what was in force serves" until_ok served
check "denials stand" denied
rm "$W/state/filler"
sed 's/read-only/read-write/' "$W/box.yaml" >"$W/rw.yaml"
check "with room again a policy can be set" openshell policy set box --policy "$W/rw.yaml" --wait
check "and is in force" is "$(in_box box curl -s -o /dev/null -w '%{http_code}' -X POST -d x https://api.test/zen)" 200
