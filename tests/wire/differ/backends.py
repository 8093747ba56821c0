# SPDX-License-Identifier: MIT
"""
Real HTTP servers that say what they understood: a line per request in their log, read back as
(request line as it came, Host, bytes of body or None, status). Each listens on a port of its own.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import time

NODE = r'''
const http = require("http"), fs = require("fs");
const log = o => fs.writeSync(1, JSON.stringify(o) + "\n");
const s = http.createServer({ keepAliveTimeout: 60000, insecureHTTPParser: process.argv[3] === "lenient" }, (q, a) => {
	let n = 0;
	q.on("data", d => n += d.length);
	q.on("end", () => { log({ r: q.method + " " + q.url, h: q.headers.host, n: n, s: 200 });
		a.end("n=" + n); });
	q.on("aborted", () => log({ r: q.method + " " + q.url, h: q.headers.host, s: 499 }));
	q.on("error", () => 0);
});
s.on("clientError", (e, k) => { log({ r: "?", e: e.code, raw: (e.rawPacket || "").toString("latin1").slice(0, 300), s: 400 }); k.destroy(); });
s.on("connect", (q, k) => { log({ r: "CONNECT " + q.url, h: q.headers.host, s: 200 }); k.end("HTTP/1.1 200 OK\r\n\r\n"); });
s.on("upgrade", (q, k) => { log({ r: q.method + " " + q.url, h: q.headers.host, n: 0, s: 426 });
	k.end("HTTP/1.1 426 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"); });
s.listen(+process.argv[2], "127.0.0.1");
'''

# As careless as people write them: whoever has no use for a body does not read it.
PYTHON = r'''
import http.server, json, sys, socketserver
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # what waits for an acknowledgement is lost when it closes with a body unread
    def say(self, n, status):
        sys.stdout.write(json.dumps({"r": self.command + " " + self.path, "h": self.headers.get("Host"), "n": n, "s": status}) + "\n")
        sys.stdout.flush()
    def answer(self):
        n = None
        if self.command in ("PUT", "POST", "PATCH"):
            n = 0
            if (self.headers.get("Transfer-Encoding") or "").lower() == "chunked":
                while True:
                    k = int(self.rfile.readline().split(b";")[0], 16)
                    n += len(self.rfile.read(k))
                    if len(self.rfile.readline()) and not k:
                        break
            else:
                n = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.say(n, 200)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")
    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)
    def log_message(self, *a):
        pass
    def send_error(self, code, *a, **k):
        sys.stdout.write(json.dumps({"r": "?", "raw": str(getattr(self, "requestline", "")), "s": code}) + "\n")
        sys.stdout.flush()
        super().send_error(code, *a, **k)
    def handle(self):
        try:
            super().handle()
        except (ConnectionError, ValueError) as e:
            pass
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "x", 0
S(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
'''

GO = r'''
package main
import ("encoding/json"; "io"; "net/http"; "os"; "sync")
func main() {
	var mu sync.Mutex
	e := json.NewEncoder(os.Stdout)
	http.ListenAndServe("127.0.0.1:" + os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		s := 200
		if err != nil { s = 499 }
		mu.Lock(); e.Encode(map[string]any{"r": r.Method + " " + r.RequestURI, "h": r.Host, "n": n, "s": s}); mu.Unlock()
		w.Write([]byte("ok"))
	}))
}
'''

NGINX = '''daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err; worker_processes 1;
events {{ worker_connections 512; }}
http {{
	log_format d escape=json '{{"r":"$request","h":"$http_host","u":"$uri","s":$status}}';
	access_log {log} d;
	keepalive_requests 100000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
	uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; client_max_body_size 0;
	server {{ listen 127.0.0.1:{port} backlog=512; location / {{ return 200 "ok"; }} }}
}}
'''

HAPROXY = '''global
	log stdout format raw local0
	maxconn 512
	nbthread 1
defaults
	mode http
	log global
	timeout client 20s
	timeout server 20s
	timeout connect 5s
	option dontlognull
	option http-keep-alive
frontend f
	bind 127.0.0.1:{port}
	http-request wait-for-body time 5s
	declare capture request len 300
	http-request capture req.hdr(host) id 0
	log-format "{{\\"r\\":%{{+Q}}[capture.req.method],\\"u\\":%{{+Q,+E}}[capture.req.uri],\\"h\\":%{{+Q,+E}}[capture.req.hdr(0)],\\"s\\":%ST}}"
	http-request return status 200 content-type text/plain string "ok"
'''

APACHE = '''ServerRoot {dir}
PidFile {dir}/apache.pid
ServerName localhost
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
{user}
StartServers 1
MaxKeepAliveRequests 0
KeepAliveTimeout 60
TraceEnable on
ErrorLog {dir}/apache.err
LogFormat "%r\\t%{{Host}}i\\t%>s" d
CustomLog {log} d
DocumentRoot {dir}/empty
Redirect gone /
'''

LIGHTTPD = '''server.modules = ( "mod_accesslog" )
server.document-root = "{dir}/empty"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{dir}/lighttpd.err"
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 60
accesslog.filename = "{log}"
accesslog.format = "%r\\t%{{Host}}i\\t%s"
'''


class Backend:
    def __init__(self, name, number, folder, argv, log=None, config=None, form='json'):
        self.name, self.host, self.form = name, 'b%d.tst' % number, form
        self.folder, self.argv, self.config = folder, argv, config
        self.log = log or os.path.join(folder, name + '.log')
        self.own_log = log is None
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', 0))
            self.port = s.getsockname()[1]

    def start(self):
        where = {'dir': self.folder, 'port': self.port, 'log': self.log,
                 'user': 'User nobody\nGroup nogroup' if os.getuid() == 0 else ''}
        conf = os.path.join(self.folder, self.name + '.conf')
        if self.config:
            with open(conf, 'w') as f:
                f.write(self.config.format(**where))
        argv = [a.format(port=self.port, conf=conf, dir=self.folder) for a in self.argv]
        out = open(self.log, 'w') if self.own_log else open(os.path.join(self.folder, self.name + '.out'), 'w')
        env = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': self.folder}
        self.process = subprocess.Popen(argv, stdout=out, stderr=open(os.path.join(self.folder, self.name + '.stderr'), 'w'),
                                        stdin=subprocess.DEVNULL, env=env, start_new_session=True)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit('%s does not start: %s' % (self.name, open(os.path.join(self.folder, self.name + '.stderr')).read()))
                time.sleep(.05)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def entries(self):
        for line in open(self.log, encoding='latin-1'):
            line = line.rstrip('\n')
            if self.form == 'tabs':
                part = line.split('\t')
                # lighttpd's words for a head that it did not read to the end; they may be those of its last request
                if part[0][:1] in ('', ' ') or part[0].startswith('HTTP/'):
                    if part[-1] in ('400', '431', '501'):
                        continue
                yield {'r': part[0].replace('\\"', '"').replace('\\\\', '\\'), 'h': part[-2], 's': int(part[-1]) if part[-1].isdigit() else 0, 'line': line}
                continue
            try:
                e = json.loads(line)
            except ValueError:
                yield {'r': '?', 'raw': line, 's': 400, 'line': line}
                continue
            if self.form == 'haproxy':
                e['r'] = '%s %s' % (e['r'], e['u'])
                del e['u']
            if e['r'] == '?':   # refused: by its first line all the same
                e['r'] = e.get('raw', '').split('\r')[0]
            e['line'] = line
            yield e


def available(folder):
    os.makedirs(os.path.join(folder, 'empty'))
    for name, text in (('node.js', NODE), ('server.py', PYTHON), ('go.go', GO)):
        with open(os.path.join(folder, name), 'w') as f:
            f.write(text)
    out = [('node', ['/usr/bin/node', '{dir}/node.js', '{port}'], {}),
           ('lenient', ['/usr/bin/node', '{dir}/node.js', '{port}', 'lenient'], {}),
           ('python', ['/usr/bin/python3', '{dir}/server.py', '{port}'], {}),
           ('nginx', ['/usr/sbin/nginx', '-c', '{conf}', '-e', '{dir}/nginx.err'], {'config': NGINX, 'log': folder + '/nginx.access'}),
           ('haproxy', ['/usr/sbin/haproxy', '-f', '{conf}', '-db'], {'config': HAPROXY, 'form': 'haproxy'}),
           ('apache', ['/usr/sbin/apache2', '-f', '{conf}', '-X'], {'config': APACHE, 'log': folder + '/apache.access', 'form': 'tabs'}),
           ('lighttpd', ['/usr/sbin/lighttpd', '-D', '-f', '{conf}'], {'config': LIGHTTPD, 'log': folder + '/lighttpd.access', 'form': 'tabs'})]
    go = shutil.which('go')
    if go and not subprocess.call([go, 'build', '-o', folder + '/go', folder + '/go.go'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        out.append(('go', ['{dir}/go', '{port}'], {}))
    return [Backend(name, i, folder, argv, **more) for i, (name, argv, more) in enumerate(out)]
