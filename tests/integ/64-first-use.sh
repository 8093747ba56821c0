#!/bin/bash
# Trust on first use of binaries in writable places: what a path was first seen with counts, on disk and
# in memory, across a restart of the daemon, for as long as the sandbox runs.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || { echo "skip: no C compiler"; exit 77; }
origin api.test
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /sandbox/disk }, { path: /sandbox/after }, { path: /tmp/memory }, { path: /usr/bin/curl }]'
home=$W/state/sandboxes/box/home
URL=https://api.test/zen WISDOM='Anything added dilutes everything else.'
run() { in_box_bare box "$@" >"$W/out" 2>&1; }
yes() { check "$1" has "$WISDOM" "$W/out"; }
no() { check "$1" has_not "$WISDOM" "$W/out"; }
files() { in_box box sh -c "cp /usr/bin/$2 $1 && sleep 0.3"; }

files /sandbox/disk curl
run /sandbox/disk -sS $URL; yes "first use, on disk"
files /tmp/memory curl
run /tmp/memory -sS $URL; yes "first use, on tmpfs"
run /tmp/memory -sS $URL; yes "and the second"

# tmpfs: change the content through a mapping, with inode, size and times left as they are
cat >"$W/edit.c" <<'C'
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
/* edit FILE: another byte in the padding of the ELF header; 1 if its ctime told */
int main(int c, char **v) { struct stat a, b; int fd = open(v[1], O_RDWR); volatile char *p, was;
	if (fd < 0 || stat(v[1], &a)) return 2;
	p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); close(fd);
	if (p == MAP_FAILED) return 3;
	was = p[15]; p[15] = was ^ 1; munmap((void *)p, 4096); stat(v[1], &b);
	return memcmp(&a.st_ctim, &b.st_ctim, sizeof a.st_ctim) ? 1 : 0; }
C
cc -O1 -o "$home/edit" "$W/edit.c" || die "cannot compile"
run /sandbox/edit /tmp/memory; echo "edit on tmpfs: $?"
run /tmp/memory -sS $URL; no "a content that only a mapping changed"
logs box; check "logged" has 'Binary integrity violation: /tmp/memory hash changed' "$W/logs"
run /sandbox/edit /tmp/memory
run /tmp/memory -sS $URL; yes "the first content again"
run curl -sS $URL; yes "curl itself"

# the daemon forgets nothing when it restarts, and goes on keeping
daemon_kill; daemon_start
files /sandbox/disk wget
run /sandbox/disk -q -O - $URL; no "another content after a restart"
logs box; check "logged too" has 'Binary integrity violation: /sandbox/disk hash changed' "$W/logs"
run /sandbox/edit /tmp/memory
run /tmp/memory -sS $URL; no "on tmpfs as well"
files /sandbox/after curl
run /sandbox/after -sS $URL; yes "a new path after the restart"
check "the file is bounded and private" test "$(stat -c %a "$W/state/sandboxes/box/first-uses")" = 600

# what cannot be read proves nothing: fail closed, and say so
daemon_kill
printf x | dd of="$W/state/sandboxes/box/first-uses" bs=1 seek=70 conv=notrunc 2>/dev/null
daemon_start
run curl -sS $URL; yes "damaged records: read-only places are as before"
run /sandbox/after -sS $URL; no "writable places match nothing"
logs box; check "said" has 'First uses of binaries are not readable (damaged)' "$W/logs"

# a run of its own: stopping the sandbox ends what was trusted
openshell sandbox stop box >"$W/out" 2>&1 || die "stop: $(cat "$W/out")"
check "the records end with the run" test ! -e "$W/state/sandboxes/box/first-uses"
openshell sandbox start box >"$W/out" 2>&1 || die "start: $(cat "$W/out")"
run /sandbox/after -sS $URL; yes "trusted anew"

# many runs of one file on tmpfs, each an identity of its own: the table is swept in time
cp "$(command -v true)" "$home/t"
in_box box sh -c 'cp /sandbox/t /tmp/t; i=0; while [ $i -lt 6000 ]; do /tmp/t; i=$((i+1)); done'
openshellctl counters >"$W/out"
check "no executable went unknown" grep -q '^exe-full  *0' "$W/out"
files /tmp/late curl
run curl -sS $URL; yes "and curl passes still"
