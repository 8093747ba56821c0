#!/bin/bash
# filesystem_policy, landlock and process, seen from inside: every listed path behaves as the list
# says, what is not listed does not exist, both Landlock modes, numeric run_as, notes in the log.
. "$(dirname "$0")/lib.sh"
D=$(mktemp -d /var/tmp/oshi.XXXXXX)/host; mkdir -p "$D/ro/sub" "$D/rw/sub" "$D/secret"
echo ro >"$D/ro/sub/f"; echo rw >"$D/rw/sub/f"; echo top >"$D/secret/f"; ln -s "$D/secret/f" "$D/ro/link"
cp /bin/true "$D/ro/prog"; cp /bin/true "$D/rw/prog"
chown -R sandbox "$D/rw" 2>/dev/null; chmod -R a+rX "$D"
trap 'rm -rf "${D%/host}"; cleanup' EXIT
daemon_start
make() { # NAME LANDLOCK RO RW PROCESS
	cat >"$W/$1.yaml" <<-Y
	version: 1
	filesystem_policy: { include_workdir: true, read_only: [$3], read_write: [$4] }
	landlock: { compatibility: $2 }
	process: $5
	Y
	openshell sandbox create --name "$1" --policy "$W/$1.yaml" </dev/null >"$W/out" 2>&1
}
as='{ run_as_user: sandbox, run_as_group: sandbox }'
sys='/usr, /proc, /etc, /dev/urandom, /dev/zero'
check "made" make box best_effort "$sys, $D/ro" "/tmp, /dev/null, $D/rw" "$as"
sh_() { in_box box /bin/sh -c "$*" >"$W/out" 2>&1; }

# ---- read_only: can be read, cannot be changed
check "ro: read" is "$(in_box box cat "$D/ro/sub/f")" ro
for c in "echo x >$D/ro/sub/f" "echo x >>$D/ro/sub/f" "touch $D/ro/new" "mkdir $D/ro/d" "rm -f $D/ro/sub/f" \
	"mv $D/ro/sub/f $D/ro/g" "chmod 777 $D/ro/sub/f" "ln $D/ro/sub/f $D/ro/l" "ln -s x $D/ro/l" "truncate -s0 $D/ro/sub/f" \
	"echo x >/usr/x" "echo x >/etc/hosts" "touch /proc/x" "echo 1 >/proc/sys/vm/drop_caches" "mknod $D/ro/n p"; do
	check "ro: refused: ${c%% *} ..." eval '! sh_ "$c"'
done
check "the host's file is as it was" is "$(cat "$D/ro/sub/f")" ro
check "ro: programs run" sh_ "$D/ro/prog"

# ---- read_write
check "rw: write, make, rename, remove" sh_ "echo y >$D/rw/sub/f && mkdir $D/rw/d && touch $D/rw/d/a && mv $D/rw/d/a $D/rw/d/b && rm -r $D/rw/d"
check "rw: the host sees it" is "$(cat "$D/rw/sub/f")" y
check "rw: suid does not count" sh_ "cp /bin/true $D/rw/s && chmod u+s $D/rw/s && grep -q nosuid /proc/self/mountinfo"
check "rw: no device nodes" eval '! sh_ "mknod $D/rw/n c 1 3"'
check "workdir" sh_ 'echo x >/sandbox/x && cat /sandbox/x'
check "/tmp is its own" sh_ 'echo mine >/tmp/osh-own'
check "not the host's" test ! -e /tmp/osh-own
check "/dev/null" sh_ 'echo x >/dev/null'
check "/dev/urandom can be read" sh_ 'head -c4 /dev/urandom >/dev/null'

