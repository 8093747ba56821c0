#!/bin/bash
# Who is who, with the real curl: nothing that pretends to be it, or that it was made to be, gets what
# the policy gives to it. curl itself does, before, between and after.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || { echo "skip: no C compiler"; exit 77; }
origin api.test
daemon_start
sandbox box '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }, { path: /sandbox/tool }]'
home=$W/state/sandboxes/box/home
URL=https://api.test/zen WISDOM='Anything added dilutes everything else.'
run() { in_box_bare box "$@" >"$W/out" 2>&1; }
yes() { check "$1" has "$WISDOM" "$W/out"; }
no() { check "$1" has_not "$WISDOM" "$W/out"; }
still() { run curl -sS $URL; yes "curl itself still passes"; }
put() { cc -O1 -o "$W/$1" "${@:3}" -x c - <<<"$2" || die "cannot compile $1"; install -m 755 "$W/$1" "$home/$1"; }

still
run sh -c "cp /usr/bin/curl /sandbox/curl && /sandbox/curl -sS $URL"; no "copied"
run sh -c "mkdir -p /tmp/usr/bin && cp /usr/bin/curl /tmp/usr/bin/curl && /tmp/usr/bin/curl -sS $URL"; no "copied to a path that ends alike"
run sh -c "mv /sandbox/curl /sandbox/renamed && /sandbox/renamed -sS $URL"; no "renamed"
run sh -c "ln /usr/bin/curl /sandbox/hard && /sandbox/hard -sS $URL"; no "hard link"
run sh -c "ln /sandbox/renamed /sandbox/hard2 && /sandbox/hard2 -sS $URL"; no "hard link to a copy"
run sh -c "ln -sf /usr/bin/curl /sandbox/soft && /sandbox/soft -sS $URL"; yes "a symlink runs curl itself"
run sh -c "ln -sf /sandbox/renamed /sandbox/soft && /sandbox/soft -sS $URL"; no "a symlink to a copy does not"
run bash -c "exec -a /usr/bin/curl /sandbox/renamed -sS $URL"; no "argv[0]"
run sh -c "printf '#!/sandbox/renamed -sS\n' >/sandbox/curl.sh; chmod +x /sandbox/curl.sh; /sandbox/curl.sh $URL"; no "script"
for ld in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
	[ -e "$ld" ] || continue
	run $ld /usr/bin/curl -sS $URL; no "$ld /usr/bin/curl"
	run $ld --argv0 /usr/bin/curl /usr/bin/curl -sS $URL; no "the loader with curl's name"
done
still

put evil.so 'static int x; __attribute__((constructor)) static void f(void) { x = 1; }' -shared -fPIC
lib=$(ldd /usr/bin/curl | awk '/libcurl/{print $3}'); mkdir -p "$home/lib"; install -m 755 "$lib" "$home/lib/libcurl.so.4"
for v in LD_PRELOAD=/sandbox/evil.so LD_AUDIT=/sandbox/evil.so LD_LIBRARY_PATH=/sandbox/lib LD_LIBRARY_PATH=/usr/lib GCONV_PATH=/sandbox LD_PRELOAD=/nothing.so; do
	run env "$v" curl -sS $URL; no "$v"
done
run env LD_PRELOADED=/sandbox/evil.so XLD_PRELOAD=1 curl -sS $URL; yes "similar variables do no harm"
run env LD_PRELOAD=/sandbox/evil.so env -u LD_PRELOAD curl -sS $URL; yes "nor does what is gone before curl starts"
still

# a program of the policy is one whatever its arguments; code from a writable place taints
put tool '#include <stdio.h>
#include <dlfcn.h>
#include <unistd.h>
int main(int c, char **v) { if (c > 1 && !dlopen(v[1], RTLD_NOW)) puts(dlerror());
	execl("/usr/bin/curl", "curl", "-sS", "https://api.test/zen", (char *)0); return 1; }' -ldl
sleep 0.3 # a program just written is judged once it has settled, and this one is gone by then
run /sandbox/tool; yes "a tool of the policy that starts curl"
put loader '#include <stdio.h>
#include <sys/mman.h>
#include <fcntl.h>
int main(int c, char **v) { int fd = open(v[1], 0); puts(mmap(0, 4096, 5, 2, fd, 0) == MAP_FAILED ? "not mapped" : "mapped"); return 0; }'
run /sandbox/loader /sandbox/evil.so; check "code can be mapped at all" has mapped "$W/out"
openshellctl counters >"$W/out"; check "and is noticed" grep -q '^taint  *[1-9]' "$W/out"

# exec after connect: who connected counts
put connector '#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
/* connects, then becomes curl; the other half of the socket pair speaks in its name */
int main(int c, char **v) { struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(3128) };
	static const char q[] = "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n";
	int s = socket(AF_INET, SOCK_STREAM, 0); char b[256] = ""; inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	if (connect(s, (void *)&a, sizeof a)) return 2;
	if (fork() == 0) { execl("/usr/bin/curl", "curl", "--max-time", "2", "-s", "telnet://127.0.0.1:9", (char *)0); _exit(1); }
	usleep(300000); if (write(s, q, sizeof q - 1) < 0 || read(s, b, 255) < 0) return 3; printf("%.12s\n", b); return 0; }'
run /sandbox/connector; check "a socket made before exec: 403" has 'HTTP/1.1 403' "$W/out"

# trust on first use
install -m 755 /usr/bin/curl "$home/tool"; run /sandbox/tool -sS $URL; no "another file in the place of one that was seen"
logs box; check "logged as a violation of integrity" has 'Binary integrity violation: /sandbox/tool hash changed' "$W/logs"
still

# process ids come round: a new program never inherits what an old one was
if [ -w /proc/sys/kernel/ns_last_pid ]; then
	cat >"$home/waiter.sh" <<-'S'
	# prints the id of a curl that ran, then runs another program that may get the same id
	curl -sS https://api.test/zen >/dev/null
	for i in 1 2 3 4 5 6 7 8; do wget -q -O - https://api.test/zen; done
	S
	hits=0
	for _ in 1 2 3; do
		run sh /sandbox/waiter.sh & bg=$!
		for _ in $(seq 40); do
			p=$(pgrep -n -x curl) && echo $((p - 1)) >/proc/sys/kernel/ns_last_pid 2>/dev/null && hits=$((hits + 1))
			sleep 0.02
		done
		wait $bg; no "a program with a process id of curl's"
	done
	echo "process ids rewound $hits times"
fi
run ps; still
