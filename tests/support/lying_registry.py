"""A registry on loopback, in the test's own process, that serves OCI image layouts and lies about them."""
import contextlib
import hashlib
import http.server
import json
import socket
import threading
import time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class LyingRegistry:
    """`tags`: what each tag's manifest is asked for, in turn (the last one for ever); any name has them. `endless`: digests of blobs that
    are sent without end. `faults`: for "manifests" and "blobs", the status and headers with which the next requests are refused. `cuts`: so
    many answers with a blob above 64 KiB break off half way. `turns`: what a blob is, each time it is asked for. `pause`: seconds
    for each MiB of a blob. `rate`: bytes per second of all blobs together, as a link has them. `stalls`: blobs above 64 KiB stop half-way and stay open. `lacks`: digests of blobs at which it fails. `takes`: it takes uploads (and keeps nothing). `asked`: every path."""

    def __init__(self):
        self.blobs, self.tags, self.endless, self.asked, self.sent = {}, {}, set(), [], 0
        self.faults, self.cuts, self.takes = {"manifests": [], "blobs": [], "uploads": []}, 0, False
        self.turns, self.pause, self.stalls, self.lacks = {}, 0, False, set()
        self.rate, self.link_free_at = 0, 0.0
        self.lock = threading.Lock()

    def add(self, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return digest

    def add_layout(self, layout):
        """All its blobs; the digest of its last manifest."""
        for blob in (layout / "blobs/sha256").iterdir():
            if not blob.name.startswith("."):
                self.add(blob.read_bytes())
        return json.loads((layout / "index.json").read_text())["manifests"][-1]["digest"]

    def index(self, *entries):
        """An index of (digest, os, architecture); its digest."""
        manifests = [{"mediaType": INDEX if b'"manifests"' in self.blobs[digest] else MANIFEST, "digest": digest, "size": len(self.blobs[digest]),
                      "platform": {"os": system, "architecture": architecture}} for digest, system, architecture in entries]
        return self.add(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode())

    def take_the_link(self, size):
        """Until the bytes would have come."""
        with self.lock:
            rate = self.rate
            self.link_free_at = max(self.link_free_at, time.monotonic()) + size / rate if rate else 0
            mine = self.link_free_at
        time.sleep(max(0, mine - time.monotonic()))

    def manifest_of(self, name):
        if name.startswith("sha256:"):
            return self.blobs.get(name)
        with self.lock:
            turns = self.tags.get(name, [])
            digest = turns.pop(0) if len(turns) > 1 else turns[0] if turns else None
        return self.blobs.get(digest)

    @contextlib.contextmanager
    def serving(self):
        """Its address."""
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body, kind, **headers):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                registry.asked.append(f"{self.command} {self.path}")
                if self.path.rstrip("/") == "/v2":
                    return self.answer(200, b"{}", "application/json")
                kind, name = self.path.split("/")[-2:]
                if self.command == "GET" and self.is_refused(kind):
                    return None
                body = registry.manifest_of(name) if kind == "manifests" else registry.blobs.get(name)
                if body is None:
                    return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', "application/json")
                if kind == "manifests":
                    digest = "sha256:" + hashlib.sha256(body).hexdigest()
                    return self.answer(200, body, json.loads(body)["mediaType"], Docker_Content_Digest=digest)
                if name in registry.lacks:
                    return self.answer(500, b"no", "text/plain")
                if self.command == "GET" and registry.turns.get(name):
                    body = registry.turns[name].pop(0)
                if name in registry.endless and self.command == "GET":
                    return self.send_without_end()
                if self.command == "GET" and len(body) > 65536 and registry.stalls:
                    return self.send_and_stop(body)
                if self.command == "GET" and (registry.pause or registry.rate):
                    return self.send_slowly(body)
                if self.command == "GET" and len(body) > 65536 and registry.cuts > 0:
                    registry.cuts -= 1
                    return self.send_half(body)
                self.answer(200, body, "application/octet-stream")

            def is_refused(self, kind):
                with registry.lock:
                    if not registry.faults.get(kind):
                        return False
                    status, headers = registry.faults[kind].pop(0)
                self.answer(status, b"<html>no</html>", "text/html", **headers)
                return True

            def do_POST(self):
                self.take(202, Location=self.path + "one?", Range="0-0")

            def do_PATCH(self):
                self.take(202, Location=self.path, Range="0-1")

            def do_PUT(self):
                self.take(201, Location=self.path)

            def take(self, status, **headers):
                registry.asked.append(f"{self.command} {self.path}")
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        self.rfile.read(size + 2)
                    self.rfile.readline()
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not self.is_refused("uploads" if "/uploads/" in self.path else "manifests"):
                    self.answer(status if registry.takes else 405, b"", "application/json", **headers)

            def send_half(self, body):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:len(body) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

            def send_slowly(self, body):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    size = 1 << 18 if registry.rate else 1 << 20
                    for at in range(0, len(body), size):
                        part = body[at:at + size]
                        registry.take_the_link(len(part))
                        self.wfile.write(part)
                        registry.sent += len(part)
                        time.sleep(registry.pause)

            def send_and_stop(self, body):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body[:len(body) // 2])
                    self.wfile.flush()
                    time.sleep(20)
                self.close_connection = True

            def send_without_end(self):
                """Bounded all the same: two gigabytes are more than anybody should take."""
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                block = b"x" * (1 << 20)
                with contextlib.suppress(OSError):
                    for _ in range(2048):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
                        registry.sent += len(block)
                self.close_connection = True

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"localhost:{server.server_address[1]}"
            server.shutdown()
