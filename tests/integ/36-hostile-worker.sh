#!/bin/bash
# A proxy that fell to what it parses: somebody else speaks its protocol to the monitor and the signer, with
# its own sockets and its event ring. What it says wrongly ends it; what it may say is bounded; the others,
# the policy, the log and other sandboxes do not suffer.
. "$(dirname "$0")/lib.sh"
origin api.test
CONFIG_MORE='workers: 3
names_per_sandbox: 64'
daemon_start
NET='  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, access: read-only }, { host: "*.wild.test", port: 443 }]
    binaries: [{ path: /usr/bin/curl }, { path: "/usr/bin/getent" }]'
sandbox box "$NET"
sandbox other "$NET"
check "it works" is "$(in_box box curl -s -o /dev/null -w '%{http_code}' https://api.test/)" 200
cat >"$W/hostile.py" <<'P'
import ctypes, errno, json, mmap, os, random, re, signal, socket, struct, subprocess, sys, time
daemon, role_h, logdir, policy = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
libc = ctypes.CDLL(None, use_errno=True)
def ok(what, cond, *more):
    print(("ok: " if cond else "FAILED: ") + what, *(more if not cond else ()), flush=True)
    if not cond: sys.exit(1)
def until(f, s=15):
    end = time.time() + s
    while time.time() < end:
        r = f()
        if r: return r
        time.sleep(0.02)
    return f()
# message numbers are those of the header, in its order
text = re.sub(r"/\*.*?\*/", "", re.search(r"enum osh_msg \{(.*?)\};", open(role_h).read(), re.S).group(1), flags=re.S)
MSG = {n.strip().split("=")[0].strip(): i for i, n in enumerate(x for x in text.split(",") if x.strip())}

class Fallen:
    """A worker that was taken over: it stands still, its descriptors are ours."""
    def __init__(self, pid):
        self.pid = pid
        pfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGSTOP)
        def take(n):
            fd = libc.syscall(438, pfd, n, 0)
            if fd < 0: raise OSError(ctypes.get_errno(), "pidfd_getfd")
            return fd
        self.monitor = socket.socket(fileno=take(3))
        self.monitor.settimeout(5)
        for n in sorted(int(x) for x in os.listdir(f"/proc/{pid}/fd")):
            to = os.readlink(f"/proc/{pid}/fd/{n}")
            if "openshell-ring" in to: self.ring = mmap.mmap(take(n), 0)
            elif "eventfd" in to: self.event = take(n)
            elif to.startswith("socket:") and to != os.readlink(f"/proc/{pid}/fd/3"):
                s = socket.socket(fileno=take(n))
                if s.family == socket.AF_UNIX and s.type == socket.SOCK_SEQPACKET:
                    self.signer = s; s.settimeout(5)
        os.close(pfd)
    def send(self, name, body=b"", cookie=7, sock=None, fds=(), length=None):
        hdr = struct.pack("=IIQ", MSG[name] if isinstance(name, str) else name, len(body) if length is None else length, cookie)
        socket.send_fds(sock or self.monitor, [hdr + body], list(fds)) if fds else (sock or self.monitor).send(hdr + body)
    def recv(self, name, sock=None):
        while True:
            m = (sock or self.monitor).recv(70000)
            t, n, cookie = struct.unpack("=IIQ", m[:16])
            if t == MSG[name]: return m[16:]
    def gone(self):
        try: return open(f"/proc/{self.pid}/stat").read().split()[2] in "ZX"
        except (FileNotFoundError, ProcessLookupError): return True
    def name(self, sandbox, host, host_id=0):
        self.send("OSH_MSG_NAME_ASK", struct.pack("=IIiI256s", sandbox, host_id, 0, 0, host))
        b = self.recv("OSH_MSG_NAME_INFO")
        return struct.unpack("=IIiI256s", b)[1:3]
    def put(self, record):
        head, = struct.unpack_from("=Q", self.ring, 0)
        size = len(self.ring) - 4096
        data = struct.pack("=I", len(record)) + record
        data += b"\0" * (-len(data) % 8)
        for i, c in enumerate(data): self.ring[4096 + (head + i) % size] = c
        struct.pack_into("=Q", self.ring, 0, head + len(data))
        os.write(self.event, struct.pack("=Q", 1))

