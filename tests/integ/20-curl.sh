#!/bin/bash
# curl, explicit and transparent: allowed, denied by binary, host, method; logs say which.
. "$(dirname "$0")/lib.sh"
origin api.test other.test
daemon_start
sandbox box '  api:
    name: api-readonly
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [{ path: /usr/bin/curl }]'

for how in in_box in_box_bare; do
	$how box curl -sS https://api.test/zen >"$W/out" 2>&1
	check "$how: GET passes" has 'Anything added dilutes everything else.' "$W/out"
	$how box curl -sS -X POST -d '{}' https://api.test/repos/a/b/issues >"$W/out" 2>&1
	check "$how: POST is denied" has '{"error":"policy_denied","policy":"api-readonly","detail":"POST /repos/a/b/issues not permitted by policy"' "$W/out"
	$how box curl -sS -o /dev/null -w '%{http_code}' -I https://api.test/zen >"$W/out" 2>&1
	check "$how: HEAD passes" is "$(cat "$W/out")" 200
	$how box wget -q -O - https://api.test/zen >"$W/out" 2>&1 && die "wget is not in the policy"
	check "$how: another binary gets nothing" has_not 'Anything added' "$W/out"
done
in_box box curl -sS https://other.test/ >"$W/out" 2>&1; rc=$?
check "unlisted host, explicit: exit 56" is $rc 56
check "unlisted host, explicit: 403 from proxy" has '403' "$W/out"
in_box_bare box curl -sS https://other.test/ >"$W/out" 2>&1; rc=$?
check "unlisted host, transparent: the name does not resolve" is $rc 6
in_box box curl -sS -w '%{http_code}' -H 'Host: other.test' https://api.test/zen >"$W/out" 2>&1
check "domain fronting is refused" has request_authority_mismatch "$W/out"
in_box box curl -sS --path-as-is 'https://api.test/a/%2e%2e/zen' >"$W/out" 2>&1
check "the origin sees the canonical path" has 'GET /zen api.test' "$ORIGIN_DIR/requests"
check "the origin never saw a POST" has_not POST "$ORIGIN_DIR/requests"

logs box --since 5m
check "L4 deny line" has 'action=deny dst_host=other.test dst_port=443 binary=/usr/bin/curl deny_reason="no matching network policy"' "$W/logs"
check "binary deny line" has 'binary=/usr/bin/wget deny_reason="no matching network policy"' "$W/logs"
check "L7 deny line" has 'l7_decision=deny dst_host=api.test l7_action=POST l7_target=/repos/a/b/issues l7_deny_reason="POST /repos/a/b/issues not permitted by policy"' "$W/logs"
openshell logs box --level warn >"$W/logs"
check "warn shows denials" has l7_decision=deny "$W/logs"
check "warn hides what was allowed" has_not l7_decision=allow "$W/logs"
