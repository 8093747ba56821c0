#!/bin/bash
# The operator's upstream proxy: a real squid with Basic authentication in a network namespace of its
# own, behind which the origins are. The daemon's namespace has no route to them: what works went
# through the proxy. Then every way a proxy can fail, with one that does.
if [ -z "${OSH_NETNS:-}" ] && [ "$(id -u)" = 0 ]; then exec env OSH_NETNS=1 unshare -n "$0" "$@"; fi
. "$(dirname "$0")/lib.sh"
command -v squid >/dev/null || { echo "skip: squid is not installed (Debian: squid-openssl)"; exit 77; }
NCSA=/usr/lib/squid/basic_ncsa_auth
ORIGIN4=93.184.216.34 SECRET=s3cretPassw0rd
ip link set lo up || die "lo"
ip addr add 10.99.0.1/32 dev lo                     # an origin on this side, for no_proxy

# the far side: squid and the origins
unshare -n sleep 600 & FAR=$!; ORIGINS="$ORIGINS $FAR"
is_away() { [ "$(readlink "/proc/$FAR/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
until_ok is_away || die "namespace"
far() { nsenter -t $FAR -n "$@"; }
FARX="nsenter -t $FAR -n" # for the background: the pid is the program's, not a subshell's
ip link add up0 type veth peer name up1 netns $FAR || die "veth"
ip addr add 10.77.0.1/30 dev up0; ip link set up0 up
far ip link set lo up; far ip addr add 10.77.0.2/30 dev up1; far ip link set up1 up
far ip addr add $ORIGIN4/32 dev lo; far ip addr add 93.184.216.35/32 dev lo
far_origin() { # NAME-OF-LOG args of origin.py
	local log=$W/$1.out; shift
	$FARX $PY "$ROOT/tools/origin.py" "$@" >"$log" 2>&1 & ORIGINS="$ORIGINS $!"
	until_ok grep -q listening "$log" || { cat "$log"; die "origin"; }
}
far_origin tls "$W/origin" api.corp.test,pinned.corp.test,two.corp.test --bind 0.0.0.0 --port 443
far_origin plain "$W/plain" plain.corp.test --plain --bind 0.0.0.0 --port 80
CAS=$W/origin/ca.pem
$PY "$ROOT/tools/origin.py" "$W/near" near.direct.test --plain --bind 10.99.0.1 --port 80 >"$W/near.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/near.out" || die "near origin"
cat >"$W/banner.py" <<'P'
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", 2222)); s.listen(8); print("listening", flush=True)
while True:
    c, _ = s.accept(); c.sendall(b"SSH-2.0-far\r\n"); c.sendall(b"you said " + c.recv(100)); c.close()
P
$FARX $PY "$W/banner.py" >"$W/banner.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/banner.out" || die banner

mkdir "$W/squid"; chown proxy: "$W/squid"
printf 'corp:%s\n' "$(openssl passwd -apr1 $SECRET)" >"$W/squid/users"
printf '%s api.corp.test\n%s plain.corp.test\n' $ORIGIN4 $ORIGIN4 >"$W/squid/hosts"
cat >"$W/squid/conf" <<C
http_port 10.77.0.2:3128
pid_filename $W/squid/pid
hosts_file $W/squid/hosts
dns_nameservers 127.0.0.1
access_log stdio:$W/squid/access
cache_log $W/squid/cache
cache deny all
coredump_dir $W/squid
logformat osh %rm %ru %>Hs %un
access_log stdio:$W/squid/access osh
auth_param basic program $NCSA $W/squid/users
acl known proxy_auth REQUIRED
acl CONNECT method CONNECT
acl forbidden port 8443
http_access deny !CONNECT
http_access deny forbidden
http_access allow known
http_access deny all
connect_timeout 3 seconds
shutdown_lifetime 1 second
C
squid_start() { $FARX squid -N -f "$W/squid/conf" >"$W/squid.out" 2>&1 & SQUID=$!; ORIGINS="$ORIGINS $SQUID"; until_ok grep -q 'Accepting HTTP' "$W/squid/cache" || { cat "$W/squid.out" "$W/squid/cache"; die squid; }; }
squid_start

cat >"$W/dns.py" <<'P'
import socket, struct, sys
zone = dict(l.split() for l in open(sys.argv[1]) if l.strip())
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print("listening", s.getsockname()[1], flush=True)
while True:
    q, who = s.recvfrom(4096); o, l = 12, []
    while q[o]: l.append(q[o + 1:o + 1 + q[o]].decode().lower()); o += 1 + q[o]
    a = zone.get(".".join(l)); kind = struct.unpack(">H", q[o + 1:o + 3])[0]
    fam = socket.AF_INET6 if a and ":" in a.split(",")[0] else socket.AF_INET
    out = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, 4 if kind == 1 else 16) + socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, x)
        for x in (a or "").split(",") if x and (":" in x) == (kind == 28) and kind in (1, 28))
    n = len(out) // (16 if kind == 1 else 28)
    s.sendto(q[:2] + struct.pack(">HHHHH", 0x8180 | (0 if a else 3), 1, n, 0, 0) + q[12:o + 5] + out, who)
