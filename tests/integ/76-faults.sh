#!/bin/bash
# One sandbox does its worst: connections without end, heads that never end, answers that are never
# read, names without end, a proxy short of descriptors. Another sandbox is served all the while, the
# daemon stays up and its memory bounded.
. "$(dirname "$0")/lib.sh"
origin api.test
CONFIG_MORE='limits: { connections: 1500, sites: 256, idle_upstream: 16 }
timeouts_ms: { head: 3000, idle: 5000, linger: 500 }
names_per_sandbox: 1024'
daemon_start
POL='  api:
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: "*.wild.test", port: 443, protocol: rest, enforcement: enforce, access: full }
    binaries: [{ path: "/usr/bin/**" }]'
sandbox bad "$POL"; sandbox good "$POL"
proxies() { for p in $(pgrep -P "$DAEMON"); do [ "$(awk '/^Uid/{print $2}' /proc/$p/status)" != 0 ] && [ "$(ls /proc/$p/fd 2>/dev/null | wc -l)" -gt 12 ] && echo "$p"; done; }
rss_kb() { local t=0 p; for p in $(pgrep -P "$DAEMON"); do t=$((t + $(awk '/^VmRSS/{print $2}' /proc/$p/status 2>/dev/null || echo 0))); done; echo $t; }
served() { # WHAT: 10 requests of the other sandbox, none longer than 3 s
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		in_box_bare good curl -sS --max-time 3 https://api.test/zen >"$W/out" 2>&1 </dev/null
		has 'Anything added' "$W/out" || die "$1: the other sandbox is not served"
	done
	echo "ok: $1: the other sandbox is served"
}
ids=$(pgrep -P "$DAEMON" | sort | tr '\n' ' ')
served "at rest"; base=$(rss_kb); echo "figure: RSS of all roles at rest: $base KiB"
cat >"$W/state/sandboxes/bad/home/bad.py" <<'P'
import os, random, resource, socket, ssl, string, sys, threading, time
what, n = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
CA = os.environ["SSL_CERT_FILE"]
def proxy():
    s = socket.socket(); s.settimeout(10); s.connect(("127.0.0.1", 3128)); return s
def word(): return "".join(random.choices(string.ascii_lowercase, k=16))
if what == "hold":      # connections with half a head, then see how they end
    held, failed = [], 0
    for i in range(n):
        try: s = proxy(); s.sendall(b"CONNECT api.test:443 HT"); held.append(s)
        except OSError: failed += 1
    print("held", len(held), "failed", failed, flush=True)
    time.sleep(float(sys.argv[3])); ended = 0
    for s in held:
        s.setblocking(False)
        try:
            while True:
                if not s.recv(4096): ended += 1; break
        except BlockingIOError: pass
        except OSError: ended += 1
    print("ended", ended, "of", len(held), flush=True)
elif what == "deaf":    # ask for much and never read
    ctx, held = ssl.create_default_context(cafile=CA), []
    for i in range(n):
        s = socket.create_connection(("api.test", 443), 10)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        t = ctx.wrap_socket(s, server_hostname="api.test")
        t.sendall(b"GET /bytes/50000000 HTTP/1.1\r\nHost: api.test\r\n\r\n"); held.append(t)
    print("asked", len(held), flush=True); time.sleep(float(sys.argv[3]))
