#!/bin/bash
# Policy lifecycle as people and scripts see it: exact outputs and exit codes of set, get, list,
# rollback, update and delete --global; the global override; locked sections; bad files; quarantine.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
ep() { printf '  %s:\n    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: %s }]\n    binaries: [{ path: /usr/bin/curl }]\n' "$1" "$2"; }
code() { in_box box curl -s -o /dev/null -w '%{http_code}' --max-time 10 "$@" https://api.test/zen; }
put() { openshell policy "$@" >"$W/out" 2>"$W/err"; }
rc() { local want=$1; shift; "$@"; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; cat "$W/out" "$W/err"; return 1; }; }
matches() { grep -qE -- "$1" "$2" || { echo "--- no match: $1"; cat "$2"; return 1; }; }

# ---- set
sandbox box "$(ep a read-only)"
policy_file "$(ep a read-only)" >"$W/a.yaml"; policy_file "$(ep b read-write)" >"$W/b.yaml"; policy_file "$(ep c full)" >"$W/c.yaml"
check "same content: unchanged" rc 0 put set box --policy "$W/a.yaml" --wait
check "said exactly" matches '^· Policy unchanged \(version 1, hash: [0-9a-f]{12}\)$' "$W/err"
check "stdout is empty" test ! -s "$W/out"
check "set --wait" rc 0 put set box --policy "$W/b.yaml" --wait
check "first line" is "$(sed -n 1p "$W/err" | sed 's/hash: [0-9a-f]\{12\}/H/')" '✓ Policy version 2 submitted (H)'
check "second line" is "$(sed -n 2p "$W/err")" '✓ Policy version 2 loaded (active version: 2)'
check "two lines" is "$(wc -l <"$W/err")" 2
check "no colour without a terminal" has_not $'\033' "$W/err"
check "in force" is "$(code -X POST -d x)" 200
check "set from stdin without --wait" rc 0 eval 'openshell policy set box --policy - <"$W/c.yaml" >"$W/out" 2>"$W/err"'
check "one line" matches '^✓ Policy version 3 submitted \(hash: [0-9a-f]{12}\)$' "$W/err"
check "without a name: the last used one" rc 0 put set --policy "$W/c.yaml" --wait
check "is announced" has "→ Using sandbox 'box' (last used)" "$W/err"

# ---- get
put get box
check "get: header" is "$(sed -E 's/[0-9a-f]{64}/H/; s/(Config rev: +)[0-9]+/\1N/' "$W/out")" "Version:      3
Hash:         H
Status:       Effective
Source:       sandbox
Config rev:   N"
put get box --full
check "get --full: ---" is "$(sed -n 6p "$W/out")" ---
sed '1,/^---$/d' "$W/out" >"$W/back.yaml"
check "what get --full prints can be set again" rc 0 put set box --policy "$W/back.yaml" --wait
check "as it is: unchanged" matches '^· Policy unchanged \(version 3' "$W/err"
openshell policy get box --full >"$W/header.yaml" 2>/dev/null
check "with the header it is refused" rc 1 put set box --policy "$W/header.yaml"
check "and says what to leave out" has 'leave out the header' "$W/err"
put get box --rev 2
check "get --rev" is "$(sed -E 's/[0-9a-f]{64}/H/; s/[0-9]{13}/T/' "$W/out")" "Version:      2
Hash:         H
Status:       Superseded
Active:       3
Created:      T ms
Loaded:       T ms"
put get box -o json --full
check "get -o json keys" is "$($PY -c 'import json,sys;d=json.load(open(sys.argv[1]));print(list(d),d["status"],d["scope"],d["sandbox"],d["version"])' "$W/out")" \
	"['active_version', 'config_revision', 'hash', 'policy', 'policy_source', 'sandbox', 'scope', 'status', 'version'] effective sandbox box 3"
put get box -o json --rev 1
check "get --rev -o json keys" is "$($PY -c 'import json,sys;d=json.load(open(sys.argv[1]));print([k for k in d if k!="provenance"],d["status"])' "$W/out")" \
	"['active_version', 'created_at_ms', 'hash', 'loaded_at_ms', 'sandbox', 'scope', 'status', 'version'] superseded"
check "get -o yaml is a usage error" rc 2 put get box -o yaml
check "an unknown revision" rc 0 put get box --rev 99
check "is no history" has "No policy history found for sandbox 'box'" "$W/err"
check "an unknown sandbox" rc 1 put get nobody
check "no global history" rc 0 put get --global
check "is said" has 'No global policy history found' "$W/err"

