#!/usr/bin/python3
"""An independent client of the control socket, for tests: NUL-terminated JSON, SCM_RIGHTS.

usage: varlink.py SOCKET METHOD [PARAMETERS-JSON] [--more] [--relay]

Prints one JSON object per reply. --relay copies standard input to the session's stdin and its
stdout and stderr to ours (method Exec without a terminal), and exits with its exit code.
"""
import array
import json
import os
import socket
import sys
import threading


class Client:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.buffer = b""
        self.fds = []

    def send(self, method, parameters, more=False):
        if "." not in method:
            method = "io.openshell." + method
        message = {"method": method, "parameters": parameters}
        if more:
            message["more"] = True
        self.sock.sendall(json.dumps(message).encode() + b"\0")

    def receive(self):
        while b"\0" not in self.buffer:
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                    self.fds += list(fds)
            if not data:
                raise EOFError("the daemon closed the connection")
            self.buffer += data
        raw, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(raw)


def copy(source, sink):
    while True:
        data = os.read(source, 65536)
        if not data:
            break
        view = memoryview(data)
        while view:
            view = view[os.write(sink, view):]


def relay(client):
    reply = client.receive()
    if "error" in reply:
        print(json.dumps(reply), file=sys.stderr)
        return 1
    stdin, stdout, stderr = client.fds[:3]

    def feed():
        try:
            copy(0, stdin)
        except OSError:
            pass
        os.close(stdin)

    threading.Thread(target=feed, daemon=True).start()
    readers = [threading.Thread(target=copy, args=(stdout, 1)),
               threading.Thread(target=copy, args=(stderr, 2))]
    for t in readers:
        t.start()
    for t in readers:
        t.join()
    return client.receive()["parameters"]["exit_code"]


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    more = "--more" in sys.argv or "--relay" in sys.argv
    client = Client(args[0])
    client.send(args[1], json.loads(args[2]) if len(args) > 2 else {}, more)
    if "--relay" in sys.argv:
        sys.exit(relay(client))
    while True:
        reply = client.receive()
        print(json.dumps(reply), flush=True)
        if not reply.get("continues"):
            sys.exit(1 if "error" in reply else 0)


if __name__ == "__main__":
    main()
