#!/usr/bin/python3
"""HTTPS origin for the tests of real clients: one HTTP/1.1 server for several names.

usage: client-origin.py DIR WWW NAME[,NAME...]

DIR gets ca.pem and the certificate; WWW/NAME/ holds static files. Any path may begin with /c/WORD,
which is dropped, so that a log can tell clients apart. Prints "listening PORT". Appends "CONNECTION
METHOD TARGET BODY-LENGTH" per request to DIR/requests.
"""
import gzip
import hashlib
import http.server
import itertools
import json
import os
import re
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
from origin import make_certificates  # noqa: E402

BIG = bytes(range(256)) * 4096 * 50  # 50 MiB
GZIPPED = gzip.compress(b"the text inside\n" * 1000, mtime=0)
KINDS = {".json": "application/json", ".html": "text/html", ".deb": "application/vnd.debian.binary-package"}
folder, www, names = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
lock, numbers, published = threading.Lock(), itertools.count(1), {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.number = next(numbers)

    def reply(self, status, body, kind="text/plain", fields=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in fields:
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        data = b""
        while True:
            n = int(self.rfile.readline().strip(), 16)
            data += self.rfile.read(n)
            self.rfile.readline()
            if n == 0:
                return data

    def big(self):
        tag = '"big-1"'
        common = [("Accept-Ranges", "bytes"), ("ETag", tag)]
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not m or self.headers.get("If-Range", tag) != tag:
            return self.reply(200, BIG, "application/octet-stream", common)
        first, last = int(m[1]), min(int(m[2] or len(BIG) - 1), len(BIG) - 1)
        if first > last:
            return self.reply(416, b"", fields=[("Content-Range", f"bytes */{len(BIG)}")])
        return self.reply(206, BIG[first:last + 1], "application/octet-stream",
                          common + [("Content-Range", f"bytes {first}-{last}/{len(BIG)}")])

    def events(self, idle):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for text in (b"data: first\n\n", b"data: last\n\n", b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            self.wfile.flush()
            if b"first" in text:
                time.sleep(idle)

    def static(self, path):
        path = os.path.join(www, self.headers["Host"].split(":")[0], path.lstrip("/"))
        if os.path.isdir(path):
            path += "/index.html"
        if ".." in path or not os.path.isfile(path):
            return self.reply(404, b"not here\n")
        with open(path, "rb") as f:
            data = f.read()
        kind = "application/json" if data[:1] == b"{" else KINDS.get(os.path.splitext(path)[1], "application/octet-stream")
        return self.reply(200, data, kind)

    def registry(self, path, body):
        """Enough of an npm registry to publish to and to install from."""
        path = path.replace("%2f", "/").strip("/")
        if self.command == "PUT":
            published[path] = json.loads(body)
            return self.reply(201, b'{"ok":true}', "application/json")
        doc = published.get(path.split("/-/")[0])
        if not doc:
            return self.reply(404, b'{"error":"not found"}', "application/json")
        if "/-/" not in path:
            return self.reply(200, json.dumps(doc).encode(), "application/json")
        import base64
        return self.reply(200, base64.b64decode(doc["_attachments"][path.split("/-/")[1]]["data"]), "application/octet-stream")

    def container(self, path):
        config = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
        digest = "sha256:" + hashlib.sha256(config).hexdigest()
        kind = "application/vnd.oci.image.manifest.v1+json"
        if path == "/v2/":
            return self.reply(200, b"{}", "application/json")
        if "/manifests/" in path:
            doc = json.dumps({"schemaVersion": 2, "mediaType": kind, "layers": [], "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}}).encode()
            return self.reply(200, doc, kind, [("Docker-Content-Digest", "sha256:" + hashlib.sha256(doc).hexdigest())])
        if path.endswith("/blobs/" + digest):
            return self.reply(200, config, "application/octet-stream")
        return self.reply(404, b"{}", "application/json")

    def handle_any(self):
        body = self.body()
        with lock, open(f"{folder}/requests", "a", encoding="utf-8") as f:
            f.write(f"{self.number} {self.command} {self.path} {len(body)}\n")
        path = re.sub(r"^/c/[^/]*", "", self.path.split("?")[0])
        if self.headers["Host"].startswith("registry.npmjs.org"):
            self.registry(path, body)
        elif path.startswith("/v2/"):
            self.container(path)
        elif path == "/zen":
            self.reply(200, b"Anything added dilutes everything else.\n")
        elif path == "/echo":
            self.reply(200, b"%d %s\n" % (len(body), hashlib.sha256(body).hexdigest().encode()))
        elif path == "/big":
            self.big()
        elif path == "/gz":
            self.reply(200, GZIPPED, fields=[("Content-Encoding", "gzip"), ("ETag", '"gz"')])
        elif path == "/hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
            self.reply(200, b"after the hints\n")
        elif path.startswith("/sse/"):
            self.events(float(path[5:]))
        else:
            self.static(path)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_PROPFIND = handle_any

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass


os.makedirs(folder, exist_ok=True)
server = Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*make_certificates(folder, names))
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("listening", server.server_address[1], flush=True)
server.serve_forever()
