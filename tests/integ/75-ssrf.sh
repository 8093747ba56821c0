#!/bin/bash
# Where a name may lead: internal and special addresses, mixed and changing answers, and every way a
# resolver can fail, against a DNS server and origins of the test's own. Everything happens in a network
# namespace without any way out.
if [ -z "${OSH_NETNS:-}" ] && [ "$(id -u)" = 0 ]; then exec env OSH_NETNS=1 unshare -n "$0" "$@"; fi
. "$(dirname "$0")/lib.sh"
ip link set lo up || die "lo"
for a in 93.184.216.34 10.99.0.1 10.99.0.2 10.98.0.1; do ip addr add $a/32 dev lo; done
ip -6 addr add 2606:2800::1/128 dev lo nodad
for port in 80 6443; do
	$PY "$ROOT/tools/origin.py" "$W/plain" x.test --plain --bind 0.0.0.0 --port $port >"$W/plain.$port" 2>&1 & ORIGINS="$ORIGINS $!"
	until_ok grep -q listening "$W/plain.$port" || { cat "$W/plain.$port"; die "origin on $port"; }
done
cat >"$W/dns.py" <<'P'
import collections, socket, struct, sys, threading
A, NS, CNAME, AAAA = 1, 2, 5, 28
def ip(t): return (A, socket.inet_aton(t)) if ":" not in t else (AAAA, socket.inet_pton(socket.AF_INET6, t))
zone = {}
for line in open(sys.argv[1]):
    f = line.split()
    if f: zone[f[0]] = f[1:]
asked = collections.Counter()
def wire(name): return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"
def answer(q):
    o, labels = 12, []
    while q[o]: labels.append(q[o + 1:o + 1 + q[o]].decode()); o += 1 + q[o]
    name, (qtype, _) = ".".join(labels).lower(), struct.unpack(">HH", q[o + 1:o + 5])
    question, out, rcode, n, owner = q[12:o + 5], b"", 0, 0, wire(name)
    rule = zone.get(name)
    asked[name, qtype] += 1
    open(sys.argv[2], "a").write("%s %d\n" % (name, qtype))
    while rule and rule[0] == "CNAME" and n < 20:
        out += owner + struct.pack(">HHIH", CNAME, 1, 0, len(wire(rule[1]))) + wire(rule[1]); n += 1
        owner = wire(rule[1]); rule = zone.get(rule[1])
    if rule is None: rcode = 0 if n else 3
    elif not rule: pass
    elif rule[0] == "SERVFAIL": rcode = 2
    elif rule[0] == "REFUSED": rcode = 5
    elif rule[0] == "TIMEOUT": return None
    elif rule[0] == "JUNK": return q[:2] + b"\x81\x80\0\1\0\3" + bytes(40)
    elif rule[0] == "CNAME": pass
    else:
        if rule[0] == "REBIND": rule = [rule[1] if asked[name, qtype] <= 1 else rule[2]]
        for t in rule:
            kind, data = ip(t)
            if kind == qtype: out += owner + struct.pack(">HHIH", kind, 1, 0, len(data)) + data; n += 1
    return q[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, n, 0, 0) + question + out
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0))
print("listening", s.getsockname()[1], flush=True)
while True:
    q, who = s.recvfrom(4096)
    r = answer(q)
    if r: s.sendto(r, who)
