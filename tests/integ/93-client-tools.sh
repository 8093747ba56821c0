#!/bin/bash
# Package managers, downloaders and other programs people run in a sandbox, each doing what it is for, with
# verification on, explicit and transparent where it knows proxies; and what it says when it is refused.
. "$(dirname "$0")/lib.sh"
for c in gem npm apt-get aria2c lftp skopeo php svn ab; do command -v $c >/dev/null || die "$c is not installed: tools/install-deps test"; done
www=$W/www
mkdir -p "$www"/{api.test,index.test/simple/osh-hello,deb.test,gems.test/gems,svn.test,registry.npmjs.org,oci.test,raw.test}
# a wheel, a Debian repository, a gem
$PY - "$www/index.test/simple/osh-hello" <<'P'
import sys, zipfile
whl, d = "osh_hello-1.0-py3-none-any.whl", "osh_hello-1.0.dist-info/"
with zipfile.ZipFile(sys.argv[1] + "/" + whl, "w") as z:
    for n, t in {"osh_hello.py": "print('hello from the wheel')\n", d + "METADATA": "Metadata-Version: 2.1\nName: osh-hello\nVersion: 1.0\n",
                 d + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n", d + "RECORD": ""}.items(): z.writestr(n, t)
open(sys.argv[1] + "/index.html", "w").write('<!DOCTYPE html><html><body><a href="%s">%s</a></body></html>' % (whl, whl))
P
mkdir -p "$W/deb/DEBIAN" && printf 'Package: osh-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@t>\nDescription: test\n' >"$W/deb/DEBIAN/control"
dpkg-deb -b "$W/deb" "$www/deb.test/osh-hello.deb" >/dev/null || die dpkg-deb
(dpkg-deb -f "$www/deb.test/osh-hello.deb"; printf 'Filename: ./osh-hello.deb\nSize: %s\nSHA256: %s\n' "$(stat -c %s "$www/deb.test/osh-hello.deb")" "$(sha256sum <"$www/deb.test/osh-hello.deb" | cut -d' ' -f1)") >"$www/deb.test/Packages"
mkdir -p "$W/gem/lib" && echo 'puts "hello from the gem"' >"$W/gem/lib/osh_hello.rb"
echo 'Gem::Specification.new { |s| s.name = "osh_hello"; s.version = "1.0"; s.summary = s.description = "t"; s.authors = ["t"]; s.files = ["lib/osh_hello.rb"]; s.license = "MIT"; s.homepage = "https://t.test" }' >"$W/gem/g.gemspec"
(cd "$W/gem" && gem build -q g.gemspec && mv ./*.gem "$www/gems.test/gems/" && ruby -rzlib -rrubygems -e '
	def put(f, data) File.binwrite(ARGV[0] + "/" + f, data) end
	spec = Gem::Specification.load("g.gemspec"); all = Marshal.dump([["osh_hello", spec.version, "ruby"]])
	%w[specs latest_specs].each { |n| put(n + ".4.8.gz", Zlib.gzip(all)) }
	put("prerelease_specs.4.8.gz", Zlib.gzip(Marshal.dump([])))
	Dir.mkdir(ARGV[0] + "/quick"); Dir.mkdir(ARGV[0] + "/quick/Marshal.4.8")
	put("quick/Marshal.4.8/osh_hello-1.0.gemspec.rz", Zlib::Deflate.deflate(Marshal.dump(spec)))' "$www/gems.test") >"$W/gem.out" 2>&1 || { cat "$W/gem.out"; die gem; }
names=$(ls "$www" | paste -sd,)
PYTHONDONTWRITEBYTECODE=1 $PY "$ROOT/tests/integ/client-origin.py" "$W/origin" "$www" "$names" >"$W/origin.out" 2>&1 &
ORIGINS=$!
until_ok grep -q listening "$W/origin.out" || { cat "$W/origin.out"; die origin; }
eps=''
for h in ${names//,/ }; do
	HOSTS="$HOSTS
    $h: 127.0.0.1:$(awk '/listening/{print $2}' "$W/origin.out")"
	[ $h = raw.test ] || [ $h = registry.npmjs.org ] || eps="$eps
      - { host: $h, port: 443, protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: '/**' } }, { allow: { method: OPTIONS, path: '/**' } }], deny_rules: [{ method: '*', path: '/**/denied/**' }] }"
done
CAS=$W/origin/ca.pem
daemon_start
sandbox box "  all:
    endpoints: $eps
      - { host: raw.test, port: 443 }
      - host: registry.npmjs.org
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [{ allow: { method: GET, path: '/**' } }, { allow: { method: PUT, path: '/osh-mine' } }]
    binaries: [{ path: '/usr/**' }]"
# ran WHAT HOW EXPECTED COMMAND: a shell line; words of its output
ran() { local what=$1 how=$2 want=$3; shift 3
	$how box /bin/sh -c "cd /sandbox; $*" >"$W/out" 2>&1 </dev/null
	check "$what, $how" has "$want" "$W/out"; [ -z "${SHOW:-}" ] || sed "s|^|$what, $how: |" "$W/out" | grep -v '^.*: *$' | tail -4; }
refused() { local what=$1; shift; ran "$what, refused" "$@"; }

n=0
for how in in_box in_box_bare; do
	n=$((n + 1))
	if $PY -m pip --version >/dev/null 2>&1; then
		pip="rm -rf t && $PY -m pip --disable-pip-version-check --no-cache-dir install --retries 0 --target t"
		ran pip $how 'hello from the wheel' "$pip -q --index-url https://index.test/simple/ osh-hello && PYTHONPATH=t $PY -c 'import osh_hello'"
		refused pip $how '403 Client Error: Forbidden for url: https://index.test/denied/osh-hello/' "$pip -vv --index-url https://index.test/denied/ osh-hello"
		refused 'pip, another CA' $how 'CERTIFICATE_VERIFY_FAILED' "$pip --index-url https://raw.test/simple/ osh-hello"
	else echo "note: pip is not installed here, not tried"; fi
	npm="HOME=/sandbox npm --no-audit --no-fund --no-update-notifier --fetch-retries 0"
	ran 'npm publish' $how "+ osh-mine@1.$n.0" "rm -rf m && mkdir m && cd m && echo '//registry.npmjs.org/:_authToken=t' >.npmrc && printf '{\"name\":\"osh-mine\",\"version\":\"1.$n.0\",\"main\":\"i.js\"}' >package.json && echo 'console.log(\"hello from the tarball\")' >i.js && $npm publish"
	ran 'npm install' $how 'hello from the tarball' "rm -rf n .npm && mkdir n && cd n && $npm install osh-mine >&2 && node -e 'require(\"osh-mine\")'"
	refused 'npm publish' $how '403 Forbidden - PUT https://registry.npmjs.org/osh-theirs' "cd m && sed -i s/osh-mine/osh-theirs/ package.json && $npm publish"
	refused 'npm, another CA' $how 'unable to verify the first certificate' "cd n && $npm --registry https://raw.test/ view osh-mine"
	gem="HOME=/sandbox gem install --no-document --clear-sources -i g"
	ran gem $how 'hello from the gem' "rm -rf g && $gem --source https://gems.test osh_hello && ruby -I g/gems/osh_hello-1.0/lib -e 'require \"osh_hello\"'"
	refused gem $how '403' "rm -rf g && $gem --source https://gems.test/denied/ osh_hello"
	refused 'gem, another CA' $how 'certificate verify failed' "rm -rf g && $gem --source https://raw.test osh_hello"
	apt="mkdir -p a/lists/partial a/archives/partial && apt-get -o Dir::State=/sandbox/a -o Dir::State::status=/dev/null -o Dir::Cache=/sandbox/a -o Dir::Etc::sourcelist=/sandbox/a/list -o Dir::Etc::sourceparts=- -o Dir::Etc::parts=- -o Acquire::Languages=none -o Debug::NoLocking=1"
	list() { echo "mkdir -p a; echo 'deb [trusted=yes] https://$1 ./' >a/list; rm -f a/lists/*_* *.deb"; }
	ran apt-get $how 'osh-hello_1.0_all.deb' "$(list deb.test); $apt update && $apt download osh-hello && ls *.deb"
	refused apt-get $how '403' "$(list deb.test/denied); $apt update"
	refused 'apt-get, another CA' $how 'certificate' "$(list raw.test); $apt update"
	ran 'aria2, four ranges at once' $how "$($PY -c 'import hashlib; print(hashlib.sha256(bytes(range(256))*4096*50).hexdigest())')" 'rm -f big*; aria2c -q --no-conf -x4 -s4 -k1M -o big https://api.test/big && sha256sum big'
	refused aria2 $how 'status=403' 'aria2c --no-conf -o no https://api.test/denied/x'
	refused 'aria2, another CA' $how 'issuer is not known' 'aria2c --no-conf --max-tries=1 -o no https://raw.test/zen'
	ran lftp $how 'Anything added' 'HOME=/sandbox lftp -c "open https://api.test; cat /zen"'
	refused lftp $how '403' 'HOME=/sandbox lftp -c "open https://api.test; cat /denied/zen"'
	refused 'lftp, another CA' $how 'NOT trusted' 'HOME=/sandbox lftp -c "set net:max-retries 1; open https://raw.test; cat /zen"'
	ran skopeo $how '"schemaVersion": 2' 'skopeo inspect --raw docker://oci.test/osh/hello:1'
	refused skopeo $how '403' 'skopeo inspect --raw docker://oci.test/denied/hello:1'
	refused 'skopeo, another CA' $how 'x509: ' 'skopeo inspect --raw docker://raw.test/osh/hello:1'
	# PHP's own streams read no proxy variables
	[ $how = in_box ] || ran 'php streams' $how 'Anything added' "php -r 'echo file_get_contents(\"https://api.test/zen\");'"
	[ $how = in_box ] || refused 'php streams' $how '403' "php -r 'echo file_get_contents(\"https://api.test/denied/zen\");'"
done
# these know no proxy variables
# no repository there: far enough to be told so
ran svn in_box_bare E1 'svn --non-interactive ls https://svn.test/r'
check "svn trusts the certificate" has_not E230001 "$W/out"
check "its request arrived" has 'OPTIONS /r' "$W/origin/requests"
refused svn in_box_bare "Access to '/denied/r' forbidden" 'svn --non-interactive ls https://svn.test/denied/r'
refused 'svn, another CA' in_box_bare E230001 'svn --non-interactive ls https://raw.test/r'
for k in '' -k; do
	ran "ab, HTTP/1.0 $k" in_box_bare 'Complete requests:      50' "ab $k -n 50 -c 5 https://api.test/zen"
	check "none failed" has 'Failed requests:        0' "$W/out"
	check "none was refused" has_not 'Non-2xx' "$W/out"
done
check "kept alive" has 'Keep-Alive requests:    50' "$W/out"
ran 'ab, HEAD' in_box_bare 'Complete requests:      10' 'ab -i -n 10 -c 2 https://api.test/zen'
refused 'ab' in_box_bare 'Non-2xx responses:      10' 'ab -n 10 https://api.test/denied/zen'
check "nothing that was refused reached the origin" has_not '/denied/' "$W/origin/requests"
check "no publication but the permitted one" is "$(awk '$2=="PUT"{print $3}' "$W/origin/requests" | sort -u | tr '\n' ' ')" '/osh-mine '
