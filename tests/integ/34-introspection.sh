#!/bin/bash
# bpf, flow, identity, counters: what is there is shown, as tables and as JSON.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
in_box box curl -sN --limit-rate 200k -o /dev/null https://api.test/bytes/200000000 & CURL=$!
until_ok eval 'openshell flow list | grep -q api.test:443'
openshell flow list box >"$W/out"
check "flow list: sandbox, binary, destination, rule" grep -Eq '^[0-9]+ +box +/usr/bin/curl +api.test:443 +api ' "$W/out"
id=$(awk '/api.test/{print $1}' "$W/out")
openshell flow show "$id" -j >"$W/out"
check "flow show: the same as JSON" test "$(jq -r '.[0].destination + " " + .[0].rule' "$W/out")" = 'api.test:443 api'
check "flow list of another sandbox" is "$(openshell flow list -j | jq '[.[]|select(.sandbox!="box")]|length')" 0
openshell identity list box >"$W/out"
check "identity list" grep -Eq ' box .* /usr/bin/curl ' "$W/out"
pid=$(awk '/\/usr\/bin\/curl/{print $1; exit}' "$W/out")
openshell identity show "$pid" -j >"$W/out"
check "identity show: the hash of the very file" is "$(jq -r .self.sha256 "$W/out")" "$(sha256sum /usr/bin/curl | cut -d' ' -f1)"
check "identity show: not tainted" is "$(jq -r .tainted "$W/out")" false
openshell identity show 1 >"$W/out" 2>&1 && die "a process outside is shown"
check "identity show: outside" has 'is in no sandbox' "$W/out"
check "bpf prog: connect4 is attached" is "$(openshell bpf prog show -j | jq -r '.[]|select(.name=="osh_connect4").attached')" yes
check "bpf link: every one pinned" is "$(openshell bpf link show -j | jq -r '[.[]|select(.pinned!="yes")]|length')" 0
check "bpf map: the sandbox is in it" is "$(openshell bpf map show -j | jq -r '.[]|select(.name=="osh_sandboxes").entries')" 1
openshell bpf map dump osh_sandboxes >"$W/out"
check "bpf map dump" has '"key"' "$W/out"
openshell bpf map dump nothing >"$W/out" 2>&1 && die "a map that is not ours"
check "bpf map dump: unknown map" has 'no such map of ours' "$W/out"
check "counters: connects are counted" test "$(openshell counters -j | jq '.[]|select(.name=="redirect").value')" -ge 1
check "counters: no anomaly" is "$(openshell counters -j | jq '[.[]|select(.kind=="anomaly" and .value>0)]|length')" 0
kill $CURL
