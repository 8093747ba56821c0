"""Origin and upstream proxy of tests/integ/soak: soak_origin.py CERTIFICATE KEY. TLS; the path says how it behaves."""
import base64
import hashlib
import socket
import ssl
import struct
import sys
import threading
import time

ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain(sys.argv[1], sys.argv[2])


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def answer(s, body):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def upgrade(s, head):
    key = [f.split(b":", 1)[1].strip() for f in head.split(b"\r\n") if f.lower().startswith(b"sec-websocket-key:")][0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept)
    while True:
        data = s.recv(65536)
        if not data:
            return
        s.sendall(data)


def exchange(s, head, rest):
    length = [int(f.split(b":")[1]) for f in head.split(b"\r\n") if f.lower().startswith(b"content-length:")]
    path, left = head.split(b" ")[1], (length or [0])[0] - len(rest)
    if path == b"/early":
        s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        while s.recv(65536):  # closing on what is unread would be a reset, which overtakes the answer
            pass
        return False
    while left > 0:
        data = s.recv(65536)
        if not data:
            return False
        left -= len(data)
    if path == b"/upgrade":
        upgrade(s, head)
        return False
    if path == b"/sse":
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i in range(20):
            s.sendall(b"data: %d\n\n" % i)
            time.sleep(0.1)
        return False
    if path == b"/cut":
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
        return None
    if path == b"/mute":
        time.sleep(6)
        return None
    if path == b"/chunks":
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(1, 40):
            s.sendall(b"%x\r\n%s\r\n" % (i * 50, b"c" * (i * 50)))
        s.sendall(b"0\r\n\r\n")
        return True
    answer(s, b"ok")
    return True


def serve(raw):
    s = raw
    try:
        raw.settimeout(30)
        s = ctx.wrap_socket(raw, server_side=True)
        data, more = b"", True
        while more:
            while b"\r\n\r\n" not in data:
                piece = s.recv(65536)
                if not piece:
                    raise OSError("end")
                data += piece
            head, rest = data.split(b"\r\n\r\n", 1)
            more, data = exchange(s, head, rest), b""
        if more is None:
            reset(s)
        else:
            s.unwrap()
    except (OSError, IndexError, ValueError):
        pass
    finally:
        s.close()


def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def relay(s):
    up = None
    try:
        s.settimeout(30)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(4096)
            if not piece:
                return
            data += piece
        host, port = data.split(b" ")[1].rsplit(b":", 1)
        up = socket.create_connection((host.decode(), int(port)), 10)
        up.settimeout(30)
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        other = threading.Thread(target=pump, args=(up, s), daemon=True)
        other.start()
        pump(s, up)
        other.join()
    except (OSError, ValueError, IndexError):
        pass
    finally:
        s.close()
        if up:
            up.close()


def listen(how):
    s = socket.socket()
    s.bind(("0.0.0.0", 0))
    s.listen(1024)

    def loop():
        while True:
            threading.Thread(target=how, args=(s.accept()[0],), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


threading.stack_size(256 * 1024)
print("listening", listen(serve), listen(relay), flush=True)
threading.Event().wait()
