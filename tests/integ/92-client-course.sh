#!/bin/bash
# Every client library and downloader goes the same course through an inspected endpoint, by the explicit
# proxy and transparently: two GETs on one connection, a POST with a body of 100,000 bytes, a download of
# 50 MiB by its checksum, a refused DELETE that it can show, a host of another CA, which must not be
# trusted (so verification was on), and a host that is not in the policy.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/local/go/bin
for c in javac go ruby php node; do command -v $c >/dev/null || die "$c is not installed: tools/install-deps test"; done
mkdir -p "$W/www"
PYTHONDONTWRITEBYTECODE=1 $PY "$ROOT/tests/integ/client-origin.py" "$W/origin" "$W/www" api.test,raw.test >"$W/origin.out" 2>&1 &
ORIGINS=$!
until_ok grep -q listening "$W/origin.out" || { cat "$W/origin.out"; die origin; }
for h in api.test raw.test; do HOSTS="$HOSTS
    $h: 127.0.0.1:$(awk '/listening/{print $2}' "$W/origin.out")"; done
CAS=$W/origin/ca.pem
daemon_start
sandbox box '  api:
    endpoints:
      - host: api.test
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [{ allow: { method: GET, path: "/**" } }, { allow: { method: POST, path: "/c/*/echo" } }]
      - { host: raw.test, port: 443 }
    binaries: [{ path: "/usr/**" }, { path: /sandbox/course-go }]'
home=$W/state/sandboxes/box/home
BIG=$($PY -c 'import hashlib; print(hashlib.sha256(bytes(range(256))*4096*50).hexdigest())')
POST="100000 $($PY -c 'import hashlib; print(hashlib.sha256(b"x"*100000).hexdigest())')"
head -c 100000 /dev/zero | tr '\0' x >"$home/body"

# Each: argument 1 is the prefix of its URLs. Lines: zen, zen, post, big, deny, raw, host; each begins with its word.
cat >"$home/curl.sh" <<'S'
u=https://api.test$1
curl -sS -w 'zen %{num_connects}\n' $u/zen -: -sS -w 'zen %{num_connects}\n' $u/zen -: -sS -w 'post ' -o p --data-binary @body $u/echo; cat p
echo "big $(curl -sS $u/big | sha256sum)"
echo "deny $(curl -sS -X DELETE -w ' %{http_code}' $u/x)"
echo "raw $(curl -sS https://raw.test/ 2>&1)"; echo "host $(curl -sS https://other.test/ 2>&1)"
S
cat >"$home/wget.sh" <<'S'
u=https://api.test$1
wget -nv -O - $u/zen $u/zen 2>/dev/null | sed 's/^/zen /'
echo "post $(wget -q -O - --post-file=body $u/echo)"; echo "big $(wget -q -O - $u/big | sha256sum)"
echo "deny $(wget -nv -O - --content-on-error --method=DELETE $u/x 2>&1 | tr '\n' ' ')"
echo "raw $(wget -nv -O - https://raw.test/ 2>&1 | tr '\n' ' ')"; echo "host $(wget -nv -O - https://other.test/ 2>&1 | tr '\n' ' ')"
S
cat >"$home/course-urllib.py" <<'S'
import http.client, hashlib, os, ssl, sys, urllib.request as r
u, path = "https://api.test" + sys.argv[1], sys.argv[1]
proxy = os.environ.get("https_proxy")
c = http.client.HTTPSConnection(*(("127.0.0.1", 3128) if proxy else ("api.test", 443)))
if proxy: c.set_tunnel("api.test", 443)
for _ in "12":
    c.request("GET", path + "/zen"); print("zen", c.getresponse().read().decode())
print("post", r.urlopen(u + "/echo", b"x" * 100000).read().decode())
print("big", hashlib.sha256(r.urlopen(u + "/big").read()).hexdigest())
def fails(word, req):
    try: r.urlopen(req); print(word, "NOT REFUSED")
    except Exception as e: print(word, e, e.read().decode() if hasattr(e, "read") else "")
