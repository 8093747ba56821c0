#!/bin/bash
# A policy is exchanged under load: connections live on, each request is judged by the policy of its
# moment and by no mixture, exchanges and tunnels in flight end only if refused now.
. "$(dirname "$0")/lib.sh"
origin api.test
cat >"$W/slow.py" <<'P'
import socket, threading, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64); print("listening", s.getsockname()[1], flush=True)
def serve(c):
    f = c.makefile("rb")
    try:
        while True:
            line = f.readline()
            if not line: return
            up = False
            while True:
                h = f.readline()
                if h.lower().startswith(b"upgrade:"): up = True
                if h in (b"\r\n", b""): break
            if up:
                c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                while True:
                    d = f.readline()
                    if not d: return
                    c.sendall(d)
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True: c.sendall(b"1\r\nx\r\n"); time.sleep(0.02)
    except OSError: pass
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
P
$PY "$W/slow.py" >"$W/slow.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/slow.out" || die slow
HOSTS="$HOSTS
    slow.test: 127.0.0.1:$(awk '{print $2}' "$W/slow.out")"
daemon_start
policy() { # PATH-LETTER SLOW-PATHS: what this policy allows
	echo "  api:
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: \"/$1/*\" } }] }
      - { host: slow.test, port: 80, protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: \"/$2\" } }] }
    binaries: [{ path: \"/usr/bin/**\" }]"
}
sandbox box "$(policy a '**')"
home=$W/state/sandboxes/box/home
cat >"$home/load.py" <<'P'
# keep-alive connections that ask for /a /b /c in turn and write down what came
import collections, http.client, os, ssl, sys, threading, time
ctx = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
seen, lock, until = collections.Counter(), threading.Lock(), time.time() + float(sys.argv[1])
def one(k):
    mine, c, i = collections.Counter(), http.client.HTTPSConnection("api.test", context=ctx, timeout=10), k
    c.connect(); mine["connections"] += 1
    while time.time() < until:
        p = "abc"[i % 3]; i += 1
        try:
            c.request("GET", "/%s/%d" % (p, i)); r = c.getresponse(); body = r.read()
            mine[p, r.status] += 1
            if r.status == 403 and b"not permitted by policy" not in body: mine["odd body"] += 1
            if r.status == 200 and body != b"ok\n": mine["odd body"] += 1
            if r.will_close: mine["closing"] += 1; c.close(); c.connect(); mine["connections"] += 1
        except Exception as e:
            mine["failed: %r" % (e,)] += 1; c.close(); c.connect(); mine["connections"] += 1
    with lock: seen.update(mine)
ts = [threading.Thread(target=one, args=(k,)) for k in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
for k, v in sorted(seen.items(), key=str): print(k, v)
P
SECONDS_=${LOAD_S:-8}
in_box_bare box $PY /sandbox/load.py $SECONDS_ >"$W/load" 2>&1 </dev/null & LOAD=$!
policy_file "$(policy a '**')" >"$W/A.yaml"; policy_file "$(policy b '**')" >"$W/B.yaml"
n=0
while kill -0 $LOAD 2>/dev/null; do
	n=$((n + 1))
	if [ $((n % 2)) = 1 ]; then f=$W/B.yaml; else f=$W/A.yaml; fi
	openshell policy set box --policy "$f" --wait >"$W/out" 2>&1 || { cat "$W/out"; die "policy set $n"; }
	sleep 0.02 2>/dev/null   # the load's pace, not a wait
done
wait $LOAD
cat "$W/load"; echo "policies: $n"
check "policies were exchanged all the time" test $n -gt $((SECONDS_ * 4))
check "what neither allows was never answered by the origin" has_not "('c', 200)" "$W/load"
check "nor seen by it" has_not 'GET /c/' "$ORIGIN_DIR/requests"
for p in a b; do for s in 200 403; do check "/$p was $s at times" has "('$p', $s)" "$W/load"; done; done
check "nothing but 200 and 403" is "$(grep -oE "\('.', [0-9]+\)" "$W/load" | grep -vcE '200|403')" 0
check "no answer was odd" has_not odd "$W/load"
check "no request failed" has_not failed "$W/load"
check "connections lived on" has 'connections 8' "$W/load"
openshell logs box -n 10000 >"$W/logs" 2>&1
$PY - "$W/logs" <<'P' || { head -5 "$W/logs"; false; } || die "verdicts are not of one policy each"
import collections, re, sys
allowed, denied = collections.defaultdict(set), collections.defaultdict(set)
for line in open(sys.argv[1]):
    m = re.search(r"l7_decision=(\w+) dst_host=api.test l7_action=GET l7_target=/(\w)/.* generation=(\d+)", line)
    if m: (allowed if m[1] == "allow" else denied)[int(m[3])].add(m[2])
bad = [g for g in set(allowed) | set(denied) if len(allowed[g]) > 1 or allowed[g] & denied[g] or "c" in allowed[g]]
print("generations in the log: %d, with mixed verdicts: %d" % (len(set(allowed) | set(denied)), len(bad)))
sys.exit(bool(bad) or len(allowed) < 10)
P
echo "ok: every generation gave the verdicts of one policy"

# in flight
policy_set box "$(policy a '**')" >/dev/null || die "policy set"
cat >"$home/up.py" <<'P'
import socket, sys, time
s = socket.create_connection(("slow.test", 80), 10); s.settimeout(20)
s.sendall(b"GET /up HTTP/1.1\r\nHost: slow.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
f = s.makefile("rb"); print(f.readline().decode().strip(), flush=True)
while f.readline() not in (b"\r\n", b""): pass
try:
    for i in range(1000):
        s.sendall(b"%d\n" % i)
        if f.readline() != b"%d\n" % i: break
        print("echo", i, flush=True); time.sleep(0.02)
    print("ended")
except OSError as e: print("error", e, flush=True)
P
in_box_bare box curl -sSN http://slow.test/body >"$W/body" 2>"$W/body.err" </dev/null & BODY=$!
in_box_bare box $PY /sandbox/up.py >"$W/up" 2>&1 </dev/null & UP=$!
has_bytes() { [ "$(stat -c %s "$W/body")" -gt "$1" ]; }
echoes() { [ "$(grep -c echo "$W/up")" -gt "$1" ]; }
check "a body flows" until_ok has_bytes 3
until_ok echoes 3 || { cat "$W/up"; logs box -n 10; cat "$W/logs"; die "an upgraded connection does not echo"; }
policy_set box "$(policy b '**')" >/dev/null || die "policy set"
a=$(stat -c %s "$W/body") b=$(grep -c echo "$W/up")
check "allowed still: the body flows on" until_ok has_bytes $((a + 10)); check "and the upgraded connection" until_ok echoes $((b + 10))
policy_set box "$(policy b other)" >/dev/null || die "policy set"
over() { ! kill -0 $BODY 2>/dev/null && ! kill -0 $UP 2>/dev/null; }
check "refused now: both end" until_ok over
wait $BODY; check "the cut body is an error for the client" test $? -ne 0
logs box -n 30
check "the reason is logged, twice" is "$(grep -c 'closed: the new policy does not allow it' "$W/logs")" 2
