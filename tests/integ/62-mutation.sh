#!/bin/bash
# The alarms work: with programs of the fence detached behind the daemon's back, the canary (doctor)
# and the self-test notice. All in an instance of its own.
. "$(dirname "$0")/lib.sh"
BPFTOOL=$(command -v bpftool) || { echo "skip: no bpftool"; exit 77; }
pins=/sys/fs/bpf/$TAG
detach() { local p; for p; do "$BPFTOOL" link detach pinned "$pins/link_$p" || die "cannot detach $p"; done; }
fence_check() { openshellctl doctor >"$W/doctor" 2>&1; grep -i -E 'fence|canary' "$W/doctor"; }
fresh() { daemon_kill; rm -rf "$pins"; daemon_start; }
until_gone() { local i; for i in $(seq 450); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done; return 1; }

daemon_start
fence_check >"$W/fine"
check "doctor finds the fence standing" grep -q ' ok' "$W/fine"
ls "$pins" >"$W/pins"
for p in osh_connect4 osh_connect6 osh_sendmsg4 osh_sock_create osh_setsockopt osh_bind4 osh_egress osh_ingress; do
	check "there is a link of $p" has "link_$p" "$W/pins"
	detach $p
	fence_check >"$W/out"
	check "doctor notices that $p is gone" grep -q FAILED "$W/out"
	fresh
done

detach osh_connect4 osh_sendmsg4 osh_sock_create osh_setsockopt osh_bind4 osh_post_bind4 osh_egress osh_ingress
openshellctl selftest >"$W/card" 2>"$W/err"; rc=$?
grep OPEN "$W/card" | head -20
check "the self-test fails" test $rc -ne 0
for open in 'fence: TCP over IPv4' 'fence: datagram' 'fence: connected datagram' 'fence: UDP-Lite, connected' \
	'fence: ping socket' 'fence: Multipath TCP' 'fence: listen for the outside' \
	'fence, as root: IPv4 source route' 'fence, as root: SO_MARK'; do
	check "open: $open" has "  OPEN    $open" "$W/card"
done
check "bytes were seen on the wire" has 'packets on the wire' "$W/card"
check "what nobody took away stays closed" has '  closed  fence: multicast' "$W/card"
check "the daemon itself ends when its timer notices" until_gone "$DAEMON"
check "and says so" has 'the fence does not stand; ending' "$W/openshelld.log"
