#!/bin/bash
# Names: permitted ones get a stable synthetic address, others are refused without any upstream query.
. "$(dirname "$0")/lib.sh"
cat >"$W/dns.py" <<'P'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0))
print("listening", s.getsockname()[1], flush=True)
while True:
    d, a = s.recvfrom(4096)
    with open(sys.argv[1], "a") as f: f.write(repr(d[12:]) + "\n")
P
: >"$W/queries"
$PY "$W/dns.py" "$W/queries" >"$W/dns.out" & ORIGINS=$!
until_ok grep -q listening "$W/dns.out"
origin ok.test
RESOLVERS=127.0.0.1:$(awk '{print $2}' "$W/dns.out")
daemon_start
sandbox box '  api:
    endpoints:
      - { host: ok.test, port: 443 }
      - { host: "*.wild.test", port: 443 }
    binaries: [{ path: "/usr/bin/**" }]'
res() { in_box_bare box $PY -c 'import socket,sys
try: print(sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 443, proto=socket.IPPROTO_TCP)}))
except OSError as e: print("error", e)' "$1"; }
a=$(res ok.test)
check "a permitted name has a synthetic address" test "${a#*198.18.}" != "$a"
check "stable" is "$(res ok.test)" "$a"
b=$(res a.wild.test)
check "a wildcard name too" test "${b#*198.18.}" != "$b"
check "each name its own" test "$a" != "$b"
c=$(res secret-data.evil.test)
check "another name is refused" test "${c#error}" != "$c"
check "no upstream query for any of them" is "$(wc -c <"$W/queries")" 0
logs box
check "the refused name is logged" has 'secret-data.evil.test' "$W/logs"
in_box_bare box $PY -c '
import socket, struct
s = socket.create_connection(("198.18.0.1", 53), timeout=5)
q = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\2ok\4test\0\0\1\0\1"
s.sendall(struct.pack(">H", len(q)) + q)
n = struct.unpack(">H", s.recv(2))[0]; r = s.recv(n)
print("rcode", r[3] & 15, "answers", struct.unpack(">H", r[6:8])[0])' >"$W/out" 2>&1
check "DNS over TCP" has 'rcode 0 answers 1' "$W/out"
in_box_bare box $PY -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try: s.sendto(b"x", ("198.18.0.20", 9999)); print("sent")
except OSError as e: print("refused", e.errno)' >"$W/out" 2>&1
check "no other UDP" has refused "$W/out"
