#!/bin/bash
# The programs people run: each trusts the sandbox's CA by itself and gets through, with proxy
# variables, without them, and (where it has a system store) without any CA variable too.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/local/go/bin
for c in npm go node java javac; do command -v $c >/dev/null || die "$c is not installed: tools/install-deps test"; done
www=$W/www
mkdir -p "$www"/{api.test,git.test,pypi.org/simple/osh-hello,files.pythonhosted.org/p,registry.npmjs.org/osh-hello/-,proxy.golang.org/example.test/hello/@v}
echo 'Anything added' >"$www/api.test/zen"
# git, the dumb protocol
git init -q "$W/seed" && (cd "$W/seed" && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m one)
git clone -q --bare "$W/seed" "$www/git.test/r.git" && git -C "$www/git.test/r.git" update-server-info
# Python index, npm registry, Go module proxy, each with one package
cat >"$W/packages.py" <<'P'
import base64, hashlib, io, json, sys, tarfile, zipfile
www = sys.argv[1]
def put(path, data): open("%s/%s" % (www, path), "wb").write(data if isinstance(data, bytes) else data.encode())
def zipped(files):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w") as z:
        for name, text in files.items(): z.writestr(name, text)
    return b.getvalue()
d = "osh_hello-1.0.dist-info/"
wheel = zipped({"osh_hello.py": "print('hello from the wheel')\n", d + "METADATA": "Metadata-Version: 2.1\nName: osh-hello\nVersion: 1.0\n",
    d + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n", d + "RECORD": ""})
whl = "osh_hello-1.0-py3-none-any.whl"
put("files.pythonhosted.org/p/" + whl, wheel)
put("pypi.org/simple/osh-hello/index.html", '<!DOCTYPE html><html><body><a href="https://files.pythonhosted.org/p/%s#sha256=%s">%s</a></body></html>' % (whl, hashlib.sha256(wheel).hexdigest(), whl))
b = io.BytesIO()
with tarfile.open(fileobj=b, mode="w:gz") as t:
    for name, text in {"package/package.json": '{"name":"osh-hello","version":"1.0.0","main":"i.js"}', "package/i.js": 'console.log("hello from the tarball")\n'}.items():
        i = tarfile.TarInfo(name); i.size = len(text); t.addfile(i, io.BytesIO(text.encode()))
tgz = b.getvalue()
put("registry.npmjs.org/osh-hello/-/osh-hello-1.0.0.tgz", tgz)
put("registry.npmjs.org/osh-hello/index.html", json.dumps({"name": "osh-hello", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": "osh-hello", "version": "1.0.0",
    "dist": {"tarball": "https://registry.npmjs.org/osh-hello/-/osh-hello-1.0.0.tgz", "integrity": "sha512-" + base64.b64encode(hashlib.sha512(tgz).digest()).decode()}}}}))
m = "proxy.golang.org/example.test/hello/@v/v1.0.0"
put(m + ".info", '{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}')
put(m + ".mod", "module example.test/hello\n")
put(m + ".zip", zipped({"example.test/hello@v1.0.0/go.mod": "module example.test/hello\n", "example.test/hello@v1.0.0/h.go": "package hello\n"}))
P
$PY "$W/packages.py" "$www" || die "packages"
cat >"$W/static.py" <<'P'
import http.server, os, ssl, sys
sys.path.insert(0, sys.argv[1] + "/tools")
from origin import make_certificates
os.makedirs(sys.argv[2], exist_ok=True)
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        p = os.path.join(sys.argv[3], self.headers["Host"], self.path.split("?")[0].lstrip("/"))
        if os.path.isdir(p): p += "/index.html"
        ok = os.path.isfile(p) and ".." not in p
        b = open(p, "rb").read() if ok else b"not here"
        self.send_response(200 if ok else 404)
        self.send_header("Content-Type", "application/json" if b[:1] == b"{" else "text/html" if b[:1] == b"<" else "application/octet-stream")
        self.send_header("Content-Length", str(len(b))); self.end_headers()
        if self.command == "GET": self.wfile.write(b)
    do_HEAD = do_GET
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(*make_certificates(sys.argv[2], os.listdir(sys.argv[3])))
s.socket = c.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
print("listening", s.server_address[1], flush=True); s.serve_forever()
P
PYTHONDONTWRITEBYTECODE=1 $PY "$W/static.py" "$ROOT" "$W/origin" "$www" >"$W/origin.out" 2>&1 & ORIGINS=$!
until_ok grep -q listening "$W/origin.out" || { cat "$W/origin.out"; die origin; }
CAS=$W/origin/ca.pem
eps=''
for h in "$www"/*; do
	h=${h##*/}
	HOSTS="$HOSTS
    $h: 127.0.0.1:$(awk '/listening/{print $2}' "$W/origin.out")"
	eps="$eps
      - { host: $h, port: 443, protocol: rest, enforcement: enforce, access: read-only }"