elif what == "names":   # CONNECT to names without end
    count = [0]
    def run():
        for i in range(n // 8):
            try:
                s = proxy(); h = word() + ".wild.test"
                s.sendall(("CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n" % (h, h)).encode())
                if s.recv(4096): count[0] += 1
                s.close()
            except OSError: pass
    ts = [threading.Thread(target=run) for _ in range(8)]; [t.start() for t in ts]; [t.join() for t in ts]
    print("answered", count[0], flush=True)
elif what == "sni":     # TLS with names without end: a certificate each
    ctx, good, refused = ssl.create_default_context(cafile=CA), 0, 0
    for i in range(n):
        h = word() + ".wild.test"
        try:
            with socket.create_connection((h, 443), 10) as s: ctx.wrap_socket(s, server_hostname=h).close(); good += 1
        except OSError: refused += 1
    print("certificates", good, "refused", refused, flush=True)
P
bad() { in_box_bare bad $PY /sandbox/bad.py "$@" >"$W/bad.$1" 2>&1 </dev/null; }

bad hold 4000 6 & B=$!
until_ok grep -q held "$W/bad.hold" || { cat "$W/bad.hold"; die hold; }
cat "$W/bad.hold"
served "4,000 half heads"
echo "figure: RSS meanwhile: $(rss_kb) KiB"
wait $B; tail -1 "$W/bad.hold"
check "heads that never end are ended" grep -qE '^ended ([0-9]+) of \1$' "$W/bad.hold"

bad deaf 40 6 & B=$!
until_ok grep -q asked "$W/bad.deaf" || { cat "$W/bad.deaf"; die deaf; }
served "40 clients that never read 50 MB"
r=$(rss_kb); echo "figure: RSS meanwhile: $r KiB"
check "what is not read is not piled up (below 40 MiB more)" test $((r - base)) -lt $((40960 * ROOM))
wait $B

bad sni 1200; cat "$W/bad.sni"
check "names have a ceiling per sandbox" grep -qE 'certificates [1-9][0-9]* refused [1-9]' "$W/bad.sni"
served "1,200 random server names"
r=$(rss_kb); echo "figure: RSS after: $r KiB"
check "memory stays bounded (below 40 MiB more)" test $((r - base)) -lt $((40960 * ROOM))

starve() { local p; for p in $(proxies); do prlimit --pid "$p" --nofile="$(($(ls /proc/$p/fd | wc -l) + 8)):" 2>/dev/null || return 1; done; }
soft=$(awk '/Max open files/{print $4}' /proc/"$(proxies | head -1)"/limits)
if starve; then
	bad hold 200 1; cat "$W/bad.hold"
	for p in $(proxies); do prlimit --pid "$p" --nofile="$soft:"; done
else echo "note: no right to change the proxies' limits here"; fi
back() { in_box_bare good curl -sS --max-time 3 https://api.test/zen 2>&1 </dev/null | grep -q 'Anything added'; }
check "all is well after it" until_ok back
served "after that"

# upstreams that reset at every stage of an exchange
cat >"$W/reset.py" <<'P'
import socket, ssl, struct, sys, threading, time
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); ctx.load_cert_chain(sys.argv[1] + "/origin.pem", sys.argv[1] + "/origin.key")
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64); print("listening", s.getsockname()[1], flush=True)
def rst(c): c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
stages = {"head0": b"", "head1": b"HTTP/1.1 2", "head2": b"HTTP/1.1 200 OK\r\nContent-Le", "mid": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "chunk0": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "chunk1": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "chunk2": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", "close": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "good": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"}
def serve(c):
    try:
        rst(c); t = ctx.wrap_socket(c, server_side=True); d = b""
        while b"\r\n\r\n" not in d:
            x = t.recv(65536)
            if not x: return
            d += x
        t.sendall(stages[d.split(b" ")[1].decode()[1:]]); time.sleep(0.1)   # or the reset would overtake the bytes
        t.close()
    except (OSError, KeyError): pass
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
P
$PY "$W/reset.py" "$ORIGIN_DIR" >"$W/reset.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/reset.out" || die reset
daemon_stop_() { kill "$DAEMON"; wait "$DAEMON" 2>/dev/null; }
check "no role was restarted until here" is "$(pgrep -P "$DAEMON" | sort | tr '\n' ' ')" "$ids"
daemon_stop_
HOSTS="
    api.test: 127.0.0.1:$(awk '{print $2}' "$W/reset.out")"
daemon_start
ask() { in_box_bare good curl -sS --max-time 10 -w '\n%{http_code} %{exitcode}' "https://api.test/$1" >"$W/out" 2>"$W/err" </dev/null; }
whole() { ask good; grep -q '^200 0$' "$W/out"; }
check "a whole answer" until_ok whole || cat "$W/out"
for s in head0 head1 head2 interim; do ask $s; check "reset at $s: 502" grep -q '^502 0$' "$W/out"; done
for s in mid chunk0 chunk1 chunk2 close; do ask $s; check "reset at $s: the client can tell" grep -qE '^200 (18|56|92)$' "$W/out"; done
ask good; check "and the next one is whole" grep -q '^200 0$' "$W/out"
has_not 'ended by' "$W/openshelld.log" || die "a role died"