fails("deny", r.Request(u + "/x", method="DELETE")); fails("raw", "https://raw.test/"); fails("host", "https://other.test/")
S
cat >"$home/course-requests.py" <<'S'
import hashlib, sys, requests
u = "https://api.test" + sys.argv[1]
s = requests.Session()
for _ in "12": print("zen", s.get(u + "/zen").text)
print("post", s.post(u + "/echo", data=b"x" * 100000).text)
print("big", hashlib.sha256(s.get(u + "/big").content).hexdigest())
d = s.delete(u + "/x"); print("deny", d.status_code, d.text)
for w, h in ("raw", "raw.test"), ("host", "other.test"):
    try: s.get("https://" + h); print(w, "NOT REFUSED")
    except Exception as e: print(w, e)
S
cat >"$home/node.js" <<'S'
const https = require("https"), crypto = require("crypto"), agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
const u = "https://api.test" + process.argv[2];
const ask = (url, o = {}, body) => new Promise((ok, no) => {
  const q = https.request(url, { agent, ...o }, r => { const a = []; r.on("data", d => a.push(d)); r.on("end", () => ok([r.statusCode, Buffer.concat(a)])); r.on("error", no); });
  q.on("error", no); q.end(body);
});
(async () => {
  for (const _ of "12") console.log("zen", (await ask(u + "/zen"))[1].toString());
  console.log("post", (await ask(u + "/echo", { method: "POST" }, "x".repeat(100000)))[1].toString());
  console.log("big", crypto.createHash("sha256").update((await ask(u + "/big"))[1]).digest("hex"));
  console.log("deny", ...(await ask(u + "/x", { method: "DELETE" })).map(String));
  for (const [w, h] of [["raw", "raw.test"], ["host", "other.test"]])
    await ask("https://" + h + "/").then(() => console.log(w, "NOT REFUSED"), e => console.log(w, e.message));
})();
S
cat >"$home/fetch.mjs" <<'S'
import crypto from "crypto";
const u = "https://api.test" + process.argv[2];
for (const _ of "12") console.log("zen", await (await fetch(u + "/zen")).text());
console.log("post", await (await fetch(u + "/echo", { method: "POST", body: "x".repeat(100000) })).text());
console.log("big", crypto.createHash("sha256").update(Buffer.from(await (await fetch(u + "/big")).arrayBuffer())).digest("hex"));
const d = await fetch(u + "/x", { method: "DELETE" }); console.log("deny", d.status, await d.text());
for (const [w, h] of [["raw", "raw.test"], ["host", "other.test"]])
  await fetch("https://" + h + "/").then(() => console.log(w, "NOT REFUSED"), e => console.log(w, e.message, e.cause && (e.cause.message || e.cause.code)));
S
cat >"$home/Course.java" <<'S'
import java.net.*; import java.net.http.*; import java.net.http.HttpResponse.BodyHandlers; import java.security.*;
public class Course {
	static String hex(byte[] b) throws Exception { var s = new StringBuilder(); for (byte x : MessageDigest.getInstance("SHA-256").digest(b)) s.append(String.format("%02x", x)); return s.toString(); }
	public static void main(String[] a) throws Exception {
		var b = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1);
		if (System.getenv("https_proxy") != null) b.proxy(ProxySelector.of(new InetSocketAddress("127.0.0.1", 3128)));
		var c = b.build(); var u = "https://api.test" + a[0];
		for (int i = 0; i < 2; i++) System.out.println("zen " + c.send(HttpRequest.newBuilder(URI.create(u + "/zen")).build(), BodyHandlers.ofString()).body());
		System.out.println("post " + c.send(HttpRequest.newBuilder(URI.create(u + "/echo")).POST(HttpRequest.BodyPublishers.ofString("x".repeat(100000))).build(), BodyHandlers.ofString()).body());
		System.out.println("big " + hex(c.send(HttpRequest.newBuilder(URI.create(u + "/big")).build(), BodyHandlers.ofByteArray()).body()));
		var d = c.send(HttpRequest.newBuilder(URI.create(u + "/x")).DELETE().build(), BodyHandlers.ofString()); System.out.println("deny " + d.statusCode() + " " + d.body());
		for (var h : new String[][] { { "raw", "raw.test" }, { "host", "other.test" } })
			try { c.send(HttpRequest.newBuilder(URI.create("https://" + h[1] + "/")).build(), BodyHandlers.ofString()); System.out.println(h[0] + " NOT REFUSED"); }
			catch (Exception e) { System.out.println(h[0] + " " + e); }
	}
}
S
cat >"$W/course.go" <<'S'
package main

