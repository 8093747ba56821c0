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


def tls(host="api.test"):
    return ctx.wrap_socket(connect(host, 443), server_hostname=host)


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


def upgrade():
    s = tls("odd.test")
    s.sendall(b"GET /upgrade HTTP/1.1\r\nHost: odd.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    if not s.recv(4096).startswith(b"HTTP/1.1 101"):
        raise OSError("no upgrade")
    for _ in range(random.randrange(1, 20)):
        data = os.urandom(random.randrange(1, 20000))
        s.sendall(data)
        while data:
            piece = s.recv(65536)
            if not piece or not data.startswith(piece):
                raise OSError("echo")
            data = data[len(piece):]
    count["ok"] += 1
    if random.random() < 0.3:
        reset(s)
    else:
        s.close()
    time.sleep(0.1)


def stream():
    held = [tls("odd.test") for _ in range(4)]
    for s in held:
        s.sendall(b"GET /sse HTTP/1.1\r\nHost: odd.test\r\n\r\n")
    for i, s in enumerate(held):
        while i % 2 == 0 and s.recv(65536):
            pass
        count["ok"] += 1
        s.close()


def upload():
    s = tls("odd.test")
    for _ in range(6):
        size = random.randrange(1, 300000)
        s.sendall(b"PUT /up HTTP/1.1\r\nHost: odd.test\r\nContent-Length: %d\r\n\r\n" % size)
        s.sendall(b"u" * size)
        if answer(s) != 200:
            raise OSError("status")
        count["ok"] += 1
    s.sendall(b"PUT /up HTTP/1.1\r\nHost: odd.test\r\nContent-Length: 30\r\n\r\n")
    for _ in range(random.choice((10, 30))):  # in drops; some end before their end
        s.sendall(b"u")
        time.sleep(0.02)
    reset(s)


def rest(s):
    """All that comes until the end; a reset is an end, too."""
    data = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                return data
            data += piece
    except OSError:
        return data


def odd():
    for path, body, want in ((b"/cut", b"", b"200"), (b"/mute", b"", b"504"), (b"/early", b"x" * 100000, b"200"),
                             (b"/chunks", b"", b"200"), (b"/late", b"y", b"408")):
        s = tls("odd.test")
        claimed = len(body) + (path == b"/late")
        s.sendall(b"PUT %s HTTP/1.1\r\nHost: odd.test\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (path, claimed, body))
        status = rest(s)[9:12]
        s.close()
        # a reset may overtake what was sent before it
        count["ok" if status in (want, b"" if path == b"/cut" else want) else "failed"] += 1


def chained():
    s = tls("chained.test")
    for _ in range(random.randrange(1, 10)):
        s.sendall(b"GET /1 HTTP/1.1\r\nHost: chained.test\r\n\r\n")
        if answer(s) != 200:
            raise OSError("status")
        count["ok"] += 1
        time.sleep(0.02)
    reset(s)


def flood():
    for i in range(200):
        s = proxy()
        s.sendall(b"CONNECT evil%d.test:443 HTTP/1.1\r\nHost: evil\r\n\r\n" % (i % 50))
        if i % 4 == 0:
            reset(s)
            continue
        if not s.recv(4096).startswith(b"HTTP/1.1 403"):
            raise OSError("status")
        s.close()
        count["ok"] += 1
    d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with open("/etc/resolv.conf", encoding="ascii") as f:
        server = [line.split()[1] for line in f if line.startswith("nameserver") and "." in line][0]
    for _ in range(200):
        label = b"%012d" % random.randrange(10 ** 12)
        d.sendto(b"\1\2\1\0\0\1\0\0\0\0\0\0" + bytes([len(label)]) + label + b"\4evil\0\0\1\0\1", (server, 53))
    d.close()
    time.sleep(0.5)


def nowhere():
    for host, want in (("dead.test", b"502"), ("n%d.unknown.test" % random.randrange(10 ** 6), b"502")):
        s = proxy()
        s.sendall(f"CONNECT {host}:9000 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        status = rest(s)[9:12]
        s.close()
        count["ok" if status == want else "failed"] += 1
    time.sleep(0.1)


work = {"keep": keep, "denied": denied, "tunnel": tunnel, "slow": slow, "deaf": deaf, "upgrade": upgrade, "stream": stream,
        "upload": upload, "odd": odd, "chained": chained, "flood": flood, "nowhere": nowhere}[what]
while time.monotonic() < until:
    try:
        work()
    except OSError:
        count["failed"] += 1
        time.sleep(0.2)
print(what, count["ok"], count["failed"], flush=True)
