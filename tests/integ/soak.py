"""Workloads of tests/integ/soak, inside a sandbox: soak.py WHAT SECONDS. Prints counts at the end."""
import os
import random
import resource
import socket
import ssl
import struct
import sys
import time

what, until = sys.argv[1], time.monotonic() + float(sys.argv[2])
soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
ctx = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
count = {"ok": 0, "failed": 0}


def proxy(timeout=10):
    s = socket.socket()
    s.settimeout(timeout)
    s.connect(("127.0.0.1", 3128))
    return s


def connect(host, port):
    s = proxy()
    s.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    head = s.recv(4096)
    if not head.startswith(b"HTTP/1.1 200"):
        s.close()
        raise OSError(head[:40])
    return s


def tls():
    return ctx.wrap_socket(connect("api.test", 443), server_hostname="api.test")


def answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            raise OSError("closed")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    want = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < want:
        piece = s.recv(65536)
        if not piece:
            raise OSError("closed")
        body += piece
    return int(head.split()[1])


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def keep():
    s = tls()
    while time.monotonic() < until:
        s.sendall(b"GET /zen HTTP/1.1\r\nHost: api.test\r\n\r\n")
        if answer(s) != 200:
            raise OSError("status")
        count["ok"] += 1
        time.sleep(0.02)


def denied():
    s = tls()
    for _ in range(20):
        s.sendall(b"DELETE /x HTTP/1.1\r\nHost: api.test\r\n\r\n")
        if answer(s) != 403:
            raise OSError("status")
        count["ok"] += 1
        time.sleep(0.02)
    s.close()
    s = proxy()
    s.sendall(b"CONNECT nowhere.test:443 HTTP/1.1\r\nHost: nowhere.test\r\n\r\n")
    if not s.recv(4096).startswith(b"HTTP/1.1 403"):
        raise OSError("status")
    s.close()


def tunnel():
    s = connect("tunnel.test", 9000)
    for _ in range(random.randrange(1, 40)):
        s.sendall(b"x" * random.randrange(1, 60000))
    count["ok"] += 1
    if random.random() < 0.3:
        reset(s)
    else:
        s.shutdown(socket.SHUT_WR)
        s.recv(1)
        s.close()
    time.sleep(0.05)


def slow():
    held = []
    for i in range(60):
        s = proxy()
        if i % 3 == 0:
            s.sendall(b"CONNECT api.te")
        else:
            s.close()
            s = connect("api.test", 443)
            if i % 3 == 1:
                s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
            else:
                s = ctx.wrap_socket(s, server_hostname="api.test")
                s.sendall(b"GET /zen HTTP/1.1\r\nHos")
        held.append(s)
    time.sleep(6)
    for s in held:
        s.close()
    count["ok"] += len(held)


def deaf():
    held = []
    for _ in range(8):
        s = tls()
        s.sendall(b"GET /bytes/8000000 HTTP/1.1\r\nHost: api.test\r\n\r\n")
        held.append(s)
    time.sleep(4)
    for s in held:
        reset(s)
    count["ok"] += len(held)


while time.monotonic() < until:
    try:
        {"keep": keep, "denied": denied, "tunnel": tunnel, "slow": slow, "deaf": deaf}[what]()
    except OSError:
        count["failed"] += 1
        time.sleep(0.2)
print(what, count["ok"], count["failed"], flush=True)
