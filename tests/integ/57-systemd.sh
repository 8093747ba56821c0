#!/bin/bash
# The installed unit under a real service manager: systemd as PID 1 of namespaces, on an overlay of this
# system. What the unit takes away must not be what sandboxes are made of; its watchdog, its descriptor
# store and its restarts work. (Process numbers of the kernel mean nothing in a pid namespace, so no program
# can be identified here: what is permitted is tested elsewhere.)
. "$(dirname "$0")/lib.sh"
SD=/lib/systemd/systemd
[ -x $SD ] && command -v systemctl >/dev/null || { echo "skip: no systemd on this system"; exit 77; }
grep -qw overlay /proc/filesystems || { echo "skip: no overlayfs"; exit 77; }
CGM=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)
CG=$CGM/$TAG-sd R=$W/r INIT=''
mkdir -p "$CG/enter" || { echo "skip: no cgroup of our own"; exit 77; }
sd_cleanup() {
	local rc=$?
	[ -n "$INIT" ] && { timeout 20 inside openshell sandbox delete --all; timeout 30 inside systemctl stop openshelld; } >/dev/null 2>&1
	[ $rc -ne 0 ] && [ $rc -ne 77 ] && timeout 10 inside journalctl -u openshelld --no-pager -n 40 2>/dev/null
	[ -n "$INIT" ] && kill -9 "$INIT" 2>/dev/null
	echo 1 >"$CG/cgroup.kill" 2>/dev/null
	for _ in $(seq 50); do find "$CG" -depth -type d -exec rmdir {} \; 2>/dev/null; [ -d "$CG" ] || break; sleep 0.1; done
	(exit $rc); cleanup
}
trap sd_cleanup EXIT
cat >"$W/boot" <<'B'
set -e
W=$1 R=$1/r ROOT=$2 BUILD=$3
mount --make-rprivate /
mkdir -p "$W/o" "$R"; mount -t tmpfs tmpfs "$W/o"; mkdir "$W/o/u" "$W/o/w"
mount -t overlay overlay -o "lowerdir=/,upperdir=$W/o/u,workdir=$W/o/w" "$R"
mount -t proc proc "$R/proc"; mount -t sysfs sysfs "$R/sys"; mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"; mount -t bpf bpf "$R/sys/fs/bpf"
mount -t tmpfs tmpfs "$R/run"; mount -t tmpfs tmpfs "$R/tmp"; mount -t tmpfs tmpfs "$R/dev"; mount -t tmpfs tmpfs "$R/var/lib"
for d in null zero full random urandom tty; do touch "$R/dev/$d"; mount --bind "/dev/$d" "$R/dev/$d"; done
mkdir "$R/dev/pts" "$R/dev/shm"; mount -t devpts devpts "$R/dev/pts" -o newinstance,ptmxmode=0666
ln -s pts/ptmx "$R/dev/ptmx"; ln -s /proc/self/fd "$R/dev/fd"
install -m 755 "$BUILD/openshelld" "$R/usr/sbin/openshelld"
install -m 755 "$BUILD/openshellctl" "$R/usr/bin/openshellctl"; ln -sf openshellctl "$R/usr/bin/openshell"
mkdir -p "$R/etc/systemd/system" "$R/etc/openshell"
for u in $(cd /lib/systemd/system && ls | grep -E '^(systemd-(udev|modules|sysctl|random|hwdb|binfmt|remount|logind|timesyncd|firstboot|machine-id)|dev-.*mount|sys-.*mount|proc-.*mount|kmod-|getty|local-fs|swap)'); do ln -sf /dev/null "$R/etc/systemd/system/$u"; done
rm -f "$R/etc/systemd/system/local-fs-pre.target"
sed 's#@SBINDIR@#/usr/sbin#' "$ROOT/user/systemd/openshelld.service.in" >"$R/etc/systemd/system/openshelld.service"
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$R/etc/systemd/system/osh.target"
echo 'version: 1' >"$R/etc/openshell/openshelld.yaml"
echo uninitialized >"$R/etc/machine-id"; : >"$R/etc/fstab"
exec chroot "$R" /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=osh.target --log-target=null --show-status=0
B
sh -c 'echo $$ >"$0/cgroup.procs"; exec unshare --mount --pid --cgroup --uts --ipc --fork --kill-child bash "$@"' "$CG" "$W/boot" "$W" "$ROOT" "$BUILD" >"$W/boot.log" 2>&1 &
UNSHARE=$!
until_ok pgrep -P "$UNSHARE" || { cat "$W/boot.log"; echo "skip: namespaces cannot be had"; exit 77; }
INIT=$(pgrep -P "$UNSHARE")
inside() { sh -c 'echo $$ >"$0/enter/cgroup.procs"; p=$1; shift; exec nsenter -t "$p" -m -p -u -i -C -r -w env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb "$@"' "$CG" "$INIT" "$@"; }
export -f inside; export CG INIT
booted() { inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; }
for _ in $(seq 300); do booted && break; kill -0 "$INIT" 2>/dev/null || break; sleep 0.1; done
booted || { tail -5 "$W/boot.log"; echo "skip: systemd does not boot in namespaces here"; exit 77; }

show() { inside systemctl show openshelld -p "$1" --value; }
curl_in() { inside openshell sandbox exec -n box --no-tty -- curl -sS -m 5 -o /dev/null -w '%{http_connect}' https://blocked.test/ 2>/dev/null; }
check "the unit has no fault" is "$(inside systemd-analyze verify openshelld.service 2>&1 | grep -v -e DelegateSubgroup -e "Command .man")" ''
check "it starts and says that it is ready" inside systemctl start openshelld
check "active" is "$(show ActiveState)" active
policy_file '' >"$W/p.yaml"
inside sh -c 'cat >/root/p.yaml' <"$W/p.yaml"
check "a sandbox is made" inside openshell sandbox create --name box --policy /root/p.yaml </dev/null
check "with a name of its own, readable, a umask, a terminal" is "$(inside openshell sandbox exec -n box --tty -- /bin/sh -c 'hostname; head -c 4 /etc/passwd; echo; umask; tty' </dev/null | tr -d '\r')" 'box
root
0022
/dev/pts/0'
check "what is denied is answered" is "$(curl_in)" 403
check "its listeners are stored" is "$(show NFileDescriptorStore)" 6
first=$(show MainPID)
inside kill -9 "$first"
again() { [ "$(show MainPID)" != "$1" ] && [ "$(show ActiveState)" = active ]; }
check "killed, it is started again" until_ok again "$first"
check "the sandbox lives on and is served" until_ok eval '[ "$(curl_in)" = 403 ]'
check "by the listeners that it had" is "$(show NFileDescriptorStore)" 6
check "stopping it" inside systemctl stop openshelld
check "leaves the sandbox running" inside grep -q . /sys/fs/cgroup/system.slice/openshelld.service/sandboxes/box/cgroup.procs
check "starting it" inside systemctl start openshelld
check "adopts it" until_ok eval '[ "$(curl_in)" = 403 ]'
inside sh -c 'mkdir -p /etc/systemd/system/openshelld.service.d; printf "[Service]\nWatchdogSec=7\n" >/etc/systemd/system/openshelld.service.d/w.conf; systemctl daemon-reload; systemctl restart openshelld'
first=$(show MainPID)
inside kill -STOP "$first"
sleep 6
check "one that stands still is replaced by the watchdog" until_ok again "$first"
check "and the sandbox is served" until_ok eval '[ "$(curl_in)" = 403 ]'
check "deleted" inside openshell sandbox delete box
check "nothing stored is left" until_ok eval '[ "$(show NFileDescriptorStore)" = 0 ]'
