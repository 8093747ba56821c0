# SPDX-License-Identifier: MIT
"""Hostile requests, made from a seed. In each, @ID@ stands for a text of six bytes that is unique."""

ID = b'@ID@'
ID_BYTES = 6
HOST = b'@HOST@'   # of the backend; all have the same length
HOST_BYTES = 6


def size(b):
    """Length of b once the marks are replaced."""
    return len(b) + b.count(ID) * (ID_BYTES - len(ID)) + b.count(HOST) * (HOST_BYTES - len(HOST))


HIDDEN = [
    b'DELETE /' + ID + b'/hidden HTTP/1.1\r\nHost: ' + HOST + b'\r\n\r\n',
    b'GET /' + ID + b'/hidden HTTP/1.1\r\nHost: ' + HOST + b'\r\n\r\n',
    b'GET /' + ID + b'/ok/hidden HTTP/1.1\r\nHost: ' + HOST + b'\r\nX: ',
    b'0\r\n\r\nGET /' + ID + b'/hidden HTTP/1.1\r\nHost: ' + HOST + b'\r\n\r\n',
    b'\r\n\r\nGET /' + ID + b'/ok/hidden HTTP/1.1\r\nHost: ' + HOST + b'\r\n\r\n',
]

METHODS = [b'get', b'Get', b'G ET', b'GET\t', b'\tGET', b' GET', b'\r\nGET', b'\nGET', b'', b'GET\0', b'"GET"', b'G\x80T',
           b'HEAD', b'head', b'OPTIONS', b'options', b'TRACE', b'DELETE', b'CONNECT', b'PRI', b'PATCH', b'POST', b'post',
           b'A' * 300, b'GE,T', b'M-SEARCH', b'PROPFIND', b'GET\x0b', b'GET\r', b'!', b'GET:', b'QUERY']
VERSIONS = [b'HTTP/1.0', b'HTTP/0.9', b'HTTP/1.2', b'HTTP/2.0', b'HTTP/2', b'HTTP/1', b'http/1.1', b'HTTP/1.1 ', b' HTTP/1.1',
            b'HTTP/01.1', b'HTTP/1.01', b'HTTP/1.10', b'HTTP/11', b'HTTP/1,1', b'HTTP/1.1\t', b'HTTP/1.1\0', b'HTTP/1.1\x0b',
            b'HTTPS/1.1', b'', b'x', b'HTTP/1.1 HTTP/1.1', b'HTTP/1.1\r', b'HTTP/ 1.1', b'HTTP/+1.1', b'ICY/1.1']
PATHS = [b'/@ID@/ok/%2e%2e/hidden', b'/@ID@/ok/../hidden', b'/@ID@/ok/..%2fhidden', b'/@ID@/ok/%2e%2e%2fhidden',
         b'/@ID@/ok/..;/hidden', b'/@ID@/ok/..;x=1/hidden', b'/@ID@/ok;/../hidden', b'/@ID@/ok//..//hidden', b'//@ID@/ok/a',
         b'/@ID@//ok/a', b'/@ID@/ok/a//b', b'/@ID@/ok/./a/.', b'/@ID@/ok/a/..', b'/@ID@/ok/\\..\\hidden',
         b'/@ID@/ok/..\\hidden', b'/@ID@/ok/%5c..%5chidden', b'/@ID@/ok/%00', b'/@ID@/ok/a%00b', b'/@ID@/ok/%c0%ae%c0%ae/hidden',
         b'/@ID@/ok/%e0%80%ae/hidden', b'/@ID@/ok/%252e%252e/hidden', b'/@ID@/ok/%25252e', b'/@ID@/ok/%u002e%u002e/hidden',
         b'/@ID@/ok/a?b?c', b'/@ID@/ok/a?x=/../hidden', b'/@ID@/ok/a?', b'/@ID@/ok/a?@', b'/@ID@/ok/a#b', b'/@ID@/ok/a?x#b',
         b'/@ID@/ok/\xc3\xa9', b'/@ID@/ok/%c3%a9', b'/@ID@/ok/%e9', b'/@ID@/ok/a%20b', b'/@ID@/ok/a b', b'/@ID@/ok/a\tb',
         b'/@ID@/ok/a+b', b'/@ID@/ok/%7e~', b'/@ID@/ok/%', b'/@ID@/ok/%4', b'/@ID@/ok/%zz', b'/@ID@/ok/a|b^c`d{e}f"g<h>',
         b'/@ID@/ok/a;b=c', b'/@ID@/ok/a%3bb', b'/@ID@/ok/a%3fb=c', b'/@ID@/ok/a%23b', b'/@ID@/ok/%0d%0aX:1', b'*', b'',
         b'/@ID@/ok/a:b@c', b'http://@HOST@/@ID@/ok/abs', b'HTTP://@HOST@/@ID@/ok/abs', b'http://@HOST@:80/@ID@/ok/abs',
         b'http://@HOST@:81/@ID@/ok/abs', b'http://evil.test/@ID@/ok/abs', b'http://u@@HOST@/@ID@/ok/abs',
         b'http://u:p@@HOST@/@ID@/ok/abs', b'http://@HOST@@evil.test/@ID@/ok/abs', b'http://@HOST@\\@evil.test/@ID@/ok/abs',
         b'http://@HOST@./@ID@/ok/abs', b'https://@HOST@/@ID@/ok/abs', b'http:/@ID@/ok/abs', b'http:///@ID@/ok/abs',
         b'//@HOST@/@ID@/ok/abs', b'@ID@/ok/rel', b'@HOST@:80', b'/@ID@/ok/http://evil.test/', b'/' + b'a/../' * 300 + b'@ID@/ok/a',
         b'/@ID@/ok/' + b'%41' * 1500, b'/@ID@/ok/...', b'/@ID@/ok/.../..../a', b'/@ID@/ok/%2e', b'/@ID@/ok/a%2fb', b'/@ID@/ok/*']
