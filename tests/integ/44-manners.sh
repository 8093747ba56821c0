#!/bin/bash
# Manners of the command line: data on stdout and words on stderr, colour only on a terminal and never
# with NO_COLOR, usage errors are 2, every error says what, why and what next, -o json where there is a
# table, completion and help from one table.
. "$(dirname "$0")/lib.sh"
daemon_start
sandbox demo ''
rc() { local want=$1; shift; "$@" >"$W/out" 2>"$W/err" </dev/null; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out" "$W/err"; return 1; }; }
matches() { grep -qE -- "$1" "$2" || { echo "--- no match: $1"; cat "$2"; return 1; }; }
tty_() { $PY "$ROOT/tools/ptyrun.py" --prompt '#never#' -- "$@"; }
check "colour on a terminal" eval 'tty_ openshell policy list demo >"$W/out"; grep -q "$(printf "\033")" "$W/out"'
check "not with NO_COLOR" eval 'NO_COLOR=1 tty_ openshell policy list demo >"$W/out"; ! grep -q "$(printf "\033\\[")" "$W/out"'
check "not with TERM=dumb" eval 'TERM=dumb tty_ openshell policy list demo >"$W/out"; ! grep -q "$(printf "\033\\[")" "$W/out"'
check "not in a pipe" eval 'openshell policy list demo | grep -q Loaded && ! openshell policy list demo | grep -q "$(printf "\033")"'
for c in "sandbox list" "sandbox get demo" "policy list demo" "policy get demo" "status" "settings get demo"; do
	# shellcheck disable=SC2086
	case $c in settings*) o=--json ;; *) o="-o json" ;; esac
	# shellcheck disable=SC2086
	check "$c $o is JSON and alone on stdout" eval 'openshell $c $o 2>/dev/null | $PY -c "import json,sys; json.load(sys.stdin)"'
done
check "no command: help, exit 2 or 0" eval 'openshell >"$W/out" 2>&1; test $? -le 2; grep -q sandbox "$W/out"'
check "unknown command" rc 2 openshell frobnicate
check "named" has frobnicate "$W/err"
check "unknown verb" rc 2 openshell sandbox frobnicate
check "unknown option" rc 2 openshell sandbox list --frobnicate
check "says where to look" matches "hint: see '.*--help'" "$W/err"
check "stdout stays empty" test ! -s "$W/out"
check "--version" eval 'openshell --version | grep -q "[0-9]\.[0-9]"'
openshell --help >"$W/help"
for c in sandbox policy logs settings status doctor; do
	check "help names $c" matches "^ +$c" "$W/help"
	check "$c --help" rc 0 openshell "$c" --help
	check "on stdout" test -s "$W/out"
done
openshell completions bash >"$W/comp"
check "completion is valid bash" bash -n "$W/comp"
check "completes verbs" eval 'bash -c "source $W/comp; COMP_WORDS=(openshell sandbox cr); COMP_CWORD=2; COMP_LINE=\"openshell sandbox cr\"; COMP_POINT=20; \$(complete -p openshell | sed \"s/.*-F \\([^ ]*\\).*/\\1/\"); printf \"%s\\n\" \"\${COMPREPLY[@]}\"" | grep -qx "create *"'
# errors: what, to what, why, what next
e() { openshell "$@" >/dev/null 2>"$W/err" </dev/null; }
e policy get nobody; check "no such sandbox" matches '^error: cannot show the policy: .*nobody' "$W/err"
e policy set demo --policy "$W/none.yaml"; check "no such file" matches "^error: cannot read the policy: $W/none.yaml: No such file or directory" "$W/err"
e sandbox exec -n nobody -- true; check "exec in nothing" matches '^error: cannot run a program in sandbox "nobody": ' "$W/err"
e sandbox create --name Bad_Name; check "bad name" matches '^error: sandbox name "Bad_Name" ' "$W/err"
e sandbox start nobody; check "start nothing" matches '^error: cannot start sandbox "nobody": ' "$W/err"
OPENSHELL_SOCKET=$W/none.sock e sandbox list; check "no daemon" matches "^error: cannot list sandboxes: .*" "$W/err"; check "what next" matches '^  hint: ' "$W/err"
cp "$BUILD/openshellctl" "$W/ctl" && chmod 755 "$W/ctl" # the build may lie where nobody may look
check "as somebody who may not" eval '! setpriv --reuid=nobody --regid=nogroup --clear-groups env OPENSHELL_SOCKET="$OPENSHELL_SOCKET" HOME=/nonexistent "$W/ctl" sandbox list 2>"$W/err" >/dev/null'
check "says why and what next" eval 'matches "Permission denied|not permitted|may not" "$W/err" && matches "^  hint: .*group" "$W/err"'
check "a closed pipe is no error message" eval 'openshell logs demo -n 1000 2>"$W/err" | head -1 >/dev/null; ! grep -qi error "$W/err"'
