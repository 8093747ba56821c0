#!/usr/bin/python3
"""HTTPS origin for the demo and the tests: a real TLS server with a CA of its own.

usage: origin.py DIR NAME[,NAME...] [--port N] [--bind ADDR]

Makes DIR/ca.pem and a certificate for the names, listens on ADDR (default 127.0.0.1), prints
"listening PORT" on standard output, answers like api.github.com where the tutorial needs it, and
appends "METHOD TARGET HOST" per request to DIR/requests.
"""
import argparse
import http.server
import os
import ssl
import subprocess
import threading

OCTOCAT = r"""
               MMM.           .MMM
               MMMMMMMMMMMMMMMMMMM
               MMMMMMMMMMMMMMMMMMM      ____________________________
              MMMMMMMMMMMMMMMMMMMMM    | Speak like a human.        |
             MMMMMMMMMMMMMMMMMMMMMMM   |_   ________________________|
            MMMM::- -:::::::- -::MMMM    |/
"""


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(folder, names):
    ca_key, ca = f"{folder}/ca.key", f"{folder}/ca.pem"
    key, csr, cert = f"{folder}/origin.key", f"{folder}/origin.csr", f"{folder}/origin.pem"
    if not os.path.exists(ca):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", ca_key)
        run("openssl", "req", "-x509", "-new", "-key", ca_key, "-days", "30", "-out", ca,
            "-subj", "/CN=Origin Test CA", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={names[0]}", "-out", csr)
    ext = f"{folder}/origin.ext"
    with open(ext, "w", encoding="ascii") as f:
        f.write("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + "\n")
        f.write("extendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    run("openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
        "-days", "30", "-extfile", ext, "-out", cert)
    return cert, key


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "origin"
    folder = "."
    lock = threading.Lock()

    def reply(self, status, body, kind="text/plain; charset=utf-8"):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while True:
                n = int(self.rfile.readline().strip(), 16)
                data += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def handle_any(self):
        body = self.body()
        with self.lock, open(f"{self.folder}/requests", "a", encoding="utf-8") as f:
            f.write(f"{self.command} {self.path} {self.headers.get('Host', '-')}\n")
        path = self.path.split("?")[0]
        if path == "/zen":
            self.reply(200, "Anything added dilutes everything else.")
        elif path == "/octocat":
            self.reply(200, OCTOCAT)
        elif path == "/echo":
            self.reply(200, body)
        elif path.startswith("/bytes/"):
            self.reply(200, b"x" * int(path.rsplit("/", 1)[1]), "application/octet-stream")
        elif path == "/headers":
            self.reply(200, "".join(f"{k}: {v}\n" for k, v in self.headers.items()))
        elif self.command == "POST":
            self.reply(201, '{"created":true}', "application/json")
        else:
            self.reply(200, "ok\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 4096

    def handle_error(self, request, client_address):
        pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("names")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--bind", default="127.0.0.1")
    p.add_argument("--plain", action="store_true", help="HTTP without TLS")
    a = p.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    Handler.folder = a.folder
    server = Server((a.bind, a.port), Handler)
    if not a.plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*make_certificates(a.folder, a.names.split(",")))
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
    print(f"listening {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
