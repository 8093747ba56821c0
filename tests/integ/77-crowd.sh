#!/bin/bash
# As many connections and names as one sandbox can make, and fewer descriptors than it wants: the other
# sandbox keeps its share, its certificates and its latency, refusals say why, nobody spins, memory is
# bounded. CONNS and NAMES set the size; the number of descriptors here may lower it.
. "$(dirname "$0")/lib.sh"
CROWD=$BUILD/tests/integ/crowd
[ -x "$CROWD" ] || { echo "skip: $CROWD is not built (make integ-progs)"; exit 77; }
CONNS=${CONNS:-10000} NAMES=${NAMES:-20000}
origin api.test
"$CROWD" serve >"$W/serve.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/serve.out" || die serve
HOSTS="
    api.test: 127.0.0.1:$ORIGIN_PORT
    '*.wild.test': 127.0.0.1:$(awk '{print $2}' "$W/serve.out")"
POL='  api:
    endpoints:
      - { host: api.test, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: "*.wild.test", port: 443, protocol: rest, enforcement: enforce, access: full }
    binaries: [{ path: "/usr/bin/**" }, { path: "/sandbox/crowd" }]'
proxies() { for p in $(pgrep -P "$DAEMON"); do tr '\0' ' ' <"/proc/$p/cmdline" | grep -q 'role=proxy' && echo "$p"; done; }
rss_kb() { local t=0 p; for p in $(proxies); do t=$((t + $(awk '/^VmRSS/{print $2}' "/proc/$p/status"))); done; echo $t; }
ticks() { local t=0 p; for p in $(proxies); do t=$((t + $(awk '{print $14 + $15}' "/proc/$p/stat"))); done; echo $t; }
crowd() { in_box_bare bad /bin/sh -c 'exec /sandbox/crowd "$@" "$SSL_CERT_FILE" '"${HOW:-}" crowd "$@" >"$W/crowd" 2>&1 </dev/null; }
field() { sed -n "s/^$1 .*\b$2 \([0-9.]*\).*/\1/p" "$W/crowd" | tail -1; }
# median of the time of N requests of the other sandbox, each on a new connection, in microseconds
good() {
	in_box_bare good /bin/sh -c 'for i in $(seq '"$1"'); do /usr/bin/curl -sS --max-time 10 -o /dev/null -w "%{http_code} %{time_total}\n" https://api.test/zen; done' >"$W/good" 2>&1 </dev/null
	[ "$(grep -c '^200 ' "$W/good")" = "$1" ] || { cat "$W/good"; die "the other sandbox is not served"; }
	sort -k2 -n "$W/good" | awk '{v[NR] = $2} END {printf "%d\n", v[int((NR + 1) / 2)] * 1000000}'
}
both() { sandbox bad "$POL"; sandbox good "$POL"; cp "$CROWD" "$W/state/sandboxes/bad/home/crowd"; chmod 755 "$W/state/sandboxes/bad/home/crowd"; }

# ---- connections
CONFIG_MORE="limits: { connections: $((CONNS * 6 / 10)), sites: 256 }
names_per_sandbox: 1024"
daemon_start; both
files=$(awk '/Max open files/{print $4}' "/proc/$(proxies | head -1)/limits")
[ $((files - 200)) -ge "$CONNS" ] || CONNS=$((files - 200))
base=$(rss_kb); rest=$(good 15)
echo "size: $CONNS connections, $NAMES names, $files descriptors per process; at rest $rest us per request, $base KiB"
crowd hold "$CONNS" 64 12 api.test & C=$!
sleep 0.5
while kill -0 $C 2>/dev/null && ! grep -q ^made "$W/crowd"; do
	build=$(good 10); builds="${builds:-} $(awk "BEGIN{printf \"%.1f\", $build / $rest}")"
done
has made "$W/crowd" || die "crowd"
held=$(field made held); r=$(rss_kb); idle=$(good 15)
cat "$W/crowd"
echo "figure: $held inspected connections held, RSS +$((r - base)) KiB, $(((r - base) / (held + 1))) KiB each; the other's latency / at rest: while they are made${builds:-}, with all of them $(awk "BEGIN{printf \"%.2f\", $idle / $rest}")"
check "at least nine in ten are held" test "$held" -ge $((CONNS * 9 / 10))
check "memory is bounded (below 40 KiB each)" test $((r - base)) -lt $((held * 40 * ROOM))
check "a crowd at rest does not slow down the other sandbox (ratio below 10)" test "$idle" -lt $((rest * 10))
wait $C
openshell sandbox delete bad >/dev/null 2>&1; openshell sandbox delete good >/dev/null 2>&1
kill "$DAEMON"; wait "$DAEMON" 2>/dev/null

# ---- over the ceiling
CONFIG_MORE='workers: 1
limits: { connections: 400, sites: 256 }
names_per_sandbox: 1024'
daemon_start; both
n=$(proxies | wc -l)
crowd hold 1500 64 3 api.test & C=$!
until_ok grep -q ^made "$W/crowd"; good 10 >/dev/null; wait $C; cat "$W/crowd"
check "as many as the ceiling allows, in every worker" test "$(field made held)" -ge $((n * 400 - 8)) -a "$(field made held)" -le $((n * 400))
check "all others get a 503" test "$(field made shed)" -ge $((1500 - n * 400)) -a "$(field made failed)" = 0 -a "$(field made stalled)" = 0
said() { grep -q 'sandbox "bad": .* connections refused over a ceiling' "$W/openshelld.log"; }
check "the log counts them" until_ok said
grep -m1 'over a ceiling' "$W/openshelld.log"

