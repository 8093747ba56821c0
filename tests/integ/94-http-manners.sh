#!/bin/bash
# What HTTP clients expect of a way through, with real ones: uploads that ask first, early hints, bodies
# that are compressed and stay so, HEAD, ranges and resumption, parallel downloads, a WebSocket through a
# permitted and a refused upgrade, and a stream of events that is silent for far longer than any timeout.
. "$(dirname "$0")/lib.sh"
mkdir -p "$W/www"
PYTHONDONTWRITEBYTECODE=1 $PY "$ROOT/tests/integ/client-origin.py" "$W/origin" "$W/www" api.test,ws.test >"$W/origin.out" 2>&1 &
ORIGINS=$!
until_ok grep -q listening "$W/origin.out" || { cat "$W/origin.out"; die origin; }
HOSTS="
    api.test: 127.0.0.1:$(awk '/listening/{print $2}' "$W/origin.out")"
$PY -c 'import websockets' || die "python3-websockets is not installed: tools/install-deps test"
cat >"$W/ws.py" <<-'P'
import asyncio, ssl, sys, websockets
async def echo(s, path=None):
    async for m in s: await s.send(m)
async def main():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1] + "/origin.pem", sys.argv[1] + "/origin.key")
    s = await websockets.serve(echo, "127.0.0.1", 0, ssl=c, max_size=None)
    print("listening", s.sockets[0].getsockname()[1], flush=True); await asyncio.Future()
asyncio.run(main())
P
$PY "$W/ws.py" "$W/origin" >"$W/ws.out" 2>&1 & ORIGINS="$ORIGINS $!"
until_ok grep -q listening "$W/ws.out" || { cat "$W/ws.out"; die "WebSocket server"; }
HOSTS="$HOSTS
    ws.test: 127.0.0.1:$(awk '/listening/{print $2}' "$W/ws.out")"
CAS=$W/origin/ca.pem
CONFIG_MORE='timeouts_ms: { idle: 1000, body: 1000, stream: 1000, upstream_idle: 1000 }'
daemon_start
sandbox box '  api:
    endpoints:
      - host: api.test
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [{ allow: { method: GET, path: "/**" } }, { allow: { method: POST, path: /echo } }, { allow: { method: PUT, path: /echo } }]
      - { host: ws.test, port: 443, protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: /chat } }] }
    binaries: [{ path: "/usr/**" }]'
