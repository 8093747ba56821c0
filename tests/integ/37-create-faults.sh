#!/bin/bash
# Every call that can fail while a sandbox is created, one after the other: the creation works all the same, or
# it fails and nothing of it is left: the name is free, no file, key, process, cgroup, descriptor.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || { echo "skip: no C compiler"; exit 77; }
cc -shared -fPIC -O1 -o "$W/fault.so" "$ROOT/tests/integ/fault.c" -ldl || die "fault.c does not compile"
head -c 4096 /dev/zero >"$W/fault"
CONFIG_MORE='workers: 1'
daemon_config
: >"$W/openshelld.log"
LD_PRELOAD=$W/fault.so OSHI_FAULT=$W/fault "$BUILD/openshelld" -c "$W/openshelld.yaml" >>"$W/openshelld.log" 2>&1 &
DAEMON=$!
until_ok grep -q ' ready: [0-9]' "$W/openshelld.log" || die "openshelld does not become ready"
CG=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG/sandboxes
policy_file '  api: { endpoints: [{ host: api.test, port: 443 }], binaries: [{ path: /usr/bin/curl }] }' >"$W/p.yaml"
cat >"$W/faults.py" <<'P'
import mmap, os, struct, sys, time
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from varlink import Client
path, fault, daemon, cg, state, run, policy, most = sys.argv[2], sys.argv[3], int(sys.argv[4]), *sys.argv[5:8], open(sys.argv[8]).read(), int(sys.argv[9])
mem = mmap.mmap(os.open(fault, os.O_RDWR), 4096)
def arm(n): struct.pack_into("=II56s", mem, 0, n, 0, b"")
def seen(): return struct.unpack_from("=II56s", mem, 0)
def call(method, **p):
    c = Client(path); c.sock.settimeout(30); c.send(method, p); return c.receive()
def fds():
    n = {}
    for f in os.listdir(f"/proc/{daemon}/fd"):
        try: to = os.readlink(f"/proc/{daemon}/fd/{f}")
        except OSError: continue
        if "openshelld.sock" in to: continue
        n[to.split(":")[0] if not to.startswith("/") else to] = n.get(to.split(":")[0] if not to.startswith("/") else to, 0) + 1
    return n
def until(f, s=10):
    end = time.time() + s
    while time.time() < end:
        if f(): return True
        time.sleep(0.01)
    return f()
def ready(): return all(r["state"] == "ready" for r in call("Status")["parameters"]["roles"])
def left():
    return [x for x in (f"{cg}/fx", f"{state}/sandboxes/fx", f"{run}/sandboxes/fx.init") if os.path.exists(x)] + \
        [x for x in os.listdir(f"{state}/ca") if x.startswith("fx")] + [x for x in os.listdir(cg) if x.startswith("fx")] + \
        [s["name"] for s in call("SandboxList")["parameters"]["sandboxes"]]
for i in range(2):
    r = call("SandboxCreate", name="fx", policy=policy); assert "error" not in r, r
    r = call("SandboxDelete", name="fx"); assert "error" not in r, r
arm(1 << 30)
r = call("SandboxCreate", name="fx", policy=policy); assert "error" not in r, r
total = seen()[1]; arm(0)
call("SandboxDelete", name="fx")
until(lambda: not left()); time.sleep(0.3)
base = fds()
print(f"note: {total} calls can fail")
step = max(1, total // most)
failed = survived = 0
for n in range(1, total + 1, step):
    arm(n)
    try: r = call("SandboxCreate", name="fx", policy=policy)
    except Exception as e: r = {"error": "connection", "what": repr(e)}   # its own connection was hit
    hit = seen(); arm(0)
    what = hit[2].rstrip(b"\0").decode()
    if os.environ.get("FAULTS_SAY"): print(n, what, r.get("error"), r.get("parameters", {}).get("message", ""), flush=True)
    if "error" in r:
        failed += 1
        if r["error"] == "connection":
            until(lambda: any(s["name"] == "fx" and s["phase"] in ("Ready", "Error") for s in call("SandboxList")["parameters"]["sandboxes"]) or not left(), 5)
            call("SandboxDelete", name="fx")
    else:
        survived += 1
        d = call("SandboxDelete", name="fx")
        if "error" in d: print("FAILED: delete after", n, what, d); sys.exit(1)
    if not until(lambda: not left()): print(f"FAILED: call {n} ({what}) leaves", left(), r); sys.exit(1)
    if not until(ready): print(f"FAILED: call {n} ({what}): roles are not ready"); sys.exit(1)
    if not until(lambda: fds() == base, 3):
        now = fds(); print(f"FAILED: call {n} ({what}): descriptors", {k: (base.get(k, 0), now.get(k, 0)) for k in {*base, *now} if base.get(k) != now.get(k)}, r); sys.exit(1)
print(f"note: {failed} creations failed and left nothing, {survived} got over it")
print("ok: every fault is either survived or undone" if failed > 20 else "FAILED: too few faults")
sys.exit(failed <= 20)
P
timeout 400 "$PY" "$W/faults.py" "$ROOT/tests/integ/varlink.py" "$W/run/openshelld.sock" "$W/fault" "$DAEMON" "$CG" "$W/state" "$W/run" "$W/p.yaml" "${FAULTS:-150}" || die "see above"
sandbox fx ''
check "the name is free and a sandbox works" is "$(in_box fx /bin/echo yes)" yes
