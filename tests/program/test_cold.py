"""An image that is not on the host yet: read in one pass, kept once, and what may go wrong on the way."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from lying_registry import LyingRegistry
from standin import Standin, children, sha256
from test_images import domain


@pytest.fixture(scope="module")
def standin(place, tmp_path_factory):
    return Standin(place, tmp_path_factory.mktemp("cold"))


def job_of(standin, reference, policy, **environment):
    """A job that prepares and runs; what its log says, and how it ended."""
    with standin.runner(SARDE_PULL_POLICY=policy, **environment).job(job_id=random.randrange(1 << 30), image=reference) as job:
        job.prepare()
        return job.result.verdict, job.result.text


def packed(standin, reference):
    """Bytes of the image's blobs in the cache."""
    blobs = standin.oci / reference.rsplit(":", 1)[0] / "blobs/sha256"
    return sum(path.stat().st_size for path in blobs.iterdir())


def unpacked(standin):
    (folder,) = [path for path in standin.vms.iterdir() if path.name.startswith("sha256:") and path.is_dir()]
    return folder


def test_a_jobs_host_holds_one_copy_and_brings_the_layers_when_they_are_needed(standin, place):
    reference = standin.publish(random.Random(5), "one", [3000])
    verdict, log = job_of(standin, reference, "always")
    assert verdict == "success" and "Fetched and unpacked image" in log, log
    assert packed(standin, reference) < 20_000 and sha256(unpacked(standin) / "disk0.raw") in standin.good
    # What is said of it.
    (listed,) = json.loads(standin.run("list", "--json").stdout)
    assert listed["layers_kept"] is False and "not kept" in standin.run("list").stdout
    assert json.loads(standin.run("inspect", "--json", reference).stdout)["layers_kept"] is False
    shown = standin.run("inspect", reference).stdout
    assert "not kept in the cache (keep-blobs)" in shown and "disk0.raw" in shown
    verified = standin.run("verify").stdout
    assert "1 layers are not kept (keep-blobs)" in verified and "unpacked for jobs and clones" in verified
    # Used as it is.
    for policy in ("never", "if-not-present", "always"):
        verdict, log = job_of(standin, reference, policy)
        assert verdict == "success" and "npacked" not in log.replace("The image's disks are already unpacked", ""), log
    # Gone: by its policy a job brings it again, or says what to do.
    shutil.rmtree(unpacked(standin))
    verdict, log = job_of(standin, reference, "never")
    assert verdict != "success" and "its disks are no longer on this host, and pull policy 'never'" in log and "'sarde fetch'" in log
    verdict, log = job_of(standin, reference, "if-not-present")
    assert verdict == "success" and "Unpacked image" in log, log
    # Damaged: the same.
    disk = unpacked(standin) / "disk0.raw"
    disk.chmod(0o600)
    disk.write_bytes(b"x")
    verdict, log = job_of(standin, reference, "if-not-present")
    assert verdict == "success" and "are not what was unpacked there: they are unpacked again" in log, log
    assert sha256(unpacked(standin) / "disk0.raw") in standin.good
    # A base VM is made of what is unpacked, without the registry.
    nobody = {"SARDE_INSECURE_REGISTRIES": "", "http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    standin.run("import", "-n", "based", reference, env=nobody)
    assert sha256(standin.vms / "based/disk0.raw") in standin.good
    assert packed(standin, reference) < 20_000
    # A push needs the layers; and after that they stay.
    pushed = standin.run("push", "-t", f"{place.registry}/standin/elsewhere:1", reference)
    assert "has not kept the layers" in pushed.stderr and packed(standin, reference) > 3_000_000
    assert json.loads(standin.run("list", "--json").stdout)[0]["layers_kept"] is True
    shutil.rmtree(unpacked(standin))
    verdict, log = job_of(standin, reference, "never")
    assert verdict == "success", log


def test_keep_blobs(standin):
    reference = standin.publish(random.Random(6), "kept", [1500])
    verdict, log = job_of(standin, reference, "always", SARDE_KEEP_BLOBS="true")
    assert verdict == "success" and packed(standin, reference) > 1_500_000, log


@pytest.fixture
def liar(place, tmp_path):
    registry = LyingRegistry()
    with registry.serving() as address:
        registry.address, registry.folder = address, tmp_path
        registry.env = place.store(tmp_path) | {"SARDE_INSECURE_REGISTRIES": address, "SARDE_CONNECT": "test:///default"}

        def publish(content, **options):
            source = tmp_path / f"source-{len(registry.blobs)}"
            source.mkdir()
            (source / "disk.raw").write_bytes(content)
            (source / "d.xml").write_text(domain("x", ("disk.raw", "raw")))
            place.run("export", "--raw", "--compression", "fast", "--libvirtconfig", source / "d.xml", "x", source / "layout", env=registry.env)
            registry.tags["1"] = [registry.add_layout(source / "layout")]
            return f"{address}/vms/a:1"

        registry.publish = publish
        yield registry


def test_a_skopeo_without_a_proxy_copies(place, liar, tmp_path):
    """As a later skopeo might have it, which would not know the experimental command, or speak another protocol."""
    reference = liar.publish(random.Random(1).randbytes(2_000_000))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in (("none", 'echo "time=now level=fatal msg=\\"unknown command \\\\\\"experimental-image-proxy\\\\\\" for \\\\\\"skopeo\\\\\\"\\"" >&2; exit 1'),
                       ("another protocol", 'exec python3 -c "import socket; s = socket.socket(fileno=0); s.recv(9999); s.send(b\'{\\"success\\": true, \\"value\\": \\"1.0.0\\", \\"pipeid\\": 0, \\"error\\": \\"\\"}\'); s.recv(1)"')):
        (tools / "skopeo").write_text(f'#!/bin/sh\ncase " $* " in *" experimental-image-proxy "*) {body};; esac\nexec {shutil.which("skopeo")} "$@"\n')
        (tools / "skopeo").chmod(0o755)
        env = liar.env | {"PATH": f"{tools}:{os.environ['PATH']}"}
        said = place.run("pull", "-v", "-n", f"copied-{name[:4]}", reference, env=env).stderr
        assert " copy --quiet " in said and (tmp_path / f"vms/copied-{name[:4]}/disk.raw").stat().st_size == 2_000_000, said
        shutil.rmtree(tmp_path / "oci")


def test_a_proxy_that_is_killed_is_started_again(place, liar):
    reference = liar.publish(random.Random(2).randbytes(60 << 20))
    liar.pause = 0.05  # for each MiB
    command = subprocess.Popen([place.program, "pull", "-n", "killed", reference], env=place.environment | liar.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed = set()
    deadline = time.monotonic() + 60
    while command.poll() is None and time.monotonic() < deadline and len(killed) < 2:
        for pid, name in children(command.pid).items():
            if name == "skopeo" and pid not in killed and sum("/blobs/" in path for path in liar.asked) >= 4 * (len(killed) + 1):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.02)
    _, errors = command.communicate(timeout=120)
    assert command.returncode == 0 and len(killed) == 2 and "skopeo was killed, or has failed" in errors, errors
    assert sha256(liar.folder / "vms/killed/disk.raw") == sha256(next(liar.folder.glob("source-*/disk.raw")))


def test_a_registry_that_sends_something_else_the_second_time(place, liar):
    """The first transfer of a layer breaks half-way, and the second one brings other bytes: whatever was unpacked of the first is no part of anything."""
    reference = liar.publish(random.Random(3).randbytes(900_000))
    (layer,) = [digest for digest, blob in liar.blobs.items() if len(blob) > 800_000]
    right, wrong = liar.blobs[layer], bytearray(liar.blobs[layer])
    wrong[1000] ^= 1
    for first, second, code in ((bytes(wrong), right, 1), (right, bytes(wrong), 1), (right, right, 0)):
        liar.turns = {layer: [first, second]}
        liar.cuts = 1
        pulled = place.run("pull", "-n", "twice", reference, env=liar.env, check=False)
        assert pulled.returncode == code, pulled.stderr
        if code:
            assert "other content than the image's manifest says" in pulled.stderr, pulled.stderr
            assert not (liar.folder / "vms/twice").exists()
    assert sha256(liar.folder / "vms/twice/disk.raw") == sha256(next(liar.folder.glob("source-*/disk.raw")))


def test_a_registry_that_stalls_is_given_up_in_time(place, liar):
    reference = liar.publish(random.Random(4).randbytes(8 << 20))
    liar.stalls = True
    start = time.monotonic()
    stalled = place.run("pull", "-n", "stalled", reference, env=liar.env | {"SARDE_FETCH_TIMEOUT": "4s"}, check=False)
    assert stalled.returncode == 2 and "did not send all of it in time (fetch-timeout)" in stalled.stderr, stalled.stderr
    assert 3.5 < time.monotonic() - start < 20
    assert not (liar.folder / "vms/stalled").exists() and not list((liar.folder / "vms").glob(".incoming-*"))
