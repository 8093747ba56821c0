# SPDX-License-Identifier: MIT
"""Hostile responses, made from a seed."""
from cases import CODINGS, ENDS, LASTS, LENGTHS, SIZES, fill

POISON = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
LINES = [b'HTTP/1.1 200 OK'] * 12 + [
    b'HTTP/1.0 200 OK', b'HTTP/1.1 204 No Content', b'HTTP/1.1 304 Not Modified', b'HTTP/1.1 205 Reset Content', b'HTTP/1.1 206 Partial', b'HTTP/1.1 404 x',
    b'HTTP/1.1 500 x', b'HTTP/1.1 200', b'HTTP/1.1 200 ', b'HTTP/1.1  200 OK', b'HTTP/1.1 0200 OK', b'HTTP/1.1 20 OK', b'HTTP/1.1 2000 OK',
    b'HTTP/1.1 999 x', b'HTTP/1.1 099 x', b'HTTP/1.1 600 x', b'HTTP/1.1 -20 x', b'HTTP/2 200 OK', b'HTTP/2.0 200 OK', b'HTTP/0.9 200 OK', b'HTTP/1.2 200 OK', b'HTTP/1.10 200 OK',
    b'http/1.1 200 OK', b'ICY 200 OK', b'200 OK', b'', b'\r\nHTTP/1.1 200 OK', b'\nHTTP/1.1 200 OK', b' HTTP/1.1 200 OK', b'HTTP/1.1 200 O\rK', b'HTTP/1.1 200 O\0K',
    b'HTTP/1.1 200 \xff', b'HTTP/1.1\t200 OK', b'HTTP/1.1 200\tOK', b'HTTP/1.1 407 x', b'HTTP/1.1 408 Timeout', b'HTTP/1.1 401 x', b'HTTP/1.1 101 Switching Protocols',
    b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'\0\0\0\x04\0\0\0\0\0', b'\x15\x03\x03\0\x02\x02\x28', b'SSH-2.0-x', b'HTTP/1.1 200 OK' + b'a' * 9000]
FIELDS = [b'Connection: close', b'Connection: keep-alive', b'Connection: Content-Length', b'Connection: transfer-encoding', b'Connection: upgrade\r\nUpgrade: websocket',
          b'Upgrade: h2c\r\nConnection: Upgrade', b'X: a\r\n b', b'X: a\rb', b'X: a\nb', b'X: \0', b'X: \x7f', b'X: \xe9', b'X', b': x', b'X : y', b' X: y', b'X y: z', b'"X": y',
          b'X: ' + b'a' * 15000, b'X: ' + b'a' * 70000, b'X-Many: 1\r\n' * 130 + b'X: y', b'Content-Type: text/event-stream', b'Content-Encoding: gzip', b'Trailer: Content-Length',
          b'Keep-Alive: timeout=1', b'Proxy-Authenticate: Basic', b'Proxy-Connection: keep-alive', b'Set-Cookie: a=b', b'Content_Length: 3', b'Alt-Svc: h2="evil.test:443"', b'Location: http://evil.test/',
          b'Refresh: 0', b'Date: x', b'Via: 1.1 x', b'Host: evil.test', b'Sec-WebSocket-Accept: x']
INTERIM = [b'HTTP/1.1 100 Continue\r\n\r\n', b'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n', b'HTTP/1.1 102 Processing\r\n\r\n', b'HTTP/1.1 199 x\r\n\r\n', b'HTTP/1.1 100\r\n\r\n',
           b'HTTP/1.1 100 Continue\r\nContent-Length: 45\r\n\r\n' + POISON, b'HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', b'HTTP/1.1 103 x\r\nConnection: close\r\n\r\n',
           b'HTTP/1.0 100 Continue\r\n\r\n', b'HTTP/1.1 100 Continue\r\n\r\n' * 50, b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n']


class Answers:
    def __init__(self, rng):
        self.r = rng

    def answer(self):
        """The bytes, and whether the origin closes behind them."""
        r = self.r
        odd = set(r.sample(['line', 'length', 'coding', 'both', 'size', 'tail', 'last', 'field', 'field', 'end', 'interim', 'surplus', 'short', 'long', 'bare', 'cut'],
                           r.choice([0, 1, 1, 1, 2, 2])))
        body = r.choice([b'', b'hello', b'hello' * 1000, POISON, POISON * 3, b'0\r\n\r\n' + POISON, b'a' * 131000, b'a' * 262144])
        lines = [r.choice(LINES) if 'line' in odd else b'HTTP/1.1 200 OK']
        chunked = bool(odd & {'coding', 'size', 'tail', 'last'}) or r.random() < .2
        framing, wire = [], body
        if chunked or 'both' in odd:
            framing.append(r.choice(CODINGS) if 'coding' in odd else b'Transfer-Encoding: chunked')
            spelled = fill(r.choice(SIZES), len(body)) if 'size' in odd else b'%x' % len(body)
            wire = (spelled + b'\r\n' + body + (r.choice([b'\n', b'', b'\r', b'x\r\n', b'\r\n\r\n']) if 'tail' in odd else b'\r\n') if body else b'')
            wire += r.choice(LASTS) if 'last' in odd else b'0\r\n\r\n'
        if 'both' in odd or not chunked:
            n = len(wire)
            n = max(0, n - r.randrange(1, 50)) if 'short' in odd else n + r.randrange(1, 50) if 'long' in odd else n
            framing.append(b'Content-Length: ' + (fill(r.choice(LENGTHS), n) if 'length' in odd else b'%d' % n))
            if r.random() < .1:
                framing.append(r.choice([b'Content-Length: %d' % n, b'Content-Length: 0', b'content-length: %d' % (n + 1)]))
        r.shuffle(framing)
        if 'bare' not in odd:
            lines += framing
        if 'field' in odd:
            lines.insert(r.randrange(1, len(lines) + 1), r.choice(FIELDS))
        ends = [b'\r\n'] * len(lines)
        if 'end' in odd:
            ends[r.randrange(len(ends))] = r.choice(ENDS)
        out = b''.join(a + b for a, b in zip(lines, ends)) + b'\r\n' + wire
        if 'interim' in odd:
            out = r.choice(INTERIM) * r.choice([1, 1, 2]) + out
        if 'surplus' in odd:
            out += r.choice([POISON, b'\r\n', b'\0', b'x', b'\r\n' + POISON, b'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n', POISON * 4000])
        if 'cut' in odd:
            out = out[:r.randrange(len(out) + 1)]
        return out, r.random() < .5
