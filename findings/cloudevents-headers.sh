#!/usr/bin/env bash
# CloudEvents' SDKs for JavaScript 10.0.0 and Python 1.12.1, which send events in binary mode to a server that only records:
# attributes as headers, where section 3.1.3.2 of CloudEvents' binding to HTTP wants all but printable ASCII, and the percent
# sign, percent-encoded as UTF-8.
#
# One would guess: an attribute is encoded, and arrives as it was given.
# So it is, seen on 2026-11-30 with Node 20 and Python 3.11 (requests 2.32.5):
#   both          encode nothing: "Grüße" is sent as Latin-1, "50%25" stays "50%25" (which reads "50%" by the binding),
#                 and "€" cannot be sent at all: Node's and Python's HTTP clients throw before anything is sent
#   JavaScript    httpTransport() answers with body and headers: no status, and a 400 does not throw
# So a server reads what is not UTF-8 as Latin-1, and such an event is sent safely in structured mode only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install cloudevents==1.12.1 requests==2.32.5
npm --prefix "$folder" install --ignore-scripts --no-audit --no-fund --loglevel error cloudevents@10.0.0 >/dev/null
cat >"$folder/send.cjs" <<'NODE'
const { CloudEvent, emitterFor, httpTransport } = require("cloudevents");
const emit = emitterFor(httpTransport(process.argv[2]));
emit(new CloudEvent({ id: "1", source: "/s", type: "t", subject: process.argv[3], data: {} })).then(
  (answer) => console.log(`answered, with ${Object.keys(answer).sort()}`),
  (error) => console.log(error.code),
);
NODE
cat >"$folder/send.py" <<'PYTHON'
import http.server, subprocess, sys, threading

import requests
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent

recorded = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        # The library reads headers as Latin-1: this gives the bytes back.
        recorded.append(self.headers["ce-subject"].encode("latin-1"))
        self.send_response(400)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"


def python(subject):
    headers, body = to_binary(CloudEvent({"source": "/s", "type": "t", "subject": subject}, {}))
    try:
        return f"answered, with {requests.post(url, data=body, headers=headers).status_code}"
    except UnicodeEncodeError as error:
        return type(error).__name__


def javascript(subject):
    command = ["node", "send.cjs", url, subject]
    return subprocess.run(command, cwd=sys.argv[1], capture_output=True, text=True, check=True).stdout.strip()


told = {python: "answered, with 400", javascript: "answered, with body,headers"}
refused = {python: "UnicodeEncodeError", javascript: "ERR_INVALID_CHAR"}
changed = False
for send in (python, javascript):
    for subject, expected in {
        "Gr\u00fc\u00dfe": (told[send], [b"Gr\xfc\xdfe"]),
        "50%25": (told[send], [b"50%25"]),
        "Gr\u00fc\u00dfe \u20ac": (refused[send], []),
    }.items():
        recorded.clear()
        found = (send(subject), list(recorded))
        print(f"{send.__name__}, {subject}: {found}")
        changed = changed or found != expected
if changed:
    raise SystemExit("changed")
PYTHON
"$folder/venv/bin/python" "$folder/send.py" "$folder"
