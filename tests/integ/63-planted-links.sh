#!/bin/bash
# A listed binary that is a symlink means what it leads to, but not when the sandboxed program planted
# the link: it would choose who has the privileges.
. "$(dirname "$0")/lib.sh"
origin api.test
# below no folder that everybody may write, as /tmp or a clone there
ro=$(mktemp -d /opt/oshi.XXXXXX); chmod 755 "$ro"; trap 'rc=$?; rm -rf "$ro"; (exit $rc); cleanup' EXIT
STATIC=${STATIC/\/app/$ro}
daemon_start
rules() { echo "  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /sandbox/tool }, { path: /sandbox/dir/tool }, { path: /sandbox/hosts }, { path: $ro/tool }]
  $1: { endpoints: [{ host: other.test, port: 443 }], binaries: [{ path: /usr/bin/curl }] }"; }
get() { in_box box "$@" -qO- https://api.test/zen >"$W/out" 2>&1; }
sandbox box "$(rules one)"
home=$W/state/sandboxes/box/home
get wget
check "wget is nobody" has_not 'Anything added' "$W/out"
in_box box sh -c 'ln -s /usr/bin/wget /sandbox/tool && mkdir /sandbox/d && ln -s /usr/bin/wget /sandbox/d/tool && ln -s d /sandbox/dir'
policy_set box "$(rules two)" >"$W/out" 2>&1 || die "policy set: $(cat "$W/out")"
get wget
check "nor after it was linked to a path of the policy" has_not 'Anything added' "$W/out"
ln -s /usr/bin/wget "$home/hosts"
policy_set box "$(rules three)" >"$W/out" 2>&1 || die "policy set: $(cat "$W/out")"
get wget
check "nor through a link of the host's that the sandbox could move" has_not 'Anything added' "$W/out"
ln -s /usr/bin/wget "$ro/tool"
policy_set box "$(rules four)" >"$W/out" 2>&1 || die "policy set: $(cat "$W/out")"
get wget
check "a link of the host's in a read-only folder is followed" has 'Anything added' "$W/out"