# ---- list
put list box
check "list: header" is "$(sed -n 1p "$W/out")" 'VERSION  HASH           STATUS       CREATED                  ERROR'
check "list: rows" is "$(sed 1d "$W/out" | sed -E 's/[0-9a-f]{12} /H /; s/[0-9]{13}/T/' | sed 's/ *$//')" "3        H   Loaded       T
2        H   Superseded   T
1        H   Superseded   T"
check "widths" matches '^2        [0-9a-f]{12}   Superseded   [0-9]{13}            $' "$W/out"
put list box --limit 1
check "limit" is "$(wc -l <"$W/out")" 2
put list box -o json
check "list -o json" is "$($PY -c 'import json,sys;print([r["version"] for r in json.load(open(sys.argv[1]))])' "$W/out")" '[3, 2, 1]'

# ---- rollback
check "rollback" rc 0 put rollback box 1 --wait
check "makes a new version" has '✓ Policy version 4 loaded (active version: 4)' "$W/err"
check "of the old content" is "$(openshell policy get box -o json | $PY -c 'import json,sys;print(json.load(sys.stdin)["hash"])')" "$(openshell policy get box --rev 1 -o json | $PY -c 'import json,sys;print(json.load(sys.stdin)["hash"])')"
check "in force" is "$(code -X POST -d x)" 403
check "rollback to nothing" rc 1 put rollback box 99
check "says why" has "cannot roll sandbox 'box' back to version 99: policy revision not found" "$W/err"

# ---- update
check "update needs operations" rc 1 put update box
check "exactly" has 'policy update requires at least one operation flag' "$W/err"
check "--wait with --dry-run" rc 1 put update box --add-allow api.test:443:POST:/x --dry-run --wait
check "exactly" has "--wait cannot be combined with --dry-run" "$W/err"
check "--binary alone" rc 1 put update box --binary /usr/bin/curl --add-allow api.test:443:POST:/x
check "exactly" has '--binary can only be used with --add-endpoint' "$W/err"
check "--rule-name alone" rc 1 put update box --rule-name x --add-allow api.test:443:POST:/x
check "exactly" has '--rule-name can only be used with --add-endpoint' "$W/err"
check "--rule-name twice" rc 1 put update box --rule-name x --add-endpoint a.test:1 --add-endpoint b.test:1
check "exactly" has '--rule-name is only supported when exactly one --add-endpoint is provided' "$W/err"
check "bad spec" rc 1 put update box --add-endpoint nonsense
check "exactly" has "--add-endpoint expects host:port[:access[:protocol[:enforcement[:options]]]], got 'nonsense'" "$W/err"
check "dry run" rc 0 put update box --add-allow api.test:443:POST:/zen --dry-run
check "says what it would do" is "$(sed -n 1p "$W/err")" '✓ Dry run preview for 1 incremental policy operation(s)'
check "warns" has "! expanded access preset 'read-only' to explicit rules for endpoint api.test:443" "$W/err"
check "shows it" is "$(sed -n '1,3p' "$W/out")" "Policy:

  version: 1"
check "and changes nothing" is "$(openshell policy get box | sed -n 1p)" 'Version:      4'
check "add-allow" rc 0 put update box --add-allow api.test:443:post:/zen --wait
check "as set" has '✓ Policy version 5 loaded (active version: 5)' "$W/err"
check "in force" is "$(code -X POST -d x)" 200
check "add-deny" rc 0 put update box --add-deny 'api.test:443:POST:/**' --wait
check "in force" is "$(code -X POST -d x)" 403
check "add-endpoint" rc 0 put update box --add-endpoint new.test:443:read-only:rest:enforce --binary /usr/bin/wget --wait
openshell policy get box --full >"$W/out"
check "under the generated name" has 'allow_new_test_443:' "$W/out"
check "add-endpoint with a name" rc 0 put update box --add-endpoint n2.test:443 --binary /usr/bin/wget --rule-name mine --wait
check "remove-endpoint" rc 0 put update box --remove-endpoint new.test:443 --wait
check "remove-rule" rc 0 put update box --remove-rule mine --wait
openshell policy get box --full >"$W/out"
check "both are gone" has_not new.test "$W/out"; check "both" has_not mine "$W/out"
check "add-allow to nothing" rc 1 put update box --add-allow gone.test:443:GET:/
check "exactly" has 'endpoint gone.test:443 was not found in the current policy' "$W/err"
check "new binary on an old rule inherits nothing" rc 1 put update box --add-endpoint other.test:443 --rule-name a --binary /usr/bin/wget

