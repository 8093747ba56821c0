# Sourced by the integration tests: a daemon of the test's own, an HTTPS origin, sandboxes; all of it
# is removed at the end, whatever happens. Needs root. Usage:
#
#	. "$(dirname "$0")/lib.sh"
#	origin api.test git.test		# optional: $ORIGIN_PORT, $W/origin/requests
#	daemon_start				# config from $CONFIG_MORE (YAML lines)
#	sandbox box "$POLICY_TEXT"		# create; policy on stdin if "-"
#	in_box box curl -s https://api.test/	# run inside, exit code and output as they are
#	check "what" test ...			# a line per promise; the first that fails ends the test
#
# shellcheck shell=bash
set -u
[ "$(id -u)" = 0 ] || { echo "skip: must run as root"; exit 77; }
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${OSH_BUILD:-$ROOT/build}
W=$(mktemp -d /tmp/oshi.XXXXXX)
chmod 755 "$W"
TAG=oshi-$$
NO_HOSTS='{}' DAEMON='' ORIGINS='' CONFIG_MORE=${CONFIG_MORE:-} HOSTS=''
PY=/usr/bin/python3
# bounds on memory are this many times higher in sanitizer builds (make SANITIZE=...)
ROOM=1
if grep -q -E '__asan_init|__tsan_init' "$BUILD/openshelld"; then
	ROOM=4
	# 37-create-faults preloads its own calls; what was freed is kept from use for a shorter time
	export ASAN_OPTIONS="${ASAN_OPTIONS:-verify_asan_link_order=0:quarantine_size_mb=4}"
fi
# nothing of the caller's environment may decide a test
for v in $(env | sed -n 's/^\([A-Za-z_]*\(PROXY\|proxy\|CERT\|CA_BUNDLE\|CAINFO\)[A-Za-z_]*\)=.*/\1/p'); do unset "$v"; done
export HOME=$W PATH=$BUILD:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin OPENSHELL_SOCKET=$W/run/openshelld.sock
unset OPENSHELL_SANDBOX_POLICY

cleanup() {
	local rc=$? cg c
	trap - EXIT
	[ "${FAILURES:-0}" = 0 ] || rc=1
	# in sanitizer builds nobody else looks at what a role said before it was started anew
	if grep -q -s -E 'Sanitizer|runtime error: ' "$W/openshelld.log"; then
		echo "FAILED: a sanitizer's report"; grep -E -A 30 'Sanitizer|runtime error: ' "$W/openshelld.log"; rc=1
	fi
	if [ -n "$DAEMON" ] && kill -0 "$DAEMON" 2>/dev/null; then
		timeout 30 openshell sandbox delete --all >/dev/null 2>&1
		kill "$DAEMON" 2>/dev/null; wait "$DAEMON" 2>/dev/null
	fi
	for c in $ORIGINS; do kill "$c" 2>/dev/null; wait "$c" 2>/dev/null; done
	cg=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG
	for c in "$cg"/sandboxes/*/; do [ -e "${c}cgroup.kill" ] && echo 1 >"${c}cgroup.kill" 2>/dev/null; done
	rm -rf "/sys/fs/bpf/$TAG"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		for c in "$cg"/sandboxes/*/ "$cg/sandboxes" "$cg/daemon" "$cg"; do [ -d "$c" ] && rmdir "$c" 2>/dev/null; done
		[ -d "$cg" ] || break
		sleep 0.1
	done
	if [ $rc -ne 0 ] && [ $rc -ne 77 ]; then echo "--- daemon"; tail -n 40 "$W/openshelld.log" 2>/dev/null; fi
	rm -rf "$W"
	exit $rc
}
trap cleanup EXIT
trap 'exit 130' INT TERM

die() { echo "FAILED: $*" >&2; exit 1; }
# KEEP_GOING=1 in the environment: show every failure of a run instead of the first
check() {
	local what=$1; shift
	if "$@"; then echo "ok: $what"; return; fi
	[ -n "${KEEP_GOING:-}" ] || die "$what ($*)"
	echo "FAILED: $what ($*)"; FAILURES=$((${FAILURES:-0} + 1))
}
has() { grep -qF -- "$1" "$2" || { echo "--- not found: $1"; echo "--- in $2:"; cat "$2"; return 1; }; }
has_not() { ! grep -qF -- "$1" "$2" || { echo "--- unexpected: $1"; return 1; }; }
is() { [ "$1" = "$2" ] || { echo "--- got '$1', expected '$2'"; return 1; }; }
# Wait until a command succeeds; at most 10 s.
until_ok() { local i; for i in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }

