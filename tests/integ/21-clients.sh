#!/bin/bash
# Real TLS clients trust the sandbox's CA and go through, with and without proxy variables.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
sandbox box '  api:
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [{ path: "/usr/bin/**" }]'
cat >"$W/get.py" <<'P'
import urllib.request
print(urllib.request.urlopen("https://api.test/zen").read().decode())
P
cat >"$W/get.js" <<'P'
require("https").get("https://api.test/zen", r => r.on("data", d => process.stdout.write(d))).on("error", e => { console.log(e.message); process.exit(1) })
P
for how in in_box in_box_bare; do
	$how box curl -sS https://api.test/zen >"$W/out" 2>&1; check "$how curl" has 'Anything added' "$W/out"
	$how box wget -q -O - https://api.test/zen >"$W/out" 2>&1; check "$how wget" has 'Anything added' "$W/out"
	$how box $PY -c "$(cat "$W/get.py")" >"$W/out" 2>&1; check "$how python3 urllib" has 'Anything added' "$W/out"
	$how box /usr/bin/node -e "$(cat "$W/get.js")" >"$W/out" 2>&1
	if [ "$how" = in_box_bare ]; then check "$how node" has 'Anything added' "$W/out"; fi
	if [ -d /usr/lib/python3/dist-packages/requests ]; then
		$how box $PY -c 'import requests; print(requests.get("https://api.test/zen").text)' >"$W/out" 2>&1
		check "$how python3 requests" has 'Anything added' "$W/out"
	fi
done
printf 'GET /zen HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n' |
	in_box_bare box openssl s_client -quiet -verify_return_error -servername api.test -connect api.test:443 >"$W/out" 2>&1
check "openssl s_client" has 'Anything added' "$W/out"
printf 'GET /zen HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n' |
	in_box_bare box openssl s_client -quiet -servername wrong.test -connect api.test:443 >"$W/out" 2>&1
check "another SNI gets nothing" has_not 'Anything added' "$W/out"
