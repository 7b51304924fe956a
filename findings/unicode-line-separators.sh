#!/usr/bin/env bash
# Readers of NDJSON and of server-sent events, given JSON whose strings hold U+2028 or U+0085 unescaped (both are
# valid there, RFC 8259, and neither ends a line of NDJSON or of an event stream).
#
# One would guess: a line ends at LF (and CR), so the value arrives as it was sent.
# So it is, seen on 2026-11-30 with Python 3.11:
#   ndjson 0.3.1      loads() joins what str.splitlines() gives with commas: the value changes to "x,y", no error
#   httpx-sse 0.4.1   the event's data ends at the separator: the rest is dropped, no error
#   httpx 0.28.1      iter_lines() breaks one line into two
#   requests 2.32.5   iter_lines() is right for bytes, and breaks with decode_unicode=True
#   jsonlines 4.0.0, sseclient-py 1.8.0   right
# So a server that writes these characters as \u2028, \u2029 and \u0085 is read right by all of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  ndjson==0.3.1 httpx==0.28.1 httpx-sse==0.4.1 requests==2.32.5 jsonlines==4.0.0 sseclient-py==1.8.0
cat >"$folder/read.py" <<'PYTHON'
import http.server, io, threading

import httpx, httpx_sse, jsonlines, ndjson, requests, sseclient

LINES = '{"a":"x\u2028y"}\n{"b":"p\u0085q"}\n'.encode()
STREAM = 'id: 1\ndata: {"a":"x\u2028y"}\n\n'.encode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_stream = self.path == "/stream"
        body = STREAM if is_stream else LINES
        self.send_response(200)
        kind = "text/event-stream" if is_stream else "application/x-ndjson; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"


def httpx_lines():
    with httpx.stream("GET", url) as answer:
        return list(answer.iter_lines())


def httpx_events():
    with httpx.Client() as client, httpx_sse.connect_sse(client, "GET", url + "/stream") as source:
        return [event.data for event in source.iter_sse()]


broken = ['{"a":"x', 'y"}', '{"b":"p', 'q"}']
right = [{"a": "x\u2028y"}, {"b": "p\u0085q"}]
seen = {
    "ndjson 0.3.1 loads": (ndjson.loads(LINES.decode()), [{"a": "x,y"}, {"b": "p,q"}]),
    "httpx-sse 0.4.1 iter_sse": (httpx_events(), ['{"a":"x']),
    "httpx 0.28.1 iter_lines": (httpx_lines(), broken),
    "requests 2.32.5 iter_lines, bytes": (len(list(requests.get(url, stream=True).iter_lines())), 2),
    "requests 2.32.5 iter_lines, text": (
        list(requests.get(url, stream=True).iter_lines(decode_unicode=True)), broken),
    "jsonlines 4.0.0 Reader": (list(jsonlines.Reader(io.BytesIO(LINES))), right),
    "sseclient-py 1.8.0 events": (
        [event.data for event in sseclient.SSEClient(requests.get(url + "/stream", stream=True)).events()],
        ['{"a":"x\u2028y"}']),
}
for name, (found, expected) in seen.items():
    print(f"{name}: {found!r}")
changed = [name for name, (found, expected) in seen.items() if found != expected]
if changed:
    raise SystemExit(f"changed: {', '.join(changed)}")
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
