#!/usr/bin/python3
"""Stand-in for the service manager: usage: manager.py DIR COMMAND [ARG]...

Runs COMMAND with $NOTIFY_SOCKET, writes every message to DIR/notify, keeps descriptors sent with
FDSTORE=1 under their names and hands them over at the next start ($LISTEN_FDS). The command is
started again whenever it ends and DIR/go exists; DIR/pid and DIR/fds tell about the present.
"""
import array
import os
import signal
import socket
import sys

where, command = sys.argv[1], sys.argv[2:]
path = os.path.join(where, "notify.sock")
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.bind(path)
sock.settimeout(0.02)
store = []  # (name, fd)


def put(name, text):
    with open(os.path.join(where, name + ".new"), "w") as f:
        f.write(text)
    os.rename(os.path.join(where, name + ".new"), os.path.join(where, name))


def start():
    pid = os.fork()
    if pid:
        put("pid", f"{pid}\n")
        return pid
    env = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="60000000")
    if store:
        env.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(store)), LISTEN_FDNAMES=":".join(n for n, _ in store))
        high = [os.dup2(fd, 500 + i) for i, (_, fd) in enumerate(store)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
        os.closerange(500, 500 + len(high))
        os.closerange(3 + len(high), 500)
    os.execve(command[0], command, env)


def message():
    global store
    try:
        data, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(64))
    except TimeoutError:
        return
    fds = array.array("i")
    for _, _, payload in ancillary:
        fds.frombytes(payload)
    fields = dict(line.split("=", 1) for line in data.decode().split("\n") if "=" in line)
    with open(os.path.join(where, "notify"), "a") as f:
        f.write(data.decode().replace("\n", " ") + "\n")
    name = fields.get("FDNAME", "stored")
    if "FDSTORE" in fields:
        store += [(name, fd) for fd in fds]
    elif "FDSTOREREMOVE" in fields:
        for n, fd in store:
            if n == name:
                os.close(fd)
        store = [(n, fd) for n, fd in store if n != name]
    put("fds", "".join(n + "\n" for n, _ in store))


def stop(*_):
    global stopping
    stopping = True
    if child:
        os.kill(child, signal.SIGTERM)


stopping, child = False, 0
child = start()
signal.signal(signal.SIGTERM, stop)
while True:
    message()
    if child and os.waitpid(child, os.WNOHANG)[0]:
        child = 0
    if not child and stopping:
        break
    if not child and os.path.exists(os.path.join(where, "go")):
        os.unlink(os.path.join(where, "go"))
        child = start()
