#!/bin/bash
# A TLS session made with one name is resumed for another only where that is safe: same sandbox, caller,
# address and port, TLS 1.3, and a certificate that is for the new name, too. Servers say what they saw.
. "$(dirname "$0")/lib.sh"
mkdir "$W/pki"; cd "$W/pki" || exit 1
q() { "$@" >>"$W/pki/log" 2>&1 || { tail -20 "$W/pki/log"; die "$*"; }; }
q openssl ecparam -name prime256v1 -genkey -noout -out root.key
q openssl req -x509 -new -key root.key -days 30 -subj /CN=root -out root.pem
q openssl ecparam -name prime256v1 -genkey -noout -out leaf.key
cert() { # FILE SAN
	printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$2" >"$1.ext"
	q openssl req -new -key leaf.key -subj "/CN=leaf" -out "$1.csr"
	q openssl x509 -req -in "$1.csr" -CA root.pem -CAkey root.key -CAcreateserial -days 10 -extfile "$1.ext" -out "$1.pem"
}
names() { local n s=; for n in "$@"; do s="$s,DNS:$n.share.test"; done; echo "${s#,}"; }
cert many "$(names one two port addr old older strict lax '*.w')"
cert solo "$(names solo)"

# every connection's answer: "full" or "resumed", and the server name; tickets are good at all of its ports
cat >"$W/server.py" <<'P'
import socket, ssl, sys, threading
def context(cert, newest=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(cert, "leaf.key")
    if newest: c.maximum_version = newest
    c.sni_callback = on_name
    return c
made_for = {}
def on_name(t, name, ctx):
    t.name = name
    if name == "solo.share.test": t.context = solo
    if strict is ctx and t.session_reused and name not in made_for: return ssl.ALERT_DESCRIPTION_ACCESS_DENIED
    if strict is ctx: made_for[name] = True
solo = strict = None
many = context("many.pem"); solo = context("solo.pem"); strict = context("many.pem"); old = context("many.pem", ssl.TLSVersion.TLSv1_2)
def one(c, ctx):
    try:
        t = ctx.wrap_socket(c, server_side=True); t.recv(65536)
        b = (("resumed " if t.session_reused else "full ") + t.name).encode()
        t.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b)); t.unwrap(); t.close()
    except OSError: pass
def serve(s, ctx):
    while True: threading.Thread(target=one, args=(s.accept()[0], ctx), daemon=True).start()
def listen(addr, ctx, port=0):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((addr, port)); s.listen(16)
    threading.Thread(target=serve, args=(s, ctx)).start()
    return s.getsockname()[1]
a = listen("127.0.0.1", many)
print("listening", a, listen("127.0.0.1", many), listen("127.0.0.2", many, a), listen("127.0.0.1", old), listen("127.0.0.1", strict), flush=True)
P
$PY "$W/server.py" >"$W/server.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/server.out" || { cat "$W/server.out"; die "server"; }
read -r _ P1 P2 P3 P4 P5 <"$W/server.out"
free_port
openssl s_server -accept "127.0.0.1:$FREE_PORT" -cert many.pem -key leaf.key -www >"$W/s_server.out" 2>&1 </dev/null & ORIGINS="$ORIGINS $!"
until_ok sh -c "ss -Hltn 'sport = :$FREE_PORT' | grep -q ." || die "s_server"
host() { HOSTS="$HOSTS
    $1.share.test: $2"; }
for n in one two solo nobody; do host $n "127.0.0.1:$P1"; done
host port "127.0.0.1:$P2"; host addr "127.0.0.2:$P3"
for n in old older; do host $n "127.0.0.1:$P4"; done
for n in strict lax x.w; do host $n "127.0.0.1:$P5"; done
for n in a.w b.w; do host $n "127.0.0.1:$FREE_PORT"; done
CAS=$W/pki/root.pem CONFIG_MORE='workers: 1'   # each worker has sessions of its own
daemon_start
POL='  api:
    endpoints:
      - { host: "*.share.test", port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "*.w.share.test", port: 443, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [{ path: "/usr/bin/**" }]'
sandbox box "$POL"
sandbox two "$POL"
get() { in_box "$1" curl -sS --max-time 10 "https://$2.share.test/" 2>&1; }

check "a name's first connection is a full handshake" is "$(get box one)" "full one.share.test"
check "another port shares nothing" is "$(get box port)" "full port.share.test"
check "another address shares nothing" is "$(get box addr)" "full addr.share.test"
check "another sandbox shares nothing" is "$(get two two)" "full two.share.test"
check "another program shares nothing" is "$(in_box box wget -q -O - https://two.share.test/ 2>&1)" "full two.share.test"
check "a name that the certificate does not have is verified by itself" is "$(get box solo)" "full solo.share.test"
get box nobody >"$W/out"
check "... and refused by itself" has upstream_tls_verify "$W/out"
check "a name that it has resumes, under its own name" is "$(get box two)" "resumed two.share.test"
check "... and goes on with what it was given" is "$(get box two)" "resumed two.share.test"
check "the refused name is still refused" is "$(get box nobody | grep -c upstream_tls_verify)" 1

check "TLS 1.2: full" is "$(get box old)" "full old.share.test"
check "TLS 1.2: resumes with its own name" is "$(get box old)" "resumed old.share.test"
check "TLS 1.2: not with another" is "$(get box older)" "full older.share.test"

check "a server that ends such handshakes" is "$(get box strict)" "full strict.share.test"
check "... is asked once more without" is "$(get box lax)" "full lax.share.test"
check "... and not asked that way again" is "$(get box x.w)" "full x.w.share.test"
check "... but with what it gave for the name" is "$(get box lax)" "resumed lax.share.test"

get box a.w >"$W/out"; check "openssl s_server: full" has "New, TLSv1.3" "$W/out"
get box b.w >"$W/out"; check "openssl s_server: another name resumes" has "Reused, TLSv1.3" "$W/out"

# a policy that drops a name: what was learned with it opens nothing, and goes on serving who is allowed
policy_set box '  api:
    endpoints: [{ host: "one.share.test", port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: "/usr/bin/**" }]' >"$W/set" 2>&1 || { cat "$W/set"; die "policy set"; }
get box two >"$W/out"; check "a dropped name is denied" has_not share.test "$W/out"
check "what is left resumes" is "$(get box one)" "resumed one.share.test"
