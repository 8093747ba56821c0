# SPDX-License-Identifier: MIT
"""The proxy for a script, and a strict reader of what it answers."""
import json
import os
import queue
import re
import subprocess
import threading

BUILD = os.environ.get('OSH_BUILD', os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../build'))


class Stage:
    """The proxy, and what it says it did."""

    def __init__(self, config, policy):
        self.p = subprocess.Popen([os.path.join(BUILD, 'tests/wire/stage'), json.dumps(config), policy],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding='latin-1')
        self.events, self.answers = [], queue.Queue()
        self.port = int(self.p.stdout.readline().split('\t')[1])
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            if line.startswith('event\t'):
                self.events.append(line.rstrip('\n').split('\t')[1:])
            else:
                self.answers.put(line.rstrip('\n'))

    def ask(self, text):
        self.p.stdin.write(text + '\n')
        self.p.stdin.flush()
        out = []
        while not out or out[-1] != 'ok':
            out.append(self.answers.get(timeout=20))
        return out[:-1]

    def stop(self):
        self.p.stdin.close()
        return self.p.wait(20)


def responses(data, methods, bodies=False):
    """Statuses (with bodies, if wanted) of the final responses in data, strictly read; None: not a series of responses."""
    out, at = [], 0
    while at < len(data):
        end = data.find(b'\r\n\r\n', at)
        if end < 0:
            return None
        lines = data[at:end].split(b'\r\n')
        m = re.fullmatch(rb'HTTP/1\.1 ([1-5]\d\d) [^\x00-\x08\x0a-\x1f\x7f]*', lines[0])
        if not m:
            return None
        status, length, chunked = int(m[1]), None, False
        for line in lines[1:]:
            f = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\x00-\x08\x0a-\x1f\x7f]*)", line)
            if not f:
                return None
            if f[1].lower() == b'content-length':
                if length is not None or not f[2].isdigit():
                    return None
                length = int(f[2])
            if f[1].lower() == b'transfer-encoding':
                if f[2] != b'chunked' or chunked:
                    return None
                chunked = True
        at = end + 4
        if status < 200:
            if length is not None or chunked:
                return None
            continue
        method = methods[len(out)] if len(out) < len(methods) else ''
        body = b''
        if method == 'HEAD' or status in (204, 304):
            out.append((status, '') if bodies else status)
            continue
        if chunked and length is not None:
            return None
        if chunked:
            while True:
                line = data.find(b'\r\n', at)
                if line < 0 or not re.fullmatch(rb'[0-9a-f]+', data[at:line]):
                    return None
                n = int(data[at:line], 16)
                at = line + 2 + n + 2
                if at > len(data) or data[at - 2:at] != b'\r\n':
                    return None
                body += data[line + 2:at - 2]
                if not n:
                    break
        elif length is not None:
            body = data[at:at + length]
            at += length
            if at > len(data):
                return None
        else:
            body = data[at:]
            at = len(data)
        out.append((status, body.decode('latin-1')) if bodies else status)
    return out