import ("crypto/sha256"; "fmt"; "io"; "net/http"; "os"; "strings")

func read(r *http.Response, err error) (int, []byte) {
	if err != nil { return 0, []byte(err.Error()) }
	b, _ := io.ReadAll(r.Body); r.Body.Close(); return r.StatusCode, b
}
func main() {
	u := "https://api.test" + os.Args[1]
	for i := 0; i < 2; i++ { _, b := read(http.Get(u + "/zen")); fmt.Printf("zen %s\n", b) }
	_, b := read(http.Post(u+"/echo", "text/plain", strings.NewReader(strings.Repeat("x", 100000)))); fmt.Printf("post %s\n", b)
	_, b = read(http.Get(u + "/big")); fmt.Printf("big %x\n", sha256.Sum256(b))
	q, _ := http.NewRequest("DELETE", u+"/x", nil); n, b := read(http.DefaultClient.Do(q)); fmt.Println("deny", n, string(b))
	_, b = read(http.Get("https://raw.test/")); fmt.Println("raw", string(b)); _, b = read(http.Get("https://other.test/")); fmt.Println("host", string(b))
}
S
cat >"$home/course.rb" <<'S'
require "net/http"; require "digest"
path = ARGV[0]
Net::HTTP.start("api.test", 443, use_ssl: true) do |h|
  2.times { puts "zen " + h.get(path + "/zen").body }
  puts "post " + h.post(path + "/echo", "x" * 100000).body
  puts "big " + Digest::SHA256.hexdigest(h.get(path + "/big").body)
  d = h.delete(path + "/x"); puts "deny #{d.code} #{d.body}"
end
[["raw", "raw.test"], ["host", "other.test"]].each do |w, h|
  begin Net::HTTP.start(h, 443, use_ssl: true) { |c| c.get("/") }; puts w + " NOT REFUSED"
  rescue => e then puts "#{w} #{e.message}" end