# ---- what is not listed does not exist
for p in /root /home /var/log /boot /opt /srv /mnt /media /run /sys /dev/kmsg /dev/mem /dev/sda /dev/kvm /dev/fuse /dev/net/tun "$D/secret" "$W/state" \
	"$W/run" "$W/openshelld.yaml" /sys/fs/bpf /sys/fs/cgroup /var/lib /var/run /proc/kcore /proc/sysrq-trigger; do
	[ -e "$p" ] || continue
	case $p in
	/proc/*) check "no use: $p" eval '! sh_ "head -c1 $p" && ! sh_ "echo x >$p"' ;;
	*) check "does not exist: $p" eval '! sh_ "test -e $p"' ;;
	esac
done
check "a link out of a listed folder leads nowhere" eval '! sh_ "cat $D/ro/link"'
in_box box /bin/sh -c 'ls -A /' | sort | tr '\n' ' ' >"$W/out"
for d in $(cat "$W/out"); do
	case $d in var | usr | proc | etc | dev | tmp | sandbox | bin | sbin | lib | lib32 | lib64 | libx32) ;; *) die "unexpected in /: $d ($(cat "$W/out"))" ;; esac
done
echo "ok: nothing else in /"
in_box box /bin/sh -c 'ls -A /tmp' >"$W/out"; check "only its own in /tmp" is "$(cat "$W/out")" osh-own
in_box box /bin/sh -c "ls -A ${D%/host}" >"$W/out"; check "of a parent only the way down" is "$(cat "$W/out")" host
in_box box /bin/sh -c "ls -A $D" | sort >"$W/out"; check "and only what is listed" is "$(tr '\n' ' ' <"$W/out")" 'ro rw '
check "own processes only" eval 'test "$(in_box box /bin/sh -c "ls /proc" | grep -cE "^[0-9]+$")" -lt 10'
check "/proc/1 is closed" eval '! sh_ "ls /proc/1/root/" && ! sh_ "cat /proc/1/environ"'
check "no mount" eval '! sh_ "mount -t tmpfs x /tmp" && ! sh_ "umount /etc"'
check "no namespaces" eval '! sh_ "unshare -U true" && ! sh_ "unshare -m true"'
check "no new privileges, no capability" is "$(in_box box /bin/sh -c 'grep -E "^(NoNewPrivs|CapEff|CapPrm|CapBnd|CapAmb|Seccomp):" /proc/self/status' | tr -s '\t\n' ' ')" \
	'CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 '
check "user" is "$(in_box box /usr/bin/id -un)" sandbox
check "ids" is "$(in_box box /usr/bin/id -u)" "$(id -u sandbox)"
check "no extra groups" is "$(in_box box /usr/bin/id -G)" "$(id -g sandbox)"

# ---- numeric ids, landlock modes, notes
check "numeric ids" make num best_effort "$sys" "/tmp, /dev/null" '{ run_as_user: "54321", run_as_group: "54322" }'
check "are taken" is "$(in_box num /usr/bin/id -u):$(in_box num /usr/bin/id -g)" 54321:54322
check "its home is its own" in_box num /bin/sh -c 'echo x >/sandbox/x'
check "uid 0 is refused" eval '! make zero best_effort "$sys" /tmp "{ run_as_user: \"0\" }"'
check "root is refused" eval '! make root best_effort "$sys" /tmp "{ run_as_user: root }"'
check "hard_requirement with what there is" make hard hard_requirement "$sys" "/tmp, /dev/null" "$as"
check "works" in_box hard /bin/true
check "hard_requirement and a path that is not there" eval '! make hard2 hard_requirement "$sys, /nonesuch/path" "/tmp, /dev/null" "$as"'
check "says which" has /nonesuch/path "$W/out"
check "best_effort and a path that is not there" make soft best_effort "$sys, /nonesuch/path" "/tmp, /dev/null" "$as"
check "works" in_box soft /bin/true
logs soft
check "and is in the log" has /nonesuch/path "$W/logs"
for p in 'relative/path' '/usr/../etc' '/'; do
	check "refused: $p" eval '! make bad best_effort "$sys" "$p" "$as"'
done
openshell sandbox delete bad hard2 zero root >/dev/null 2>&1
