"""Registries of every kind, Debian's docker-registry on loopback: how they are reached, who may do what, what is kept when they fail."""
import base64
import crypt
import hashlib
import http.server
import json
import os
import pty
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from conftest import TOP, need
from test_images import domain


class Server:
    """A registry of its own kind, and a home in which nobody has logged in yet."""

    def __init__(self, place, folder, http="", more="", port=None):
        self.place, self.folder = place, folder
        (folder / "home/.config/containers").mkdir(parents=True, exist_ok=True)
        self.data = folder / f"registry-{time.monotonic_ns()}"
        environment = os.environ | ({"PORT": str(port)} if port else {})
        self.process = subprocess.Popen([TOP / "tests/support/loopback-registry", self.data, http, more], env=environment)
        address = self.data / "address"
        for _ in range(200):
            if address.exists():
                break
            time.sleep(0.05)
        self.address = address.read_text().strip()
        self.env = place.store(folder) | {"HOME": str(folder / "home"), "SARDE_INSECURE_REGISTRIES": "", "XDG_RUNTIME_DIR": str(folder / "run"), "REGISTRY_AUTH_FILE": ""}

    def run(self, *arguments, check=True, env=None, **options):
        return self.place.run(*arguments, env=self.env | (env or {}), check=check, **options)

    def fails(self, code, sentence, *arguments, **options):
        result = self.run(*arguments, check=False, **options)
        assert result.returncode == code and sentence in result.stderr, (result.returncode, result.stderr)
        return result

    def image(self, name="a:1", megabytes=0, **options):
        """A small image in the cache, or one with this much random data; its reference."""
        reference = f"{self.address}/vms/{name}"
        disk = self.folder / f"{time.monotonic_ns()}/disk.raw"
        disk.parent.mkdir()
        disk.write_bytes(os.urandom((megabytes << 20) or 4096))
        (disk.parent / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
        self.run("export", "--compression", "fast", "--libvirtconfig", disk.parent / "d.xml", "x", reference)
        return reference

    def forget_cache(self):
        shutil.rmtree(self.folder / "oci")

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def serve(place, tmp_path):
    servers = []

    def start(**options):
        servers.append(Server(place, tmp_path, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_plain_http_only_where_it_is_allowed(serve):
    server = serve()
    reference = server.image()
    server.fails(2, "the registry speaks plain HTTP", "push", reference)
    server.run("push", "--insecure", reference)
    server.forget_cache()
    server.fails(2, "the registry speaks plain HTTP", "fetch", reference)
    server.run("fetch", reference, env={"SARDE_INSECURE_REGISTRIES": f"other:1,{server.address}"})
    server.forget_cache()
    config = server.folder / "home/.config/containers/registries.conf"
    config.write_text(f'[[registry]]\nlocation = "{server.address}"\ninsecure = true\n')
    server.run("fetch", reference)  # skopeo's own file says so


def test_tls_with_a_ca_of_ones_own(serve, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "crt", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    server = serve(http=f'tls: {{certificate: "{tmp_path}/crt", key: "{tmp_path}/key"}}')
    reference = server.image()
    server.fails(2, "its TLS certificate is not trusted", "push", reference)
    certificates = server.folder / f"home/.config/containers/certs.d/{server.address}"
    certificates.mkdir(parents=True)
    shutil.copy(tmp_path / "crt", certificates / "ca.crt")
    server.run("push", reference)
    server.forget_cache()
    server.run("fetch", reference)


def with_password(serve, tmp_path):
    (tmp_path / "htpasswd").write_text(f"me:{crypt.crypt('secret word', crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=32))}\n")
    server = serve(more=f'auth: {{htpasswd: {{realm: test, path: "{tmp_path}/htpasswd"}}}}')
    server.env["SARDE_INSECURE_REGISTRIES"] = server.address
    return server


def test_a_password_is_asked_for_kept_and_forgotten(serve, tmp_path):
    server = with_password(serve, tmp_path)
    # Whatever skopeo is told is written down on the way.
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/skopeo"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>"{tmp_path}/argv"\nexec {shutil.which("skopeo")} "$@"\n')
    wrapper.chmod(0o755)
    server.env["PATH"] = f"{tmp_path}/bin:{os.environ['PATH']}"
    reference = server.image()
    server.fails(1, "the registry wants", "push", reference)
    wrong = server.fails(1, "refused the credentials", "login", "-u", "me", "-p", "wrong word", server.address)
    assert "wrong word" not in wrong.stderr
    server.fails(1, "standard input contains no password", "login", "-u", "me", "--password-stdin", server.address, input="\n")
    said = server.run("login", "-u", "me", "--password-stdin", server.address, input="secret word\n")
    assert said.stdout == "" and "secret word" not in said.stderr
    authfile = server.folder / "home/.config/containers/auth.json"
    assert authfile.stat().st_mode & 0o777 == 0o600
    server.run("push", reference)
    server.forget_cache()
    server.run("fetch", reference)
    server.run("logout", server.address)
    server.fails(1, "the registry wants", "fetch", reference)
    server.fails(1, "log out", "logout", server.address)
    server.run("login", "--username", "me", "--password", "secret word", server.address)
    server.run("fetch", reference)
    server.run("logout", "*")
    server.fails(1, "the registry wants", "fetch", reference)
    assert "secret word" not in (tmp_path / "argv").read_text()


def test_a_password_is_prompted_for_at_a_terminal(serve, tmp_path):
    server = with_password(serve, tmp_path)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(server.place.program, [server.place.program, "login", server.address], server.place.environment | server.env)
    shown = b""
    for prompt, answer in ((f"Username for {server.address}: ", b"me\n"), (f"Password for me at {server.address}: ", b"secret word\n")):
        while prompt.encode() not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, answer)
    try:
        while data := os.read(terminal, 1024):
            shown += data
    except OSError:
        pass  # the terminal's other end is closed
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    assert b"Logged in at" in shown and b"secret word" not in shown
    nobody = subprocess.run(["setsid", server.place.program, "login", server.address], env=server.place.environment | server.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert nobody.returncode == 1 and "there is no terminal to ask at" in nobody.stderr


def test_an_authfile_of_ones_own(serve, tmp_path):
    server = with_password(serve, tmp_path)
    reference = server.image()
    server.run("login", "--authfile", tmp_path / "own/auth.json", "-u", "me", "-p", "secret word", server.address)
    server.fails(1, "the registry wants", "push", reference)
    server.run("push", "--authfile", tmp_path / "own/auth.json", reference)
    server.run("push", reference, env={"SARDE_AUTHFILE": str(tmp_path / "own/auth.json")})


class TokenServer:
    """Gives tokens that let their bearers pull, and nothing else (distribution's token specification)."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "token.key", "-out", folder / "token.crt", "-days", "2", "-subj", "/CN=tokens"], check=True, capture_output=True)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                body = json.dumps({"token": outer.token(query)}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"
        self.actions = ["pull"]

    def token(self, query):
        def encode(data):
            return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=")
        certificate = subprocess.run(["openssl", "x509", "-in", self.folder / "token.crt", "-outform", "DER"], check=True, capture_output=True).stdout
        access = []
        for scope in query.get("scope", []):
            kind, name, _ = scope.split(":")
            access.append({"type": kind, "name": name, "actions": self.actions})
        now = int(time.time())
        parts = encode({"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(certificate).decode()]}) + b"." + encode(
            {"iss": "tokens", "sub": "me", "aud": "registry", "exp": now + 300, "nbf": now - 10, "iat": now - 10, "jti": str(now), "access": access})
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.folder / "token.key"], input=parts, check=True, capture_output=True).stdout
        return (parts + b"." + encode(signature)).decode()


def test_a_token_that_lacks_the_right_to_push(serve, tmp_path):
    tokens = TokenServer(tmp_path)
    server = serve(more=f'auth: {{token: {{realm: "{tokens.url}", service: registry, issuer: tokens, rootcertbundle: "{tmp_path}/token.crt"}}}}')
    server.env["SARDE_INSECURE_REGISTRIES"] = server.address
    reference = server.image()
    server.fails(1, "push to", "push", reference)
    tokens.actions = ["pull", "push"]
    server.run("push", reference)
    tokens.actions = ["pull"]
    server.forget_cache()
    server.run("fetch", reference)
    refused = server.fails(1, "push to", "push", "--target", f"{server.address}/vms/b:1", reference)
    assert "denie" in refused.stderr or "credentials" in refused.stderr
    tokens.server.shutdown()


class Cutter:
    """Stands before the registry and lets so many bytes of answers (or requests) through, then cuts all lines, until told otherwise."""

    def __init__(self, port, allowed, counts_requests=False):
        self.target, self.allowed = port, allowed
        self.counts_requests = counts_requests
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.target))
            for pair in ((client, server, self.counts_requests), (server, client, not self.counts_requests)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, source, sink, counts):
        try:
            while data := source.recv(65536):
                if counts and self.allowed is not None:
                    self.allowed -= len(data)
                    if self.allowed < 0:
                        break
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_a_registry_that_dies_on_the_way_and_comes_back(serve):
    server = serve()
    server.env["SARDE_INSECURE_REGISTRIES"] = server.address
    reference = server.image("large:1", megabytes=96)
    server.run("push", reference)
    server.forget_cache()
    cutter = Cutter(int(server.address.split(":")[1]), 70 << 20)
    there = f"localhost:{cutter.port}"
    reference = reference.replace(server.address, there)
    server.env["SARDE_INSECURE_REGISTRIES"] = there
    server.fails(2, f"fetch '{reference}'", "fetch", reference, env={"SARDE_FETCH_TIMEOUT": "3"})
    blobs = server.folder / f"oci/{there}/vms/large/blobs/sha256"
    kept = {path.name: path.stat().st_ino for path in blobs.iterdir()}
    assert kept and not (blobs.parent.parent / "index.json").exists()
    assert not list((server.folder / "oci").glob(".sarde-*"))
    server.fails(1, "is not in", "import", reference)
    cutter.allowed = None
    server.run("fetch", reference)
    assert all((blobs / name).stat().st_ino == inode for name, inode in kept.items())


def test_a_registry_that_dies_while_it_is_sent_to_keeps_what_has_come(serve):
    server = serve()
    reference = server.image("large:1", megabytes=96)
    cutter = Cutter(int(server.address.split(":")[1]), 50 << 20, counts_requests=True)
    there = f"localhost:{cutter.port}"
    server.env["SARDE_INSECURE_REGISTRIES"] = f"{server.address},{there}"
    server.fails(2, f"push to '{there}/vms/large:1'", "push", "-t", f"{there}/vms/large:1", reference)
    blobs = server.data / "data/docker/registry/v2/blobs/sha256"
    kept = {path: path.stat().st_mtime_ns for path in blobs.glob("*/*/data")}
    assert kept
    server.fails(1, "the registry has no such image", "fetch", f"{server.address}/vms/large:2")
    cutter.allowed = None
    server.run("push", "-t", f"{there}/vms/large:1", reference)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    server.forget_cache()
    server.run("fetch", f"{server.address}/vms/large:1")


def test_a_tag_that_moves_is_followed_and_a_digest_stays(serve):
    server = serve()
    server.env["SARDE_INSECURE_REGISTRIES"] = server.address

    def cached(reference):
        return json.loads(server.run("inspect", "--json", reference).stdout)["digest"]

    reference = server.image()
    server.run("push", reference)
    first = cached(reference)
    server.forget_cache()
    server.run("fetch", reference)
    newer = server.image("b:1")
    server.run("push", "--target", reference, newer)
    assert cached(reference) == first
    server.run("fetch", reference)
    assert cached(reference) == cached(newer) != first
    old = f"{reference.rsplit(':', 1)[0]}@{first}"
    server.run("fetch", old)
    assert cached(old) == first
    assert {entry["tag"] for entry in json.loads(server.run("list", "--json").stdout) if entry["name"].endswith("/a")} == {"1", first}
    again = server.run("fetch", old)
    assert "is up to date" in again.stderr
    server.fails(1, "no such image or tag", "fetch", f"{reference.rsplit(':', 1)[0]}@sha256:{'0' * 64}")


def test_a_containers_image_is_refused_before_it_is_brought(serve, tmp_path):
    server = serve()
    server.env["SARDE_INSECURE_REGISTRIES"] = server.address
    layout = tmp_path / "container"
    (layout / "blobs/sha256").mkdir(parents=True)

    def add(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    layer = add(os.urandom(1 << 20), "application/vnd.oci.image.layer.v1.tar")
    config = add(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = add(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}).encode(), "application/vnd.oci.image.manifest.v1+json")
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{server.address}/c/d:1"], check=True, env=os.environ | {"HOME": str(tmp_path / "home")})
    server.fails(1, "is it a container image", "fetch", f"{server.address}/c/d:1")
    assert not list((server.folder / "oci").rglob(layer["digest"][7:]))


def test_mirrors_and_blocked_registries_count(serve):
    server = serve()
    server.env["SARDE_INSECURE_REGISTRIES"] = f"{server.address},localhost:1"
    reference = server.image()
    server.run("push", reference)
    server.forget_cache()
    config = server.folder / "home/.config/containers/registries.conf"
    mirror = f'[[registry.mirror]]\nlocation = "{server.address}"\ninsecure = true\n'
    config.write_text(f'[[registry]]\nlocation = "localhost:1"\n{mirror}')  # the origin is down
    server.run("fetch", "localhost:1/vms/a:1")
    assert "localhost:1/vms/a" in server.run("list").stdout
    assert json.loads(server.run("inspect", "--json", "--remote", "localhost:1/vms/a:1").stdout)["disks"]
    # A name without a host is Docker Hub's, and may have a mirror too.
    config.write_text(f'[[registry]]\nlocation = "docker.io"\n{mirror}')
    server.run("fetch", "vms/a:1")
    config.write_text(f'[[registry]]\nlocation = "{server.address}"\nblocked = true\n')
    server.fails(2, "registries.conf on this machine blocks this registry", "fetch", reference)


def test_credential_helpers_of_the_machine(serve, tmp_path):
    server = with_password(serve, tmp_path)
    reference = server.image()
    (tmp_path / "bin").mkdir()
    helper = tmp_path / "bin/docker-credential-ours"
    helper.write_text('#!/bin/sh\nread host\necho "$1 $host" >>"%s"\necho \'{"Username": "me", "Secret": "secret word"}\'\n' % (tmp_path / "asked"))
    helper.chmod(0o755)
    server.env["PATH"] = f"{tmp_path}/bin:{os.environ['PATH']}"
    (server.folder / "home/.docker").mkdir()
    config = server.folder / "home/.docker/config.json"
    for content in ({"credHelpers": {server.address: "ours"}}, {"credsStore": "ours"}):
        server.fails(1, "the registry wants", "push", reference)
        config.write_text(json.dumps(content))
        server.run("push", reference)
        config.unlink()
    assert f"get {server.address}" in (tmp_path / "asked").read_text()


def test_only_images_with_a_trusted_signature(serve, tmp_path):
    need(shutil.which("gpg"), "gpg is not installed")
    server = serve()
    server.env["SARDE_INSECURE_REGISTRIES"] = server.address
    keys = tmp_path / "gnupg"
    keys.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", keys, "--batch", "--quiet"]
    subprocess.run([*gpg, "--passphrase", "", "--quick-generate-key", "signer@example.org", "rsa2048", "sign"], check=True, capture_output=True)
    (tmp_path / "key.asc").write_bytes(subprocess.run([*gpg, "--armor", "--export", "signer@example.org"], check=True, capture_output=True).stdout)
    registries = server.folder / "home/.config/containers/registries.d"
    registries.mkdir()
    (registries / "default.yaml").write_text(f"docker:\n  {server.address}:\n    sigstore: file://{tmp_path}/signatures\n    sigstore-staging: file://{tmp_path}/signatures\n")
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {server.address: [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(tmp_path / "key.asc")}]}}}))
    try:
        signed, unsigned = server.image("signed:1"), server.image("unsigned:1")
        for reference in (signed, unsigned):
            server.run("push", reference)
        subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "--sign-by", "signer@example.org", f"docker://{signed}", f"docker://{signed}"],
                       check=True, env=os.environ | {"HOME": server.env["HOME"], "GNUPGHOME": str(keys)})
        server.forget_cache()
        server.run("fetch", "--signature-policy", policy, signed)
        refused = server.fails(1, "the signature policy does not accept it", "fetch", "--signature-policy", policy, unsigned)
        assert "lacks a signature that is trusted" in refused.stderr
        server.run("fetch", unsigned)
        # What is in the cache already is not let through either.
        server.fails(1, "the signature policy does not accept it", "fetch", unsigned, env={"SARDE_SIGNATURE_POLICY": str(policy)})
    finally:
        subprocess.run(["gpgconf", "--homedir", keys, "--kill", "all"])


def test_the_cache_may_be_on_a_file_system_of_its_own(serve, tmp_path):
    """skopeo renames blobs into place: what it holds on the way must be on the same one."""
    if os.geteuid() != 0:
        need(False, "mounting a file system needs root")
    server = serve()
    server.env["SARDE_INSECURE_REGISTRIES"] = server.address
    reference = server.image()
    server.run("push", reference)
    server.forget_cache()
    (tmp_path / "oci").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "oci"], check=True)
    try:
        server.run("fetch", reference)
    finally:
        subprocess.run(["umount", tmp_path / "oci"], check=True)
