#!/bin/bash
# git over HTTPS with the rules of the GitHub tutorial: the listed repository can be cloned and
# pushed to, another one cannot even be read.
. "$(dirname "$0")/lib.sh"
mkdir -p "$W/repos/acme"
for r in widgets other; do
	git init -q --bare "$W/repos/acme/$r.git"
	git -C "$W/repos/acme/$r.git" config http.receivepack true
	git init -q "$W/seed-$r"
	(cd "$W/seed-$r" && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m first && git push -q "$W/repos/acme/$r.git" HEAD:main)
	git -C "$W/repos/acme/$r.git" symbolic-ref HEAD refs/heads/main
done
$PY "$ROOT/tests/integ/git-origin.py" "$W/origin" github.test "$W/repos" >"$W/origin.out" 2>&1 &
ORIGINS=$!
until_ok grep -q listening "$W/origin.out" || { cat "$W/origin.out"; die "git origin"; }
HOSTS="
    github.test: 127.0.0.1:$(awk '/^listening/{print $2}' "$W/origin.out")" CAS=$W/origin/ca.pem
daemon_start
sandbox box '  github_git:
    name: github-git
    endpoints:
      - host: github.test
        port: 443
        protocol: rest
        tls: terminate
        enforcement: enforce
        rules:
          - allow: { method: GET, path: "/acme/widgets.git/info/refs*" }
          - allow: { method: POST, path: "/acme/widgets.git/git-upload-pack" }
          - allow: { method: POST, path: "/acme/widgets.git/git-receive-pack" }
    binaries: [{ path: /usr/bin/git }]'
for how in in_box in_box_bare; do
	$how box sh -c "rm -rf w && git clone -q https://github.test/acme/widgets.git w && cd w && git log --format=%s | tail -1" >"$W/out" 2>&1
	check "$how: clone" has first "$W/out"
	$how box sh -c "cd w && head -c 300000 /dev/urandom >$how && git add . && git -c user.name=t -c user.email=t@t commit -qm $how && git push -q origin HEAD:main && echo pushed" >"$W/out" 2>&1
	check "$how: push" has pushed "$W/out"
	check "$how: the commit arrived" is "$(git -C "$W/repos/acme/widgets.git" log -1 --format=%s main)" "$how"
	$how box sh -c "cd w && head -c 20000000 /dev/urandom >big-$how && sha256sum <big-$how && git add . && git -c user.name=t -c user.email=t@t commit -qm big-$how && git push -q origin HEAD:main && echo pushed" >"$W/out" 2>&1
	check "$how: push of 20 MB, chunked" has pushed "$W/out"
	check "$how: arrived whole" is "$(git -C "$W/repos/acme/widgets.git" cat-file blob "main:big-$how" | sha256sum)" "$(head -1 "$W/out")"
	$how box sh -c "cd w && git push origin HEAD:refs/heads/x 2>&1; git remote set-url --push origin https://github.test/acme/other.git; git push origin HEAD:main; git remote set-url --delete --push origin github.test" >"$W/out" 2>&1
	check "$how: a refused push says so" has "unable to access 'https://github.test/acme/other.git/': The requested URL returned error: 403" "$W/out"
	$how box git clone -q https://github.test/acme/other.git o >"$W/out" 2>&1 && die "$how: the other repository can be cloned"
	check "$how: other repository refused" has 403 "$W/out"
done
logs box
check "the refusal is logged" has 'l7_action=GET l7_target=/acme/other.git/info/refs' "$W/logs"
check "no query in the log" has_not 'service=git' "$W/logs"