# ---- locked sections, invalid files
v=$(openshell policy get box | sed -n 1p)
sed 's|/tmp, /dev/null|/tmp, /dev/null, /opt|' "$W/b.yaml" >"$W/s.yaml"
check "a filesystem change is refused" rc 1 put set box --policy "$W/s.yaml"
cat "$W/err" >"$W/all"
sed 's|/sandbox, /tmp|/sandbox|' "$W/b.yaml" >"$W/s.yaml"
check "a removed path" rc 1 put set box --policy "$W/s.yaml"
check "exactly" has "filesystem read_write path '/tmp' cannot be removed on a live sandbox" "$W/err"
sed 's|include_workdir: true|include_workdir: false|' "$W/b.yaml" >"$W/s.yaml"
check "include_workdir" rc 1 put set box --policy "$W/s.yaml"
check "exactly" has 'filesystem include_workdir cannot be changed on a live sandbox' "$W/err"
sed 's|best_effort|hard_requirement|' "$W/b.yaml" >"$W/s.yaml"
check "landlock" rc 1 put set box --policy "$W/s.yaml"
check "exactly" has 'landlock policy cannot be changed on a live sandbox (applied at startup)' "$W/err"
sed '/^process:/d' "$W/b.yaml" >"$W/s.yaml"
check "process" rc 1 put set box --policy "$W/s.yaml"
check "exactly" has 'process policy cannot be changed on a live sandbox (applied at startup)' "$W/err"
printf '%s' "${STATIC/version: 1/version: 2}" >"$W/bad.yaml"
cat >>"$W/bad.yaml" <<'Y'
network_policies:
  a:
    endpoint: []
    endpoints: [{ host: api.test, port: 99999, protocl: rest }]
    binaries: [{ path: /usr/bin/curl }]
Y
check "a bad file" rc 1 put set box --policy "$W/bad.yaml"
for line in 'bad.yaml:1:' 'bad.yaml:10:' 'bad.yaml:11:'; do check "every error with its place: $line" matches "${line}[0-9]+:" "$W/err"; done
check "with a suggestion" matches 'did you mean .?protocol' "$W/err"
check "no revision of it" is "$(openshell policy get box | sed -n 1p)" "$v"
check "and the old one is in force" is "$(code)" 200
check "unreadable file" rc 1 put set box --policy "$W/none.yaml"

# ---- global override
check "global needs a yes" rc 1 put set --global --policy "$W/c.yaml"
check "exactly" has 'global setting updates require confirmation; pass --yes in non-interactive mode' "$W/err"
check "--wait with --global" rc 1 put set --global --policy "$W/c.yaml" --yes --wait
check "exactly" has '--wait is not supported for global policies; global policies are effective immediately' "$W/err"
sed "s|access: full|access: read-only|; s|  c:|  g:|" "$W/c.yaml" >"$W/g.yaml"
put rollback box 3 --wait
check "before: POST is allowed" is "$(code -X POST -d x)" 200
v=$(openshell policy get box | sed -n 's/Version: *//p')
check "set --global" rc 0 put set --global --policy "$W/g.yaml" --yes
check "exactly" matches '^✓ Global policy configured \(hash: [0-9a-f]{12}, settings revision: [0-9]+\)$' "$W/err"
check "it is in force at once" is "$(code -X POST -d x)" 403
put get box
check "get says so" has 'Source:       global' "$W/out"; check "with its version" has 'Global:       1' "$W/out"
put get --global
check "get --global" is "$(sed -n '1,2p;4p' "$W/out")" "Scope:        global
Version:      1
Status:       Effective"
check "list --global" rc 0 put list --global
check "one revision" is "$(wc -l <"$W/out")" 2
for what in "set box --policy $W/a.yaml" "update box --add-allow api.test:443:POST:/" "rollback box 1"; do
	# shellcheck disable=SC2086
	check "under it ${what%% *} is refused" rc 1 put $what
	check "exactly" has 'policy is managed globally; delete global policy before sandbox policy update' "$W/err"
done
openshell sandbox get box >"$W/out"
check "sandbox get says so" has 'Policy source: global' "$W/out"
policy_file "$(ep own full)" >"$W/second.yaml"
check "a sandbox created now" openshell sandbox create --name second --policy "$W/second.yaml" </dev/null >/dev/null 2>&1
check "obeys it too" is "$(in_box second curl -s -o /dev/null -w '%{http_code}' -X POST -d x https://api.test/zen)" 403
check "delete without --global" rc 1 put delete box
check "exactly" has 'sandbox policy delete is not supported; use --global to remove global policy lock' "$W/err"
check "delete --global" rc 0 put delete --global --yes
check "exactly" matches '^✓ Deleted global setting policy \(revision [0-9]+\)$' "$W/err"
check "their own are back" until_ok eval '[ "$(code -X POST -d x)" = 200 ]'
check "in every sandbox" until_ok eval '[ "$(in_box second curl -s -o /dev/null -w "%{http_code}" -X POST -d x https://api.test/zen)" = 200 ]'
check "the version too" is "$(openshell policy get box | sed -n 's/Version: *//p')" "$v"
check "delete --global again" rc 0 put delete --global --yes
check "exactly" has '! Global setting policy not found' "$W/err"
openshell sandbox delete second >/dev/null