P
cat >"$W/zone" <<Z
proxy.corp.test 10.77.0.2
api.corp.test $ORIGIN4
pinned.corp.test $ORIGIN4
two.corp.test 93.184.216.99,$ORIGIN4
plain.corp.test $ORIGIN4
ssh.corp.test $ORIGIN4
dead.corp.test 93.184.216.98
meta.evil.test 169.254.169.254
ten.evil.test 10.77.0.2
near.direct.test 10.99.0.1
mixed.direct.test 10.99.0.1
Z
dns_start() {
	: >"$W/dns.out"; $PY "$W/dns.py" "$W/zone" >"$W/dns.out" 2>&1 & ORIGINS="$ORIGINS $!"
	until_ok grep -q listening "$W/dns.out" || { cat "$W/dns.out"; die dns; }
	RESOLVERS=127.0.0.1:$(awk '{print $2}' "$W/dns.out")
}
dns_start

( umask 077; printf 'corp:%s\n' $SECRET >"$W/auth" )
# proxy MORE-LINES: configuration with the proxy
proxy() { CONFIG_MORE="workers: 1
timeouts_ms: { upstream_proxy: ${PROXY_MS:-8000}, upstream_idle: 1500, upstream_age: ${AGE:-60000} }
upstream_proxy:
  https: ${PROXY:-http://proxy.corp.test:3128}
$1"; }
AUTH="  auth_file: $W/auth
  auth_allow_insecure: true"

# ---- what must not start
refused() { # WHAT TEXT
	daemon_config
	"$BUILD/openshelld" -n -c "$W/openshelld.yaml" >"$W/out" 2>&1 && die "$1: accepted"
	check "refused: $1" has "$2" "$W/out"
	has_not $SECRET "$W/out" || die "$1: the message holds the password"
}
proxy "$AUTH"; daemon_config; "$BUILD/openshelld" -n -c "$W/openshelld.yaml" >"$W/out" 2>&1 || { cat "$W/out"; die "a good configuration is refused"; }
CONFIG_MORE='upstream_proxy:';                                           refused "an empty section" "names no proxy"
CONFIG_MORE='upstream_proxy: { no_proxy: [a.test] }';                    refused "no_proxy alone" "names no proxy"
CONFIG_MORE='upstream_proxy: http://proxy.corp.test:3128';               refused "a text" "upstream_proxy"
PROXY=proxy.corp.test:3128 proxy "";                                     refused "no scheme" "it must be http://HOST:PORT"
PROXY=http://proxy.corp.test proxy "";                                   refused "no port" "the port is missing"
PROXY=https://proxy.corp.test:443 proxy "";                              refused "TLS to the proxy" "itself reached by TLS"
PROXY=http://corp:$SECRET@proxy.corp.test:1 proxy "";                    refused "credentials in the URL" "belong into auth_file"
proxy '  no_proxy: [a.test, "a.test:99999"]';                            refused "a bad port in no_proxy" 'no_proxy entry "a.test:99999": the port is not a number'
proxy '  no_proxy: [127.1]';                                             refused "half an address" "must be written in full"
proxy '  no_proxi: []';                                                  refused "a misspelt key" "no_proxy"
proxy "  auth_file: $W/auth";                                            refused "credentials in clear, unasked" "auth_allow_insecure"
proxy "  auth_allow_insecure: true";                                     refused "permission for nothing" "without auth_file"
proxy "  auth_file: auth
  auth_allow_insecure: true";                                            refused "a relative path" "absolute path"
proxy "  auth_file: $W/nothing
  auth_allow_insecure: true";                                            refused "a missing file" "No such file"
chmod 640 "$W/auth"; proxy "$AUTH";                                      refused "a file for the group" "group and others must have no access"
chmod 600 "$W/auth"; chown 65534 "$W/auth";                              refused "somebody else's file" "must belong to root"
chown 0 "$W/auth"; ln -s auth "$W/link"; proxy "  auth_file: $W/link
  auth_allow_insecure: true";                                            refused "a link" "symbolic links"
( umask 077; printf '%s\n' $SECRET >"$W/nocolon"; mkfifo "$W/fifo" ); proxy "  auth_file: $W/nocolon
  auth_allow_insecure: true";                                            refused "no user" "USER:PASSWORD"
proxy "  auth_file: $W/fifo
  auth_allow_insecure: true";                                            refused "a FIFO" "not a regular file"

# ---- squid
cat >"$W/ask.py" <<'P'
import socket, sys
# ask.py HOST PORT [FIRST-BYTES]: CONNECT, then say something and print all that comes
host, port = sys.argv[1], sys.argv[2]
s = socket.create_connection(("127.0.0.1", 3128), 20); s.settimeout(20)
s.sendall(("CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n" % (host, port, host, port)).encode())
d = s.recv(65536)
if b" 200 " in d.split(b"\r\n")[0] and len(sys.argv) > 3: s.sendall(sys.argv[3].encode().decode("unicode_escape").encode("latin-1"))
try:
    while True:
        x = s.recv(65536)
        if not x: break
        d += x
except OSError as e: d += str(e).encode()
print(d.decode("latin-1"))
P
ask() { in_box box $PY /sandbox/ask.py "$@" >"$W/out" 2>&1 </dev/null; }
curl_() { in_box box curl -sS --max-time 15 "$@" >"$W/out" 2>&1 </dev/null; }
bare() { in_box_bare box curl -sS --max-time 15 "$@" >"$W/out" 2>&1 </dev/null; }
# squid logs a tunnel when it ends: pooled ones end after upstream_idle
logged() { until_ok grep -q "$1" "$W/squid/access" || { cat "$W/squid/access"; return 1; }; }
asked() { sleep 3; grep -c "^CONNECT" "$W/squid/access"; }
POL='  web:
    endpoints:
      - { host: "*.corp.test", ports: [443, 8443], protocol: rest, enforcement: enforce, access: full }
      - { host: "pinned.corp.test", ports: [444], protocol: rest, enforcement: enforce, access: full, allowed_ips: [93.184.216.0/24] }
      - { host: "*.corp.test", ports: [80], protocol: rest, enforcement: enforce, access: full }
      - { host: "*.corp.test", ports: [2222, 2223] }
      - { host: "*.evil.test", ports: [443], protocol: rest, enforcement: enforce, access: full }
      - { host: "*.direct.test", ports: [80], protocol: rest, enforcement: enforce, access: full, allowed_ips: [10.99.0.0/24] }
    binaries: [{ path: "/usr/bin/**" }]'
ok='Anything added'
proxy "$AUTH
  no_proxy: [.direct.test]"
daemon_start
sandbox box "$POL"; cp "$W/ask.py" "$W/state/sandboxes/box/home/"
curl_ https://api.corp.test/zen; check "TLS, inspected, explicit: passes" has "$ok" "$W/out"
check "squid was asked for the address, with the credentials" logged "^CONNECT $ORIGIN4:443 200 corp"
n=$(asked); for _ in 1 2 3; do curl_ https://api.corp.test/zen; done
check "pooled tunnels are used again" is "$(asked)" $((n + 1))
bare https://api.corp.test/zen; check "transparent: passes" has "$ok" "$W/out"
curl_ -X PUT --data-binary @/usr/bin/bash https://api.corp.test/echo; check "a body of 1 MB" grep -q . "$W/out"
curl_ https://api.corp.test/bytes/3000000 -o /sandbox/got; check "3 MB back" is "$(stat -c %s "$W/state/sandboxes/box/home/got")" 3000000
ask ssh.corp.test 2222 'hello\r\n'; check "server-first, relayed" has "SSH-2.0-far" "$W/out"; check "and both ways" has "you said hello" "$W/out"
check "by CONNECT, too" logged "^CONNECT $ORIGIN4:2222 200 corp"
curl_ https://two.corp.test/zen; check "the second address when the first one is dead" has "$ok" "$W/out"
check "one after the other" logged '^CONNECT 93.184.216.99:443 50'
curl_ http://near.direct.test/zen; check "no_proxy: dialled directly" has "$ok" "$W/out"
ask near.direct.test 80 'GET /zen HTTP/1.1\r\nHost: near.direct.test\r\nConnection: close\r\n\r\n'; check "no_proxy, by CONNECT: dialled directly" has "$ok" "$W/out"
check "and squid does not know of it" is "$(grep -c '10\.99\.0\.1' "$W/squid/access")" 0
n=$(asked)
for h in meta ten; do ask $h.evil.test 443; check "$h.evil.test: refused here" has 'blocked: internal address' "$W/out"; done
check "without a word to the proxy" is "$(asked)" "$n"
curl_ http://plain.corp.test/zen; check "plain HTTP is not sent there unasked" has '"error":"upstream_unreachable"' "$W/out"
ask plain.corp.test 80 'GET /zen HTTP/1.1\r\nHost: plain.corp.test\r\nConnection: close\r\n\r\n'
check "but in a tunnel it is" has "$ok" "$W/out"
in_log() { logs box -n 20; grep -q "reason_code=upstream_proxy.*$1\|$1.*reason_code=upstream_proxy" "$W/logs"; }
says() { # WHAT TEXT: in the answer (explicit) and in the log
	check "$1: says so" has "\"message\":\"$2\"" "$W/out"
	check "$1: logged" until_ok in_log "$2"
}
ask api.corp.test 8443; check "not allowed by the proxy: 502" has ' 502 ' "$W/out"; says forbidden 'the upstream proxy does not allow this destination (403)'
ask dead.corp.test 443; says unreachable 'the upstream proxy cannot reach the destination (503)'
in_box box curl -sS -o /dev/null --max-time 15 https://api.corp.test/zen </dev/null
for p in $(pgrep -P "$DAEMON") "$DAEMON"; do
	tr '\0' '\n' <"/proc/$p/cmdline" | grep -q "$SECRET" && die "the password is on a command line"
	tr '\0' '\n' <"/proc/$p/environ" | grep -q "$SECRET" && die "the password is in an environment"
done
B64=$(printf 'corp:%s' $SECRET | base64)
for f in "$W/openshelld.log" "$W/logs" "$W"/state/log/*; do grep -qa "$SECRET\|$B64" "$f" && die "the password is in $f"; done
echo "ok: the password is in no log, command line or environment"
check "no role was restarted" has_not 'ended by' "$W/openshelld.log"

# ---- other configurations
again() { kill "$DAEMON"; wait "$DAEMON" 2>/dev/null; daemon_start; }
AGE=1 proxy "$AUTH
  http: http://10.77.0.2:3128/
  connect_by_hostname: true
  no_proxy: [10.99.0.0/24]"
again
curl_ http://plain.corp.test/zen; check "plain HTTP through the proxy when http says so" has "$ok" "$W/out"
check "by its name" logged '^CONNECT plain.corp.test:80 '
bare https://api.corp.test/zen; check "by name: passes" has "$ok" "$W/out"
check "by name: squid was asked for it" logged '^CONNECT api.corp.test:443 200'
n=$(asked); for _ in 1 2 3; do curl_ https://api.corp.test/zen; done
check "pooled tunnels end with their age" is "$(asked)" $((n + 3))
ask pinned.corp.test 444; check "allowed_ips: by address all the same" logged "^CONNECT $ORIGIN4:444 "
has_not 'pinned.corp.test:444' "$W/squid/access" || die "a name for which addresses are prescribed was left to the proxy"
n=$(asked); ask meta.evil.test 443; check "by name: checked here all the same" has 'blocked: internal address' "$W/out"
check "by name: and not asked for" is "$(asked)" "$n"
curl_ http://near.direct.test/zen; check "no_proxy by network" has "$ok" "$W/out"
( umask 077; printf 'corp:wrong\n' >"$W/auth" )
proxy "$AUTH"; again
ask api.corp.test 443; says "wrong credentials" 'the upstream proxy did not accept the credentials (407)'
bare -w '%{http_code}' https://api.corp.test/zen; check "wrong credentials, transparent: 502" has 502 "$W/out"
kill $SQUID; wait $SQUID 2>/dev/null
ask api.corp.test 443; says "no proxy there" 'no connection to the upstream proxy'
PROXY=http://nowhere.corp.test:3128 proxy ""; again
ask api.corp.test 443; says "no such proxy" 'the name of the upstream proxy does not resolve'

# ---- a proxy that does everything wrong: what depends on the address asked for
cat >"$W/bad.py" <<'P'
import socket, struct, sys, threading, time
OK = b"HTTP/1.1 200 OK\r\n\r\n"
def serve(c):
    d = b""
    while b"\r\n\r\n" not in d:
        x = c.recv(4096)
        if not x: return
        d += x
    where = d.split(b" ")[1].decode()
    open(sys.argv[1], "a").write(where + "\n")
    n = 0 if where[0] == "[" else int(where.split(":")[0].split(".")[3])
    if n == 0: c.sendall(b"HTTP/1.1 503 No IPv6\r\n\r\n")
    elif n == 1: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")                  # garbage
    elif n == 2: c.sendall(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"); time.sleep(1)   # more than an answer
    elif n == 3:                                                          # slow head
        for b in b"HTTP/1.1 200 OK\r\nA: " + b"x" * 60:
            c.sendall(bytes([b])); time.sleep(0.2)
    elif n == 4: c.sendall(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 9000 + b"\r\n\r\n")   # long head
    elif n == 5: pass                                                     # silence, then the end
    elif n == 6: c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))   # reset
    elif n == 7: c.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n")
    elif n == 8: c.sendall(b"HTTP/1.1 101 Switching\r\n\r\n")
    elif n == 9: c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 400)
    elif n == 10: c.sendall(b"HTTP/1.1 200 O"); time.sleep(0.3)           # ends in the head
    elif n == 11: time.sleep(30)                                          # never answers
    elif n == 12: c.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nsorry")
    elif n == 13:                                                         # good, by drops
        for b in OK: c.sendall(bytes([b])); time.sleep(0.02)
        c.sendall(b"you said " + c.recv(100))
    elif n == 14: c.sendall(OK + b"banner\r\n"); c.sendall(b"you said " + c.recv(100))
    elif n == 15: c.sendall(OK); c.recv(100); c.sendall(b"\x15\3\3\0\2\2\x28")      # tunnel, then a TLS alert
    c.close()
def run(c):
    try: serve(c)
    except OSError: pass
    finally: c.close()
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64); print("listening", s.getsockname()[1], flush=True)
while True: threading.Thread(target=run, args=(s.accept()[0],), daemon=True).start()
P
$PY "$W/bad.py" "$W/bad.asked" >"$W/bad.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/bad.out" || { cat "$W/bad.out"; die bad; }
for i in $(seq 15); do echo "f$i.corp.test 93.184.216.$i"; done >"$W/zone"
echo "f99.corp.test 93.184.216.12,93.184.216.13,2606:2800::1" >>"$W/zone"
dns_start
PROXY=http://127.0.0.1:$(awk '{print $2}' "$W/bad.out") PROXY_MS=2500 proxy "$AUTH"; again
fails() { # N TEXT: on an inspected and on a relayed endpoint
	ask "f$1.corp.test" 443 hello; check "f$1: 502" has ' 502 ' "$W/out"; says "f$1" "$2"
	[ "$1" = 2 ] && return
	ask "f$1.corp.test" 2223 hello; check "f$1, relayed: says so" has "\"message\":\"$2\"" "$W/out"
}
fails 1 'the answer of the upstream proxy is not HTTP/1'
fails 2 'the upstream proxy sent more than its answer (200)'
fails 3 'the upstream proxy did not answer in time'
fails 4 'the answer of the upstream proxy is too long'
fails 5 'the upstream proxy closed the connection without an answer'
fails 6 'the upstream proxy closed the connection without an answer'
fails 7 'the upstream proxy refused the connection (302)'
fails 8 'the answer of the upstream proxy is not HTTP/1 (101)'
fails 9 'the answer of the upstream proxy is too long'
fails 10 'the upstream proxy closed the connection without an answer'
fails 11 'the upstream proxy did not answer in time'
fails 12 'the upstream proxy cannot reach the destination (502)'
ask f13.corp.test 2223 hello; check "an answer in drops is one" has "you said hello" "$W/out"
ask f14.corp.test 2223 hello; check "what follows the answer belongs to the relay" has "banner" "$W/out"; check "both ways" has "you said hello" "$W/out"
bare -w '%{http_code}' https://f15.corp.test/; check "TLS is the upstream's, not the proxy's affair" has upstream_tls_failed "$W/out"
: >"$W/bad.asked"; ask f99.corp.test 2223 hello; check "after a 502 and a 503 the next address" has "you said hello" "$W/out"
check "families take turns, IPv4 first" is "$(tr '\n' ' ' <"$W/bad.asked")" "93.184.216.12:2223 [2606:2800::1]:2223 93.184.216.13:2223 "
bare -w '%{http_code}' https://f1.corp.test/; check "transparent, inspected: 502 with the reason" has 'is not HTTP/1' "$W/out"
has_not 'ended by' "$W/openshelld.log" || die "a role died"