HOSTS = [b'Host: evil.test', b'Host: @HOST@:80', b'Host: @HOST@:81', b'Host: @HOST@.', b'Host: @HOST@:', b'Host: @HOST@:080', b'Host:',
         b'Host: @HOST@, evil.test', b'Host: @HOST@ evil.test', b'Host: u@@HOST@', b'Host: evil.test@@HOST@', b'Host: [::1]',
         b'Host: @HOST@/x', b'Host: @HOST@\0', b'Host: @HOST@\t', b'host:@HOST@', b'HOST:  @HOST@  ', b'Host : @HOST@', b'Host\t: @HOST@',
         b' Host: @HOST@', b'Host: @HOST@\r\nHost: evil.test', b'Host: evil.test\r\nHost: @HOST@', b'Host: @HOST@\r\nHost: @HOST@',
         b'Host: @HOST@\r\nhOsT: evil.test', b'Host: @HOST@\r\n Host: evil.test', b'X: y\r\n\tz\r\nHost: @HOST@', b'H\x6fst: @HOST@%00',
         b'Host: @HOST@\nHost: evil.test', b'Host: @HOST@\rHost: evil.test', b'Host: @HOST@\x0bx', b'Host: http://@HOST@', b'']
LENGTHS = [b'+%d', b'-%d', b'0x%x', b'%d,%d', b'%d, %d', b'0%d', b'000000000000000000000%d', b'%d\x0b', b'%d;', b'%de0', b'%d.0', b'"%d"',
           b'%d ', b'%d\t', b'\t%d', b'  %d', b'%d\0', b'\x0c%d', b'18446744073709551616', b'99999999999999999999999', b'9223372036854775808',
           b'4294967296', b'', b' ', b'%d %d', b'%d\r\n\t%d', b'%d\n', b'NaN', b'\xd9\xa3', b'%d_0', b'0%o', b'1_%d']
CODINGS = [b'Transfer-Encoding: Chunked', b'transfer-encoding:chunked', b'Transfer-Encoding: CHUNKED', b'Transfer-Encoding:  chunked  ',
           b'Transfer-Encoding:\tchunked\t', b'Transfer-Encoding: xchunked', b'Transfer-Encoding: chunked, chunked',
           b'Transfer-Encoding: identity', b'Transfer-Encoding: identity, chunked', b'Transfer-Encoding: chunked, identity',
           b'Transfer-Encoding: gzip, chunked', b'Transfer-Encoding: chunked;q=1', b'Transfer-Encoding: "chunked"',
           b'Transfer-Encoding: chunked\0', b'Transfer-Encoding: chunked\x0b', b'Transfer-Encoding: \x0bchunked', b'Transfer-Encoding: ,chunked',
           b'Transfer-Encoding: chunked,', b'Transfer-Encoding: chu\r\n nked', b'Transfer-Encoding:\r\n chunked', b'Transfer-Encoding : chunked',
           b'Transfer-Encoding\t: chunked', b' Transfer-Encoding: chunked', b'Transfer_Encoding: chunked', b'Transfer-Encoding: chunked\r',
           b'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', b'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
           b'Transfer-Encoding: x\r\nTransfer-Encoding: chunked', b'X: y\nTransfer-Encoding: chunked', b'X: y\rTransfer-Encoding: chunked',
           b'Transfer-Encoding', b'Transfer-Encoding:', b'Transfer-Encoding: \xef\xbb\xbfchunked', b'Transfer\0-Encoding: chunked',
           b'Transfer-Encoding:\xa0chunked', b'X-Transfer-Encoding: chunked', b'Transfer-Encodin\xc7\xa6: chunked', b'TE: chunked',
           b'Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked', b'Transfer-Encoding: deflate']
