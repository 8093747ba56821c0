#!/bin/bash
# make install as packagers use it: unprivileged, DESTDIR, PREFIX; a changed configuration is left alone;
# the unit is valid; uninstall leaves nothing. openshelld -n checks a configuration.
. "$(dirname "$0")/lib.sh"
matches() { grep -qE -- "$1" "$2" || { echo "--- no match: $1"; cat "$2"; return 1; }; }
D=$W/dest O=$W/build
mkdir "$D" "$O"; cp -a "$BUILD"/openshelld "$BUILD"/openshellctl "$BUILD"/openshell "$O"; chown -R nobody "$D" "$O"
# what is built is installed: "all" must not build it again in the copy
mk() { (cd "$ROOT" && setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/nonexistent make -s "$@" -o all O="$O" DESTDIR="$D" PREFIX=/usr) >"$W/out" 2>&1; }
check "install, as nobody" eval 'mk install || { cat "$W/out"; false; }'
for f in usr/sbin/openshelld usr/bin/openshellctl usr/bin/openshell etc/openshell/openshelld.yaml usr/lib/systemd/system/openshelld.service \
	usr/lib/sysusers.d/openshell.conf usr/lib/tmpfiles.d/openshell.conf usr/share/bash-completion/completions/openshellctl \
	usr/share/man/man1/openshellctl.1 usr/share/man/man8/openshelld.8 usr/share/man/man5/openshelld.conf.5 usr/share/openshell/policies/default.yaml; do
	check "$f" test -e "$D/$f"
done
check "nothing runs with more rights than its caller" eval '! find "$D" -perm /6000 | grep .'
check "nothing is writable by others" eval '! find "$D" ! -type l -perm /022 | grep .'
check "no path of the build machine in text files" eval '! grep -rlI "$W" "$D/usr/lib" "$D/etc" "$D/usr/share"'
check "completion is valid bash" bash -n "$D/usr/share/bash-completion/completions/openshellctl"
if command -v mandoc >/dev/null; then check "manuals" eval '! mandoc -T lint -W warning "$D"/usr/share/man/man?/*.[158] | grep -v "makewhatis" | grep .'; fi
if command -v systemd-analyze >/dev/null; then
	sed "s|/usr/sbin/openshelld|$D/usr/sbin/openshelld|" "$D/usr/lib/systemd/system/openshelld.service" >"$W/openshelld.service"
	systemd-analyze verify --man=no "$W/openshelld.service" >"$W/out" 2>&1
	# a directive newer than this systemd is ignored by it, and said
	check "the unit" eval '! grep -v "Unknown key .DelegateSubgroup." "$W/out" | grep .'
fi
for k in Type=notify WatchdogSec= KillMode=process Restart=always Delegate=yes FileDescriptorStoreMax= CapabilityBoundingSet=; do check "unit: $k" grep -q "^$k" "$D/usr/lib/systemd/system/openshelld.service"; done
echo '# mine' >>"$D/etc/openshell/openshelld.yaml"
check "install again" eval 'mk install || { cat "$W/out"; false; }'
check "leaves the configuration" grep -q '^# mine' "$D/etc/openshell/openshelld.yaml"
check "uninstall" eval 'mk uninstall || { cat "$W/out"; false; }'
check "leaves a changed configuration and nothing else" is "$(find "$D" ! -type d -printf '%P\n')" etc/openshell/openshelld.yaml
rm "$D/etc/openshell/openshelld.yaml"
mk install; mk uninstall
check "and otherwise nothing" eval '! find "$D" ! -type d | grep .'

# ---- openshelld -n
daemon_config
n() { openshelld -n -c "$1" >"$W/out" 2>"$W/err"; }
check "-n: valid" n "$W/openshelld.yaml"
check "says so" is "$(cat "$W/out")" 'configuration is valid'
mkdir "$W/d2"; make -s -C "$ROOT" install -o all O="$BUILD" DESTDIR="$W/d2" PREFIX=/usr >/dev/null 2>&1
check "-n: the installed one" n "$W/d2/etc/openshell/openshelld.yaml"
sed -e 's/^# \([a-z_]*:\)/\1/' -e 's/^#   /  /' -e '/auth/d' "$W/d2/etc/openshell/openshelld.yaml" >"$W/all.yaml"
check "-n: the installed one with every default spelled out" n "$W/all.yaml"
printf 'version: 1\ndefault_policy: a\nlog: { dir: a, ocsf_file: a }\ntrust: { ca_files: [a] }\n' >"$W/rel.yaml"
check "-n: relative paths" eval '! n "$W/rel.yaml"'
for k in default_policy log.dir log.ocsf_file trust.ca_files; do check "says so: $k" matches "$k must be an absolute path" "$W/err"; done
printf 'version: 1\nstate_dirr: /x\nlog:\n  segments: many\nresolver:\n  hosts: []\nworkers: 1000\n' >"$W/bad.yaml"
check "-n: a bad one" eval '! n "$W/bad.yaml"'
for at in 2:1: 4: 6:; do check "every error with its place: $at" matches "bad.yaml:$at" "$W/err"; done
check "with a suggestion" matches 'did you mean .?state_dir' "$W/err"
check "-n: a missing one" eval '! n "$W/none.yaml"'
check "what, to what, why" matches "none.yaml.*cannot read: No such file" "$W/err"
check "an unknown option" eval 'openshelld --frobnicate >/dev/null 2>"$W/err"; test $? = 2'
check "not root" eval '! setpriv --reuid=nobody --regid=nogroup --clear-groups "$O/openshelld" -c "$W/openshelld.yaml" 2>"$W/err"'
check "says so" has 'must be started as root' "$W/err"
# ---- without a daemon
export OPENSHELL_SOCKET=$W/none.sock
check "status without a daemon: exit 0" eval 'openshellctl status >"$W/out"'
check "says so" has 'Status: Disconnected' "$W/out"
check "status -o json" is "$(openshellctl status -o json | $PY -c 'import json,sys; print(json.load(sys.stdin)["status"])')" disconnected
check "doctor without a daemon" eval 'openshellctl doctor >"$W/out"'
for c in BTF 'cgroup v2' Landlock seccomp 'user openshell' 'CA bundle' clock; do check "checks $c" matches "$c \.+ ok" "$W/out"; done
check "says what is degraded and how to mend it" matches "^ +start it with 'openshell gateway start'" "$W/out"
check "a command without a daemon: exit 1" eval '! openshell sandbox list >/dev/null 2>"$W/err"'
check "what, why, what next" matches 'error: cannot list sandboxes: .*openshelld' "$W/err"
check "hint" matches '  hint: ' "$W/err"
