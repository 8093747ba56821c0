#!/bin/bash
# The control socket from an independent client: introspection as varlinkctl does it, create, set, logs
# that follow, delete; and what a hostile or broken client gets.
. "$(dirname "$0")/lib.sh"
origin api.test
daemon_start
cat >"$W/drive.py" <<'P'
import json, os, socket, sys, threading, time
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from varlink import Client
path = sys.argv[2]
def call(method, **p):
    c = Client(path); c.send(method, p); return c.receive()
def ok(what, cond, *more):
    print(("ok: " if cond else "FAILED: ") + what, *(more if not cond else ()), flush=True)
    if not cond: sys.exit(1)

# ---- introspection
info = call("org.varlink.service.GetInfo")["parameters"]
ok("GetInfo", {"vendor", "product", "version", "url", "interfaces"} <= set(info) and "io.openshell" in info["interfaces"], info)
text = call("org.varlink.service.GetInterfaceDescription", interface="io.openshell")["parameters"]["description"]
ok("the description is that of the repository", text.strip() == open(sys.argv[3]).read().strip())
methods = [l.split("(")[0].split()[1] for l in text.split("\n") if l.startswith("method ")]
ok("methods", {"SandboxCreate", "PolicySet", "Logs", "SandboxDelete", "Exec"} <= set(methods), methods)
ok("unknown interface", call("org.varlink.service.GetInterfaceDescription", interface="x.y")["error"] == "org.varlink.service.InterfaceNotFound")
ok("unknown method", call("io.openshell.Nonesuch")["error"] == "org.varlink.service.MethodNotFound")
ok("unknown interface of a method", call("x.y.Z")["error"] in ("org.varlink.service.InterfaceNotFound", "org.varlink.service.MethodNotFound"))
for m in [x for x in methods if x != "Selftest"]:
    r = call("io.openshell." + m, **{"sandbox": 1, "name": 2, "limit": "x", "global": 3, "key": [], "session": {}})
    ok(f"{m}: wrong types are refused by name", "error" in r or m in ("Status", "Doctor", "PolicyDeleteGlobal", "Selftest"), r)

# ---- create, set, follow, delete
policy = open(sys.argv[4]).read()
c = Client(path); c.send("SandboxCreate", {"name": "vl", "policy": policy, "labels": {"a": "b"}}, more=True)
r = c.receive()
while r.get("continues"): r = c.receive()
ok("SandboxCreate", r["parameters"]["sandbox"]["phase"] == "Ready" and r["parameters"]["sandbox"]["labels"] == {"a": "b"}, r)
ok("twice", call("SandboxCreate", name="vl", policy=policy)["error"] == "io.openshell.AlreadyExists")
follow = Client(path); follow.send("Logs", {"sandbox": "vl", "lines": 10, "follow": True}, more=True)
seen = []
def pump():
    try:
        while True:
            r = follow.receive()
            seen.extend(r["parameters"]["records"])
            if not r.get("continues"): return
    except (EOFError, OSError): pass
threading.Thread(target=pump, daemon=True).start()
def until(f):
    for _ in range(200):
        if f(): return True
        time.sleep(0.05)
    return False
ok("Logs: what is there", until(lambda: any(x.get("message") == "Starting sandbox" for x in seen)), seen)
r = call("PolicySet", sandbox="vl", policy=policy.replace("read-only", "full"))
ok("PolicySet", r["parameters"]["version"] == 2 and not r["parameters"]["unchanged"], r)
c = Client(path); c.send("PolicySet", {"sandbox": "vl", "policy": policy}, more=True)
replies = [c.receive()]
while replies[-1].get("continues"): replies.append(c.receive())
ok("PolicySet with more: pending, then loaded", [x["parameters"]["status"] for x in replies] == ["pending", "loaded"], replies)
r = call("PolicySet", sandbox="vl", policy="version: 1\nnonsense: 1\nversion: 2\n")
ok("PolicyInvalid with places", r["error"] == "io.openshell.PolicyInvalid" and "policy:2:" in json.dumps(r), r)
r = call("PolicyGet", sandbox="vl"); ok("PolicyGet", r["parameters"]["version"] == 3 and r["parameters"]["status"] == "effective", r)
r = call("PolicyList", sandbox="vl", limit=2); ok("PolicyList", [x["version"] for x in r["parameters"]["revisions"]] == [3, 2], r)
e = Client(path); e.send("Exec", {"sandbox": "vl", "argv": ["/usr/bin/curl", "-s", "https://blocked.test/"], "env": {"A": "b"}}, more=True)
r = e.receive(); ok("Exec: three descriptors", r["parameters"]["fds"] == ["stdin", "stdout", "stderr"] and len(e.fds) == 3, r)
r = e.receive(); ok("Exec: exit code", r["parameters"]["exit_code"] == 56 and not r.get("continues"), r)
ok("Logs: goes on", until(lambda: any(x.get("host") == "blocked.test" and x["verdict"] == "deny" for x in seen)), seen[-3:])
ok("records are in order, none twice", [x["seq"] for x in seen] == sorted({x["seq"] for x in seen}))
r = call("SandboxDelete", name="vl"); ok("SandboxDelete", "error" not in r, r)
ok("again", call("SandboxDelete", name="vl")["error"] == "io.openshell.NotFound")
ok("Logs: its end", until(lambda: any("deleted" in x.get("message", "") for x in seen)))

# ---- broken clients
def raw(data, wait=1.0):
    s = socket.socket(socket.AF_UNIX); s.connect(path); s.settimeout(wait)
    try:
        s.sendall(data); out = s.recv(65536)
    except (socket.timeout, BrokenPipeError, ConnectionResetError): out = None
    s.close(); return out
ok("not JSON: closed", raw(b"GET / HTTP/1.1\r\n\r\n\0") in (b"", None))
ok("a key twice: refused", b'"parameters":{"checks"' not in (raw(b'{"method":"io.openshell.Status","method":"io.openshell.Doctor"}\0') or b""))
ok("no end: not answered", not raw(b'{"method":"io.openshell.Status"}', 0.5))
ok("endless: closed", not raw(b"x" * (17 << 20)))
ok("deep: closed", not raw(b'{"method":"io.openshell.Status","parameters":' + b"[" * 100000 + b"\0"))
c = Client(path)
for _ in range(200): c.send("io.openshell.Status", {})
ok("200 calls in a row on one connection", all("parameters" in c.receive() for _ in range(200)))
idle = [socket.socket(socket.AF_UNIX) for _ in range(100)]
for s in idle:
    try: s.connect(path)
    except OSError: break
ok("a hundred idle ones", "parameters" in call("Status"))
P
policy_file '  api:
    endpoints: [{ host: api.test, port: 443, protocol: rest, enforcement: enforce, access: read-only }]
    binaries: [{ path: /usr/bin/curl }]' >"$W/p.yaml"
check "independent client" $PY "$W/drive.py" "$ROOT/tests/integ/varlink.py" "$OPENSHELL_SOCKET" "$ROOT/user/ctl/io.openshell.varlink" "$W/p.yaml"
check "the socket: group only" is "$(stat -c '%a %U %G' "$OPENSHELL_SOCKET")" '660 root openshell'
check "others cannot connect" eval '! setpriv --reuid=nobody --regid=nogroup --clear-groups $PY "$ROOT/tests/integ/varlink.py" "$OPENSHELL_SOCKET" Status 2>/dev/null'
check "the daemon is well" eval '$PY "$ROOT/tests/integ/varlink.py" "$OPENSHELL_SOCKET" Status | grep -q started_ms'
