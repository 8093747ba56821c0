#!/bin/bash
# A sandbox whose killed processes do not go away holds up nobody: others are created, run, are stopped and
# deleted meanwhile; whoever waits for the stuck one is told, and what was asked for is done as soon as
# it can be. The same for a sandbox with more files than can be removed at once, and for the canary.
. "$(dirname "$0")/lib.sh"
HOLD=''
# nothing may stay held when the test ends early
trap 'rc=$?; [ -n "$HOLD" ] && kill "$HOLD" 2>/dev/null; (exit $rc); cleanup' EXIT
daemon_start
CG=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG/sandboxes

# Holds a process that was killed at its very end, as one that waits for a device would be held: a
# tracer that asked to be told of exits. "held" when it holds; lets go when it is killed.
cat >"$W/hold.py" <<'P'
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
SEIZE, TRACEEXIT = 0x4206, 0x40
if libc.ptrace(SEIZE, pid, None, TRACEEXIT) < 0: sys.exit("seize: " + os.strerror(ctypes.get_errno()))
print("held", flush=True)
time.sleep(100)
P
hold() { # PID NAME
	"$PY" "$W/hold.py" "$1" >"$W/$2.out" 2>&1 &
	HOLD=$!
	until_ok grep -q held "$W/$2.out" || { cat "$W/$2.out"; die "cannot hold process $1"; }
}
let_go() { kill "$HOLD"; wait "$HOLD" 2>/dev/null; }
sleeper() { # SANDBOX: pid of a process that runs in it
	openshell sandbox exec -n "$1" --no-tty -- /bin/sleep 1000 >/dev/null 2>&1 &
	until_ok pgrep -f -u sandbox '^/bin/sleep 1000$' || die "no process in $1"
	pgrep -n -f -u sandbox '^/bin/sleep 1000$'
}
ms() { date +%s%3N; }
phase() { openshell sandbox list 2>/dev/null | awk -v n="$1" '$1==n{print}'; }

sandbox stuck ''
sandbox other ''
hold "$(sleeper stuck)" one
openshell sandbox delete stuck >"$W/delete.out" 2>&1 & WAITER=$!
until_ok grep -q 'frozen\|populated 1' "$CG/stuck/cgroup.events"
# asked at once: waiting for the stuck one here would take 5 s
quickest=99999
for _ in 1 2 3; do
	before=$(ms); openshell sandbox list >/dev/null; took=$(($(ms) - before))
	[ $took -lt $quickest ] && quickest=$took
done
check "the daemon answers at once" test $quickest -lt 3000
check "another sandbox is created meanwhile" timeout 20 openshell sandbox create --name quick --policy "$W/other.yaml" </dev/null
check "and runs programs" is "$(timeout 20 openshell sandbox exec -n quick --no-tty -- /bin/echo hi)" hi
check "and is deleted" timeout 20 openshell sandbox delete quick
check "doctor is answered, its canary too" timeout 20 openshellctl doctor
check "it is still there" grep -q 'populated 1' "$CG/stuck/cgroup.events"
wait "$WAITER"; rc=$?
check "the caller of the deletion is told after a while" test $rc -ne 0
check "and why" has 'do not end' "$W/delete.out"
check "its name is taken" has stuck <(openshell sandbox list)
openshell sandbox create --name stuck --policy "$W/other.yaml" </dev/null >"$W/again" 2>&1 && die "a stuck sandbox's name was given away"
let_go
gone() { ! openshell sandbox list 2>/dev/null | grep -q '^stuck '; }
check "it is deleted as soon as it can be" until_ok gone
check "its cgroup too" test ! -d "$CG/stuck"
sandbox stuck ''
check "its name is free again" is "$(in_box stuck /bin/echo yes)" yes

hold "$(sleeper other)" two
timeout 20 openshell sandbox stop other >"$W/stop.out" 2>&1 && die "stopping a sandbox that cannot be stopped succeeded"
check "stopping says that it does not end" has 'do not end' "$W/stop.out"
openshell sandbox start other >"$W/start.out" 2>&1 && die "it was started over its own remains"
let_go
stopped() { openshell sandbox list 2>/dev/null | grep '^other ' | grep -q Stopped; }
check "it is stopped as soon as it can be" until_ok stopped
check "and can be started again" openshell sandbox start other

# a daemon that finds a stuck sandbox becomes ready all the same, as soon as one that finds none
daemon_kill; before=$(ms); daemon_start; usual=$(($(ms) - before))
hold "$(sleeper other)" three
(timeout 2 openshell sandbox stop other >/dev/null 2>&1)
daemon_kill
before=$(ms)
daemon_start
check "a new daemon is not held up by what is stuck" test $(($(ms) - before)) -lt $((usual + 4500))
check "and serves others" is "$(in_box stuck /bin/echo yes)" yes
let_go
check "and finishes the stop" until_ok stopped

# many files
in_box stuck /bin/sh -c 'cd /sandbox; i=0; while [ $i -lt 60 ]; do mkdir d$i; (cd d$i; seq 1000 | xargs touch); i=$((i+1)); done'
openshell sandbox delete stuck >/dev/null 2>&1 & WAITER=$!
for _ in 1 2 3; do check "while 60000 files go the daemon answers" timeout 5 openshell sandbox list; done
wait "$WAITER"; check "and they go" test ! -d "$W/state/sandboxes/stuck"