P
cat >"$W/zone" <<'Z'
good.evil.test 93.184.216.34
good6.evil.test 2606:2800::1 93.184.216.34
lo.evil.test 127.0.0.1
lo2.evil.test 127.9.9.9
meta.evil.test 169.254.169.254
zero.evil.test 0.0.0.0
zero8.evil.test 0.1.2.3
ten.evil.test 10.99.0.1
cgnat.evil.test 100.64.0.1
multi.evil.test 224.0.0.1
class-e.evil.test 240.0.0.1
bcast.evil.test 255.255.255.255
synthetic.evil.test 198.18.0.7
v6lo.evil.test ::1
v6any.evil.test ::
v6ll.evil.test fe80::1
v6ula.evil.test fd00::1
v6site.evil.test fec0::1
nat64.evil.test 64:ff9b::7f00:1
nat64ten.evil.test 64:ff9b::a63:1
nat64local.evil.test 64:ff9b:1::a63:1
mapped.evil.test ::ffff:127.0.0.1
mappedmeta.evil.test ::ffff:169.254.169.254
sixtofour.evil.test 2002:7f00:1::
teredo.evil.test 2001:0:5ef5:79fd::1
mixed.evil.test 93.184.216.34 10.99.0.1
mixedlast.evil.test 93.184.216.34 93.184.216.34 127.0.0.1
mixed6.evil.test 93.184.216.34 ::1
rebind.evil.test REBIND 93.184.216.34 10.99.0.1
alias.evil.test CNAME good.evil.test
chain.evil.test CNAME c1.evil.test
c1.evil.test CNAME c2.evil.test
c2.evil.test CNAME ten.evil.test
loop.evil.test CNAME loop2.evil.test
loop2.evil.test CNAME loop.evil.test
servfail.evil.test SERVFAIL
refused.evil.test REFUSED
timeout.evil.test TIMEOUT
junk.evil.test JUNK
empty.evil.test
exact.priv.test 10.99.0.1
exactlo.priv.test 127.0.0.1
exactmeta.priv.test 169.254.169.254
in.allow.test 10.99.0.1
out.allow.test 10.98.0.1
half.allow.test 10.99.0.1 10.98.0.1
public.allow.test 93.184.216.34
127.1 93.184.216.34
2130706433 93.184.216.34
0x7f.1 93.184.216.34
0x5db8d822 93.184.216.34
a.1 93.184.216.34
Z
: >"$W/queries"
$PY "$W/dns.py" "$W/zone" "$W/queries" >"$W/dns.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/dns.out" || { cat "$W/dns.out"; die dns; }
RESOLVERS=127.0.0.1:$(awk '{print $2}' "$W/dns.out")
CONFIG_MORE='workers: 1
limits: { idle_upstream: 0 }'   # each request resolves
daemon_start
sandbox box '  web:
    endpoints:
      - { host: "*.evil.test", port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: exact.priv.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: exact.priv.test, port: 6443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: exactlo.priv.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: exactmeta.priv.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "*.allow.test", port: 80, protocol: rest, enforcement: enforce, access: read-only, allowed_ips: [10.99.0.0/24] }
      - { host: "127.1", port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "2130706433", port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "0x7f.1", port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "0x5db8d822", port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "a.1", port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: 10.99.0.2, port: 80, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [{ path: "/usr/bin/**" }]'
cat >"$W/state/sandboxes/box/home/ask.py" <<'P'
import socket, sys
host, port = sys.argv[1], sys.argv[2]
s = socket.create_connection(("127.0.0.1", 3128), 20)
s.sendall(("CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n" % (host, port, host, port)).encode())
s.settimeout(20)
d = s.recv(65536)
if b" 200 " in d.split(b"\r\n")[0]: s.sendall(("GET /zen HTTP/1.1\r\nHost: %s%s\r\nConnection: close\r\n\r\n" % (host, "" if port == "80" else ":" + port)).encode())
while True:
    x = s.recv(65536)
    if not x: break
    d += x
print(d.decode("latin-1"))
P
connect() { in_box box $PY /sandbox/ask.py "$1" "${2:-80}" >"$W/out" 2>&1 </dev/null; }
forward() { in_box box curl -sS -i --max-time 20 "http://$1/zen" >"$W/out" 2>&1 </dev/null; }
bare() { in_box_bare box curl -sS -i --max-time 20 "http://$1/zen" >"$W/out" 2>&1 </dev/null; }
ok='Anything added'
passes() { for how in connect forward bare; do $how "$1"; check "$1, $how: passes" has "$ok" "$W/out"; done; }
blocked() { # NAME KIND REASON
	connect "$1"; check "$1: 403" has ' 403 ' "$W/out"
	check "$1: says what" has "{\"detail\":\"CONNECT $1:80 blocked: $2\",\"error\":\"ssrf_denied\"}" "$W/out"
	forward "$1"; check "$1, forward: says what" has "{\"detail\":\"GET $1:80 blocked: $2\",\"error\":\"ssrf_denied\"}" "$W/out"
	bare "$1"; check "$1, bare: 403" has 'ssrf_denied' "$W/out"
	logs box -n 20; check "$1: logged: $3" has "$1 resolves to $3" "$W/logs"
}
passes good.evil.test
passes good6.evil.test
passes alias.evil.test
passes exact.priv.test
passes in.allow.test
I='internal address'
before=$(wc -l <"$W/plain/requests")
for n in lo lo2 meta zero v6lo v6ll mapped mappedmeta; do blocked $n.evil.test "$I" internal; done
for n in zero8 ten cgnat multi class-e bcast synthetic v6any v6ula v6site nat64 nat64ten nat64local sixtofour teredo mixed mixedlast mixed6 chain; do blocked $n.evil.test "$I" internal; done
for n in exactlo exactmeta; do blocked $n.priv.test "declared endpoint check failed" always-blocked; done
for n in out half public; do blocked $n.allow.test 'allowed_ips check failed' ''; done
check "no origin was asked" is "$(wc -l <"$W/plain/requests")" "$before"
connect rebind.evil.test; check "rebinding: the first answer is public and passes" has "$ok" "$W/out"
turned() { connect rebind.evil.test; grep -q ssrf_denied "$W/out"; }
check "rebinding: the next one is judged anew" until_ok turned
connect exact.priv.test 6443; check "control-plane port" has 'blocked: ' "$W/out"
has_not "$ok" "$W/out" || die "a control-plane port answers"
logs box -n 5; check "control-plane port: logged" has 'port 6443 is a blocked control-plane port' "$W/logs"
connect 10.99.0.2; check "a declared address passes" has "$ok" "$W/out"
connect 10.99.0.1; check "another one does not" has 'policy_denied' "$W/out"
for n in 127.1 2130706433 0x7f.1 0x5db8d822 a.1; do
	connect $n; check "$n, a number for a name: 502, though the policy lists it" has ' 502 ' "$W/out"
	forward $n; has_not "$ok" "$W/out" || die "$n answers"
	has_not "$n" "$W/queries" || die "the resolver was asked for $n"
done
for n in nx servfail refused junk empty loop timeout; do
	t0=$(date +%s)
	connect $n.evil.test; check "$n: 502" has ' 502 ' "$W/out"
	check "$n: says what" has "connection to $n.evil.test:80 failed" "$W/out"
	check "$n: within 15 s" test $(($(date +%s) - t0)) -lt 15
	logs box -n 10; check "$n: logged" has "reason_code=dns_failed" "$W/logs"
done
check "the timeout is called one" grep -q 'timeout.evil.test.*resolver timed out' "$W/logs"
check "the resolver was asked, and lives" grep -q 'timeout.evil.test' "$W/queries"
policy_set box '  web:
    endpoints: [{ host: x.test, port: 80, allowed_ips: [127.0.0.0/8] }]
    binaries: [{ path: "/usr/bin/**" }]' >"$W/out" 2>&1 && die "allowed_ips may not name loopback"
check "allowed_ips of blocked networks are refused at load" grep -qi 'always.blocked\|loopback' "$W/out"
connect good.evil.test; check "and the old policy stays" has "$ok" "$W/out"