end
S
cat >"$home/course.php" <<'S'
<?php
$c = curl_init(); $u = "https://api.test" . $argv[1];
function ask($c, $url, $o = []) { curl_reset($c); curl_setopt_array($c, [CURLOPT_URL => $url, CURLOPT_RETURNTRANSFER => true] + $o); $b = curl_exec($c); return $b === false ? curl_error($c) : $b; }
foreach ([1, 2] as $_) echo "zen ", ask($c, "$u/zen"), "\n";
echo "post ", ask($c, "$u/echo", [CURLOPT_POSTFIELDS => str_repeat("x", 100000)]), "\n", "big ", hash("sha256", ask($c, "$u/big")), "\n";
$b = ask($c, "$u/x", [CURLOPT_CUSTOMREQUEST => "DELETE"]); echo "deny ", curl_getinfo($c, CURLINFO_RESPONSE_CODE), " $b\n";
echo "raw ", ask($c, "https://raw.test/"), "\nhost ", ask($c, "https://other.test/"), "\n";
S
cat >"$home/course.pl" <<'S'
use LWP::UserAgent; use Digest::SHA qw(sha256_hex);
my $u = "https://api.test$ARGV[0]"; my $a = LWP::UserAgent->new(keep_alive => 1, env_proxy => 1);
print "zen ", $a->get("$u/zen")->decoded_content, "\n" for 1, 2;
print "post ", $a->post("$u/echo", Content => "x" x 100000)->decoded_content, "\n", "big ", sha256_hex($a->get("$u/big")->content), "\n";
my $d = $a->delete("$u/x"); print "deny ", $d->status_line, " ", $d->decoded_content, "\n";
for (["raw", "raw.test"], ["host", "other.test"]) { my $r = $a->get("https://$_->[1]/"); (my $t = $r->status_line . " " . $r->decoded_content) =~ s/\n/ /g; print "$_->[0] $t\n" }
S
chmod 644 "$home"/*
javac -d "$home" "$home/Course.java" || die javac; chmod 644 "$home"/*.class
(cd "$W" && GOCACHE=$W/gc GOFLAGS=-mod=mod GO111MODULE=off CGO_ENABLED=0 GOTOOLCHAIN=local go build -o "$home/course-go" course.go) || die go; chmod 755 "$home/course-go"

line() { grep -m1 "^$1 " "$W/out"; }
# NAME HOW CERTIFICATE-WORDS HOST-WORDS FLOWS COMMAND...: FLOWS connections to api.test at most
course() {
	local name=$1 how=$2 cert=$3 host=$4 flows=$5 t=/c/$1-$2; shift 5
	$how box /bin/sh -c "cd /sandbox && exec \"\$@\"" sh "$@" "$t" >"$W/out" 2>&1 </dev/null
	check "$name, $how: two GETs" is "$(grep -c '^zen .*Anything added\|^Anything added' "$W/out")" 2 || cat "$W/out"
	check "$name, $how: POST" has "$POST" "$W/out"
	check "$name, $how: 50 MiB" has "big $BIG" "$W/out"
	check "$name, $how: the refusal is shown" has 403 <(line deny)
	case $name in wget) ;; *) check "$name, $how: with its reason" has "DELETE $t/x not permitted by policy" <(line deny) ;; esac
	check "$name, $how: another CA is not trusted" eval 'line raw | grep -qiE -- "$cert"' || line raw
	check "$name, $how: a host outside the policy" eval 'line host | grep -qiE -- "$host"' || line host
	[ -z "${SHOW:-}" ] || for l in deny raw host; do echo "$name, $how: $(line $l)"; done
	openshell logs box -n 0 --format record | $PY -c 'import json, sys
f = {r["flow"] for r in map(json.loads, sys.stdin) if r["class"] == "l7" and r.get("path", "").startswith(sys.argv[1] + "/zen")}
sys.exit(0 if 0 < len(f) <= int(sys.argv[2]) else "flows: %s" % f)' "$t" "$flows"
	check "$name, $how: its GETs shared a connection" is $? 0
}
for how in in_box in_box_bare; do
	refused='403|Forbidden' unknown='resol|EAI_AGAIN|server misbehaving'
	[ $how = in_box ] || refused=$unknown
	course curl $how 'self-signed|unable to get local issuer|certificate' "$refused" 1 sh curl.sh
	course wget $how 'certificate' "$refused" 1 sh wget.sh
	course urllib $how 'CERTIFICATE_VERIFY_FAILED' "$refused" 1 $PY course-urllib.py
	course requests $how 'CERTIFICATE_VERIFY_FAILED' "$refused" 1 $PY course-requests.py
	course ruby $how 'certificate verify failed' "$refused" 1 ruby course.rb
	course php $how 'certificate' "$refused" 1 php course.php
	if perl -MLWP::Protocol::https -e 1 2>/dev/null; then course lwp $how 'certificate verify failed' "$refused" 1 perl course.pl; else echo "note: LWP is not installed here, not tried"; fi
	if [ -e "$home/course-go" ]; then course go $how 'x509: ' "$refused" 1 /sandbox/course-go; fi
	if [ -e "$home/Course.class" ]; then course java $how 'PKIX path' "$refused|ConnectException" 1 java -cp /sandbox Course; fi
done
# Node's own modules know no proxy variables before version 24: transparent only
course node in_box_bare 'self-signed|unable to (get local issuer|verify)' "$unknown" 1 node node.js
course fetch in_box_bare 'self-signed|unable to (get local issuer|verify)' "$unknown" 2 node fetch.mjs
