#!/bin/bash
# What a client may say first: every odd ClientHello and every other protocol meets one verdict, is
# logged with its reason, and never reaches the origin unjudged.
. "$(dirname "$0")/lib.sh"
origin api.test l4.test
daemon_start
sandbox box '  api:
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: api.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: l4.test, port: 443 }
    binaries: [{ path: "/usr/bin/**" }]'
cat >"$W/state/sandboxes/box/home/hello.py" <<'P'
import os, socket, ssl, struct, sys
CA = os.environ.get("SSL_CERT_FILE")
def connect(host, port, explicit):
    if not explicit:
        s = socket.create_connection((host, port), timeout=10)
    else:
        s = socket.create_connection(("127.0.0.1", 3128), timeout=10)
        s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % ((host.encode(), port) * 2))
        head = b""
        while not head.endswith(b"\r\n\r\n"): head += s.recv(1) or sys.exit("closed before the 200")
        if b" 200 " not in head.split(b"\r\n")[0]: sys.exit(head.decode())
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s
class Tls:
    """A TLS client whose every byte passes through our hands."""
    def __init__(self, sni, alpn=None, maximum=None, verify=True):
        self.ctx = ssl.create_default_context(cafile=CA if verify else None)
        self.ctx.check_hostname = False
        if not verify: self.ctx.verify_mode = ssl.CERT_NONE
        if alpn: self.ctx.set_alpn_protocols(alpn)
        if maximum: self.ctx.minimum_version = self.ctx.maximum_version = maximum; self.ctx.set_ciphers("ALL:@SECLEVEL=0")
        self.i, self.o = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.s = self.ctx.wrap_bio(self.i, self.o, server_hostname=sni)
    def hello(self):
        try: self.s.do_handshake()
        except ssl.SSLWantReadError: pass
        return self.o.read()
    def finish(self, sock):
        while True:
            try: self.s.do_handshake(); break
            except ssl.SSLWantReadError: pass
            sock.sendall(self.o.read())
            d = sock.recv(65536)
            if not d: raise OSError("closed")
            self.i.write(d)
        sock.sendall(self.o.read())
    def exchange(self, sock, data):
        self.s.write(data); sock.sendall(self.o.read()); out = b""
        while True:
            try: d = self.s.read(65536)
            except ssl.SSLWantReadError:
                d = sock.recv(65536)
                if not d: return out
                self.i.write(d); continue
            except ssl.SSLError: return out
            if not d: return out
            out += d
def raw_answer(sock):
    """What a record layer would say: alert N, a ServerHello, plain bytes, an end."""
    d = b""
    try:
        while len(d) < 7:
            x = sock.recv(65536)
            if not x: break
            d += x
    except ConnectionResetError: return "reset"
    except TimeoutError: return "silence"
    if not d: return "closed"
    if d[0] == 21: return "alert %d" % d[6]
    if d[0] == 22: return "server hello"
    return d.decode("latin-1")
def extend(hello, kind, body):
    """The ClientHello (one record) with one more extension."""
    b = bytearray(hello[5:])
    o = 4 + 2 + 32; o += 1 + b[o]; o += 2 + struct.unpack(">H", b[o:o + 2])[0]; o += 1 + b[o]
    n = struct.unpack(">H", b[o:o + 2])[0]; e = struct.pack(">HH", kind, len(body)) + body
    b[o:o + 2] = struct.pack(">H", n + len(e)); b += e
    b[1:4] = (len(b) - 4).to_bytes(3, "big")
    return hello[:3] + struct.pack(">H", len(b)) + bytes(b)
def records(hello, size):
    b = hello[5:]
    return b"".join(hello[:3] + struct.pack(">H", len(b[i:i + size])) + b[i:i + size] for i in range(0, len(b), size))
