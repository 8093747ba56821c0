#!/bin/bash
# Each role runs with its own user, capabilities and filter; the monitor has given up what it does not
# use; core dumps are off; nothing of ours can be traced or read by other users.
. "$(dirname "$0")/lib.sh"
CONFIG_MORE='workers: 2'
umask 077 # as in the unit: what sandboxes see must not depend on it
daemon_start
sandbox box ''
umask 022
check "a strict umask of the service is not the sandbox's" is "$(in_box box /bin/sh -c 'cd /sandbox && ls -d /etc/passwd /tmp && umask')" '/etc/passwd
/tmp
0022'
st() { awk -v k="$2:" '$1==k{print $2}' "/proc/$1/status"; }
proxies=$(pgrep -P "$DAEMON" -f '^openshelld: proxy') signer=$(pgrep -P "$DAEMON" -f '^openshelld: signer')
check "two proxies" is "$(echo "$proxies" | wc -l)" 2
for p in $proxies $signer; do
	user=openshell; [ "$p" = "$signer" ] && user=openshell-ca
	for f in CapInh CapPrm CapEff CapBnd CapAmb; do check "$user: no $f" is "$(st "$p" $f)" 0000000000000000; done
	check "$user: its own user" is "$(st "$p" Uid)" "$(id -u $user)"
	check "$user: no supplementary group" is "$(st "$p" Groups)" ""
	check "$user: no new privileges" is "$(st "$p" NoNewPrivs)" 1
	check "$user: filter of its own on top of the monitor's" test "$(st "$p" Seccomp_filters)" -ge 2
	check "$user: no core dump" is "$(awk '/core file/{print $5}' "/proc/$p/limits")" 0
	check "$user: in the daemon's cgroup" grep -q "/$TAG/daemon$" "/proc/$p/cgroup"
	# Landlock without a rule: the process cannot even open what anybody may read
	check "$user: holds no file but memory and sockets" is "$(for fd in /proc/"$p"/fd/*; do readlink "$fd"; done | grep '^/' | grep -v -E '^/(memfd:|dev/null|dev/pts|dev/tty)' | grep -v -E "^$W/(openshelld.log|state/ca)" | head -1)" ""
done
check "monitor: filter" is "$(st "$DAEMON" Seccomp)" 2
check "monitor: no new privileges" is "$(st "$DAEMON" NoNewPrivs)" 1
cap() { echo $(( (0x$(st "$DAEMON" CapEff) >> $1) & 1 )); }
for c in 13:net_raw 16:sys_module 17:sys_rawio 22:sys_boot 25:sys_time 33:mac_admin 34:syslog 20:sys_pacct; do
	check "monitor: without CAP_$(echo "${c#*:}" | tr a-z A-Z)" is "$(cap "${c%%:*}")" 0
done
check "monitor: keeps what it needs" is "$(cap 21)$(cap 12)$(cap 39)" 111
in_box box cat /proc/self/status >"$W/out"
check "sandbox: no capability" has "CapBnd:	0000000000000000" "$W/out"
check "sandbox: filters" test "$(awk '/^Seccomp_filters/{print $2}' "$W/out")" -ge 2
check "control socket: mode" is "$(stat -c '%a %G' "$W/run/openshelld.sock")" "660 openshell"

cp "$BUILD/openshellctl" "$W/ctl" && chmod 755 "$W/ctl" # the build may lie where nobody may look
su -s /bin/sh nobody -c "$W/ctl --socket $W/run/openshelld.sock sandbox list" >"$W/out" 2>&1 && die "nobody may use the control socket"
check "control socket: others are told why" has 'not permitted' "$W/out"
check "CA keys: the signer's alone" is "$(find "$W/state/ca" -perm /077 | grep -c .)" 0
