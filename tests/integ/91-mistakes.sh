#!/bin/bash
# Mistakes people make, and the words they get: what happened, to what, why, what to do next.
. "$(dirname "$0")/lib.sh"
O=$BUILD
rc() { local want=$1; shift; "$@" >"$W/out" 2>"$W/err" </dev/null; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out" "$W/err"; return 1; }; }
err() { is "$(cat "$W/err")" "$1"; }
out() { is "$(cat "$W/out")" "$1"; }

# ---- a policy, before there is a daemon
cd "$W" || exit 1
policy() { # HOST [LINE]
	policy_file "  api:
    endpoints:
      - host: $1
        port: 443
        ${2:-tls: skip}
    binaries: [{ path: /usr/bin/curl }]" >p.yaml
}
for h in https://api.test/v1 api.test:443 api.test/v1 user@api.test; do
	policy "$h"; check "host: $h" rc 0 openshell policy check p.yaml
	check "is warned about" err "p.yaml:11:15: warning: network policy 'api' endpoint[0] ($h:443): host '$h' matches no host: write the name alone, without scheme, port or path"
done
for h in api.test '"*.api.test"' 10.0.0.1 '"fd00::1"' '"[ab].test"'; do
	policy "$h"; check "host: $h" rc 0 openshell policy check p.yaml
	check "is fine" err ''
done
check "one of each" out '✓ p.yaml: 1 entry, 1 endpoint'
policy '*.api.test'; check "a star without quotes" rc 1 openshell policy check p.yaml
check "says what to do" err "p.yaml:11:16: not valid YAML: did not find expected alphabetic or numeric character while scanning an alias; a value that begins with '*' needs quotes"
policy api.test $'\tprotocol: rest'; check "a tab" rc 1 openshell policy check p.yaml
check "says what to do" has '; indent with blanks' err
policy api.test ' protocol: rest'; check "one blank too many" rc 1 openshell policy check p.yaml
check "says what to look at" has '; is this line indented like its neighbours' err
(policy_file ''; head -c 300000 /dev/zero | tr '\0' '#') >big.yaml
check "a policy that no sandbox takes" rc 0 openshell policy check big.yaml
check "is said" has 'warning: 300' err; check "with the limit" has 'bytes: the daemon takes policies of at most 262144' err
head -c 2000000 /dev/zero | tr '\0' '#' >big.yaml
check "one that nobody reads" rc 1 openshell policy check big.yaml
check "is said" out '✗ big.yaml: bigger than a policy may be (1 MiB)'
for c in term provider; do check "$c" rc 2 openshell $c list; check "what to use instead" has "error: this build has no command '$c'; '" err; done
check "no line of any help is wider than a terminal" eval '
	walk() { openshell "$@" --help | grep -vF "host:port[:access" | awk "length(\$0) > 80 { print; bad = 1 } END { exit bad }" || return 1
		local s; for s in $(openshell "$@" --help | sed -n "/^Commands:/,/^\$/s/^  \([a-z][a-z-]*\) .*/\1/p"); do walk "$@" "$s" || return 1; done; }
	walk'

# ---- the daemon's configuration
conf() { daemon_config; cat >>openshelld.yaml; }
conf </dev/null; check "fine" rc 0 openshelld -n -c openshelld.yaml
echo no certificate >ca.pem; CAS=$W/ca.pem; conf </dev/null
check "a CA file without a certificate" rc 1 openshelld -n -c openshelld.yaml
check "is said" err "CA certificates: \"$W/ca.pem\" holds no PEM certificate"
printf -- '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n' >ca.pem
check "one that is damaged" rc 1 openshelld -n -c openshelld.yaml
check "is said" err "CA certificates: \"$W/ca.pem\" holds something that does not decode as PEM certificate"
check "the daemon does not start with it" rc 1 openshelld -c openshelld.yaml
check "and says why" has 'does not decode as PEM certificate' err
CAS=; conf <<-Y
	default_policy: $W/p.yaml
	Y
check "a default policy with an error" rc 1 openshelld -n -c openshelld.yaml
check "is said" has "$W/p.yaml:13:18: not valid YAML: mapping values" err
conf <<-Y
	default_policy: $W/none.yaml
	Y
check "one that is not there" rc 0 openshelld -n -c openshelld.yaml
check "is warned about" err "$W/none.yaml: warning: cannot read the default policy: No such file or directory"
mkdir -p state run; conf </dev/null
chmod 777 state; check "a state folder that everybody may write" rc 1 openshelld -c openshelld.yaml
check "what to do" has "state_dir \"$W/state\" can be written by everybody; mend it with: chown root $W/state && chmod o-w $W/state" err
chmod 755 state; chown nobody run; check "a runtime folder of another" rc 1 openshelld -c openshelld.yaml
check "what to do" has "runtime_dir \"$W/run\" does not belong to root; mend it with" err
chown root run

# ---- without a daemon, or without permission
check "status" rc 0 openshell status
check "what to do" has "  Status: Disconnected
  Error: openshelld does not answer; start it with 'openshell gateway start'" out
daemon_start
cp "$O/openshellctl" ctl && chmod 755 ctl
nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/nonexistent "$W/ctl" "$@"; }
check "status as nobody" rc 0 nobody status
check "what to do" has '  Error: access is not permitted; run it as root or as a member of the group openshell' out
check "doctor as nobody" rc 0 nobody doctor
check "does not claim that the daemon is away" has "access to $OPENSHELL_SOCKET is not permitted; only the system was checked" out
check "a second daemon" rc 1 openshelld -c openshelld.yaml
check "says who has it" has 'another openshelld has it; end that one, or give this one a --state-dir of its own' err

