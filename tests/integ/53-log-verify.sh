#!/bin/bash
# The log on disk: `logs verify` finds every edit, deletion, reordering and truncation; segments rotate
# and stay bounded; flood control counts what it holds back; a full disk is counted.
. "$(dirname "$0")/lib.sh"
D=$W/log
eval "$(declare -f daemon_config | sed '1s/daemon_config/daemon_config_plain/')"
daemon_config() { daemon_config_plain; sed -i "s|^  journal_socket: .*|&\n  dir: $D\n  segment_bytes: 65536\n  segments: 4|" "$W/openshelld.yaml"; }
daemon_start
sandbox box ''
cat >"$W/state/sandboxes/box/home/flood.py" <<'P'
import socket, sys
for i in range(int(sys.argv[1])):
    s = socket.create_connection(('127.0.0.1', 3128), 5)
    s.sendall(b'CONNECT %s:443 HTTP/1.1\r\n\r\n' % (sys.argv[2].encode() if len(sys.argv) > 2 else b'h%d.test' % i))
    s.recv(4096); s.close()
P
flood() { in_box box /usr/bin/python3 /sandbox/flood.py "$@" >/dev/null 2>&1; }
v() { openshellctl logs verify --dir "$1" >"$W/out" 2>"$W/err"; }
rc() { local want=$1; shift; "$@"; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out" "$W/err"; return 1; }; }
matches() { grep -qE -- "$1" "$2" || { echo "--- no match: $1"; cat "$2"; return 1; }; }

# ---- flood control
flood 400 same.test
check "alike records are held back" eval 'sleep 2.5; test "$(openshell logs box -n 10000 2>/dev/null | grep -c "dst_host=same.test.*deny_reason")" -lt 150'
n() { openshell logs box -n 10000 --format record 2>/dev/null | $PY -c 'import json,sys
w=s=0
for l in sys.stdin:
    d=json.loads(l)
    if d.get("host")=="same.test":
        if d["class"]=="suppressed": s+=d["count"]
        elif d["class"]=="connect": w+=1
print(w+s, s>0)'; }
check "a record says how many: written and suppressed are all of them" until_ok eval '[ "$(n)" = "400 True" ]'
openshell logs box -n 10000 >"$W/out" 2>/dev/null
check "as a line" matches 'suppressed [0-9]+ .*dst_host=same.test' "$W/out"
in_box box curl -s https://other.test/ >/dev/null 2>&1
check "other records are not held back" eval 'openshell logs box -n 10000 2>/dev/null | grep -q "dst_host=other.test"'

# ---- rotation, verify of what is there
for _ in 1 2 3 4; do flood 300; done
check "segments" until_ok eval '[ "$(ls "$D"/events-*.jsonl | wc -l)" -ge 2 ]'
check "not more than configured (and the one being written)" eval 'test "$(ls "$D"/events-*.jsonl | wc -l)" -le 5'
check "bounded in size" eval '! find "$D" -name "events-*" -size +72k | grep .'
check "only root reads it" is "$(stat -c '%a' "$D" | cut -c3)" 0
check "verify beside the writer" rc 0 openshellctl logs verify
check "the same through --dir" rc 0 v "$D"
check "says so" matches '^✓ [0-9]+ records in [0-9]+ segments are complete and unchanged$' "$W/out"
daemon_kill
check "after kill -9 too" rc 0 v "$D"
daemon_start
check "and after the next start" rc 0 v "$D"
kill "$DAEMON"; wait "$DAEMON" 2>/dev/null; DAEMON=
# ---- tampering with copies
copy() { rm -rf "$W/c"; cp -a "$D" "$W/c"; first=$(ls "$W"/c/events-* | head -1); last=$(ls "$W"/c/events-* | tail -1); mid=$(ls "$W"/c/events-* | sed -n 2p); }
bad() { # WHAT COMMAND...
	local what=$1; shift
	copy; "$@" || die "cannot tamper: $what"
	check "found: $what" rc 1 v "$W/c"
	check "with its place: $what" matches '^✗ .*(events-|HEAD)' "$W/out"
}
copy; check "an untouched copy" rc 0 v "$W/c"
bad "a word changed" eval 'sed -i "5s/WARN/INFO/;5s/deny/note/;5s/box/bax/" "$mid"'
bad "one bit" eval '$PY -c "import sys; p=sys.argv[1]; b=bytearray(open(p,\"rb\").read()); b[len(b)//2]^=1; open(p,\"wb\").write(b)" "$mid"'
bad "a line deleted" eval 'sed -i 7d "$mid"'
bad "a line deleted from the newest" eval 'sed -i 3d "$last"'
bad "two lines swapped" eval 'sed -i "5{h;d};6{G}" "$mid"'
bad "a line twice" eval 'sed -i 5p "$mid"'
bad "a line from elsewhere" eval 'sed -n 5p "$first" >"$W/l"; sed -i "8r $W/l" "$mid"'
bad "the end cut off" eval 'sed -i "\$d" "$last"'
bad "half a line cut off" eval 'truncate -s -9 "$last"'
bad "the newest segment gone" eval 'rm "$last"'
bad "one in the middle gone" eval 'rm "$mid"'
bad "the oldest gone" eval 'rm "$first"'
bad "two segments swapped" eval 'mv "$first" "$W/x"; mv "$mid" "$first"; mv "$W/x" "$mid"'
bad "HEAD gone" eval 'rm "$W/c/HEAD"'
bad "HEAD changed" eval 'sed -i "s/[0-9]/7/g" "$W/c/HEAD"'
copy; cat "$last" >>"$W/x2"; $PY - "$mid" <<'P'
import hashlib, json, sys
# an editor that knows the format and mends the hash of its own line: the next one tells
p = sys.argv[1]; lines = open(p, 'rb').read().split(b'\n')
cut = lines[4].rindex(b',"h":'); prev = bytes.fromhex(json.loads(lines[3])['h'])
body = lines[4][:cut].replace(b'deny', b'note', 1)
lines[4] = body + b',"h":"' + hashlib.sha256(prev + body).hexdigest().encode() + b'"}'
open(p, 'wb').write(b'\n'.join(lines))
P
check "found: a line with a mended hash" rc 1 v "$W/c"
check "no such folder" rc 1 v "$W/none"
check "what, to what, why" matches "cannot verify the log: .*$W/none" "$W/err"

# ---- a full disk: counted, said, gone on with
mkdir "$W/small"; mount -t tmpfs -o size=400k,mode=0750 tmpfs "$W/small" || die "no tmpfs"
trap 'umount -l "$W/small"; cleanup' EXIT
D=$W/small/log
daemon_start
flood 20
head -c 1000000 /dev/zero >"$W/small/fill" 2>/dev/null
flood 100
check "the daemon lives and enforces" is "$(in_box box curl -s -o /dev/null -w '%{http_connect}' https://x.test/)" 403
check "it says so" until_ok grep -q 'records are counted as lost' "$W/openshelld.log"
openshell status >"$W/out"
rm "$W/small/fill"
in_box box curl -s https://after.test/ >/dev/null 2>&1
check "it goes on when there is room" until_ok eval 'openshell logs box -n 10000 2>/dev/null | grep -q "dst_host=after.test"'
lost() { openshell logs --all-sandboxes -n 10000 --format record 2>/dev/null | $PY -c 'import json,sys; print(sum(d["count"] for d in map(json.loads, sys.stdin) if d["class"]=="loss"))'; }
check "with a record of how many were lost" eval 'test "$(lost)" -gt 50'
check "status has the count" eval 'openshellctl status -o json | grep -qE "\"?log_lost\"?: *[1-9]" || $PY "$ROOT/tests/integ/varlink.py" "$OPENSHELL_SOCKET" Status | grep -qE "\"log_lost\": [1-9]"'
check "and the chain holds" rc 0 v "$D"
