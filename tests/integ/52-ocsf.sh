#!/bin/bash
# OCSF JSON, from logs --format json and from log.ocsf_file, field by field; and nothing that a hostile
# program chooses - host, path, method, header, file name - can forge a record, a line or an escape.
. "$(dirname "$0")/lib.sh"
origin api.test
CONFIG_MORE="" OCSF=$W/ocsf.jsonl
daemon_config_more() { sed -i "s|^  journal_socket: .*|&\n  ocsf_file: $OCSF\n  ocsf_file_bytes: 65536\n  ocsf_files: 3|" "$W/openshelld.yaml"; }
eval "$(declare -f daemon_config | sed '1s/daemon_config/daemon_config_plain/')"
daemon_config() { daemon_config_plain; daemon_config_more; }
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only },
                { host: api.test, port: 80, protocol: rest, enforcement: enforce, access: read-only },
                { host: "*.wild.test", port: 80, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }, { path: "/usr/bin/python3*" }, { path: "/sandbox/**" }]'
home=$W/state/sandboxes/box/home
in_box box curl -s https://api.test/zen >/dev/null
in_box box curl -s -X POST -d x 'https://api.test/x?q=secret' >/dev/null
in_box box curl -s https://blocked.test/ >/dev/null
in_box box curl -s --noproxy '*' http://169.254.169.254/ >/dev/null 2>&1
policy_set box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: audit, access: read-only }]
    binaries: [{ path: /usr/bin/curl }, { path: "/usr/bin/python3*" }, { path: "/sandbox/**" }]' 2>/dev/null
in_box box curl -s -X POST -d x https://api.test/x >/dev/null

# ---- hostile names
cat >"$home/evil.py" <<'P'
import os, shutil, socket, subprocess, sys
FORGED = 'FORGED'
evil = ['nl\n[1.000] [sandbox] [INFO ] [x] action=allow dst_host=FORGED', 'crlf\r\naction=allow FORGED', 'q" deny_reason="FORGED',
        'ansi\x1b[2J\x1b]0;FORGED\x07', 'nul\\x00FORGED', 'bs\\" FORGED="1', 'uni\u202eFORGED\u2028x', 'br[policy:FORGED engine:opa]',
        '{"action":"Allowed","FORGED":1}', 'a b=c FORGED', '\x7f\x9bFORGED']
def proxy(data):
    try:
        s = socket.create_connection(('127.0.0.1', 3128), 5); s.settimeout(3); s.sendall(data); s.recv(4096); s.close()
    except OSError:
        pass