done
daemon_start
sandbox box "  all:
    endpoints: $eps
    binaries: [{ path: \"/usr/**\" }, { path: \"/opt/**\" }]"
home=$W/state/sandboxes/box/home

# in_box_plain: neither proxy nor CA variables: the system's places must do
in_box_plain() { local n=$1; shift; in_box_bare "$n" /usr/bin/env -u SSL_CERT_FILE -u REQUESTS_CA_BUNDLE -u CURL_CA_BUNDLE -u GIT_SSL_CAINFO -u PIP_CERT -u NODE_EXTRA_CA_CERTS -u AWS_CA_BUNDLE "$@"; }
done_=
ran() { # NAME HOW EXPECTED COMMAND...
	local name=$1 how=$2 want=$3; shift 3
	$how box "$@" >"$W/out" 2>&1 </dev/null
	check "$name, $how" has "$want" "$W/out"
	done_="$done_ $name/$how"
}
for how in in_box in_box_bare in_box_plain; do
	ran curl $how 'Anything added' curl -sS https://api.test/zen
	ran wget $how 'Anything added' wget -q -O - https://api.test/zen
	ran git $how refs/heads git ls-remote https://git.test/r.git
	ran python3-urllib $how 'Anything added' $PY -c 'import urllib.request as u; print(u.urlopen("https://api.test/zen").read())'
	ran python3-requests $how 'Anything added' $PY -c 'import requests; print(requests.get("https://api.test/zen").text)'
	ran pip $how 'osh_hello-1.0-py3-none-any.whl' sh -c "rm -rf dl; $PY -m pip --disable-pip-version-check --no-cache-dir download --no-deps -d dl osh-hello && ls dl"
	if [ $how != in_box_plain ]; then
		ran npm $how 'hello from the tarball' sh -c 'rm -rf n && mkdir n && cd n && npm_config_cache=/sandbox/.npm npm install --no-audit --no-fund --no-update-notifier osh-hello && node -e "require(\"osh-hello\")"'
	fi
	ran go $how v1.0.0 env GOPROXY=https://proxy.golang.org GONOSUMDB='*' GOTOOLCHAIN=local GOMODCACHE="/sandbox/gm-$how" GOFLAGS=-modcacherw PATH="$PATH" go mod download -json example.test/hello@v1.0.0
done
# node knows no proxy variables until version 24
ran node in_box_bare 'Anything added' /usr/bin/node -e 'require("https").get("https://api.test/zen", r => r.pipe(process.stdout))'
ran node-fetch in_box_bare 'Anything added' /usr/bin/node -e 'fetch("https://api.test/zen").then(r => r.text()).then(console.log)'
req='printf "GET /zen HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"'
ran openssl in_box 'Anything added' sh -c "$req | openssl s_client -quiet -verify_return_error -proxy 127.0.0.1:3128 -servername api.test -connect api.test:443"
ran openssl in_box_plain 'Anything added' sh -c "$req | openssl s_client -quiet -verify_return_error -servername api.test -connect api.test:443"
cat >"$W/Fetch.java" <<-'J'
public class Fetch {
	public static void main(String[] a) throws Exception {
		System.out.println(new String(new java.net.URL("https://api.test/zen").openStream().readAllBytes()));
	}
}
J
javac -d "$home" "$W/Fetch.java" && chmod 644 "$home/Fetch.class"
ran java in_box_bare 'Anything added' java -cp /sandbox Fetch
ran java in_box_plain 'Anything added' java -cp /sandbox Fetch
ran java in_box 'Anything added' java -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3128 -cp /sandbox Fetch
echo "clients:$done_"
