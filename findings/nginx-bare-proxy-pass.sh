#!/usr/bin/env bash
# nginx of the distribution (1.22.1) with nothing but `proxy_pass http://127.0.0.1:PORT;`, before a server that only records,
# and with compression of all types.
#
# One would guess: a server behind it sees that a proxy is there, and a POST without a body looks as its client sent it.
# So it is, seen on 2026-11-30:
#   the head      "POST / HTTP/1.0", Host: 127.0.0.1:PORT (the server's own address), no forwarding header at all
#   the body      a POST without one arrives without Content-Length, which HTTP/1.0 does not allow (RFC 1945, 8.3)
#   a stream      with `gzip on; gzip_types *` nothing of it is handed on while it goes on, unless it says
#                 X-Accel-Buffering: no; Cache-Control: no-transform changes nothing
# So a server cannot tell such a proxy's requests from those of its own machine.
set -euo pipefail
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get -qq download nginx 2>/dev/null && dpkg-deb --fsys-tarfile nginx_*.deb | tar -x ./usr/sbin/nginx)
"$folder/usr/sbin/nginx" -v 2>&1
cat >"$folder/record.py" <<'PYTHON'
import http.client, socket, subprocess, sys, threading, time

folder = sys.argv[1]
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
with socket.create_server(("127.0.0.1", 0)) as free:
    proxy = free.getsockname()[1]
heads = []


def serve(client):
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    head = head.decode("latin-1")
    heads.append(head)
    if head.startswith("POST"):
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        client.close()
        return
    more = b"X-Accel-Buffering: no\r\n" if "/unbuffered" in head else b"Cache-Control: no-transform\r\n"
    client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n" + more + b"\r\ndata: first\n\n")
    # The stream goes on until the other side has had enough of it.
    while client.recv(1024):
        pass


def accept():
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
temp = "".join(f"{what}_temp_path {folder}/{what};" for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
with open(f"{folder}/nginx.conf", "w") as conf:
    conf.write(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temp} gzip on; gzip_types *;\n"
        f"server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://127.0.0.1:{port}; }} }} }}\n"
    )
nginx = subprocess.Popen([f"{folder}/usr/sbin/nginx", "-p", folder, "-c", f"{folder}/nginx.conf"], stderr=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", proxy)).close()
            break
        except OSError:
            time.sleep(0.05)
    raw = socket.create_connection(("127.0.0.1", proxy))
    raw.sendall(b"POST / HTTP/1.1\r\nHost: public.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    raw.recv(65536)
    lines = [line for line in heads[0].split("\r\n") if line]
    print(*lines, sep="\n")
    names = {line.split(":")[0].lower() for line in lines[1:]}
    assert lines[0] == "POST / HTTP/1.0", lines
    assert f"Host: 127.0.0.1:{port}" in lines, lines
    assert not names & {"forwarded", "via", "x-forwarded-for", "x-real-ip"}, lines
    came = {}
    for path in ["/buffered", "/unbuffered"]:
        stream = socket.create_connection(("127.0.0.1", proxy), timeout=3)
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        got = b""
        try:
            while chunk := stream.recv(65536):
                got += chunk
        except TimeoutError:
            pass
        came[path] = len(got.partition(b"\r\n\r\n")[2])
        stream.close()
    raw = socket.create_connection(("127.0.0.1", proxy))
    raw.sendall(b"POST / HTTP/1.1\r\nHost: public.example\r\nConnection: close\r\n\r\n")
    raw.recv(65536)
    print("a POST without a body:", "content-length" if "content-length" in heads[-1].lower() else "no length")
    print("bytes of a stream in 3 s:", came)
    assert "content-length" not in heads[-1].lower(), heads[-1]
    assert came["/buffered"] == 0 and came["/unbuffered"] > 0, came
finally:
    nginx.kill()
    nginx.wait()
PYTHON
timeout 60 python3 "$folder/record.py" "$folder"