# ---- names
serials() { in_box_bare good /bin/sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do /usr/bin/openssl s_client -connect api.test:443 -servername api.test </dev/null 2>/dev/null | /usr/bin/openssl x509 -noout -serial; done' 2>&1 </dev/null | sort -u; }
before=$(serials); base=$(rss_kb)
signer=$(pgrep -P "$DAEMON" -f '^openshelld: signer') rest=$(good 15)
one() { awk '/^VmRSS/{print $2}' "/proc/$1/status"; }
monitor_kb=$(one "$DAEMON") signer_kb=$(one "$signer") ratios='' top=0
HOW=explicit crowd names "$NAMES" 16 1200 wild.test & C=$!
sleep 0.5
while kill -0 $C 2>/dev/null && ! grep -q ^end "$W/crowd"; do
	ratios="$ratios $(awk "BEGIN{printf \"%.1f\", $(good 20) / $rest}")"
	r=$(rss_kb); [ "$r" -le "$top" ] || top=$r
done
wait $C; grep ^end "$W/crowd" | sed 's/^end/explicit:/'
echo "figure: $NAMES names in $(field end seconds) s: RSS of the proxies at most +$((top - base)) KiB, signer +$(($(one "$signer") - signer_kb)) KiB, monitor +$(($(one "$DAEMON") - monitor_kb)) KiB; the other's latency / at rest meanwhile:$(echo "$ratios" | tr ' ' '\n' | sort -n | awk 'NF{v[++n] = $1} END {printf " median %s, highest %s of %d", v[int((n + 1) / 2)], v[n], n}')"
# what one proxy may get in that time; several get more
quota=$(awk "BEGIN{q = int(16384 + 2048 * ($(field end seconds) - 1)); print q < $NAMES ? q : $NAMES}")
check "new names are served up to the signer's quota ($quota), the others refused, none stalls" test "$(field end done)" -ge "$quota" -a $(($(field end done) + $(field end failed))) = "$NAMES" -a "$(field end stalled)" = 0
HOW=transparent crowd names 3000 16 60 wild.test; grep ^end "$W/crowd" | sed 's/^end/transparent:/'
check "addresses have a ceiling per sandbox" test $(($(field end done) + $(field end failed))) -gt 800 -a $(($(field end done) + $(field end failed))) -le 1024 -a "$(field end dns)" -gt 1500 -a "$(field end stalled)" = 0
r=$(rss_kb); echo "figure: RSS after $((NAMES + 3000)) names: +$((r - base)) KiB"
check "memory is bounded (below 24 MiB more)" test $((r - base)) -lt $((24576 * ROOM))
after=$(serials)
check "the other sandbox still has the certificates it had" is "$(comm -13 <(echo "$before") <(echo "$after"))" ""
good 5 >/dev/null
has_not 'ended by' "$W/openshelld.log" || die "a role died"

# ---- without descriptors
uid=$(awk '/^Uid/{print $2}' "/proc/$(proxies | head -1)/status") gid=$(awk '/^Gid/{print $2}' "/proc/$(proxies | head -1)/status")
limit() { setpriv --reuid="$uid" --regid="$gid" --clear-groups prlimit --pid "$1" --nofile="$2:"; }
for p in $(proxies); do limit "$p" $(($(ls "/proc/$p/fd" | wc -l) + 12)) || die "prlimit"; done
crowd hold 100 100 6 api.test & C=$!
until_ok grep -q 'out of descriptors' "$W/openshelld.log"; t=$(ticks); sleep 2; t=$(($(ticks) - t))
echo "figure: CPU of all proxies while starved: $t ticks in 200"
check "out of descriptors nobody spins (below a fifth of a core)" test $t -lt 40
for p in $(proxies); do limit "$p" "$files"; done
wait $C
check "the log counts them" has 'out of descriptors' "$W/openshelld.log"
grep -m1 'out of descriptors' "$W/openshelld.log"
good 10 >/dev/null; echo "ok: with descriptors again all is well"
has_not 'ended by' "$W/openshelld.log" || die "a role died"
openshell sandbox delete bad >/dev/null 2>&1; openshell sandbox delete good >/dev/null 2>&1
kill "$DAEMON"; wait "$DAEMON" 2>/dev/null

# ---- a daemon with few descriptors from the start
CONFIG_MORE=''
ulimit -n 400
daemon_start; both
files=$(awk '/Max open files/{print $4}' "/proc/$(proxies | head -1)/limits")
if [ "$files" = 400 ]; then
	crowd hold 300 32 3 api.test & C=$!
	until_ok grep -q ^made "$W/crowd"; good 10 >/dev/null; wait $C; cat "$W/crowd"
	check "400 descriptors: ceilings fit them, the others are told" test "$(field made held)" -ge 20 -a "$(field made shed)" -ge 20 -a "$(field made reset)" = 0 -a "$(field made stalled)" = 0
	grep -m1 '400 descriptors' "$W/openshelld.log" || die "not said"
else
	echo "note: the daemon may raise its limits here: $files descriptors"
fi
has_not 'ended by' "$W/openshelld.log" || die "a role died"
