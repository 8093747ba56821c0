#!/bin/bash
# policy explain about a running sandbox: the last refusal of its log, why, and the command that allows
# it; the command is run as printed, and then the request passes. Nothing a sandboxed program put into
# the log reaches the terminal or a shell unquoted.
. "$(dirname "$0")/lib.sh"
origin api.test other.test
HOSTS="$HOSTS
    dead.test: 127.0.0.1:1"
daemon_start
export XDG_STATE_HOME=$W/xdg
sandbox box '  api:
    endpoints:
      - host: api.test
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [{ allow: { method: GET, path: /zen } }]
    binaries: [{ path: /usr/bin/curl }]'
ex() { openshell policy explain "$@" >"$W/out" 2>"$W/err"; }
rc() { local want=$1; shift; "$@"; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out" "$W/err"; return 1; }; }
code() { in_box box "$@" -s -o /dev/null -w '%{http_code}' </dev/null; }
matches() { grep -qE -- "$1" "$2" || { cat "$2"; return 1; }; }
logged() { local what=$1; logged_now() { openshell logs box --level warn | grep -qF -- "$what"; }; until_ok logged_now; }
# run the command that the explanation ends with
obey() { sed -n '/^That is$/{n;p}' "$W/out" >"$W/cmd"; test -s "$W/cmd" && sh -e "$W/cmd" >"$W/obeyed" 2>&1 || { cat "$W/cmd" "$W/obeyed"; return 1; }; }

check "no refusal yet" rc 1 ex -n box
check "is said" has 'error: cannot explain the last refusal of sandbox "box": its log has none
  hint: name a URL or HOST:PORT, and --binary PATH' <(cat "$W/err")
check "no such sandbox" rc 1 ex -n nobody
check "is said" has 'error: cannot read the policy of sandbox "nobody": sandbox '\''nobody'\'' not found' "$W/err"

# a request
check "POST is refused" is "$(code curl -X POST -d x 'https://api.test/echo')" 403
logged 'l7_target=/echo'
check "explain the last refusal" rc 0 ex -n box
sed -i 's/^refused .* UTC/refused   T UTC/' "$W/out"
check "exactly" is "$(cat "$W/out")" 'deny  /usr/bin/curl  POST  api.test:443/echo
refused   T UTC, reason_code l7_not_permitted
reason    POST /echo not permitted by policy
policy    api
inspect   rest
decided   box:24, in entry api

To allow exactly this, make it
  network_policies:
    api:
      endpoints:
      - host: api.test
        port: 443
        protocol: rest
        enforcement: enforce
        rules:
        - allow:
            method: GET
            path: /zen
+       - allow:
+           method: POST
+           path: /echo
      binaries:
      - path: /usr/bin/curl

That is
  openshell policy update box --add-allow api.test:443:POST:/echo --wait'
check "lines are those of policy get --full" has 'host: api.test' <(openshell policy get box --full | sed '1,/^---$/d' | sed -n 24p)
check "its command works" obey
check "and allows it" is "$(code curl -X POST -d x 'https://api.test/echo')" 200
check "explained again" rc 0 ex -n box
check "it says so" has 'the policy in force allows this now' "$W/out"

# what a program can put into a path stays a word of the shell
odd="https://api.test/a'\$(id);*[b]"
check "an odd path" is "$(code curl -g -X POST -d x "$odd")" 403
logged 'POST /a'
check "a path with quotes, stars and a substitution" rc 0 ex
check "the sandbox used last is named" has "Using sandbox 'box' (last used)" "$W/err"
check "its command is quoted" obey
check "and matches only that" is "$(code curl -g -X POST -d x "$odd") $(code curl -X POST -d x https://api.test/b)" '201 403'

# a binary, a host, a name that does not resolve
check "another binary" is "$(in_box box wget -q -O /dev/null https://api.test/zen </dev/null; echo $?)" 4
logged /usr/bin/wget
ex -n box
check "the binary is what lacks" has '+     - path: /usr/bin/wget' "$W/out"
check "its command" has '  openshell policy update box --add-endpoint api.test:443 --binary /usr/bin/wget --wait' "$W/out"
check "works" obey
check "wget passes" rc 0 in_box box wget -q -O /dev/null https://api.test/zen
check "another host" is "$(code curl https://other.test/)" 000
logged other.test
ex -n box -o json
check "as JSON" is "$($PY -c 'import json,sys; d=json.load(open(sys.argv[1])); print(d["verdict"], d["reason_code"], d["host"], d["port"], d["update"])' "$W/out")" \
	'deny no_endpoint other.test 443 --add-endpoint other.test:443 --binary /usr/bin/curl'
in_box_bare box curl -s -o /dev/null https://third.test/ </dev/null
logged third.test
ex -n box
check "a refused name" has 'reason_code dns_refused' "$W/out"
check "is taken for https" has '--add-endpoint third.test:443 --binary /usr/bin/curl --wait' "$W/out"

# a question of one's own, about the policy in force
check "URL" rc 0 ex -n box -b /usr/bin/curl -X PUT https://other.test/x
check "the whole change in one command" has 'openshell policy update box --add-endpoint other.test:443::rest:enforce --binary /usr/bin/curl --add-allow other.test:443:PUT:/x --wait' "$W/out"
check "works" obey
check "and is enough" is "$(code curl -X PUT -d x https://other.test/x) $(code curl https://other.test/x)" '200 403'
check "-p and -n" rc 2 ex -n box -p "$W/box.yaml" -b /usr/bin/curl https://other.test/
check "-p alone needs a question" rc 2 ex -p "$W/box.yaml"
check "a question needs a binary" rc 2 ex -n box https://other.test/
check "an option of a question needs one" rc 2 ex -n box -X GET
OPENSHELL_SOCKET=$W/none.sock check "no daemon" rc 1 ex -n box
check "is said" has 'error: cannot read the policy of sandbox "box": openshelld does not answer' "$W/err"
OPENSHELL_SOCKET=$W/none.sock check "a file needs none" rc 0 ex -p "$W/box.yaml" -b /usr/bin/curl https://api.test/zen

# the global policy is nobody's to update
policy_file '' >"$W/g.yaml"
openshell policy set --global --policy "$W/g.yaml" --yes 2>/dev/null
ex -n box -b /usr/bin/curl https://other.test/x
check "under a global policy" has "The global policy is in force: change it with 'openshell policy set --global'" "$W/out"
check "no command that would be refused" has_not 'policy update' "$W/out"
openshell policy delete --global --yes 2>/dev/null

# a reason that is not the policy's
in_box box curl -s -o /dev/null -H 'Host: evil.test' https://api.test/zen </dev/null
logged evil.test
ex -n box
check "domain fronting: no change of the policy is proposed" has_not 'policy update' "$W/out"
check "but why" has 'the program names one host and connects to another' "$W/out"

# allowed, but it did not come off
openshell policy update box --add-endpoint dead.test:443 --binary /usr/bin/curl --wait 2>/dev/null
in_box box curl -s -o /dev/null https://dead.test/ </dev/null
logged 'reason_code=upstream_unreachable'
ex -n box
check "a server that is not there: what happened" matches '^fail  /usr/bin/curl  dead.test:443$' "$W/out"
check "when and why" matches '^failed    .* UTC, reason_code upstream_unreachable$' "$W/out"
check "what to do" has 'set upstream_proxy in openshelld.conf(5)' "$W/out"
