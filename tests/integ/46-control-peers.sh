#!/bin/bash
# Who may steer the daemon is decided by the process, not by its number: a sandboxed process gets
# nothing over a control connection that somebody handed to it, nor by dying and leaving its pid to
# another.
. "$(dirname "$0")/lib.sh"
daemon_start
sandbox box ''
CG=$(awk '$3=="cgroup2"{print $2; exit}' /proc/self/mounts)/$TAG/sandboxes/box
cat >"$W/peers.py" <<'P'
import ctypes, json, os, signal, socket, struct, sys, time
sock, cgroup, daemon = sys.argv[1], sys.argv[2], int(sys.argv[3])
CALL = b'{"method":"io.openshell.SandboxList","parameters":{}}\0'
def ok(what, cond, *more):
    print(("ok: " if cond else "FAILED: ") + what, *(more if not cond else ()), flush=True)
    if not cond: sys.exit(1)
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sock); return s
def answer(s):
    try: return b"sandboxes" in s.recv(65536)
    except (ConnectionResetError, BrokenPipeError): return False
def enter():
    with open(cgroup + "/cgroup.procs", "w") as f: f.write("0")
def child(fn):
    pid = os.fork()
    if pid == 0:
        try: code = fn()
        except OSError as e: code = 100 + (e.errno or 0) % 100
        os._exit(code or 0)
    return pid
def run(fn): return os.waitstatus_to_exitcode(os.waitpid(child(fn), 0)[1])

s = connect(); s.sendall(CALL); ok("a process of the host is served", answer(s))
s.sendall(CALL); ok("and again on the same connection", answer(s))

def open_inside():
    enter(); s = connect(); s.sendall(CALL); return 1 if answer(s) else 0
ok("a connection opened in a sandbox gets no answer", run(open_inside) in (0, 104, 132), run(open_inside))

handed = connect(); handed.sendall(CALL); answer(handed)
def use_handed():
    enter(); handed.sendall(CALL); return 1 if answer(handed) else 0
ok("one that was handed in gets no answer", run(use_handed) in (0, 104, 132))
try: handed.sendall(CALL); alive = answer(handed)
except OSError: alive = False
ok("and is closed", not alive)

def use_own():
    s2 = connect(); os.set_inheritable(s2.fileno(), True)
    pid = os.fork()
    if pid == 0:
        enter(); s2.sendall(CALL); os._exit(0)
    os.waitpid(pid, 0)
    return 1 if answer(s2) else 0
ok("a call of a sandboxed process that is gone gets no answer", run(use_own) in (0, 104, 132))

# A sandboxed process calls and dies while the daemon is stopped; its number goes to one of the host.
class CloneArgs(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid", "set_tid_size", "cgroup")]
libc = ctypes.CDLL(None, use_errno=True)
def clone_as(pid):
    tid = ctypes.c_int(pid)
    a = CloneArgs(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(tid), set_tid_size=1)
    return libc.syscall(435, ctypes.byref(a), ctypes.sizeof(a))
for rounds in range(5):
    os.kill(daemon, signal.SIGSTOP)
    r, w = os.pipe()
    def call_and_die():
        s = connect(); enter(); s.sendall(CALL)
        socket.send_fds(carrier[1], [b"x"], [s.fileno()]); return 0
    carrier = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # the connection is opened outside, as the one that matters is written inside
    victim = child(call_and_die)
    os.waitpid(victim, 0)
    fds = socket.recv_fds(carrier[0], 10, 1)[1]
    heir = clone_as(victim)
    if heir == 0: time.sleep(30); os._exit(0)
    os.kill(daemon, signal.SIGCONT)
    if heir < 0:
        print("note: pid cannot be chosen here:", os.strerror(ctypes.get_errno())); break
    s = socket.socket(fileno=fds[0]); s.settimeout(5)
    got = answer(s)
    os.kill(heir, signal.SIGKILL); os.waitpid(heir, 0)
    ok(f"a number that was left to a process of the host ({rounds}) opens nothing", heir == victim and not got, heir, victim)
s = connect(); s.sendall(CALL); ok("the daemon still serves the others", answer(s))
P
"$PY" "$W/peers.py" "$W/run/openshelld.sock" "$CG" "$DAEMON" || die "see above"
check "the daemon says whom it refused" has "it runs in a sandbox" "$W/openshelld.log"
