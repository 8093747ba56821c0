# The same rule as the others', for mitmproxy.
from mitmproxy import http


def request(flow):
    if flow.request.path.startswith("/deny") or flow.request.method not in ("GET", "HEAD", "POST"):
        flow.response = http.Response.make(403, b"denied\n")
