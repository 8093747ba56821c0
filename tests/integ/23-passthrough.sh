#!/bin/bash
# Endpoints without protocol relay bytes as they are: the client sees the origin's own certificate, a
# different SNI is refused, server-speaks-first protocols work, half-close is kept.
. "$(dirname "$0")/lib.sh"
origin l4.test
cat >"$W/first.py" <<'P'
import socket, threading, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 0)); s.listen(16); print("listening", s.getsockname()[1], flush=True)
def serve(c):
    c.sendall(b"SSH-2.0-banner\r\n")
    data = b""
    while True:
        d = c.recv(65536)
        if not d: break
        data += d
    c.sendall(b"got %d bytes\n" % len(data)); c.close()
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
P
$PY "$W/first.py" >"$W/first.out" & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/first.out"
HOSTS="$HOSTS
    ssh.test: 127.0.0.1:$(awk '{print $2}' "$W/first.out")"
daemon_start
sandbox box '  l4:
    endpoints:
      - { host: l4.test, port: 443 }
      - { host: ssh.test, port: 22 }
    binaries: [{ path: "/usr/bin/**" }]'
cp "$ORIGIN_DIR/ca.pem" "$W/state/sandboxes/box/home/ca.pem"; chmod 644 "$W/state/sandboxes/box/home/ca.pem"
for how in in_box in_box_bare; do
	$how box curl -sS --cacert /sandbox/ca.pem https://l4.test/zen >"$W/out" 2>&1
	check "$how: the origin's own certificate" has 'Anything added' "$W/out"
	$how box curl -sS --cacert /sandbox/ca.pem -X POST -d x https://l4.test/any >"$W/out" 2>&1
	check "$how: no rules on L4" has created "$W/out"
	$how box curl -sS --cacert /sandbox/ca.pem https://l4.test/bytes/20000000 >"$W/bytes" 2>"$W/err"
	check "$how: 20 MB arrive" is "$(stat -c %s "$W/bytes")" 20000000
done
head -c 1000000 /dev/zero | in_box_bare box $PY -c '
import socket, sys
s = socket.create_connection(("ssh.test", 22))
print(s.recv(100).decode().strip())
s.sendall(sys.stdin.buffer.read()); s.shutdown(socket.SHUT_WR)
print(s.makefile().read().strip())' >"$W/out" 2>&1
check "server speaks first" has 'SSH-2.0-banner' "$W/out"
check "half-close keeps the other direction" has 'got 1000000 bytes' "$W/out"
in_box_bare box openssl s_client -connect l4.test:443 -servername other.test </dev/null >"$W/out" 2>&1
check "another SNI is refused" has_not 'BEGIN CERTIFICATE' "$W/out"
logs box --level warn
check "and logged" has 'TLS server name differs' "$W/logs"