SIZES = [b'%x', b'0%x', b'00000000%x', b'0000000000000000%x', b'0x%x', b'+%x', b'-%x', b' %x', b'%x ', b'%x\t', b'%x;a=b', b'%x;a="b"', b'%x;a="\\""',
         b'%x;a="\r\n"', b'%x;a="\n', b'%x;', b'%x;;', b'%x ;a', b'%x; a = b', b'%x;a\n', b'%x\n', b'%x\r', b'%x\0', b'%x,', b'FFFFFFFFFFFFFFFF%x',
         b'10000000000000000%x', b'%x;\x0b', b'%xg', b'%x.0', b'%x#', b'%x;a=\x80', b'', b';%x', b'%x;a=b\rX']
LASTS = [b'0\r\n\r\n', b'000\r\n\r\n', b'0;x\r\n\r\n', b'0\r\nX-T: 1\r\n\r\n', b'0\r\nContent-Length: 5\r\n\r\n', b'0\r\nTransfer-Encoding: chunked\r\n\r\n',
         b'0\r\nHost: evil.test\r\n\r\n', b'0\r\n X: y\r\n\r\n', b'0\r\nX\r\n\r\n', b'0\n\n', b'0\r\n\n', b'0\r\n', b'0\n\r\n', b'0\r\r\n\r\n', b'-0\r\n\r\n',
         b'0x0\r\n\r\n', b'0\r\nGET /@ID@/hidden HTTP/1.1\r\nHost: @HOST@\r\n\r\n', b'0\r\nX: y\nZ: 1\r\n\r\n', b'0 \r\n\r\n', b'00000000000000000\r\n\r\n']
FIELDS = [b'Connection: close', b'Connection: keep-alive', b'Connection: host', b'Connection: Content-Length', b'Connection: transfer-encoding',
          b'Connection: close, X-A\r\nX-A: 1', b'Connection: ,', b'Connection: keep-alive,,x', b'Connection: upgrade', b'Connection: \0', b'Connection: te\r\nTE: trailers',
          b'Keep-Alive: timeout=5', b'Proxy-Connection: keep-alive', b'Proxy-Authorization: Basic eA==', b'Expect: 100-continue', b'Expect: 100-Continue', b'Expect: 200-ok',
          b'Expect: 100-continue, x', b'Expect:', b'Expect: y 100-continue', b'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
          b'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', b'Upgrade: TLS/1.0\r\nConnection: Upgrade',
          b'Upgrade: foo\r\nConnection: Upgrade', b'Content_Length: 0', b'Content-Length : 0', b'Content\xadLength: 3', b'Content-Length\0: 3', b'X-Original-URL: /@ID@/hidden',
          b'X-Rewrite-URL: /@ID@/hidden', b'X-HTTP-Method-Override: DELETE', b'Trailer: Content-Length', b'X: a\r\n b', b'X: a\rb', b'X: a\nb', b'X: \0', b'X: \x7f', b'X: \x08',
          b'X: \xff', b'X: \xc3\xa9', b': x', b'X', b'X y: z', b'X\t: y', b'"X": y', b'X(: y', b'\xc3\xa9: y', b'X: ' + b'a' * 9000, b'X: ' + b'a' * 30000, b'X-Many: 1\r\n' * 130 + b'X: y',
          b'X:y', b'X:\t\ty\t\t', b'X:', b'Range: bytes=0-0', b'Content-Encoding: gzip', b'Content-Type: x\r\nContent-Type: y', b'Max-Forwards: 0', b'Cookie: a=b; c=d',
          b'Via: 1.1 x', b'Forwarded: host=evil.test', b'If-Match: "x"', b'Content-Length: 0\r\nContent-Length: 0', b'Sec-WebSocket-Key: x']
ENDS = [b'\n', b'\r', b'\r\r\n', b'\r\n ', b'\n\r', b'\r\n\r', b'\0\r\n', b' \r\n', b'\t\r\n', b'\x0b\r\n', b'\x85', b'\xe2\x80\xa8']


def fill(template, *n):
    """%d, %x, %o in template, as often as they occur."""
    kinds = template.count(b'%d') + template.count(b'%x') + template.count(b'%o')
    return template % tuple(n[0] for _ in range(kinds)) if kinds else template


