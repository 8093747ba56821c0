#!/bin/bash
# Every example policy is valid and passes its own tests; the offline tools keep their promises.
set -u
cd "$(dirname "$0")/../.." || exit 2
ctl() { env -i PATH=/usr/bin:/bin "$OSH_BUILD/openshellctl" "$@"; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/osh-05.XXXXXX") || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
fail() { echo "FAIL: $*"; bad=1; }

n=0
for p in policies/*.yaml; do
	case $p in *.test.yaml) continue ;; esac
	n=$((n + 1))
	ctl policy check "$p" >"$tmp/check" 2>&1 || fail "$p is refused: $(cat "$tmp/check")"
	[ -f "${p%.yaml}.test.yaml" ] || fail "$p has no test file"
	ctl policy test "$p" >"$tmp/out" 2>&1 || fail "$p: $(cat "$tmp/out")"
	# canonical form is a fixed point, and means the same
	ctl policy fmt "$p" >"$tmp/a.yaml" || fail "fmt $p"
	ctl policy fmt "$tmp/a.yaml" >"$tmp/b.yaml" || fail "fmt of the canonical form of $p"
	cmp -s "$tmp/a.yaml" "$tmp/b.yaml" || fail "fmt of $p is no fixed point"
	ctl policy fmt --check "$tmp/a.yaml" || fail "fmt --check of the canonical form of $p"
	ctl policy diff --exit-code "$p" "$tmp/a.yaml" >"$tmp/out" || fail "fmt changes $p: $(cat "$tmp/out")"
done
[ "$n" -ge 7 ] || fail "only $n examples"

# a failing test fails the command
printf 'binary: /usr/bin/curl\ntests:\n- {connect: "pypi.org:443", expect: allow}\n' >"$tmp/t.yaml"
ctl policy test policies/deny-all.yaml "$tmp/t.yaml" >"$tmp/out" && fail "a failing policy test passes"
grep -q '^0 passed, 1 failed$' "$tmp/out" || fail "count of policy test: $(tail -n 1 "$tmp/out")"

# all errors of a file, with their places
printf 'version: 2\nnetwork_policies:\n  a:\n    endpoint: []\n' >"$tmp/bad.yaml"
ctl policy check "$tmp/bad.yaml" >"$tmp/out" 2>"$tmp/err" && fail "a bad policy is accepted"
grep -q 'bad.yaml:4:5: .*did you mean "endpoints"' "$tmp/err" || fail "no suggestion: $(cat "$tmp/err")"

# explain: the reason, what nearly matched, and the change (applied and judged before it is shown)
ro=policies/github-readonly.yaml
ctl policy explain --policy $ro --binary /usr/bin/curl -X POST https://api.github.com/x >"$tmp/out" ||
	fail "explain fails"
grep -q '^reason .*POST /x not permitted by policy$' "$tmp/out" || fail "explain: no reason"
grep -q '^- *access: read-only$' "$tmp/out" || fail "explain: the preset is not replaced"
grep -q '^+ *path: /x$' "$tmp/out" || fail "explain: no rule to add"
ctl policy explain --policy $ro --binary /usr/bin/wget api.github.com:443 >"$tmp/out"
grep -q '^+ *- path: /usr/bin/wget$' "$tmp/out" || fail "explain: no binary to add"
ctl policy explain --policy $ro --binary /usr/bin/curl https://api.github.com/zen -o json >"$tmp/out"
grep -q '"verdict": "allow"' "$tmp/out" || fail "explain -o json"

# diff speaks of decisions
ctl policy diff policies/default.yaml policies/github-push.yaml >"$tmp/out"
grep -q '^+ deny -> allow  github.com:443  POST /acme/widgets.git/git-receive-pack' "$tmp/out" ||
	fail "diff does not show the push: $(cat "$tmp/out")"
grep -q '^- allow -> deny  registry.npmjs.org:443  by ' "$tmp/out" || fail "diff does not show npm"

# merge gives a policy that passes, and nothing on failure
ctl policy merge policies/pypi.yaml --add-endpoint h.test:443:read-only:rest:enforce \
	--binary /usr/bin/curl >"$tmp/m.yaml" || fail "merge"
ctl policy check "$tmp/m.yaml" >"$tmp/out" 2>&1 || fail "the merged policy is refused"
ctl policy merge policies/pypi.yaml --add-endpoint nonsense >"$tmp/out" 2>/dev/null &&
	fail "merge of nonsense succeeds"
[ -s "$tmp/out" ] && fail "a failed merge prints a policy"

# the schema knows exactly the fields that the parser knows
ctl policy schema >"$tmp/schema.json" || fail "schema"
sed -n 's/.*\(OSH_KEY_FIELD\|OSH_KEY_FIELD_AT\|OSH_KEY_CALL\|EP\|EP_AT\)("\([a-z0-9_]*\)".*/\2/p' \
	user/policy/parse.c user/policy/parse_endpoint.c | sort -u >"$tmp/parser"
sed -n '/"properties": {/,$p' "$tmp/schema.json" | grep -B0 -A1 -E '^ *"[a-z0-9_]+": \{$' |
	grep -B1 '"description"' | sed -n 's/^ *"\([a-z0-9_]*\)": {$/\1/p' | sort -u >"$tmp/names"
diff "$tmp/parser" "$tmp/names" >"$tmp/out" || fail "schema and parser differ: $(cat "$tmp/out")"

exit $bad
