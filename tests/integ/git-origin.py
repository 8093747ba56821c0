#!/usr/bin/python3
"""Smart-HTTP git server over TLS: git-origin.py DIR NAME REPOS. Certificates as tools/origin.py."""
import http.server
import os
import subprocess
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
import origin  # noqa: E402  pylint: disable=wrong-import-position

FOLDER, NAME, REPOS = sys.argv[1:4]


class Handler(origin.Handler):
    def handle_any(self):
        path, _, query = self.path.partition("?")
        body = self.body()
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": REPOS, "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_USER": "t",
            "REMOTE_ADDR": "127.0.0.1", "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }
        out = subprocess.run(["git", "http-backend"], input=body, env=env, check=False,
                             stdout=subprocess.PIPE).stdout
        head, _, data = out.partition(b"\r\n\r\n")
        status = 200
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        for k, v in fields:
            if k == "Status":
                status = int(v.split()[0])
        self.send_response(status)
        for k, v in fields:
            if k != "Status":
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_HEAD = handle_any


os.makedirs(FOLDER, exist_ok=True)
server = origin.Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*origin.make_certificates(FOLDER, [NAME]))
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(f"listening {server.server_address[1]}", flush=True)
server.serve_forever()
