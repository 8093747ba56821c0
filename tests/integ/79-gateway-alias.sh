#!/bin/bash
# host.docker.internal and its sisters: only an address of this host's /etc/hosts, only a link-local one
# that is no metadata service, only for a policy that lists the name.
if [ -z "${OSH_NETNS:-}" ] && [ "$(id -u)" = 0 ]; then exec env OSH_NETNS=1 unshare -n -m "$0" "$@"; fi
. "$(dirname "$0")/lib.sh"
ip link set lo up || die "lo"
for a in 169.254.1.2 169.254.169.254 10.99.0.1; do ip addr add $a/32 dev lo; done
$PY "$ROOT/tools/origin.py" "$W/plain" x.test --plain --bind 0.0.0.0 --port 80 >"$W/plain.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/plain.out" || { cat "$W/plain.out"; die origin; }
cat >"$W/hosts" <<'H'
127.0.0.1 localhost
169.254.1.2	other.test HOST.docker.internal # gateway
10.99.0.1 host.docker.internal
169.254.169.254 host.openshell.internal
10.99.0.1 host.containers.internal
169.254.1.2 host.containers.internal
H
mount --bind "$W/hosts" /etc/hosts || { echo "skip: kernel: no bind mount here"; exit 77; }
daemon_start
POL='  web:
    endpoints:
      - { host: host.docker.internal, ports: [80, 6443], protocol: rest, enforcement: enforce, access: read-only }
      - { host: host.openshell.internal, port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: host.containers.internal, port: 80, protocol: rest, enforcement: enforce, access: read-only }
      - { host: other.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [{ path: "/usr/bin/curl" }]'
sandbox box "$POL"
sandbox none '  web:
    endpoints: [{ host: other.test, port: 80, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: "/usr/bin/curl" }]'
ask() { in_box "${2:-box}" curl -sS -i --max-time 10 "http://$1/zen" >"$W/out" 2>&1 </dev/null; }
bare() { in_box_bare box curl -sS -i --max-time 10 "http://$1/zen" >"$W/out" 2>&1 </dev/null; }
ok='Anything added'
ask host.docker.internal; check "the recorded gateway: passes" has "$ok" "$W/out"
bare host.docker.internal; check "transparent, too" has "$ok" "$W/out"
ask host.docker.internal none; check "not for a policy that does not list it" has policy_denied "$W/out"
ask host.docker.internal:6443; check "no control-plane port" has 'blocked: trusted-gateway check failed' "$W/out"
n=$(wc -l <"$W/plain/requests")
for h in host.openshell.internal host.containers.internal other.test; do
	ask $h; check "$h: the hosts file does not count" has upstream_unreachable "$W/out"
done
ask 169.254.1.2; check "the address itself is not the name" has policy_denied "$W/out"
check "nothing came of it" is "$(wc -l <"$W/plain/requests")" "$n"
echo "169.254.1.3 host.openshell.internal" >"$W/hosts"
ask host.docker.internal; check "what counts is the file at the start" has "$ok" "$W/out"