def ech(payload, enc=32, kind=0): return bytes([kind]) + struct.pack(">HHB", 1, 1, 7) + struct.pack(">H", enc) + bytes(enc) + struct.pack(">H", payload) + bytes(payload)
GET = b"GET /zen HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
case, host, port, explicit = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "explicit"
s = connect(host, port, explicit)
name = host if port == 443 else "%s:%d" % (host, port)
def whole(t, first=None, each=None):
    h = t.hello()
    h = first(h) if first else h
    if each:
        for i in range(0, len(h), each): s.sendall(h[i:i + each])
    else: s.sendall(h)
    t.finish(s)
    print(t.exchange(s, GET % name.encode()).decode())
L4 = host == "l4.test"
try:
    if case == "plain": whole(Tls(host, verify=not L4))
    elif case == "upper": whole(Tls(host.upper(), verify=not L4))
    elif case == "nosni": whole(Tls(None, verify=not L4))
    elif case == "other": s.sendall(Tls("other.test").hello()); print(raw_answer(s))
    elif case == "segments": whole(Tls(host, verify=not L4), each=1)
    elif case.startswith("records"): whole(Tls(host, verify=not L4), first=lambda h: records(h, int(case[7:])))
    elif case == "split-sni": s.sendall(records(Tls("other.test").hello(), 3)); print(raw_answer(s))
    elif case == "ech": s.sendall(extend(Tls(host).hello(), 0xfe0d, ech(300))); print(raw_answer(s))
    elif case == "ech-inner": s.sendall(extend(Tls(host).hello(), 0xfe0d, b"\1")); print(raw_answer(s))
    elif case == "ech-fragmented": s.sendall(records(extend(Tls(host).hello(), 0xfe0d, ech(300)), 9)); print(raw_answer(s))
    elif case == "ech-grease": s.sendall(extend(Tls(host).hello(), 0xfe0d, ech(176))); print(raw_answer(s))
    elif case == "sni-twice": s.sendall(extend(Tls(host).hello(), 0, b"\0\r\0\0\nother.test")); print(raw_answer(s))
    elif case == "huge": s.sendall(records(extend(Tls(host).hello(), 0x1234, bytes(30000)), 16000)); print(raw_answer(s))
    elif case == "half": s.sendall(Tls(host).hello()[:100]); s.shutdown(socket.SHUT_WR); print(raw_answer(s))
    elif case == "h2-only": s.sendall(Tls(host, alpn=["h2"]).hello()); print(raw_answer(s))
    elif case == "h2-and-1": t = Tls(host, alpn=["h2", "http/1.1"], verify=not L4); whole(t); print("alpn", t.s.selected_alpn_protocol())
    elif case == "http10": t = Tls(host, alpn=["http/1.0"]); whole(t); print("alpn", t.s.selected_alpn_protocol())
    elif case == "tls11": s.sendall(Tls(host, maximum=ssl.TLSVersion.TLSv1_1).hello()); print(raw_answer(s))
    elif case == "h2-prior": s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"); print(raw_answer(s))
    elif case == "h2-prior-tls": t = Tls(host); s.sendall(t.hello()); t.finish(s); print(t.exchange(s, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0").decode())
    elif case == "h2c": s.sendall(b"GET /zen HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"); print(raw_answer(s))
    elif case == "http": s.sendall(GET % host.encode()); print(raw_answer(s))
    elif case == "ssh": s.sendall(b"SSH-2.0-client\r\n"); print(raw_answer(s))
    elif case == "sslv2": s.sendall(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37)); print(raw_answer(s))
    else: sys.exit("no such case")
except OSError as e: print("error:", e)
P
# the origin's own certificate is only to be seen on l4.test, where the client does not verify
try() { # CASE HOST PORT HOW
	in_box_bare box $PY /sandbox/hello.py "$@" >"$W/out" 2>&1 </dev/null
}
seen() { sort "$ORIGIN_DIR/requests" 2>/dev/null | uniq -c | awk '{s += $1} END {print s + 0}'; }
ok='Anything added'
for how in explicit transparent; do
	for c in plain upper nosni segments records1 records7 records100 h2-and-1; do
		try $c api.test 443 $how; check "$how: $c passes" has "$ok" "$W/out"
	done
	check "$how: ALPN answers http/1.1" has 'alpn http/1.1' "$W/out"
	try http10 api.test 443 $how; check "$how: a client that was told HTTP/1.0" has "$ok" "$W/out"
	check "$how: is answered so in ALPN" has 'alpn http/1.0' "$W/out"
	for c in plain upper segments records7 h2-and-1; do
		try $c l4.test 443 $how; check "$how: $c passes on an endpoint without protocol" has "$ok" "$W/out"
	done
	try plain api.test 80 $how; check "$how: TLS on port 80 is inspected too" has "$ok" "$W/out"
	before=$(seen)
	while read -r c host port want; do
		try "$c" "$host" "$port" $how
		check "$how: $c on $host:$port: $want" has "$want" "$W/out"
		check "$how: $c: nothing got through" has_not "$ok" "$W/out"
	done <<-T
		other api.test 443 alert 112
		split-sni api.test 443 alert 112
		ech api.test 443 alert 40
		ech-inner api.test 443 alert 40
		ech-fragmented api.test 443 alert 40
		sni-twice api.test 443 alert 40
		huge api.test 443 alert 40
		h2-only api.test 443 alert 120
		tls11 api.test 443 alert 70
		h2-prior api.test 443 unsupported_l7_protocol
		h2-prior api.test 80 unsupported_l7_protocol
		ssh api.test 443 unsupported_l7_protocol
		sslv2 api.test 443 unsupported_l7_protocol
		h2c api.test 80 h2c
		h2-prior-tls api.test 443 HTTP/1.1 4
		http api.test 443 request_authority_mismatch
	T
	try half api.test 443 $how; check "$how: half a hello ends" grep -qE '^(closed|reset|alert)' "$W/out"
	try ech-grease api.test 443 $how; check "$how: GREASE is no ECH" has 'server hello' "$W/out"
	try ech-grease l4.test 443 $how; check "$how: GREASE passes without protocol" has 'server hello' "$W/out"
	for c in other nosni split-sni ech ech-inner ech-fragmented sni-twice huge; do
		try $c l4.test 443 $how
		check "$how: $c is refused without protocol too" has_not 'server hello' "$W/out"
		check "$how: $c: nothing got through" has_not "$ok" "$W/out"
	done
	check "$how: the origin saw none of it" is "$(seen)" "$before"
done
logs box --level warn -n 1000
for r in sni_mismatch sni_missing tls_ech tls_client l7_protocol http_upgrade http_parse; do
	check "logged: $r" has "reason_code=$r" "$W/logs"
done

# renegotiation and early data with a client that knows how
in_box_bare box sh -c '(sleep 0.3; echo R; sleep 0.3; printf "GET /zen HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"; sleep 1) | openssl s_client -tls1_2 -servername api.test -connect api.test:443' >"$W/out" 2>&1
check "renegotiation was tried" has RENEGOTIATING "$W/out"
check "and refused" grep -qiE 'no.renegotiation|unexpected message|handshake failure' "$W/out"
in_box_bare box sh -c 'printf "GET /zen HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n" >req
	openssl s_client -ign_eof -sess_out t -servername api.test -connect api.test:443 <req >out1 2>&1
	openssl s_client -ign_eof -sess_in t -early_data req -servername api.test -connect api.test:443 <req 2>&1; openssl sess_id -in t -noout -text' >"$W/out" 2>&1
check "the session allows no early data" has 'Max Early Data: 0' "$W/out"
check "none is taken" has_not 'Early data was accepted' "$W/out"
check "the request after it is" has "$ok" "$W/out"
kill -0 "$DAEMON" || die "the daemon has gone"
check "no proxy was restarted" has_not 'restart' "$W/openshelld.log"
