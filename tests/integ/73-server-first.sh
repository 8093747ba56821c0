#!/bin/bash
# Protocols in which the server speaks first, with real servers: ssh and scp and a port forwarding by
# host name, PostgreSQL with and without TLS. A policy that stops allowing them closes what is open.
. "$(dirname "$0")/lib.sh"
[ -x /usr/sbin/sshd ] || { echo "skip: openssh-server is not installed"; exit 77; }
mkdir -p /run/sshd "$W/ssh"
ssh-keygen -q -t ed25519 -N '' -f "$W/ssh/host" && ssh-keygen -q -t ed25519 -N '' -f "$W/ssh/id" || die "keys"
free_port; SSHP=$FREE_PORT
cat >"$W/ssh/config" <<C
Port $SSHP
ListenAddress 127.0.0.1
HostKey $W/ssh/host
PidFile $W/ssh/pid
AuthorizedKeysFile $W/ssh/id.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
LogLevel VERBOSE
Subsystem sftp internal-sftp
C
/usr/sbin/sshd -D -e -f "$W/ssh/config" >"$W/ssh/log" 2>&1 & ORIGINS=$!
until_ok grep -q 'Server listening' "$W/ssh/log" || { cat "$W/ssh/log"; die "sshd"; }
HOSTS="
    ssh.test: 127.0.0.1:$SSHP"
# behind the sshd, reached by port forwarding only
$PY -c '
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b"behind the sshd")
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H); print("listening", s.server_address[1], flush=True); s.serve_forever()' >"$W/web.out" 2>/dev/null & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/web.out" || die web
WEB=$(awk '{print $2}' "$W/web.out")
PG=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
if [ -x "$PG/initdb" ] && id postgres >/dev/null 2>&1; then
	free_port; PGP=$FREE_PORT
	install -d -o postgres -m 700 "$W/pg"
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=db.test -days 5 -keyout "$W/pg.key" -out "$W/pg.crt" 2>/dev/null
	pg() { runuser -u postgres -- env LC_ALL=C "$@"; }
	pg "$PG/initdb" -D "$W/pg/d" -A trust --no-sync >"$W/pg.log" 2>&1 || { cat "$W/pg.log"; die initdb; }
	install -o postgres -m 600 "$W/pg.key" "$W/pg.crt" "$W/pg/d/"
	pg "$PG/postgres" -D "$W/pg/d" -p "$PGP" -h 127.0.0.1 -k "$W/pg/d" -c ssl=on -c ssl_cert_file=pg.crt -c ssl_key_file=pg.key -c fsync=off >>"$W/pg.log" 2>&1 & ORIGINS="$ORIGINS $!"
	until_ok grep -q 'ready to accept' "$W/pg.log" || { cat "$W/pg.log"; die postgres; }
	HOSTS="$HOSTS
    db.test: 127.0.0.1:$PGP"
else
	PG=; echo "note: no PostgreSQL here"
fi
daemon_start
ENTRY='  l4:
    endpoints:
      - { host: ssh.test, port: 22 }
      - { host: db.test, port: 5432 }
    binaries: [{ path: /usr/bin/ssh }, { path: /usr/lib/postgresql/*/bin/psql }]'
sandbox box "$ENTRY"
home=$W/state/sandboxes/box/home
owner=$(stat -c %u:%g "$home")
install -m 600 "$W/ssh/id" "$home/id"; chown "$owner" "$home/id"
echo "ssh.test $(cut -d' ' -f1,2 "$W/ssh/host.pub")" >"$home/known"; chmod 644 "$home/known"
SSH="ssh -F none -i /sandbox/id -o UserKnownHostsFile=/sandbox/known -o StrictHostKeyChecking=yes -o BatchMode=yes -o ConnectTimeout=10"

for how in in_box in_box_bare; do
	$how box $SSH root@ssh.test 'echo out from the other side; echo err >&2; exit 7' >"$W/out" 2>&1 </dev/null; rc=$?
	check "$how: ssh by name: the command's output" has 'out from the other side' "$W/out"
	check "$how: and its exit code" is $rc 7
done
check "the key of the real server was checked" has 'Accepted publickey' "$W/ssh/log"
head -c 20000000 /dev/urandom >"$home/big"; chmod 644 "$home/big"
t0=$(date +%s)
in_box_bare box scp -q -F none -i /sandbox/id -o UserKnownHostsFile=/sandbox/known -o BatchMode=yes big root@ssh.test:"$W/got" >"$W/out" 2>&1 </dev/null || { cat "$W/out"; die scp; }
check "scp of 20 MB arrives whole" cmp "$home/big" "$W/got"
in_box_bare box scp -q -F none -i /sandbox/id -o UserKnownHostsFile=/sandbox/known -o BatchMode=yes root@ssh.test:"$W/got" back >"$W/out" 2>&1 </dev/null || { cat "$W/out"; die "scp back"; }
check "and back" cmp "$home/big" "$home/back"
check "both in less than 10 s" test $(($(date +%s) - t0)) -lt 10
in_box_bare box $PY -c 'import socket; s = socket.create_connection(("ssh.test", 22), 5); s.settimeout(5); print(s.recv(100))' >"$W/out" 2>&1 </dev/null
check "another binary does not reach the sshd" has_not SSH-2.0 "$W/out"

if [ -n "$PG" ]; then
	for how in in_box in_box_bare; do
		for mode in disable require; do
			$how box "$PG/psql" "host=db.test user=postgres dbname=postgres sslmode=$mode" -Atc 'select 6 * 7, ssl from pg_stat_ssl where pid = pg_backend_pid()' >"$W/out" 2>&1 </dev/null
			check "$how: PostgreSQL, sslmode=$mode" grep -q '^42|' "$W/out"
		done
	done
	check "TLS to the database is the database's own" has '42|t' "$W/out"
	in_box_bare box "$PG/psql" "host=db.test user=postgres dbname=postgres" -Atc 'select sum(length(x)) from (select repeat(i::text, 100) x from generate_series(1, 50000) i) t; copy (select repeat(chr(97), 1000) from generate_series(1, 20000)) to stdout' >"$W/out" 2>&1 </dev/null
	check "20 MB of rows" is "$(grep -c '^aaaa' "$W/out")" 20000
fi

# open tunnels under a new policy
in_box_bare box $SSH -N -L 127.0.0.1:9009:127.0.0.1:"$WEB" root@ssh.test >"$W/tunnel" 2>&1 </dev/null & T1=$!
through() { in_box_bare box curl -sS --max-time 5 http://127.0.0.1:9009/ 2>&1 | grep -q 'behind the sshd'; }
check "a port forwarding works" until_ok through
policy_set box "$ENTRY
  more:
    endpoints: [{ host: api.test, port: 443 }]
    binaries: [{ path: /usr/bin/curl }]" >/dev/null || die "policy set"
check "a policy that still allows it leaves it alone" through
kill -0 $T1 || die "the tunnel has ended"
policy_set box '  more:
    endpoints: [{ host: api.test, port: 443 }]
    binaries: [{ path: /usr/bin/curl }]' >/dev/null || die "policy set"
gone() { ! kill -0 $T1 2>/dev/null; }
check "one that does not ends the ssh" until_ok gone
wait $T1; check "with ssh's code for a broken connection" is $? 255
through && die "the forwarding still works"
logs box -n 100
check "the reason is logged" has 'deny_reason="no matching network policy" detail="closed: the new policy does not allow it"' "$W/logs"
in_box_bare box $SSH root@ssh.test true >"$W/out" 2>&1 </dev/null && die "ssh connects under the new policy"
echo "ok: and no new one"
