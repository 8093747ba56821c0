#!/bin/bash
# The upstream's certificate is never taken on less than a full proof: every way of being wrong is a
# real server of its own; a request to it ends with 502 and a log line that says why. Sessions are
# resumed within a sandbox and a name only.
. "$(dirname "$0")/lib.sh"
mkdir "$W/pki"; cd "$W/pki" || exit 1
q() { "$@" >>"$W/pki/log" 2>&1 || { tail -20 "$W/pki/log"; die "$*"; }; }
ec() { q openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
touch index.txt; echo unique_subject=no >index.txt.attr; echo 1000 >serial
cat >ca.cnf <<'C'
[ca]
default_ca=d
[d]
database=index.txt
serial=serial
new_certs_dir=.
default_md=sha256
policy=any
default_crl_days=30
[any]
commonName=supplied
[v3ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
[inter]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
[req]
distinguished_name=dn
[dn]
C
for ca in root stranger; do
	q openssl genrsa -out $ca.key 2048
	q openssl req -config ca.cnf -x509 -new -key $ca.key -days 30 -subj "/CN=$ca" -extensions v3ca -out $ca.pem
done
now=$(date -u +%Y%m%d%H%M%SZ -d '-1 day') later=$(date -u +%Y%m%d%H%M%SZ -d '+20 days')
# sign NAME CA KEY SAN MORE-EXTENSIONS [ca options...]
sign() {
	local name=$1 ca=$2 key=$3 san=$4 ext=$5; shift 5
	printf 'subjectAltName=%s\n%b\n' "$san" "$ext" >"$name.ext"
	q openssl req -config ca.cnf -new -key "$key" -subj "/CN=$name" -out "$name.csr"
	q openssl ca -config ca.cnf -batch -notext -cert "$ca.pem" -keyfile "$ca.key" -startdate "$now" -enddate "$later" \
		-extfile "$name.ext" -in "$name.csr" -out "$name.pem" "$@"
}
leaf=basicConstraints=CA:FALSE
ec leaf.key
ec inter.key
q openssl req -config ca.cnf -new -key inter.key -subj /CN=inter -out inter.csr
q openssl ca -config ca.cnf -batch -notext -cert root.pem -keyfile root.key -startdate "$now" -enddate "$later" -extensions inter -in inter.csr -out inter.pem
for n in good staplegood staplerevoked staplestale staplealien staplejunk tls12 tls10 tls11; do sign $n root leaf.key DNS:$n.bad.test $leaf; done
sign expired root leaf.key DNS:expired.bad.test $leaf -startdate 20200101000000Z -enddate 20200201000000Z
sign future root leaf.key DNS:future.bad.test $leaf -startdate 20400101000000Z -enddate 20400201000000Z
sign wronghost root leaf.key DNS:other.test $leaf
sign cnonly root leaf.key DNS:other.test $leaf -subj /CN=cnonly.bad.test
sign deepwild root leaf.key 'DNS:*.bad.test' $leaf   # served for a.deepwild.bad.test
sign partial root leaf.key 'DNS:part*.bad.test' $leaf
sign wildgood root leaf.key 'DNS:*.bad.test' $leaf
sign unknown stranger leaf.key DNS:unknown.bad.test $leaf
sign viainter inter leaf.key DNS:viainter.bad.test $leaf
sign nointer inter leaf.key DNS:nointer.bad.test $leaf
sign muststaple root leaf.key DNS:muststaple.bad.test "$leaf\ntlsfeature=status_request"
sign clientonly root leaf.key DNS:clientonly.bad.test "$leaf\nextendedKeyUsage=clientAuth"
cp leaf.key good.key
sign notaca good leaf.key DNS:notaca.bad.test $leaf   # issued by a leaf
q openssl genrsa -out rsa.key 2048
q openssl genrsa -out weak.key 1024
sign sha1 root rsa.key DNS:sha1.bad.test $leaf -md sha1
sign weak root weak.key DNS:weak.bad.test $leaf
q openssl req -config ca.cnf -x509 -new -key leaf.key -days 5 -subj /CN=selfsigned -addext subjectAltName=DNS:selfsigned.bad.test -out selfsigned.pem
# staples
q openssl ca -config ca.cnf -cert root.pem -keyfile root.key -revoke staplerevoked.pem
staple() { # NAME SIGNER [ocsp options...]
	local n=$1 s=$2; shift 2
	q openssl ocsp -index index.txt -rsigner "$s.pem" -rkey "$s.key" -CA root.pem -issuer root.pem -cert "$n.pem" -reqout "$n.req" 
	q openssl ocsp -index index.txt -rsigner "$s.pem" -rkey "$s.key" -CA root.pem -reqin "$n.req" -respout "$n.der" "$@"
}
staple staplegood root -ndays 5
staple staplerevoked root -ndays 5
staple staplestale root -ndays 5 -resp_no_certs
# the same answer of a month ago, signed anew: times and signature keep their lengths
cat >"$W/old.py" <<'P'
import datetime, re, subprocess, sys
b = bytearray(open(sys.argv[1], "rb").read())
def tlv(o):
    n, h = b[o + 1], 2
    if n & 0x80: k = n & 0x7f; n, h = int.from_bytes(b[o + 2:o + 2 + k], "big"), 2 + k
    return o + h, o + h + n
o, _ = tlv(0); _, o = tlv(o); o, _ = tlv(o); o, _ = tlv(o); _, o = tlv(o); o, _ = tlv(o); o, _ = tlv(o)
_, end = tlv(o)
past = iter(datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=d) for d in (30, 30, 25))
tbs = re.sub(rb"\x18\x0f\d{14}Z", lambda m: b"\x18\x0f" + next(past).strftime("%Y%m%d%H%M%SZ").encode(), bytes(b[o:end]))
b[o:end] = tbs
b[-256:] = subprocess.run(["openssl", "dgst", "-sha256", "-sign", sys.argv[2]], input=tbs, stdout=subprocess.PIPE, check=True).stdout
open(sys.argv[1], "wb").write(b)
P
q $PY "$W/old.py" staplestale.der root.key
staple staplealien stranger -ndays 5
printf '\060\003\012\001\002' >staplejunk.der   # "internal error"

serve() { # NAME [s_server options...]; without -key: leaf.key
	local n=$1 key=leaf.key; shift
	[ "$n" = sha1 ] && key=rsa.key
	[ "$n" = weak ] && key=weak.key
	free_port; port=$FREE_PORT
	openssl s_server -accept "127.0.0.1:$port" -cert "$n.pem" -key $key -www -cipher 'ALL:@SECLEVEL=0' "$@" >"$n.server" 2>&1 </dev/null &
	ORIGINS="$ORIGINS $!"
	HOSTS="$HOSTS
    $n.bad.test: 127.0.0.1:$port"
	PORTS="${PORTS:-} $port"
}
for n in good expired future wronghost cnonly partial wildgood unknown nointer muststaple clientonly sha1 weak selfsigned; do serve $n; done
serve viainter -cert_chain inter.pem
serve notaca -cert_chain good.pem
serve deepwild; HOSTS="$HOSTS
    a.deepwild.bad.test: 127.0.0.1:$port"
for n in staplegood staplerevoked staplestale staplealien staplejunk; do serve $n -status_file $n.der; done
serve tls12 -tls1_2
serve tls10 -tls1
serve tls11 -tls1_1
for p in $PORTS; do until_ok sh -c "ss -Hltn 'sport = :$p' | grep -q ." || { cat ./*.server; die "server on $p"; }; done

# an origin that says for each connection whether the session was resumed
cat >"$W/resume.py" <<'P'
import socket, ssl, sys, threading
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); ctx.load_cert_chain(sys.argv[1], sys.argv[2])
if sys.argv[3] == "1.2": ctx.maximum_version = ssl.TLSVersion.TLSv1_2
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(16); print("listening", s.getsockname()[1], flush=True)
def one(c):
    try:
        t = ctx.wrap_socket(c, server_side=True); t.recv(65536)
        b = b"resumed" if t.session_reused else b"full"
        t.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b)); t.unwrap(); t.close()
    except OSError: pass
while True: threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()
P
for v in 1.2 1.3; do
	n=res${v#1.}; sign $n root leaf.key DNS:$n.bad.test $leaf
	$PY "$W/resume.py" $n.pem leaf.key $v >"$n.out" 2>&1 & ORIGINS="$ORIGINS $!"
	until_ok grep -q listening "$n.out" || die "$n"
	HOSTS="$HOSTS
    $n.bad.test: 127.0.0.1:$(awk '{print $2}' "$n.out")"
done
CAS=$W/pki/root.pem CONFIG_MORE='workers: 1'   # each worker has sessions of its own
daemon_start
POL='  api:
    endpoints:
      - { host: "*.bad.test", port: 443, protocol: rest, enforcement: enforce, access: read-only }
      - { host: "a.deepwild.bad.test", port: 443, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [{ path: "/usr/bin/**" }]'
sandbox box "$POL"
sandbox two "$POL"

get() { in_box box curl -sS --max-time 10 -w '\n%{http_code}\n' "https://$1.bad.test/" >"$W/out" 2>&1; }
good() { get "$1"; check "$1: passes" is "$(tail -1 "$W/out")" 200; }
bad() { # NAME LOGGED-DETAIL
	get "$1"
	check "$1: 502" is "$(tail -1 "$W/out")" 502
	check "$1: the answer says that it is the certificate" has "$3" "$W/out"
	has_not 'Ciphers supported' "$W/out" || die "$1: something of the upstream came through"
	openshell logs box --since 1m 2>/dev/null | grep -F "$1.bad.test" >"$W/logs"
	check "$1: logged, $2" has "$2" "$W/logs"
}
V=upstream_tls_verify T=upstream_tls_failed
for n in good wildgood viainter staplegood tls12; do good $n; done
bad expired 'certificate has expired' $V
bad future 'certificate is not yet valid' $V
bad selfsigned 'self-signed certificate' $V
bad wronghost 'hostname mismatch' $V
bad cnonly 'hostname mismatch' $V
bad partial 'hostname mismatch' $V
bad a.deepwild 'hostname mismatch' $V
bad unknown 'unable to get local issuer certificate' $V
bad nointer 'unable to get local issuer certificate' $V
bad notaca 'invalid CA certificate' $V
bad clientonly 'unsuitable certificate purpose' $V
bad sha1 'signature digest algorithm too weak' $V
bad weak 'key too weak' $V
bad staplerevoked 'certificate revoked' $V
bad staplestale 'OCSP verification failed' $V
bad staplealien 'OCSP verification failed' $V
bad staplejunk 'OCSP verification failed' $V
bad muststaple 'OCSP verification needed' $V
bad tls10 'version' $T
bad tls11 'version' $T
# what was refused once is refused again (no state is left behind), also transparently
for n in expired staplerevoked; do
	in_box_bare box curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "https://$n.bad.test/" >"$W/out" 2>&1
	check "$n: again, transparently" is "$(cat "$W/out")" 502
done

for n in res2 res3; do
	in_box box curl -sS "https://$n.bad.test/" >"$W/a" 2>&1
	in_box box curl -sS "https://$n.bad.test/" >"$W/b" 2>&1
	in_box two curl -sS "https://$n.bad.test/" >"$W/c" 2>&1
	in_box box wget -q -O - "https://$n.bad.test/" >"$W/d" 2>&1
	check "$n: first connection, full handshake" is "$(cat "$W/a")" full
	check "$n: second one of the sandbox, resumed" is "$(cat "$W/b")" resumed
	check "$n: another sandbox, full" is "$(cat "$W/c")" full
	check "$n: another binary, full" is "$(cat "$W/d")" full
done

# the client's side: a ticket is good for the sandbox and the name it was given for
req() { printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1"; }
for v in -tls1_2 -tls1_3; do
	s_client() { local b=$1 n=$2; shift 2; req "$n.bad.test" | in_box_bare "$b" openssl s_client $v -ign_eof -servername "$n.bad.test" -connect "$n.bad.test:443" "$@" >"$W/out" 2>&1; }
	s_client box good -sess_out /sandbox/t; check "$v: new session" has 'New, TLS' "$W/out"
	s_client box good -sess_in /sandbox/t; check "$v: resumed in its sandbox" has 'Reused, TLS' "$W/out"
	s_client box wildgood -sess_in /sandbox/t; check "$v: not with another name" has 'New, TLS' "$W/out"
	cp "$W/state/sandboxes/box/home/t" "$W/state/sandboxes/two/home/t"; chmod 644 "$W/state/sandboxes/two/home/t"
	s_client two good -sess_in /sandbox/t; check "$v: not in another sandbox" has 'New, TLS' "$W/out"
done
