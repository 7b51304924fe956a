#!/usr/bin/env bash
# OpenTelemetry's exporters of spans over HTTP for Python (opentelemetry-exporter-otlp-proto-http 1.45.2) and for JavaScript
# (@opentelemetry/exporter-trace-otlp-http 0.223.1), which send three spans to a collector that answers 200 and says in
# `partial_success` that it rejected all three.
#
# One would guess: the export fails, or says how many spans were rejected; and headers given to the exporter replace those
# of OTEL_EXPORTER_OTLP_HEADERS, as other options given in code do.
# So it is, seen on 2026-11-30 with Python 3.11 and Node 20:
#   Python        answers SUCCESS and logs nothing at level WARNING
#   JavaScript    answers code 0, success; only the diagnostic logger, off by default, says "Received Partial Success response"
#   both          send the headers of the environment beside those that were given
# So a count of exported spans counts what the collector threw away, and a header in the environment reaches every collector.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install \
  opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
npm --prefix "$folder" install --ignore-scripts --no-audit --no-fund --loglevel error \
  @opentelemetry/exporter-trace-otlp-http@0.223.1 @opentelemetry/sdk-trace-base@2.12.1 @opentelemetry/api@1.9.0 >/dev/null
cat >"$folder/python.py" <<'PYTHON'
import http.server, logging, sys, threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider

logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
answer = ExportTraceServiceResponse()
answer.partial_success.rejected_spans = 3
answer.partial_success.error_message = "three are refused"
recorded = []


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        recorded.append(sorted(name.lower() for name in self.headers if name.lower().startswith("x-")))
        body = answer.SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=server.serve_forever, daemon=True).start()
spans = [TracerProvider().get_tracer("t").start_span("a") for _ in range(3)]
for span in spans:
    span.end()
url = f"http://127.0.0.1:{server.server_port}/v1/traces"
result = OTLPSpanExporter(endpoint=url, headers={"x-given": "1"}).export(spans)
print(result.name, *recorded[0])
PYTHON
cat >"$folder/javascript.cjs" <<'NODE'
const http = require("node:http");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { diag, DiagLogLevel } = require("@opentelemetry/api");
const logged = [];
const log = (text) => logged.push(text.split(":")[0]);
if (process.argv[2] === "diagnostics") {
  diag.setLogger({ error: log, warn: log, info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);
}
const recorded = [];
const server = http.createServer((request, response) => {
  recorded.push(Object.keys(request.headers).filter((name) => name.startsWith("x-")).sort());
  request.resume();
  request.on("end", () => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ partialSuccess: { rejectedSpans: "3", errorMessage: "three are refused" } }));
  });
});
server.listen(0, "127.0.0.1", () => {
  const ended = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(ended)] });
  for (let at = 0; at < 3; at += 1) provider.getTracer("t").startSpan("a").end();
  setImmediate(() => {
    const url = `http://127.0.0.1:${server.address().port}/v1/traces`;
    new OTLPTraceExporter({ url, headers: { "x-given": "1" } }).export(ended.getFinishedSpans(), (result) => {
      console.log([`code ${result.code}`, ...recorded[0], ...logged].join(" "));
      server.close();
    });
  });
});
NODE
export OTEL_EXPORTER_OTLP_HEADERS="x-environment=1"
seen=$("$folder/venv/bin/python" "$folder/python.py"
  cd "$folder" && node javascript.cjs && node javascript.cjs diagnostics)
echo "$seen"
expected="SUCCESS x-environment x-given
code 0 x-environment x-given
code 0 x-environment x-given Received Partial Success response"
[[ $seen == "$expected" ]] || { echo "this has changed" >&2; exit 1; }