# ---- a stopped sandbox
openshell sandbox stop box >/dev/null
check "set on a stopped sandbox" rc 0 put set box --policy "$W/a.yaml"
check "--wait does not wait for what cannot come" rc 124 put update box --add-deny 'api.test:443:GET:/secret' --wait
check "but says so" matches '^⚠ Policy version [0-9]+ is stored; it will be loaded when the sandbox starts$' "$W/err"
openshell sandbox start box >/dev/null
check "it comes into force with the start" is "$(in_box box curl -s -o /dev/null -w '%{http_code}' https://api.test/secret) $(code)" '403 200'
check "and is loaded" is "$(openshell policy list box | awk 'NR==2{print $3}')" Loaded

# ---- 50 clients at once
first=$(openshell policy get box | sed -n 's/Version: *//p')
for i in $(seq 50); do policy_file "$(ep "p$i" read-only)" >"$W/p$i.yaml"; done
pids=
for i in $(seq 50); do
	openshell policy set box --policy "$W/p$i.yaml" --wait >/dev/null 2>"$W/p$i.err" & pids="$pids $!"
done
bad=0; for p in $pids; do wait "$p" || bad=$((bad + 1)); done
check "50 pushes at once all succeed" is $bad 0
sed -n 's/.*version \([0-9]*\) submitted.*/\1/p' "$W"/p*.err | sort -n >"$W/versions"
check "each has a version of its own, none is lost" is "$(cat "$W/versions")" "$(seq $((first + 1)) $((first + 50)))"
openshell policy list box --limit 1000 >"$W/list"
check "one is loaded" is "$(grep -c ' Loaded ' "$W/list")" 1
check "the newest" is "$(awk '$3=="Loaded"{print $1}' "$W/list")" $((first + 50))
check "none is pending or failed" is "$(grep -cE ' (Pending|Failed) ' "$W/list")" 0
check "and in force" is "$(code)" 200
key=$(openshell policy get box --full | sed -n '/^network_policies:/{n;s/[ :]*//gp}')
check "its content is that of its version" has "version $((first + 50)) " "$W/$key.err"

# ---- OPENSHELL_SANDBOX_POLICY
OPENSHELL_SANDBOX_POLICY=$W/b.yaml openshell sandbox create --name env </dev/null >/dev/null 2>&1
check "OPENSHELL_SANDBOX_POLICY is the default policy" eval 'openshell policy get env --full | grep -q "^  b:"'
openshell sandbox create --name bare </dev/null >/dev/null 2>&1
check "without any: the restrictive default" eval '! openshell policy get bare --full | grep -q network_policies'
openshell sandbox delete env bare >/dev/null

# ---- quarantine
daemon_kill
sqlite3 "$W/state/state.db" "update revisions set text='version: 1
network_policies: [broken' where scope='box' and version=(select max(version) from revisions where scope='box')" || die "cannot damage the state"
daemon_start
check "a stored policy that does not load: quarantined" until_ok grep -q 'quarantined, everything is denied' "$W/openshelld.log"
check "everything is denied" is "$(in_box box curl -s -o "$W/body" -w '%{http_connect}' https://api.test/zen)" 403
logs box --level error
check "it is in the log" has quarantine "$W/logs"
check "status does not claim the revision" eval '! openshell policy list box | awk "NR==2{exit \$3 == \"Loaded\" ? 0 : 1}"'
check "a new policy ends it" rc 0 put set box --policy "$W/a.yaml" --wait
check "traffic flows" is "$(code)" 200
# the same for the global one: nobody falls back to a policy of his own
put set --global --policy "$W/g.yaml" --yes
daemon_kill
sqlite3 "$W/state/state.db" "update revisions set text='broken' where scope='' and status=(select status from revisions where scope='' order by version desc limit 1)" || die "cannot damage the state"
policy_file "$(ep own full)" >"$W/own.yaml"
daemon_start
check "a global policy that does not load: quarantined" is "$(in_box box curl -s -o /dev/null -w '%{http_connect}' https://api.test/zen)" 403
check "the same content again" rc 0 put set --global --policy "$W/g.yaml" --yes
check "is not taken for unchanged" until_ok eval '[ "$(code)" = 200 ]'
check "and the global policy still holds" is "$(code -X POST -d x)" 403
put delete --global --yes
check "its own again" until_ok eval '[ "$(openshell policy get box | sed -n "s/Source: *//p")" = sandbox ] && [ "$(code)" = 200 ]'
