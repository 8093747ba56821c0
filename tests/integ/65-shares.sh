#!/bin/bash
# One sandbox floods what all share; another connects and is logged as if it were alone.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || { echo "skip: no C compiler"; exit 77; }
origin api.test
daemon_start
rules='  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
sandbox loud "$rules"
sandbox quiet "$rules"
cc -O1 -o "$W/state/sandboxes/loud/home/flood" -x c - <<'C' || die "cannot compile"
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
/* flood SECONDS: connections that the kernel refuses, from four processes, as fast as they go */
int main(int c, char **v) { struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(22) };
	time_t end = time(0) + atoi(v[1]);
	inet_pton(AF_INET, "192.0.2.1", &a.sin_addr); fork(); fork();
	while (time(0) < end) { int s = socket(AF_INET, SOCK_STREAM, 0); connect(s, (void *)&a, sizeof a); close(s); }
	return 0; }
C
WISDOM='Anything added dilutes everything else.'
in_box loud sh -c 'setsid /sandbox/flood 8 >/dev/null 2>&1 &'
check "the flood runs" until_ok eval 'openshellctl counters | awk "\$1 == \"deny-policy\" && \$2 > 1000 {ok = 1} END {exit !ok}"'
kill -STOP "$DAEMON"; sleep 2; kill -CONT "$DAEMON"
t0=$(date +%s%N)
in_box quiet curl -sS --max-time 10 https://api.test/zen >"$W/out" 2>&1
check "the other sandbox is served" has "$WISDOM" "$W/out"
echo "in $(( ($(date +%s%N) - t0) / 1000000 )) ms"
in_box_bare quiet curl -sS --max-time 2 telnet://192.0.2.9:22 >"$W/out" 2>&1 </dev/null
logged() { logs quiet; grep -q '192.0.2.9' "$W/logs"; }
check "and what it is refused is logged" until_ok logged
lost() { logs loud; grep -q 'events of the kernel were lost' "$W/logs"; }
check "the loss is the loud one's" until_ok lost
logs quiet; check "and not the quiet one's" has_not 'events of the kernel were lost' "$W/logs"
until_ok eval '! pgrep -f "^/sandbox/flood"'
in_box loud curl -sS --max-time 10 https://api.test/zen >"$W/out" 2>&1
check "the loud one is served when it is done" has "$WISDOM" "$W/out"