def workers():
    out = subprocess.run(["pgrep", "-P", str(daemon), "-f", "^openshelld: proxy"], capture_output=True, text=True).stdout
    return [int(x) for x in out.split()]
def served():
    return subprocess.run(["openshell", "sandbox", "exec", "-n", "other", "--no-tty", "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "https://api.test/"], capture_output=True, text=True).stdout == "200"
def ids():
    return {}
box, other = 1, 2

# ---- names
f = Fallen(workers()[0])
ok("a name that no policy has is refused", f.name(box, b"evil.test")[1] == -errno.EPERM)
ok("a sandbox that there is not", f.name(99, b"a.wild.test")[1] == -errno.ENOENT)
got = [f.name(box, b"n%d.wild.test" % i) for i in range(64)]
n = sum(1 for x in got if x[1] == 0)
ok("one worker gets a share of the names only", 40 <= n <= 48 and got[-1][1] == -errno.ENOSPC, n, got[-1])
ok("asking again is free", f.name(box, b"n0.wild.test")[1] == 0)
r = subprocess.run(["openshell", "sandbox", "exec", "-n", "box", "--no-tty", "--", "getent", "hosts", "fresh.wild.test"], capture_output=True, text=True)
ok("the other workers still give out names", r.returncode == 0 and "198.18." in r.stdout or "fd23" in r.stdout, r)

# ---- certificates
key = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
def sign(sandbox, host, pub=key):
    f.send("OSH_MSG_SIGN", struct.pack("=II256s256s", sandbox, len(pub), host, pub), sock=f.signer)
    return struct.unpack_from("=Ii", f.recv("OSH_MSG_CERT", f.signer))[1]
ok("certificates are issued", sign(box, b"api.test") == 0)
ok("of no sandbox that there is not", sign(77, b"api.test") == -errno.ENOENT)
ok("for no name that is none", sign(box, b"..") == -errno.EINVAL)
ok("for no key of another kind", sign(box, b"api.test", key[:40]) == -errno.EINVAL)
results = []
while len(results) < 200000 and results[-10:].count(-errno.EDQUOT) < 5: # refills while we ask
    results.append(sign(box, b"m%d.wild.test" % len(results)))
    if len(results) % 500 == 0: f.send("OSH_MSG_PONG") # on a busy machine this takes longer than a worker may be silent
ok("a stock of certificates is refused", -errno.EDQUOT in results and results[0] == 0 and len(results) > 16000, len(results))
ok("another sandbox has its own quota", sign(other, b"api.test") == 0)
ok("other workers and sandboxes work meanwhile", served())

# ---- records
def newest(n=200):
    recs = []
    for name in sorted(os.listdir(logdir)):
        try:
            for line in open(os.path.join(logdir, name)):
                try: recs.append(json.loads(line))
                except ValueError: pass
        except (IsADirectoryError, UnicodeDecodeError): pass
    return recs
def record(rclass, when_ns, sandbox, port):
    # header of struct osh_rec without texts: see user/audit/record.h
    spans = int(sys.argv[5])
    hdr = struct.pack("=IHBBBBBBHHHHBBHIIIi2I16sQQQQQQQQQQ", 0, int(sys.argv[6]), rclass, 1, 2, 1, 0, 2, port, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b"", when_ns, 0, 0, 0, sandbox, 0, 0, 0, 0, 0)
    rec = hdr + b"\0" * (4 * spans)
    return struct.pack("=I", len(rec)) + rec[4:]
start = time.time_ns()
for port, when in ((4441, 0), (4442, 1), (4443, start + 10**18), (4444, 2**62)): f.put(record(1, when, box, port))
def mine(): return [r for r in newest() if r.get("port") in (4441, 4442, 4443, 4444)]
recs = until(lambda: len(mine()) == 4 and mine())
ok("records arrive", bool(recs), newest()[-3:])
def t(r): return int(r.get("time_ns") or 0) or int(float(r["time"]) * 1e9)
lo, hi = start - 120 * 10**9, time.time_ns()
ok("their time is between the last one and now, whatever they say", all(lo <= t(r) <= hi for r in recs), recs)
ok("and does not go back", [t(r) for r in recs] == sorted(t(r) for r in recs), recs)
f.put(record(1, start, 4711, 4445))
ok("one about a sandbox that there never was ends the writer", until(f.gone))
ok("and is not written", not [r for r in newest() if r.get("port") == 4445])

# ---- a policy is not held up by a worker that refuses it
f = Fallen(until(lambda: len(workers()) == 3 and workers())[0])
p = subprocess.Popen(["openshell", "policy", "set", "box", "--policy", policy, "--wait"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
m = f.recv("OSH_MSG_POLICY_LOAD")
sandbox, status, generation, size = struct.unpack("=IiQQ", m)
f.send("OSH_MSG_POLICY_LOADED", struct.pack("=IiQQ", sandbox, -errno.EINVAL, generation, size))
out = p.communicate(timeout=30)[0]
ok("a worker that refuses a policy is restarted, the policy is loaded", p.returncode == 0 and until(f.gone), out)

# ---- what no worker says
mem = os.memfd_create("x")
def bad(what, fn):
    f = Fallen(until(lambda: len(workers()) == 3 and random.choice(workers())))
    time.sleep(0.05)
    try: fn(f)
    except (BrokenPipeError, ConnectionResetError): pass
    ok(what + " ends it", until(f.gone))
bad("an unknown message", lambda f: f.send(200))
bad("a message of another role", lambda f: f.send("OSH_MSG_CA", b"\0" * 4132))
bad("a wrong size", lambda f: f.send("OSH_MSG_EXE_ASK", b"\0" * 100))
bad("a wrong length", lambda f: f.send("OSH_MSG_STATS", b"{}", length=4))
bad("a descriptor", lambda f: f.send("OSH_MSG_PONG", fds=[mem]))
bad("a name without an end", lambda f: f.send("OSH_MSG_NAME_ASK", struct.pack("=IIiI", 1, 0, 0, 0) + b"a" * 256))
bad("a name that is none", lambda f: f.send("OSH_MSG_NAME_ASK", struct.pack("=IIiI256s", 1, 0, 0, 0, b"a\nb")))
bad("being ready twice", lambda f: [f.send("OSH_MSG_READY") for i in range(2)]) # it may have been caught before its own
bad("a record that is none", lambda f: f.put(b"\xff" * 64))
def rewind(f): struct.pack_into("=Q", f.ring, 0, 2**63); os.write(f.event, struct.pack("=Q", 1))
bad("a ring that makes no sense", rewind)
bad("asking without listening", lambda f: [f.send("OSH_MSG_EXE_ASK", struct.pack("=IIII", 1, 1 + i % 9, 0, 0) + b"\0" * 2112) for i in range(200000)])
ok("all workers are back", until(lambda: len(workers()) == 3))
f = Fallen(until(lambda: len(workers()) == 3 and workers())[0])
try:
    for i in range(3000): f.send("OSH_MSG_SIGN", os.urandom(520), sock=f.signer)
except (BrokenPipeError, ConnectionResetError, TimeoutError, socket.timeout): pass
os.kill(f.pid, signal.SIGKILL)
ok("the signer outlives nonsense", until(lambda: len(workers()) == 3) and until(served))
P
RECORD_VERSION=$(awk '/define OSH_REC_VERSION/{print $3}' "$ROOT/user/audit/record.h")
FIELDS=$(awk '/^enum osh_rec_field/{f=1;next} f&&/};/{exit} f&&/OSH_REC_[A-Z0-9_]+/&&!/FIELD_COUNT/{n++} END{print n}' "$ROOT/user/audit/record.h")
policy_file "$NET" | sed 's/read-only/full/' >"$W/new.yaml"
"$PY" "$W/hostile.py" "$DAEMON" "$ROOT/include/openshell/role.h" "$W/state/log" "$W/new.yaml" "$FIELDS" "$RECORD_VERSION" || die "see above"
check "everything works as before" until_ok in_box box curl -sf -o /dev/null https://api.test/
check "the monitor is the same process" kill -0 "$DAEMON"