# ---- names that do not exist
sandbox box ''
check "flow show" rc 1 openshell flow show 12
check "exactly" err 'error: cannot show a flow: flow 12 is not under way
  hint: see which there are: openshell flow list'
check "flow show of a word" rc 1 openshell flow show abc
check "exactly" err 'error: cannot show a flow: "abc" is no flow id
  hint: see which there are: openshell flow list'
check "flow list" rc 1 openshell flow list nobody
check "exactly" err "error: cannot show flows: sandbox 'nobody' not found
  hint: see which there are: openshell sandbox list"
check "identity show" rc 1 openshell identity show 1
check "exactly" err 'error: cannot show an identity: process 1 is in no sandbox
  hint: see which there are: openshell identity list'
check "identity show of a word" rc 1 openshell identity show abc
check "exactly" err 'error: cannot show an identity: "abc" is no process id
  hint: see which there are: openshell identity list'
check "map dump" rc 1 openshell bpf map dump nosuch
check "exactly" err 'error: cannot dump a BPF map: cannot dump map "nosuch": no such map of ours
  hint: see which there are: openshell bpf map'
check "map show with a name" rc 2 openshell bpf map show osh_names
check "says what does" has "'bpf map dump NAME' shows what is in one" err
check "logs of nothing" rc 0 openshell logs nobody
check "exactly" err '· No records of sandbox nobody match'
check "policy set with errors" rc 1 openshell policy set box --policy p.yaml
check "what to read" has '  hint: openshell-policy(5) describes every field; '\''openshell policy check'\'' checks a file' err
policy api.test; sed -i 's|/tmp, ||' p.yaml
check "policy set with another static section" rc 1 openshell policy set box --policy p.yaml
check "what to do" has '  hint: only network_policies can change while a sandbox exists: delete it and create it with this policy' err

# ---- -o json where there is something to show
json() { openshell "$@" -o json >out 2>err </dev/null && $PY -c 'import json; json.load(open("out"))'; }
openshell logs box -o json >out
check "logs -o json" eval '$PY -c "import json; assert len([json.loads(l) for l in open(\"out\")]) > 2"'
for c in "settings get box" "settings get --global" "sandbox list" "sandbox get box" "policy get box" "policy list box" status doctor "flow list" "identity list" counters "bpf prog" "bpf map" "bpf link" "bpf map dump osh_state"; do
	# shellcheck disable=SC2086
	check "$c -o json" json $c
done
check "settings get -o yaml" eval 'openshell settings get box -o yaml | grep -qx "sandbox: box"'
check "logs: not twice" rc 2 openshell logs box -o json --format line
check "logs: no yaml" rc 2 openshell logs box -o yaml
check "selftest -o json" rc 0 openshell selftest -o json
check "its totals" eval '$PY -c "import json; d=json.load(open(\"out\")); c=[a[\"status\"] for a in d[\"attempts\"]]; assert d[\"open\"]==0 and d[\"closed\"]==c.count(\"closed\")>20 and d[\"not_tried\"]==c.count(\"not tried\"), d"'

# ---- completion knows names, aliases, and options before the command
openshell completions bash >comp
completes() { # EXPECTED WORD...: the last word is under the cursor
	bash -c 'want=$1; shift; source comp; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
		_openshell 2>/dev/null; echo "${COMPREPLY[*]}" | grep -qE -- "$want" || { echo "--- completed: ${COMPREPLY[*]}"; exit 1; }' - "$@"
}
check "completes an alias" completes '^connect$' openshell sb co
check "a sandbox of another socket" completes '^box$' openshell --socket "$OPENSHELL_SOCKET" sandbox connect b
check "a map" completes '^osh_names$' openshell bpf map dump osh_na
check "a binary's file" completes '^/usr/bin/sha512sum$' openshell policy update box --binary /usr/bin/sha512s
check "a command to be helped with" completes '^selftest$' openshell help self
check "logs of a sandbox, or verify" completes 'box verify' openshell logs ''
check "values of an option" completes '^error warn info' openshell logs --level ''