# A port of 127.0.0.1 for a server that must be told one, in FREE_PORT; never the same twice in a test: the
# first server may not have bound it yet. Below the range that the kernel takes for outgoing connections,
# or another test's connection may have it when the server binds.
free_port() {
	local low; read -r low _ </proc/sys/net/ipv4/ip_local_port_range
	while FREE_PORT=$((10000 + (RANDOM * 32768 + RANDOM) % (low - 10000)))
		[[ " ${FREE_PORTS:-} " == *" $FREE_PORT "* ]] || ss -Han "sport = :$FREE_PORT" | grep -q .; do :; done
	FREE_PORTS="${FREE_PORTS:-} $FREE_PORT"
}

# origin NAME...: HTTPS server for the names; more than one call makes more than one
origin() {
	local dir=$W/origin${ORIGINS:+-$RANDOM} names port pid
	names=$(IFS=,; echo "$*")
	$PY "$ROOT/tools/origin.py" "$dir" "$names" >"$dir.out" 2>&1 &
	pid=$!; ORIGINS="$ORIGINS $pid"
	until_ok grep -q listening "$dir.out" || { cat "$dir.out"; die "origin does not start"; }
	port=$(awk '/^listening/{print $2}' "$dir.out")
	for n in "$@"; do HOSTS="$HOSTS
    $n: 127.0.0.1:$port"; done
	ORIGIN_PORT=$port ORIGIN_DIR=$dir
	CAS="${CAS:-}${CAS:+, }$dir/ca.pem"
}

daemon_config() {
	cat >"$W/openshelld.yaml" <<-Y
	version: 1
	state_dir: $W/state
	runtime_dir: $W/run
	bpf_dir: /sys/fs/bpf/$TAG
	agent_cgroup: $TAG
	use_delegated_cgroup: false
	log:
	  journal_socket: "${JOURNAL:-}"
	trust:
	  ca_files: [${CAS:-}]
	resolver:
	  servers: [${RESOLVERS:-}]
	  hosts: ${HOSTS:-$NO_HOSTS}
	$CONFIG_MORE
	Y
}

daemon_start() {
	daemon_config
	: >>"$W/openshelld.log"
	local before; before=$(grep -c ' ready: [0-9]' "$W/openshelld.log")
	"$BUILD/openshelld" -c "$W/openshelld.yaml" "$@" >>"$W/openshelld.log" 2>&1 &
	DAEMON=$!
	for _ in $(seq 1200); do
		[ "$(grep -c ' ready: [0-9]' "$W/openshelld.log")" -gt "$before" ] && return 0
		kill -0 "$DAEMON" 2>/dev/null || break
		sleep 0.05
	done
	tail -n 40 "$W/openshelld.log"; die "openshelld does not become ready"
}
daemon_kill() { kill -9 "$DAEMON"; wait "$DAEMON" 2>/dev/null; }

STATIC='version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /lib, /proc, /dev/urandom, /app, /etc, /var/log]
  read_write: [/sandbox, /tmp, /dev/null]
landlock: { compatibility: best_effort }
process: { run_as_user: sandbox, run_as_group: sandbox }
'
# sandbox NAME [NETWORK-POLICIES-YAML]: indented members of network_policies
sandbox() {
	local f=$W/$1.yaml
	policy_file "${2:-}" >"$f"
	openshell sandbox create --name "$1" --policy "$f" </dev/null >"$W/$1.created" 2>&1 || { cat "$W/$1.created"; die "sandbox $1 is not created"; }
}
policy_file() { printf '%s' "$STATIC"; [ -n "$1" ] && printf 'network_policies:\n%s\n' "$1"; return 0; }
policy_set() { # NAME NETWORK-POLICIES-YAML
	policy_file "$2" >"$W/$1.new.yaml"
	openshell policy set "$1" --policy "$W/$1.new.yaml" --wait
}
in_box() { local n=$1; shift; openshell sandbox exec -n "$n" --no-tty -- "$@"; }
# the same without any proxy variable: transparent capture
in_box_bare() {
	local n=$1; shift
	openshell sandbox exec -n "$n" --no-tty -- /usr/bin/env -u HTTPS_PROXY -u HTTP_PROXY -u ALL_PROXY -u https_proxy -u http_proxy -u all_proxy -u grpc_proxy "$@"
}
logs() { openshell logs "$@" >"$W/logs" 2>/dev/null; }