class Maker:
    def __init__(self, rng):
        self.r = rng

    def content(self):
        r = self.r
        return r.choice([b'', b'x', b'hello ' + ID, r.choice(HIDDEN), r.choice(HIDDEN), r.choice(HIDDEN) * 2, b'a' * r.choice([100, 5000, 70000])])

    def chunks(self, content, odd):
        r, out = self.r, b''
        cut = r.randrange(len(content) + 1)
        # never inside of a mark
        while content[max(0, cut - 5):cut + 5].count(b'@'):
            cut = r.choice([0, len(content)])
            break
        parts = [p for p in (content[:cut], content[cut:]) if p]
        where = r.randrange(len(parts)) if parts else -1
        for i, p in enumerate(parts):
            spelled = fill(r.choice(SIZES), size(p)) if odd == 'size' and i == where else b'%x' % size(p)
            out += spelled + b'\r\n' + p + (r.choice([b'\n', b'', b'\r', b'\r\n\r\n', b' \r\n', b'x\r\n']) if odd == 'tail' and i == where else b'\r\n')
        return out + (r.choice(LASTS) if odd == 'last' else b'0\r\n\r\n')

    def request(self, n):
        """One request with up to two things wrong with it."""
        r = self.r
        odd = set(r.sample(['method', 'version', 'path', 'host', 'length', 'coding', 'both', 'size', 'tail', 'last', 'field', 'field',
                            'end', 'blank', 'short', 'long', 'none', 'lead'], r.choice([0, 1, 1, 1, 2, 2])))
        method = r.choice(METHODS) if 'method' in odd else r.choice([b'GET', b'GET', b'PUT', b'POST'])
        path = r.choice(PATHS) if 'path' in odd else b'/@ID@/ok/%d' % n
        version = r.choice(VERSIONS) if 'version' in odd else b'HTTP/1.1'
        blank = r.choice([b'  ', b'\t', b'\x0b', b'\0', b'']) if 'blank' in odd else b' '
        lines = [method + blank + path + b' ' + version]
        lines.append(r.choice(HOSTS) if 'host' in odd else b'Host: ' + HOST)
        body, framing = b'', []
        chunked = odd & {'coding', 'size', 'tail', 'last'} or r.random() < .15
        if odd & {'length', 'both', 'short', 'long', 'coding', 'size', 'tail', 'last'} or method not in (b'GET', b'get', b'HEAD') or r.random() < .15:
            content = self.content()
            if chunked or 'both' in odd:
                wrong = next(iter(sorted(odd & {'size', 'tail', 'last'})), None)
                framing.append(r.choice(CODINGS) if 'coding' in odd else b'Transfer-Encoding: chunked')
                body = self.chunks(content, wrong)
            else:
                body = content
            if 'both' in odd or 'length' in odd or not (chunked or 'both' in odd):
                n = size(body)
                n = n - r.randrange(1, 20) if 'short' in odd else n + r.randrange(1, 20) if 'long' in odd else n
                n = max(n, 0)
                value = fill(r.choice(LENGTHS), n) if 'length' in odd else b'%d' % n
                framing.append(b'Content-Length: ' + value)
                if r.random() < .1:
                    framing.append(r.choice([b'Content-Length: %d' % n, b'content-length: %d' % (n + 1), b'Content-Length: 0']))
            r.shuffle(framing)
        lines += framing
        if 'field' in odd:
            lines.insert(r.randrange(1, len(lines) + 1), r.choice(FIELDS))
        if r.random() < .3:
            lines.append(b'Accept: */*')
        ends = [b'\r\n'] * len(lines)
        if 'end' in odd:
            ends[r.randrange(len(ends))] = r.choice(ENDS)
        out = b''.join(a + b for a, b in zip(lines, ends)) + b'\r\n'
        if 'lead' in odd:
            out = r.choice([b'\r\n', b'\n', b' ', b'\r\n\r\n', b'\0', b'\xef\xbb\xbf', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'\x16\x03\x01', b'0\r\n\r\n']) + out
        return out + body

    def spoil(self, out):
        """A few bytes more, fewer or others, but for the marks."""
        r = self.r
        for _ in range(r.choice([1, 1, 2, 3])):
            at = r.randrange(len(out))
            if b'@' in out[max(at - 6, 0):at + 7]:
                continue
            byte = bytes([r.choice(b'\r\n\r\n\0\t :;,0x"\x0b\x80\x7f/.%')])
            out = out[:at] + r.choice([b'', byte, byte + out[at:at + 1], byte + out[at:at + 1], out[at:at + 1] * 2]) + out[at + 1:]
        return out

    def case(self):
        r = self.r
        out = b''.join(self.request(i) for i in range(r.choice([1, 1, 2, 2, 3])))
        if r.random() < .25:
            out = self.spoil(out)
        # somebody else's next request: what is left of ours must not join it
        out += b'GET /@ID@/ok/end HTTP/1.1\r\nHost: @HOST@\r\nConnection: close\r\n\r\n'
        return out, sorted(r.sample(range(1, max(len(out), 2)), min(r.choice([0, 0, 1, 3]), max(len(out), 2) - 1)))