home=$W/state/sandboxes/box/home
$PY - "$home/big" <<'P'
import sys; open(sys.argv[1], "wb").write(bytes(range(256)) * 4096 * 50)
P
SUM=$(sha256sum <"$home/big" | cut -d' ' -f1)
chmod 644 "$home/big"
sh_() { local how=$1; shift; $how box /bin/sh -c "cd /sandbox; $*" >"$W/out" 2>&1 </dev/null; }
rc() { local want=$1; shift; "$@"; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out"; return 1; }; }

# silent for as many stream timeouts: begins now, is looked at in the end
IDLE=${OSH_SILENCE_S:-12}
in_box_bare box curl -sSN https://api.test/sse/$IDLE >"$W/sse" 2>&1 </dev/null & SSE=$!
until_ok grep -q first "$W/sse" || die "no first event"
SSE_BEGAN=$(date +%s)

for how in in_box in_box_bare; do
	sh_ $how 'curl -sS -v -T big https://api.test/echo 2>err; grep -a "100 Continue" err'
	check "$how: curl -T, 50 MiB with Expect: 100-continue" has "52428800 $SUM" "$W/out"
	check "$how: the 100 came" has '100 Continue' "$W/out"
	sh_ $how 'curl -sS -v -T big https://api.test/no 2>&1 | tr -d "\r"'
	check "$how: one that is refused is told so instead" has '{"error":"policy_denied"' "$W/out"
	check "$how: before its body is asked for" has_not '100 Continue' "$W/out"
	sh_ $how 'head -c 3000000 big | curl -sS -H "Transfer-Encoding: chunked" -H "Expect: 100-continue" --data-binary @- https://api.test/echo'
	check "$how: chunked upload" has "3000000 $(head -c 3000000 "$home/big" | sha256sum | cut -d' ' -f1)" "$W/out"
	sh_ $how 'curl -sS -i --suppress-connect-headers https://api.test/hints | tr -d "\r"'
	check "$how: early hints" is "$(head -2 "$W/out" | tr '\n' ' ')" 'HTTP/1.1 103 Early Hints Link: </style.css>; rel=preload '
	check "$how: and the answer" is "$(tail -1 "$W/out")" 'after the hints'
	sh_ $how 'curl -sS https://api.test/gz | sha256sum; curl -sS --compressed https://api.test/gz | tail -1; curl -sS -I https://api.test/gz | tr -d "\r"'
	check "$how: a compressed body arrives as it was sent" is "$(sed -n 1p "$W/out")" "$($PY -c 'import gzip,hashlib; print(hashlib.sha256(gzip.compress(b"the text inside\n"*1000, mtime=0)).hexdigest())')  -"
	check "$how: and can be read" is "$(sed -n 2p "$W/out")" 'the text inside'
	check "$how: HEAD says what it is" has 'Content-Encoding: gzip' "$W/out"
	check "$how: HEAD says how long it is" has "Content-Length: $($PY -c 'import gzip; print(len(gzip.compress(b"the text inside\n"*1000, mtime=0)))')" "$W/out"
	sh_ $how 'curl -sS -r 1000-1999 https://api.test/big | sha256sum; curl -sS -r -1 -o /dev/null -w "%{http_code}\n" https://api.test/zen; curl -sS -r 99999999- -o /dev/null -w "%{http_code}\n" https://api.test/big'
	check "$how: a range" is "$(sed -n 1p "$W/out")" "$(head -c 2000 "$home/big" | tail -c 1000 | sha256sum)"
	check "$how: beyond the end" is "$(sed -n 3p "$W/out")" 416
	sh_ $how 'rm -f part; curl -sS --max-filesize 99999999 -r 0-19999999 -o part https://api.test/big; curl -sS -C - -o part https://api.test/big; sha256sum part'
	check "$how: curl -C - goes on where it stopped" has "$SUM" "$W/out"
	sh_ $how 'rm -f part; head -c 30000000 big >part; wget -q -c -O part https://api.test/big; sha256sum part'
	check "$how: wget -c too" has "$SUM" "$W/out"
	sh_ $how 'rm -f d?; curl -sS -Z --parallel-max 8 $(for i in 1 2 3 4 5 6 7 8; do echo "-o d$i https://api.test/big"; done) 2>/dev/null; sha256sum d? | cut -d" " -f1 | sort | uniq -c; rm -f d?'
	check "$how: eight downloads of 50 MiB at once" is "$(tr -s ' ' <"$W/out")" " 8 $SUM"
	sh_ $how 'curl -sS --http1.0 -w " %{http_version} %{http_code}" https://api.test/zen'
	check "$how: HTTP/1.0, which names itself in ALPN" has '1.1 200' "$W/out"
done

cat >"$home/talk.py" <<-'P'
import asyncio, os, socket, ssl, sys, websockets
async def main(path):
    k = {}
    if os.environ.get("https_proxy"):   # this version of the module knows no proxies
        s = socket.create_connection(("127.0.0.1", 3128)); s.sendall(b"CONNECT ws.test:443 HTTP/1.1\r\nHost: ws.test:443\r\n\r\n")
        print(s.recv(4096).split(b"\r\n")[0].decode()); k = dict(sock=s, server_hostname="ws.test")
    async with websockets.connect("wss://ws.test" + path, ssl=ssl.create_default_context(), max_size=None, **k) as w:
        await w.send("hello"); print("echo", await w.recv())
        await w.send(b"x" * 5000000); print("bytes", len(await w.recv()))
        await asyncio.sleep(3); await w.ping(); await w.send("after silence"); print("echo", await w.recv())
try: asyncio.run(main(sys.argv[1]))
except Exception as e: print(type(e).__name__, e)
P
for how in in_box in_box_bare; do
	sh_ $how "$PY talk.py /chat"
	check "$how: WebSocket" has 'echo hello' "$W/out"
	check "$how: a message of 5 MB" has 'bytes 5000000' "$W/out"
	check "$how: silence of three idle timeouts" has 'echo after silence' "$W/out"
	sh_ $how "$PY talk.py /other"
	check "$how: a refused upgrade" has 'HTTP 403' "$W/out"
done
logs box
check "the upgrade is in the log" has 'l7_decision=allow' "$W/logs"
check "the refused one too" has 'l7_target=/other l7_deny_reason="GET /other not permitted by policy"' "$W/logs"
if command -v node >/dev/null && node -e 'process.exit(typeof WebSocket === "undefined" ? 1 : 0)'; then
	sh_ in_box_bare "node -e 'const w = new WebSocket(\"wss://ws.test/chat\"); w.onopen = () => w.send(\"n\"); w.onmessage = m => { console.log(\"node\", m.data); w.close() }'"
	check "WebSocket of node" has 'node n' "$W/out"
fi
wait $SSE; check "the stream of events ended well" is $? 0
check "after $IDLE timeouts" test $(($(date +%s) - SSE_BEGAN)) -ge "$IDLE"
check "with its last event" has 'data: last' "$W/sse"