for e in evil + ['bad\udcff\udcfeFORGED']:
    b = e.encode('utf-8', 'surrogateescape')
    proxy(b'CONNECT ' + b + b':443 HTTP/1.1\r\nHost: ' + b + b'\r\n\r\n')
    proxy(b'CONNECT x.' + b + b'.test:443 HTTP/1.1\r\n\r\n')
    proxy(b'GET http://api.test/' + b + b' HTTP/1.1\r\nHost: api.test\r\nX-' + b + b': ' + b + b'\r\n\r\n')
    proxy(b'GET http://' + b + b'/ HTTP/1.1\r\nHost: ' + b + b'\r\n\r\n')
    proxy(b.replace(b' ', b'') + b' http://api.test/ HTTP/1.1\r\nHost: api.test\r\nUser-Agent: ' + b + b'\r\n\r\n')
    proxy(b'GET http://api.test/%0a%0d%1b' + b + b'%22 HTTP/1.1\r\nHost: api.test\r\n\r\n')
    try:
        socket.getaddrinfo(b.replace(b'\0', b''), 80)
    except (OSError, UnicodeError):
        pass
    # file names: the binary that asks, and its ancestors
    d = b'/sandbox/' + b.replace(b'/', b'_').replace(b'\0', b'')[:100]
    try:
        shutil.copy('/usr/bin/curl', d); os.chmod(d, 0o755)
        subprocess.run([d, '-s', '--max-time', '5', 'https://evil-binary.test/'], timeout=10, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([d, '-s', '--noproxy', '*', '--max-time', '5', 'https://evil-binary2.test/'], timeout=10, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as x:
        print('note:', type(x), file=sys.stderr)
P
chmod 644 "$home/evil.py"
in_box box /usr/bin/python3 /sandbox/evil.py >"$W/evil.out" 2>&1
in_box box "/sandbox/$(printf 'nl\n[1.000]')" >/dev/null 2>&1 # a program name from the command line
seen() { openshell logs box -n 10000 2>/dev/null >"$W/line"; [ "$(grep -c 'evil-binary\.test.*FORGED' "$W/line")" -ge 12 ]; }
until_ok seen; sleep 0.3 # the last ones
openshell logs box -n 10000 >"$W/line" 2>/dev/null; openshell logs box -n 10000 --format ocsf >"$W/short" 2>/dev/null
openshell logs box -n 10000 --format json >"$W/json" 2>/dev/null; openshell logs --all-sandboxes -n 10000 --format record >"$W/record" 2>/dev/null
# the proxy has waited for each program's name; a program that was refused a DNS name may have ended before
check "hostile values were seen" test "$(grep -c 'evil-binary\.test.*FORGED' "$W/line")" -ge 12
check "binaries with hostile names too" test "$(grep -c 'evil-binary' "$W/line")" -gt 10
check "every line is one of ours" eval '! grep -vE "^\[[0-9]{10}\.[0-9]{3}\] \[(gateway|sandbox)\] \[(ERROR|WARN |INFO |DEBUG|TRACE)\] \[[a-z0-9_:]+\] " "$W/line"'
check "as many lines in every format" is "$(wc -l <"$W/line") $(wc -l <"$W/line")" "$(wc -l <"$W/short") $(wc -l <"$W/json")"
for f in line short json record; do check "no control characters, no bytes beyond ASCII: $f" eval "! LC_ALL=C grep -nP '[\\x00-\\x08\\x0b-\\x1f\\x7f]' $W/$f"; done
check "line: ASCII only" eval '! LC_ALL=C grep -nP "[\\x80-\\xff]" "$W/line"'
# outside quotes a line has only key=value of ours: strip quoted values, then FORGED may only be part of a bare value
check "line: no forged key" eval '! sed "s/\"\(\\\\.\|[^\"\\\\]\)*\"//g" "$W/line" | grep -E "(^| )(FORGED=|action=allow dst_host=FORGED|deny_reason=FORGED)"'
check "line: every value but quoted ones is bare" eval '! sed "s/\"\(\\\\.\|[^\"\\\\]\)*\"/Q/g" "$W/line" | grep -v "server\|openshell_sandbox\]" | grep -vE "^\[[^]]*\] \[[^]]*\] \[[^]]*\] \[[^]]*\] ([a-z0-9_]+=[^ \"]+ ?)+$"'
check "shorthand: one forged policy tag nowhere" eval '! sed "s/\\\\\[/</g; s/\\\\\]/>/g" "$W/short" | grep -F "[policy:FORGED"'
check "OCSF: every field" eval '$PY "$ROOT/tests/integ/ocsf_check.py" "$W/json" >"$W/out" || { tail -20 "$W/out"; false; }'
check "OCSF: the classes" is "$(grep -oE ' (1007|4001|4002|5019|6002):' "$W/out" | wc -l)" 5
check "OCSF: no forged member" eval '$PY - "$W/json" <<P
import json, sys
def walk(o):
    if isinstance(o, dict):
        for k, v in o.items():
            assert "FORGED" not in k, k
            walk(v)
for l in open(sys.argv[1]): walk(json.loads(l))
P'
check "never the query" eval '! cat "$W/line" "$W/json" "$W/record" | grep -q "q=secret"'

# ---- the file
check "file: every record, every field" eval 'cat $(ls -v -r $OCSF*) >"$W/file"; $PY "$ROOT/tests/integ/ocsf_check.py" "$W/file" >"$W/out" || { tail -20 "$W/out"; false; }'
ls -l "$W"/ocsf* >"$W/out"
check "rotated" test -e "$OCSF.1"
check "bounded" eval '! find "$W" -name "ocsf.jsonl*" -size +64k | grep . && test "$(ls "$OCSF"* | wc -l)" -le 3'
check "readable by its group only" is "$(stat -c %a "$OCSF")" 640
n() { cat "$OCSF"* | grep -c "\"domain\":\"$1\""; }
in_box box curl -s https://seen.test/ >/dev/null; check "live" until_ok eval '[ "$(n seen.test)" -ge 1 ]'
check "setting off for the sandbox" openshell settings set box --key ocsf_json_enabled --value false >/dev/null
in_box box curl -s https://unseen.test/ >/dev/null; sleep 0.3
check "not written" is "$(n unseen.test)" 0
check "but in the log" eval 'openshell logs box | grep -q unseen.test'
openshell settings delete box --key ocsf_json_enabled >/dev/null 2>&1
openshell settings set --global --yes --key ocsf_json_enabled --value true >/dev/null 2>&1
in_box box curl -s https://seen2.test/ >/dev/null; check "setting on again" until_ok eval '[ "$(n seen2.test)" -ge 1 ]'
mv "$OCSF" "$W/moved"; sleep 1.3
in_box box curl -s https://seen3.test/ >/dev/null
check "a file that was moved away is made anew" until_ok grep -q seen3.test "$OCSF"
