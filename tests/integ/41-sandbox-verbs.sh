#!/bin/bash
# The sandbox verbs of the CLI: create with every flag, exec and connect, list, get, stop and start,
# delete, the last-used fallback, and errors that say what to do.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
export XDG_STATE_HOME=$W/xdg
net='  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]'
policy_file "$net" >"$W/p.yaml"
sb() { openshell sandbox "$@" >"$W/out" 2>"$W/err" </dev/null; }
rc() { local want=$1; shift; "$@"; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out" "$W/err"; return 1; }; }
matches() { grep -qE -- "$1" "$2" || { echo "--- no match: $1"; cat "$2"; return 1; }; }
json() { $PY -c "import json,sys; d=json.load(open('$W/out')); print($1)"; }

# ---- nothing there
check "list without any" rc 0 sb list
check "is said" is "$(cat "$W/out")" 'No sandboxes found.'
check "list --names is silent" rc 0 sb list --names
check "nothing" test ! -s "$W/out"
check "delete --all without any" rc 0 sb delete --all
check "is said" is "$(cat "$W/out")" 'No sandboxes to delete.'
check "no name, no last used one" rc 1 sb get
check "says what to do" has 'No sandbox name provided and no last-used sandbox.
Specify a sandbox name or connect to one first: openshell sandbox connect <name>' "$W/err"

# ---- create
check "create" rc 0 sb create --name one --policy "$W/p.yaml" --label team=a --label x=1 --env GREETING=hello --env API_TOKEN=s3cr3t --workdir /tmp
check "stdout" is "$(cat -A "$W/out" | tr -d '\n')" '$Created sandbox: one$$'
check "names it" matches '^Created sandbox: one$' "$W/out"
check "stages, no terminal: lines" matches '^  \[[0-9]+\.[0-9]s\] Requesting' "$W/err"
check "no escape sequences" has_not $'\033' "$W/err"
check "a key that looks like a credential: warned" has 'API_TOKEN looks like a credential' "$W/err"
check "never its value" has_not s3cr3t "$W/err"
check "other keys are not" has_not GREETING "$W/err"
check "the warning can be left out" rc 0 sb create --name two --policy "$W/p.yaml" --label team=b --env MY_PASSWORD=x --env TOKENIZERS_PARALLELISM=1 --no-credential-warnings
check "is" has_not 'looks like' "$W/err"
check "env in every program" is "$(in_box one /usr/bin/env | grep -E '^(GREETING|API_TOKEN)=' | sort | tr '\n' ' ')" 'API_TOKEN=s3cr3t GREETING=hello '
check "working directory" is "$(in_box one pwd)" /tmp
check "default working directory" is "$(in_box two pwd)" /sandbox
check "exists already" rc 1 sb create --name one
check "with the hint" has "
hint: delete it first with: openshell sandbox delete one
      or use a different name" "$W/err"
check "once" is "$(grep -c 'hint:' "$W/err")" 1
for bad in Upper under_score -dash dash- a--b waytoolongasandboxname ''; do
	check "bad name '$bad'" rc 1 sb create --name "$bad" 2>/dev/null || break
done
check "says why" has 'sandbox name' "$W/err"
check "bad env key" rc 2 sb create --name z --env 1X=y
check "reserved env key" rc 2 sb create --name z --env OPENSHELL_X=y
check "says which" has OPENSHELL_X "$W/err"
check "env without value" rc 2 sb create --name z --env X
check "keep and no-keep" rc 2 sb create --name z --keep --no-keep
check "detach and no-keep" rc 2 sb create --name z --detach --no-keep
check "unknown option" rc 2 sb create --frobnicate
check "bad policy" rc 1 eval 'printf "version: 1\nnonsense: 2\n" >"$W/bad.yaml"; sb create --name z --policy "$W/bad.yaml"'
check "with its place" matches 'bad.yaml:2:[0-9]+: unknown field .nonsense' "$W/err"
check "nothing was made" rc 0 sb list --names
check "only what was asked for" is "$(sort "$W/out" | tr '\n' ' ')" 'one two '
check "generated name" rc 0 sb create --policy "$W/p.yaml" -o json
check "valid and in the answer" matches '^[a-z][a-z0-9-]{2,18}$' <(json 'd["name"]')
check "structured output says so" has 'Provisioning sandbox (structured output on stdout)...' "$W/err"
check "json keys" is "$(json 'sorted(d)' | tr -d "[]',")" "$(json 'sorted(d)' | tr -d "[]',")"
check "phase" is "$(json 'd["phase"]')" Ready
gen=$(json 'd["name"]')
check "--keep is accepted" rc 0 sb create --name kept --keep --policy "$W/p.yaml"
check "--no-keep deletes after the command" rc 7 sb create --name gone --no-keep --no-tty --policy "$W/p.yaml" -- /bin/sh -c 'echo ran; exit 7'
check "it ran" has ran "$W/out"
check "it is gone" until_ok eval '! openshell sandbox list --names | grep -qx gone'
check "--detach" rc 0 sb create --name det --detach --policy "$W/p.yaml" -- /bin/sh -c 'echo 1 >/sandbox/started; sleep 100'
check "its command runs on" until_ok in_box det test -e /sandbox/started

# limits
have() { cat /sys/fs/cgroup/unified/cgroup.controllers /sys/fs/cgroup/cgroup.controllers 2>/dev/null | grep -qw "$1"; }
for l in cpu=0.5 memory=256Mi pids=100; do
	if have "${l%%=*}"; then
		check "--${l%%=*}" rc 0 sb create --name lim --policy "$W/p.yaml" "--${l%%=*}" "${l#*=}"
		sb delete lim
	else
		check "--${l%%=*} without a controller" rc 1 sb create --name lim --policy "$W/p.yaml" "--${l%%=*}" "${l#*=}"
		check "what, why" has "cannot enforce --${l%%=*}: this host has no cgroup v2 ${l%%=*} controller" "$W/err"
		check "what next" has 'hint: ' "$W/err"
		check "nothing was made" rc 0 eval '! openshell sandbox list --names | grep -qx lim'
	fi
done
check "bad cpu" rc 2 sb create --cpu nope
check "bad memory" rc 2 sb create --memory 12Q

# ---- list, get
check "list" rc 0 sb list
check "header" matches '^NAME +CREATED {14}PHASE *$' "$W/out"
check "row" matches '^one +20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9:]{8}  Ready *$' "$W/out"
check "selector" rc 0 sb list --selector team=a --names
check "finds" is "$(cat "$W/out")" one
check "selector of two" rc 0 sb list --selector team=b,x=1 --names
check "finds none" test ! -s "$W/out"
check "selector with a limit" rc 0 sb list --selector team=b --names --limit 1
check "filters first" is "$(cat "$W/out")" two
check "bad selector" rc 2 sb list --selector team
check "ids" rc 0 sb list --ids
check "are uuids" matches '^[0-9a-f]{8}-[0-9a-f-]{27}$' "$W/out"
check "ids and names" rc 2 sb list --ids --names
check "list -o json" rc 0 sb list -o json
check "keys" is "$(json '" ".join(sorted(d[0]))')" 'annotations created_at current_policy_version id labels name phase resource_version workspace'
check "list -o yaml" rc 0 sb list -o yaml
check "no marker" has_not '---' "$W/out"
check "get" rc 0 sb get one
check "get block" is "$(sed -E 's/(Id: ).*/\1I/; s/(version: )[0-9]+$/\1N/; 12,$d' "$W/out")" "Sandbox:
  Id: I
  Name: one
  Phase: Ready
  Resource version: N
  Labels:
    team: a
    x: 1
  Policy source: sandbox
  Revision: 1"
check "get --policy-only" rc 0 sb get one --policy-only
check "is a policy" is "$(sed -n 1p "$W/out")" 'version: 1'
check "get of nothing" rc 1 sb get nobody
check "says so" has nobody "$W/err"

# ---- exec, connect
ex() { openshell sandbox exec "$@" >"$W/out" 2>"$W/err"; }
check "exit code" rc 42 ex -n one --no-tty -- /bin/sh -c 'exit 42'
check "killed by a signal" rc 143 ex -n one --no-tty -- /bin/sh -c 'kill -TERM $$'
check "stdout and stderr stay apart" rc 0 ex -n one --no-tty -- /bin/sh -c 'echo o; echo e >&2'
check "stdout" is "$(cat "$W/out")" o; check "stderr" is "$(cat "$W/err")" e
check "stdin" is "$(head -c 3000000 /dev/zero | tr '\0' x | openshell sandbox exec -n one --no-tty -- /usr/bin/wc -c | tr -d ' ')" 3000000
check "closed stdin ends a reader" rc 0 eval 'ex -n one --no-tty -- /bin/cat </dev/null'
check "--timeout" rc 124 ex -n one --no-tty --timeout 1 -- /bin/sleep 50
check "--env" rc 0 ex -n one --no-tty --env A=1 --env GREETING=bye -- /usr/bin/env
check "is set" has A=1 "$W/out"; check "wins over the sandbox's" has GREETING=bye "$W/out"
check "--workdir" rc 0 ex -n one --no-tty --workdir /usr/bin -- /bin/pwd
check "is it" is "$(cat "$W/out")" /usr/bin
check "no such program" rc 1 ex -n one --no-tty -- /usr/bin/nonesuch
check "says so" matches 'cannot run.*/usr/bin/nonesuch' "$W/err"
check "no command" rc 2 ex -n one
check "last used" rc 0 ex --no-tty -- /bin/true
check "announced on stderr" is "$(cat "$W/err")" "→ Using sandbox 'one' (last used)"
check "no such sandbox" rc 1 ex -n nobody -- /bin/true
check "--tty gives a terminal" rc 0 eval '$PY "$ROOT/tools/ptyrun.py" --prompt ready --line "" -- openshell sandbox exec -n one --tty -- /bin/sh -c "tty; stty size; echo ready; read x; exit 0" >"$W/out" 2>&1'
check "its own" matches '^/dev/pts/[0-9]+' "$W/out"
check "connect: a new shell, exit code of its last command" rc 56 eval '$PY "$ROOT/tools/ptyrun.py" --prompt "sandbox@one:" --line "echo in-\$((40+2))" --line "exit 56" -- openshell sandbox connect one >"$W/out" 2>&1'
check "ran" has in-42 "$W/out"
check "leaving keeps it" is "$(in_box one /bin/echo alive)" alive

# ---- stop, start
in_box one /bin/sh -c 'echo kept >/sandbox/file; echo x >/tmp/volatile'
openshell policy update one --add-allow api.test:443:POST:/zen --wait 2>/dev/null
code() { in_box one curl -s -o /dev/null -w '%{http_code}' --max-time 10 "$@" https://api.test/zen; }
check "before" is "$(code -X POST -d x)" 200
check "stop" rc 0 sb stop one
check "exactly" is "$(cat "$W/out")" '✓ Stopped sandbox one'
check "phase" is "$(openshell sandbox list | awk '$1=="one"{print $NF}')" Stopped
check "exec is refused" rc 1 ex -n one -- /bin/true
check "exactly" has "sandbox 'one' is not ready (phase: Stopped); wait for it to reach Ready state" "$W/err"
check "stop again" rc 0 sb stop one
check "start" rc 0 sb start one
check "exactly" is "$(cat "$W/out")" '✓ Started sandbox one'
check "files survive" is "$(in_box one /bin/cat /sandbox/file)" kept
check "the policy too" is "$(code -X POST -d x)" 200
check "the environment too" is "$(in_box one /bin/sh -c 'echo $GREETING')" hello
check "start again" rc 0 sb start one

# ---- delete
check "delete several" rc 0 sb delete two nobody kept
check "one line each" is "$(cat "$W/out")" '✓ Deleted sandbox two
! Sandbox nobody not found
✓ Deleted sandbox kept'
check "its files are gone" test ! -e "$W/state/sandboxes/two"
check "delete needs something" rc 2 sb delete
check "names and --all" rc 2 sb delete one --all
check "delete the last used one" rc 0 sb delete one
check "is forgotten" rc 1 sb get
check "delete --all" rc 0 sb delete --all
check "the rest" is "$(sort "$W/out")" "$(printf '✓ Deleted sandbox %s\n' det "$gen" | sort)"
check "nothing is left" is "$(ls "$W/state/sandboxes" "$W/run/sandboxes" "$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG/sandboxes" | grep -v -e : -e '^cgroup\.' -e '\.' | tr -d '\n')" ''
